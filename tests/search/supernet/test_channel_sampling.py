"""Random channel sampling is the literal per-edge form with the same choices; a resumed search draws on."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from nasarch.cells.space import DARTS
from nasarch.compute import seeded
from nasarch.search.supernet.channel_sampling import Choice, Sampler, reordered, returned
from nasarch.search.supernet.network import Supernet
from tests.helpers.reference import TwinSupernet
from tests.helpers.supernet_pairs import MASKS, close, gradient_pairs, images, pairs, tables


def sampled(mask: Tensor, partial: int, seed: int = 0) -> Supernet:
    with seeded(seed):
        return Supernet(DARTS, mask, channels=8, layers=3, partial=partial, random_channels=True).double()


def chosen(net: Supernet) -> list[list[list[int]]]:
    """For each cell and edge, what the next pass takes; the generator is left as it was."""
    state = net.sampler.get_extra_state()
    choices = net.sampler(torch.device("cpu"))
    net.sampler.set_extra_state(state)
    taken = [[choice.order[:c].tolist() for choice in cell] for cell, (_, _, c) in zip(choices, net.sampler.widths, strict=True)]
    return [[nodes[edge.source] for edge in DARTS.edges] for nodes in taken]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("partial", [2, 4])
@pytest.mark.parametrize("mask", [MASKS["all"], MASKS["skip"], MASKS["irregular"]], ids=["all", "skip", "irregular"])
def test_equals_the_literal_twin(mask: Tensor, partial: int, training: bool) -> None:
    net = sampled(mask, partial).train(training)
    twin = TwinSupernet(DARTS, mask, channels=8, layers=3, partial=partial).double().train(training)
    with torch.no_grad():
        for ours, theirs in pairs(net, twin):
            theirs.copy_(ours)
    (operations, edges), (x, y) = tables(mask), images()
    channels = chosen(net)
    logits, twin_logits = net(x, operations * edges[:, :, None]), twin(x, operations, edges, channels)
    close(logits, twin_logits)
    F.cross_entropy(logits, y).backward()
    arch, edges.grad = edges.grad, None
    F.cross_entropy(twin_logits, y).backward()
    close(arch, edges.grad)
    for ours, theirs in gradient_pairs(net, twin):
        close(ours, theirs)


def test_evaluation_takes_the_first_channels() -> None:
    net = sampled(MASKS["4op"], 4).eval()
    assert all(taken == [0, 1] for taken in chosen(net)[0])
    assert net.train() and len({tuple(taken) for cell in chosen(net) for taken in cell}) > 3


def test_a_resumed_search_draws_what_it_would_have_drawn() -> None:
    net, (x, _) = sampled(MASKS["4op"], 4), images()
    mix = torch.rand(2, 14, 8, dtype=torch.float64) * MASKS["4op"]
    net(x, mix)
    state = deepcopy(net.state_dict())
    expected = net(x, mix)
    resumed = sampled(MASKS["4op"], 4, seed=1)
    resumed.load_state_dict(state)
    assert torch.equal(resumed(x, mix), expected)
    assert not torch.equal(net(x, mix), expected)


def test_the_same_seed_draws_the_same_channels() -> None:
    assert chosen(sampled(MASKS["4op"], 4)) == chosen(sampled(MASKS["4op"], 4)) != chosen(sampled(MASKS["4op"], 4, seed=1))


def test_the_numbers_that_a_seed_draws_never_change() -> None:
    """A search with the same seed takes the same channels in every version: of each row of numbers the places of the smallest."""
    widths = [(2, 6, 2), (3, 4, 1)]
    sampler = Sampler(widths)
    sampler.generator.manual_seed(5)
    cells = sampler(torch.device("cpu"))
    generator = torch.Generator().manual_seed(5)
    for cell, (nodes, channels, taken) in zip(cells, widths, strict=True):
        rows = torch.rand(nodes, channels, generator=generator).tolist()
        for choice, row in zip(cell, rows, strict=True):
            first = sorted(sorted(range(channels), key=row.__getitem__)[:taken])
            order = first + [c for c in range(channels) if c not in first]
            assert choice.order.tolist() == order
            assert choice.inverse.tolist() == [order.index(c) for c in range(channels)]


def test_the_generator_is_seeded_by_the_weights_seed() -> None:
    seeds = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        seeds.append(Sampler([(2, 4, 2)]).generator.initial_seed())
    torch.manual_seed(0)
    assert seeds[0] == seeds[1] == int(torch.randint(2**62, ())) != seeds[2]


def test_what_is_reordered_returns_with_its_gradient() -> None:
    order = torch.tensor([2, 0, 3, 1])
    choice = Choice(order, order.argsort())
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    there, back = reordered(x, choice, 1), returned(x, choice, 1)
    assert torch.equal(there, x[:, order]) and torch.equal(back[:, order], x)
    assert torch.equal(returned(there, choice, 1), x) and torch.equal(reordered(back, choice, 1), x)
    assert torch.equal(reordered(x.transpose(1, 2), choice, 2), there.transpose(1, 2))
    assert gradcheck(lambda x: reordered(x, choice, 1).square(), x) and gradgradcheck(lambda x: returned(x, choice, 1) ** 3, x)
