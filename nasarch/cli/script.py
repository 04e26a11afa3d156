"""`nasarch run SCRIPT`: a Python script with nasarch's models in timm's registry, for scripts that don't import nasarch, as timm's own."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from nasarch.flags import call


def command(arguments: Sequence[str], program: str, summary: str) -> None:
    """Run `nasarch run SCRIPT ...`. The script's exit status is the command's, and its uncaught exception is printed as Python prints it.

    Raises:
        SystemExit: by the script; with status 1 after an uncaught exception.
        ValueError: there is no such file.
    """
    script = call(script_of, arguments[:1], program=program)
    if not os.path.isfile(script):
        raise ValueError(f"no file {script!r}; give the path of a Python script, and its arguments after it")

    import nasarch.models.zoo  # noqa: F401

    sys.argv = [script, *arguments[1:]]
    sys.path.insert(0, os.path.dirname(os.path.realpath(script)))
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != script:
            frames = frames.tb_next  # those of runpy and nasarch
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        raise SystemExit(1) from None


def script_of(
    script: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SCRIPT")],
    arguments: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ARGUMENT ...")] = (),
) -> str:
    """Import nasarch, which registers its models with timm, then run a script as `python SCRIPT` does.

    Args:
        script: Python file, such as timm's validate.py.
        arguments: Arguments of the script; --help after SCRIPT is the script's.
    """
    return script
