"""Atomic writes: a file or folder is made in a temporary folder beside its final path, then renamed. Nothing is ever half-written.

The temporary folder is named `.nasarch-` and 16 random hexadecimal digits, so that no two processes on any machine share one. It is
locked while it is in use; what a killed process has left there is removed by `remove_leftovers`.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LEFTOVER = re.compile(r"\.nasarch-[0-9a-f]{16}")
_cleaned: set[Path] = set()  # folders in which this process has removed left-overs
MIN_AGE, MAX_AGE = 1.0, 24 * 3600.0  # seconds: until a new folder is locked for certain; after which one without locks is abandoned


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path of the same name; rename it to `path` when the block succeeds, remove it when it fails.

    The folder of `path` is made if it is missing. A symbolic link stays, the file that it points to is replaced. A device or pipe
    (/dev/stdout) stays, too: the whole file is written into it.

    Raises:
        ValueError: `path` can't be written (a folder in the way, no permission, disk full); names it and the remedy.
    """
    path = Path(path)
    try:
        real = Path(os.path.realpath(path))
        real.parent.mkdir(parents=True, exist_ok=True)
        if real.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        special = real.exists() and not real.is_file()
        with _temporary_folder(Path(tempfile.gettempdir()) if special else real.parent) as folder:
            yield folder / path.name
            if special:
                real.write_bytes((folder / path.name).read_bytes())
            else:
                os.replace(folder / path.name, real)
    except OSError as error:
        remedy = "free some space there" if error.errno == errno.ENOSPC else "choose a file in a folder that you may write to"
        raise ValueError(f"can't write {path}: {error.strerror or error}; {remedy}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically; errors as in `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder of the same name; rename it to `path` when the block succeeds, remove it when it fails.

    Args:
        replace: whether a folder at `path` is replaced as a whole.

    Raises:
        ValueError: `path` is a file or (unless `replace`) a folder that is not empty, or it can't be written; names it and the remedy.
    """
    path = Path(os.path.realpath(path))  # a link to an empty folder stays
    try:
        if path.exists() and not (path.is_dir() and (replace or not any(path.iterdir()))):
            raise ValueError(f"{path} is there already and {'not empty' if path.is_dir() else 'no folder'}; give a new folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_folder(path.parent) as folder:
            (folder / path.name).mkdir()
            yield folder / path.name
            if path.is_dir():
                os.replace(path, folder / "replaced") if replace else path.rmdir()
            os.replace(folder / path.name, path)
    except OSError as error:
        remedy = "free some space there" if error.errno == errno.ENOSPC else "choose a folder where you may write"
        raise ValueError(f"can't write {path}: {error.strerror or error}; {remedy}") from error


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A new locked folder in `parent`, removed after the block; the first one there removes what killed processes have left."""
    if parent not in _cleaned:
        _cleaned.add(parent)
        remove_leftovers(parent)
    folder = parent / f".nasarch-{secrets.token_hex(8)}"
    folder.mkdir()
    descriptor = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary folders directly in `folder` that no process uses any more, left by one that was killed.

    A folder is abandoned if its lock is free, or, where the file system has no locks, if it is a day old.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            age = time.time() - path.lstat().st_mtime
            if not LEFTOVER.fullmatch(path.name) or path.is_symlink() or not path.is_dir() or age < MIN_AGE:
                continue
            descriptor = _lock(path)
            if descriptor is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(descriptor)
            elif age > MAX_AGE:
                shutil.rmtree(path, ignore_errors=True)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock until it is closed; None if another one holds it, or there are no locks here."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
