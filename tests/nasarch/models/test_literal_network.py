"""The networks of the zoo are those that tests/literal/zoo_network.py writes out: logits, maps and auxiliary logits, on maps of even and
odd size."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import timm
import torch
from torch import Tensor, nn

from nasarch.cells.genotype import Cell, Genotype, Op, resolve
from nasarch.models.network import CellNetwork
from tests.literal.zoo_network import LiteralNetwork

Size = tuple[int, int]

EVERY = Cell(  # each operation on an input, and on an inner node
    (
        (Op("sep_conv_3x3", 0), Op("max_pool_3x3", 1), Op("conv_7x1_1x7", 0)),
        (Op("sep_conv_5x5", 1), Op("avg_pool_3x3", 0), Op("skip_connect", 2), Op("none", 1)),
        (Op("dil_conv_3x3", 0), Op("sep_conv_7x7", 1), Op("avg_pool_3x3", 3), Op("sep_conv_3x3", 2)),
        (Op("dil_conv_5x5", 1), Op("skip_connect", 0), Op("max_pool_3x3", 2), Op("dil_conv_3x3", 4), Op("conv_7x1_1x7", 3)),
        (Op("skip_connect", 1), Op("sep_conv_5x5", 2), Op("dil_conv_5x5", 3), Op("conv_3x1_1x3", 0)),
    ),
    (2, 3, 4, 5, 6),
)
UNREAD = Cell(  # nobody reads node 2; node 3 is zero; the output does not depend on the older input
    ((Op("sep_conv_5x5", 0),), (Op("none", 0), Op("none", 1)), (Op("dil_conv_3x3", 1), Op("skip_connect", 3), Op("max_pool_3x3", 1))),
    (3, 4),
)


class Case(NamedTuple):
    """A network, the size of its images, and of each feature map channels, reduction and size, all by hand."""

    genotype: Genotype
    stem: str
    cells: int
    image: Size
    channels: list[int]
    sizes: list[Size]


def both(cell: Cell, name: str) -> Genotype:
    return Genotype(name, "darts", {"normal": cell, "reduction": cell})


CIFAR_3, CIFAR_5 = [(9, 14), (5, 7), (3, 4)], [(13, 10), (7, 5), (4, 3)]
IMAGENET_4 = [(33, 40), (17, 20), (9, 10), (5, 5), (3, 3)]
IMAGENET_3 = [(33, 17), (17, 9), (9, 5), (5, 3), (3, 2)]
CASES = {
    "each operation, even and odd": Case(both(EVERY, "every"), "cifar", 3, (9, 14), [20, 40, 80], CIFAR_3),
    "each operation behind ImageNet's stem": Case(both(EVERY, "every"), "imagenet", 4, (65, 79), [2, 4, 20, 40, 80], IMAGENET_4),
    "pc_darts": Case(resolve("pc_darts_cifar"), "cifar", 5, (13, 10), [16, 32, 64], CIFAR_5),
    "pc_darts behind ImageNet's stem": Case(resolve("pc_darts_imagenet"), "imagenet", 4, (65, 79), [2, 4, 16, 32, 64], IMAGENET_4),
    "a reduction cell follows at once": Case(resolve("dots_imagenet"), "imagenet", 3, (66, 33), [2, 4, 16, 32, 64], IMAGENET_3),
    "some nodes concatenated": Case(resolve("amoebanet_a_cifar"), "cifar", 5, (13, 10), [12, 24, 48], CIFAR_5),
    "other concatenations in reduction cells": Case(resolve("nasnet_a_cifar"), "cifar", 3, (9, 14), [20, 24, 48], CIFAR_3),
    "missing nodes": Case(resolve("fair_darts_c_cifar"), "cifar", 5, (13, 10), [12, 24, 48], CIFAR_5),
    "nodes of none": Case(resolve("snas_aggressive_cifar"), "imagenet", 4, (65, 79), [2, 4, 16, 32, 64], IMAGENET_4),
    "many edges": Case(resolve("bayesnas_0005_cifar"), "cifar", 4, (13, 10), [16, 32, 64], CIFAR_5),
    "unread nodes": Case(both(UNREAD, "unread"), "cifar", 3, (9, 14), [8, 16, 32], CIFAR_3),
    "nats": Case(resolve("ftso_nats_cifar"), "cifar", 2, (13, 10), [4, 8, 16], CIFAR_5),
    "nats behind ImageNet's stem": Case(resolve("darts_nats_cifar"), "imagenet", 1, (65, 79), [2, 4, 4, 8, 16], IMAGENET_4),
}


def lively(net: nn.Module, x: Tensor) -> nn.Module:
    """Batch normalisations with weights of their own, and with the statistics of these images as running ones."""
    generator = torch.Generator().manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            for parameter in (module.weight, module.bias):
                parameter.data.copy_(0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64))
    net.train()(x)
    return net


def images(size: Size, batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape and theirs.abs().max() > 1e-3
    assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max()


def network(case: Case, **more: Any) -> CellNetwork:
    torch.manual_seed(0)
    return CellNetwork(case.genotype, num_classes=5, cells=case.cells, channels=4, stem=case.stem, dtype=torch.float64, **more)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_network_is_the_literal_one_and_its_maps_have_the_sizes_of_the_papers(name: str, training: bool) -> None:
    case, x = CASES[name], images(CASES[name].image)
    net = lively(network(case, aux_head=True), x).train(training)
    literal = LiteralNetwork(
        case.genotype, net.state_dict(), stem=case.stem, cells=case.cells, channels=4, training=training, auxiliary=training
    )
    expected = literal(x)
    with torch.no_grad():
        out = net(x)
        for ours, key in zip(out if training else (out,), ("logits", "auxiliary"), strict=False):
            close(ours, expected[key])
        close(net.forward_features(x), expected["features"])
        last, maps = net.forward_intermediates(x)
    close(last, expected["features"])
    for ours, info, size in zip(maps, net.feature_info, case.sizes, strict=True):
        close(ours, expected["layers"][info["module"]])
        assert ours.shape[2:] == size
    assert [info["num_chs"] for info in net.feature_info] == [m.shape[1] for m in maps] == case.channels
    assert [info["reduction"] for info in net.feature_info] == ([1, 2, 4] if case.stem == "cifar" else [2, 4, 8, 16, 32])
    assert all(key.startswith("aux_head.") and not training for key in literal.unused)


@pytest.mark.parametrize("name", ["pc_darts", "pc_darts behind ImageNet's stem", "nats"])
@pytest.mark.parametrize("size", [7, 8, 9, 11, 12])
def test_the_auxiliary_tower_pools_window_by_window(name: str, size: int) -> None:
    """Maps below and above 5 + stride pixels, with stride 3 and 2: at 7 only ImageNet's has room for two windows."""
    case = CASES[name]
    net = lively(network(case, aux_head=True), images(case.image))
    tower = net.aux_head
    assert tower is not None
    state = {f"aux_head.{key}": value for key, value in tower.state_dict().items()}
    literal = LiteralNetwork(case.genotype, state, stem=case.stem, cells=case.cells, channels=4, training=True)
    for shape in ((size, size), (size, size + 3), (size + 3, size)):
        x = torch.randn(3, tower.reduce[0].in_channels, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        close(tower(x).detach(), literal._tower(x).detach())


def test_the_tower_has_a_classifier_from_one_class_on() -> None:
    for classes, width in ((0, 768), (1, 1), (2, 2)):
        net = CellNetwork("pc_darts_cifar", num_classes=classes, cells=3, channels=4, aux_head=True).train()
        logits, auxiliary = net(torch.randn(2, 3, 16, 16))
        assert auxiliary.shape == (2, width) and logits.shape == (2, classes or net.num_features)


POOLED = {
    "avg": lambda x: x.mean((2, 3)),
    "max": lambda x: x.amax((2, 3)),
    "avgmax": lambda x: (x.mean((2, 3)) + x.amax((2, 3))) / 2,
    "catavgmax": lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1),
}


@pytest.mark.parametrize("pooling", POOLED)
def test_the_head_reads_the_pooled_map(pooling: str) -> None:
    x = images((16, 16))
    changed = network(CASES["pc_darts"], global_pool="max" if pooling == "avg" else "avg")
    changed.reset_classifier(5, pooling)
    for net in (network(CASES["pc_darts"], global_pool=pooling), changed):
        lively(net, x).eval()
        features = net.forward_features(x)
        expected = POOLED[pooling](features)
        assert net.head_hidden_size == expected.shape[1] == net.get_classifier().in_features
        close(net.forward_head(features, pre_logits=True).detach(), expected.detach())
        close(net(x).detach(), (expected @ net.fc.weight.T + net.fc.bias).detach())


def test_dropout_stands_between_pooling_and_classifier_while_training() -> None:
    net, x = network(CASES["pc_darts"], drop_rate=0.25), images((16, 16), batch=8)
    features = net.eval().forward_features(x)
    pooled = net.forward_head(features, pre_logits=True)
    close(pooled, features.mean((2, 3)))
    torch.manual_seed(0)
    dropped = net.train().forward_head(features, pre_logits=True)
    kept = dropped != 0
    close(dropped[kept], pooled[kept] / 0.75)
    assert 0.15 < 1 - kept.double().mean() < 0.35


def test_the_size_of_the_stem_follows_the_channels_of_the_images() -> None:
    for stem, out in (("cifar", 12), ("imagenet", 2)):
        net = timm.create_model("nas_cifar", genotype="pc_darts_cifar", cells=3, channels=4, stem=stem, in_chans=5)
        assert net.stem[0][0].weight.shape == (out, 5, 3, 3) and net.in_chans == 5 and net(torch.randn(2, 5, 64, 64)).shape == (2, 10)


def test_the_first_weights_are_those_of_pytorch_as_in_the_published_code() -> None:
    """Kaiming's uniform with a = sqrt(5): between -1 / sqrt(fan in) and 1 / sqrt(fan in), of variance 1 / (3 fan in)."""
    torch.manual_seed(0)
    net = CellNetwork("pc_darts_cifar", num_classes=10, cells=3, channels=32, aux_head=True)
    for again in (False, True):
        if again:
            net.init_weights()
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.numel() > 2000:
                weight, fan_in = module.weight.detach(), module.weight[0].numel()
                assert 0.98 * fan_in**-0.5 < weight.abs().max() <= fan_in**-0.5
                assert float(weight.var()) == pytest.approx(1 / (3 * fan_in), rel=0.15)
            if isinstance(module, nn.BatchNorm2d):
                assert (module.weight == 1).all() and not module.bias.any() and module.eps == 1e-5 and module.momentum == 0.1
