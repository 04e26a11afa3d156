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
import torch
from PIL import Image
from timm.models import save_for_hf

import nasarch
from tests.helpers.command_line import Outcome, Run, python
from tests.helpers.timm_scripts import by_timm, digits, timm_script

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHOWS = """
import json, sys, timm
import beside
print(json.dumps({"name": __name__, "file": __file__, "argv": sys.argv, "model": timm.is_model("pc_darts_cifar"), "value": beside.VALUE}))
"""


@pytest.fixture(autouse=True)
def own_interpreter_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def test_a_script_is_main_with_its_arguments_its_folder_and_the_models(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "beside.py").write_text("VALUE = 3")
    (tmp_path / "folder" / "mine.py").write_text(SHOWS + "sys.exit(5)")
    done = python("-m", "nasarch", "run", "folder/mine.py", "--help", "a b", "--", "-x", cwd=tmp_path)
    found = {"name": "__main__", "file": str(tmp_path / "folder" / "mine.py"), "model": True, "value": 3}
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
def test_the_exit_status_is_that_of_the_script(text: str, outcome: Outcome, run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert run("run", "mine.py") == outcome


def test_an_exception_of_the_script_is_printed_as_python_prints_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f():\n    raise ValueError('two\\nlines')\nf()\n")
    status, out, err = run("run", "mine.py")
    assert (status, out, err) == (1, "", python("mine.py", cwd=tmp_path).stderr)
    assert err.startswith("Traceback") and "runpy" not in err and "nasarch" not in err


@pytest.mark.parametrize("text", [b"def f(:", b"\x89PNG\r\n\0\0", b"caf\xe9 = 1\n"])
def test_a_file_that_is_not_python_is_a_syntax_error_that_names_it(text: bytes, run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(text)
    status, out, err = run("run", "mine.py")
    assert (status, out) == (1, "") and "SyntaxError: " in err and "mine.py" in err and "Traceback" not in err


def test_functions_that_run_at_exit_find_the_script_in_main(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import atexit, sys\nVALUE = 3\natexit.register(lambda: print(sys.modules['__main__'].VALUE))")
    assert python("-m", "nasarch", "run", "mine.py", cwd=tmp_path).stdout == "3\n"


def test_the_script_is_compiled_without_the_flags_of_this_package(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(x: int): pass\nprint(f.__annotations__['x'] is int)")
    assert run("run", "mine.py") == Outcome(0, "True\n", "")


def test_the_script_finds_its_file_after_a_change_of_the_working_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os, pathlib\nos.chdir(os.sep)\nprint(len(pathlib.Path(__file__).read_bytes()))")
    assert run("run", "mine.py") == Outcome(0, f"{(tmp_path / 'mine.py').stat().st_size}\n", "")


@pytest.mark.skipif(os.name == "nt", reason="no pipes of a shell")
def test_a_script_whose_output_is_not_read_ends_as_under_python(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("for i in range(100_000):\n    print(i)\n")
    ended = []
    for words in (["mine.py"], ["-m", "nasarch", "run", "mine.py"]):
        with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as done:
            assert done.stdout and done.stderr and done.stdout.readline() == "0\n"
            done.stdout.close()
            ended.append((done.stderr.read(), done.wait(300)))
    assert ended[0] == ended[1] and "BrokenPipeError" in ended[0][0]


# --- modules -----------------------------------------------------------------------------------------------------------------


def test_a_module_runs_as_by_python_m(run: Run, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "beside.py").write_text("VALUE = 3")
    (tmp_path / "package" / "mine.py").write_text(SHOWS.replace("import beside", "from . import beside") + "sys.exit(5)")
    status, out, err = run("run", "-m", "package.mine", "-m", "--help")
    file = str(tmp_path / "package" / "mine.py")
    found = {"name": "__main__", "file": file, "model": True, "value": 3, "argv": [file, "-m", "--help"]}
    assert (status, json.loads(out), err) == (5, found, "")


def test_an_exception_of_a_module_is_printed_without_what_ran_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("import none_of_that_name")
    status, out, err = run("run", "-m", "failing")
    assert (status, out) == (1, "") and err.splitlines()[1:2] == [f'  File "{tmp_path / "failing.py"}", line 1, in <module>']
    assert err.splitlines()[-1] == "ModuleNotFoundError: No module named 'none_of_that_name'"


@pytest.mark.parametrize(("name", "reason"), [("none_of", "No module named none_of"), ("json", "is a package"), ("none.of", "'none.of'")])
def test_a_module_that_python_can_t_run_is_named(name: str, reason: str, run: Run) -> None:
    status, out, err = run("run", "-m", name)
    assert (status, out) == (2, "") and err.startswith("nasarch: error: ") and reason in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [("none.py",), ("none.py", "--help"), ("none.py", "-m", "json"), (".",)])
def test_a_missing_script_is_named(words: tuple[str, ...], run: Run) -> None:
    status, out, err = run("run", *words)
    assert (status, out) == (2, "") and err.startswith(f"nasarch: error: no file {words[0]!r}; give the path of a Python script")


# --- timm's scripts ----------------------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("model", ["pc_darts_cifar_shallow", "local-dir:saved"])
def test_timm_s_inference_writes_the_classes(model: str, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    save_for_hf(nasarch.create_model("pc_darts_cifar_shallow", pretrained=True), tmp_path / "saved", safe_serialization=True)
    arguments = ("--data-dir", images(tmp_path), "--model", model, "--pretrained", "--device", "cpu", "-b", 8, "-j", 1)
    by_timm("inference.py", *arguments, "--topk", 3, "--results-dir", "found", "--results-format", "json", folder=tmp_path)
    found = json.loads(next((tmp_path / "found").glob("*.json")).read_text())
    assert found.keys() == {f"{index}.png" for index in range(20)}
    assert all(set(row["label"]) < set(CIFAR10) and sorted(row["prob"], reverse=True) == row["prob"] for row in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pc_darts_cifar_shallow", "local-dir:saved"])
def test_timm_s_train_trains_a_model_whose_checkpoints_validate_and_average(model: str, tmp_path: Path) -> None:
    save_for_hf(nasarch.create_model("pc_darts_cifar_shallow", pretrained=True), tmp_path / "saved", safe_serialization=True)
    data, checkpoints = digits(tmp_path, 100), tmp_path / "runs" / "a"
    batches = ("--data-dir", data, "--model", model, "--device", "cpu", "-b", 20, "-j", 0)
    training = (*batches, "--num-classes", 10, "--lr", 0.05, "--warmup-epochs", 0, "--no-aug", "--output", "runs", "--experiment", "a")
    by_timm("train.py", *training, "--pretrained", "--epochs", 1, folder=tmp_path)
    resumed = (timm_script("train.py"), *training, "--epochs", 2, "--resume", checkpoints / "last.pth.tar", "--device-modules", "nasarch")
    assert python(*map(str, resumed), cwd=tmp_path).returncode == 0
    rows = [row.split(",") for row in (checkpoints / "summary.csv").read_text().splitlines() if row[0].isdigit()]
    assert [row[0] for row in rows] == ["0", "1"]
    validated = by_timm("validate.py", *batches, "--checkpoint", checkpoints / "checkpoint-1.pth.tar", folder=tmp_path)
    found = json.loads(validated.stdout.split("--result\n")[1])
    assert found["top1"] == pytest.approx(float(rows[1][3]), abs=1e-3)
    by_timm("avg_checkpoints.py", "--input", checkpoints, "--filter", "checkpoint-*", "--no-sort", folder=tmp_path)
    averaged = torch.load(tmp_path / "averaged.pth")
    assert averaged.keys() == nasarch.create_model("pc_darts_cifar_shallow").state_dict().keys()


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
    done = by_timm(
        "onnx_validate.py", digits(tmp_path, 20), "--onnx-input", "model.onnx", "--img-size", 32, "-b", 1, "-j", 0, folder=tmp_path
    )
    assert " * Prec@1 " in done.stdout
