"""Rankings at a small scale, and the message of a refused command."""

from __future__ import annotations

import pytest

from nasarch.cli.main import main

SMALL = ["--size", "8", "--cells", "3", "--channels", "4", "--device", "cpu"]


TINY = [*SMALL, "--epochs", "2", "--images", "200", "--val-images", "100"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line
