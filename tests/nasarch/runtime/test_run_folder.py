"""The folder of a run: its name, that it is unused, its lines, and the checkpoint in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.claim import check_unused, claimed, default_folder, identifier
from nasarch.runtime.json_files import JsonLines


def test_a_usual_folder_is_named_by_its_words_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = default_folder("pc_darts", "some/where/my photos.tar")
    assert found.parent == Path("runs") and found.name.startswith("pc_darts-my_photos-") and found.name[-7] == "-"
    assert len(found.name) == len("pc_darts-my_photos-20240102-030405")
    assert identifier("a b-c.d_e9") == "a_b_c_d_e9"


def test_a_folder_is_unused_if_it_is_not_there_or_empty(tmp_path: Path) -> None:
    check_unused(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_unused(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    for used in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match="exists already: choose another folder with --out"):
            check_unused(used)


@pytest.mark.parametrize(
    ("names", "stays"), [([], False), (["config.json"], False), (["config.json", "metrics.jsonl"], True), (["x"], True)]
)
def test_a_refused_run_leaves_its_folder_only_with_something_to_keep(names: list[str], stays: bool, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match="refused"), claimed(None, folder):
        for name in names:
            (folder / name).write_text("")
        raise ValueError("refused")
    assert folder.exists() == stays and (not stays or sorted(path.name for path in folder.iterdir()) == sorted(names))


def test_lines_are_taken_over_dropped_and_added(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": 3}\n')
    assert (JsonLines(path).count, JsonLines(path, 2).count, JsonLines(path, 0).count, JsonLines(tmp_path / "none").count) == (3, 2, 0, 0)
    lines = JsonLines(path, 2)
    assert lines.last == {"a": 2} and JsonLines(path, 0).last == {}
    lines.drop(lambda line: bool(line["a"] == 1))
    assert path.read_text().count("\n") == 3
    lines.add({"a": 4})
    assert path.read_text() == '{"a": 2}\n{"a": 4}\n' and lines.count == 2


# ---- checkpoint


def test_a_checkpoint_keeps_stages_by_name_and_counts_their_epochs(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    kept = Checkpoint(path, {"seed": 1})
    assert kept.stage("a") is None and kept.epochs == 0
    kept.save("a", {"epochs": 2, "value": torch.ones(2)})
    kept.save("b", {"epochs": 3})
    kept.save("a", {"epochs": 4})
    again = Checkpoint(path, {"seed": 1})
    assert again.epochs == 7 and again.stage("a") == {"epochs": 4} and again.stage("b") == {"epochs": 3}
    assert torch.load(path, weights_only=True)["format"] == "nasarch.checkpoint/2" and not again.stop_requested
    with pytest.raises(ValueError, match="of a run with seed 1, not 2"):
        Checkpoint(path, {"seed": 2})
    Checkpoint(None).save("a", {"epochs": 1})
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("content", [b"no checkpoint", {"format": "nasarch.checkpoint/1", "identity": {}, "stages": {}}, [1]])
def test_a_checkpoint_of_another_form_is_refused(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match="is damaged|has format .*, this version reads 'nasarch.checkpoint/2'"):
        Checkpoint(path, {})
