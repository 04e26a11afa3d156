"""The fused kernels in Triton's interpreter: BN of blocks, poolings, copies, and supernets that use them, in float64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: it has no wheel for this platform")


def interpreted(name: str) -> Any:
    """What a module of tests.helpers finds in a process with the interpreter."""
    environment, root = os.environ | {"TRITON_INTERPRET": "1"}, Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-m", f"tests.helpers.{name}"], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def supernets() -> Any:
    return interpreted("interpreted_supernet")


def test_bn_of_blocks_is_that_of_its_literal_twin() -> None:
    found = interpreted("interpreted_norm")
    assert len(found["cases"]) == 12
    for case, differences in found["cases"].items():
        assert len(differences) >= 4, case
        for name, difference in differences.items():
            assert difference < 1e-11, (case, name)
    assert 1e-4 < found["bf16"]["value"] < 2e-2 and found["bf16"]["gradient 1"] < 1e-5  # rounded once, sums in float32


def test_supernets_with_fused_kernels_are_those_of_a_cpu(supernets: Any) -> None:
    for case, differences in supernets["supernets"].items():
        assert differences.keys() == {"logits", "gradients", "statistics", "second gradients"}
        for name, difference in differences.items():
            assert difference < (1e-8 if name == "second gradients" else 1e-10), (case, name)


def test_poolings_and_copies_are_pytorchs(supernets: Any) -> None:
    assert len(supernets["poolings"]) == 12 and len(supernets["copies"]) == 3
    for case, differences in supernets["poolings"].items():
        for name, difference in differences.items():
            assert difference < 1e-14, (case, name)
    assert set(supernets["copies"].values()) == {0.0}


def test_depthwise_convolutions_of_copies_are_pytorchs(supernets: Any) -> None:
    assert len(supernets["depthwise"]) == 4
    for case, differences in supernets["depthwise"].items():
        assert len(differences) == 6
        for name, difference in differences.items():
            assert difference < 1e-12, (case, name)
