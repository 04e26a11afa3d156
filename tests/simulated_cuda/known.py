"""What the simulation has to note, done on purpose: faults of every kind in a step, and kernels whose number and bytes are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.optim import optimizer
from torch.utils import _foreach_utils

from nasarch.search.engine import updates
from nasarch.search.engine.updates import Batch, State
from tests.simulated_cuda.steps import SMALL, STEP, batches, state_of
from tests.simulated_cuda.watch import SimulatedCuda


def waiting_step(cuda: SimulatedCuda) -> None:
    """The loss is looked at in every step."""
    state, (train, valid) = _search()
    with cuda.during(STEP):
        updates.first_order(state, train, valid).loss.item()


def step_of_left_images(cuda: SimulatedCuda) -> None:
    state, (train, valid) = _search()
    with cuda.during(STEP):
        updates.first_order(state, train, (torch.zeros(valid[0].shape), valid[1]))


def step_of_left_labels(cuda: SimulatedCuda) -> None:
    state, (train, valid) = _search()
    with cuda.during(STEP):
        updates.first_order(state, train, (valid[0], torch.zeros(len(valid[1]), dtype=torch.long)))


def step_of_a_left_buffer(cuda: SimulatedCuda) -> None:
    state, (train, valid) = _search()
    selection: Any = state.net.selection
    selection.entry = torch.zeros(selection.entry.shape, dtype=torch.long)
    with cuda.during(STEP):
        updates.first_order(state, train, valid)


def fetching_step(cuda: SimulatedCuda) -> None:
    """The images come with the step, by a copy that waits."""
    state, (train, valid) = _search()
    images = torch.zeros(valid[0].shape)
    with cuda.during(STEP):
        updates.first_order(state, train, (images.to("cuda"), valid[1]))


def fetching_ahead(cuda: SimulatedCuda) -> None:
    """The same by a copy that does not wait."""
    state, (train, valid) = _search()
    images = torch.zeros(valid[0].shape)
    with cuda.during(STEP):
        updates.first_order(state, train, (images.to("cuda", non_blocking=True), valid[1]))


def _search() -> tuple[State, tuple[Batch, Batch]]:
    source = batches(SMALL)
    return state_of("ftso", "float32", SMALL), (next(source), next(source))


X = torch.arange(6.0).view(2, 3)
QUESTIONS: dict[str, Callable[[Tensor], object]] = {  # each waits once
    "item": lambda x: x[0, 0].item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: bool((x > 0).any()),
    "equal": lambda x: torch.equal(x, x),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 0),
    "masked_select": lambda x: x.masked_select(x > 0),
    "taken by a mask": lambda x: x[x > 0],
    "put by a mask": lambda x: x.index_put_((x > 0,), torch.zeros(6, device="cuda")),
    "inverse": lambda x: torch.linalg.inv(x[:, :2]),
    "synchronize": lambda x: torch.cuda.synchronize(),
}
COPIES: dict[str, Callable[[Tensor], object]] = {  # each is one blocking copy
    "to the device": lambda x: X.to("cuda"),
    "cuda": lambda x: X.cuda(),
    "into a tensor of the device": lambda x: x.copy_(X),
    "tensor": lambda x: torch.tensor([1.0, 2.0], device="cuda"),
    "as_tensor": lambda x: torch.as_tensor([1, 2], device="cuda"),
    "new_tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "cpu": lambda x: x.cpu(),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.to("cpu").numpy(),
    "into a tensor of the CPU": lambda x: torch.zeros(2, 3).copy_(x),
    "indices of the CPU": lambda x: x[torch.tensor([0, 1])],
    "a list of indices": lambda x: x[:, [0, 2]],
}
MIXTURES: dict[str, Callable[[Tensor], object]] = {  # each is refused
    "sum": lambda x: x + X,
    "product": lambda x: x @ X.t(),
    "stack": lambda x: torch.stack([x, X]),
    "index_select": lambda x: x.index_select(0, torch.tensor([0])),
    "in place": lambda x: X.clone().add_(x),
}
LEGAL: dict[str, Callable[[Tensor], object]] = {  # near misses: nothing is to be said
    "a number of the CPU": lambda x: x * torch.tensor(2.0),
    "a Python number": lambda x: 2 * x.clamp_(max=1.0),
    "put by a mask, a number": lambda x: x.masked_fill_(x > 0, 1.0).index_put_((x > 0,), torch.tensor(1.0)),
    "filled": lambda x: torch.full((2,), 3.0, device="cuda"),
    "repeated": lambda x: x.repeat_interleave(2),
    "sorted": lambda x: x.flatten().sort(),
    "of the CPU alone": lambda x: X[X > 1].sum().item(),
    "size": lambda x: len(x) + x.numel(),
}


def asked(do: Callable[[Tensor], object], cuda: SimulatedCuda) -> None:
    """One line on a tensor of the device."""
    x = torch.ones(2, 3, device="cuda")
    with cuda.during(STEP):
        do(x)


def three_kernels(cuda: SimulatedCuda) -> None:
    """128 bytes are read and written by relu, read twice and written by the sum, read by the total, which has four. A view is free."""
    x = torch.ones(4, 8, device="cuda")
    with cuda.during(STEP):
        (x.relu() + x).view(8, 4).sum()


def a_gradient(cuda: SimulatedCuda) -> None:
    """Four kernels: a product, its sum, a one for the gradient of that, which times x is the gradient of w."""
    w, x = torch.ones(4, 8, device="cuda", requires_grad=True), torch.ones(4, 8, device="cuda")
    with cuda.during(STEP):
        (w * x).sum().backward()


def views(cuda: SimulatedCuda) -> None:
    x = torch.ones(4, 8, device="cuda")
    with cuda.during(STEP):
        x.view(8, 4).t()[1:, ::2].unsqueeze(0).expand(3, -1, -1).detach()
        torch.empty(100, device="cuda")


def values_come_back(cuda: SimulatedCuda) -> None:
    """Real ones of a copy, ones of what was computed."""
    x = X.to("cuda")
    assert x.tolist() == X.tolist() and torch.equal(x.cpu(), X) and x.double().tolist() == torch.ones(2, 3).tolist()
    x += 1
    assert x.tolist() == torch.ones(2, 3).tolist()
    assert x.sum().item() == 1.0 and (x > 0).all().item() is True and x.long().sum().item() == 1


def nothing_is_left(cuda: SimulatedCuda) -> None:
    """After the context torch is as it was; within it, it is not."""
    before = _patched()
    with left(cuda):
        after = _patched()
    assert all(before) and not any(after), (before, after)


def nothing_is_computed(cuda: SimulatedCuda) -> None:
    """Outside of the context there is a device, but no kernel for it, and no copy."""
    with left(cuda):
        assert torch.cuda.is_available()
        for do in (lambda: torch.ones(2, device="cuda"), lambda: X.to("cuda")):
            try:
                do()
            except RuntimeError as error:
                assert "CUDA" in str(error)
            else:
                raise AssertionError("the stub computes")


@contextmanager
def left(cuda: SimulatedCuda) -> Iterator[None]:
    """Outside of its context for a while."""
    cuda.__exit__()
    try:
        yield
    finally:
        cuda.__enter__()


def _patched() -> list[bool]:
    return [
        FakeTensor in optimizer._foreach_supported_types,
        FakeTensor in _foreach_utils._foreach_supported_types,
        torch._C._only_lift_cpu_tensors(),
        not torch.autograd.is_multithreading_enabled(),
        FakeTensor.tolist.__module__ != FakeTensor.__module__,
        torch.cuda.synchronize.__module__ != "torch.cuda",
    ]


def cases() -> dict[str, Callable[[SimulatedCuda], None]]:
    steps = (waiting_step, step_of_left_images, step_of_left_labels, step_of_a_left_buffer, fetching_step, fetching_ahead)
    others = (three_kernels, a_gradient, views, values_come_back, nothing_is_left, nothing_is_computed)
    kinds = {"question": QUESTIONS, "copy": COPIES, "mixture": MIXTURES, "legal": LEGAL}
    lines = {f"{kind}: {name}": partial(asked, do) for kind, actions in kinds.items() for name, do in actions.items()}
    return {one.__name__: one for one in (*steps, *others)} | lines
