"""FTSO (Wang et al. 2024): Algorithm 1, the topology, and Algorithm 2, the operators."""

from __future__ import annotations

import torch
from torch import Tensor

from nasarch.cells.space import Space
from nasarch.search.recipes.ftso import Ftso

from .cells import Derived, best_operation, derived
from .gradients import first_order
from .learner import Learner, LiteralSetup, cosine
from .record import Ended, Stage
from .softmaxes import Allowed, Logits, candidates, equal_edges, incoming, operation_weights, start

TIE = 1e-5


def search(ground: LiteralSetup, settings: Ftso) -> Ended:
    """NATS-Bench keeps all edges: nothing is to be found there but operators."""
    ended = Ended()
    if ground.space.name == "nats":
        space = ground.space
        ones = torch.ones(1, len(space.edges), dtype=torch.float64)
        found = derived(space, lambda _, j: (incoming(space, j), []), lambda z, e: "", ones)
        return _operators(ground, space, settings, found, ones, ended)
    space = ground.space.with_nodes(settings.nodes)
    found, edges_ZE = _topology(ground, space, settings, ended)
    return _operators(ground, space, settings, found, edges_ZE, ended) if settings.operator == "gradient" else ended


def _topology(ground: LiteralSetup, space: Space, settings: Ftso, ended: Ended) -> tuple[Derived, Tensor]:
    """Algorithm 1: while in the first epoch, update beta on L_val, then w on L_train; prune what is below the second largest beta."""
    allowed = candidates(space, settings.topology_operation)
    alpha = start(space, 0.0, ground.seed)[0]
    beta = _beta({(z, j): len(incoming(space, j)) for z in range(len(space.kinds)) for j in space.inner_nodes}, settings)
    arch = [alpha, *beta.values()]
    every = {place: incoming(space, place[1]) for place in beta}

    def weights() -> tuple[Tensor, Tensor]:
        return operation_weights(space, alpha, allowed), _weigh(space, beta, every, settings)

    shape = {"channels": settings.channels, "layers": settings.layers, "partial": settings.partial}
    net = ground.network(allowed, space=space, **shape)
    learner = Learner(net, arch, weights, settings, ended)
    train, valid = ground.sides(settings, settings.fractions)
    others, done = valid.endless(), 0
    for epoch in range(settings.epochs):
        if done == settings.iterations:
            break
        rate = cosine(settings.lr, settings.lr_end, epoch, settings.epochs)
        for batch in train.epoch():
            slopes = first_order(net, arch, weights, next(others))
            learner.move_architecture(slopes)
            learner.move_weights(batch, rate)
            done += 1
            if done == settings.iterations:
                break
        operations_ZEO, edges_ZE = (table.detach() for table in weights())
        descents = {place: -slope for place, slope in zip(beta, slopes[1:], strict=True)}
        found = _pruned(space, settings, operations_ZEO, edges_ZE, descents, allowed)
        learner.end_epoch(found, (operations_ZEO, edges_ZE), rate=rate)
    ended.stages.append(Stage(net, alpha, beta, allowed))
    return found, edges_ZE


def _beta(counts: dict[tuple[int, int], int], settings: Ftso) -> Logits:
    """By cell kind and node one for each edge: under a softmax zeros, by themselves as much as that softmax would give."""
    values = {place: 0.0 if settings.edge_softmax else 1 / count for place, count in counts.items()}
    return {place: torch.full((count,), values[place], dtype=torch.float64, requires_grad=True) for place, count in counts.items()}


def _weigh(space: Space, beta: Logits, edges: dict[tuple[int, int], list[int]], settings: Ftso) -> Tensor:
    """[Z, E]: beta of these edges into each node, or PC-DARTS' softmax over them; zero on all others."""
    table = [[torch.zeros((), dtype=torch.float64) for _ in space.edges] for _ in space.kinds]
    for (z, j), own in beta.items():
        for weight, e in zip(own.exp() / own.exp().sum() if settings.edge_softmax else own, edges[z, j], strict=True):
            table[z][e] = weight
    return torch.stack([torch.stack(row) for row in table])


def _pruned(space: Space, settings: Ftso, operations_ZEO: Tensor, edges_ZE: Tensor, descents: Logits, allowed: Allowed) -> Derived:
    """Two edges of each node stay; betas that are equal to within `TIE` are ranked by the steepness of their last descent."""

    def choice(z: int, j: int) -> tuple[list[int], list[int]]:
        def rank(e: int) -> tuple[float, float]:
            value = edges_ZE[z, e].log() if settings.edge_softmax else edges_ZE[z, e]
            return -round(float(value) / TIE), -float(descents[z, j][incoming(space, j).index(e)])

        ranked = sorted(incoming(space, j), key=rank)
        return ranked[:2], ranked[2:]

    def name(z: int, e: int) -> str:
        return settings.operation if settings.operator == "replace" else best_operation(space, operations_ZEO[z, e], allowed[z][e])

    return derived(space, choice, name, edges_ZE)


def _operators(ground: LiteralSetup, space: Space, settings: Ftso, topology: Derived, edges_ZE: Tensor, ended: Ended) -> Ended:
    """Algorithm 2: alpha on L_val, then w on L_train, on the edges that are left; beta has done its work."""
    kept = [
        [[space.edges.index((i, j)) for _, i in node] for j, node in zip(space.inner_nodes, topology.cells[kind], strict=True)]
        for kind in space.kinds
    ]
    allowed = candidates(space, edges=[sum(nodes, []) for nodes in kept])
    alpha, _ = start(space, 0.0, ground.seed)
    ones = equal_edges(space, allowed)
    held = {(z, j): sorted(kept[z][n]) for z in range(len(space.kinds)) for n, j in enumerate(space.inner_nodes)}
    beta = _beta({place: len(edges) for place, edges in held.items()}, settings) if settings.operator_beta else {}

    def weights() -> tuple[Tensor, Tensor]:
        return operation_weights(space, alpha, allowed), _weigh(space, beta, held, settings) if beta else ones

    shape = {"channels": settings.channels, "layers": settings.layers, "partial": settings.partial}
    net = ground.network(allowed, space=space, stage=1, **shape)
    learner = Learner(net, [alpha, *beta.values()], weights, settings, ended)
    train, valid = ground.sides(settings, settings.fractions)
    others = valid.endless()
    for epoch in range(settings.operator_epochs):
        rate = cosine(settings.lr, settings.lr_end, epoch, settings.operator_epochs)
        for batch in train.epoch():
            learner.move_architecture(first_order(net, [alpha, *beta.values()], learner.weights, next(others)))
            learner.move_weights(batch, rate)
        operations_ZEO = operation_weights(space, alpha, allowed).detach()
        cells = {
            kind: [[(best_operation(space, operations_ZEO[z, e], allowed[z][e]), space.edges[e].source) for e in node] for node in kept[z]]
            for z, kind in enumerate(space.kinds)
        }
        learner.end_epoch(Derived(cells, topology.margins), (operations_ZEO, edges_ZE), rate=rate)
    ended.stages.append(Stage(net, alpha, beta, allowed))
    return ended
