"""Files of weights say which cells they are for, and training refuses to begin with those of others."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import timm
import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype, resolve
from nasarch.models.network import CellNetwork
from nasarch.models.weight_files import KEY, as_safetensors, check_cells, genotype_in
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.training.learner import Learner
from nasarch.search.training.weights import load_weights, remark_on_classes, save_model
from tests.helpers.small_training import SETTINGS, rewired

PUBLISHED = resolve("pc_darts_cifar")


def network(genotype: Genotype) -> CellNetwork:
    net = timm.create_model("nas_cifar", genotype=genotype, num_classes=3, cells=3, channels=4)
    assert isinstance(net, CellNetwork)
    return net


@pytest.fixture
def net() -> CellNetwork:
    return network(PUBLISHED)


def pooled(operation: str) -> Genotype:
    """Cells whose first edge of the reduction cell pools."""
    told = PUBLISHED.to_dict()
    told["cells"]["reduction"]["nodes"][0][0][0] = operation
    return Genotype.from_dict(told | {"name": operation})


def test_the_same_weights_give_the_same_bytes_that_say_their_cells(net: CellNetwork, tmp_path: Path) -> None:
    contents = {as_safetensors(net.state_dict(), PUBLISHED) for _ in range(20)}
    assert len(contents) == 1  # safetensors' own header has an order of chance
    file = tmp_path / "w.safetensors"
    file.write_bytes(contents.pop())
    found = safetensors.torch.load_file(file)
    assert found.keys() == net.state_dict().keys() and all(torch.equal(found[key], value) for key, value in net.state_dict().items())
    with safetensors.safe_open(file, framework="pt") as opened:
        assert opened.metadata()["format"] == "pt" and "provenance" not in opened.metadata()[KEY]
    said = genotype_in(file)
    assert said is not None and said.to_dict()["cells"] == PUBLISHED.to_dict()["cells"] and said.name == PUBLISHED.name


def test_a_name_of_any_letters_survives(net: CellNetwork, tmp_path: Path) -> None:
    named = Genotype('cell "\\ \u00e9\u4e2d', PUBLISHED.space, PUBLISHED.cells)
    (tmp_path / "w.safetensors").write_bytes(as_safetensors(net.state_dict(), named))
    said = genotype_in(tmp_path / "w.safetensors")
    assert said is not None and said.name == named.name and len(safetensors.torch.load_file(tmp_path / "w.safetensors")) > 1


@pytest.mark.parametrize("place", ["folder", "file", "config beside"])
def test_weights_of_cells_that_differ_in_wiring_alone_are_refused(net: CellNetwork, tmp_path: Path, place: str) -> None:
    save_model(net, net.state_dict(), tmp_path / "model", ("r", "g", "b"))
    file = tmp_path / "model" / "model.safetensors"
    if place == "config beside":
        safetensors.torch.save_file(net.state_dict(), file)  # without metadata
    if place == "file":
        file = file.rename(tmp_path / "moved.safetensors")
    path = file.parent if place == "folder" else file
    load_weights(network(PUBLISHED), path)
    other = network(rewired("mine"))
    before = other.fc.weight.clone()
    with pytest.raises(ValueError, match=r"weights for the cells of pc_darts_cifar, and those of mine are others \(normal cell, node 5: "):
        load_weights(other, path)
    assert torch.equal(other.fc.weight, before)


def test_max_pooling_is_not_average_pooling(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(as_safetensors(network(pooled("max_pool_3x3")).state_dict(), pooled("max_pool_3x3")))
    with pytest.raises(ValueError, match="reduction cell, node 2: max_pool_3x3 from 1 there, avg_pool_3x3 from 1 here"):
        load_weights(network(pooled("avg_pool_3x3")), tmp_path / "w.safetensors")


def test_the_order_of_edges_counts_as_the_names_of_weights_depend_on_it(net: CellNetwork, tmp_path: Path) -> None:
    told = PUBLISHED.to_dict()
    told["cells"]["normal"]["nodes"][0].reverse()
    (tmp_path / "w.safetensors").write_bytes(as_safetensors(net.state_dict(), PUBLISHED))
    with pytest.raises(ValueError, match="normal cell, node 2"):
        check_cells(tmp_path / "w.safetensors", Genotype.from_dict(told))


def test_the_checkpoint_of_a_training_of_other_cells_is_refused(net: CellNetwork, tmp_path: Path) -> None:
    learner = Learner(net, SETTINGS, seed=0, mean_std=((0.5,) * 3, (0.25,) * 3))
    Checkpoint(tmp_path / "checkpoint.pt").save("training", learner.state_dict() | {"epochs": 1})
    load_weights(network(PUBLISHED), tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="holds weights of other cells than those of mine"):
        load_weights(network(rewired("mine")), tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("metadata", [None, {"format": "pt", "genotype": "of others"}])
def test_files_that_say_nothing_are_taken_by_names_and_shapes(net: CellNetwork, tmp_path: Path, metadata: dict[str, str] | None) -> None:
    weights: dict[str, Tensor] = net.state_dict()
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors", metadata)
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "model_args": {"genotype": 3}}')
    other = network(rewired())
    load_weights(other, tmp_path / "model.safetensors")
    assert torch.equal(other.fc.weight, net.fc.weight)


def test_metadata_that_this_version_cannot_read_are_said(net: CellNetwork, tmp_path: Path) -> None:
    told = json.dumps({"schema": "nasarch.genotype/9"})
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors", {"format": "pt", KEY: told})
    with pytest.raises(ValueError, match=r"w\.safetensors says of its cells: schema 'nasarch.genotype/9'; .*update nasarch"):
        load_weights(net, tmp_path / "w.safetensors")


def with_head(seed: int) -> CellNetwork:
    torch.manual_seed(seed)
    net = timm.create_model("nas_cifar", genotype=PUBLISHED, num_classes=3, cells=3, channels=4, aux_head=True)
    assert isinstance(net, CellNetwork)
    return net


def test_the_auxiliary_head_of_a_file_is_taken_where_there_is_one_and_kept_where_the_file_has_none(tmp_path: Path) -> None:
    first = with_head(1)
    learner = Learner(first, SETTINGS, seed=0, mean_std=((0.5,) * 3, (0.25,) * 3))
    Checkpoint(tmp_path / "checkpoint.pt").save("training", learner.state_dict() | {"epochs": 1})
    both = with_head(2)
    load_weights(both, tmp_path / "checkpoint.pt")
    assert all(torch.equal(value, first.state_dict()[key]) for key, value in both.state_dict().items())
    bare = network(PUBLISHED)
    load_weights(bare, tmp_path / "checkpoint.pt")
    assert all(torch.equal(value, first.state_dict()[key]) for key, value in bare.state_dict().items())
    save_model(network(PUBLISHED), first.state_dict(), tmp_path / "model", ("r", "g", "b"))
    kept, own = with_head(3), with_head(3).state_dict()
    load_weights(kept, tmp_path / "model")
    for key, value in kept.state_dict().items():
        assert torch.equal(value, (own if key.startswith("aux_head.") else first.state_dict())[key])


@pytest.mark.parametrize("place", ["model", "checkpoint", "file alone"])
def test_weights_of_the_same_classes_in_another_order_are_matched_by_name(place: str, tmp_path: Path) -> None:
    """With exchanged names a network of 95 % would begin below chance; a file alone states no names."""
    trained, names, here = with_head(1), ("r", "g", "b"), ("b", "r", "g")
    path = tmp_path / "model"
    if place == "model":
        save_model(network(PUBLISHED), trained.state_dict(), path, names)
    elif place == "checkpoint":
        learner = Learner(trained, SETTINGS, seed=0, mean_std=((0.5,) * 3, (0.25,) * 3))
        Checkpoint(path := tmp_path / "checkpoint.pt").save("training", learner.state_dict() | {"epochs": 1})
        (tmp_path / "config.json").write_text(json.dumps({"class_names": names}))
    else:
        safetensors.torch.save_file(trained.state_dict(), path := tmp_path / "w.safetensors")
    own = with_head(2)
    load_weights(own, path, here)
    order = [0, 1, 2] if place == "file alone" else [2, 0, 1]
    assert torch.equal(own.fc.weight, trained.fc.weight[order]) and torch.equal(own.fc.bias, trained.fc.bias[order])
    if place == "checkpoint":
        assert torch.equal(own.aux_head.fc.weight, trained.aux_head.fc.weight[order])
        assert torch.equal(own.aux_head.fc.bias, trained.aux_head.fc.bias[order])
    moved = "'b' is 2 there, 0 here; 'r' is 0 there, 1 here; 'g' is 1 there, 2 here"
    expected = [] if place == "file alone" else [f"{path} has the classes in another order, matched by name ({moved})"]
    assert remark_on_classes(path, here) == expected and remark_on_classes(path, names) == []


def test_weights_for_other_classes_are_taken_with_a_remark(tmp_path: Path) -> None:
    trained = network(PUBLISHED)
    save_model(network(PUBLISHED), trained.state_dict(), tmp_path / "model", ("r", "g", "b"))
    (remark,) = remark_on_classes(tmp_path, ("cat", "g", "r"))
    assert remark == f"{tmp_path} holds weights for other classes: 'b' there, 'cat' here; the classifier is trained on from there"
    other = network(PUBLISHED)
    load_weights(other, tmp_path, ("cat", "g", "r"))
    assert torch.equal(other.fc.weight, trained.fc.weight)


def test_a_saved_model_is_complete_or_not_there(net: CellNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there before stays until the new one is whole, and a stop leaves nothing else."""
    save_model(net, net.state_dict(), tmp_path / "model", ("r", "g", "b"))
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    assert json.loads(before["config.json"])["label_names"] == ["r", "g", "b"]
    other = network(PUBLISHED)

    def stop(*arguments: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nasarch.models.weight_files.as_safetensors", stop)
        save_model(other, other.state_dict(), tmp_path / "model", ("x", "y", "z"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    trained = copy.deepcopy(net).to(memory_format=torch.channels_last)
    save_model(other.train(), trained.state_dict(), tmp_path / "model", ("r", "g", "b"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before and not other.training
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
