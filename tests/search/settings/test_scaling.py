"""A search of a tenth of the epochs keeps its shape."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from nasarch.runtime.schedules import annealed
from nasarch.search.reproduce.options import ReproduceOptions
from nasarch.search.runs.options import SearchOptions
from nasarch.search.settings.darts import Darts
from nasarch.search.settings.dots import Dots
from nasarch.search.settings.edarts import Edarts
from nasarch.search.settings.fields import from_dict, scaled
from nasarch.search.settings.ftso import Ftso
from nasarch.search.settings.pc_darts import PcDarts
from tests.helpers.nested import flat, nested

ALL = [Darts(), Dots(), Edarts(), Ftso(), PcDarts()]


def end_temperatures(settings: Dots) -> list[float]:
    """Of the last epoch of both stages."""
    return [annealed(one.start, one.decay, one.warmup)(one.epochs - 1) for one in (settings.operation, settings.topology)]


@pytest.mark.parametrize("factor", [0.001, 0.1, 0.2, 0.5, 1.0, 2.0])
def test_dots_anneals_to_the_same_temperatures(factor: float) -> None:
    few = scaled(Dots(), factor)
    assert end_temperatures(few) == pytest.approx(end_temperatures(Dots()))
    assert few.operation.start == few.topology.start == 10.0


@pytest.mark.parametrize(
    ("factor", "epochs", "warmups", "decays"),
    [
        (
            0.2,
            (5, 7),
            (3, 3),
            (0.65**9, 0.72 ** (19 / 3)),
        ),  # 5, 7 and 3 of 25, 35 and 15; 1 and 3 steps of the temperature in place of 9 and 19
        (0.5, (12, 18), (8, 8), (0.65**3, 0.72 ** (19 / 9))),  # 12.5, 17.5 and 7.5 are rounded to the even ones
        (2.0, (50, 70), (30, 30), (0.65 ** (9 / 19), 0.72 ** (19 / 39))),
        (0.01, (3, 3), (1, 1), (0.65**9, 0.72**19)),  # a warm-up of one epoch, and two for the temperature
    ],
)
def test_stages_of_dots_are_scaled_one_by_one(
    factor: float, epochs: tuple[int, int], warmups: tuple[int, int], decays: tuple[float, float]
) -> None:
    few = scaled(Dots(), factor)
    assert (few.operation.epochs, few.topology.epochs) == epochs
    assert (few.operation.warmup, few.topology.warmup) == warmups
    assert (few.operation.decay, few.topology.decay) == pytest.approx(decays, rel=1e-12)


def test_the_warm_up_of_the_learning_rate_shrinks_as_well() -> None:
    few = scaled(PcDarts(warmup=35, rate_warmup=5), 0.1)
    assert (few.epochs, few.warmup, few.rate_warmup) == (5, 4, 1)  # 3.5 is rounded to 4
    assert scaled(PcDarts(epochs=10, warmup=9), 0.1) == PcDarts(epochs=2, warmup=1)


def test_dots_without_annealing_stays_without() -> None:
    assert scaled(nested(Dots(), operation_start=1.0, operation_decay=1.0), 0.2).operation.decay == 1.0


@pytest.mark.parametrize(("factor", "epochs", "warmup"), [(0.1, 5, 2), (0.5, 25, 8), (0.01, 2, 1), (2.0, 100, 30)])
def test_the_warm_up_shrinks_with_its_stage(factor: float, epochs: int, warmup: int) -> None:
    few = scaled(PcDarts(), factor)
    assert (few.epochs, few.warmup) == (epochs, warmup)


def test_without_a_warm_up_there_is_none() -> None:
    assert scaled(PcDarts(warmup=0), 0.1) == PcDarts(warmup=0, epochs=5)


@pytest.mark.parametrize("settings", ALL, ids=lambda settings: type(settings).__name__)
def test_the_smallest_factor_leaves_a_search_and_touches_epochs_alone(settings: Any) -> None:
    few = scaled(settings, 1e-9)
    changed = {name for name, value in flat(few).items() if value != flat(settings)[name]}
    assert all(name.endswith(("epochs", "warmup", "decay")) for name in changed)
    assert all(value >= 1 for name, value in flat(few).items() if name.endswith("epochs"))
    assert scaled(settings, 1.0) == settings


def test_iterations_are_no_epochs() -> None:
    settings = Ftso(iterations=7, operator="gradient")
    assert scaled(settings, 0.1) == replace(settings, operator_epochs=5)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e308, 1001.0])
@pytest.mark.parametrize("options", [SearchOptions, ReproduceOptions])
def test_what_is_no_positive_number_is_refused(options: Any, factor: float) -> None:
    with pytest.raises(ValueError, match="--scale .*above 0 and at most 1000, such as 0.1"):
        options(scale=factor)
    assert options(scale=1000.0).scale == 1000


def test_a_long_warm_up_of_the_learning_rate_leaves_an_epoch_as_well() -> None:
    assert scaled(PcDarts(epochs=6, warmup=0, rate_warmup=5), 0.1) == PcDarts(epochs=2, warmup=0, rate_warmup=1)


@pytest.mark.parametrize("settings", ALL, ids=lambda settings: type(settings).__name__)
def test_settings_come_back_from_json(settings: Any) -> None:
    kind, kept = type(settings), json.loads(json.dumps(asdict(settings)))
    assert from_dict(kind, kept) == settings
    with pytest.raises(ValueError, match="nodes=0: choose 1 to 12"):
        from_dict(kind, kept | {"nodes": 0})
    with pytest.raises(TypeError, match="unknown"):
        from_dict(kind, kept | {"unknown": 1})
