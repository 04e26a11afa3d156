"""Layered graph drawing (Sugiyama, Tagawa and Toda 1981): the order and the heights of the nodes in each layer.

The order is chosen to cross few links, the heights to keep links short and those that only pass straight. Knows no cells and no widths.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

RESTARTS, WORK = 60, 200_000  # orders tried, and pairs of links compared for that; the best order is kept
SWEEPS, VISITS = 400, 200_000  # of the heights, and items visited in all of them


class Item(NamedTuple):
    """One item of a layer: a node, an operation, a wire that passes, or a port of the output; `number` tells them apart."""

    kind: str
    number: int
    layer: int

    @property
    def passes(self) -> bool:
        return self.kind in ("pass", "port")


class Link(NamedTuple):
    """A line from an item to one of the next layer."""

    left: Item
    right: Item


Layers = list[list[Item]]


# --- order -------------------------------------------------------------------------------------------------------------------


def order(layers: Layers, links: Sequence[Link]) -> Layers:
    """The layers in the order with the fewest crossings that some seeded starts find; the first layer keeps its order.

    Of a graph with so many links that there is no work for starts, each layer is only sorted: in time linear in the links.
    """
    generator = random.Random(0)
    near = _neighbours(links)
    attempts = min(RESTARTS, WORK // len(links) ** 2)
    if not attempts:
        return _sorted([list(layer) for layer in layers], near)
    starts = [layers] + [[layers[0]] + [generator.sample(layer, len(layer)) for layer in layers[1:]] for _ in range(attempts)]
    candidates = [_untangle([list(layer) for layer in start], near) for start in starts]
    return min(candidates, key=lambda candidate: (crossings(candidate, links), _disorder(candidate)))


def crossings(layers: Layers, links: Sequence[Link]) -> int:
    """How many pairs of links cross."""
    rank = _ranks(layers)
    ends = [(link.left.layer, rank[link.left], rank[link.right]) for link in links]
    pairs = ((a, b) for i, a in enumerate(ends) for b in ends[:i] if a[0] == b[0])
    return sum((a[1] - b[1]) * (a[2] - b[2]) < 0 for a, b in pairs)


def _neighbours(links: Sequence[Link]) -> dict[Item, list[Item]]:
    near: dict[Item, list[Item]] = defaultdict(list)
    for left, right in links:
        near[left].append(right)
        near[right].append(left)
    return near


def _untangle(layers: Layers, near: Mapping[Item, Sequence[Item]]) -> Layers:
    """Sort the layers, then swap neighbours while that helps."""
    layers = _sorted(layers, near)
    while any([_swap(layers, layer, near) for layer in range(1, len(layers))]):
        pass
    return layers


def _sorted(layers: Layers, near: Mapping[Item, Sequence[Item]]) -> Layers:
    """Sort each layer by the mean position of its neighbours, to the right and back."""
    for sweep in range(8):
        step = 1 if sweep % 2 == 0 else -1
        for layer in range(1, len(layers)) if step > 0 else range(len(layers) - 2, 0, -1):
            layers[layer] = _by_neighbours(layers[layer], layers[layer - step], near)
    return layers


def _by_neighbours(layer: list[Item], beside: list[Item], near: Mapping[Item, Sequence[Item]]) -> list[Item]:
    rank = _ranks([beside])
    ranks = {item: [rank[other] for other in near[item] if other in rank] or [position] for position, item in enumerate(layer)}
    return sorted(layer, key=lambda item: sum(ranks[item]) / len(ranks[item]))


def _swap(layers: Layers, layer: int, near: Mapping[Item, Sequence[Item]]) -> bool:
    """Swap neighbours of one layer where that saves crossings; whether it did."""
    rank = _ranks(layers[layer - 1 : layer + 2])
    changed, items = False, layers[layer]
    for i in range(len(items) - 1):
        pairs = [(rank[a], rank[b]) for a in near[items[i]] for b in near[items[i + 1]] if a.layer == b.layer]
        if sum(a > b for a, b in pairs) > sum(a < b for a, b in pairs):
            items[i], items[i + 1] = items[i + 1], items[i]
            changed = True
    return changed


def _ranks(layers: Iterable[Sequence[Item]]) -> dict[Item, int]:
    return {item: position for layer in layers for position, item in enumerate(layer)}


def _disorder(layers: Layers) -> int:
    """How many pairs of nodes, or of ports, of one layer are not in the order of their numbers."""
    numbers = [[item.number for item in layer if item.kind in ("node", "port")] for layer in layers]
    return sum(a > b for layer in numbers for i, a in enumerate(layer) for b in layer[i:])


# --- heights -----------------------------------------------------------------------------------------------------------------


def heights(layers: Layers, links: Sequence[Link], distance: Callable[[Item, Item], float]) -> dict[Item, float]:
    """y of each item, downwards: the weighted rise of all links is least (solved layer by layer, in turn), neighbours keep `distance`.

    The first sweeps minimise squared rises. For links that only pass, the later ones turn, by reweighting, to the rise
    itself, which leaves few bends.
    """
    gaps = [[distance(a, b) for a, b in zip(layer, layer[1:], strict=False)] for layer in layers]
    y = {item: top - sum(gap) / 2 for layer, gap in zip(layers, gaps, strict=True) for item, top in zip(layer, _offsets(gap), strict=True)}
    near = _neighbours(links)
    sweeps = min(SWEEPS, max(1, VISITS // len(y)))
    for sweep in range(sweeps):
        softness = 2.0 ** (4 - 12 * sweep / sweeps)
        for layer, gap in list(zip(layers, gaps, strict=True))[:: 1 if sweep % 2 else -1]:
            pulls = [[(y[b], _pull(a, b, y[b] - y[a], softness)) for b in near[a]] or [(y[a], 1.0)] for a in layer]
            weights = [sum(weight for _, weight in pull) for pull in pulls]
            targets = [sum(goal * weight for goal, weight in pull) / total for pull, total in zip(pulls, weights, strict=True)]
            y.update(zip(layer, spread(targets, weights, gap), strict=True))
    return y


def _offsets(gaps: Sequence[float]) -> list[float]:
    """Where each item is, the first one at 0."""
    return list(accumulate(gaps, initial=0.0))


def _pull(a: Item, b: Item, rise: float, softness: float) -> float:
    """The weight of a link's squared rise; where both ends only pass, so that from `softness` on the rise counts once."""
    if a.passes and b.passes:
        return 7.0 / (min(softness, 1.0) + abs(rise))
    return 1.5 if a.passes or b.passes else 1.0


def spread(targets: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The positions nearest to `targets` (weighted squares) whose steps are at least `gaps`: pooling of adjacent violators."""
    offsets = _offsets(gaps)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight, offset in zip(targets, weights, offsets, strict=True):
        pools.append((value - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, u, m), (b, v, n) = pools[-2:]
            pools[-2:] = [((a * u + b * v) / (u + v), u + v, m + n)]
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
