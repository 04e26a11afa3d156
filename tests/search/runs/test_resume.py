"""A search that was stopped anywhere goes on as if it never had been: the same cell and the same last loss, bit for bit."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cells.genotype import Genotype
from nasarch.cli.main import main
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from tests.helpers.coloured_images import data
from tests.helpers.followed_search import follow
from tests.helpers.short_methods import METHODS

FLAGS = ["--data", "digits", "--size", "8", "--layers", "3", "--channels", "4", "--batch-size", "64", "--epochs", "5", "--device", "cpu"]


@pytest.mark.parametrize(("recipe", "settings"), METHODS.values(), ids=METHODS)
def test_every_recipe_goes_on_after_three_stops(recipe: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit. What an unbroken search has to give, and a broken one as well, says tests/search/recipes/test_literal_search.py."""
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)  # a report, and so a place to stop, after every step
    whole, expected = follow(recipe, settings, Checkpoint())
    done: list[Progress] = []
    for stop_at in (1, len(whole) // 2, len(whole) - 1):
        before, nothing = follow(recipe, settings, Checkpoint(tmp_path / "checkpoint.pt"), stop_at - len(done))
        done += before
        assert nothing is None and len(done) in (stop_at, stop_at + 1)
    after, found = follow(recipe, settings, Checkpoint(tmp_path / "checkpoint.pt"))
    assert found[:2] == expected[:2]
    assert [(step.loss, step.accuracy, step.temperature) for step in done + after] == [
        (step.loss, step.accuracy, step.temperature) for step in whole
    ]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def start(folder: Path, method: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nasarch", "search", method, "--out", str(folder), *FLAGS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_epoch(folder: Path, epoch: int) -> None:
    for _ in range(1200):
        if (folder / "metrics.jsonl").exists() and len(lines(folder)) >= epoch:
            return
        time.sleep(0.05)
    raise AssertionError("the search did not get there in a minute")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_a_killed_search_is_resumed_bit_for_bit(number: signal.Signals, tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert main(["search", "ftso", "--out", str(unbroken), *FLAGS]) == 0
    process = start(broken, "ftso")
    wait_for_epoch(broken, 2)
    os.kill(process.pid, number)
    assert process.wait(60) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert not (broken / "genotype.json").exists()
    assert main(["search", "ftso", "--resume", str(broken)]) == 0
    assert (broken / "genotypes" / "epoch-5.json").read_bytes() == (unbroken / "genotypes" / "epoch-5.json").read_bytes()
    assert [line["loss"] for line in lines(broken)] == [line["loss"] for line in lines(unbroken)]
    assert not (broken / "checkpoint.pt").exists()


SMALL = ["--data", "digits", "--size", "8", "--nodes", "2", "--channels", "4", "--batch-size", "32", "--device", "cpu"]
TENTHS = ["--fractions", "0.1", "0.1"]
FIVE_EPOCHS = {
    "darts": ["--layers", "3", "--epochs", "5", *TENTHS],
    "pc-darts": ["--layers", "3", "--epochs", "5", "--warmup", "1", "--random-channels", *TENTHS],
    "dots": [
        *("--operation.layers", "3", "--operation.epochs", "2", "--operation.warmup", "1"),
        *("--topology.layers", "3", "--topology.epochs", "3", "--topology.warmup", "1"),
        *TENTHS,
    ],
    "ftso": ["--layers", "3", "--epochs", "2", "--operator", "gradient", "--operator-epochs", "3", *TENTHS],
    "edarts": ["--layers", "3", "--epochs", "5", "--images", "150", "--path", "01-12"],
}
KILLED_IN_EPOCH_3 = """
import os, signal, sys
from nasarch.cli.main import main
from nasarch.runtime import loop
from nasarch.search.runs import console as show

loop.INTERVAL, tell, ends = 0.0, show.report, []

def tell_or_die(live, title, progress):
    if sum(ends) == 2 and progress.step == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    ends.append(progress.ends_epoch)
    tell(live, title, progress)

show.report = tell_or_die
main(sys.argv[1:])
"""


@pytest.mark.parametrize("method", FIVE_EPOCHS)
def test_every_method_goes_on_bit_for_bit_after_a_kill_in_epoch_3(method: str, tmp_path: Path) -> None:
    unbroken, broken, flags = tmp_path / "unbroken", tmp_path / "broken", [*SMALL, *FIVE_EPOCHS[method]]
    assert main(["search", method, "--out", str(unbroken), *flags]) == 0
    command = [sys.executable, "-c", KILLED_IN_EPOCH_3, "search", method, "--out", str(broken), *flags]
    assert subprocess.run(command, capture_output=True, timeout=240).returncode == -signal.SIGKILL
    assert not (broken / "genotype.json").exists() and len(lines(broken)) == 2
    assert main(["search", method, "--resume", str(broken)]) == 0
    config, (*_, before, last) = json.loads((broken / "config.json").read_text()), [line["seconds"] for line in lines(broken)]
    assert config["command"].startswith(f"nasarch search {method} --out") and len(config["resumed"]) == 1 and last > before
    for key in ("stage", "epoch", "loss", "accuracy", "learning_rate", "temperature", "skips"):
        assert [line[key] for line in lines(broken)] == [line[key] for line in lines(unbroken)]
    for name in (*(f"genotypes/epoch-{epoch}.json" for epoch in range(1, 6)), "edges.json", "weights.json", "weights.jsonl", "cell.png"):
        assert (broken / name).read_bytes() == (unbroken / name).read_bytes()
    assert Genotype.load(broken / "genotype.json") == Genotype.load(unbroken / "genotype.json")


def test_a_finished_run_is_read_and_several_are_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs"
    assert main(["search", "ftso", "--out", str(folder), "--runs", "2", *FLAGS, "--iterations", "1"]) == 0
    counts = (folder / "stability.json").read_text()
    (folder / "stability.json").unlink()
    (folder / "seed-1" / "genotype.json").unlink()
    capsys.readouterr()
    assert main(["search", "ftso", "--resume", str(folder)]) == 0
    assert (folder / "stability.json").read_text() == counts
    assert (folder / "seed-1" / "genotype.json").exists()


def stopped(tmp_path: Path) -> Path:
    """A search stopped in its second epoch."""
    folder = tmp_path / "run"
    process = start(folder, "ftso")
    wait_for_epoch(folder, 1)
    process.terminate()
    process.wait(60)
    return folder


def test_bad_checkpoints_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stopped(tmp_path)
    good = (folder / "checkpoint.pt").read_bytes()
    config = json.loads((folder / "config.json").read_text())
    older = torch.load(folder / "checkpoint.pt", weights_only=True) | {"format": "nasarch.checkpoint/0"}

    def says(*words: str, method: str = "ftso") -> None:
        capsys.readouterr()
        assert main(["search", method, "--resume", str(folder)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert all(word in line for word in words), line

    (folder / "checkpoint.pt").write_bytes(good[: len(good) // 2])
    says("damaged", "another folder")
    torch.save(older, folder / "checkpoint.pt")
    says("nasarch.checkpoint/0", "nasarch.checkpoint/2")
    (folder / "checkpoint.pt").write_bytes(good)
    says("FTSO", "not by DARTS", method="darts")
    (folder / "config.json").write_text(json.dumps(config | {"settings": config["settings"] | {"lr": 0.5}}))
    says("settings", "'lr': 0.025")
    (folder / "config.json").write_text("{}")
    says("config.json: damaged (no 'method')", "give the folder of a run")


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)
    recipe, settings = METHODS["ftso"]
    path = tmp_path / "checkpoint.pt"
    checkpoint = Checkpoint(path)
    running = recipe.search(SearchContext(data=data(), checkpoint=checkpoint), settings)
    while not next(running).ends_epoch:
        pass
    next(running)  # into the second epoch: the first one is kept
    kept = path.read_bytes()
    torch.load(path, weights_only=True)
    loop = running
    while loop.gi_yieldfrom is not None:
        loop = loop.gi_yieldfrom
    net = loop.gi_frame.f_locals["stage"].state.net
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="the loss is nan in topology, epoch 2"):
        for _ in running:
            pass
    assert path.read_bytes() == kept


def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    checkpoint.save("a", {"epochs": 1})
    kept = checkpoint.path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ValueError, match="can't write .*checkpoint.pt: No space left on device; free some space"):
        checkpoint.save("a", {"epochs": 2})
    assert checkpoint.path.read_bytes() == kept and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
