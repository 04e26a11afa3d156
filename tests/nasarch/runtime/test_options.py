"""Options that are composed of others: flat in JSON, and the same again when they are read."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nasarch.data.options import DataOptions
from nasarch.export.detection.settings import DetectOptions
from nasarch.runtime.options import MachineOptions, OutputOptions, to_dict, updated
from nasarch.search.ranking.budget import Budget
from nasarch.search.runs.options import SearchOptions
from nasarch.search.training.options import TrainOptions

PARTS = {"dataset": DataOptions, "machine": MachineOptions, "output": OutputOptions}


def test_paths_of_a_job_are_text_and_paths_again() -> None:
    job = SearchOptions(dataset=DataOptions(root=Path("a/b"), data="d/e"), output=OutputOptions(out=Path("c")), split=None)
    told = to_dict(job)
    assert told["root"] == "a/b" and told["out"] == "c" and told["split"] is None
    again = updated(SearchOptions(), json.loads(json.dumps(told)))
    assert again == job and type(again.dataset.data) is str and again.dataset.root == Path("a/b")


@pytest.mark.parametrize("kind", [SearchOptions, TrainOptions, Budget, DetectOptions])
def test_options_in_json_are_flat_and_each_name_is_there_once(kind: Any) -> None:
    parts = [name for name in PARTS if hasattr(kind(), name)]
    own = [field.name for field in fields(kind) if field.name not in PARTS]
    names = own + [field.name for part in parts for field in fields(PARTS[part])]
    assert sorted(to_dict(kind())) == sorted(names) and len(set(names)) == len(names)
    assert parts == [*PARTS][kind is DetectOptions :]


def test_updated_changes_what_is_named_and_keeps_the_rest_of_its_part() -> None:
    budget = updated(Budget(), {"size": 16, "device": "cpu", "seeds": 5})
    assert budget == Budget(dataset=replace(Budget().dataset, size=16), machine=MachineOptions(device="cpu"), seeds=5)
    assert budget.dataset.data == "auto" and updated(budget, {}) == budget
    with pytest.raises(TypeError, match="colour"):
        updated(Budget(), {"colour": 1})
    with pytest.raises(ValueError, match="--workers -1: choose 0"):
        updated(TrainOptions(), {"workers": -1})


def test_data_options_load_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("nasarch.data.load.load", lambda *args, **told: seen.append((args, told)) or SimpleNamespace(source="x"))
    DataOptions(data="x", size=9, root=Path("r"), download=True, in_memory=False, workers=3).load()
    assert seen == [(("x",), {"size": 9, "root": Path("r"), "download": True, "in_memory": False})]
