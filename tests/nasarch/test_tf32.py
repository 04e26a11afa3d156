"""Whether NVIDIA GPUs may round to TF32 is switched by each command before the first forward pass, and a resumed run keeps it.

The switches are PyTorch's own, on every build of it; what they hold is looked at inside the passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from nasarch.cli.main import main
from nasarch.compute import set_tf32
from nasarch.search.training.record import recorded
from nasarch.search.training.run import summary
from tests.helpers import small_training
from tests.helpers.small_detector import command as detect_command
from tests.helpers.small_detector import data as rectangles

SEARCH = ["search", "ftso", "--device", "cpu", "--layers", "3", "--channels", "4", "--batch-size", "64", "--size", "8", "--iterations", "1"]
TRAIN = ["train", "pc_darts_cifar", *small_training.COMMAND, "--epochs", "1"]
BUDGET = ["--size", "8", "--cells", "3", "--channels", "4", "--epochs", "1", "--images", "64", "--val-images", "32", "--seeds", "1"]
COMPARE = ["compare", "pc_darts_cifar", "darts_v2_cifar", *BUDGET, "--device", "cpu"]
ENDS = {"search": "genotype.json", "train": "result.json"}  # the file without which a run is not over

Switches = set[tuple[bool, bool]]


def switches() -> tuple[bool, bool]:
    """For convolutions and for matrix products."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """What the other tests have."""
    before = switches()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def seen_in(arguments: Sequence[str], *, begin: bool) -> Switches:
    """What the switches held in the forward passes of a command that both were `begin` before."""
    found: Switches = set()

    def look(module: nn.Module, inputs: Any) -> None:
        found.add(switches())

    set_tf32(begin)
    hook = register_module_forward_pre_hook(look)
    try:
        assert main(list(arguments)) == 0
    finally:
        hook.remove()
    assert found
    return found


def told(folder: Path, name: str = "config.json") -> Any:
    return json.loads((folder / name).read_text())


def found_by(folder: Path) -> Any:
    """What the genotype says of the search that found it."""
    return told(folder, "genotype.json")["provenance"]["source"]


def commands(tmp_path: Path) -> dict[str, list[str]]:
    out = ["--out", str(tmp_path / "run")]
    return {"search": [*SEARCH, *out], "train": [*TRAIN, *out], "compare": [*COMPARE, *out], "detect": _detect(tmp_path)}


def _detect(tmp_path: Path) -> list[str]:
    return detect_command(rectangles(tmp_path / "data", 4, 2), tmp_path / "run", "--epochs", "1")


def test_both_switches_are_set() -> None:
    for allowed in (True, False):
        set_tf32(allowed)
        assert switches() == (allowed, allowed)


@pytest.mark.parametrize("name", ["search", "train", "compare", "detect"])
def test_float32_is_exact_unless_tf32_is_asked_for(name: str, tmp_path: Path) -> None:
    assert seen_in(commands(tmp_path)[name], begin=True) == {(False, False)}
    assert name != "search" or "tf32" not in found_by(tmp_path / "run")


@pytest.mark.parametrize("name", ["search", "train"])
def test_tf32_is_kept_and_gone_on_with(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert seen_in([*commands(tmp_path)[name], "--tf32"], begin=False) == {(True, True)}
    assert told(folder)["tf32"] is True
    assert (found_by(folder) if name == "search" else told(folder, "result.json"))["tf32"] is True
    (folder / ENDS[name]).unlink()  # killed before its first checkpoint
    assert seen_in([*{"search": ["search", "ftso"], "train": ["train"]}[name], "--resume", str(folder)], begin=False) == {(True, True)}
    assert told(folder)["tf32"] is True


@pytest.mark.parametrize("name", ["compare", "detect"])
def test_the_other_commands_take_the_flag_too(name: str, tmp_path: Path) -> None:
    assert seen_in([*commands(tmp_path)[name], "--tf32"], begin=False) == {(True, True)}
    assert (told(tmp_path / "run")["budget"] if name == "compare" else told(tmp_path / "run", "result.json"))["tf32"] is True


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_detector_at_work_is_exact(command: str, tmp_path: Path) -> None:
    assert main(_detect(tmp_path)) == 0
    data, out = tmp_path / "data", tmp_path / "out"
    more = {"eval": ["--data", data, "--workers", "0"], "predict": [data / "images" / "val-0.png", "-o", out]}[command]
    assert seen_in(["detect", command, str(tmp_path / "run"), *map(str, more), "--device", "cpu"], begin=True) == {(False, False)}


def test_an_accuracy_that_is_recorded_says_so() -> None:
    one = {"seed": 0, "test": {"top1": 90.0, "top5": None, "loss": 1.0}}
    notes = [recorded(small_training.plan(tf32=tf32), summary([one]) | {"device": "a GPU"})["note"] for tf32 in (False, True)]
    assert "amp off; a GPU" in notes[0] and "amp off, TF32; a GPU" in notes[1]
