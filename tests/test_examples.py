"""Each example runs as it is written, where the package that it is for is installed."""

from __future__ import annotations

import json
import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.command_line import python
from tests.helpers.timm_scripts import timm_script

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = EXAMPLES / "demo.ipynb"
EXPECTED = {  # package, and the last line
    "detr": ("transformers", r"loss \d.*"),
    "executorch_inference": ("executorch", r"1\.0 MB, logits within \de-0[67] of PyTorch's"),
    "fastai_train": ("fastai", r"accuracy 0\.[6-9]\d+"),
    "lightning_train": ("lightning", r"accuracy 0\.[6-9]\d+"),
    "own_data": ("timm", r"10 classes, images of \(3, 32, 32\)"),
    "search_from_python": ("timm", r"logits of shape \(2, 10\), loss of the search \d.*"),
    "own_operation": ("onnxruntime", "difference to PyTorch below 1e-4: True"),
    "openvino_inference": ("openvino", "(airplane|automobile|bird|cat|deer|dog|frog|horse|ship|truck)"),
    "segmentation": ("segmentation_models_pytorch", r"loss \d.*"),
    "timm_train": ("timm", r"top-1 accuracy [5-9]\d\.\d %"),
    "transformers_pipeline": ("transformers", r"\w+: 0\.\d+"),
}


def test_every_example_is_run_below_and_named_in_the_docs() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == EXPECTED.keys()
    page = (EXAMPLES.parent / "docs" / "models.md").read_text(encoding="utf-8")
    assert all(f"examples/{name}" in page for name in [*(f"{name}.py" for name in EXPECTED), NOTEBOOK.name])


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    package, line = EXPECTED[name]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    arguments = [timm_script("train.py")] if name == "timm_train" else []
    path = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    done = python("-W", "ignore", str(EXAMPLES / f"{name}.py"), *arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0 and re.fullmatch(line, done.stdout.splitlines()[-1]), done.stdout + done.stderr
    assert not any(tmp_path.iterdir())


def test_the_notebook_is_small_and_holds_nothing_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(text) < 60_000 and [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    assert all(output["output_type"] != "error" for cell in code for output in cell["outputs"])
    assert not re.search(r"/root|/home|/tmp|site-packages|\x1b", text)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """In Jupyter's kernel where nbclient is installed, else as a script of its cells."""
    path = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    if find_spec("nbclient") and find_spec("ipykernel"):
        words = (
            "-c",
            f"import nbclient, nbformat; nbclient.NotebookClient(nbformat.read({str(NOTEBOOK)!r}, 4), kernel_name='python3').execute()",
        )
    else:
        cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        words = ("-c", "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    done = python("-W", "ignore", *words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "model.onnx").is_file() and (tmp_path / "demo" / "train" / "result.json").is_file()
