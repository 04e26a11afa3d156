"""`nasarch reproduce [ROW]`: list the rows of the papers' tables, or run one. PyTorch is imported when one runs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Annotated

import tyro

from nasarch.console import command_line, print_json, print_rich, print_text

from .options import ReproduceOptions

Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ROW")]
Words = Generator[Sequence[str], None, None]  # of the commands that a row is made of
DEFAULT = ReproduceOptions()


def reproduce(row: Name = "", *, options: Annotated[ReproduceOptions, tyro.conf.arg(name="")] = DEFAULT, json: bool = False) -> Words:
    """Reproduce a row of a paper's table: search, choose, train, test, and the figures beside the paper's. Without ROW, list the rows.

    Args:
        row: Name of a row, or a pattern of names with * and ? (in quotes), which lists those rows.
        json: Print the list as JSON.
    """
    from nasarch.search.rows.rows import ROWS, find, matching

    from .table import listing, to_dict

    if options.output.resume is None and row not in ROWS:
        rows = matching(row or "*")
        if json:
            print_json([to_dict(one) for one in rows])
        else:
            print_rich(listing(rows))
            count, runnable = f"{len(rows)} row{'' if len(rows) == 1 else 's'}", sum(one.reason is None for one in rows)
            print_text("", f"{count}, {runnable} can be run: `nasarch reproduce ROW --data DATA`; --dry-run lists a row's commands")
        return
    from pathlib import Path

    from .run import reproduce as run_row
    from .run import resumed
    from .stages import commands

    paper_row, options = resumed(options) if options.output.resume is not None else (find(row), options)
    if row not in ("", paper_row.name):
        raise ValueError(
            f"{options.output.resume} is of row {paper_row.name}, not of {row}: leave the row out, or run it in another folder"
        )
    if json:
        print_json(to_dict(paper_row))
    elif options.dry_run:
        folder = options.output.resume or options.output.out or Path("runs") / f"reproduce-{paper_row.name.replace('/', '-')}"
        print_text(*(command_line(*command.arguments()) for command in commands(paper_row, options, folder)))
    else:
        yield from run_row(paper_row, options)
