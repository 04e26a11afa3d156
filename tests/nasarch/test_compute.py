"""The device that a user names, on machines with and without accelerators."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest
import torch

from nasarch import compute as device
from nasarch.compute import device_name, devices, pick_device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(device.torch, "zeros", lambda *shape, device: None)


@pytest.mark.usefixtures("two_gpus")
def test_auto_is_the_first_accelerator() -> None:
    assert devices() == ["cuda", "cuda:0", "cuda:1", "cpu"]
    assert pick_device("auto") == torch.device("cuda") and pick_device("cuda:1") == torch.device("cuda:1")
    assert pick_device("cpu") == torch.device("cpu")


def test_without_an_accelerator_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert devices() == ["cpu"] and pick_device("auto") == torch.device("cpu")


def test_a_device_is_tried_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*shape: int, device: torch.device) -> None:
        raise RuntimeError(f"{device} is full\nand more")

    monkeypatch.setattr(device.torch, "zeros", refuse)
    with pytest.raises(ValueError, match=r"device 'cpu' can't be used here \(cpu is full\); legal are auto, "):
        pick_device("cpu")


def test_the_hardware_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert device_name(torch.device("cuda:1")) == "GPU 1" and device_name(torch.device("meta")) == "meta"
    for count, words in ((1, "1 thread"), (2, "2 threads")):
        monkeypatch.setattr(torch, "get_num_threads", lambda: count)  # noqa: B023
        assert device_name(torch.device("cpu")) == f"CPU ({platform.machine()}), {words}"
