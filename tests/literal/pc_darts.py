"""PC-DARTS (Xu et al. 2020): eq. 1 and 2, section 4.2's schedule; first order, the architecture before the weights."""

from __future__ import annotations

from torch import Tensor

from nasarch.search.recipes.pc_darts import PcDarts

from .cells import darts_rule
from .gradients import first_order
from .learner import Learner, LiteralSetup, cosine
from .record import Ended, Stage
from .softmaxes import candidates, edge_weights, equal_edges, operation_weights, start


def search(ground: LiteralSetup, settings: PcDarts) -> Ended:
    """The weights alone in the first epochs; then alpha and beta on L_val and w on L_train in turn, w seeing every batch."""
    space = ground.space.with_nodes(settings.nodes) if ground.space.name == "darts" else ground.space
    allowed, ended = candidates(space), Ended()
    train, valid = ground.sides(settings, settings.fractions)
    others = valid.endless()
    alpha, beta = start(space, settings.init_std, ground.seed, edges=settings.edge_normalisation)
    arch = [alpha, *beta.values()]

    def weights() -> tuple[Tensor, Tensor]:
        edges_ZE = edge_weights(space, beta) if settings.edge_normalisation else equal_edges(space, allowed)
        return operation_weights(space, alpha, allowed), edges_ZE

    net = ground.network(
        allowed,
        space=space,
        channels=settings.channels,
        layers=settings.layers,
        partial=settings.partial,
        random_channels=settings.random_channels,
    )
    learner = Learner(net, arch, weights, settings, ended)

    for epoch in range(settings.epochs):
        rate = cosine(settings.lr, settings.lr_end, epoch, settings.epochs)
        if epoch < settings.rate_warmup:
            rate = settings.lr * (epoch + 1) / settings.rate_warmup
        for batch in train.epoch():
            if epoch >= settings.warmup:
                learner.move_architecture(first_order(net, arch, weights, next(others)))
            learner.move_weights(batch, rate)
        operations_ZEO, edges_ZE = (table.detach() for table in weights())
        learner.end_epoch(darts_rule(space, operations_ZEO, allowed, edges_ZE), (operations_ZEO, edges_ZE), rate=rate)
    ended.stages.append(Stage(net, alpha, beta, allowed))
    return ended
