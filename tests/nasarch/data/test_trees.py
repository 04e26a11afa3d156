"""Directory trees: a folder and its tar file have the same entries, whatever their names, links and system files."""

from __future__ import annotations

import os
import subprocess
import tarfile
import unicodedata
from pathlib import Path

import pytest

from nasarch.data.load import load
from nasarch.data.trees import MAX_HOPS, NO_TARGET, SYSTEM, Tree, normalized, read_tree
from nasarch.export.detection.image_files import find_files
from tests.helpers.datasets import as_tar, as_tree, encoded, two_classes

CAFE = ("caf\u00e9", "cafe\u0301", "caf\udce9")  # composed, decomposed, and Latin-1 as Python decodes it


def packed(root: Path) -> Path:
    """The folder as `tar` packs it."""
    subprocess.run(["tar", "cf", f"{root}.tar", "-C", root, "."], check=True)
    return root.with_name(f"{root.name}.tar")


def contents(tree: Tree) -> dict[str, bytes | None]:
    return {path: None if file is None else file.read() for path, file in tree.entries.items()}


def test_a_folder_and_its_tar_are_the_same_tree(tmp_path: Path) -> None:
    files = ["a/0.png", "a/b/1.png", "c/2.png", "c/.hidden/3.png", "@eaDir/0.png/SYNOPHOTO_THUMB_M.png", "c/SYNOPHOTO_THUMB_S.png", "x"]
    root = as_tree(tmp_path / "d", {name: name.encode() for name in files})
    os.link(root / "a/0.png", root / "c/hard.png")
    links = {"merged": "a", "c/up.png": "../a/0.png", "a/b/around": "..", "c/again": "../merged/b", "c/gone.png": "none.png"}
    links |= {"c/loop.png": "loop.png", "c/kept.png": ".hidden/3.png"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    folder, tar = read_tree(root), read_tree(packed(root))
    assert contents(folder) == contents(tar) and folder.left_out == tar.left_out
    assert contents(folder)["merged/b/1.png"] == b"a/b/1.png" and contents(folder)["c/kept.png"] == b"c/.hidden/3.png"
    assert contents(folder)["c/hard.png"] == b"a/0.png" and contents(folder)["c/again/1.png"] == b"a/b/1.png"
    assert {path: reason for path, reason in folder.left_out.items() if not path.startswith(("merged/", "c/again/"))} == {
        **dict.fromkeys(("@eaDir", "c/.hidden", "c/SYNOPHOTO_THUMB_S.png"), SYSTEM),
        **dict.fromkeys(("a/b/around", "c/gone.png", "c/loop.png"), NO_TARGET),
    }
    with_all = read_tree(root, with_system_files=True)
    assert contents(with_all) == contents(read_tree(packed(root), with_system_files=True))
    assert "c/.hidden/3.png" in with_all.entries and SYSTEM not in with_all.left_out.values()


@pytest.mark.parametrize("name", ["Thumbs.db", "THUMBS.DB", ".DS_Store", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "__MACOSX"])
def test_system_files_are_left_out_in_any_case(name: str, tmp_path: Path) -> None:
    root = as_tree(tmp_path / "d", {**two_classes(), f"cat/{name}/0.png": encoded(), f"{name}/1.png": encoded()})
    for path in (root, packed(root)):
        data = load(path)
        assert len(data.train) == 6 and data.source.endswith("(2 hidden or system files left out)")


def test_names_in_any_normal_form_and_encoding_are_the_same(tmp_path: Path) -> None:
    found = []
    for i, name in enumerate(CAFE):
        root = as_tree(tmp_path / str(i), {f"{name}/{name}.png": encoded(1), "tea/0.png": encoded(2)})
        found += [load(root), load(packed(root)), load(root, in_memory=False)]
    assert {data.class_names for data in found} == {("caf\u00e9", "tea")}
    assert {data.names for data in found} == {("caf\u00e9/caf\u00e9.png", "tea/0.png")}
    assert len({data.digest for data in found[::3]}) == len({data.digest for data in found[2::3]}) == 1
    mixed = {**classes("train", CAFE[0]), **classes("val", CAFE[1]), **classes("test", CAFE[2])}
    data = load(as_tree(tmp_path / "mixed", mixed))
    assert data.test is not None and len(data.test) == 2


def classes(part: str, name: str) -> dict[str, bytes]:
    return {f"{part}/{name}/0.png": encoded(), f"{part}/tea/0.png": encoded()}


def test_two_names_that_are_one_when_normalized_are_refused(tmp_path: Path) -> None:
    root = as_tree(tmp_path / "d", {f"a/{CAFE[0]}.png": encoded(), f"a/{CAFE[1]}.png": encoded(), "b/0.png": encoded()})
    for path in (root, packed(root)):
        with pytest.raises(ValueError, match="have the same name, differently encoded; rename one of them"):
            load(path)
    root = as_tree(tmp_path / "e", {f"{CAFE[0]}/0.png": encoded(), f"{CAFE[1]}/1.png": encoded(), "b/0.png": encoded()})
    for path in (root, packed(root)):
        assert load(path).train.labels.tolist() == [0, 1, 1]


def test_images_of_annotations_are_found_in_any_normal_form(tmp_path: Path) -> None:
    for i, name in enumerate(CAFE):
        root = as_tree(tmp_path / str(i), {f"{name}.png": encoded(), ".x.png": encoded()})
        for images in (root, packed(root)):
            for requested in (*CAFE, f"./{CAFE[0]}"):
                found = find_files(tmp_path / "val.json", images, [f"{requested}.png", ".x.png"])
                assert found[f"{requested}.png"].read() == encoded() and ".x.png" in found
    as_tar(tmp_path / "packed.tar", {"images/a/0.png": encoded(), "images/1.png": encoded()})
    assert len(find_files(tmp_path / "val.json", tmp_path / "packed.tar", ["a/0.png", "./1.png"])) == 2


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000 + "y", "a\0b", "\ud800", "\ud800\u00e9"])
def test_names_that_no_file_can_have_are_missing(name: str, tmp_path: Path) -> None:
    root = as_tree(tmp_path / "images", {"0.png": encoded()})
    for images in (root, packed(root)):
        with pytest.raises(ValueError, match="1 of 2 images are missing, the first is") as caught:
            find_files(tmp_path / "val.json", images, ["0.png", name])
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_a_file_in_a_tar_may_have_a_long_name(tmp_path: Path) -> None:
    data = load(as_tar(tmp_path / "d.tar", {f"{'a' * 300}/{'b' * 300}.png": encoded(), "c/0.png": encoded()}))
    assert data.class_names[0] == "a" * 300


def test_a_member_of_a_name_that_is_there_already_replaces_it(tmp_path: Path) -> None:
    """As `tar` unpacks it, for files that were added again (tar -r)."""
    path = as_tar(tmp_path / "d.tar", {"a/0.png": b"old", "./a/0.png": b"new"})
    assert contents(read_tree(path)) == {"a": None, "a/0.png": b"new"}


def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_links_out_of_a_tar_lead_to_nothing(tmp_path: Path) -> None:
    links = {"a/1.png": "/etc/hostname", "a/2.png": "../../d/a/0.png", "a/3.png": "../a/../../a/0.png", "a/4.png": "../a/0.png"}
    chain = {f"a/chain{i}": f"chain{i + 1}" for i in range(MAX_HOPS + 1)} | {f"a/chain{MAX_HOPS + 1}": "0.png"}
    members = [linked(*link) for link in (links | chain).items()] + [linked("a/5.png", "b/none.png", tarfile.LNKTYPE)]
    tree = read_tree(as_tar(tmp_path / "d.tar", {"a/0.png": b"0"}, *members))
    assert {name for name, reason in tree.left_out.items() if reason == NO_TARGET} == {
        *("a/1.png", "a/2.png", "a/3.png", "a/5.png", "a/chain0", "a/chain1"),
    }
    assert contents(tree)["a/4.png"] == b"0"


def test_links_that_multiply_files_without_end_are_refused(tmp_path: Path) -> None:
    links = [linked(f"d{i}/{side}", f"../d{i + 1}") for i in range(40) for side in "ab"]
    path = as_tar(tmp_path / "d.tar", {"d40/0.png": b"0"}, *links)
    with pytest.raises(ValueError, match="d.tar: its links give more than"):
        read_tree(path)
    doubling = [linked(f"l{i}", f"l{i + 1}/../l{i + 1}/../l{i + 1}") for i in range(60)]
    assert len(read_tree(as_tar(tmp_path / "e.tar", {"a/0.png": b"0"}, *doubling)).left_out) == 60


@pytest.mark.parametrize("kind", ["negative", "deep", "pax"])
def test_a_damaged_tar_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    if kind == "deep":
        as_tar(path, {"/".join("a" * 3000): b""})
    elif kind == "negative":
        member = tarfile.TarInfo("a/0.png")
        member.size = -1024
        path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 2048)
    else:
        member = tarfile.TarInfo("a")
        member.type, member.size = tarfile.XHDTYPE, 512
        path.write_bytes((member.tobuf() + b"17 path=a\xff\0x\n99".ljust(512, b"\0")) * 2)
    with pytest.raises(ValueError, match=f"{path}.*(damaged|nested too deep)"):
        read_tree(path)


def test_a_name_is_read_as_utf_8_or_latin_1() -> None:
    assert {normalized(name) for name in CAFE} == {unicodedata.normalize("NFC", CAFE[0])} and normalized("plain") == "plain"
