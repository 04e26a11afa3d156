"""A classifier's model card, value by value: figures and their conditions, metadata, citation, escaping."""

from __future__ import annotations

import re

import pytest

import nasarch
from nasarch.cells.genotype import Genotype, resolve
from nasarch.export.hub.card import bibtex, card, data_sets, origin, paper_tags, table
from nasarch.export.ssd.detector import millions
from tests.helpers.cards import PROVENANCE, facts, tables, yaml_of


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


@pytest.mark.parametrize(
    ("number", "said"), [(99_999_999, "100 M"), (100_000_000, "100 M"), (1_234_500_000, "1,234 M"), (345_600, "0.346 M")]
)
def test_millions_have_three_digits_or_more(number: int, said: str) -> None:
    assert millions(number) == said
