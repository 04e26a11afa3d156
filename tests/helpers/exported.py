"""What the tests of exports share: small models whose logits depend on their images, their weights in a file, cells of no zoo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import safetensors.torch
import timm
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from timm.models import save_for_hf
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype
from nasarch.data.dataset import Augmentation, Images
from nasarch.data.load import load
from nasarch.data.loader import BatchLoader
from nasarch.export.onnx.check import Agreement
from nasarch.export.onnx.float32 import OnnxReport
from nasarch.export.samples import sample_images

SIDE, EPOCHS = 12, 6  # of the digits and of their training
FOLDER = [
    *("README.md", "cells.png", "cells.svg", "config.json", "genotype.json", "model.safetensors", "onnx/model.onnx"),
    "preprocessor_config.json",
]


class Tiny(nn.Module):
    """The smallest module with logits."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.bn(self.conv(x)).relu().mean((2, 3)))


class Session:
    """Stands in for a session of onnxruntime: answers what a function says, and keeps what it was fed."""

    def __init__(self, answer: Callable[[Tensor], Tensor], shape: Sequence[Any] = ("batch", 3, 4, 4), kind: str = "tensor(float)") -> None:
        self.answer, self.fed = answer, list[Tensor]()
        self.inputs = [SimpleNamespace(name="any name", shape=[*shape], type=kind)]

    def get_inputs(self) -> list[Any]:
        return self.inputs

    def run(self, names: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        (batch,) = (torch.from_numpy(feed.pop("any name")), *feed.values())
        self.fed.append(batch)
        return [self.answer(batch).detach().numpy(), np.zeros(3)]  # a second output, which nobody asked for


def graph_of(nodes: Sequence[onnx.NodeProto], shape: Sequence[int | str], classes: int | str, **weights: np.ndarray) -> onnx.ModelProto:
    """An ONNX file by hand: `pixel_values` of `shape` [C, H, W] in any batch -> `logits` by `nodes` with these weights."""
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    taken = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", *shape])
    given = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    graph = helper.make_graph(nodes, "by hand", [taken], [given], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def bilinear(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel centres map onto pixel centres; beyond the outermost the edge goes on."""
    count, channels, rows, columns = coarse.shape
    result = np.zeros((count, channels, height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
            x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(y), int(x)
            low, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            above = coarse[..., top, left] * (1 - (x - left)) + coarse[..., top, right] * (x - left)
            below = coarse[..., low, left] * (1 - (x - left)) + coarse[..., low, right] * (x - left)
            result[..., i, j] = above * (1 - (y - top)) + below * (y - top)
    return result


def with_statistics(model: Any, size: int) -> Any:
    """`model` after a pass in training mode that gives its BNs the statistics of images, so that the logits depend on them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(sample_images(8, model.in_chans, size, size))
    return model


def logits(model: nn.Module, images: Tensor) -> Tensor:
    """In evaluation mode, with the mode restored."""
    mode = model.training
    with torch.no_grad():
        result = model.eval()(images)
    model.train(mode)
    return result


def trained(name: str, **arguments: Any) -> Any:
    """A small model as a training leaves it."""
    torch.manual_seed(0)
    return with_statistics(timm.create_model(name, **{"cells": 3, "channels": 4, **arguments}), 32).eval()


def save(model: nn.Module, path: Path) -> Path:
    """The weights of `model` in a safetensors file."""
    safetensors.torch.save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


def new_cell(name: str, path: Path, **provenance: Any) -> Genotype:
    """A genotype that no zoo holds, in a file."""
    like = Genotype.load(Path(__file__).parents[2] / "genotypes" / "pc_darts_cifar.json").to_dict()
    like["cells"]["normal"]["nodes"][0] = [["max_pool_3x3", 0], ["dil_conv_3x3", 1]]
    genotype = Genotype.from_dict({**like, "name": name, "provenance": provenance})
    genotype.save(path)
    return genotype


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def without_onnx(model: nn.Module, path: Path, **_: Any) -> OnnxReport:
    """Stands in for the ONNX exporter, which has its own tests and takes most of the time."""
    path.parent.mkdir()
    path.write_text("no graph")
    return OnnxReport(
        path=path,
        architecture="any",
        input_size=(3, 32, 32),
        num_classes=10,
        size_bytes=8,
        agreement=Agreement(0.0, 1.0, 1.0, 0.0),
        torch_ms=1.0,
        onnx_ms=1.0,
        threads=1,
    )


@cache
def reader_of_digits() -> Any:
    """A small network that was trained for seconds on the digits and reads nine of ten others right: one that int8 can be judged on."""
    data = load("digits", size=SIDE)
    scale = {"input_size": (3, SIDE, SIDE), "mean": data.mean, "std": data.std}
    torch.manual_seed(0)
    model = timm.create_model("ftso_nats_cifar", cells=1, channels=8, pretrained_cfg_overlay=scale).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    batches = BatchLoader(data.train, data, batch_size=50, seed=0, augmentation=Augmentation())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=EPOCHS * len(batches))
    for _ in range(EPOCHS):
        for images, labels in batches:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def reading(path: Path) -> Path:
    """The folder of that network, as a training leaves it."""
    save_for_hf(reader_of_digits(), str(path), model_config={"label_names": list("0123456789")}, safe_serialization=True)
    return path


def digit_files(folder: Path, count: int, classes: bool = True) -> Path:
    """The first digits of the test part as image files, in class folders or together."""
    part = load("digits", size=SIDE).test
    assert isinstance(part, Images)
    for number, (pixels, label) in enumerate(zip(part.pixels[:count], part.labels[:count].tolist(), strict=True)):
        place = folder / str(label) if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"{number:03}.png")
    return folder
