"""Help texts and the errors of the parser: whole words at any width, groups in their order, every flag that the parser knows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tyro

from nasarch import flags, help
from nasarch.cli import main
from tests.helpers.command_line import Run, all_commands

ORDER = ["arguments", "most used", "data", "method", "schedule", "machine", "output"]


def parsed(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Function, or default dataclass, of a command."""
    seen = list[Any]()
    with monkeypatch.context() as patch:
        patch.setattr(flags, "help_text", lambda command, default, *_: seen.append((command, default)) or "")
        assert main.main([*name.split(), "--help"]) == 0
    return seen[0]


def sections(text: str) -> dict[str, str]:
    """The parts of a help text by their titles."""
    return {part.partition(":\n")[0]: part.partition(":\n")[2] for part in text.split("\n\n") if ":\n" in part}


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("name", all_commands())
def test_a_help_text_has_whole_words_and_groups_in_order(
    name: str, columns: int, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = run(*name.split(), "--help").out
    assert text.startswith(f"usage: nasarch {name} ") and max(map(len, text.splitlines())) <= columns
    assert not re.search(r"None|\bSTR\b|default: False|default: True|[{}\u2500-\u257f]", text)
    known = list(help.arguments(*parsed(name, monkeypatch)))
    flat = " ".join(text.split())
    assert all(f" {one.label} {' '.join(one.text.split())}" in flat and len(re.findall("default:", one.text)) <= 1 for one in known)
    assert all(one.text for one in known)
    titles = list(sections(text))
    assert titles == [title for title in ORDER if title in titles] or titles in (["options"], ["arguments", "options"], ["arguments"])
    if "most used" in titles:
        assert 2 <= len(re.findall("^  -", sections(text)["most used"], re.MULTILINE)) <= 5
        assert "--data" in sections(text)["most used"].split("\n")[0]


@pytest.mark.parametrize("name", all_commands())
def test_a_help_text_has_every_flag_of_the_parser_and_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, default = parsed(name, monkeypatch)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        tyro.cli(command or type(default), default=default, args=["--help"], prog="x") if default else tyro.cli(command, args=["--help"])
    theirs = {word.strip("[],") for line in re.findall(r"^ +(-.*)", plain(printed.getvalue()), re.MULTILINE) for word in line.split()}
    ours = {word for one in help.arguments(command, default) for flag in one.flags for word in flag.split(" / ")}
    positive = {word for word in ours if not word.startswith("--no-")}
    assert positive | {"-h", "--help"} == {word for word in theirs if re.fullmatch(r"--?[a-z][\w.-]*", word) and "no-" not in word}
    assert {word for word in ours if "no-" in word} <= theirs


def plain(text: str) -> str:
    """Without frames."""
    return re.sub(r"[\u2500-\u257f|]", " ", text)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("group", ["", *(name for name, one in main.COMMANDS.items() if isinstance(one, main.Group))])
def test_a_list_of_commands_has_whole_words(group: str, columns: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = run(*group.split(), "--help").out
    listed = main.COMMANDS if not group else main.COMMANDS[group].commands  # type: ignore[union-attr]
    assert max(map(len, text.splitlines())) <= columns
    assert all(f" {name} {one.summary}" in " ".join(text.split()) for name, one in listed.items())
    assert ("--config FILE Method" in " ".join(text.split())) == (group == "search")


def test_the_groups_name_flags_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {one.name.rpartition(".")[2] for name in all_commands() for one in help.arguments(*parsed(name, monkeypatch))}
    assert known >= {*help.FIRST} and list(help.GROUPS) == ORDER[2:]
    for group, names in help.GROUPS.items():
        assert known >= {*names}, f"{group}: {set(names) - known}"
    assert len(all_names := [name for names in help.GROUPS.values() for name in names]) == len({*all_names})


def command(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    more: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MORE")] = (),
    *,
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")],
    size: int | None = None,
    pair: tuple[float, float] = (0.5, 10.0),
    kind: Literal["a", "b"] = "a",
    many: tuple[int, ...] = (),
    whole: bool = True,
    fast: bool = False,
    either: bool | None = None,
) -> tuple[Any, ...]:
    """Do it.

    In two paragraphs.

    Args:
        source: Where from.
        more: Others.
        out: Where to, a long explanation that takes
            a second line.
        size: Size in pixels (default: the model's).
        pair: Two numbers.
        kind: Kind.
        many: Numbers.
        whole: All of it.
        fast: In a hurry.
        either: One or the other.
    """
    return source, more, out, size, pair, kind, many, whole, fast, either


HELP = """usage: nasarch do NAME [MORE ...] --out FILE [OPTIONS]

Do it.

In two paragraphs.

arguments:
  NAME                  Where from.
  MORE ...              Others.

options:
  -o, --out FILE        Where to, a long explanation that takes a second line.
  --size INT            Size in pixels (default: the model's).
  --pair FLOAT FLOAT    Two numbers; default: 0.5 10.
  --kind a|b            Kind; default: a.
  --many INT ...        Numbers.
  --whole / --no-whole  All of it; default: on.
  --fast                In a hurry.
  --either True|False   One or the other.

-h, --help shows this text."""


def test_a_command_is_explained_and_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        flags.call(command, ["x", "--help"], program="nasarch do")
    assert stop.value.code == 0 and capsys.readouterr().out.rstrip("\n") == HELP
    typed = "x y z -o f --size 3 --pair 1 2 --kind b --many 4 5 --no-whole --fast --either False".split()
    expected = ("x", ("y", "z"), Path("f"), 3, (1.0, 2.0), "b", (4, 5), False, True, False)
    assert flags.call(command, typed, program="nasarch do") == expected
    assert flags.call(command, ["x", "--out=f", "--whole", "--no-fast"], program="do")[-3:] == (True, False, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "missing NAME, -o, --out FILE;"),
        ("x", "missing -o, --out FILE;"),
        ("-o f", "missing NAME;"),
        ("x -o f --siz 3", "unknown flag --siz; did you mean --size?"),
        ("x -o f --qqqqq", "unknown flag --qqqqq;"),
        ("x -o f --size q", "--size q: choose INT;"),
        ("x -o f --size=q", "--size=q: choose INT;"),
        ("x -o f --size", "--size: choose INT;"),
        ("x -o f --pair 1", "--pair 1: choose FLOAT FLOAT;"),
        ("x -o f --pair 1 q", "--pair 1 q: choose FLOAT FLOAT;"),
        ("x -o f --kind c", "--kind c: choose a|b;"),
    ],
)
def test_what_the_parser_refuses_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError) as error:
        flags.call(command, words.split(), program="nasarch do")
    assert str(error.value) == f"{message} `nasarch do --help` says more" and capsys.readouterr() == ("", "")


SHELL = """
nasarch() { "$PYTHON" -m nasarch "$@"; }
complete_it() { COMP_WORDS=(nasarch "$@"); COMP_CWORD=$#; COMPREPLY=(); _nasarch; echo "${COMPREPLY[@]}"; }
complete_it sea
complete_it search d
complete_it search dots --operation.l
complete_it train some/model --data digits --resu
complete_it run script.py --he
"""


def test_the_documented_completion_completes_commands_and_flags(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
    script = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)[0] + SHELL
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHON": sys.executable})
    assert (
        done.stdout.splitlines() == ["search", "darts dots", "--operation.layers --operation.levels", "--resume", ""] and done.stderr == ""
    )


def test_a_value_of_a_stage_is_refused_by_its_name(run: Run) -> None:
    for words, message in (
        (["--epochs", "3"], "unknown flag --epochs; did you mean --operation.epochs or --topology.epochs?"),
        (["--topology.epochs", "x"], "--topology.epochs x: choose INT;"),
        (["--batch_size", "x"], "--batch_size x: choose INT;"),
        (["stray"], "unexpected stray;"),
    ):
        status, out, err = run("search", "dots", *words)
        assert (status, out, err) == (2, "", f"nasarch: error: {message} `nasarch search dots --help` says more\n")


def test_a_script_of_the_parser_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        flags.call(command, ["--tyro-print-completion", "bash"], program="nasarch do")
    assert "--pair" in capsys.readouterr().out
