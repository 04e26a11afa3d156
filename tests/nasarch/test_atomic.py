"""Files and folders appear whole or not at all, and nothing else is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nasarch.atomic import atomic_path, new_folder, write_text


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
