"""Rows of DARTS (Liu et al. 2019), the baseline: Table 1, as its own paper ran it, and what other tables quote is with them."""

from __future__ import annotations

from .row import Row, Search, Select, Train, days, error, size

ROWS: tuple[Row, ...] = tuple(
    Row(
        name=f"darts/table1/{order}",
        place=f"DARTS, Table 1, {order} order + cutout",
        steps=(Search(method="darts", preset=order, runs=4), Select(), Train(recipe="cifar", runs=10)),
        figures=(error(mean, std), *size(3.3), *days(cost)),
        notes=("four searches, the best after 100 epochs on half of the training images (sec. 3.2), its training 10 times",),
    )
    for order, mean, std, cost in (("first", 3.00, 0.14, 1.5), ("second", 2.76, 0.09, 4.0))
)
