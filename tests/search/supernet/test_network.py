"""The supernet is the literal per-edge twin, computed otherwise: float64 equality of everything that a search reads."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import saved_bytes
from benchmarks.supernet import sides
from nasarch.cells.space import DARTS, NATS
from nasarch.search.supernet.candidates import all_candidates, only
from nasarch.search.supernet.convolutions import Convolutions, Depthwise, NormedConv
from nasarch.search.supernet.network import SearchCell, Supernet
from tests.helpers.reference import TwinCell, TwinSupernet

RELATIVE = 1e-10


def irregular() -> Tensor:
    """Another few operations on every edge, some edges without any."""
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(2, 14, 8, generator=generator) < 0.3
    mask[:, [0, 3, 7, 12]] |= only(DARTS, "skip_connect", "sep_conv_3x3")[:, [0, 3, 7, 12]]
    mask[0, 4] = mask[1, 9] = False
    return mask


def chain() -> Tensor:
    """Skip connections, but nodes 4 and 5 read no input."""
    mask = only(DARTS, "skip_connect")
    mask[:, [e for e, edge in enumerate(DARTS.edges) if edge.source < 2 and edge.target > 3]] = False
    return mask


MASKS = {
    "all": all_candidates(DARTS),
    "skip": only(DARTS, "skip_connect"),
    "4op": only(DARTS, "none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"),
    "chain": chain(),
    "irregular": irregular(),
}


def pairs(net: Supernet, twin: TwinSupernet) -> list[tuple[Tensor, Tensor]]:
    """(entry of the supernet, entry of the twin): parameters and buffers that are the same thing. Entries of `net` may be slices."""
    found = list(zip(_state(net.stem), _state(twin.stem), strict=True)) + list(zip(_state(net.head), _state(twin.classifier), strict=True))
    for cell, other in zip(net.cells, twin.cells, strict=True):
        found += list(zip(_state(cell.preprocess), _state(nn.ModuleList([other.pre0, other.pre1])), strict=True))
        found += cell_pairs(cell, other)
    return found


def cell_pairs(cell: SearchCell, other: TwinCell) -> list[tuple[Tensor, Tensor]]:
    """As `pairs`, of all that lies on the edges of a cell."""
    found: list[tuple[Tensor, Tensor]] = []
    for outgoing in cell.outgoing:
        for branch, (edges, columns) in zip(outgoing.branches, outgoing.contents, strict=True):
            for s, row in enumerate(edges):
                for i, o in enumerate(columns):
                    twins = [other.edges[e].operations[str(o)] for e in row if str(o) in other.edges[e].operations]
                    for place, module in enumerate(twins):
                        ours = copy_of(branch, i, s, len(edges), place, len(row))
                        found += list(zip(ours, _state(module), strict=True))
    return found


def copy_of(share: nn.Module, operation: int, source: int, sources: int, place: int, edges: int) -> list[Tensor]:
    """The slices of the entries of `share` that are one of its operations on one of the edges from one of its sources."""
    if not isinstance(share, Convolutions):
        return [entry.chunk(sources)[source] for entry in _state(share.pools[operation])]
    at, name = [(f, k) for f, family in enumerate(share.names) for k in range(len(family))][operation]
    index, family = source * len(share.names[at]) + name, share.families[at]
    separate = [_state(layer.convs[index]) for layer in family.layers if isinstance(layer, Depthwise)]
    joint = [[w.chunk(family.size)[index] for w in _state(layer.conv)] for layer in family.layers if isinstance(layer, NormedConv)]
    convs = [w for pair in itertools.zip_longest(separate, joint, fillvalue=[]) for ws in pair for w in ws]
    norms = [w.chunk(family.size)[index] for layer in family.layers if isinstance(layer, NormedConv) for w in _state(layer.norm)]
    return [entry.chunk(edges)[place] for entry in convs + norms]


def _state(module: nn.Module) -> list[Tensor]:
    entries = [*module.named_parameters(), *module.named_buffers()]
    return [entry for name, entry in entries if not name.endswith("num_batches_tracked")]


def both(mask: Tensor, partial: int, layers: int = 3) -> tuple[Supernet, TwinSupernet]:
    """Three layers have a normal cell and two reduction cells."""
    torch.manual_seed(0)
    net = Supernet(DARTS, mask, channels=8, layers=layers, partial=partial).double()
    twin = TwinSupernet(DARTS, mask, channels=8, layers=layers, partial=partial).double()
    with torch.no_grad():
        for ours, theirs in pairs(net, twin):
            theirs.copy_(ours)
    return net, twin


def tables(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Operation weights that sum to one on every edge with candidates and positive edge weights, with gradients."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(mask.shape, generator=generator, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    operations = logits.softmax(2).nan_to_num(0.0)
    edges = torch.rand(mask.shape[:2], generator=generator, dtype=torch.float64)
    return operations.requires_grad_(), edges.requires_grad_()


def close(ours: Tensor, theirs: Tensor) -> None:
    ours, theirs = ours.detach(), theirs.detach()
    assert (ours - theirs).abs().max() <= RELATIVE * theirs.abs().max().clamp_min(1e-30)


def images(n: int = 4, size: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, 3, size, size, generator=generator, dtype=torch.float64), torch.randint(10, (n,), generator=generator)


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


def gradient_pairs(net: Supernet, twin: TwinSupernet) -> list[tuple[Tensor, Tensor]]:
    """As `pairs`, of the gradients: parameters are replaced by their gradients first."""
    for module in (net, twin):
        for p in module.parameters():
            p.data = p.grad if p.grad is not None else torch.zeros_like(p)
    return [(ours, theirs) for ours, theirs in pairs(net, twin) if theirs.requires_grad]


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
