"""ImageNet16-120 from files in the published layout: which images, labels, statistics and crops; what is refused; that no code runs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasarch.cli.main import main
from nasarch.data import imagenet16
from nasarch.data.dataset import Augmentation
from nasarch.data.load import listing, load
from nasarch.search.training.record import DATA_SETS

COUNT = 130  # images of a file


def batch(number: int, **changes: Any) -> dict[str, Any]:
    """Labels 1, 2, ... and above 120 some; every image has its own noise."""
    chance = np.random.default_rng(number)
    labels = [*range(1, 121), *(int(label) for label in chance.integers(121, 1001, COUNT - 120))]
    chance.shuffle(labels)
    return {"data": chance.integers(0, 256, (COUNT, 768), dtype=np.uint8), "labels": labels, "mean": np.zeros(768)} | changes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(imagenet16.FILES):
        (tmp_path / name).write_bytes(pickle.dumps(batch(number), protocol=2 + number % 4))
    return tmp_path


def test_the_first_120_classes_are_read_in_the_order_of_the_files(root: Path) -> None:
    data = load("imagenet16-120", root=root)
    names = list(imagenet16.FILES)
    assert names == [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]
    for part, files in ((data.train, range(10)), (data.test, range(10, 11))):
        images, labels = [], []
        for number in files:
            entry = batch(number)
            for row, label in zip(entry["data"], entry["labels"], strict=True):
                if label <= 120:
                    images.append(row.reshape(3, 16, 16))
                    labels.append(label - 1)
        assert part is not None and torch.equal(part.pixels, torch.from_numpy(np.stack(images))) and part.labels.tolist() == labels  # type: ignore[union-attr]
    assert data.num_classes == 120 and data.class_names[0] == "1" and data.class_names[-1] == "120" and data.size == (16, 16)


def test_statistics_and_crops_are_those_of_nats_bench(root: Path) -> None:
    """AutoDL-Projects, get_dataset_with_transform.py: RandomHorizontalFlip, RandomCrop(16, padding=2), constants of 255."""
    data = load("imagenet16-120", root=root)
    assert data.mean == tuple(round(level / 255, 4) for level in (122.68, 116.66, 104.01))
    assert data.std == tuple(round(level / 255, 4) for level in (63.22, 61.26, 65.09))
    assert data.augmentation == Augmentation(padding=2, flip=True)
    assert load("imagenet16-120", root=root, size=32).size == (32, 32)


def test_files_that_are_not_the_published_ones_are_named_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("imagenet16-120", root=root)
    assert data.name == "own-imagenet16-120" and "MD5 sums other than the published ones: train_data_batch_1, " in data.source
    assert listing("imagenet16-120", root=root).labels.tolist() == data.train.labels.tolist()
    published = json.loads(json.dumps(imagenet16.FILES))
    assert len(set(published.values())) == 11 and all(len(md5) == 32 for md5 in published.values())
    digest = data.digest
    (root / "ImageNet16").mkdir()
    for name in imagenet16.FILES:
        (root / name).rename(root / "ImageNet16" / name)  # NATS-Bench's folder
    assert load("imagenet16-120", root=root).digest == load("imagenet16-120", root=root / "ImageNet16").digest == digest
    assert DATA_SETS["imagenet16-120"] == "ImageNet16-120"


def test_arrays_pickled_by_python_2_are_read(root: Path) -> None:
    """Their bytes are text there, and NumPy's modules have their old names."""
    entry = batch(0)
    rows = entry["data"].tobytes().decode("latin1").encode("latin1")
    old = b"".join(
        (
            b"\x80\x02}(X\x04\x00\x00\x00datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01",
            b"M" + COUNT.to_bytes(2, "little") + b"M\x00\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff",
            b"J\xff\xff\xff\xffK\x00tb\x89T" + len(rows).to_bytes(4, "little") + rows + b"tbX\x06\x00\x00\x00labels](",
            b"".join(b"M" + label.to_bytes(2, "little") for label in entry["labels"]) + b"eu.",
        )
    )
    before = load("imagenet16-120", root=root)
    (root / "train_data_batch_1").write_bytes(old)
    assert load("imagenet16-120", root=root).digest == before.digest


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("written"), "code ran")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Evil()), "no array needs"),
        (pickle.dumps(batch(0, labels=Evil())), "no array needs"),
        (pickle.dumps(batch(0))[:-9], "unpack its archive again"),
        (b"", "Ran out of input"),
        (pickle.dumps([1, 2]), "unpack its archive again"),
        (pickle.dumps({"data": np.zeros((3, 768), np.uint8)}), "'labels'"),
        (pickle.dumps(batch(0, data=np.zeros((COUNT, 768)))), "no uint8 array of 130 x 768"),
        (pickle.dumps(batch(0, data=np.zeros((COUNT, 3072), np.uint8))), "no uint8 array of 130 x 768"),
        (pickle.dumps(batch(0, labels=list(range(COUNT)))), "integers from 1 to 1000"),
        (pickle.dumps(batch(0, labels=[0.5] * COUNT)), "integers from 1 to 1000"),
    ],
    ids=["code", "code inside", "cut off", "empty", "a list", "no labels", "floats", "32x32 pixels", "labels from 0", "float labels"],
)
def test_damaged_files_are_refused_in_a_line_and_run_no_code(
    content: bytes, words: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    (root / "train_data_batch_7").write_bytes(content)
    assert main(["train", "ftso_nats_cifar", "--recipe", "nats", "--data", "imagenet16-120", "--root", ".", "--out", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "train_data_batch_7 is no batch of the downsampled ImageNet" in line and words in line
    assert not (root / "written").exists()


def test_missing_files_are_named_with_the_place_where_they_are_from(root: Path) -> None:
    (root / "train_data_batch_10").unlink()
    with pytest.raises(ValueError, match=r"no train_data_batch_10 in .*image-net\.org.*--root FOLDER"):
        load("imagenet16-120", root=root, download=True)
    with pytest.raises(ValueError, match="can't stay on disk"):
        load("imagenet16-120", root=root, in_memory=False)


def test_a_cell_of_nats_bench_trains_on_it(root: Path) -> None:
    """FTSO Table 4, third column, in small."""
    size = ["--cells", "1", "--channels", "4", "--epochs", "1", "--batch-size", "600", "--device", "cpu"]
    data = ["--data", "imagenet16-120", "--root", str(root), "--out", str(root / "run")]
    assert main(["train", "ftso_nats_cifar", "--recipe", "nats", *size, *data]) == 0
    result = json.loads((root / "run" / "result.json").read_text())
    assert result["test"]["images"] == 120 and result["data"]["images"] == 1200 and result["data"]["size"] == [16, 16]
