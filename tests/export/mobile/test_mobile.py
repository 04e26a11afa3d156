"""`nasarch export litert` and `coreml`: the comparison with PyTorch, refusals, and the converters where they are installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from timm.models import save_for_hf
from torch import Tensor
from torch.nn import functional

from nasarch.cli.main import main
from nasarch.export.errors import ExportError
from nasarch.export.mobile import coreml, litert
from nasarch.export.mobile.mil import OPERATIONS, evaluate
from nasarch.export.mobile.pixels import Subject, subject
from tests.helpers.exported import trained

CONVERTERS = {"litert": ("litert_torch", "model.tflite"), "coreml": ("coremltools", "model.mlpackage")}


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def shallow() -> Subject:
    return subject("pc_darts_cifar_shallow")


def test_the_subject_is_a_float32_model_with_its_scaling_and_class_names(shallow: Subject) -> None:
    assert shallow.shape == (3, 32, 32) and shallow.scaling.mean == pytest.approx((0.4913, 0.4821, 0.4465)) and not shallow.random
    assert (shallow.class_names or [])[3] == "cat" and not shallow.model.training


def test_other_logits_are_refused_and_the_same_are_not(shallow: Subject) -> None:
    def own(pixels: Tensor) -> Tensor:
        with torch.no_grad():
            return shallow.model(shallow.scaling.images(pixels))

    assert shallow.agreement(own, "here").clear == 4
    with pytest.raises(ExportError, match="refused: the logits of pc_darts_cifar_shallow here differ from PyTorch's"):
        shallow.agreement(lambda pixels: own(pixels) + 0.01, "here")
    with pytest.raises(ExportError, match="refused"):  # images the wrong way round
        shallow.agreement(lambda pixels: own(pixels.flip(3)), "here")


# --- evaluation of MIL ---------------------------------------------------------------------------------------------------------


class Variable:
    """As a variable of MIL: `val` is a constant, or None."""

    def __init__(self, val: Any = None) -> None:
        self.val = val


def program(*steps: tuple[str, dict[str, Any]]) -> Any:
    """A program of operations in a row: each takes the result of the one before as `x`."""
    source = last = Variable()
    operations = [SimpleNamespace(op_type="const", inputs={}, outputs=[Variable(1.0)])]
    for kind, given in steps:
        inputs = {"x": last} | {key: value if isinstance(value, Variable) else Variable(value) for key, value in given.items()}
        last = Variable()
        operations.append(SimpleNamespace(op_type=kind, inputs=inputs, outputs=[last]))
    return SimpleNamespace(functions={"main": SimpleNamespace(inputs={"image": source}, operations=operations)})


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


POOL = {"kernel_sizes": integers(3, 3), "strides": integers(2, 2), "pad_type": "custom", "pad": integers(1, 1, 1, 1), "ceil_mode": False}
WEIGHT = np.random.default_rng(0).normal(size=(6, 2, 3, 3)).astype(np.float32)
STATISTICS = {key: np.arange(1, 5, dtype=np.float32) / index for index, key in enumerate(("mean", "variance", "gamma", "beta"), 1)}
CASES: dict[str, tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "relu": ({}, torch.relu),
    "add": ({"y": np.float32(2)}, lambda x: x + 2),
    "sub": ({"y": np.float32(2)}, lambda x: x - 2),
    "mul": ({"y": np.float32(2)}, lambda x: x * 2),
    "real_div": ({"y": np.float32(2)}, lambda x: x / 2),
    "max_pool": (POOL, lambda x: functional.max_pool2d(x, 3, 2, 1)),
    "avg_pool": ({**POOL, "exclude_padding_from_average": True}, lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    "avg_pool, with padding": ({**POOL, "exclude_padding_from_average": False}, lambda x: functional.avg_pool2d(x, 3, 2, 1)),
    "conv": (
        {"weight": WEIGHT, "strides": integers(1, 2), "pad_type": "custom", "pad": integers(2, 1, 0, 3)}
        | {"dilations": integers(2, 1), "groups": np.int32(2)},
        lambda x: functional.conv2d(functional.pad(x, (0, 3, 2, 1)), torch.from_numpy(WEIGHT), None, (1, 2), 0, (2, 1), 2),
    ),
    "batch_norm": (
        {**STATISTICS, "epsilon": np.float32(1e-3)},
        lambda x: functional.batch_norm(x, *(torch.from_numpy(value) for value in STATISTICS.values()), eps=1e-3),
    ),
    "slice_by_index": (
        {"begin": integers(0, 0, 1, 0), "end": integers(0, 2, 0, 5), "stride": integers(1, 1, 2, 1)}
        | {"begin_mask": np.array([True, True, False, True]), "end_mask": np.array([True, False, True, False])},
        lambda x: x[:, :2, 1::2, :5],
    ),
    "reduce_mean": ({"axes": integers(-2, -1), "keep_dims": np.True_}, lambda x: x.mean((2, 3), keepdim=True)),
    "reshape": ({"shape": integers(2, -1)}, lambda x: x.reshape(2, -1)),
    "pad": (
        {"pad": integers(0, 0, 0, 0, 1, 2, 3, 4), "mode": "constant", "constant_val": np.float32(7)},
        lambda x: functional.pad(x, (3, 4, 1, 2), value=7.0),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_operation_of_mil_is_that_of_pytorch(name: str) -> None:
    given, expected = CASES[name]
    x = images(1, 4, 9, 9)
    found = evaluate(program((name.split(",")[0], given), ("softmax", {})), x, "softmax")
    torch.testing.assert_close(found, expected(x))


def test_several_inputs_and_a_linear_layer() -> None:
    weight, bias = np.ones((3, 8), np.float32), np.float32([1, 2, 3])
    x = images(1, 4, 1, 1)
    made = program(("concat", {"axis": np.int32(1)}), ("squeeze", {"axes": integers(2, 3)}), ("linear", {"weight": weight, "bias": bias}))
    function = made.functions["main"]
    function.operations[1].inputs["values"] = [function.inputs["image"]] * 2
    function.operations.append(SimpleNamespace(op_type="softmax", inputs={"x": function.operations[-1].outputs[0]}, outputs=[Variable()]))
    torch.testing.assert_close(evaluate(made, x, "softmax"), 2 * x.sum() + torch.tensor([[1.0, 2.0, 3.0]]))


def test_what_can_not_be_evaluated_is_refused() -> None:
    x = images(1, 4, 8, 8)
    with pytest.raises(ExportError, match="an operation gelu, which can't be compared"):
        evaluate(program(("gelu", {}), ("softmax", {})), x, "softmax")
    with pytest.raises(ExportError, match="no operation softmax"):
        evaluate(program(("relu", {})), x, "softmax")
    for change in ({"pad_type": "same"}, {"ceil_mode": True}):
        with pytest.raises(ExportError, match="in a way that can't be compared"):
            evaluate(program(("max_pool", {**POOL, **change}), ("softmax", {})), x, "softmax")
    exact = {**POOL, "kernel_sizes": integers(2, 2), "pad": integers(0, 0, 0, 0), "ceil_mode": True}
    assert evaluate(program(("max_pool", exact), ("softmax", {})), x, "softmax").shape == (1, 4, 4, 4)
    assert "softmax" not in OPERATIONS


# --- the commands --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", CONVERTERS)
def test_a_missing_converter_is_named(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    package, file = CONVERTERS[command]
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", command, "pc_darts_cifar_shallow", "-o", str(tmp_path / file)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"pip install {package.replace('_', '-')}" in said and not any(tmp_path.iterdir())


def test_a_package_of_core_ml_has_its_suffix(tmp_path: Path, capsys: Any) -> None:
    assert main(["export", "coreml", "pc_darts_cifar_shallow", "-o", str(tmp_path / "x.mlmodel")]) == 2
    assert "ends in .mlpackage" in capsys.readouterr().err


@pytest.mark.parametrize("command", CONVERTERS)
@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["--checkpoint", "w"], {"checkpoint": Path("w")}),
        (["--data", "digits"], {"data": "digits"}),
        (["--size", "48"], {"size": 48}),
    ],
)
def test_a_flag_changes_its_own_argument_alone(command: str, words: list[str], changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    module: Any = {"litert": litert, "coreml": coreml}[command]
    monkeypatch.setattr(module, f"export_{command}", lambda *told, **more: seen.append((told, more)) or "what was written")
    assert main(["export", command, "a model", "-o", "there", *words]) == 0
    assert seen == [(("a model", Path("there")), {"checkpoint": None, "data": None, "size": None, **changed})]


@pytest.mark.slow
@pytest.mark.parametrize("command", CONVERTERS)
@pytest.mark.parametrize("model", ["pc_darts_cifar_shallow", "ftso_nats_cifar", "grey"])
def test_a_file_is_written_and_has_the_logits_of_pytorch(command: str, model: str, tmp_path: Path) -> None:
    package, file = CONVERTERS[command]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    arguments = [model]
    if model == "grey":
        inputs = {"input_size": (1, 12, 12), "mean": (0.5,), "std": (0.2,)}
        grey = trained("nas_cifar", genotype="pc_darts_cifar", in_chans=1, num_classes=3, pretrained_cfg_overlay=inputs)
        save_for_hf(grey, str(tmp_path / "grey"), safe_serialization=True)
        arguments = [str(tmp_path / "grey")]
    assert main(["export", command, *arguments, "-o", str(tmp_path / file)]) == 0
    content = [path.read_bytes() for path in [tmp_path / file, *(tmp_path / file).rglob("*")] if path.is_file()]
    assert content and not [one for one in content if str(tmp_path).encode() in one or str(Path.home()).encode() in one]
