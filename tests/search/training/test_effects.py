"""Flags of a training at the place where they act; what a training says and writes of itself, beside values of the tests' own."""

from __future__ import annotations

import hashlib
import itertools
import json
import signal
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from nasarch.cells.genotype import resolve
from nasarch.cli.main import main
from nasarch.compute import device_name
from nasarch.data import load as data_load
from nasarch.data import loader
from nasarch.data.dataset import Augmentation, Dataset, Images
from nasarch.search.training.learner import Progress
from nasarch.search.training.plan import network_spec
from nasarch.search.training.recipes import RECIPES
from nasarch.search.training.record import recorded
from nasarch.search.training.run import run
from nasarch.search.training.train_show import log_epoch, report
from tests.helpers.datasets import as_tree, encoded
from tests.literal.small_training import BASE, MINE, data, plan

TINY = ["--cells=3", "--channels=4", "--epochs=1", "--batch-size=4", "--cutout=3", "--device=cpu"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {f"{part}/{name}/{i}.png": encoded(i) for part in ("train", "test") for name in "ab" for i in range(2)}
    return as_tree(tmp_path_factory.mktemp("pictures") / "pets", files)


@pytest.mark.parametrize(("amp", "lower"), [("off", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_amp_lowers_the_training_and_not_the_examination(amp: str, lower: torch.dtype, pictures: Path, tmp_path: Path) -> None:
    seen = set[tuple[bool, torch.dtype]]()

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, nn.Conv2d):
            seen.add((module.training, output.dtype))

    hook = nn.modules.module.register_module_forward_hook(look)
    try:
        assert main(["train", "ftso_cifar", f"--data={pictures}", f"--out={tmp_path / 'run'}", f"--amp={amp}", *TINY]) == 0
    finally:
        hook.remove()
    assert seen == {(True, lower), (False, torch.float32)}


def test_flags_of_the_data_reach_those_who_read_them(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a training that goes on."""
    asked, workers, loaded, made = list[Any](), list[int | None](), data_load.load, loader.DiskSource.__init__

    def load(name: str, **told: Any) -> Dataset:
        asked.append((name, told))
        return loaded(pictures, size=12, in_memory=False)

    def make(disk: Any, part: Any, device: Any, scale: Any, count: int | None) -> None:
        workers.append(count)
        made(disk, part, device, scale, 0)

    monkeypatch.setattr(data_load, "load", load)
    monkeypatch.setattr(loader.DiskSource, "__init__", make)
    flags = ["--data=cifar100", "--size=12", "--root=there", "--download", "--in-memory=False", "--workers=3"]
    assert main(["train", "ftso_cifar", *flags, f"--out={tmp_path / 'run'}", *TINY]) == 0
    assert main(["train", f"--resume={tmp_path / 'run'}"]) == 0
    told = {"size": 12, "root": Path("there"), "download": True, "in_memory": False}
    assert asked == [("cifar100", told)] * 2 and workers == [3, 3]  # for the batches and for the examination
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["size"] == [12, 12] and config["data"]["images"] == 4


# ---- what is written down


def test_the_configuration_says_what_was_trained_on_what(tmp_path: Path) -> None:
    what = plan(replace(BASE, epochs=1), data(), amp="bf16")
    run(what, 9, tmp_path, lambda progress: None)
    config, result = (json.loads((tmp_path / name).read_text()) for name in ("config.json", "result.json"))
    about = {"name": "noise", "images": 21, "size": [8, 8], "source": "noise", "sha256": what.data.digest}
    shared = {
        **{
            "source": "mine.json",
            "model": "nas_cifar",
            "seed": 9,
            "amp": "bf16",
            "tf32": False,
            "deterministic": False,
            "processes": 1,
            "data": about,
        },
        **{"cells_sha256": hashlib.sha256(json.dumps(MINE.to_dict()["cells"], sort_keys=True).encode()).hexdigest()},
        **{"recipe": {"name": "cifar", "source": "DARTS, sec. 3.2"}},
        **{"device": device_name(torch.device("cpu")), "begun_from": None},
    }
    assert {key: config[key] for key in shared} == shared == {key: result[key] for key in shared}
    assert config["genotype"] == MINE.to_dict() and config["settings"] == {**vars(replace(BASE, epochs=1))}
    assert config["train"]["seed"] == 9 and config["train"]["runs"] == 1 and config["train"]["amp"] == "bf16"
    assert config["threads"] == torch.get_num_threads() and config["command"] == "nasarch train"
    assert config["versions"] == result["versions"] and config["versions"]["torch"] == version("torch")
    assert (result["epochs"], result["batch_size"]) == (1, 8)


@pytest.mark.parametrize("change", ["source", "settings", "seed", "data", "amp", "processes"])
def test_a_checkpoint_is_not_that_of_another_training(change: str, tmp_path: Path) -> None:
    what = plan(BASE, data())
    with pytest.raises(KeyboardInterrupt):
        run(what, 0, tmp_path, lambda progress: signal.raise_signal(signal.SIGTERM))
    black = data()
    assert isinstance(black.train, Images)
    others: dict[str, Any] = {
        "source": replace(what, network=what.network._replace(source="yours.json")),
        "settings": plan(replace(BASE, lr=0.2), data()),
        "data": plan(BASE, replace(black, train=replace(black.train, pixels=torch.zeros_like(black.train.pixels)))),
        "amp": plan(BASE, data(), amp="bf16"),
    }
    if change == "processes":
        kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
        torch.save(kept | {"identity": kept["identity"] | {"processes": 2}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=f"is of a run with {change} "):
        run(others.get(change, what), 1 if change == "seed" else 0, tmp_path, lambda progress: None)


PLACES = itertools.product((1, 2), (1, 2, 3))
REPORTS = [
    Progress(epoch=e, epochs=2, step=s, steps=3, loss=e + s / 8, accuracy=0.5, images_per_second=1234.0, learning_rate=0.1, drop_path=0.2)
    for e, s in PLACES
]


def test_a_report_says_where_the_training_is() -> None:
    said: list[Any] = []
    live = SimpleNamespace(say=lambda *words, **told: said.append((words, told)))
    for place in REPORTS:
        report(live, "seed 4", place)  # type: ignore[arg-type]
    assert [words[2:] for words, _ in said] == [(done, 6) for done in range(1, 7)]
    words, told = said[4]
    assert words[:2] == ("seed 4, epoch 2 of 2", "loss 2.2500, accuracy 0.500, 1,234 images/s")
    assert told == {"ends": False, "step": ", step 2 of 3"} and [told["ends"] for _, told in said] == [False, False, True] * 2


def test_the_ends_of_epochs_are_logged() -> None:
    written: list[Any] = []

    def log(group: str, epoch: int, scalars: dict[str, float]) -> None:
        written.extend((f"{group}/{name}", value, epoch) for name, value in scalars.items())

    logger = SimpleNamespace(log=log)
    for place in REPORTS:
        log_epoch(logger, place)  # type: ignore[arg-type]
    figures = {"loss": 1.375, "accuracy": 0.5, "learning_rate": 0.1, "drop_path": 0.2, "images_per_second": 1234.0}
    assert written == [(f"training/{name}", value + (e - 1 if name == "loss" else 0), e) for e in (1, 2) for name, value in figures.items()]


# ---- what is written beside the weights and into the genotype


def noise(height: int, width: int) -> Dataset:
    images = Images(torch.randint(0, 255, (8, 3, height, width), dtype=torch.uint8), torch.arange(8) % 2)
    return Dataset(name="pets", train=images, test=None, class_names=("cat", "dog"), augmentation=Augmentation(), source="noise")


@pytest.mark.parametrize(
    ("model", "recipe", "size", "pool"),
    [
        ("pc_darts_cifar", "cifar", (32, 32), (8, 8)),
        ("pc_darts_cifar", "cifar", (30, 41), (8, 11)),
        ("pc_darts_cifar", "cifar", (63, 90), (16, 23)),
        ("pc_darts_cifar", "cifar", (64, 64), (16, 16)),
        ("pc_darts_imagenet", "imagenet", (64, 224), (2, 7)),
    ],
)
def test_timm_is_told_how_images_are_prepared(model: str, recipe: str, size: Any, pool: Any) -> None:
    on = noise(*size)
    told = network_spec(model, RECIPES[recipe], BASE, on).arguments
    expected = {"input_size": (3, *size), "pool_size": pool, "crop_pct": 1.0, "num_classes": 2, "mean": on.mean, "std": on.std}
    assert told["pretrained_cfg_overlay"] == expected | {
        **{"interpolation": "bilinear", "crop_mode": "center", "license": None, "description": "trained by nasarch on pets"}
    }
    assert {key: told[key] for key in ("num_classes", "cells", "channels")} == {"num_classes": 2, "cells": 3, "channels": 4}
    whole = replace(BASE, cells=None, channels=None)
    for change, is_whole in (({}, True), ({"cells": 3}, False), ({"channels": 4}, False)):
        assert network_spec(model, RECIPES[recipe], replace(whole, **change), on).is_whole is is_whole


@pytest.mark.parametrize("smaller", [True, False])
def test_the_entry_of_a_result_says_all_that_led_to_it(smaller: bool) -> None:
    settings = replace(BASE, cells=3 if smaller else None, channels=None, batch_size=96, lr=0.05, epochs=1 if smaller else 600)
    usual = plan(settings, replace(data(), name="cifar10"), amp="fp16", tf32=smaller)
    what = replace(usual, network=network_spec("pc_darts_cifar", RECIPES["cifar"], settings, usual.data))
    found = {"seeds": [3, 4], "top1": {"mean": 97.12342, "std": 0.12347 if smaller else None}, "device": "a card", "begun_from": None}
    size = "3 cells, 36 channels" if smaller else "20 cells, 36 channels"
    changed = "lr 0.05, weight_decay 0.01, clip 0.0, cutout 0, drop_path 0.0, aux_weight 0.0" + (", cells 3" if smaller else "")
    amp = "amp fp16, TF32" if smaller else "amp fp16"
    note = f"pc_darts_cifar, {size}; recipe cifar, seeds 3, 4; {amp}; a card; data SHA-256 {what.data.digest}; {changed}"
    assert recorded(what, found) == {
        **{"dataset": "CIFAR-10", "metric": "test error, 3 cells, 36 channels" if smaller else "test error", "value": 2.8766, "unit": "%"},
        **({"spread": 0.1235} if smaller else {}),
        **{"budget": f"{'1 epoch' if smaller else '600 epochs'}, batch 96, 2 runs", "note": note, "reported_by": "nasarch"},
    }
    assert resolve("pc_darts_cifar") == what.network.genotype
