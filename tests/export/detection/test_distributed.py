"""Two processes that torchrun starts train a detector as one that normalises each share of a batch by itself, and leave one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cli.main import main
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.learner import Learner
from nasarch.export.detection.loader import Epochs, batches, transforms
from nasarch.export.detection.run import DetectPlan, build
from nasarch.export.detection.train import _backbone
from nasarch.export.ssd.detector import load
from tests.helpers.small_detector import SETTINGS, command, data, job

PROCESSES, IMAGES, EPOCHS = 2, 48, 2  # 12 steps an epoch: processes agree on a stop after 10
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
FLAGS = ["--epochs", str(EPOCHS), "--lr", "0.005"]


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*TORCHRUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, timeout=240
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A training by two processes beside its data, and what it printed."""
    folder = data(tmp_path_factory.mktemp("unbroken"), IMAGES, 3)
    done = torchrun("-m", "nasarch", *command(folder, folder / "run", *FLAGS))
    assert done.returncode == 0, done.stdout
    return folder / "run", done.stdout


def test_two_processes_leave_one_run(unbroken: tuple[Path, str]) -> None:
    folder, said = unbroken
    assert said.count("2 processes") == said.count("result: ") == said.count("AP50 ") == 1
    model = [f"model/{name}" for name in ("config.json", "genotype.json", "model.safetensors")]
    assert files(folder) == ["config.json", "metrics.jsonl", *model, "result.json"]
    result = json.loads((folder / "result.json").read_text())
    assert (result["processes"], result["settings"]["batch_size"], result["val"]["images"]) == (2, 4, 3)
    assert [line["epoch"] for line in lines(folder)] == [1, 2] and [line["steps"] for line in lines(folder)] == [12, 12]


def test_its_figures_are_those_of_one_process(unbroken: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each process looks at its share of the images."""
    folder, _ = unbroken
    assert main(["detect", "eval", str(folder), "--data", str(folder.parent), "--workers", "0", "--device", "cpu", "--json"]) == 0
    found, told = json.loads(capsys.readouterr().out), json.loads((folder / "result.json").read_text())["val"]
    assert {name: told[name] for name in found} == pytest.approx(found, abs=1e-6)


def literal(folder: Path) -> tuple[Any, list[float]]:
    """The same training in this process, and its losses by epoch: the mean over the shares of each batch."""
    settings, part = replace(SETTINGS, epochs=EPOCHS, lr=0.005), load_scenes(folder, "train")
    what = job(folder, folder / "none")
    backbone = _backbone(settings, what)
    plan = DetectPlan(backbone=backbone, settings=settings, job=what, train=part, val=None, device=torch.device("cpu"), words="")
    learner = Learner(build(plan, folder / "none").train(), settings)
    orders = [Epochs(IMAGES, settings.batch_size, 0, rank, PROCESSES) for rank in range(PROCESSES)]
    transform = transforms(settings.augmentation, settings.size, learner.model.design.mean)
    shares = [batches(part.scenes, transform, 0, order.draws(range(EPOCHS), 0), 0) for order in orders]
    steps = orders[0].steps
    rate, losses = settings.learning_rate(EPOCHS * steps), [0.0] * EPOCHS
    for number, pair in enumerate(zip(*shares, strict=True)):
        for group in learner.optimizer.param_groups:
            group["lr"] = rate(number)
        for batch in pair:
            loss: Any = sum(learner.losses(batch).values()) / PROCESSES
            loss.backward()
            losses[number // steps] += loss.item() / steps
        torch.nn.utils.clip_grad_norm_(learner.model.parameters(), settings.clip)
        learner.optimizer.step()
        learner.optimizer.zero_grad()
    return learner.model, losses


def test_the_weights_are_those_of_one_process_with_batch_statistics_by_share(unbroken: tuple[Path, str]) -> None:
    folder, _ = unbroken
    expected, losses = literal(folder.parent)
    found = load(folder).state_dict()
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-4, atol=1e-5, msg=name)
    assert [line["loss"] for line in lines(folder)] == pytest.approx(losses, rel=1e-5)


STOPPED = """
import os, signal, sys, time
from nasarch.cli.main import main
from nasarch.export.detection.learner import Learner

step = Learner.step

def step_or_stop(learner, batch, number, rate):
    if number == 4 and os.environ["RANK"] == "0":
        os.kill(os.getppid(), signal.SIGTERM)  # torchrun hands it on to all
        time.sleep(1)
    return step(learner, batch, number, rate)

Learner.step = step_or_stop
sys.exit(main(sys.argv[1:]))
"""


def test_two_processes_stop_together_within_an_epoch_and_only_two_go_on(
    unbroken: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another number of processes normalises other shares, so it would be another training."""
    whole, broken = unbroken[0], tmp_path / "broken"
    (tmp_path / "stopped.py").write_text(STOPPED)
    done = torchrun(str(tmp_path / "stopped.py"), *command(whole.parent, broken, *FLAGS))
    assert done.returncode != 0 and done.stdout.count(f"to go on: nasarch detect train --resume {broken}") == 1, done.stdout
    assert files(broken) == ["checkpoint.pt", "config.json"], "it stopped in its first epoch"
    assert main(["detect", "train", "--resume", str(broken)]) == 2
    assert "of a run with processes 2, not 1" in capsys.readouterr().err
    done = torchrun("-m", "nasarch", "detect", "train", "--resume", str(broken))
    assert done.returncode == 0 and files(broken) == files(whole), done.stdout
    expected, found = (load(folder).state_dict() for folder in (whole, broken))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert [line["loss"] for line in lines(broken)] == pytest.approx([line["loss"] for line in lines(whole)], rel=1e-6)
