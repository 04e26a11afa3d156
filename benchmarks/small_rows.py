"""Every row of `nasarch reproduce` that needs classes alone, at the smallest scale on a small part of the digits: that the line runs.

Five classes of 16x16 pixels, 12 images of each to train and 4 to test; networks of 3 cells and 4 channels, one epoch of each stage, one
search and one training. The figures say nothing about the cells; that there are figures says that every command does its part.

    python benchmarks/small_rows.py [--rows PATTERN] [--out DIR]
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import mkdtemp

from PIL import Image

if not __package__:
    import checkout  # noqa: F401

from nasarch.cells.space import NATS
from nasarch.cli.main import main as command_line
from nasarch.data.load import load
from nasarch.search.rows.row import Compare, Correlate, Detect, RankPaths, Row, Search, Train
from nasarch.search.rows.rows import matching
from nasarch.search.settings.presets import PRESETS
from nasarch.search.training.recipes import RECIPES

SIDE, CLASSES, TRAIN, TEST = 16, 5, 12, 4


def runnable(pattern: str = "*") -> list[Row]:
    """The rows of classification networks that can be run."""
    return [row for row in matching(pattern) if row.reason is None and row.step(Detect) is None]


def write_images(folder: Path) -> Path:
    """The small part of the digits as folders train/ and test/ of class folders."""
    data = load("digits", size=SIDE)
    for name, part, count in (("train", data.train, TRAIN), ("test", data.test, TEST)):
        for label in range(CLASSES):
            (folder / name / str(label)).mkdir(parents=True)
            chosen = part.pixels[part.labels == label][:count]  # type: ignore[union-attr]
            for number, pixels in enumerate(chosen):
                Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / name / str(label) / f"{number}.png")
    return folder


def write_nats_table(path: Path) -> Path:
    """A table of all 15,625 cells of NATS-Bench's space, with the same accuracies 90, 70 and 45 % for each."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "c10", "c100", "in16"])
        for operations in itertools.product(NATS.operations, repeat=6):
            names = [f"{operation}~{source}" for operation, source in zip(operations, (0, 0, 1, 0, 1, 2), strict=True)]
            nodes = ("|".join(names[:1]), "|".join(names[1:3]), "|".join(names[3:]))
            writer.writerow(["+".join(f"|{node}|" for node in nodes), 90, 70, 45])
    return path


def words(row: Row, images: Path, nats_table: Path) -> list[str]:
    """The command of the row but for --out."""
    search = row.step(Search)
    found = ["reproduce", row.name, "--data", str(images), "--scale", "0.001", "--searches", "1", "--trainings", "1", "--workers", "0"]
    if any(isinstance(step, Train) and RECIPES[step.recipe].stem == "imagenet" for step in row.steps):
        found += ["--size", "64"]
    if search is not None and PRESETS[search.method][search.preset].space == "nats":
        found += ["--nats-table", str(nats_table)]
    return [*found, "--set", *_changes(row)]


def _changes(row: Row) -> list[str]:
    """What makes every stage one of seconds."""
    search, train, changes = row.step(Search), row.step(Train), ["choose.cells=3", "choose.channels=4", "choose.batch-size=16"]
    if search is not None:
        preset = PRESETS[search.method][search.preset]
        changes += [f"search.channels={max(4, getattr(preset.settings(), 'partial', 1))}", "search.batch-size=16"]
        names = ("operation.layers", "topology.layers") if search.method == "dots" else ("layers",)
        changes += [f"search.{name}={1 if preset.space == 'nats' else 3}" for name in names]
        changes += ["search.iterations=1"] if "--iterations" in search.flags else []
        changes += ["search.images=25"] if getattr(preset.settings(), "images", None) is not None else []
        changes += ["search.fractions=0.5 0.5"] if getattr(preset.settings(), "fractions", None) == (0.1, 0.025) else []
    if row.step(RankPaths):
        changes += ["search.nodes=2", "search.best=1", "search.ends=1", "search.cells=3", "search.channels=4", "search.batch-size=16"]
    if row.step(Train, Compare, Correlate):
        changes += ["train.cells=3", "train.channels=4", "train.batch-size=16"]
    changes += ["train.epochs=20"] if row.step(Correlate) else []  # until pairs differ
    if train is not None and RECIPES[train.recipe].settings.cutout:
        changes += [f"train.cutout={SIDE // 2}"]
    return changes


def main() -> None:
    """Run the rows one by one; at the end, those that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="*")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = Path(mkdtemp()) if options.out is None else options.out
    out.mkdir(parents=True, exist_ok=True)
    images = out / "digits" if (out / "digits").exists() else write_images(out / "digits")
    table, failed = write_nats_table(out / "nats.csv"), []
    for row in runnable(options.rows):
        folder = out / row.name.replace("/", "-")
        is_begun = (folder / "config.json").exists()
        begun = ["reproduce", "--resume", str(folder)] if is_begun else [*words(row, images, table), "--out", str(folder)]
        log = folder.with_suffix(".log")
        with log.open("w") as file, redirect_stdout(file), redirect_stderr(file):
            status = command_line(begun)
        if status == 130:
            sys.exit("stopped; the same command goes on")
        figures = [] if status else json.loads((folder / "result.json").read_text(encoding="utf-8"))["figures"]
        failed += [row.name] if status else []
        state = f"failed, see {log}" if status else f"{sum(one['measured'] is not None for one in figures)} of {len(figures)} figures"
        print(f"{row.name}: {state}", flush=True)
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else f"all ran; the folders are in {out}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
