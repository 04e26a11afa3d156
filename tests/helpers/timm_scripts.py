"""timm's scripts, from a folder that the environment variable NASARCH_TIMM_SCRIPTS names, and images to run them on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from nasarch.data.load import load
from tests.helpers.command_line import python

FOLDER = os.environ.get("NASARCH_TIMM_SCRIPTS", "")


def timm_script(name: str) -> str:
    """The path of a script of timm's repository; the test is skipped where it isn't there."""
    path = Path(FOLDER, name).absolute()
    if not FOLDER or not path.is_file():
        pytest.skip(f"NASARCH_TIMM_SCRIPTS={FOLDER}: name a folder with timm's {name}, such as a copy of its repository")
    return str(path)


def by_timm(name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess:
    """`nasarch run NAME ARGUMENTS` in the folder; the script must succeed."""
    done = python("-W", "ignore", "-m", "nasarch", "run", timm_script(name), *map(str, arguments), cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def digits(folder: Path, images: int) -> Path:
    """train/CLASS/NUMBER.png and validation/CLASS/NUMBER.png, some of the digits each."""
    for name, part in zip(("train", "validation"), load("digits").parts, strict=False):
        for number, (pixels, label) in enumerate(zip(part.pixels[:images], part.labels[:images].tolist(), strict=True)):
            path = folder / "digits" / name / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return folder / "digits"
