"""Derivation rules of the methods: how the edges and operations of a cell are chosen from the weights of a search.

Those that nasarch implements, as their recipes in nasarch.search have them; of other methods' cells the paper is named instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A derivation rule in words, and where the paper states it."""

    text: str
    source: str


RULES = {
    "DARTS": Rule(
        "Each inner node keeps the two incoming edges whose strongest operation has the greatest softmax weight; each kept edge keeps that "
        "operation. none (zero) is left out of both choices.",
        "arXiv 1806.09055, sec. 2.4",
    ),
    "PC-DARTS": Rule(
        "The softmax weights of an edge's operations are multiplied by the edge's own softmax weight (edge normalization). Each inner node "
        "keeps the two edges with the greatest product, and each of them its strongest operation other than none.",
        "arXiv 1907.05737, sec. 3.3",
    ),
    "DOTS": Rule(
        "The topology search weighs all pairs of a node's incoming edges by a softmax; each inner node keeps the pair with the greatest "
        "weight. The operation search has left one operation of each group on an edge; a kept edge keeps the stronger of the two.",
        "arXiv 2010.00969 (2020 submission), eq. 6, 7 and 12",
    ),
    "FTSO": Rule(
        "The topology search has one operation on all edges; each inner node keeps the two edges with the greatest edge weights (beta). "
        "Then every kept edge gets the same convolution, or the strongest operation of a second search on the kept edges alone.",
        "arXiv 2303.12948, Algorithms 1 and 2",
    ),
    "eDARTS": Rule(
        "The topology is fixed before the search: each inner node reads two given nodes (the path). The search chooses the operations "
        "alone: each edge keeps its strongest operation other than none, with a constant added for separable and subtracted for dilated "
        "convolutions.",
        "ICPR 2020, sec. III-A and III-B",
    ),
}
NATS_RULE = "All edges are kept, each with its strongest operation."


def rule_of(provenance: Mapping[str, Any], space: str) -> Rule | None:
    """The rule of the method that provenance names, without what follows in brackets; None if nasarch doesn't implement it."""
    rule = RULES.get(str(provenance.get("method", "")).partition(" (")[0])
    if provenance.get("kind") == "inferred from the paper's text":
        return None  # the note says how
    return rule if rule is None or space == "darts" else Rule(NATS_RULE, "NATS-Bench topology search space (arXiv 2009.00437)")
