"""The documentation says what is so: its commands parse, its files, models and flags exist, its Python compiles."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import sys
from fnmatch import fnmatch
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import nasarch
from nasarch.cells import genotype, space
from nasarch.cli.main import COMMANDS, run
from nasarch.models.zoo import GENERIC
from nasarch.search.rows.rows import ROWS
from tests.helpers.command_line import all_commands
from tests.helpers.doc_pages import PAGES, ROOT, blocks, commands, inline_code, name_of, of_nasarch, text_of

PROGRAMS = {"nasarch", "python", "torchrun", "pip", "npm", "make"}  # of commands in blocks
PLACEHOLDERS = re.compile(r"\.\.\.|\b(COMMAND|METHOD)\b|\|")
FOLDERS = ("benchmarks", "docs", "examples", "export", "genotypes", "nasarch", "search", "tests")
WRITTEN = {"benchmarks/results/step-cost.json"}  # by a command beside it
by_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


class Parsed(Exception):
    """Raised in place of running a command that was parsed."""


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Parses the words of a command as the command line does, and runs nothing."""
    cli = sys.modules["tyro"].cli if "tyro" in sys.modules else importlib.import_module("tyro").cli

    def parsed(*arguments: Any, **named: Any) -> None:
        cli(*arguments, **named)
        raise Parsed

    monkeypatch.setattr("nasarch.flags.tyro.cli", parsed)
    monkeypatch.setattr(space, "OWN_OPERATIONS", {"conv_3x3_silu", "mine"})
    monkeypatch.chdir(tmp_path)
    for run_folder in ("first", "b"):
        (tmp_path / "runs" / run_folder).mkdir(parents=True)
        (tmp_path / "runs" / run_folder / "settings.toml").write_text('method = "ftso"\n')
    (tmp_path / "mine.toml").write_text('method = "pc-darts"\n')

    def parse(words: list[str]) -> None:
        with pytest.raises(Parsed):
            run(words, COMMANDS, "nasarch")

    return parse


@by_page
def test_commands_parse(page: Path, parse: Any) -> None:
    for words in commands(page):
        program = words[0] if "=" not in words[0] else words[1]
        assert program in PROGRAMS, words
        if (of := of_nasarch(words)) is not None:
            parse(of)


@by_page
def test_commands_within_lines_parse(page: Path, parse: Any) -> None:
    for code in inline_code(page):
        words = shlex.split(code) if code.startswith(("nasarch ", "torchrun ", "python -m nasarch ")) else []
        if (of := of_nasarch(words)) and not PLACEHOLDERS.search(code) and len(of) > len(command_of(of).split()):
            parse(of)


def command_of(words: list[str]) -> str:
    """The name of the command that the words begin with."""
    return next((name for name in (" ".join(words[:2]), words[0]) if name in all_commands()), words[0])


@pytest.fixture(scope="module")
def flags() -> dict[str, set[str]]:
    """The flags of each command, by its name."""
    import contextlib
    import io

    found = {}
    for name in all_commands():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
            run([*name.split(), "--help"], COMMANDS, "nasarch")
        found[name] = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w.-]*", printed.getvalue()))
    return found


@by_page
def test_flags_within_lines_exist(page: Path, flags: dict[str, set[str]]) -> None:
    known = set().union(*flags.values(), {"--plugin", "--version", "--nproc-per-node", "--device-modules", "--config"})
    for code in inline_code(page):
        if not code.startswith(("nasarch ", "--", "...")):
            continue
        words = code.split()
        if words[0] == "nasarch" and words[1].isidentifier() and words[1].islower():
            assert command_of(words[1:]) in {*flags, *COMMANDS}, code
        for word in words:
            if re.match(r"--[a-z]", word) and word != "--no-" and words[:2] != ["nasarch", "run"]:
                assert word.split("=")[0].rstrip(",;:") in known or word.replace("--no-", "--") in known, f"{word} in {code}"


@by_page
def test_files_and_models_exist(page: Path) -> None:
    models = {*nasarch.list_models(), *genotype.names(), *GENERIC}
    for code in inline_code(page):
        if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./*-]+", code) and code not in WRITTEN and "NAME" not in code:
            assert [*ROOT.glob(code.rstrip("/"))], code
        elif re.fullmatch(r"[a-z0-9_]+_(cifar|cifar100|imagenet)(_224|_shallow)?", code):
            assert code in models, code
    for code in blocks(page, "python"):
        for name in re.findall(r"create_model\(\"([a-z0-9_]+)\"", code):
            assert name in models, name


@by_page
def test_rows_of_tables_exist(page: Path) -> None:
    for row in re.findall(r"nasarch reproduce \"?([a-z][\w-]*/[\w/*-]+)", text_of(page)):
        assert any(fnmatch(name, row) for name in ROWS), row


@by_page
def test_python_compiles(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, name_of(page), "exec")


@by_page
def test_directives_name_what_exists(page: Path) -> None:
    """Included code and documented objects, which `make docs` would only find missing at its end."""
    text = text_of(page)
    for file, name in re.findall(r"\{literalinclude\} (\S+)\n:pyobject: (\S+)", text):
        module = (page.parent / file).resolve().relative_to(ROOT).with_suffix("").parts
        module = module if module[0] == "nasarch" else ("nasarch", *module)
        assert resolved(".".join((*module, name))) is not None
    for name in re.findall(r"\{module-docstring\} (\S+)", text):
        assert importlib.import_module(name).__doc__
    for name in re.findall(r"\.\. auto\w+:: (\S+)", text):
        assert inspect.getdoc(resolved(name)), name


def resolved(name: str) -> Any:
    """The object of a dotted name."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = "\n".join(text_of(page) for page in PAGES)
    for page in PAGES:
        if page.parent != ROOT and page.name != "index.md":
            assert re.search(rf"^(.*<)?([\w/]*/)?{page.stem}>?$", contents, re.MULTILINE), name_of(page)


def loaded(path: Path) -> Any:
    """The module of a file of docs/, which is no package."""
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def test_the_check_of_the_site_finds_what_is_wrong(tmp_path: Path) -> None:
    check = loaded(ROOT / "docs" / "check.py")
    links = '<a href="b.html#there">b</a><a href="#here">a</a><a href="b.html#a=1">b</a><a href="https://x.org">x</a><img src="b.html">'
    (tmp_path / "a.html").write_text(f'<p id="here">{links}')
    (tmp_path / "b.html").write_text('<p id="there"><link rel="next" href="#">')
    assert [*check.faults(tmp_path)] == [] and check.main(str(tmp_path)) == 0
    (tmp_path / "b.html").write_text(
        '<script src="https://cdn.org/a.js"></script><link rel="stylesheet" href="//fonts.org/a.css"><img src="c.png">'
        '<p id="other" style="background: url(https://x.org/a.png)"><style>@import "https://x.org/b.css";</style><a href="c.html">c</a>'
    )
    (tmp_path / "c.css").write_text("@font-face { src: url('https://fonts.org/b.woff') }")
    assert [*check.faults(tmp_path)] == [
        "a.html: links to b.html#there, which has no such anchor",
        "b.html: loads https://cdn.org/a.js from the network",
        "b.html: loads //fonts.org/a.css from the network",
        "b.html: loads c.png, which does not exist",
        "b.html: loads https://x.org/a.png from the network",
        "b.html: loads https://x.org/b.css from the network",
        "b.html: links to c.html, which does not exist",
        "c.css: loads https://fonts.org/b.woff from the network",
    ]
    assert check.main(str(tmp_path)) == 1


@pytest.mark.skipif(find_spec("sphinx") is None, reason="sphinx is not installed")
def test_pages_of_commands_are_their_help_texts() -> None:
    reference = loaded(ROOT / "docs" / "extensions" / "command_reference.py")
    page = reference.page("draw", COMMANDS["draw"])
    assert page.startswith("# nasarch draw\n\n```text\nnasarch draw ") and "\n`-o, --out " in page
    for name in ("darts", "pc-darts", "dots", "ftso", "edarts"):
        assert f"\n## nasarch search {name}\n" in reference.page("search", COMMANDS["search"])
    assert reference.escaped("a <b> *c* `d_e*` f_g") == r"a \<b\> \*c\* `d_e*` f\_g"


@pytest.mark.skipif(find_spec("sphinx") is None, reason="sphinx is not installed")
def test_docstrings_in_markdown_and_in_restructured_text() -> None:
    docstring = loaded(ROOT / "docs" / "extensions" / "docstring.py")
    assert docstring.as_markdown("Title.\n\nNote:\n    One\n    two.\nNote:\n    Three.\n") == ["Title.", "", "- One two.", "- Three."]
    assert docstring.as_restructured(["`Op`s of **names, |v|", "", "| a | b |", "|---|---|", "| `c` | d |"]) == [
        "``Op``\\ s of \\*\\*names, \\|v\\|",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - a",
        "     - b",
        "   * - ``c``",
        "     - d",
    ]
