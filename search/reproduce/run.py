"""Run of a row: its commands one after the other, each resumed where it was stopped, and the figures beside the paper's.

| file | holds |
|---|---|
| config.json | the row, the options, the command |
| search/, choose/, train/, test/ | what the commands wrote (stages.py) |
| result.json | the figures, reported and measured, as numbers and as a table; the budget of each stage; the commands |
| table.md | the same for people |
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from nasarch.atomic import write_text
from nasarch.compute import environment, pick_device
from nasarch.console import command_line, console, print_rich
from nasarch.runtime import distributed
from nasarch.runtime.claim import claimed
from nasarch.runtime.json_files import CONFIG, check_types, read_object, reading
from nasarch.runtime.options import to_dict, updated
from nasarch.runtime.recorded_data import moved_data, with_absolute_paths
from nasarch.runtime.run_folder import RESULT, as_json
from nasarch.search.rows.row import Row
from nasarch.search.rows.rows import find

from .budget import budgets
from .metrics import Results, measure
from .options import ReproduceOptions
from .stages import Command, commands
from .table import cells, comparison, markdown

T = TypeVar("T")


def reproduce(row: Row, options: ReproduceOptions) -> Generator[Sequence[str], None, Path]:
    """Yield the words of each command of a row that is not over, to be run before the next; returns the folder.

    Raises:
        ValueError: the row can't be run, or its folder is in use or of another row.
        KeyboardInterrupt: a command was stopped; says how to resume.
    """
    if options.output.resume is None:
        commands(row, options, Path())  # before a folder is made
    with _claimed(row, options) as folder:
        shown = console(quiet=_rank() > 0)
        todo = commands(row, options, folder)
        for number, command in enumerate(todo, 1):
            arguments = _on_main(command.pending)
            if arguments is None:
                continue
            shown.rule(f"{number} of {len(todo)}: {command.stage}")
            shown.print(command_line(*arguments), soft_wrap=True)
            try:
                yield arguments
            except KeyboardInterrupt:
                shown.print(f"stopped; to go on: {command_line('reproduce', '--resume', folder)}", soft_wrap=True)
                raise
        if _rank() == 0:
            _conclude(row, options, folder, todo)
    return folder


def resumed(asked: ReproduceOptions) -> tuple[Row, ReproduceOptions]:
    """Row and options of the folder to resume, with the --stage and --data that are given beside it.

    Raises:
        ValueError: there is none, or its config.json is damaged.
    """
    folder = asked.output.resume
    assert folder is not None
    remedy = "give the folder of `nasarch reproduce`, with its config.json"
    config = read_object(folder / CONFIG, remedy, row=str, options=dict)
    with reading(folder / CONFIG, remedy):
        row, stated = find(config["row"]), config["options"]
        changes = {"resume": folder, "changes": tuple(stated.get("changes", ()))}
        options = check_types(updated(ReproduceOptions(), stated | changes))
    return row, replace(moved_data(options, asked, ReproduceOptions()), stage=asked.stage or options.stage)


@contextmanager
def _claimed(row: Row, options: ReproduceOptions) -> Iterator[Path]:
    """The folder, claimed by the first of several processes while the others wait; they are joined for that time alone."""
    output = options.output
    if output.resume is None and output.out is None and distributed.rank_and_world_size()[1] > 1:
        raise ValueError("several processes work into one folder: name it with --out DIR, on a disk that all of them see")
    with ExitStack() as stack:
        distributed.init("cpu")
        try:
            folder = stack.enter_context(claimed(output.resume, output.out, "reproduce", row.name.replace("/", "-")))
            distributed.run_on_main(lambda: _write_config(row, options, folder))
        finally:
            distributed.destroy()
        yield folder


def _write_config(row: Row, options: ReproduceOptions, folder: Path) -> None:
    stated = with_absolute_paths(to_dict(options)) | {"out": None, "resume": None}
    write_text(folder / CONFIG, as_json({"row": row.name, "place": row.place, "options": stated, "command": command_line()}))


def _conclude(row: Row, options: ReproduceOptions, folder: Path, todo: Sequence[Command]) -> None:
    """Write and show what was measured beside what is reported."""
    results = Results(row, options, folder)
    figures, stages = measure(results), budgets(row, results)
    result: dict[str, Any] = {
        "row": row.name,
        "place": row.place,
        "notes": list(row.notes),
        "figures": [figure.to_dict() for figure in figures],
        "table": cells(figures),
        "budget": [stage.to_dict() for stage in stages],
        "commands": [command_line(*command.words) for command in todo],
        **environment(pick_device(options.machine.device)),
    }
    write_text(folder / RESULT, as_json(result))
    words = [f"{stage.stage}: {stage.words()}" for stage in stages]
    write_text(folder / "table.md", markdown(row, figures, words))
    shown = console()
    shown.rule(row.name)
    print_rich(comparison(row, figures))
    for line in (*words, *(f"note: {note}" for note in row.notes)):
        shown.print(line, soft_wrap=True)
    shown.print(f"result: {folder / RESULT}; `{command_line('report', folder)}` shows all of it on a page", soft_wrap=True)


def _on_main(work: Callable[[], T]) -> T:
    """The result of `work` in the first process, in all of them, which are joined for that time alone."""
    distributed.init("cpu")
    try:
        return distributed.run_on_main(work)
    finally:
        distributed.destroy()


def _rank() -> int:
    return distributed.rank_and_world_size()[0]
