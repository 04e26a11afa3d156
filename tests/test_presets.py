"""Presets: every row of the papers' tables has one, each is legal where it is meant for, and flags change what it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any, NamedTuple

import pytest
from torch import Tensor

from nasarch.cli import main
from nasarch.search import command, dots, edarts
from nasarch.search.candidates import all_candidates, check_candidates, only
from nasarch.search.command import METHODS
from nasarch.search.discretize import one_operation
from nasarch.search.job import Job
from nasarch.search.preset import Preset
from nasarch.search.presets import PRESETS
from nasarch.search.relaxation import Relaxation
from nasarch.search.scale import scaled
from nasarch.search.schedules import annealed
from nasarch.space import SPACES, Space

STABILITY = "nodes-5 nodes-6 nodes-7 epochs-50 epochs-75 epochs-100 epochs-125".split()
ROWS = {
    "darts": [
        *"first second exact nats nats-second".split(),
        *(f"{order}-{case}" for order in ("first", "second") for case in STABILITY),
    ],
    "pc-darts": [
        *"cifar10 imagenet k1 k2 k4 k8 neither en pc pc-en imagenet-neither imagenet-en imagenet-pc imagenet-pc-en random nats".split(),
        *STABILITY,
    ],
    "ftso": [
        *"skip-1it skip-1ep skip-50ep skip-1ep-op-18ep skip-50ep-op-50ep mp-50ep-op-50ep sep3-50ep sep3-50ep-op-50ep".split(),
        *"3op-50ep-op-50ep 4op-50ep-op-50ep part-imagenet-1it part-imagenet-1ep part-imagenet-6ep full-imagenet-1ep skip-2it".split(),
        *(f"replace-{operation}" for operation in ("sep3", "sep5", "dil3", "dil5", "max-pool", "avg-pool", "skip")),
        *"cifar100 cifar100-iterations cifar100-50ep nats nats-gradient".split(),
    ],
    "dots": [
        *"cifar10 cifar100 imagenet both-annealings edge-annealing group-annealing no-annealing ol-ol ol-bl bl-ol bl-bl".split(),
        *"darts-operations depth-8 depth-14 depth-17 depth-20 code".split(),
    ],
    "edarts": [
        *"cifar10 cifar100 darts darts-subset darts-sparse darts-subset-sparse separable equal-attention".split(),
        *"attention-start attention-forward attention-update".split(),
        *(f"ss{number}-{layers}" for number in range(1, 9) for layers in (5, 10, 16, 20)),
    ],
}
CHANGES: dict[tuple[str, str], dict[str, Any]] = {
    ("darts", "first"): {"order": "first"},
    ("darts", "second"): {},
    ("darts", "second-nodes-7"): {"nodes": 5},
    ("darts", "nats"): {"order": "first", "layers": 5},
    ("pc-darts", "cifar10"): {},
    ("pc-darts", "k8"): {"partial": 8, "batch_size": 512, "lr": 0.2},
    ("pc-darts", "neither"): {"partial": 1, "batch_size": 64, "lr": 0.025, "edge_normalisation": False},
    ("pc-darts", "epochs-125"): {"epochs": 125},
    ("ftso", "skip-1ep"): {},
    ("ftso", "skip-1it"): {"iterations": 1},
    ("ftso", "skip-1ep-op-18ep"): {"operator": "gradient", "operator_epochs": 18},
    ("ftso", "mp-50ep-op-50ep"): {"topology_operation": ("max_pool_3x3",), "epochs": 50, "operator": "gradient"},
    ("ftso", "full-imagenet-1ep"): {"batch_size": 1024, "lr": 0.5, "arch_lr": 6e-3, "weight_decay": 3e-5},
    ("dots", "cifar100"): {},
    ("dots", "no-annealing"): {"operation_start": 1, "operation_decay": 1, "topology_start": 1, "topology_decay": 1},
    ("dots", "ol-bl"): {"operation_levels": 1, "topology_levels": 2},
    ("dots", "darts-operations"): {"grouped": False, "operation_start": 1, "operation_decay": 1},
    ("edarts", "cifar10"): {},
    ("edarts", "darts"): {"images": None, "sparse": False, "path": None, "attention": "off", "layers": 8},
    ("edarts", "darts-subset-sparse"): {"path": None, "attention": "off", "layers": 8},
}
EVERY = [(method, name) for method, presets in PRESETS.items() for name in presets]
every_preset = pytest.mark.parametrize(("method", "name"), EVERY, ids=[f"{method} {name}" for method, name in EVERY])


class Told(NamedTuple):
    """What a command hands to the search."""

    method: str
    settings: Any
    job: Job
    start: Any


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Run a search's command line up to the search itself."""
    calls: list[Told] = []
    monkeypatch.setattr(command, "search_with", lambda *arguments: calls.append(Told(*arguments)))

    def told(*arguments: str) -> Told:
        assert main(["search", *arguments]) == 0
        return calls.pop()

    return told


@pytest.mark.parametrize("method", METHODS)
def test_every_row_of_the_papers_is_there(method: str) -> None:
    assert sorted(PRESETS[method]) == sorted(ROWS[method]) and len(ROWS[method]) == len(set(ROWS[method]))


@every_preset
def test_gives_the_same_frozen_settings_of_its_method_every_time(method: str, name: str) -> None:
    preset = PRESETS[method][name]
    settings = preset.settings()
    assert type(settings) is METHODS[method].settings and settings == preset.settings()
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
    return edarts._candidates(space, settings) if hasattr(settings, "path") else all_candidates(space)


@every_preset
def test_can_be_shortened_and_kept_as_json(method: str, name: str) -> None:
    settings = PRESETS[method][name].settings()
    kept = json.loads(json.dumps(asdict(settings)))
    again = type(settings)(**{key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()})
    assert again == settings and type(scaled(settings, 0.04)) is type(settings)


@pytest.mark.parametrize(("method", "name"), CHANGES)
def test_changes_what_its_row_changes_and_nothing_else(method: str, name: str) -> None:
    settings, usual = PRESETS[method][name].settings(), METHODS[method].settings()
    changed = {field.name for field in fields(settings) if getattr(settings, field.name) != getattr(usual, field.name)}
    assert {field: getattr(settings, field) for field in changed} == CHANGES[method, name]


def test_imagenet_is_searched_as_the_texts_say() -> None:
    pc, dots_, part = (
        PRESETS[method][name].settings() for method, name in (("pc-darts", "imagenet"), ("dots", "imagenet"), ("ftso", "part-imagenet-6ep"))
    )
    assert pc.fractions == dots_.fractions == part.fractions == (0.1, 0.025)
    assert (pc.partial, pc.batch_size, pc.lr, pc.lr_end, pc.epochs, pc.warmup) == (2, 1024, 0.5, 0.0, 50, 35)
    assert (pc.arch_lr, pc.weight_decay, pc.rate_warmup) == (6e-3, 3e-5, 5)
    assert (dots_.operation_layers, dots_.topology_layers, dots_.operation_epochs, dots_.topology_epochs) == (8, 14, 30, 30)
    assert (dots_.operation_decay, dots_.topology_decay, dots_.lr, dots_.lr_end, dots_.arch_lr) == (0.75, 0.64, 0.5, 0.0, 6e-3)
    assert (part.epochs, part.partial, part.lr, part.arch_lr) == (6, 4, 0.5, 6e-3)


def test_temperatures_of_dots_fall_from_10_by_065_and_072_after_the_warm_ups() -> None:
    settings = dots.Dots()
    first, second = (
        annealed(getattr(settings, f"{stage}_start"), getattr(settings, f"{stage}_decay"), getattr(settings, f"{stage}_warmup"))
        for stage in ("operation", "topology")
    )
    assert [first(epoch) for epoch in range(25)] == pytest.approx([10.0] * 15 + [10 * 0.65**t for t in range(10)])
    assert [second(epoch) for epoch in range(35)] == pytest.approx([10.0] * 15 + [10 * 0.72**t for t in range(20)])


def test_temperatures_of_dots_end_where_the_text_says() -> None:
    text, code = PRESETS["dots"]["cifar10"].settings(), PRESETS["dots"]["code"].settings()
    for settings, stage, end in ((text, "operation", 0.2), (text, "topology", 0.02), (code, "operation", 1.0), (code, "topology", 0.02)):
        start, decay, epochs, warmup = (getattr(settings, f"{stage}_{what}") for what in ("start", "decay", "epochs", "warmup"))
        assert start * decay ** (epochs - warmup - 1) == pytest.approx(end, rel=0.05)


@pytest.mark.parametrize("number", range(1, 9))
def test_sub_search_spaces_keep_the_operations_without_weights(number: int) -> None:
    operations = PRESETS["edarts"][f"ss{number}-16"].settings().operations
    assert set(operations) >= {"none", "skip_connect", "max_pool_3x3"} and "avg_pool_3x3" not in operations
    assert len(set(operations)) == (6 if number > 6 else 5)


def test_a_preset_gives_the_defaults_and_flags_change_them(told: Callable[..., Told]) -> None:
    method, settings, job, start = told("pc-darts", "--preset", "k2", "--batch-size", "8", "--no-edge-normalisation")
    assert (method, job.preset, job.space) == ("pc-darts", "k2", "darts")
    assert (settings.partial, settings.lr, settings.batch_size, settings.edge_normalisation) == (2, 0.05, 8, False)
    assert start == PRESETS["pc-darts"]["k2"].settings()


def test_nats_bench_has_its_own_settings_without_a_word(told: Callable[..., Told]) -> None:
    for arguments in (["--space", "nats"], ["--preset", "nats"], ["--preset=nats"]):
        _, settings, job, _ = told("ftso", *arguments)
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


def test_the_list_as_json_has_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "*darts", "--json"]) == 0
    rows = {(row["method"], row["preset"]): row for row in json.loads(capsys.readouterr().out)}
    assert {method for method, _ in rows} == {"darts", "pc-darts", "edarts"}
    row = rows["pc-darts", "imagenet"]
    assert row["settings"] == json.loads(json.dumps(asdict(PRESETS["pc-darts"]["imagenet"].settings())))
    assert (row["data"], row["space"], row["row"]) == ("imagenet", "darts", "Table 2") and "24.2 % top-1" in row["reported"]


def test_a_preset_is_of_cifar10_and_the_darts_space_unless_it_says_so() -> None:
    assert Preset(Job, "row", "reported")[3:] == ("darts", "cifar10")
