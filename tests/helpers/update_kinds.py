"""The updates of a search."""

from __future__ import annotations

from nasarch.search.engine.updates import Update, exact_second_order, first_order, one_level, second_order, weights_only

UPDATES: dict[str, Update] = {
    "weights_only": weights_only,
    "first_order": first_order,
    "second_order": second_order,
    "exact_second_order": exact_second_order,
    "one_level": one_level,
}
