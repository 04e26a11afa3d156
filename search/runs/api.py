"""Searches from Python, with the same run folders as `nasarch search`."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any, TypedDict, Unpack

from nasarch.console import command_line, printable
from nasarch.flags import flags_of
from nasarch.runtime import distributed
from nasarch.runtime.loggers import Logger, RunLog
from nasarch.runtime.options import Precision, to_dict
from nasarch.runtime.run_folder import returned
from nasarch.search.engine.loop import Progress
from nasarch.search.settings.presets import SETTINGS

from .command import planned
from .console import log_epoch
from .flags import defaults, method_of
from .options import SearchOptions
from .reader import Run, read_run
from .run import config_of, epochs
from .settings_file import with_values

Path = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """Run options of `search`, with the names, meanings and defaults of the flags of `nasarch search`."""

    data: Path
    size: int | None
    root: Path | None
    download: bool
    in_memory: bool | None
    workers: int | None
    device: str
    tf32: bool
    capture: bool
    deterministic: bool
    out: Path | None
    resume: Path | None
    preset: str | None
    split: Path | None
    space: str
    candidates: Sequence[str] | None
    scale: float
    seed: int
    amp: Precision
    hessian: bool
    hessian_every: int | None
    hessian_images: int | None
    name: str | None


def read_settings(file: Path) -> tuple[Any, Options]:
    """Settings and run options in a TOML or JSON file, such as settings.toml of a run folder: search(settings, **options) repeats the run.

    Raises:
        ValueError: a name or a value that `nasarch search --config` would refuse, too.
    """
    method, values = method_of(pathlib.Path(file))
    settings, default_options = with_values(defaults(method, values), values, str(file)), to_dict(SearchOptions())
    default_options.pop("data")  # whose default depends on the preset
    options = {
        name: value
        for name, value in to_dict(settings.options).items()
        if name in Options.__annotations__ and value != default_options.get(name)
    }
    return settings.settings, options  # type: ignore[return-value]


def search(settings: Any, *, loggers: Sequence[Logger] = (), **options: Unpack[Options]) -> Run:
    """Search for a cell once, and return the run: its genotype, architecture weights, margins, metrics and folder.

    Args:
        settings: settings of a method, `recipes.Darts`, `PcDarts`, `Dots`, `Ftso` or `Edarts`. Numbers of images and the batch size are
            reduced to those of the data where they are the defaults.
        loggers: experiment loggers, which get the metrics of each epoch.
        options: run options as the flags of `nasarch search`, such as data="cifar10", out="runs/a", seed=1, device="cuda". `preset` is the
            name that the settings come from, for the record and for the default of `data`; it changes no setting. `resume` goes on with a
            run, and with its own settings.

    Raises:
        TypeError: the settings are of no method.
        ValueError: an option that does not exist or can't be; as `nasarch search` would say.
        KeyboardInterrupt: the search was stopped by a signal, with its state saved; `resume` goes on.
    """
    return returned(search_epochs(settings, loggers=loggers, **options))


def search_epochs(settings: Any, *, loggers: Sequence[Logger] = (), **options: Unpack[Options]) -> Generator[Progress, None, Run]:
    """Search as `search` does, and yield the progress at the end of each epoch, with loss, accuracy and present cell; returns the run.

    The search stops where the generator is closed; `resume` then goes on from the epoch before. Of several processes (torchrun) the
    first one yields and logs, and all return the run.
    """
    method = next((name for name, kind in SETTINGS.items() if kind is type(settings)), None)
    if method is None:
        legal = ", ".join(kind.__name__ for kind in SETTINGS.values())
        raise TypeError(f"{settings!r} are settings of no method; choose nasarch.search.recipes.NAME() with one of {legal}")
    if unknown := next((name for name in options if name not in Options.__annotations__), None):
        raise ValueError(f"search has no option {unknown!r}; legal are {', '.join(Options.__annotations__)}")
    default = defaults(method, options)
    job = with_values(default.options, options, "search")
    default_options = to_dict(default.options) | {"preset": None, "space": SearchOptions().space}  # with which the command begins
    changes = [*flags_of(vars(default.settings), vars(settings)), *flags_of(default_options, to_dict(job))]
    given = {name for name, value in vars(settings).items() if value != getattr(default.settings, name)}
    with planned(method, settings, job, default.settings, given, command_line("search", method, *changes)) as (plan, folder):
        if distributed.is_main():
            for words in plan.remarks:
                print(f"nasarch: warning: {printable(words)}", file=sys.stderr)
        with RunLog(loggers if distributed.is_main() else (), folder, config_of(plan, plan.job.seed)) as log:
            result = yield from epochs(plan, plan.job.seed, folder, partial(log_epoch, log))
            log.result = result.genotype.to_dict()
        return read_run(folder)
