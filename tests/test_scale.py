"""A search of a tenth of the epochs keeps its shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nasarch.search.darts import Darts
from nasarch.search.dots import Dots
from nasarch.search.edarts import Edarts
from nasarch.search.ftso import Ftso
from nasarch.search.pc_darts import PcDarts
from nasarch.search.scale import scaled
from nasarch.search.schedules import annealed

ALL = [Darts(), Dots(), Edarts(), Ftso(), PcDarts()]


def end_temperatures(settings: Dots) -> list[float]:
    """Of the last epoch of both stages."""
    stages = [(name, getattr(settings, f"{name}_epochs")) for name in ("operation", "topology")]
    return [
        annealed(getattr(settings, f"{name}_start"), getattr(settings, f"{name}_decay"), getattr(settings, f"{name}_warmup"))(epochs - 1)
        for name, epochs in stages
    ]


@pytest.mark.parametrize("factor", [0.001, 0.1, 0.2, 0.5, 1.0, 2.0])
def test_dots_anneals_to_the_same_temperatures(factor: float) -> None:
    few = scaled(Dots(), factor)
    assert end_temperatures(few) == pytest.approx(end_temperatures(Dots()))
    assert few.operation_start == few.topology_start == 10.0


def test_dots_without_annealing_stays_without() -> None:
    assert scaled(Dots(operation_start=1.0, operation_decay=1.0), 0.2).operation_decay == 1.0


@pytest.mark.parametrize(("factor", "epochs", "warmup"), [(0.1, 5, 2), (0.5, 25, 8), (0.01, 2, 1), (2.0, 100, 30)])
def test_the_warm_up_shrinks_with_its_stage(factor: float, epochs: int, warmup: int) -> None:
    few = scaled(PcDarts(), factor)
    assert (few.epochs, few.warmup) == (epochs, warmup)


def test_without_a_warm_up_there_is_none() -> None:
    assert scaled(PcDarts(warmup=0), 0.1) == PcDarts(warmup=0, epochs=5)


@pytest.mark.parametrize("settings", ALL, ids=lambda settings: type(settings).__name__)
def test_the_smallest_factor_leaves_a_search_and_touches_epochs_alone(settings: Any) -> None:
    few = scaled(settings, 1e-9)
    changed = {name for name, value in vars(few).items() if value != getattr(settings, name)}
    assert all(name.endswith(("epochs", "warmup", "decay")) for name in changed)
    assert all(value >= 1 for name, value in vars(few).items() if name.endswith("epochs"))
    assert scaled(settings, 1.0) == settings


def test_iterations_are_no_epochs() -> None:
    settings = Ftso(iterations=7, operator="gradient")
    assert scaled(settings, 0.1) == replace(settings, operator_epochs=5)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_positive_number_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="--scale .*above 0, such as 0.1"):
        scaled(Darts(), factor)
