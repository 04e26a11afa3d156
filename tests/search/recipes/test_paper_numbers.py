"""Every number of the papers, by the tables of `tests/helpers/paper_numbers.py` and `tests/helpers/paper_presets.py`: in the settings, and
in what a search does."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import asdict, fields
from types import ModuleType
from typing import Any

import pytest
import torch

from nasarch.cells.space import SPACES
from nasarch.cells.topology import topologies
from nasarch.models.stem import IMAGENET_STEM_SIZE
from nasarch.search.engine import updates
from nasarch.search.engine.hessian import largest_eigenvalue
from nasarch.search.engine.updates import OptimizerSettings, initial_state
from nasarch.search.ranking.budget import Budget
from nasarch.search.ranking.commands import rank_paths
from nasarch.search.ranking.significance import LEVEL
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from nasarch.search.runs.options import SearchOptions
from nasarch.search.settings.dots import DotsStage
from nasarch.search.settings.presets import PRESETS
from nasarch.search.supernet.network import Supernet
from nasarch.search.training import recipes
from tests.helpers import paper_numbers as papers
from tests.helpers.nested import flat, nested
from tests.helpers.paper_presets import PRESETS as ROWS
from tests.helpers.paper_presets import Row
from tests.helpers.staged import Stage, searched

RECIPES: dict[str, tuple[ModuleType, type]] = {
    "darts": (darts, darts.Darts),
    "pc-darts": (pc_darts, pc_darts.PcDarts),
    "dots": (dots, dots.Dots),
    "edarts": (edarts, edarts.Edarts),
    "ftso": (ftso, ftso.Ftso),
}
EVERY = [(method, name) for method, rows in ROWS.items() for name in rows]
every_preset = pytest.mark.parametrize(("method", "name"), EVERY, ids=[f"{method} {name}" for method, name in EVERY])


def values(told: papers.Values) -> dict[str, Any]:
    """The values of a table, without their places."""
    return {name: value for name, (value, _) in told.items()}


def assert_same(found: dict[str, Any], told: dict[str, Any]) -> None:
    """Equal values of equal types, neither side with a setting more; floats to the last digits that a literal has."""
    assert list(found) == list(told)
    for name, value in told.items():
        assert type(found[name]) is type(value), name
        assert found[name] == (pytest.approx(value, rel=1e-12, abs=0) if isinstance(value, float) else value), name


def effective(method: str, row: Row) -> dict[str, Any]:
    """All settings of a row, from the tables alone."""
    assert set(row.changes) <= set(papers.SEARCHES[method])
    return values(papers.SEARCHES[method]) | row.changes


@pytest.mark.parametrize("method", RECIPES)
def test_the_settings_of_a_method_are_those_of_its_text(method: str) -> None:
    assert_same(flat(RECIPES[method][1]()), values(papers.SEARCHES[method]))


@every_preset
def test_a_preset_has_all_the_settings_of_its_row(method: str, name: str) -> None:
    row, preset = ROWS[method][name], PRESETS[method][name]
    settings = preset.settings()
    assert type(settings) is RECIPES[method][1]
    assert_same(flat(settings), effective(method, row))
    assert (preset.row, preset.reported, preset.data, preset.space) == (row.row, row.reported, row.data, row.space)


def test_every_row_has_its_preset_and_every_preset_its_row() -> None:
    assert {method: set(rows) for method, rows in ROWS.items()} == {method: set(presets) for method, presets in PRESETS.items()}
    assert len(EVERY) == 19 + 23 + 27 + 18 + 43


@pytest.mark.parametrize("name", papers.RECIPES)
def test_a_training_recipe_has_all_the_settings_of_its_text(name: str) -> None:
    known = recipes.recipe(name)
    assert_same(asdict(known.settings), values(papers.RECIPES[name]))
    assert (known.stem, known.spaces) == papers.RECIPES_ARE_FOR[name]


def test_there_is_no_training_recipe_besides_and_the_plain_one_is_that_of_darts() -> None:
    assert list(recipes.RECIPES) == list(papers.RECIPES)
    assert_same(asdict(recipes.Training()), values(papers.CIFAR))


def test_every_number_has_its_place_in_a_text() -> None:
    for told in (*papers.SEARCHES.values(), *papers.RECIPES.values()):
        assert all(place.strip() == place and place for _, place in told.values())
    for settings in [settings for _, settings in RECIPES.values()] + [DotsStage, recipes.Training]:
        assert all(f" {field.name}: " in (settings.__doc__ or "") for field in fields(settings))


Expected = dict[str, Any]


def falling(values: dict[str, Any], epochs: int, since: int = 0) -> Callable[[int], float]:
    """A cosine from `lr` to `lr_end` over so many epochs, of which some are over."""
    high, low = values["lr"], values["lr_end"]
    return lambda epoch: low + (high - low) * (1 + math.cos(math.pi * (since + epoch) / epochs)) / 2


def rising(rate: Callable[[int], float], epochs: int) -> Callable[[int], float]:
    """In the first epochs as many shares of the first rate as epochs have begun."""
    return lambda epoch: rate(0) * (epoch + 1) / epochs if epoch < epochs else rate(epoch)


def cooling(values: dict[str, Any], stage: str) -> Callable[[int], float]:
    """DOTS eq. 5, t from the end of the warm-up."""
    start, decay, warmup = (values[f"{stage}_{what}"] for what in ("start", "decay", "warmup"))
    return lambda epoch: start if epoch < warmup else start * decay ** (epoch - warmup)


def loaders(values: dict[str, Any], levels: int = 2, fractions: tuple[float, float] | None = None) -> tuple[Any, ...]:
    return ("train and validation" if levels == 2 else "one level", values["batch_size"], fractions or values["fractions"])


def by_order(order: str) -> Callable[..., Any]:
    return {"first": updates.first_order, "second": updates.second_order, "exact": updates.exact_second_order}[order]


def stages_of_darts(values: dict[str, Any]) -> list[Expected]:
    return [
        {
            "shape": {name: values[name] for name in ("channels", "layers")},
            "relaxation": {"init_std": values["init_std"]},
            "loaders": loaders(values),
            "update": by_order(values["order"]),
            "epochs": values["epochs"],
            "rate": falling(values, values["epochs"]),
            "words": "operations and topology",
        }
    ]


def stages_of_pc_darts(values: dict[str, Any]) -> list[Expected]:
    return [
        {
            "shape": {name: values[name] for name in ("channels", "layers", "partial", "random_channels")},
            "relaxation": {"subset": 1 if values["edge_normalisation"] else 0, "init_std": values["init_std"]},
            "loaders": loaders(values),
            "update": updates.first_order,
            "epochs": values["epochs"],
            "warmup": values["warmup"],
            "rate": rising(falling(values, values["epochs"]), values["rate_warmup"]),
            "words": "operations and topology",
        }
    ]


def stages_of_dots(values: dict[str, Any]) -> list[Expected]:
    first, second = values["operation_epochs"], values["topology_epochs"]
    found = []
    for stage, epochs, since, levels in (
        ("operation", first, 0, values["operation_levels"]),
        ("topology", second, first, values["topology_levels"]),
    )[values["operations_from"] is not None :]:
        grouped = {"groups": papers.GROUPS if values["grouped"] else ()}
        found.append(
            {
                "shape": {"channels": values["channels"], "layers": values[f"{stage}_layers"], "stage": int(stage == "topology")},
                "relaxation": grouped if stage == "operation" else {"subset": 2, "operation_scale": values["operation_scale"]},
                "loaders": loaders(values, levels),
                "update": updates.first_order if levels == 2 else updates.one_level,
                "epochs": epochs,
                "arch_betas": values[f"{stage}_arch_betas"],
                "warmup": values[f"{stage}_warmup"],
                "rate": falling(values, first + second, since),
                "temperature": cooling(values, stage),
                "words": {"operation": "operations", "topology": "topology"}[stage],
            }
        )
    return found


def stages_of_edarts(values: dict[str, Any]) -> list[Expected]:
    share = 0.5 if values["images"] is None else values["images"] / 50_000
    forward = values["attention"] == "forward"
    return [
        {
            "shape": {name: values[name] for name in ("channels", "layers")},
            "relaxation": {"init_std": values["init_std"], "bias": list(papers.ATTENTION.values()) if forward else 0.0},
            "shift": list(papers.ATTENTION.values()) if values["attention"] == "start" else 0.0,
            "loaders": loaders(values, fractions=(share, share)),
            "update": by_order(values["order"]),
            "attended": values["attention"] == "update",
            "epochs": values["epochs"],
            "sparse": values["sparse"],
            "rate": falling(values, values["epochs"]),
            "words": "operations" if values["path"] else "operations and topology",
        }
    ]


def stages_of_ftso(values: dict[str, Any], space: str) -> list[Expected]:
    shape = {name: values[name] for name in ("channels", "layers", "partial")}
    common = {"loaders": loaders(values), "update": updates.first_order}
    topology = {
        "shape": shape,
        "relaxation": {"subset": 1},
        "epochs": values["epochs"],
        "iterations": values["iterations"],
        "rate": falling(values, values["epochs"]),
        "words": "topology",
    }
    operators = {
        "shape": shape | {"stage": 1},
        "relaxation": {},
        "epochs": values["operator_epochs"],
        "rate": falling(values, values["operator_epochs"]),
        "words": "operators",
    }
    chosen = [topology] * (space == "darts") + [operators] * (values["operator"] == "gradient")
    return [common | stage for stage in chosen]


@every_preset
def test_a_search_does_what_the_numbers_of_its_row_say(method: str, name: str) -> None:
    """Every setting arrives where it acts: network, data, update, optimisers, epochs, learning rate and temperature by epoch, start."""
    row = ROWS[method][name]
    told = effective(method, row)
    make: dict[str, Callable[[], list[Expected]]] = {
        "darts": lambda: stages_of_darts(told),
        "pc-darts": lambda: stages_of_pc_darts(told),
        "dots": lambda: stages_of_dots(told),
        "edarts": lambda: stages_of_edarts(told),
        "ftso": lambda: stages_of_ftso(told, row.space),
    }
    recipe, settings = RECIPES[method]
    found = searched(recipe, nested(settings(), **told), space=SPACES[row.space])
    expected = make[method]()
    assert len(found.stages) == len(expected)
    for stage, one in zip(found.stages, expected, strict=True):
        assert_stage(stage, one, told)
    cells = found.found.genotype.cells.values()
    assert all(len(cell.nodes) == (told["nodes"] if row.space == "darts" else 3) for cell in cells)
    assert found.found.genotype.name == "cell"


def assert_stage(stage: Stage, expected: Expected, told: dict[str, Any]) -> None:
    assert stage.shape == {"partial": 1, "random_channels": False, "stage": 0} | expected["shape"]
    assert stage.loaders == expected["loaders"]
    for name in ("lr", "momentum", "weight_decay", "clip", "arch_lr", "arch_weight_decay"):
        assert getattr(stage.optimizers, name) == told[name]
    assert stage.optimizers.arch_betas == expected.get("arch_betas", told.get("arch_betas"))
    schedule = dict(stage.schedule)
    derive, words, rate = schedule.pop("derive"), schedule.pop("stage"), schedule.pop("learning_rate")
    temperature = schedule.pop("temperature", lambda epoch: 1.0)
    assert callable(derive) and words == expected["words"]
    usual = {"warmup": 0, "sparse": False, "iterations": None}
    assert usual | schedule == usual | {name: expected[name] for name in ("epochs", *usual) if name in expected}
    for epoch in range(expected["epochs"]):
        assert rate(epoch) == pytest.approx(expected["rate"](epoch), rel=1e-12, abs=1e-15)
        assert temperature(epoch) == pytest.approx(expected.get("temperature", lambda epoch: 1.0)(epoch), rel=1e-12)
    update = stage.update
    if expected.get("attended"):
        inner = inspect.getclosurevars(update).nonlocals
        update = inner["update"]
        torch.testing.assert_close(inner["constants_O"], torch.tensor(list(papers.ATTENTION.values())), rtol=1e-6, atol=0)
    assert update is expected["update"]
    assert_relaxation(stage, expected)


def assert_relaxation(stage: Stage, expected: Expected) -> None:
    """The groups, subsets and biases asked for, and alpha and beta as they begin: so many times what randn draws by the seed."""
    wanted = {"init_std": 0.0, "subset": 0, "edge_softmax": True, "bias": 0.0, "groups": (), "operation_scale": 1.0} | expected[
        "relaxation"
    ]
    asked = {"init_std": 0.0, "subset": 0, "edge_softmax": True, "bias": 0.0, "groups": (), "operation_scale": 1.0} | stage.relaxation
    torch.testing.assert_close(torch.as_tensor(asked.pop("bias")), torch.as_tensor(wanted.pop("bias")), rtol=1e-6, atol=0)
    assert [set(group) for group in asked.pop("groups")] == list(map(set, wanted.pop("groups")))
    assert asked == wanted
    generator = torch.Generator().manual_seed(0)
    for name in ("alpha", "beta")[: 1 + bool(wanted["subset"])]:
        begins = wanted["init_std"] * torch.randn(stage.began[name].shape, generator=generator)
        shift = torch.as_tensor(expected.get("shift", 0.0)) if name == "alpha" else 0.0
        torch.testing.assert_close(stage.began[name], begins + shift, rtol=0, atol=1e-8)
    assert set(stage.began) == ({"alpha", "beta"} if wanted["subset"] else {"alpha"})


@pytest.mark.parametrize("method", RECIPES)
def test_the_optimisers_have_the_numbers_of_the_text(method: str) -> None:
    """Adam with betas 0.5 and 0.999 for the architecture, its decay in the gradient; plain momentum for the weights."""
    told = values(papers.SEARCHES[method])
    settings = RECIPES[method][1]()
    of_stage = {"arch_betas": settings.topology.arch_betas} if method == "dots" else {}
    state = initial_state(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), OptimizerSettings.of(settings, **of_stage))
    (adam,), (sgd,) = state.arch_optimizer.param_groups, state.weight_optimizer.param_groups
    assert type(state.arch_optimizer) is torch.optim.Adam and type(state.weight_optimizer) is torch.optim.SGD
    assert tuple(adam["betas"]) == papers.ADAM_BETAS and not adam["amsgrad"] and not adam["maximize"]
    assert (adam["lr"], adam["weight_decay"], adam["eps"]) == (told["arch_lr"], told["arch_weight_decay"], 1e-8)
    assert (sgd["lr"], sgd["momentum"], sgd["weight_decay"]) == (told["lr"], told["momentum"], told["weight_decay"])
    assert (sgd["dampening"], sgd["nesterov"], sgd["maximize"], state.clip) == (0, False, False, told["clip"])


@pytest.mark.parametrize("name", papers.LAST_TEMPERATURES)
def test_dots_cools_to_the_temperatures_that_its_text_has(name: str) -> None:
    """On CIFAR-10 the text's ends are those of the last epochs, rounded; on ImageNet the stated theta have not yet reached them."""
    stages = searched(dots, PRESETS["dots"][name].settings()).stages
    for stage, (last, stated) in zip(stages, papers.LAST_TEMPERATURES[name], strict=True):
        temperature = stage.schedule["temperature"]
        assert temperature(0) == 10.0 == temperature(15) and temperature(16) < 10.0
        assert temperature(stage.schedule["epochs"] - 1) == pytest.approx(last, rel=1e-5)
        assert last == pytest.approx(stated, rel=0.04) or name == "imagenet"


def test_the_groups_of_dots_are_those_with_and_without_weights() -> None:
    assert (set(dots.FREE), set(dots.PARAMETRIC)) == papers.GROUPS
    assert len(dots.FREE) == len(dots.PARAMETRIC) == 4


def test_finite_differences_are_as_far_apart_as_in_darts() -> None:
    for function in (updates.second_order, updates.arch_second_order):
        assert inspect.signature(function).parameters["epsilon"].default == papers.FINITE_DIFFERENCE


@pytest.mark.parametrize(("partial", "stem", "classes"), papers.SUPERNETS)
def test_supernets_of_the_default_settings_have_as_many_parameters_as_the_published_ones(partial: int, stem: str, classes: int) -> None:
    space, told = SPACES["darts"], values(papers.PC_DARTS)
    with torch.device("meta"):
        net = Supernet(
            space,
            torch.ones(2, 14, 8, dtype=torch.bool, device="cpu"),
            channels=told["channels"],
            layers=told["layers"],
            partial=partial,
            num_classes=classes,
            stem=stem,
        )
    assert sum(p.numel() for p in net.parameters()) == papers.SUPERNETS[partial, stem, classes]


def test_cells_have_as_many_topologies_and_pairs_as_the_texts_count() -> None:
    assert len(topologies()) == papers.PATHS
    assert math.comb(len([edge for edge in SPACES["darts"].edges if edge.target == 5]), 2) == papers.CORRELATED_PAIRS


def test_rankings_have_the_budget_of_the_text() -> None:
    budget, told = Budget().complete(), values(papers.BUDGET)
    assert_same({name: getattr(budget, name) for name in told}, told)
    changed = {name: told[name] for name in ("epochs", "batch_size", "lr", "drop_path", "cells", "channels")}
    assert_same(asdict(budget.settings()), values(papers.RECIPES["shallow"]) | changed)
    flags = inspect.signature(rank_paths).parameters
    assert_same({name: flags[name].default for name in papers.RANKED_PATHS}, values(papers.RANKED_PATHS))


def test_what_no_text_says_is_what_the_table_says() -> None:
    """Numbers that are nasarch's choice, or stand elsewhere in a text than the settings."""
    parameters = inspect.signature(largest_eigenvalue).parameters
    assert {name: parameters[name].default for name in papers.HESSIAN} == papers.HESSIAN
    assert (IMAGENET_STEM_SIZE, LEVEL, SearchOptions().max_macs) == (papers.IMAGENET_PIXELS, papers.LEVEL, papers.MAX_MACS)
    assert (SearchOptions().scale, SearchOptions().seed, SearchOptions().runs) == (1.0, 0, 1)
