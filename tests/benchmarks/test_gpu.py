"""benchmarks/gpu.py: what a stage has found stays, however it ends; every stage runs to its end on a CPU; and its figures can be wrong."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tarfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.gpu_stages import graph, images, kernels, train
from benchmarks.gpu_stages.cases import CASES
from benchmarks.gpu_stages.context import Context, brief
from benchmarks.gpu_stages.driver import Report, Stage, run_stages
from benchmarks.gpu_stages.table import markdown
from nasarch.data.dataset import Dataset
from nasarch.data.load import load

ROOT = Path(__file__).parents[2]
FAKES = """
import os, signal, subprocess, sys, time

def finishes(context):
    context.note("first", {"value": 1.5})
    context.note("second", {"value": float("nan")})

def raises(context):
    context.note("kept", {"value": 2})
    raise RuntimeError("the context is lost")

def exits(context):
    context.note("kept", {"value": 3})
    os._exit(7)

def crashes(context):
    context.note("kept", {"value": 4})
    print("said before", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

def hangs(context):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    context.note("processes", [os.getpid(), other.pid])
    time.sleep(600)
"""
# starts a stage's process as gpu.py does, but for what real stages import
CHILD = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, sys.argv.pop(1)]
from benchmarks.gpu_stages import child
child.main(sys.argv[1], Path(sys.argv[2]))
"""
PARENT = f"""
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it otherwise
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from benchmarks.gpu_stages.context import Context, replace_text
from benchmarks.gpu_stages.driver import Stage, run_stages
folder = Path(sys.argv[1])
stages = {{name: Stage(f"fakes:{{name}}", 0, 600) for name in ("finishes", "hangs", "raises")}}
save = lambda report: replace_text(folder / "gpu.json", json.dumps(report))
run_stages(stages, Context(), budget=600, command=[sys.executable, "-c", sys.argv[2], str(folder)], save=save)
"""


def fakes(folder: Path) -> list[str]:
    """The command that starts a stage of FAKES."""
    (folder / "fakes.py").write_text(FAKES)
    return [sys.executable, "-c", CHILD, str(folder)]


def is_gone(process: int) -> bool:
    """Whether there is no such process any more, but for its exit status that nobody has asked for."""
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(true: Any) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about in a minute")


def test_a_stage_that_ends_badly_costs_itself_alone(tmp_path: Path) -> None:
    names, saved = ("raises", "hangs", "exits", "crashes", "missing", "finishes"), list[str]()
    stages = {name: Stage(f"fakes:{name}", 0, 5 if name == "hangs" else 600) for name in names}
    report = run_stages(stages, Context(), budget=600, command=fakes(tmp_path), save=lambda report: saved.append(json.dumps(report)))
    assert {name: row["status"] for name, row in report.items()} == {
        "raises": "error",
        "hangs": "killed",
        "exits": "died",
        "crashes": "died",
        "missing": "error",
        "finishes": "ok",
    }
    assert [report[name]["found"]["kept"]["value"] for name in ("raises", "exits", "crashes")] == [2, 3, 4]
    assert report["finishes"]["found"] == {"first": {"value": 1.5}, "second": {"value": "nan"}}
    assert report["raises"]["error"] == "RuntimeError: the context is lost" and "in raises" in report["raises"]["traceback"]
    assert report["missing"]["error"].startswith("AttributeError") and report["missing"]["found"] == {}
    assert (report["exits"]["ended"], report["crashes"]["ended"]) == ("exit status 7", "SIGSEGV")
    assert "said before" in report["crashes"]["log"] and "Segmentation fault" in report["crashes"]["log"]
    processes = report["hangs"]["found"]["processes"]
    wait_until(lambda: all(map(is_gone, processes)))
    assert json.loads(saved[-1]) == report
    whole = [name for name in names[:-1] if any(json.loads(text).get(name) == report[name] for text in saved[:-1])]
    assert whole == list(names[:-1])  # each was saved before the last one ended


def test_stages_for_which_too_little_time_is_left_are_skipped(tmp_path: Path) -> None:
    stages = {"hangs": Stage("fakes:hangs", 100), "raises": Stage("fakes:raises", 61, 600), "finishes": Stage("fakes:finishes", 40, 600)}
    report = run_stages(stages, Context(), budget=60, command=fakes(tmp_path), save=lambda report: None)
    assert [row["status"] for row in report.values()] == ["skipped", "skipped", "ok"]
    assert report["hangs"]["reason"] == "0 s left for it; it needs 100 s"  # the least of the others is kept for them
    assert report["raises"]["reason"].endswith("s left for it; it needs 61 s") and report["raises"]["found"] == {}
    assert 0 < report["finishes"]["limit"] <= 60


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_results_outlive_the_process_that_starts_the_stages(number: signal.Signals, tmp_path: Path) -> None:
    fakes(tmp_path)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), CHILD], stderr=subprocess.DEVNULL)

    def report() -> Report:
        return json.loads((tmp_path / "gpu.json").read_text()) if (tmp_path / "gpu.json").exists() else {}

    wait_until(lambda: "processes" in report().get("hangs", {}).get("found", {}))
    stage, other = report()["hangs"]["found"]["processes"]
    assert not is_gone(stage) and not is_gone(other)
    parent.send_signal(number)
    parent.wait(60)
    try:
        wait_until(lambda: is_gone(stage))
        left = report()
        assert left["finishes"]["status"] == "ok" and left["finishes"]["found"]["first"] == {"value": 1.5} and "raises" not in left
        assert left["hangs"]["found"]["processes"] == [stage, other]
        assert left["hangs"]["status"] == ("running" if number == signal.SIGKILL else "interrupted")
    finally:
        if not is_gone(other):
            os.kill(other, signal.SIGKILL)


def test_a_context_travels_and_results_name_no_folder_of_the_machine(tmp_path: Path) -> None:
    context = Context(device="cuda", data="cifar10", scratch=tmp_path, resume=tmp_path / "before", part=tmp_path / "part", deadline=5.5)
    assert Context.from_json(context.to_json()) == context and Context.from_json(Context().to_json()) == Context()
    here = f'File "{tmp_path}/nasarch/search/engine/loop.py", line 3; 1/2 of {tmp_path.parent}'
    assert brief(here).startswith('File "engine/loop.py", line 3; 1/2 of ') and str(tmp_path.parents[1]) not in brief(here)
    context.attempt("wrong", lambda: 1 / 0)
    context.note("numbers", {"a": [math.inf, 1.23456789], 2: None})
    found = json.loads(context.part.read_text())
    assert found["wrong"]["error"] == "ZeroDivisionError: division by zero" and "lambda" in found["wrong"]["traceback"]
    assert found["numbers"] == {"a": ["inf", 1.2346], "2": None}


def test_the_table_has_a_row_for_each_result() -> None:
    about = {"date": "2026-01-01", "card": "Card", "device": "cuda", "versions": {"torch": "2.11"}}
    found = {"a": {"ms": 1234.5, "genotype": {}}, "b": {"error": "wrong|", "traceback": "long"}, "c": {"ms": 2}, "d": 7}
    rows = {"status": "killed", "seconds": 3.5, "limit": 4.0}
    text = markdown(about, {"steps": {**rows, "found": found, "log": "one\ntwo"}, "train": {**rows, "found": {}, "reason": "no time"}})
    lines = text.splitlines()
    assert lines[0] == "# Card, 2026-01-01" and "device cuda; torch 2.11" in text
    assert "| steps | killed | 3.5 | 4 | 4 | 1 |  |" in lines and "| train | killed | 3.5 | 4 | 0 | 0 | no time |" in lines
    assert "| a | 1,234.5 |" in lines and "| c | 2 |" in lines and "| d | 7 |" in lines and "| b | wrong\\| |" in lines
    assert lines.index("| a | 1,234.5 |") + 1 == lines.index("| c | 2 |") and "long" not in text and "two" in lines


@cache
def digits() -> Dataset:
    return images.reduced(load("digits", size=images.SMALL_SIZE))


def training(folder: Path, **told: Any) -> Context:
    """The context of a training in `folder`."""
    (folder / "scratch").mkdir(parents=True)
    return Context(small=True, scratch=folder / "scratch", out=folder, part=folder / "part.json", **told)


def weights(file: Path) -> bytes:
    with tarfile.open(file) as archive:
        return archive.extractfile("model/model.safetensors").read()  # type: ignore[union-attr]


def test_a_training_goes_on_in_another_run_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at once, for want of time, then finished from its file; against an unbroken one."""
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)
    name, later = "ftso_cifar", time.time() + 600
    unbroken = train.trained(training(tmp_path / "whole", epochs=2), digits(), name, later)
    first = training(tmp_path / "first", epochs=2)
    stopped = train.trained(first, digits(), name, time.time())
    assert "to go on" in stopped["stopped"] and "top1" not in stopped
    finished = train.trained(training(tmp_path / "second", resume=tmp_path / "first"), digits(), name, later)
    files = [folder / f"train-{name}.tar" for folder in (tmp_path / "whole", tmp_path / "first", tmp_path / "second")]
    with tarfile.open(files[1]) as archive:
        assert "checkpoint.pt" in archive.getnames() and "result.json" not in archive.getnames()
    assert weights(files[2]) == weights(files[0])
    assert [finished[key] for key in ("epochs", "top1", "test_loss")] == [unbroken[key] for key in ("epochs", "top1", "test_loss")]
    monkeypatch.setattr(train, "LARGEST", 10_000)
    with pytest.raises(ValueError, match=r"would have \d MiB, and files from 0 MiB on stay behind"):
        train.pack(first.scratch / name, files[1])


def test_as_many_epochs_as_fit_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))  # ten seconds between two looks, for 2 steps of 4 an epoch
    monkeypatch.setattr(train, "now", lambda device: next(clock))
    monkeypatch.setattr(train.time, "time", lambda: 0.0)
    monkeypatch.setattr(train, "WARM", 1)
    monkeypatch.setitem(train.SMALL, "epochs", 100)
    found = [train.first(training(tmp_path / str(end)), digits(), "ftso_cifar", end) for end in (0.0, 49.0, 1e6)]
    assert [plan.settings.epochs for plan in found] == [1, 2, 100]
    assert found[1].settings.learning_rate(1) == pytest.approx(found[2].settings.learning_rate(50))  # the shape stays


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gpu")
    flags = ["--device", "cpu", "--small", "--budget", "1500", "--out", str(out)]
    done = subprocess.run([sys.executable, "benchmarks/gpu.py", *flags], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def found(out: Path, stage: str) -> dict[str, Any]:
    report = json.loads((out / "gpu.json").read_text())["stages"][stage]
    assert report["status"] == "ok"
    assert not [name for name, figures in report["found"].items() if "error" in figures]
    return report["found"]


@pytest.mark.slow
def test_the_rehearsal_runs_every_stage_to_its_end(rehearsal: Path) -> None:
    told = json.loads((rehearsal / "gpu.json").read_text())
    assert list(told["stages"]) == ["data", *gpu.STAGES] and {row["status"] for row in told["stages"].values()} == {"ok"}
    assert (
        told["about"]["device"] == "cpu" and {"torch", "torchvision", "timm", "onnxruntime", "python"} <= told["about"]["versions"].keys()
    )
    text = (rehearsal / "gpu.md").read_text()
    assert all(f"| {name} | ok |" in text and f"## {name}\n" in text for name in told["stages"])
    files = [path for path in rehearsal.rglob("*") if path.is_file()]
    assert len(files) <= 8 and max(path.stat().st_size for path in files) < 16 * 2**20
    assert str(ROOT) not in (rehearsal / "gpu.json").read_text()


@pytest.mark.slow
def test_the_rehearsed_searches_are_plausible(rehearsal: Path) -> None:
    smoke, whole, resume = (found(rehearsal, stage) for stage in ("smoke", "whole", "resume"))
    refused = [name for name, figures in smoke.items() if "refused" in figures]
    assert len(smoke) == 3 * 13 and len(refused) == 6 and all(name.endswith("fp16") for name in refused)
    searched = [figures for name, figures in smoke.items() if name not in refused]
    assert all(1 < figures["loss"] < 4 and figures["edges"] == 8 and figures["steps"] >= 2 for figures in searched)
    assert [whole[name]["steps"] for name in ("ftso, one epoch", "ftso, one iteration", "pc-darts, all epochs, captured")] == [2, 1, 6]
    short = whole["pc-darts, 2 + 3 epochs, captured"]
    assert len(short["epochs_s"]) == 5 and short["paper_s"] == pytest.approx(
        15 * min(short["epochs_s"][:2]) + 35 * sorted(short["epochs_s"][2:])[1], rel=1e-3
    )
    assert len(resume) == 8 and all(
        figures["again"] == figures["resumed"] == 0 and figures["same_cell_resumed"] for figures in resume.values()
    )
    assert all(1 <= figures["stopped_after"] < figures["steps"][0] == figures["steps"][1] for figures in resume.values())


@pytest.mark.slow
def test_the_rehearsed_steps_are_plausible(rehearsal: Path) -> None:
    exactness, measured, eager, graphs = (found(rehearsal, stage) for stage in ("exact", "kernels", "steps", "graph"))
    assert len(exactness) == 6
    for name, figures in exactness.items():
        assert figures["agrees"] and figures["float64"] < 1e-12 and 1e-8 < figures["float32"] < 1e-3
        assert (figures["float64"] > 0) == name.endswith("NCHW")  # which is another way to compute it, on the same CPU
    assert measured.pop("copy rate")["GB_per_s"] > 0
    pointwise = [shape for shape in kernels.SHAPES if shape.kernel == 1 < shape.groups]
    assert len(measured) == 4 * len(kernels.SHAPES + kernels.ALTERNATIVES) + 4 * len(pointwise)
    assert all(figures[key] > 0 for figures in measured.values() for key in ("forward_floors", "input_floors", "kernel_floors"))
    assert len(eager) == 2 * (len(CASES) - 1) + 1 + 4
    assert all(figures["median_ms"] > 0 and figures["gpu"].startswith("left out") for figures in eager.values())
    assert eager["pc-darts, off, channels_last"]["operations"] < eager["pc-darts's twin, off, channels_last"]["operations"]
    del graphs[graph.NO_GRAPH]
    assert len(graphs) == 2 * len(graph.NAMES)
    assert all(figures["from_eager"] < 1e-6 < figures["moved"] and figures["rate_is_read"] for figures in graphs.values())


@pytest.mark.slow
def test_the_rehearsed_training_and_exports_are_plausible(rehearsal: Path) -> None:
    trained, exported = found(rehearsal, "train"), found(rehearsal, "export")
    assert list(trained) == list(train.NAMES)
    for name, figures in trained.items():
        assert figures["epochs"] == 2 and 0 <= figures["top1"] <= 100 and figures["shipped_top1"] > 50
        with tarfile.open(rehearsal / figures["file"]) as archive:
            assert {"result.json", "config.json", "model/model.safetensors"} <= set(archive.getnames())
            config = json.loads(archive.extractfile("config.json").read())  # type: ignore[union-attr]
        told = f"nasarch train {name} --recipe shallow --data digits --epochs 2 --device cpu"
        assert config["command"] == told and config["settings"]["epochs"] == 2
    onnx, step, prediction = exported.values()
    assert 0 < onnx["difference"] < 1e-3 and onnx["same_class"] == 1 and onnx["classes"] > 1 and onnx["still_on"] == "cpu"
    assert step["losses"][0] > step["losses"][-1] > 0 and step["difference"] < 1e-4 and step["moved"] > step["weights"] / 2
    assert 0 < prediction["difference"] < 1e-3 and prediction["inside"] and prediction["boxes"] > 0
