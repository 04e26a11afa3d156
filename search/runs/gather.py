"""Several runs of the same search, from one command or from many machines: how stable they are, and the cell of their mean weights.

| file | holds |
|---|---|
| stability.json | for each node how often each edge was kept |
| means.json | mean, standard deviation and values of skip connections, parameters and multi-adds (means.py) |
| consensus/genotype.json, cell.png | the cell of the mean weights |
| consensus/agreement.json | how much the cells of two disjoint halves of the runs agree, by the number of runs in a half |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nasarch.atomic import new_folder, write_text
from nasarch.cells.genotype import Genotype
from nasarch.cells.space import Space, space_of
from nasarch.console import console as plain_console
from nasarch.console import print_text
from nasarch.drawing.draw import draw
from nasarch.runtime.claim import check_unused, make_folder
from nasarch.runtime.json_files import CONFIG, check_types, read_object, reading, typed_keys
from nasarch.runtime.run_folder import as_json
from nasarch.search.engine.result import SearchResult
from nasarch.search.recipes.methods import Method, titled
from nasarch.search.settings.fields import from_dict

from .consensus import Agreement, agreements, consensus
from .history import kept_counts
from .means import Mean, means
from .run import read_search_result

GIVE = "give the folders of runs as a search leaves them"
SAME = ("method", "settings", "data", "space")  # of config.json, in all runs that are gathered


def conclude(
    method: Method,
    settings: Any,
    space: Space,
    results: Sequence[SearchResult],
    folder: Path,
    console: Console,
    *,
    with_consensus: bool,
) -> Path:
    """Write and show what the runs have in common; returns the folder of the cell to go on with: the consensus, or the first run's."""
    rows = kept_counts([result.margins for result in results])
    counts = [row | {"kept": {str(i): n for i, n in enumerate(row["kept"])}} for row in rows]
    write_text(folder / "stability.json", as_json(counts))
    console.print(_stability(counts))
    averages = means([result.genotype for result in results])
    write_text(folder / "means.json", as_json({name: row._asdict() for name, row in averages.items()}))
    console.print(_means(averages, len(results)))
    first = results[0].genotype
    if not with_consensus:
        return folder / f"seed-{first.to_dict()['provenance']['source']['seed']}"
    weights = [result.weights for result in results]
    out = make_folder(folder / "consensus")
    agreement = agreements(method, settings, space, weights)
    cells = consensus(method, settings, space, weights, first.name).genotype
    cells = replace(cells, provenance=_provenance([result.genotype for result in results], agreement))
    write_text(out / "agreement.json", as_json([row._asdict() for row in agreement]))
    draw(cells, out / "cell.png")
    cells.save(out / "genotype.json")
    console.print(_agreement(agreement))
    return out


def _provenance(runs: Sequence[Genotype], rows: Sequence[Agreement]) -> dict[str, Any]:
    """Provenance of the first run, with all seeds."""
    sources = [run.to_dict()["provenance"]["source"] for run in runs]
    shared = {key: value for key, value in sources[0].items() if key not in ("seed", "seconds")}
    note = f"the cell of the mean weights of {len(runs)} runs"
    provenance = {
        "note": note,
        "seeds": [source["seed"] for source in sources],
        "seconds": round(sum(source["seconds"] for source in sources), 1),
    }
    halves = {"agreement of halves": [row._asdict() for row in rows]} if rows else {}
    return runs[0].to_dict()["provenance"] | {"source": shared | provenance | halves}


def combine(runs: Sequence[Path], out: Path, *, stability_only: bool = False) -> None:
    """Combine finished searches that differ in the seed into the new folder `out`; arguments and errors are those of `nasarch gather`."""
    folders = [folder for run in runs for folder in (_seeds(run) or [run])]
    if len(folders) < 2:
        raise ValueError(f"{len(folders)} run is nothing to bring together: name two at least, such as runs/a runs/b")
    check_unused(out)
    results, config = [read_search_result(folder) for folder in folders], _same(folders)
    with reading(folders[0] / CONFIG, GIVE):
        method = titled(config["method"])
        settings: Any = check_types(from_dict(method.settings, config["settings"]))
        space = space_of(config["space"])
    with new_folder(out) as folder:
        conclude(method, settings, space, results, folder, plain_console(), with_consensus=not stability_only)
    print_text(f"wrote {out}")


def _seeds(folder: Path) -> list[Path]:
    """The runs in a folder of several, by number."""
    return sorted(folder.glob("seed-*"), key=lambda path: (len(path.name), path.name))


def _same(folders: Sequence[Path]) -> dict[str, Any]:
    """The configuration that all runs share.

    Raises:
        ValueError: they are not runs of the same search, or one seed is there twice.
    """
    configs = [_config(folder) for folder in folders]
    for folder, config in zip(folders, configs, strict=True):
        for key in SAME:
            if config.get(key) != configs[0].get(key):
                raise ValueError(f"{folder} and {folders[0]} differ in {key}: only runs of the same search can be brought together")
    seeds = [config["seed"] for config in configs]
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise ValueError(f"seed {twice} is there twice: the runs have to be different ones; leave one of them out")
    return configs[0]


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    config = read_object(path, GIVE, method=str, settings=dict, seed=int, data=dict, space=dict)
    with reading(path, GIVE):
        typed_keys(config["space"], name=str, nodes=int)
    return config


def _stability(counts: Sequence[Mapping[str, Any]]) -> Table:
    """Table of the number of runs that kept each edge."""
    table = Table(title=f"how often each edge was kept in {counts[0]['runs']} runs", title_justify="left")
    most = max(row["node"] for row in counts)
    for heading in ("cell", "node", *(f"from {i}" for i in range(most))):
        table.add_column(heading, justify="left" if heading == "cell" else "right")
    for row in counts:
        table.add_row(row["kind"], str(row["node"]), *(str(row["kept"].get(str(i), "")) for i in range(most)))
    return table


def _means(rows: Mapping[str, Mean], runs: int) -> Table:
    """Table of mean and standard deviation."""
    table = Table(title=f"mean of {runs} runs", title_justify="left")
    for heading in ("", "mean", "standard deviation"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in rows.items():
        unit = ", M" if name in ("parameters", "multi-adds") else ""
        table.add_row(f"{name}{unit}", f"{row.mean:.2f}", f"{row.std:.2f}")
    return table


def _agreement(rows: Sequence[Agreement]) -> Table:
    """Table of the agreement of halves by their size."""
    table = Table(title="what the cells of two disjoint halves of the runs share, where a node has a choice", title_justify="left")
    for heading in ("runs in a half", "edges", "edges with operations", "edges by chance"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(str(row.runs), f"{row.edges:.1%}", f"{row.operations:.1%}", f"{row.chance:.1%}")
    return table
