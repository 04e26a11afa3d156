"""What a network costs is known without building it, to the unit: parameters and multi-adds are those of the real network."""

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasarch.cells.genotype import Cell, Genotype, Op, resolve
from nasarch.models.catalogue import cost_of
from nasarch.models.cost import Cost, network_cost
from nasarch.models.network import CellNetwork
from nasarch.models.profile import count_parameters, multi_adds
from nasarch.models.zoo import MODELS

WHOLE = (
    "pc_darts_imagenet",
    "amoebanet_a_cifar_224",
    "fair_darts_c_cifar",
    "snas_aggressive_cifar",
    "bayesnas_0007_cifar",
    "darts_nats_cifar",
)
CELL = Cell(((Op("sep_conv_5x5", 0),), (Op("none", 0), Op("none", 1)), (Op("dil_conv_3x3", 1), Op("conv_7x1_1x7", 1))), (3, 4))
UNREAD = Genotype("unread", "darts", {"normal": CELL, "reduction": CELL})  # nobody reads node 2, node 3 is zero
SMALL = {
    "pc_darts": ("pc_darts_cifar", {"stem": "cifar", "cells": 5, "channels": 8, "num_classes": 7}, 32),
    "odd size": ("nasnet_a_cifar", {"stem": "imagenet", "cells": 4, "channels": 6, "num_classes": 3}, 75),
    "odd reduction": ("amoebanet_a_cifar", {"stem": "cifar", "cells": 3, "channels": 4, "num_classes": 3}, 17),
    "grey images": ("darts_v2_cifar", {"stem": "imagenet", "cells": 6, "channels": 8, "num_classes": 3, "in_chans": 1}, 64),
    "nats": ("ftso_nats_cifar", {"stem": "cifar", "cells": 2, "channels": 4, "num_classes": 5}, 31),
    "unread nodes": (UNREAD, {"stem": "cifar", "cells": 4, "channels": 4, "num_classes": 2}, 32),
}
PUBLISHED = {  # parameters of the networks of the published code: 20 cells of 36 channels for CIFAR-10, 14 of 48 for ImageNet
    "beta_darts_cifar": (2_567_854, 3_880_768),
    "drnas_cifar": (4_099_294, 5_738_464),
    "drnas_imagenet": (4_048_750, 5_726_368),
    "dropnas_cifar100": (3_960_190, 5_540_800),
    "ista_nas_imagenet": (4_017_862, 5_651_392),
    "ista_nas_one_stage_cifar": (3_363_598, 4_783_168),
    "ista_nas_two_stage_cifar": (3_316_726, 4_820_608),
    "mdenas_cifar": (3_783_286, 5_325_760),
    "sdarts_rs_cifar": (3_606_166, 5_120_320),
    "sgas_cri1_cifar": (3_750_238, 5_247_040),
    "sgas_cri2_cifar": (4_143_574, 5_742_976),
    "shapley_nas_cifar": (3_603_358, 5_138_848),
    "shapley_nas_imagenet": (3_814_822, 5_423_872),
    "stacnas_cifar": (3_714_382, 5_243_008),
    "stacnas_cifar100": (3_981_142, 5_601_664),
    "stacnas_imagenet": (3_982_006, 5_715_040),
    "unnas_cls_imagenet": (4_500_406, 6_154_720),
    "unnas_col_imagenet": (3_762_550, 5_330_272),
    "unnas_jig_imagenet": (4_763_926, 6_609_760),
    "unnas_rot_imagenet": (4_708_630, 6_557_536),
    "xnas_cifar": (3_793_438, 5_260_000),
}


def test_the_cost_of_a_small_network_by_hand() -> None:
    """One separable convolution a cell, on 8x8 pixels; the older input is not read. Weights and biases of BN count as parameters."""
    cell = Cell(((Op("sep_conv_3x3", 1),),), (2,))
    one = Genotype("one", "darts", {"normal": cell, "reduction": cell})
    parameters = {
        "stem": 3 * 12 * 9 + 2 * 12,
        "normal cell of 4 channels": (12 * 4 + 2 * 4) + 2 * (4 * 9 + 4 * 4 + 2 * 4),
        "reduction cell of 8": (4 * 8 + 2 * 8) + 2 * (8 * 9 + 8 * 8 + 2 * 8),
        "reduction cell of 16": (8 * 16 + 2 * 16) + 2 * (16 * 9 + 16 * 16 + 2 * 16),
        "classifier": 16 * 5 + 5,
    }
    multi_adds_ = {
        "stem": 3 * 12 * 9 * 64,
        "normal cell": 12 * 4 * 64 + 2 * (4 * 9 + 4 * 4) * 64,
        "first reduction cell": 4 * 8 * 64 + 2 * (8 * 9 + 8 * 8) * 16,
        "second reduction cell": 8 * 16 * 16 + 2 * (16 * 9 + 16 * 16) * 4,
        "classifier": 16 * 5,
    }
    by_hand = Cost(sum(parameters.values()), sum(multi_adds_.values()))
    assert by_hand == Cost(1985, 42192)
    assert network_cost(one, stem="cifar", cells=3, channels=4, size=8, num_classes=5) == by_hand
    assert count_parameters(CellNetwork(one, num_classes=5, cells=3, channels=4)) == by_hand.parameters


@pytest.mark.parametrize("name", WHOLE)
def test_the_cost_of_a_model_is_that_of_the_real_network(name: str) -> None:
    network = timm.create_model(name, device="meta").eval()
    image = torch.empty(1, *network.pretrained_cfg["input_size"], device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    assert cost_of(MODELS[name]) == Cost(count_parameters(network), counter.get_total_flops() // 2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_published_network(name: str) -> None:
    cifar = network_cost(resolve(name), stem="cifar", cells=20, channels=36, size=32, num_classes=10)
    imagenet = network_cost(resolve(name), stem="imagenet", cells=14, channels=48, size=224, num_classes=1000)
    assert (cifar.parameters, imagenet.parameters) == PUBLISHED[name]


@pytest.mark.parametrize("case", SMALL)
def test_the_cost_of_any_network_is_what_fvcore_counts(case: str) -> None:
    genotype, settings, size = SMALL[case]
    network = CellNetwork(genotype, **settings)
    expected = Cost(count_parameters(network), multi_adds(network, (settings.get("in_chans", 3), size, size)))
    assert network_cost(network.genotype, size=size, **settings) == expected


def test_what_can_not_be_built_has_no_cost() -> None:
    with pytest.raises(ValueError, match="cells=2"):
        network_cost(UNREAD, stem="cifar", cells=2, channels=4, size=32, num_classes=2)
    with pytest.raises(ValueError, match="unknown stem"):
        network_cost(UNREAD, stem="none", cells=3, channels=4, size=32, num_classes=2)
