"""Help texts of commands: usage, and the flags in groups, wrapped to the width of the terminal.

Arguments are read from the signature of a function, or the fields of a dataclass, and from the section Args of its docstring, as tyro,
the parser, reads them; its own help has neither groups nor an order.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

MAX_WIDTH = 100
INDENT = 24  # of the explanations
FEW = 12  # flags that stay in one group
FIRST = "data preset recipe backbone epochs out device resume seed".split()  # of which five come first
OTHER = "method"  # group of the flags without one
GROUPS: Mapping[str, Sequence[str]] = {
    "data": "data size root download in_memory workers split fractions images train_data val_images val also exclude".split(),
    OTHER: (),
    "schedule": (
        "epochs warmup batch_size lr lr_end momentum weight_decay clip arch_lr arch_weight_decay arch_betas rate_warmup iterations "
        "operator_epochs start decay schedule tail nesterov scale scale_lr ema seed seeds runs consensus trainings searches"
    ).split(),
    "machine": "device amp tf32 capture deterministic recompute threads networks_per_group".split(),
    "output": (
        "out resume name tensorboard json markdown record nats_table max_macs hessian hessian_every hessian_images config test dry_run "
        "results"
    ).split(),
}


class Argument(NamedTuple):
    """An argument of a command: `name` as in Python, with the stages it is of; `flags` are empty where it is positional."""

    name: str
    flags: tuple[str, ...]
    metavar: str
    text: str
    is_required: bool

    @property
    def label(self) -> str:
        return " ".join(filter(None, (", ".join(self.flags), self.metavar)))

    @property
    def group(self) -> str:
        leaf = self.name.rpartition(".")[2]
        return next((group for group, names in GROUPS.items() if leaf in names), OTHER)


def help_text(command: Any, default: Any, program: str, description: str) -> str:
    """The help of a command, which is a function, or a dataclass with the instance `default`."""
    fields = list(arguments(command, default))
    positional, flags = [one for one in fields if not one.flags], [one for one in fields if one.flags]
    words = [*(one.metavar if one.is_required else f"[{one.metavar}]" for one in positional)]
    words += [f"{one.flags[-1]} {one.metavar}" for one in flags if one.is_required]
    parts = [f"usage: {' '.join([program, *words, '[OPTIONS]'])}", *(_filled(part, "") for part in description.split("\n\n"))]
    if positional:
        parts.append("arguments:\n" + table((one.label, one.text) for one in positional))
    for title, members in _grouped(flags):
        parts.append(f"{title}:\n" + table((one.label, one.text) for one in members))
    return "\n\n".join([*parts, "-h, --help shows this text."])


def table(rows: Iterable[tuple[str, str]], indent: int = INDENT) -> str:
    """Labels with their explanations beside them, or below those that are too long."""
    lines = list[str]()
    for label, text in rows:
        below = _filled(text, " " * indent)
        lines.append(f"  {label}".ljust(indent) + below[indent:] if len(label) < indent - 3 else f"  {label}\n{below}")
    return "\n".join(lines)


def arguments(command: Any, default: Any = None, prefix: str = "") -> Iterator[Argument]:
    """The arguments of a function, or of a dataclass with the instance `default`, nested ones included."""
    from tyro.conf import Positional

    owner = command if default is None else type(default)
    plain, annotated, texts = get_type_hints(owner), get_type_hints(owner, include_extras=True), _documented(inspect.getdoc(owner) or "")
    values = vars(default) if default is not None else {name: one.default for name, one in inspect.signature(owner).parameters.items()}
    for name, value in values.items():
        metadata = getattr(annotated[name], "__metadata__", ())
        given = next((one for one in metadata if hasattr(one, "metavar")), None)
        shown = name if given is None or given.name is None else given.name
        if dataclasses.is_dataclass(value):
            yield from arguments(None, value, f"{prefix}{shown}." if shown else prefix)
            continue
        metavar = "" if isinstance(value, bool) else _metavar(plain[name])
        if given is not None and given.metavar:
            metavar = given.metavar + (" ..." if metavar.endswith(" ...") and not given.metavar.endswith(" ...") else "")
        flag = f"--{prefix}{shown}".replace("_", "-")
        aliases = () if given is None else tuple(given.aliases or ())
        pair = (f"{flag} / --{prefix}no-{shown}".replace("_", "-"),) if value is True else (flag,)
        yield Argument(
            name=f"{prefix}{name}",
            flags=() if Positional in metadata else (*aliases, *pair),
            metavar=metavar,
            text=_with_default(texts.get(name, ""), value),
            is_required=value is inspect.Parameter.empty,
        )


def _grouped(flags: list[Argument]) -> Iterator[tuple[str, list[Argument]]]:
    """Groups with their titles, the most used flags first; few flags are one group."""
    known = sorted((one for one in flags if one.name in FIRST), key=lambda one: FIRST.index(one.name))
    first = known if len(flags) <= FEW else known[:5]
    if len(flags) <= FEW:
        if flags:
            yield "options", [*first, *(one for one in flags if one not in first)]
        return
    yield "most used", first
    for group in GROUPS:
        if members := [one for one in flags if one.group == group and one not in first]:
            yield group, members


def _documented(doc: str) -> dict[str, str]:
    """The explanations in the section Args of a docstring, by name."""
    section = re.search(r"^Args:\n((?:(?: .*)?\n?)*)", doc, re.MULTILINE)
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _metavar(hint: Any) -> str:
    """INT, FLOAT, TEXT, PATH, or the choices."""
    kinds, origin = get_args(hint), get_origin(hint)
    if origin in (Union, types.UnionType):
        return "|".join(_metavar(kind) for kind in kinds if kind is not types.NoneType)
    if origin is Literal:
        return "|".join(map(str, kinds))
    if origin in (tuple, list):
        return f"{_metavar(kinds[0])} ..." if kinds[1:] in ((), (...,)) else " ".join(map(_metavar, kinds))
    return {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH", bool: "True|False"}[hint]


def _with_default(text: str, value: Any) -> str:
    """The explanation with the default value, unless it says that itself, or there is none."""
    if "default:" in text or value is None or value is False or value in ((), "", inspect.Parameter.empty):
        return text
    values = value if isinstance(value, tuple) else (value,)
    shown = " ".join("on" if one is True else str(one).removesuffix(".0") for one in values)
    return f"{text.rstrip('.')}; default: {shown}."


def _filled(text: str, indent: str) -> str:
    width = max(60, min(MAX_WIDTH, shutil.get_terminal_size().columns))
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
