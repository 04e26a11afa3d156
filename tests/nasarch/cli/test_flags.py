"""Every flag of the other commands reaches the function behind them: changed alone it changes that alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import main
from nasarch.data import load
from nasarch.data import split_files as data_split
from nasarch.export import benchmark, verify
from nasarch.export.detection import export as ssd_folder
from nasarch.export.detection import predict
from nasarch.export.hub import folder as hub
from nasarch.export.onnx import export as forms
from nasarch.export.onnx.export import ExportVariants
from nasarch.models import catalogue, profile
from nasarch.search.recipes import command as recipes_command
from nasarch.search.recipes.cost_theorems import costs
from nasarch.search.report import report
from nasarch.search.runs import gather
from tests.helpers.datasets import as_tree


class Caught:
    """Stands for a function: how it was called, and what it gives back."""

    def __init__(self, result: Any = None) -> None:
        self.result, self.positional, self.named = result, (), dict[str, Any]()

    def __call__(self, *positional: Any, **named: Any) -> Any:
        self.positional, self.named = positional, named
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def call(caught: Caught, *arguments: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments of the function that a command line comes to."""
    assert main(list(arguments)) == 0
    return caught.positional, caught.named


def check(
    caught: Caught, command: list[str], positional: tuple[Any, ...], usual: dict[str, Any], flags: dict[str, tuple[str, Any]]
) -> None:
    """Without flags the usual arguments; each flag (as it is typed, the value that comes of it) changes its own."""
    assert call(caught, *command) == (positional, usual)
    for name, (typed, value) in flags.items():
        assert usual[name] != value
        assert call(caught, *command, *typed.split()) == (positional, usual | {name: value}), name


# ---- export


def test_export_onnx_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught("done")
    monkeypatch.setattr(forms, "export_model", caught)
    usual = {"checkpoint": None, "data": None, "size": None, "variants": ExportVariants()}
    assert ExportVariants() == ExportVariants(dynamic_size=False, uint8_input=False, fp16=False, int8=False, calibrate=None, force=False)
    command = ["export", "onnx", "dots_cifar", "--out", "m.onnx"]
    flags = {
        "checkpoint": ("--checkpoint w.pt", Path("w.pt")),
        "data": ("--data cifar10", "cifar10"),
        "size": ("--size 64", 64),
    }
    check(caught, command, ("dots_cifar", "m.onnx"), usual, flags)
    for typed, wanted in {
        "--dynamic-size": ExportVariants(dynamic_size=True),
        "--uint8-input": ExportVariants(uint8_input=True),
        "--fp16 --force": ExportVariants(fp16=True, force=True),
        "--int8 --calibrate images": ExportVariants(int8=True, calibrate="images"),
        "--fp16 --calibrate images": ExportVariants(fp16=True, calibrate="images"),
    }.items():
        assert call(caught, *command, *typed.split())[1] == usual | {"variants": wanted}


def test_export_verify_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught("done")
    monkeypatch.setattr(verify, "verify_isolated", caught)
    usual = {"model": None, "checkpoint": None, "data": None, "images": None, "timeout": 20.0, "memory": 4.0}
    flags: dict[str, Any] = {"model": ("--model m", "m"), "checkpoint": ("--checkpoint w.pt", Path("w.pt")), "images": ("--images i", "i")}
    flags |= {"data": ("--data digits", "digits"), "timeout": ("--timeout 7.5", 7.5), "memory": ("--memory 0.5", 0.5)}
    check(caught, ["export", "verify", "m.onnx"], (Path("m.onnx"),), usual, flags)


def test_export_hub_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught(["done"])
    monkeypatch.setattr(hub, "hub", caught)
    usual = {"out": None, "checkpoint": None, "data": None, "size": None, "repository": None, "public": False}
    flags = {
        "out": ("--out folder", Path("folder")),
        "checkpoint": ("--checkpoint w.pt", Path("w.pt")),
        "data": ("--data cifar10", "cifar10"),
        "size": ("--size 64", 64),
        "repository": ("--push me/it", "me/it"),
        "public": ("--public", True),
    }
    check(caught, ["export", "hub", "dots_cifar"], ("dots_cifar",), usual, flags)


def test_export_ssd_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught("done")
    monkeypatch.setattr(ssd_folder, "export_ssd", caught)
    usual = {"score": 0.05, "nms": None, "detections": None}
    flags = {"score": ("--score 0.5", 0.5), "nms": ("--nms 0.25", 0.25), "detections": ("--detections 7", 7)}
    check(caught, ["export", "ssd", "folder", "-o", "m.onnx"], ("folder", Path("m.onnx")), usual, flags)


# ---- detectors


def test_detect_eval_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    caught = Caught(({"AP": 0.25}, ["a remark"]))
    monkeypatch.setattr(predict, "evaluate", caught)
    monkeypatch.setattr("nasarch.export.detection.coco_metrics.lines", lambda figures: [f"lines of {figures}"])
    usual = {"images": None, "results": None, "batch": 8, "workers": 2, "device": "auto"}
    flags = {
        "images": ("--images i", Path("i")),
        "results": ("--results r.json", Path("r.json")),
        "batch": ("--batch 3", 3),
        "workers": ("--workers 0", 0),
        "device": ("--device cpu", "cpu"),
    }
    check(caught, ["detect", "eval", "folder", "--data", "d"], ("folder", Path("d")), usual, flags)
    assert capsys.readouterr().out.endswith("lines of {'AP': 0.25}\nnote: a remark\n")
    assert call(caught, "detect", "eval", "folder", "--data", "d", "--json")[1] == usual
    assert capsys.readouterr().out == '{\n  "AP": 0.25\n}\n'


def test_detect_predict_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught(["done"])
    monkeypatch.setattr(predict, "predict", caught)
    usual = {"score": 0.4, "results": None, "annotations": None, "device": "auto"}
    flags = {
        "score": ("--score 0.5", 0.5),
        "results": ("--results r.json", Path("r.json")),
        "annotations": ("--annotations a.json", Path("a.json")),
        "device": ("--device cpu", "cpu"),
    }
    positional = ("folder", [Path("a.png"), Path("b.png")], Path("o"))
    check(caught, ["detect", "predict", "folder", "a.png", "b.png", "-o", "o"], positional, usual, flags)


# ---- measuring


class Reached(ValueError):
    """Ends a command where it comes to its function."""


def reached(caught: Caught, *arguments: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """As `call`, of a function that raises."""
    assert main(list(arguments)) == 2
    return caught.positional, caught.named


def test_bench_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught(Reached())
    monkeypatch.setattr(benchmark, "bench", caught)
    usual = {"size": None, "batch": 8, "runs": 20, "threads": None, "compiled": True}
    assert reached(caught, "bench", "dots_cifar") == (("dots_cifar",), usual)
    for typed, change in {
        "--size 64": {"size": 64},
        "--batch 2": {"batch": 2},
        "--runs 3": {"runs": 3},
        "--threads 4": {"threads": 4},
        "--skip-compile": {"compiled": False},
    }.items():
        assert reached(caught, "bench", "dots_cifar", *typed.split()) == (("dots_cifar",), usual | change)


def test_profile_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught, network = Caught(Reached()), object()
    monkeypatch.setattr(profile, "profile_model", caught)
    monkeypatch.setattr(catalogue, "create", lambda model: network if model.name == "dots_cifar" else None)
    usual = {"size": None, "batch": 1, "runs": 20, "threads": None, "device": "auto"}
    assert reached(caught, "profile", "dots_cifar") == ((network,), usual)
    for typed, change in {
        "--size 64": {"size": 64},
        "--batch 2": {"batch": 2},
        "--runs 3": {"runs": 3},
        "--threads 4": {"threads": 4},
        "--device cpu": {"device": "cpu"},
    }.items():
        assert reached(caught, "profile", "dots_cifar", *typed.split()) == ((network,), usual | change)


def test_cost_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught(costs(kernel=1, channels=1, nodes=4, operations=1, size=1))
    monkeypatch.setattr(recipes_command, "costs", caught)
    usual = {"kernel": 5, "channels": 512, "nodes": 7, "operations": 8, "size": 32}
    flags = {name: (f"--{name} 6", 6) for name in usual}
    check(caught, ["cost"], (), usual, flags)


# ---- data and runs


def test_split_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {f"{name}/{number}.png": b"" for name in "ab" for number in range(40)}
    found = load.listing(as_tree(tmp_path / "data", files))
    listed, written, real = Caught(found), Caught(), data_split.write_split

    def write(*given: Any) -> Any:
        written(*given)
        return real(*given[:3], tmp_path / f"written{len(list(tmp_path.iterdir()))}")

    monkeypatch.setattr(load, "listing", listed)
    monkeypatch.setattr(data_split, "write_split", write)
    usual = {"root": None, "download": False}
    flags = {"root": ("--root cache", Path("cache")), "download": ("--download", True)}
    check(listed, ["split", "some/data", "-o", "folder"], ("some/data",), usual, flags)
    assert written.positional == (found, (0.1, 0.025), 0, Path("folder"))
    assert main(["split", "some/data", "--out", "other", "--fractions", "0.5", "0.25", "--seed", "3"]) == 0
    assert written.positional == (found, (0.5, 0.25), 3, Path("other"))


def test_report_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    caught = Caught(Path("a/report/index.html"))
    monkeypatch.setattr(report, "write_report", caught)
    assert call(caught, "report", "a", "b") == (((Path("a"), Path("b")), None), {})
    assert capsys.readouterr().out == "wrote a/report/index.html\n"
    assert call(caught, "report", "a", "--out", "there") == (((Path("a"),), Path("there")), {})


def test_gather_hands_every_flag_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = {"epochs": 30, "fractions": [0.5, 0.25]}
    config = {"method": "PC-DARTS", "settings": settings, "space": {"name": "darts", "nodes": 3}}
    monkeypatch.setattr(gather, "read_search_result", lambda folder: str(folder))
    monkeypatch.setattr(gather, "_same", lambda folders: config)
    caught = Caught()
    monkeypatch.setattr(gather, "conclude", caught)
    monkeypatch.chdir(tmp_path)
    for flags, wanted in ([], True), (["--stability-only"], False):
        positional, named = call(caught, "gather", "a", "b", "-o", f"new{wanted}", *flags)
        method, told, space, results, folder, _ = positional
        assert method.title == "PC-DARTS" and (told.epochs, told.fractions) == (30, (0.5, 0.25)) and space.nodes == 3
        assert (
            results == ["a", "b"]
            and folder.name == f"new{wanted}"
            and (tmp_path / folder.name).is_dir()
            and named == {"with_consensus": wanted}
        )


def test_models_are_listed_by_the_pattern_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    caught = Caught([])
    monkeypatch.setattr(catalogue, "entries", caught)
    for form in ([], ["--json"], ["--markdown"]):
        assert call(caught, "models", *form) == (("*",), {}) and call(caught, "models", "dots_*", *form) == (("dots_*",), {})


@pytest.mark.parametrize("error", [BrokenPipeError, KeyboardInterrupt, ValueError])
def test_a_command_that_ends_early_has_its_status(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "entries", Caught(error("words")))
    if error is BrokenPipeError:
        moved: list[Callable[..., Any]] = []
        monkeypatch.setattr("nasarch.cli.main.os.dup2", lambda *files: moved.append(files))
    assert main(["models"]) == {BrokenPipeError: 141, KeyboardInterrupt: 130, ValueError: 2}[error]
    if error is BrokenPipeError:
        assert len(moved) == 1
