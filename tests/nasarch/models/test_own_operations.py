"""Own operations are part of genotypes and networks once they are registered; before, and wrong ones, are refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import nasarch
from nasarch.cells.genotype import Cell, Genotype, GenotypeError, Op
from nasarch.cells.space import DARTS, NATS, OWN_OPERATIONS, space_of
from nasarch.drawing.draw import draw
from nasarch.models.cost import network_cost
from nasarch.models.operations import BUILDERS, build
from nasarch.models.profile import count_parameters, multi_adds
from tests.helpers.own_operation import NAME, mine, registered


@pytest.fixture
def name() -> Iterator[str]:
    with registered() as name:
        yield name


def cells(name: str = NAME) -> Genotype:
    cell = Cell(((Op(name, 0), Op(name, 1)), (Op("skip_connect", 0), Op(name, 2))), (2, 3))
    return Genotype("own", "darts", {"normal": cell, "reduction": cell})


def test_a_network_of_an_own_operation_is_built_and_counted(name: str) -> None:
    model = timm.create_model("nas_cifar", genotype=cells(), cells=5, channels=8)
    operations = [edge.op for cell in model.modules() for edge in getattr(cell, "edges", []) if hasattr(edge, "op")]
    assert sum(isinstance(op, nn.Sequential) and isinstance(op[-1], nn.Tanh) for op in operations) == 5 * 3
    cost = network_cost(cells(), stem="cifar", cells=5, channels=8, size=32, num_classes=10)
    assert cost == (count_parameters(model), multi_adds(model, (3, 32, 32)))
    assert all(norm.affine for norm in model.modules() if isinstance(norm, nn.BatchNorm2d))
    model.eval()(torch.rand(1, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_own_operation_is_built_on_the_device_and_in_the_dtype(name: str) -> None:
    assert {(p.device.type, p.dtype) for p in build(name, 8, device="meta", dtype=torch.float64).parameters()} == {("meta", torch.float64)}
    assert [p.requires_grad for p in build(name, 8, affine=False).parameters()] == [True]


def test_a_genotype_of_an_own_operation_is_saved_drawn_and_read(name: str, tmp_path: Path) -> None:
    cells().save(tmp_path / "own.json")
    assert Genotype.load(tmp_path / "own.json") == cells()
    assert draw(cells(), tmp_path / "own.svg").read_text().count("<svg") == 1


def test_without_registration_a_genotype_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with registered():
        cells().save(tmp_path / "own.json")
    with pytest.raises(GenotypeError, match="unknown operation 'mine_3x3'.* An own operation is registered by the file of --plugin"):
        Genotype.load(tmp_path / "own.json")
    assert NAME not in DARTS.legal_operations


def test_own_operations_are_legal_in_every_space_and_candidates_where_they_are_named(name: str) -> None:
    assert name in DARTS.legal_operations and name in NATS.legal_operations and name not in DARTS.operations
    space = DARTS.with_operations(("skip_connect", name)).with_nodes(3)
    assert space.operations == ("skip_connect", name) and space.legal_operations.count(name) == 1
    assert space.about() == {"name": "darts", "nodes": 3, "operations": ["skip_connect", name]} and space_of(space.about()) == space
    assert DARTS.about() == {"name": "darts", "nodes": 4} and space_of(DARTS.about()) == DARTS


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("mine_3x3",),
            "unknown operation 'mine_3x3' in space 'darts'; legal are .*; an own operation is registered by the file of --plugin",
        ),
        (("skip_connect", "skip_connect"), "name each once"),
        (("none",), "one at least that is not none"),
        ((), r"candidates \(nothing\)"),
    ],
)
def test_candidates_that_can_not_be_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DARTS.with_operations(names)


def in_place(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Sequential(nn.Threshold(2, 0, inplace=True), *mine(channels, stride, affine))


@pytest.mark.parametrize("wrong", ["none", "sep_conv_3x3", "two words", "3x3"])
def test_names_that_can_not_be_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"operation '{wrong}': choose letters, digits and _"):
        nasarch.register_operation(wrong, mine)
    assert not OWN_OPERATIONS


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (lambda c, stride, affine: nn.Conv2d(c, c, 3, padding=1), r"gives \[2, 16, 8, 8\], not \[2, 16, 4, 4\].*stride 2"),
        (lambda c, stride, affine: nn.Conv2d(c, 2 * c, 1, stride=stride), r"gives \[2, 32, 8, 8\]"),
        (lambda c, stride, affine: nn.AvgPool2d(stride), r"gives \[2, 16, 3, 3\], not \[2, 16, 4, 4\], for images \[2, 16, 7, 7\]"),
        (in_place, "changes its input in place"),
    ],
)
def test_builders_of_other_shapes_are_refused(builder: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nasarch.register_operation("wrong", builder)  # type: ignore[arg-type]
    assert "wrong" not in BUILDERS and not OWN_OPERATIONS


def test_an_own_operation_can_be_registered_again(name: str) -> None:
    nasarch.register_operation(name, lambda c, stride, affine: nn.Conv2d(c, c, 1, stride=stride))
    assert isinstance(build(name, 4), nn.Conv2d)


def test_fused_networks_refuse_own_operations(name: str) -> None:
    with pytest.raises(ValueError, match="can't be fused over networks: pass --networks-per-group 1"):
        build(name, 8, groups=2)
