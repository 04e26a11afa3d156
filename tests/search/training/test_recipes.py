"""Recipes: their schedules in closed form, the papers' numbers, what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler

from nasarch.models.profile import count_parameters
from nasarch.models.zoo import MODELS
from nasarch.runtime.schedules import linear
from nasarch.search.training.colour_jitter import jittered, turned
from nasarch.search.training.learner import sgd
from nasarch.search.training.options import TrainOptions
from nasarch.search.training.recipes import RECIPES, Training, recipe, remarks_on, with_scaled_lr


def test_the_rate_falls_as_a_cosine() -> None:
    rate = RECIPES["cifar"].settings.learning_rate
    assert rate(0) == 0.025 and rate(300) == pytest.approx(0.0125)
    assert rate(599) == pytest.approx(0.025 * (1 + math.cos(math.pi * 599 / 600)) / 2)


def test_imagenet_warms_up_for_5_of_250_epochs_and_falls_on_a_line() -> None:
    rate = RECIPES["imagenet"].settings.learning_rate
    assert [rate(epoch) for epoch in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert rate(5) == pytest.approx(0.5 * 245 / 250) and rate(249) == pytest.approx(0.5 / 250)


def test_the_tail_of_the_published_imagenet_code() -> None:
    """yuhuixu1993/PC-DARTS, train_imagenet.py, adjust_lr: lr * (E - 5 - e) / (E - 5), in the last 5 epochs lr * (E - e) / ((E - 5) * 5)."""
    for name, epochs in (("imagenet", 250), ("imagenet-100", 100)):
        text = RECIPES[name].settings
        rate = replace(text, tail=5 / epochs).learning_rate
        assert [rate(epoch) for epoch in range(5)] == [text.learning_rate(epoch) for epoch in range(5)]
        for epoch in range(5, epochs - 5):
            assert rate(epoch) == pytest.approx(0.5 * (epochs - 5 - epoch) / (epochs - 5), rel=1e-9)
        for epoch in range(epochs - 5, epochs):
            assert rate(epoch) == pytest.approx(0.5 * (epochs - epoch) / ((epochs - 5) * 5), rel=1e-9)
    text = RECIPES["imagenet"].settings
    assert (round(text.learning_rate(240), 4), round(replace(text, tail=0.02).learning_rate(240), 4)) == (0.02, 0.0102)


def test_darts_imagenet_loses_3_percent_of_the_rate_an_epoch() -> None:
    rate = RECIPES["darts-imagenet"].settings.learning_rate
    assert [rate(epoch) for epoch in range(250)] == pytest.approx([0.1 * 0.97**epoch for epoch in range(250)])


def test_100_epochs_of_imagenet_warm_up_for_5_too() -> None:
    rate = RECIPES["imagenet-100"].settings.learning_rate
    assert [rate(epoch) for epoch in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5 * 95 / 100])


def test_the_longer_training_of_ftso_differs_in_its_epochs_alone() -> None:
    """FTSO, Table 1: columns 600 and 1,200."""
    short = RECIPES["ftso"].settings
    long = replace(short, epochs=1200)
    assert (short.epochs, short.batch_size, short.drop_path) == (600, 128, 0.3)
    assert [long.learning_rate(2 * epoch) for epoch in range(600)] == [short.learning_rate(epoch) for epoch in range(600)]


def test_dots_imagenet_has_its_parameters_at_48_channels_not_at_the_texts_46() -> None:
    """DOTS, Table 2: 5.3 M parameters, 596 M multi-adds; sec. 4.2: 46 initial channels."""
    found = {channels: timm.create_model("dots_imagenet", channels=channels) for channels in (46, 48)}
    assert {channels: round(count_parameters(net) / 1e6, 2) for channels, net in found.items()} == {46: 4.95, 48: 5.35}
    assert MODELS["dots_imagenet"].network.channels == 48 and RECIPES["dots-imagenet"].settings.channels is None


def test_edarts_has_its_parameters_at_32_channels() -> None:
    """eDARTS, Table IV: 3.1 M parameters on CIFAR-10."""
    net = timm.create_model("edarts_cifar", channels=RECIPES["edarts"].settings.channels)
    assert round(count_parameters(net) / 1e6, 2) == 3.05


@pytest.mark.parametrize("name", RECIPES)
def test_fewer_epochs_keep_the_shape(name: str) -> None:
    """At the same share of the training the same values, also within the epochs of a warm-up."""
    whole = RECIPES[name].settings
    climbing = range(round(whole.warmup * whole.epochs))
    for times in (5, 10, 25):
        short = replace(whole, epochs=whole.epochs // times)
        for epoch in range(short.epochs):
            assert short.drop_path_rate(epoch) == pytest.approx(whole.drop_path_rate(times * epoch))
            assert short.learning_rate(epoch) == pytest.approx(whole.learning_rate(times * epoch))
        for epoch in climbing:
            assert short.learning_rate((epoch + 0.01) / times) == pytest.approx(whole.learning_rate(epoch))


@pytest.mark.parametrize("epochs", [250, 500, 50, 10, 1])
def test_a_warm_up_climbs_in_five_stairs_or_more_however_short_it_is(epochs: int) -> None:
    rate = replace(RECIPES["imagenet"].settings, epochs=epochs).learning_rate
    climbed = [rate(0.02 * epochs * share / 1000) for share in range(1000)]
    assert climbed == sorted(climbed) and climbed[-1] == 0.5
    assert len(set(climbed)) == max(5, round(0.02 * epochs))


def test_timms_cosine_is_ours_and_its_warm_up_is_an_epoch_late() -> None:
    """What the docstring of the recipes says of timm's schedulers and optimisers."""
    settings = replace(RECIPES["cifar"].settings, epochs=20)
    optimizer = sgd(torch.nn.Linear(2, 2), settings)
    timms = CosineLRScheduler(optimizer, t_initial=20)
    assert [timms._get_lr(epoch)[0] for epoch in range(20)] == pytest.approx([settings.learning_rate(epoch) for epoch in range(20)])
    late = CosineLRScheduler(optimizer, t_initial=20, warmup_t=5)
    ours = replace(settings, warmup=0.25).learning_rate
    assert [late._get_lr(epoch)[0] for epoch in range(1, 5)] == pytest.approx([ours(epoch) for epoch in range(4)])
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    for name, nesterov in (("momentum", False), ("sgd", True)):
        made = create_optimizer_v2(net, opt=name, lr=0.1, weight_decay=1e-4)
        assert type(made) is torch.optim.SGD and made.defaults["nesterov"] is nesterov
        assert sorted(group["weight_decay"] for group in made.param_groups) == [0.0, 1e-4]


def test_drop_path_grows_linearly_from_none() -> None:
    rate = Training(epochs=10, drop_path=0.3).drop_path_rate
    assert [rate(epoch) for epoch in range(10)] == pytest.approx([0.03 * epoch for epoch in range(10)])


def test_a_line_ends_one_step_before_its_end() -> None:
    assert [linear(1.0, 4)(epoch) for epoch in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_the_shallow_network_is_that_of_edarts() -> None:
    shallow = RECIPES["shallow"].settings
    assert (shallow.cells, shallow.channels, shallow.epochs, shallow.batch_size) == (5, 16, 100, 64)
    assert (shallow.cutout, shallow.aux_weight, shallow.drop_path, shallow.clip) == (0, 0.0, 0.2, 5.0)


def test_another_batch_size_is_said_aloud_and_can_scale_the_rate() -> None:
    usual = RECIPES["cifar"].settings
    double = replace(usual, batch_size=192)
    (words,) = remarks_on(double, usual)
    assert "192" in words and "0.05" in words and "--scale-lr" in words
    assert with_scaled_lr(double, usual).lr == 0.05
    assert not remarks_on(usual, usual) and not remarks_on(replace(double, lr=0.04), usual)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"lr": float("inf")}, {"drop_path": 1.0}, {"ema": 1.0}, {"warmup": -0.1}),
        *({"decay": 0.5}, {"schedule": "exponential"}, {"schedule": "exponential", "decay": 1.0}, {"tail": 0.02}),
        *({"cutout": -1}, {"aux_weight": -0.4}, {"mixup": float("nan")}, {"nesterov": True, "momentum": 0.0}),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_with_a_remedy(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="choose"):
        Training(**wrong)


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there are cifar, pc-darts, .*, imagenet, .*, shallow, nats$"):
        recipe("cifar100")


def test_the_help_of_the_flag_names_all_recipes() -> None:
    words = (TrainOptions.__doc__ or "").split("        recipe: ")[1].split("        weights: ")[0]
    assert re.findall(r"[\w-]+", words.split(" change: ")[1].replace(" or ", " ")) == list(RECIPES)


def test_jitter_changes_colours_within_the_levels_and_repeats_itself() -> None:
    x = torch.rand(6, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    first, again = (jittered(x, 0.4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again) and not torch.allclose(first, x) and 0 <= first.min() and first.max() <= 1
    assert not torch.equal(first, jittered(x, 0.4, torch.Generator().manual_seed(4)))
    torch.testing.assert_close(jittered(x, 0.0, torch.Generator()), x, rtol=1e-4, atol=1e-5)


def test_turning_the_hue_leaves_greys_and_a_whole_turn_leaves_all() -> None:
    grey = torch.full((3,), 0.5)
    torch.testing.assert_close(turned(torch.tensor([0.3, 1.0])) @ grey, grey.expand(2, 3), rtol=0, atol=2e-3)  # YIQ's rounded numbers
    torch.testing.assert_close(turned(torch.tensor([2 * math.pi]))[0], torch.eye(3), rtol=1e-4, atol=1e-5)
