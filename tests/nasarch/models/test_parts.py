"""The parts of a network are the layers that the built network runs, recorded by forward hooks: shapes and numbers."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cells.random_cells import random_cells
from nasarch.cells.space import DARTS, NATS
from nasarch.models.cell import Cell, Node, ResidualReduction
from nasarch.models.cost import FeatureMap, Part, network_parts
from nasarch.models.network import CellNetwork

NETWORKS = {
    "random cells": (random_cells(DARTS, random.Random(0), "a"), {"stem": "cifar", "cells": 5, "channels": 4, "num_classes": 3}, 16),
    "more random cells": (
        random_cells(DARTS, random.Random(1), "b"),
        {"stem": "imagenet", "cells": 6, "channels": 8, "num_classes": 7},
        64,
    ),
    "odd size": (resolve("amoebanet_a_cifar"), {"stem": "imagenet", "cells": 4, "channels": 6, "num_classes": 3}, 75),
    "unread nodes": (resolve("snas_aggressive_cifar"), {"stem": "cifar", "cells": 4, "channels": 4, "num_classes": 2}, 17),
    "nats": (random_cells(NATS, random.Random(2), "c"), {"stem": "cifar", "cells": 2, "channels": 4, "num_classes": 5}, 31),
}
Shapes = tuple[tuple[int, ...], ...]


def executed(genotype: Genotype, arguments: dict[str, Any], size: int) -> Counter[tuple[str, Shapes, tuple[int, ...]]]:
    """Name, input shapes and output shape of every layer that the network runs for one image."""
    net = CellNetwork(genotype, **arguments).eval()
    seen = Counter[tuple[str, Shapes, tuple[int, ...]]]()

    def watch(module: nn.Module, name: str) -> None:
        def record(_: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
            seen[name, tuple(tuple(x.shape[1:]) for x in given), tuple(out.shape[1:])] += 1

        module.register_forward_hook(record)

    def watch_sum(node: Node) -> None:
        def record(_: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
            seen["sum of edges", (tuple(out.shape[1:]),) * len(node.edges), tuple(out.shape[1:])] += len(node.edges) > 1

        node.register_forward_hook(record)

    def watch_output(cell: Cell, channels: int) -> None:
        def record(_: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
            seen["cell output", ((channels, *out.shape[2:]),) * len(cell.concat), tuple(out.shape[1:])] += len(cell.concat) > 1

        cell.register_forward_hook(record)

    for i, cell in enumerate(net.cells):
        if isinstance(cell, ResidualReduction):
            watch(cell, "residual block")
            continue
        assert isinstance(cell, Cell)
        kind = "reduction" if genotype.space == "darts" and i in (len(net.cells) // 3, 2 * len(net.cells) // 3) else "normal"
        for module in cell.preprocess:
            if isinstance(module, nn.Sequential):
                watch(module, "1x1 preprocessing" if isinstance(module[1], nn.Conv2d) else "/2 preprocessing")
        for name, node in cell.nodes.items():
            assert isinstance(node, Node)
            watch_sum(node)
            real = [edge for edge in genotype.cells[kind].edges_of(int(name)) if edge.operation != "none"]
            for edge, module in zip(real, node.edges, strict=False):
                if not isinstance(module, nn.Identity):
                    watch(module, edge.operation)
        watch_output(cell, cell.out_channels // len(cell.concat))
    with torch.no_grad():
        image = torch.randn(1, 3, size, size)
        watch(net.stem[-1], "last block of the stem")
        net(image)
        last = net.forward_features(image)
    (stem_out,) = [out for name, _, out in seen if name == "last block of the stem"]
    seen = Counter({key: count // 2 for key, count in seen.items() if key[0] != "last block of the stem"})  # two passes
    seen[f"{arguments['stem']} stem", ((3, size, size),), stem_out] += 1
    head = "head" if genotype.space == "darts" else "normalized head"
    seen[head, (tuple(last.shape[1:]),), (arguments["num_classes"],)] += 1
    return +seen


def predicted(genotype: Genotype, arguments: dict[str, Any], size: int) -> Counter[tuple[str, Shapes, tuple[int, ...]]]:
    seen = Counter[tuple[str, Shapes, tuple[int, ...]]]()
    for part in network_parts(genotype, size=size, **arguments):
        with torch.no_grad():
            out = part.build()(*(torch.zeros(1, x.channels, x.size, x.size) for x in part.inputs))
        seen[part.name, tuple((x.channels, x.size, x.size) for x in part.inputs), tuple(out.shape[1:])] += 1
    return seen


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_are_the_layers_that_the_network_runs(name: str) -> None:
    genotype, arguments, size = NETWORKS[name]
    assert predicted(genotype, arguments, size) == executed(genotype, arguments, size)


def test_a_part_is_named_with_its_shapes() -> None:
    assert str(Part("sep_conv_3x3", (FeatureMap(48, 28),), 48, 2)) == "sep_conv_3x3, 48x28x28 to 48 channels, stride 2"
    assert str(Part("sum of edges", (FeatureMap(4, 7),) * 2, 4)) == "sum of edges, 4x7x7 + 4x7x7 to 4 channels, stride 1"
