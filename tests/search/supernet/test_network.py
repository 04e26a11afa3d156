"""The supernet is the literal per-edge twin, computed otherwise: float64 equality of everything that a search reads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import saved_bytes
from benchmarks.supernet import sides
from nasarch.cells.space import DARTS, NATS
from nasarch.search.supernet.candidates import all_candidates, only
from nasarch.search.supernet.network import Supernet
from tests.helpers.reference import TwinCell
from tests.helpers.supernet_pairs import (
    MASKS,
    both,
    cell_pairs,
    close,
    gradient_pairs,
    images,
    pairs,
    tables,
)

CASES = [pytest.param(mask, partial, 16, id=f"{name}-{partial}") for name, mask in MASKS.items() for partial in (1, 2, 4)]
CASES += [pytest.param(MASKS["all"], partial, 18, id=f"odd maps that are halved-{partial}") for partial in (1, 4)]


@pytest.mark.parametrize(("size", "halved"), [(16, [8, 4]), (18, [9, 5]), (19, [10, 5])])
def test_reduction_cells_halve_maps_of_odd_size_rounded_up(size: int, halved: list[int]) -> None:
    net, twin = both(MASKS["all"], 1)
    seen: list[int] = []
    for cell in (*net.cells[1:], *twin.cells[1:]):
        cell.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[2]))
    (operations, edges), (x, _) = tables(MASKS["all"]), images(size=size)
    with torch.no_grad():
        net(x, operations * edges[:, :, None])
        twin(x, operations, edges)
    assert seen == halved * 2


@pytest.mark.parametrize(("mask", "partial", "size"), CASES)
def test_equals_the_literal_twin(mask: Tensor, partial: int, size: int) -> None:
    net, twin = both(mask, partial)
    (operations, edges), (x, y) = tables(mask), images(size=size)
    ours = net(x, operations * edges[:, :, None])
    loss = F.cross_entropy(ours, y)
    arch = torch.autograd.grad(loss, [operations, edges], retain_graph=True)
    loss.backward()
    theirs = twin(x, operations, edges)
    twin_loss = F.cross_entropy(theirs, y)
    twin_arch = torch.autograd.grad(twin_loss, [operations, edges], retain_graph=True)
    twin_loss.backward()

    close(ours, theirs)
    close(loss, twin_loss)
    live = mask & (torch.tensor([name != "none" for name in DARTS.operations]) | (partial > 1))
    close(arch[0] * live, twin_arch[0] * live)
    close(arch[1], twin_arch[1])
    for entry, other in pairs(net, twin):
        if not other.requires_grad:
            close(entry, other)
    assert all(p.grad.abs().max() > 0 for p in net.parameters())
    for entry, other in gradient_pairs(net, twin):
        close(entry, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mask", [MASKS["all"], MASKS["skip"]], ids=["all", "skip"])
def test_second_derivatives_equal_the_twins(mask: Tensor, training: bool) -> None:
    """The product of the Hessian with a vector that has the weights themselves as entries."""
    net, twin = (module.train(training) for module in both(mask, partial=2))
    (operations, edges), (x, y) = tables(mask), images()
    found = []
    for module, logits in ((net, net(x, operations * edges[:, :, None])), (twin, twin(x, operations, edges))):
        inputs = [operations, edges, *module.parameters()]
        loss = F.cross_entropy(logits, y)
        slope = torch.autograd.grad(loss, inputs[2:], create_graph=True, allow_unused=True, materialize_grads=True)
        along = sum((g * p.detach()).sum() for g, p in zip(slope, inputs[2:], strict=True))
        product = torch.autograd.grad(along, inputs, allow_unused=True, materialize_grads=True)
        found.append(product[:2])
        for p, value in zip(module.parameters(), product[2:], strict=True):
            p.grad = value
    live = mask & torch.tensor([name != "none" for name in DARTS.operations])
    close(found[0][0] * live, found[1][0] * live)
    close(found[0][1], found[1][1])
    for entry, other in gradient_pairs(net, twin):
        close(entry, other)


@pytest.mark.parametrize("partial", [1, 4])
def test_a_cell_of_nats_bench_equals_the_twin(partial: int) -> None:
    mask = all_candidates(NATS)[0]
    torch.manual_seed(0)
    net = Supernet(NATS, mask[None], channels=8, layers=1, partial=partial).double()
    cell, twin = net.cells[0], TwinCell(NATS, mask, 8, 8, 8, False, False, partial).double()
    with torch.no_grad():
        for ours, theirs in cell_pairs(cell, twin):
            theirs.copy_(ours)
    x, mix = torch.randn(4, 8, 9, 9, dtype=torch.float64), torch.rand(1, *mask.shape, dtype=torch.float64, requires_grad=True)
    ours, theirs = cell(x, x, net._gather(mix)[0]), twin(x, x, mix[0], torch.ones(len(mask), dtype=torch.float64))
    close(ours, theirs)
    gradients = [torch.autograd.grad(out.square().sum(), mix)[0] * (torch.arange(5) > 0) for out in (ours, theirs)]
    close(*gradients)


def test_a_step_launches_few_kernels_and_keeps_little() -> None:
    """The promises of benchmarks/supernet.py that no clock is needed for: PC-DARTS with 16 channels and 8 layers."""
    torch.manual_seed(0)
    ours, twin, _ = sides(4).values()
    batch = torch.randn(8, 3, 32, 32), torch.randint(10, (8,))
    assert max(ours.kernels(batch)) <= 3600
    kept, twin_kept = (saved_bytes(lambda side=side: side.loss(batch), [*side.net.parameters()]) for side in (ours, twin))
    assert kept <= twin_kept / 2.4


def test_runs_under_autocast() -> None:
    torch.manual_seed(0)
    net = Supernet(DARTS, all_candidates(DARTS), channels=8, layers=3, partial=2)
    mix = torch.rand(2, 14, 8, requires_grad=True)
    x, y = torch.randn(8, 3, 16, 16), torch.randint(10, (8,))
    found = []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = F.cross_entropy(net(x, mix), y)
        found.append([loss, *torch.autograd.grad(loss, [mix, *net.parameters()])])
    assert all(g.isfinite().all() and g.dtype == torch.float32 for g in found[0])
    assert abs(found[0][0] - found[1][0]) < 0.05 * found[1][0]


def test_gradients_have_the_same_bits_on_two_threads() -> None:
    torch.manual_seed(0)
    net = Supernet(DARTS, all_candidates(DARTS), channels=16, layers=3, partial=4).eval()
    mix, (x, y) = torch.rand(2, 14, 8, requires_grad=True), images(16)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = [torch.autograd.grad(F.cross_entropy(net(x.float(), mix), y), [mix, *net.parameters()]) for _ in range(4)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


@pytest.mark.parametrize(
    ("partial", "stem", "classes", "count"), [(1, "cifar", 10, 1_930_618), (4, "cifar", 10, 299_578), (2, "imagenet", 1000, 956_512)]
)
def test_has_the_published_number_of_parameters(partial: int, stem: str, classes: int, count: int) -> None:
    net = Supernet(DARTS, all_candidates(DARTS), channels=16, layers=8, partial=partial, stem=stem, num_classes=classes)
    assert sum(p.numel() for p in net.parameters()) == count


def test_builds_only_the_candidates() -> None:
    net = Supernet(DARTS, only(DARTS, "skip_connect", "none"), channels=16, layers=8, partial=4)
    assert not [name for name, p in net.named_parameters() if p.dim() == 4 and p.shape[1] == 1]  # no depthwise convolution


def test_keeps_no_counts_of_steps_and_no_tables_in_its_state() -> None:
    net = Supernet(DARTS, only(DARTS, "skip_connect"), channels=4, layers=3, partial=2)
    assert {name.rpartition(".")[2] for name in net.state_dict()} == {"weight", "bias", "running_mean", "running_var"}
    net.train()(torch.randn(2, 3, 8, 8), torch.rand(2, 14, 8))
    assert all(norm.num_batches_tracked is None for norm in net.modules() if isinstance(norm, nn.BatchNorm2d))


def test_refuses_what_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="partial=3 does not divide 16"):
        Supernet(DARTS, all_candidates(DARTS), partial=3)
    for wrong in ({"partial": 0}, {"partial": -2}, {"channels": 0, "partial": 1}):
        with pytest.raises(ValueError, match="does not divide .* channels: choose K among"):
            Supernet(DARTS, all_candidates(DARTS), **wrong)
    mask = all_candidates(DARTS)
    mask[1, 2:5] = False
    with pytest.raises(ValueError, match="node 3 of the reduction cell has no candidate"):
        Supernet(DARTS, mask)
    with pytest.raises(ValueError, match="unknown operation 'conv'.*sep_conv_3x3"):
        only(DARTS, "conv")
    with pytest.raises(ValueError, match="needs a Boolean mask"):
        Supernet(DARTS, mask[:1])


def parts(net: Supernet, mix: Tensor) -> list[Tensor]:
    """What is gathered, for all branches of all nodes of all cells."""
    return [part for cell in net._gather(mix) for node in cell for part in node]


def test_the_gradient_of_the_mixing_table_has_the_same_bits_on_several_threads() -> None:
    net = Supernet(DARTS, all_candidates(DARTS), channels=64, layers=3, partial=4)
    mix = torch.rand(2, 14, 8, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(part.shape, generator=generator) for part in parts(net, mix)]
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = {
            torch.autograd.grad(sum((part * w).sum() for part, w in zip(parts(net, mix), weights, strict=True)), mix)[0].numpy().tobytes()
            for _ in range(50)
        }
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1
