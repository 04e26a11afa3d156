"""The packaged genotypes are the published cells, each with its provenance, in files that come back to the byte."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.genotype import Genotype, names, resolve

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize("name", names())
def test_a_packaged_genotype_comes_back_from_every_form(name: str, tmp_path: Path) -> None:
    genotype = resolve(name)
    assert genotype.name == name
    genotype.save(tmp_path / "again.json")
    packaged = Path(__file__).parents[3] / "genotypes" / f"{name}.json"
    assert (tmp_path / "again.json").read_bytes() == packaged.read_bytes()
    assert Genotype.from_dict(genotype.to_dict()).to_dict() == genotype.to_dict()
    assert (Genotype.from_nats(genotype.to_nats()) if genotype.space == "nats" else Genotype.from_darts(genotype.to_darts())) == genotype


@pytest.mark.parametrize("name", names())
def test_a_packaged_genotype_says_where_it_comes_from(name: str) -> None:
    provenance = resolve(name).provenance
    searched_on = provenance["searched_on"]
    assert searched_on in {"cifar10", "cifar100", "imagenet"} or (name, searched_on) == ("beta_darts_cifar", "unstated")
    assert name.endswith("cifar" if searched_on == "unstated" else searched_on.removesuffix("10"))
    assert provenance["method"] and provenance["kind"] and provenance["source"] and provenance["paper"]["title"]
    assert all(result["unit"] and result["reported_by"] for result in provenance["results"])


def printed(form: dict[str, Any]) -> str:
    """The `genotype` of an entry of the published cells as DARTS and FairDARTS print it."""
    lists = {key: [tuple(item) if isinstance(item, list) else item for item in value] for key, value in form.items()}
    return f"Genotype({', '.join(f'{key}={value}' for key, value in lists.items())})"


@pytest.mark.parametrize(("file", "cells"), [("published-genotypes.json", 30), ("published-genotypes-2.json", 22)])
def test_the_packaged_cells_are_the_published_ones(file: str, cells: int) -> None:
    path = SHARED / file
    if not path.exists():
        pytest.skip(f"the published cells are not at {path}")
    packaged = {genotype.provenance["source"].get("name"): genotype for genotype in map(resolve, names())}
    published = json.loads(path.read_text())
    assert len(published) == cells
    for entry in published:
        genotype = packaged[entry["name"]]
        assert Genotype.from_darts(printed(entry["genotype"])).to_dict()["cells"] == genotype.to_dict()["cells"]
        source = genotype.provenance["source"]
        assert (source["kind"], source["path"], source["commit"]) == (entry["kind"], entry["source_path"], entry["source_commit"])
        assert source["repository"].endswith(entry["source_repo"]) and entry["note"] in source.get("note", "")


def test_nats_bench_strings_come_back_and_two_cells_fit_the_accuracies_of_ftso() -> None:
    path = SHARED / "nats-bench" / "topology-200ep.csv"
    if not path.exists():
        pytest.skip(f"the NATS-Bench table is not at {path}")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert all(Genotype.from_nats(row["arch"]).to_nats() == row["arch"] for row in random.Random(0).sample(rows, 500))
    for name in ("ftso_nats_cifar", "darts_nats_cifar"):
        genotype = resolve(name)
        reported = [f"{result['value']:.2f}" for result in genotype.provenance["results"]]
        fits = [row for row in rows if [f"{float(row[key]):.2f}" for key in ("c10", "c100", "in16")] == reported]
        assert [(row["arch"], int(row["index"])) for row in fits] == [(genotype.to_nats(), genotype.provenance["source"]["index"])]
