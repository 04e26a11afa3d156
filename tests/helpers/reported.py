"""The folder of a run in which no two numbers are the same, and the figures and tables of a report on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.search.report.report import write_report
from tests.helpers.chart_file import charts_in
from tests.helpers.page import Page
from tests.helpers.stages import epochs

STAGES = epochs("operations", "operations", "topology", "topology", warmup=(1, 3))
FIGURES: dict[str, list[Any]] = {
    "loss": [2.0, 1.5, 1.25, 0.98765],
    "accuracy": [0.1, 0.2, 0.3, 0.45674],
    "learning_rate": [0.1, 0.05, 0.025, 0.0125],
    "temperature": [8.0, 4.0, 2.0, 0.5],
    "images_per_second": [100.0, 110.0, 120.0, 130.0],
    "multi_adds": [500.0, 510.0, 520.0, 530.0],
    "memory": [640.0, 1700.4, 650.0, 690.0],
    "eigenvalue": [0.5, 0.25, 0.75, 0.125],
    "seconds": [10.0, 20.0, 7.0, 14.0],  # the clock began anew after the second epoch
    "skips": [{"normal": n, "reduction": 2 * n} for n in (1, 2, 3, 4)],
}
KEPT = {"normal": ("max_pool_3x3", "skip_connect", "skip_connect", "skip_connect"), "reduction": ("sep_conv_3x3",) * 4}


def cells(epoch: int, name: str = "found") -> Genotype:
    """Node 2 reads both inputs; node 3 reads 0 and 2, in the last epoch 1 and 2."""
    made = {}
    for kind, operations in KEPT.items():
        operation = operations[epoch - 1]
        second = ((operation, 2), (operation, 1 if epoch == 4 else 0))
        made[kind] = Cell((tuple(Op(operation, i) for i in (0, 1)), tuple(Op(*edge) for edge in second)), (2, 3))
    return Genotype(name, "darts", made)


def operation_weight(z: int, e: int, o: int, epoch: int) -> float:
    return 0.1 * epoch + 0.01 * z + 0.001 * e + 0.0001 * o


def edge_weight(z: int, e: int, epoch: int) -> float:
    return 1.0 if epoch < 3 else 0.2 * epoch + 0.01 * z + 0.001 * e


MARGINS = [
    {"kind": "normal", "node": 2, "weights": [0.4, 0.6], "kept": [1, 0], "dropped": None, "lead": None},
    {"kind": "normal", "node": 3, "weights": [0.125, 0.375, 0.5], "kept": [2, 1], "dropped": 0, "lead": 0.25},
    {"kind": "reduction", "node": 2, "weights": [0.51, 0.49], "kept": [0, 1], "dropped": None, "lead": None},
    {"kind": "reduction", "node": 3, "weights": [0.3, 0.1, 0.6], "kept": [2, 0], "dropped": 1, "lead": 0.2},
]


def write(folder: Path, *, seed: int = 0, figures: Mapping[str, Sequence[Any]] = FIGURES, margins: Any = MARGINS, **config: Any) -> Path:
    """A finished run of four epochs in two stages."""
    (folder / "genotypes").mkdir(parents=True)
    told = {
        "method": "DOTS",
        "settings": {"epochs": 4, "grouped": True, "clip": None, "fractions": [0.5, 0.25]},
        "seed": seed,
        "data": {"name": "digits", "images": 1500, "size": [16, 24], "source": "scikit-learn", "sha256": "abc"},
        "space": {"name": "darts", "nodes": 2},
        "device": "a GPU",
        "command": "nasarch search dots",
        "amp": "bf16",
        "tf32": True,
        "processes": 2,
        "threads": 3,
        "versions": {"torch": "2.9"},
        "preset": {"name": "cifar", "row": "Table 1", "reported": "2.49 %"},
    }
    (folder / "config.json").write_text(json.dumps(told | config))
    lines = [stage | {"epoch": n, "epochs": 4} | {key: figures[key][n - 1] for key in figures} for n, stage in enumerate(STAGES, 1)]
    tables = [
        {
            "operations": [[[operation_weight(z, e, o, n) for o in range(8)] for e in range(5)] for z in range(2)],
            "edges": [[edge_weight(z, e, n) for e in range(5)] for z in range(2)],
        }
        for n in range(1, 5)
    ]
    for name, rows in (("metrics", lines), ("weights", tables)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    measured = [STAGES[i // 3] | {"epoch": i // 3 + 1, "step": i % 3 + 1, "eigenvalue": 0.1 * i} for i in range(12)]
    (folder / "eigenvalues.jsonl").write_text("".join(json.dumps(row) + "\n" for row in measured))
    for n in range(1, 5):
        cells(n).save(folder / "genotypes" / f"epoch-{n}.json")
    (folder / "edges.json").write_text(json.dumps(margins))
    cells(4).save(folder / "genotype.json")
    return folder


class Album:
    """The charts of a report by the names of their files, and its page."""

    def __init__(self, folders: Sequence[Path], out: Path) -> None:
        self.page = Page(write_report(folders, out))
        self.charts = charts_in(out)

    def after(self, words: str) -> str:
        """What stands beside a heading of a table."""
        return self.page.words[self.page.words.index(words) + 1]

    def rows(self, first: str, count: int, width: int) -> list[list[str]]:
        """The cells below the heading of a table, row by row."""
        start = self.page.words.index(first) + width
        return [self.page.words[start + i * width : start + (i + 1) * width] for i in range(count)]
