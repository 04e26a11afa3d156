"""The process of one stage: imports, waits for the word to begin, and runs the stage.

It is started while the stage before it runs, so that importing costs no time of the GPU; no CUDA call comes before the word to begin.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from .context import Context, described, replace_text

ERROR = ".error"  # the suffix of the file with a stage's last error


def main(target: str, part: Path, prepare: Callable[[Context], None] = lambda context: None) -> NoReturn:
    """Run the stage `target`, "module:function", when the context has come on the standard input; end with 0, or 1 after an error.

    The process ends without clean-up, which might hang after an error on the GPU; it ends, too, when its parent has.
    """
    faulthandler.enable()
    code = 1
    try:
        module, name = target.split(":")
        stage = getattr(import_module(module), name)
        told = _line()
        if told:
            threading.Thread(target=_end_with_parent, daemon=True).start()
            context = Context.from_json(told)
            prepare(context)
            stage(context)
        code = 0
    except BaseException as error:
        replace_text(part.with_suffix(ERROR), json.dumps(described(error)))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _line() -> str:
    """The first line of the standard input; empty if the parent closed it, or has ended."""
    found = b""
    while (read := os.read(0, 1)) not in (b"", b"\n"):
        found += read
    return found.decode()


def _end_with_parent() -> None:
    """Nothing more comes on the standard input, until the parent ends."""
    os.read(0, 1)
    os._exit(1)
