"""Each flag of `nasarch export onnx`, `verify` and `hub` is followed to its effect, and each property of a file to where it is from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import nasarch
from nasarch.cli.main import main
from nasarch.export import verify as command
from nasarch.export.errors import ExportError
from nasarch.export.hub import folder
from nasarch.export.onnx import export as module
from nasarch.export.onnx import float32 as exporter
from nasarch.export.onnx import variants
from nasarch.export.onnx import verify as verifier
from nasarch.export.onnx.calibration import Calibration
from nasarch.export.onnx.export import ExportVariants, VariantReport, export_model, export_variants
from nasarch.export.onnx.float32 import checked, export_onnx, input_size, sizes
from nasarch.export.onnx.session import open_session
from nasarch.export.onnx.untrusted import UntrustedModel, read_onnx
from nasarch.export.source.find import LoadedModel
from nasarch.export.verify import verify
from tests.helpers.exported import graph_of

MEAN, STD = (0.1, 0.4, 0.8), (0.2, 0.5, 0.9)


class Pooled(nn.Module):
    """Three logits of the mean colour; images of any size in multiples of 2."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[3.0, -1, 0.5], [-1, 2, 1], [0.2, 1, -2]]))
            self.fc.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
        self.feature_info = [{"reduction": 1}, {"reduction": 2}]
        told = {"architecture": "pooled", "input_size": (3, 6, 8), "mean": MEAN, "std": STD, "interpolation": "bicubic", "crop_pct": 0.75}
        self.pretrained_cfg = {**told, **config}

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


def graph(reference: nn.Module, shape: Sequence[int], multiple: int | None = None) -> onnx.ModelProto:
    """What torch would make of it, within milliseconds."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
    ]
    layer: Any = reference.fc
    ends = shape if multiple is None else (shape[0], "height", "width")
    return graph_of(nodes, ends, 3, w=layer.weight.detach().numpy(), b=layer.bias.detach().numpy())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, ...], int | None]]:
    """With that graph instead of torch's exporter; says for which images it was asked."""
    asked = list[tuple[tuple[int, ...], int | None]]()

    def made(reference: nn.Module, shape: Any, multiple: int | None = None) -> onnx.ModelProto:
        asked.append((tuple(shape), multiple))
        return graph(reference, shape, multiple)

    monkeypatch.setattr(exporter, "graph", made)
    return asked


def told(path: Path) -> dict[str, str]:
    return {one.key: one.value for one in onnx.load(path).metadata_props}


# --- from flags to calls -----------------------------------------------------------------------------------------------------


ONNX: dict[str, tuple[list[str], dict[str, Any]]] = {
    "nothing": ([], {}),
    "checkpoint": (["--checkpoint", "w"], {"checkpoint": Path("w")}),
    "data": (["--data", "cifar10"], {"data": "cifar10"}),
    "size": (["--size", "48"], {"size": 48}),
    "dynamic size": (["--dynamic-size"], {"variants": ExportVariants(dynamic_size=True)}),
    "uint8 input": (["--uint8-input"], {"variants": ExportVariants(uint8_input=True)}),
    "fp16": (["--fp16"], {"variants": ExportVariants(fp16=True)}),
    "int8": (["--int8", "--calibrate", "digits"], {"variants": ExportVariants(int8=True, calibrate="digits")}),
    "calibrate": (["--fp16", "--calibrate", "x"], {"variants": ExportVariants(fp16=True, calibrate="x")}),
    "force": (["--force"], {"variants": ExportVariants(force=True)}),
}


@pytest.mark.parametrize("flag", ONNX)
def test_a_flag_of_export_onnx_changes_its_own_argument_alone(flag: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    seen = list[Any]()
    monkeypatch.setattr(module, "export_model", lambda *told, **more: seen.append((told, more)) or "what was written")
    words, changed = ONNX[flag]
    assert main(["export", "onnx", "a model", "-o", "there", *words]) == 0
    usual = {"checkpoint": None, "data": None, "size": None, "variants": ExportVariants()}
    assert seen == [(("a model", "there"), {**usual, **changed})] and capsys.readouterr().out == "what was written\n"


@pytest.mark.parametrize("flag", ["model", "checkpoint", "images"])
def test_a_flag_of_verify_changes_its_own_argument_alone(flag: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    seen = list[Any]()
    monkeypatch.setattr(command, "verify", lambda *told, **more: seen.append((told, more)) or "what was found")
    assert main(["export", "verify", "a.onnx", f"--{flag}", "x"]) == 0
    usual = {"model": None, "checkpoint": None, "images": None}
    assert seen == [((Path("a.onnx"),), {**usual, flag: Path("x") if flag == "checkpoint" else "x"})]
    assert capsys.readouterr().out == "what was found\n"


HUB: dict[str, tuple[list[str], dict[str, Any]]] = {
    "out": (["--out", "o"], {"out": Path("o")}),
    "checkpoint": (["--checkpoint", "w"], {"checkpoint": Path("w")}),
    "data": (["--data", "digits"], {"data": "digits"}),
    "size": (["--size", "48"], {"size": 48}),
    "push": (["--push", "me/x"], {"repository": "me/x"}),
    "public": (["--public"], {"public": True}),
}


@pytest.mark.parametrize("flag", HUB)
def test_a_flag_of_export_hub_changes_its_own_argument_alone(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    monkeypatch.setattr(folder, "hub", lambda *told, **more: seen.append((told, more)) or [])
    words, changed = HUB[flag]
    assert main(["export", "hub", "a model", *words]) == 0
    usual = {"out": None, "checkpoint": None, "data": None, "size": None, "repository": None, "public": False}
    assert seen == [(("a model",), {**usual, **changed})]


@pytest.mark.parametrize("given", [{"checkpoint": "w"}, {"data": "cifar10"}, {"size": 9}, {}])
def test_a_model_is_found_by_source_weights_and_data_and_exported_at_its_size(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    monkeypatch.setattr(module, "find_model", lambda *told: seen.append(told) or "a subject")
    monkeypatch.setattr(module, "export_variants", lambda *told, **more: seen.append((told, more)))
    forms = ExportVariants(fp16=True)
    export_model("a model", "there", variants=forms, **given)
    assert seen == [
        ("a model", given.get("checkpoint"), given.get("data")),
        (("a subject", "there"), {"size": given.get("size"), "variants": forms}),
    ]
    seen.clear()
    export_model("a model", "there")
    assert seen[1][1]["variants"] == ExportVariants()


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_for_the_hub_is_written_then_pushed(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    monkeypatch.setattr(folder, "export_hub", lambda *told, **more: seen.append((told, more)) or "written")
    monkeypatch.setattr(folder, "_name_in_card", lambda *told: seen.append(told))
    monkeypatch.setattr(folder, "push", lambda *told, **more: seen.append((told, more)) or "pushed")
    flags: dict[str, Any] = {"checkpoint": "w", "data": "cifar10", "size": 9, "repository": "me/x" if named else None}
    done = [*folder.hub("a model", out=tmp_path / "o", public=named, **flags)]
    pushed = [(tmp_path / "o" / "README.md", "me/x"), ((tmp_path / "o", "me/x"), {"public": True})]
    assert seen == [(("a model", tmp_path / "o"), flags), *(pushed if named else [])]
    assert done == ["written", *["pushed"] * named]


# --- what is in a file -------------------------------------------------------------------------------------------------------


def test_each_property_of_each_form_is_the_models_own(quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Pooled().eval()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "w.safetensors")
    pixels = torch.randint(256, (41, 6, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[20:] //= torch.tensor([1, 3, 9], dtype=torch.uint8)
    asked = list[Any]()
    images = Calibration("mine", pixels[:20], pixels[20:], torch.zeros(21, dtype=torch.int64))
    monkeypatch.setattr(module, "calibration", lambda *told: asked.append(told) or images)
    forms = ExportVariants(uint8_input=True, fp16=True, int8=True, calibrate="these")
    written = export_variants(LoadedModel(model, ("ä", "b", "c"), True), f"{tmp_path}/out/", size=None, variants=forms)
    assert asked == [("these", model, (3, 6, 8), ("ä", "b", "c"))] and quick == [((3, 6, 8), None)]
    base = {
        "architecture": "pooled",
        "num_classes": "3",
        "class_names": json.dumps(["ä", "b", "c"]),
        "input_size": "[3, 6, 8]",
        "mean": "[0.1, 0.4, 0.8]",
        "std": "[0.2, 0.5, 0.9]",
        "interpolation": "bicubic",
        "crop_pct": "0.75",
        "precision": "float32",
        "weights_sha256": hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest(),
        "nasarch_version": nasarch.__version__,
    }
    place = tmp_path / "out" / "onnx"
    assert told(place / "model.onnx") == base
    assert told(place / "model_uint8in.onnx") == {**base, "preprocessing": "inside"}
    judged = {"images": 21, "of": "mine", "same_class_as_float32": 1.0}
    half = told(place / "model_fp16.onnx")
    known = json.loads(half.pop("top1_agreement"))
    assert half == {key: value for key, value in base.items() if key != "precision"} | {"precision": "float16"}
    assert {key: known[key] for key in judged} == judged and known["accuracy"] == known["float32_accuracy"]
    integer = told(place / "model_quantized.onnx")
    assert json.loads(integer.pop("calibration")) == {"images": 20, "of": "mine", "ranges": "MinMax"}
    assert json.loads(integer.pop("top1_agreement"))["images"] == 21
    assert integer == {**base, "precision": "int8"}
    assert (written.random, written.named) == (True, True) and "the weights are random: --checkpoint" in str(written)
    for report, name in zip(written.reports, ("model", "model_uint8in", "model_fp16", "model_quantized"), strict=True):
        assert report.path == place / f"{name}.onnx" and report.size_bytes == report.path.stat().st_size


def test_a_size_that_is_asked_for_is_that_of_the_graph_and_of_the_images(
    quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()
    monkeypatch.setattr(module, "calibration", lambda *told: asked.append(told) or None)
    model = Pooled(label_names=["x", "y", "z"]).eval()
    forms = ExportVariants(fp16=True, calibrate="these", force=True)
    written = export_variants(LoadedModel(model, None, False), tmp_path / "a.onnx", size=10, variants=forms)
    assert asked == [("these", model, (3, 10, 10), ["x", "y", "z"])] and quick == [((3, 10, 10), None)]
    found = told(tmp_path / "a.onnx")
    assert (found["input_size"], found["class_names"]) == ("[3, 10, 10]", '["x", "y", "z"]')
    assert "random" not in str(written) and "the classes have no names" not in str(written)
    nameless = export_variants(LoadedModel(Pooled().eval(), None, False), tmp_path / "b.onnx", size=None, variants=ExportVariants())
    assert "the classes have no names: --data NAME" in str(nameless) and "class_names" not in told(tmp_path / "b.onnx")


def test_a_dynamic_size_is_told_and_checked_at_two_sizes(quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = list[Any]()
    for place, name in ((exporter, "compare"), (variants, "compare_half")):
        own = getattr(place, name)
        monkeypatch.setattr(place, name, lambda twin, session, shape, own=own: shapes.append(shape) or own(twin, session, shape))
    forms = ExportVariants(dynamic_size=True, fp16=True)
    export_variants(LoadedModel(Pooled().eval(), None, True), f"{tmp_path}/", size=None, variants=forms)
    assert quick == [((3, 6, 8), 2)] and shapes == [(3, 6, 8), (3, 8, 6)] * 2
    for name in ("model", "model_fp16"):
        path = tmp_path / "onnx" / f"{name}.onnx"
        assert told(path)["size_multiple"] == "2"
        (taken,) = open_session(path).get_inputs()
        assert taken.shape == ["batch", 3, "height", "width"]
    with pytest.raises(
        ExportError, match="size 7 is no multiple of 2, by which pooled reduces its images; with --dynamic-size choose 6 or 8"
    ):
        checked(Pooled().eval(), size=7, dynamic_size=True)


@pytest.mark.parametrize(
    ("shape", "multiple", "found"),
    [
        ((3, 6, 8), None, [(3, 6, 8)]),
        ((3, 6, 8), 2, [(3, 6, 8), (3, 8, 6)]),
        ((3, 32, 32), 32, [(3, 32, 32), (3, 64, 32)]),
        ((3, 64, 96), 32, [(3, 64, 96), (3, 96, 64)]),
    ],
)
def test_the_other_size_is_higher_and_narrower(shape: Any, multiple: int | None, found: Any) -> None:
    assert sizes(shape, multiple) == found


def test_a_size_is_the_smallest_that_leaves_a_pixel_or_more() -> None:
    model = Pooled(input_size=(1, 6, 8))
    model.feature_info = [{"reduction": 4}, {}]
    assert input_size(model, 4) == (1, 4, 4) and input_size(model, None) == (1, 6, 8)
    model.in_chans = 5
    assert input_size(model, None)[0] == 5
    with pytest.raises(ExportError, match="size 3 is too small for pooled; choose 4 or more"):
        input_size(model, 3)
    assert input_size(model, 12, 4) == (5, 12, 12)
    for size, below in ((13, 12), (15, 12)):
        with pytest.raises(ExportError, match=f"choose {below} or {below + 4}"):
            input_size(model, size, 4)
    with pytest.raises(ExportError, match="size 6 is no multiple of 4"):
        input_size(model, None, 4)
    wide = Pooled(input_size=(3, 8, 6))
    wide.feature_info = [{"reduction": 4}]
    with pytest.raises(ExportError, match="no multiple of 4"):
        input_size(wide, None, 4)


# --- which files, and which are refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "flags", "names"),
    [
        ("a.onnx", {}, {"float32": "a.onnx"}),
        ("a.onnx", {"int8": True, "calibrate": "x"}, {"int8": "a.onnx"}),
        ("new/", {}, {"float32": "new/onnx/model.onnx"}),
        ("there", {"fp16": True}, {"float32": "there/onnx/model.onnx", "float16": "there/onnx/model_fp16.onnx"}),
        ("new", {"fp16": True}, {"float16": "new"}),
    ],
)
def test_a_place_is_a_file_or_a_folder(
    out: str, flags: dict[str, Any], names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert {form: str(path) for form, path in ExportVariants(**flags).paths(out).items()} == names


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("form", "remedy"), [("int8", "give more images or others"), ("fp16", "leave --fp16 out")])
def test_a_form_that_changes_more_than_a_twentieth_of_the_classes_needs_force(
    form: str, remedy: str, force: bool, quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(proto: onnx.ModelProto, *_: Any) -> onnx.ModelProto:
        twin = onnx.ModelProto()
        twin.CopyFrom(proto)
        for tensor in twin.graph.initializer:
            if tensor.name == "w":
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), "w"))
        return twin

    pixels = torch.randint(256, (41, 6, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[::2] //= torch.tensor([9, 3, 1], dtype=torch.uint8)
    monkeypatch.setattr(module, "calibration", lambda *_: Calibration("mine", pixels[:20], pixels[20:], None))
    monkeypatch.setattr(variants, "quantised", wrong)
    monkeypatch.setattr(variants, "halved", wrong)
    monkeypatch.setattr(variants, "compare_half", lambda *_: variants.Agreement(0, 1, 1, 0))
    forms = ExportVariants(**{form: True}, calibrate="these", force=force)  # type: ignore[arg-type]
    subject = LoadedModel(Pooled().eval(), None, False)
    if force:
        said = str(export_variants(subject, tmp_path / "a.onnx", size=None, variants=forms))
        assert "forced: fewer than 95 % of the images keep their class" in said and (tmp_path / "a.onnx").exists()
    else:
        name = {"fp16": "float16"}.get(form, form)
        with pytest.raises(ExportError, match=f"refused: {name} gives the class .*at least 95 % are needed; {remedy}"):
            export_variants(subject, tmp_path / "a.onnx", size=None, variants=forms)
        assert not any(tmp_path.iterdir())


def test_latencies_are_those_of_the_file_and_of_float32_in_this_order(quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = list[Any]()
    monkeypatch.setattr(module, "run", lambda session, batch: ran.append((session.get_inputs()[0].type, tuple(batch.shape), batch.dtype)))

    def timed(first: Callable[[], Any], second: Callable[[], Any]) -> list[float]:
        first(), second()
        return [2.0, 6.0]

    monkeypatch.setattr(module, "latencies", timed)
    (report,) = export_variants(
        LoadedModel(Pooled().eval(), None, True), tmp_path / "a", size=None, variants=ExportVariants(uint8_input=True)
    ).reports
    assert isinstance(report, VariantReport) and (report.onnx_ms, report.float32_ms) == (2.0, 6.0)
    assert ran == [("tensor(uint8)", (1, 6, 8, 3), torch.uint8), ("tensor(float)", (1, 3, 6, 8), torch.float32)]
    said = str(report)
    assert "takes pixels, uint8" in said and "latency at batch 1: 2.00 ms, float32 6.00 ms (3.0x)" in said
    seen = list[str]()
    monkeypatch.setattr(exporter, "latencies", lambda first, second: (first(), second()) and [4.0, 1.0])
    monkeypatch.setattr(exporter, "run", lambda *_: seen.append("onnxruntime"))
    monkeypatch.setattr(Pooled, "forward", lambda self, x: seen.append("PyTorch"))
    agreement = exporter.Agreement(0, 1, 1, 0)
    base: Any = exporter.Checked(Pooled().eval(), (3, 6, 8), None, 3, onnx.ModelProto(), None, agreement, {})  # type: ignore[arg-type]
    timing = exporter.report(base, tmp_path / "b", 7)
    assert (timing.torch_ms, timing.onnx_ms, timing.size_bytes, seen) == (4.0, 1.0, 7, ["PyTorch", "onnxruntime"]) and "(4.0x)" in str(
        timing
    )


def test_a_model_in_training_in_half_precision_is_exported_as_it_is_in_evaluation(quick: Any, tmp_path: Path) -> None:
    class Dropping(Pooled):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.functional.dropout(x, 0.5, self.training))

    model = Dropping().train().bfloat16()
    report = export_onnx(model, tmp_path / "a.onnx")
    assert report.agreement.holds and model.training and next(model.parameters()).dtype == torch.bfloat16
    assert exporter.reference(model).training is False and not any(p.requires_grad for p in exporter.reference(model).parameters())

    class Checkpointing(Pooled):
        def set_grad_checkpointing(self, on: bool) -> None:
            self.checkpointing = on

    assert exporter.reference(Checkpointing()).checkpointing is False  # type: ignore[union-attr]


# --- verify ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of `find_model`, which finds the model above."""
    seen = list[Any]()
    monkeypatch.setattr(verifier, "find_model", lambda *told: seen.append(told) or LoadedModel(Pooled().eval(), None, False))
    return seen


def written(path: Path, proto: onnx.ModelProto | None = None, **properties: str) -> Path:
    proto = graph(Pooled(), (3, 6, 8)) if proto is None else proto
    if properties:
        helper.set_model_props(proto, properties)
    onnx.save(proto, path)
    return path


def test_weights_of_another_digest_are_refused_and_none_stated_is_said(named: Any, tmp_path: Path) -> None:
    digest = verifier.digest(Pooled())
    path = written(tmp_path / "a.onnx", weights_sha256=digest)
    assert f"pooled with the weights of sha256 {digest[:12]}...\nchecked: logits within" in str(verify(path, model="x", checkpoint="w"))
    assert named == [("x", "w")]
    assert ", not stated\nchecked: " in str(verify(written(tmp_path / "b.onnx"), model="x"))
    other = "f" * 64
    with pytest.raises(ExportError, match=rf"was made of other weights \(sha256 {other[:12]}...\) than these \({digest[:12]}...\)"):
        verify(written(tmp_path / "c.onnx", weights_sha256=other), model="x")


@pytest.mark.parametrize("multiple", [None, "2"])
def test_a_file_is_compared_at_the_sizes_that_it_says(
    multiple: str | None, named: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, compared = list[Any](), verifier.compare
    monkeypatch.setattr(
        verifier, "compare", lambda twin, session, shape, *rest: shapes.append((shape, *rest)) or compared(twin, session, shape, *rest)
    )
    path = written(tmp_path / "a.onnx", graph(Pooled(), (3, 6, 8), multiple and 2), **({"size_multiple": multiple} if multiple else {}))  # type: ignore[arg-type]
    assert "checked: " in str(verify(path, model="x"))
    assert shapes == [((3, 6, 8), None, (1, 3))] if multiple is None else [((3, 6, 8), None, (1, 3)), ((3, 8, 6), None, (1, 3))]


@pytest.mark.parametrize(("batch", "batches"), [("n", (1, 3)), (1, (1,) * 4), (2, (2, 2)), (3, (3, 3)), (4, (4,)), (5, (5,))])
def test_a_file_of_a_fixed_batch_is_fed_such_batches_for_four_images_or_more(
    batch: Any, batches: tuple[int, ...], named: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    compared = verifier.compare
    monkeypatch.setattr(verifier, "compare", lambda *told: seen.append(told[4]) or compared(*told))
    proto = graph(Pooled(), (3, 6, 8))
    for end in (proto.graph.input[0], proto.graph.output[0]):
        dim = end.type.tensor_type.shape.dim[0]
        dim.ClearField("dim_param")
        dim.dim_value, dim.dim_param = (0, batch) if isinstance(batch, str) else (batch, "")
        if isinstance(batch, int):
            dim.ClearField("dim_param")
            dim.dim_value = batch
    verify(written(tmp_path / "a.onnx", proto), model="x")
    assert seen == [batches]


def test_a_float16_file_is_compared_as_one(named: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an error that only float16 may have."""
    proto = graph(Pooled(), (3, 6, 8))
    (bias,) = (tensor for tensor in proto.graph.initializer if tensor.name == "b")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.003), "b"))
    assert "checked: " in str(verify(written(tmp_path / "a.onnx", proto, precision="float16"), model="x"))
    with pytest.raises(ExportError, match="differ from PyTorch's"):
        verify(written(tmp_path / "b.onnx", proto, precision="float32"), model="x")


def test_a_file_with_its_preprocessing_inside_is_fed_pixels(named: Any, tmp_path: Path) -> None:
    right, wrong = (
        variants.with_pixels(graph(Pooled(), (3, 6, 8)), variants.scaling_of(Pooled(std=std), 3)) for std in (STD, (0.2, 0.5, 0.8))
    )
    assert "checked: " in str(verify(written(tmp_path / "a.onnx", right), model="x"))
    with pytest.raises(ExportError, match="differ from PyTorch's"):
        verify(written(tmp_path / "b.onnx", wrong), model="x")


def file_of(**properties: str) -> UntrustedModel:
    ends: dict[str, Any] = {"inputs": {"x": ("tensor(float)", ["batch", 3, 6, 8])}, "outputs": {}}
    return UntrustedModel(path=Path("a.onnx"), size_bytes=1, opset=18, ir_version=8, nodes=1, properties=properties, session=None, **ends)  # type: ignore[arg-type]


def test_the_preprocessing_that_a_file_states_becomes_the_models() -> None:
    stated = {"mean": "[0.3, 0.2, 0.1]", "std": "[1, 2, 3]", "input_size": "[3, 4, 10]", "crop_pct": "0.5"}
    model = verifier._prepared(Pooled().train(), file_of(**stated, interpolation="nearest", architecture="other"))
    expected = {
        "mean": [0.3, 0.2, 0.1],
        "std": [1, 2, 3],
        "input_size": [3, 4, 10],
        "crop_pct": 0.5,
        "interpolation": "nearest",
        "architecture": "other",
    }
    assert model.pretrained_cfg == expected and not model.training
    untold: Any = verifier._prepared(Pooled(), file_of())
    assert untold.pretrained_cfg == Pooled().pretrained_cfg


@pytest.mark.parametrize(
    ("key", "value", "legal"),
    [
        ("mean", [0.5] * 256, True),
        ("mean", [0.5] * 257, False),
        ("mean", [], False),
        ("mean", [True], False),
        ("mean", [1, 0.5], True),
        ("input_size", [3, 4, 5], True),
        ("input_size", [3, 4.0, 5], False),
        ("input_size", [3, 4], False),
        ("input_size", [3, 0, 5], False),
        ("input_size", [1, 2**13, 2**13 - 1], True),
        ("input_size", [1, 2**13, 2**13], False),
    ],
)
def test_numbers_of_a_property_are_few_and_make_no_huge_image(key: str, value: list[Any], legal: bool) -> None:
    file = file_of(**{key: json.dumps(value)})
    if legal:
        assert verifier._numbers(file, key) == value
    else:
        with pytest.raises(ExportError, match=f"has the property {key} .*export it again"):
            verifier._numbers(file, key)


@pytest.mark.parametrize(
    ("shape", "kind", "runs"),
    [
        (["n", 3, 6, 8], TensorProto.FLOAT, "[2, 3, 6, 8]"),
        ([5, 3, 6, 8], TensorProto.FLOAT, "[5, 3, 6, 8]"),
        (["n", 3, "h", 8], TensorProto.FLOAT, None),
        (["n", 3, 6, 8], TensorProto.DOUBLE, None),
        (["n", 3, 6], TensorProto.FLOAT, None),
    ],
)
def test_a_file_of_which_nothing_is_known_is_run_if_it_says_on_what(shape: list[Any], kind: int, runs: str | None, tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, kind, shape)] for name in "xy"]
    proto = helper.make_model(helper.make_graph(nodes, "g", *ends), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    said = verify(written(tmp_path / "a.onnx", proto)).found
    assert said[1:] == (() if runs is None else (f"it runs on images {runs} and gives {runs}, not finite",))
    assert said[0].startswith("it doesn't say what it is")


def test_the_weights_of_a_file_are_random_or_the_packages_or_have_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order, by their digest; a file that names its network takes a checkpoint, too."""
    first, shipped = Pooled(), Pooled()
    nn.init.ones_(shipped.fc.bias)
    monkeypatch.setattr(verifier, "_builder", lambda file: lambda: Pooled())
    monkeypatch.setattr(verifier.shipped, "names", lambda: ["a"])
    monkeypatch.setattr(verifier.timm, "create_model", lambda name, pretrained: shipped if (name, pretrained) == ("a", True) else None)
    for model in (first, shipped):
        found = verifier._model(file_of(weights_sha256=verifier.digest(model)), None, None)
        assert found is not None and verifier.digest(found) == verifier.digest(model)
    other = Pooled()
    nn.init.zeros_(other.fc.bias)
    stated = file_of(weights_sha256=verifier.digest(other), mean="[0.3, 0.2, 0.1]")
    with pytest.raises(ExportError, match="trained ones that only their owner has; give --checkpoint"):
        verifier._model(stated, None, None)
    safetensors.torch.save_file(other.state_dict(), tmp_path / "w.safetensors")
    given: Any = verifier._model(stated, None, tmp_path / "w.safetensors")
    assert verifier.digest(given) == verifier.digest(other) and given.pretrained_cfg["mean"] == [0.3, 0.2, 0.1]


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What was asked of the images that judge an int8 file."""
    seen = list[Any]()
    pixels = torch.randint(256, (24, 6, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = Calibration("mine", pixels[:4], pixels[4:], torch.zeros(20, dtype=torch.int64))
    monkeypatch.setattr(verifier, "calibration", lambda *told: seen.append(told) or images)
    yield seen


def test_an_int8_file_is_judged_by_the_held_back_images(digits: list[Any], named: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", precision="int8", class_names='["x", "y", "z"]')
    said = str(verify(path, model="x", images="these"))
    assert "checked: the class that float32 says for 100.0 % of 20 images of mine, accuracy" in said
    assert digits[0][0] == "these" and digits[0][2:] == ((3, 6, 8), ["x", "y", "z"])
    proto = graph(Pooled(), (3, 6, 8))
    (weight,) = (tensor for tensor in proto.graph.initializer if tensor.name == "w")
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), "w"))
    with pytest.raises(ExportError, match="refused: .* at least 95 % are needed"):
        verify(written(tmp_path / "b.onnx", proto, precision="int8"), model="x", images="these")


def test_a_classifier_takes_images_alone(named: Any, tmp_path: Path) -> None:
    proto = graph(Pooled(), (3, 6, 8))
    proto.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", 6]))
    with pytest.raises(ExportError, match="takes pixel_values, mask, and a classifier takes images alone"):
        verify(written(tmp_path / "a.onnx", proto), model="x")


def test_a_read_file_is_described_by_what_is_in_it(tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", a="1", b="x")
    file = read_onnx(path)
    assert (file.size_bytes, file.opset, file.ir_version, file.nodes) == (path.stat().st_size, 18, 8, 3)
    assert file.properties == {"a": "1", "b": "x"} and file.inputs == {"pixel_values": ("tensor(float)", ["batch", 3, 6, 8])}
    assert file.outputs == {"logits": ("tensor(float)", ["batch", 3])}
    proto = onnx.load(path)
    proto.graph.node[0].domain = "com.mine"
    proto.opset_import.append(helper.make_opsetid("com.mine", 1))
    with pytest.raises(ExportError, match="operator GlobalAveragePool of domain 'com.mine'"):
        read_onnx(written(tmp_path / "b.onnx", proto))
    body = [helper.make_node("GlobalAveragePool", ["u"], ["v"])]
    proto.functions.append(helper.make_function("com.mine", "GlobalAveragePool", ["u"], ["v"], body, [helper.make_opsetid("", 18)]))
    assert read_onnx(written(tmp_path / "c.onnx", proto)).nodes == 3, "it defines that operator itself"
    assert math.isfinite(float(open_session(tmp_path / "c.onnx").run(None, {"pixel_values": np.ones((1, 3, 6, 8), np.float32)})[0][0, 0]))


def test_forms_are_made_in_one_order() -> None:
    assert ExportVariants(uint8_input=True, fp16=True, int8=True, calibrate="x").converted == ["pixels", "float16", "int8"]
    assert ExportVariants(int8=True, calibrate="x", force=True).converted == ["int8"] and not ExportVariants(dynamic_size=True).converted
