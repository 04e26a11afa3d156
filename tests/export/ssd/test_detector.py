"""SSD on found cells is torchvision's SSD: its detections, its losses, its cost; a folder gives it back, a damaged one a clear line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub.utils import logging as hub_logging
from timm.models import save_for_hf
from torch import nn

import nasarch
from nasarch.cells.genotype import resolve
from nasarch.export.ssd.backbone import _indices, build_body, find_backbone
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import assemble, cost, default_boxes, load, millions, save, ssd
from nasarch.models.profile import multi_adds

SMALL = {"size": 64, "extras": (16, 16)}


def small(**changes: Any) -> Any:
    """A detector of three cells, of two classes."""
    torch.manual_seed(0)
    body = timm.create_model("nas_224", genotype="pc_darts_imagenet", cells=3, channels=4)
    return ssd(body, 3, **{**SMALL, **changes}).eval()


def images(*shapes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *shape, generator=generator) for shape in shapes]


def test_the_papers_backbone_costs_what_the_paper_counts_and_the_heads_add_to_it() -> None:
    found = cost(ssd("pc_darts_imagenet", 91))
    assert abs(found.backbone_multi_adds / 1.2e9 - 1) < 0.02  # PC-DARTS, Table 5: 1.2 B
    assert round(found.multi_adds / 1e6) == 1356 and round(found.parameters / 1e6, 2) == 6.47
    assert "backbone 1,185 M, whole detector 1,356 M" in str(found)
    assert millions(66_720_224) == "66.7 M" and millions(345_600) == "0.346 M"


def test_the_backbones_multi_adds_are_those_that_fvcore_counts() -> None:
    model = small()
    assert cost(model).backbone_multi_adds == multi_adds(_Last(model.backbone.body), (3, 64, 64))


class _Last(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)[-1]


def test_the_anchors_are_those_of_torchvisions_ssdlite_at_320() -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    theirs.design = Design(backbone="", arguments=None, class_names=("a",), category_ids=(1,))
    ours = default_boxes(small(size=320, extras=(16, 16, 16, 16)))
    assert ours.shape == (3234, 4) and torch.allclose(ours, default_boxes(theirs))


@pytest.mark.parametrize(("size", "head"), [(300, "lite"), (96, "dense"), (64, "lite")])
def test_any_size_and_both_heads_detect_in_images_of_any_size(size: int, head: Any) -> None:
    found = small(size=size, head=head)(images((40, 70), (100, 90)))
    assert [set(one) for one in found] == [{"boxes", "scores", "labels"}] * 2
    for one, (height, width) in zip(found, ((40, 70), (100, 90)), strict=True):
        assert len(one["scores"]) and set(one["labels"].tolist()) <= {1, 2}
        assert (one["boxes"].amin() >= 0) and bool((one["boxes"] <= torch.tensor([width, height, width, height]) + 1e-3).all())


@pytest.mark.parametrize("source", ["zoo", "file", "network", "features", "timm"])
def test_backbones_of_all_kinds_make_a_detector(source: str, tmp_path: Path) -> None:
    genotype = resolve("pc_darts_cifar")
    if source == "file":
        genotype.save(tmp_path / "cell.json")
    make: dict[str, Any] = {
        "zoo": lambda: "pc_darts_cifar_224",
        "file": lambda: tmp_path / "cell.json",
        "network": lambda: timm.create_model("nas_224", genotype=genotype, cells=3, channels=4),
        "features": lambda: timm.create_model("nas_224", genotype=genotype, cells=3, channels=4, features_only=True, out_indices=(3, 4)),
        "timm": lambda: "mobilenetv3_small_050",
    }
    model = ssd(make[source](), 2, **SMALL).eval()
    assert len(model(images((64, 64)))[0]) == 3
    assert model.design.backbone == ("mobilenetv3_small_050" if source == "timm" else "nas_224")
    assert (model.design.genotype is None) == (source == "timm")
    if source in ("network", "features"):
        assert model.design.arguments["cells"] == 3 and model.design.arguments["channels"] == 4


@pytest.mark.parametrize(("reductions", "taken"), [([2, 4, 8, 16, 32], [3, 4]), ([4, 16, 16, 32, 32, 64], [2, 4]), ([32, 16], [1, 0])])
def test_the_last_map_of_each_reduction_is_taken(reductions: list[int], taken: list[int]) -> None:
    model: Any = nn.Identity()
    model.feature_info = [{"reduction": reduction} for reduction in reductions]
    assert _indices(model, "x") == taken
    model.feature_info = [{"reduction": reduction} for reduction in reductions if reduction != 16]
    with pytest.raises(ValueError, match="x has maps of .* SSD needs 1/16 and 1/32"):
        _indices(model, "x")


def test_a_model_is_not_changed_and_keeps_its_weights() -> None:
    network = timm.create_model("nas_224", genotype="pc_darts_imagenet", cells=3, channels=4).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    model = ssd(network, 2, **SMALL).eval()
    assert network.state_dict().keys() == before.keys() and all(
        torch.equal(before[key], value) for key, value in network.state_dict().items()
    )
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(model.backbone.body(x)[-1], network.forward_features(x))


def test_a_folder_gives_the_detector_back_even_of_a_cell_that_no_zoo_holds(tmp_path: Path) -> None:
    like = resolve("pc_darts_cifar").to_dict()
    like["cells"]["normal"]["nodes"][0] = [["max_pool_3x3", 0], ["dil_conv_3x3", 1]]
    network = timm.create_model("nas_224", genotype={**like, "name": "of my own"}, cells=3, channels=4)
    model = ssd(network, 3, **SMALL, class_names=("cat", "dog")).eval()
    save(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "genotype.json", "model.safetensors"]
    twin = load(tmp_path)
    assert twin.design == model.design and twin.design.class_names == ("cat", "dog") and not twin.training
    for ours, theirs in zip(model(images((50, 60))), twin(images((50, 60))), strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert load(tmp_path, score_threshold=0.9).score_thresh == 0.9


def test_a_trained_classifier_brings_its_weights(tmp_path: Path) -> None:
    network = timm.create_model("nas_224", genotype="pc_darts_cifar", cells=3, channels=4, num_classes=7)
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    arguments = {"genotype": network.genotype.to_dict(), "cells": 3, "channels": 4}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "nas_224", "model_args": arguments}))
    body = build_body(find_backbone(tmp_path), pretrained=True)
    assert all(torch.equal(value, weights[key.removeprefix("model.")]) for key, value in body.state_dict().items())
    other = find_backbone("pc_darts_imagenet", cells=3, channels=4)._replace(weights=tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="doesn't fit nas_224: .*give the weights of this very network"):
        build_body(other, pretrained=True)


def test_a_folder_is_a_backbone_of_its_own_size_with_its_weights(tmp_path: Path) -> None:
    """In model/ or by itself; what only its classifier needs is left behind."""
    genotype = resolve("pc_darts_cifar").to_dict()
    arguments = {"genotype": genotype, "cells": 3, "channels": 4, "global_pool": "max"}
    config = {"architecture": "nas_224", "model_args": arguments, "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": None}}
    (tmp_path / "model").mkdir()
    for place in (tmp_path / "model", tmp_path):
        (place / "config.json").write_text(json.dumps(config))
        (place / "model.safetensors").touch()
    found = find_backbone(tmp_path)
    assert (found.name, found.weights, found.normalization) == (
        "nas_224",
        tmp_path / "model" / "model.safetensors",
        {"mean": (0.1, 0.2, 0.3)},
    )
    assert found.arguments == {"genotype": genotype, "cells": 3, "channels": 4}
    with pytest.raises(ValueError, match="has weights of its own size: leave cells out"):
        find_backbone(tmp_path, cells=4)
    for path in (tmp_path / "model" / "model.safetensors", tmp_path / "model" / "config.json"):
        path.unlink()
    assert find_backbone(tmp_path).weights == tmp_path / "model.safetensors"
    (tmp_path / "model.safetensors").unlink()
    bare = find_backbone(tmp_path, cells=5, channels=6)
    assert bare.weights is None and (bare.arguments["cells"], bare.arguments["channels"]) == (5, 6)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "pc_darts_cifar_224", "model_args": {"cells": 7}}))
    named = find_backbone(tmp_path)
    assert named.name == "nas_224" and (named.arguments["cells"], named.arguments["channels"]) == (7, 48)
    assert named.arguments["genotype"]["name"] == "pc_darts_cifar"


@pytest.mark.parametrize("kind", ["network", "features", "folder"])
def test_images_are_normalised_as_the_backbones_were(kind: str, tmp_path: Path) -> None:
    colours = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    arguments: dict[str, Any] = {"genotype": resolve("pc_darts_cifar").to_dict(), "cells": 3, "channels": 4}
    more: dict[str, Any] = {"features_only": True, "out_indices": (3, 4)} if kind == "features" else {}
    backbone = timm.create_model("nas_224", **arguments, **more, pretrained_cfg_overlay=colours)
    if kind == "folder":
        save_for_hf(backbone, tmp_path, model_args=arguments, safe_serialization=True)
    for pretrained in (False, True):
        model = ssd(tmp_path if kind == "folder" else backbone, 2, pretrained=pretrained, **SMALL)
        assert (model.design.mean, model.design.std) == (colours["mean"], colours["std"])
        assert [tuple(model.transform.image_mean), tuple(model.transform.image_std)] == [colours["mean"], colours["std"]]


def test_colours_that_are_none_are_one_clear_line(tmp_path: Path) -> None:
    arguments = {"genotype": resolve("pc_darts_cifar").to_dict(), "cells": 3, "channels": 4}
    for mean in ([0.5], "grey", [0.1, 0.2, None]):
        _write(tmp_path, json.dumps({"architecture": "nas_224", "model_args": arguments, "pretrained_cfg": {"mean": mean}}))
        with pytest.raises(ValueError, match="^[^\n]*config.json has the mean .*, SSD needs a number for each of 3 channels: mend it$"):
            find_backbone(tmp_path)


def test_weights_that_can_not_be_fetched_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    create, logger, told = timm.create_model, hub_logging.get_logger("huggingface_hub.utils._http"), list[Any]()
    before = hub_logging.get_verbosity()
    monkeypatch.setattr(logger, "handle", told.append)

    def fetch(name: str, **arguments: Any) -> Any:
        if arguments.get("pretrained"):
            logger.warning("Retrying in 1s [Retry 1/5].")
            raise OSError("no connection")
        return create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", fetch)
    with pytest.raises(
        ValueError, match="^can't build the backbone mobilenetv3_small_050: no connection; --no-pretrained begins with random"
    ):
        build_body(find_backbone("mobilenetv3_small_050"), pretrained=True)
    assert not told and hub_logging.get_verbosity() == before


REFUSED: dict[str, tuple[Any, str]] = {
    "a CIFAR network": (lambda: ssd("pc_darts_cifar", 2), "SSD needs 1/16 and 1/32: take pc_darts_cifar_224"),
    "NATS-Bench cells": (lambda: ssd("ftso_nats_cifar", 2), "such as pc_darts_imagenet"),
    "an unknown name": (lambda: ssd("pc_dart_imagenet", 2), "did you mean pc_darts_imagenet"),
    "a plain module": (lambda: ssd(nn.Conv2d(3, 3, 1), 2), "features_only=True"),
    "other maps": (lambda: ssd(timm.create_model("resnet18", features_only=True, out_indices=(1, 2)), 2), "choose out_indices"),
    "no pyramid": (lambda: ssd("vit_tiny_patch16_224", 2), "SSD needs 1/16 and 1/32"),
    "no class": (lambda: ssd("mobilenetv3_small_050", 1), "the background counts as a class"),
    "names": (lambda: small(class_names=("a",)), "1 class names"),
    "size": (lambda: small(size=31), "choose 32 to 4096 pixels"),
    "head": (lambda: small(head="heavy"), "legal are lite, dense"),
    "scales": (lambda: small(scales=(0.9, 0.2)), "two rising shares"),
    "extras": (lambda: small(extras=()), "1 to 6 maps"),
    "sizes of a network without cells": (lambda: find_backbone("resnet18", cells=3), "sizes of cell networks"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_detector_is_one_clear_line(what: str) -> None:
    make, words = REFUSED[what]
    with pytest.raises(ValueError) as refused:
        make()
    assert words in str(refused.value) and "\n" not in str(refused.value)


DAMAGED: dict[str, tuple[Any, str]] = {
    "no folder": (lambda folder: folder / "none", "holds no detector"),
    "weights of another": (lambda folder: _other_weights(folder), "doesn't fit its config.json: "),
    "no JSON": (lambda folder: _write(folder, "{"), "can't read"),
    "a classifier's": (lambda folder: _write(folder, json.dumps({"architecture": "resnet18"})), "holds no detector but something else"),
    "another format": (lambda folder: _change(folder, format="nasarch.detector/9"), "this version reads 'nasarch.detector/1'"),
    "an unknown key": (lambda folder: _change(folder, colour=1), "unknown keys ['colour']"),
    "foreign arguments": (lambda folder: _change(folder, arguments={"checkpoint_path": "/etc/passwd"}), "legal are timm's names"),
    "a place of its own": (lambda folder: _change(folder, backbone="hf-hub:a/b"), "legal are timm's names"),
    "an illegal value": (lambda folder: _change(folder, nms_threshold=2), "choose 0 or more, and less than 1"),
    "a broken genotype": (lambda folder: _change(folder, arguments={"genotype": {"name": "x"}}), "schema"),
}


def _write(folder: Path, text: str) -> Path:
    (folder / "config.json").write_text(text)
    return folder


def _change(folder: Path, **changes: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    return _write(folder, json.dumps({**config, "detector": {**config["detector"], **changes}}))


def _other_weights(folder: Path) -> Path:
    return _change(folder, extras=[8, 8])


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_folder_is_one_clear_line(damage: str, tmp_path: Path) -> None:
    save(small(), tmp_path)
    spoil, words = DAMAGED[damage]
    with pytest.raises(ValueError) as refused:
        load(spoil(tmp_path))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_module_that_no_file_can_name_is_not_saved(tmp_path: Path) -> None:
    model = ssd(timm.create_model("mobilenetv3_small_050", features_only=True, out_indices=(3, 4)), 2, **SMALL)
    with pytest.raises(ValueError, match="give its timm name to ssd"):
        save(model, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_design_survives_json() -> None:
    design = replace(small().design, class_names=("Ä", "b"), category_ids=(9, 4), size=77, scales=(0.1, 0.5))
    assert Design.from_dict(json.loads(json.dumps(design.to_dict()))) == design
    assert assemble(design, small().backbone.body).design is design and nasarch.__version__


def test_the_public_names() -> None:
    import nasarch.export.ssd as public
    from nasarch.export.ssd import detector

    assert sorted(public.__all__) == ["cost", "load", "save", "ssd"]
    assert all(getattr(public, name) is getattr(detector, name) for name in public.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'assemble'"):
        public.assemble  # noqa: B018
