"""The ledger of reproduced rows, docs/reproduction.md, from results/reproduction.jsonl: measured beside reported, with the budget.

A line of that file is the outcome of one run of `nasarch reproduce`. `add` takes over what is in folders of such runs (one run a row,
scale, data set and seed; a newer one replaces the older) and writes the document; `write` writes it again.

    python benchmarks/ledger.py add RUN [RUN ...]
    python benchmarks/ledger.py write
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

if not __package__:
    import checkout  # noqa: F401

from nasarch.search.rows.row import Row
from nasarch.search.rows.rows import ROWS

ROOT = Path(__file__).resolve().parents[1]
RESULTS, DOCUMENT = ROOT / "benchmarks/results/reproduction.jsonl", ROOT / "docs/reproduction.md"
SMALLEST = 0.001  # scale of benchmarks/small_rows.py
PAPERS = {"darts": "DARTS", "pc-darts": "PC-DARTS", "ftso": "FTSO", "dots": "DOTS", "edarts": "eDARTS"}
INTRODUCTION = """# What was reproduced

`nasarch reproduce` runs a row of a paper's table: the searches, the choice of a cell, the trainings and the test, each as the paper
has it. Without a row it lists all of them; `nasarch reproduce ROW --data DATA` runs one, `--scale 0.02` takes a fiftieth of all epochs,
`--dry-run` lists the commands.

This page is made by `python benchmarks/ledger.py write` from `benchmarks/results/reproduction.jsonl`. A figure says what its budget can
say: everything in it that is unlike the paper is named beside it. Test errors after a hundredth of the paper's epochs, of narrower
networks or on other images don't rank cells and are not comparable with the paper's; they show that the line from data to figure works.
Parameters and multi-adds are those of the paper's network with the cell that was found.
"""


def outcome(folder: Path) -> dict[str, Any]:
    """A line of the ledger from the folder of a finished run."""
    config, result = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("config.json", "result.json"))
    figures = [{key: one[key] for key in ("metric", "measured", "std", "runs")} for one in result["figures"] if one["measured"] is not None]
    stages = [{key: one[key] for key in ("stage", "data", "runs", "differs", "seconds")} for one in result["budget"]]
    return {
        "row": config["row"],
        "scale": config["options"]["scale"],
        "seed": config["options"]["seed"],
        "figures": figures,
        "budget": stages,
        "device": result["device"],
        "torch": result["versions"]["torch"],
        "date": date.fromtimestamp((folder / "result.json").stat().st_mtime).isoformat(),
    }


def merged(known: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Both, the new ones in place of older runs of the same row, scale, data and seed, in the order of the rows."""
    by_key = {(one["row"], one["scale"], one["seed"], tuple(stage["data"] for stage in one["budget"])): one for one in (*known, *new)}
    order = list(ROWS)
    return sorted(by_key.values(), key=lambda one: (order.index(one["row"]), one["scale"], one["seed"]))


def document(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    smallest = {one["row"]: one for one in outcomes if one["scale"] == SMALLEST}
    others = [one for one in outcomes if one["scale"] != SMALLEST]
    runnable = [name for name, row in ROWS.items() if row.reason is None]
    parts = [INTRODUCTION, "## Measured\n"]
    for key, title in PAPERS.items():
        own = [one for one in others if one["row"].split("/")[0] == key]
        if own:
            parts += [f"### {title}\n", "| row | figure: reported | measured | budget |", "|---|---|---|---|", *map(_line, own), ""]
    parts.append("## Every row\n")
    hardware = sorted({f"{one['device']}, torch {one['torch']}, {one['date']}" for one in smallest.values()})
    parts.append(
        f"{len(ROWS)} rows, of which {len(runnable)} can be run. {len(smallest)} ran at the smallest scale on a small part of the "
        "digits (`python benchmarks/small_rows.py`: one epoch a stage, 48 images of four classes (five classes since), "
        "networks of 3 cells and 4 channels; "
        f"{'; '.join(hardware) or 'not yet'}), which says that every command of the row does its part, and nothing about cells.\n"
    )
    for key, title in PAPERS.items():
        parts += [f"### {title}\n", "| row | paper | reported | smallest scale |", "|---|---|---|---|"]
        parts += [_row(row, smallest.get(name)) for name, row in ROWS.items() if name.split("/")[0] == key]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _line(one: Mapping[str, Any]) -> str:
    reported = {figure.metric: figure for figure in ROWS[one["row"]].figures}
    pairs = [
        (f"{name}: {_reported(reported[name])}", _measured(figure)) for figure in one["figures"] if (name := figure["metric"]) in reported
    ]
    budget = [f"{stage['stage']}: {stage['runs']} on {stage['data']}, {stage['seconds']:.0f} s{_unlike(stage)}" for stage in one["budget"]]
    where = f"seed {one['seed']}; {one['device']}, torch {one['torch']}, {one['date']}"
    cells = (
        f"`{one['row']}`",
        "<br>".join(left for left, _ in pairs),
        "<br>".join(right for _, right in pairs),
        "<br>".join([*budget, where]),
    )
    return f"| {' | '.join(cells)} |"


def _row(row: Row, ran: Mapping[str, Any] | None) -> str:
    state = (
        row.reason if row.reason is not None else "not run" if ran is None else f"ran, {len(ran['figures'])} of {len(row.figures)} figures"
    )
    figures = "; ".join(f"{figure.metric} {_reported(figure)}" for figure in row.figures)
    return f"| `{row.name}` | {row.place} | {figures} | {state} |"


def _reported(figure: Any) -> str:
    if figure.reported is None:
        return figure.words
    return f"{figure.reported:.6g}" + ("" if figure.std is None else f" ± {figure.std:.2g}")


def _measured(figure: Mapping[str, Any]) -> str:
    spread = "" if figure["std"] is None else f" ± {figure['std']:.2g}"
    return f"{figure['measured']:.4g}{spread}" + (f" ({figure['runs']} runs)" if figure["runs"] > 1 else "")


def _unlike(stage: Mapping[str, Any]) -> str:
    return f"; unlike the paper: {', '.join(stage['differs'])}" if stage["differs"] else "; as the paper"


def read(path: Path = RESULTS) -> list[dict[str, Any]]:
    """The lines of the ledger."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def main() -> None:
    """Add runs, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("add", "write"))
    parser.add_argument("runs", nargs="*", type=Path)
    options = parser.parse_args()
    outcomes = merged(read(), [outcome(run) for run in options.runs if (run / "result.json").is_file()])
    RESULTS.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in outcomes), encoding="utf-8")
    DOCUMENT.write_text(document(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
