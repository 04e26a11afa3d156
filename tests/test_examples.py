"""Each example runs as it is written, where the package that it is for is installed."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.command_line import python

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPECTED = {  # package, and the last line
    "detr": ("transformers", r"loss \d.*"),
    "lightning_train": ("lightning", r"accuracy 0\.[6-9]\d+"),
    "own_data": ("timm", r"10 classes, images of \(3, 32, 32\)"),
    "search_from_python": ("timm", r"logits of shape \(2, 10\), loss of the search \d.*"),
    "own_operation": ("onnxruntime", "difference to PyTorch below 1e-4: True"),
    "openvino_inference": ("openvino", "(airplane|automobile|bird|cat|deer|dog|frog|horse|ship|truck)"),
    "segmentation": ("segmentation_models_pytorch", r"loss \d.*"),
    "transformers_pipeline": ("transformers", r"\w+: 0\.\d+"),
}


def test_every_example_is_run_below_and_named_in_the_docs() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == EXPECTED.keys()
    page = (EXAMPLES.parent / "docs" / "models.md").read_text(encoding="utf-8")
    assert all(f"examples/{name}.py" in page for name in EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    package, line = EXPECTED[name]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    path = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    done = python("-W", "ignore", str(EXAMPLES / f"{name}.py"), cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0 and re.fullmatch(line, done.stdout.splitlines()[-1]), done.stdout + done.stderr
    assert not any(tmp_path.iterdir())
