"""A picture or text of a genotype shows all of it, in every format, the same each time, and appears whole or not at all."""

import cProfile
import os
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import matplotlib
import matplotlib.figure
import pytest

from nasarch.cells.genotype import Cell, Genotype, Op, names, resolve
from nasarch.cells.space import DARTS
from nasarch.drawing import layout
from nasarch.drawing.draw import FORMATS, arrows, draw, text

SOME = (
    "pc_darts_cifar",
    "nasnet_a_cifar",
    "amoebanet_a_cifar",
    "bayesnas_0005_cifar",
    "fair_darts_c_cifar",
    "snas_aggressive_cifar",
    "ftso_nats_cifar",
)
LINE = re.compile(r"^ +(\S+) ──+ (\w+) ─+[┐┤┴─](─▶ (\d+))?$")


def operations(genotype: Genotype) -> Counter[str]:
    return Counter(arrow.operation for cell in genotype.cells.values() for arrow in arrows(cell))


def labels(svg: Path) -> Counter[str]:
    """The texts of an SVG file."""
    root = ElementTree.parse(svg).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return Counter("".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text"))


def with_name(name: str) -> Genotype:
    return Genotype(name, "darts", dict(resolve("darts_v1_cifar").cells))


@pytest.mark.parametrize("name", SOME)
def test_svg_carries_the_label_of_each_edge_as_text(name: str, tmp_path: Path) -> None:
    found = labels(draw(name, tmp_path / "cell.svg"))
    genotype = resolve(name)
    assert {label: count for label, count in found.items() if label in operations(genotype)} == operations(genotype)
    for kind in genotype.cells:
        assert found[f"{name}: {kind} cell"] == 1
    for node in {node for cell in genotype.cells.values() for node in cell.live}:
        assert found[str(node)] == sum(node in cell.live for cell in genotype.cells.values())


def test_png_is_an_image_with_a_white_ground_of_legible_size(tmp_path: Path) -> None:
    path = draw("pc_darts_imagenet", tmp_path / "cell.png")
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and 800 < width < 2500 and 500 < height < 1500
    pixels = matplotlib.image.imread(path)
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1], :3] == 1).all()
    assert 0.02 < (pixels[..., :3].min(axis=-1) < 0.7).mean() < 0.3


def test_pdf_keeps_the_text(tmp_path: Path) -> None:
    data = draw("ftso_nats_cifar", tmp_path / "cell.pdf").read_bytes()
    assert data.startswith(b"%PDF") and b"/Type /Font" in data and b"CreationDate" not in data


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_genotype_gives_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    first, second = (draw("pc_darts_cifar", tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert first == second


def test_another_process_with_another_hash_seed_draws_the_same_bytes_without_pyplot(tmp_path: Path) -> None:
    code = "import sys; from nasarch.drawing.draw import draw; draw(*sys.argv[1:]); assert 'matplotlib.pyplot' not in sys.modules"
    theirs, ours = tmp_path / "theirs.svg", tmp_path / "ours.svg"
    command = [sys.executable, "-c", code, "bayesnas_0005_cifar", str(theirs)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}, timeout=300)
    assert theirs.read_bytes() == draw("bayesnas_0005_cifar", ours).read_bytes()


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    draw("darts_v1_cifar", tmp_path / "cell.svg")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ['$a_b$ <&> "x"', "细胞", "%s {0} \\alpha"])
def test_any_name_is_drawn_as_it_is(name: str, tmp_path: Path) -> None:
    assert labels(draw(with_name(name), tmp_path / "cell.svg"))[f"{name}: normal cell"] == 1
    draw(with_name(name), tmp_path / "cell.png")


def test_nodes_that_do_not_exist_are_not_drawn(tmp_path: Path) -> None:
    cell = Cell(((Op("sep_conv_3x3", 0),), (), (Op("skip_connect", 3), Op("max_pool_3x3", 1))), (2, 3, 4))
    found = labels(draw(Genotype("gap", "darts", {"normal": cell, "reduction": cell}), tmp_path / "cell.svg"))
    assert found["3"] == 0 and found["skip_connect"] == 0 and found["4"] == 2 and found["max_pool_3x3"] == 2


@pytest.mark.parametrize("name", ["cell.gif", "cell", "cell.svg.txt"])
def test_another_suffix_is_refused_with_the_legal_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf"):
        draw("darts_v1_cifar", tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cell.svg"
    path.write_text("old")

    def fail(self: object, file: Path, **_: object) -> None:
        Path(file).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fail)
    with pytest.raises(ValueError, match="No space left"):
        draw("darts_v1_cifar", path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def read_back(lines: str, cell: Cell) -> list[list[Op]]:
    """The edges of each node as the text of one cell tells them, those of missing nodes aside."""
    sources = {"c_{k-2}": 0, "c_{k-1}": cell.inputs - 1}
    nodes: list[list[Op]] = []
    edges: list[Op] = []
    for line in lines.splitlines():
        if match := LINE.match(line):
            edges.append(Op(match[2], sources[match[1]] if match[1] in sources else int(match[1])))
            if match[4]:
                assert int(match[4]) == cell.live[len(nodes)]
                nodes, edges = [*nodes, edges], []
    return nodes


@pytest.mark.parametrize("name", names())
def test_text_tells_every_edge_in_the_published_order(name: str) -> None:
    genotype = resolve(name)
    parts = text(genotype).split("\n\n")
    for (kind, cell), part in zip(genotype.cells.items(), parts, strict=True):
        assert part.startswith(f"{kind} cell")
        assert read_back(part, cell) == [list(cell.edges_of(node)) for node in cell.live]
        assert part.splitlines()[-1].endswith(", ".join(map(str, cell.live_concat)) + (")" if len(cell.live_concat) > 1 else ""))


def test_text_names_what_the_networks_leave_out() -> None:
    cell = Cell(((Op("sep_conv_3x3", 0),), (), (Op("skip_connect", 3), Op("max_pool_3x3", 1)), (Op("dil_conv_3x3", 3),)), (2, 3, 4, 5))
    lines = text(Genotype("gap", "darts", {"normal": cell, "reduction": cell})).splitlines()
    assert "             node 3 is left out: it has no edge" in lines
    assert "        3 ╌╌ skip_connect ╌╌ ignored: node 3 is left out" in lines
    assert (
        "        3 ╌╌ dil_conv_3x3 ╌╌ ignored: node 3 is left out" in lines and "             node 5 is left out: it has no edge" in lines
    )
    assert "  c_k = concat(2, 4)" in lines


def test_names_files_dicts_and_values_draw_alike(tmp_path: Path) -> None:
    genotype = resolve("darts_v1_cifar")
    genotype.save(tmp_path / "cell.json")
    forms = ["darts_v1_cifar", tmp_path / "cell.json", genotype.to_dict(), genotype]
    assert len({text(form) for form in forms}) == 1
    assert len({draw(form, tmp_path / "cell.svg").read_bytes() for form in forms}) == 1


def test_the_largest_genotype_is_laid_out_in_time_linear_in_its_edges() -> None:
    """By the number of calls: all edges of four nodes and of eight."""
    calls = []
    for nodes in (4, 8):
        arrows = [layout.Arrow(operation, i, j) for j in range(2, 2 + nodes) for i in range(j) for operation in DARTS.legal_operations]
        profile = cProfile.Profile()
        profile.runcall(layout.lay_out, arrows, 2, range(2, 2 + nodes), lambda text: 1.0)
        calls.append(sum(entry.callcount for entry in profile.getstats()) / len(arrows))
    assert calls[1] < 2 * calls[0]
