"""A folder belongs to one run at a time: claims of processes that begin at once, locks, and what a refused command leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from nasarch.runtime import claim
from nasarch.runtime.claim import LOCK, Lock, claimed

HOLD = """
import sys, time
from pathlib import Path
from nasarch.runtime.claim import claimed
folder = Path(sys.argv[2])
with claimed(folder if sys.argv[1] == "resume" else None, folder) as claimed_folder:
    (claimed_folder / "metrics.jsonl").touch()
    print("claimed", flush=True)
    time.sleep(600)
"""
RACE = """
import sys, time
from pathlib import Path
from nasarch.runtime.claim import claimed
out = Path(sys.argv[2]) if sys.argv[2] else None
while time.time() < float(sys.argv[1]):
    pass
try:
    with claimed(None, out, "words") as folder:
        (folder / "config.json").open("x").close()
        time.sleep(0.5)
        print(folder)
except ValueError as error:
    print("refused:", error)
"""


@contextmanager
def holding(kind: str, folder: Path) -> Iterator[None]:
    """Another process claims the folder in the block, and is killed after it."""
    with subprocess.Popen([sys.executable, "-c", HOLD, kind, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "claimed\n"
        try:
            yield
        finally:
            process.kill()


def race(folder: Path, out: str, count: int = 4) -> list[str]:
    """What processes say that claim a folder at the same moment."""
    command = [sys.executable, "-c", RACE, str(time.time() + 20), out]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) for _ in range(count)]
    return [process.communicate(timeout=120)[0].strip() for process in processes]


@pytest.mark.parametrize("exists", [False, True])
def test_of_processes_that_begin_at_once_one_gets_the_folder_that_all_name(exists: bool, tmp_path: Path) -> None:
    if exists:
        (tmp_path / "run").mkdir()
    said = race(tmp_path, "run")
    assert sorted(said)[-1] == "run" and len([line for line in said if line == "run"]) == 1
    assert all("--out" in line for line in said if line != "run") and os.listdir(tmp_path / "run") == ["config.json"]


def test_processes_that_begin_at_once_without_a_name_get_folders_of_their_own(tmp_path: Path) -> None:
    said = race(tmp_path, "")
    assert len(set(said)) == len(said) and all(line.startswith("runs/words-") for line in said)


def test_runs_of_the_same_second_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Noon:
            return cls(2026, 1, 2, 12)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claim, "datetime", Noon)
    names = []
    for _ in range(3):
        with claimed(None, None, "darts", "digits") as folder:
            names.append(str(folder))
            (folder / "config.json").touch()
    assert names == [f"runs/darts-digits-20260102-120000{suffix}" for suffix in ("", "-2", "-3")]


def test_a_second_run_or_resume_in_a_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with holding("new", folder):
        with pytest.raises(ValueError, match="exists already: choose another folder with --out"), claimed(None, folder):
            pytest.fail("begun")
        with pytest.raises(ValueError, match=f"another process is running in {folder}: wait until"), claimed(folder, None):
            pytest.fail("resumed")
    assert (folder / LOCK).exists()  # a kill leaves the file, not the lock
    with claimed(folder, None) as found:
        assert found == folder
    assert sorted(os.listdir(folder)) == ["metrics.jsonl"]


def test_two_resumes_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with (
        holding("resume", tmp_path),
        pytest.raises(ValueError, match="another process is running"),
        claimed(tmp_path, None),
    ):
        pytest.fail("resumed")


def test_a_forked_worker_does_not_hold_the_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        lock.release()
        again = Lock(tmp_path)
        assert again.is_intact
        again.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lock_is_held_once_in_a_process(tmp_path: Path) -> None:
    first, second = Lock(tmp_path), Lock(tmp_path / "." / "")
    second.release()
    assert first.is_intact and (tmp_path / LOCK).exists()
    first.release()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, None])
@pytest.mark.parametrize("writes", [(), ("config.json",), ("seed-0/config.json",), ("config.json", "metrics.jsonl")])
@pytest.mark.parametrize("exists", [False, True])
def test_what_a_refused_command_leaves(exists: bool, writes: tuple[str, ...], error: type[BaseException] | None, tmp_path: Path) -> None:
    """Nothing that is empty, and of a refused one no mere configuration; a user's own folder stays."""
    folder = tmp_path / "parent" / "run"
    if exists:
        folder.mkdir(parents=True)
    try:
        with claimed(None, folder):
            for name in writes:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).touch()
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    kept = bool(writes) and (error is not ValueError or "metrics.jsonl" in writes)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == (sorted(writes) if kept else [])
    assert folder.exists() == (exists or kept) and (tmp_path / "parent").exists() == (exists or kept)


@pytest.mark.parametrize("kind", ["file", "full", "hidden"])
def test_what_is_there_is_not_touched(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    if kind == "file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / (".mine" if kind == "hidden" else "mine")).write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(ValueError, match="exists already: choose another folder with --out, or remove it"), claimed(None, folder):
        pytest.fail("begun")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, words in (("nowhere", "there is no such folder"), ("file", "it is no folder")):
        with pytest.raises(ValueError, match=f"nothing to resume in .*{name}: {words}"), claimed(tmp_path / name, None):
            pytest.fail("resumed")
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_at_the_place_of_a_new_folder_is_in_use_and_stays(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ValueError, match="run exists already: choose another folder with --out"), claimed(None, tmp_path / "run"):
        pass
    assert (tmp_path / "run").read_text() == "mine"
