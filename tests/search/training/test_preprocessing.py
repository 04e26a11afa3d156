"""Preprocessing: timm's transform by the configuration that `nasarch train` writes gives what the training tested on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import timm.data
import torch
from PIL import Image

from nasarch.data.dataset import Dataset
from nasarch.data.load import load
from nasarch.data.loader import in_order
from nasarch.search.training.plan import network_spec
from nasarch.search.training.recipes import RECIPES, Training
from tests.helpers.datasets import as_tree, encoded

SETTINGS = Training(cells=3, channels=4, cutout=0)
SHAPES = [(200, 301), (303, 200), (97, 101), (70, 67), (120, 120), (65, 400)]


def transformed(data: Dataset, images: list[Image.Image]) -> Any:
    """The images by the transform that timm makes of a trained model's configuration, which is what its config.json holds."""
    made = network_spec("pc_darts_cifar", RECIPES["cifar"], SETTINGS, data)
    transform: Any = timm.data.create_transform(**timm.data.resolve_model_data_config(made.build(0, aux_head=False)))
    return torch.stack([transform(image) for image in images])


def evaluated(data: Dataset) -> torch.Tensor:
    return torch.cat([x for x, _ in in_order(data.parts[-1], data, batch_size=2, workers=0)])


def files(shapes: list[tuple[int, int]]) -> dict[str, bytes]:
    return {f"{part}/{'ab'[i % 2]}/{i}.png": encoded(i, size=shape) for part in ("train", "val") for i, shape in enumerate(shapes)}


def close(data: Dataset, images: list[Image.Image]) -> None:
    """Equal to 1e-6 of the range of a pixel: noise that is resized has so little contrast that its scaling enlarges what is rounded."""
    std = torch.tensor(data.std)[:, None, None]
    torch.testing.assert_close(transformed(data, images) * std, evaluated(data) * std, rtol=0, atol=1e-6)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("size", [8, 31, 32, 63, 64, 65, 71, 96, 101, 128, 159, 160, 224, 225, None])
def test_images_of_different_sizes(size: int | None, in_memory: bool, tmp_path: Path) -> None:
    """Only a size chosen here, 224, has a frame without being asked for."""
    found = files(SHAPES)
    data = load(as_tree(tmp_path, found), size=size, in_memory=in_memory)
    names = sorted((name for name in found if name.startswith("val/")), key=lambda name: name.split("/")[1:])
    close(data, [Image.open(io.BytesIO(found[name])) for name in names])


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (48, 33), (64, 64), (65, 90), (224, 224)])
def test_images_of_one_size_are_tested_whole(shape: tuple[int, int], in_memory: bool, tmp_path: Path) -> None:
    found = files([shape] * 4)
    data = load(as_tree(tmp_path, found), in_memory=in_memory)
    assert (data.size, data.crop_pct) == (shape, 1.0)
    close(data, [Image.open(io.BytesIO(found[f"val/{name}.png"])) for name in ("a/0", "a/2", "b/1", "b/3")])


@pytest.mark.parametrize("size", [None, 8, 20, 64, 65])
def test_digits_and_cifar(size: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of digits the 8x8 images themselves are transformed; CIFAR's reader is replaced by one of noise."""
    data = load("digits", size=size)
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    gray = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
    labels = load_digits().target
    test = [i for i in range(len(labels)) if (labels[:i] == labels[i]).sum() >= 150]
    close(data, [Image.fromarray(gray[i]).convert("RGB") for i in test])

    noise = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)

    class Reader:
        base_folder, filename, tgz_md5, classes = "x", "x", "x", list("abcdefghij")
        data, targets = noise, list(range(10))

        def __init__(self, *unused: Any, **also: Any) -> None:
            pass

    Reader.__name__ = "CIFAR10"
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Reader)
    close(load("cifar10", root=tmp_path, size=size), [Image.fromarray(image) for image in noise])
