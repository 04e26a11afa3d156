"""Pearson's coefficients that FTSO reports are those of the columns of its Table 1, as far as the table has the figures' points."""

from __future__ import annotations

import math

import pytest

from nasarch.search.ranking.correlations import pearson

# errors in %: CIFAR-10 after 600 and 1,200 epochs, ImageNet top-1; the rows of Table 1 that were trained on CIFAR-10, in its order
TABLE_1 = (
    (2.68, 2.54, 24.36),
    (2.48, 2.23, 23.60),
    (2.77, 2.52, None),
    (2.85, 2.59, 23.97),
    (2.59, 2.36, 23.97),
    (2.83, 2.48, None),
    (2.63, 2.48, None),
    (2.56, 2.52, 24.73),
    (2.59, 2.50, None),
    (2.68, 2.59, None),
    (2.35, 2.26, 23.58),
)
SHORT, LONG, IMAGENET = (list(column) for column in zip(*TABLE_1, strict=True))


def test_600_against_1200_epochs() -> None:
    """Sec. 4.4, Fig. 5b: 0.77."""
    value, rows = pearson(SHORT, LONG)
    assert rows == 11 and value == pytest.approx(0.77, abs=0.01)


def test_cifar_against_imagenet() -> None:
    """Sec. 4.4: 0.7 after long trainings (Fig. 5d), "no guarantee" after short ones (Fig. 5c)."""
    value, rows = pearson(LONG, IMAGENET)
    assert rows == 6 and value == pytest.approx(0.7, abs=0.05)
    short, _ = pearson(SHORT, IMAGENET)
    assert short is not None and short < 0.4


def test_it_is_the_formula() -> None:
    first, second = [1.0, 2.0, 4.0, 7.0], [3.0, 1.0, 9.0, 8.0]
    mean = (sum(first) / 4, sum(second) / 4)
    products = sum((a - mean[0]) * (b - mean[1]) for a, b in zip(first, second, strict=True))
    norms = [math.sqrt(sum((a - m) ** 2 for a in column)) for column, m in zip((first, second), mean, strict=True)]
    assert pearson(first, second) == (pytest.approx(products / (norms[0] * norms[1])), 4)
    assert pearson(first, [-a for a in first])[0] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("first", "second", "rows"), [([1.0], [2.0], 1), ([], [], 0), ([1.0, 2.0], [3.0, 3.0], 2), ([1.0, None], [1.0, 2.0], 1)]
)
def test_of_too_little_it_says_nothing(first: list[float | None], second: list[float | None], rows: int) -> None:
    assert pearson(first, second) == (None, rows)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        pearson([1.0, 2.0], [1.0])
