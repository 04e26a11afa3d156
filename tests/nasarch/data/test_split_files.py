"""`nasarch split`: balanced disjoint lists that follow their seed, read back only with the data that they were made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nasarch.cli.commands import split
from nasarch.data.dataset import Dataset
from nasarch.data.image_files import Listing
from nasarch.data.load import listing, load
from nasarch.data.split_files import read_split, write_split
from tests.helpers.datasets import as_tar, as_tree, dataset, encoded

FRACTIONS = (0.5, 0.2)


def files(count: int = 10, prefix: str = "") -> dict[str, bytes]:
    content = encoded()
    return {f"{prefix}{name}/{number}.png": content for name in ("a", "a b", "c") for number in range(count + (name == "c"))}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return as_tree(tmp_path / "letters", files())


@pytest.fixture
def folder(tree: Path, tmp_path: Path) -> Path:
    split(str(tree), fractions=FRACTIONS, seed=3, out=tmp_path / "split")
    return tmp_path / "split"


def names(folder: Path, number: int) -> list[str]:
    return (folder / f"part-{number}.txt").read_text().splitlines()


def test_lists_are_sorted_disjoint_and_balanced(folder: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = names(folder, 1), names(folder, 2)
    assert first == sorted(first) and second == sorted(second) and not set(first) & set(second)
    assert all((tree / name).is_file() for name in first + second)
    for part, fraction in ((first, 0.5), (second, 0.2)):
        counts = [sum(name.startswith(f"{one}/") for name in part) for one in ("a", "a b", "c")]
        assert max(counts) - min(counts) <= 1 and abs(counts[0] - 10 * fraction) < 1


def test_the_record_says_what_was_split_and_how(folder: Path, tree: Path) -> None:
    record = json.loads((folder / "split.json").read_text())
    assert {key: record[key] for key in ("format", "data", "images", "classes", "seed")} == {
        "format": "nasarch.split/1",
        "data": "letters",
        "images": 31,
        "classes": 3,
        "seed": 3,
    }
    assert record["digest"] == listing(tree).digest == load(tree).listing.digest == load(tree, in_memory=False).listing.digest
    for number, part in enumerate(record["parts"], start=1):
        content = (folder / part["file"]).read_bytes()
        assert part["file"] == f"part-{number}.txt" and part["sha256"] == hashlib.sha256(content).hexdigest()
        assert part["images"] == len(names(folder, number)) and part["fraction"] == FRACTIONS[number - 1]
    assert [part["images_per_class"] for part in record["parts"]] == [[5, 6], [2, 2]]  # of 10, 10 and 11 images


def test_it_says_what_it_wrote(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "some" / "split"
    split(str(tree), fractions=(0.1,), out=out)
    assert capsys.readouterr().out.splitlines() == [
        "letters: 31 training images, 3 classes; seed 0",
        f"wrote {out / 'part-1.txt'}: 3 images, 1 of each class",
        f"wrote {out / 'split.json'}",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["part-1.txt", "split.json"]


def test_no_image_is_decoded(tmp_path: Path) -> None:
    root = as_tree(tmp_path / "empty", dict.fromkeys(files(), b""))
    split(str(root), fractions=FRACTIONS, out=tmp_path / "split")


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("pack", [as_tree, as_tar])
def test_read_back_it_gives_the_listed_images_in_every_layout(
    pack: Callable[[Path, dict[str, bytes]], Path], in_memory: bool, folder: Path, tmp_path: Path
) -> None:
    data = load(pack(tmp_path / "again.tar", files(prefix="train/")), in_memory=in_memory)
    assert data.names is not None
    for number, indices in enumerate(read_split(folder, data), start=1):
        assert sorted(data.names[i] for i in indices.tolist()) == names(folder, number)
        assert indices.tolist() == sorted(indices.tolist())
        part = data.train.subset(indices)
        assert [data.class_names[label] for label in part.labels.tolist()] == [data.names[i].split("/")[0] for i in indices.tolist()]


def test_it_is_the_split_of_the_same_seed_in_a_search(folder: Path, tree: Path) -> None:
    from nasarch.data.dataset import split_indices

    data = load(tree)
    assert all(map(torch.equal, read_split(folder, data), split_indices(data.train.labels, FRACTIONS, 3)))


def test_the_same_seed_writes_the_same_lists_and_another_others(tree: Path, folder: Path, tmp_path: Path) -> None:
    for seed, name in ((3, "again"), (4, "other")):
        split(str(tree), fractions=FRACTIONS, seed=seed, out=tmp_path / name)
    assert names(tmp_path / "again", 1) == names(folder, 1) != names(tmp_path / "other", 1)


def test_images_without_names_are_numbered(tmp_path: Path) -> None:
    split("digits", fractions=(0.1, 0.025), out=tmp_path)
    data = load("digits")
    first, second = read_split(tmp_path, data)
    assert names(tmp_path, 1) == [f"train/{i:06}" for i in first.tolist()]
    assert data.train.labels[first].bincount().tolist() == [15] * 10 and data.train.labels[second].bincount().tolist() == [4] * 10


# ---- what goes wrong


def test_a_split_is_not_overwritten(folder: Path, tree: Path) -> None:
    with pytest.raises(ValueError, match=f"{folder} holds a split already: choose another folder with --out"):
        split(str(tree), out=folder)


@pytest.mark.parametrize(
    ("fractions", "named"), [((0.6, 0.5), "all together at most 1"), ((), "above 0"), ((0.01,), "leave no image of a class that has 10")]
)
def test_impossible_fractions_are_refused_before_anything_is_written(
    fractions: tuple[float, ...], named: str, tree: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=named):
        split(str(tree), fractions=fractions, out=tmp_path / "split")
    assert not (tmp_path / "split").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\udcff"])
def test_a_name_that_is_no_line_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no line of UTF-8 text; rename the file"):
        write_split(Listing("odd", (name, "c"), torch.tensor([0, 1])), (1.0,), 0, tmp_path)


def test_a_place_that_cannot_be_written_is_named(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="can't write .*file/part-1.txt"):
        split(str(tree), fractions=FRACTIONS, out=tmp_path / "file")


def changed(folder: Path, **fields: object) -> None:
    path = folder / "split.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_folder_without_a_split_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="no split in .*letters: give the folder that `nasarch split` wrote"):
        read_split(tree, dataset())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"format": "nasarch.split/9"}, "format 'nasarch.split/9', this version reads"),
        ({"parts": []}, "no parts"),
        ({"parts": [{"file": "part-1.txt"}]}, "no 'sha256'"),
        ({"parts": [{"file": "../part-1.txt", "sha256": ""}]}, "part {"),
        ({"parts": 3}, "damaged"),
        ({"digest": None}, "digest"),
    ],
)
def test_a_damaged_record_is_refused(fields: dict[str, object], named: str, folder: Path) -> None:
    changed(folder, **fields)
    with pytest.raises(ValueError, match=r"split.json is damaged \(.*\); make the split again") as caught:
        read_split(folder, dataset())
    assert named in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"format": "nasarch.split/1"}'])
def test_a_record_that_is_none_is_refused(content: str, folder: Path) -> None:
    (folder / "split.json").write_text(content)
    with pytest.raises(ValueError, match="split.json is damaged"):
        read_split(folder, dataset())


def test_a_changed_or_missing_list_is_named(folder: Path, tree: Path) -> None:
    data = load(tree)
    path = folder / "part-2.txt"
    path.write_text(path.read_text().replace("a/", "c/"))
    with pytest.raises(ValueError, match="part-2.txt was changed after the split was made; make the split again .* with the same seed"):
        read_split(folder, data)
    path.unlink()
    with pytest.raises(ValueError, match=r"can't read .*part-2.txt \(.*No such file"):
        read_split(folder, data)


def other_data(tmp_path: Path, name: str, files: dict[str, bytes]) -> Dataset:
    return load(as_tree(tmp_path / name, files))


def test_a_split_of_other_data_is_refused_and_says_what_differs(folder: Path, tmp_path: Path) -> None:
    more = other_data(tmp_path, "more", {**files(), "c/99.png": encoded()})
    with pytest.raises(ValueError, match=r"made of other data than 'more' \(of 31 training images, the data has 32\); give the data"):
        read_split(folder, more)
    listed = names(folder, 1)[0]
    renamed = other_data(tmp_path, "renamed", {name.replace(listed, "a/new.png"): content for name, content in files().items()})
    with pytest.raises(ValueError, match=f"it names '{listed}', which the data does not have"):
        read_split(folder, renamed)
    unlisted = next(name for name in files() if name not in names(folder, 1) + names(folder, 2))
    other = other_data(tmp_path, "other", {name.replace(unlisted, "a/new.png"): content for name, content in files().items()})
    with pytest.raises(ValueError, match="other names or classes among the images that it leaves out"):
        read_split(folder, other)
    with pytest.raises(ValueError, match="and 21 more, which the data does not have"):
        read_split(folder, dataset())
