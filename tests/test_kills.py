"""Searches, trainings, rankings, gatherings and exports that are killed, stopped or started twice: nothing lost, nothing left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import main
from tests.helpers import small_detector
from tests.helpers.datasets import as_tree, two_classes

pytestmark = pytest.mark.slow

TINY = "--size 8 --channels 4 --batch-size 4 --device cpu".split()
VARYING = {  # of equal runs
    *("seconds", "command", "resumed", "images_per_second", "memory", "out", "resume", "date", "threads"),
    *("words", "table"),  # in which seconds are
}
SMALL_ROW = [  # two searches, a choice, two trainings and their tests
    *"--scale 0.01 --searches 2 --trainings 2 --workers 0 --set search.layers=3 search.channels=4 search.batch-size=4".split(),
    *"search.nodes=2 choose.cells=3 choose.channels=4 choose.batch-size=4 train.cells=3 train.channels=4 train.epochs=2".split(),
    *"train.batch-size=4 train.cutout=0 train.aux-weight=0".split(),
]
KILLS = 3  # of each command


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets, and two searches with different seeds."""
    root = tmp_path_factory.mktemp("killed")
    as_tree(root / "d", {**two_classes("train/", count=8), **two_classes("val/", count=2)})
    small_detector.data(root / "boxes", train=8, val=2)
    for seed in ("0", "1"):
        assert main([*search(root), "--seed", seed, "--out", str(root / f"search-{seed}")]) == 0
    return root


def search(root: Path) -> list[str]:
    return ["search", "pc-darts", "--data", str(root / "d"), *TINY, *"--epochs 3 --nodes 2 --layers 3 --warmup 0".split()]


def command(kind: str, root: Path) -> list[str]:
    both, data = [str(root / f"search-{seed}") for seed in (0, 1)], ["--data", str(root / "d"), *TINY]
    if kind == "detect":
        words = small_detector.command(root / "boxes", Path("out"), "--epochs", "2")
        return [*words[: (place := words.index("--out"))], *words[place + 2 :]]
    return {
        "search": search(root),
        "train": ["train", both[0], *data, *"--cells 3 --epochs 3 --aux-weight 0 --cutout 0".split()],
        "select": ["select", *both, *data, *"--cells 3 --epochs 2 --seeds 2".split()],
        "rank-paths": ["rank-paths", *data, *"--cells 3 --epochs 2 --seeds 2 --nodes 2 --best 2 --ends 1".split()],
        "gather": ["gather", *both],
        "reproduce": ["reproduce", "darts/table1/first", "--data", str(root / "d"), "--size", "8", "--device", "cpu", *SMALL_ROW],
    }[kind]


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "nasarch", *arguments]
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def result(folder: Path) -> dict[str, Any]:
    """What a command has written, without what differs between equal runs."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert not [path for path in folder.parent.rglob("*") if path.name.startswith((".nasarch-", ".lock")) or path.name == "checkpoint.pt"]
    found: dict[str, Any] = {str(path.relative_to(folder)): None for path in files}
    for path in files:
        if path.name in ("result.json", "genotype.json", "ranking.json", "paths.json", "stability.json", "edges.json"):
            found[str(path.relative_to(folder))] = plain(json.loads(path.read_text()))
        elif path.suffix in (".safetensors", ".onnx"):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in VARYING}
    if isinstance(value, list):
        return [plain(item) for item in value if not (isinstance(item, dict) and item.get("metric") == "search cost")]  # seconds, too
    return value


def next_command(kind: str, root: Path, folder: Path) -> list[str]:
    """That which resumes the run in `folder`, or begins it."""
    if kind != "gather" and (folder / "out" / "config.json").exists():
        return [*command(kind, root)[: 2 if kind in ("search", "detect") else 1], "--resume", "out"]
    return [*command(kind, root), "--out", "out"]


@pytest.mark.parametrize("kind", ["search", "train", "detect", "select", "rank-paths", "gather", "reproduce"])
def test_a_command_that_is_killed_or_stopped_goes_on_to_the_same_result(kind: str, root: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    begun = time.monotonic()
    process = started([*command(kind, root), "--out", "out"], whole)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    seconds, draw = time.monotonic() - begun, random.Random(kind)
    for number in range(2 * KILLS):
        process = started(next_command(kind, root, broken), broken)
        time.sleep(seconds * draw.uniform(0.3, 1.0))
        process.send_signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
        assert "Traceback" not in said
        if process.returncode == 0:
            break
    process = started(next_command(kind, root, broken), broken)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0 or "exists already" in said, said
    assert result(broken / "out") == result(whole / "out")


@pytest.mark.parametrize("kind", ["search", "train", "detect", "select", "rank-paths", "gather", "reproduce"])
def test_of_two_that_are_started_at_once_in_one_folder_one_writes_it(kind: str, root: Path, tmp_path: Path) -> None:
    both = [started([*command(kind, root), "--out", "out"], tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 2] or (codes == [0, 0] and kind == "gather"), said
    assert not any("Traceback" in words for words in said)
    result(tmp_path / "out")


def test_an_export_that_is_killed_leaves_its_file_whole_or_not_at_all(root: Path, tmp_path: Path) -> None:
    words = ["export", "onnx", str(root / "search-0"), "--size", "32", "-o", "model.onnx"]
    begun = time.monotonic()
    whole = tmp_path / "whole"
    whole.mkdir()
    said, _ = started(words, whole).communicate(timeout=300)
    seconds, draw, expected = time.monotonic() - begun, random.Random(0), (whole / "model.onnx").read_bytes()
    for _ in range(KILLS):
        process = started(words, tmp_path)
        time.sleep(seconds * draw.uniform(0.5, 1.0))
        process.kill()
        process.communicate(timeout=60)
        assert not (tmp_path / "model.onnx").exists() or (tmp_path / "model.onnx").read_bytes() == expected
    (tmp_path / "model.onnx").unlink(missing_ok=True)
    said, _ = started(words, tmp_path).communicate(timeout=300)
    assert (tmp_path / "model.onnx").read_bytes() == expected, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "whole"]
