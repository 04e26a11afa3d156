"""DOTS (Gu et al., ICLR 2021 submission): section 3.1's operation search by groups, then section 3.2's search of edge pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from torch import Tensor

from nasarch.cells.genotype import resolve
from nasarch.cells.space import Space
from nasarch.search.recipes.dots import Dots

from .cells import Derived, best_operation, darts_rule, derived
from .data import Batch, Side
from .gradients import first_order
from .learner import Learner, LiteralSetup, cosine
from .record import Ended, Stage
from .softmaxes import (
    Allowed,
    candidates,
    edges_of_pairs,
    equal_edges,
    incoming,
    operation_weights,
    pair_weights,
    pairs,
    start,
)

GROUPS = (("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"), ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"))
LEAST = 1e-7  # of an operation's weight in the tables


def search(ground: LiteralSetup, settings: Dots) -> Ended:
    """One cosine of the learning rate over both stages, the second of which begins with new weights."""
    space, ended = ground.space.with_nodes(settings.nodes), Ended()
    allowed = _operations(ground, space, settings, ended) if settings.operations_from is None else _of_cell(space, settings.operations_from)
    _topology(ground, space, settings, allowed, ended)
    return ended


def _rate(settings: Dots, epoch: int) -> float:
    return cosine(settings.lr, settings.lr_end, epoch, settings.operation.epochs + settings.topology.epochs)


def _operations(ground: LiteralSetup, space: Space, settings: Dots, ended: Ended) -> Allowed:
    """Eq. 4 to 8: the best operation of each group stays on its edge (Table 5: of all but `none`, in one group)."""
    allowed, groups = candidates(space), GROUPS if settings.grouped else None
    alpha, _ = start(space, 0.0, ground.seed)
    temperature, edges_ZE = settings.operation.start, equal_edges(space, allowed)

    def weights() -> tuple[Tensor, Tensor]:
        return operation_weights(space, alpha, allowed, temperature=temperature, groups=groups), edges_ZE

    net = ground.network(allowed, space=space, channels=settings.channels, layers=settings.operation.layers)
    learner = Learner(net, [alpha], weights, settings, ended, stage=settings.operation)
    train, others = _sides(ground, settings, settings.operation.levels)
    for epoch in range(settings.operation.epochs):
        rate = _rate(settings, epoch)
        temperature = settings.operation.start * settings.operation.decay ** max(0, epoch - settings.operation.warmup)
        for batch in train.epoch():
            _step(learner, batch, others, rate, rests=epoch < settings.operation.warmup)
        tables = weights()[0].detach(), edges_ZE
        learner.end_epoch(darts_rule(space, tables[0], allowed), tables, rate=rate, temperature=temperature)
    ended.stages.append(Stage(net, alpha, {}, allowed))
    kept = GROUPS if settings.grouped else [[name for name in space.operations if name != "none"]]
    weight = [[dict(zip(space.operations, row, strict=True)) for row in kind] for kind in alpha.tolist()]
    best = [[{max(group, key=row.__getitem__) for group in kept} for row in kind] for kind in weight]
    return [[[name in names for name in space.operations] for names in kind] for kind in best]


def _of_cell(space: Space, name: str) -> Allowed:
    """Table 5: the operation that a cell has on an edge, on others all those that its node has."""
    cells = resolve(name).cells
    rows = []
    for kind in space.kinds:
        nodes = [[(op.source, op.operation) for op in node] for node in cells[kind].nodes]
        own = [[o for i, o in nodes[edge.target - 2] if i == edge.source] or [o for _, o in nodes[edge.target - 2]] for edge in space.edges]
        rows.append([[name in names for name in space.operations] for names in own])
    return rows


def _topology(ground: LiteralSetup, space: Space, settings: Dots, allowed: Allowed, ended: Ended) -> None:
    """Eq. 9 to 12: the best pair of edges of each node stays, the better of the operations that are left on each."""
    alpha, beta = start(space, 0.0, ground.seed)[0], pairs(space)
    temperature = settings.topology.start

    def weights() -> tuple[Tensor, Tensor]:
        operations = operation_weights(space, alpha, allowed, temperature=temperature * settings.operation_scale)
        return operations, edges_of_pairs(space, pair_weights(space, beta, temperature))

    net = ground.network(allowed, space=space, stage=1, channels=settings.channels, layers=settings.topology.layers)
    learner = Learner(net, [alpha, *beta.values()], weights, settings, ended, stage=settings.topology)
    train, others = _sides(ground, settings, settings.topology.levels)
    for epoch in range(settings.topology.epochs):
        rate = _rate(settings, settings.operation.epochs + epoch)
        temperature = settings.topology.start * settings.topology.decay ** max(0, epoch - settings.topology.warmup)
        for batch in train.epoch():
            _step(learner, batch, others, rate, rests=epoch < settings.topology.warmup)
        operations_ZEO, edges_ZE = (table.detach() for table in weights())
        for z, kind in enumerate(allowed):
            for e, row in enumerate(kind):
                operations_ZEO[z, e] = operations_ZEO[z, e].clamp(min=LEAST) * operations_ZEO.new_tensor(row)
        at_temperature, plain = (
            {place: weight.detach() for place, weight in pair_weights(space, beta, t).items()} for t in (temperature, 1.0)
        )
        found = _best_pairs(space, operations_ZEO, edges_ZE, at_temperature, allowed)
        learner.end_epoch(found, (operations_ZEO, edges_ZE), rate=rate, temperature=temperature, pairs=plain)
    ended.stages.append(Stage(net, alpha, beta, allowed))


def _sides(ground: LiteralSetup, settings: Dots, levels: int) -> tuple[Side, Iterator[Batch] | None]:
    """Eq. 8: a side for each level; eq. 12: all images for both."""
    if levels == 1:
        return ground.whole(settings), None
    train, valid = ground.sides(settings, settings.fractions)
    return train, valid.endless()


def _step(learner: Learner, batch: Batch, others: Iterator[Batch] | None, rate: float, *, rests: bool) -> None:
    if rests:
        learner.move_weights(batch, rate)
    elif others is None:
        learner.move_both(batch, rate)
    else:
        learner.move_architecture(first_order(learner.net, learner.arch, learner.weights, next(others)))
        learner.move_weights(batch, rate)


def _best_pairs(
    space: Space, operations_ZEO: Tensor, edges_ZE: Tensor, pair_weight: dict[tuple[int, int], Tensor], allowed: Allowed
) -> Derived:
    def choice(z: int, j: int) -> tuple[list[int], list[int]]:
        held = list(combinations(incoming(space, j), 2))
        best = max(range(len(held)), key=lambda s: float(pair_weight[z, j][s]))
        ranked = sorted(incoming(space, j), key=lambda e: -float(edges_ZE[z, e]))
        return [e for e in ranked if e in held[best]], [e for e in ranked if e not in held[best]]

    return derived(space, choice, lambda z, e: best_operation(space, operations_ZEO[z, e], allowed[z][e]), edges_ZE)
