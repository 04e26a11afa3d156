"""Properties of an exported file, each from where it is; sizes, variants and latencies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import nasarch
from nasarch.export.errors import ExportError
from nasarch.export.onnx import export as module
from nasarch.export.onnx import float32 as exporter
from nasarch.export.onnx import variants
from nasarch.export.onnx.calibration import Calibration
from nasarch.export.onnx.export import ExportVariants, VariantReport, export_variants
from nasarch.export.onnx.float32 import checked, export_onnx, input_size, sizes
from nasarch.export.onnx.session import open_session
from nasarch.export.source.find import LoadedModel
from tests.helpers.pooled_model import Pooled, graph, told


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, ...], int | None]]:
    """With that graph instead of torch's exporter; says for which images it was asked."""
    asked = list[tuple[tuple[int, ...], int | None]]()

    def made(reference: nn.Module, shape: Any, multiple: int | None = None) -> onnx.ModelProto:
        asked.append((tuple(shape), multiple))
        return graph(reference, shape, multiple)

    monkeypatch.setattr(exporter, "graph", made)
    return asked


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
    def wrong(proto: onnx.ModelProto, *_: Any, **__: Any) -> onnx.ModelProto:
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


def test_forms_are_made_in_one_order() -> None:
    assert ExportVariants(uint8_input=True, fp16=True, int8=True, calibrate="x").converted == ["pixels", "float16", "int8"]
    assert ExportVariants(int8=True, calibrate="x", force=True).converted == ["int8"] and not ExportVariants(dynamic_size=True).converted
