"""Settings of a detector and of its training: defaults, flags, legal ranges."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import main
from nasarch.export.detection import train as detect_command
from nasarch.export.detection.settings import DetectOptions, DetectTraining
from nasarch.export.ssd.design import Design
from nasarch.runtime.options import to_dict, updated

SETTING: dict[str, tuple[list[str], Any]] = {
    "epochs": (["7"], 7),
    "batch_size": (["6"], 6),
    "lr": (["0.5"], 0.5),
    "warmup": (["0.25"], 0.25),
    "momentum": (["0.5"], 0.5),
    "weight_decay": (["0.125"], 0.125),
    "clip": (["3"], 3.0),
    "augmentation": (["flip"], "flip"),
    "ema": (["0.75"], 0.75),
    "size": (["64"], 64),
    "head": (["dense"], "dense"),
    "extras": (["8", "6"], (8, 6)),
    "scales": (["0.1", "0.5"], (0.1, 0.5)),
    "cells": (["5"], 5),
    "channels": (["12"], 12),
}

JOB: dict[str, tuple[list[str], Any]] = {
    "backbone": (["resnet18"], "resnet18"),
    "data": (["d"], Path("d")),
    "also": (["a.json"], Path("a.json")),
    "exclude": (["e.json"], Path("e.json")),
    "images": (["i"], Path("i")),
    "val": (["v.json"], Path("v.json")),
    "val_images": (["vi"], Path("vi")),
    "workers": (["0"], 0),
    "pretrained": ([], False),
    "weights": (["w.safetensors"], Path("w.safetensors")),
    "seed": (["3"], 3),
    "device": (["cpu"], "cpu"),
    "amp": (["bf16"], "bf16"),
    "tf32": ([], True),
    "deterministic": ([], True),
    "evaluate": ([], False),
    "out": (["o"], Path("o")),
    "resume": (["r"], Path("r")),
}

DEFAULTS = {
    **{"epochs": 120, "batch_size": 24, "lr": 0.15 / 8, "warmup": 0.01, "momentum": 0.9, "weight_decay": 4e-5, "clip": 0.0, "ema": 0.0},
    **{"augmentation": "ssdlite", "size": 320, "head": "lite", "extras": (512, 256, 256, 128), "scales": (0.2, 0.95)},
    **{"cells": None, "channels": None},
}

DESIGN = {"score_threshold": 0.001, "nms_threshold": 0.55, "candidates": 300, "detections": 300, "size": 320, "head": "lite"}


def test_the_defaults_are_those_of_torchvisions_reference() -> None:
    """Its README for ssdlite320: 0.15 for 8 GPUs of 24 images, weight decay 0.00004; its model: threshold, NMS, candidates, detections."""
    assert asdict(DetectTraining()) == DEFAULTS
    found = asdict(Design(backbone="", arguments=None, class_names=("a",), category_ids=(1,)))
    assert {key: found[key] for key in DESIGN} == DESIGN and (found["extras"], found["scales"]) == (DEFAULTS["extras"], DEFAULTS["scales"])
    assert (found["mean"], found["std"]) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    told = {"backbone": "pc_darts_imagenet", "workers": 2, "pretrained": True, "seed": 0, "device": "auto", "amp": "off"}
    assert {key: value for key, value in to_dict(DetectOptions()).items() if value is not None} == {
        **told,
        "tf32": False,
        "capture": False,
        "deterministic": False,
        "evaluate": True,
    }


@pytest.mark.parametrize("name", [*SETTING, *JOB])
def test_a_flag_of_the_training_changes_its_own_setting_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*SETTING] == [one.name for one in fields(DetectTraining)] and {*JOB, "capture"} == {*to_dict(DetectOptions())}
    seen = list[tuple[DetectTraining, DetectOptions]]()
    monkeypatch.setattr(detect_command, "train", lambda *told: seen.append(told))
    words, value = {**SETTING, **JOB}[name]
    flag = f"--{'no-' * (value is False)}{name.replace('_', '-')}"
    assert main(["detect", "train", flag, *words]) == 0
    assert seen == [
        (replace(DetectTraining(), **{name: value}), DetectOptions())
        if name in SETTING
        else (DetectTraining(), updated(DetectOptions(), {name: value}))
    ]


LIMITS = {
    "epochs": [(1, True), (0, False)],
    "batch_size": [(2, True), (1, False)],
    "lr": [(1e-9, True), (0.0, False), (float("inf"), False), (float("nan"), False)],
    **{name: [(0.0, True), (-1e-9, False), (1e9, True), (float("inf"), False)] for name in ("weight_decay", "clip")},
    **{name: [(0.0, True), (-1e-9, False), (0.999, True), (1.0, False)] for name in ("warmup", "momentum", "ema")},
}


@pytest.mark.parametrize("name", LIMITS)
def test_settings_end_where_they_mean_nothing(name: str) -> None:
    for value, legal in LIMITS[name]:
        if legal:
            assert getattr(DetectTraining(**{name: value}), name) == value
        else:
            with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} {value}: choose"):
                DetectTraining(**{name: value})
    assert DetectOptions(workers=0).workers == 0
    with pytest.raises(ValueError, match="--workers -1: choose 0 .* to 1024"):
        DetectOptions(workers=-1)


def test_steps_of_a_detector_are_not_captured_and_the_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "train", "--backbone", "resnet18", "--data", "d", "--capture"]) == 2
    assert "--capture: a detector's step can't be recorded" in capsys.readouterr().err


GOOD: dict[str, Any] = {"backbone": "resnet18", "arguments": {}, "class_names": ("a", "b"), "category_ids": (3, 7)}

EDGES: dict[str, tuple[list[Any], list[Any]]] = {
    "size": ([32, 4096], [31, 4097, 64.0]),
    "head": (["lite", "dense"], ["light"]),
    "extras": ([(2,), (4096,) * 6], [(), (1,), (4097,), (8,) * 7, (8.0,)]),
    "scales": ([(0.01, 0.02), (0.9, 1.0)], [(0.0, 0.5), (0.5, 0.5), (0.5, 1.01), (0.1, 0.2, 0.3)]),
    "std": ([(1e-9, 1.0, 1.0)], [(0.0, 1.0, 1.0), (1.0, 1.0)]),
    "mean": ([(0.0, 0.0, 0.0)], [(0.5,)]),
    **{name: ([0.0, 0.999], [-0.001, 1.0]) for name in ("score_threshold", "nms_threshold")},
    **{name: ([1, 10_000], [0, 10_001]) for name in ("candidates", "detections")},
    "class_names": ([("x", "y")], [(), ("x",)]),
    "category_ids": ([(0, 1)], [(1,), (1, 1)]),
    "backbone": (["vgg16"], ["hf-hub:a/b", "local-dir:x"]),
    "arguments": ([None, {"genotype": {}, "cells": 3, "channels": 4}], [{"file": "x"}]),
}


@pytest.mark.parametrize("name", EDGES)
def test_a_design_ends_where_it_means_nothing(name: str) -> None:
    good, bad = EDGES[name]
    for value in good:
        design = Design(**{**GOOD, name: value})
        assert getattr(design, name) == value and design.num_classes == 3
    for value in bad:
        with pytest.raises(ValueError):
            Design(**{**GOOD, name: value})
