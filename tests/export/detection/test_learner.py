"""A detector learns what is drawn; a killed training goes on bit for bit; two processes train as one; mistakes leave nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torchvision.ops import box_iou

from nasarch.cli.main import main
from nasarch.export.detection import coco_metrics, run
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.learner import Learner
from nasarch.export.detection.loader import Epochs, batches, transforms
from nasarch.export.detection.run import build
from nasarch.export.detection.train import _backbone, train
from nasarch.export.ssd.detector import load
from nasarch.runtime import distributed
from tests.helpers.small_detector import SETTINGS, command, data, job, plan, rectangles


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_training_lowers_the_loss_and_finds_the_drawn_rectangles(tmp_path: Path) -> None:
    data(tmp_path, 32, 8)
    train(replace(SETTINGS, epochs=20, lr=0.05, augmentation="flip", batch_size=8, ema=0.9), job(tmp_path, tmp_path / "run"))
    losses = [line["loss"] for line in lines(tmp_path / "run")]
    assert len(losses) == 20 and losses[-1] < losses[0] / 3
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["val"]["AP50"] > 0.6 and result["val"]["images"] == 8 and result["weights"] == "moving average"
    files = sorted(path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file())
    model_files = [f"model/{name}" for name in ("config.json", "genotype.json", "model.safetensors")]
    assert files == ["config.json", "metrics.jsonl", *model_files, "result.json"]
    model, part = load(tmp_path / "run", score_threshold=0.3), load_scenes(tmp_path, "val")
    assert model.design.class_names == ("red", "blue") and model.design.category_ids == (3, 7)
    found = 0
    for scene, (_, image) in zip(part.scenes, _shown(part), strict=True):
        (seen,) = model([image])
        overlap = box_iou(scene.boxes, seen["boxes"]) * (scene.labels[:, None] == seen["labels"])
        found += int((overlap.amax(1) > 0.5).sum()) if overlap.numel() else 0
    assert found > 0.6 * part.boxes


def _shown(part: Any) -> Any:
    from nasarch.export.detection.loader import pictures

    return pictures([scene.file for scene in part.scenes], 0)


def test_the_losses_are_torchvisions(tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 4, seed=0)
    what = plan(tmp_path)
    model = build(what, tmp_path / "new").train()
    (batch,) = batches(what.train.scenes, transforms("none", 96, model.design.mean), 0, Epochs(4, 4, 0).draws(range(1), 0), 0)
    batch.targets[0] = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}  # nothing in it
    theirs = model([*(batch.images.float() / 255)], [dict(target) for target in batch.targets])
    ours = Learner(model, SETTINGS).losses(batch)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-4)


def test_bfloat16_learns_too(tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 8, seed=0)
    train(replace(SETTINGS, epochs=4), job(tmp_path, tmp_path / "run", amp="bf16", evaluate=False))
    losses = [line["loss"] for line in lines(tmp_path / "run")]
    assert losses[-1] < losses[0] and json.loads((tmp_path / "run" / "result.json").read_text())["val"] is None


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_the_same_steps_give_the_same_weights(precision: torch.dtype | None, tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 8, seed=0)
    what, order = plan(tmp_path), Epochs(8, 4, 0)
    shown = list(batches(what.train.scenes, transforms("ssdlite", 96, (0.5,) * 3), 0, order.draws(range(3), 0), 0))
    found = []
    for _ in range(6):  # a gradient that nobody wrote holds what was in that memory before
        learner = Learner(build(what, tmp_path).train(), SETTINGS, precision)
        for number, batch in enumerate(shown):
            learner.step(batch, number, 0.02)
        found.append([parameter.detach().clone() for parameter in learner.model.parameters()])
    assert all(torch.equal(one, other) for later in found[1:] for one, other in zip(found[0], later, strict=True))


def test_backbone_weights_are_taken_from_a_file(tmp_path: Path) -> None:
    import safetensors.torch
    import timm

    rectangles(tmp_path, "train", 4, seed=0)
    network = timm.create_model("nas_224", genotype="pc_darts_imagenet", cells=3, channels=8)
    safetensors.torch.save_file({key: value.contiguous() for key, value in network.state_dict().items()}, tmp_path / "w.safetensors")
    what = plan(tmp_path, weights=tmp_path / "w.safetensors")
    first = next(iter(network.cells.parameters()))
    (tmp_path / "checkpoint.pt").touch()  # of a training that has begun, whose weights come from there
    assert torch.equal(next(iter(build(what, tmp_path / "new").backbone.body.model.cells.parameters())), first)
    assert not torch.equal(next(iter(build(what, tmp_path).backbone.body.model.cells.parameters())), first)
    with pytest.raises(ValueError, match="doesn't fit nas_224"):
        build(replace(what, backbone=_backbone(replace(SETTINGS, channels=4), what.job)), tmp_path / "new")


KILLED_IN_EPOCH_2 = """
import os, signal, sys
from nasarch.cli.main import main
from nasarch.export.detection import train
from nasarch.runtime import loop

loop.INTERVAL, tell = 0.0, train.report

def tell_or_die(live, progress):
    if (progress.epoch, progress.step) == (2, 2):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    tell(live, progress)

train.report = tell_or_die
sys.exit(main(sys.argv[2:]))
"""


FLAGS = ["--epochs", "3", "--ema", "0.9", "--augmentation", "ssd"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody stopped, with its data beside it."""
    folder = data(tmp_path_factory.mktemp("unbroken"), 12, 2)
    assert main(command(folder, folder / "run", *FLAGS)) == 0
    return folder / "run"


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_killed_training_goes_on_bit_for_bit(number: str, unbroken: Path, tmp_path: Path) -> None:
    where, broken = unbroken.parent, tmp_path / "broken"
    arguments = [sys.executable, "-c", KILLED_IN_EPOCH_2, number, *command(where, broken, *FLAGS)]
    done = subprocess.run(arguments, capture_output=True, timeout=240, text=True)
    assert done.returncode == (-signal.SIGKILL if number == "SIGKILL" else 130), done.stderr
    assert number == "SIGKILL" or f"to go on: nasarch detect train --resume {broken}" in done.stdout
    assert len(lines(broken)) == 1 and not (broken / "result.json").exists()
    assert main(["detect", "eval", str(broken), "--data", str(where)]) == 2
    assert main(["detect", "train", "--resume", str(broken)]) == 0
    for key in ("epoch", "loss", "classification", "localisation", "learning_rate"):
        assert [line[key] for line in lines(broken)] == [line[key] for line in lines(unbroken)]
    first, second = ((folder / "model" / "model.safetensors").read_bytes() for folder in (unbroken, broken))
    assert first == second and not (broken / "checkpoint.pt").exists()
    results = [json.loads((folder / "result.json").read_text())["val"] for folder in (unbroken, broken)]
    assert results[0] == results[1]


def process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    what = plan(Path(folder))
    learner = Learner(build(what, Path(folder)).double().train(), SETTINGS)
    order = Epochs(8, 4, 0, rank, 2)
    for number, batch in enumerate(batches(what.train.scenes, transforms("none", 96, (0.5,) * 3), 0, order.draws(range(1), 0), 0)):
        _in_double(learner, batch)
        learner.step(batch, number, 0.01)
    state = learner.state_dict()["model"]
    rows = coco_metrics.detect(learner.model.float(), what.train, batch_size=2, workers=0)
    torch.save({"state": state, "rows": len(rows), "images": len({row["image_id"] for row in rows})}, Path(folder) / f"{rank}.pt")
    distributed.destroy()


def _in_double(learner: Learner, batch: Any) -> None:
    learner.anchors, learner.mean, learner.std = learner.anchors.double(), learner.mean.double(), learner.std.double()
    for target in batch.targets:
        target["boxes"] = target["boxes"].double()


def test_two_processes_average_their_gradients_and_share_the_evaluation(tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 8, seed=0)
    multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert all(torch.equal(value, second["state"][key]) for key, value in first["state"].items())
    assert first["rows"] == second["rows"] > 0 and first["images"] == second["images"] == 8
    what = plan(tmp_path)
    alone = Learner(build(what, tmp_path / "new").double().train(), SETTINGS)
    orders = [Epochs(8, 4, 0, rank, 2).draws(range(1), 0) for rank in range(2)]
    shares = [batches(what.train.scenes, transforms("none", 96, (0.5,) * 3), 0, order, 0) for order in orders]
    for pair in zip(*shares, strict=True):
        for group in alone.optimizer.param_groups:
            group["lr"] = 0.01
        for batch in pair:
            _in_double(alone, batch)
            (sum(alone.losses(batch).values()) / 2).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(alone.model.parameters(), SETTINGS.clip)
        alone.optimizer.step()
        alone.optimizer.zero_grad()
    for key, parameter in alone.model.named_parameters():
        torch.testing.assert_close(first["state"][key], parameter.detach(), rtol=1e-7, atol=1e-7)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    data(tmp_path, 8, 2)
    with pytest.raises(KeyboardInterrupt):
        _stopped(tmp_path, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["settings"]["lr"] = 0.5
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="is of a run with settings"):
        train(SETTINGS, job(tmp_path, tmp_path / "run", resume=tmp_path / "run"))


def _stopped(folder: Path, out: Path) -> None:
    """A training that is asked to stop in its first step."""
    what = replace(plan(folder), job=job(folder, out))
    out.mkdir()
    run.run(what, build(what, out), out, lambda progress: os.kill(os.getpid(), signal.SIGINT))


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command line says that has to leave nothing."""
    data(tmp_path, 8, 2)
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert main([*arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return refused


MISTAKES = {
    "no data": (["detect", "train"], "no data: give --data DIR"),
    "unknown backbone": (["detect", "train", "--data", ".", "--backbone", "pc_dart_imagenet"], "did you mean pc_darts_imagenet"),
    "CIFAR's network": (["detect", "train", "--data", ".", "--backbone", "pc_darts_cifar"], "take pc_darts_cifar_224"),
    "no val part": (["detect", "train", "--data", "train.json"], "has no val part to evaluate on: give --val FILE.json"),
    "a folder in use": (["detect", "train", "--data", ".", "--out", "images"], "images exists already"),
    "batch": (["detect", "train", "--data", ".", "--batch-size", "9"], "there are 8 images with boxes; choose 2 to 8"),
    "no weights": (
        ["detect", "train", "--data", ".", "--batch-size", "4", "--weights", "w.safetensors"],
        "can't read weights from w.safetensors",
    ),
    "epochs": (["detect", "train", "--data", ".", "--epochs", "0"], "--epochs 0: choose 1 or more"),
    "size": (["detect", "train", "--data", ".", "--size", "8", "--batch-size", "4"], "choose 32 to 4096 pixels"),
    "nothing to resume": (
        ["detect", "train", "--resume", "images"],
        "can't read images/config.json (No such file or directory): give the folder of `nasarch detect train`",
    ),
    "no detector": (["detect", "eval", "images", "--data", "."], "images holds no detector"),
    "no detector to export": (["export", "ssd", "images", "-o", "m.onnx"], "images holds no detector"),
    "score": (["detect", "predict", "images", "images/val-0.png", "-o", "out", "--score", "2"], "--score 2"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(mistake: str, refused: Callable[..., str]) -> None:
    arguments, words = MISTAKES[mistake]
    assert words in refused(*arguments)


def test_data_that_can_not_be_used_are_told_before_anything_is_written(refused: Callable[..., str], tmp_path: Path) -> None:
    picture = tmp_path / "images" / "val-1.png"
    picture.write_text("no image")
    assert "val-1.png can't be read as an image" in refused("detect", "train", "--data", ".", "--batch-size", "4")
    picture.unlink()
    assert "1 of 2 images are missing" in refused("detect", "train", "--data", ".", "--batch-size", "4")
    (tmp_path / "val.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert "has no images" in refused("detect", "train", "--data", ".", "--batch-size", "4")


def test_without_an_evaluator_it_says_what_to_install(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_metrics, "find_spec", lambda name: None)
    assert "pip install 'nasarch[detection]'" in refused("detect", "train", "--data", ".", "--batch-size", "4")


def test_a_loss_that_is_no_number_says_what_to_do_and_keeps_the_last_epoch(tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 8, seed=0)
    with pytest.raises(ValueError, match="the loss is (nan|inf) in detector training, epoch .*choose a smaller learning rate"):
        train(replace(SETTINGS, epochs=6, lr=1e6, clip=0.0, warmup=0.0), job(tmp_path, tmp_path / "run", evaluate=False))
