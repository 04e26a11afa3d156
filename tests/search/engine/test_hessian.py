"""The power iteration finds what the full Hessian says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian

from nasarch.search.engine.hessian import largest_eigenvalue
from tests.helpers.hessians import estimates, stopped


def symmetric(eigenvalues: list[float]) -> Tensor:
    """A matrix with these eigenvalues in a random orthogonal basis."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), generator=generator, dtype=torch.float64))
    return basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T


SLOW = [1.0, -0.98, 0.5, 0.1]  # the second is nearly as large, of other sign


@pytest.mark.parametrize("eigenvalues", [[5.0, 2.0, 1.0, -1.0], [3.0, 2.9, 0.1, -0.1], SLOW])
@pytest.mark.parametrize("seed", [0, 1])
def test_by_default_it_stops_after_twenty_products_or_at_a_change_of_a_thousandth(eigenvalues: list[float], seed: int) -> None:
    matrix = symmetric(eigenvalues)
    p = torch.randn(4, dtype=torch.float64, requires_grad=True)
    expected = stopped(estimates(matrix, 20, seed), 1e-3)
    assert largest_eigenvalue(lambda: p @ matrix @ p / 2, [p], seed=seed) == pytest.approx(expected, rel=1e-12)
    if eigenvalues is SLOW:
        assert abs(expected - estimates(matrix, 21, seed)[-1]) > 1e-3 * abs(expected), "one more product would have changed it"
    if seed == 0:
        assert largest_eigenvalue(lambda: p @ matrix @ p / 2, [p]) == pytest.approx(expected, rel=1e-12)


def test_it_stops_when_the_change_is_just_within_the_tolerance_and_not_when_it_is_just_beyond() -> None:
    matrix = symmetric([3.0, 2.5, 1.0, -1.0])
    p = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    values = estimates(matrix, 12)
    changes = [abs(b - a) / abs(b) for a, b in zip(values, values[1:], strict=False)]
    records = [n for n in range(1, 9) if changes[n] < min(changes[:n])]
    assert len(records) >= 4
    for n in records:
        within, beyond = (
            largest_eigenvalue(lambda: p @ matrix @ p / 2, [p], iterations=12, tolerance=changes[n] * factor) for factor in (1.001, 0.999)
        )
        assert within == pytest.approx(values[n + 1], rel=1e-12)
        assert beyond == pytest.approx(stopped(values, changes[n] * 0.999), rel=1e-12) != pytest.approx(within, rel=1e-9)


@pytest.mark.parametrize("eigenvalues", [[5.0, 2.0, 1.0, -1.0], [-7.0, 3.0, 1.0, 0.5], [1e-6, 0.0, 0.0, 0.0]])
def test_the_largest_in_size_with_its_sign(eigenvalues: list[float]) -> None:
    matrix = symmetric(eigenvalues)
    p = torch.randn(4, dtype=torch.float64, requires_grad=True)
    found = largest_eigenvalue(lambda: p @ matrix @ p / 2, [p], iterations=200, tolerance=1e-12)
    assert found == pytest.approx(eigenvalues[0], rel=1e-8)


def test_several_parameters_are_one_vector() -> None:
    a, b = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return (a.sin() @ b.exp()) ** 2 + (a @ a)

    blocks = hessian(loss, (a, b))
    full = torch.cat([torch.cat(list(row), dim=1) for row in blocks])
    expected = max(torch.linalg.eigvalsh(full).tolist(), key=abs)
    assert largest_eigenvalue(lambda: loss(a, b), [a, b], iterations=500, tolerance=1e-13) == pytest.approx(expected, rel=1e-6)


def test_no_curvature_is_zero() -> None:
    p, other = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    assert largest_eigenvalue(lambda: p.sum(), [p]) == 0.0
    assert largest_eigenvalue(lambda: torch.zeros(()), [p]) == 0.0
    assert largest_eigenvalue(lambda: other.square().sum(), [p]) == 0.0
    assert largest_eigenvalue(lambda: (p * 0.0).square().sum(), [p]) == 0.0


def test_parameters_that_the_loss_ignores_change_nothing() -> None:
    p, unused, linear = torch.randn(3, requires_grad=True), torch.randn(5, requires_grad=True), torch.randn(2, requires_grad=True)
    found = largest_eigenvalue(lambda: 3 * p.square().sum() + linear.sum(), [unused, p, linear])
    assert found == pytest.approx(6.0, rel=1e-5)


def test_the_same_seed_gives_the_same_and_gradients_are_left_alone() -> None:
    matrix, p = symmetric([3.0, 2.9, 2.8, -1.0]), torch.zeros(4, dtype=torch.float64, requires_grad=True)

    def found(seed: int) -> float:
        return largest_eigenvalue(lambda: p @ matrix @ p / 2, [p], iterations=2, seed=seed)

    assert found(0) == found(0) != found(1)
    assert p.grad is None
