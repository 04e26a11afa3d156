"""Genotypes, results and facts of a model card."""

from __future__ import annotations

from typing import Any

import yaml

from nasarch.cells.genotype import Genotype, resolve
from nasarch.export.hub.card import Facts
from nasarch.models.cost import Cost
from tests.helpers.exported import trained

RESULTS: tuple[dict[str, Any], ...] = (
    {
        "dataset": "CIFAR-10",
        "metric": "test accuracy",
        "value": 91.5,
        "unit": "%",
        "budget": "7 epochs",
        "note": "once",
        "seed": 3,
        "runs": 2,
    },
    {"dataset": "flowers", "metric": "top-5 error", "value": 4, "spread": 0.5, "epochs": None},
)

PROVENANCE: dict[str, Any] = {
    "method": "FTSO",
    "searched_on": "imagenet",
    "kind": "found by nasarch",
    "paper": {"title": "On Cells", "authors": "Doe, Roe", "venue": "ICLR", "year": 2020, "arxiv": "1234.5678"},
    "source": {
        "repository": "https://x/y",
        "commit": "abc",
        "path": "g.py",
        "name": "G",
        "command": "nasarch s",
        "seed": 3,
        "seconds": 9,
        "device": "CPU",
        "odd": 1,
    },
    "results": [
        {"dataset": "CIFAR-10", "metric": "test error", "value": 2.5, "spread": 0.1, "unit": "%", "reported_by": "On Cells, Table 1"},
        {"dataset": "CIFAR-10", "metric": "parameters", "value": 3.5, "unit": "M", "reported_by": "On Cells, Table 1"},
        {"dataset": "ImageNet", "metric": "top-1 error", "value": 25.0},
    ],
}


def facts(**changes: Any) -> Facts:
    genotype = Genotype.from_dict({**resolve("pc_darts_cifar").to_dict(), "name": "my_cell", "provenance": PROVENANCE})
    config = {
        "input_size": [3, 24, 40],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "mean": [0.1, 0.25, 0.333333],
        "std": [0.5, 0.6, 0.7],
        "license": "mit",
    }
    told: dict[str, Any] = {
        **{"name": "my_model", "repository": None, "genotype": genotype, "architecture": "nas_cifar", "config": config, "num_classes": 12},
        **{"sizes": {"cells": 3, "channels": 4, "in_chans": 3}, "cost": Cost(1_234_567, 89_012_345), "random": False},
        **{"class_names": tuple(f"c{i}" for i in range(12)), "trained_on": "CIFAR-10", "weights_sha256": "5ha", "onnx": "1.0 MB"},
        "results": RESULTS,
    }
    return Facts(**{**told, **changes})


def tables(text: str) -> dict[str, list[str]]:
    """The rows of tables by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows if row[0] != "---"}


def yaml_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def network(**changes: Any) -> Any:
    genotype = {**facts().genotype.to_dict()}
    return trained("nas_cifar", genotype=genotype, num_classes=5, **changes)
