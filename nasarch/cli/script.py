"""`nasarch run SCRIPT`: a Python script or module with nasarch's models in timm's registry, for scripts that don't import nasarch."""

from __future__ import annotations

import io
import os
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated

import tyro

from nasarch.flags import call


def command(arguments: Sequence[str], program: str, summary: str) -> None:
    """Run `nasarch run SCRIPT ...` or `nasarch run -m MODULE ...`.

    The script's exit status is the command's, and its uncaught exception is printed as Python prints it.

    Raises:
        SystemExit: by the script; with status 1 after an uncaught exception.
        ValueError: there is no such file or module.
    """
    is_module = arguments[:1] == ["-m"]
    words = arguments[is_module:]
    script = call(script_of, words[:1], program=program)
    if not is_module and not os.path.isfile(script):
        raise ValueError(f"no file {script!r}; give the path of a Python script, and its arguments after it")

    import nasarch.models.zoo  # noqa: F401

    sys.argv = [*words]
    sys.path.insert(0, os.getcwd() if is_module else os.path.dirname(os.path.realpath(script)))
    try:
        if is_module:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        else:
            main = sys.modules["__main__"] = ModuleType("__main__")
            main.__file__ = os.path.abspath(script)
            with io.open_code(main.__file__) as file:
                code = compile(file.read(), main.__file__, "exec", dont_inherit=True)
            exec(code, vars(main))
    except Exception as error:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, runpy.run_module.__code__.co_filename):
            frames = frames.tb_next
        if frames is None and isinstance(error, ImportError):
            raise ValueError(f"{error}; give a module that python -m runs, and its arguments after it") from None
        if frames is None and isinstance(error, SyntaxError):
            error.filename = error.filename or script  # not set for a file that isn't text
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        raise SystemExit(1) from None


def script_of(
    script: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SCRIPT")],
    arguments: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ARGUMENT ...")] = (),
) -> str:
    """Import nasarch, which registers its models with timm, then run a script as `python SCRIPT` or `python -m MODULE` does.

    Args:
        script: Python file, such as timm's validate.py; or -m and the name of a module.
        arguments: Arguments of the script; --help after SCRIPT is the script's.
    """
    return script
