"""Puts small deliberate faults into copies of the project, one by one, and tells which of them the tests notice.

    python -m tests.mutants [LIST.toml ...] [--only TEXT] [--all] [--workers 2] [--out FILE.json]

Each worker has a copy of the tracked and new files in a temporary folder. The libraries are imported once; every run of tests is a fork,
so that it begins at once. Before the faults all tests that they name have to pass in a copy without a fault. A fault is noticed if one of
its tests fails; `--all` runs the whole fast suite before it calls one a survivor. Exit status 1 if a fault survived.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

os.environ["OMP_NUM_THREADS"] = "1"
sys.dont_write_bytecode = True  # a file that is changed twice in a second would be taken for its own compiled form
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

from .faults import Fault, read  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = ("numpy", "torch", "torchvision", "timm", "onnx", "onnxruntime", "matplotlib.pyplot", "rich", "tyro", "safetensors")
MAPPED = ("search", "genotypes", "export")  # sub-packages of nasarch that lie beside it
PASSED, FAILED = 0, 1  # exit codes of pytest; a file that can't be imported gives others
HANGS = 300.0  # seconds after which a run counts as failed: processes that wait for each other


def copy_of(root: Path, to: Path) -> Path:
    """The files that git tracks or would track, with the sub-packages where an import finds them."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, to / name)
    for name in MAPPED:
        if (to / name).is_dir():
            (to / "nasarch" / name).symlink_to(Path("..") / name)
    return to


def run_tests(copy: Path, tests: Sequence[str], log: Path) -> int:
    """pytest's exit code for these tests in the copy, in a fork; FAILED if they take too long."""
    child = os.fork()
    if not child:
        _become(copy, tests, log)
    end = time.monotonic() + HANGS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return FAILED


def _become(copy: Path, tests: Sequence[str], log: Path) -> None:
    """Turn the forked process into a run of pytest in the copy; does not return."""
    code = FAILED
    try:
        os.setsid()
        os.chdir(copy)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        for name in [name for name in sys.modules if name.split(".")[0] in ("nasarch", "tests", "benchmarks")]:
            del sys.modules[name]
        sys.path[:] = [str(copy), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
        os.environ |= {"PYTHONPATH": str(copy), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        import pytest

        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def copies(count: int) -> Iterator[Queue[Path]]:
    """So many copies of the project, to be taken from a queue and put back."""
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        queue: Queue[Path] = Queue()
        for i in range(count):
            queue.put(copy_of(ROOT, Path(folder) / str(i) / "project"))
        yield queue


def check_tests(queue: Queue[Path], faults: Sequence[Fault], pool: ThreadPoolExecutor) -> None:
    """Raise ValueError if a test that a fault names doesn't pass without the fault."""
    names = sorted({test for fault in faults for test in fault.tests})

    def failing(name: str) -> str | None:
        copy = queue.get()
        try:
            log = copy.parent / "log"
            return None if run_tests(copy, [name], log) == PASSED else f"{name}:\n{_tail(log)}"
        finally:
            queue.put(copy)

    if wrong := [text for text in pool.map(failing, names) if text]:
        raise ValueError("these tests do not pass without a fault:\n" + "\n".join(wrong))


def is_noticed(queue: Queue[Path], fault: Fault, everything: bool) -> bool:
    """Whether one of the fault's tests fails with it."""
    copy = queue.get()
    try:
        path, log = copy / fault.file, copy.parent / "log"
        source = path.read_text(encoding="utf-8")
        path.write_text(fault.applied(source), encoding="utf-8")
        try:
            rounds = [list(fault.tests), *([["tests"]] if everything else [])]
            return any(run_tests(copy, tests, log) != PASSED for tests in rounds)
        finally:
            path.write_text(source, encoding="utf-8")
    finally:
        queue.put(copy)


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1500:] if log.exists() else ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lists", nargs="*", type=Path, help="TOML files of faults; by default all of tests/mutants")
    parser.add_argument("--only", default="", help="faults whose file or text contains this")
    parser.add_argument("--all", action="store_true", help="run the whole fast suite before a fault counts as a survivor")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--preload", nargs="*", default=PRELOADED, help="modules that are imported once for all runs")
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    options = parser.parse_args(arguments)
    listed = [fault for fault in read(options.lists) if options.only in str(fault)]
    faults = [fault for fault in listed if not fault.equivalent]
    for name in options.preload:
        __import__(name)
    survivors: list[Fault] = []
    begin = time.monotonic()
    with copies(options.workers) as queue, ThreadPoolExecutor(options.workers) as pool:
        check_tests(queue, faults, pool)
        results = pool.map(lambda fault: is_noticed(queue, fault, options.all), faults)
        for number, (fault, noticed) in enumerate(zip(faults, results, strict=True), 1):
            print(f"{number}/{len(faults)} {'noticed ' if noticed else 'SURVIVED'} {fault}", flush=True)
            survivors += [] if noticed else [fault]
    summary = {
        "faults": len(faults),
        "noticed": len(faults) - len(survivors),
        "equivalent": [f"{fault}: {fault.equivalent}" for fault in listed if fault.equivalent],
        "survivors": [str(fault) for fault in survivors],
        "minutes": round((time.monotonic() - begin) / 60, 1),
    }
    print(json.dumps(summary, indent=1))
    if options.out:
        options.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
