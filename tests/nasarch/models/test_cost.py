"""What a network costs is known without building it, to the unit: parameters and multi-adds are those of the real network."""

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasarch.cells.genotype import Cell, Genotype, Op
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
