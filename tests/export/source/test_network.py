"""The description of a network that travels with an exported file is that of the same network."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from torch import nn

import nasarch
from nasarch.export.source.network import described, rebuilt


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in model.state_dict().items()}


@pytest.mark.parametrize("name", nasarch.list_models())
def test_a_model_is_built_again_from_its_description(name: str) -> None:
    with torch.device("meta"):  # shapes alone
        model = timm.create_model(name)
        genotype = model.genotype.to_dict()
        again = rebuilt(json.loads(json.dumps(described(model, genotype))), genotype)
    assert shapes(again) == shapes(model)
