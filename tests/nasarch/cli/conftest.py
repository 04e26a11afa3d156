"""The fixture of tests that run commands in their own process."""

from __future__ import annotations

from pathlib import Path

import pytest

from nasarch.cli import main
from tests.helpers.command_line import Outcome, Run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        status = main.main([str(argument) for argument in arguments])
        return Outcome(status, *capsys.readouterr())

    return run
