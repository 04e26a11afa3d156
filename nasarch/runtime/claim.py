"""Claim of a run folder: exclusive lock, new name, and removal of what a refused command has left.

The lock is on the file `.lock` in the folder, which is removed with the lock. Where a platform or a file system has none (Windows), two
processes that begin at the same time in an empty folder that both name are not told apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from nasarch.atomic import remove_leftovers

from . import distributed
from .json_files import CONFIG, SETTINGS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
MAX_NAMES = 1000  # that are tried for runs begun in the same second


class Lock:
    """Exclusive lock of this process on a folder, until it is released. A second one on the same folder in the process changes nothing.

    Raises:
        BlockingIOError: another process holds it.
        OSError: there is no such folder.
    """

    held: dict[Path, Lock] = {}

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder.resolve() / LOCK
        self.is_first = self.path not in self.held
        if self.is_first:
            self.descriptor = self._acquired()
            self.held[self.path] = self

    def _acquired(self) -> int:
        while True:
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o666)
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise
            except OSError:  # a file system without locks
                return descriptor
            if _is_open_at(descriptor, self.path):  # it was not removed in between by the process that held it before
                return descriptor
            os.close(descriptor)

    @property
    def is_intact(self) -> bool:
        """Whether the folder is still the one that was locked: not removed, nor replaced."""
        return _is_open_at(self.held[self.path].descriptor, self.path)

    def renew(self) -> None:
        """Lock the folder that is there now; errors as at first."""
        first = self.held[self.path]
        os.close(first.descriptor)
        first.descriptor = first._acquired()

    def release(self) -> None:
        if not self.is_first:
            return
        del self.held[self.path]
        if _is_open_at(self.descriptor, self.path):
            with suppress(OSError):
                self.path.unlink()
        os.close(self.descriptor)


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _close_in_worker() -> None:
    """A forked worker must not hold the lock of a parent that was killed."""
    for lock in Lock.held.values():
        os.close(lock.descriptor)
    Lock.held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_worker)


@contextmanager
def claimed(resume: Path | None, out: Path | None, *words: str | Path) -> Iterator[Path]:
    """Claim the folder of a command in the block: that to `resume`, a new one at `out`, or by default runs/WORDS-DATE-TIME.

    A folder in which nothing was written, or by a refused command nothing but its configuration, is removed again; one that was there
    before stays. Of several processes that joined (`distributed`) the first one claims it for all.

    Raises:
        ValueError: `out` is in use, another process is running in the folder, or it can't be written.
    """
    lock: Lock | None = None
    made, worthless = list[Path](), {LOCK}

    def claim() -> Path:
        nonlocal lock
        lock = lock_existing(resume) if resume is not None else _lock_new(out, words, made)
        folder = resume or lock.folder  # type: ignore[union-attr]
        remove_leftovers(folder)
        return folder

    try:
        yield distributed.run_on_main(claim)
    except Exception:
        worthless |= {CONFIG, SETTINGS}
        raise
    finally:
        if lock is not None:
            if resume is None:
                _withdraw(lock.folder, worthless)
            lock.release()
        for folder in made:
            with suppress(OSError):
                folder.rmdir()  # if it is empty


def lock_existing(folder: Path) -> Lock | None:
    """The lock of a folder to resume; None where nothing can be written, which only a finished run allows."""
    try:
        return Lock(folder)
    except BlockingIOError:
        raise ValueError(f"another process is running in {folder}: wait until it has ended, or stop it, and resume then") from None
    except FileNotFoundError:
        raise ValueError(f"nothing to resume in {folder}: there is no such folder; give the folder of a run, with its {CONFIG}") from None
    except NotADirectoryError:
        raise ValueError(f"nothing to resume in {folder}: it is no folder; give the folder of a run, with its {CONFIG}") from None
    except OSError:
        return None


class _InUse(ValueError):
    """A folder that a new run can't have, though another name could do."""


def _lock_new(out: Path | None, words: Sequence[str | Path], made: list[Path]) -> Lock:
    """The lock of a new folder; `made` gets the folders that were made for it, the innermost first."""
    if out is not None:
        return _lock_unused(out, made)
    folder = default_folder(*words)
    for number in range(1, MAX_NAMES):
        with suppress(_InUse):
            return _lock_unused(folder if number == 1 else folder.with_name(f"{folder.name}-{number}"), made)
    return _lock_unused(folder, made)


def _lock_unused(folder: Path, made: list[Path]) -> Lock:
    check_unused(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        make_folder(folder)
    except ValueError:
        made += missing  # such as runs/, if only the name in it is too long
        raise
    try:
        lock = Lock(folder)
    except (BlockingIOError, FileNotFoundError):  # not there any more: of a command that was refused just now
        raise _InUse(f"another process is running in {folder}: choose another folder with --out") from None
    except OSError as error:
        raise ValueError(f"can't write into {folder}: {error.strerror}; choose a folder that you may write to with --out") from error
    try:
        check_unused(folder)
    except ValueError:
        lock.release()
        raise
    made += missing
    return lock


def _withdraw(folder: Path, worthless: set[str]) -> None:
    """Remove what is in the folder if no file has another name, so that the corrected command can have the folder."""
    entries = sorted(folder.rglob("*"), reverse=True)
    if all(path.is_dir() or path.name in worthless for path in entries):
        for path in entries:
            if path.name != LOCK or path.parent != folder:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def default_folder(*words: str | Path) -> Path:
    """runs/WORDS-DATE-TIME; of a path its last part counts, without the suffix, and of each word 70 bytes."""
    shortened = [identifier(Path(word).stem).encode(errors="replace")[:70].decode(errors="ignore") for word in words]
    return Path("runs") / "-".join([*shortened, f"{datetime.now():%Y%m%d-%H%M%S}"])


def identifier(text: str) -> str:
    """`text` with all but letters, digits and _ made _."""
    return re.sub(r"\W+", "_", text)


def check_unused(folder: Path) -> None:
    """Raise ValueError if there is something at `folder` that a run would mix with."""
    if folder.exists() and (not folder.is_dir() or any(path.name != LOCK for path in folder.iterdir())):
        raise _InUse(f"{folder} exists already: choose another folder with --out, or remove it first")


def make_folder(folder: Path) -> Path:
    """`folder`, made if it is not there.

    Raises:
        ValueError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"can't make the folder {folder}: {error.strerror}; choose one that you may write to with --out") from error
    return folder
