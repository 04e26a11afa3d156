"""Presets: each is legal where it is meant for, and flags change what it gives. Their numbers are in test_paper_numbers.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict
from typing import Any, NamedTuple

import pytest
from torch import Tensor

from nasarch.cells.space import SPACES, Space
from nasarch.cli.main import main
from nasarch.search.engine.discretize import one_operation
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.recipes import dots, edarts
from nasarch.search.recipes.command import entries, table
from nasarch.search.recipes.ftso import Ftso
from nasarch.search.runs import command
from nasarch.search.runs.options import SearchOptions
from nasarch.search.settings.fields import from_dict, scaled
from nasarch.search.settings.preset import Preset
from nasarch.search.settings.presets import PRESETS, SETTINGS
from nasarch.search.supernet.candidates import all_candidates, check_candidates, only

EVERY = [(method, name) for method, presets in PRESETS.items() for name in presets]
every_preset = pytest.mark.parametrize(("method", "name"), EVERY, ids=[f"{method} {name}" for method, name in EVERY])


class CapturedCall(NamedTuple):
    """What a command hands to the search."""

    method: str
    settings: Any
    job: SearchOptions
    start: Any
    given: frozenset[str]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CapturedCall]:
    """Run a search's command line up to the search itself."""
    calls: list[CapturedCall] = []
    monkeypatch.setattr(command, "search_with", lambda *arguments: calls.append(CapturedCall(*arguments)))

    def told(*arguments: str) -> CapturedCall:
        assert main(["search", *arguments]) == 0
        return calls.pop()

    return told


@every_preset
def test_gives_frozen_settings_of_its_method(method: str, name: str) -> None:
    settings = PRESETS[method][name].settings()
    assert type(settings) is SETTINGS[method]
    with pytest.raises(FrozenInstanceError):
        settings.lr = 1.0


@every_preset
def test_says_where_it_is_from_in_one_line_each(method: str, name: str) -> None:
    preset = PRESETS[method][name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert all(text.strip() == text and text and "\n" not in text for text in (preset.row, preset.reported))
    assert preset.space in SPACES and preset.data in ("cifar10", "cifar100", "imagenet")
    assert ("imagenet" in name.split("-")) == (preset.data == "imagenet")


@every_preset
def test_its_candidates_are_legal_in_its_space(method: str, name: str) -> None:
    preset = PRESETS[method][name]
    settings = preset.settings()
    space = SPACES[preset.space]
    space = space.with_nodes(settings.nodes) if space.kept_edges else space
    candidates = mask(space, settings)
    check_candidates(space, candidates)
    Relaxation(space, candidates, groups=(dots.FREE, dots.PARAMETRIC) if getattr(settings, "grouped", False) else ())


def mask(space: Space, settings: Any) -> Tensor:
    """The candidates with which a search of these settings starts."""
    if hasattr(settings, "topology_operation"):
        one_operation(space, settings.operation)
        return only(space, *settings.topology_operation)
    return edarts.path_candidates(space, settings) if hasattr(settings, "path") else all_candidates(space)


@every_preset
def test_can_be_shortened_and_kept_as_json(method: str, name: str) -> None:
    settings = PRESETS[method][name].settings()
    kept = json.loads(json.dumps(asdict(settings)))
    again: Any = from_dict(type(settings), kept)
    assert again == settings and type(scaled(settings, 0.04)) is type(settings)


def test_a_preset_gives_the_defaults_and_flags_change_them(told: Callable[..., CapturedCall]) -> None:
    method, settings, job, start, given = told("pc-darts", "--preset", "k2", "--batch-size", "8", "--no-edge-normalisation")
    assert (method, job.preset, job.space) == ("pc-darts", "k2", "darts")
    assert (settings.partial, settings.lr, settings.batch_size, settings.edge_normalisation) == (2, 0.05, 8, False)
    assert start == PRESETS["pc-darts"]["k2"].settings() and given == {"preset", "batch_size", "no_edge_normalisation"}


def test_nats_bench_has_its_own_settings_without_a_word(told: Callable[..., CapturedCall]) -> None:
    for arguments in (["--space", "nats"], ["--preset", "nats"], ["--preset=nats"]):
        _, settings, job, *_ = told("ftso", *arguments)
        assert (job.space, settings.operation, settings.layers, settings.partial) == ("nats", "nor_conv_3x3", 5, 1)
    assert told("darts", "--space", "nats", "--preset", "nats-second").settings.order == "second"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "dots", "--preset", "imagnet"], "did you mean imagenet?"),
        (["search", "darts", "--preset", "zzz"], "legal are first, second"),
        (["presets", "pcdarts"], "did you mean pc-darts?"),
        (["presets", "zzz"], "there are darts, pc-darts"),
    ],
)
def test_an_unknown_name_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and "Traceback" not in err


def test_the_list_has_every_preset_with_its_row_and_what_was_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    lines = [re.split(r"\s+", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert {tuple(line[:2]) for line in lines if len(line) > 4} >= set(EVERY)
    assert main(["presets", "pc-darts"]) == 0
    out = capsys.readouterr().out
    assert "2.57 ± 0.07 % test error on CIFAR-10, 0.1 GPU-days" in out and "edarts" not in out and "…" not in out
    assert "cifar10, nats" in out and "not measured here" in out


def test_the_table_has_a_line_a_preset_with_its_data_row_and_report() -> None:
    shown = table(entries("d*"))
    assert [column.header for column in shown.columns] == ["method", "preset", "data", "paper's row", "reported there"]
    assert [column.no_wrap for column in shown.columns] == [True, True, True, False, False]
    rows = list(zip(*(column.cells for column in shown.columns), strict=True))
    assert {row[0] for row in rows} == {"darts", "dots"} and len(rows) == 19 + 18
    assert rows[0] == ("darts", "first", "cifar10", "DARTS Table 1, first order", "3.00 ± 0.14 % test error on CIFAR-10")
    assert [row[2] for row in rows if row[:2] in (("darts", "nats"), ("dots", "imagenet"), ("dots", "cifar100"))] == [
        "cifar10, nats",
        "cifar100",
        "imagenet",
    ]


def test_patterns_choose_methods_in_the_order_of_the_list() -> None:
    assert [method for method, name, _ in entries("*") if name in ("cifar10", "first", "skip-1it")] == [*PRESETS]
    assert {entry.method for entry in entries("*darts")} == {"darts", "pc-darts", "edarts"}
    assert [entry.name for entry in entries("ftso")] == [*PRESETS["ftso"]]
    (first, *_) = entries("ftso")
    assert first.to_dict() == {
        "method": "ftso",
        "preset": "skip-1it",
        "data": "cifar10",
        "space": "darts",
        "row": PRESETS["ftso"]["skip-1it"].row,
        "reported": PRESETS["ftso"]["skip-1it"].reported,
        "settings": asdict(Ftso(iterations=1)),
    }


def test_the_list_as_json_has_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "*darts", "--json"]) == 0
    rows = {(row["method"], row["preset"]): row for row in json.loads(capsys.readouterr().out)}
    assert {method for method, _ in rows} == {"darts", "pc-darts", "edarts"}
    row = rows["pc-darts", "imagenet"]
    assert row["settings"] == json.loads(json.dumps(asdict(PRESETS["pc-darts"]["imagenet"].settings())))
    assert (row["data"], row["space"], row["row"]) == ("imagenet", "darts", "Table 2") and "24.2 % top-1" in row["reported"]


def test_a_preset_is_of_cifar10_and_the_darts_space_unless_it_says_so() -> None:
    assert Preset(SearchOptions, "row", "reported")[3:] == ("darts", "cifar10")
