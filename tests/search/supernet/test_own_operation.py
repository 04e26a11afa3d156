"""An own operation in the supernet is the operation on every edge, weighted, also from two nodes at once and with partial channels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional as F

from nasarch.cells.space import DARTS, NATS, Space
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.network import Supernet
from nasarch.search.supernet.outgoing import OutgoingEdges
from nasarch.search.supernet.own_operation import OwnOperation
from tests.helpers.own_operation import registered


@pytest.fixture
def name() -> Iterator[str]:
    with registered() as name:
        yield name


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sources", [[0], [0, 1]])
def test_edges_with_an_own_operation_are_the_literal_sum(name: str, sources: list[int], stride: int) -> None:
    """Beside a published operation, with half of the channels bypassed."""
    torch.manual_seed(0)
    space = DARTS.with_nodes(2).with_operations(("skip_connect", "max_pool_3x3", name))
    edges = OutgoingEdges(space, all_candidates(space)[0], sources, torch.arange(8), 4, stride).double()
    xs = [torch.randn(2, 8, 6, 6, dtype=torch.float64, requires_grad=True) for _ in sources]
    table = torch.rand(len(space.edges), 3, dtype=torch.float64)
    flat = F.pad(torch.cat([table, table.sum(1, keepdim=True)], dim=1), (0, 1)).flatten().requires_grad_()
    pairs = edges(xs, [flat[index] for index in edges.mix_index])
    (own,) = (branch for branch in edges.branches if isinstance(branch, OwnOperation))
    others = OutgoingEdges(
        space.with_operations(("skip_connect", "max_pool_3x3")), all_candidates(space)[0, :, :2], sources, torch.arange(8), 4, stride
    )
    assert len(edges.branches) == len(others.branches) + 1
    shares = {target: share for (target, share), kind in zip(pairs, kinds(edges), strict=True) if kind is own}
    for e, target in enumerate((2, 3)):
        rows = [space.edges.index((source, target)) for source in sources]  # type: ignore[arg-type]
        expected = sum(table[row, 2] * own.sources[s][e](xs[s][:, :4]) for s, row in enumerate(rows))  # type: ignore[index]
        assert (shares[target] - expected).abs().max() <= 1e-12  # type: ignore[union-attr]
    sum(share.square().sum() for _, share in pairs).backward()
    assert flat.grad is not None and (flat.grad.view(len(space.edges), -1)[rows, 2] != 0).all()


def kinds(edges: OutgoingEdges) -> list[torch.nn.Module]:
    """The branch of each pair that is given."""
    return [branch for branch, targets in zip(edges.branches, edges.targets, strict=True) for _ in targets]


@pytest.mark.parametrize(("space", "partial", "random"), [(DARTS, 1, False), (DARTS, 2, False), (DARTS, 2, True), (NATS, 1, False)])
def test_a_supernet_of_own_operations_gives_gradients_to_all_weights(name: str, space: Space, partial: int, random: bool) -> None:
    space = space.with_operations(("none", "skip_connect", name))
    net = Supernet(space, all_candidates(space), channels=8, layers=1 if space.inputs == 1 else 3, partial=partial, random_channels=random)
    mix = torch.rand(len(space.kinds), len(space.edges), 3, requires_grad=True)
    net(torch.rand(4, 3, 16, 16), mix).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert mix.grad is not None and (mix.grad[:, :, 1:] != 0).all() and (mix.grad[:, :, 0] == 0).all() == (partial == 1)
