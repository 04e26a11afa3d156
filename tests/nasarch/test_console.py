"""Text from anywhere is printed as it is: no markup, no emoji codes, no control codes; commands can be pasted into a shell."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from rich.table import Table

from nasarch.cells.genotype import resolve
from nasarch.cli.main import main
from nasarch.console import command_line, console, print_rich, print_text, printable
from nasarch.data.options import print_left_out
from nasarch.runtime.progress import ProgressDisplay
from tests.helpers.datasets import as_tree, two_classes

HOSTILE = "a[/x] [red]b[/red] :smile: \x1b[2J caf\udce9"
SHOWN = r"a[/x] [red]b[/red] :smile: \x1b[2J caf\udce9"
TINY = "--size 8 --nodes 2 --layers 3 --channels 4 --batch-size 64 --epochs 1 --warmup 0 --device cpu".split()


def test_unprintable_characters_are_escaped() -> None:
    assert printable(HOSTILE) == SHOWN and printable("\r\x07") == r"\r\x07" and printable("ü 猫\nb") == "ü 猫\nb"


def test_a_console_a_table_and_a_progress_display_print_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(HOSTILE, soft_wrap=True)
    print_text(HOSTILE)
    print_left_out(f"left out: {HOSTILE}")
    with ProgressDisplay(console()) as display:
        display.say(HOSTILE, "loss", 1, 1, ends=True)
    said = capsys.readouterr()
    assert said.out == f"{SHOWN}\n{SHOWN}\n{SHOWN}: loss\n" and said.err == f"nasarch: note: data: left out: {SHOWN}\n"
    table = Table("name")
    table.add_row("[red]x[/red] [/y] :smile:")
    print_rich(table)
    assert "[red]x[/red] [/y] :smile:" in capsys.readouterr().out
    console(quiet=True).print("nothing")
    assert capsys.readouterr().out == ""


def test_an_error_has_no_control_codes_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "no\x1b[2J\nfolder", "-o", "x"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and r"no\x1b[2J" in said.replace("\\\\", "\\") and "\x1b" not in said


def test_the_provenance_of_a_genotype_from_elsewhere_is_shown_without_control_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = resolve("pc_darts_cifar").to_dict()
    value["provenance"]["method"] = "x\x1b[2J[/y]"
    (tmp_path / "mine.json").write_text(json.dumps(value))
    assert main(["show", str(tmp_path / "mine.json")]) == 0
    assert r"x\x1b[2J[/y]" in capsys.readouterr().out


def test_a_command_line_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nasarch", "train", "--data", "my data", "it's"])
    assert shlex.split(command_line()) == ["nasarch", "train", "--data", "my data", "it's"]
    assert command_line("report", Path("a b"), 3) == "nasarch report 'a b' 3"


def test_a_search_in_a_folder_with_brackets_and_blanks_prints_commands_that_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = as_tree(tmp_path / "my [bold]data", two_classes(count=4)), tmp_path / "exp[/x] lr=0.1"
    command = ["search", "pc-darts", "--data", str(data), "--out", str(out), *TINY, "--batch-size", "2"]
    monkeypatch.setattr(sys, "argv", ["nasarch", *command])
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    (trained,) = [line.removeprefix("train:  ") for line in lines if line.startswith("train:")]
    (exported,) = [line.removeprefix("export: ") for line in lines if line.startswith("export:")]
    assert shlex.split(trained)[:5] == ["nasarch", "train", str(out / "genotype.json"), "--data", str(data)]
    assert shlex.split(exported)[3] == str(out / "genotype.json")
    assert f"found {out}/genotype.json (picture: {out}/cell.png)" in lines
    assert shlex.split(json.loads((out / "config.json").read_text())["command"]) == ["nasarch", *command]
