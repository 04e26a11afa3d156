"""Settings and presets of PC-DARTS: Tables 1 to 4 and Fig. 3 of its text, eq. 1 taken literally, and NATS-Bench.

| presets | row |
|---|---|
| `cifar10`, `imagenet` | Table 1, Table 2 |
| `k1`, `k2`, `k4`, `k8` | Fig. 3: sampling rates 1/1 to 1/8 |
| `pc-en`, `pc`, `en`, `neither`, and the same with `imagenet-` | Table 3: partial channels and edge normalisation on and off |
| `nodes-N`, `epochs-E` | Table 4; N counts the two input nodes, as that table does |
| `random` | eq. 1: channels sampled anew in every pass |
| `nats` | no paper has it |

Note:
    K, batch and learning rate. The batch sizes of Fig. 3 and Table 3 are unsaid. K allows "a K times larger batch size" (sec. 1, 3.2), of
    which 256 at K = 4 is an instance: 64 * K here, so 64 (DARTS' own) without partial channels. The learning rate goes with the batch,
    0.025 * K: both ends of it are published (DARTS 0.025 with 64, PC-DARTS 0.1 with 256). On ImageNet K = 2 has 1,024 and 0.5, so
    K = 1 has 512 and 0.25; Table 3 has it take twice as long. The learning rate of alpha and beta and the warm-up stay.
Note:
    The row "neither" on CIFAR-10 shows the figure that DARTS reports for itself: its own search is `nasarch search darts --preset first`.
Note:
    How the warm-up goes with more epochs (Table 4) is unsaid: it stays at 15.
Note:
    ImageNet: weight decay 3e-5 as in the text (the code has 3e-4); the learning rate rises over 5 epochs as in the code, of which the
    text says nothing (`rate_warmup` 0 is the text's).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from nasarch.ranges import Count, Fraction, NonNegative, Positive

from .fields import Betas, Epochs, Nodes, Warmup, check
from .preset import Preset, Presets


@dataclass(frozen=True, kw_only=True)
class PcDarts:
    """Settings of PC-DARTS on CIFAR-10; sections and tables are of the ICLR text.

    Args:
        partial: Partial channel connections K: 1/K of the channels are searched (sec. 4.2; Fig. 3 tries 1, 2, 4, 8).
        edge_normalisation: Edge normalization: weight edges by a softmax over beta (eq. 2; Table 3 goes without).
        epochs: Number of epochs (sec. 4.2; Table 4 tries 50 to 125).
        warmup: Number of warm-up epochs, which train the network weights alone (sec. 4.2).
        nodes: Number of inner nodes of a cell (sec. 4.1: N = 6 with the inputs; Table 4 tries 5, 6, 7).
        layers: Number of cells of the supernet (sec. 4.1).
        channels: Number of channels of the first cell (sec. 4.1).
        batch_size: Batch size, of the training and of the validation split (sec. 4.2).
        lr: Initial learning rate of the network weights, SGD with a cosine schedule (sec. 4.2).
        lr_end: Final learning rate of the network weights (sec. 4.2).
        momentum: Momentum of SGD (sec. 4.2).
        weight_decay: Weight decay of the network weights (sec. 4.2).
        clip: Maximum gradient norm of the network weights (code).
        arch_lr: Learning rate of the architecture parameters, Adam (sec. 4.2).
        arch_weight_decay: Weight decay of the architecture parameters (sec. 4.2).
        arch_betas: Decay rates of Adam's moments, of the architecture parameters (sec. 4.2).
        init_std: Standard deviation of the initial architecture parameters (code).
        rate_warmup: Number of epochs of linear learning rate warm-up (code, ImageNet: 5).
        random_channels: Channel sampling at random in every pass (eq. 1), instead of the first channels and a shuffle.
        fractions: Fractions of the training images that train the network weights and the architecture (sec. 4.2; ImageNet: 0.1, 0.025).
    """

    partial: Count = 4
    edge_normalisation: bool = True
    epochs: Epochs = 50
    warmup: Warmup = 15
    nodes: Nodes = 4
    layers: Count = 8
    channels: Count = 16
    batch_size: Count = 256
    lr: NonNegative = 0.1
    lr_end: NonNegative = 0.0
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 3e-4
    clip: Positive = 5.0
    arch_lr: NonNegative = 6e-4
    arch_weight_decay: NonNegative = 1e-3
    arch_betas: Betas = (0.5, 0.999)
    init_std: NonNegative = 1e-3
    rate_warmup: Warmup = 0
    random_channels: bool = False
    fractions: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        check(self)


ERROR = "% test error on CIFAR-10"
IMAGENET: dict[str, Any] = {
    "warmup": 35,  # sec. 4.3: of 50 epochs
    "arch_lr": 6e-3,  # sec. 4.3
    "weight_decay": 3e-5,  # sec. 4.3
    "rate_warmup": 5,  # code
    "fractions": (0.1, 0.025),  # sec. 4.3
}


def on_cifar(partial: int = 4, **changes: Any) -> PcDarts:
    """Sections 4.2 and 4.4, batch and learning rate in proportion to K."""
    return PcDarts(**{"partial": partial, "batch_size": 64 * partial, "lr": 0.025 * partial, **changes})


def on_imagenet(partial: int = 2, **changes: Any) -> PcDarts:
    """Section 4.3, batch and learning rate in proportion to K."""
    return PcDarts(**{**IMAGENET, "partial": partial, "batch_size": 512 * partial, "lr": 0.25 * partial, **changes})


TABLE_3 = (  # name, K on CIFAR-10 and on ImageNet, edge normalisation, words, CIFAR-10, ImageNet
    ("neither", 1, 1, False, "without PC, without EN", "3.00 ± 0.14 {}, 0.4 GPU-days", "26.8 ± 0.1 {}, 7.7 GPU-days"),
    ("en", 1, 1, True, "EN alone", "2.82 ± 0.05 {}, 0.4 GPU-days", "26.3 ± 0.1 {}, 7.7 GPU-days"),
    ("pc", 4, 2, False, "PC alone", "2.67 ± 0.11 {}, 0.1 GPU-days", "26.2 ± 0.1 {}, 3.8 GPU-days"),
    ("pc-en", 4, 2, True, "PC and EN", "2.57 ± 0.07 {}, 0.1 GPU-days", "25.8 ± 0.1 {}, 3.8 GPU-days"),
)
SHORT = "% top-1 error on ImageNet (100 epochs)"
FIG_3 = {
    1: "in a picture only; 2.82 ± 0.05 {} in Table 3",
    2: "in a picture only: worse than K = 4",
    4: "2.57 ± 0.07 {}",
    8: "in a picture only: a dramatic drop",
}
NODES = {5: 2.63, 6: 2.57, 7: 2.64}
EPOCHS = {50: 2.57, 75: 2.67, 100: 2.69, 125: 2.75}

PRESETS: Presets = {
    "cifar10": Preset(on_cifar, "Table 1", f"2.57 ± 0.07 {ERROR}, 0.1 GPU-days"),
    "imagenet": Preset(on_imagenet, "Table 2", "24.2 % top-1 and 7.3 % top-5 error on ImageNet, 3.8 GPU-days", data="imagenet"),
    **{f"k{k}": Preset(partial(on_cifar, k), f"Fig. 3, K = {k}", words.format(ERROR)) for k, words in FIG_3.items()},
    **{
        name: Preset(partial(on_cifar, k, edge_normalisation=en), f"Table 3, CIFAR-10, {words}", reported.format(ERROR))
        for name, k, _, en, words, reported, _ in TABLE_3
    },
    **{
        f"imagenet-{name}": Preset(
            partial(on_imagenet, k, edge_normalisation=en), f"Table 3, ImageNet, {words}", reported.format(SHORT), data="imagenet"
        )
        for name, _, k, en, words, _, reported in TABLE_3
    },
    **{
        f"nodes-{nodes}": Preset(partial(on_cifar, nodes=nodes - 2), f"Table 4, {nodes} nodes ({nodes - 2} inner)", f"{error:.2f} {ERROR}")
        for nodes, error in NODES.items()
    },
    **{
        f"epochs-{epochs}": Preset(partial(on_cifar, epochs=epochs), f"Table 4, {epochs} epochs", f"{error:.2f} {ERROR}")
        for epochs, error in EPOCHS.items()
    },
    "random": Preset(partial(on_cifar, random_channels=True), "eq. 1, channels at random", "not reported by itself"),
    "nats": Preset(partial(on_cifar, layers=5), "no paper's: the NATS-Bench space", "not reported", space="nats"),
}
