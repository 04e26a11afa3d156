"""What a folder for the Hub takes from its source (a name, a file or a run): weights, data, accuracy, labels, genotype."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import timm
from torch import nn

import nasarch
from nasarch.cells.genotype import Genotype
from nasarch.export.errors import ExportError
from nasarch.export.hub import folder as exporter
from nasarch.export.hub.card import Facts, card
from nasarch.export.hub.folder import HubReport, export_hub
from nasarch.export.onnx.check import Agreement
from nasarch.export.onnx.float32 import OnnxReport
from nasarch.export.onnx.properties import metadata
from nasarch.export.source.config import configuration
from nasarch.export.source.find import find_model
from nasarch.models.cost import Cost
from nasarch.models.labels import CIFAR10_CLASSES, KNOWN
from nasarch.models.profile import multi_adds
from nasarch.models.source import find_source
from tests.helpers.cards import PROVENANCE, RESULTS, facts, network
from tests.helpers.exported import new_cell, save, trained, without_onnx


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Without ONNX and pictures; what the ONNX exporter was given."""
    seen = list[Any]()
    monkeypatch.setattr(exporter, "export_onnx", lambda model, path, **told: seen.append((model, told)) or without_onnx(model, path))
    monkeypatch.setattr(exporter, "draw", lambda *_: None)
    return seen


def test_what_is_written_is_what_the_card_and_the_report_say(tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training: its weights, its data, its accuracy; the auxiliary tower left behind; the size that is asked for."""
    told = list[Facts]()
    monkeypatch.setattr(exporter, "card", lambda facts: told.append(facts) or card(facts))
    new_cell("my_cell", tmp_path / "cell.json", **PROVENANCE)
    model = trained("nas_cifar", genotype=str(tmp_path / "cell.json"), num_classes=10, aux_head=True)
    weights = save(model, tmp_path / "w.safetensors")
    report = export_hub(tmp_path / "cell.json", tmp_path / "out", checkpoint=weights, data="cifar10", size=28, repository="me/x")
    (known,), ((loaded, given),) = told, quick
    content = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert known.weights_sha256 == hashlib.sha256(content).hexdigest() and b"aux_head" not in content
    assert (known.name, known.repository, known.architecture, known.num_classes) == ("my_cell", "me/x", "nas_cifar", 10)
    assert (known.random, known.trained_on, known.results) == (False, "CIFAR-10", ())
    assert known.sizes == {"cells": 3, "channels": 4, "in_chans": 3} and known.class_names is not None and known.class_names[3] == "cat"
    kept = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("aux_head"))
    bare = trained("nas_cifar", genotype=str(tmp_path / "cell.json"), num_classes=10)
    assert known.cost == Cost(kept, multi_adds(bare, (3, 28, 28))) and known.config["input_size"] == [3, 28, 28]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert known.config == config["pretrained_cfg"] and known.genotype == Genotype.load(tmp_path / "out" / "genotype.json")
    assert given["class_names"] == tuple(config["label_names"]) and configuration(loaded)["input_size"] == (3, 28, 28)
    assert known.onnx == "0.0 MB, logits within 0.0e+00 of how much PyTorch's vary between images, measured in onnxruntime"
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert (report.size_bytes, report.labelled, report.random, report.num_classes, report.name) == (size, True, False, 10, "my_cell")
    assert report.path == tmp_path / "out" and report.architecture == "nas_cifar"


def test_a_report_says_what_to_do_next() -> None:
    onnx = OnnxReport(
        **{"path": Path("p"), "architecture": "a", "input_size": (3, 8, 8), "num_classes": 2, "size_bytes": 1},  # type: ignore[arg-type]
        **{"agreement": Agreement(0.5, 1.0, 2.0, 0.0), "torch_ms": 1.0, "onnx_ms": 1.0, "threads": 1},  # type: ignore[arg-type]
    )
    told = {"path": Path("out"), "name": "m", "architecture": "nas_cifar", "num_classes": 2, "size_bytes": 2_500_000, "onnx": onnx}
    for labelled, random in ((True, False), (False, True)):
        said = str(HubReport(**told, labelled=labelled, random=random))  # type: ignore[arg-type]
        assert said.startswith("out: m as nas_cifar, 2.5 MB, 2 classes; ") and "differ by 2.5e-01 of how much" in said
        assert ("their names are in it" in said) == labelled and ("--checkpoint W.safetensors takes trained ones" in said) == random


def test_a_name_a_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    named = find_source("pc_darts_imagenet")
    assert (named.source, named.name, named.random, named.results) == ("pc_darts_imagenet", "pc_darts_imagenet", True, ())
    assert named.data == KNOWN["imagenet"] and find_source("dots_cifar100").data == KNOWN["cifar100"]
    new_cell("mine", tmp_path / "genotype.json")
    of_file = find_source(tmp_path / "genotype.json")
    assert (of_file.source, of_file.name, of_file.random, of_file.data) == (str(tmp_path / "genotype.json"), "mine", True, None)
    weighted = find_source(tmp_path / "genotype.json", tmp_path / "w", "cifar10")
    assert (weighted.weights, weighted.random, weighted.data) == (tmp_path / "w", False, KNOWN["cifar10"])
    of_search = find_source(tmp_path)
    assert (of_search.weights, of_search.random) == (None, True)
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "result.json").write_text(json.dumps({"results": [RESULTS[0]]}))
    of_search = find_source(tmp_path)
    assert (of_search.weights, of_search.random, of_search.name) == (tmp_path / "model.safetensors", False, "mine")
    assert [dict(result) for result in of_search.results] == [RESULTS[0]]
    other = find_source(tmp_path, tmp_path / "other")
    assert (other.weights, other.results, other.data) == (tmp_path / "other", (), None), "its figures are of other weights"


@pytest.mark.parametrize(
    ("beside", "images", "title"),
    [(True, 50_000, "CIFAR-10"), (True, None, "CIFAR-10"), (True, 49_999, "own-cifar10"), (False, 50_000, "unnamed data")],
)
def test_a_training_is_its_weights_its_data_and_its_accuracy(beside: bool, images: int | None, title: str, tmp_path: Path) -> None:
    """In model/ of a run's folder, or by itself as timm keeps it. CIFAR-10 is known by classes and number of images."""
    cell = new_cell("mine", tmp_path / "cell.json").to_dict()
    place = tmp_path / "model" if beside else tmp_path
    place.mkdir(exist_ok=True)
    (place / "model.safetensors").touch()
    config = {"architecture": "nas_cifar", "pretrained_cfg": {}, "label_names": [*CIFAR10_CLASSES], "model_args": {"genotype": cell}}
    (place / "config.json").write_text(json.dumps(config))
    if beside:
        (tmp_path / "config.json").write_text(json.dumps({"genotype": cell, "data": {"name": "cifar10", "images": images}}))
    test = {"images": 50, "top1": 91.456, "top5": 99.994}
    told = {"test": test, "epochs": 7, "batch_size": 64, "seconds": 8.5, "seed": 3, "device": "CPU", "weights": "last epoch"}
    told |= {"recipe": {"name": "shallow"}, "changed": {"lr": 0.1}, "begun_from": {"sha256": "abc"}, "data": {"name": "CIFAR-10"}}
    (tmp_path / "result.json").write_text(json.dumps(told))
    found = find_source(tmp_path)
    assert (found.source, found.name, found.pretrained, found.random) == (f"local-dir:{place}", "mine", True, False)
    if title == "CIFAR-10":
        assert found.data == KNOWN["cifar10"]._replace(statistics=None)
    else:
        assert found.data is not None and (found.data.title, found.data.hub, found.data.class_names) == (title, None, CIFAR10_CLASSES)
    other = [] if title == "CIFAR-10" else ["data CIFAR-10"]
    note = ["50 test images, read once", *other, "recipe shallow", "weights of the last epoch"]
    common = {"dataset": title, "unit": "%", "budget": "7 epochs, batch 64, 8.5 s", "seed": 3}
    common["note"] = "; ".join([*note, "begun from weights of SHA-256 abc", "CPU", "lr 0.1"])
    assert [dict(one) for one in found.results] == [
        {**common, "metric": "test accuracy", "value": 91.46},
        {**common, "metric": "top-5 test accuracy", "value": 99.99},
    ]
    named = find_source(tmp_path, None, "cifar100")
    assert named.data == KNOWN["cifar100"]._replace(statistics=None), "preprocessing is that of the training"
    with pytest.raises(ValueError, match="has weights of its own"):
        find_source(tmp_path, "w")


@pytest.mark.parametrize("name", ["ftso_cifar_shallow", "pc_darts_cifar_shallow"])
def test_the_packages_weights_bring_the_accuracy_of_their_file(name: str) -> None:
    """That of PC-DARTS' differs from its training's, 81.60 % for 81.58 %."""
    found = find_source(name)
    told = json.loads((Path(nasarch.__file__).parent / "weights" / f"{name}.json").read_text())
    assert (found.pretrained, found.random, found.source, found.name) == (True, False, name, name)
    assert found.results[0]["value"] == round(told["file"]["top1"], 2) and found.results[0]["seed"] == told["seed"]
    assert found.data is not None and list(found.data.class_names) == told["inputs"]["label_names"] and found.data.statistics is None
    other = find_source(name, "w", "cifar10")
    assert (other.pretrained, other.weights, other.data, other.results) == (False, Path("w"), KNOWN["cifar10"], ())


def test_other_statistics_than_the_models_own_are_those_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_cell("mine", tmp_path / "cell.json", searched_on="cifar10")
    own = KNOWN["cifar10"].statistics
    assert own is not None
    monkeypatch.setitem(KNOWN, "cifar10", KNOWN["cifar10"]._replace(statistics=own._replace(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))))
    config: Any = find_model(tmp_path / "cell.json", None, "cifar10").model.pretrained_cfg
    assert (config["mean"], config["std"]) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_a_subject_has_the_statistics_and_labels_of_its_data(tmp_path: Path) -> None:
    new_cell("mine", tmp_path / "cell.json", searched_on="cifar10")
    found = find_model(tmp_path / "cell.json", None, "cifar10")
    assert found.random and found.class_names is not None and found.class_names[:2] == ("airplane", "automobile")
    config: Any = found.model.pretrained_cfg
    assert (config["mean"], config["std"]) == ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)) and not found.model.training
    plain = find_model(tmp_path / "cell.json")
    assert plain.class_names is None
    theirs = find_model("test_resnet")
    assert theirs.random and theirs.class_names is None and isinstance(theirs.model, nn.Module)
    weights = save(trained("nas_cifar", genotype=str(tmp_path / "cell.json"), num_classes=10, in_chans=1), tmp_path / "w.safetensors")
    grey = find_model(tmp_path / "cell.json", weights, "cifar10")
    assert not grey.random and grey.model.in_chans == 1 and grey.class_names is not None
    untouched = timm.create_model("nas_cifar", genotype=str(tmp_path / "cell.json")).pretrained_cfg["mean"]  # three, for no channel of its
    assert grey.model.pretrained_cfg["mean"] == untouched


def test_the_genotype_of_a_file_says_all_but_the_command_that_found_it() -> None:
    found = json.loads(metadata(network(), (3, 8, 8), 5)["genotype"])
    expected = facts().genotype.to_dict()
    assert expected["provenance"].pop("source")["command"] == "nasarch s" and found == expected


def test_class_names_are_given_or_the_models_own_if_their_number_is_right() -> None:
    model: Any = nn.Linear(2, 3)
    model.pretrained_cfg = {"label_names": ["x", "y", "z"], "mean": (0.1, 0.2), "std": (0.3,)}
    found = metadata(model, (2, 4, 5), 3)
    assert json.loads(found["class_names"]) == ["x", "y", "z"] and json.loads(found["mean"]) == [0.1, 0.2] and "std" not in found
    assert (found["architecture"], found["num_classes"], found["input_size"], found["precision"]) == ("Linear", "3", "[2, 4, 5]", "float32")
    assert json.loads(metadata(model, (2, 4, 5), 3, ["a", "b", "c"])["class_names"]) == ["a", "b", "c"]
    assert "class_names" not in metadata(model, (2, 4, 5), 4)
    with pytest.raises(ExportError, match="for 3 logits"):
        metadata(model, (2, 4, 5), 3, ["a", "b"])
    with pytest.raises(ExportError, match="for 3 logits"):
        metadata(model, (2, 4, 5), 3, "abc")
