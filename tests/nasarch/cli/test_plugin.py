"""`--plugin FILE` runs a file before any command, so that commands know the operations that it registers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nasarch.cells.space import OWN_OPERATIONS
from nasarch.models.operations import BUILDERS
from tests.helpers.command_line import Run

EXAMPLE = Path(__file__).parents[3] / "examples" / "own_operation.py"
NAME = "mb_conv_3x3_se"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    OWN_OPERATIONS.clear()
    BUILDERS.pop(NAME, None)


def genotype(path: Path) -> Path:
    cell = {"nodes": [[[NAME, 0], [NAME, 1]]], "concat": [2]}
    value = {"schema": "nasarch.genotype/1", "name": "own", "space": "darts", "cells": {"normal": cell, "reduction": cell}}
    path.write_text(json.dumps(value))
    return path


def test_a_command_knows_what_a_plugin_registers(run: Run, tmp_path: Path) -> None:
    file = genotype(tmp_path / "own.json")
    status, _, err = run("show", file)
    assert status == 2 and "registered by the file of --plugin" in err
    for words in (("--plugin", EXAMPLE, "show", file), ("show", f"--plugin={EXAMPLE}", file), ("show", file, "--plugin", EXAMPLE)):
        assert NAME in run(*words).out
        OWN_OPERATIONS.clear()
        del BUILDERS[NAME]


def test_a_plugin_that_fails_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise KeyError('x')\n")
    for words, message in (
        (("show", "pc_darts_cifar", "--plugin", "bad.py"), "--plugin bad.py: KeyError: 'x'; correct the file"),
        (("show", "pc_darts_cifar", "--plugin", "none.py"), "--plugin none.py: FileNotFoundError"),
        (("show", "pc_darts_cifar", "--plugin"), "--plugin needs a file"),
    ):
        status, _, err = run(*words)
        assert status == 2 and message in err and err.count("\n") == 1


def test_a_script_has_its_own_flags(run: Run, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import sys; print(sys.argv[1:])\n")
    assert "['--plugin', 'x']" in run("run", "script.py", "--plugin", "x").out


def test_the_list_of_commands_names_the_flag(run: Run) -> None:
    assert "--plugin FILE.py" in run("--help").out and "--plugin" not in run("export", "--help").out


def test_a_search_takes_the_candidates_of_a_plugin_and_resumes(run: Run, tmp_path: Path) -> None:
    small = ("--data", "digits", "--size", "8", "--device", "cpu", "--epochs", "1", "--nodes", "2", "--layers", "3", "--channels", "4")
    names = ("none", "skip_connect", NAME)
    searching = ("search", "darts", "--order", "first", "--batch-size", "200", "--candidates", *names, *small)
    status, _, err = run(*searching, "--out", "none")
    assert status == 2 and f"unknown operation '{NAME}'" in err
    assert run("--plugin", EXAMPLE, *searching, "--out", "run").status == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["space"] == {"name": "darts", "nodes": 2, "operations": list(names)}
    assert len(json.loads(Path("run/weights.json").read_text())["operations"][0][0]) == 3
    assert run("search", "darts", "--resume", "run").status == 0
    assert run("report", "run").status == 0 and Path("run/report").is_dir()
    assert run("derive", "run", "--max-params", "9", "-o", "derived").status == 0
    assert run("export", "onnx", "derived/genotype.json", "-o", "model.onnx").status == 0 and Path("model.onnx").is_file()
