"""Updates: one step of a search, by gradients and two optimizers (DARTS' first and second order, one level). Knows no schedule.

Every update has the signature `(state, train, valid) -> Step`; `train` and `valid` are batches (x_BCHW, y_B).

| update | weights | architecture parameters |
|---|---|---|
| `weights_only` | one step on `train` | stay (warm-up, sparse updates) |
| `one_level` | one step on `train` | one step with the gradient of the same pass (DOTS eq. 12) |
| `first_order` | one step on `train`, after the other | one step on `valid` (Liu et al. 2019, sec. 2.3 with xi = 0; FTSO Algorithm 1) |
| `second_order` | likewise | one step on `valid` at the unrolled weights, eq. 7 by the finite difference of eq. 8 |
| `exact_second_order` | likewise | the same, the product of eq. 7 by automatic differentiation |

The architecture step asks autograd for no weight gradients and the weight step for no architecture gradients: the published codes
compute both each time and throw one of them away. Running statistics of BN see every pass; in second order the published code throws
those of the pass at the unrolled weights away with its copy of the network. No step of a search reads them. Several processes average
every gradient (runtime/distributed.py), so each makes the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim import Optimizer

from nasarch.runtime.distributed import all_reduce_mean
from nasarch.runtime.optimizers import adam, set_gradients, sgd
from nasarch.search.kernels.streams import is_forking

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The two optimizers that all five papers use: SGD with momentum for the weights, Adam for the architecture parameters.

    Args:
        lr: initial learning rate of the weights.
        momentum: of SGD.
        weight_decay: of the weights.
        clip: maximum norm of the weights' gradient.
        arch_lr: learning rate of the architecture parameters.
        arch_weight_decay: of the architecture parameters; L2, added to the gradient, as in the published codes.
        arch_betas: decay rates of Adam's moments.
    """

    lr: float
    momentum: float
    weight_decay: float
    clip: float
    arch_lr: float
    arch_weight_decay: float
    arch_betas: tuple[float, float]

    @classmethod
    def of(cls, settings: Any, **own: Any) -> OptimizerSettings:
        """Those of a recipe's settings, which have fields of the same names, and those of one of its stages in place of them."""
        return cls(**own, **{field.name: getattr(settings, field.name) for field in fields(cls) if field.name not in own})


@dataclass
class State:
    """What a search trains: `net(x, arch())` with one optimizer each; gradients of the weights are clipped to norm `clip`.

    `precision` is the type of the network's arithmetic where autocast lowers it (None: as the tensors are), and `scaler` the loss
    scaling that float16 needs. Losses, optimizers and second-order products stay in the type of the weights.
    """

    net: nn.Module
    arch: nn.Module
    weight_optimizer: Optimizer
    arch_optimizer: Optimizer
    clip: float = 5.0
    precision: torch.dtype | None = None
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))

    def logits(self, x_BCHW: Tensor, mix_ZEO: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits of the images, by the network's own weights or by these."""
        with torch.autocast(x_BCHW.device.type, self.precision, enabled=self.precision is not None):
            logits = self.net(x_BCHW, mix_ZEO) if weights is None else functional_call(self.net, dict(weights), (x_BCHW, mix_ZEO))
        return logits if self.precision is None else logits.float()


def initial_state(net: nn.Module, arch: nn.Module, settings: OptimizerSettings) -> State:
    """The state of a search that is about to begin."""
    return State(
        net=net,
        arch=arch,
        weight_optimizer=sgd(net.parameters(), settings.lr, settings.momentum, weight_decay=settings.weight_decay),
        arch_optimizer=adam(arch.parameters(), settings.arch_lr, settings.arch_betas, weight_decay=settings.arch_weight_decay),
        clip=settings.clip,
    )


class Step(NamedTuple):
    """Of the weight step: the mean loss, and how many of the images were classified correctly (both tensors, on the device)."""

    loss: Tensor
    correct: Tensor


Update = Callable[[State, Batch, Batch], Step]


def weights_only(state: State, train: Batch, valid: Batch) -> Step:
    """Descend the loss on `train` in the weights."""
    logits, loss = _pass(state, train, state.arch().detach())
    _set_gradients(state, [*state.net.parameters()], loss)
    _step_weights(state)
    state.scaler.update()
    return _result(logits, loss, train)


def arch_loss(state: State, batch: Batch) -> Tensor:
    """The mean loss as a function of the architecture parameters."""
    return _pass(state, batch, state.arch())[1]


def arch_first_order(state: State, valid: Batch) -> None:
    """Descend the loss on `valid` in the architecture parameters, the weights taken as they are."""
    _set_gradients(state, [*state.arch.parameters()], arch_loss(state, valid))
    _step_arch(state)


def first_order(state: State, train: Batch, valid: Batch) -> Step:
    """The architecture first, then the weights: the order of the published codes and of FTSO's Algorithm 1."""
    arch_first_order(state, valid)
    return weights_only(state, train, valid)


def one_level(state: State, train: Batch, valid: Batch) -> Step:
    """Descend the loss on `train` in both, by one pass; `valid` is not looked at."""
    logits, loss = _pass(state, train, state.arch())
    _set_gradients(state, [*state.net.parameters(), *state.arch.parameters()], loss)
    _step_weights(state)
    _step_arch(state)
    state.scaler.update()
    return _result(logits, loss, train)


def _pass(state: State, batch: Batch, mix_ZEO: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and mean loss."""
    logits = state.logits(batch[0], mix_ZEO)
    return logits, F.cross_entropy(logits, batch[1])


def _result(logits: Tensor, loss: Tensor, batch: Batch) -> Step:
    return Step(loss.detach(), (logits.detach().argmax(1) == batch[1]).sum())


def _step_weights(state: State) -> None:
    state.scaler.unscale_(state.weight_optimizer)
    nn.utils.clip_grad_norm_(state.net.parameters(), state.clip)
    state.scaler.step(state.weight_optimizer)


def _step_arch(state: State) -> None:
    state.scaler.unscale_(state.arch_optimizer)
    state.scaler.step(state.arch_optimizer)


def second_order(state: State, train: Batch, valid: Batch, *, epsilon: float = 1e-2) -> Step:
    """The architecture by finite differences at a distance of `epsilon` (the paper's 0.01 / |v|), then the weights."""
    arch_second_order(state, train, valid, epsilon=epsilon)
    return weights_only(state, train, valid)


def exact_second_order(state: State, train: Batch, valid: Batch) -> Step:
    """The architecture by the exact product, then the weights: twice the memory of `second_order`, no error at ReLU kinks."""
    arch_exact_second_order(state, train, valid)
    return weights_only(state, train, valid)


# passes through the network in training mode, for each of which channels are drawn where they are sampled
PASSES: dict[Update, int] = {weights_only: 1, one_level: 1, first_order: 2, second_order: 5, exact_second_order: 3}


def of_order(order: str, precision: str) -> Update:
    """DARTS' update of an order: first, second or exact.

    Raises:
        ValueError: `precision` is fp16, whose loss scaling knows no products of gradients.
    """
    if order != "first" and precision == "fp16":
        raise ValueError(f"order {order} is not computed in fp16, where products of gradients underflow: take --amp bf16 or off")
    orders: dict[str, Update] = {"first": first_order, "second": second_order, "exact": exact_second_order}
    return orders[order]


def arch_second_order(state: State, train: Batch, valid: Batch, *, epsilon: float = 1e-2) -> None:
    """Liu et al. 2019, eq. 7 and 8: d L_val(w') / d alpha - xi * (d L_train(w+) - d L_train(w-)) / d alpha / (2 h).

    w' = w - xi * step is the weight step that would follow (`_unrolled`), v = d L_val(w') / d w', w+- = w +- h v with h = epsilon / |v|.
    """
    weights, arch = _weights(state), list(state.arch.parameters())
    rate, unrolled = _unrolled(state, weights, _gradients(_loss(state, train, weights), list(weights.values())))
    both = _gradients(_loss(state, valid, unrolled), [*arch, *unrolled.values()])
    direct, v = both[: len(arch)], both[len(arch) :]
    h = epsilon / torch.sqrt(sum(g.square().sum() for g in v))  # type: ignore[arg-type]
    shifted = []
    for sign in (1.0, -1.0):
        moved = {name: (w + sign * h * g).detach() for (name, w), g in zip(weights.items(), v, strict=True)}
        shifted.append(_gradients(_loss(state, train, moved), arch))
    set_gradients(arch, [d - rate * (plus - minus) / (2 * h) for d, plus, minus in zip(direct, *shifted, strict=True)])
    state.arch_optimizer.step()


def arch_exact_second_order(state: State, train: Batch, valid: Batch) -> None:
    """Liu et al. 2019, eq. 7 with its product v^T d^2 L_train / (d w d alpha) by automatic differentiation instead of eq. 8."""
    weights, arch = _weights(state), list(state.arch.parameters())
    slope = torch.autograd.grad(_loss(state, train, weights), list(weights.values()), create_graph=True)
    own = [g.detach().clone() for g in slope]
    all_reduce_mean(own)
    rate, unrolled = _unrolled(state, weights, own)
    both = _gradients(_loss(state, valid, unrolled), [*arch, *unrolled.values()])
    direct, v = both[: len(arch)], both[len(arch) :]
    product = torch.autograd.grad(slope, arch, v, allow_unused=True, materialize_grads=True)
    mean = [p.clone() for p in product]
    all_reduce_mean(mean)
    set_gradients(arch, [d - rate * m for d, m in zip(direct, mean, strict=True)])
    state.arch_optimizer.step()


def _weights(state: State) -> dict[str, Tensor]:
    return dict(state.net.named_parameters())


def _unrolled(state: State, weights: dict[str, Tensor], slope: Sequence[Tensor]) -> tuple[float | Tensor, dict[str, Tensor]]:
    """xi, and the weights after the SGD step that would follow: momentum and weight decay as in DARTS' code, no clipping."""
    (group,) = state.weight_optimizer.param_groups
    after = {}
    for (name, w), g in zip(weights.items(), slope, strict=True):
        velocity = state.weight_optimizer.state[w].get("momentum_buffer")
        step = g + group["weight_decay"] * w.detach()
        moved = w.detach() - group["lr"] * (step if velocity is None else step + group["momentum"] * velocity)
        after[name] = moved.requires_grad_()
    return group["lr"], after


def _loss(state: State, batch: Batch, weights: dict[str, Tensor]) -> Tensor:
    """The loss on `batch` of the network with these weights."""
    return F.cross_entropy(state.logits(batch[0], state.arch(), weights), batch[1])


def _gradients(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Gradients, averaged over the processes; zeros for what the loss does not depend on."""
    gradients = list(torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True, retain_graph=is_forking(loss)))
    all_reduce_mean(gradients)
    return gradients


def _set_gradients(state: State, parameters: list[nn.Parameter], loss: Tensor) -> None:
    """Set `.grad` of these parameters and of no others, scaled as `state.scaler` has it."""
    gradients = torch.autograd.grad(state.scaler.scale(loss), parameters, allow_unused=True, retain_graph=is_forking(loss))
    all_reduce_mean(gradients)
    set_gradients(parameters, gradients)
