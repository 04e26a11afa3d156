"""`nasarch search`: the run folder, the words, and what a user can get wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from nasarch.cells.genotype import Genotype
from nasarch.cli.main import main
from nasarch.search.report.report import write_report

SMALL = ["--layers", "3", "--channels", "4", "--batch-size", "64", "--size", "8", "--iterations", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "ftso"
    assert main(["search", "ftso", "--data", "digits", "--out", str(place), "--device", "cpu", *SMALL]) == 0
    return place


def test_a_run_leaves_all_that_is_needed_to_know_what_it_was(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == [
        "cell.png",
        "config.json",
        "edges.json",
        "genotype.json",
        "genotypes",
        "metrics.jsonl",
        "settings.toml",
        "weights.json",
        "weights.jsonl",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert (config["method"], config["seed"], config["settings"]["layers"]) == ("FTSO", 0, 3)
    assert len(config["data"]["sha256"]) == 64
    (line,) = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    assert {"loss", "accuracy", "images_per_second", "learning_rate", "seconds"} <= line.keys()


def test_what_was_found_says_where_it_comes_from(folder: Path) -> None:
    found = Genotype.load(folder / "genotype.json")
    assert found == Genotype.load(folder / "genotypes" / "epoch-1.json")
    assert found.name == "ftso_digits"
    provenance = found.to_dict()["provenance"]
    assert provenance["kind"] == "found by nasarch" and provenance["searched_on"] == "digits"
    assert {"command", "seed", "data", "settings", "versions", "device", "seconds"} <= provenance["source"].keys()


def test_what_was_found_is_a_model(folder: Path) -> None:
    model = timm.create_model("nas_cifar", genotype=str(folder / "genotype.json"), cells=3, channels=4, num_classes=10)
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_several_runs_count_how_often_each_edge_was_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["search", "ftso", "--runs", "2", "--seed", "3", "--out", str(tmp_path / "two"), "--device", "cpu", *SMALL]
    assert main(arguments) == 0
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [
        "config.json",
        "means.json",
        "seed-3",
        "seed-4",
        "settings.toml",
        "stability.json",
    ]
    rows = json.loads((tmp_path / "two" / "stability.json").read_text())
    assert len(rows) == 8 and all(sum(row["kept"].values()) == 4 and row["runs"] == 2 for row in rows)
    printed = capsys.readouterr().out
    assert "how often each edge was kept in 2 runs" in printed and "nasarch export onnx" in printed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--operation", "conv"], ["'conv'", "sep_conv_3x3"]),
        (["--topology-operation", "skip"], ["'skip'", "skip_connect"]),
        (["--data", "nowhere"], ["nowhere", "digits"]),
        (["--device", "tpu9"], ["tpu9", "cpu"]),
        (["--batch-size", "4096"], ["4096", "750"]),
        (["--runs", "0"], ["--runs 0"]),
        (["--nodes", "0"], ["nodes=0", "1 to 12"]),
        (["--partial", "0"], ["partial=0", "1 or more"]),
        (["--partial", "3"], ["partial=3 does not divide"]),
        (["--clip", "-5"], ["clip=-5.0", "above 0"]),
        (["--topology-operation", "none"], ["topology_operation", "skip_connect"]),
        (["--iterations", "1000"], ["iterations=1000", "epochs=1 have"]),
        (["--workers", "-1"], ["--workers -1", "0"]),
        (["--hessian-every", "0"], ["--hessian-every 0"]),
        (["--name", ""], ["--name ''"]),
        (["--lr", "nan"], ["lr=nan"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(flags: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["search", "ftso", "--device", "cpu", "--out", str(out), *SMALL, *flags]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and all(word in lines[0] for word in words)
    assert not out.exists(), "the corrected command can have the folder"


CONV = "nor_conv_3x3"
ALL_CONV = f"|{CONV}~0|+|{CONV}~0|{CONV}~1|+|{CONV}~0|{CONV}~1|{CONV}~2|"
NATS = ["search", "ftso", "--space", "nats", "--data", "digits", "--size", "8", "--operation", CONV, "--device", "cpu"]


def test_defaults_are_reduced_to_the_images_of_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["--data", "digits", "--layers", "3", "--channels", "4", "--size", "8", "--device", "cpu"]
    edarts = ["search", "edarts", *tiny, "--epochs", "1", "--order", "first"]
    assert main([*edarts, "--out", str(tmp_path / "edarts")]) == 0
    assert "--images 750 instead of 2500: data 'digits' have 1,500 training images" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "edarts" / "config.json").read_text())["settings"]["images"] == 750
    assert main([*edarts, "--images=2500", "--out", str(tmp_path / "typed")]) == 2
    assert "images=2500 for each side: the data have 1500 training images" in capsys.readouterr().err

    imagenet = ["search", "pc-darts", "--preset", "imagenet", *tiny, "--epochs", "2", "--warmup", "1", "--rate-warmup", "1"]
    assert main([*imagenet, "--out", str(tmp_path / "imagenet")]) == 0
    assert "--batch-size 40 instead of 1024" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "imagenet" / "config.json").read_text())["settings"]["batch_size"] == 40
    assert main([*imagenet, "--batch_size", "1024", "--out", str(tmp_path / "typed")]) == 2
    assert "batch size 1024: data 'digits' has 150 images here" in capsys.readouterr().err


def test_a_cell_of_nats_bench_without_a_step_is_a_run_with_its_row_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text(f"arch,c10,c100,in16\n{ALL_CONV},93.76,71.11,41.44\n")
    assert main([*NATS, "--out", str(tmp_path / "run"), "--nats-table", str(tmp_path / "table.csv"), "--operator", "replace"]) == 0
    printed = capsys.readouterr().out
    assert f"{ALL_CONV} in the table: 93.76 % on CIFAR-10" in printed and "create_model('nas_bench_201'" in printed
    found = Genotype.load(tmp_path / "run" / "genotype.json")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["preset"]["name"] == config["job"]["preset"] == "nats"
    assert found.to_nats() == ALL_CONV and not (tmp_path / "run" / "metrics.jsonl").exists()
    model = timm.create_model("nas_bench_201", genotype=str(tmp_path / "run" / "genotype.json"), num_classes=10)
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert "finished, 0 epochs" in write_report([tmp_path / "run"], tmp_path / "report").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--nats-table", "nowhere.csv"], "can't read --nats-table nowhere.csv: No such file"),
        (["--nats-table", "nowhere.csv", "--space", "darts"], "--nats-table knows cells of NATS-Bench alone: add --space nats"),
    ],
)
def test_a_table_that_can_not_be_used_is_refused_before_the_search(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*NATS, "--out", str(tmp_path / "run"), *flags]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_tenth_of_the_epochs_is_asked_for_by_scale(tmp_path: Path) -> None:
    flags = ["--operator", "gradient", "--operator-epochs", "10", "--scale", "0.1", "--nodes", "2"]
    assert main(["search", "ftso", "--out", str(tmp_path / "run"), "--device", "cpu", *SMALL, *flags]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["settings"]["operator_epochs"], config["settings"]["epochs"], config["job"]["scale"]) == (1, 1, 0.1)


def test_a_folder_in_use_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    assert main(["search", "ftso", "--out", str(folder), "--device", "cpu"]) == 2
    assert "--out" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_a_broken_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("a", "b"):
        (tmp_path / "train" / label).mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(tmp_path / "train" / label / "1.png")
    (tmp_path / "train" / "b" / "2.png").write_bytes(b"no image")
    assert main(["search", "ftso", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "2.png" in capsys.readouterr().err
