"""The power iteration finds what the full Hessian says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian
from torch.nn import functional as F

from nasarch.search.candidates import all_candidates
from nasarch.search.hessian import largest_eigenvalue
from nasarch.search.relaxation import Relaxation
from nasarch.search.supernet import Supernet, seeded
from nasarch.space import DARTS


def symmetric(eigenvalues: list[float]) -> Tensor:
    """A matrix with these eigenvalues in a random orthogonal basis."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), generator=generator, dtype=torch.float64))
    return basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T


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


@pytest.mark.parametrize("subset", [0, 1])
def test_of_a_supernet_it_is_that_of_the_full_hessian(subset: int) -> None:
    space, generator = DARTS.with_nodes(2), torch.Generator().manual_seed(3)
    candidates = all_candidates(space)
    with seeded(0):
        net = Supernet(space, candidates, channels=4, layers=3, partial=2, num_classes=3).double()
    arch = Relaxation(space, candidates, subset=subset, spread=0.5, generator=generator).double()
    x = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0])
    parameters = list(arch.parameters())
    slope = torch.autograd.grad(F.cross_entropy(net(x, arch()), y), parameters, create_graph=True)
    flat = torch.cat([g.flatten() for g in slope])
    rows = [torch.autograd.grad(g, parameters, retain_graph=True, allow_unused=True, materialize_grads=True) for g in flat]
    full = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    expected = max(torch.linalg.eigvalsh((full + full.T) / 2).tolist(), key=abs)
    found = largest_eigenvalue(lambda: F.cross_entropy(net(x, arch()), y), parameters, iterations=300, tolerance=1e-10)
    assert found == pytest.approx(expected, rel=1e-4)
