"""Weights that the package holds load through timm and do what their card says; what has none says how to make some."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

import nasarch
from nasarch.cells.genotype import resolve
from nasarch.cli.main import main
from nasarch.data.dataset import Images
from nasarch.data.load import load
from nasarch.models import shipped
from nasarch.models.catalogue import create, entry, model_of
from nasarch.models.source import find_source
from nasarch.models.weight_files import genotype_in
from nasarch.models.zoo import GENERIC, MODELS, NATS_BENCH, SHALLOW, check_pretrained
from nasarch.search.training import command as train_command
from nasarch.search.training import ship
from nasarch.search.training.evaluate import evaluate
from nasarch.search.training.plan import TrainPlan
from nasarch.search.training.recipes import recipe
from tests.helpers.small_training import COMMAND, colours

CIFAR = Path(__file__).parents[4] / "shared" / "data" / "cifar10-jpeg"
SHIPPED = sorted(shipped.names())
NEW_PROCESS = """
import sys, pathlib
import nasarch, timm, torch
from nasarch.models import shipped, zoo

shipped.FOLDER = pathlib.Path(sys.argv[1])
(model,) = [model for model in zoo._models_of("darts_v2_cifar") if model.network == zoo.SHALLOW]
zoo.MODELS[model.name] = model
zoo._register(model)
net = nasarch.create_model("darts_v2_cifar_shallow", pretrained=True)
assert net.pretrained_cfg["label_names"][3] == "3"
assert "recipe shallow with batch size 256 and lr 0.1, 1 epochs" in net.pretrained_cfg["description"]
assert len(net.cells) == 5 and net.num_classes == 10
fitted = timm.create_model("darts_v2_cifar_shallow", pretrained=True, num_classes=7, in_chans=1).eval()
assert fitted(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
assert all(torch.equal(a, b) for a, b in zip(fitted.cells.state_dict().values(), net.cells.state_dict().values(), strict=True))
torch.save(net.state_dict(), sys.argv[2])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of the shallow network, on small digits."""
    folder = tmp_path_factory.mktemp("ship") / "run"
    flags = ["--cells", "5", "--channels", "16", "--epochs", "1", "--batch-size", "256", "--lr", "0.1", "--out", str(folder)]
    arguments = ["train", "darts_v2_cifar", *COMMAND, *flags]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nasarch", *arguments])  # what the run's record says
        assert main(arguments) == 0
    return folder


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("package") / "weights"
    assert ship.ship(run, out) == out / "darts_v2_cifar_shallow.safetensors"
    return out


def test_a_training_becomes_a_model_with_weights_in_a_new_process(run: Path, folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NEW_PROCESS, str(folder), str(tmp_path / "state.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    trained = timm.create_model(f"local-dir:{run / 'model'}", pretrained=True).state_dict()
    found = torch.load(tmp_path / "state.pt")
    assert found.keys() == trained.keys()
    for key, value in trained.items():
        assert torch.equal(found[key], value.half().to(value.dtype) if value.is_floating_point() else value)


def test_the_card_tells_what_was_trained_and_no_folder_of_the_machine(run: Path, folder: Path) -> None:
    text = (folder / "darts_v2_cifar_shallow.json").read_text()
    card = json.loads(text)
    assert (
        str(run) not in text and card["command"].startswith("nasarch train darts_v2_cifar --data digits") and "--out" not in card["command"]
    )
    assert card["file"]["sha256"] == hashlib.sha256((folder / "darts_v2_cifar_shallow.safetensors").read_bytes()).hexdigest()
    assert card["file"]["images"] == 297 and abs(card["file"]["top1"] - card["test"]["top1"]) < 1
    assert genotype_in(folder / "darts_v2_cifar_shallow.safetensors") == resolve("darts_v2_cifar")
    assert card["changed"] == {"batch_size": 256, "lr": 0.1}  # the flags above, but for the epochs
    assert card["inputs"]["label_names"] == [str(i) for i in range(10)] and card["recipe"]["name"] == "shallow"


def test_the_card_states_what_the_halved_weights_reach(run: Path, folder: Path) -> None:
    data, about = load("digits", size=8), json.loads((folder / "darts_v2_cifar_shallow.json").read_text())["file"]
    net = timm.create_model(f"local-dir:{run / 'model'}", pretrained=True).eval()
    net.load_state_dict({key: value.half().float() if value.is_floating_point() else value for key, value in net.state_dict().items()})
    assert isinstance(data.test, Images)
    x = (data.test.pixels / 255 - torch.tensor(data.mean)[:, None, None]) / torch.tensor(data.std)[:, None, None]
    with torch.inference_mode():
        chances = net(x).double().softmax(1)
    right = (chances.argmax(1) == data.test.labels).sum().item()
    assert about["top1"] == pytest.approx(100 * right / 297) and about["precision"] == "float16"
    assert about["loss"] == pytest.approx(-chances[range(297), data.test.labels].log().mean().item(), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("nasarch train a --out runs/x --lr 0.1", "nasarch train a --lr 0.1"),
        ("nasarch train a --out=runs/x --lr 0.1 --resume there", "nasarch train a --lr 0.1"),
        ("nasarch train --resume=there", "nasarch train"),
        ("nasarch train 'my cell.json' --epochs 2 --out 'my run'", "nasarch train 'my cell.json' --epochs 2"),
    ],
)
def test_the_command_on_a_card_is_without_the_folders_of_the_machine(words: str, left: str) -> None:
    assert ship._command(words) == left


def test_only_a_finished_training_of_a_network_of_the_zoo_is_shipped(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ship.main([str(tmp_path)]) == 2 and "give the folder that `nasarch train` wrote" in capsys.readouterr().err
    for name, change, words in (
        ("config.json", {"settings": {"cells": 4, "channels": 16}}, "4 cells and 16 channels are no network of the zoo"),
        ("result.json", {"test": None}, "--no-test"),
    ):
        copy = tmp_path / name.removesuffix(".json")
        (copy / "model").mkdir(parents=True)
        for file in ("config.json", "result.json", "model/config.json"):
            (copy / file).write_bytes((run / file).read_bytes())
        (copy / name).write_text(json.dumps(json.loads((run / name).read_text()) | change))
        with pytest.raises(ValueError, match=words):
            ship.ship(copy, tmp_path / "out")
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"genotype": resolve("darts_v1_cifar").to_dict()}))
    with pytest.raises(ValueError, match="are not those that the zoo has as darts_v2_cifar"):
        ship.ship(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("pc_darts_cifar", "nasarch train pc_darts_cifar --data cifar10 --download"),
        ("dots_cifar100", "nasarch train dots_cifar100 --data cifar100"),
        ("ftso_nats_cifar", "nasarch train ftso_nats_cifar --data cifar10 --download --recipe nats"),
        ("pc_darts_imagenet", "nasarch train pc_darts_imagenet --data IMAGENET --recipe imagenet"),
        ("nas_cifar", "nasarch train GENOTYPE.json"),
    ],
)
def test_a_model_without_weights_names_the_command_that_makes_some(name: str, remedy: str) -> None:
    for make in (timm.create_model, nasarch.create_model):
        with pytest.raises(ValueError, match="there are no weights for") as raised:
            make(name, pretrained=True, **({"genotype": "darts_v1_cifar"} if name == "nas_cifar" else {}))
        assert remedy in str(raised.value) and "pretrained=False" in str(raised.value)


def test_an_export_says_that_a_training_did_not_begin_from_nothing(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    assert "begun" not in find_source(tmp_path / "run").results[0]["note"]
    result = json.loads((run / "result.json").read_text())
    (tmp_path / "run" / "result.json").write_text(json.dumps(result | {"begun_from": {"file": "a.safetensors", "sha256": "12ab"}}))
    assert "begun from weights of SHA-256 12ab" in find_source(tmp_path / "run").results[0]["note"]


KINDS = {(model.network, model.data): name for name, model in MODELS.items() if name not in SHIPPED} | {name: name for name in GENERIC}


@pytest.mark.parametrize("name", KINDS.values())
def test_the_command_that_makes_weights_is_one_that_training_takes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model of every kind: up to the plan, on a few images of the size."""
    with pytest.raises(ValueError) as raised:
        check_pretrained(name)
    found = re.search(r"`nasarch (train .*)`", str(raised.value))
    assert found is not None
    network, cell, plans = (MODELS | GENERIC)[name].network, tmp_path / "cell.json", list[TrainPlan]()
    resolve("ftso_nats_cifar" if network == NATS_BENCH else "pc_darts_cifar").save(cell)
    few = Images(torch.randint(0, 255, (4, 3, network.size, network.size), dtype=torch.uint8), torch.arange(4) % 2)
    data = replace(colours(), train=few, test=few, class_names=("a", "b"))
    monkeypatch.setattr("nasarch.data.load.load", lambda *_, **__: data)
    monkeypatch.setattr(train_command, "_train", lambda plan, folder: plans.append(plan))
    words = found[1].replace("GENOTYPE.json", str(cell)).replace("DIR", str(tmp_path / "run"))
    assert main([*words.split(), "--device", "cpu"]) == 0
    built = (MODELS | GENERIC)[plans[0].network.model]
    expected = replace(recipe(plans[0].job.recipe).settings, batch_size=len(few))  # there are no more images
    assert (built.network, plans[0].settings) == (network, expected)


@pytest.mark.parametrize("name", SHIPPED)
def test_an_auxiliary_head_keeps_fresh_weights_where_the_file_has_none(name: str) -> None:
    trained = timm.create_model(name, pretrained=True).state_dict()
    net = timm.create_model(name, pretrained=True, aux_head=True)
    assert net.aux_head is not None and all(torch.equal(net.state_dict()[key], value) for key, value in trained.items())
    assert timm.create_model(name, pretrained=True, aux_head=True, num_classes=3).train()(torch.zeros(2, 3, 32, 32))[1].shape == (2, 3)


@pytest.mark.skipif(len(SHIPPED) < 2, reason="needs weights of two models")
def test_weights_of_another_network_are_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match="the weights are not those of .*; leave the arguments as they were") as raised:
        timm.create_model(SHIPPED[0], pretrained=True, channels=8)
    assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="the weights are not those of .*: \\d+ weights missing \\(.*, \\.\\.\\.\\).*; leave"):
        timm.create_model(SHIPPED[0], pretrained=True, pretrained_cfg_overlay={"file": str(shipped.weights(SHIPPED[1]))})


def test_every_file_of_weights_is_small_and_has_its_card_and_its_model() -> None:
    for name in SHIPPED:
        file = shipped.weights(name)
        assert file is not None and file.stat().st_size < (1e6 if name.endswith(shipped.SHALLOW) else 20e6)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == shipped.card(name)["file"]["sha256"] and name in MODELS
    assert {model.name for model in MODELS.values() if model.network == SHALLOW} == {n for n in SHIPPED if n.endswith(shipped.SHALLOW)}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_built_by_the_command_line_and_adapt_to_other_images_and_classes(name: str) -> None:
    model = model_of(name)
    net = create(model)
    trained = timm.create_model(name, pretrained=True)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), trained.state_dict().values(), strict=True))
    assert entry(model).reported_by == "nasarch" and entry(model).reported_error == pytest.approx(100 - shipped.accuracy(name))
    assert timm.create_model(name, pretrained=True, in_chans=1, num_classes=3)(torch.zeros(2, 1, 32, 32)).shape == (2, 3)


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR.is_dir(), reason="needs ../shared/data/cifar10-jpeg")
@pytest.mark.parametrize("name", [name for name in SHIPPED if shipped.card(name)["data"]["name"] == "cifar10-jpeg"])
def test_shipped_weights_have_the_accuracy_that_their_card_states(name: str) -> None:
    data = load(CIFAR)
    assert data.test is not None and data.digest == shipped.card(name)["data"]["sha256"]
    net = timm.create_model(name, pretrained=True)
    assert tuple(net.pretrained_cfg["mean"]) == pytest.approx(data.mean) and net.pretrained_cfg["label_names"] == data.class_names
    score = evaluate(net, data.test, data, batch_size=250, device=torch.device("cpu"), workers=None)
    assert score.top1 == pytest.approx(shipped.accuracy(name), abs=0.05)


@pytest.mark.parametrize("name", SHIPPED)
def test_an_export_states_the_accuracy_and_keeps_the_preprocessing_of_the_weights(name: str) -> None:
    origin = find_source(name)
    (result,) = origin.results
    assert result["value"] == round(shipped.accuracy(name), 2) and result["note"].startswith("10000 test images")
    assert origin.pretrained and origin.data is not None and origin.data.statistics is None  # those of its pretrained_cfg count
