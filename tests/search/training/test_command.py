"""`nasarch train`: what it leaves and says, a kill in the middle, several seeds and processes, what a user can get wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cli.main import main
from nasarch.data.load import load
from nasarch.data.loader import in_order
from nasarch.data.options import DataOptions
from nasarch.flags import value_of
from nasarch.models.catalogue import entry, find, models_of
from nasarch.models.network import CellNetwork
from nasarch.runtime.options import MachineOptions, OutputOptions
from nasarch.search.training.options import TrainOptions
from nasarch.search.training.recipes import RECIPES, Training
from tests.helpers.datasets import as_tree, two_classes
from tests.helpers.small_training import COMMAND

ROOT = Path(__file__).parents[3]


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model" / "model.safetensors")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that is said."""
    capsys.readouterr()
    assert main(["train", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_digits_are_learned_in_seconds_and_timm_gives_the_same_logits(tmp_path: Path) -> None:
    flags = ["--channels", "8", "--batch-size", "32", "--lr", "0.05", "--drop-path", "0", "--epochs", "3"]
    assert main(["train", "pc_darts_cifar", *COMMAND, *flags, "--out", str(tmp_path / "run")]) == 0
    tested = json.loads((tmp_path / "run" / "result.json").read_text())["test"]
    assert tested["top1"] > 90 and tested["top5"] >= tested["top1"] and tested["images"] == 297
    model = timm.create_model(f"local-dir:{tmp_path / 'run' / 'model'}", pretrained=True).eval()
    twin = timm.create_model("pc_darts_cifar", num_classes=10, cells=3, channels=8).eval()
    twin.load_state_dict(weights(tmp_path / "run"))
    data = load("digits", size=8)
    assert data.test is not None
    ((x, y),) = in_order(data.test, data, batch_size=297)
    assert torch.equal(model(x), twin(x))
    assert 100 * (model(x).argmax(1) == y).float().mean().item() == pytest.approx(tested["top1"])


def test_cutout_and_batch_size_of_a_recipe_are_reduced_to_small_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = as_tree(tmp_path / "data", two_classes("train/", count=20) | two_classes("test/"))
    flags = ["--data", str(folder), "--cells", "3", "--channels", "4", "--epochs", "1", "--size", "12", "--device", "cpu"]
    assert main(["train", "pc_darts_cifar", *flags, "--out", str(tmp_path / "run")]) == 0
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    printed = " ".join(capsys.readouterr().out.split())
    count = settings["batch_size"]
    assert settings["cutout"] == 6 and "--cutout 6 instead of 16: half the side" in printed
    assert count < 96 and f"--batch-size {count} instead of 96: the number of training images" in printed
    assert "--cutout 16 hides images of 12 pixels" in refused(capsys, "pc_darts_cifar", *flags, "--cutout", "16")
    assert f"choose 1 to {count}" in refused(capsys, "pc_darts_cifar", *flags, "--batch-size", "96", "--out", str(tmp_path / "typed"))


KILLED_IN_EPOCH_3 = """
import os, signal, sys
from nasarch.cli.main import main
from nasarch.runtime import loop
from nasarch.search.training import train_show

loop.INTERVAL, tell = 0.0, train_show.report

def tell_or_die(live, title, progress):
    if (progress.epoch, progress.step) == (3, 2):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    tell(live, title, progress)

train_show.report = tell_or_die
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_killed_training_goes_on_bit_for_bit(number: str, tmp_path: Path) -> None:
    unbroken, broken, flags = tmp_path / "unbroken", tmp_path / "broken", [*COMMAND, "--epochs", "4", "--batch-size", "512"]
    assert main(["train", "ftso_cifar", "--out", str(unbroken), *flags]) == 0
    command = [sys.executable, "-c", KILLED_IN_EPOCH_3, number, "train", "ftso_cifar", "--out", str(broken), *flags]
    done = subprocess.run(command, capture_output=True, timeout=240, text=True)
    assert done.returncode == (-signal.SIGKILL if number == "SIGKILL" else 130), done.stderr
    assert number == "SIGKILL" or f"to go on: nasarch train --resume {broken}" in done.stdout
    assert len(lines(broken)) == 2 and not (broken / "result.json").exists()
    assert main(["train", "--resume", str(broken)]) == 0
    for key in ("epoch", "loss", "accuracy", "learning_rate", "drop_path"):
        assert [line[key] for line in lines(broken)] == [line[key] for line in lines(unbroken)]
    first, second = ((folder / "model" / "model.safetensors").read_bytes() for folder in (unbroken, broken))
    assert first == second and not (broken / "checkpoint.pt").exists()
    results = [json.loads((folder / "result.json").read_text())["test"] for folder in (unbroken, broken)]
    assert results[0] == results[1]


def test_several_seeds_and_their_record_in_the_genotype(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell, folder = tmp_path / "cell.json", tmp_path / "runs"
    resolve("pc_darts_cifar").save(cell)
    before = Genotype.load(cell).to_dict()["provenance"]["results"]
    arguments = [str(cell), *COMMAND, "--epochs", "1", "--batch-size", "256", "--runs", "2", "--record", "--out", str(folder)]
    assert main(["train", *arguments]) == 0
    said = capsys.readouterr().out
    assert "2 runs: test accuracy" in said and "batch size 256 instead of the recipe's 64" in said and "--scale-lr" in said
    found = json.loads((folder / "result.json").read_text())
    tested = [json.loads((folder / f"seed-{seed}" / "result.json").read_text())["test"]["top1"] for seed in (0, 1)]
    assert found["top1"]["mean"] == pytest.approx(sum(tested) / 2)
    assert found["top1"]["std"] == pytest.approx(abs(tested[0] - tested[1]) / 2**0.5)
    *kept, new = Genotype.load(cell).to_dict()["provenance"]["results"]
    assert kept == before and new["dataset"] == "digits" and new["metric"] == "test error, 3 cells, 4 channels"
    assert new["value"] == pytest.approx(100 - found["top1"]["mean"], abs=1e-3) and new["spread"] == pytest.approx(
        found["top1"]["std"], abs=1e-3
    )
    assert (new["unit"], new["reported_by"], new["budget"]) == ("%", "nasarch", "1 epoch, batch 256, 2 runs")
    for words in ("recipe shallow", "seeds 0, 1", "CPU", found["results"][0]["data"]["sha256"], "batch_size 256"):
        assert words in new["note"]
    assert entry(models_of(Genotype.load(cell))[0]).reported_by != "nasarch"  # another network than the model's
    cell_before = cell.read_bytes()
    (folder / "seed-1" / "result.json").unlink()
    assert main(["train", "--resume", str(folder)]) == 0
    assert cell.read_bytes() == cell_before  # the same result is written once


def test_the_defaults_are_those_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, name in (([], None), (["x", "--recipe", "nats"], "nats"), (["--recipe=nats"], "nats"), (["--recipe"], None)):
        assert value_of("--recipe", arguments) == name
    assert value_of("--recipe", ["--recipe=cifar", "--lr", "-1", "--recipe", "nats", "x"]) == "nats"  # the last one counts
    assert main(["train", "--recipe", "nats", "--help"]) == 0
    assert re.search(r"--epochs INT[^;]*; default:\W+200\.", capsys.readouterr().out, re.DOTALL)


@pytest.mark.parametrize("kind", [Training, TrainOptions, DataOptions, MachineOptions, OutputOptions])
def test_every_flag_is_explained(kind: Any) -> None:
    assert all(f" {field.name}: " in kind.__doc__ for field in fields(kind))
    assert all(name in TrainOptions.__doc__ for name in RECIPES)  # type: ignore[operator]


def test_what_a_user_gets_wrong_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert "nasarch models" in refused(capsys)
    assert "choose 1 or more" in refused(capsys, "pc_darts_cifar", "--epochs", "0")
    assert "--runs 0: choose 1 or more" in refused(capsys, "pc_darts_cifar", "--runs", "0")
    assert "there are cifar" in refused(capsys, "pc_darts_cifar", "--recipe", "cifar10")
    assert "--size 224" in refused(capsys, "pc_darts_imagenet", "--recipe", "imagenet", "--out", str(out))
    assert "is none: give the path of its .json" in refused(capsys, "ftso_cifar", "--record", *COMMAND, "--out", str(out))
    assert "choose 1 to 1500" in refused(capsys, "ftso_cifar", *COMMAND, "--batch-size", "2000", "--out", str(out))
    assert not out.exists() or not any(out.iterdir())  # so that the mended command can be given
    assert "config.json (No such file or directory): give the folder of a training" in refused(capsys, "--resume", str(tmp_path))
    assert "leave --no-test out" in refused(capsys, "cell.json", "--record", "--no-test")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    assert "exists already" in refused(capsys, "ftso_cifar", "--out", str(tmp_path / "used"))


def test_data_without_a_test_part_need_no_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = as_tree(tmp_path / "pets", two_classes(count=4))
    flags = ["ftso_cifar", *COMMAND[4:], "--data", str(data), "--batch-size", "4", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert "has no test part, so there would be no accuracy" in refused(capsys, *flags) and "--no-test" in refused(capsys, *flags)
    assert main(["train", *flags, "--no-test"]) == 0
    assert "not tested" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "result.json").read_text())["test"] is None


def test_a_training_notes_that_weights_to_begin_with_are_for_other_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--size", "8", "--cells", "3", "--channels", "4", "--cutout", "0", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
    files = {**two_classes("train/"), **two_classes("val/")}
    for name, other in (("a", "dog"), ("b", "cow")):
        as_tree(tmp_path / name, {path.replace("dog", other): content for path, content in files.items()})
        begin = ["--weights", str(tmp_path / "run-a" / "model")] if name == "b" else []
        out = ["--out", str(tmp_path / f"run-{name}")]
        assert main(["train", "pc_darts_cifar", "--data", str(tmp_path / name), *flags, *begin, *out]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "other classes" in line]
    words = "holds weights for other classes: 'dog' there, 'cow' here; the classifier is trained on from there"
    assert notes == [f"note: {tmp_path / 'run-a' / 'model'} {words}"]
    assert json.loads((tmp_path / "run-b" / "config.json").read_text())["class_names"] == ["cat", "cow"]


def test_images_are_in_memory_or_on_disk(tmp_path: Path) -> None:
    data = as_tree(tmp_path / "pets", {**two_classes("train/", count=4), **two_classes("test/", count=2)})
    flags = ["ftso_cifar", *COMMAND[4:], "--data", str(data), "--batch-size", "4", "--epochs", "2"]
    assert main(["train", *flags, "--out", str(tmp_path / "a")]) == 0
    assert main(["train", *flags, "--out", str(tmp_path / "b"), "--in-memory", "False", "--workers", "0"]) == 0
    assert len(lines(tmp_path / "a")) == len(lines(tmp_path / "b")) == 2
    results = [json.loads((tmp_path / name / "result.json").read_text())["test"]["images"] for name in "ab"]
    assert results == [4, 4]


@pytest.mark.parametrize(
    ("source", "form", "recipe", "model"),
    [
        ("ftso_imagenet", "name", "cifar", "nas_cifar"),  # FTSO Table 3: Full ImageNet Topo, 2.35 and 2.26 % on CIFAR-10
        ("ftso_imagenet", "file", "cifar", "nas_cifar"),
        ("ftso_imagenet", "name", "nats", "nas_cifar"),
        ("ftso_cifar_224", "name", "cifar", "ftso_cifar"),
        ("ftso_cifar", "name", "imagenet", "ftso_cifar_224"),
        ("ftso_cifar", "file", "imagenet", "ftso_cifar_224"),
        ("ftso_cifar", "text", "imagenet", "nas_224"),
    ],
)
def test_any_cells_train_behind_the_stem_of_the_recipe(
    source: str, form: str, recipe: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells, stem, file = find(source), "imagenet" if recipe == "imagenet" else "cifar", tmp_path / "cell.json"
    cells.save(file)
    given = {"name": source, "file": str(file), "text": cells.to_darts()}[form]
    size = ["--data", "digits", "--size", "64" if stem == "imagenet" else "8", "--cells", "3", "--channels", "4", "--device", "cpu"]
    budget = ["--recipe", recipe, "--cutout", "0", "--epochs", "1", "--batch-size", "1500", "--out", str(tmp_path / "run")]
    assert main(["train", given, *size, *budget, "--no-test"]) == 0
    written = {"imagenet": "ImageNet", "cifar": "CIFAR"}[stem]
    assert f"the cells of {given} behind {written}'s stem (3 cells, 4 channels) on digits" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"] == model and Genotype.from_dict(config["genotype"]).cells == cells.cells
    shapes = [
        {key: value.shape for key, value in net.state_dict().items()}
        for net in (
            timm.create_model(f"local-dir:{tmp_path / 'run' / 'model'}", pretrained=True),
            CellNetwork(cells, 10, stem=stem, cells=3, channels=4),
        )
    ]
    assert shapes[0] == shapes[1]


def test_a_finished_run_is_read_and_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*COMMAND, "--epochs", "1", "--batch-size", "512", "--tensorboard", "--out", str(tmp_path / "run")]
    assert main(["train", "ftso_cifar", *flags]) == 0
    assert any((tmp_path / "run" / "events").iterdir())
    first = (tmp_path / "run" / "result.json").read_bytes()
    assert main(["train", "ftso_cifar", "--resume", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "result.json").read_bytes() == first
    line = refused(capsys, "pc_darts_cifar", "--resume", str(tmp_path / "run"))
    assert "holds a training of ftso_cifar, not of pc_darts_cifar" in line


def test_flags_that_resuming_leaves_out_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    assert main(["train", "ftso_cifar", *COMMAND, "--epochs", "1", "--batch-size", "512", "--out", folder]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", folder, "--epochs", "3", "--lr", "0.5", "--data", "digits"]) == 0
    assert (
        "note: --resume goes on with the settings of its folder, so these don't count: --epochs 3 (there 1), --lr 0.5 (there 0.025)\n"
        in (capsys.readouterr().out)
    )
    assert main(["train", "--resume", folder]) == 0
    assert "don't count" not in capsys.readouterr().out


def test_the_folder_of_a_search_is_its_genotype(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("seed-0", "seed-1"):
        (tmp_path / "found" / name).mkdir(parents=True)
        replace(resolve("pc_darts_cifar"), name=name).save(tmp_path / "found" / name / "genotype.json")
    assert "give one of its folders: seed-0, seed-1" in refused(capsys, str(tmp_path / "found"), *COMMAND)
    flags = [*COMMAND, "--epochs", "1", "--batch-size", "512", "--out", str(tmp_path / "run")]
    assert main(["train", str(tmp_path / "found" / "seed-1"), *flags]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["source"] == str(tmp_path / "found" / "seed-1" / "genotype.json") and config["genotype"]["name"] == "seed-1"
    again = [*flags[:-1], str(tmp_path / "again")]
    assert main(["train", str(tmp_path / "run"), *again]) == 0  # a training's folder is its cells, too
    assert json.loads((tmp_path / "again" / "config.json").read_text())["genotype"] == config["genotype"]
    (tmp_path / "empty").mkdir()
    assert "give the folder of a finished search or training" in refused(capsys, str(tmp_path / "empty"), *COMMAND)


def test_two_processes_leave_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nasarch", "train"]
    flags = ["ftso_cifar", *COMMAND, "--epochs", "2", "--batch-size", "128", "--ema", "0.9", "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, *flags], capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["processes"] == 2 and result["test"]["images"] == 297 and "2 processes" in done.stdout
    assert [line["epoch"] for line in lines(folder)] == [1, 2] and lines(folder)[1]["loss"] < lines(folder)[0]["loss"]
    again = folder / "model"
    assert main(["train", "ftso_cifar", *COMMAND, "--epochs", "1", "--weights", str(again), "--out", str(tmp_path / "on")]) == 0


def test_the_help_of_the_command_line_names_training(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert main([]) == 0 and re.search(r"^  train +Train and test a model", capsys.readouterr().out, re.MULTILINE)
    assert time.monotonic() - started < 30
