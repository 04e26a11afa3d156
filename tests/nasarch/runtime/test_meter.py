"""Means of an epoch, their clock, losses that are not finite, and the peak memory."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from nasarch.runtime.meter import Meter, peak_memory
from tests.helpers.clock import Clock


def test_the_meter_counts_images_of_both_sides_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("nasarch.runtime.meter.time", clock)
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(2.0), (torch.tensor(16.0), torch.tensor(3)), 8, images=8 + 4)
    meter.add(torch.tensor(5.0), (torch.tensor(10.0), torch.tensor(1)), 2, images=2 + 6)
    clock.now += 4.0
    assert meter.images_per_second() == (8 + 4 + 2 + 6) / 4
    with monkeypatch.context() as several:
        several.setattr("nasarch.runtime.distributed.world_size", lambda: 3)
        assert meter.images_per_second() == 3 * (8 + 4 + 2 + 6) / 4
    assert meter.means("here", all_processes=False) == [(8 * 2.0 + 2 * 5.0) / 10, 0.4] == meter.means("here", all_processes=True)
    assert meter.state_dict() == {"sums": [26.0, 4.0], "count": 10}
    other = Meter(torch.device("cpu"))
    other.load_state_dict(meter.state_dict())
    other.add(torch.tensor(1.0), (torch.tensor(10.0), torch.tensor(0)), 10, images=10)
    assert other.means("here", all_processes=True) == [36 / 20, 0.2]


def test_a_report_is_due_half_a_second_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("nasarch.runtime.meter.time", clock)
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(1.0), (torch.tensor(1.0),), 1, images=1)
    clock.now = 100.4375
    assert not meter.due(0.5)
    clock.now = 100.5
    assert meter.due(0.5)
    meter.means("here", all_processes=False)
    assert not meter.due(0.5)
    clock.now = 101.0
    assert meter.due(0.5)


def test_a_loss_that_is_not_finite_is_named_with_its_step() -> None:
    meter = Meter(torch.device("cpu"))
    for loss in (1.0, 2.0):
        meter.add(torch.tensor(loss), (torch.tensor(loss),), 1, images=1)
    meter.check("here", 2)
    for loss in (3.0, float("inf"), float("nan")):
        meter.add(torch.tensor(loss), (torch.tensor(loss),), 1, images=1)
    with pytest.raises(ValueError, match="the loss is inf in here, step 4: choose a smaller learning rate"):
        meter.check("here", 5)
    meter.check("here", 5)  # each is looked at once


@pytest.mark.parametrize(("platform", "megabytes"), [("linux", 2.0), ("darwin", 0.0)])
def test_memory_is_the_largest_of_this_process_in_the_units_of_its_system(
    platform: str, megabytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,953 KiB on Linux, bytes on a Mac."""
    assert 50 < peak_memory() < 1e6
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("nasarch.runtime.meter.sys.platform", platform)
    monkeypatch.setattr("nasarch.runtime.meter.resource.getrusage", lambda who: SimpleNamespace(ru_maxrss=1953))
    assert peak_memory() == megabytes


def test_windows_has_no_resource_module_and_no_figure() -> None:
    """`import resource` fails in a fresh process, as on Windows."""
    code = (
        "import sys; sys.modules['resource'] = None; from nasarch.runtime import meter; import torch; "
        "torch.cuda.is_available = lambda: False; print(meter.peak_memory())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["0.0"]


def test_memory_is_that_of_the_gpu_if_one_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 123_456_789)
    for in_use in (True, False):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda in_use=in_use: in_use)
        assert (peak_memory() == 123.5) == in_use
