"""The fused separable convolution in Triton's interpreter, against its literal twin in float64: value, statistics, all gradients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.interpreted_separable import CASES

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: it has no wheel for this platform")


@pytest.fixture(scope="module")
def found() -> Any:
    """What the process with the interpreter found."""
    told = [sys.executable, "-m", "tests.helpers.interpreted_separable"]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(told, cwd=Path(__file__).parents[3], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_value_statistics_and_all_gradients_are_the_twins(case: str, found: Any) -> None:
    assert len(found["cases"][case]) == 11
    for name, difference in found["cases"][case].items():
        assert difference < (1e-7 if name.startswith("second") else 1e-10), name


def test_channels_that_are_no_power_of_two_are_refused(found: Any) -> None:
    assert "3 channels a group" in found["refused"]
