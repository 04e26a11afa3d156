"""The folder of a search, written without searching."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cells.space import DARTS, Space
from tests.helpers.reported import STAGES

SMALL = DARTS.with_nodes(2)


def genotype(space: Space, operation: str, name: str = "found") -> Genotype:
    nodes = tuple(tuple(Op(operation, i) for i in range(j)[-2:]) for j in space.inner_nodes)
    cell = Cell(nodes, space.concat(), space.inputs)
    return Genotype(name, space.name, dict.fromkeys(space.kinds, cell))


def metrics(space: Space, epoch: int, stage: dict[str, Any]) -> dict[str, Any]:
    figures = {"loss": 2 / epoch, "accuracy": 0.1 * epoch, "images_per_second": 100.0, "learning_rate": 0.1 / epoch}
    more = {"skips": dict.fromkeys(space.kinds, epoch), "multi_adds": 500.0, "memory": 640.0, "eigenvalue": 0.1 * epoch}
    return stage | {"epoch": epoch, "epochs": 4, "temperature": 10 / epoch, "seconds": 2.0 * epoch} | figures | more


def weights(space: Space, epoch: int, stage: dict[str, Any]) -> dict[str, Any]:
    operations = [0.1 + 0.01 * epoch * o for o in range(len(space.operations))]
    edge = 1.0 if stage["stage"] == "operations" else 0.25 + 0.01 * epoch
    tables = {"operations": [[operations] * len(space.edges)] * len(space.kinds), "edges": [[edge] * len(space.edges)] * len(space.kinds)}
    return stage | {"epoch": epoch} | tables


def margins(space: Space) -> list[dict[str, Any]]:
    rows = [(kind, j, [0.25] * j, [j - 1, j - 2], 0 if j > 2 else None, 0.125 if j > 2 else None) for kind in space.kinds for j in (2, 3)]
    return [dict(zip(("kind", "node", "weights", "kept", "dropped", "lead"), row, strict=True)) for row in rows]


def write_run(folder: Path, *, space: Space = SMALL, seed: int = 0, finished: bool = True, name: str = "found") -> Path:
    """A run of two stages with a warm-up each; it writes what a search writes."""
    (folder / "genotypes").mkdir(parents=True)
    config = {
        "method": "DOTS",
        "settings": {"epochs": 4, "one_level": True, "operations": ["a", "b"], "iterations": None},
        "seed": seed,
        "name": name,
        "preset": {"name": "cifar", "row": "Table 1: DOTS", "reported": "2.49 % test error"},
        "space": {"name": space.name, "nodes": space.nodes},
        "data": {"name": "digits", "images": 1500, "size": [16, 16], "source": "scikit-learn", "sha256": "abc"},
        "device": "CPU",
        "versions": {"nasarch": "0.1.0"},
        "command": f"nasarch search dots --seed {seed}",
    }
    operations = (space.operations[1], space.operations[1], space.operations[2], space.operations[2])
    for epoch, operation in enumerate(operations, 1):
        genotype(space, operation).save(folder / "genotypes" / f"epoch-{epoch}.json")
    (folder / "config.json").write_text(json.dumps(config))
    for file, line in (("metrics", metrics), ("weights", weights)):
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(line(space, n, s)) + "\n" for n, s in enumerate(STAGES, 1)))
    if finished:
        (folder / "edges.json").write_text(json.dumps(margins(space)))
        genotype(space, space.operations[2], name).save(folder / "genotype.json")
    return folder


def edit_lines(path: Path, **changes: Any) -> None:
    """Set keys of every line; None removes them."""
    lines = [{k: v for k, v in (json.loads(line) | changes).items() if v is not None} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
