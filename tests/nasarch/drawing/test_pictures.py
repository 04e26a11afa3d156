"""SVG files of genotypes, and elements whose edges can be marked."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from nasarch.cells.difference import graph_edges
from nasarch.cells.genotype import Cell, Genotype, resolve
from nasarch.cells.space import DARTS
from nasarch.drawing.pictures import drawings, picture

NAMES = ["pc_darts_cifar", "bayesnas_001_cifar", "fair_darts_a_cifar", "ftso_nats_cifar", "nasnet_a_cifar"]


@pytest.mark.parametrize("name", NAMES)
def test_wires_of_an_edge_lead_from_its_source_to_its_node(name: str) -> None:
    for kind, drawn in drawings(resolve(name)).items():
        cell = resolve(name).cells[kind]
        root = ElementTree.fromstring(drawn.svg("label"))
        for index, edge in enumerate(graph_edges(cell)):
            parts = [part for group in root.findall(f".//*[@data-edge='{index}']") for part in group.iter()]
            heads = [part for part in parts if part.attrib.get("class") == "head"]
            wires = [part for part in parts if part.tag == "path" and part not in heads]
            boxes = [part for part in parts if part.tag == "rect"]
            texts = [part.text for part in parts if part.tag == "text"]
            assert texts == ([edge.operation] if edge.operation else [])
            assert len(heads) == len(wires) == (2 if edge.operation else 1) and len(boxes) == len(texts)


def test_a_picture_is_a_file_of_its_own_for_both_colour_schemes() -> None:
    genotype = resolve("pc_darts_cifar")
    text = picture(genotype.name, drawings(genotype))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.attrib["aria-label"] == "cells of pc_darts_cifar"
    assert "prefers-color-scheme:dark" in text and "<script" not in text and "href" not in text
    assert [part.text for part in root.iter() if part.attrib.get("class") == "title"] == [
        "normal cell",
        "reduction cell (edges from the inputs have stride 2)",
    ]
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    places = re.findall(r'<rect [^>]*x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', text)
    assert len(places) == 8 * 2 + 4 * 2 + 3 * 2
    assert all(float(x) + float(w) <= width and float(y) + float(h) <= height for x, y, w, h in places)


def test_names_are_escaped() -> None:
    cells = {kind: Cell([[("sep_conv_3x3", 0)]], (2,)) for kind in DARTS.kinds}
    genotype = Genotype("<b>&\"'", DARTS.name, cells)
    text = picture(genotype.name, drawings(genotype))
    assert ElementTree.fromstring(text).attrib["aria-label"] == "cells of <b>&\"'"
    assert "<b>" not in drawings(genotype)["normal"].svg("<b>")
