"""Who may import whom: rooms (sub-packages, and modules beside them) in a fixed order, each importing only rooms before it.

"Imports" counts everywhere in a file, inside functions too; only the command line names functions of search and export as text.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"nasarch": "nasarch", "nasarch.search": "search", "nasarch.export": "export"}
ROOMS = {  # each may import the rooms before it; those of search and export may import those of nasarch, too, except its last ones
    "nasarch": [
        "strict_json",
        "atomic",
        "console",
        "ranges",
        "help",
        "flags",
        "compute",
        "cells",
        "drawing",
        "models",
        "data",
        "runtime",
        "gallery",
        "latency",
        "cli",
        "__main__",
    ],
    "nasarch.search": [
        "settings",
        "rows",
        "kernels",
        "supernet",
        "engine",
        "recipes",
        "derive",
        "training",
        "runs",
        "fused",
        "ranking",
        "report",
        "reproduce",
    ],
    "nasarch.export": [
        "errors",
        "samples",
        "source",
        "onnx",
        "mobile",
        "ssd",
        "hub",
        "web",
        "detection",
        "verify",
        "benchmark",
        "commands",
    ],
}
LAST = {"nasarch.cli", "nasarch.__main__"}  # the command line, which nothing else imports
NO_TORCH = {
    "nasarch.cells",
    "nasarch.strict_json",
    "nasarch.atomic",
    "nasarch.ranges",
    "nasarch.help",
    "nasarch.flags",
    "nasarch.search.settings",
    "nasarch.search.rows",
}  # values and files
APART = ["nasarch.search.engine.relaxation", "nasarch.search.engine.discretize", "nasarch.search.engine.result"]  # know no network
MAX_FILES, MAX_LINES = 16, 330

FILES = {
    ".".join((package, *path.relative_to(ROOT / folder).with_suffix("").parts)).removesuffix(".__init__"): path
    for package, folder in FOLDERS.items()
    for path in sorted((ROOT / folder).rglob("*.py"))
    if package != "nasarch" or path.relative_to(ROOT / folder).parts[0] not in ("search", "export", "genotypes")
}
PUBLIC = set(FOLDERS)  # the packages' own __init__.py, with the names that users have


def package_of(name: str) -> str:
    return next(package for package in reversed(FOLDERS) if name == package or name.startswith(package + "."))


def room(name: str) -> str:
    """The sub-package that a module lies in, or the module that lies beside the sub-packages."""
    package = package_of(name)
    return package if name == package else f"{package}.{name.removeprefix(package + '.').split('.')[0]}"


def imports(name: str, inside_functions: bool = True) -> set[str]:
    """Modules of the project that a module imports, and the top-level names of others."""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in _nodes(ast.parse(FILES[name].read_text(encoding="utf-8")), inside_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            found |= {both if (both := f"{base}.{alias.name}") in FILES else base for alias in node.names}
    return found


def _nodes(node: ast.AST, inside_functions: bool) -> list[ast.AST]:
    functions = () if inside_functions else (ast.FunctionDef, ast.AsyncFunctionDef)
    children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, functions)]
    return children + [found for child in children for found in _nodes(child, inside_functions)]


def may_import(one: str, other: str) -> bool:
    """Whether a room may import another one."""
    package, of_other = package_of(one), package_of(other)
    if package != of_other:
        return of_other == "nasarch" and other not in LAST
    order = [f"{package}.{name}" for name in ROOMS[package]]
    return order.index(other) < order.index(one)


def test_every_module_lies_in_a_room_that_is_listed() -> None:
    listed = {f"{package}.{name}" for package, names in ROOMS.items() for name in names}
    assert {room(name) for name in FILES} - PUBLIC == listed
    assert {"nasarch.cells.genotype", "nasarch.search.supernet.network", "nasarch.export.onnx.float32"} <= FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_a_room_imports_only_rooms_before_it(name: str) -> None:
    others = {other for other in imports(name) if other in FILES and room(other) != room(name) and room(other) not in PUBLIC}
    wrong = sorted(other for other in others if name not in PUBLIC and not may_import(room(name), room(other)))
    assert not wrong, f"{name} imports {wrong}"


def test_an_import_against_the_order_is_seen() -> None:
    assert may_import("nasarch.search.engine", "nasarch.search.supernet") and may_import("nasarch.search.engine", "nasarch.models")
    for one, other in (
        ("nasarch.search.supernet", "nasarch.search.engine"),
        ("nasarch.models", "nasarch.search.engine"),
        ("nasarch.export.ssd", "nasarch.search.engine"),
        ("nasarch.search.engine", "nasarch.export.ssd"),
        ("nasarch.search.engine", "nasarch.cli"),
    ):
        assert not may_import(one, other)


@pytest.mark.parametrize("name", FILES)
def test_no_circle_within_a_room(name: str) -> None:
    seen: set[str] = set()
    ahead = {other for other in imports(name) if other in FILES}
    while ahead:
        seen |= ahead
        ahead = {further for other in ahead for further in imports(other) if further in FILES} - seen
    assert name not in seen


@pytest.mark.parametrize("name", APART)
def test_derivation_knows_no_network(name: str) -> None:
    assert not [other for other in imports(name) if other.startswith("nasarch.search.supernet")]


@pytest.mark.parametrize("name", sorted(name for name in FILES if room(name) in NO_TORCH))
def test_values_know_no_torch(name: str) -> None:
    assert not [module for module in imports(name) if module.split(".")[0] in ("torch", "timm")]


def test_no_folder_and_no_file_is_large() -> None:
    for folder in {path.parent for path in FILES.values()}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MAX_FILES, f"{folder.relative_to(ROOT)} has {len(modules)} modules"
    for name, path in FILES.items():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, name


def test_no_test_imports_from_another() -> None:
    """What tests share lies in tests/helpers and tests/literal."""
    for path in (ROOT / "tests").rglob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
        names = [name for node in nodes for name in (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))]
        assert not [name for name in names if name.startswith("tests.") and ".test_" in name], path


def test_import_registers_models_without_a_word_and_without_the_heavy_parts() -> None:
    code = (
        "import sys, nasarch, timm; assert timm.is_model('pc_darts_imagenet');"
        "heavy = ('matplotlib', 'onnx', 'onnxruntime', 'rich', 'fvcore', 'nasarch.search', 'nasarch.export');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
