"""Files from elsewhere, damaged at random by a seed: every reader gives a value or raises ValueError, in one printable line.

The fast part takes a few inputs of each kind; `pytest -m slow tests/test_fuzz.py` takes 10,000.
"""

from __future__ import annotations

import copy
import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cli.main import main
from nasarch.data import imagenet16
from nasarch.data.decoding import open_image, shape_of
from nasarch.data.folders import find_parts
from nasarch.data.image_files import File
from nasarch.export.detection.coco import load_scenes
from nasarch.export.onnx.untrusted import read_onnx
from nasarch.models.source import find_source
from nasarch.models.weight_files import genotype_in, read_weights
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.options import OutputOptions
from nasarch.search.recipes.methods import METHODS
from nasarch.search.reproduce.options import ReproduceOptions
from nasarch.search.reproduce.run import resumed as reproduced
from nasarch.search.runs import options as search_options
from nasarch.search.runs.nats_table import check_table, lookup
from nasarch.search.runs.reader import find_runs
from nasarch.search.training import plan as training
from tests.helpers.datasets import as_tar, as_tree, encoded, two_classes
from tests.helpers.small_detector import rectangles

Kind = Callable[[random.Random, Path, Path], None]  # draws an input, writes it into a folder, and reads it
ODD: list[Any] = [
    *(None, True, -1, 0, 2**31, 10**30, 1e308, 0.5, float("nan"), "", "x" * 300, "nan", "\ud800", "\x1b[2J"),
    *([], {}, [[]], [None] * 3, {"a": 1}),
]
FAST, SLOW = 12, 10_000
TINY = "--size 8 --channels 4 --batch-size 4 --epochs 1 --device cpu".split()


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Bytes changed, cut out, repeated or inserted."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        at, length = draw.randrange(len(data) + 1), draw.choice((1, 1, 4, 64, 1000))
        kind = draw.randrange(5)
        if kind == 0 and at < len(data):
            data[at] = draw.choice((0, 255, 34, 123, draw.randrange(256)))
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3:
            data[at:at] = draw.randbytes(length)
        else:
            data[at:] = data[at:][: draw.randrange(len(data) + 1)]
    return bytes(data)


def changed(draw: random.Random, value: Any) -> Any:
    """A JSON value with one of its values replaced, removed, or repeated, somewhere in it."""
    value = copy.deepcopy(value)
    around, key = [value], 0
    here: Any = around
    while isinstance(here[key], (dict, list)) and here[key] and draw.random() < 0.8:
        here, key = here[key], draw.choice([*here[key]] if isinstance(here[key], dict) else range(len(here[key])))
    kind = draw.randrange(4)
    if kind == 0 and isinstance(here, dict):
        del here[key]
    elif kind == 1 and isinstance(here, list):
        here += here[:1] * draw.choice((1, 50))
    else:
        here[key] = copy.deepcopy(draw.choice(ODD))
    return around[0]


def damaged_json(draw: random.Random, path: Path) -> bytes:
    """A JSON file, or one of JSON lines, with a value or a byte changed."""
    content = path.read_bytes()
    if draw.random() < 0.25:
        return damaged(draw, content)
    if path.suffix == ".jsonl":
        lines = changed(draw, [json.loads(line) for line in content.splitlines()])
        return "".join(json.dumps(line) + "\n" for line in (lines if isinstance(lines, list) else [lines])).encode()
    return json.dumps(changed(draw, json.loads(content))).encode()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a finished search and of a finished training."""
    root = tmp_path_factory.mktemp("fuzzed")
    files = {**two_classes("d/train/", count=4), **two_classes("d/val/", count=2)}
    data = str(as_tree(root, files) / "d")
    search = ["search", "pc-darts", "--data", data, *TINY, "--nodes", "2", "--layers", "3", "--warmup", "0"]
    assert main([*search, "--out", str(root / "search")]) == 0
    train = ["train", str(root / "search" / "genotype.json"), "--data", data, *TINY, "--cells", "3", "--cutout", "0"]
    assert main([*train, "--out", str(root / "training")]) == 0
    return root


def genotypes(draw: random.Random, folder: Path, runs: Path) -> None:
    genotype = resolve(draw.choice(("pc_darts_cifar", "nasnet_a_cifar", "fair_darts_a_cifar")))
    form = draw.randrange(3)
    if form == 0:
        resolve(damaged(draw, genotype.to_darts().encode()).decode("latin-1"))
    elif form == 1:
        resolve(damaged(draw, resolve("ftso_nats_cifar").to_nats().encode()).decode("latin-1"))
    else:
        genotype.save(folder / "g.json")
        (folder / "g.json").write_bytes(damaged_json(draw, folder / "g.json"))
        found = Genotype.load(folder / "g.json")
        assert Genotype.from_dict(found.to_dict()) == found


def run_folders(draw: random.Random, folder: Path, runs: Path) -> None:
    """config.json, metrics, weights and result of a search or training; what resumes, reports and exports it reads them."""
    kind = draw.choice(("search", "training"))
    copied = Path(shutil.copytree(runs / kind, folder / "run", ignore=shutil.ignore_patterns("*.png", "*.safetensors")))
    path = draw.choice(sorted(path for path in copied.rglob("*.json*") if path.is_file()))
    path.write_bytes(damaged_json(draw, path))
    if kind == "search":
        readers: list[Callable[[], object]] = [
            lambda: find_runs([copied]),
            lambda: find_source(copied),
            lambda: search_options.resumed("PC-DARTS", METHODS["pc-darts"].settings, copied),
        ]
    else:
        readers = [lambda: find_source(copied), lambda: training.resumed(copied)]
    for read in readers:
        only_value_errors(read)


def checkpoints(draw: random.Random, folder: Path, runs: Path) -> None:
    path = folder / "checkpoint.pt"
    Checkpoint(path, {"seed": 1}).save("stage", {"epochs": 1, "net": {"w": torch.zeros(3)}})
    if draw.random() < 0.5:
        path.write_bytes(damaged(draw, path.read_bytes()))
    else:
        content = {"format": "nasarch.checkpoint/2", "identity": {"seed": 1}, "stages": {"stage": {"epochs": 1}}}
        torch.save(changed(draw, content), path)
    assert Checkpoint(path, {"seed": 1}).epochs >= 0


def annotations(draw: random.Random, folder: Path, runs: Path) -> None:
    rectangles(folder, "train", 2, seed=0)
    (folder / "train.json").write_bytes(damaged_json(draw, folder / "train.json"))
    load_scenes(folder, "train")


def weights(draw: random.Random, folder: Path, runs: Path) -> None:
    path = folder / "w.safetensors"
    content = (runs / "training" / "model" / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    head = draw.random() < 0.7
    path.write_bytes(damaged(draw, content[: 8 + length]) + content[8 + length :] if head else damaged(draw, content))
    for read in (lambda: read_weights(path), lambda: genotype_in(path)):
        only_value_errors(read)


def onnx_files(draw: random.Random, folder: Path, runs: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"]
    constant = helper.make_tensor("c", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [constant]))
    helper.set_model_props(model, {"model": "pc_darts_cifar", "num_classes": "10"})
    (folder / "m.onnx").write_bytes(damaged(draw, model.SerializeToString()))
    read_onnx(folder / "m.onnx")


def tars(draw: random.Random, folder: Path, runs: Path) -> None:
    path = as_tar(folder / "d.tar", {**two_classes("train/", count=1), **two_classes("Test/", count=1), "train/.x/0.png": b""})
    content = bytearray(path.read_bytes())
    for _ in range(draw.randrange(1, 4)):
        start = draw.randrange(len(content) // 512) * 512
        header = damaged(draw, bytes(content[start : start + 512]))[:512].ljust(512, b"\0")
        if draw.random() < 0.7:  # a checksum that is right, so that the fields are read
            blank = header[:148] + b" " * 8 + header[156:]
            header = header[:148] + b"%06o\0 " % sum(blank) + header[156:]
        content[start : start + 512] = header
    path.write_bytes(bytes(content))
    find_parts(path)


def images(draw: random.Random, folder: Path, runs: Path) -> None:
    format = draw.choice(("png", "jpeg", "bmp", "ppm", "tiff", "webp"))
    (folder / "x").write_bytes(damaged(draw, encoded(draw.randrange(9), format=format)))
    file = File(str(folder), "x")
    for read in (lambda: shape_of(file), lambda: open_image(file)):
        only_value_errors(read)


def reproductions(draw: random.Random, folder: Path, runs: Path) -> None:
    """The configuration of a row that is resumed."""
    options = {"scale": 0.5, "searches": 2, "dataset": {"data": "digits"}, "changes": ["search.layers=3"]}
    (folder / "config.json").write_text(json.dumps({"row": "pc-darts/table1/cifar10", "options": options}))
    (folder / "config.json").write_bytes(damaged_json(draw, folder / "config.json"))
    reproduced(ReproduceOptions(output=OutputOptions(resume=folder)))


def accuracy_tables(draw: random.Random, folder: Path, runs: Path) -> None:
    cells = resolve("ftso_nats_cifar")
    lines = ["index,arch,c10,c100,in16", "0,|none~0|,1,2,3", f"1,{cells.to_nats()},93.98,70.22,45.57", ""]
    (folder / "t.csv").write_bytes(damaged(draw, draw.choice(("\n", "\r\n")).join(lines).encode(draw.choice(("utf-8", "utf-8-sig")))))
    for read in (lambda: check_table(folder / "t.csv"), lambda: lookup(cells, folder / "t.csv")):
        only_value_errors(read)


def pickled_images(draw: random.Random, folder: Path, runs: Path) -> None:
    for number, name in enumerate(imagenet16.FILES):
        batch = {"data": np.full((2, 768), number, np.uint8), "labels": [1, 120]}
        content = pickle.dumps(changed(draw, batch) if draw.random() < 0.1 else batch, protocol=2 + number % 4)
        (folder / name).write_bytes(damaged(draw, content) if draw.random() < 0.3 else content)
    imagenet16.read_parts(folder)


def only_value_errors(read: Callable[[], object]) -> None:
    """Run `read`; a ValueError is one line, which a command prints."""
    try:
        read()
    except ValueError as error:
        assert str(error) and len(str(error)) < 5000


KINDS: list[Kind] = [
    *(genotypes, run_folders, checkpoints, annotations, weights, onnx_files, tars, images),
    *(reproductions, accuracy_tables, pickled_images),
]


def fuzz(kind: Kind, seeds: range, folder: Path, runs: Path) -> None:
    for seed in seeds:
        inside = folder / str(seed)
        inside.mkdir()
        try:
            only_value_errors(lambda inside=inside, seed=seed: kind(random.Random(seed), inside, runs))  # type: ignore[misc]
        except Exception as error:
            raise AssertionError(f"{kind.__name__}, seed {seed}: {type(error).__name__}: {error}") from error
        shutil.rmtree(inside)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: Kind, runs: Path, tmp_path: Path) -> None:
    fuzz(kind, range(FAST), tmp_path, runs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_damaged_files_are_read_or_refused(kind: Kind, runs: Path, tmp_path: Path) -> None:
    fuzz(kind, range(FAST, FAST + SLOW // len(KINDS)), tmp_path, runs)
