"""The supernet is the literal per-edge twin, computed otherwise: float64 equality of everything that a search reads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.search.candidates import all_candidates, only
from nasarch.search.fan import Convolutions
from nasarch.search.supernet import Supernet
from nasarch.space import DARTS
from tests.reference import TwinSupernet

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
        for fan in cell.fans:
            for share, (edges, columns) in zip(fan.shares, fan.contents, strict=True):
                for i, o in enumerate(columns):
                    if isinstance(share, Convolutions):
                        wide = nn.ModuleList([share.bodies[i], share.norms[i]])
                        for p, e in enumerate(edges):
                            slices = [entry.chunk(len(edges))[p] for entry in _state(wide)]
                            found += list(zip(slices, _state(other.edges[e].operations[str(o)]), strict=True))
                    else:
                        twins = [other.edges[e].operations[str(o)] for e in edges if str(o) in other.edges[e].operations]
                        found += [pair for module in twins for pair in zip(_state(share.pools[i]), _state(module), strict=True)]
    return found


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


def images(n: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, 3, 16, 16, generator=generator, dtype=torch.float64), torch.randint(10, (n,), generator=generator)


@pytest.mark.parametrize("partial", [1, 2, 4])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_equals_the_literal_twin(mask: Tensor, partial: int) -> None:
    net, twin = both(mask, partial)
    (operations, edges), (x, y) = tables(mask), images()
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
    for entry, other in _gradient_pairs(net, twin):
        close(entry, other)


def _gradient_pairs(net: Supernet, twin: TwinSupernet) -> list[tuple[Tensor, Tensor]]:
    """As `pairs`, of the gradients: parameters are replaced by their gradients first."""
    for module in (net, twin):
        for p in module.parameters():
            p.data = p.grad if p.grad is not None else torch.zeros_like(p)
    return [(ours, theirs) for ours, theirs in pairs(net, twin) if theirs.requires_grad]


@pytest.mark.parametrize(("partial", "count"), [(1, 1_930_618), (4, 299_578)])
def test_has_the_published_number_of_parameters(partial: int, count: int) -> None:
    net = Supernet(DARTS, all_candidates(DARTS), channels=16, layers=8, partial=partial)
    assert sum(p.numel() for p in net.parameters()) == count


def test_builds_only_the_candidates() -> None:
    net = Supernet(DARTS, only(DARTS, "skip_connect", "none"), channels=16, layers=8, partial=4)
    assert not [name for name, p in net.named_parameters() if p.dim() == 4 and p.shape[1] == 1]  # no depthwise convolution


def test_refuses_what_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="partial=3 does not divide 16"):
        Supernet(DARTS, all_candidates(DARTS), partial=3)
    mask = all_candidates(DARTS)
    mask[1, 2:5] = False
    with pytest.raises(ValueError, match="node 3 of the reduction cell has no candidate"):
        Supernet(DARTS, mask)
    with pytest.raises(ValueError, match="unknown operation 'conv'.*sep_conv_3x3"):
        only(DARTS, "conv")
    with pytest.raises(ValueError, match="needs a Boolean mask"):
        Supernet(DARTS, mask[:1])


def test_the_gradient_of_the_mixing_table_has_the_same_bits_on_several_threads() -> None:
    net = Supernet(DARTS, all_candidates(DARTS), channels=64, layers=3, partial=4)
    mix = torch.rand(2, 14, 8, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator) for shape in net.shapes]
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = {
            torch.autograd.grad(sum((part * w).sum() for part, w in zip(net._gather(mix), weights, strict=True)), mix)[0].numpy().tobytes()
            for _ in range(50)
        }
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1
