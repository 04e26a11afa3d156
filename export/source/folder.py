"""Kinds of folders on disk: a folder exported for the Hub, and a folder that holds a detector. Builds no model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

FILES = ("config.json", "model.safetensors", "genotype.json", "README.md")


def is_exported(folder: str | os.PathLike[str]) -> bool:
    """Whether `nasarch export hub` wrote the folder, or `nasarch export ssd`: a detector need not be made of cells."""
    missing = {name for name in FILES if not (Path(folder) / name).is_file()}
    return not missing or (missing == {"genotype.json"} and is_detector(folder))


def is_detector(folder: str | os.PathLike[str]) -> bool:
    """Whether `nasarch detect train` or `nasarch export ssd` wrote the folder: its config.json describes a detector."""
    saved = next((one for one in (Path(folder) / "model", Path(folder)) if (one / "model.safetensors").is_file()), None)
    try:
        config = None if saved is None else json.loads((saved / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, Mapping) and config.get("detector") is not None
