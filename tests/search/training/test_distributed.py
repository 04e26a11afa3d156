"""Two processes train as the loop written out says: shares, random numbers of each, means of gradients and statistics, one result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from nasarch.runtime import distributed, run_folder
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.training import run as train_run
from nasarch.search.training.learner import Learner, fit
from nasarch.search.training.run import _batches, _learner, run
from tests.literal.small_training import EVERYTHING, SEED, assert_same_values, data, literal, plan
from tests.literal.training import examined, in_double

PROCESSES = 2
CLASSES = 5
SETTINGS = replace(EVERYTHING, epochs=2)  # 21 images in batches of 8: of the last five one is left out


def forbidden(*arguments: Any, **named: Any) -> Any:
    raise AssertionError("the first process alone writes and reports")


def drifted(learner: Learner, rank: int) -> str:
    """What is said when the weights of one process are others."""
    learner.net.fc.weight.data += rank
    try:
        learner.state_dict()
    except ValueError as error:
        return str(error)
    return ""


def process(rank: int, folder: str) -> None:
    """Trains twice, with and without a folder; writes down the figures and all values."""
    for module, name in ((train_run, "write_text"), (run_folder, "write_text"), (train_run, "save_model")):
        setattr(module, name, forbidden if rank else getattr(module, name))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    said = Path(folder) / f"{rank}.pt"
    with in_double():
        what = plan(SETTINGS, data(classes=CLASSES))
        batches = _batches(what, SEED)
        learner = _learner(what, SEED, fresh=True, steps=len(batches))
        figures = [(one.loss, one.accuracy) for one in fit(learner, batches, Checkpoint()) if one.ends_epoch]
        values = [list(net.state_dict().values()) for net in (learner.net, learner.result())]
        result = run(what, SEED, Path(folder) / "run", forbidden if rank else lambda progress: None)
        values = [[value.clone() for value in part] for part in values]
        told = {"figures": figures, "values": values, "drifted": drifted(learner, rank)}
        torch.save(told | {"test": result["test"], "train": result["train"]}, said)
    distributed.destroy()


def test_two_processes_train_as_it_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    multiprocessing.spawn(process, (str(tmp_path),), nprocs=PROCESSES)
    expected, on = literal(SETTINGS, classes=CLASSES, processes=PROCESSES), data(classes=CLASSES)
    with in_double():
        loss, first, five = examined(expected.result, on.test, on)
    tested = {"images": 11, "loss": pytest.approx(loss, rel=1e-9), "top1": pytest.approx(first), "top5": pytest.approx(five)}
    ends = [(expected.mean_loss(3 * i, 3 * i + 3), expected.accuracy(3 * i, 3 * i + 3)) for i in range(SETTINGS.epochs)]
    assert expected.images == [8, 8, 4] * 2
    for rank in range(PROCESSES):
        said = torch.load(tmp_path / f"{rank}.pt")
        assert said["figures"] == [pytest.approx(pair, rel=1e-9) for pair in ends]
        assert said["drifted"].startswith("the 2 processes have different weights")
        assert said["test"] == tested and said["train"]["loss"] == pytest.approx(ends[-1][0], rel=1e-9)
        net, average = said["values"]
        assert_same_values(net, expected.nets[rank])
        assert_same_values(average, expected.averages[rank])
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json", "metrics.jsonl", "model", "result.json"]
