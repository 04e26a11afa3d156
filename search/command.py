"""`nasarch search METHOD`: the flags, what is said on the way, and the last words."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from nasarch.device import keep_freed_memory, pick_device
from nasarch.files import write_text

from . import ftso as ftso_recipe
from .datasets import load
from .discretize import Found
from .run import Plan, as_json, check_unused, new_folder, run, stability
from .show import Display


def ftso(
    settings: Annotated[ftso_recipe.Ftso, tyro.conf.arg(name="")] = ftso_recipe.Ftso(),  # noqa: B008  # frozen
    *,
    data: str = "digits",
    size: int | None = None,
    root: Path | None = None,
    download: bool = False,
    seed: int = 0,
    runs: int = 1,
    device: str = "auto",
    name: str | None = None,
    out: Path | None = None,
) -> None:
    """FTSO: find the topology with skip connections, then put one operation on its edges (arXiv 2303.12948).

    Args:
        settings: of the method.
        data: digits, cifar10, cifar100, or a folder or tar file of class folders.
        size: bring all images to squares of so many pixels.
        root: folder of CIFAR's files.
        download: fetch CIFAR's files if they are missing.
        seed: of the split, the first weights and the batches.
        runs: search so many times, with the seeds from SEED on, and print how often each edge was kept.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
        name: of the genotype; by default method and data.
        out: a new folder for the results; by default one below runs/.
    """
    if runs < 1:
        raise ValueError(f"--runs {runs}: choose 1 or more")
    target = pick_device(device)
    folder = out or Path("runs") / f"ftso-{_identifier(Path(data).stem)}-{datetime.now():%Y%m%d-%H%M%S}"
    check_unused(folder)
    images = load(data, size=size, root=root, download=download)
    title = name or _identifier(f"ftso_{images.name}")
    plan = Plan(
        method="FTSO",
        paper=ftso_recipe.PAPER,
        settings=settings,
        data=images,
        device=target,
        name=title,
        command=" ".join(["nasarch", *sys.argv[1:]]),
        begin=lambda number: ftso_recipe.search(images, settings, seed=number, device=target, name=title),
    )
    search(plan, range(seed, seed + runs), folder)


METHODS: Mapping[str, Any] = {"ftso": ftso}


def search(plan: Plan, seeds: Sequence[int], folder: Path) -> None:
    """Search once with every seed, show it, and say at the end what to do with the result."""
    if plan.device.type == "cpu":
        keep_freed_memory()
    console = Console()
    data = plan.data
    console.print(f"{plan.method} on {data.name}: {len(data.train):,} training images, {data.num_classes} classes; {plan.device}")
    results: list[Found] = []
    new_folder(folder)
    for seed in seeds:
        place = folder if len(seeds) == 1 else new_folder(folder / f"seed-{seed}")
        with Display(console, f"seed {seed}") as display:
            results.append(run(plan, seed, place, display))
        console.print(_choice(results[-1], seed))
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
