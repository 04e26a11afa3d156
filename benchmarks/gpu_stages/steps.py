"""Stage steps: an eager step of each method in two formats and two precisions, and beside two of them the literal twin.

| figure | meaning |
|---|---|
| first_s | of the first step of its kind in a process, in which kernels are compiled, loaded and chosen |
| median_ms | a step until everything is computed, launches included |
| operations | dispatched by PyTorch |
| kernels, copies, busy_ms | launched in a step, and the GPU's time for them, by the profiler |
| longest, by_operation | the GPU's milliseconds and the number of calls, by kernel, and by operation of PyTorch and shapes |
| busy_share | busy_ms / median_ms: the rest of the time the GPU waits for launches |
| peak_MB | of allocated memory |
| other_strides | gradients that lie otherwise than their weights: PyTorch then updates all weights one by one, not by few kernels |

The twin (tests/helpers/reference.py) has the two gradients of a step and no optimisers, and so has nasarch in the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import seconds_of
from benchmarks.supernet import Side
from nasarch.cells.space import DARTS
from nasarch.compute import AUTOCAST_DTYPES
from nasarch.runtime.options import Precision
from nasarch.search.engine.updates import State
from tests.helpers.reference import TwinSupernet

from .cases import CASES, SMALL, SMALL_NODES, Case, batches, combinations, modules, state_of
from .context import Context
from .formats import FORMATS, in_format
from .timing import by_operation, launched, median_ms

ROUNDS, SMALL_ROUNDS = 5, 1
FIRST = ("ftso", "pc-darts")  # before the others, with the twin of each
TWINS = {f"{name}'s twin": name for name in FIRST}


def run(context: Context) -> None:
    """The steps of FTSO and PC-DARTS, then the twin's, then those of the others."""
    pairs, names = combinations(context), [name for name in CASES if name in (context.cases or CASES)]
    twins = [name for name in TWINS if name in (context.cases or TWINS)]
    first, others = [name for name in FIRST if name in names], [name for name in names if name not in (*FIRST, *TWINS)]
    for names in (first, others):
        for name, (amp, form) in product(names, pairs):
            if not CASES[name].shape.get("random_channels") or form == "channels_last":  # drawing goes by way of NHWC
                context.attempt(f"{name}, {amp}, {form}", partial(step, context, CASES[name], amp, form))
        for name, (amp, form) in product(twins if names == first else (), pairs):
            context.attempt(f"{name}, {amp}, {form}", partial(twin, context, CASES[TWINS[name]], amp, form))


def step(context: Context, case: Case, amp: Precision, form: str) -> dict[str, Any]:
    """The figures of a step."""
    with in_format(form):
        state = state_of(case, context.device, amp, small=context.small)
        two = batches(case, context.device, 2, small=context.small)
        call = partial(case.update, state, *two)
        first = seconds_of(call, torch.device(context.device))
        median = median_ms(call, context.device, SMALL_ROUNDS if context.small else ROUNDS)
        figures = launched(call, context.device)
        if context.device != "cpu":
            figures["by_operation"] = by_operation(call)
    share = {"busy_share": figures["busy_ms"] / median} if "busy_ms" in figures else {}
    return {"first_s": first, "median_ms": median, **figures, **share, "other_strides": other_strides(state)}


def other_strides(state: State) -> int:
    """How many gradients of the weights lie otherwise in memory than the weights."""
    return sum(p.grad is not None and p.grad.stride() != p.stride() for p in state.net.parameters())


def twin(context: Context, case: Case, amp: Precision, form: str) -> dict[str, Any]:
    """The two gradients of a step by the twin in this format and by nasarch in channels_last."""
    rounds, (batch,) = SMALL_ROUNDS if context.small else ROUNDS, batches(case, context.device, 1, small=context.small)
    sides = {name: partial(side.step, batch) for name, side in contestants(context, case, amp, form)}
    ms = {name: median_ms(call, context.device, rounds) for name, call in sides.items()}
    found: dict[str, Any] = {"median_ms": ms["twin"], "nasarch_ms": ms["nasarch"], "twin_over_nasarch": ms["twin"] / ms["nasarch"]}
    return found | launched(sides["twin"], context.device)


def contestants(context: Context, case: Case, amp: Precision, form: str) -> Iterator[tuple[str, Side]]:
    """Nasarch and the twin of its shape, each with its way to the logits."""
    net, arch = (module.to(context.device) for module in modules(case, small=context.small))
    space, shape = DARTS.with_nodes(SMALL_NODES) if context.small else DARTS, {**case.shape, **(SMALL if context.small else {})}
    literal = TwinSupernet(space, case.candidates(space), **shape).to(context.device).to(memory_format=FORMATS[form])
    yield "nasarch", Side(net, lowered(lambda x: net(x, arch()), amp), arch, separate=True)
    calls = lowered(lambda x: literal(x.contiguous(memory_format=FORMATS[form]), arch.operations(), arch.edges()), amp)
    yield "twin", Side(literal, calls, arch, separate=False)


def lowered(call: Callable[[Tensor], Tensor], amp: Precision) -> Callable[[Tensor], Tensor]:
    """The logits in float32, by a network that computes in this precision."""

    def logits(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, AUTOCAST_DTYPES[amp], enabled=AUTOCAST_DTYPES[amp] is not None):
            return call(x).float()

    return logits
