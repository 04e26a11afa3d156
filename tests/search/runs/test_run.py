"""What a search writes down of itself: its configuration, provenance, lines and checkpoint, value by value."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cells.genotype import Genotype, resolve
from nasarch.compute import device_name
from nasarch.data.dataset import Images
from nasarch.runtime import run_folder
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.json_files import JsonLines
from nasarch.runtime.options import to_dict
from nasarch.runtime.recorded_data import with_absolute_paths, with_recorded_data
from nasarch.runtime.run_folder import _continued
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, Margin, SearchResult
from nasarch.search.recipes.ftso import PAPER, Ftso
from nasarch.search.runs import run
from nasarch.search.runs.options import SearchOptions
from nasarch.search.runs.run import Plan
from tests.helpers.captured_options import CapturedCall, catch_searches, plan_of
from tests.helpers.coloured_images import data
from tests.helpers.small_training import colours


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CapturedCall:
    monkeypatch.chdir(tmp_path)
    return catch_searches(monkeypatch)


def digest(images: Images) -> str:
    """By hand: shape, labels, pixels."""
    sha = hashlib.sha256(repr(tuple(images.pixels.shape)).encode())
    sha.update(b"".join(int(label).to_bytes(8, "little") for label in images.labels))
    sha.update(bytes(images.pixels.flatten().tolist()))
    return sha.hexdigest()


# ---- configuration and provenance


def test_the_configuration_tells_all_of_a_search(told: CapturedCall) -> None:
    flags = ["--seed", "3", "--runs", "2", "--consensus", "--amp", "bf16", "--nodes", "3", "--out", "there", "--name", "mine", "--tf32"]
    plan = plan_of(told, *flags)
    images = data().train
    assert isinstance(images, Images)
    assert run.config_of(plan, 4) == {
        "method": "FTSO",
        "settings": asdict(Ftso(nodes=3)),
        "seed": 4,
        "name": "mine",
        "preset": None,
        "space": {"name": "darts", "nodes": 3},
        "amp": "bf16",
        "tf32": True,
        "deterministic": False,
        "processes": 1,
        "job": to_dict(SearchOptions(seed=4, amp="bf16", name="mine")) | {"tf32": True, "out": "there"},
        "data": {"name": "digits", "images": 48, "size": [16, 16], "source": "synthetic", "sha256": digest(images)},
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("nasarch", "torch", "timm")} | {"python": platform.python_version()},
        "command": "nasarch search ftso " + " ".join(flags),
    }


def test_the_images_of_a_search_are_those_to_train(told: CapturedCall) -> None:
    """Those to test are part of the digest alone."""
    plan = plan_of(told)
    whole = colours()
    assert whole.test is not None
    with_test, without = (run._about(replace(plan.context, data=replace(whole, test=test))) for test in (whole.test, None))
    assert with_test["images"] == without["images"] == 48 and with_test["sha256"] != without["sha256"]


def test_the_sides_of_a_split_are_part_of_the_data(told: CapturedCall) -> None:
    plan = plan_of(told)
    parts = (torch.tensor([0, 2, 4]), torch.tensor([1, 47]))
    about = run._about(replace(plan.context, parts=parts))
    assert about["split"] == [3, 2] and about["split_sha256"] == hashlib.sha256(b"0 2 4/1 47").hexdigest()
    assert about.keys() - run._about(plan.context).keys() == {"split", "split_sha256"}


@pytest.mark.parametrize(
    ("flags", "more"),
    [
        ([], {}),
        (["--amp", "fp16"], {"amp": "fp16", "processes": 1}),
        (["--tf32"], {"tf32": True}),
        (["--preset", "skip-1it"], {"preset": "skip-1it"}),
    ],
)
def test_the_provenance_says_what_was_searched_and_how(flags: list[str], more: dict[str, Any], told: CapturedCall) -> None:
    plan = plan_of(told, *flags, "--data", "photos")
    config = run.config_of(plan, 5)
    found = run._provenance(plan, config, 12.345)
    source = found.pop("source")
    assert found == {"method": "FTSO", "paper": PAPER, "searched_on": "photos", "kind": "found by nasarch", "results": []}
    if "preset" in more:
        assert plan.preset is not None and plan.preset["name"] == "skip-1it"
        more = {"preset": plan.preset}
    keys = ("command", "seed", "data", "settings", "device", "versions")
    assert source == {key: config[key] for key in keys} | {"seconds": 12.3} | more and source["seed"] == 5


def test_several_processes_are_part_of_the_provenance(told: CapturedCall) -> None:
    plan = plan_of(told)
    config = run.config_of(plan, 0) | {"processes": 4}
    assert run._provenance(plan, config, 1.0)["source"].items() >= {"amp": "off", "processes": 4}.items()


def test_a_search_that_goes_on_keeps_its_first_command_and_says_with_what_it_went_on(tmp_path: Path) -> None:
    now = {"command": "now", "threads": 2, "device": "d2", "versions": {"torch": "2"}, "seed": 1}
    first = {"command": "first", "threads": 8, "device": "d1", "versions": {"torch": "1"}}
    path = tmp_path / "config.json"
    assert _continued(now, path) == now
    path.write_text(json.dumps(first | {"seed": 1}))
    again = _continued(now, path)
    assert again == first | {"seed": 1, "resumed": [{key: now[key] for key in first}]}
    path.write_text(json.dumps(again))
    third = _continued(now | {"command": "third"}, path)
    assert third["command"] == "first" and [entry["command"] for entry in third["resumed"]] == ["now", "third"]


# ---- a run with a search that is played


CELLS, OTHER = resolve("darts_v2_cifar"), resolve("pc_darts_cifar")
ROWS = [Margin("normal", 2, (0.25, 0.75), (1, 0), None, None), Margin("normal", 3, (0.5, 0.3, 0.2), (0, 1), 2, 0.1)]


def found(cells: Genotype, value: float) -> SearchResult:
    return SearchResult(cells, ROWS, ArchitectureWeights(torch.full((2, 14, 8), value), torch.full((2, 14), value / 2)))


class Recipe:
    """Stands for a method's search: three reports, two of them ends of epochs."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any]] = []

    def search(self, context: Any, settings: Any) -> Iterator[Progress]:
        self.calls.append((context, settings))
        self.threads = torch.get_num_threads()
        said = {"epochs": 2, "steps": 4, "accuracy": 0.5, "images_per_second": 9.0, "learning_rate": 0.1, "temperature": 1.0}
        warm = {"stage": "a", "is_warmup": True, "epoch": 1} | said
        yield Progress(step=2, loss=3.0, result=None, figures={"eigenvalue": 0.5}, **warm)
        yield Progress(
            stage="a", is_warmup=True, epoch=1, step=4, loss=2.0, result=found(OTHER, 0.25), figures={"eigenvalue": 0.75}, **said
        )
        yield Progress(stage="b", is_warmup=False, epoch=1, step=1, loss=2.5, result=None, **said)
        yield Progress(stage="b", is_warmup=False, epoch=1, step=4, loss=1.0, result=found(CELLS, 0.5), **said)
        return found(CELLS, 0.125)


def played(told: CapturedCall, folder: Path, seed: int = 6) -> tuple[Plan, Recipe, SearchResult, list[Progress]]:
    recipe, reports = Recipe(), list[Progress]()
    plan = plan_of(told, "--seed", "5")
    plan = replace(plan, method=plan.method._replace(search=recipe.search))
    folder.mkdir(exist_ok=True)
    return plan, recipe, run.run(plan, seed, folder, reports.append), reports


def test_a_run_hands_seed_and_checkpoint_on_and_writes_every_epoch(told: CapturedCall, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plan, recipe, result, reports = played(told, folder)
    ((context, settings),) = recipe.calls
    assert settings == plan.settings and context.seed == 6 and context.checkpoint.path == folder / "checkpoint.pt"
    assert replace(context, seed=plan.context.seed, checkpoint=plan.context.checkpoint) == plan.context
    assert [place.loss for place in reports] == [3.0, 2.0, 2.5, 1.0]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"], line["loss"], line["skips"]["normal"]) for line in metrics] == [
        ("a", 1, 2.0, 1),
        ("b", 1, 1.0, 2),
    ]
    assert metrics[0]["eigenvalue"] == 0.75 and "eigenvalue" not in metrics[1] and 0 <= metrics[0]["seconds"] <= metrics[1]["seconds"]
    tables = [json.loads(line) for line in (folder / "weights.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["warmup"], line["epoch"]) for line in tables] == [("a", True, 1), ("b", False, 1)]
    assert [line["warmup"] for line in metrics] == [True, False]
    assert tables[0]["operations"] == [[[0.25] * 8] * 14] * 2 and tables[1]["edges"] == [[0.25] * 14] * 2
    measured = [json.loads(line) for line in (folder / "eigenvalues.jsonl").read_text().splitlines()]
    assert measured == [
        {"stage": "a", "warmup": True, "epoch": 1, "step": 2, "eigenvalue": 0.5},
        {"stage": "a", "warmup": True, "epoch": 1, "step": 4, "eigenvalue": 0.75},
    ]
    assert [Genotype.load(folder / "genotypes" / f"epoch-{n}.json") for n in (1, 2)] == [OTHER, CELLS]
    assert json.loads((folder / "edges.json").read_text()) == json.loads(json.dumps([row._asdict() for row in ROWS]))
    assert json.loads((folder / "weights.json").read_text())["operations"][1][13][7] == 0.125
    assert Genotype.load(folder / "genotype.json") == CELLS == result.genotype
    assert result.genotype.provenance["source"]["seed"] == 6 and not (folder / "checkpoint.pt").exists()
    assert json.loads((folder / "config.json").read_text())["seed"] == 6 and (folder / "cell.png").read_bytes()[:4] == b"\x89PNG"
    read = run.read_search_result(folder)
    assert (read.genotype, read.margins) == (CELLS, ROWS) and torch.equal(read.weights.edges_ZE, torch.full((2, 14), 0.0625))


def test_a_finished_run_is_not_searched_again(told: CapturedCall, tmp_path: Path) -> None:
    played(told, tmp_path / "run")
    _, recipe, result, reports = played(told, tmp_path / "run")
    assert recipe.calls == [] and reports == [] and result.genotype == CELLS


def test_a_search_that_goes_on_takes_its_threads_and_drops_what_was_written_after_its_checkpoint(
    told: CapturedCall, tmp_path: Path
) -> None:
    """Of three lines one epoch is in the checkpoint; the clock goes on from its 100 seconds."""
    folder = tmp_path / "run"
    folder.mkdir()
    plan = plan_of(told)
    threads = torch.get_num_threads()
    config = run.config_of(plan, 6) | {"threads": threads + 1}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [{"stage": "a", "epoch": n, "seconds": 100.0 * n} for n in (1, 2, 3)]
    for name in ("metrics", "weights"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    identity = {key: config[key] for key in ("method", "settings", "seed", "name", "data", "space", "amp", "processes")}
    Checkpoint(folder / "checkpoint.pt", identity).save("a", {"epochs": 1})
    try:
        _, recipe, _, _ = played(told, folder)
        assert recipe.threads == threads + 1
    finally:
        torch.set_num_threads(threads)
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 3 and metrics[0] == lines[0] and 100 <= metrics[1]["seconds"] < 200
    assert sorted(path.name for path in (folder / "genotypes").iterdir()) == ["epoch-2.json", "epoch-3.json"]


@pytest.mark.parametrize("key", ["method", "settings", "seed", "name", "data", "space", "amp", "processes", "tf32", "command", "threads"])
def test_a_checkpoint_is_of_the_same_search_in_all_that_its_numbers_depend_on(key: str, told: CapturedCall, tmp_path: Path) -> None:
    """TF32 is kept by the job, and by it set again; the command and the threads are those of before."""
    seen: dict[str, Any] = {}

    def caught(path: Path, identity: dict[str, Any]) -> Checkpoint:
        seen.update(identity)
        raise RuntimeError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "shared_checkpoint", caught)
        with pytest.raises(RuntimeError):
            played(told, tmp_path / "run")
    config = run.config_of(plan_of(told, "--seed", "5"), 6)
    assert (key in seen) == (key not in ("tf32", "command", "threads")) and all(seen[name] == config[name] for name in seen)


def test_measurements_of_steps_that_were_undone_are_replaced(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "eigenvalues.jsonl")
    said = {"epochs": 3, "steps": 9, "is_warmup": False, "accuracy": 0.5, "loss": 1.0}
    said |= {"images_per_second": 9.0, "learning_rate": 0.1, "temperature": 1.0}
    for stage, epoch, step in [("a", 1, 3), ("a", 1, 6), ("a", 2, 3), ("b", 1, 3), ("a", 1, 6)]:
        run._measured(lines, Progress(stage=stage, epoch=epoch, step=step, result=None, figures={"eigenvalue": float(step)}, **said))
    kept = [json.loads(line) for line in (tmp_path / "eigenvalues.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"], line["step"]) for line in kept] == [("a", 1, 3), ("b", 1, 3), ("a", 1, 6)]


# ---- a folder that is removed, data that were moved


def test_a_folder_that_is_removed_during_a_run_is_written_again(
    told: CapturedCall, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, removed = tmp_path / "run", list[Progress]()

    def report(progress: Progress) -> None:
        if not removed:
            shutil.rmtree(folder)
        removed.append(progress)

    plan = plan_of(told, "--seed", "5")
    plan = replace(plan, method=plan.method._replace(search=Recipe().search))
    run.run(plan, 6, folder, report)
    assert json.loads((folder / "config.json").read_text())["seed"] == 6 and Genotype.load(folder / "genotype.json") == CELLS
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2 and not (folder / ".lock").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert "run was removed during the run, and is written again" in line


def test_another_run_in_place_of_a_removed_folder_is_left_alone(told: CapturedCall, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def report(progress: Progress) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "config.json").write_text("of another run")

    plan = plan_of(told, "--seed", "5")
    plan = replace(plan, method=plan.method._replace(search=Recipe().search))
    with pytest.raises(ValueError, match="run was removed during the run, and another run is in its place"):
        run.run(plan, 6, folder, report)
    assert (folder / "config.json").read_text() == "of another run" and not (folder / "genotype.json").exists()


def test_moved_data_keep_their_recorded_name_and_other_data_are_refused_with_both_digests(tmp_path: Path) -> None:
    there = data()
    (tmp_path / "config.json").write_text(json.dumps({"data": {"name": "pets", "source": "a folder", "sha256": there.digest}}))
    found = with_recorded_data(replace(there, name="moved"), tmp_path)
    assert (found.name, found.source, found.digest) == ("pets", "a folder", there.digest)
    other = replace(there, train=there.train.subset(torch.arange(9)))  # type: ignore[type-var]
    with pytest.raises(ValueError, match=f"{other.digest}, those of the run in {tmp_path} {there.digest}: resume it with the same"):
        with_recorded_data(other, tmp_path)


def test_paths_of_data_are_recorded_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pets", "digits", "split"):
        Path(name).mkdir()
    told = {"data": "pets", "split": "split", "root": "nowhere", "images": 40, "out": "pets", "val": None}
    assert with_absolute_paths(told) == told | {"data": str(tmp_path / "pets"), "split": str(tmp_path / "split")}
    assert with_absolute_paths({"data": "digits"}) == {"data": "digits"}  # a name comes before a path
    assert with_absolute_paths({"data": "./digits"}) == {"data": str(tmp_path / "digits")}
