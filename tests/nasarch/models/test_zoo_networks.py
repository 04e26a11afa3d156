"""The models of the zoo are the papers' networks, for the images and classes of their data: by name, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import nasarch
from nasarch.cells.genotype import Cell, Genotype, names, resolve
from nasarch.models.weight_files import as_safetensors
from nasarch.models.zoo import MODELS
from tests.helpers.small_training import rewired

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CIFAR100 = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# model: classes, side of the images and of the last map, share of the image shown, cells, channels of the stem and of the first node
NETWORKS = {
    "darts_v2_cifar": (10, 32, 8, 1.0, 20, [108], 36, CIFAR10),
    "dots_cifar100": (100, 32, 8, 1.0, 20, [108], 36, CIFAR100),
    "darts_v2_cifar_224": (1000, 224, 7, 0.875, 14, [24, 48, 48], 48, IMAGENET),
    "dots_cifar100_224": (1000, 224, 7, 0.875, 14, [24, 48, 48], 48, IMAGENET),
    "pc_darts_imagenet": (1000, 224, 7, 0.875, 14, [24, 48, 48], 48, IMAGENET),
    "ftso_nats_cifar": (10, 32, 8, 1.0, 3 * 5 + 2, [16], 16, CIFAR10),
    "pc_darts_cifar_shallow": (10, 32, 8, 1.0, 5, [48], 16, None),  # its weights say how images are prepared
    "nas_cifar": (10, 32, 8, 1.0, 20, [108], 36, CIFAR10),
    "nas_224": (1000, 224, 7, 0.875, 14, [24, 48, 48], 48, IMAGENET),
    "nas_bench_201": (10, 32, 8, 1.0, 17, [16], 16, CIFAR10),
}


def build(name: str, **more: object) -> nn.Module:
    genotype = {"nas_bench_201": "darts_nats_cifar"}.get(name, "pc_darts_cifar") if name.startswith("nas_") else None
    return timm.create_model(name, device="meta", **({"genotype": genotype} if genotype else {}), **more)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_is_the_network_of_its_paper(name: str) -> None:
    classes, side, last, shown, cells, stem, channels, statistics = NETWORKS[name]
    net = build(name)
    about = net.pretrained_cfg
    assert net.num_classes == about["num_classes"] == classes and net.fc.out_features == classes
    assert about["input_size"] == (3, side, side) and about["pool_size"] == (last, last)
    assert (about["crop_pct"], about["interpolation"]) == (shown, "bicubic" if statistics else "bilinear")
    assert (
        len(net.cells) == cells
        and [block[-1 if i == 0 and len(stem) == 1 else -2 if i == 0 else -1].num_features for i, block in enumerate(net.stem)] == stem
    )
    first = net.cells[0].preprocess[1]
    assert (first[1].out_channels if len(net.cells) != 17 else net.cells[0].out_channels) == channels
    if statistics is not None:
        assert (about["mean"], about["std"]) == statistics


def test_the_arguments_of_a_network_can_be_changed() -> None:
    for name in ("darts_v2_cifar", "nas_224", "ftso_nats_cifar"):
        net = build(name, cells=4, channels=6, num_classes=3, stem="cifar", in_chans=2)
        assert len(net.cells) == (14 if "nats" in name else 4) and net.num_classes == 3 and len(net.stem) == 1
        assert tuple(net.stem[0][0].weight.shape) == (6 if "nats" in name else 18, 2, 3, 3)


def test_every_genotype_has_the_models_of_its_space_and_data_set() -> None:
    expected = set()
    for name in names():
        genotype = resolve(name)
        small = genotype.space == "nats" or genotype.provenance["searched_on"] == "imagenet"
        expected |= {name} if small else {name, f"{name}_224"}
    assert {name for name in MODELS if not name.endswith("_shallow")} == expected
    assert all(MODELS[name].genotype == resolve(name.removesuffix("_224").removesuffix("_shallow")) for name in MODELS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("darts_v2_cifar", "DARTS (second order) cells searched on cifar10: 20 cells, 36 channels, 32x32 images"),
        ("pc_darts_imagenet", "PC-DARTS cells searched on imagenet: 14 cells, 48 channels, 224x224 images"),
        ("ftso_nats_cifar", "FTSO cells searched on cifar10: 5 cells a stage, 16 channels, 32x32 images"),
        ("nas_224", "the network of any genotype: 14 cells, 48 channels, 224x224 images"),
    ],
)
def test_a_description_says_cells_and_network(name: str, words: str) -> None:
    assert timm.get_pretrained_cfg(name).description == words


def test_a_model_is_described_with_what_its_genotype_knows() -> None:
    from nasarch.models.zoo import CIFAR, Model, _cfg
    from nasarch.models.zoo import CIFAR10 as DATA

    cells = dict(resolve("darts_v2_cifar").cells)
    bare = _cfg(Model("bare", CIFAR, DATA, Genotype("bare", "darts", cells)))
    assert (bare["origin_url"], bare["paper_name"], bare["paper_ids"]) == (None, None, None)
    assert bare["description"] == "bare cells searched on an unnamed data set: 20 cells, 36 channels, 32x32 images"
    about = {"paper": {"title": "T", "arxiv": "1.2"}, "source": {"repository": "https://x"}, "method": "M", "searched_on": "mine"}
    told = _cfg(Model("told", CIFAR, DATA, Genotype("told", "darts", cells, about)))
    assert (told["origin_url"], told["paper_name"], told["paper_ids"]) == ("https://x", "T", "arXiv:1.2")
    assert told["first_conv"] == "stem.0.0" and told["classifier"] == "fc"


def test_weights_of_other_cells_with_the_same_names_and_shapes_are_refused(tmp_path: Path) -> None:
    small = {"cells": 3, "channels": 4}
    net = timm.create_model("pc_darts_cifar", **small)
    for genotype, refused in ((net.genotype, False), (rewired(), True)):
        file = tmp_path / f"{genotype.name}.safetensors"
        file.write_bytes(as_safetensors(net.state_dict(), genotype))
        overlay = {"file": str(file)}
        if refused:
            words = "for the cells of rewired, and those of pc_darts_cifar are others .normal cell, node 5"
            with pytest.raises(ValueError, match=words):
                nasarch.create_model("pc_darts_cifar", pretrained=True, pretrained_cfg_overlay=overlay, **small)
        else:
            again = nasarch.create_model("pc_darts_cifar", pretrained=True, pretrained_cfg_overlay=overlay, **small)
            assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), net.state_dict().values(), strict=True))


def test_two_inner_nodes_make_a_model_too() -> None:
    cell = Cell(((("sep_conv_3x3", 0), ("skip_connect", 1)), (("max_pool_3x3", 2),)), (2, 3))
    net = timm.create_model("nas_cifar", genotype=Genotype("two", "darts", {"normal": cell, "reduction": cell}), device="meta")
    assert net.num_features == 2 * 4 * 36
