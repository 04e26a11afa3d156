"""What the README shows runs as it is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from nasarch.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_examples_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search, draw and export in an empty folder; the Python blocks see what the commands left there."""
    monkeypatch.chdir(tmp_path)
    ran = 0
    for language, text in re.findall(r"```(python|bash)\n(.*?)```", README, re.DOTALL):
        if language == "python":
            exec(compile(text, "README.md", "exec"), {})
            ran += 1
        else:
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "nasarch"
                assert main(arguments) == 0
                ran += 1
    assert ran == len(blocks("python")) + sum(len(block.splitlines()) for block in blocks("bash")) >= 5
    assert sorted(p.name for p in (tmp_path / "runs" / "first").iterdir() if p.suffix in (".svg", ".onnx")) == ["cell.svg", "model.onnx"]


def test_is_short_and_its_links_exist() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150 and all(len(line) <= 120 for line in lines)
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert len(links) > 10 and all((ROOT / link).is_file() for link in links)


def test_the_examples_in_the_docs_are_those_of_the_readme_or_run() -> None:
    for page, runs in (("searches.md", False), ("models.md", True)):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        found = re.findall(r"```(?:python|bash)\n(.*?)```", text, re.DOTALL)
        assert found
        for block in found:
            if runs:
                exec(compile(block, page, "exec"), {})
            else:
                assert block in README


def test_the_examples_from_python_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "searches_python.md").read_text(encoding="utf-8"), re.DOTALL)
    for block in found:
        exec(compile(block, "searches_python.md", "exec"), {})
    assert len(found) == 6 and sorted(path.name for path in Path("runs").iterdir()) == ["a", "again", "b", "c"]


def test_the_five_files_to_read_first_exist() -> None:
    files = re.findall(r"^\d\. `(\S+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(files) == 5 and all((ROOT / name).is_file() for name in files)


def test_says_that_timm_needs_the_import() -> None:
    assert "import nasarch" in README and "Unknown model" in README
