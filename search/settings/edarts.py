"""Settings and presets of eDARTS: Table IV, Table II, the ablations of sec. IV-F, the sub search spaces of Table I, attention.

| presets | row |
|---|---|
| `cifar10`, `cifar100` | Table IV |
| `darts`, `darts-subset`, `darts-sparse`, `darts-subset-sparse` | Table II |
| `separable`, `equal-attention` | sec. IV-F |
| `ssN-L` | sub search space N of Table I, searched with L cells (sec. IV-C, Fig. 2) |
| `attention-start`, `attention-forward`, `attention-update` | sec. IV-C, three readings of when the constants are added |

Note:
    Only SS1 was searched with 10 and 20 cells (sec. IV-C), the others with 5 and 16. Fig. 2 has the accuracies, as a picture only.
Note:
    Searches of sub search spaces take the subset of the data and the sparse update, on which "the rest of the approaches" rests
    (sec. IV), all 14 edges and no attention. The published path and its picture are not in the text at hand: see `path`.
Note:
    Table II gives skip connections summed over five runs and the accuracy of a network of 5 cells and 16 channels after 100 epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from nasarch.cells.space import DARTS, OWN_OPERATIONS
from nasarch.cells.topology import read_path
from nasarch.ranges import Count, Fraction, NonNegative, Positive

from .fields import Betas, Epochs, Nodes, check
from .preset import Preset, Presets


@dataclass(frozen=True, kw_only=True)
class Edarts:
    """Settings of eDARTS; sections are of its text.

    Args:
        order: Gradient of the architecture: second order (sec. IV-B) or DARTS' cheaper first order.
        epochs: Number of epochs (sec. III-C).
        images: Number of images that train the network weights, and as many the architecture (sec. IV-B); none means half and half.
        sparse: Sparse updates: one architecture step per epoch (sec. III-C), instead of one per batch.
        attention: Operation attention: when its constants are added to alpha (sec. IV-C); off is never.
        path: Topology: the source nodes of each inner node's edges, in both cells (sec. IV-D); none searches for the edges, too.
        operations: Candidate operations (sec. IV-C; Table I).
        nodes: Number of inner nodes of a cell (DARTS).
        layers: Number of cells of the supernet (sec. IV-E; Fig. 2: 5 and 16).
        channels: Number of channels of the first cell (sec. IV-E).
        batch_size: Batch size, of the training and of the validation split (DARTS).
        lr: Initial learning rate of the network weights, SGD with a cosine schedule (DARTS).
        lr_end: Final learning rate of the network weights (DARTS' code).
        momentum: Momentum of SGD (DARTS).
        weight_decay: Weight decay of the network weights (DARTS).
        clip: Maximum gradient norm of the network weights (DARTS' code).
        arch_lr: Learning rate of the architecture parameters, Adam (DARTS).
        arch_weight_decay: Weight decay of the architecture parameters (DARTS).
        arch_betas: Decay rates of Adam's moments, of the architecture parameters (DARTS).
        init_std: Standard deviation of the initial architecture parameters (DARTS' code).
    """

    order: Literal["first", "second"] = "second"
    epochs: Epochs = 50
    images: Count | None = 2500
    sparse: bool = True
    attention: Literal["off", "start", "forward", "update"] = "forward"
    path: str | None = "01-01-01-01"
    operations: tuple[str, ...] = DARTS.operations
    nodes: Nodes = 4
    layers: Count = 5
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

    def __post_init__(self) -> None:
        check(self)
        DARTS.check_operations(name for name in self.operations if name not in OWN_OPERATIONS)
        if not set(self.operations) - {"none"}:
            raise ValueError("operations: give one at least that is not none, such as sep_conv_3x3")
        if self.path is not None:
            read_path(self.path, DARTS.with_nodes(self.nodes))


FREE = ("none", "skip_connect", "max_pool_3x3")  # sec. III-A: skip, none and either pooling
SUB_SPACES = {
    1: ("sep_conv_3x3", "dil_conv_3x3"),
    2: ("sep_conv_5x5", "dil_conv_5x5"),
    3: ("sep_conv_3x3", "sep_conv_5x5"),
    4: ("dil_conv_3x3", "dil_conv_5x5"),
    5: ("sep_conv_3x3", "dil_conv_5x5"),
    6: ("sep_conv_5x5", "dil_conv_3x3"),
    7: ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3"),
    8: ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_5x5"),
}
DEPTHS = (5, 10, 16, 20)
PLAIN: dict[str, Any] = {"path": None, "attention": "off"}
LIKE_DARTS: dict[str, Any] = PLAIN | {"layers": 8}  # Table II: "all of the search settings are exactly that of" DARTS
READINGS = {"start": "once, at the start", "forward": "in every pass", "update": "after each update of alpha"}


def _sub_space(number: int, layers: int) -> Preset:
    was_tried = number == 1 or layers in (5, 16)
    row = f"{'Fig. 2' if layers in (5, 16) else 'sec. IV-C'}, SS{number} of Table I, {layers} cells"
    reported = "in a picture only" if layers in (5, 16) else "as good as 16 cells (sec. IV-C)" if layers == 20 else "no figure"
    return Preset(
        partial(Edarts, operations=FREE + SUB_SPACES[number], layers=layers, **PLAIN),
        row if was_tried else f"Table I, SS{number}; {layers} cells with SS1 alone (sec. IV-C)",
        reported if was_tried else "not reported",
    )


def _table_2(words: str, skips: str, accuracy: str, parameters: str, hours: str, **values: Any) -> Preset:
    reported = (
        f"{skips} skip connections (normal + reduction, 5 runs), {accuracy} % accuracy of the shallow network, {parameters} M parameters, "
        f"{hours} GPU-hours"
    )
    return Preset(partial(Edarts, **LIKE_DARTS, **values), f"Table II, {words}", reported)


PRESETS: Presets = {
    "cifar10": Preset(Edarts, "Table IV, eDARTS CIFAR10", "2.53 % test error on CIFAR-10, 17.00 % on CIFAR-100, 0.015 GPU-days"),
    "cifar100": Preset(
        Edarts, "Table IV, eDARTS CIFAR100", "16.83 % test error on CIFAR-100, 2.72 % on CIFAR-10, 0.016 GPU-days", data="cifar100"
    ),
    "darts": _table_2("DARTS", "14 + 19", "90.25", "0.11", "36", images=None, sparse=False),
    "darts-subset": _table_2("DARTS + Data Subset", "4 + 14", "91.27", "0.15", "6", sparse=False),
    "darts-sparse": _table_2("DARTS + Epoch Update", "5 + 11", "91.33", "0.16", "4.6", images=None),
    "darts-subset-sparse": _table_2("DARTS + Data Subset + Epoch Update", "5 + 8", "92.15", "0.2", "0.85"),
    "separable": Preset(
        partial(Edarts, operations=FREE + SUB_SPACES[3], layers=16, **PLAIN),
        "sec. IV-F, all separable, 16 cells, 14 edges",
        "2.56 % test error on CIFAR-10, best of 10 runs of about 1 hour",
    ),
    "equal-attention": Preset(
        partial(Edarts, attention="off"), "sec. IV-F, the path, equal attention", "below 92.5 % accuracy of the shallow network on CIFAR-10"
    ),
    **{
        f"attention-{reading}": Preset(partial(Edarts, attention=reading), f"sec. IV-C, constants added {words}", "not told apart")  # type: ignore[arg-type]
        for reading, words in READINGS.items()
    },
    **{f"ss{number}-{layers}": _sub_space(number, layers) for number in SUB_SPACES for layers in DEPTHS},
}
