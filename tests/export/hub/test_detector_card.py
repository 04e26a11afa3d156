"""A detector's model card, value by value."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import nasarch
from nasarch.export.detection.card import card as detector_card
from nasarch.export.ssd.check import SsdAgreement, Tolerance
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import DetectorCost
from tests.helpers.cards import facts, tables, yaml_of

DESIGN = Design(
    backbone="nas_224",
    arguments={"genotype": {**facts().genotype.to_dict()}, "cells": 3, "channels": 4},
    class_names=tuple(f"c{i}" for i in range(21)),
    category_ids=tuple(range(21)),
    size=64,
    head="dense",
    extras=(16, 8),
    score_threshold=0.002,
)

RESULT = {
    "val": {"name": "bccd/val", "images": 7, "evaluator": "pycocotools", "AP": 0.123456, "AP50": 0.5, "APs": -1.0},
    "data": {"name": "bccd/train"},
    "settings": {"epochs": 3, "batch_size": 4},
    "seed": 5,
    "seconds": 6.5,
    "device": "CPU",
    "began_with": "random weights",
}


def of_detector(design: Design = DESIGN, result: Any = RESULT, score: float = 0.05) -> str:
    agreement = SsdAgreement(20, 1, 2, 0.5, 0.25, Tolerance(1.0, 0.5), 3)
    return detector_card(design, DetectorCost(11_000_000, 222_000_000, 3, 4_444), agreement, score, result, b"weights")


def test_a_detectors_card_says_its_own_figures() -> None:
    text = of_detector()
    said = tables(text.split("## Model")[1].split("## Use")[0])
    agreement = "20 detections, 1 without a partner (torchvision's float32 and float64: 2), 3 images without one; the others within"
    assert said.pop("ONNX")[0].startswith(f"`onnx/model.onnx`, NMS inside, scores above 0.05; compared with torchvision's SSD: {agreement}")
    assert said == {
        "": [""],
        "backbone": ["`nas_224`: my_cell with 3 cells, 4 channels"],
        "images": ["any size; resized to 64 x 64"],
        "classes": [f"21: {', '.join(f'c{i}' for i in range(20))}, ..."],
        "heads": ["dense, extra maps of 16, 8 channels"],
        "multi-adds": ["222 M, of which the backbone's are 11 M (convolutions and linear layers)"],
        "parameters": ["4,444"],
        "sha256 of model.safetensors": [f"`{hashlib.sha256(b'weights').hexdigest()}`"],
        "written by": [f"nasarch {nasarch.__version__}"],
    }
    assert "of the labels 1 to 21" in text and "In Python scores are above 0.002;" in text and "# SSD on my_cell with 3 cells" in text
    measured = text.split("## Measured with these weights")[1].split("## Where")[0]
    read = "COCO's figures on 7 images of bccd/val, read once, by pycocotools; 3 epochs of batch 4 on bccd/train, seed 5, 6.5 s on CPU."
    assert read in measured
    assert {name: row[0] for name, row in tables(measured).items()} == {"figure": "value", "AP": "12.35 %", "AP50": "50.00 %", "APs": "-"}
    known = yaml_of(text)
    assert known["datasets"] == ["ILSVRC/imagenet-1k"] and "license" not in known and known["library_name"] == "nasarch"
    assert known["tags"][-2:] == ["arxiv:1512.02325", "arxiv:1234.5678"]
    (result,) = known["model-index"][0]["results"]
    found = [(result["dataset"]["name"], *metric.values()) for metric in result["metrics"]]
    assert found == [("bccd/val", "ap", 12.35, "AP (IoU 0.50:0.95), %"), ("bccd/val", "ap50", 50.0, "AP50 (IoU 0.50), %")]
    named = {**RESULT, "val": {**RESULT["val"], "name": "cifar10"}, "data": {"name": "cifar100"}}  # type: ignore[dict-item]
    assert yaml_of(of_detector(result=named))["datasets"] == ["ILSVRC/imagenet-1k"], "on which the cells were searched; no folder's name"


def test_a_detector_of_which_nothing_is_known_says_so() -> None:
    plain = of_detector(replace(DESIGN, backbone="resnet18", arguments={}), None)
    assert "Nothing is known." in plain and "![The cells]" not in plain and "## Where the cells" not in plain
    assert "model-index" not in plain and "license" not in yaml_of(plain) and "Licence: not stated. The detector: Liu" in plain
    assert tables(plain)["backbone"] == ["`resnet18`"]
