"""eDARTS (Siddiqui et al. 2020): DARTS along a path, with rare updates of alpha, weight constants and few images (section III)."""

from __future__ import annotations

import torch
from torch import Tensor

from nasarch.search.recipes.edarts import Edarts

from .cells import best_operation, best_weight, darts_rule, derived
from .gradients import finite_differences, first_order
from .learner import Learner, LiteralSetup, cosine
from .record import Ended, Stage
from .softmaxes import candidates, equal_edges, operation_weights, start

CONSTANTS = {"sep_conv_3x3": 0.0006, "sep_conv_5x5": 0.0004, "dil_conv_5x5": -0.0006, "dil_conv_3x3": -0.0004}  # sec. IV-C


def search(ground: LiteralSetup, settings: Edarts) -> Ended:
    """alpha moves in the last step but one of an epoch (`sparse`); the constants are added where the reading says."""
    space, ended = ground.space.with_nodes(settings.nodes), Ended()
    sources = None if settings.path is None else [[int(letter) for letter in group] for group in settings.path.split("-")]
    path = None if sources is None else [[space.edges.index((i, j)) for i in node] for j, node in enumerate(sources, start=2)]
    allowed = candidates(space, settings.operations, None if path is None else [sum(path, [])] * 2)
    count = len(ground.data.train)
    share = 0.5 if settings.images is None else settings.images / count
    train, valid = ground.sides(settings, (share, share))
    others = valid.endless()
    alpha, _ = start(space, settings.init_std, ground.seed)
    constants_O = torch.tensor([CONSTANTS.get(name, 0.0) for name in space.operations], dtype=torch.float64)
    if settings.attention == "start":
        alpha.data += constants_O
    edges_ZE = equal_edges(space, allowed)

    def weights() -> tuple[Tensor, Tensor]:
        constants = CONSTANTS if settings.attention == "forward" else None
        return operation_weights(space, alpha, allowed, constants=constants), edges_ZE

    net = ground.network(allowed, space=space, channels=settings.channels, layers=settings.layers)
    learner = Learner(net, [alpha], weights, settings, ended)
    for epoch in range(settings.epochs):
        rate = cosine(settings.lr, settings.lr_end, epoch, settings.epochs)
        batches = list(train.epoch())
        for step, batch in enumerate(batches, start=1):
            other = next(others)
            moves = not settings.sparse or step == (len(batches) - 1 if len(batches) > 1 else 1)
            if moves and settings.order == "second":
                learner.move_architecture(finite_differences(net, [alpha], weights, batch, other, learner.sgd, rate))
            elif moves:
                learner.move_architecture(first_order(net, [alpha], weights, other))
            learner.move_weights(batch, rate)
            if moves and settings.attention == "update":
                alpha.data += constants_O
        operations_ZEO = weights()[0].detach()
        if path is None:
            found = darts_rule(space, operations_ZEO, allowed)
        else:
            scores = [[best_weight(space, row) for row in operations_ZEO[z]] for z in (0, 1)]
            name = lambda z, e, table=operations_ZEO: best_operation(space, table[z, e], allowed[z][e])  # noqa: E731
            found = derived(space, lambda _, j: (path[j - 2], []), name, torch.tensor(scores, dtype=torch.float64))
        learner.end_epoch(found, (operations_ZEO, edges_ZE), rate=rate)
    ended.stages.append(Stage(net, alpha, {}, allowed))
    return ended
