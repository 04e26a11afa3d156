"""Parts of a data set: their names, a class of such a name, what is left aside, and folders that may be the one or the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nasarch.data.load import listing, load
from nasarch.data.options import DataOptions, print_left_out
from tests.helpers.datasets import as_tar, as_tree, encoded, two_classes

Pack = Callable[[Path, dict[str, bytes]], Path]
PACKED = pytest.mark.parametrize("pack", [as_tree, as_tar])
PAIRS = [
    *(("Training", "Testing"), ("Train", "Val"), ("TRAIN", "TEST"), ("training", "validation")),
    *(("train", "Valid"), ("train", "eval"), ("Training", "test"), ("train", "dev"), ("train", "Evaluation")),
    *(
        ("Trainset", "Testset"),
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("Train Data", "Validation-Data"),
        ("train-images", "test"),
    ),
]


def classes_of(names: str, part: str = "") -> dict[str, bytes]:
    """One image in each folder of `names`."""
    return {f"{part}{name}/0.png": encoded() for name in names.split()}


@PACKED
@pytest.mark.parametrize("pair", PAIRS)
def test_the_names_of_parts_are_read_in_any_case(pair: tuple[str, str], pack: Pack, tmp_path: Path) -> None:
    data = load(pack(tmp_path / "d.tar", {**two_classes(f"{pair[0]}/"), **two_classes(f"{pair[1]}/", count=1)}))
    assert data.class_names == ("cat", "dog") and data.test is not None and (len(data.train), len(data.test)) == (6, 2)
    assert data.source == f"6 images of d.tar/{pair[0]}, 2 images of d.tar/{pair[1]}"


@PACKED
def test_folders_that_are_the_same_in_all_classes_are_doubted(pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load(pack(tmp_path / "d.tar", classes_of("amazon/bike amazon/mug webcam/bike webcam/mug")))
    assert data.class_names == ("amazon", "webcam")
    print_left_out(data.source)
    assert "; amazon, webcam taken as classes, though each holds the same folders, bike, mug" in capsys.readouterr().err
    for files in ("cat/left cat/right dog/left dog/up", "cat/left cat/right dog", "cat/a dog/a"):
        print_left_out(load(pack(tmp_path / f"{len(files)}.tar", classes_of(files))).source)
    assert not capsys.readouterr().err


def test_parts_may_be_tar_files_of_these_names(tmp_path: Path) -> None:
    as_tar(tmp_path / "Training.tar", two_classes())
    as_tar(tmp_path / "Validation.TAR", two_classes(count=1))
    data = load(tmp_path)
    assert data.test is not None and (len(data.train), len(data.test)) == (6, 2)


@PACKED
@pytest.mark.parametrize("files", ["bus car train", "bus train/freight car train/passenger", "bus train", "test train/x train bus"])
def test_a_class_called_train_stands_among_classes(files: str, pack: Pack, tmp_path: Path) -> None:
    data = load(pack(tmp_path / "d.tar", classes_of(files)))
    assert data.class_names == tuple(sorted({name.split("/")[0] for name in files.split()})) and data.test is None
    assert len(data.train) == len(files.split())


@PACKED
@pytest.mark.parametrize(
    ("files", "left_out"),
    [
        ("train/a train/b val/a val/b test/x", "test"),
        ("train/a train/b valid/a valid/b Test/a Test/b extra", "Test, extra"),
        ("train/a train/b unlabelled/a unlabelled/b", "unlabelled"),
        ("train/a train/b test/a test/b more/a/b docs/pictures", "docs, more"),
    ],
)
def test_what_is_left_aside_is_named(files: str, left_out: str, pack: Pack, tmp_path: Path) -> None:
    data = load(pack(tmp_path / "d.tar", classes_of(files)))
    assert data.class_names == ("a", "b") and data.source.endswith(f"; left out: {left_out}")


def test_tar_files_and_loose_images_beside_the_parts_are_named(tmp_path: Path) -> None:
    as_tree(tmp_path / "d", {**two_classes("train/"), "1.png": encoded(), "2.png": encoded(), "notes.txt": b""})
    as_tar(tmp_path / "d" / "train.tar", two_classes())
    as_tar(tmp_path / "d" / "val.tar", two_classes())
    assert load(tmp_path / "d").source == "6 images of d/train, 6 images of d/val.tar; left out: train.tar, 2 images beside train"


@PACKED
@pytest.mark.parametrize(
    ("files", "named"),
    [
        ("train/a train/b bus", "train is the training part or a class beside bus; give .*train if it is the training part"),
        ("train/a train/b Train/a Train/b", "two training parts, .*rain and .*rain; move one of them away"),
        ("train/a train/b training/a training/b", "two training parts, train and training"),
        ("val/a val/b test/c test/d", "test, val are parts of a data set, not classes, .*name the training part train"),
        ("seg_train/a seg_train/b seg_test/a seg_test/b", "seg_test, seg_train are parts of a data set"),
    ],
)
def test_folders_that_may_be_parts_or_classes_are_refused_with_both_readings(files: str, named: str, pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=named):
        load(pack(tmp_path / "d.tar", classes_of(files)))


def test_classes_with_the_same_folders_and_classes_named_as_parts_are_classes(tmp_path: Path) -> None:
    assert load(as_tree(tmp_path / "a", classes_of("cat/indoor cat/outdoor dog/indoor dog/outdoor"))).class_names == ("cat", "dog")
    assert load(as_tree(tmp_path / "b", classes_of("test control"))).class_names == ("control", "test")


@PACKED
def test_parts_in_a_folder_around_everything_are_found(pack: Pack, tmp_path: Path) -> None:
    data = load(pack(tmp_path / "d.tar", {**two_classes("set/Train/"), **two_classes("set/Test/", count=1)}))
    assert data.test is not None and (len(data.train), len(data.test)) == (6, 2)


def test_what_is_left_out_is_printed_and_kept_in_the_listing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = as_tree(tmp_path / "d", classes_of("train/a train/b val/a val/b test/x"))
    data = DataOptions(data=str(root)).load()
    assert data.source == listing(root).source
    assert capsys.readouterr().err == "nasarch: note: data: 2 images of d/train, 2 images of d/val; left out: test\n"
    DataOptions(data=str(as_tree(tmp_path / "e", classes_of("a b")))).load()
    assert capsys.readouterr().err == ""
