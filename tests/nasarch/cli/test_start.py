"""Start of the command line: help, what is imported for it, python -m, terminals."""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

import nasarch
from nasarch import flags
from nasarch.cli import main
from tests.helpers.command_line import Run, all_commands, python


def test_help_lists_every_command_with_its_summary(run: Run) -> None:
    for arguments in ([], ["-h"], ["--help"]):
        status, out, _ = run(*arguments)
        assert status == 0 and all(re.search(rf"^  {name} +\w", out, re.MULTILINE) for name in main.COMMANDS)
    assert run("--version").out == f"nasarch {nasarch.__version__}\n"


@pytest.mark.parametrize("name", all_commands())
def test_every_command_explains_all_its_arguments(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, print_help = list[Any](), flags.help_text

    def watched(command: Any, default: Any, *how: Any) -> Any:
        parsed.append((command or type(default), default))
        return print_help(command, default, *how)

    monkeypatch.setattr(flags, "help_text", watched)
    status, out, _ = run(*name.split(), "--help")
    assert status == 0 and f"usage: nasarch {name}" in out
    for what, names in documented(*parsed[0]):
        described = re.search(r"Args:\n(.*)", what.__doc__ or "", re.DOTALL)
        assert described and all(f" {argument}:" in described[1] for argument in names)


def documented(command: Any, default: Any) -> list[tuple[Any, list[str]]]:
    """Who has to explain which arguments: a command its own, a dataclass that it takes its fields."""
    hints = {argument: hint for argument, hint in get_type_hints(command).items() if argument != "return"}
    hints |= {argument: type(value) for argument, value in vars(default or object).items() if is_dataclass(value)}
    groups = [hint for hint in hints.values() if is_dataclass(hint)]
    plain = [argument for argument, hint in hints.items() if not is_dataclass(hint)]
    return [(group, [field.name for field in fields(group)]) for group in groups] + ([(command, plain)] if plain else [])


def test_a_group_lists_its_commands(run: Run) -> None:
    status, out, _ = run("export")
    assert status == 0 and "usage: nasarch export COMMAND" in out and "onnx" in out


QUICK = [["--help"], ["--version"], ["trian"], ["search", "--help"], ["search", "pcdarts"], ["models", "--help"], ["show", "--wrong"]]
QUICK += [
    ["train", "--help"],
    ["train", "x", "--recipe=imagenet", "--wrong"],
    ["search", "pc-darts", "--help"],
    ["search", "dots", "--preset", "imagenet", "--wrong"],
    ["search", "darts", "--epochs", "x"],
]
QUICK += [["export", "--help"], ["export", "onnx", "--help"], ["export", "hub", "--wrong"], ["detect", "--help"], ["bench", "--help"]]
QUICK += [
    ["presets", "--help"],
    ["cost", "--wrong"],
    ["search", "ftso", "--preset", "x"],
    ["search", "ftso", "--epochs", "0"],
    ["search", "--config", "nowhere.toml"],
    ["search", "ftso", "--config", "nowhere.toml"],
    ["split", "--help"],
    ["demo", "--help"],
    ["detect", "eval", "--help"],
    ["detect", "train", "--wrong"],
    ["report", "--help"],
    ["gather", "--wrong"],
    ["derive", "--help"],
    ["pareto", "--wrong"],
    ["measure", "--help"],
    ["measure", "--rounds", "2"],
    ["rank-paths", "--epochs", "0"],
    ["correlate", "--help"],
    ["select", "--help"],
    ["compare", "--wrong"],
    ["reproduce", "--help"],
    ["reproduce", "--scale", "0"],
    ["evaluate", "--wrong"],
    ["run", "--help"],
    ["run"],
    ["run", "none.py", "-x"],
]


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_help_and_mistakes_are_answered_without_importing_what_only_a_command_needs(arguments: list[str]) -> None:
    code = (
        "import runpy, sys; sys.orig_argv = ['python', '-m', 'nasarch'];"
        "sys.argv = ['-m', *sys.argv[1:]]; import nasarch; sys.argv[0] = 'nasarch'\n"
        "try: runpy.run_module('nasarch', run_name='__main__')\n"
        "except SystemExit as stop: print(stop.code, *sys.modules)"
    )
    done = python("-c", code, *arguments)
    status, *loaded = done.stdout.splitlines()[-1].split()
    assert status == ("0" if {"--help", "--version"} & {*arguments} else "2")
    assert done.stderr == "" if status == "0" else "nasarch" in done.stderr
    assert "nasarch.cli.main" in loaded and not {"torch", "timm", "numpy", "matplotlib", "onnx", "fvcore", "rich"} & {*loaded}


def test_only_the_command_line_waits_with_the_registration_of_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    python_m = ["python", "-u", "-m"]
    for program, words, expected in (
        ("-m", [*python_m, "nasarch", "models"], True),
        ("/somewhere/bin/nasarch", ["python", "/somewhere/bin/nasarch", "models"], True),
        ("nasarch.exe", ["python", "nasarch.exe"], True),
        ("-m", [*python_m, "pytest", "nasarch"], False),
        ("-c", ["python", "-c", "import nasarch", "-m", "nasarch"], False),
        ("mine.py", ["python", "mine.py", "nasarch"], False),
        ("", ["python"], False),
    ):
        monkeypatch.setattr(sys, "argv", [program])
        monkeypatch.setattr(sys, "orig_argv", words)
        assert nasarch._is_command_line() == expected, words


def test_the_command_line_has_the_package_s_names_all_the_same() -> None:
    code = (
        "import sys; sys.argv[0] = 'nasarch'; import nasarch; assert 'torch' not in sys.modules;"
        "from nasarch import Genotype, create_model, list_models; import nasarch.search; assert 'pc_darts_cifar' in list_models()"
    )
    assert python("-c", code, check=True).stderr == ""


def test_python_m_is_the_command_and_a_reader_that_leaves_is_no_error() -> None:
    done = python("-m", "nasarch", "models", "ftso_nats_cifar", "--json")
    assert done.returncode == 0 and done.stderr == "" and json.loads(done.stdout)[0]["name"] == "ftso_nats_cifar"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "nasarch", "models"], stdout=writer, stderr=subprocess.PIPE, timeout=300)
    os.close(writer)
    assert done.stderr == b"" and done.returncode != 0


def test_a_terminal_without_unicode_shows_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main.main(["show", "ftso_nats_cifar"]) == 0
    assert b"nor_conv_3x3 ??" in raw.getvalue()
