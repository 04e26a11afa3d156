"""nasarch: find, use and ship architectures of differentiable neural architecture search.

`import nasarch` registers its models with timm. `nasarch.search` and `nasarch.export` are loaded when they are first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

__all__ = ["Genotype", "__version__", "create_model", "list_models", "register_operation"]
NAMES = {
    "Genotype": "nasarch.cells.genotype",
    "create_model": "nasarch.models.zoo",
    "list_models": "nasarch.models.zoo",
    "register_operation": "nasarch.models.operations",
}


def _is_command_line() -> bool:
    """Whether this process is `nasarch ...` or `python -m nasarch ...`."""
    program, words = next(iter(getattr(sys, "argv", [])), ""), sys.orig_argv
    if program == "-m":  # until Python has found the module to run
        return "-m" in words and words[words.index("-m") + 1] == "nasarch"
    return PurePath(program).name in ("nasarch", "nasarch.exe")


# Registration imports PyTorch and timm, which takes seconds. Python imports this package before the command line (nasarch/cli), so there
# the registration waits for a command that needs the models: `nasarch --help` or a wrong flag is answered at once.
if TYPE_CHECKING or not _is_command_line():
    from nasarch.cells.genotype import Genotype
    from nasarch.models.operations import register_operation
    from nasarch.models.zoo import create_model, list_models


def __getattr__(name: str) -> Any:
    if name in ("search", "export"):
        return import_module(f"nasarch.{name}")
    if name in NAMES:
        return getattr(import_module(NAMES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("nasarch")
    raise AttributeError(f"module 'nasarch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "search", "export"})
