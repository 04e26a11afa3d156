"""Who may import whom: the direction of dependencies that keeps the parts apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"nasarch": "nasarch", "search": "nasarch.search", "export": "nasarch.export"}
FILES = {f"{package}.{path.stem}": path for folder, package in FOLDERS.items() for path in (ROOT / folder).glob("*.py")}
KNOWS_NOTHING_OF = {
    "nasarch.search.supernet": {"relaxation", "discretize", "updates", "loop", "batches", "data"},
    "nasarch.search.relaxation": {"supernet", "discretize", "updates", "loop", "batches", "data"},
    "nasarch.search.discretize": {"supernet", "relaxation", "updates", "loop", "batches", "data"},
    "nasarch.search.updates": {"supernet", "relaxation", "discretize", "loop", "batches", "data", "schedules"},
    "nasarch.search.fan": {"supernet", "relaxation", "discretize", "updates", "loop", "batches", "data"},
    "nasarch.search.candidates": {"supernet", "relaxation", "discretize", "updates", "loop", "batches", "data"},
    "nasarch.search.loop": {"supernet", "relaxation", "discretize", "data", "bench", "run"},
    "nasarch.search.place": {"supernet", "relaxation", "discretize", "data", "loop", "bench", "run"},
    "nasarch.search.found": {"supernet", "relaxation", "discretize", "updates", "loop", "checkpoint", "batches", "data"},
    "nasarch.search.checkpoint": {"supernet", "relaxation", "discretize", "updates", "loop", "place", "batches", "data", "bench", "run"},
    "nasarch.search.schedules": {"supernet", "relaxation", "discretize", "updates", "loop", "batches", "data", "ranks"},
    "nasarch.search.ranks": {"supernet", "relaxation", "discretize", "updates", "loop", "place", "batches", "data", "checkpoint"},
}
RECIPES = {"darts", "pc_darts", "dots", "ftso", "edarts"}
KNOW_RECIPES = {"command"} | {name.split(".")[-1] for name in FILES if name.startswith("nasarch.search.preset")}
# Training a detector stops, resumes, shares work and reads images as the trainings of search do; no other part of export may know them.
DETECTORS_USE = {
    f"nasarch.search.{name}"
    for name in ("checkpoint", "decoding", "figures", "files", "forking", "live", "ranks", "run", "run_folder", "schedules", "summary")
}
PURE = {"nasarch.space", "nasarch.genotype", "nasarch.cell_graph", "nasarch.genotype_text", "nasarch.strict_json", "nasarch.provenance"}


def imports(path: Path, package: str) -> set[str]:
    """Modules that a file imports when it is imported itself, as absolute names."""
    found = set()
    for node in _outside_functions(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def _outside_functions(node: ast.AST) -> list[ast.AST]:
    children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.FunctionDef)]
    return children + [found for child in children for found in _outside_functions(child)]


def test_finds_the_files() -> None:
    assert {"nasarch.space", "nasarch.search.supernet", "nasarch.export.onnx"} <= FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_the_zoo_imports_neither_search_nor_export(name: str) -> None:
    package = name.rsplit(".", 1)[0]
    legal = {"nasarch": (), "nasarch.search": ("nasarch.search",), "nasarch.export": ("nasarch.export",)}[package]
    foreign = [
        m for m in imports(FILES[name], package) if m.startswith(("nasarch.search", "nasarch.export")) and not m.startswith(legal or " ")
    ]
    if name.startswith("nasarch.export.detect_"):
        foreign = [m for m in foreign if m != "nasarch.search" and m not in DETECTORS_USE and m.rpartition(".")[0] not in DETECTORS_USE]
    assert not foreign, f"{name} imports {foreign} when it is imported"


@pytest.mark.parametrize("name", KNOWS_NOTHING_OF)
def test_the_engine_keeps_its_parts_apart(name: str) -> None:
    known = imports(FILES[name], "nasarch.search")
    assert not {f"nasarch.search.{other}" for other in KNOWS_NOTHING_OF[name]} & known


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.startswith("nasarch.search.")))
def test_recipes_are_known_to_the_command_and_the_presets_alone(name: str) -> None:
    known = {f"nasarch.search.{recipe}" for recipe in RECIPES} & imports(FILES[name], "nasarch.search")
    assert not known or name.split(".")[-1] in KNOW_RECIPES


def test_finds_the_recipes() -> None:
    assert {f"nasarch.search.{name}" for name in RECIPES | KNOW_RECIPES} <= FILES.keys()


@pytest.mark.parametrize("name", sorted(PURE))
def test_values_know_no_torch(name: str) -> None:
    assert not [module for module in imports(FILES[name], "nasarch") if module.split(".")[0] in ("torch", "timm")]


def test_import_registers_models_without_a_word_and_without_the_heavy_parts() -> None:
    code = (
        "import sys, nasarch, timm; assert timm.is_model('pc_darts_imagenet');"
        "heavy = ('matplotlib', 'onnx', 'onnxruntime', 'rich', 'fvcore', 'nasarch.search', 'nasarch.export');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
