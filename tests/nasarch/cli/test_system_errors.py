"""What the operating system refuses is one line; numbers out of all range are refused by name; nothing of the user's is removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nasarch.cli import commands
from nasarch.cli.main import main
from nasarch.runtime.claim import claimed

HUGE, WIDE = str(10**20), str(2**40)  # beyond 62 bits; beyond 31
LONG = "x" * 300


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("nasarch: error: ") and said.count("\n") == 1 and len(said) < 1500
    return said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("search", "pc-darts", "--seed", HUGE), f"--seed {HUGE}: choose an integer of at most 62 bits"),
        (("search", "darts", "--runs", HUGE), f"--runs {HUGE}: choose an integer of at most 62 bits"),
        (("search", "darts", "--epochs", HUGE), f"epochs={HUGE}: choose an integer of at most 62 bits"),
        (("train", "pc_darts_cifar", "--seed", HUGE), f"--seed {HUGE}: choose an integer of at most 62 bits"),
        (("train", "pc_darts_cifar", "--seed", f"-{HUGE}"), f"--seed -{HUGE}: choose an integer of at most 62 bits"),
        (("train", "pc_darts_cifar", "--colour-jitter", "5"), "--colour-jitter 5.0: choose 0 (for none) to 1"),
        (("train", "pc_darts_cifar", "--colour-jitter", "nan"), "--colour-jitter nan: choose 0 (for none) to 1"),
        (("compare", "pc_darts_cifar", "darts_v2_cifar", "--seed", HUGE), f"--seed {HUGE}: choose an integer of at most 62 bits"),
        (("rank-paths", "--seeds", HUGE), f"--seeds {HUGE}: choose an integer of at most 62 bits"),
        (("detect", "train", "--data", ".", "--seed", HUGE), f"--seed {HUGE}: choose an integer of at most 62 bits"),
        (("split", "digits", "-o", "s", "--seed", HUGE), f"--seed {HUGE}: choose an integer of at most 62 bits"),
        (("split", "digits", "-o", "s", "--seed", "-1"), "--seed -1: choose 0 or more"),
        (("search", "pc-darts", "--scale", "1e308"), "--scale 1e+308: choose a number above 0 and at most 1000"),
        (("reproduce", "pc-darts/table1/cifar10", "--scale", "1e308"), "--scale 1e+308: choose a number above 0 and at most 1000"),
        (("train", "pc_darts_cifar", "--workers", "1025"), "--workers 1025: choose 0 (decode in the main process) to 1024"),
        (("train", "pc_darts_cifar", "--workers", "-1"), "--workers -1: choose 0 (decode in the main process) to 1024"),
        (("compare", "pc_darts_cifar", "darts_v2_cifar", "--random", "10001"), "--random 10001: choose 0 to 10000"),
        (("evaluate", "pc_darts_cifar", "--batch-size", "0"), "--batch-size 0: choose 1 or more"),
        (("detect", "eval", "no", "--data", ".", "--workers", WIDE), f"--workers {WIDE}: choose at least 1 image, and 0 to 1024 processes"),
        (("search", "darts", "--nodes", "13"), "nodes=13: choose 1 to 12"),
        (("profile", "ftso_nats_cifar", "--size", "2000000000"), "the model can't run on 1 image of 3x2000000000x2000000000"),
        (("search", "pc-darts", "--seed", "-1"), "--seed -1: choose 0 or more"),
        (("train", "pc_darts_cifar", "--seed", "-1"), "--seed -1: choose 0 or more"),
        (("compare", "pc_darts_cifar", "darts_v2_cifar", "--seed", "-1"), "--seed -1: choose 0 or more"),
        (("detect", "train", "--data", ".", "--seed", "-1"), "--seed -1: choose 0 or more"),
        (("reproduce", "ftso/table1/skip-1ep/600", "--out", "q", "--seed", "-1"), "--seed -1: choose 0 or more"),
        (("profile", "pc_darts_cifar", "--threads", WIDE), f"threads {WIDE}; it has to be at least 1, and below 2^31"),
        (("profile", "pc_darts_cifar", "--batch", WIDE), f"batch {WIDE}; it has to be at least 1, and below 2^31"),
        (("bench", "pc_darts_cifar", "--threads", WIDE), f"threads {WIDE}; it has to be at least 1, and below 2^31"),
    ],
)
def test_numbers_out_of_all_range_are_refused_by_name(
    arguments: tuple[str, ...], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert named in refused(capsys, *arguments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "darts", "--data", "digits", "--out", LONG),
        ("search", "darts", "--data", "digits", "--out", f"new/{LONG}"),
        ("search", "darts", "--data", LONG),
        ("search", "darts", "--resume", LONG),
        ("train", LONG),
        ("train", f"{LONG}.json"),
        ("train", "pc_darts_cifar", "--weights", LONG, "--data", "digits"),
        ("show", f"{LONG}.json"),
        ("draw", "pc_darts_cifar", "-o", f"{LONG}.png"),
        ("split", "digits", "-o", LONG),
        ("split", LONG, "-o", "s"),
        ("report", LONG),
        ("gather", LONG, LONG, "--out", "x"),
        ("compare", LONG, f"{LONG}/x"),
        ("export", "onnx", LONG, "-o", "x.onnx"),
        ("export", "verify", LONG),
        ("detect", "train", "--data", LONG),
        ("detect", "eval", LONG, "--data", LONG),
    ],
    ids=lambda arguments: " ".join(arguments)[:25],
)
def test_names_longer_than_a_file_system_has_are_refused_in_one_line(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(capsys, *arguments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b"), "a/b: No space left on device; check the path"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system; check"),
        (MemoryError(), "not enough memory (allocation refused); choose a smaller batch"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate\nframe #1"), "not enough memory (DefaultCPUAllocator"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: Exception, named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(commands, "models", fail)
    monkeypatch.setattr("nasarch.cli.main.import_module", lambda name: commands)
    monkeypatch.setattr("tyro.cli", lambda *_, **__: fail())
    assert named in refused(capsys, "models")


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr("tyro.cli", fail)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        main(["models"])


def test_an_empty_folder_of_the_users_stays_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = tmp_path / "mine", os.open
    folder.mkdir()

    def read_only(path: str | Path, flags: int, *more: int, **others: int) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(folder)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *more, **others)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(ValueError, match="mine: Read-only file system; choose a folder"), claimed(None, folder, "search"):
        pytest.fail("claimed")
    assert folder.is_dir()
