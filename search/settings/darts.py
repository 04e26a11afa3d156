"""Settings and presets of DARTS: its own two rows, the exact product, and its rows in the tables of PC-DARTS and FTSO.

| presets | row |
|---|---|
| `first`, `second` | DARTS Table 1 |
| `exact` | eq. 7 without its finite differences; no paper has it |
| `first-nodes-N`, `first-epochs-E`, `second-...` | PC-DARTS Table 4, DARTS-v1 and DARTS-v2; N counts the two input nodes, as there |
| `nats`, `nats-second` | FTSO (2024) Table 4: the same preset for each data set that is searched on |

Note:
    How long the two searches of Table 1 take is quoted as 0.4 and 1 GPU-days by PC-DARTS (Table 1), as 1.5 and 4 by eDARTS (Table IV).
Note:
    FTSO says nothing of how it searched NATS-Bench with DARTS: supernet of 5 cells a stage as in that benchmark, else DARTS' settings.
    The benchmark's own searches (code) have the same batch, learning rates and Adam, but 100 epochs, weight decay 5e-4, Nesterov momentum
    and the weight step before the architecture step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from nasarch.ranges import Count, Fraction, NonNegative, Positive

from .fields import Betas, Epochs, Nodes, check
from .preset import Preset, Presets


@dataclass(frozen=True, kw_only=True)
class Darts:
    """Settings of DARTS; sections are of the ICLR text.

    Args:
        order: Gradient of the architecture: first order (xi = 0), second order (finite differences, eq. 8) or exact (eq. 7).
        epochs: Number of epochs (A.1.1).
        nodes: Number of inner nodes of a cell (A.1.1: 7 nodes with the two inputs and the output).
        layers: Number of cells of the supernet (A.1.1).
        channels: Number of channels of the first cell (A.1.1).
        batch_size: Batch size, of the training and of the validation split (A.1.1).
        lr: Initial learning rate of the network weights, SGD with a cosine schedule (A.1.1).
        lr_end: Final learning rate of the network weights (A.1.1: 0; code: 0.001, which is taken).
        momentum: Momentum of SGD (A.1.1).
        weight_decay: Weight decay of the network weights (A.1.1).
        clip: Maximum gradient norm of the network weights (code).
        arch_lr: Learning rate of the architecture parameters, Adam (A.1.1).
        arch_weight_decay: Weight decay of the architecture parameters (A.1.1).
        arch_betas: Decay rates of Adam's moments, of the architecture parameters (A.1.1).
        init_std: Standard deviation of the initial architecture parameters (code; A.1.1: zero).
        fractions: Fractions of the training images that train the network weights and the architecture (sec. 3.1).
    """

    order: Literal["first", "second", "exact"] = "second"
    epochs: Epochs = 50
    nodes: Nodes = 4
    layers: Count = 8
    channels: Count = 16
    batch_size: Count = 64
    lr: NonNegative = 0.025
    lr_end: NonNegative = 0.001
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 3e-4
    clip: Positive = 5.0
    arch_lr: NonNegative = 3e-4
    arch_weight_decay: NonNegative = 1e-3
    arch_betas: Betas = (0.5, 0.999)
    init_std: NonNegative = 1e-3
    fractions: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        check(self)


ERROR = "% test error on CIFAR-10"
ORDERS = {"first": "DARTS-v1", "second": "DARTS-v2"}
ACCURACIES = "% test accuracy on CIFAR-10/CIFAR-100/ImageNet"
BY_NODES = {"first": {5: 3.03, 6: 2.98, 7: 2.89}, "second": {5: 2.82, 6: 2.76, 7: 3.02}}
BY_EPOCHS = {"first": {50: 2.98, 75: 2.87, 100: 3.32, 125: 3.08}, "second": {50: 2.76, 75: 2.93, 100: 3.51, 125: 3.18}}


def _nodes(order: str) -> Presets:
    return {
        f"{order}-nodes-{nodes}": Preset(
            partial(Darts, order=order, nodes=nodes - 2),  # type: ignore[arg-type]
            f"PC-DARTS Table 4, {ORDERS[order]}, {nodes} nodes ({nodes - 2} inner)",
            f"{error:.2f} {ERROR}",
        )
        for nodes, error in BY_NODES[order].items()
    }


def _epochs(order: str) -> Presets:
    return {
        f"{order}-epochs-{epochs}": Preset(
            partial(Darts, order=order, epochs=epochs),  # type: ignore[arg-type]
            f"PC-DARTS Table 4, {ORDERS[order]}, {epochs} epochs",
            f"{error:.2f} {ERROR}",
        )
        for epochs, error in BY_EPOCHS[order].items()
    }


def _nats(order: str, row: str, cifar10: str, cifar100: str, imagenet: str) -> Preset:
    reported = f"searched on CIFAR-10 {cifar10}, on CIFAR-100 {cifar100}, on ImageNet {imagenet} {ACCURACIES}"
    return Preset(partial(Darts, order=order, layers=5), f"FTSO Table 4, {row}", reported, space="nats")  # type: ignore[arg-type]


PRESETS: Presets = {
    "first": Preset(partial(Darts, order="first"), "DARTS Table 1, first order", f"3.00 ± 0.14 {ERROR}"),
    "second": Preset(partial(Darts, order="second"), "DARTS Table 1, second order", f"2.76 ± 0.09 {ERROR}"),
    "exact": Preset(partial(Darts, order="exact"), "DARTS eq. 7, the exact product", "not reported"),
    **_nodes("first"),
    **_epochs("first"),
    **_nodes("second"),
    **_epochs("second"),
    "nats": _nats("first", "DARTS (1st)", "54.30/15.61/16.32", "86.57/58.13/28.50", "89.58/63.89/33.77"),
    "nats-second": _nats("second", "DARTS (2nd)", "86.88/58.61/28.91", "91.96/67.27/39.47", "84.64/55.15/26.06"),
}
