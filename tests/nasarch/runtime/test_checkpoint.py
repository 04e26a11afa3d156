"""The file of a stopped search: what it holds, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.runtime.checkpoint import Checkpoint, shared_checkpoint

IDENTITY = {"method": "FTSO", "seed": 3}


def test_what_is_kept_is_read_again_stage_by_stage(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint = Checkpoint(path, IDENTITY)
    assert checkpoint.stages == {} and checkpoint.epochs == 0 and not checkpoint.stop_requested and not path.exists()
    checkpoint.save("a", {"epochs": 1, "value": torch.arange(3)})
    checkpoint.save("a", {"epochs": 2, "value": torch.arange(4)})
    checkpoint.save("b", {"epochs": 5, "value": torch.tensor(1.5)})
    again = Checkpoint(path, IDENTITY)
    assert again.epochs == checkpoint.epochs == 7 and again.stage("c") is None and set(again.stages) == {"a", "b"}
    assert again.stage("a")["value"].tolist() == [0, 1, 2, 3] and again.stage("b")["value"].item() == 1.5  # type: ignore[index]
    content = torch.load(path, weights_only=True)
    assert content["format"] == "nasarch.checkpoint/2" and content["identity"] == IDENTITY
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_without_a_path_nothing_is_written_but_remembered() -> None:
    checkpoint = Checkpoint()
    checkpoint.save("a", {"epochs": 4})
    assert checkpoint.epochs == 4 and checkpoint.stage("a") == {"epochs": 4} and checkpoint.path is None and checkpoint.identity == {}


@pytest.mark.parametrize("other", [{"method": "DARTS", "seed": 3}, {"method": "FTSO", "seed": 4}, IDENTITY | {"data": "digits"}])
def test_another_search_is_refused_with_the_difference(other: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    Checkpoint(path, IDENTITY).save("a", {"epochs": 1})
    ((key, value),) = [(key, value) for key, value in other.items() if IDENTITY.get(key) != value]
    with pytest.raises(ValueError, match=f"is of a run with {key} {IDENTITY.get(key)!r}, not {value!r}: resume it with its own"):
        Checkpoint(path, other)
    assert Checkpoint(path, {"seed": 3}).epochs == 1, "what isn't asked for may be anything"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": "nasarch.checkpoint/1", "identity": {}, "stages": {}}, "has format 'nasarch.checkpoint/1', this version reads"),
        ({"identity": {}, "stages": {}}, "has format None"),
        ([1, 2], "has format 'list'"),
    ],
)
def test_other_files_are_refused(content: Any, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=words):
        Checkpoint(tmp_path / "checkpoint.pt")


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    Checkpoint(path).save("a", {"epochs": 1})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="is damaged .*: start again in another folder") as error:
        Checkpoint(path)
    assert "\n" not in str(error.value)


def test_alone_a_shared_checkpoint_is_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    Checkpoint(path, IDENTITY).save("a", {"epochs": 3})
    shared = shared_checkpoint(path, IDENTITY)
    assert shared.epochs == 3 and shared.path == path and shared.identity == IDENTITY
    shared.save("b", {"epochs": 1})
    assert Checkpoint(path, IDENTITY).epochs == 4
    with pytest.raises(ValueError, match="is of a run with seed 3"):
        shared_checkpoint(path, {"seed": 9})


def test_other_processes_have_the_stages_and_keep_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    Checkpoint(path, IDENTITY).save("a", {"epochs": 3})
    monkeypatch.setattr("nasarch.runtime.distributed.is_main", lambda: False)
    shared = shared_checkpoint(path, IDENTITY)
    assert shared.epochs == 3 and shared.path is None
    shared.save("b", {"epochs": 1})
    assert Checkpoint(path, IDENTITY).epochs == 3
