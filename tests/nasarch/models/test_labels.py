"""Identity of data sets: known by their classes and numbers of images, never by the name of a folder; no licence that nobody chose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from nasarch.data.load import listing, load
from nasarch.export.hub.folder import export_hub
from nasarch.export.onnx.calibration import calibration
from nasarch.export.source.config import configuration
from nasarch.export.source.find import find_model
from nasarch.models.labels import CIFAR10_CLASSES, CIFAR100_CLASSES, KNOWN, data_name, identified
from nasarch.models.source import find_source
from nasarch.search.training.run import run
from tests.helpers.datasets import as_tar, as_tree, two_classes
from tests.helpers.small_training import SETTINGS, plan

PARTS = two_classes("train/") | two_classes("val/")
CLASSES = {"cifar10": CIFAR10_CLASSES, "cifar100": CIFAR100_CLASSES, "imagenet": tuple(ImageNetInfo().label_names())}
CLASSES["imagenet16-120"] = tuple(str(label) for label in range(1, 121))
CLASSES["digits"] = tuple("0123456789")


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_data_set_has_its_own_classes_and_numbers_of_images(name: str) -> None:
    classes, images = CLASSES[name], KNOWN[name].images
    for counts in ((), (None,), images[:1], images, (None, images[1])):
        assert identified(name, classes, counts) is KNOWN[name] and data_name(name, classes, counts) == name
    for others, counts in (
        (classes[::-1], images),
        (classes[:-1], images),
        ((), ()),
        (classes, (images[0] - 1,)),
        (classes, (images[0], images[1] + 1)),
    ):
        assert identified(name, others, counts) is None and data_name(name, others, counts) == f"own-{name}"
        assert identified(f"own-{name}", others, counts) is None and data_name(f"own-{name}", others, counts) == f"own-{name}"
    assert data_name("pets", ("a", "b"), (3,)) == "pets"


@pytest.mark.parametrize("name", ["imagenet", "ImageNet-1k", "cifar10", "CIFAR-100", "cifar10-jpeg", "digits"])
def test_images_of_ones_own_are_not_those_that_a_folder_or_tar_is_named_after(name: str, tmp_path: Path) -> None:
    for path in (as_tree(tmp_path / name, PARTS), as_tar(tmp_path / "t" / f"{name}.tar", PARTS)):
        assert load(path).name == listing(path).data == f"own-{name}"


def test_a_training_on_images_of_ones_own_claims_nothing(tmp_path: Path) -> None:
    data = load(as_tree(tmp_path / "imagenet", PARTS))
    settings = replace(SETTINGS, epochs=1, batch_size=2, drop_path=0.0)
    run(plan(settings, on=data), 0, tmp_path / "run", lambda *unused: None)
    source = find_source(tmp_path / "run")
    assert source.data is not None and (source.data.title, source.data.hub) == ("own-imagenet", None)
    assert {result["dataset"] for result in source.results} == {"own-imagenet"}
    export_hub(tmp_path / "run", tmp_path / "hub")
    text = (tmp_path / "hub" / "README.md").read_text()
    assert not [word for word in ("imagenet-1k", "ILSVRC", "apache", "license:") if word in text]
    measured = text.split("## Measured with these weights")[1].split("\n## ")[0]
    assert "own-imagenet" in measured and "ImageNet" not in measured
    assert "Licence: not stated" in text
    assert "license" not in (tmp_path / "hub" / "config.json").read_text()


def test_calibration_images_of_ones_own_are_not_imagenets(tmp_path: Path) -> None:
    model: Any = find_model("pc_darts_cifar").model
    images = two_classes("train/", 12) | two_classes("val/", 12)
    assert calibration(as_tree(tmp_path / "imagenet", images), model, (3, 8, 8), None).source == "own-imagenet"
    flat = {name.replace("/", "-"): content for name, content in images.items()}
    assert calibration(as_tree(tmp_path / "x" / "cifar10", flat), model, (3, 8, 8), None).source == "own-cifar10"


def test_only_the_zoos_own_weights_have_its_licence(tmp_path: Path) -> None:
    model = find_model("pc_darts_cifar_shallow").model
    assert configuration(model)["license"] == "apache-2.0"
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    model.genotype.save(tmp_path / "g.json")
    for source, checkpoint in (("pc_darts_cifar", tmp_path / "w.safetensors"), (str(tmp_path / "g.json"), None)):
        assert configuration(find_model(source, checkpoint).model).get("license") is None
