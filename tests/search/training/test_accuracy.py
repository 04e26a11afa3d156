"""`nasarch evaluate`: the same accuracy as the end of the training, images scaled as the model states, classes by name."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch.nn import functional as F

from nasarch.cli.main import main
from nasarch.search.training.accuracy import measure
from tests.helpers.small_training import colours


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of a small network on images of three colours, tested at its end."""
    folder, data = tmp_path_factory.mktemp("train") / "run", colours()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nasarch.data.load.load", lambda name, **how: data)
        words = ["train", "pc_darts_cifar", "--data", "colours", "--cells", "3", "--channels", "4", "--epochs", "2"]
        words += ["--batch-size", "16", "--cutout", "0", "--aux-weight", "0", "--out", str(folder)]
        patch.setattr(sys, "argv", ["nasarch", *words])
        assert main(words) == 0
    return folder


def evaluated(folder: Path, data: Any) -> dict[str, Any]:
    return measure(str(folder), data, batch_size=7, device=torch.device("cpu"), workers=0)


def test_it_is_the_accuracy_at_the_end_of_the_training(trained: Path) -> None:
    at_the_end, found = json.loads((trained / "result.json").read_text())["test"], evaluated(trained, colours())
    assert (found["images"], found["top1"]) == (at_the_end["images"], at_the_end["top1"])
    assert found["loss"] == pytest.approx(at_the_end["loss"], rel=1e-6)


def test_images_are_scaled_as_the_model_states(trained: Path) -> None:
    """Of other training images the mean would be another one; the loss by hand, with timm's own configuration."""
    data = colours()
    other = replace(data, train=replace(data.train, pixels=255 - data.train.pixels))  # type: ignore[arg-type]
    net = timm.create_model(f"local-dir:{trained}/model", pretrained=True).eval()
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    assert data.test is not None
    x = (data.test.pixels.float() / 255 - mean) / std  # type: ignore[union-attr]
    with torch.no_grad():
        loss = F.cross_entropy(net(x), data.test.labels).item()
    assert evaluated(trained, other)["loss"] == pytest.approx(loss, rel=1e-5)
    assert other.mean != pytest.approx(data.mean, abs=1e-3)


def test_other_classes_sizes_and_sources_are_refused(trained: Path, tmp_path: Path) -> None:
    data = colours()
    renamed = replace(data, class_names=("blue", *data.class_names[1:]))
    with pytest.raises(ValueError, match=f"class 0 is '{data.class_names[0]}' in the model and 'blue' in the data"):
        evaluated(trained, renamed)
    with pytest.raises(ValueError, match="has no test part"):
        evaluated(trained, replace(data, test=None))
    smaller = replace(
        data,
        train=replace(data.train, pixels=data.train.pixels[..., :8, :8]),  # type: ignore[arg-type, union-attr]
        test=replace(data.test, pixels=data.test.pixels[..., :8, :8]),  # type: ignore[arg-type, union-attr, type-var]
    )
    side = data.size[0]
    with pytest.raises(ValueError, match=f"takes images of {side}x{side} pixels, data .* have 8x8: add --size {side}"):
        evaluated(trained, smaller)
    with pytest.raises(ValueError, match="has no trained weights"):
        evaluated(Path("pc_darts_imagenet"), data)


def test_the_command_writes_what_it_prints(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nasarch.data.load.load", lambda name, **how: colours())
    out = tmp_path / "new" / "result.json"
    assert main(["evaluate", str(trained), "--data", "colours", "-o", str(out)]) == 0
    found = json.loads(out.read_text())
    assert f"test accuracy {found['top1']:.2f} %" in capsys.readouterr().out
    assert main(["evaluate", str(trained), "--capture"]) == 2
    assert "--capture records the steps of a training" in capsys.readouterr().err
    assert found["data"]["name"] == colours().name and found["source"] == str(trained)
