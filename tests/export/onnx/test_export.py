"""Every form of a model gives its logits or its classes, loads in old runtimes, says what it is, and is refused if it is bad."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import onnxruntime
import pytest
import timm
import torch

from nasarch.cli.main import main
from nasarch.data.dataset import Images
from nasarch.data.load import load
from nasarch.export.onnx import variants
from nasarch.export.onnx.check import compare
from nasarch.export.onnx.export import ExportVariants, Written, export_model
from nasarch.export.onnx.float16 import compare_half, halved
from nasarch.export.onnx.float32 import Checked, ExportError, checked, export_onnx
from nasarch.export.onnx.graph import reduction
from nasarch.export.onnx.properties import PROPERTIES
from nasarch.export.onnx.session import open_session, run
from nasarch.export.onnx.uint8_input import Scaling
from nasarch.export.samples import sample_images
from nasarch.export.source.find import find_model
from tests.helpers.exported import FOLDER, SIDE, Tiny, digit_files, files, logits, reader_of_digits, reading, with_statistics

NAMES = {"float32": "model.onnx", "pixels": "model_uint8in.onnx", "float16": "model_fp16.onnx", "int8": "model_quantized.onnx"}


class Exported(NamedTuple):
    folder: Path
    written: Written

    def session(self, form: str) -> onnxruntime.InferenceSession:
        return open_session(self.folder / "onnx" / NAMES[form])

    def properties(self, form: str) -> dict[str, str]:
        return self.session(form).get_modelmeta().custom_metadata_map


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A trained network in all forms, heights and widths in multiples of 4."""
    folder = tmp_path_factory.mktemp("exported")
    forms = ExportVariants(dynamic_size=True, uint8_input=True, fp16=True, int8=True, calibrate="digits")
    return Exported(folder, export_model(trained, folder, variants=forms))


def test_a_folder_gets_the_names_that_the_hubs_clients_expect(exported: Exported) -> None:
    assert files(exported.folder) == sorted(f"onnx/{name}" for name in NAMES.values())
    assert [report.path.name for report in exported.written.reports] == list(NAMES.values())
    assert not exported.written.random and "random" not in str(exported.written)


@pytest.mark.parametrize("form", NAMES)
def test_every_form_is_plain_onnx_in_one_file_that_old_runtimes_load(exported: Exported, form: str) -> None:
    path = exported.folder / "onnx" / NAMES[form]
    proto = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(proto, full_check=True)
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 18)] and proto.ir_version == 8
    assert not proto.graph.value_info and b"/site-packages" not in path.read_bytes()
    session = exported.session(form)
    taken = ("pixels", "tensor(uint8)", ["batch", "height", "width", 3])
    images = ("pixel_values", "tensor(float)", ["batch", 3, "height", "width"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [taken if form == "pixels" else images]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [("logits", "tensor(float)", ["batch", 10])]


def test_fewer_bits_make_smaller_files(exported: Exported) -> None:
    sizes = {form: (exported.folder / "onnx" / name).stat().st_size for form, name in NAMES.items()}
    assert sizes["float32"] < sizes["pixels"] < sizes["float32"] + 2000
    assert 0.45 < sizes["float16"] / sizes["float32"] < 0.7 and sizes["int8"] < sizes["float16"]


@pytest.mark.parametrize("size", [(SIDE, SIDE), (4, 20), (32, 8)], ids=str)
def test_heights_and_widths_in_multiples_of_the_reduction_give_pytorchs_logits(exported: Exported, size: tuple[int, int]) -> None:
    model = reader_of_digits()
    images = sample_images(3, 3, *size)
    expected = logits(model, images)
    unit = expected.std().item()
    for form, tolerance in (("float32", 1e-4), ("float16", 2e-2)):
        found = run(exported.session(form), images)
        assert (found - expected).abs().max().item() <= tolerance * unit, form


def test_the_pixels_of_an_image_give_what_scaled_images_give(exported: Exported) -> None:
    model, pixels = reader_of_digits(), _digits().permute(0, 2, 3, 1).contiguous()
    config = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    images = (pixels.permute(0, 3, 1, 2) / 255 - mean) / std
    expected = logits(model, images)
    torch.testing.assert_close(run(exported.session("pixels"), pixels), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(run(exported.session("float32"), images), expected, rtol=1e-4, atol=1e-4)


def _digits() -> torch.Tensor:
    part = load("digits", size=SIDE).test
    assert isinstance(part, Images)
    return part.pixels


def test_int8_keeps_the_classes_and_says_accuracy_before_and_after(exported: Exported) -> None:
    said = json.loads(exported.properties("int8")["top1_agreement"])
    data = load("digits", size=SIDE)
    assert isinstance(data.test, Images)
    images = Scaling(data.mean, data.std).images(data.test.pixels.permute(0, 2, 3, 1))
    exact, own = (run(exported.session(form), images).argmax(1) for form in ("float32", "int8"))
    shares = [(a == b).double().mean().item() for a, b in ((exact, own), (exact, data.test.labels), (own, data.test.labels))]
    assert shares[0] >= 0.95 and shares[1] > 0.85
    assert said["images"] == len(data.test) == 297 and said["of"] == "digits"
    found = [said[key] for key in ("same_class_as_float32", "float32_accuracy", "accuracy")]
    assert found == pytest.approx(shares, abs=0.01), "timm's transform of images that have the right size changes nothing"
    top1 = exported.written.reports[-1].top1  # type: ignore[union-attr]
    shown = f"accuracy {100 * top1.after:.1f} % (float32 {100 * top1.before:.1f} %)"
    assert top1.after == pytest.approx(said["accuracy"], abs=1e-4) and shown in str(exported.written)
    assert json.loads(exported.properties("int8")["calibration"]) == {"images": 200, "of": "digits", "ranges": "MinMax"}


def test_the_properties_tell_the_forms_apart(exported: Exported) -> None:
    found = {form: exported.properties(form) for form in NAMES}
    assert {form: told["precision"] for form, told in found.items()} == {
        **dict.fromkeys(("float32", "pixels"), "float32"),
        "float16": "float16",
        "int8": "int8",
    }
    assert [form for form, told in found.items() if told.get("preprocessing") == "inside"] == ["pixels"]
    for told in found.values():
        assert told.keys() <= PROPERTIES.keys() and told["size_multiple"] == "4" and json.loads(told["input_size"]) == [3, SIDE, SIDE]
        assert json.loads(told["class_names"]) == list("0123456789") and told["weights_sha256"] == found["float32"]["weights_sha256"]
        network = {"name": "nas_bench_201", "cells": 1, "channels": 8, "in_chans": 3, "num_classes": 10}
        assert json.loads(told["network"]) == network


# --- a folder for the Hub ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub_folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `nasarch export hub` makes of the trained network."""
    folder = tmp_path_factory.mktemp("hub") / "reader"
    assert main(["export", "hub", str(trained), "--out", str(folder)]) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def test_forms_are_added_to_a_folder_for_the_hub_that_stays_as_it_was(hub_folder: Path, tmp_path: Path) -> None:
    """Source and target at once; the card tells size, agreement and digest of what is still there."""
    folder = Path(shutil.copytree(hub_folder, tmp_path / "reader"))
    before, digits = contents(folder), digit_files(tmp_path / "images", 120)
    assert sorted(before) == FOLDER
    flags = ["--fp16", "--int8", "--calibrate", str(digits)]
    assert main(["export", "onnx", str(folder), "-o", f"{folder}/", *flags]) == 0
    after = contents(folder)
    added = {f"onnx/{NAMES[form]}" for form in ("float16", "int8")}
    assert after.keys() == before.keys() | added and all(after[name] == content for name, content in before.items())
    card = after["README.md"].decode()
    digest = hashlib.sha256(after["model.safetensors"]).hexdigest()
    assert digest in card and f"`onnx/model.onnx`: {len(after['onnx/model.onnx']) / 1e6:.1f} MB" in card
    images = sample_images(8, 3, SIDE, SIDE)
    for form, tolerance in (("float32", 1e-4), ("float16", 2e-2), ("int8", None)):
        session, expected = open_session(folder / "onnx" / NAMES[form]), logits(reader_of_digits(), images)
        told = session.get_modelmeta().custom_metadata_map
        assert (told["precision"], told["weights_sha256"]) == (form, digest)
        assert tolerance is None or (run(session, images) - expected).abs().max() <= tolerance * expected.std(), form


def test_a_form_that_is_refused_leaves_a_folder_for_the_hub_alone(hub_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, quantised = contents(hub_folder), variants.quantised
    monkeypatch.setattr(variants, "quantised", lambda proto, batches, **how: quantised(proto, (batch * 1e-3 for batch in batches), **how))
    with pytest.raises(ExportError, match="refused: int8"):
        export_model(hub_folder, hub_folder, variants=ExportVariants(fp16=True, int8=True, calibrate="digits"))
    assert contents(hub_folder) == before


@pytest.mark.parametrize(
    "told", [{"source": "pc_darts_cifar"}, {"size": 16}, {"data": "digits"}, {"variants": ExportVariants(dynamic_size=True)}]
)
def test_what_the_card_of_a_folder_does_not_describe_is_not_written_there(hub_folder: Path, told: dict[str, Any]) -> None:
    before = contents(hub_folder)
    with pytest.raises(ValueError, match=r"the card in .*reader describes its own model .* give another folder"):
        export_model(out=hub_folder, **{"source": hub_folder, **told})
    assert contents(hub_folder) == before


# --- one file ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "name", "type"), [({"fp16": True}, "x", "tensor(float)"), ({"uint8_input": True}, "x", "tensor(uint8)")])
def test_a_file_holds_the_one_form_that_is_asked_for(trained: Path, tmp_path: Path, flags: dict[str, Any], name: str, type: str) -> None:
    (report,) = export_model(trained, tmp_path / f"{name}.onnx", variants=ExportVariants(**flags)).reports
    assert files(tmp_path) == [f"{name}.onnx"] and report.path == tmp_path / f"{name}.onnx"
    (taken,) = open_session(report.path).get_inputs()
    assert taken.type == type and taken.shape[0] == "batch" and SIDE in taken.shape


@pytest.fixture(scope="module")
def base() -> Checked:
    return checked(reader_of_digits())


def test_float16_shows_that_it_is_half(base: Checked) -> None:
    proto = halved(base.proto)
    assert {t.data_type for t in proto.graph.initializer if len(t.dims) > 1} == {onnx.TensorProto.FLOAT16}
    assert compare_half(base.reference, open_session(proto.SerializeToString()), base.shape).holds


def test_wrong_graphs_in_float16_and_with_preprocessing_are_told_from_right_ones(base: Checked) -> None:
    wrong = onnx.ModelProto()
    wrong.CopyFrom(base.proto)
    [node for node in wrong.graph.node if node.op_type == "Relu"][1].op_type = "Identity"
    for make in (variants.to_uint8_input, variants.to_float16):
        with pytest.raises(ExportError, match="refused: onnxruntime's logits of ftso_nats_cifar .* differ"):
            make(base._replace(proto=wrong))
    other, right = Scaling((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)), variants.to_uint8_input(base)
    assert not compare(base.reference, right.session, base.shape, other.images).holds


# --- what is refused ---------------------------------------------------------------------------------------------------------


def test_a_bad_int8_file_is_refused_unless_it_is_forced(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quantised = variants.quantised
    monkeypatch.setattr(variants, "quantised", lambda proto, batches, **how: quantised(proto, (batch * 1e-3 for batch in batches), **how))
    with pytest.raises(ExportError, match=r"refused: int8 gives the class that float32 says for .* % of 297 images .* --force") as refusal:
        export_model(trained, f"{tmp_path}/new/", variants=ExportVariants(fp16=True, int8=True, calibrate="digits"))
    assert "\n" not in str(refusal.value) and not [*tmp_path.iterdir()], "neither the other forms nor a folder are left"
    written = export_model(trained, tmp_path / "forced.onnx", variants=ExportVariants(int8=True, calibrate="digits", force=True))
    assert "forced" in str(written) and files(tmp_path) == ["forced.onnx"]
    said = json.loads(open_session(tmp_path / "forced.onnx").get_modelmeta().custom_metadata_map["top1_agreement"])
    assert said["same_class_as_float32"] < 0.95


def test_weights_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = Tiny()
    with torch.no_grad():
        model.fc.weight *= 1e6
    with pytest.raises(ExportError, match="exceed 65504, the largest of float16"):
        variants.to_float16(checked(model, size=8))


def _small(multiple: int) -> torch.nn.Module:
    name, arguments = {4: ("pc_darts_cifar", {}), 32: ("pc_darts_imagenet", {"num_classes": 4})}[multiple]
    return with_statistics(timm.create_model(name, cells=3, channels=4, **arguments), 64)


@pytest.mark.parametrize("multiple", [4, 32])
def test_sizes_that_are_no_multiple_of_the_networks_reduction_are_refused(tmp_path: Path, multiple: int) -> None:
    model = _small(multiple)
    assert reduction(model) == multiple
    below = 68 // multiple * multiple
    other = 70 if multiple == 4 else 68
    with pytest.raises(ExportError, match=rf"size {other} is no multiple of {multiple}, .* choose {below} or {below + multiple}"):
        export_onnx(model, tmp_path / "a.onnx", size=other, dynamic_size=True)
    assert not files(tmp_path)


def test_an_imagenet_network_takes_multiples_of_32(tmp_path: Path) -> None:
    model = _small(32)
    report = export_onnx(model, tmp_path / "a.onnx", size=64, dynamic_size=True)
    assert report.multiple == 32 and "multiples of 32" in str(report)
    session = open_session(tmp_path / "a.onnx")
    for size in ((32, 32), (96, 160)):
        images = sample_images(2, 3, *size)
        expected = logits(model, images)
        assert (run(session, images) - expected).abs().max() <= 1e-3 * expected.std()


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "int8 without images": ({"int8": True}, "--int8 needs images .* --calibrate"),
    "images for nothing": ({"calibrate": "digits"}, "--calibrate digits serves --int8 and --fp16"),
    "no such place": ({"int8": True, "calibrate": "no/where"}, "there is no 'no/where' to take images from; give a folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_fit_together_is_refused(trained: Path, tmp_path: Path, mistake: str) -> None:
    flags, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message):
        export_model(trained, tmp_path / "a.onnx", variants=ExportVariants(**flags))
    assert not files(tmp_path)


def test_several_forms_need_a_folder(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a.onnx is one file, and pixels and float16 are several; give a folder"):
        export_model(trained, tmp_path / "a.onnx", variants=ExportVariants(uint8_input=True, fp16=True))


@pytest.mark.parametrize("flags", [{"uint8_input": True}, {"fp16": True}])
def test_a_place_that_cannot_be_written_is_known_before_the_work(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any]
) -> None:
    from nasarch.export.onnx import export as forms

    monkeypatch.setattr(forms, "checked", lambda *_, **__: pytest.fail("the export was begun"))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="can't write .*file/onnx/model.onnx.*choose"):
        export_model(trained, f"{tmp_path}/file/", variants=ExportVariants(**flags))
    assert files(tmp_path) == ["file"]


def test_preprocessing_needs_a_mean_and_a_std_for_each_channel(tmp_path: Path) -> None:
    model = timm.create_model("ftso_nats_cifar", cells=1, channels=4, in_chans=2)
    with pytest.raises(ExportError, match=r"states mean \[.*\] and std \[.*\] for 2 channel"):
        variants.to_uint8_input(checked(model, size=8))


# --- what is exported --------------------------------------------------------------------------------------------------------


def test_labels_and_statistics_of_a_named_data_set_go_into_the_file() -> None:
    subject: Callable[..., Any] = find_model
    model, names, random = subject("pc_darts_cifar_224", data="imagenet")
    assert random and names is not None and names[0] == "n01440764" and model.pretrained_cfg["mean"] == (0.485, 0.456, 0.406)
    with pytest.raises(ValueError, match="data 'cifar10' hasn't 1000 classes"):
        subject("pc_darts_cifar_224", data="cifar10")
    with pytest.raises(ValueError, match="data 'cifar11'; known are cifar10"):
        subject("resnet18", data="cifar11")


def test_a_folder_of_images_judges_as_the_named_data_do(trained: Path, tmp_path: Path) -> None:
    forms = ExportVariants(int8=True, calibrate=str(digit_files(tmp_path / "images", 120)))
    (report,) = export_model(trained, tmp_path / "a.onnx", variants=forms).reports
    assert report.top1.images == 60 and report.top1.source == "images" and report.top1.after > 0.8  # type: ignore[union-attr]
