"""Docstrings on the site: code, tables and signs as Markdown means them, and the directive `module-docstring` for that of a module."""

from __future__ import annotations

import inspect
import re
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any, get_type_hints

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature


def as_markdown(docstring: str) -> list[str]:
    """A docstring in Markdown: each paragraph under `Note:` is an item of a list."""
    text = inspect.cleandoc(docstring)
    text = re.sub(r"^Note:\n((?:    .*\n?)+)", lambda note: "- " + " ".join(note[1].split()) + "\n", text, flags=re.MULTILINE)
    return text.splitlines()


class ModuleDocstring(SphinxDirective):
    """The docstring of a module, whose name is the argument, without its title."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = import_module(self.arguments[0])
        self.env.note_dependency(str(module.__file__))
        lines = as_markdown(module.__doc__ or "")[1:]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=module.__file__ or ""), self.content_offset, container)
        return [container]


def as_restructured(lines: list[str]) -> list[str]:
    """The lines of a docstring in reStructuredText: Markdown tables, code in single backticks, signs that mean themselves."""
    result, was_row = list[str](), False
    for line in lines:
        is_row = re.fullmatch(r"\s*\|.*\|\s*", line) is not None
        if is_row and not was_row:
            result += [".. list-table::", "   :header-rows: 1", ""]
        if not is_row:
            result.append(_escaped(line))
        elif not re.fullmatch(r"[\s|:-]+", line):
            result += [f"   {'  ' if i else '* '}- {_escaped(cell.strip())}" for i, cell in enumerate(line.strip()[1:-1].split("|"))]
        was_row = is_row
    return result


def _escaped(line: str) -> str:
    code = re.split(r"(`[^`]+`)", line)
    for i, part in enumerate(code):
        code[i] = f"`{part}`" if i % 2 else re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"([*|\\])", r"\\\1", part))
        if i and i % 2 == 0 and re.match(r"\w", part):
            code[i] = "\\ " + code[i]
    return "".join(code)


def _process(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = as_restructured(lines)


def _signature(_app: Sphinx, _what: str, _name: str, value: Any, _options: Any, _signature: str, returned: str) -> tuple[str, str] | None:
    """The arguments of a dataclass by their plain types, without the ranges that are checked."""
    if not (isinstance(value, type) and is_dataclass(value)):
        return None
    types, plain = get_type_hints(value), inspect.signature(value)
    parameters = [parameter.replace(annotation=types[name]) for name, parameter in plain.parameters.items()]
    return stringify_signature(plain.replace(parameters=parameters), unqualified_typehints=True, show_return_annotation=False), returned


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("module-docstring", ModuleDocstring)
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon, whose markup is not escaped
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
