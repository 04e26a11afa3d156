"""The lists of deliberate faults keep up with the code, and the tool tells what is noticed from what isn't."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import faults
from tests.mutants.faults import Fault, read

ROOT = Path(__file__).parents[1]
FAULTS = read()


def test_every_fault_can_be_applied_and_compiles() -> None:
    for fault in FAULTS:
        compile(fault.applied((ROOT / fault.file).read_text(encoding="utf-8")), fault.file, "exec")


def test_every_test_that_should_notice_a_fault_exists() -> None:
    for test in {test for fault in FAULTS for test in fault.tests}:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (ROOT / file).read_text(encoding="utf-8") if name else (ROOT / file).is_file(), test


def test_there_are_more_than_a_thousand() -> None:
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS) > 1000


def test_a_fault_of_two_lists_is_one_with_the_tests_of_both(tmp_path: Path) -> None:
    paths = tmp_path / "a.toml", tmp_path / "b.toml"
    for path in paths:
        path.write_text(f"[[fault]]\nfile = 'a.py'\nold = '1'\nnew = '2'\ntests = ['{path.stem}']\n", encoding="utf-8")
    assert read(paths) == [Fault(file="a.py", old="1", new="2", tests=("a", "b"))]


def test_a_text_that_is_not_there_exactly_once_is_refused() -> None:
    fault = Fault(file="a.py", old="1", new="2", tests=("tests/test_a.py",))
    assert fault.applied("x = 1") == "x = 2"
    for source, count in (("x = 0", 0), ("x = 1 + 1", 2)):
        with pytest.raises(ValueError, match=f"occurs {count} times"):
            fault.applied(source)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"old": "1", "new": "1", "tests": ["t"]}, "replaces nothing"),
        ({"old": "1", "new": "2"}, "needs either tests or the reason"),
        ({"old": "1", "new": "2", "tests": ["t"], "equivalent": "same"}, "needs either tests or the reason"),
    ],
)
def test_a_fault_without_sense_is_refused(entry: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fault(file="a.py", **entry)  # type: ignore[arg-type]


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("[[fault]]\nfile = 'a.py'\n", encoding="utf-8")
    with pytest.raises(ValueError, match="some.toml: "):
        read([path])


PROJECT = {
    "nasarch/__init__.py": "def double(x):\n    return 2 * x\n\n\ndef triple(x):\n    return 3 * x\n",
    "tests/__init__.py": "",
    "tests/test_double.py": "from nasarch import double, triple\n\n\ndef test_double():\n    assert double(3) == 6 and triple(0) == 0\n",
    "tests/test_slow.py": "from nasarch import triple\n\n\ndef test_triple():\n    assert triple(1) == 3\n",
    "list.toml": """
[[fault]]
file = "nasarch/__init__.py"
old = "2 * x"
new = "x + 2"
tests = ["tests/test_double.py"]
[[fault]]
file = "nasarch/__init__.py"
old = "3 * x"
new = "4 * x"
tests = ["tests/test_double.py"]
[[fault]]
file = "nasarch/__init__.py"
old = "return 3"
new = "retur 3"
tests = ["tests/test_double.py::test_double"]
[[fault]]
file = "nasarch/__init__.py"
old = "return 2 * x"
new = "return x * 2"
equivalent = "multiplication commutes"
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with the tool in it."""
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    tool = tmp_path / "tests" / "mutants"
    tool.mkdir()
    for source in Path(faults.__file__).parent.glob("*.py"):
        shutil.copy(source, tool)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def run_tool(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mutants", "list.toml", "--workers", "1", "--preload", "json", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def test_the_tool_tells_noticed_faults_from_survivors(project: Path) -> None:
    before = (project / "nasarch/__init__.py").read_text(encoding="utf-8")
    done = run_tool(project)
    assert done.returncode == 1, done.stderr
    assert [line[:12] for line in done.stdout.splitlines()[:3]] == ["1/3 noticed ", "2/3 SURVIVED", "3/3 noticed "]
    assert '"noticed": 2' in done.stdout and "multiplication commutes" in done.stdout
    assert (project / "nasarch/__init__.py").read_text(encoding="utf-8") == before


def test_the_whole_suite_has_the_last_word_if_it_is_asked(project: Path) -> None:
    done = run_tool(project, "--all")
    assert done.returncode == 0 and '"noticed": 3' in done.stdout, done.stderr


def test_a_test_that_fails_without_a_fault_stops_the_tool(project: Path) -> None:
    (project / "tests/test_double.py").write_text("def test_double():\n    assert False\n", encoding="utf-8")
    done = run_tool(project)
    assert done.returncode == 1 and "do not pass without a fault" in done.stderr
