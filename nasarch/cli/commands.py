"""The commands on genotypes, models and data: models, show, diff, draw, gallery, profile, split. PyTorch is imported when they run."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import tyro

from nasarch.console import print_json, print_rich, print_text
from nasarch.ranges import Seed

Pattern = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATTERN")]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE")]
ModelOrRun = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE|RUN")]
Sources = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE|RUN")]
Picture = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE")]
Data = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
Folder = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]


def models(pattern: Pattern = "*", *, json: bool = False, markdown: bool = False) -> None:
    """List the models: data set of the search, parameters, multi-adds, reported error, source.

    Args:
        pattern: Pattern of model names, with * and ? (in quotes).
        json: Print JSON, with exact numbers.
        markdown: Print a Markdown table.
    """
    from nasarch.models.catalogue import entries

    from .listing import NOTES, table
    from .listing import markdown as as_markdown

    rows = entries(pattern)
    if json:
        print_json([asdict(entry) for entry in rows])
    elif markdown:
        print(as_markdown(rows))
    else:
        print_rich(table(rows))
        print("", *NOTES, sep="\n")


def show(source: Source, *, json: bool = False) -> None:
    """Show a genotype: provenance, models and their cost, reported results, cells drawn in text.

    Args:
        source: Model name or genotype file (.json).
        json: Print JSON.
    """
    from nasarch.models.catalogue import entry, find, models_of

    from .listing import describe

    genotype = find(source)
    models = models_of(genotype)
    if json:
        print_json({"genotype": genotype.to_dict(), "models": [asdict(entry(model)) for model in models]})
    else:
        print_text(describe(genotype, models))


def diff(a: ModelOrRun, b: ModelOrRun, *, json: bool = False) -> None:
    """Compare the cells of two genotypes: distance, edges beside each other, parameters and multi-adds of the same networks.

    The distance is the number of edges only in A, only in B, and with another operation, for the matching of the inner nodes that makes
    it least: cells that differ in the numbers of their nodes alone are equal networks.

    Args:
        a: Model name, genotype file (.json), or folder of a search or training.
        b: The same of the other genotype, of the same space.
        json: Print JSON.
    """
    from nasarch.cells.difference import difference
    from nasarch.models.source import find_source

    from .comparison import as_dict, describe

    cells = find_source(a).cells, find_source(b).cells
    compared = difference(*cells)
    if json:
        print_json(as_dict(*cells, compared))
    else:
        print_text(describe(*cells, compared))


def draw(source: Source, *, out: Picture) -> None:
    """Draw the cells of a genotype.

    Args:
        source: Model name or genotype file (.json).
        out: Image file to write (.svg, .png or .pdf).
    """
    from nasarch.drawing.draw import draw
    from nasarch.models.catalogue import find

    print_text(f"wrote {draw(find(source), out)}")


def gallery(sources: Sources = (), *, out: Folder) -> None:
    """Write a gallery of cells: pages with pictures, figures, charts and comparisons. They open from the disk and send no request.

    Args:
        sources: Cells beside those of the zoo: model names, genotype files (.json), or folders of searches or trainings.
        out: Folder to write (a new one); open index.html there.
    """
    from nasarch.gallery.pages import write_gallery

    print_text(write_gallery(out, sources))


def profile(
    source: Source,
    *,
    size: int | None = None,
    batch: int = 1,
    runs: int = 20,
    threads: int | None = None,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Measure a model: parameters, multi-adds, activation memory, latency on this machine.

    Args:
        source: Model name or genotype file (.json); a genotype means its network for the data set that it was searched on.
        size: Height and width of the input images in pixels (default: the model's).
        batch: Batch size of the memory and latency measurements.
        runs: Number of timed runs.
        threads: Number of CPU threads (default: PyTorch's).
        device: Device: cpu, cuda, ...; auto takes an accelerator if there is one.
        json: Print JSON.
    """
    from nasarch.models.catalogue import create, label, model_of
    from nasarch.models.profile import profile_model

    from .listing import profile_lines

    model = model_of(source)
    measured = profile_model(create(model), size=size, batch=batch, runs=runs, threads=threads, device=device)
    measured = replace(measured, model=label(model))
    if json:
        print_json(asdict(measured))
    else:
        print("\n".join(profile_lines(measured)))


def split(
    data: Data,
    *,
    out: Folder,
    fractions: tuple[float, ...] = (0.1, 0.025),
    seed: Seed = 0,
    root: Path | None = None,
    download: bool = False,
) -> None:
    """Split the training images into class-balanced random parts, written as lists of file names. No image is decoded.

    Args:
        data: Data set: digits, cifar10, cifar100, imagenet16-120, or a folder or tar file of class folders.
        out: Folder to write: part-1.txt, part-2.txt, ..., and split.json; for `nasarch search --split`.
        fractions: Fractions of the images of each class, one for each part (default: the ImageNet searches' 10 % and 2.5 %).
        seed: Random seed of the split; the same on every machine.
        root: Folder of the files of CIFAR or ImageNet16-120.
        download: Download the CIFAR files if they are missing.
    """
    from nasarch.data.load import listing
    from nasarch.data.options import print_left_out
    from nasarch.data.split_files import RECORD, write_split

    images = listing(data, root=root, download=download)
    print_left_out(images.source)
    record = write_split(images, fractions, seed, out)
    print_text(f"{record['data']}: {record['images']:,} training images, {record['classes']} classes; seed {seed}")
    for part in record["parts"]:
        least, most = part["images_per_class"]
        each = f"{least}" if least == most else f"{least} to {most}"
        print_text(f"wrote {out / part['file']}: {part['images']:,} images, {each} of each class")
    print_text(f"wrote {out / RECORD}")
