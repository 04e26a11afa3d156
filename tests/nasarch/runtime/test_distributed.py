"""Several processes search as one: the same steps as one process that normalises each share of a batch by itself, and one run folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS
from nasarch.cli.main import main
from nasarch.compute import seeded
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import shared_checkpoint
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.updates import State, Update
from nasarch.search.supernet.candidates import only
from nasarch.search.supernet.network import Supernet
from tests.helpers.update_kinds import UPDATES

SPACE = DARTS.with_nodes(2)
MASK = only(SPACE, "none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")
PROCESSES, IMAGES, STEPS = 2, 8, 2


class Halves(nn.Module):
    """The network of one process that treats each half of a batch as if it were alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_BCHW: Tensor, mix_ZEO: Tensor) -> Tensor:
        return torch.cat([self.net(half, mix_ZEO) for half in x_BCHW.chunk(PROCESSES)])


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(2 * STEPS, IMAGES, 3, 8, 8, generator=generator, dtype=torch.float64)
    return list(zip(images, torch.randint(5, (2 * STEPS, IMAGES), generator=generator), strict=True))


def share(batch: tuple[Tensor, Tensor], rank: int) -> tuple[Tensor, Tensor]:
    return batch[0].chunk(PROCESSES)[rank], batch[1].chunk(PROCESSES)[rank]


def parameters_after(update: Update, *, rank: int | None) -> list[Tensor]:
    """Weights and architecture parameters after some steps: of the process `rank` on its shares, or of one process for all."""
    with seeded(0):
        net = Supernet(SPACE, MASK, channels=4, layers=3, partial=2, num_classes=5).double()
    arch = Relaxation(SPACE, MASK, subset=1, init_std=0.1, generator=torch.Generator().manual_seed(1)).double()
    state = State(
        net=net if rank is not None else Halves(net),
        arch=arch,
        weight_optimizer=torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=3e-4),
        arch_optimizer=torch.optim.Adam(arch.parameters(), 1e-2, (0.5, 0.999), weight_decay=1e-3),
        clip=0.5,
    )
    data = [batch if rank is None else share(batch, rank) for batch in batches()]
    for train, valid in zip(data[::2], data[1::2], strict=True):
        update(state, train, valid)
    return [parameter.detach() for parameter in (*net.parameters(), *arch.parameters())]


def refused(value: str) -> str:
    try:
        distributed.check_same(value, "cells")
    except ValueError as error:
        return str(error)
    return ""


def outcome(work: Callable[[], str]) -> tuple[str, int]:
    """What `run_on_main` gives or raises, and how often this process worked."""
    done: list[str] = []
    try:
        return str(distributed.run_on_main(lambda: done.append("work") or work())), len(done)
    except ValueError as error:
        return f"refused: {error}", len(done)


def refuse() -> str:
    raise ValueError("no")


def process(rank: int, folder: str) -> None:
    """One of the processes; writes down all that the tests ask for."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    tensors = [torch.full((2, 3), float(rank)).t(), None, torch.tensor(10.0 * rank, dtype=torch.float64)]
    distributed.all_reduce_mean(tensors)
    said: dict[str, Any] = {
        "who": (distributed.rank(), distributed.world_size(), distributed.is_main()),
        "average": tensors,
        "total": distributed.all_reduce_sum([1.0, rank], "cpu"),
        "any_of": [distributed.any_of(flag, "cpu") for flag in (rank == 1, False)],
        "first_has": distributed.broadcast_from_main({"rank": rank}),
        "first_does": [outcome(lambda: f"of {rank}"), outcome(refuse)],
        "stops": [step for step in range(1, 31) if distributed.stop_agreed(rank == 1 and step > 12, step, "cpu", ends=step in (8, 16, 24))],
        "keeps": shared_checkpoint(Path(folder) / "checkpoint.pt", {}).path is not None,
        "drifted": refused(f"cell {rank}"),
        "alike": refused("cell"),
        "after": {name: parameters_after(update, rank=rank) for name, update in UPDATES.items()},
    }
    torch.save(said, Path(folder) / f"{rank}.pt")
    distributed.destroy()


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes has to say."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(process, (str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize("name", UPDATES)
def test_a_step_is_that_of_one_process_with_batch_statistics_by_share(name: str, said: list[dict[str, Any]]) -> None:
    expected = parameters_after(UPDATES[name], rank=None)
    for one in said:
        for ours, theirs in zip(one["after"][name], expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(a, b) for a, b in zip(said[0]["after"][name], said[1]["after"][name], strict=True))


def test_processes_know_who_they_are_and_agree(said: list[dict[str, Any]]) -> None:
    assert [one["who"] for one in said] == [(0, 2, True), (1, 2, False)]
    for one in said:
        mean, nothing, scalar = one["average"]
        assert torch.equal(mean, torch.full((3, 2), 0.5)) and nothing is None and scalar.item() == 5.0
        assert one["total"] == [2.0, 1.0] and one["any_of"] == [True, False] and one["first_has"] == {"rank": 0}
    assert said[0]["first_does"] == [("of 0", 1), ("refused: no", 1)] and said[1]["first_does"] == [("of 0", 0), ("refused: no", 0)]
    assert [one["keeps"] for one in said] == [True, False]


def test_all_hear_of_a_stop_in_the_same_step(said: list[dict[str, Any]]) -> None:
    """The second process is asked to stop in step 13; they speak at an epoch's end and in each tenth step."""
    assert said[0]["stops"] == said[1]["stops"] == [16, 20, 24, 30]
    assert distributed.stop_agreed(True, 3, "cpu", ends=False) and not distributed.stop_agreed(False, 10, "cpu", ends=True)


def test_processes_that_drift_apart_are_stopped(said: list[dict[str, Any]]) -> None:
    for one in said:
        assert one["drifted"].startswith("the 2 processes have different cells") and one["alike"] == ""


def test_alone_nothing_is_said_and_nothing_changes() -> None:
    tensor = torch.ones(2)
    distributed.all_reduce_mean([tensor])
    distributed.check_same("cell", "cells")
    assert (
        tensor.tolist() == [1.0, 1.0]
        and distributed.all_reduce_sum([2.0], "cpu") == [2.0]
        and distributed.broadcast_from_main("me") == "me"
    )
    assert (distributed.rank(), distributed.world_size(), distributed.is_main(), distributed.any_of(False, "cpu")) == (0, 1, True, False)


def test_one_device_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="--device cuda:1 is one device for 2 processes: choose auto, cuda or cpu"):
        distributed.init("cuda:1")


# ---- the command


FLAGS = ["--data", "digits", "--size", "8", "--layers", "3", "--channels", "8", "--batch-size", "64", "--device", "cpu"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nasarch", "search", "ftso"]


def begin(*flags: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*TORCHRUN, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    return map(json.loads, path.read_text().splitlines() if path.exists() else [])


def test_two_processes_leave_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    started = begin("--out", str(folder), *FLAGS)
    output = started.communicate(timeout=240)[0]
    assert started.returncode == 0, output
    assert output.count("found ") == 1 and "2 processes" in output
    found = Genotype.load(folder / "genotype.json")
    assert [len(node) for node in found.cells["normal"].nodes] == [2, 2, 2, 2]
    assert found.to_dict()["provenance"]["source"]["processes"] == 2
    (line,) = lines(folder)
    again = begin("--out", str(folder), *FLAGS)
    refused = again.communicate(timeout=240)[0]
    assert again.returncode != 0 and f"{folder} exists already" in refused and "[rank" not in refused  # no process with a traceback
    assert (line["steps"], json.loads((folder / "config.json").read_text())["processes"]) == (12, 2)  # 750 = 11 * 64 + 46


@pytest.mark.slow
def test_two_processes_stop_together_and_only_two_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another number of processes normalises other shares, so it would be another search."""
    folder, unbroken, flags = tmp_path / "run", tmp_path / "unbroken", ["--epochs", "12", *FLAGS]
    started = begin("--out", str(folder), *flags)
    deadline = time.monotonic() + 240
    while not any(True for _ in lines(folder)):
        assert time.monotonic() < deadline and started.poll() is None, started.communicate()[0]
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    output = started.communicate(timeout=120)[0]
    assert started.returncode != 0 and f"--resume {folder}" in output, output
    assert (folder / "checkpoint.pt").exists() and 1 <= len(list(lines(folder))) < 12
    assert main(["search", "ftso", "--resume", str(folder)]) == 2
    assert "a run with processes 2, not 1" in capsys.readouterr().err
    for process in (begin("--resume", str(folder)), begin("--out", str(unbroken), *flags)):
        output = process.communicate(timeout=240)[0]
        assert process.returncode == 0, output
    assert [line["loss"] for line in lines(folder)] == pytest.approx([line["loss"] for line in lines(unbroken)], rel=1e-6)
    assert [line["accuracy"] for line in lines(folder)] == [line["accuracy"] for line in lines(unbroken)]
    assert (folder / "weights.json").read_bytes() == (unbroken / "weights.json").read_bytes()
