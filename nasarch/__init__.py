"""nasarch: find, use and ship architectures of differentiable neural architecture search.

`import nasarch` makes its models known to timm. `nasarch.search` and `nasarch.export` are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from types import ModuleType

from nasarch.cells.genotype import Genotype
from nasarch.models.zoo import create_model, list_models

__all__ = ["Genotype", "__version__", "create_model", "list_models"]
__version__ = version("nasarch")


def __getattr__(name: str) -> ModuleType:
    if name in ("search", "export"):
        return import_module(f"nasarch.{name}")
    raise AttributeError(f"module 'nasarch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "search", "export"})
