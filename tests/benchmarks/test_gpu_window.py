"""benchmarks/gpu_window.sh, whose Python is a stand-in: what travels, what is run in which order, what comes back. No network."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_window.sh"
MIB = 2**20

pytestmark = pytest.mark.skipif(shutil.which("bash") is None or shutil.which("xz") is None, reason="needs bash and xz")

# what it was asked for goes to the file calls; what has nothing to do with packages is left to the real Python
PYTHON = """#!/usr/bin/env bash
echo "$@" >>"{place}/calls"
last="${{@: -1}}"
case "$*" in
  *"pip download"*) while [[ "$1" != --dest ]]; do shift; done; for name in "${{@:3}}"; do echo wheel >"$2/$name.whl"; done ;;
  *"pip wheel"*) cp -r "$last" "{place}/source"; echo wheel >"{window}/wheels/nasarch.whl" ;;
  *"pip install"*) while [[ "$1" != --target ]]; do shift; done; mkdir "$2"; cp -r "{root}/nasarch" "$2/"
                   for part in search export genotypes; do cp -r "{root}/$part" "$2/nasarch/"; done
                   {changed} ;;
  *gpu.py*) echo "$PYTHONPATH" >"{place}/path"; ls "$3" >"{place}/data"; echo kept >"{out}/gpu.json"
            truncate -s 17M "{out}/large.safetensors"; exit 3 ;;
  *"-m pytest"*) echo "5 passed" ;;
  *) exec {python} "$@" ;;
esac
"""


class Place:
    """A folder for a run of the script, and its stand-in for Python."""

    def __init__(self, place: Path, changed: str = ":") -> None:
        self.place, self.window, self.out, self.data = place, place / "window", place / "out", place / "data-set"
        python = place / "python"
        python.write_text(PYTHON.format(place=place, window=self.window, out=self.out, root=ROOT, python=sys.executable, changed=changed))
        python.chmod(0o755)
        self.data.mkdir()
        for part in ("train", "test"):
            (self.data / f"{part}.tar").write_bytes(part.encode() * 1000)

    def script(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHON": str(self.place / "python"), "WINDOW": str(self.window), "TMPDIR": str(self.place)}
        return subprocess.run(["bash", str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=self.place)

    def calls(self) -> list[str]:
        return (self.place / "calls").read_text().splitlines()


def function(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One function of the script."""
    command = f'source "{SCRIPT}"; {name} "$@"'
    return subprocess.run(["bash", "-c", command, "bash", *map(str, arguments)], capture_output=True, text=True)


def sparse(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs git's list of files")
def test_wheels_for_the_other_python_this_package_and_the_images_are_packed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.script("prepare", place.data)
    assert done.returncode == 0, done.stderr
    for part in ("train", "test"):
        assert lzma.decompress((place.window / "data" / f"{part}.tar.xz").read_bytes()) == part.encode() * 1000
    names = {path.stem for path in (place.window / "wheels").iterdir()}
    assert {"tyro", "typeguard", "docstring_parser", "iopath", "yacs", "termcolor", "pycocotools", "timm==1.0.31", "nasarch"} <= names
    download, wheel = place.calls()
    assert "--python-version 3.12" in download and "--no-deps" in download and "fvcore" in wheel
    packed = {path.name for path in (tmp_path / "source").iterdir()}
    assert packed == {"nasarch", "search", "export", "genotypes", "setup.py", "pyproject.toml", "README.md", "LICENSE"}
    assert (tmp_path / "source" / "nasarch" / "compute.py").read_bytes() == (ROOT / "nasarch" / "compute.py").read_bytes()
    assert done.stdout.splitlines()[-1] == "0.0 MiB  altogether, of 60 MiB"


def test_no_images_no_window(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.data / "test.tar").unlink()
    done = place.script("prepare", place.data)
    assert done.returncode == 1 and "no test.tar in" in done.stderr and not place.window.exists()


@pytest.mark.parametrize(("beyond", "code"), [(0, 0), (1, 1)])
def test_a_window_that_may_not_travel_is_refused(beyond: int, code: int, tmp_path: Path) -> None:
    sparse(tmp_path / "wheels" / "a.whl", 2 * MIB)
    sparse(tmp_path / "data" / "train.tar.xz", MIB + beyond)
    done = function("check_size", tmp_path, "3")
    assert done.returncode == code and "2.0 MiB  wheels" in done.stdout
    assert ("more than the 3 MiB that may travel" in done.stderr) == bool(code)


def test_what_can_not_come_back_is_named_and_moved_away(tmp_path: Path) -> None:
    out, rest = tmp_path / "out", tmp_path / "rest"
    sparse(out / "deep" / "large", 16 * MIB + 1)
    sparse(out / "just", 16 * MIB)
    for number in range(8):
        sparse(out / f"{number}", 10 + number)
    done = function("within_limits", out, rest)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [*map(str, range(8))]
    assert sorted(done.stdout.splitlines()) == [
        "left out: deep/large, 16.0 MiB: more than 16 MiB",
        "left out: just, 16.0 MiB: more than 8 files",
    ]
    assert (rest / "deep" / "large").stat().st_size == 16 * MIB + 1 and (rest / "just").exists()


def packed(place: Place) -> None:
    (place.window / "wheels").mkdir(parents=True)
    (place.window / "wheels" / "nasarch.whl").touch()
    (place.window / "data").mkdir()
    for part in ("train", "test"):
        (place.window / "data" / f"{part}.tar.xz").write_bytes(lzma.compress(part.encode()))


def test_a_run_measures_tests_and_brings_back_what_it_can_even_if_a_stage_failed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    packed(place)
    done = place.script("run", "out", "30", "--device", "cpu")
    assert done.returncode == 3, done.stderr
    assert sorted(path.name for path in place.out.iterdir()) == ["gpu.json", "tests.txt"]
    assert "left out: large.safetensors, 17.0 MiB" in done.stdout and "5 passed" in (place.out / "tests.txt").read_text()
    assert (tmp_path / "data").read_text().split() == ["test.tar", "train.tar"]
    assert Path((tmp_path / "path").read_text().strip()).name == "site"
    install, measure, test = (call for call in place.calls() if "lzma" not in call)
    assert "--no-index --no-deps" in install and measure.endswith("--out out --budget 30 --device cpu")
    assert "-m cuda" in test and "-o filterwarnings=default" in test and "tests/test_cuda.py" in test and "test_device" not in test


def test_several_runs_share_what_was_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path)
    packed(place)
    installed = tmp_path / "there"
    assert place.script("install", installed).returncode == 0
    monkeypatch.setenv("PLACE", str(installed))
    monkeypatch.setenv("TEST_SECONDS", "0")
    for _ in range(2):
        assert place.script("run", "out", "30").returncode == 3
        assert (tmp_path / "path").read_text().strip() == str(installed / "site") and (installed / "data" / "train.tar").exists()
    install, *measured = (call for call in place.calls() if "lzma" not in call)
    assert "pip install" in install and len(measured) == 2 and all("gpu.py" in call for call in measured)


def test_a_package_that_was_packed_before_it_changed_is_not_measured(tmp_path: Path) -> None:
    place = Place(tmp_path, changed='echo "# older" >>"$2/nasarch/search/recipes/ftso.py"')
    packed(place)
    done = place.script("run", "out")
    assert done.returncode == 1 and "prepare it again" in done.stderr and "ftso.py" in done.stderr
    assert not any("gpu.py" in call for call in place.calls())


@pytest.mark.parametrize(("arguments", "words"), [(["run"], "name a folder"), (["run", "out"], "prepare it"), ([], "prepare [DATA]")])
def test_what_is_missing_is_said(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = Place(tmp_path).script(*arguments)
    assert done.returncode == 1 and words in done.stderr
