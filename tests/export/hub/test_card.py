"""What a card and config.json say, value by value: which figure is from where, whose licence, which data, which preprocessing."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import yaml
from torch import nn

import nasarch
from nasarch.cells.genotype import Genotype, resolve
from nasarch.export.detection.card import card as detector_card
from nasarch.export.errors import ExportError
from nasarch.export.hub import folder as exporter
from nasarch.export.hub.card import Facts, bibtex, card, data_sets, origin, paper_tags, table
from nasarch.export.hub.config import model_config
from nasarch.export.hub.folder import HubReport, export_hub
from nasarch.export.onnx.check import Agreement
from nasarch.export.onnx.float32 import OnnxReport
from nasarch.export.onnx.properties import metadata
from nasarch.export.source.config import configuration
from nasarch.export.source.find import find_model
from nasarch.export.ssd.check import SsdAgreement, Tolerance
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import DetectorCost, millions
from nasarch.models.cost import Cost
from nasarch.models.labels import CIFAR10_CLASSES, KNOWN, Labels
from nasarch.models.profile import multi_adds
from nasarch.models.source import ModelSource, find_source
from tests.helpers.exported import new_cell, save, trained, without_onnx

RESULTS: tuple[dict[str, Any], ...] = (
    {
        "dataset": "CIFAR-10",
        "metric": "test accuracy",
        "value": 91.5,
        "unit": "%",
        "budget": "7 epochs",
        "note": "once",
        "seed": 3,
        "runs": 2,
    },
    {"dataset": "flowers", "metric": "top-5 error", "value": 4, "spread": 0.5, "epochs": None},
)
PROVENANCE: dict[str, Any] = {
    "method": "FTSO",
    "searched_on": "imagenet",
    "kind": "found by nasarch",
    "paper": {"title": "On Cells", "authors": "Doe, Roe", "venue": "ICLR", "year": 2020, "arxiv": "1234.5678"},
    "source": {
        "repository": "https://x/y",
        "commit": "abc",
        "path": "g.py",
        "name": "G",
        "command": "nasarch s",
        "seed": 3,
        "seconds": 9,
        "device": "CPU",
        "odd": 1,
    },
    "results": [
        {"dataset": "CIFAR-10", "metric": "test error", "value": 2.5, "spread": 0.1, "unit": "%", "reported_by": "On Cells, Table 1"},
        {"dataset": "CIFAR-10", "metric": "parameters", "value": 3.5, "unit": "M", "reported_by": "On Cells, Table 1"},
        {"dataset": "ImageNet", "metric": "top-1 error", "value": 25.0},
    ],
}


def facts(**changes: Any) -> Facts:
    genotype = Genotype.from_dict({**resolve("pc_darts_cifar").to_dict(), "name": "my_cell", "provenance": PROVENANCE})
    config = {
        "input_size": [3, 24, 40],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "mean": [0.1, 0.25, 0.333333],
        "std": [0.5, 0.6, 0.7],
        "license": "mit",
    }
    told: dict[str, Any] = {
        **{"name": "my_model", "repository": None, "genotype": genotype, "architecture": "nas_cifar", "config": config, "num_classes": 12},
        **{"sizes": {"cells": 3, "channels": 4, "in_chans": 3}, "cost": Cost(1_234_567, 89_012_345), "random": False},
        **{"class_names": tuple(f"c{i}" for i in range(12)), "trained_on": "CIFAR-10", "weights_sha256": "5ha", "onnx": "1.0 MB"},
        "results": RESULTS,
    }
    return Facts(**{**told, **changes})


def tables(text: str) -> dict[str, list[str]]:
    """The rows of tables by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows if row[0] != "---"}


def yaml_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_model_is_described_by_its_own_figures() -> None:
    text = card(facts())
    assert text.startswith("---\n") and "\n# my_model\n" in text
    said = tables(text.split("## Model")[1].split("## Use")[0])
    assert said == {
        "": [""],
        "timm architecture": ["`nas_cifar`, cells 3, channels 4, in_chans 3"],
        "parameters": ["1,234,567"],
        "multi-adds": ["89.0 M (convolutions and linear layers, one image)"],
        "images": ["3 x 24 x 40, bicubic, crop 0.875"],
        "mean, std": ["0.1, 0.25, 0.3333; 0.5, 0.6, 0.7"],
        "classes": ["12: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, ..."],
        "weights": ["trained on CIFAR-10"],
        "sha256 of model.safetensors": ["`5ha`"],
        "ONNX": ["`onnx/model.onnx`: 1.0 MB"],
        "written by": [f"nasarch {nasarch.__version__}"],
    }
    assert "made of the cells of my_cell, found by FTSO on ImageNet, as a timm model" in text
    assert "[batch, 3, 24, 40]" in text and text.count("OWNER/NAME") == 4 and card(facts(repository="me/x")).count("me/x") == 4
    few = tables(card(facts(class_names=("a", "b"), num_classes=2, trained_on=None)))
    assert few["classes"] == ["2: a, b"] and few["weights"] == ["trained, on what is not stated"]
    assert tables(card(facts(class_names=None)))["classes"] == ["12"]
    assert tables(card(facts(class_names=tuple("abcdefghij"), num_classes=10)))["classes"] == ["10: a, b, c, d, e, f, g, h, i, j"]


def test_figures_measured_and_reported_stand_apart_each_with_its_conditions() -> None:
    measured, rest = card(facts()).split("## Measured with these weights")[1].split("## Reported for these cells")
    assert tables(measured) == {
        "data set": ["metric", "value", "budget and seeds"],
        "CIFAR-10": ["test accuracy", "91.5 %", "7 epochs; once; seed 3; runs 2"],
        "flowers": ["top-5 error", "4 ± 0.5", "not stated"],
    }
    reported, cells = rest.split("## Where the cells come from")
    assert tables(reported) == {
        "data set": ["metric", "value", "source"],
        "CIFAR-10": ["test error", "2.5 ± 0.1 %", "On Cells, Table 1"],
        "ImageNet": ["top-1 error", "25.0", "-"],
    }
    assert tables(cells) == {
        "": [""],
        **{"method": ["FTSO"], "searched on": ["imagenet"], "kind": ["found by nasarch"], "repository": ["https://x/y"]},
        **{
            "commit": ["abc"],
            "path": ["g.py"],
            "name": ["G"],
            "command": ["nasarch s"],
            "seed": ["3"],
            "seconds": ["9"],
            "device": ["CPU"],
        },
    }
    assert "Licence: mit. The cells:" in cells
    assert "Licence: not stated" in card(facts(config={k: v for k, v in facts().config.items() if k != "license"}))


def test_the_metadata_are_for_the_hub() -> None:
    said = yaml_of(card(facts()))
    assert (said["license"], said["library_name"], said["pipeline_tag"]) == ("mit", "timm", "image-classification")
    assert said["tags"] == ["image-classification", "timm", "nasarch", "neural-architecture-search", "onnx", "arxiv:1234.5678"]
    assert said["datasets"] == ["uoft-cs/cifar10", "ILSVRC/imagenet-1k"] and said["metrics"] == ["accuracy"]
    (index,) = said["model-index"]
    assert index["name"] == "my_model"
    found = [(r["task"]["type"], r["dataset"]["type"], r["dataset"]["name"], *r["metrics"][0].values()) for r in index["results"]]
    assert found == [
        ("image-classification", "uoft-cs/cifar10", "CIFAR-10", "accuracy", 91.5, "test accuracy"),
        ("image-classification", "flowers", "flowers", "top-5_error", 4, "top-5 error"),
    ]
    bare = yaml_of(
        card(facts(results=(), trained_on=None, genotype=Genotype.from_dict({**resolve("pc_darts_cifar").to_dict(), "provenance": {}})))
    )
    assert not {"model-index", "model_name", "datasets"} & {*bare} and bare["tags"][-1] == "onnx"
    assert data_sets("flowers", None, "cifar10", "CIFAR-10", "cifar10_jpeg") == ["uoft-cs/cifar10"] and data_sets("x") is None
    assert paper_tags({"paper": {"arxiv": "1.2"}}) == ["arxiv:1.2"] and paper_tags({}) == paper_tags({"paper": {}}) == []


def test_random_weights_and_no_figures_are_said() -> None:
    text = card(facts(random=True))
    assert "> **The weights are random.**" in text and "Nothing: the weights are random." in text
    assert tables(text)["weights"] == ["random"] and "random" not in card(facts())
    assert "No accuracy is stated" in card(facts(results=())) and "## Reported" in card(facts(results=()))


def test_a_paper_is_cited_as_it_is() -> None:
    assert bibtex(PROVENANCE) == (
        "```bibtex\n@inproceedings{ftso2020,\n  title = {{On Cells}},\n  author = {Doe and Roe},\n  year = {2020},\n  booktitle = {ICLR},\n"
        "  eprint = {1234.5678},\n  archivePrefix = {arXiv},\n}\n```"
    )
    assert bibtex({"paper": {"title": "T"}}) == "```bibtex\n@misc{cells,\n  title = {{T}},\n}\n```"
    assert bibtex({"paper": {"year": 2020}}) is None and bibtex({}) is None
    assert table(("a", "b"), [("x|y", "1\n2")]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |"
    assert origin(Genotype.from_dict({**resolve("pc_darts_cifar").to_dict(), "provenance": {}})) == "Nothing is known of them."


def test_strings_of_a_genotype_from_elsewhere_are_shown_as_they_are() -> None:
    """No heading, table, HTML, link, image, code or control character of its author's choice stands in the card."""
    hostile = "x\n\n## Measured\n\n| a |\n|---|\n| 99.9 % |\n```\n<script>y</script> ![z](http://z) `c` *d* \x1b[2J"
    value = resolve("pc_darts_cifar").to_dict()
    value["name"] = "<img src=x> ![y](z)"
    provenance = value["provenance"] | {"method": hostile, "searched_on": hostile, "source": {"repository": hostile, "command": hostile}}
    provenance["paper"] = dict.fromkeys(("title", "authors", "venue", "arxiv"), hostile) | {"year": 2020}
    provenance["results"] = [dict.fromkeys(("dataset", "unit", "reported_by", "note"), hostile) | {"metric": "test error", "value": 1}]
    genotype = Genotype.from_dict(value | {"provenance": provenance})
    text = card(facts(genotype=genotype, name=hostile, class_names=(hostile, "b"), num_classes=2, trained_on=hostile))
    body = text.split("\n---\n", 1)[1]
    assert not re.search(r"<script|<img|\n## Measured\n|\n\| 99|\x1b", body)
    outside = "".join(re.split(r"\n```", body)[::2])  # of code blocks: those of the template and the citation
    assert not re.search(r"(?<!\\)`c|(?<!\\)\*d|[yz]\]\(", outside) and body.count("\n```") % 2 == 0
    assert body.count("\n#") == card(facts()).split("\n---\n", 1)[1].count("\n#")


def test_values_of_others_are_escaped() -> None:
    """Names and notes come from files of anyone: they make no HTML, no further lines, no further cells and no template."""
    text = card(facts(name="a\n# b", trained_on="<script>x</script>", class_names=("{{ 7 * 7 }}", "p|q"), num_classes=2))
    assert "\n# a # b\n" in text and "<script>" not in text and "&lt;script>" in text
    assert tables(text.replace("\\|", "/"))["classes"] == ["2: {{ 7 \\* 7 }}, p/q"] and "49" not in text


# --- detectors ---------------------------------------------------------------------------------------------------------------


DESIGN = Design(
    backbone="nas_224",
    arguments={"genotype": {**facts().genotype.to_dict()}, "cells": 3, "channels": 4},
    class_names=tuple(f"c{i}" for i in range(21)),
    category_ids=tuple(range(21)),
    size=64,
    head="dense",
    extras=(16, 8),
    score_threshold=0.002,
)
RESULT = {
    "val": {"name": "bccd/val", "images": 7, "evaluator": "pycocotools", "AP": 0.123456, "AP50": 0.5, "APs": -1.0},
    "data": {"name": "bccd/train"},
    "settings": {"epochs": 3, "batch_size": 4},
    "seed": 5,
    "seconds": 6.5,
    "device": "CPU",
    "began_with": "random weights",
}


def of_detector(design: Design = DESIGN, result: Any = RESULT, score: float = 0.05) -> str:
    agreement = SsdAgreement(20, 1, 2, 0.5, 0.25, Tolerance(1.0, 0.5), 3)
    return detector_card(design, DetectorCost(11_000_000, 222_000_000, 3, 4_444), agreement, score, result, b"weights")


def test_a_detectors_card_says_its_own_figures() -> None:
    text = of_detector()
    said = tables(text.split("## Model")[1].split("## Use")[0])
    agreement = "20 detections, 1 without a partner (torchvision's float32 and float64: 2), 3 images without one; the others within"
    assert said.pop("ONNX")[0].startswith(f"`onnx/model.onnx`, NMS inside, scores above 0.05; compared with torchvision's SSD: {agreement}")
    assert said == {
        "": [""],
        "backbone": ["`nas_224`: my_cell with 3 cells, 4 channels"],
        "images": ["any size; resized to 64 x 64"],
        "classes": [f"21: {', '.join(f'c{i}' for i in range(20))}, ..."],
        "heads": ["dense, extra maps of 16, 8 channels"],
        "multi-adds": ["222 M, of which the backbone's are 11 M (convolutions and linear layers)"],
        "parameters": ["4,444"],
        "sha256 of model.safetensors": [f"`{hashlib.sha256(b'weights').hexdigest()}`"],
        "written by": [f"nasarch {nasarch.__version__}"],
    }
    assert "of the labels 1 to 21" in text and "In Python scores are above 0.002;" in text and "# SSD on my_cell with 3 cells" in text
    measured = text.split("## Measured with these weights")[1].split("## Where")[0]
    read = "COCO's figures on 7 images of bccd/val, read once, by pycocotools; 3 epochs of batch 4 on bccd/train, seed 5, 6.5 s on CPU."
    assert read in measured
    assert {name: row[0] for name, row in tables(measured).items()} == {"figure": "value", "AP": "12.35 %", "AP50": "50.00 %", "APs": "-"}
    known = yaml_of(text)
    assert known["datasets"] == ["ILSVRC/imagenet-1k"] and "license" not in known and known["library_name"] == "nasarch"
    assert known["tags"][-2:] == ["arxiv:1512.02325", "arxiv:1234.5678"]
    (result,) = known["model-index"][0]["results"]
    found = [(result["dataset"]["name"], *metric.values()) for metric in result["metrics"]]
    assert found == [("bccd/val", "ap", 12.35, "AP (IoU 0.50:0.95), %"), ("bccd/val", "ap50", 50.0, "AP50 (IoU 0.50), %")]
    named = {**RESULT, "val": {**RESULT["val"], "name": "cifar10"}, "data": {"name": "cifar100"}}  # type: ignore[dict-item]
    assert yaml_of(of_detector(result=named))["datasets"] == ["ILSVRC/imagenet-1k"], "on which the cells were searched; no folder's name"


def test_a_detector_of_which_nothing_is_known_says_so() -> None:
    plain = of_detector(replace(DESIGN, backbone="resnet18", arguments={}), None)
    assert "Nothing is known." in plain and "![The cells]" not in plain and "## Where the cells" not in plain
    assert "model-index" not in plain and "license" not in yaml_of(plain) and "Licence: not stated. The detector: Liu" in plain
    assert tables(plain)["backbone"] == ["`resnet18`"]


@pytest.mark.parametrize(
    ("number", "said"), [(99_999_999, "100 M"), (100_000_000, "100 M"), (1_234_500_000, "1,234 M"), (345_600, "0.346 M")]
)
def test_millions_have_three_digits_or_more(number: int, said: str) -> None:
    assert millions(number) == said


# --- config.json -------------------------------------------------------------------------------------------------------------


def network(**changes: Any) -> Any:
    genotype = {**facts().genotype.to_dict()}
    return trained("nas_cifar", genotype=genotype, num_classes=5, **changes)


def origin_of(**changes: Any) -> ModelSource:
    return ModelSource(**{"source": "x", "name": "my_model", "genotype": facts().genotype, **changes})  # type: ignore[arg-type]


def test_the_configuration_says_all_that_timm_and_transformers_need() -> None:
    model = network(global_pool="max")
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "input_size": (3, 30, 41)}
    found = model_config(model, origin_of(), Labels(("a", "b", "c", "d", "e"), {"a": "an a"}), None)
    arguments = found.pop("model_args")
    assert arguments.pop("genotype") == facts().genotype.to_dict()
    assert arguments == {"cells": 3, "channels": 4, "in_chans": 3, "global_pool": "max"}
    config = found.pop("pretrained_cfg")
    assert found == {
        **{"architecture": "nas_cifar", "num_classes": 5, "num_features": model.num_features, "global_pool": "max"},
        **{"label_names": ["a", "b", "c", "d", "e"], "label_descriptions": {"a": "an a"}},
    }
    assert config == {
        **{"input_size": [3, 30, 41], "pool_size": [8, 11], "num_classes": 5, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
        **{
            "crop_pct": 1.0,
            "crop_mode": "center",
            "interpolation": "bicubic",
            "first_conv": "stem.0.0",
            "classifier": "fc",
            "license": "apache-2.0",
        },
        "description": "FTSO cells searched on imagenet: 3 cells, 4 channels, 30x41 images",
    }
    unnamed = model_config(model, origin_of(), Labels(("a",) * 5, {}), 12)
    assert unnamed["pretrained_cfg"]["input_size"] == [3, 12, 12] and unnamed["pretrained_cfg"]["pool_size"] == [3, 3]
    assert "label_descriptions" not in unnamed and "label_names" not in model_config(model, origin_of(), None, None)


def test_the_crop_mode_goes_into_config_json() -> None:
    model = network()
    model.pretrained_cfg = {**model.pretrained_cfg, "crop_mode": "squash"}
    assert model_config(model, origin_of(), None, None)["pretrained_cfg"]["crop_mode"] == "squash"


def test_a_crop_mode_of_its_own_is_named() -> None:
    for mode, named in (("center", ""), ("squash", ", squash")):
        assert f"bicubic, crop 0.875{named} |" in card(facts(config={**facts().config, "crop_mode": mode}))


def test_statistics_are_those_of_the_data_that_are_named_and_one_for_one_channel() -> None:
    """CIFAR-10's and CIFAR-100's, as the literature has them."""
    cifar = {
        "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
        "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    }
    for name, (mean, std) in cifar.items():
        found = model_config(network(), origin_of(data=KNOWN[name]), None, None)["pretrained_cfg"]
        assert ([*found["mean"]], [*found["std"]]) == (mean, std)
        grey = model_config(network(in_chans=1), origin_of(data=KNOWN[name]), None, None)["pretrained_cfg"]
        assert (grey["mean"], grey["std"]) == ([pytest.approx(sum(mean) / 3)], [pytest.approx(sum(std) / 3)])
        assert grey["input_size"] == [1, 32, 32]
    unsaid = model_config(network(), origin_of(data=KNOWN["cifar100"]._replace(statistics=None)), None, None)["pretrained_cfg"]
    assert [*unsaid["mean"]] == cifar["cifar10"][0]


@pytest.mark.parametrize(("size", "fits"), [(4, True), (3, False)])
def test_a_size_leaves_a_pixel_of_the_last_map(size: int, fits: bool) -> None:
    if fits:
        assert model_config(network(), origin_of(), None, size)["pretrained_cfg"]["pool_size"] == [1, 1]
    else:
        with pytest.raises(ExportError, match="size 3 is too small for my_model; choose 4 or more"):
            model_config(network(), origin_of(), None, size)


# --- a folder ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Without ONNX and pictures; what the ONNX exporter was given."""
    seen = list[Any]()
    monkeypatch.setattr(exporter, "export_onnx", lambda model, path, **told: seen.append((model, told)) or without_onnx(model, path))
    monkeypatch.setattr(exporter, "draw", lambda *_: None)
    return seen


def test_what_is_written_is_what_the_card_and_the_report_say(tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training: its weights, its data, its accuracy; the auxiliary tower left behind; the size that is asked for."""
    told = list[Facts]()
    monkeypatch.setattr(exporter, "card", lambda facts: told.append(facts) or card(facts))
    new_cell("my_cell", tmp_path / "cell.json", **PROVENANCE)
    model = trained("nas_cifar", genotype=str(tmp_path / "cell.json"), num_classes=10, aux_head=True)
    weights = save(model, tmp_path / "w.safetensors")
    report = export_hub(tmp_path / "cell.json", tmp_path / "out", checkpoint=weights, data="cifar10", size=28, repository="me/x")
    (known,), ((loaded, given),) = told, quick
    content = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert known.weights_sha256 == hashlib.sha256(content).hexdigest() and b"aux_head" not in content
    assert (known.name, known.repository, known.architecture, known.num_classes) == ("my_cell", "me/x", "nas_cifar", 10)
    assert (known.random, known.trained_on, known.results) == (False, "CIFAR-10", ())
    assert known.sizes == {"cells": 3, "channels": 4, "in_chans": 3} and known.class_names is not None and known.class_names[3] == "cat"
    kept = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("aux_head"))
    bare = trained("nas_cifar", genotype=str(tmp_path / "cell.json"), num_classes=10)
    assert known.cost == Cost(kept, multi_adds(bare, (3, 28, 28))) and known.config["input_size"] == [3, 28, 28]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert known.config == config["pretrained_cfg"] and known.genotype == Genotype.load(tmp_path / "out" / "genotype.json")
    assert given["class_names"] == tuple(config["label_names"]) and configuration(loaded)["input_size"] == (3, 28, 28)
    assert known.onnx == "0.0 MB, logits within 0.0e+00 of how much PyTorch's vary between images, measured in onnxruntime"
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert (report.size_bytes, report.labelled, report.random, report.num_classes, report.name) == (size, True, False, 10, "my_cell")
    assert report.path == tmp_path / "out" and report.architecture == "nas_cifar"


def test_a_report_says_what_to_do_next() -> None:
    onnx = OnnxReport(
        **{"path": Path("p"), "architecture": "a", "input_size": (3, 8, 8), "num_classes": 2, "size_bytes": 1},  # type: ignore[arg-type]
        **{"agreement": Agreement(0.5, 1.0, 2.0, 0.0), "torch_ms": 1.0, "onnx_ms": 1.0, "threads": 1},  # type: ignore[arg-type]
    )
    told = {"path": Path("out"), "name": "m", "architecture": "nas_cifar", "num_classes": 2, "size_bytes": 2_500_000, "onnx": onnx}
    for labelled, random in ((True, False), (False, True)):
        said = str(HubReport(**told, labelled=labelled, random=random))  # type: ignore[arg-type]
        assert said.startswith("out: m as nas_cifar, 2.5 MB, 2 classes; ") and "differ by 2.5e-01 of how much" in said
        assert ("their names are in it" in said) == labelled and ("--checkpoint W.safetensors takes trained ones" in said) == random


# --- where a model is from ---------------------------------------------------------------------------------------------------


def test_a_name_a_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    named = find_source("pc_darts_imagenet")
    assert (named.source, named.name, named.random, named.results) == ("pc_darts_imagenet", "pc_darts_imagenet", True, ())
    assert named.data == KNOWN["imagenet"] and find_source("dots_cifar100").data == KNOWN["cifar100"]
    new_cell("mine", tmp_path / "genotype.json")
    of_file = find_source(tmp_path / "genotype.json")
    assert (of_file.source, of_file.name, of_file.random, of_file.data) == (str(tmp_path / "genotype.json"), "mine", True, None)
    weighted = find_source(tmp_path / "genotype.json", tmp_path / "w", "cifar10")
    assert (weighted.weights, weighted.random, weighted.data) == (tmp_path / "w", False, KNOWN["cifar10"])
    of_search = find_source(tmp_path)
    assert (of_search.weights, of_search.random) == (None, True)
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "result.json").write_text(json.dumps({"results": [RESULTS[0]]}))
    of_search = find_source(tmp_path)
    assert (of_search.weights, of_search.random, of_search.name) == (tmp_path / "model.safetensors", False, "mine")
    assert [dict(result) for result in of_search.results] == [RESULTS[0]]
    other = find_source(tmp_path, tmp_path / "other")
    assert (other.weights, other.results, other.data) == (tmp_path / "other", (), None), "its figures are of other weights"


@pytest.mark.parametrize(
    ("beside", "images", "title"),
    [(True, 50_000, "CIFAR-10"), (True, None, "CIFAR-10"), (True, 49_999, "own-cifar10"), (False, 50_000, "unnamed data")],
)
def test_a_training_is_its_weights_its_data_and_its_accuracy(beside: bool, images: int | None, title: str, tmp_path: Path) -> None:
    """In model/ of a run's folder, or by itself as timm keeps it. CIFAR-10 is known by classes and number of images."""
    cell = new_cell("mine", tmp_path / "cell.json").to_dict()
    place = tmp_path / "model" if beside else tmp_path
    place.mkdir(exist_ok=True)
    (place / "model.safetensors").touch()
    config = {"architecture": "nas_cifar", "pretrained_cfg": {}, "label_names": [*CIFAR10_CLASSES], "model_args": {"genotype": cell}}
    (place / "config.json").write_text(json.dumps(config))
    if beside:
        (tmp_path / "config.json").write_text(json.dumps({"genotype": cell, "data": {"name": "cifar10", "images": images}}))
    test = {"images": 50, "top1": 91.456, "top5": 99.994}
    told = {"test": test, "epochs": 7, "batch_size": 64, "seconds": 8.5, "seed": 3, "device": "CPU", "weights": "last epoch"}
    told |= {"recipe": {"name": "shallow"}, "changed": {"lr": 0.1}, "begun_from": {"sha256": "abc"}, "data": {"name": "CIFAR-10"}}
    (tmp_path / "result.json").write_text(json.dumps(told))
    found = find_source(tmp_path)
    assert (found.source, found.name, found.pretrained, found.random) == (f"local-dir:{place}", "mine", True, False)
    if title == "CIFAR-10":
        assert found.data == KNOWN["cifar10"]._replace(statistics=None)
    else:
        assert found.data is not None and (found.data.title, found.data.hub, found.data.class_names) == (title, None, CIFAR10_CLASSES)
    other = [] if title == "CIFAR-10" else ["data CIFAR-10"]
    note = ["50 test images, read once", *other, "recipe shallow", "weights of the last epoch"]
    common = {"dataset": title, "unit": "%", "budget": "7 epochs, batch 64, 8.5 s", "seed": 3}
    common["note"] = "; ".join([*note, "begun from weights of SHA-256 abc", "CPU", "lr 0.1"])
    assert [dict(one) for one in found.results] == [
        {**common, "metric": "test accuracy", "value": 91.46},
        {**common, "metric": "top-5 test accuracy", "value": 99.99},
    ]
    named = find_source(tmp_path, None, "cifar100")
    assert named.data == KNOWN["cifar100"]._replace(statistics=None), "preprocessing is that of the training"
    with pytest.raises(ValueError, match="has weights of its own"):
        find_source(tmp_path, "w")


@pytest.mark.parametrize("name", ["ftso_cifar_shallow", "pc_darts_cifar_shallow"])
def test_the_packages_weights_bring_the_accuracy_of_their_file(name: str) -> None:
    """That of PC-DARTS' differs from its training's, 81.60 % for 81.58 %."""
    found = find_source(name)
    told = json.loads((Path(nasarch.__file__).parent / "weights" / f"{name}.json").read_text())
    assert (found.pretrained, found.random, found.source, found.name) == (True, False, name, name)
    assert found.results[0]["value"] == round(told["file"]["top1"], 2) and found.results[0]["seed"] == told["seed"]
    assert found.data is not None and list(found.data.class_names) == told["inputs"]["label_names"] and found.data.statistics is None
    other = find_source(name, "w", "cifar10")
    assert (other.pretrained, other.weights, other.data, other.results) == (False, Path("w"), KNOWN["cifar10"], ())


def test_other_statistics_than_the_models_own_are_those_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_cell("mine", tmp_path / "cell.json", searched_on="cifar10")
    own = KNOWN["cifar10"].statistics
    assert own is not None
    monkeypatch.setitem(KNOWN, "cifar10", KNOWN["cifar10"]._replace(statistics=own._replace(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))))
    config: Any = find_model(tmp_path / "cell.json", None, "cifar10").model.pretrained_cfg
    assert (config["mean"], config["std"]) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_a_subject_has_the_statistics_and_labels_of_its_data(tmp_path: Path) -> None:
    new_cell("mine", tmp_path / "cell.json", searched_on="cifar10")
    found = find_model(tmp_path / "cell.json", None, "cifar10")
    assert found.random and found.class_names is not None and found.class_names[:2] == ("airplane", "automobile")
    config: Any = found.model.pretrained_cfg
    assert (config["mean"], config["std"]) == ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)) and not found.model.training
    plain = find_model(tmp_path / "cell.json")
    assert plain.class_names is None
    theirs = find_model("test_resnet")
    assert theirs.random and theirs.class_names is None and isinstance(theirs.model, nn.Module)
    weights = save(trained("nas_cifar", genotype=str(tmp_path / "cell.json"), num_classes=10, in_chans=1), tmp_path / "w.safetensors")
    grey = find_model(tmp_path / "cell.json", weights, "cifar10")
    assert not grey.random and grey.model.in_chans == 1 and grey.class_names is not None
    untouched = timm.create_model("nas_cifar", genotype=str(tmp_path / "cell.json")).pretrained_cfg["mean"]  # three, for no channel of its
    assert grey.model.pretrained_cfg["mean"] == untouched


def test_the_genotype_of_a_file_says_all_but_the_command_that_found_it() -> None:
    found = json.loads(metadata(network(), (3, 8, 8), 5)["genotype"])
    expected = facts().genotype.to_dict()
    assert expected["provenance"].pop("source")["command"] == "nasarch s" and found == expected


def test_class_names_are_given_or_the_models_own_if_their_number_is_right() -> None:
    model: Any = nn.Linear(2, 3)
    model.pretrained_cfg = {"label_names": ["x", "y", "z"], "mean": (0.1, 0.2), "std": (0.3,)}
    found = metadata(model, (2, 4, 5), 3)
    assert json.loads(found["class_names"]) == ["x", "y", "z"] and json.loads(found["mean"]) == [0.1, 0.2] and "std" not in found
    assert (found["architecture"], found["num_classes"], found["input_size"], found["precision"]) == ("Linear", "3", "[2, 4, 5]", "float32")
    assert json.loads(metadata(model, (2, 4, 5), 3, ["a", "b", "c"])["class_names"]) == ["a", "b", "c"]
    assert "class_names" not in metadata(model, (2, 4, 5), 4)
    with pytest.raises(ExportError, match="for 3 logits"):
        metadata(model, (2, 4, 5), 3, ["a", "b"])
    with pytest.raises(ExportError, match="for 3 logits"):
        metadata(model, (2, 4, 5), 3, "abc")
