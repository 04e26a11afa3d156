"""--any-size: images of any size through the file are images through timm's transform and the model."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm.data
import torch
from onnx import helper
from PIL import Image
from torch import nn

import nasarch
from nasarch.export.errors import ExportError
from nasarch.export.onnx import any_size
from nasarch.export.onnx.any_size import RESIZING, compare_resized, with_resizing
from nasarch.export.onnx.calibration import transform
from nasarch.export.onnx.export import ExportVariants, export_model
from nasarch.export.onnx.session import open_session
from nasarch.export.onnx.uint8_input import Scaling
from nasarch.export.samples import sample_pixels
from nasarch.export.verify import verify
from tests.helpers.datasets import SHARED
from tests.helpers.exported import graph_of, reading

SIZES = [(8, 8), (9, 9), (10, 31), (33, 10), (24, 25), (47, 60), (61, 47), (5, 7), (3, 19), (1, 1), (1, 40), (90, 2), (11, 17)]
PHOTOGRAPHS = SHARED / "coco128" / "images.tar"


def model_for(**config: Any) -> Any:
    model = nn.Flatten()
    model.pretrained_cfg = {"input_size": (3, 8, 8), "interpolation": "bicubic", "crop_pct": 0.875, **config}
    return model


def prepared(pixels: np.ndarray, model: Any, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as the graph and as timm's transform prepare them, [batch, C, side, side]."""
    channels = pixels.shape[3]
    proto = graph_of([helper.make_node("Flatten", ["pixel_values"], ["logits"])], (channels, side, side), channels * side * side)
    proto = with_resizing(proto, model, (channels, side, side), Scaling((0.0,) * channels, (1 / 255,) * channels))
    onnx.checker.check_model(proto, full_check=True)
    (found,) = open_session(proto.SerializeToString()).run(None, {"pixels": pixels})
    how = transform(model, (channels, side, side))
    images = [Image.fromarray(one[..., 0] if channels == 1 else one) for one in pixels]
    return found.reshape(len(pixels), channels, side, side), np.stack([np.asarray(how(image)) for image in images])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("crop_pct", "channels"), [(0.875, 3), (1.0, 1), (0.7, 3)])
def test_pixels_are_timm_s_but_for_rounding(interpolation: str, crop_pct: float, channels: int) -> None:
    model = model_for(interpolation=interpolation, crop_pct=crop_pct)
    for height, width in SIZES:
        pixels = sample_pixels(2, channels, height, width).numpy()
        found, expected = prepared(pixels, model, 8)
        difference = np.abs(found - expected)
        assert difference.max() <= 3.01 and difference.mean() < 0.35, (height, width)


def test_the_crop_is_rounded_as_torchvision_rounds_it() -> None:
    """Margins of every remainder of 4: stripes of a pixel, which a crop beside it turns round."""
    model = model_for(crop_pct=1.0)
    for width in range(8, 20):
        pixels = np.zeros((1, 8, width, 3), np.uint8)
        pixels[:, :, ::2] = 200
        found, expected = prepared(pixels, model, 8)
        assert np.abs(found - expected).max() < 1e-4 and np.ptp(found) > 199, width


@pytest.mark.parametrize(
    ("config", "shape", "named"),
    [
        ({"interpolation": "lanczos"}, (3, 8, 8), "lanczos interpolation"),
        ({"crop_mode": "squash"}, (3, 8, 8), "crop mode squash"),
        ({}, (3, 8, 9), "8x9 pixels"),
    ],
)
def test_other_preparations_are_refused(config: dict[str, Any], shape: tuple[int, int, int], named: str) -> None:
    proto = graph_of([helper.make_node("Flatten", ["pixel_values"], ["logits"])], shape, int(np.prod(shape)))
    with pytest.raises(ExportError, match=f"{named}.*; --any-size needs square images, bilinear or bicubic, and center$"):
        with_resizing(proto, model_for(**config), shape, Scaling((0.0,) * 3, (1.0,) * 3))


def test_an_opset_without_antialiasing_and_other_sizes_are_refused(tmp_path: Path) -> None:
    model = reading(tmp_path / "model")
    with pytest.raises(ExportError, match="^opset 17 resizes without antialiasing; leave --opset out, or choose 18 or more$"):
        export_model(model, tmp_path / "m.onnx", variants=ExportVariants(any_size=True, opset=17))
    with pytest.raises(ValueError, match="^--any-size resizes every image to the model's size; leave --dynamic-size out"):
        ExportVariants(any_size=True, dynamic_size=True)


def test_a_file_for_images_of_any_size_is_checked_and_verified(tmp_path: Path) -> None:
    model = reading(tmp_path / "model")
    text = str(export_model(model, f"{tmp_path / 'out'}/", variants=ExportVariants(any_size=True)))
    file = tmp_path / "out" / "onnx" / "model_anysize.onnx"
    assert "images of any size" in text and "checked: with timm's transform, logits within" in text and file.is_file()
    session = onnxruntime.InferenceSession(file)
    assert session.get_modelmeta().custom_metadata_map["preprocessing"] == RESIZING
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("pixels", "tensor(uint8)", ["batch", "height", "width", 3])
    assert any(line.startswith("checked: with timm's transform") for line in verify(file, model=str(model)).found)
    proto = onnx.load(file)
    (slicing,) = (node for node in proto.graph.node if node.op_type == "Slice" and node.input[0] == "any_size_resized")
    slicing.input[1], slicing.input[2] = "any_size_margin", "any_size_sides_resized"
    onnx.save(proto, file)
    with pytest.raises(ExportError, match="refused"):
        verify(file, model=str(model))


@pytest.mark.parametrize("wrong", ["pixel", "mode", "antialias"])
def test_another_crop_or_interpolation_is_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nasarch.create_model("pc_darts_cifar_shallow", pretrained=True).eval()
    from nasarch.export.onnx.float32 import checked
    from nasarch.export.onnx.uint8_input import scaling_of

    base, scaling = checked(model), scaling_of(model, 3)
    if wrong == "mode":
        monkeypatch.setattr(any_size, "MODES", {"bilinear": {"mode": "cubic"}})
    proto = with_resizing(base.proto, model, base.shape, scaling)
    if wrong == "pixel":
        (slicing,) = (node for node in proto.graph.node if node.op_type == "Slice" and node.input[0] == "any_size_resized")
        slicing.input[1], slicing.input[2] = "any_size_margin", "any_size_sides_resized"  # at the bottom and right
    if wrong == "antialias":
        (node,) = (node for node in proto.graph.node if node.op_type == "Resize")
        next(one for one in node.attribute if one.name == "antialias").i = 0
    found = compare_resized(base.reference, open_session(proto.SerializeToString()), base.shape, scaling, transform(model, base.shape))
    assert not found.holds and found.tolerance < 0.5 * found.scale


@pytest.mark.skipif(not PHOTOGRAPHS.is_file(), reason=f"there are no photographs at {PHOTOGRAPHS}")
def test_photographs_of_any_shape_get_the_class_that_they_get_from_timm(tmp_path: Path) -> None:
    export_model("pc_darts_cifar_shallow", tmp_path / "model.onnx", variants=ExportVariants(any_size=True))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    model = nasarch.create_model("pc_darts_cifar_shallow", pretrained=True).eval()
    how: Any = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    same, logits = [], []
    with tarfile.open(PHOTOGRAPHS) as tar:
        for member in [one for one in tar if one.isfile()][:60]:
            image = Image.open(tar.extractfile(member)).convert("RGB")  # type: ignore[arg-type]
            (found,) = session.run(None, {"pixels": np.asarray(image)[None]})
            with torch.no_grad():
                expected = model(how(image)[None]).numpy()
            same.append(found.argmax() == expected.argmax())
            logits.append(np.abs(found - expected).max())
    assert len(same) == 60 and np.mean(same) >= 0.95 and max(logits) < 0.5
