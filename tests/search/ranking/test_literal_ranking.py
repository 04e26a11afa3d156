"""Rankings train each network as it is written out, alone or several as one, and score it on the images that are held back."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cli.main import main
from nasarch.data.dataset import Dataset, Images, split_indices
from nasarch.data.load import load
from nasarch.models.network import CellNetwork
from nasarch.search.fused.learner import FusedLearner
from nasarch.search.ranking import tournament
from nasarch.search.ranking.budget import Budget
from nasarch.search.ranking.protocol import EvaluationProtocol, balanced
from nasarch.search.ranking.task import RankingTask
from nasarch.search.ranking.tournament import Candidate, TrainingGroup, train_groups, training_groups
from nasarch.search.training.learner import Progress
from nasarch.search.training.recipes import Training
from tests.literal.small_training import MINE, SEED, assert_same_values, data, twin
from tests.literal.training import Trace, examined, in_double, trained

SETTINGS = Training(
    **{"epochs": 3, "batch_size": 8, "lr": 0.05, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0, "cutout": 3, "drop_path": 0.5},
    **{"aux_weight": 0.0, "cells": 3, "channels": 4},
)


def cells(name: str, normal: Any, reduction: Any) -> Genotype:
    """From triples of node, operation and source."""
    kinds = {"normal": normal, "reduction": reduction}
    nodes = {kind: tuple(tuple(Op(o, i) for j, o, i in told if j == node) for node in (2, 3)) for kind, told in kinds.items()}
    return Genotype(name, "darts", {kind: Cell(nodes[kind], (2, 3)) for kind in kinds})


SKIPS = cells(
    "skips",
    [(2, "skip_connect", 0), (2, "sep_conv_3x3", 1), (3, "skip_connect", 1), (3, "skip_connect", 2)],
    [(2, "dil_conv_5x5", 0), (2, "skip_connect", 1), (3, "skip_connect", 0), (3, "max_pool_3x3", 1)],
)
WIDE = cells(
    "wide",
    [(2, "sep_conv_5x5", 0), (2, "dil_conv_3x3", 1), (3, "avg_pool_3x3", 0), (3, "sep_conv_5x5", 1)],
    [(2, "max_pool_3x3", 0), (2, "sep_conv_3x3", 1), (3, "dil_conv_3x3", 2), (3, "skip_connect", 0)],
)
LEAN = cells(
    "lean",
    [(2, "sep_conv_3x3", 0), (2, "skip_connect", 1), (3, "dil_conv_5x5", 2)],
    [(2, "skip_connect", 0), (2, "avg_pool_3x3", 1), (3, "sep_conv_3x3", 2)],
)
FIELD = [Candidate(cell.name, cell) for cell in (MINE, SKIPS, LEAN, WIDE)]


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)
    with in_double():
        yield


def written_out(cell: Genotype, on: Dataset, seed: int) -> Trace:
    return trained(lambda: twin(SETTINGS, on, seed, cells=cell), SETTINGS, on, seed)


def place_of(on: Dataset, networks_per_group: int) -> EvaluationProtocol:
    assert isinstance(on.test, Images)
    shared: dict[str, Any] = {"data": on, "train": on.train, "val": on.test, "evaluated_on": "test images"}
    return EvaluationProtocol(**shared, settings=SETTINGS, device=torch.device("cpu"), workers=None, networks_per_group=networks_per_group)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "networks.jsonl").read_text().splitlines()]


def test_a_heat_trains_its_networks_as_each_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on, learners, reports = data(), list[Any](), list[tuple[TrainingGroup, Progress]]()
    judged = tournament._evaluated
    monkeypatch.setattr(tournament, "_evaluated", lambda protocol, learner: learners.append(learner) or judged(protocol, learner))
    task, place = RankingTask("select", Budget(), {}, tmp_path), place_of(on, networks_per_group=3)
    wanted = training_groups("cells", FIELD, [SEED], 3)
    assert [[one.name for one in heat.candidates] for heat in wanted] == [["mine", "skips", "wide"], ["lean"]]
    found = train_groups(task, place, wanted, lambda heat, progress: reports.append((heat, progress)))
    together, alone = learners
    assert isinstance(together, FusedLearner) and found == lines(tmp_path)
    traces = {one.name: written_out(one.genotype, on, SEED) for one in FIELD}
    norms = [norm for cell in (MINE, SKIPS, WIDE) for norm in traces[cell.name].norms]
    assert min(norms) < SETTINGS.clip < max(norms)  # some are clipped, and some are not
    for number, cell in enumerate((MINE, SKIPS, WIDE)):
        own = together.net.weights_of(number)
        names = CellNetwork(cell, 3, cells=3, channels=4).state_dict().keys()
        assert own.keys() == names
        assert_same_values([own[name] for name in names], traces[cell.name].result)
    assert_same_values(list(alone.net.state_dict().values()), traces["lean"].result)
    for line in found:
        expected = traces[line["name"]]
        loss, accuracy, _ = examined(expected.result, on.test, on)
        assert (line["accuracy"], line["loss"]) == pytest.approx((accuracy, loss), abs=2e-6)
        assert line["parameters"] == sum(p.numel() for p in expected.result.parameters())
        assert (line["stage"], line["seed"], line["networks_in_group"]) == ("cells", SEED, 1 if line["name"] == "lean" else 3)
    of_fleet = [progress for heat, progress in reports if len(heat.candidates) == 3]
    both = [traces[cell.name] for cell in (MINE, SKIPS, WIDE)]
    for number, progress in enumerate(of_fleet):
        first = number - number % 3
        assert progress.loss == pytest.approx(sum(trace.mean_loss(first, number + 1) for trace in both) / 3, rel=1e-9)
        images = sum(both[0].images[first : number + 1])
        right = sum(sum(trace.right[step] for trace in both) // 3 for step in range(first, number + 1))
        assert progress.accuracy == pytest.approx(right / images)
        assert progress.learning_rate == pytest.approx(both[0].rates[number]) and progress.drop_path == pytest.approx(number // 3 / 6)


def test_a_heat_that_was_stopped_ends_as_it_is_written_out(tmp_path: Path) -> None:
    on, seen = data(), list[Progress]()
    task, wanted = RankingTask("select", Budget(), {}, tmp_path), training_groups("cells", [FIELD[0], FIELD[1]], [SEED], 2)

    def tell(heat: TrainingGroup, progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 5:
            torch.random.manual_seed(0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_groups(task, place_of(on, 2), wanted, tell)
    found = train_groups(task, place_of(on, 2), wanted, tell)
    assert [(progress.epoch, progress.step) for progress in seen[4:6]] == [(2, 2), (2, 1)]  # from the end of the first epoch
    for line, cell in zip(found, (MINE, SKIPS), strict=True):
        loss, accuracy, _ = examined(written_out(cell, on, SEED).result, on.test, on)  # type: ignore[arg-type]
        assert (line["accuracy"], line["loss"]) == pytest.approx((accuracy, loss), abs=2e-6)


# ---- the commands


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images to train and 12 to test, of three classes with a colour each in much noise, as files."""
    root, noise = tmp_path_factory.mktemp("pictures") / "noise", np.random.default_rng(0)
    for part, number in [("train", i) for i in range(30)] + [("test", i) for i in range(12)]:
        folder = root / part / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        levels = noise.integers(0, 140, (8, 8, 3)) + 80 * np.eye(3, dtype=int)[number % 3]
        Image.fromarray(levels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


FLAGS = [
    "--epochs=2",
    "--batch-size=5",
    "--lr=0.04",
    "--drop-path=0.3",
    "--cells=3",
    "--channels=4",
    "--seed=3",
    "--seeds=2",
    "--device=cpu",
]
SHALLOW = Training(
    **{"epochs": 2, "batch_size": 5, "lr": 0.04, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0, "cutout": 0, "drop_path": 0.3},
    **{"aux_weight": 0.0, "cells": 3, "channels": 4},
)


def ranked(command: str, pictures: Path, folder: Path, *flags: str) -> dict[tuple[str, int], tuple[float, float]]:
    """Accuracy and loss by cell and seed; the ranking is that of the accuracies."""
    files = [str(folder / f"{cell.name}.json") for cell in (MINE, WIDE)]
    for cell, file in zip((MINE, WIDE), files, strict=True):
        cell.save(file)
    assert main([command, *files, f"--data={pictures}", f"--out={folder / 'run'}", *FLAGS, "--device=cpu", *flags]) == 0
    found = {(Path(line["name"]).stem, line["seed"]): (line["accuracy"], line["loss"]) for line in lines(folder / "run")}
    for row in json.loads((folder / "run" / "ranking.json").read_text())["ranking"]:
        assert row["accuracies"] == {str(seed): found[Path(row["name"]).stem, seed][0] for seed in (3, 4)}
    return found


def scores(train: Images, val: Images, on: Dataset) -> dict[tuple[str, int], Any]:
    """Written out, of both seeds."""
    found = {}
    for cell, seed in itertools.product((MINE, WIDE), (3, 4)):
        net = trained(lambda cell=cell, seed=seed: twin(SHALLOW, on, seed, cells=cell), SHALLOW, on, seed, part=train).result
        loss, accuracy, _ = examined(net, val, on)
        found[cell.name, seed] = pytest.approx((accuracy, loss), abs=2e-6)
    return found


def test_select_trains_on_one_half_and_scores_on_the_other(pictures: Path, tmp_path: Path) -> None:
    on = load(pictures)
    train, val = (on.train.subset(part) for part in split_indices(on.train.labels, (0.5, 0.5), 3))
    assert isinstance(train, Images) and isinstance(val, Images)
    expected = scores(train, val, on)
    for together in (1, 2):
        (tmp_path / str(together)).mkdir()
        assert ranked("select", pictures, tmp_path / str(together), f"--networks-per-group={together}") == expected


def test_compare_trains_on_the_images_that_are_drawn_and_scores_on_the_test_images(pictures: Path, tmp_path: Path) -> None:
    on = load(pictures)
    assert isinstance(on.train, Images) and isinstance(on.test, Images)
    train, val = on.train.subset(drawn(on.train.labels, 20)), on.test.subset(drawn(on.test.labels, 7))
    assert ranked("compare", pictures, tmp_path, "--images=20", "--val-images=7") == scores(train, val, on)


def drawn(labels: torch.Tensor, count: int) -> torch.Tensor:
    """So many images, of each class its share, in their order: each class in the order of chance is spread evenly over 0 to 1."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3)).tolist()
    places = []
    for label in set(labels.tolist()):
        members = [i for i in order if labels[i] == label]
        places += [((k + 0.5) / len(members), order.index(i), i) for k, i in enumerate(members)]
    return torch.tensor(sorted(i for _, _, i in sorted(places)[:count]))


@pytest.mark.parametrize("count", [3, 20, 50, 122])
def test_a_sample_of_unequal_classes_is_that_of_its_places(count: int) -> None:
    labels = torch.tensor([0] * 30 + [1] * 60 + [2] * 33)[torch.randperm(123, generator=torch.Generator().manual_seed(9))]
    assert torch.equal(balanced(labels, count, 3), drawn(labels, count))
