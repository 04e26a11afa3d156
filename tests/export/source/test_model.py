"""A name or a genotype's file and a checkpoint become the model that was trained; what doesn't fit is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from nasarch.cells.genotype import resolve
from nasarch.export.onnx.export import export_model
from nasarch.export.onnx.float32 import OnnxReport
from nasarch.export.onnx.session import open_session
from nasarch.export.samples import sample_images
from nasarch.export.source import find
from nasarch.export.source.model import build_model, load_weights
from nasarch.models.weight_files import as_safetensors
from tests.helpers.exported import Tiny, logits, with_statistics
from tests.helpers.small_training import rewired


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("pc_darts_cifar", {"cells": 5, "channels": 16, "num_classes": 7, "in_chans": 1}),
        ("dots_cifar100", {"cells": 3, "channels": 6, "num_classes": 3, "aux_head": True}),
        ("pc_darts_imagenet", {"cells": 4, "channels": 6, "num_classes": 5}),
        ("fair_darts_c_cifar_224", {"cells": 3, "channels": 5, "num_classes": 2}),
        ("ftso_nats_cifar", {"cells": 2, "channels": 8, "num_classes": 3}),
    ],
)
@pytest.mark.parametrize("by_file", [False, True], ids=["name", "file"])
def test_a_checkpoint_tells_the_sizes_of_its_model(tmp_path: Path, name: str, arguments: dict[str, Any], by_file: bool) -> None:
    trained = timm.create_model(name, **arguments)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    replace(trained.genotype, name="mine").save(tmp_path / "cell.json")
    found = build_model(tmp_path / "cell.json" if by_file else name, tmp_path / "w.safetensors")
    images = sample_images(2, trained.in_chans, 64, 64)
    assert torch.equal(logits(found, images), logits(trained, images))


def test_other_timm_models_take_checkpoints_too(tmp_path: Path) -> None:
    trained = timm.create_model("mobilenetv3_small_050", num_classes=3)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    found = build_model("mobilenetv3_small_050", tmp_path / "w.safetensors")
    images = sample_images(1, 3, 64, 64)
    assert torch.equal(logits(found, images), logits(trained, images))


def test_names_left_by_wrappers_are_understood(tmp_path: Path) -> None:
    trained = timm.create_model("ftso_nats_cifar", cells=1)
    safetensors.torch.save_file({f"module.{key}": value for key, value in trained.state_dict().items()}, tmp_path / "w.safetensors")
    assert torch.equal(build_model("ftso_nats_cifar", tmp_path / "w.safetensors").fc.weight, trained.fc.weight)


def test_without_a_checkpoint_the_same_command_gives_the_same_model() -> None:
    """Whatever was drawn before: what seed 0 gives, in this process and in any other."""
    torch.manual_seed(0)
    expected = timm.create_model("ftso_nats_cifar").state_dict()
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        found = build_model("ftso_nats_cifar").state_dict()
        assert all(torch.equal(found[key], value) for key, value in expected.items()) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "stem, network, num_classes, size",
    [
        ("pc_darts_cifar", "nas_cifar", 10, 32),
        ("dots_cifar100", "nas_cifar", 100, 32),
        ("dots_imagenet", "nas_224", 1000, 224),
        ("ftso_nats_cifar", "nas_bench_201", 10, 32),
    ],
)
def test_a_genotype_file_becomes_the_network_of_its_data_set(tmp_path: Path, stem: str, network: str, num_classes: int, size: int) -> None:
    published = resolve(stem)
    expected = {key: value.shape for key, value in timm.create_model(stem).state_dict().items()}
    for name, architecture in ((stem, stem), ("mine", network)):
        replace(published, name=name).save(tmp_path / "cell.json")
        model = build_model(tmp_path / "cell.json")
        assert (model.pretrained_cfg["architecture"], model.num_classes) == (architecture, num_classes)
        assert model.pretrained_cfg["input_size"] == (3, size, size)
        assert {key: value.shape for key, value in model.state_dict().items()} == expected


def test_export_model_goes_from_a_name_and_a_checkpoint_to_a_file(tmp_path: Path) -> None:
    trained = with_statistics(timm.create_model("ftso_nats_cifar", cells=1, channels=4, num_classes=6), 32)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    written = export_model("ftso_nats_cifar", tmp_path / "new" / "a.onnx", checkpoint=tmp_path / "w.safetensors", size=24)
    (report,) = written.reports
    assert isinstance(report, OnnxReport) and (report.input_size, report.num_classes, written.random) == ((3, 24, 24), 6, False)
    assert "the classes have no names: --data NAME" in str(written)
    session = open_session(tmp_path / "new" / "a.onnx")
    digest = session.get_modelmeta().custom_metadata_map["weights_sha256"]
    assert digest == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()


def test_random_weights_are_called_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "build_model", lambda *_: Tiny())
    assert "the weights are random" in str(export_model("resnet18", tmp_path / "a.onnx", size=8))


def test_a_checkpoint_of_another_genotype_is_refused_with_a_few_names(tmp_path: Path) -> None:
    trained = timm.create_model("ftso_nats_cifar", cells=1)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"doesn't fit darts_nats_cifar: 108 weights unknown \(cells.0.*, \.\.\.\); give") as refusal:
        build_model("darts_nats_cifar", tmp_path / "w.safetensors")
    assert len(str(refusal.value)) < 600 and "\n" not in str(refusal.value)


def test_a_checkpoint_that_lacks_one_weight_or_has_one_of_another_shape_is_refused(tmp_path: Path) -> None:
    weights = timm.create_model("ftso_nats_cifar", cells=1).state_dict()
    safetensors.torch.save_file({key: value for key, value in weights.items() if key != "fc.bias"}, tmp_path / "less.safetensors")
    with pytest.raises(ValueError, match=r"1 weights missing \(fc.bias\)"):
        build_model("ftso_nats_cifar", tmp_path / "less.safetensors")
    safetensors.torch.save_file({**weights, "norm.0.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"1 weights of another shape \(norm.0.weight \[3\] instead of \[64\]\)"):
        build_model("ftso_nats_cifar", tmp_path / "other.safetensors")


def test_a_checkpoint_of_other_cells_is_refused_though_names_and_shapes_agree(tmp_path: Path) -> None:
    trained = timm.create_model("pc_darts_cifar", cells=3, channels=4, num_classes=3)
    path = tmp_path / "w.safetensors"
    rewired("mine").save(tmp_path / "cell.json")
    path.write_bytes(as_safetensors(trained.state_dict(), trained.genotype))
    assert torch.equal(build_model("pc_darts_cifar", path).fc.weight, trained.fc.weight)
    words = r"w\.safetensors holds weights for the cells of pc_darts_cifar, and those of mine are others \(normal cell, node 5: "
    with pytest.raises(ValueError, match=words) as refusal:
        build_model(tmp_path / "cell.json", path)
    assert "\n" not in str(refusal.value) and "give the genotype that they were trained with" in str(refusal.value)
    other = timm.create_model("nas_cifar", genotype=tmp_path / "cell.json", cells=3, channels=4, num_classes=3)
    with pytest.raises(ValueError, match=words):
        load_weights(other, path)
    with pytest.raises(ValueError, match=words):
        timm.create_model(
            "nas_cifar",
            pretrained=True,
            genotype=tmp_path / "cell.json",
            cells=3,
            channels=4,
            num_classes=3,
            pretrained_cfg_overlay={"file": str(path), "num_classes": 3},
        )
    safetensors.torch.save_file(trained.state_dict(), path)  # says nothing, as others' files
    assert torch.equal(build_model(tmp_path / "cell.json", path).fc.weight, trained.fc.weight)


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "pickle"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("no weights")
    elif kind == "pickle":
        torch.save(Tiny().state_dict(), path)
    with pytest.raises(ValueError, match=r"can't read weights from .*w.safetensors: .*; give a file that safetensors.torch.save_file"):
        build_model("ftso_nats_cifar", path)


@pytest.mark.parametrize(
    "source, message",
    [
        ("no_such_model", "unknown model 'no_such_model'"),
        ("pc_darts_cifra", "did you mean pc_darts_cifar"),
        ("missing.json", "missing.json: can't read it"),
        ("", "unknown model ''"),
        ("nas_cifar", "nas_cifar is a network of any genotype; give the genotype"),
    ],
)
def test_an_unknown_model_is_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(source, tmp_path / "a.onnx")
    assert not [*tmp_path.iterdir()]
