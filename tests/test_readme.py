"""What the README shows runs as it is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from nasarch.cli.main import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


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


def test_the_five_files_to_read_first_exist() -> None:
    files = re.findall(r"^\d\. `(\S+)`", README, re.MULTILINE)
    assert len(files) == 5 and all((Path(__file__).parents[1] / name).is_file() for name in files)


def test_says_that_timm_needs_the_import() -> None:
    assert "import nasarch" in README and "Unknown model" in README
