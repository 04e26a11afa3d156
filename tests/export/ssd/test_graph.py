"""The ONNX detector finds what torchvision's SSD finds, in images of any number and size, and in those with nothing in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from huggingface_hub.repocard import metadata_load

from nasarch.cli.main import main
from nasarch.export.detection import export
from nasarch.export.detection.card import card
from nasarch.export.errors import ExportError
from nasarch.export.onnx.graph import IR_VERSION, OPSET
from nasarch.export.samples import sample_pixels
from nasarch.export.ssd.check import SsdAgreement, Tolerance, compare, match, sample_batches
from nasarch.export.ssd.detector import cost, default_boxes, load, save, ssd
from nasarch.export.ssd.graph import OUTPUTS, Detections, survivors
from tests.helpers.datasets import real
from tests.helpers.small_detector import THRESHOLD, exported_detector, random_detector, telling


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved detector as a training leaves it, with its figures."""
    place = tmp_path_factory.mktemp("trained")
    (place / "model").mkdir()
    save(random_detector(), place / "model")
    figures = {"AP": 0.25, "AP50": 0.5, "APs": -1.0}
    val = {"name": "pictures/val", "images": 7, "evaluator": "pycocotools", **figures}
    result = {"val": val, "settings": {"epochs": 3, "batch_size": 4}, "seed": 5, "began_with": "random weights"}
    (place / "result.json").write_text(json.dumps(result))
    return place


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    """The folder for the Hub, its ONNX file with a score threshold that some images have nothing above."""
    proto = onnx.load(exported_detector() / "onnx" / "model.onnx")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export, "graph", lambda module: proto)  # which takes most of the time, and was made of the same detector
        report = export.export_ssd(folder, folder / "hub", score=THRESHOLD)
    assert report.agreement.holds and report.agreement.unmatched == 0
    return folder / "hub"


def test_nms_is_torchvisions_row_by_row() -> None:
    boxes = torch.tensor([[[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [0, 0, 9, 9]]]).float().repeat(2, 1, 1)
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.1], [0.1, 0.8, 0.0, 0.9]])
    assert survivors(boxes, scores, 0.5, 0.2).tolist() == torch.tensor([[0.9, 0, 0.7, 0], [0, 0, 0, 0.9]]).tolist()
    assert survivors(boxes, scores, 0.99, 0.2).tolist() == torch.tensor([[0.9, 0.8, 0.7, 0], [0, 0.8, 0, 0.9]]).tolist()


@pytest.mark.parametrize("changes", [{}, {"score_threshold": 0.5, "detections": 5}, {"nms_threshold": 0.1, "candidates": 7}])
def test_the_module_finds_what_torchvision_finds_in_float64(changes: dict[str, Any]) -> None:
    model = random_detector()
    model.score_thresh, model.design = 0.2, replace(model.design, score_threshold=0.2)
    if changes:
        design = model.design = replace(model.design, **changes)
        model.score_thresh, model.nms_thresh = design.score_threshold, design.nms_threshold
        model.detections_per_img, model.topk_candidates = design.detections, design.candidates
    model = model.double()
    module, seen = Detections(model), 0
    for batch in sample_batches(64):
        counts, *values = module(batch)
        for i, theirs in enumerate(model([*(batch.permute(0, 3, 1, 2).double() / 255)])):
            ours = {name: value[i, : counts[i]] for name, value in zip(OUTPUTS[1:], values, strict=True)}
            found = match(ours, theirs, Tolerance(1e-9, 1e-9), 1.0, 0.0, 10**6)
            assert found.unmatched == 0 and len(ours["scores"]) == len(theirs["scores"])
            assert not any(value[i, counts[i] :].any() for value in values)  # filled up with zeros
            seen += len(theirs["scores"])
    assert seen > 10


def test_onnxruntime_finds_what_torchvision_finds_and_nothing_where_nothing_is(exported: Path, folder: Path) -> None:
    model = load(folder, score_threshold=THRESHOLD)
    session = onnxruntime.InferenceSession(exported / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    shapes = ((1, 64, 64), (5, 64, 64), (2, 100, 37), (1, 33, 200))
    batches = [sample_pixels(count, 3, height, width) for count, height, width in shapes]
    batches += [torch.full((2, 50, 50, 3), level, dtype=torch.uint8) for level in (0, 128, 255)]
    agreement = compare(model, session, batches)
    assert agreement.holds and agreement.unmatched == 0 and agreement.detections > 20 and agreement.empty > 0
    assert agreement.box <= agreement.tolerance.box and agreement.score <= agreement.tolerance.score


def test_a_graph_that_finds_something_else_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_detector()
    model.score_thresh, model.design = THRESHOLD, replace(model.design, score_threshold=THRESHOLD)
    shown = onnx.load(folder / "hub" / "onnx" / "model.onnx")
    for node in shown.graph.initializer:
        values = onnx.numpy_helper.to_array(node)
        if values.shape == (len(default_boxes(model)), 2):  # the anchors
            node.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.05), node.name))
    monkeypatch.setattr(export, "graph", lambda module: shown)
    with pytest.raises(ExportError, match="refused: onnxruntime finds something else than torchvision"):
        export.write_onnx(model, tmp_path / "model.onnx")
    assert not any(tmp_path.iterdir())


def test_the_file_is_plain_and_says_what_it_is(exported: Path) -> None:
    model = onnx.load(exported / "onnx" / "model.onnx")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)] and model.ir_version == IR_VERSION
    shapes = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input]
    assert shapes == [["batch", "height", "width", 3]] and [value.name for value in model.graph.output] == [*OUTPUTS]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"/home" not in (content := model.SerializeToString()) and b"site-packages" not in content
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["class_names"]) == ["background", "red", "blue"] and json.loads(said["category_ids"]) == [0, 3, 7]
    assert float(said["score_threshold"]) == THRESHOLD and json.loads(said["input_size"]) == [3, 64, 64]
    assert json.loads(said["genotype"])["name"] == "pc_darts_imagenet" and len(said["weights_sha256"]) == 64


def test_the_commands_for_classifiers_say_that_it_is_a_detector(exported: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (exported, folder):
        assert main(["export", "onnx", str(place), "-o", "m.onnx"]) == 2
        assert f"{place} holds a detector: `nasarch export ssd {place} -o model.onnx` exports it" in capsys.readouterr().err
    assert main(["export", "verify", str(exported / "onnx" / "model.onnx")]) == 0
    said = capsys.readouterr().out
    assert "a detector (ssd, lite heads, on " in said and "here only read: --model RUN|FOLDER compares what it finds" in said


def test_the_folder_stands_alone_and_its_card_says_what_was_measured(exported: Path, folder: Path) -> None:
    files = sorted(path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file())
    assert files == ["README.md", "cells.png", "cells.svg", "config.json", "genotype.json", "model.safetensors", "onnx/model.onnx"]
    twin, model = load(exported), load(folder)
    assert twin.score_thresh == model.score_thresh == 0.001
    images = [torch.rand(3, 70, 50, generator=torch.Generator().manual_seed(0))]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model(images)[0].values(), twin(images)[0].values(), strict=True))
    text = (exported / "README.md").read_text()
    for words in ("pipeline_tag: object-detection", "| AP50 | 50.00 % |", "| APs | - |", "on 7 images", "seed 5", '"hf-hub:OWNER/NAME"'):
        assert words in text, words
    assert f"scores above {THRESHOLD:g};" in text and "In Python scores are above 0.001;" in text
    assert "red, blue" in text and str(folder) not in text and "![The cells](cells.png)" in text
    assert "SSD on pc_darts_imagenet with 3 cells, 4 channels" in text and " 0 M" not in text
    assert "@inproceedings{pc-darts2020," in text and "Liu et al., *SSD" in text


def test_the_metadata_of_the_card_has_figures_data_sets_and_papers(exported: Path) -> None:
    told = metadata_load(exported / "README.md")
    ((model,), seen) = told["model-index"], {}
    for result in model["results"]:
        assert result["task"]["type"] == "object-detection" and result["dataset"]["name"] == "pictures/val"
        seen |= {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert seen == {"ap": 25.0, "ap50": 50.0}  # APs is not known
    assert told["datasets"] == ["ILSVRC/imagenet-1k"] and {"arxiv:1512.02325", "arxiv:1907.05737"} <= {*told["tags"]}


LICENCES = {
    "random weights": ("nas_224", None),  # what was trained from the first is its owner's
    "timm's weights": ("fastvit_t8", "fastvit-license"),
    "weights of model.safetensors": ("nas_224", None),
    None: ("nas_224", None),
}


@pytest.mark.parametrize("began_with", LICENCES)
def test_a_licence_is_stated_where_the_backbones_weights_have_one(began_with: str | None) -> None:
    backbone, licence = LICENCES[began_with]
    model = random_detector()
    arguments = model.design.arguments if backbone == "nas_224" else {}
    design = replace(model.design, backbone=backbone, arguments=arguments)
    agreement = SsdAgreement(1, 0, 0, 0.0, 0.0, Tolerance(1.0, 1.0), 0)
    text = card(design, cost(model), agreement, 0.05, {"val": {"images": 1}, "began_with": began_with}, b"")
    assert (f"\nlicense: {licence}\n" in text) == (licence is not None) == ("\nlicense:" in text)
    assert f"Licence: {licence or 'not stated'}." in text


def test_a_file_and_a_folder_are_told_apart_and_what_is_there_stays(
    folder: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    for out, words in (
        (exported, "is there already"),
        (tmp_path / "file" / "m.onnx", "can't write"),
        (tmp_path / "file", "is there already"),
    ):
        assert main(["export", "ssd", str(folder), "-o", str(out)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line and [path.name for path in tmp_path.iterdir()] == ["file"]
    assert main(["export", "ssd", str(folder), "-o", str(tmp_path / "m.onnx"), "--score", "1.5"]) == 2
    assert "score threshold 1.5" in capsys.readouterr().err and (tmp_path / "file").read_text() == "mine"


def test_pairs_do_not_depend_on_the_order_and_edges_may_be_in_or_out() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 10, 10]]).float()
    first = {"boxes": boxes, "scores": torch.tensor([0.9, 0.5, 0.1001]), "labels": torch.tensor([1, 2, 2])}
    swapped = {name: value[[1, 0]] for name, value in first.items()}
    tolerance = Tolerance(0.1, 1e-3)
    assert match(first, swapped, tolerance, 1.0, 0.1, 300) == (0, 0.0, 0.0)  # the third is at the threshold
    assert match(first, swapped, tolerance, 1.0, 0.05, 300).unmatched == 1
    assert match(first, swapped, tolerance, 1.0, 0.05, 3).unmatched == 0  # it is the last of three
    other = {**first, "labels": torch.tensor([2, 2, 2])}
    assert match(first, other, tolerance, 1.0, 0.1, 300).unmatched == 2
    moved = {**first, "boxes": boxes + 0.5}
    assert match(first, moved, tolerance, 1.0, 0.1, 300).unmatched == 4 and match(first, moved, tolerance, 10.0, 0.1, 300).unmatched == 0


@pytest.mark.slow
def test_the_papers_backbone_at_300_and_a_timm_backbone_export(tmp_path: Path) -> None:
    for source in ("pc_darts_imagenet", "mobilenetv3_small_050"):
        torch.manual_seed(0)
        model = telling(ssd(source, 3, size=300))
        model.score_thresh, model.design = 0.3, replace(model.design, score_threshold=0.3)
        agreement = export.write_onnx(model, tmp_path / f"{source}.onnx").agreement
        assert agreement.holds and agreement.detections > 100


@pytest.mark.slow
def test_detections_in_bccds_validation_images_are_torchvisions(exported: Path, folder: Path) -> None:
    from nasarch.data.decoding import open_image
    from nasarch.export.detection.coco import load_scenes

    model = load(folder, score_threshold=THRESHOLD)
    session = onnxruntime.InferenceSession(exported / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    scenes = load_scenes(real("bccd"), "val").scenes
    batches = [torch.from_numpy(np.array(open_image(scene.file)))[None] for scene in scenes]
    assert compare(model, session, batches).holds
