"""NAME, FILE and RUN mean the same everywhere: one value, found in one place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors
import torch

from nasarch.cells.genotype import resolve
from nasarch.models.source import find_source, find_sources
from nasarch.models.weight_files import KEY, read_weights, weights_file, write_folder
from tests.helpers.exported import new_cell


def saved(folder: Path, architecture: str = "nas_cifar", **more: object) -> Path:
    """A folder of timm's without real weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").touch()
    (folder / "config.json").write_text(json.dumps({"architecture": architecture, "pretrained_cfg": {}, **more}))
    return folder


def test_a_name_of_timms_is_a_source_without_cells() -> None:
    found = find_source("resnet18")
    assert (found.source, found.model, found.genotype, found.random) == ("resnet18", "resnet18", None, True)
    with pytest.raises(
        ValueError, match="^resnet18 is not made of cells: give a name that `nasarch models` lists, a genotype's .json file, or"
    ):
        found.cells  # noqa: B018


def test_a_printed_genotype_is_a_source(tmp_path: Path) -> None:
    found = find_source("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert found.cells.space == "nats" and found.model is None and found.random


def test_a_folder_of_timms_of_any_network_is_a_source(tmp_path: Path) -> None:
    found = find_source(saved(tmp_path / "theirs", "resnet18"))
    assert (found.model, found.genotype, found.pretrained) == ("resnet18", None, True)
    assert found.weights == tmp_path / "theirs" / "model.safetensors" and found.source == f"local-dir:{tmp_path / 'theirs'}"
    zoo = find_source(saved(tmp_path / "zoo", "pc_darts_cifar"))
    assert (zoo.name, zoo.cells.name) == ("pc_darts_cifar", "pc_darts_cifar")
    (tmp_path / "zoo" / "model.safetensors").unlink()
    bare = find_source(tmp_path / "zoo")
    assert bare.random and bare.weights is None and not bare.pretrained


def test_a_folder_of_several_seeds_is_each_of_them_and_their_consensus(tmp_path: Path) -> None:
    for name in ("seed-10", "seed-9", "consensus"):
        (tmp_path / name).mkdir()
        new_cell(f"cell of {name}", tmp_path / name / "genotype.json")
    found = find_sources(tmp_path)
    assert [(Path(place).name, one.cells.name) for place, one in found] == [
        ("seed-9", "cell of seed-9"),
        ("seed-10", "cell of seed-10"),
        ("consensus", "cell of consensus"),
    ]
    with pytest.raises(ValueError, match="give one of its folders: consensus, seed-10, seed-9"):
        find_source(tmp_path)
    ((text, one),) = find_sources("pc_darts_cifar")
    assert text == "pc_darts_cifar" and one.cells == resolve("pc_darts_cifar")


def test_a_training_is_a_source_of_its_cells(tmp_path: Path) -> None:
    cell = new_cell("mine", tmp_path / "cell.json").to_dict()
    saved(tmp_path / "run" / "model", model_args={"genotype": cell})
    ((place, found),) = find_sources(tmp_path / "run")
    assert place == str(tmp_path / "run") and found.cells.to_dict()["cells"] == cell["cells"]


@pytest.mark.parametrize("metadata", [True, False])
def test_a_folder_for_timm_is_its_configuration_and_its_weights(metadata: bool, tmp_path: Path) -> None:
    cells, weights = resolve("pc_darts_cifar"), {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2, dtype=torch.half)}
    write_folder(tmp_path, weights, {"architecture": "ä", "num_classes": 3}, cells if metadata else None)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == {"architecture": "ä", "num_classes": 3}
    read = read_weights(weights_file(tmp_path))
    assert read.keys() == weights.keys() and all(torch.equal(read[name], value) for name, value in weights.items())
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert (KEY in (file.metadata() or {})) is metadata


def test_weights_are_a_file_or_lie_in_a_folder(tmp_path: Path) -> None:
    saved(tmp_path)
    assert weights_file(tmp_path) == tmp_path / "model.safetensors" == weights_file(tmp_path / "model.safetensors")
    saved(tmp_path / "model")
    assert weights_file(tmp_path) == tmp_path / "model" / "model.safetensors", "of a training's folder"
    with pytest.raises(ValueError, match="can't read weights from .*nowhere: No such file or directory; give a file"):
        read_weights(weights_file(tmp_path / "nowhere"))
