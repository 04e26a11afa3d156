"""Supernets beside their literal twins, with the same weights and masks."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from nasarch.cells.space import DARTS
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
    found = list(zip(weights_of(net.stem), weights_of(twin.stem), strict=True)) + list(
        zip(weights_of(net.head), weights_of(twin.classifier), strict=True)
    )
    for cell, other in zip(net.cells, twin.cells, strict=True):
        found += list(zip(weights_of(cell.preprocess), weights_of(nn.ModuleList([other.pre0, other.pre1])), strict=True))
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
                        found += list(zip(ours, weights_of(module), strict=True))
    return found


def copy_of(share: nn.Module, operation: int, source: int, sources: int, place: int, edges: int) -> list[Tensor]:
    """The slices of the entries of `share` that are one of its operations on one of the edges from one of its sources."""
    if not isinstance(share, Convolutions):
        return [entry.chunk(sources)[source] for entry in weights_of(share.pools[operation])]
    at, name = [(f, k) for f, family in enumerate(share.names) for k in range(len(family))][operation]
    index, family = source * len(share.names[at]) + name, share.families[at]
    separate = [weights_of(layer.convs[index]) for layer in family.layers if isinstance(layer, Depthwise)]
    joint = [
        [w.chunk(family.layers[-1].blocks)[index] for w in weights_of(layer.conv)]
        for layer in family.layers
        if isinstance(layer, NormedConv)
    ]
    convs = [w for pair in itertools.zip_longest(separate, joint, fillvalue=[]) for ws in pair for w in ws]
    norms = [
        w.chunk(family.layers[-1].blocks)[index] for layer in family.layers if isinstance(layer, NormedConv) for w in weights_of(layer.norm)
    ]
    return [entry.chunk(edges)[place] for entry in convs + norms]


def weights_of(module: nn.Module) -> list[Tensor]:
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


def gradient_pairs(net: Supernet, twin: TwinSupernet) -> list[tuple[Tensor, Tensor]]:
    """As `pairs`, of the gradients: parameters are replaced by their gradients first."""
    for module in (net, twin):
        for p in module.parameters():
            p.data = p.grad if p.grad is not None else torch.zeros_like(p)
    return [(ours, theirs) for ours, theirs in pairs(net, twin) if theirs.requires_grad]
