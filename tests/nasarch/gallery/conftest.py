"""A gallery that is written once for all tests: the zoo, a cell with a hostile name, and a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cells.space import DARTS
from nasarch.gallery.pages import write_gallery
from tests.helpers.gallery_pages import HOSTILE


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    place = tmp_path_factory.mktemp("gallery")
    base = resolve("pc_darts_cifar")
    result = {"dataset": HOSTILE, "metric": HOSTILE, "value": 1.5, "unit": HOSTILE, "note": HOSTILE, "reported_by": HOSTILE}
    about = {
        "method": HOSTILE,
        "searched_on": HOSTILE,
        "paper": {"title": HOSTILE, "arxiv": '"><script>alert(1)</script>', "authors": HOSTILE},
        "source": {"repository": "javascript://%0aalert(1)", "note": HOSTILE, "nested": {HOSTILE: [HOSTILE]}, HOSTILE: HOSTILE},
        "results": [result],
    }
    Genotype(HOSTILE, DARTS.name, base.cells, about).save(place / "hostile.json")
    (place / "run").mkdir()
    nodes = [list(map(list, edges)) for edges in base.cells["normal"].nodes]
    nodes[0][1][0] = "max_pool_3x3"  # pc_darts_cifar with one other operation
    value = {**base.to_dict(), "name": "changed", "provenance": {"method": "PC-DARTS", "source": {"note": "/home/someone/runs/a"}}}
    value["cells"]["normal"]["nodes"] = nodes
    Genotype.from_dict(value).save(place / "run" / "genotype.json")
    measured = {"results": [{"dataset": "CIFAR-10", "metric": "test accuracy", "value": 77.25, "unit": "%"}]}
    (place / "run" / "result.json").write_text(json.dumps(measured))
    write_gallery(place / "pages", [str(place / "hostile.json"), str(place / "run"), "pc_darts_cifar_224"])
    return place / "pages"
