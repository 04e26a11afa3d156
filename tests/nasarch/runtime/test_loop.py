"""The epoch loop, on a stage whose steps only count: reports, means, the last epoch cut short, stops, and going on from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.loop import Position, run_epochs
from nasarch.runtime.meter import Meter

Report = tuple[int, int, int, float]  # epoch, step, steps, mean loss


class Counting:
    """Three steps an epoch, seven in all; the loss of step n is n, and the checkpoint is asked for a stop in step `stops_at`."""

    def __init__(self, checkpoint: Checkpoint, *, stops_at: int | None = None, report_steps: int | None = None) -> None:
        self.name, self.device, self.remedy = "counting", torch.device("cpu"), "count slower"
        self.steps, self.total_steps, self.report_steps = 3, 7, report_steps
        self.batches: Sequence[str] = "abc"
        self.checkpoint, self.stops_at = checkpoint, stops_at
        self.seen: list[tuple[int, str]] = []
        self.epochs: list[int] = []
        self.saved: list[bool] = []

    def start_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def step(self, batch: str, number: int, meter: Meter) -> None:
        self.seen.append((number, batch))
        self.checkpoint.stop_requested = number == self.stops_at
        loss = torch.tensor(math.nan if batch == "x" else float(number))
        meter.add(loss, (loss,), 1, images=1)

    def report(self, position: Position, means: Sequence[float]) -> Report:
        return position.epoch, position.step, position.steps, means[0]

    def state_dict(self, *, is_over: bool) -> dict[str, Any]:
        self.saved.append(is_over)
        return {"seen": len(self.seen)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = [(-1, "")] * state["seen"]


ENDS = [(1, 3, 3, 1.0), (2, 3, 3, 4.0), (3, 1, 1, 6.0)]


def test_epochs_end_with_a_report_and_the_last_one_is_cut_short(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    stage = Counting(checkpoint)
    assert list(run_epochs(stage, checkpoint)) == ENDS
    assert stage.epochs == [0, 1, 2] and stage.saved == [False, False, True]
    assert stage.seen == [(n, "abc"[n % 3]) for n in range(7)]
    state = Checkpoint(tmp_path / "checkpoint.pt").stage("counting")
    assert state == {"seen": 7, "epochs": 3, "step": 0, "is_over": True, "meter": {"sums": [], "count": 0}}
    again = Counting(checkpoint)
    assert list(run_epochs(again, checkpoint)) == [] and again.epochs == []


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 1, 2, 3, 1]), (2, [2, 3, 2, 3, 1])])
def test_reports_come_after_so_many_steps_too(every: int, steps: list[int]) -> None:
    checkpoint = Checkpoint()
    assert [report[1] for report in run_epochs(Counting(checkpoint, report_steps=every), checkpoint)] == steps


@pytest.mark.parametrize("stops_at", range(7))
def test_a_stop_is_taken_after_its_step_and_nothing_is_lost(stops_at: int, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    stage, reports = Counting(checkpoint, stops_at=stops_at), list[Report]()
    try:
        for report in run_epochs(stage, checkpoint):
            reports.append(report)
    except KeyboardInterrupt:
        assert stops_at < 6
    else:
        assert stops_at == 6  # the last step of all
    assert len(stage.seen) == stops_at + 1
    if stops_at < 6:
        checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
        rest = Counting(checkpoint)
        rest.batches = "abc"[(stops_at + 1) % 3 :]  # as a loader goes on within its epoch

        def start_epoch(epoch: int) -> None:
            rest.batches = rest.batches if not rest.epochs else "abc"
            rest.epochs.append(epoch)

        rest.start_epoch = start_epoch  # type: ignore[method-assign]
        reports += run_epochs(rest, checkpoint)
        assert rest.seen[stops_at + 1 :] == [(n, "abc"[n % 3]) for n in range(stops_at + 1, 7)]
    assert reports == ENDS


def test_a_loss_that_is_not_finite_leaves_the_state_before_its_epoch(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    running = run_epochs(stage := Counting(checkpoint), checkpoint)
    assert next(running) == ENDS[0]
    stage.batches = "axc"
    with pytest.raises(ValueError, match="^the loss is nan in counting, epoch 2, step 2: count slower$"):
        next(running)
    assert checkpoint.epochs == 1 and stage.saved == [False]
