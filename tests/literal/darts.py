"""DARTS (Liu et al. 2019), Algorithm 1."""

from __future__ import annotations

from nasarch.search.recipes.darts import Darts

from .cells import darts_rule
from .gradients import finite_differences, first_order, through_the_step
from .learner import Learner, LiteralSetup, cosine
from .record import Ended, Stage
from .softmaxes import candidates, equal_edges, operation_weights, start


def search(ground: LiteralSetup, settings: Darts) -> Ended:
    """While not converged: update alpha by descending L_val(w - xi d L_train, alpha), then w by descending L_train(w, alpha)."""
    space = ground.space.with_nodes(settings.nodes) if ground.space.name == "darts" else ground.space
    allowed, ended = candidates(space), Ended()
    train, valid = ground.sides(settings, settings.fractions)
    others = valid.endless()
    alpha, _ = start(space, settings.init_std, ground.seed)
    edges_ZE = equal_edges(space, allowed)
    net = ground.network(allowed, space=space, channels=settings.channels, layers=settings.layers)
    learner = Learner(net, [alpha], lambda: (operation_weights(space, alpha, allowed), edges_ZE), settings, ended)

    for epoch in range(settings.epochs):
        rate = cosine(settings.lr, settings.lr_end, epoch, settings.epochs)
        for batch in train.epoch():
            other = next(others)
            if settings.order == "first":
                gradients = first_order(net, [alpha], learner.weights, other)
            elif settings.order == "second":
                gradients = finite_differences(net, [alpha], learner.weights, batch, other, learner.sgd, rate)
            else:
                gradients = through_the_step(net, [alpha], learner.weights, batch, other, learner.sgd, rate)
            learner.move_architecture(gradients)
            learner.move_weights(batch, rate)
        operations_ZEO = operation_weights(space, alpha, allowed).detach()
        learner.end_epoch(darts_rule(space, operations_ZEO, allowed), (operations_ZEO, edges_ZE), rate=rate)
    ended.stages.append(Stage(net, alpha, {}, allowed))
    return ended
