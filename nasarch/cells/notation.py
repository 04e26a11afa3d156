"""Notations of cells printed by published code, read and written without evaluating them. Knows texts, not what is legal in a space.

| form | entries | from |
|---|---|---|
| DARTS: `Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=range(2, 6), ...)` | (operation, source), two a node | Liu et al. 2019 |
| FairDARTS: the same | (operation, node, source), any number a node, or none | Chu et al. 2020 |
| nested: the same | one list of (operation, source) a node | Hong et al. 2020 |
| complete: the same | (operation, source), one from each earlier node: 2, 3, 4, ... a node | DARTS' form, all edges kept |
| NATS: `|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+...` | operation~source for each earlier node | Dong et al. 2021 |

Numbers and strings may be NumPy's, as NumPy 2 prints them (`np.int64(1)`), and a NATS string may stand in `Structure(4 nodes with ...)`.
A cell is the pair (nodes, concat): nodes is a list of lists of (operation, source), the first of them node `inputs`.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from nasarch.strict_json import MAX_BYTES, shown

from .space import DARTS, MAX_NODES

Edges = list[list[tuple[Any, Any]]]

DARTS_FORM = "Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"
NATS_FORM = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
_ARGUMENTS = {"normal": "normal", "reduction": "reduce"}  # our cell kind: the name in the text


def parse_darts(text: str) -> dict[str, tuple[Edges, list[int]]]:
    """The cells of a printed DARTS genotype; text before `Genotype(`, such as `DARTS_V2 = ` or a log's prefix, is ignored.

    Raises:
        ValueError: the text has another form; shows the form that is read.
    """
    arguments = _darts_arguments(text)
    cells = {}
    for kind, name in _ARGUMENTS.items():
        concat = _numbers(arguments[f"{name}_concat"], f"{name}_concat")
        cells[kind] = (_darts_nodes(_literal(arguments[name], name), name, concat), concat)
    return cells


def _darts_arguments(text: Any) -> dict[str | None, ast.expr]:
    start = text.find("Genotype(") if isinstance(text, str) else -1
    if start < 0 or len(text) > MAX_BYTES:
        raise ValueError(f"{shown(text)} is not a printed genotype of at most {MAX_BYTES} characters; paste {DARTS_FORM}")
    try:
        call = ast.parse(text[start:].strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "nested too deep or unreadable"
        raise ValueError(f"can't read {shown(text)}: {reason}; paste {DARTS_FORM}") from None
    legal = [name + suffix for name in _ARGUMENTS.values() for suffix in ("", "_concat")]
    if isinstance(call, ast.Call) and call.args:
        raise ValueError(f"it has {len(call.args)} positional arguments; name them {', '.join(legal)}: paste {DARTS_FORM}")
    arguments = {k.arg: k.value for k in call.keywords} if isinstance(call, ast.Call) else {}
    extra, missing = [name for name in arguments if name not in legal], [name for name in legal if name not in arguments]
    if extra or missing:
        wrong = " and ".join(words for words in (extra and f"has {shown(extra)}", missing and f"lacks {shown(missing)}") if words)
        raise ValueError(f"it {wrong}; legal are exactly {', '.join(legal)}: paste {DARTS_FORM}")
    return arguments


def _literal(node: ast.expr, name: str) -> Any:
    try:
        return ast.literal_eval(_Unwrapped().visit(node))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{name} is not a plain list; names and numbers are legal, computed values are not: paste {DARTS_FORM}") from None


class _Unwrapped(ast.NodeTransformer):
    """NumPy's scalars as NumPy 2 prints them, `np.int64(1)` or `np.str_('none')`, become their arguments."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=kind), args=[value], keywords=[]):
                return value if re.fullmatch(r"u?int\d+|intp|str_", kind) else node
        return node


def _numbers(node: ast.expr, name: str) -> list[int]:
    """A list of node numbers, or a call of range with one or two of them."""
    match node:
        case ast.Call(func=ast.Name(id="range"), args=[_] | [_, _] as bounds, keywords=[]):
            return list(range(*_small([_literal(bound, name) for bound in bounds], name)))
    return _small(_literal(node, name), name)


def _small(value: Any, name: str) -> list[int]:
    if not isinstance(value, (list, tuple)) or not all(type(v) is int and 0 <= v <= 2 * MAX_NODES for v in value):
        raise ValueError(f"{name} is {shown(value)}; legal is a list of node numbers or range(first, last + 1): write range(2, 6)")
    return list(value)


def _darts_nodes(entries: Any, name: str, concat: list[int]) -> Edges:
    form = "(operation, source), two for each node, or (operation, node, source), or one list of (operation, source) for each node"
    if not isinstance(entries, (list, tuple)) or not all(isinstance(e, (list, tuple)) for e in entries):
        raise ValueError(f"{name} is {shown(entries)}; legal is a list of {form}: paste {DARTS_FORM}")
    if entries and all(isinstance(edge, (list, tuple)) for node in entries for edge in node):
        return [list(node) for node in entries]
    widths = {len(e) for e in entries}
    if widths == {2} and (complete := _complete(entries, concat)):
        return complete
    if widths == {2} and len(entries) % 2 == 0:
        last = DARTS.inputs + len(entries) // 2 - 1
        if concat and max(concat) < last:
            raise ValueError(
                f"{name} has {len(entries)} entries: two for each of the nodes {DARTS.inputs} to {last}, of which the output "
                f"{concat} leaves the last ones unused, or other numbers for the nodes up to {max(concat)}; write one list of "
                "(operation, source) for each node, or (operation, node, source)"
            )
        return [list(entries[i : i + 2]) for i in range(0, len(entries), 2)]
    if widths == {3}:
        return _placed(entries, name, concat)
    raise ValueError(f"{name} has {len(entries)} entries of lengths {sorted(widths)}; legal are {form}: complete the list")


def _complete(entries: Any, concat: list[int]) -> Edges | None:
    """Flat entries with one edge from every earlier node to each node up to the last of the output; None if they are not that."""
    nodes, position = Edges(), 0
    for j in range(DARTS.inputs, max(concat, default=0) + 1):
        nodes.append(list(entries[position : position + j]))
        position += j
        if any(type(source) is not int for _, source in nodes[-1]) or sorted(source for _, source in nodes[-1]) != list(range(j)):
            return None
    return nodes if position == len(entries) else None


def _placed(entries: Any, name: str, concat: list[int]) -> Edges:
    """FairDARTS' entries by their node; the last node is the highest of the entries and the concatenation."""
    first, end = DARTS.inputs, DARTS.inputs + MAX_NODES
    for operation, node, source in entries:
        if type(node) is not int or not first <= node < end:
            entry = shown((operation, node, source))
            raise ValueError(f"{name}: node {shown(node)} of entry {entry}; legal are {first} to {end - 1}: renumber it")
    last = max([node for _, node, _ in entries] + concat)
    return [[(operation, source) for operation, node, source in entries if node == j] for j in range(first, last + 1)]


def format_darts(cells: dict[str, tuple[Any, Any]]) -> str:
    """The printed form; entries (operation, node, source) in both cells unless every node has two edges and the last is in the output."""
    short = all(concat[-1] == len(nodes) + DARTS.inputs - 1 and all(len(node) == 2 for node in nodes) for nodes, concat in cells.values())
    parts = []
    for kind, name in _ARGUMENTS.items():
        nodes, concat = cells[kind]
        edges = [(o, s) if short else (o, j, s) for j, node in enumerate(nodes, DARTS.inputs) for o, s in node]
        is_range = list(concat) == list(range(concat[0], concat[-1] + 1))
        parts.append(f"{name}={edges!r}, {name}_concat={range(concat[0], concat[-1] + 1) if is_range else list(concat)!r}")
    return f"Genotype({', '.join(parts)})"


def parse_nats(text: str) -> tuple[Edges, list[int]]:
    """The cell of a NATS-Bench string.

    Raises:
        ValueError: the text has another form, or a node doesn't name every earlier node once.
    """
    printed = re.sub(r"\s+", "", text) if isinstance(text, str) and len(text) <= MAX_BYTES else ""
    structure = re.fullmatch(r"Structure\(\d+nodeswith(.*)\)", printed)
    parts = (structure[1] if structure else printed).split("+")
    if not 1 <= len(parts) <= MAX_NODES or not all(re.fullmatch(r"\|([^|~+\s]+~\d{1,2}\|)+", p, re.ASCII) for p in parts):
        raise ValueError(f"{shown(text)} is not a NATS-Bench cell of 1 to {MAX_NODES} nodes; write it like {NATS_FORM}")
    nodes = [[(o, int(s)) for o, s in re.findall(r"([^|~]+)~(\d+)", part)] for part in parts]
    _check_complete(nodes)
    return nodes, [len(nodes)]


def _check_complete(nodes: Edges) -> None:
    for j, node in enumerate(nodes, 1):
        if sorted(source for _, source in node) != list(range(j)):
            legal = f"a NATS-Bench text has one operation for each of the sources 0 to {j - 1}"
            raise ValueError(f"node {j} is {shown(node)}; {legal}: write `none` for no edge")


def format_nats(nodes: Edges) -> str:
    """The NATS-Bench string, sources ascending.

    Raises:
        ValueError: a node doesn't name every earlier node once.
    """
    _check_complete(nodes)
    return "+".join("|" + "".join(f"{o}~{s}|" for o, s in sorted(node, key=lambda edge: edge[1])) for node in nodes)
