"""Files and folders appear whole or not at all, and nothing else is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasarch.atomic import LEFTOVER, atomic_path, new_folder, remove_leftovers, write_text


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cell.tar.json"
    with atomic_path(path) as temporary:
        assert temporary.parent.parent == path.parent and temporary.name == path.name
        temporary.write_text("first")
        assert not path.exists()
    before = path.stat().st_ino
    write_text(path, "ü")
    assert path.read_bytes() == "ü".encode() and path.stat().st_ino != before  # another file, so that readers of the old one keep it
    assert os.listdir(path.parent) == [path.name]


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(there: bool, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    if there:
        (tmp_path / "results" / "cell.json").write_text("old")
    (tmp_path / "latest.json").symlink_to(Path("results") / "cell.json")
    write_text(tmp_path / "latest.json", "new")
    assert (tmp_path / "latest.json").is_symlink() and not (tmp_path / "results" / "cell.json").is_symlink()
    assert (tmp_path / "results" / "cell.json").read_text() == "new" and len(os.listdir(tmp_path)) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_device_or_pipe_stays_and_gets_the_whole_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    write_text(tmp_path / "pipe", "whole")
    assert reader.communicate(timeout=60)[0] == b"whole" and (tmp_path / "pipe").is_fifo() and os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_a_full_device_is_an_error_and_stays() -> None:
    with pytest.raises(ValueError, match="can't write /dev/full: No space left on device; free some space there"):
        write_text("/dev/full", "x")
    assert Path("/dev/full").is_char_device()


def test_a_link_to_an_empty_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    with new_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("1")
    assert (tmp_path / "out").is_symlink() and os.listdir(tmp_path / "disk") == ["a"]


@pytest.mark.parametrize(("number", "remedy"), [(28, "free some space there"), (13, "choose a file in a folder that you may write to")])
def test_an_error_of_the_system_names_the_file_and_the_remedy(number: int, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"can't write .*/a: some reason; {remedy}"), atomic_path(tmp_path / "a"):
        raise OSError(number, "some reason")


def test_a_folder_appears_with_all_that_is_in_it(tmp_path: Path) -> None:
    for name in ("new", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with new_folder(tmp_path / name) as temporary:
            (temporary / "a").write_text("1")
            assert not (tmp_path / name / "a").exists()
        assert os.listdir(tmp_path / name) == ["a"]
    assert sorted(os.listdir(tmp_path)) == ["empty", "new"]


def test_a_folder_that_fails_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "new") as temporary:
        (temporary / "a").write_text("1")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "full"])
def test_what_is_there_already_is_left_alone(kind: str, tmp_path: Path) -> None:
    if kind == "file":
        (tmp_path / "x").write_text("mine")
    else:
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "mine").write_text("mine")
    with pytest.raises(ValueError, match="is there already and (no folder|not empty); give a new folder"), new_folder(tmp_path / "x"):
        pytest.fail("begun")
    assert os.listdir(tmp_path) == ["x"] and (kind == "file" or os.listdir(tmp_path / "x") == ["mine"])


KILLED = """
import os, signal, sys
from pathlib import Path
from nasarch.atomic import atomic_path, new_folder
with (atomic_path if sys.argv[1] == "file" else new_folder)(Path(sys.argv[2]) / "x.json") as temporary:
    (temporary if sys.argv[1] == "file" else temporary / "part").write_text("half")
    if sys.argv[3] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_has_left_is_removed(kind: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, kind, str(tmp_path), "kill"], check=False)
    (left,) = tmp_path.iterdir()
    assert LEFTOVER.fullmatch(left.name) and not (tmp_path / "x.json").exists()
    os.utime(left, (time.time() - 2,) * 2)
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_is_writing_stays(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, kind, str(tmp_path), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        (live,) = tmp_path.iterdir()
        os.utime(live, (time.time() - 1000,) * 2)
        remove_leftovers(tmp_path)
        assert live.is_dir()
        process.communicate("")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_only_folders_of_that_name_count_as_left(tmp_path: Path) -> None:
    names = [".nasarch-0123456789abcde", ".nasarch-0123456789abcdeg", ".nasarch-0123456789abcdef0", "nasarch-0123456789abcdef", ".x"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / ".nasarch-0123456789abcdef").write_text("a file")
    (tmp_path / ".nasarch-fedcba9876543210").symlink_to(tmp_path / ".x")
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 1000,) * 2, follow_symlinks=False)
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(names) + 2
    remove_leftovers(tmp_path / "nowhere")


def test_without_locks_only_what_is_a_day_old_counts_as_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasarch.atomic.fcntl", None)
    for name, hours in ((".nasarch-0123456789abcdef", 23), (".nasarch-fedcba9876543210", 25)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - hours * 3600,) * 2)
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".nasarch-0123456789abcdef"]


def test_names_of_any_length_are_written(tmp_path: Path) -> None:
    name = "a" * 250 + ".json"
    write_text(tmp_path / name, "whole")
    assert os.listdir(tmp_path) == [name]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with new_folder(tmp_path / "x", replace=True) as temporary:
            (temporary / content).touch()
        assert os.listdir(tmp_path / "x") == [content]
    with pytest.raises(RuntimeError), new_folder(tmp_path / "x", replace=True):
        raise RuntimeError
    assert os.listdir(tmp_path) == ["x"] and os.listdir(tmp_path / "x") == ["second"]


def test_the_first_file_of_a_process_in_a_folder_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    left = tmp_path / ".nasarch-0123456789abcdef"
    left.mkdir()
    (left / "x.json").write_text("half")
    os.utime(left, (0, 0))
    write_text(tmp_path / "x.json", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
