"""Images in class folders and tar files: the same data in every layout, and bad files and folders are refused by name."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nasarch.data import decoding
from nasarch.data import load as datasets
from nasarch.data.dataset import Augmentation
from nasarch.data.image_files import File, Files
from nasarch.data.load import load
from tests.helpers.datasets import as_tar, as_tree, encoded, real, two_classes


def layouts(root: Path) -> dict[str, Path]:
    """One and the same data set, two classes and a test part, in every layout."""
    train, test = two_classes("train/"), two_classes("test/", count=1)
    bare_train, bare_test = two_classes(), two_classes(count=1)
    as_tar(root / "tars/train.tar", {f"./{name}": content for name, content in bare_train.items()})
    as_tar(root / "tars/test.tar", bare_test)
    as_tar(root / "wrapped_tars/train.tar", train)
    as_tar(root / "wrapped_tars/val.tar", two_classes("data/val/", count=1))
    as_tree(root / "mixed", train)
    as_tar(root / "mixed/valid.tar", bare_test)
    return {
        "folders": as_tree(root / "folders", {**train, **test}),
        "val folder": as_tree(root / "val_folder", {**train, **two_classes("val/", count=1)}),
        "tars": root / "tars",
        "wrapped tars": root / "wrapped_tars",
        "mixed": root / "mixed",
        "one tar": as_tar(root / "one.tar", {**test, **train}),
        "one wrapped tar": as_tar(root / "wrapped.tar", {f"pets/{name}": content for name, content in {**train, **test}.items()}),
    }


def test_every_layout_of_the_same_images_gives_the_same_data(tmp_path: Path) -> None:
    data = {name: load(path) for name, path in layouts(tmp_path).items()}
    assert len({one.digest for one in data.values()}) == 1
    for one in data.values():
        assert one.class_names == ("cat", "dog") and one.size == (8, 8)
        assert one.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert one.test is not None and one.test.labels.tolist() == [0, 1]
    assert data["tars"].source == "6 images of tars/train.tar, 2 images of tars/test.tar"
    assert {name: one.name for name, one in data.items()}["one tar"] == "one"


@pytest.mark.parametrize("pack", [as_tree, as_tar])
def test_class_folders_alone_are_a_training_part(pack: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path) -> None:
    data = load(pack(tmp_path / "pets.tar", two_classes()))
    assert len(data.train) == 6 and data.test is None and data.name == "pets"


def test_images_are_ordered_by_class_and_name_whatever_the_order_of_files(tmp_path: Path) -> None:
    names = ["b/2.png", "a b/1.png", "a/z.png", "b/1.png", "a/deeper/1.png", "a/a.png"]
    files = {name: encoded(seed) for seed, name in enumerate(names)}
    data = load(as_tar(tmp_path / "some.tar", files))
    assert data.class_names == ("a", "a b", "b")
    expected = [files[name] for name in ("a/a.png", "a/deeper/1.png", "a/z.png", "a b/1.png", "b/1.png", "b/2.png")]
    for pixels, content in zip(data.train.pixels, expected, strict=True):
        assert np.array_equal(pixels.permute(1, 2, 0), np.asarray(Image.open(io.BytesIO(content))))


def test_classes_are_numbered_by_name(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(20)]
    data = load(as_tree(tmp_path, {f"{name}/{name}.png": encoded() for name in reversed(names)}))
    assert list(data.class_names) == names and data.train.labels.tolist() == list(range(20))


@pytest.mark.parametrize("pack", [as_tree, as_tar])
def test_litter_is_passed_over_and_other_files_are_counted(pack: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path) -> None:
    litter = ["cat/._0.png", "cat/.DS_Store", "__MACOSX/cat/0.png", ".git/x/0.png", "dog/Thumbs.db"]
    others = ["README.md", "cat/labels.csv", "loose.png"]
    junk = dict.fromkeys(litter + others, b"no image")
    data = load(pack(tmp_path / "pets.tar", {**junk, **two_classes()}))
    assert data.digest == load(as_tree(tmp_path / "clean", two_classes())).digest
    assert data.source == "6 images of pets.tar (3 other files, 5 hidden or system files left out)"


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_other_colour_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    format = "jpeg" if mode == "CMYK" else "png"
    content = encoded(1, mode, format=format)
    data = load(as_tree(tmp_path, {f"cat/0.{format}": content, "dog/0.png": encoded()}))
    assert np.array_equal(data.train.pixels[0].permute(1, 2, 0), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_a_palette_image_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(encoded())).convert("P").save(file, "png", transparency=bytes(range(256)))
    assert len(load(as_tree(tmp_path, {"cat/0.png": file.getvalue(), "dog/0.png": encoded()})).train) == 2


def test_images_of_different_sizes_need_a_size_and_keep_their_centre(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 200
    Image.fromarray(wide).save(file := io.BytesIO(), "png")
    root = as_tree(tmp_path, {"cat/0.png": encoded(), "dog/0.png": file.getvalue()})
    with pytest.raises(ValueError, match=r"dog/0.png has 16x48 pixels, the first image 8x8; give one size .*--size 32"):
        load(root)
    data = load(root, size=8)
    assert data.size == (8, 8)
    assert data.train.pixels[1, :, :, 1:-1].unique().tolist() == [200] and data.train.pixels[1].min() > 100  # none of the black sides


def test_images_that_share_a_size_keep_it_even_if_it_is_no_square(tmp_path: Path) -> None:
    root = as_tree(tmp_path, {"cat/0.png": encoded(0, size=(24, 16)), "dog/0.png": encoded(1, size=(24, 16))})
    assert load(root).size == (24, 16)
    assert load(root).augmentation == Augmentation(padding=2, flip=True)
    assert load(root, size=16).size == (16, 16)


def test_many_images_are_decoded_in_order_by_several_workers(tmp_path: Path) -> None:
    files = {f"{name}/{number:03}.png": encoded(number) for name in ("cat", "dog") for number in range(300)}
    data = load(as_tar(tmp_path / "many.tar", files))
    one_by_one = np.stack([np.asarray(Image.open(io.BytesIO(content))) for content in files.values()])
    assert np.array_equal(data.train.pixels.permute(0, 2, 3, 1), one_by_one)


@pytest.mark.parametrize("broken", [b"", b"no image", encoded()[:60], encoded(format="jpeg")[:-20], encoded(mode="I;16")])
@pytest.mark.parametrize("pack", [as_tree, as_tar])
def test_a_broken_image_is_named(pack: Callable[[Path, dict[str, bytes]], Path], broken: bytes, tmp_path: Path) -> None:
    path = pack(tmp_path / "pets.tar", {**two_classes(count=2), "dog/1.png": broken})
    with pytest.raises(
        ValueError, match=r"pets.tar(/|: )dog/1.png can't be read as an image \(.+\); replace it by an 8-bit image or remove it"
    ):
        load(path)


def test_a_broken_image_among_many_is_named_by_the_worker_that_found_it(tmp_path: Path) -> None:
    content = encoded()
    files = {f"{name}/{number:03}.png": content for name in ("cat", "dog") for number in range(300)}
    with pytest.raises(ValueError, match="dog/250.png can't be read as an image"):
        load(as_tree(tmp_path, {**files, "dog/250.png": content[:50]}))


@pytest.mark.skipif(not isinstance(decoding._executor(2), ProcessPoolExecutor), reason="decodes without processes here")
def test_a_killed_worker_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, read = os.getpid(), File.read
    monkeypatch.setattr(File, "read", lambda file: read(file) if os.getpid() == here else os._exit(9))
    files = {f"{name}/{number:03}.png": encoded() for name in ("cat", "dog") for number in range(300)}
    with pytest.raises(ValueError, match="cat/000.png and others was killed; see that memory is free"):
        load(as_tree(tmp_path, files))


@pytest.mark.parametrize("pack", [as_tree, as_tar])
@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"README.md": b"nothing"}, "has no images in class folders; expected train/<class>/<image>"),
        ({"0.png": encoded(), "1.png": encoded()}, "has no images in class folders"),
        ({"cat/0.png": encoded()}, "has only one class folder, 'cat'"),
        ({"cat/0.png": encoded(), "dog/0.png": encoded(), "cow/moo.wav": b"moo"}, r"no images in class folder\(s\) cow; fill or remove"),
        ({**two_classes("train/"), **two_classes("test/"), "test/cow/0.png": encoded()}, "different classes, cow being in one only"),
        ({**two_classes("train/"), **two_classes("test/"), "train/cow/0.png": encoded()}, "different classes, cow being in one only"),
        ({**two_classes("train/"), "test/0.png": encoded()}, "test has no images in class folders"),
    ],
)
def test_folders_that_are_no_classes_are_refused(
    pack: Callable[[Path, dict[str, bytes]], Path], files: dict[str, bytes], named: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=named):
        load(pack(tmp_path / "pets.tar", files))


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    (as_tree(tmp_path, two_classes()) / "cow").mkdir()
    with pytest.raises(ValueError, match=r"class folder\(s\) cow"):
        load(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no images in class folders"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no tar" * 500], ids=["empty", "text"])
def test_a_file_that_is_no_tar_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.tar").write_bytes(content)
    with pytest.raises(ValueError, match="data.tar is neither a folder nor an undamaged, uncompressed tar file"):
        load(tmp_path / "data.tar")


def test_a_compressed_or_cut_tar_is_refused(tmp_path: Path) -> None:
    whole = as_tar(tmp_path / "whole.tar", {"cat/0.png": encoded(size=(64, 64)), "dog/0.png": encoded(size=(64, 64))})
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:15_000])
    for path in (as_tar(tmp_path / "data.tar.gz", two_classes(), mode="w:gz"), tmp_path / "cut.tar"):
        with pytest.raises(ValueError, match=f"{path.name} is neither a folder nor an undamaged, uncompressed tar file"):
            load(path)


def test_links_in_a_tar_are_followed_and_outside_members_passed_over(tmp_path: Path) -> None:
    outside = as_tree(tmp_path / "secret", {"0.png": encoded()}) / "0.png"
    link, hard, device = tarfile.TarInfo("cat/link.png"), tarfile.TarInfo("cat/hard.png"), tarfile.TarInfo("cat/device.png")
    link.type, link.linkname = tarfile.SYMTYPE, str(outside)
    hard.type, hard.linkname = tarfile.LNKTYPE, "cat/0.png"
    device.type = tarfile.CHRTYPE
    newest = tarfile.TarInfo("newest")
    newest.type, newest.linkname = tarfile.SYMTYPE, "cat"
    before = sorted(tmp_path.rglob("*"))
    path = as_tar(
        tmp_path / "pets.tar", {**two_classes(), "../cat/up.png": encoded(), "cat/../../up.png": encoded()}, link, hard, device, newest
    )
    data = load(path)
    assert data.names == tuple(
        f"{name}/{i}.png" for name in ("cat", "dog", "newest") for i in (0, 1, 2, "hard") if (name, i) != ("dog", "hard")
    )
    assert data.source == "11 images of pets.tar (4 other files, 2 links without a target left out)"
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


def test_linked_folders_are_followed_but_a_circle_ends(tmp_path: Path) -> None:
    root = as_tree(tmp_path / "real", two_classes())
    (root / "cat" / "again").symlink_to(root)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "train").symlink_to(root)
    assert len(load(tmp_path / "linked").train) == 6


def test_more_pixels_than_the_memory_budget_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MEMORY_BUDGET", 8 * 3 * 64 - 1)
    monkeypatch.setattr(datasets, "decode", lambda *args, **kwargs: pytest.fail("decoded"))
    root = as_tree(tmp_path, {**two_classes("train/"), **two_classes("val/", count=1)})
    with pytest.raises(
        ValueError, match=r"8 images of 8x8 take .* GiB that are held in memory; choose a smaller size \(--size\), or leave"
    ):
        load(root, in_memory=True)
    data = load(root)
    assert isinstance(data.train, Files) and isinstance(data.test, Files)


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(ValueError, match=f"can't read {tmp_path}: Permission denied; check the path"):
        load(tmp_path)


def test_grayscale_images_of_imagenette_become_rgb() -> None:
    path = real("imagenette-subset") / "val.tar"
    with tarfile.open(path) as tar:
        gray = sum(Image.open(tar.extractfile(member)).mode == "L" for member in tar if member.isreg())  # type: ignore[arg-type]
    data = load(path, size=32)
    red, green, blue = data.train.pixels.unbind(1)
    colourless = ((red == green) & (green == blue)).flatten(1).all(1).sum()
    assert len(data.train) == 500 and 0 < gray <= colourless < 50
