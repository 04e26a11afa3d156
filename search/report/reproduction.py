"""The report on a row that `nasarch reproduce` ran: the figures beside the paper's, the budget, then each of its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nasarch.runtime.json_files import CONFIG, read_json, read_lines, read_object, reading, typed_keys
from nasarch.runtime.run_folder import METRICS, RESULT
from nasarch.search.runs.history import Span, Timeline
from nasarch.search.runs.reader import MEND, Run, find_runs

from . import charts
from .charts import Metric
from .html import Album, Html, anchor, contents, facts, folded, heading, paragraph, table
from .sections import brief, sections

CURVES = ("loss", "accuracy", "learning_rate")
HEADINGS = ("figure", "reported", "measured", "runs")
FEW = 4  # searches that are shown whole


def is_reproduction(folder: Path) -> bool:
    """Whether `nasarch reproduce` wrote the folder."""
    config = read_json(folder / CONFIG, MEND) if (folder / CONFIG).is_file() else None
    return isinstance(config, dict) and "row" in config


def page_of_row(folder: Path, out: Path | None) -> tuple[str, list[Html]]:
    """Title and parts of the page on the row in `folder`, whose pictures go to `out`.

    Raises:
        ValueError: a file is damaged.
    """
    config = read_object(folder / CONFIG, row=str, place=str, options=dict)
    stages = {
        "Search": [*_search(folder, config, out)],
        "Choice": [*_ranking(folder / "choose" / "ranking.json", "Choice")],
        "Training": [*_training(folder, out)],
        "Short trainings": [*_ranking(folder / "train" / "ranking.json", "Short trainings")],
    }
    anchors = {title: f"stage-{title.split()[0].lower()}" for title, parts in stages.items() if parts}
    parts = [part for title in anchors for part in (anchor(anchors[title]), *stages[title])]
    return config["row"], [contents({name: title for title, name in anchors.items()}), *_figures(folder, config), *parts]


def _figures(folder: Path, config: Mapping[str, Any]) -> Iterator[Html]:
    yield paragraph(config["place"])
    if not (folder / RESULT).is_file():
        yield paragraph("Not finished: there are no figures yet.")
        return
    result = read_object(folder / RESULT, table=list, budget=list, notes=list, commands=list, device=str)
    with reading(folder / RESULT):
        yield table(HEADINGS, result["table"], numbers=(1, 2, 3))
        yield facts({one["stage"]: one["words"] for one in result["budget"]} | {"device": result["device"]})
        for note in result["notes"]:
            yield paragraph(note, soft=True)
        yield folded("Commands", *(paragraph(words) for words in result["commands"]))


def _search(folder: Path, config: Mapping[str, Any], out: Path | None) -> Iterator[Html]:
    """The searches, or that which the row went on from."""
    searched = Path(config["options"].get("from_run") or folder / "search")
    runs = find_runs([searched]) if _holds_searches(searched) else list[Run]()
    for number, run in enumerate(runs, 1):
        yield heading(f"Search: {run.label}, {run.state}", level=2)
        yield from (sections if len(runs) <= FEW else brief)(run, Album(out, f"search-{number}-"))


def _holds_searches(folder: Path) -> bool:
    """Whether searches have begun there, not a ranking of paths."""
    configs = [path for path in (folder / CONFIG, *folder.glob(f"seed-*/{CONFIG}")) if path.is_file()]
    return any("method" in read_object(path, MEND) for path in configs)


def _training(folder: Path, out: Path | None) -> Iterator[Html]:
    """Loss, accuracy and learning rate of every training by epoch, and its test."""
    files = {path.parent: path for path in sorted((folder / "train").rglob(METRICS))}
    lines = {path.name if len(files) > 1 else "training": read_lines(file, typed_keys) for path, file in files.items()}
    if not lines or not all(lines.values()):
        return
    yield heading("Training", level=2)
    metrics = [Metric(key.replace("_", " "), {label: [line.get(key) for line in rows] for label, rows in lines.items()}) for key in CURVES]
    epochs = max(map(len, lines.values()))
    chart = charts.curves(metrics, Timeline((Span("", 1, epochs),), ()))
    yield Album(out).chart("training", chart, "Loss and accuracy on the training images, and learning rate, by epoch of each training.")
    tests = [(path.stem, read_object(path, images=int, top1=float, loss=float)) for path in sorted((folder / "test").glob("*.json"))]
    if tests:
        rows = [(name, f"{one['top1']:.2f} %", f"{one['loss']:.4f}", f"{one['images']:,}") for name, one in tests]
        yield heading("Test")
        yield table(("training", "accuracy", "loss", "images"), rows, numbers=(1, 2, 3))


def _ranking(path: Path, title: str) -> Iterator[Html]:
    """The networks of a ranking stage, the best first."""
    if path.is_file():
        ranking = read_object(path, ranking=list)["ranking"]
        with reading(path):
            rows = [(one["name"], f"{one['mean']:.2f} %", str(len(one["accuracies"])), f"{one['parameters']:,}") for one in ranking]
        yield heading(title, level=2)
        yield table(("cell", "accuracy", "trainings", "parameters"), rows, numbers=(1, 2, 3))
