"""`nasarch split`: class-balanced parts of a data set as lists of files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from nasarch.data.load import listing
from nasarch.data.split import RECORD, write_split

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
Out = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]


def split(
    data: Source,
    *,
    out: Out,
    fractions: tuple[float, ...] = (0.1, 0.025),
    seed: int = 0,
    root: Path | None = None,
    download: bool = False,
) -> None:
    """Split training images by class at random into parts of given fractions, and write lists of their names.

    Args:
        data: digits, cifar10, cifar100, or a folder or tar file of class folders; no image is decoded.
        out: the folder for the lists, part-1.txt, part-2.txt, ..., and split.json, by which a search knows them.
        fractions: of the images of each class, one for each part; by default those of the ImageNet searches, 10 % and 2.5 %.
        seed: of the split; the same seed gives the same split on every machine.
        root: folder of CIFAR's files.
        download: fetch CIFAR's files if they are missing.
    """
    record = write_split(listing(data, root=root, download=download), fractions, seed, out)
    print(f"{record['data']}: {record['images']:,} training images, {record['classes']} classes; seed {seed}")
    for part in record["parts"]:
        least, most = part["images_per_class"]
        each = f"{least}" if least == most else f"{least} to {most}"
        print(f"wrote {out / part['file']}: {part['images']:,} images, {each} of each class")
    print(f"wrote {out / RECORD}")
