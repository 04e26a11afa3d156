"""Data of the searches that are ranked: read from the folders that cells come from, compared with each other and with the data here.

| fact | holds |
|---|---|
| searched | data, size, root and in_memory of the search's options; name, images, pixels and sha256 of what it loaded; None without a run |
| halves | `split`, or `fractions` and `seed`: the sides of the search, where all runs have the same; otherwise None |

A cell by name or from a file has no run, and so has the consensus of several: that one was searched on what its seeds were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nasarch.data.dataset import Dataset
from nasarch.runtime.json_files import read_object, reading, typed_keys

OF_JOB, OF_DATA = ("size", "root", "in_memory"), ("name", "images", "sha256")  # keys of config.json; older versions wrote fewer of the job
CONSENSUS = "consensus"

Origin = dict[str, Any]


def in_common(folders: Iterable[Path], size: int | None) -> dict[str, Any]:
    """The facts of these folders, as in the table; `size` is what images are to be brought to, None for that of the search.

    Raises:
        ValueError: they were searched on different data, or at different sizes and none is given; a config.json is damaged.
    """
    origins = [one for folder in folders if (one := origin(folder)) is not None]
    if not origins:
        return {"searched": None, "halves": None}
    first = origins[0]
    for other in origins[1:]:
        both = f"{_searched(first)}, {_searched(other)}"
        if not _same(first, other):
            raise ValueError(f"{both}: choose among cells of the same data, or give them as files, such as {_file(other)}, with --data")
        if size is None and first["pixels"] != other["pixels"]:
            raise ValueError(f"{both}: name one size for all with --size")
    alike = all(other["halves"] == first["halves"] for other in origins)
    return {"searched": {key: value for key, value in first.items() if key != "halves"}, "halves": first["halves"] if alike else None}


def origin(folder: Path) -> Origin | None:
    """Data of the search in the folder; None if there is no search.

    Raises:
        ValueError: its config.json is damaged.
    """
    path, is_mean = folder / "config.json", folder.name == CONSENSUS
    if not path.is_file() and is_mean:
        path = next(iter(sorted(folder.parent.glob("seed-*/config.json"))), path)
    if not path.is_file():
        return None
    remedy = f"mend it, or give the cell as a file, such as {folder}/genotype.json"
    config = read_object(path, remedy, job=dict, data=dict, settings=dict)
    with reading(path, remedy):
        job = typed_keys(config["job"], data=str)
        data = typed_keys(config["data"], name=str, images=int, sha256=str, size=list)
        known = {key: job.get(key) for key in OF_JOB} | {key: data[key] for key in OF_DATA}
        known |= {"data": job["data"], "pixels": list(data["size"])}
        return known | {"run": str(folder), "halves": None if is_mean else _halves(config)}


def _halves(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sides for the weights and for the architecture, as the search drew them."""
    settings, split = config["settings"], config["job"].get("split")
    if split is not None:
        return {"split": split}
    images, share = settings.get("images"), 0.5
    if images is not None:  # eDARTS says how many
        share = images / config["data"]["images"]
    return {"fractions": list(settings.get("fractions") or (share, share)), "seed": config["seed"]}


def check_data(data: Dataset, facts: Mapping[str, Any], size: int | None, in_memory: bool | None) -> None:
    """Raise ValueError unless these, loaded with `size` and `in_memory`, are the data that the cells of the facts were searched on."""
    searched = facts.get("searched")
    if searched is None:
        return
    pixels = list(data.size)
    here = {"name": data.name, "images": len(data.train), "pixels": pixels, "sha256": data.digest, "in_memory": in_memory}
    if not _same(searched, here) or (size == searched["size"] and pixels != searched["pixels"]):
        files = f"give the cells as files, such as {_file(searched)}"
        raise ValueError(f"{_searched(searched)}, but the data here are {_words(here)}: leave --data out to take the search's, or {files}")


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether they are the same images. Digests tell it where size and path are the same; otherwise name and number have to do."""
    if one["sha256"] == other["sha256"]:
        return True
    comparable = all(one[key] == other[key] for key in ("pixels", "in_memory"))
    return not comparable and all(one[key] == other[key] for key in ("name", "images"))


def _searched(one: Origin) -> str:
    return f"{one['run']} was searched on {_words(one)}"


def _words(one: Mapping[str, Any]) -> str:
    height, width = one["pixels"]
    return f"{one['name']} ({one['images']:,} training images of {height}x{width} pixels, sha256 {one['sha256'][:8]})"


def _file(one: Origin) -> Path:
    return Path(one["run"]) / "genotype.json"
