"""Rankings: means and spreads by seed, who is clearly first, and which images train and judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.genotype import resolve
from nasarch.search.data import Images
from nasarch.search.tournament import Contestant, heats
from nasarch.search.tournament_budget import Budget, Told
from nasarch.search.tournament_ground import balanced, ground, usual_together
from nasarch.search.tournament_table import by_chance, in_words, markdown, rivals, standings, verdict
from tests.train_small import colours


def lines(**accuracies: list[float]) -> list[dict[str, Any]]:
    return [
        {"name": name, "seed": seed, "accuracy": value, "parameters": 1000}
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def test_the_best_mean_comes_first() -> None:
    ranked = standings(lines(a=[50.0, 60.0], b=[58.0, 58.0], c=[55.0, 55.0]))
    assert [(one.name, one.mean) for one in ranked] == [("b", 58.0), ("a", 55.0), ("c", 55.0)]
    assert ranked[1].std == pytest.approx(50**0.5) and ranked[0].std == 0
    assert standings(lines(a=[50.0]))[0].std is None
    assert "| b | 58.00 +- 0.00 | 2 | 1,000 |" in markdown(ranked, "cell")


def test_seeds_are_compared_one_by_one() -> None:
    ranked = standings(lines(a=[50.0, 70.0, 90.0], b=[49.0, 68.0, 89.5]))  # far apart by seed, always in the same order
    (rival,) = rivals(ranked, 10**15)
    differences = torch.tensor([1.0, 2.0, 0.5], dtype=torch.double)
    error = differences.std() / 3**0.5
    assert rival.behind == pytest.approx(differences.mean()) and rival.error == pytest.approx(error)
    from scipy.stats import ttest_rel

    expected = ttest_rel([50.0, 70.0, 90.0], [49.0, 68.0, 89.5], alternative="greater").pvalue
    assert rival.as_good == pytest.approx(expected)


def test_few_images_make_no_sure_ranking() -> None:
    ranked = standings(lines(a=[60.0, 60.1, 60.2], b=[58.0, 58.1, 58.3]))
    assert verdict(ranked, 10**7)["clear"] and not verdict(ranked, 100)["clear"]
    assert by_chance(60.0, 100, 58.0) == pytest.approx((24 + 24.36) ** 0.5) and by_chance(100.0, 50, 100.0) == 2
    single = verdict(standings(lines(a=[60.0], b=[59.0])), 1000)
    assert not single["clear"] and "over 1 seed," in in_words(single, 1)


def test_the_error_of_the_judging_images_does_not_shrink_with_seeds() -> None:
    few, many = ([60.0, 60.1] * count for count in (1, 50))
    for values in (few, many):
        (rival,) = rivals(standings(lines(a=values, b=[value - 1 for value in values])), 1000)
        assert rival.error == pytest.approx(by_chance(60.05, 1000, 59.05))  # all seeds are judged by the same images
    (rival,) = rivals(standings(lines(a=[62.0, 60.0], b=[58.0, 58.0])), 1000)
    assert rival.error == pytest.approx((1**2 + by_chance(61.0, 1000, 58.0) ** 2) ** 0.5)


def test_the_best_of_many_has_to_lead_by_more() -> None:
    few = lines(a=[60.0, 61.0, 62.0], b=[58.0, 58.5, 61.0])
    many = few + lines(**{f"c{i}": [50.0, 51.0, 52.0] for i in range(20)})
    first, second = (verdict(standings(found), 10**6) for found in (few, many))
    assert first["rival"] == second["rival"] and second["limit"] == pytest.approx(0.05 / 21, abs=1e-6)
    assert verdict(standings(lines(a=[60.0])), 100) == {"winner": "a", "clear": True, "rival": None}


def test_heats_hold_cells_of_one_form() -> None:
    names = ["darts_v1_cifar", "fair_darts_a_cifar", "pc_darts_cifar", "dots_cifar", "amoebanet_a_cifar"]
    cells = [Contestant(name, resolve(name)) for name in names]
    found = heats("cells", cells, [4, 5], 2)
    assert [[one.name for one in heat.contestants] for heat in found[:4]] == [
        ["darts_v1_cifar", "pc_darts_cifar"],
        ["dots_cifar"],
        ["fair_darts_a_cifar"],
        ["amoebanet_a_cifar"],
    ]
    assert [heat.seed for heat in found] == [4] * 4 + [5] * 4 and len({heat.name for heat in found}) == 8


def test_halves_and_samples_are_balanced_and_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = colours()
    monkeypatch.setattr("nasarch.search.tournament_ground.load", lambda *names, **arguments: data)
    budget = Budget(images=12, judged_on=9, batch_size=4, device="cpu")

    def parts(budget: Budget, by_test: bool) -> tuple[Images, Images]:
        found = ground(Told("select", budget, {}, Path()), by_test=by_test)
        assert isinstance(found.train, Images) and isinstance(found.judges, Images)
        return found.train, found.judges

    train, judges = parts(budget, False)
    assert train.labels.bincount().tolist() == [4, 4, 4] and judges.labels.bincount().tolist() == [3, 3, 3]
    whole = parts(replace(budget, images=None, judged_on=None), False)
    assert len(whole[0]) == len(whole[1]) == 24
    assert torch.equal(parts(budget, False)[0].pixels, train.pixels)
    assert not torch.equal(parts(replace(budget, seed=1), False)[0].pixels, train.pixels)
    assert data.test is not None
    assert len(parts(replace(budget, images=None), True)[0]) == 48 and parts(budget, True)[1].pixels.shape[0] == 9


def test_a_sample_has_exactly_so_many_images_of_each_class_its_share() -> None:
    labels = torch.tensor([0] * 30 + [1] * 60 + [2] * 33)[torch.randperm(123)]
    for count in (3, 10, 41, 122):
        indices = balanced(labels, count, 0)
        assert len(indices.unique()) == count and torch.equal(indices, indices.sort().values)
        shares = labels[indices].bincount(minlength=3) - count * labels.bincount() / 123
        assert shares.abs().max() <= 1
    assert not torch.equal(balanced(labels, 41, 0), balanced(labels, 41, 1))


def test_small_maps_are_trained_together_on_a_cpu() -> None:
    cpu, data = torch.device("cpu"), colours()  # 16 x 16 pixels
    assert usual_together(Budget(channels=16, batch_size=64), data, cpu) == 1
    assert usual_together(Budget(channels=8, batch_size=64), data, cpu) == 8
