"""Rankings: means and spreads by seed, who is clearly first, and which images train and judge."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cells.genotype import resolve
from nasarch.data.dataset import Images
from nasarch.data.options import DataOptions
from nasarch.models.zoo import CIFAR, IMAGENET, NATS_BENCH
from nasarch.runtime.options import MachineOptions, to_dict
from nasarch.search.ranking.budget import Budget
from nasarch.search.ranking.protocol import balanced, default_networks_per_group, evaluation_protocol
from nasarch.search.ranking.significance import Verdict, by_chance, rivals, verdict
from nasarch.search.ranking.standings import markdown, standings
from nasarch.search.ranking.task import RankingTask
from nasarch.search.ranking.tournament import Candidate, training_groups
from nasarch.search.training.recipes import RECIPES
from tests.helpers import paper_numbers as papers
from tests.helpers.small_training import colours


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
    assert verdict(ranked, 10**7).clear and not verdict(ranked, 100).clear
    assert by_chance(60.0, 100, 58.0) == pytest.approx((24 + 24.36) ** 0.5) and by_chance(100.0, 50, 100.0) == 2
    single = verdict(standings(lines(a=[60.0], b=[59.0])), 1000)
    assert not single.clear and "over 1 seed," in str(single)


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
    assert first.rival == second.rival and second.limit == pytest.approx(0.05 / 21, abs=1e-6)
    assert verdict(standings(lines(a=[60.0])), 100).to_dict() == {"winner": "a", "clear": True, "rival": None}


MANY = 10**18  # images, so many that only seeds are in the error


def against(t: float, *, far: int = 0) -> list[dict[str, Any]]:
    """Two whose differences over three seeds are 1 apart, with a mean of `t` standard errors; and some that are far behind."""
    mean = t / 3**0.5
    behind = {f"far {i}": [20.0, 20.0, 20.0] for i in range(far)}
    return lines(a=[60.0, 60.0, 60.0], b=[60 - mean + 1, 60 - mean, 60 - mean - 1], **behind)


@pytest.mark.parametrize(("t", "clear"), [(2.91, False), (2.93, True)])
def test_one_of_two_is_clear_beyond_the_one_sided_five_per_cent_of_student(t: float, clear: bool) -> None:
    """2.920 with two degrees of freedom; two-sided it would be 4.303, with three degrees 2.353, of the normal distribution 1.645."""
    said = verdict(standings(against(t)), MANY)
    assert said.clear is clear and said.limit == 0.05 and (said.rival.as_good < 0.05) is clear
    assert said.rival.as_good == pytest.approx(0.5 - t / (2 * (2 + t * t) ** 0.5), abs=1e-6)  # Student's t in closed form


@pytest.mark.parametrize(("t", "clear"), [(4.29, False), (4.32, True)])
def test_one_of_three_is_clear_beyond_half_of_that(t: float, clear: bool) -> None:
    """Bonferroni with two others: 4.303 is the one-sided 2.5 per cent; with three it would be 5.339."""
    said = verdict(standings(against(t, far=1)), MANY)
    assert said.clear is clear and said.limit == 0.025 and said.rival.name == "b"


@pytest.mark.parametrize(("of", "limit"), [(0, 0.05), (1, 0.05), (2, 0.05), (3, 0.025), (6, 0.01), (20, 0.002632)])
def test_the_limit_is_that_of_the_best_of_so_many_as_were_chosen_from(of: int, limit: float) -> None:
    assert verdict(standings(against(5.0)), MANY, of=of).limit == limit


def test_the_likeliest_rival_is_not_always_the_second() -> None:
    """b is 1 behind, always; c is 2 behind by luck of a seed, so that it may be as good."""
    ranked = standings(lines(a=[60.0, 61.0, 62.0], b=[59.0, 60.01, 61.0], c=[61.0, 55.0, 61.0], d=[40.0, 41.0, 42.0]))
    assert [one.name for one in ranked] == ["a", "b", "c", "d"]
    b, c, d = rivals(ranked, MANY)
    assert (b.name, c.name, d.name) == ("b", "c", "d") and d.as_good < b.as_good < 1e-4 < c.as_good
    said = verdict(ranked, MANY)
    assert said.rival.name == "c" and not said.clear and said.rival.behind == 2


def test_two_seeds_have_one_degree_of_freedom_and_one_has_the_normal_distribution() -> None:
    (rival,) = rivals(standings(lines(a=[62.0, 60.0], b=[58.0, 58.0])), MANY)
    assert (rival.behind, rival.error) == (3.0, pytest.approx(1.0)) and rival.as_good == pytest.approx(0.5 - math.atan(3) / math.pi)
    (single,) = rivals(standings(lines(a=[60.0], b=[59.0])), 1000)
    assert single.error == pytest.approx((2.4 + 2.419) ** 0.5)
    assert single.as_good == pytest.approx(math.erfc(1 / 4.819**0.5 / 2**0.5) / 2)
    assert verdict(standings(lines(a=[99.0], b=[1.0])), 1000).clear is False  # however far apart they are


def test_two_seeds_can_be_clear_and_a_winner_with_one_can_not() -> None:
    """Differences 21.9 and 22: 439 standard errors; the winner of the second ranking was trained once, its rival twice."""
    assert verdict(standings(lines(a=[62.0, 60.0], b=[40.1, 38.0])), MANY).clear is True
    measured = lines(a=[90.0, 1.0], b=[50.0, 50.0])
    assert verdict(standings([line for line in measured if (line["name"], line["seed"]) != ("a", 1)]), MANY).clear is False


def test_rivals_are_compared_by_the_seeds_that_both_have() -> None:
    measured = lines(a=[60.0, 61.0, 62.0], b=[50.0, 60.0, 60.0])
    (rival,) = rivals(standings([line for line in measured if (line["name"], line["seed"]) != ("b", 0)]), MANY)
    assert rival.behind == 1.5 and rival.error == pytest.approx(0.5) and rival.as_good == pytest.approx(0.5 - math.atan(3) / math.pi)


@pytest.mark.parametrize(
    ("first", "images", "second", "deviation"),
    [
        (90.0, 400, 80.0, 2.5),
        (50.0, 100, 100.0, 5.0),
        (100.0, 50, 100.0, 2.0),
        (100.0, 50, 0.0, 2.0),
        (99.5, 100, 100.0, 1.0),
        (98.0, 100, 99.0, 1.7176),
    ],
)
def test_what_chance_of_the_images_makes_is_that_of_two_shares_one_image_at_least(
    first: float, images: int, second: float, deviation: float
) -> None:
    assert by_chance(first, images, second) == pytest.approx(deviation, rel=1e-4)


def test_a_verdict_says_all_of_it() -> None:
    """Differences 2, 2.5 and 1: mean 1.8333, error 0.763763 / 3^0.5 = 0.440959 of the seeds, 0.0692457 of the images."""
    said = verdict(standings(lines(b=[58.0, 58.5, 61.0], a=[60.0, 61.0, 62.0])), 10**6)
    assert said.to_dict() == {
        "winner": "a",
        "clear": True,
        "limit": 0.05,
        "rival": {
            "name": "b",
            "behind": 1.833333,
            "error": pytest.approx(0.446362, abs=2e-6),
            "as_good": pytest.approx(0.027240, abs=2e-6),
        },
    }
    assert str(said) == "a leads b by 1.83 +- 0.45 points over 3 seeds, which is as good with probability 0.027; clear"
    unsure = replace(said, clear=False, limit=0.0123)
    assert str(unsure).endswith("probability 0.027; not sure: below 0.012 it would be")
    assert str(replace(unsure, seeds=1)).endswith(
        "over 1 seed, which is as good with probability 0.027; one seed doesn't say how seeds differ: no verdict"
    )
    assert str(Verdict(winner="a", seeds=3)) == "a is the only one"


def test_a_standing_as_json_and_text() -> None:
    measured = [{"name": "x", "seed": seed, "accuracy": value, "parameters": 1234567} for seed, value in ((10, 50.00006), (9, 51.0))]
    (one,) = standings(measured)
    assert one.to_dict() == {
        "name": "x",
        "mean": 50.5,
        "std": 0.7071,
        "accuracies": {"9": 51.0, "10": 50.00006},
        "parameters": 1234567,
    }
    assert list(one.to_dict()["accuracies"]) == ["9", "10"] and one.text() == "50.50 +- 0.71"
    assert standings(measured[:1])[0].text() == "50.00" and standings(measured[:1])[0].to_dict()["std"] is None
    rows = markdown([one], "cell").splitlines()
    assert rows == ["| cell | accuracy, % | seeds | parameters |", "|---|---:|---:|---:|", "| x | 50.50 +- 0.71 | 2 | 1,234,567 |"]


def test_equal_means_stay_in_the_order_of_the_lines() -> None:
    assert [one.name for one in standings(lines(c=[50.0], a=[51.0], b=[50.0], d=[51.0]))] == ["a", "d", "c", "b"]


def test_heats_hold_cells_of_one_form() -> None:
    names = ["darts_v1_cifar", "fair_darts_a_cifar", "pc_darts_cifar", "dots_cifar", "amoebanet_a_cifar"]
    cells = [Candidate(name, resolve(name)) for name in names]
    found = training_groups("cells", cells, [4, 5], 2)
    assert [[one.name for one in heat.candidates] for heat in found[:4]] == [
        ["darts_v1_cifar", "pc_darts_cifar"],
        ["dots_cifar"],
        ["fair_darts_a_cifar"],
        ["amoebanet_a_cifar"],
    ]
    assert [heat.seed for heat in found] == [4] * 4 + [5] * 4 and len({heat.name for heat in found}) == 8


def test_halves_and_samples_are_balanced_and_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = colours()
    monkeypatch.setattr("nasarch.data.load.load", lambda *names, **arguments: data)
    budget = Budget(images=12, val_images=9, batch_size=4, machine=MachineOptions(device="cpu"))

    def parts(budget: Budget, by_test: bool) -> tuple[Images, Images]:
        found = evaluation_protocol(RankingTask("select", budget, {}, Path()), by_test=by_test)
        assert isinstance(found.train, Images) and isinstance(found.val, Images)
        return found.train, found.val

    train, val = parts(budget, False)
    assert train.labels.bincount().tolist() == [4, 4, 4] and val.labels.bincount().tolist() == [3, 3, 3]
    whole = parts(replace(budget, images=None, val_images=None), False)
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


def test_networks_of_another_recipe_are_the_papers_and_trained_one_by_one() -> None:
    """DOTS, A.1: the evaluation network, 300 epochs, cutout and auxiliary head."""
    budget = Budget(recipe="cifar", epochs=300)
    assert budget.settings() == replace(RECIPES["cifar"].settings, epochs=300, cells=20, channels=36)
    assert replace(budget, channels=8).settings().channels == 8 and Budget(recipe="edarts").settings().channels == 32
    assert (budget.complete().batch_size, budget.complete().cells) == (96, 20)
    assert default_networks_per_group(replace(budget, channels=4), colours(), torch.device("cpu")) == 1
    for name, known in RECIPES.items():
        if known.settings.cells is None:
            key = "nats" if name == "nats" else known.stem
            assert known.network == (papers.NETWORKS[key][0], known.settings.channels or papers.NETWORKS[key][1])
    zoo = {"cifar": CIFAR, "imagenet": IMAGENET, "nats": NATS_BENCH}
    assert papers.NETWORKS == {name: (network.cells, network.channels) for name, network in zoo.items()}
    with pytest.raises(ValueError, match="unknown recipe 'deep'; there are cifar"):
        Budget(recipe="deep")
    small = replace(budget, batch_size=4, networks_per_group=2, machine=MachineOptions(device="cpu"), dataset=DataOptions(data="digits"))
    with pytest.raises(ValueError, match="--networks-per-group 2: networks of recipe cifar are trained one by one; choose 1"):
        evaluation_protocol(RankingTask("correlate", small, {}, Path()), by_test=True)


def test_small_maps_are_trained_together_on_a_cpu() -> None:
    cpu, data = torch.device("cpu"), colours()  # 16 x 16 pixels
    assert default_networks_per_group(Budget(channels=16, batch_size=64), data, cpu) == 1
    assert default_networks_per_group(Budget(channels=15, batch_size=64), data, cpu) == 4  # a map takes just less than a MiB
    assert default_networks_per_group(Budget(channels=8, batch_size=64), data, cpu) == 8


def test_a_network_is_trained_as_edarts_does_unless_flags_say_otherwise() -> None:
    """eDARTS, sec. IV-A: 5 cells, 16 channels, 100 epochs, batches of 64; otherwise as DARTS, without cutout and auxiliary head."""
    usual = {"epochs": 100, "batch_size": 64, "lr": 0.025, "drop_path": 0.2, "cells": 5, "channels": 16}
    others = {
        "schedule": "cosine",
        "decay": 0.0,
        "tail": 0.0,
        "warmup": 0.0,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 3e-4,
        "clip": 5.0,
        "drop_path_on": "edges",
    }
    without = dict.fromkeys(("cutout", "colour_jitter", "aux_weight", "label_smoothing", "mixup", "ema"), 0)
    assert vars(Budget().settings()) == usual | others | without
    assert {name: value for name, value in to_dict(Budget()).items() if name not in usual and value} == {
        "recipe": "shallow",
        "seeds": 3,
        "device": "auto",
        "data": "auto",
    }
    assert Budget().complete() == Budget(**usual) == Budget(**usual).complete()
    changed = {"epochs": 2, "batch_size": 3, "lr": 0.4, "drop_path": 0.5, "cells": 6, "channels": 7}
    assert vars(Budget(**changed).settings()) == changed | others | without
    for name, low in {"seeds": 1, "seed": 0, "networks_per_group": 0, "cells": 3, "channels": 2}.items():
        Budget(**{name: low})
        with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} {low - 1}: choose {low} or more"):
            Budget(**{name: low - 1})
