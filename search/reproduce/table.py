"""Tables of `nasarch reproduce`: the rows, and a row's figures measured beside reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nasarch.search.rows.row import Figure, Row, Search, Step, Train
from nasarch.search.settings.dots import Dots
from nasarch.search.settings.ftso import Ftso
from nasarch.search.settings.presets import find as find_preset
from nasarch.search.training.recipes import recipe

if TYPE_CHECKING:
    from rich.table import Table

    from .metrics import Measured


def listing(rows: Iterable[Row]) -> Table:
    """A row a line: its name, where the paper has it, what is reported, and the commands that it stands for."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("row", "paper", "reported", "commands"):
        table.add_column(column, no_wrap=column == "row")
    for row in rows:
        steps = ", ".join(map(in_words, row.steps)) or f"can't be run: {row.reason}"
        table.add_row(row.name, row.place, "; ".join(map(reported, row.figures)), steps)
    return table


def reported(figure: Figure) -> str:
    """The figure as the paper has it."""
    if figure.reported is None:
        return f"{figure.metric}: {figure.words}"
    spread = "" if figure.std is None else f" ± {figure.std:.2g}"
    return f"{figure.metric} {figure.reported:.6g}{spread}"


def in_words(step: Step) -> str:
    """A step, with its cost in epochs."""
    if isinstance(step, Search):
        times = "" if step.runs == 1 else f"{step.runs} x "
        settings = find_preset(step.method, step.preset).settings()
        epochs = _epochs(settings)
        return f"{times}search {step.method} --preset {step.preset} ({epochs} epoch{'' if epochs == 1 else 's'})"
    if isinstance(step, Train):
        times = "" if step.runs == 1 else f"{step.runs} x "
        epochs = step.epochs or recipe(step.recipe).settings.epochs
        return f"{times}train --recipe {step.recipe} on {step.data} ({epochs} epochs)"
    return {"RankPaths": "rank-paths", "Detect": "detect train"}.get(type(step).__name__, type(step).__name__.lower())


def _epochs(settings: Any) -> int:
    """Number of epochs of a search, of all its stages; FTSO's search of operators is left out where it replaces them."""
    if isinstance(settings, Dots):
        return settings.topology.epochs + (settings.operation.epochs if settings.operations_from is None else 0)
    is_gradient = isinstance(settings, Ftso) and settings.operator == "gradient"
    return int(settings.epochs) + (settings.operator_epochs if is_gradient else 0)


def to_dict(row: Row) -> dict[str, Any]:
    """For JSON."""
    steps = [{"step": type(step).__name__.lower(), **asdict(step)} for step in row.steps]
    figures = [figure._asdict() for figure in row.figures]
    about = {"row": row.name, "place": row.place, "figures": figures, "steps": steps}
    return about | {"notes": list(row.notes), "reason": row.reason}


def comparison(row: Row, figures: Sequence[Measured]) -> Table:
    """The figures of a row: reported, measured, number of runs."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), title=row.place, title_justify="left")
    for column in ("figure", "reported", "measured", "runs"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for line in cells(figures):
        table.add_row(*line)
    return table


def markdown(row: Row, figures: Sequence[Measured], words: Sequence[str]) -> str:
    """The comparison, the budget and the notes for documents."""
    lines = [f"# {row.name}", "", row.place, "", "| figure | reported | measured | runs |", "|---|---:|---:|---:|"]
    lines += [f"| {' | '.join(line)} |" for line in cells(figures)]
    return "\n".join([*lines, "", *(f"- {one}" for one in words), *(f"- note: {note}" for note in row.notes)]) + "\n"


def cells(figures: Sequence[Measured]) -> list[tuple[str, str, str, str]]:
    """The texts of the comparison, a line a figure."""
    from .metrics import METRICS

    lines = []
    for figure, mean, std, count in figures:
        metric = METRICS[figure.metric]
        name = f"{figure.metric}, {metric.unit}" if metric.unit else figure.metric
        paper = figure.words if figure.reported is None else _number(figure.reported, figure.std, metric.decimals)
        own = "-" if mean is None else _number(mean, std, metric.decimals)
        lines.append((name, paper, own, str(count) if count else "-"))
    return lines


def _number(value: float, std: float | None, decimals: int) -> str:
    text = f"{value:.{decimals}f}" if not value or abs(value) >= 0.5 * 10**-decimals else f"{value:.2e}"
    return text if std is None else f"{text} ± {std:.{max(decimals, 2)}f}"
