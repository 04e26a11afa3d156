"""Masks of candidates, written out place by place."""

from __future__ import annotations

import pytest
import torch

from nasarch.cells.space import DARTS, NATS
from nasarch.search.supernet.candidates import all_candidates, check_candidates, on, only, winners

SPACE = DARTS.with_nodes(2)  # edges 0-2 1-2 0-3 1-3 2-3
GROUPS = torch.tensor([[True] * 4 + [False] * 4, [False] * 4 + [True] * 4])


def test_all_and_only() -> None:
    assert all_candidates(SPACE).shape == (2, 5, 8) and all_candidates(SPACE).all() and all_candidates(NATS).shape == (1, 6, 5)
    mask = only(SPACE, "sep_conv_5x5", "none")
    assert mask.nonzero().tolist() == [[z, e, o] for z in range(2) for e in range(5) for o in (0, 5)]
    with pytest.raises(ValueError, match="unknown operation 'conv' in space 'nats'; legal are none, skip_connect"):
        only(NATS, "skip_connect", "conv")


def test_on_some_edges_of_each_kind() -> None:
    mask = on(SPACE, {"normal": [0, 3], "reduction": [4]})
    assert mask.all(2).nonzero().tolist() == [[0, 0], [0, 3], [1, 4]] == mask.any(2).nonzero().tolist()


def test_the_heaviest_candidate_of_each_group_stays() -> None:
    """Groups {0-3} and {4-7}; on edge 1 the heaviest is no candidate, edge 2 has none of the second group, edge 3 has nothing at all."""
    weight, candidates = torch.zeros(2, 5, 8), all_candidates(SPACE)
    weight[0, 0] = torch.tensor([0.1, 0.4, 0.3, 0.2, 0.0, 0.2, 0.1, 0.7])
    weight[0, 1] = torch.tensor([0.9, 0.1, 0.3, 0.2, 0.9, 0.2, 0.3, 0.1])
    candidates[0, 1, [0, 4]] = False
    candidates[0, 2, 4:] = False
    weight[0, 2, 4] = 1.0
    candidates[0, 3] = False
    weight[0, 4], weight[1] = torch.arange(8.0), torch.arange(8.0).flip(0)
    kept = winners(weight, candidates, GROUPS)
    assert kept[0].nonzero().tolist() == [[0, 1], [0, 7], [1, 2], [1, 6], [2, 0], [4, 3], [4, 7]]
    assert kept[1].nonzero().tolist() == [[e, o] for e in range(5) for o in (0, 4)]
    assert winners(weight, candidates, GROUPS[1:])[0].nonzero().tolist() == [[0, 7], [1, 6], [4, 7]]


def test_a_node_needs_one_candidate_on_one_of_its_edges() -> None:
    mask = torch.zeros(2, 5, 8, dtype=torch.bool)
    mask[:, [1, 4], 7] = True
    check_candidates(SPACE, mask)
    mask[1, 4] = False
    with pytest.raises(ValueError, match="node 3 of the reduction cell has no candidate left"):
        check_candidates(SPACE, mask)
    mask[1, 2, 0] = True
    mask[0, 1] = False
    with pytest.raises(ValueError, match="node 2 of the normal cell has no candidate left"):
        check_candidates(SPACE, mask)
    for wrong in (all_candidates(DARTS), all_candidates(SPACE)[0], all_candidates(SPACE).int()):
        with pytest.raises(ValueError, match=r"space 'darts' needs a Boolean mask \[2, 5, 8\]"):
            check_candidates(SPACE, wrong)
