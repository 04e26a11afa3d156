"""`--deterministic`: PyTorch's switch is on in every pass of a command, as it was before it afterwards, and recorded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from nasarch.cli.main import main
from nasarch.compute import WORKSPACE, deterministic
from tests.helpers import small_training

SIZES = ["--device", "cpu", "--layers", "3", "--channels", "4", "--batch-size", "64", "--size", "8"]
SEARCH = ["search", "ftso", *SIZES, "--iterations", "1"]
TRAIN = ["train", "pc_darts_cifar", *small_training.COMMAND, "--epochs", "1"]
BUDGET = ["--size", "8", "--cells", "3", "--channels", "4", "--epochs", "1", "--images", "64", "--val-images", "32", "--seeds", "1"]
COMPARE = ["compare", "pc_darts_cifar", "darts_v2_cifar", *BUDGET, "--device", "cpu"]
ON, OFF = (True, False, True, False, False, ":4096:8"), (False, False, False, True, True, None)


def switches() -> tuple[Any, ...]:
    """Deterministic, with warnings alone; of cuDNN deterministic, search for algorithms; new memory filled; cuBLAS' workspace."""
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    return *strict, *cudnn, torch.utils.deterministic.fill_uninitialized_memory, os.environ.get(WORKSPACE)


@pytest.fixture(autouse=True)
def other_switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Before each test all are as `OFF`, after it as they were."""
    monkeypatch.delenv(WORKSPACE, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    assert switches() == OFF
    yield
    assert switches() == OFF


def seen_in(arguments: Sequence[str]) -> set[tuple[Any, ...]]:
    """What the switches held in the forward passes of a command."""
    found: set[tuple[Any, ...]] = set()
    hook = register_module_forward_pre_hook(lambda module, inputs: found.add(switches()))
    try:
        assert main(list(arguments)) == 0
    finally:
        hook.remove()
    return found


def told(folder: Path, name: str = "config.json") -> Any:
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize("command", [SEARCH, TRAIN, COMPARE], ids=["search", "train", "compare"])
def test_the_switch_is_on_in_every_pass_and_recorded(command: list[str], tmp_path: Path) -> None:
    plain, strict = tmp_path / "plain", tmp_path / "strict"
    assert seen_in([*command, "--out", str(plain)]) == {OFF}
    assert seen_in([*command, "--deterministic", "--out", str(strict)]) == {ON}
    if command is COMPARE:
        assert [told(folder)["budget"]["deterministic"] for folder in (plain, strict)] == [False, True]
        return
    assert [told(folder)["deterministic"] for folder in (plain, strict)] == [False, True]
    if command is TRAIN:
        assert [told(folder, "result.json")["deterministic"] for folder in (plain, strict)] == [False, True]
    else:
        sources = [told(folder, "genotype.json")["provenance"]["source"] for folder in (plain, strict)]
        assert ["deterministic" in source for source in sources] == [False, True]
        assert told(plain, "weights.json") == told(strict, "weights.json")  # on a CPU the same bits without it


def test_a_command_that_fails_leaves_the_switches_as_they_were(tmp_path: Path) -> None:
    assert main([*SEARCH, "--deterministic", "--data", str(tmp_path / "nothing")]) != 0


def test_a_workspace_that_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(WORKSPACE, ":16:8")
        with deterministic(True):
            assert switches() == (*ON[:-1], ":16:8")
        assert os.environ[WORKSPACE] == ":16:8"


def test_an_operation_without_a_deterministic_algorithm_ends_in_an_error() -> None:
    x, rows = torch.zeros(4), torch.zeros(2, dtype=torch.long)
    with deterministic(True), pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        x.put_(rows, torch.ones(2), accumulate=False)
    with deterministic(False):
        x.put_(rows, torch.ones(2), accumulate=False)
