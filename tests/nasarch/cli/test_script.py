"""`nasarch run SCRIPT`: the script runs as by `python SCRIPT`, with the models in timm's registry."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
from PIL import Image
from timm.models import save_for_hf

import nasarch
from tests.helpers.command_line import Outcome, Run, python

SCRIPTS = os.environ.get("NASARCH_TIMM_SCRIPTS", "")
SHOWS = """
import json, sys, timm
import beside
print(json.dumps({"name": __name__, "file": __file__, "argv": sys.argv, "model": timm.is_model("pc_darts_cifar"), "value": beside.VALUE}))
"""


@pytest.fixture(autouse=True)
def own_interpreter_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_script_is_main_with_its_arguments_its_folder_and_the_models(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "beside.py").write_text("VALUE = 3")
    (tmp_path / "folder" / "mine.py").write_text(SHOWS + "sys.exit(5)")
    done = python("-m", "nasarch", "run", "folder/mine.py", "--help", "a b", "--", "-x", cwd=tmp_path)
    found = {"name": "__main__", "file": "folder/mine.py", "model": True, "value": 3}
    assert json.loads(done.stdout) == found | {"argv": ["folder/mine.py", "--help", "a b", "--", "-x"]}
    assert (done.returncode, done.stderr) == (5, "")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("print(1)", Outcome(0, "1\n", "")),
        ("import sys; sys.exit()", Outcome(0, "", "")),
        ("import sys; sys.exit('no data')", Outcome(1, "", "no data\n")),
        ("import sys; sys.exit(77)", Outcome(77, "", "")),
    ],
)
def test_the_exit_status_is_the_script_s(text: str, outcome: Outcome, run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert run("run", "mine.py") == outcome


def test_an_exception_of_the_script_is_printed_as_python_prints_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f():\n    raise ValueError('two\\nlines')\nf()\n")
    status, out, err = run("run", "mine.py")
    plain = python("mine.py", cwd=tmp_path)
    assert (status, out) == (1, "") and err == plain.stderr.replace(str(tmp_path / "mine.py"), "mine.py")
    assert err.startswith("Traceback") and "runpy" not in err and "nasarch" not in err
    (tmp_path / "mine.py").write_text("def f(:")
    assert run("run", "mine.py").status == 1


@pytest.mark.parametrize("words", [("none.py",), ("none.py", "--help"), (".",)])
def test_a_missing_script_is_named(words: tuple[str, ...], run: Run) -> None:
    status, out, err = run("run", *words)
    assert (status, out) == (2, "") and err.startswith(f"nasarch: error: no file {words[0]!r}; give the path of a Python script")


# --- timm's scripts ----------------------------------------------------------------------------------------------------------


def by_timm(name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess:
    """Run a script of timm's repository; its folder is in the environment variable NASARCH_TIMM_SCRIPTS."""
    script = Path(SCRIPTS, name).absolute()
    if not SCRIPTS or not script.is_file():
        pytest.skip(f"NASARCH_TIMM_SCRIPTS={SCRIPTS}: name a folder with timm's {name}, such as a copy of its repository")
    done = python("-W", "ignore", "-m", "nasarch", "run", str(script), *map(str, arguments), cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def images(folder: Path) -> Path:
    """Ten classes of two images of noise, as a tar file of class folders."""
    noise = np.random.default_rng(0)
    for index in range(20):
        path = folder / "images" / f"class{index % 10}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (40, 33, 3), np.uint8)).save(path)
    with tarfile.open(folder / "images.tar", "w") as tar:
        tar.add(folder / "images", "images")
    return folder / "images.tar"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pc_darts_cifar_shallow", "local-dir:saved"])
def test_timm_s_validate_tests_a_model(model: str, tmp_path: Path) -> None:
    save_for_hf(nasarch.create_model("pc_darts_cifar_shallow", pretrained=True), tmp_path / "saved", safe_serialization=True)
    arguments = ("--data-dir", images(tmp_path), "--model", model, "--pretrained", "--device", "cpu", "-b", 8, "-j", 1)
    done = by_timm("validate.py", *arguments, folder=tmp_path)
    found = json.loads(done.stdout.split("--result\n")[1])
    assert (found["model"], found["img_size"], found["param_count"]) == (model, 32, 0.22) and 0 <= found["top1"] <= 60


@pytest.mark.slow
def test_timm_s_inference_writes_the_classes(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    arguments = ("--data-dir", images(tmp_path), "--model", "pc_darts_cifar_shallow", "--pretrained", "--device", "cpu", "-b", 8)
    by_timm("inference.py", *arguments, "--topk", 3, "--results-dir", "found", "--results-format", "json", folder=tmp_path)
    assert {f"{index}.png" for index in range(20)} == set(json.loads(next((tmp_path / "found").glob("*.json")).read_text()))


@pytest.mark.slow
def test_timm_s_benchmark_measures_a_model(tmp_path: Path) -> None:
    arguments = ("--model", "pc_darts_cifar_shallow", "--bench", "infer", "--device", "cpu", "-b", 4, "--num-bench-iter", 2)
    done = by_timm("benchmark.py", *arguments, "--num-warm-iter", 1, "--precision", "float32", folder=tmp_path)
    assert "pc_darts_cifar_shallow" in done.stdout and "infer_samples_per_sec" in done.stdout


@pytest.mark.slow
def test_timm_s_export_writes_a_graph(tmp_path: Path) -> None:
    arguments = ("model.onnx", "--model", "pc_darts_cifar_shallow", "--num-classes", 10, "--img-size", 32, "--check-forward")
    by_timm("onnx_export.py", *arguments, folder=tmp_path)
    graph = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert timm.is_model("pc_darts_cifar_shallow") and len(graph.graph.output) == 1
