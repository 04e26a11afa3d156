"""Stage graph: steps captured as CUDA graphs and replayed (nasarch/runtime/captured.py), against the same steps run eagerly.

On a CPU the same steps run without a graph, so that everything but the capture is rehearsed.

| figure | meaning |
|---|---|
| eager_ms, replay_ms | a step of nasarch as it is, and a replay |
| capture_s, graphs | seconds of the capture; graphs that came out: none if it failed |
| kernels, busy_ms, peak_MB, longest | of a replay, as in the stage steps |
| from_eager | relative difference of the weights after as many eager steps from the same start |
| eager_twice | the same of two eager runs: what chance on the GPU does |
| moved | how far these steps moved the weights, likewise |
| fused, ... | the same with switches of search/kernels/device.py and streams.py on |
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

from nasarch.runtime.captured import WARM_UP, Captured
from nasarch.runtime.optimizers import set_rate
from nasarch.runtime.options import Precision
from nasarch.search.engine.updates import Batch, State, Step, Update
from nasarch.search.kernels import device, streams
from nasarch.search.recipes.pc_darts import PcDarts

from .cases import CASES, Case, batches, combinations, state_of
from .context import Context
from .formats import in_format
from .timing import launched, median_ms

STEPS, SMALL_STEPS = 4, 1  # replays that are compared
ROUNDS, SMALL_ROUNDS = 5, 1
NAMES = ("ftso", "pc-darts", "pc-darts, weights only", "dots, topology", "darts, first order", "darts, second order")
FUSED = (device, "FUSED")
VARIANTS = {
    "fused": [FUSED],
    "fused, joins": [FUSED, (device, "FUSED_JOINS")],
    "fused, depthwise": [FUSED, (device, "FUSED_DEPTHWISE")],
    "streams": [(streams, "FORKS")],
}
NO_GRAPH = "pc-darts, random channels"  # left out


def run(context: Context) -> None:
    """All of them in one precision and format, then in the next."""
    context.note(
        NO_GRAPH,
        {"left_out": "searches draw its channels before a step; the steps here do not (see smoke, --capture)"},
    )
    for (amp, form), name in product(combinations(context), [name for name in NAMES if name in (context.cases or NAMES)]):
        context.attempt(f"{name}, {amp}, {form}", partial(captured, context, CASES[name], amp, form))


def captured(context: Context, case: Case, amp: Precision, form: str) -> dict[str, Any]:
    """The figures of one step."""
    with in_format(form):
        return _captured(context, case, amp)


def _captured(context: Context, case: Case, amp: Precision) -> dict[str, Any]:
    steps = WARM_UP + 1 + (SMALL_STEPS if context.small else STEPS)
    pairs = in_pairs(batches(case, context.device, 4, small=context.small), steps)
    build, rounds = partial(state_of, case, context.device, amp, small=context.small), SMALL_ROUNDS if context.small else ROUNDS
    before = weights(build())
    first, second = (eager(case, build(), pairs) for _ in range(2))
    one, state, seconds = recorded(case, build(), pairs)
    after, again, replay = weights(state), build(), partial(one, *pairs[0][0], *pairs[0][1])
    found = {
        "eager_ms": median_ms(lambda: case.update(again, *pairs[0]), context.device, rounds),
        "replay_ms": median_ms(replay, context.device, rounds),
        "from_eager": difference(after, first),
        "eager_twice": difference(second, first),
        "moved": difference(before, first),
        "rate_is_read": rate_is_read(one, state, pairs[0]),
    }
    if context.device == "cpu":
        return found | {"graph": "left out: a CPU has none"}
    found |= {"capture_s": seconds, "graphs": len(one.graphs), **launched(replay, context.device)}
    for name, switches in VARIANTS.items():
        for module, switch in switches:
            setattr(module, switch, True)
        other, state, _ = recorded(case, build(), pairs)
        for module, switch in switches:
            setattr(module, switch, False)
        figures = median_ms(partial(other, *pairs[0][0], *pairs[0][1]), context.device, rounds), difference(weights(state), first)
        found |= {f"{name}, replay_ms": figures[0], f"{name}, from_eager": figures[1]}
    return found


def recorded(case: Case, state: State, pairs: Sequence[Sequence[Batch]]) -> tuple[Captured, State, float]:
    """A step on each pair by a graph from the third on, the state after them, and the seconds of its capture."""
    one, seconds = Captured(partial(on_batches, case.update, state)), 0.0
    for number, two in enumerate(pairs):
        begin = time.perf_counter()
        one(*two[0], *two[1])
        if number == WARM_UP:
            seconds = time.perf_counter() - begin
    return one, state, seconds


def on_batches(update: Update, state: State, *tensors: Tensor) -> Step:
    """The update on two batches whose tensors are given one after the other."""
    return update(state, tensors[:2], tensors[2:])  # type: ignore[arg-type]


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


def rate_is_read(one: Captured, state: State, two: Sequence[Batch]) -> bool:
    """Whether the weights of the network stay with a rate of 0, and move with another one."""
    found = []
    for rate in (0.0, PcDarts.lr):
        set_rate(state.weight_optimizer, rate)
        before = [p.detach().clone() for p in state.net.parameters()]
        one(*two[0], *two[1])
        found.append(all(torch.equal(a, b) for a, b in zip(before, state.net.parameters(), strict=True)))
    return found == [True, False]
