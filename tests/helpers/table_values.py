"""The cells of a printed table."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from nasarch.search.report import charts


def values(axes: Axes) -> list[tuple[list[int], list[float]]]:
    """Epochs and values of each line."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines if len(line.get_xdata()) and not is_rule(line)]


def is_rule(line: Any) -> bool:
    """Whether it is what parts two stages."""
    return to_hex(line.get_color()) == charts.RULE
