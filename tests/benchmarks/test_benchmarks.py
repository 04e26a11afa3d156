"""The scripts in benchmarks/ measure the installed package, wherever it lies, and keep what was measured before they were ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import search
from nasarch.search.engine.loop import Progress

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if "ArgumentParser(" in path.read_text())
SUBPACKAGES = ("search", "export", "genotypes")

# as in an environment without this checkout: its editable install, if there is one, finds nothing
SITE = """import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable___nasarch" not in str(getattr(finder, "__module__", ""))]
"""
# each script as `python benchmarks/SCRIPT --help`, one after the other in a process that has the libraries already; forks of it could
# wait for locks of threads that they don't have
HELP = """import os, runpy, sys, warnings
import onnxruntime, timm, torch, tyro

sys.path[0] = os.path.abspath("benchmarks")
before, path = set(sys.modules), list(sys.path)
assert "nasarch" not in before
warnings.simplefilter("ignore")  # models are made known to timm once for each script
for name in sys.argv[1:]:
    sys.argv, sys.path[:] = [f"benchmarks/{name}", "--help"], path
    for module in [name for name in sys.modules if name.split(".")[0] in ("nasarch", "benchmarks", "tests", "checkout")]:
        del sys.modules[module]
    try:
        runpy.run_path(f"benchmarks/{name}", run_name="__main__")
    except SystemExit as end:
        import nasarch.search

        files = [sys.modules[part].__file__ for part in ("nasarch", "nasarch.search")]
        print("\\nran", name, end.code, *files, getattr(sys.modules.get("tests"), "__file__", None), flush=True)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel lays it out, and a package `tests` as other projects leave it."""
    place = tmp_path_factory.mktemp("site")
    (place / "nasarch").mkdir()
    parts = [path for path in (ROOT / "nasarch").iterdir() if path.name != "__pycache__"] + [ROOT / name for name in SUBPACKAGES]
    for part in parts:
        (place / "nasarch" / part.name).symlink_to(part)
    (place / "sitecustomize.py").write_text(SITE)
    for name in ("tests", "benchmarks"):
        (place / name).mkdir()
        (place / name / "__init__.py").touch()
    return place


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In the root of the checkout, with what is installed at `site`."""
    environment = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=environment)


def test_every_script_takes_the_installed_package_and_the_tests_of_the_checkout(site: Path) -> None:
    done = python(site, "-c", HELP, *SCRIPTS)
    assert done.returncode == 0, done.stderr
    rows = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert [row[0] for row in rows] == SCRIPTS, done.stderr
    for name, code, *files, tests in rows:
        assert code == "0", name
        assert files == [str(site / "nasarch" / "__init__.py"), str(site / "nasarch" / "search" / "__init__.py")], name
        assert tests in ("None", str(ROOT / "tests" / "__init__.py")), name
    assert sum(row[-1] != "None" for row in rows) >= 3


def test_the_root_of_the_checkout_first_on_the_path_would_hide_the_installed_package(site: Path) -> None:
    """What the test above notices; the start that search.py times is of the installed package all the same."""
    where = "from importlib.util import find_spec; print(find_spec('nasarch').origin)"
    found = [python(site, *flags, where).stdout.strip() for flags in (["-c"], search.IMPORTS[1:-1])]
    assert found == [str(place / "nasarch" / "__init__.py") for place in (ROOT, site)]
    assert not (ROOT / "nasarch" / "search").exists()


def test_searches_that_were_over_are_kept_when_one_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is looked at while the second and the third search run, after the third was interrupted, and when all have run."""
    out, left = tmp_path / "out.json", list[dict[str, Any]]()
    rows = iter([(0.5, 3.0), (0.4, 1.0), None, (0.5, 3.0), (0.4, 1.0), (0.4, 2.0)])  # losses and seconds

    def one_search(*_: Any) -> tuple[Progress, dict[str, float]]:
        left.append(json.loads(out.read_text()) if out.exists() else {})
        if (row := next(rows)) is None:
            raise KeyboardInterrupt
        loss, seconds = row
        return end(loss), dict.fromkeys(("whole", "without_data", "data", "network", "steps_and_cell"), seconds)

    monkeypatch.setattr(search, "one_search", one_search)
    monkeypatch.setattr(search, "prepared", lambda data, device: (search.load(data), search.torch.device(device), {}))
    flags = ["--layers", "3", "--channels", "4", "--batch-size", "64", "--rounds", "2", "--turns", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["search.py", "ftso-iteration", *flags])
    with pytest.raises(KeyboardInterrupt):
        search.main()
    nothing, first, second = left
    assert nothing == {} and first["first"]["whole"] == 3.0 and first["again"] is None and first["rounds"] == []
    assert second["again"]["whole"] == 1.0 and second["rounds"] == [1.0] and second["steps"] == 7
    assert json.loads(out.read_text()) == second and "step" not in second
    search.main()
    whole = json.loads(out.read_text())
    assert whole["rounds"] == [1.0, 2.0] and whole["again"]["whole"] == 1.5 and set(whole["step"]["twin_over_nasarch"]) == set(search.TWINS)


def end(loss: float) -> Progress:
    """The last report of a search of seven steps."""
    about = {"stage": "topology", "epoch": 1, "epochs": 1, "step": 7, "steps": 7, "loss": loss, "accuracy": 0.5}
    return Progress(**about, images_per_second=1.0, learning_rate=0.1, temperature=1.0, is_warmup=False, result=None)  # type: ignore[arg-type]
