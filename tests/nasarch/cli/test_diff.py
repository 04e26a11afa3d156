"""`nasarch diff`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm

import nasarch
from nasarch.cells.genotype import resolve
from nasarch.cli.main import main
from nasarch.models.profile import count_parameters, multi_adds

WORDS = ["diff", "darts_v2_cifar", "snas_mild_cifar"]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 0
    return capsys.readouterr().out


def test_the_edges_stand_beside_each_other_with_their_marks(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, *WORDS).splitlines()
    assert lines[0] == "distance 5: edges only in A 1, only in B 1, with another operation 3"
    assert "  ~ c_{k-2} ── sep_conv_3x3 ─▶ 3  ~ c_{k-2} ── skip_connect ─▶ 3" in lines
    assert "  -       2 ── dil_conv_3x3 ─▶ 5  -" in lines
    assert "  +                               + c_{k-1} ── skip_connect ─▶ 4" in lines
    assert "normal cell, distance 4; node 4 of A is 5 of B, 5 of A is 4 of B" in lines
    assert sum(line.startswith(("  ~", "  -", "  +")) for line in lines) == 5


def test_the_costs_are_those_of_the_networks(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, *WORDS, "--json"))
    assert (found["distance"], found["is_exact"], found["cells"]["reduction"]["distance"]) == (5, True, 1)
    for network in found["networks"]:
        for letter, genotype in zip("ab", WORDS[1:], strict=True):
            model = timm.create_model(network["network"], genotype=genotype)
            expected = {"parameters": count_parameters(model), "multi_adds": multi_adds(model, model.default_cfg["input_size"])}
            assert network[letter] == expected
    assert [network["network"] for network in found["networks"]] == ["nas_cifar", "nas_224"]


def test_the_costs_are_printed_with_their_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = [line for line in printed(capsys, *WORDS).splitlines() if line.startswith("nas_cifar")]
    assert line.split() == ["nas_cifar,", "32x32", "3,349,342", "2,661,382", "0.795", "528.4", "M", "422.2", "M", "0.799"]


def test_statuses_of_the_json_make_up_the_distance(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, *WORDS, "--json"))
    edges = [edge for cell in found["cells"].values() for edge in cell["edges"]]
    assert sum(edge["status"] != "equal" for edge in edges) == found["distance"]
    assert {"status": "only_a", "a": ["dil_conv_3x3", 2, 5], "b": None} in edges
    assert ["", 2, -1] in [edge["a"] for edge in edges]


def test_equal_cells_have_no_distance_and_files_and_folders_are_cells_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genotype = resolve("pc_darts_cifar")
    (tmp_path / "run").mkdir()
    genotype.save(tmp_path / "run" / "genotype.json")
    for source in (tmp_path / "run", tmp_path / "run" / "genotype.json"):
        assert printed(capsys, "diff", "pc_darts_cifar_224", str(source)).startswith("distance 0: the cells are equal\n")


def test_large_cells_say_how_they_were_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for operation in ("sep_conv_3x3", "skip_connect"):
        nodes = [[[operation, 0]]] * 7
        cells = {kind: {"nodes": nodes, "concat": [*range(2, 9)]} for kind in ("normal", "reduction")}
        value = {"schema": "nasarch.genotype/1", "name": operation, "space": "darts", "cells": cells}
        files.append(tmp_path / f"{operation}.json")
        nasarch.Genotype.from_dict(value).save(files[-1])
    assert "with another operation 14; nodes of large cells are compared by their numbers" in printed(capsys, "diff", *map(str, files))


@pytest.mark.parametrize(
    ("other", "words"), [("ftso_nats_cifar", "of one space"), ("pc_dart_cifar", "did you mean"), ("resnet18", "cells")]
)
def test_what_can_not_be_compared_is_one_line(other: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "pc_darts_cifar", other]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
