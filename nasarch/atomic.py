"""Writing files so that nothing is ever half-written: a temporary name in the same place, then a rename."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    The folder is made if it is missing. The temporary name keeps the suffix, since some writers choose their format by it.

    Raises:
        ValueError: the place can't be written (a folder in the way, no permission, disk full); names it and the remedy.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        remedy = "free some space there" if error.errno == errno.ENOSPC else "choose a file in a folder that you may write to"
        raise ValueError(f"can't write {path}: {error.strerror or error}; {remedy}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically; errors as in `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    Raises:
        ValueError: `path` is a file or a folder with something in it, or the place can't be written; names it and the remedy.
    """
    path = Path(os.path.abspath(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{path} is there already and {'not empty' if path.is_dir() else 'no folder'}; give a new folder")
        temporary.mkdir(parents=True)
        yield temporary
        if path.is_dir():
            path.rmdir()
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"can't write {path}: {error.strerror or error}; choose a folder where you may write") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
