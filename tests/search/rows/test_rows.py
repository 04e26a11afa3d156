"""The rows against what the package knows from elsewhere: presets' own words, the cells' recorded results, models, recipes."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from scipy.stats import pearsonr

from nasarch.models.catalogue import cost_of
from nasarch.models.zoo import MODELS
from nasarch.search.reproduce.metrics import METRICS
from nasarch.search.rows.row import Figure, Row, Search, Train
from nasarch.search.rows.rows import ROWS, find, matching
from nasarch.search.settings.presets import PRESETS
from nasarch.search.training.recipes import RECIPES

COLUMNS = ("600", "1200", "imagenet")
SEARCHES = [(row, step) for row in ROWS.values() for step in row.steps if isinstance(step, Search)]
TRAININGS = [(row, step) for row in ROWS.values() for step in row.steps if isinstance(step, Train)]


def test_every_table_of_the_issue_has_rows() -> None:
    tables = Counter("/".join(name.split("/")[:2]) for name in ROWS)
    expected = {
        **{f"pc-darts/table{n}": count for n, count in ((1, 17), (2, 20), (3, 8), (4, 24), (5, 8))},
        "pc-darts/fig3": 4,
        "ftso/table4": 9,
        "dots/table2": 20,
        "dots/table3": 4,
        "dots/table4": 4,
        "dots/table5": 4,
        "dots/table6": 4,
        "dots/table7": 2,
        "dots/table8": 2,
        "dots/table9": 2,
        "dots/table10": 11,
        "edarts/table2": 4,
        "edarts/table3": 8,
        "edarts/table4": 26,
        "edarts/fig2": 18,
    }
    assert {table: tables[table] for table in expected} == expected
    assert sum(row.reason is None for row in ROWS.values()) >= 120


@pytest.mark.parametrize(("row", "step"), SEARCHES, ids=lambda value: getattr(value, "name", ""))
def test_the_figures_are_those_that_the_preset_quotes(row: Row, step: Search) -> None:
    """Presets were copied from the papers by another hand: a row's figures occur in its preset's words, where those have numbers."""
    preset, train = PRESETS[step.method][step.preset], row.step(Train)
    is_own = row.name.split("/")[0] == step.method and (train is None or train.data == preset.data)
    numbers = {float(number) for number in re.findall(r"\d+\.\d+", preset.reported)}
    for figure in row.figures if is_own and numbers else ():
        if figure.reported is not None and figure.metric in ("test error", "best test error", "shallow accuracy"):
            assert figure.reported in numbers, (row.name, preset.reported)


@pytest.mark.parametrize(("row", "step"), TRAININGS, ids=lambda value: getattr(value, "name", ""))
def test_recipes_and_models_exist_and_fit(row: Row, step: Train) -> None:
    assert step.recipe in RECIPES
    stem = RECIPES[step.recipe].stem
    assert (stem == "imagenet") == (step.data == "imagenet"), row.name
    if step.model is not None:
        assert MODELS[step.model].network.stem == stem, row.name


@pytest.mark.parametrize(("row", "step"), TRAININGS, ids=lambda value: getattr(value, "name", ""))
def test_published_cells_have_the_parameters_that_the_tables_quote(row: Row, step: Train) -> None:
    """To a tenth of a million, for cells that this space holds as they were published; other skeletons and counts are left out."""
    stated = {figure.metric: figure.reported for figure in row.figures}.get("parameters")
    exact = ("darts_v2", "snas_moderate", "snas_aggressive", "p_darts", "pc_darts_cifar", "pc_darts_imagenet", "dots_imagenet")
    if step.model is None or stated is None or not step.model.startswith(exact) or step.data == "cifar100":
        return
    assert cost_of(MODELS[step.model]).parameters / 1e6 == pytest.approx(stated, abs=0.1), step.model


def test_metrics_of_all_figures_exist() -> None:
    assert {figure.metric for row in ROWS.values() for figure in row.figures} <= METRICS.keys()


def test_a_deviation_is_that_of_the_five_runs() -> None:
    """Table 4's five trainings of PC-DARTS' cell: Table 1's 2.57 is their minimum, and 0.07 their deviation."""
    (runs,) = find("pc-darts/table4/pc-darts-runs").figures
    best = find("pc-darts/table1/cifar10").figures[0]
    assert best.metric == "best test error"
    assert (runs.reported, round(runs.std or 0, 2)) == (pytest.approx(2.67), best.std)
    assert best.reported == min(map(float, runs.words.removeprefix("mean of ").split(", ")))


def test_a_row_without_steps_says_why() -> None:
    with pytest.raises(ValueError, match="give it steps, or the reason"):
        Row(name="a", place="b", figures=(Figure("test error", 1.0),))


def test_names_are_found_and_the_closest_are_named() -> None:
    assert [row.name for row in matching("ftso/table1/skip-1ep")] == [f"ftso/table1/skip-1ep/{c}" for c in ("600", "1200", "imagenet")]
    assert len(matching("pc-darts/*")) == len(matching("pc-darts")) == sum(name.startswith("pc-darts/") for name in ROWS)
    with pytest.raises(ValueError, match="did you mean pc-darts/table1/cifar10"):
        find("pc-darts/table1/cifar")


def test_pearsons_coefficients_of_table_1_are_near_those_of_fig_5() -> None:
    """scipy's, from the rows' own figures: 0.77 and 0.7 in sec. 4.4, "no guarantee" after short trainings."""
    columns = {name: {row.name.split("/")[2]: row.figures[0].reported for row in matching(f"ftso/table1/*/{name}")} for name in COLUMNS}
    for part, one, other, low, high in (
        ("b", "600", "1200", 0.76, 0.78),
        ("c", "600", "imagenet", 0.0, 0.4),
        ("d", "1200", "imagenet", 0.65, 0.75),
    ):
        both = sorted(columns[one].keys() & columns[other].keys())
        coefficient = pearsonr([columns[one][name] for name in both], [columns[other][name] for name in both]).statistic
        assert low <= coefficient <= high
        assert f"the {len(both)} of Table 1 give {coefficient:.2f}" in (find(f"ftso/fig5/{part}").reason or "")
