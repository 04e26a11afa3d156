"""`nasarch gallery`: figures of the pages, what they load, and text from files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm

from nasarch.cells.difference import difference, graph_edges
from nasarch.cells.genotype import Genotype, names, resolve
from nasarch.cli.main import main
from nasarch.gallery import pages
from nasarch.gallery.derivation import RULES, rule_of
from nasarch.gallery.entries import latencies, nearest
from nasarch.models import shipped
from nasarch.models.catalogue import entries
from nasarch.models.profile import count_parameters, multi_adds
from nasarch.models.zoo import MODELS
from nasarch.search.recipes.methods import METHODS
from tests.helpers.gallery_pages import HOSTILE, SLUG, Page, script_data

LOADS = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "manifest"}


def data(gallery: Path, file: str = "data.js") -> dict[str, Any]:
    return script_data(gallery / file)


def page(gallery: Path, name: str) -> Page:
    return Page(gallery / name)


def files(gallery: Path) -> list[Path]:
    return [path for path in gallery.rglob("*") if path.is_file()]


def test_every_cell_of_the_zoo_has_its_pages_and_all_is_below_five_megabytes(gallery: Path) -> None:
    slugs = {*names(), "changed", SLUG}
    for folder, suffix in (("cells", "html"), ("cells", "json"), ("pictures", "svg")):
        assert {path.stem for path in (gallery / folder).glob(f"*.{suffix}")} == slugs
    found = data(gallery)
    assert {cell["slug"] for cell in found["cells"]} == slugs == data(gallery, "pictures.js").keys()
    assert {model["model"] for model in found["models"] if not model["own"]} == MODELS.keys()
    assert sum(path.stat().st_size for path in files(gallery)) < 5e6


@pytest.mark.parametrize("name", ["amoebanet_a_cifar_224", "ftso_nats_cifar", "ftso_cifar_shallow"])
def test_the_figures_are_those_that_fvcore_counts(name: str, gallery: Path) -> None:
    (found,) = [model for model in data(gallery)["models"] if model["model"] == name]
    model = timm.create_model(name)
    cost = count_parameters(model), multi_adds(model, model.default_cfg["input_size"])
    assert (found["parameters"], found["multi_adds"]) == cost
    row = page(gallery, "index.html").rows()[f"{name} {found['name']}"]
    assert (int(row["data-parameters"] or 0), int(row["data-adds"] or 0)) == cost
    assert f"{cost[1]:,} (convolutions" in page(gallery, f"cells/{found['cell']}.html").text


def test_reported_and_measured_figures_are_told_apart(gallery: Path) -> None:
    rows = page(gallery, "index.html").rows()
    for one in entries():
        row = rows[f"{one.name} {one.genotype}"]
        expected = one.reported_error if one.reported_by != "nasarch" else None
        assert row["data-error"] == ("" if expected is None else str(expected))
        assert row["data-measured"] == (str(shipped.accuracy(one.name)) if one.name in shipped.names() else "")
        assert row["data-latency"] == str(latencies()["models"][one.name]["ratio"])
    text = page(gallery, "cells/pc_darts_cifar.html").text
    assert "2.57 ± 0.07 %, PC-DARTS, Table 1" in text and "81.60 %: weights in the package, trained on cifar10-jpeg, recipe shallow" in text
    assert "none for this network" in text


def test_latencies_are_ratios_to_a_named_model_of_the_same_run() -> None:
    found = latencies()
    assert found["models"].keys() == MODELS.keys() and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"]) and found["device"]
    for name, one in found["models"].items():
        assert MODELS[one["baseline"]].network.size == MODELS[name].network.size
        assert one["quartiles"][0] <= one["ratio"] <= one["quartiles"][1]
    for baseline in {one["baseline"] for one in found["models"].values()}:
        assert abs(found["models"][baseline]["ratio"] - 1) < 0.1
    assert {key for one in found["models"].values() for key in one} == {"baseline", "ratio", "quartiles"}  # no absolute times of a CPU


def test_no_page_loads_anything_from_elsewhere(gallery: Path) -> None:
    for path in files(gallery):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|sendBeacon|WebSocket|EventSource|importScripts|import\(", text) or (
            path.suffix == ".json"
        )
        if path.suffix != ".html":
            continue
        for tag, attributes in Page(path).tags:
            for key, value in attributes.items():
                assert not key.startswith("on"), (path, tag, key)
                if key in LOADS or (tag == "link" and key == "href"):
                    local = value == "data:," or (path.parent / (value or "")).is_file()
                    assert local, (path, tag, value)
                if key == "href" and tag == "a":
                    address = (value or "").partition("#")[0]
                    assert re.match(r"https?://[^\s]+$", address) or (path.parent / address).is_file(), (path, value)
            if tag == "script":
                assert "src" in attributes
        policy = next(tag["content"] for _, tag in Page(path).tags if tag.get("http-equiv") == "Content-Security-Policy")
        assert (policy or "").startswith("default-src 'none';") and "http" not in (policy or "") and "unsafe" not in (policy or "")
        assert "{{" not in text.replace("{{7*7}}", "")


def test_text_of_a_file_is_escaped_and_no_script(gallery: Path) -> None:
    for name in ("index.html", "compare.html", f"cells/{SLUG}.html"):
        found = page(gallery, name)
        assert HOSTILE in found.text, name
        assert not [one for one in found.tags if one[0] == "img" and one[1].get("src") == "x"]
        assert not [one for tag, one in found.tags if "javascript" in (one.get("href") or "")]
    picture = (gallery / "pictures" / f"{SLUG}.svg").read_text(encoding="utf-8")
    assert "onerror=alert(1)&gt;" in picture and "<img" not in picture and "<script" not in picture
    assert "</script>" not in (gallery / "data.js").read_text() + (gallery / "pictures.js").read_text()
    assert any(cell["name"] == HOSTILE for cell in data(gallery)["cells"])


def test_the_genotype_is_a_download_without_local_paths(gallery: Path) -> None:
    for name in names():
        assert Genotype.load(gallery / "cells" / f"{name}.json") == resolve(name)
    text = (gallery / "cells" / "changed.json").read_text(encoding="utf-8")
    assert "/home" not in text and "/home" not in (gallery / "cells" / "changed.html").read_text(encoding="utf-8")
    assert 'model = timm.create_model("nas_cifar", genotype="changed.json", num_classes=10)' in page(gallery, "cells/changed.html").text
    assert "nasarch export onnx changed.json -o changed.onnx" in page(gallery, "cells/changed.html").text


def test_measured_results_of_a_run_are_on_its_page(gallery: Path) -> None:
    text = page(gallery, "cells/changed.html").text
    assert "Measured results" in text and "77.25 %" in text


def test_pairs_are_the_differences_of_the_cells(gallery: Path) -> None:
    found = data(gallery)
    slugs = [cell["slug"] for cell in found["cells"]]
    cells = [Genotype.load(gallery / "cells" / f"{slug}.json") for slug in slugs]
    same_space = [(i, j) for i in range(len(cells)) for j in range(i + 1, len(cells)) if cells[i].space == cells[j].space]
    assert set(found["pairs"]) == {f"{i},{j}" for i, j in same_space}
    for i, j in same_space[::17]:
        expected = difference(cells[i], cells[j])
        distance, is_exact, kinds = found["pairs"][f"{i},{j}"]
        assert (distance, is_exact) == (expected.distance, expected.is_exact)
        for kind, (a, b, _) in kinds.items():
            for index, marks, status in ((i, a, "only_a"), (j, b, "only_b")):
                edges = graph_edges(cells[index].cells[kind])
                own = [(pair.a if index == i else pair.b, pair.status) for pair in expected.cells[kind].pairs]
                assert len(marks) == len(edges) == len(found["cells"][index]["edges"][kind])
                assert sorted(zip(edges, marks, strict=True)) == sorted((e, pages.MARKS[s]) for e, s in own if e is not None)
                assert marks.count(pages.MARKS[status]) == sum(pair.status == status for pair in expected.cells[kind].pairs)


def test_every_edge_of_a_cell_is_in_its_drawing(gallery: Path) -> None:
    drawn, found = data(gallery, "pictures.js"), data(gallery)
    for cell in found["cells"]:
        for kind, edges in cell["edges"].items():
            svg = drawn[cell["slug"]][kind]
            assert {int(index) for index in re.findall(r'data-edge="(\d+)"', svg)} == set(range(len(edges)))
            for index, (operation, _, _) in enumerate(edges):
                groups = re.findall(rf'data-edge="{index}">(.*?)</g>', svg)
                texts = [text for group in groups for text in re.findall(r"<text [^>]*>([^<]*)<", group)]
                assert texts == ([operation] if operation else [])


def test_neighbours_differ_by_two_at_most(gallery: Path) -> None:
    text = (gallery / "cells" / "changed.html").read_text(encoding="utf-8")
    close = text[text.index("Nearest cells") : text.index("Next:")]
    assert re.findall(r'href="(\w+)\.html">\w+</a>: distance (\d)', close) == [("pc_darts_cifar", "1")]
    alone = page(gallery, "cells/dots_cifar.html").text
    assert "No other cell here differs by one or two edges or operations alone" in alone
    assert nearest(0, 1, {}) == ([], [])


def test_derivation_rules_are_those_of_the_methods() -> None:
    for method in METHODS.values():
        assert method.title in RULES
        assert method.paper.get("arxiv", "ICPR") in RULES[method.title].source
    assert rule_of({"method": "DARTS (second order)"}, "darts") == RULES["DARTS"]
    assert rule_of({"method": "P-DARTS"}, "darts") is None and rule_of({}, "darts") is None
    assert rule_of({"method": "FTSO", "kind": "inferred from the paper's text"}, "darts") is None
    nats = rule_of({"method": "DARTS"}, "nats")
    assert nats is not None and "All edges are kept" in nats.text


def test_pages_say_how_the_edges_were_chosen(gallery: Path) -> None:
    assert RULES["PC-DARTS"].text in page(gallery, "cells/pc_darts_cifar.html").text
    assert (
        "nasarch doesn't implement this method's search; its paper has the derivation rule" in page(gallery, "cells/gdas_cifar.html").text
    )
    assert "was inferred from a paper's text" in page(gallery, "cells/ftso_imagenet.html").text
    assert "2, 2, 2, 2 in the normal cell" in page(gallery, "cells/pc_darts_cifar.html").text


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "resnet18", "-o", str(tmp_path / "pages")]) == 2
    assert "not made of cells" in capsys.readouterr().err and not [*tmp_path.iterdir()]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert main(["gallery", "-o", str(tmp_path / "mine")]) == 2
    assert "not empty" in capsys.readouterr().err and [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_the_command_passes_its_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen = list[Any]()
    monkeypatch.setattr(pages, "write_gallery", lambda *given: seen.append(given) or "written")
    assert main(["gallery", "-o", "there"]) == main(["gallery", "a", "b", "-o", "there"]) == 0
    assert seen == [(Path("there"), ()), (Path("there"), ("a", "b"))] and "written" in capsys.readouterr().out
