"""An exported detector is compared again at any time, on any images, with the detector that it was made of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from nasarch.cli.main import main
from nasarch.export.ssd.check import SsdAgreement, Tolerance
from nasarch.export.ssd.detector import default_boxes, save
from tests.helpers.small_detector import exported_detector, random_detector, rectangles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector, and in onnx/ its file."""
    return Path(shutil.copytree(exported_detector(), tmp_path_factory.mktemp("trained") / "hub"))


def test_verify_repeats_the_check_of_a_detector_on_any_images(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(folder / "onnx" / "model.onnx")
    rectangles(tmp_path, "val", 3, seed=1)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    for model, images, words in (
        (folder, None, "checked on images made up: "),
        (folder, tmp_path, f"checked on 3 images of {tmp_path.name}/val: "),
        (folder, tmp_path / "images", "checked on 3 images of images: "),
    ):
        assert main(["export", "verify", file, "--model", str(model), *(() if images is None else ("--images", str(images)))]) == 0
        said = capsys.readouterr().out
        assert words in said and "0 without a partner" in said and "SSD on pc_darts_imagenet with 3 cells, 4 channels" in said


def test_verify_refuses_another_detector_and_one_that_finds_something_else(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = random_detector()
    torch.nn.init.zeros_(next(other.head.parameters()))
    save(other, tmp_path)
    moved, lost = (onnx.load(folder / "onnx" / "model.onnx") for _ in range(2))
    for node in moved.graph.initializer:
        values = onnx.numpy_helper.to_array(node)
        if values.shape == (len(default_boxes(other)), 2):  # the anchors
            node.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.05), node.name))
    (threshold,) = (entry for entry in lost.metadata_props if entry.key == "nms_threshold")
    threshold.value = "0.5.5"
    for name, proto in (("moved", moved), ("lost", lost)):
        onnx.save(proto, tmp_path / f"{name}.onnx")
    file = folder / "onnx" / "model.onnx"
    for arguments, words in (
        ([file, "--model", tmp_path], "was made of other weights"),
        ([file, "--model", tmp_path / "nowhere"], "holds no detector"),
        ([file, "--model", folder, "--images", tmp_path / "nowhere"], "can't read"),
        ([file, "--model", folder, "--checkpoint", tmp_path / "model.safetensors"], "a detector's are in the folder that --model names"),
        ([tmp_path / "moved.onnx", "--model", folder], "refused: on images made up"),
        ([tmp_path / "lost.onnx", "--model", folder], "has thresholds that are no numbers"),
    ):
        assert main(["export", "verify", *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line, line


def test_as_many_may_differ_as_rounding_decides_otherwise() -> None:
    one = SsdAgreement(20_000, 4, 0, 0.0, 0.0, Tolerance(1.0, 1.0), 0)
    assert one.holds and not one._replace(unmatched=5).holds
    assert one._replace(unmatched=24, flips=10).holds and not one._replace(unmatched=25, flips=10).holds
