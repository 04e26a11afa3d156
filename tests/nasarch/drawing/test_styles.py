"""What a picture of cells shows by colours and lines: the family of an operation, and edges that are `none`."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nasarch.cells.genotype import Cell, Genotype, Op, resolve
from nasarch.drawing.draw import _figure

FAMILIES = [
    {"sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"},
    {"dil_conv_3x3", "dil_conv_5x5"},
    {"max_pool_3x3"},
    {"avg_pool_3x3"},
    {"skip_connect"},
    {"conv_7x1_1x7", "conv_3x1_1x3"},
    {"none"},
]
OPERATIONS = sorted(set.union(*FAMILIES))


@pytest.fixture(scope="module")
def figure() -> Figure:
    """A cell whose nodes read the inputs by every operation, and one of two edges."""
    every = Cell(tuple((Op(name, i % 2),) for i, name in enumerate(OPERATIONS)), tuple(range(2, 2 + len(OPERATIONS))))
    few = Cell(((Op("sep_conv_3x3", 0), Op("none", 1)),), (2,))
    return _figure(Genotype("every", "darts", {"normal": every, "reduction": few}))


def colours(figure: Figure) -> dict[str, set[str]]:
    """Of the letters of each operation."""
    found = defaultdict(set)
    for axes in figure.axes:
        for text in axes.texts:
            if text.get_text() in OPERATIONS:
                found[text.get_text()].add(to_hex(text.get_color()))
    return found


def test_operations_of_a_family_share_a_colour_and_no_two_families_do(figure: Figure) -> None:
    found = colours(figure)
    assert found.keys() == set(OPERATIONS) and all(len(shades) == 1 for shades in found.values())
    families = defaultdict(set)
    for name, (shade,) in found.items():
        families[shade].add(name)
    assert sorted(map(sorted, families.values())) == sorted(map(sorted, FAMILIES))


def test_boxes_have_the_colour_of_their_letters_and_none_is_dashed(figure: Figure) -> None:
    """As many boxes and wires behind operations in a colour as letters in it; those of `none` are dashed, no others are."""
    for axes in figure.axes:
        letters = Counter(to_hex(text.get_color()) for text in axes.texts if text.get_text() in OPERATIONS)
        boxes = Counter(to_hex(patch.get_edgecolor()) for patch in axes.patches if patch.get_fill())
        wires = Counter(to_hex(patch.get_edgecolor()) for patch in axes.patches if not patch.get_fill())
        for shade, count in letters.items():
            assert boxes[shade] == count == wires[shade]
        (grey,) = colours(figure)["none"]
        dashed = [to_hex(patch.get_edgecolor()) for patch in axes.patches if patch.get_linestyle() != "solid"]
        assert dashed == [grey] * 2 * letters[grey] and letters[grey] == 1


def test_inputs_nodes_and_output_are_named(figure: Figure) -> None:
    first, second = ([text.get_text() for text in axes.texts if text.get_text() not in OPERATIONS] for axes in figure.axes)
    assert Counter(first) == Counter(["$c_{k-2}$", "$c_{k-1}$", "$c_k$", *map(str, range(2, 2 + len(OPERATIONS)))])
    assert Counter(second) == Counter(["$c_{k-2}$", "$c_{k-1}$", "$c_k$", "2"])
    nats = _figure(resolve("ftso_nats_cifar"))
    assert Counter(text.get_text() for text in nats.axes[0].texts if text.get_text().startswith("$")) == Counter(["$c_{k-1}$", "$c_k$"])
    assert [text.get_text() for text in nats.texts] == ["ftso_nats_cifar: normal cell", ""]
    assert [text.get_text() for text in figure.texts][1::2] == ["", "edges from the inputs have stride 2"]
