"""Every flag of `nasarch train` reaches what is built: changed alone it changes that alone."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from nasarch.runtime.options import to_dict, updated
from nasarch.search.training.options import TrainOptions
from nasarch.search.training.recipes import Training
from tests.helpers.captured_options import CapturedCall, catch_trainings, training_of, typed

TRAINING: dict[str, Any] = dict(
    **dict(epochs=3, batch_size=8, lr=0.5, schedule="linear", tail=0.125, warmup=0.25, momentum=0.75, nesterov=True),
    **dict(weight_decay=0.125, clip=2.5, cutout=3, colour_jitter=0.375, drop_path=0.0625, aux_weight=0.625, label_smoothing=0.2),
    **dict(drop_path_on="nodes", mixup=0.3, ema=0.875, cells=4, channels=6),
)
TRAIN_JOB: dict[str, tuple[list[str], Any]] = {
    "recipe": (["--recipe", "shallow"], "shallow"),
    "data": (["--data", "some/photos"], "some/photos"),
    "size": (["--size", "48"], 48),
    "root": (["--root", "cache"], Path("cache")),
    "download": (["--download"], True),
    "in_memory": (["--in-memory", "False"], False),
    "workers": (["--workers", "3"], 3),
    "weights": (["--weights", "w.safetensors"], Path("w.safetensors")),
    "scale_lr": (["--scale-lr"], True),
    "seed": (["--seed", "4"], 4),
    "runs": (["--runs", "3"], 3),
    "device": (["--device", "cpu"], "cpu"),
    "amp": (["--amp", "bf16"], "bf16"),
    "recompute": (["--recompute"], True),
    "tf32": (["--tf32"], True),
    "capture": (["--capture"], True),
    "deterministic": (["--deterministic"], True),
    "test": (["--no-test"], False),
    "tensorboard": (["--tensorboard"], True),
    "out": (["--out", "there"], Path("there")),
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CapturedCall:
    monkeypatch.chdir(tmp_path)
    return catch_trainings(monkeypatch)


EXPONENTIAL: dict[str, Any] = dict(schedule="exponential", decay=0.5)  # excludes the linear schedule's tail

SMALL = ["--cutout", "4"]  # the images have 16 pixels


def test_every_setting_of_a_training_has_its_flag(told: CapturedCall) -> None:
    changed = EXPONENTIAL | TRAINING
    assert changed.keys() == {field.name for field in fields(Training)}
    assert all(field.default is not MISSING and changed[field.name] != field.default for field in fields(Training))
    assert training_of(told, *typed(EXPONENTIAL), *SMALL).settings == Training(**EXPONENTIAL, cutout=4)
    plan = training_of(told, *typed(TRAINING))
    assert plan.settings == Training(**TRAINING)
    assert training_of(told, *SMALL).settings == Training(cutout=4)


def test_every_flag_of_a_training_is_in_the_table() -> None:
    assert TRAIN_JOB.keys() | {"record", "resume"} == to_dict(TrainOptions()).keys()


@pytest.mark.parametrize("flag", TRAIN_JOB)
def test_a_flag_of_a_training_changes_its_field_alone(flag: str, told: CapturedCall) -> None:
    flags, value = TRAIN_JOB[flag]
    assert training_of(told, *flags, *SMALL).job == updated(TrainOptions(), {flag: value})


def test_a_training_is_told_what_to_read_and_where_to_write(told: CapturedCall) -> None:
    plan = training_of(
        told, *SMALL, "--data", "d", "--size", "48", "--root", "cache", "--download", "--in-memory", "True", "--out", "new/run"
    )
    assert told.load == {"name": "d", "size": 48, "root": Path("cache"), "download": True, "in_memory": True}
    assert told.folder == Path("new/run") and told.tf32 == [False] and str(plan.device) == "cpu"
    assert plan.words.startswith("nasarch train pc_darts_cifar --cutout 4 --data d ")
    training_of(told, *SMALL, "--tf32")
    assert told.tf32 == [False, True] and told.folder.name.startswith("train-pc_darts_cifar-digits-")
    assert told.load == {"name": "digits", "size": None, "root": None, "download": False, "in_memory": None}


def test_a_training_is_of_the_model_that_is_named_with_the_classes_of_the_data(told: CapturedCall) -> None:
    plan = training_of(told, *SMALL, "--cells", "3", "--channels", "6", model="dots_cifar")
    assert (plan.network.source, plan.network.model) == ("dots_cifar", "dots_cifar")
    arguments = plan.network.arguments
    assert (arguments["cells"], arguments["channels"], arguments["num_classes"]) == (3, 6, 3)
    inputs = arguments["pretrained_cfg_overlay"]
    assert (inputs["input_size"], inputs["pool_size"], inputs["num_classes"], inputs["crop_pct"]) == ((3, 16, 16), (4, 4), 3, 1.0)
    assert (inputs["mean"], inputs["std"], inputs["interpolation"]) == (plan.data.mean, plan.data.std, "bilinear")
