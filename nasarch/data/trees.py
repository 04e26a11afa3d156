"""Directory trees of a folder or a tar file: paths of the files in them, links followed, names normalized. Opens no image.

| entry | is |
|---|---|
| file, hard link | a file; a hard link in a tar file is the earlier member that it names |
| symbolic link | the file or folder that it names; in a tar file only one in the same file |
| link to nothing, to a folder around it, or out of a tar file | left out, counted |
| hidden or system file (`.DS_Store`, `@eaDir`, `Thumbs.db`, ...) | left out, counted once with all that is in it |
| device, pipe, sparse member of a tar file | left out, counted |

Names are in Unicode normal form C, as Linux and Windows write them (macOS's file systems gave form D), and bytes that are not UTF-8 are
read as Latin-1: the same files have the same paths, labels and digest on every system. Tar files are never unpacked.
"""

from __future__ import annotations

import os
import tarfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from .image_files import File

SYSTEM_NAMES = {
    *("__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder"),  # macOS
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information"),  # Windows
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "~snapshot", "picasa.ini"),  # Synology, QNAP, NetApp
    *("lost+found", "lost.dir", "__pycache__"),
}  # in lower case
SYSTEM_PREFIXES = (".", "synofile_thumb", "synophoto_thumb", "synovideo_thumb")
SYSTEM, NO_TARGET, OTHER = "hidden or system file{}", "link{} without a target", "other file{}"
MAX_HOPS = 40  # links in a path, as in Linux
MAX_REPETITION = 10  # files that links in a tar file give for each member


class Tree(NamedTuple):
    """A directory tree: `entries` by path relative to the root ("airplane/0001.jpg"), None for a folder; and why others were left out."""

    root: Path
    entries: dict[str, File | None]
    left_out: dict[str, str]

    def below(self, name: str) -> Tree | None:
        """The tree of the folder `name`; None if there is no such folder."""
        prefix = f"{name}/"
        inside = {path.removeprefix(prefix): file for path, file in self.entries.items() if path.startswith(prefix)}
        left_out = {path.removeprefix(prefix): reason for path, reason in self.left_out.items() if path.startswith(prefix)}
        return Tree(self.root / name, inside, left_out) if inside else None


def normalized(name: str) -> str:
    """A file name in Unicode normal form C; one that is not UTF-8 (with `os.fsdecode`'s surrogates) is read as Latin-1."""
    if name.isascii():
        return name
    try:
        data = name.encode(errors="surrogateescape")
        name = data.decode("utf-8")
    except UnicodeDecodeError:
        name = data.decode("latin-1")
    except UnicodeEncodeError:  # other surrogates: no file has such a name
        return name
    return unicodedata.normalize("NFC", name)


def normalized_path(path: str) -> str:
    """A relative path as it is in `Tree.entries`."""
    return "/".join(_parts(path))


def is_system_file(name: str) -> bool:
    """Whether a file or folder is hidden, or left by an operating system or a file server."""
    return name.casefold().startswith(SYSTEM_PREFIXES) or name.casefold() in SYSTEM_NAMES


def read_tree(path: Path, *, with_system_files: bool = False) -> Tree:
    """The tree of a folder or an uncompressed tar file; `with_system_files` leaves no hidden or system file out.

    Raises:
        ValueError: no undamaged tar file, folders nested too deep, or two names that are equal when normalized.
        OSError: a folder or the file can't be read.
    """
    tree = Tree(path, {}, {})
    try:
        if path.is_dir():
            _walk(tree, str(path), "", "", (os.path.realpath(path),), with_system_files)
        else:
            root, members = _Folder(), _members(path)
            for member in members:
                _insert(root, member, tree)
            _walk_members(tree, root, "", (root,), with_system_files, MAX_REPETITION * len(members) + 10_000)
    except RecursionError:
        raise ValueError(f"{path}: its folders are nested too deep; move the images to folders further up") from None
    return tree


def _add(tree: Tree, path: str, file: File | None) -> None:
    known = tree.entries.setdefault(path, file)
    if known != file:
        raise ValueError(f"{tree.root}: {known or path} and {file or path} have the same name, differently encoded; rename one of them")


# ---- folders


def _walk(tree: Tree, folder: str, raw: str, prefix: str, around: tuple[str, ...], system: bool) -> None:
    """Add what is below `folder`: its path in the tree is `raw`, normalized `prefix`, and the folders `around` it have these real paths."""
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        path = prefix + normalized(entry.name)
        if not system and is_system_file(entry.name):
            tree.left_out[path] = SYSTEM
        elif os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():  # DirEntry's raises at links that lead to themselves
            _add(tree, path, File(str(tree.root), raw + entry.name))
        elif not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()):
            tree.left_out[path] = NO_TARGET if entry.is_symlink() else OTHER
        elif (real := os.path.realpath(entry.path)) in around:
            tree.left_out[path] = NO_TARGET
        else:
            _add(tree, path, None)
            _walk(tree, entry.path, f"{raw}{entry.name}/", f"{path}/", (*around, real), system)


# ---- tar files


class _Folder(dict[str, "_Node"]):
    """A folder in a tar file: its entries by normalized name."""

    parent: _Folder | None = None


class _Link(NamedTuple):
    """A symbolic link in a tar file."""

    folder: _Folder
    target: str


_Node: TypeAlias = "_Folder | File | _Link | str"  # str: the reason why it is left out


def _members(path: Path) -> list[tarfile.TarInfo]:
    members = list[tarfile.TarInfo]()
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                if member.size < 0 or members and member.offset <= members[-1].offset:
                    raise tarfile.ReadError("a member of negative size")
                members.append(member)
    except (tarfile.TarError, ValueError, OverflowError, IndexError, EOFError) as error:
        remedy = "give a folder, or pack it anew with `tar cf`"
        raise ValueError(f"{path} is neither a folder nor an undamaged, uncompressed tar file ({error}); {remedy}") from error
    return members


def _insert(root: _Folder, member: tarfile.TarInfo, tree: Tree) -> None:
    parts = _parts(member.name)
    if not parts or ".." in parts:
        tree.left_out.update({member.name: OTHER} if parts else {})
        return
    folder = root
    for part in parts if member.isdir() else parts[:-1]:
        inner = folder.get(part)
        if not isinstance(inner, _Folder):
            inner = _Folder()
            inner.parent, folder[part] = folder, inner
        folder = inner
    if member.isdir():
        return
    node: _Node = OTHER
    if member.isreg() and not member.issparse():
        node = File(str(tree.root), member.name, member.offset_data, member.size)
        known = folder.get(parts[-1])
        if isinstance(known, File) and PurePosixPath("/", known.member) != PurePosixPath("/", member.name):
            raise ValueError(f"{tree.root}: {known.member} and {member.name} have the same name, differently encoded; rename one of them")
    elif member.islnk():
        target = _find(root, _parts(member.linkname), [MAX_HOPS])
        node = target if isinstance(target, File) else NO_TARGET
    elif member.issym():
        node = _Link(folder, member.linkname)
    folder[parts[-1]] = node


def _parts(name: str) -> list[str]:
    return [normalized(part) for part in PurePosixPath(name).parts if part != "/"]


def _find(folder: _Folder | None, parts: Sequence[str], hops: list[int]) -> _Node | None:
    """What lies at a path relative to `folder`, links followed: at most `hops[0]` of them."""
    node: _Node | None = folder
    for part in parts:
        if not isinstance(node, _Folder):
            return None
        node = node.parent if part == ".." else node.get(part)
        if isinstance(node, _Link):
            hops[0] -= 1
            node = None if hops[0] < 0 or node.target.startswith("/") else _find(node.folder, _parts(node.target), hops)
    return node


def _walk_members(tree: Tree, folder: _Folder, prefix: str, around: tuple[_Folder, ...], system: bool, limit: int) -> None:
    """Add what is below `folder` of a tar file, which lies in the folders `around`."""
    for name, entry in folder.items():
        path, node = prefix + name, entry if not isinstance(entry, _Link) else _find(folder, [name], [MAX_HOPS])
        if not system and is_system_file(name):
            tree.left_out[path] = SYSTEM
        elif isinstance(node, File):
            _add(tree, path, node)
        elif isinstance(node, _Folder) and not any(node is one for one in around):
            _add(tree, path, None)
            _walk_members(tree, node, f"{path}/", (*around, node), system, limit)
        else:
            tree.left_out[path] = node if isinstance(node, str) else NO_TARGET
        if len(tree.entries) > limit:
            raise ValueError(f"{tree.root}: its links give more than {limit} files; pack the files instead")
