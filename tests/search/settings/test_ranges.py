"""What settings of a search may be, at both sides of each limit, for every setting of every method."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from nasarch.search.settings.presets import SETTINGS
from tests.helpers.nested import dotted, flat, nested
from tests.helpers.paper_numbers import SEARCHES

LIMITS: dict[str, tuple[list[Any], list[Any], str]] = {  # legal, refused, the words
    "count": ([1, 2], [0, -1], "1 or more"),
    "none or more": ([0, 1], [-1], "0 or more"),
    "nodes": ([1, 12], [-1, 0, 13], "1 to 12"),
    "above 0": ([1e-12, 1e12], [0.0, -1e-12, math.inf, math.nan], "a number above 0"),
    "from 0": ([0.0, 1e12], [-1e-12, math.inf, math.nan], "a number from 0 on"),
    "factor": ([1e-12, 1.0], [0.0, 1.0 + 1e-12, -0.5, math.nan], "a number above 0, 1 at most"),
    "below 1": ([0.0, 1.0 - 1e-12], [-1e-12, 1.0, math.nan], "a number from 0 to below 1"),
    "both below 1": ([(0.0, 0.0), (0.5, 1.0 - 1e-12)], [(0.5, 1.0), (-1e-12, 0.5), (math.nan, 0.5)], "two numbers from 0 to below 1"),
}
KINDS = {
    "count": ["epochs", "operator_epochs", "operation_epochs", "topology_epochs", "iterations", "images", "batch_size", "layers"]
    + ["operation_layers", "topology_layers", "channels", "partial"],
    "nodes": ["nodes"],
    "none or more": ["warmup", "rate_warmup", "operation_warmup", "topology_warmup"],
    "above 0": ["clip", "operation_start", "topology_start", "operation_scale"],
    "from 0": ["lr", "lr_end", "arch_lr", "weight_decay", "arch_weight_decay", "init_std"],
    "factor": ["operation_decay", "topology_decay"],
    "below 1": ["momentum"],
    "both below 1": ["arch_betas", "operation_arch_betas", "topology_arch_betas"],
}
WORDS = ["order", "attention", "path", "operations", "operator", "operation", "topology_operation", "operations_from", "fractions"]
SWITCHES = [
    "edge_normalisation",
    "random_channels",
    "sparse",
    "grouped",
    "operator_beta",
    "edge_softmax",
    "operation_levels",
    "topology_levels",
]
SHORT = {"warmup": 0, "operation_warmup": 0, "topology_warmup": 0, "rate_warmup": 0}  # leave room for one epoch
CASES = [
    (method, name, kind)
    for method, settings in SEARCHES.items()
    for kind, names in KINDS.items()
    for name in names
    if name in settings and not (method == "edarts" and name == "nodes")  # its path says how many
]


def made(method: str, **changes: Any) -> Any:
    room = {name: value for name, value in SHORT.items() if name in SEARCHES[method]}
    return nested(SETTINGS[method](), **room | changes)


def own_name(method: str, name: str) -> str:
    """Within its stage."""
    return dotted(SETTINGS[method](), name).rpartition(".")[2]


@pytest.mark.parametrize(("method", "name", "kind"), CASES, ids=[f"{method} {name}" for method, name, _ in CASES])
def test_a_setting_is_legal_up_to_its_limit_and_refused_beyond(method: str, name: str, kind: str) -> None:
    legal, refused, words = LIMITS[kind]
    for value in legal:
        assert flat(made(method, **{name: value}))[name] == value
    for value in refused:
        with pytest.raises(ValueError, match=re.escape(f"{own_name(method, name)}={value}: choose {words}") + "$"):
            made(method, **{name: value})


def test_every_setting_has_a_limit_or_is_a_word_or_a_switch() -> None:
    limited = {name for names in KINDS.values() for name in names}
    assert {name for settings in SEARCHES.values() for name in settings} == limited | {*WORDS, *SWITCHES}


@pytest.mark.parametrize(
    ("method", "warmup", "epochs"),
    [
        ("pc-darts", "warmup", "epochs"),
        ("pc-darts", "rate_warmup", "epochs"),
        ("dots", "operation_warmup", "operation_epochs"),
        ("dots", "topology_warmup", "topology_epochs"),
    ],
)
def test_a_warm_up_leaves_an_epoch_of_its_own_stage(method: str, warmup: str, epochs: str) -> None:
    assert flat(made(method, **{warmup: 6, epochs: 7}))[warmup] == 6
    for count in (6, 5):
        words = f"{own_name(method, warmup)}=6, epochs={count}"
        with pytest.raises(ValueError, match=f"^{words}: choose fewer epochs of warm-up than there are in all$"):
            made(method, **{warmup: 6, epochs: count})


def test_none_means_no_limit_where_a_setting_may_be_left_out() -> None:
    assert made("ftso", iterations=None).iterations is None and made("edarts", images=None).images is None


@pytest.mark.parametrize(("nodes", "path"), [(1, "01"), (3, "01-02-13")])
def test_the_nodes_of_edarts_are_those_of_its_path(nodes: int, path: str) -> None:
    assert made("edarts", nodes=nodes, path=path).nodes == nodes
    with pytest.raises(ValueError, match=f"for {nodes + 1} nodes write"):
        made("edarts", nodes=nodes + 1, path=path)


def test_something_has_to_be_searched_for_that_is_not_none() -> None:
    assert made("edarts", operations=("none", "skip_connect")).operations == ("none", "skip_connect")
    assert made("ftso", topology_operation=("none", "max_pool_3x3")).topology_operation == ("none", "max_pool_3x3")
    for operations in ((), ("none",)):
        with pytest.raises(ValueError, match="topology_operation: give one at least that is not none"):
            made("ftso", topology_operation=operations)
        with pytest.raises(ValueError, match="operations: give one at least that is not none"):
            made("edarts", operations=operations)
