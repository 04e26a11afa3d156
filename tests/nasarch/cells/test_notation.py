"""The texts of published code are read as they are printed, never evaluated, and refused in one line."""

import pytest

from nasarch.cells.genotype import Cell, Genotype, GenotypeError, Op, resolve
from nasarch.cells.space import NATS

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
NATS_TEXT = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"


def test_from_darts_reads_what_the_published_code_prints() -> None:
    genotype = Genotype.from_darts(f"2019-06-01 INFO DARTS_V2 = {DARTS_V2}  # 3.35 M", name="v2")
    assert genotype == resolve("darts_v2_cifar") and genotype.name == "v2"
    assert genotype.to_darts() == DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)")


def test_from_darts_reads_entries_with_their_node() -> None:
    entries = "[('none', 2, 0), ('sep_conv_3x3', 4, 1), ('sep_conv_5x5', 4, 1)]"
    cells = Genotype.from_darts(f"Genotype(normal={entries}, normal_concat=range(2, 6), reduce={entries}, reduce_concat=[4])").cells
    assert cells["normal"] == Cell(((Op("none", 0),), (), (Op("sep_conv_5x5", 1), Op("sep_conv_3x3", 1)), ()), (2, 3, 4, 5))
    assert cells["reduction"] == Cell(((Op("none", 0),), (), (Op("sep_conv_5x5", 1), Op("sep_conv_3x3", 1))), (4,))


def test_entries_may_name_the_nodes_2_to_13() -> None:
    text = "Genotype(normal=[('none', {0}, 0)], normal_concat=[{0}], reduce=[('none', {0}, 0)], reduce_concat=[{0}])"
    assert len(Genotype.from_darts(text.format(13)).cells["normal"].nodes) == 12
    for node in (1, 14):
        with pytest.raises(GenotypeError, match=f"node {node} of entry .*legal are 2 to 13"):
            Genotype.from_darts(text.format(node))


def test_the_printed_form_keeps_other_outputs_and_tells_nodes_apart() -> None:
    """A list where the output is no range; entries with their node where a node has one edge or three."""
    two, one = (Op("none", 0), Op("sep_conv_3x3", 1)), (Op("skip_connect", 2),)
    cell = Cell((two, one, two), (2, 4))
    text = "[('none', 2, 0), ('sep_conv_3x3', 2, 1), ('skip_connect', 3, 2), ('none', 4, 0), ('sep_conv_3x3', 4, 1)]"
    genotype = Genotype("x", "darts", {"normal": cell, "reduction": Cell((two, two), (3,))})
    reduction = "[('none', 2, 0), ('sep_conv_3x3', 2, 1), ('none', 3, 0), ('sep_conv_3x3', 3, 1)]"
    assert genotype.to_darts() == f"Genotype(normal={text}, normal_concat=[2, 4], reduce={reduction}, reduce_concat=range(3, 4))"


def test_from_darts_reads_one_list_a_node() -> None:
    nodes = "[[('none', 0)], [], [('sep_conv_3x3', 1), ('sep_conv_5x5', 1), ('skip_connect', 2)]]"
    genotype = Genotype.from_darts(f"Genotype(normal={nodes}, normal_concat=range(2, 5), reduce={nodes}, reduce_concat=[4])")
    assert genotype.cells["normal"].nodes == ((Op("none", 0),), (), (Op("sep_conv_3x3", 1), Op("sep_conv_5x5", 1), Op("skip_connect", 2)))


def test_nats_strings_come_back() -> None:
    genotype = Genotype.from_nats(NATS_TEXT)
    assert genotype.to_nats() == NATS_TEXT
    assert genotype.cells["normal"].nodes[1] == (Op("none", 0), Op("skip_connect", 1))
    assert genotype.cells["normal"].concat == NATS.concat()
    assert Genotype.from_nats("|none~0|+|none~1|none~0|").to_nats() == "|none~0|+|none~0|none~1|"


HOSTILE = {
    "call": "Genotype(normal=__import__('os').getcwd(), normal_concat=[2], reduce=[], reduce_concat=[2])",
    "arguments": "Genotype(normal=[])",
    "positional": "Genotype([], [2], [], [2])",
    "star": "Genotype(**{})",
    "no call": "normal=[('sep_conv_3x3', 0)]",
    "two": f"{DARTS_V2}\n{DARTS_V2}",
    "half": DARTS_V2[:-1],
    "odd": DARTS_V2.replace("('sep_conv_3x3', 0), ", "", 1),
    "range": DARTS_V2.replace("range(2, 6)", "range(2, 10**12)"),
    "big range": DARTS_V2.replace("range(2, 6)", "range(1000000000000)"),
    "other call": DARTS_V2.replace("range(2, 6)", "list(2, 6)"),
    "node": "Genotype(normal=[('none', 99999999999, 0)], normal_concat=[2], reduce=[('none', 2, 0)], reduce_concat=[2])",
    "operation": DARTS_V2.replace("dil_conv_3x3", "dil_conv_4x4"),
    "source": DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"),
    "strings": "Genotype(normal=['ab'], normal_concat=[2], reduce=['ab'], reduce_concat=[2])",
    "parentheses": "Genotype(" + "(" * 60_000,
    "minus": "Genotype(normal=" + "-" * 60_000 + "1)",
    "plus": "Genotype(normal=" + "1+" * 30_000 + "1)",
    "attributes": "Genotype" + "(1)" + ".a" * 30_000,
    "null": "Genotype(\0)",
    "10 MB": "Genotype(" + "[" * 10_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_bad_darts_text_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(GenotypeError, match="^DARTS text: .*[:;]") as caught:
        Genotype.from_darts(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nor_conv_3x3~0", "is not a NATS-Bench cell"),
        ("", "is not a NATS-Bench cell"),
        ("|nor_conv_3x3~0|+", "is not a NATS-Bench cell"),
        ("+".join(["|none~0|"] * 13), "1 to 12 nodes"),
        ("|none~0|" * 100_000, "is not a NATS-Bench cell"),
        ("|none~0|+|none~0|", "node 2 .*0 to 1.*`none`"),
        ("|none~0|+|none~0|none~0|", "node 2 .*0 to 1"),
        ("|none~1|", "node 1 .*0 to 0"),
        ("|sep_conv_3x3~0|", "unknown operation 'sep_conv_3x3'.*nor_conv_3x3"),
    ],
)
def test_a_bad_nats_text_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(GenotypeError, match=f"^NATS-Bench text: .*{says}"):
        Genotype.from_nats(text)


def test_forms_that_a_genotype_does_not_have_are_refused() -> None:
    with pytest.raises(GenotypeError, match=r"'nats'.*use to_nats\(\)"):
        Genotype.from_nats(NATS_TEXT).to_darts()
    with pytest.raises(GenotypeError, match=r"'darts'.*use to_darts\(\)"):
        resolve("darts_v2_cifar").to_nats()
    value = Genotype.from_nats(NATS_TEXT).to_dict()
    value["cells"]["normal"]["nodes"][1].pop()
    with pytest.raises(GenotypeError, match="node 2 .*write `none`"):
        Genotype.from_dict(value).to_nats()
