"""config.json of a folder for the Hub: preprocessing, statistics, size."""

from __future__ import annotations

from typing import Any

import pytest

from nasarch.export.errors import ExportError
from nasarch.export.hub.card import card
from nasarch.export.hub.config import model_config, preprocessor_config
from nasarch.models.labels import KNOWN, Labels
from nasarch.models.source import ModelSource
from tests.helpers.cards import facts, network


def origin_of(**changes: Any) -> ModelSource:
    return ModelSource(**{"source": "x", "name": "my_model", "genotype": facts().genotype, **changes})  # type: ignore[arg-type]


def test_the_configuration_says_all_that_timm_and_transformers_need() -> None:
    model = network(global_pool="max")
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "input_size": (3, 30, 41)}
    found = model_config(model, origin_of(), Labels(("a", "b", "c", "d", "e"), {"a": "an a"}), None)
    arguments = found.pop("model_args")
    assert arguments.pop("genotype") == facts().genotype.to_dict()
    assert arguments == {"cells": 3, "channels": 4, "in_chans": 3, "global_pool": "max"}
    config = found.pop("pretrained_cfg")
    assert found == {
        **{"architecture": "nas_cifar", "num_classes": 5, "num_features": model.num_features, "global_pool": "max"},
        **{"label_names": ["a", "b", "c", "d", "e"], "label_descriptions": {"a": "an a"}},
        "id2label": {"0": "an a", "1": "b", "2": "c", "3": "d", "4": "e"},
    }
    assert config == {
        **{"input_size": [3, 30, 41], "pool_size": [8, 11], "num_classes": 5, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
        **{
            "crop_pct": 1.0,
            "crop_mode": "center",
            "interpolation": "bicubic",
            "first_conv": "stem.0.0",
            "classifier": "fc",
            "license": "apache-2.0",
        },
        "description": "FTSO cells searched on imagenet: 3 cells, 4 channels, 30x41 images",
    }
    unnamed = model_config(model, origin_of(), Labels(("a",) * 5, {}), 12)
    assert unnamed["pretrained_cfg"]["input_size"] == [3, 12, 12] and unnamed["pretrained_cfg"]["pool_size"] == [3, 3]
    assert "label_descriptions" not in unnamed and not {"label_names", "id2label"} & {*model_config(model, origin_of(), None, None)}


def test_the_crop_mode_goes_into_config_json() -> None:
    model = network()
    model.pretrained_cfg = {**model.pretrained_cfg, "crop_mode": "squash"}
    assert model_config(model, origin_of(), None, None)["pretrained_cfg"]["crop_mode"] == "squash"


def test_a_crop_mode_of_its_own_is_named() -> None:
    for mode, named in (("center", ""), ("squash", ", squash")):
        assert f"bicubic, crop 0.875{named} |" in card(facts(config={**facts().config, "crop_mode": mode}))


def test_statistics_are_those_of_the_data_that_are_named_and_one_for_one_channel() -> None:
    """CIFAR-10's and CIFAR-100's, as the literature has them."""
    cifar = {
        "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
        "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    }
    for name, (mean, std) in cifar.items():
        found = model_config(network(), origin_of(data=KNOWN[name]), None, None)["pretrained_cfg"]
        assert ([*found["mean"]], [*found["std"]]) == (mean, std)
        grey = model_config(network(in_chans=1), origin_of(data=KNOWN[name]), None, None)["pretrained_cfg"]
        assert (grey["mean"], grey["std"]) == ([pytest.approx(sum(mean) / 3)], [pytest.approx(sum(std) / 3)])
        assert grey["input_size"] == [1, 32, 32]
    unsaid = model_config(network(), origin_of(data=KNOWN["cifar100"]._replace(statistics=None)), None, None)["pretrained_cfg"]
    assert [*unsaid["mean"]] == cifar["cifar10"][0]


@pytest.mark.parametrize(("size", "fits"), [(4, True), (3, False)])
def test_a_size_leaves_a_pixel_of_the_last_map(size: int, fits: bool) -> None:
    if fits:
        assert model_config(network(), origin_of(), None, size)["pretrained_cfg"]["pool_size"] == [1, 1]
    else:
        with pytest.raises(ExportError, match="size 3 is too small for my_model; choose 4 or more"):
            model_config(network(), origin_of(), None, size)


CFG: dict[str, Any] = {"input_size": [3, 224, 224], "crop_pct": 0.875, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
GREY: dict[str, Any] = {"input_size": (1, 32, 32), "mean": (0.5,), "std": (0.2,)}


def test_transformers_js_prepares_images_as_timm_does() -> None:
    assert preprocessor_config(CFG) == {
        **{"do_convert_rgb": True, "do_resize": True, "size": {"shortest_edge": 256}, "resample": 1},
        **{"do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
        **{"do_rescale": True, "rescale_factor": 1 / 255},
        **{"do_normalize": True, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
    }
    squashed = preprocessor_config({**CFG, "input_size": [3, 20, 31], "crop_mode": "squash", "crop_pct": 0.9})
    assert squashed is not None and squashed["size"] == {"height": 22, "width": 34}
    assert squashed["crop_size"] == {"height": 20, "width": 31}
    grey = preprocessor_config({**CFG, "input_size": [1, 32, 32], "mean": [0.5], "std": [0.2], "crop_pct": 1.0})
    assert grey is not None and not grey["do_convert_rgb"] and grey["size"] == {"shortest_edge": 32}
    assert "transformers.js" not in card(facts(config={**facts().config, "input_size": (3, 30, 41)}))
    assert "await classifier(image.grayscale()," in card(facts(config={**facts().config, **GREY}))


@pytest.mark.parametrize("change", [{"input_size": [4, 224, 224]}, {"input_size": [3, 30, 41]}, {"crop_mode": "border"}])
def test_preprocessing_that_transformers_js_does_not_have_is_not_written(change: dict[str, Any]) -> None:
    assert preprocessor_config({**CFG, **change}) is None
