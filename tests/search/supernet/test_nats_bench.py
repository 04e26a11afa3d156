"""The supernet of space `nats` is the search network of NATS-Bench (Dong et al. 2021), written out literally: float64 equality."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.space import NATS
from nasarch.search.supernet.candidates import all_candidates, only
from nasarch.search.supernet.network import Supernet
from tests.helpers.reference import TwinCell
from tests.literal.network import NatsTwin, pairs

RELATIVE = 1e-10
CANDIDATES = {"all": NATS.operations, "free": ("avg_pool_3x3", "skip_connect"), "conv": ("none", "nor_conv_3x3")}
OPERATIONS = torch.tensor([name != "none" for name in NATS.operations])


def both(mask: Tensor, partial: int) -> tuple[Supernet, NatsTwin]:
    torch.manual_seed(0)
    net = Supernet(NATS, mask, channels=8, layers=2, partial=partial).double()
    twin = NatsTwin(NATS, mask, channels=8, layers=2, partial=partial, num_classes=10).double()
    with torch.no_grad():
        for ours, theirs in pairs(net, twin):
            theirs.copy_(ours)
    return net, twin


def table(mask: Tensor) -> Tensor:
    logits = torch.randn(mask.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return logits.masked_fill(~mask, -torch.inf).softmax(2).requires_grad_()


def close(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).detach().abs().max() <= RELATIVE * theirs.detach().abs().max().clamp_min(1e-4)  # some gradients are zero


@pytest.mark.parametrize("partial", [1, 4])
@pytest.mark.parametrize("names", CANDIDATES.values(), ids=CANDIDATES)
def test_equals_the_literal_twin_in_logits_statistics_gradients_and_second_derivatives(names: tuple[str, ...], partial: int) -> None:
    mask = only(NATS, *names)
    net, twin = both(mask, partial)
    mix, ones = table(mask), torch.ones(1, len(NATS.edges), dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64), torch.randint(10, (4,), generator=generator)
    found = []
    for module, logits in ((net, net(x, mix)), (twin, twin(x, mix, ones))):
        inputs = [mix, *module.parameters()]
        loss = F.cross_entropy(logits, y)
        slopes = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True, materialize_grads=True)
        along = sum((g * p.detach()).sum() for g, p in zip(slopes[1:], inputs[1:], strict=True))
        products = torch.autograd.grad(along, inputs, allow_unused=True, materialize_grads=True)
        found.append((logits, slopes[0] * mask * OPERATIONS, products[0] * mask * OPERATIONS, slopes[1:], products[1:]))
    for ours, theirs in zip(*(row[:3] for row in found), strict=True):
        close(ours, theirs)
    for ours, theirs in pairs(net, twin):
        close(ours, theirs)  # running statistics among them
    for derivatives in zip(*(row[3:] for row in found), strict=True):
        for module, values in zip((net, twin), derivatives, strict=True):
            for parameter, value in zip(module.parameters(), values, strict=True):
                parameter.data = value.detach()
        for ours, theirs in pairs(net, twin):
            close(ours, theirs)


def test_has_the_benchmarks_layers() -> None:
    """16 channels, five cells a stage: six edges of a 1x1 and a 3x3 convolution each, no BN with weights but the network's own."""
    net = Supernet(NATS, all_candidates(NATS), channels=16, layers=5)
    cells = sum(5 * 6 * (1 + 9) * c**2 for c in (16, 32, 64))
    blocks = sum(9 * c * (c // 2 + c) + c * (c // 2) + 4 * c for c in (32, 64))
    ends = 3 * 9 * 16 + 2 * 16 + 2 * 64 + 64 * 10 + 10
    assert sum(p.numel() for p in net.parameters()) == cells + blocks + ends
    norms = [norm for cell in net.search_cells for norm in cell.modules() if isinstance(norm, nn.BatchNorm2d)]
    widths = 3 * 3 * 2 + 2 * 2 * 2 + 2  # edges by source and operation
    assert not any(norm.affine for norm in norms)
    assert sum(norm.num_features for norm in norms) < 5 * widths * (16 + 32 + 64)  # none of them after a pooling
    assert [type(layer) for layer in net.head] == [nn.BatchNorm2d, nn.ReLU, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]
    assert net.head[0].affine


@pytest.mark.parametrize("operation", ["avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3", "skip_connect"])
def test_a_supernet_of_one_operation_is_the_evaluation_network_of_that_cell(operation: str) -> None:
    """`nas_bench_201` has the layers of the supernet; the BN of its operations has weights, which start at one and zero."""
    mask = only(NATS, operation)
    net, twin = both(mask, 1)
    text = "+".join("|" + "|".join(f"{operation}~{i}" for i in range(j)) + "|" for j in (1, 2, 3))
    built = timm.create_model("nas_bench_201", genotype=text, cells=2, channels=8, num_classes=10).double()
    rest = {name: entry for name, entry in built.state_dict().items() if ".edges." not in name and "tracked" not in name}
    mine = [entry for name, entry in twin.state_dict().items() if ".operations." not in name and "tracked" not in name]
    assert [entry.shape for entry in rest.values()] == [entry.shape for entry in mine]
    built.load_state_dict(dict(zip(rest, mine, strict=True)), strict=False)
    edges = [edge for cell in twin.cells if isinstance(cell, TwinCell) for edge in cell.edges]
    theirs = [edge for name, edge in built.named_modules() if re.fullmatch(r"cells\.\d+\.nodes\.\d\.edges\.\d", name)]
    for edge, other in zip(edges, theirs, strict=True):
        for ours, built_conv in zip(_convolutions(edge), _convolutions(other), strict=True):
            built_conv.data.copy_(ours)
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    close(net(x, mask.double()), built.train()(x))


def _convolutions(module: nn.Module) -> list[Tensor]:
    return [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d)]
