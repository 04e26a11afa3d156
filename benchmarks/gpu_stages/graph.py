"""Stage graph: steps captured as CUDA graphs and replayed, against the same steps run eagerly.

What a graph needs and nasarch's eager steps do not have: a learning rate in a tensor with a fused SGD, an Adam that counts its steps on
the GPU, gradients that lie as their weights do (the fused SGD asks for that), and batches that are copied to one place. On a CPU the same
steps on the same buffers run without a graph, so that everything but the capture is rehearsed.

| figure | meaning |
|---|---|
| eager_ms, replay_ms | a step of nasarch as it is, and a replay |
| capture_s | seconds of the capture |
| from_eager | relative difference of the weights after as many steps from the same start with nasarch's own optimisers |
| eager_twice | the same of two eager runs: what chance on the GPU does |
| moved | how far these steps moved the weights, likewise |
| rate_is_read | with the rate 0 in its tensor a replay leaves the weights alone, with another rate it moves them |
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from nasarch.runtime.options import Precision
from nasarch.search.engine.updates import Batch, State, Step
from nasarch.search.recipes.pc_darts import PcDarts

from .cases import CASES, Case, batches, combinations, state_of
from .context import Context
from .formats import in_format
from .timing import median_ms

WARM = 3  # eager steps before the capture, which are real ones
STEPS, SMALL_STEPS = 8, 1  # replays that are compared
ROUNDS, SMALL_ROUNDS = 15, 1
NAMES = ("ftso", "pc-darts", "pc-darts, weights only", "dots, topology", "darts, first order", "darts, second order")
NO_GRAPH = "pc-darts, random channels"  # drawn on the CPU in every pass


def run(context: Context) -> None:
    """All of them in one precision and format, then in the next."""
    context.note(NO_GRAPH, {"left_out": "its channels are drawn on the CPU within a step, which a graph can't hold"})
    for (amp, form), name in product(combinations(context), context.cases or NAMES):
        context.attempt(f"{name}, {amp}, {form}", partial(captured, context, CASES[name], amp, form))


class Captured:
    """A step on buffers that stay where they are."""

    def __init__(self, case: Case, state: State, start: Sequence[Batch]) -> None:
        self.state, self.update, self.device = state, case.update, start[0][0].device.type
        self.buffers = [tuple(tensor.clone() for tensor in batch) for batch in start]
        self.rate = torch.full((), PcDarts.lr, device=self.device)
        ((weights,), (arch,)) = (optimizer.param_groups for optimizer in (state.weight_optimizer, state.arch_optimizer))
        state.weight_optimizer = torch.optim.SGD([weights | {"lr": self.rate, "fused": True}])
        state.weight_optimizer.register_step_pre_hook(like_weights)
        state.arch_optimizer = torch.optim.Adam([arch | {"capturable": self.device == "cuda"}])
        self.graph: Any = None
        self.result: Step | None = None

    def eager(self, two: Sequence[Batch]) -> None:
        """A step on these batches, without the graph."""
        for buffer, batch in zip(self.buffers, two, strict=True):
            for place, tensor in zip(buffer, batch, strict=True):
                place.copy_(tensor)
        self.result = self.update(self.state, *self.buffers)  # type: ignore[arg-type]

    def warm(self, pairs: Sequence[Sequence[Batch]]) -> None:
        """Steps on a stream of their own, as capture wants them before."""
        if self.device == "cpu":
            for two in pairs:
                self.eager(two)
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for two in pairs:
                self.eager(two)
        torch.cuda.current_stream().wait_stream(stream)

    def capture(self) -> None:
        """Record a step, which is not run."""
        if self.device == "cuda":
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.result = self.update(self.state, *self.buffers)  # type: ignore[arg-type]

    def replay(self, two: Sequence[Batch]) -> None:
        """A step on these batches."""
        if self.graph is None:
            return self.eager(two)
        for buffer, batch in zip(self.buffers, two, strict=True):
            for place, tensor in zip(buffer, batch, strict=True):
                place.copy_(tensor)
        return self.graph.replay()


def like_weights(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Give each gradient the strides of its weight."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None and p.grad.stride() != p.stride():
                p.grad = torch.empty_like(p).copy_(p.grad)


def captured(context: Context, case: Case, amp: Precision, form: str) -> dict[str, Any]:
    """The figures of one step."""
    with in_format(form):
        return _captured(context, case, amp)


def _captured(context: Context, case: Case, amp: Precision) -> dict[str, Any]:
    steps = WARM + (SMALL_STEPS if context.small else STEPS)
    pairs = in_pairs(batches(case, context.device, 4, small=context.small), steps)
    build = partial(state_of, case, context.device, amp, small=context.small)
    before = weights(build())
    first, second = (eager(case, build(), pairs) for _ in range(2))
    one = Captured(case, build(), pairs[0])
    one.warm(pairs[:WARM])
    begin = time.perf_counter()
    one.capture()
    seconds = time.perf_counter() - begin
    for two in pairs[WARM:]:
        one.replay(two)
    after = weights(one.state)
    state, rounds = build(), SMALL_ROUNDS if context.small else ROUNDS
    found = {
        "eager_ms": median_ms(lambda: case.update(state, *pairs[0]), context.device, rounds),
        "replay_ms": median_ms(lambda: one.replay(pairs[0]), context.device, rounds),
        "from_eager": difference(after, first),
        "eager_twice": difference(second, first),
        "moved": difference(before, first),
        "rate_is_read": rate_is_read(one, pairs[0]),
    }
    return found | ({"graph": "left out: a CPU has none"} if one.graph is None else {"capture_s": seconds})


def in_pairs(given: Sequence[Batch], steps: int) -> list[Sequence[Batch]]:
    """Two batches for each step, other ones than for the step before."""
    return [given[:2] if number % 2 else given[2:] for number in range(steps)]


def eager(case: Case, state: State, pairs: Sequence[Sequence[Batch]]) -> list[Tensor]:
    """The weights after a step on each pair, with nasarch's own optimisers."""
    for two in pairs:
        case.update(state, *two)
    return weights(state)


def weights(state: State) -> list[Tensor]:
    """Copies of all weights, of network and architecture."""
    return [p.detach().clone() for p in (*state.net.parameters(), *state.arch.parameters())]


def difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Norm of the difference of all weights together, relative to that of the weights."""
    apart = sum(float((a - b).double().square().sum()) for a, b in zip(ours, theirs, strict=True))
    return (apart / sum(float(b.double().square().sum()) for b in theirs)) ** 0.5


def rate_is_read(one: Captured, two: Sequence[Batch]) -> bool:
    """Whether the weights of the network stay with a rate of 0, and move with another one."""
    found = []
    for rate in (0.0, PcDarts.lr):
        one.rate.fill_(rate)
        before = [p.detach().clone() for p in one.state.net.parameters()]
        one.replay(two)
        found.append(all(torch.equal(a, b) for a, b in zip(before, one.state.net.parameters(), strict=True)))
    return found == [True, False]
