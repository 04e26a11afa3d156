"""What is installed is what lies here: the wheel holds every module, template, genotype and weight file, and no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"nasarch": "nasarch", "search": "nasarch/search", "export": "nasarch/export", "genotypes": "nasarch/genotypes"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in the wheel that setuptools builds of a copy."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    hidden = shutil.ignore_patterns("__pycache__", *(name for name in FOLDERS if (ROOT / "nasarch" / name).is_symlink()))
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=hidden if folder == "nasarch" else shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    (path,) = out.glob("*.whl")
    return {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_packages(wheel: set[str]) -> None:
    here = {
        f"{place}/{path.relative_to(ROOT / folder)}"
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wheel == here
    assert {"nasarch/search/recipes/ftso.py", "nasarch/weights/ftso_cifar_shallow.safetensors", "nasarch/py.typed"} <= wheel
    assert "nasarch/genotypes/ftso_cifar.json" in wheel and not any(name.startswith("tests/") for name in wheel)
