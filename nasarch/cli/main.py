"""The command `nasarch`: one table of all commands, and the dispatch to the one that the first words name.

A command is a function: its parameters are its arguments, its docstring is its help. The table names it as text, so that `--help`, an
unknown command and a wrong flag are answered without importing PyTorch. Users' errors are one line on stderr, with exit status 2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple

from nasarch.console import printable
from nasarch.help import table


class Command(NamedTuple):
    """A command: its function as "module:name", which the parser calls with the arguments, and one line for the list of commands.

    A function that `parses` is called as function(arguments, program, summary) and builds its own parser, because its arguments are
    fields of dataclasses, of which one (`--preset`, `--recipe`) sets the defaults of others. `program` is such as "nasarch search darts".
    A function that is a generator is made of other commands: it yields the words of each, which is run before the next one.
    """

    function: str
    summary: str
    parses: bool = False


class Group(NamedTuple):
    """Commands under a common first word.

    Where a flag comes in place of the second word, `named_by` names the command: a function of the words as "module:name". `flags` are
    such flags, explained.
    """

    summary: str
    commands: Mapping[str, Command]
    named_by: str | None = None
    flags: Mapping[str, str] = {}


SEARCH = "nasarch.search.runs.flags:command"
COMMANDS: dict[str, Command | Group] = {
    "models": Command("nasarch.cli.commands:models", "List the models: search data, parameters, multi-adds, reported error, source."),
    "show": Command("nasarch.cli.commands:show", "Show a genotype: provenance, models and their cost, reported results, cells."),
    "diff": Command("nasarch.cli.commands:diff", "Compare the cells of two genotypes: distance, edges, parameters, multi-adds."),
    "draw": Command("nasarch.cli.commands:draw", "Draw the cells of a genotype (.svg, .png, .pdf)."),
    "gallery": Command("nasarch.cli.commands:gallery", "Write a gallery of cells: web pages that open offline."),
    "profile": Command("nasarch.cli.commands:profile", "Measure a model: parameters, multi-adds, activation memory, latency."),
    "measure": Command("nasarch.cli.measure:measure", "Measure a latency table of a network's operations, for derive and pareto."),
    "bench": Command("nasarch.export.commands:bench", "Benchmark a model in PyTorch, torch.compile and onnxruntime (float32, int8)."),
    "run": Command("nasarch.cli.script:command", "Run a Python script with the models registered: timm's validate.py.", parses=True),
    "demo": Command("nasarch.cli.demo:demo", "Search, train, test and export on the embedded digits, in about two minutes."),
    "presets": Command("nasarch.search.recipes.command:presets", "List the presets of the searches, with the papers' results."),
    "cost": Command("nasarch.search.recipes.command:cost", "Compute the search cost of DARTS and FTSO (FTSO, Theorems 1 and 2)."),
    "report": Command("nasarch.search.report.command:report", "Write an HTML report on searches: curves, cells, margins, stability."),
    "gather": Command("nasarch.search.report.command:gather", "Combine searches with different seeds: stability and consensus cell."),
    "derive": Command("nasarch.search.report.command:derive", "Derive the best cell of a search within a budget, exactly."),
    "pareto": Command("nasarch.search.report.command:pareto", "Compute the Pareto front of searches: the best cell for every budget."),
    "split": Command("nasarch.cli.commands:split", "Split the training images into class-balanced random parts."),
    "train": Command("nasarch.search.training.flags:command", "Train and test a model or the network of a genotype.", parses=True),
    "evaluate": Command("nasarch.search.training.accuracy:evaluate", "Test trained weights: loss and accuracy on the test images."),
    "reproduce": Command(
        "nasarch.search.reproduce.command:reproduce", "Reproduce a row of a paper's table: search, choose, train, test, compare."
    ),
    "rank-paths": Command(
        "nasarch.search.ranking.commands:rank_paths", "Rank all topologies of a cell by short trainings (eDARTS' --path)."
    ),
    "correlate": Command(
        "nasarch.search.ranking.commands:correlate", "Correlate a search's ranking of edge pairs with their trained accuracy."
    ),
    "select": Command("nasarch.search.ranking.commands:select", "Select the best of several found cells by short trainings."),
    "compare": Command("nasarch.search.ranking.commands:compare", "Compare cells, also random ones, under one training recipe."),
    "search": Group(
        "Search for a cell: darts, pc-darts, dots, ftso, edarts.",
        {
            "darts": Command(SEARCH, "DARTS: operations and topology together (arXiv 1806.09055).", parses=True),
            "pc-darts": Command(SEARCH, "PC-DARTS: partial channels, edge normalization (arXiv 1907.05737).", parses=True),
            "dots": Command(SEARCH, "DOTS: operations in groups, then pairs of edges (arXiv 2010.00969).", parses=True),
            "ftso": Command(SEARCH, "FTSO: topology first, then operations (arXiv 2303.12948).", parses=True),
            "edarts": Command(SEARCH, "eDARTS: fixed topology, few images, sparse updates (ICPR 2020).", parses=True),
        },
        named_by="nasarch.search.runs.flags:method_in_file",
        flags={"--config FILE": "Method and settings of a file, such as settings.toml of a run folder."},
    ),
    "export": Group(
        "Export a model: onnx, hub, web, litert, coreml, ssd; verify a file.",
        {
            "onnx": Command("nasarch.export.commands:onnx", "Export a model to ONNX: float32, float16, int8, uint8 input."),
            "hub": Command("nasarch.export.commands:hub", "Export a model as a folder for timm and the Hugging Face Hub; upload it."),
            "web": Command("nasarch.export.web.command:web", "Export a model as a web page that classifies images in the browser."),
            "litert": Command(
                "nasarch.export.mobile.commands:litert", "Export a model to LiteRT (.tflite) for Android and microcontrollers."
            ),
            "coreml": Command("nasarch.export.mobile.commands:coreml", "Export a model to Core ML (.mlpackage) for iOS and macOS."),
            "ssd": Command("nasarch.export.commands:ssd", "Export a detector to ONNX, from images to boxes, or as a folder for the Hub."),
            "verify": Command("nasarch.export.commands:verify", "Verify an ONNX file against its PyTorch model."),
        },
    ),
    "detect": Group(
        "Detect objects with an SSD on found cells: train, eval, predict.",
        {
            "train": Command(
                "nasarch.export.commands:train_detector", "Train an SSD detector on data in COCO's format, and evaluate it.", parses=True
            ),
            "eval": Command("nasarch.export.commands:evaluate_detector", "Compute COCO's twelve metrics of a detector."),
            "predict": Command("nasarch.export.commands:predict", "Detect objects in images: annotated images and detections.json."),
        },
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process) and return its exit status."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # of a terminal without Unicode
    try:
        run(_without_plugins(sys.argv[1:] if argv is None else list(argv)), COMMANDS, "nasarch")
        sys.stdout.flush()
        return 0
    except ValueError as error:
        print(f"nasarch: error: {printable(' '.join(str(error).splitlines()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nasarch: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that closing it at exit is silent, too
        return 141
    except (OSError, MemoryError, RuntimeError) as error:
        if (reason := _system_error(error)) is None:
            raise
        print(f"nasarch: error: {printable(reason)}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # by the parser, after a help text or a message; by a script
        if isinstance(stop.code, int | None):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1


def _without_plugins(words: list[str]) -> list[str]:
    """The command line without its `--plugin FILE`s, which are run; a script of `nasarch run` has its own flags.

    Raises:
        ValueError: a file can't be read or run: names it and the error.
    """
    if words[:1] == ["run"] or not any(word.split("=")[0] == "--plugin" for word in words):
        return words
    i = next(i for i, word in enumerate(words) if word.split("=")[0] == "--plugin")
    files = words[i].split("=", 1)[1:] or words[i + 1 : i + 2]
    if not files:
        raise ValueError("--plugin needs a file: --plugin FILE.py")
    import runpy

    try:
        runpy.run_path(files[0], run_name="nasarch_plugin")
    except Exception as error:
        raise ValueError(f"--plugin {files[0]}: {type(error).__name__}: {error}; correct the file, or leave it out") from error
    return _without_plugins(words[:i] + words[i + (1 if "=" in words[i] else 2) :])


def _system_error(error: Exception) -> str | None:
    """What the operating system refused, in one line: a file, space on a disk, or memory; None for any other error."""
    if isinstance(error, OSError) and error.errno is not None:
        file = "" if error.filename is None else f"{error.filename}: "
        return f"{file}{error.strerror or error}; check the path, its permissions and the free space there"
    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, MemoryError) or "out of memory" in first or "allocate memory" in first or "not enough memory" in first:
        return f"not enough memory ({first or 'allocation refused'}); choose a smaller batch, image or model, or free some"
    return None


def run(arguments: Sequence[str], commands: Mapping[str, Command | Group], program: str, flags: Mapping[str, str] = {}) -> None:
    """Run the command that the first argument names; it is the only one that is imported.

    Raises:
        ValueError: there is no such command, or what the command raises.
    """
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    entry = commands.get(name)
    if isinstance(entry, Group):
        if entry.named_by is not None and rest and rest[0].startswith("--") and rest[0] != "--help":
            rest = [_function(entry.named_by)(rest), *rest]
        run(rest, entry.commands, f"{program} {name}", entry.flags)
    elif entry is not None:
        command = _function(entry.function)
        if entry.parses:
            command(rest, f"{program} {name}", entry.summary)
        else:
            from nasarch.flags import call

            result = call(command, rest, program=f"{program} {name}")
            if isinstance(result, Generator):
                _run_each(result)
    elif name in ("-h", "--help"):
        rows = table(
            [*((name, command.summary) for name, command in commands.items()), *flags.items()], 4 + max(map(len, [*commands, *flags]))
        )
        plugin = "`--plugin FILE.py`, with any command, registers own operations first.\n" if program == "nasarch" else ""
        print(f"usage: {program} COMMAND ...\n\n{rows}\n\n{plugin}`{program} COMMAND --help` says more.")
    elif name == "--version":
        from importlib.metadata import version

        print(f"nasarch {version('nasarch')}")
    else:
        raise ValueError(_unknown(name, list(commands), program))


def _function(name: str) -> Any:
    """The function of "module:name"."""
    module, function = name.split(":")
    return getattr(import_module(module), function)


def _run_each(commands: Generator[Sequence[str], None, None]) -> None:
    """Run the commands that the generator yields; what one raises is raised in the generator, too."""
    for words in commands:
        try:
            run(words, COMMANDS, "nasarch")
        except BaseException as error:
            commands.throw(error)


def _unknown(name: str, known: Sequence[str], program: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)};"
    return f"unknown command {f'{program} {name}'!r}; {hint} `{program} --help` says more"
