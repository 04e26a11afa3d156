"""What a search does besides searching: its seeds, consensus, events, warnings, the table of NATS-Bench, and the words at its end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype, resolve
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, Margin, SearchResult
from nasarch.search.runs import seeds
from nasarch.search.runs.metrics import imagenet_multi_adds
from nasarch.search.runs.run import Plan
from tests.helpers.captured_options import CapturedCall, catch_searches, plan_of

NOTHING = torch.zeros(2, 14, 8)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CapturedCall:
    monkeypatch.chdir(tmp_path)
    return catch_searches(monkeypatch)


class Ran:
    """Stands for `run`: what it was called with, and what it gives back."""

    def __init__(self, cells: Genotype, operations: Tensor = NOTHING) -> None:
        self.cells, self.operations, self.calls = cells, operations, list[tuple[int, Path]]()

    def __call__(self, plan: Plan, seed: int, folder: Path, report: Any) -> SearchResult:
        self.calls.append((seed, folder))
        weights = ArchitectureWeights(self.operations, torch.full((2, 14), 0.5))
        found = SearchResult(self.cells, [Margin("normal", 2, (0.25, 0.75), (1,), 0, 0.5)], weights)
        report(
            Progress(
                **{"stage": "topology", "epoch": 1, "epochs": 1, "step": 1, "steps": 1, "loss": 2.0, "accuracy": 0.5},
                **{"images_per_second": 1.0, "learning_rate": 0.1, "temperature": 1.0, "is_warmup": False, "result": found},
            )
        )
        provenance = {"source": {"seed": seed, "seconds": 1.0}}
        return found._replace(genotype=replace(self.cells, provenance=provenance))


def searched(
    told: CapturedCall, monkeypatch: pytest.MonkeyPatch, *flags: str, cells: Genotype | None = None, operations: Tensor = NOTHING
) -> Ran:
    ran = Ran(cells or resolve("darts_v2_cifar"), operations)
    plan = plan_of(told, *flags)
    monkeypatch.setattr(seeds, "run", ran)
    seeds.search(plan, told.folder)
    return ran


def test_runs_have_the_seeds_from_the_first_on_and_a_folder_each(told: CapturedCall, monkeypatch: pytest.MonkeyPatch) -> None:
    assert searched(told, monkeypatch, "--seed", "7", "--out", "one").calls == [(7, Path("one"))]
    assert searched(told, monkeypatch, "--seed", "7", "--runs", "2", "--out", "two").calls == [
        (7, Path("two/seed-7")),
        (8, Path("two/seed-8")),
    ]
    assert json.loads(Path("two/config.json").read_text())["job"]["runs"] == 2


def test_a_consensus_is_derived_where_it_is_asked_for(told: CapturedCall, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(seeds, "conclude", lambda *given, with_consensus: asked.append(with_consensus) or Path("x"))
    searched(told, monkeypatch, "--runs", "2", "--consensus", "--out", "a")
    searched(told, monkeypatch, "--runs", "2", "--out", "b")
    assert asked == [True, False]


def test_events_are_written_where_they_are_asked_for(told: CapturedCall, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class TensorBoardLogger:
        def start(self, folder: Path, config: dict[str, Any]) -> None:
            made.append((folder, config["method"]))

        def log(self, stage: str, epoch: int, metrics: dict[str, float]) -> None:
            made.append((stage, epoch, metrics["loss"]))

        def finish(self, result: dict[str, Any]) -> None:
            made.append(("closed", result["name"]))

    monkeypatch.setattr(seeds, "TensorBoardLogger", TensorBoardLogger)
    searched(told, monkeypatch, "--out", "without")
    assert made == []
    searched(told, monkeypatch, "--tensorboard", "--out", "with")
    assert made == [(Path("with"), "FTSO"), ("topology", 1, 2.0), ("closed", "darts_v2_cifar")]


def test_a_cell_is_dear_by_the_limit_that_is_given(
    told: CapturedCall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ImageNet network of DARTS' cell has 529.9 million multi-adds (tests/nasarch/models/test_network.py)."""
    for flags, warned in ((["--max-macs", "529"], True), (["--max-macs", "530"], False), ([], False)):
        searched(told, monkeypatch, *flags, "--out", f"limit{len(list(Path().iterdir()))}")
        printed = capsys.readouterr().out
        assert ("more than --max-macs" in printed) == ("has 530 M multi-adds, more than --max-macs 529" in printed) == warned


def test_the_best_cell_within_the_limit_is_derived(
    told: CapturedCall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operations = torch.rand(2, 14, 8, generator=torch.Generator().manual_seed(0))
    searched(told, monkeypatch, "--operator", "gradient", "--max-macs", "350", "--out", "dear", operations=operations)
    for _ in range(2):  # the second time as after --resume
        printed = capsys.readouterr().out
        derived = json.loads(Path("dear/derived/derivation.json").read_text())["cells"][0]
        assert f"or take dear/derived/genotype.json: {derived['multi_adds'] / 1e6:.1f} M multi-adds" in printed
        assert derived["multi_adds"] <= 350e6 and derived["below the optimum"] > 0
        assert f"score {derived['below the optimum']:.6f} lower" in printed
        network = imagenet_multi_adds(Genotype.load("dear/derived/genotype.json"))
        assert network == pytest.approx(derived["multi_adds"] / 1e6, abs=0.06)
        seeds.search(told.plan, told.folder)
    capsys.readouterr()
    searched(told, monkeypatch, "--max-macs", "400", "--out", "replaced")
    printed = capsys.readouterr().out
    assert "more than --max-macs 400" in printed and "or: --max-macs 400: the smallest nas_224 of this search has" in printed
    assert not Path("replaced/derived").exists()
    searched(told, monkeypatch, "--operator", "gradient", "--out", "cheap", operations=operations)
    assert "derived" not in capsys.readouterr().out and not Path("cheap/derived").exists()


def test_the_accuracy_of_a_cell_of_nats_bench_is_looked_up(
    told: CapturedCall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = resolve("ftso_nats_cifar")
    Path("table.csv").write_text(f"arch,c10,c100,in16\n{cells.to_nats()},93.5,70.25,40.125\n")
    searched(told, monkeypatch, "--space", "nats", "--nats-table", "table.csv", "--out", "nats", cells=cells)
    assert "93.50 % on CIFAR-10, 70.25 % on CIFAR-100, 40.12 % on ImageNet16-120" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("side", "space", "model", "recipe"),
    [
        (16, "darts", "nas_cifar", " --cutout 8"),
        (17, "darts", "nas_cifar", ""),
        (63, "darts", "nas_cifar", ""),
        (64, "darts", "nas_224", " --recipe imagenet"),
        (64, "nats", "nas_bench_201", " --recipe nats"),
    ],
)
def test_the_last_words_name_model_and_recipe_of_the_images(
    side: int, space: str, model: str, recipe: str, told: CapturedCall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(told, "--space", space, "--data", "some/photos", "--out", "new")
    whole = plan.context.data
    pixels = torch.zeros(len(whole.train), 3, side, side + 30, dtype=torch.uint8)
    large = replace(whole, train=replace(whole.train, pixels=pixels))  # type: ignore[type-var]  # they are in memory
    monkeypatch.setattr(seeds, "run", Ran(resolve("ftso_nats_cifar" if space == "nats" else "darts_v2_cifar")))
    seeds.search(replace(plan, context=replace(plan.context, data=large)), Path("new"))
    printed = capsys.readouterr().out
    assert f"timm.create_model('{model}', genotype='new/genotype.json', num_classes=3)" in printed
    assert f"train:  nasarch train new/genotype.json --data some/photos{recipe}\n" in printed
    assert "0.500000 of 0.7500" in printed


def test_remarks_are_said_before_the_search(
    told: CapturedCall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(told, monkeypatch, "--batch-size", "8", "--out", "new")
    printed = capsys.readouterr().out
    assert "FTSO on digits: 48 training images, 3 classes; cpu" in printed
    assert printed.index("warning: batch size 8 instead of 256") < printed.index("seed 0")
