"""A row on two processes of torchrun: every stage runs on both, one writes, and nothing of a finished row is done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.datasets import as_tree, two_classes

pytestmark = pytest.mark.slow

ROW = [
    *"reproduce darts/table1/first --size 8 --device cpu --workers 0 --scale 0.01 --searches 2 --trainings 2 --set search.layers=3".split(),
    *"search.channels=4 search.batch-size=4 search.nodes=2 choose.cells=3 choose.channels=4 choose.batch-size=4 train.cells=3".split(),
    *"train.channels=4 train.epochs=2 train.batch-size=4 train.cutout=0 train.aux-weight=0".split(),
]


def on_two_processes(*words: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nasarch", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_row_on_two_processes(tmp_path: Path) -> None:
    as_tree(tmp_path / "d", {**two_classes("train/", count=8), **two_classes("val/", count=2)})
    folder = tmp_path / "row"
    printed = on_two_processes(*ROW, "--data", str(tmp_path / "d"), "--out", str(folder))
    assert printed.count("of 5: search") == 1, "the first process alone speaks"
    for part, key in (("search/seed-0", "processes"), ("choose", "processes"), ("train/seed-1", "processes")):
        assert json.loads((folder / part / "config.json").read_text())[key] == 2
    figures = {one["metric"]: one for one in json.loads((folder / "result.json").read_text())["figures"]}
    assert (figures["test error"]["runs"], figures["search cost"]["runs"]) == (2, 2)
    again = on_two_processes("reproduce", "--resume", str(folder))
    assert "of 5:" not in again and "test error" in again
    assert not list(folder.rglob(".lock"))
