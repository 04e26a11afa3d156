"""The command `nasarch`: a function is a command, its parameters are its arguments, its docstring is its help.

Only what the named command needs is imported. What a user gets wrong is said in one line, with exit status 2.
"""

from __future__ import annotations

import difflib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import tyro

from nasarch.console import print_json, print_rich
from nasarch.export.cli_bench import bench
from nasarch.export.cli_detect import detect
from nasarch.export.commands import export

from .cli_rank import compare, correlate, rank_paths, select
from .cli_search import cost, gather, presets, report, split, train
from .demo import demo

Command = Callable[..., None]
Group = Callable[[Sequence[str]], Mapping[str, Command]]  # gives its commands when it is named, so that their imports wait till then
Builder = Callable[[Sequence[str]], Command]  # gives the command, whose flags' defaults depend on the arguments
Pattern = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATTERN")]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE")]
Out = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE")]


def models(pattern: Pattern = "*", *, json: bool = False, markdown: bool = False) -> None:
    """List the models: cells searched on what, parameters, multi-adds, reported error, source.

    Args:
        pattern: only names that match, with * and ?; quote it.
        json: print JSON with the exact figures.
        markdown: print the table in Markdown.
    """
    from nasarch.models.catalogue import entries

    from .listing import NOTES, table
    from .listing import markdown as as_markdown

    found = entries(pattern)
    if json:
        print_json([asdict(entry) for entry in found])
    elif markdown:
        print(as_markdown(found))
    else:
        print_rich(table(found))
        print("", *NOTES, sep="\n")


def show(source: Source, *, json: bool = False) -> None:
    """Show all of one genotype: origin, models and what they cost, reported results, cells drawn in text.

    Args:
        source: a model's name or a genotype's .json file.
        json: print JSON.
    """
    from nasarch.models.catalogue import entry, find, models_of

    from .listing import describe

    genotype = find(source)
    found = models_of(genotype)
    if json:
        print_json({"genotype": genotype.to_dict(), "models": [asdict(entry(model)) for model in found]})
    else:
        print(describe(genotype, found))


def draw(source: Source, *, out: Out) -> None:
    """Draw the cells of a genotype as a picture.

    Args:
        source: a model's name or a genotype's .json file.
        out: the picture: .svg, .png or .pdf.
    """
    from nasarch.drawing.draw import draw
    from nasarch.models.catalogue import find

    print(f"wrote {draw(find(source), out)}")


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
    """Measure a model: parameters, multi-adds, memory of activations, latency on this machine.

    Args:
        source: a model's name, or a genotype's .json file, which stands for the network of the data set that it was searched on.
        size: height and width of the images in pixels; by default those of the model.
        batch: images at once, for memory and latency.
        runs: timed runs.
        threads: CPU threads; by default PyTorch's choice.
        device: cpu, cuda, ...; auto takes an accelerator if there is one.
        json: print JSON.
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


def search(arguments: Sequence[str] = ()) -> Mapping[str, Command]:
    """Find a cell: darts, pc-darts, dots, ftso, edarts."""
    from nasarch.search.runs.command import commands

    return commands(arguments)


COMMANDS: dict[str, Command] = {
    "models": models,
    "show": show,
    "draw": draw,
    "profile": profile,
    "bench": bench,
    "demo": demo,
    "presets": presets,
    "cost": cost,
}
BUILDERS: dict[str, Builder] = {
    "report": report,
    "gather": gather,
    "split": split,
    "train": train,
    "rank-paths": rank_paths,
    "correlate": correlate,
    "select": select,
    "compare": compare,
}
GROUPS: dict[str, Group] = {"search": search, "export": export, "detect": detect}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default that of the process) and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # of a terminal without Unicode
    try:
        _run(sys.argv[1:] if argv is None else list(argv), COMMANDS, BUILDERS, GROUPS, "nasarch")
        sys.stdout.flush()
        return 0
    except ValueError as error:
        print(f"nasarch: error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nasarch: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that closing it at exit is silent, too
        return 141
    except SystemExit as stop:  # by the parser, after a help text or a message
        return stop.code if isinstance(stop.code, int) else 0


def _run(
    arguments: Sequence[str], commands: Mapping[str, Command], builders: Mapping[str, Builder], groups: Mapping[str, Group], program: str
) -> None:
    """Run the command that the first argument names; it is the only one whose parser is built."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in commands or name in builders:
        command = builders[name](rest) if name in builders else commands[name]
        tyro.cli(command, args=rest, prog=f"{program} {name}", config=(tyro.conf.FlagCreatePairsOff,))
    elif name in groups:
        _run(rest, groups[name](rest), {}, {}, f"{program} {name}")
    elif name in ("-h", "--help"):
        print(_help({**commands, **builders, **groups}, program))
    elif name == "--version":
        print(f"nasarch {version('nasarch')}")
    else:
        known = [*commands, *builders, *groups]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)};"
        raise ValueError(f"unknown command {f'{program} {name}'!r}; {hint} `{program} --help` says more")


def _help(commands: Mapping[str, Callable[..., Any]], program: str) -> str:
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {_summary(command)}" for name, command in commands.items()]
    return "\n".join([f"usage: {program} COMMAND ...", "", *lines, "", f"`{program} COMMAND --help` says more."])


def _summary(command: Callable[..., Any]) -> str:
    return (command.__doc__ or "").strip().splitlines()[0]
