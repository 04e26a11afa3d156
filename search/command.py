"""`nasarch search METHOD`: the flags, what is said on the way, and the last words."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from nasarch.device import keep_freed_memory, pick_device
from nasarch.files import write_text

from . import darts as darts_recipe
from . import dots as dots_recipe
from . import ftso as ftso_recipe
from . import pc_darts as pc_darts_recipe
from .datasets import load
from .discretize import Found
from .run import Plan, as_json, check_unused, make_folder, run, stability
from .show import Display


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every search is told besides the settings of its method.

    Args:
        data: digits, cifar10, cifar100, or a folder or tar file of class folders.
        size: bring all images to squares of so many pixels.
        root: folder of CIFAR's files.
        download: fetch CIFAR's files if they are missing.
        seed: of the split, the first weights and the batches.
        runs: search so many times, with the seeds from SEED on, and print how often each edge was kept.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
        name: of the genotype; by default method and data.
        out: a new folder for the results; by default one below runs/.
        resume: go on with the search in this folder, with its own settings and data; no other flag counts then.
    """

    data: str = "digits"
    size: int | None = None
    root: Path | None = None
    download: bool = False
    seed: int = 0
    runs: int = 1
    device: str = "auto"
    name: str | None = None
    out: Path | None = None
    resume: Path | None = None


def darts(
    settings: Annotated[darts_recipe.Darts, tyro.conf.arg(name="")] = darts_recipe.Darts(),  # noqa: B008  # frozen
    job: Annotated[Job, tyro.conf.arg(name="")] = Job(),  # noqa: B008  # frozen
) -> None:
    """DARTS: operations and topology together, first or second order (arXiv 1806.09055)."""
    search_with("DARTS", darts_recipe, settings, job)


def pc_darts(
    settings: Annotated[pc_darts_recipe.PcDarts, tyro.conf.arg(name="")] = pc_darts_recipe.PcDarts(),  # noqa: B008  # frozen
    job: Annotated[Job, tyro.conf.arg(name="")] = Job(),  # noqa: B008  # frozen
) -> None:
    """PC-DARTS: a part of the channels, and weights for the edges (arXiv 1907.05737)."""
    search_with("PC-DARTS", pc_darts_recipe, settings, job)


def dots(
    settings: Annotated[dots_recipe.Dots, tyro.conf.arg(name="")] = dots_recipe.Dots(),  # noqa: B008  # frozen
    job: Annotated[Job, tyro.conf.arg(name="")] = Job(),  # noqa: B008  # frozen
) -> None:
    """DOTS: first the operations in groups, then pairs of edges (arXiv 2010.00969)."""
    search_with("DOTS", dots_recipe, settings, job)


def ftso(
    settings: Annotated[ftso_recipe.Ftso, tyro.conf.arg(name="")] = ftso_recipe.Ftso(),  # noqa: B008  # frozen
    job: Annotated[Job, tyro.conf.arg(name="")] = Job(),  # noqa: B008  # frozen
) -> None:
    """FTSO: find the topology with skip connections, then put one operation on its edges (arXiv 2303.12948)."""
    search_with("FTSO", ftso_recipe, settings, job)


METHODS: Mapping[str, Any] = {"darts": darts, "pc-darts": pc_darts, "dots": dots, "ftso": ftso}


def search_with(method: str, recipe: Any, settings: Any, job: Job) -> None:
    """Search as the job says with the module of a recipe: PAPER and `search(data, settings, seed=, device=, name=, checkpoint=)`."""
    stem = recipe.__name__.rsplit(".", 1)[-1]
    if job.resume is not None:
        settings, job = _resumed(method, type(settings), job.resume)
    if job.runs < 1:
        raise ValueError(f"--runs {job.runs}: choose 1 or more")
    device = pick_device(job.device)
    folder = job.resume or job.out or Path("runs") / f"{stem}-{_identifier(Path(job.data).stem)}-{datetime.now():%Y%m%d-%H%M%S}"
    if job.resume is None:
        check_unused(folder)
    data = load(job.data, size=job.size, root=job.root, download=job.download)
    name = job.name or _identifier(f"{stem}_{data.name}")
    plan = Plan(
        method=method,
        paper=recipe.PAPER,
        settings=settings,
        data=data,
        device=device,
        name=name,
        command=" ".join(["nasarch", *sys.argv[1:]]),
        job={key: value if value is None or isinstance(value, (int, str)) else str(value) for key, value in asdict(job).items()},
        begin=lambda seed, checkpoint: recipe.search(data, settings, seed=seed, device=device, name=name, checkpoint=checkpoint),
    )
    search(plan, range(job.seed, job.seed + job.runs), folder)


def _resumed(method: str, kind: type, folder: Path) -> tuple[Any, Job]:
    """Settings and job of the search in `folder`.

    Raises:
        ValueError: there is none, or of another method.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = {key: tuple(value) if isinstance(value, list) else value for key, value in config["settings"].items()}
        job = config["job"] | {"resume": folder, "root": Path(config["job"]["root"]) if config["job"]["root"] else None}
        found, settings = config["method"], kind(**named) if config["method"] == method else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no search to resume in {folder} ({error}): give the folder of a run, which holds its config.json") from error
    if settings is None:
        raise ValueError(f"{folder} holds a search by {found}, not by {method}: resume it with that command")
    return settings, Job(**job)


def search(plan: Plan, seeds: Sequence[int], folder: Path) -> None:
    """Search with every seed, or finish that; show it, and say at the end what to do with the result."""
    if plan.device.type == "cpu":
        keep_freed_memory()
    console = Console()
    data = plan.data
    console.print(f"{plan.method} on {data.name}: {len(data.train):,} training images, {data.num_classes} classes; {plan.device}")
    make_folder(folder)
    if len(seeds) > 1:
        write_text(folder / "config.json", as_json({"method": plan.method, "settings": asdict(plan.settings), "job": plan.job}))
    results: list[Found] = []
    try:
        for seed in seeds:
            place = folder if len(seeds) == 1 else make_folder(folder / f"seed-{seed}")
            with Display(console, f"seed {seed}") as display:
                results.append(run(plan, seed, place, display))
            console.print(_choice(results[-1], seed))
    except KeyboardInterrupt:
        method = plan.method.lower()
        console.print(f"stopped; to go on: nasarch search {method} --resume {folder}", soft_wrap=True)
        raise
    if len(seeds) > 1:
        counts = stability(results)
        write_text(folder / "stability.json", as_json(counts))
        console.print(_stability(counts))
    console.print(_last_words(folder if len(seeds) == 1 else folder / f"seed-{seeds[0]}", plan), soft_wrap=True)


def _choice(found: Found, seed: int) -> Table:
    """A line a node: the edges kept, the best one dropped, and by how much they are apart."""
    table = Table(title=f"seed {seed}: what each node reads", title_justify="left")
    for heading in ("cell", "node", "keeps", "drops first", "lead of the last kept"):
        table.add_column(heading, justify="left" if heading in ("cell", "keeps") else "right")
    for kind, node, weights, kept, dropped, lead in found.margins:
        apart = "" if lead is None else f"{lead:.6f} of {weights[kept[-1]]:.4f}"
        table.add_row(kind, str(node), ", ".join(map(str, kept)), "" if dropped is None else str(dropped), apart)
    return table


def _stability(counts: Sequence[Mapping[str, Any]]) -> Table:
    """How often each edge was kept."""
    table = Table(title=f"how often each edge was kept in {counts[0]['runs']} runs", title_justify="left")
    most = max(row["node"] for row in counts)
    for heading in ("cell", "node", *(f"from {i}" for i in range(most))):
        table.add_column(heading, justify="left" if heading == "cell" else "right")
    for row in counts:
        table.add_row(row["kind"], str(row["node"]), *(str(row["kept"].get(str(i), "")) for i in range(most)))
    return table


def _last_words(folder: Path, plan: Plan) -> str:
    cell = folder / "genotype.json"
    arguments = f"num_classes={plan.data.num_classes}"
    return "\n".join(
        [
            f"found {cell} (picture: {folder / 'cell.png'})",
            f"build:  import nasarch, timm; timm.create_model('nas_cifar', genotype='{cell}', {arguments})",
            f"train:  timm's train.py DATA --device-modules nasarch --model nas_cifar --model-kwargs genotype={cell} --num-classes "
            f"{plan.data.num_classes}",
            f"export: nasarch export onnx {cell} -o model.onnx",
        ]
    )


def _identifier(text: str) -> str:
    return re.sub(r"\W+", "_", text)
