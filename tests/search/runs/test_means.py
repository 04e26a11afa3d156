"""Means over searches are those of their cells: eDARTS Table II counts skip connections, its text parameters."""

from __future__ import annotations

import pytest
import timm

from nasarch.cells.genotype import Genotype, resolve
from nasarch.search.runs.means import Mean, means


def test_a_mean_has_the_deviation_of_a_sample() -> None:
    assert Mean.of([1, 2, 6]) == (3, 2.6458, (1, 2, 6)) and Mean.of([4]) == (4, 0.0, (4,))


def test_skip_connections_parameters_and_multi_adds_of_published_cells() -> None:
    """darts_v2_cifar has 2 skip connections in its normal and 3 in its reduction cell, pc_darts_cifar 1 and 0."""
    names = ["darts_v2_cifar", "pc_darts_cifar"]
    found = means([resolve(name) for name in names])
    skips = {name: _skips(resolve(name)) for name in names}
    assert found["skip connections, normal"].values == tuple(skips[name]["normal"] for name in names)
    assert found["skip connections, all"].mean == sum(sum(each.values()) for each in skips.values()) / 2
    real = [sum(p.numel() for p in timm.create_model(name, num_classes=10).parameters()) / 1e6 for name in names]
    assert found["parameters"].values == pytest.approx(real, abs=1e-4)
    assert found["multi-adds"].values[0] == pytest.approx(574, rel=0.1)


def _skips(cells: Genotype) -> dict[str, int]:
    return {kind: [op.operation for node in cell.nodes for op in node].count("skip_connect") for kind, cell in cells.cells.items()}


def test_cells_of_nats_bench_have_parameters_of_their_own_network_and_no_multi_adds_on_imagenet() -> None:
    found = means([resolve("ftso_nats_cifar"), resolve("darts_nats_cifar")])
    assert set(found) == {"skip connections, normal", "parameters"}
    assert found["parameters"].values == pytest.approx((1.32, 0.07), abs=0.01)
