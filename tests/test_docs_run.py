"""The commands and the Python of the documentation run as they are written, page by page, on few small images and with small networks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from benchmarks.small_rows import write_images
from nasarch.cli.main import main
from tests.helpers import small_detector
from tests.helpers.doc_pages import FENCE, PAGES, ROOT, commands, name_of, of_nasarch, shell_commands, text_of

ELSEWHERE = {"README.md", "docs/searches_python.md"}  # run by tests/test_readme.py
SMALL_SEARCH = "--size 16 --batch-size 4 --channels 8 --scale 0.001 --workers 0 --device cpu".split()
LAYERS = {"dots": ["--operation.layers", "3", "--topology.layers", "3"], "edarts": ["--layers", "3", "--images", "20"]}
SMALL_TRAINING = "--epochs 1 --cells 3 --channels 8 --batch-size 8 --size 16 --cutout 0 --workers 0 --device cpu".split()
SMALL_RANKING = "--epochs 1 --cells 3 --channels 8 --batch-size 8 --size 16 --images 24 --val-images 16 --seeds 1 --workers 0".split()
SMALL_ROW = (
    "--searches 1 --trainings 1 --workers 0 --set search.layers=3 search.channels=4 search.batch-size=8 "
    "train.cells=3 train.channels=4 train.batch-size=8 train.cutout=0"
).split()
SMALL_DETECTOR = "--size 96 --cells 3 --channels 8 --extras 32 32 32 32 --batch-size 4 --epochs 1 --workers 0 --device cpu".split()
IMAGE_DATA = ("cifar10", "digits", "DATA")
DETECTION_DATA = ("DIR", "../shared/data/bccd")


def reason_not_to_run(words: list[str]) -> str | None:
    """Why a command of the pages is not run here; None for the others."""
    if words[0] in ("pip", "npm", "make") or words[:3] == ["python", "-m", "http.server"]:
        return "needs the network, or serves until it is stopped"
    of = of_nasarch(words) or []
    if of[:1] == ["demo"]:
        return "tests/nasarch/cli runs it"
    if of[:2] == ["export", "web"]:
        return "needs onnxruntime-web of npm; tests/export/web runs it"
    package = {"litert": "litert_torch", "coreml": "coremltools"}.get(of[1] if of[:1] == ["export"] else "")
    if package is not None and find_spec(package) is None:
        return f"needs {package}; tests/export/mobile runs it"
    return "needs COCO's test images" if any("image_info" in word for word in of) else None


def smaller(words: list[str], images: Path, boxes: Path) -> list[str]:
    """The words behind `nasarch`, with few small images and a small network in place of what they name."""
    words = [str(images) if word in IMAGE_DATA and words[i - 1] == "--data" else word for i, word in enumerate(words)]
    words = [str(boxes) if word in DETECTION_DATA and words[i - 1] in ("--data", "--images") else word for i, word in enumerate(words)]
    words = ["digits" if words[i - 1] == "--calibrate" else word for i, word in enumerate(words)]
    if words[0] == "search":
        return [*words, *SMALL_SEARCH, *LAYERS.get(words[1], ["--layers", "3"])]
    if words[:2] == ["detect", "train"]:
        return [*words, *SMALL_DETECTOR]
    if words[:2] == ["detect", "predict"]:
        picture = str(next((boxes / "images").iterdir()))
        return [picture if word in ("IMAGE", "BloodImage_00007.jpg") else word for word in words if word != "..."]
    if words[0] == "reproduce" and "--data" in words:
        return [*words, *SMALL_ROW]
    if words[0] == "measure":
        return [*words, "--check", "3", "--rounds", "5"]
    if "--max-latency-ms" in words:  # of this machine, on which anything else may run
        words[words.index("--max-latency-ms") + 1] = "100000"
        return words
    if "--int8" in words:
        return [*words, "--force"]  # so small a network, hardly trained, need not keep its classes
    return [*words, *{"train": SMALL_TRAINING, "select": [*SMALL_RANKING, "--data", str(images)]}.get(words[0], [])]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages take for granted: searches, trainings, detectors, images."""
    folder = tmp_path_factory.mktemp("world")
    images = write_images(folder / "images-16")
    shutil.copytree(images, folder / "flowers")
    boxes = small_detector.data(folder / "boxes")
    for name in ("first", "second"):
        out = f"{folder}/runs/{name}"
        assert main(["search", "ftso", "--data", str(images), "--out", out, *SMALL_SEARCH, "--layers", "3", "--seed", str(len(name))]) == 0
    trained = f"{folder}/runs/trained"
    assert main(["train", f"{folder}/runs/first", "--data", str(images), "--out", trained, *SMALL_TRAINING]) == 0
    assert main(["export", "hub", trained, "--out", f"{folder}/my_hub_folder"]) == 0
    assert main(["export", "onnx", trained, "-o", f"{folder}/onnx-files/", "--uint8-input"]) == 0
    shutil.copy(folder / "runs" / "first" / "genotype.json", folder / "my_cell.json")
    for name in ("model", "model_uint8in"):
        shutil.copy(folder / "onnx-files" / "onnx" / f"{name}.onnx", folder)
    assert main(small_detector.command(boxes, folder / "runs" / "cells", "--epochs", "1")) == 0
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / "cat.jpg")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in ELSEWHERE], ids=name_of)
def test_the_page_runs_in_its_order(page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    shutil.copytree(world, folder)
    monkeypatch.chdir(folder)
    images, boxes = folder / "images-16", folder / "boxes"
    names = {"image": torch.rand(3, 90, 120), "pixels": np.zeros((1, 90, 120, 3), np.uint8), "onnxruntime": onnxruntime}
    for language, code in FENCE.findall(text_of(page)):
        if language == "python" and (file := re.match(r"# (\w+\.py)\n", code)):
            Path(file[1]).write_text(code)
        elif language == "python":
            exec(compile(code, name_of(page), "exec"), {**names})
        elif language == "bash" and "() {" not in code:
            for words in shell_commands(code):
                if reason_not_to_run(words) is None:
                    run(words, images, boxes)


def run(words: list[str], images: Path, boxes: Path) -> None:
    """Run a command of a page, made smaller; what it writes may be there from the preparation, and is written anew."""
    of = of_nasarch(words)
    assert of is not None, words
    of = smaller(of, images, boxes)
    for flag in ("--out", "-o"):
        if flag in of and not of[of.index(flag) + 1].endswith("/"):
            out = Path(of[of.index(flag) + 1])
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
    if words[0] == "nasarch" and "--plugin" not in words:
        assert main(of) == 0, of
        return
    plugin = ["--plugin", words[words.index("--plugin") + 1]] if "--plugin" in words else []
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"] if words[0] == "torchrun" else []
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *launcher, "-m", "nasarch", *of, *plugin]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_most_commands_of_the_pages_are_run() -> None:
    found = [words for page in PAGES for words in commands(page)]
    skipped = [words for words in found if reason_not_to_run(words) is not None and of_nasarch(words) is not None]
    assert len(found) > 70 and len(skipped) < 10
