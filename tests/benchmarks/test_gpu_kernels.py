"""Checks of the GPU stages: formats, gradients and kernels that are measured, steps that are captured."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu_stages import exact, graph, kernels
from benchmarks.gpu_stages.cases import CASES, batches, modules, state_of
from benchmarks.gpu_stages.context import Context
from benchmarks.gpu_stages.formats import FORMATS, in_format
from nasarch.runtime.captured import Captured
from nasarch.runtime.optimizers import set_rate
from nasarch.search.kernels import recompute

SMALLEST = CASES["pc-darts"]._replace(shape={"channels": 8, "layers": 3, "partial": 4})


class Orders(TorchDispatchMode):
    """Notes for every convolution whether its input lies in NCHW order, where that can be told from channels_last."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[bool] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket.__name__ in ("convolution", "convolution_backward"):
            tensors = [tensor for tensor in args[:2] if isinstance(tensor, torch.Tensor) and tensor.shape[1] > 1 and tensor.shape[2] > 1]
            self.found += [tensor.is_contiguous() for tensor in tensors]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("form", FORMATS)
def test_a_supernet_computes_in_the_format_that_is_asked_for(form: str) -> None:
    (batch,) = batches(SMALLEST, "cpu", 1, small=True)
    with in_format(form), Orders() as orders:
        exact.gradients(*modules(SMALLEST, small=True), batch, "cpu", torch.float32)
    share = sum(orders.found) / len(orders.found)
    assert len(orders.found) > 100 and (share > 0.98 if form == "NCHW" else share < 0.05)  # but for some gradients


def test_the_comparison_of_gradients_notices_what_is_no_rounding() -> None:
    truth = {"loss": torch.tensor(2.0), "a": torch.randn(50, dtype=torch.float64), "of one candidate": torch.zeros(3, dtype=torch.float64)}
    assert exact.worst(truth, truth | {"of one candidate": torch.full((3,), 1e-18)})[1] < exact.LARGEST
    assert exact.worst(truth, truth | {"a": truth["a"] * (1 + 1e-10)})[1] < exact.LARGEST
    assert exact.worst(truth, truth | {"a": truth["a"] * (1 + 1e-8)}) == ("a", pytest.approx(1e-8, rel=1e-4))
    assert exact.worst(truth, truth | {"of one candidate": torch.full((3,), math.nan)})[0] == "of one candidate"


def test_a_wrong_gradient_of_a_depthwise_convolution_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> torch.Tensor:
        return right(*arguments) * (1 + 1e-7)

    assert exact.compared(SMALLEST, "NCHW", "cpu")["agrees"]
    right, truth = recompute._kernel_gradient, exact.gradients

    def gradients(*arguments: Any) -> dict[str, torch.Tensor]:
        found = truth(*arguments)
        monkeypatch.setattr(recompute, "_kernel_gradient", wrong)  # from the second call on, which is the device's
        return found

    monkeypatch.setattr(exact, "gradients", gradients)
    found = exact.compared(SMALLEST, "NCHW", "cpu")
    assert not found["agrees"] and ".convs." in found["where"]


class Convolutions(TorchDispatchMode):
    """Notes the shape of every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[kernels.Shape] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket.__name__ == "convolution":
            x, w, _, stride, padding, dilation, *_, groups = args
            shape = kernels.Shape(x.shape[0], x.shape[1], x.shape[2], w.shape[0], w.shape[2], groups, stride[0], dilation[0])
            if (shape.padding, shape.padding) == tuple(padding):
                self.found.add(shape)
        return func(*args, **(kwargs or {}))


def test_the_kernels_that_are_measured_take_part_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device meta, which has shapes alone and takes the way of a GPU; autocast knows no such device."""
    monkeypatch.setattr(recompute, "_lowered", lambda x: x)
    case = CASES["pc-darts"]
    net, arch = (module.to("meta") for module in modules(case, small=False))
    with Convolutions() as seen:
        net(torch.empty(case.batch, 3, 32, 32, device="meta"), arch())
    assert set(kernels.SHAPES) <= seen.found and not set(kernels.ALTERNATIVES) & seen.found


@pytest.mark.parametrize("form", FORMATS.values())
def test_the_directions_of_a_convolution_are_its_gradients(form: torch.memory_format) -> None:
    shape = kernels.Shape(2, 6, 8, 9, 3, groups=3, stride=2, dilation=2)
    calls = kernels.directions(shape, torch.float64, form, "cpu")
    x, w, y = (tensor.detach().requires_grad_() for tensor in calls["forward"][1])
    assert x.shape == (2, 6, 8, 8) and y.shape == (2, 9, 4, 4) and x.is_contiguous(memory_format=form)
    out, g = F.conv2d(x, w, None, 2, 2, 2, 3), calls["input"][1][0]
    assert torch.equal(calls["forward"][0](), out)
    of_x, of_w = torch.autograd.grad(out, (x, w), g)
    assert torch.equal(calls["input"][0]()[0], of_x) and torch.equal(calls["kernel"][0]()[1], of_w)


def test_products_of_matrices_are_a_grouped_convolution_and_its_gradients() -> None:
    shape = kernels.Shape(2, 6, 4, 9, 1, groups=3)
    calls = kernels.per_group(shape, torch.float64, "cpu")
    x, w, y = calls["forward"][1]
    g = calls["input"][1][0]
    image, kernel = x.reshape(2, 6, 4, 4).requires_grad_(), w.reshape(9, 2, 1, 1).requires_grad_()
    out = F.conv2d(image, kernel, groups=3)
    of_x, of_w = torch.autograd.grad(out, (image, kernel), g.reshape(out.shape))
    assert y.shape == (2, 3, 3, 16)
    for name, expected in (("forward", out), ("input", of_x), ("kernel", of_w)):
        torch.testing.assert_close(calls[name][0]().flatten(), expected.flatten(), rtol=1e-12, atol=1e-12)


def test_a_product_with_a_matrix_of_blocks_is_a_grouped_convolution_and_its_gradients() -> None:
    shape = kernels.Shape(2, 6, 4, 9, 1, groups=3)
    calls = kernels.as_dense(shape, torch.float64, "cpu")
    x, w, _ = calls["forward"][1]
    g = calls["input"][1][0]
    assert torch.equal(kernels.block_diagonal(w), torch.block_diag(*w))
    image, kernel = x.reshape(2, 4, 4, 6).permute(0, 3, 1, 2).requires_grad_(), w.mT.reshape(9, 2, 1, 1).requires_grad_()
    out = F.conv2d(image, kernel, groups=3)
    of_x, of_w = torch.autograd.grad(out, (image, kernel), g.reshape(2, 4, 4, 9).permute(0, 3, 1, 2))
    rows = {"forward": out.permute(0, 2, 3, 1), "input": of_x.permute(0, 2, 3, 1), "kernel": of_w.reshape(3, 3, 2).mT}
    for name, expected in rows.items():
        torch.testing.assert_close(calls[name][0]().flatten(), expected.flatten(), rtol=1e-12, atol=1e-12)


def test_a_rate_that_is_baked_in_is_noticed() -> None:
    case, two = CASES["ftso"], batches(CASES["ftso"], "cpu", 2, small=True)
    state = state_of(case, "cpu", "off", small=True)
    assert graph.rate_is_read(Captured(partial(graph.on_batches, case.update, state)), state, two)

    def baked(*tensors: Any) -> Any:
        set_rate(state.weight_optimizer, 0.1)
        return graph.on_batches(case.update, state, *tensors)

    assert not graph.rate_is_read(Captured(baked), state, two)


def test_a_step_that_reads_no_new_batch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(small=True)
    figures = graph.captured(context, CASES["ftso"], "off", "channels_last")
    assert figures["from_eager"] < 1e-6 < figures["moved"]
    on_batches, first = graph.on_batches, list[Any]()

    def deaf(update: Any, state: Any, *tensors: Any) -> Any:
        first[:] = first or tensors
        return on_batches(update, state, *first)

    monkeypatch.setattr(graph, "on_batches", deaf)
    assert graph.captured(context, CASES["ftso"], "off", "channels_last")["from_eager"] > 1e-4
