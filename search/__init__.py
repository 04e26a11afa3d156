"""Searches from Python: `search(recipes.PcDarts(epochs=5), data="digits", out="runs/a")`; `recipes` has the settings of each method."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Logger",
    "MlflowLogger",
    "Run",
    "TensorBoardLogger",
    "WandbLogger",
    "read_run",
    "read_settings",
    "recipes",
    "search",
    "search_epochs",
]
NAMES = {  # and the modules, which import PyTorch
    **dict.fromkeys(("read_settings", "search", "search_epochs"), "nasarch.search.runs.api"),
    **dict.fromkeys(("Run", "read_run"), "nasarch.search.runs.reader"),
    **dict.fromkeys(("Logger", "MlflowLogger", "TensorBoardLogger", "WandbLogger"), "nasarch.runtime.loggers"),
}

if TYPE_CHECKING:
    from nasarch.runtime.loggers import Logger, MlflowLogger, TensorBoardLogger, WandbLogger
    from nasarch.search import recipes
    from nasarch.search.runs.api import read_settings, search, search_epochs
    from nasarch.search.runs.reader import Run, read_run


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return getattr(import_module(NAMES[name]), name)
    if name == "recipes":
        return import_module("nasarch.search.recipes")
    raise AttributeError(f"module 'nasarch.search' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
