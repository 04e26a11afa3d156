"""Data of a run that is resumed: the same images wherever they lie now, by the name that the run has recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from nasarch.data.dataset import Dataset
from nasarch.data.load import NAMES

from .json_files import CONFIG, read_object, reading, typed_keys
from .options import to_dict, updated

# options that name files to read
PATHS = (
    *("data", "train_data", "root", "split", "nats_table", "weights", "from_run", "operations_from"),
    *("images", "also", "exclude", "val", "val_images"),
)
MOVED = ("data", "root")  # options that count beside --resume
T = TypeVar("T")


def moved_data(recorded: T, given: T, default: T, names: Sequence[str] = MOVED) -> T:
    """The `recorded` options of a run to resume, but with the data that the `given` ones name, where these differ from the `default`."""
    values, defaults = to_dict(given), to_dict(default)
    return updated(recorded, {name: values[name] for name in names if values[name] != defaults[name]})


def with_recorded_data(data: Dataset, folder: Path) -> Dataset:
    """`data` by the name and source that the run in `folder` has recorded, if they are the same images wherever they lie now.

    Raises:
        ValueError: they are others: says both digests.
    """
    known = recorded_data(folder)
    check_digest(data.digest, known, folder)
    return replace(data, name=known["name"], source=known["source"])


def recorded_data(folder: Path) -> dict[str, Any]:
    """The description of the data in a run's config.json."""
    path, remedy = folder / CONFIG, "give the folder of a run as it was written"
    known = read_object(path, remedy, data=dict)["data"]
    with reading(path, remedy):
        return typed_keys({"source": "", **known}, name=str, source=str, sha256=str)


def check_digest(digest: str, recorded: Mapping[str, Any], folder: Path) -> None:
    """Raise ValueError unless data of this SHA-256 are those that the run in `folder` has recorded."""
    if digest != recorded["sha256"]:
        raise ValueError(
            f"the data here have SHA-256 {digest}, those of the run in {folder} {recorded['sha256']}: resume it with the same images, "
            "whose folder --data may name"
        )


def with_absolute_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as `to_dict` gives them, the paths of data in them absolute, so that a run can be resumed from another directory."""
    return {
        key: os.path.abspath(os.path.expanduser(value)) if key in PATHS and _is_path(value) else value for key, value in options.items()
    }


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value not in NAMES and os.path.exists(os.path.expanduser(value))
