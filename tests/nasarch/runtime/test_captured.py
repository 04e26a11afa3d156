"""Captured steps with a stand-in for CUDA's graphs, which replays a step on its buffers into the same results again and again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.runtime import captured
from nasarch.runtime.captured import WARM_UP, Captured


class Recorded(captured._Graph):
    """Like a graph: works on its own buffers and overwrites its own results."""

    def __init__(self, step: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor]) -> None:
        self.buffers, self.results = [tensor.clone() for tensor in tensors], [torch.empty(())]
        self.graph: Any = self
        self.recorded = step

    def replay_recorded(self) -> None:
        for result, new in zip(self.results, self.recorded(*self.buffers), strict=True):
            result.copy_(new)

    def replay(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        self.graph = type("Graph", (), {"replay": lambda _: self.replay_recorded()})()
        return super().replay(tensors)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    made: list[Recorded] = []

    def graph(step: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor]) -> Recorded:
        made.append(Recorded(step, tensors))
        return made[-1]

    monkeypatch.setattr(captured, "_Graph", graph)
    monkeypatch.setattr(captured, "_can_capture", lambda tensors: True)
    monkeypatch.setattr(captured, "_beside", lambda step, tensors: step(*tensors))
    return made


def descent(weight: Tensor) -> Callable[..., Sequence[Tensor]]:
    """A step that changes a weight in place and returns a loss."""

    def step(x: Tensor) -> Sequence[Tensor]:
        weight.sub_(0.1 * x.mean())
        return (weight * x.sum(),)

    return step


def test_replayed_steps_are_the_eager_ones_and_keep_their_own_results(graphs: list[Recorded]) -> None:
    batches = [torch.randn(4, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(6)]
    alone, replayed = torch.ones((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    expected = [descent(alone)(x)[0].item() for x in batches]
    one = Captured(descent(replayed))
    results = [one(x)[0] for x in batches]  # each kept, as a meter does
    assert [result.item() for result in results] == pytest.approx(expected, rel=1e-6) and len(graphs) == 1
    assert torch.allclose(alone, replayed, rtol=1e-12) and len(set(expected)) == len(expected)
    assert all(graphs[0].buffers[0] is not x for x in batches)


def test_each_combination_of_shapes_has_its_own_graph_after_its_own_warm_up(graphs: list[Recorded]) -> None:
    one = Captured(descent(torch.ones(())))
    for _ in range(WARM_UP):
        one(torch.ones(4))
    assert not graphs
    one(torch.ones(4))
    assert [graph.buffers[0].shape for graph in graphs] == [(4,)]
    for _ in range(WARM_UP + 1):
        one(torch.ones(3))
    assert [graph.buffers[0].shape for graph in graphs] == [(4,), (3,)]
    for constant, count in ((None, 2), (0.1, 3), (0.1, 3), (0.2, 4)):
        if constant is not None:
            one.set_constant(constant)
        one(torch.ones(4))
        assert len(graphs) == count


def test_what_is_switched_off_or_not_on_cuda_runs_as_it_is(graphs: list[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    off = Captured(descent(torch.ones(())), enabled=False)
    for _ in range(WARM_UP + 2):
        off(torch.ones(4))
    monkeypatch.undo()
    plain = Captured(descent(torch.ones(())))
    for _ in range(WARM_UP + 2):
        plain(torch.ones(4))
    assert not graphs


def test_a_step_that_cant_be_captured_goes_on_without_and_says_so_once(graphs: list[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(step: Any, tensors: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(captured, "_Graph", refuse)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    weight = torch.ones(())
    one = Captured(descent(weight))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(WARM_UP + 3):
            one(torch.ones(4))
    (said,) = caught
    assert str(said.message).endswith("slower: operation not permitted when stream is capturing")
    assert weight.item() == pytest.approx(1 - 0.1 * (WARM_UP + 3))


def test_several_processes_run_as_they_are_and_say_so(graphs: list[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured.distributed, "world_size", lambda: 2)
    with pytest.warns(UserWarning, match="in one process alone: these 2 run kernel by kernel"):
        one = Captured(descent(torch.ones(())))
    for _ in range(WARM_UP + 2):
        one(torch.ones(4))
    assert not graphs
