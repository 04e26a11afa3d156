"""The images that a user names are found, prepared as the model says, and parted into those that calibrate and those that judge."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from nasarch.export.onnx.calibration import MAX_CALIBRATION, MAX_HELD_BACK, MIN_IMAGES, Calibration, _drawn, _ImageSet, _Part, calibration
from nasarch.export.onnx.top1_agreement import Top1Agreement, batches, measure_top1
from nasarch.export.onnx.uint8_input import Scaling
from tests.helpers.datasets import as_tar, as_tree, encoded

SHAPE = (3, 16, 16)


def model(**config: Any) -> Any:
    return timm.create_model("ftso_nats_cifar", cells=1, channels=4, num_classes=2, pretrained_cfg_overlay=config)


def classes(count: int, prefix: str = "") -> dict[str, bytes]:
    return {
        f"{prefix}{name}/{i:03}.png": encoded(seed) for seed, (name, i) in enumerate((n, i) for n in ("cat", "dog") for i in range(count))
    }


def found(place: Path, names: Any = None) -> Calibration:
    return calibration(place, model(), SHAPE, names)


@pytest.mark.parametrize("kind", ["flat", "classes", "tar", "parts"])
def test_images_are_found_in_folders_class_folders_and_tar_files(tmp_path: Path, kind: str) -> None:
    if kind == "flat":
        place = as_tree(tmp_path / "images", {f"{i}.png": encoded(i) for i in range(60)})
    elif kind == "parts":
        place = as_tree(tmp_path / "images", {**classes(20, "train/"), **classes(10, "val/")})
    else:
        tree = classes(30)
        place = as_tree(tmp_path / "images", tree) if kind == "classes" else as_tar(tmp_path / "images.tar", tree)
    images = found(place)
    counts = (40, 20) if kind == "parts" else (30, 30)
    assert [(part.dtype, tuple(part.shape)) for part in images[1:3]] == [(torch.uint8, (count, 16, 16, 3)) for count in counts]  # type: ignore[union-attr]
    assert (images.labels is None) == (kind == "flat") and images.source in ("images", "images.tar")
    if images.labels is not None:
        assert images.labels.shape == (counts[1],) and set(images.labels.tolist()) == {0, 1}


def levels(count: int, first: int, folder: str) -> dict[str, bytes]:
    """Images of one level of grey each, so that each can be told from all others."""
    found = {}
    for level in range(first, first + count):
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (level, level, level)).save(file, "png")
        found[f"{folder}/{level:03}.png"] = file.getvalue()
    return found


def seen(pixels: torch.Tensor) -> list[int]:
    """The level of each image, which has one."""
    assert bool((pixels == pixels[:, :1, :1, :1]).all())
    return pixels[:, 0, 0, 0].tolist()


def shuffled(*counts: int) -> list[list[int]]:
    """The drawing: permutations by one generator of seed 0, that of the first part first."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randperm(count, generator=generator).tolist() for count in counts]


def test_the_training_part_calibrates_and_the_test_part_judges(tmp_path: Path) -> None:
    """Dark images in one, light ones in the other; labels are those of the very images that are held back."""
    dark, light = (
        {**levels(12, 1, "train/cat"), **levels(13, 50, "train/dog")},
        {**levels(11, 150, "val/cat"), **levels(10, 200, "val/dog")},
    )
    images = found(as_tree(tmp_path, {**dark, **light}))
    first, second = shuffled(25, 21)
    assert seen(images.calibrating) == [([*range(1, 13)] + [*range(50, 63)])[i] for i in first]
    assert seen(images.held_back) == [([*range(150, 161)] + [*range(200, 210)])[i] for i in second]
    assert images.labels is not None and images.labels.tolist() == [int(level >= 200) for level in seen(images.held_back)]


def test_one_half_of_a_folder_calibrates_and_the_other_judges(tmp_path: Path) -> None:
    images = found(as_tree(tmp_path, {**levels(21, 1, "cat"), **levels(20, 100, "dog")}))
    order = [([*range(1, 22)] + [*range(100, 120)])[i] for i in shuffled(41)[0]]
    assert (seen(images.calibrating), seen(images.held_back)) == (order[:20], order[20:])
    assert images.labels is not None and images.labels.tolist() == [int(level >= 100) for level in order[20:]]
    again = found(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(images[1:], again[1:], strict=True))  # type: ignore[arg-type]


def test_a_folder_of_images_is_taken_in_the_order_of_its_names_without_hidden_ones(tmp_path: Path) -> None:
    as_tree(tmp_path, {f"{name[2:-4]}.PNG": content for name, content in levels(40, 1, ".").items()})
    as_tree(tmp_path, {".hidden.png": encoded(1), "notes.txt": b"none", "below.png/x.png": encoded(2)})
    images, order = found(tmp_path), [i + 1 for i in shuffled(40)[0]]
    assert (seen(images.calibrating), seen(images.held_back), images.labels) == (order[:20], order[20:], None)
    assert images.source == tmp_path.name


@pytest.mark.parametrize(
    ("counts", "used"),
    [
        ((40,), (20, 20)),
        ((39,), None),
        ((41,), (20, 21)),
        ((20, 20), (20, 20)),
        ((19, 20), None),
        ((20, 19), None),
        ((200, 500), (200, 500)),
        ((201, 501), (200, 500)),
        ((199, 499), (199, 499)),
        ((402,), (200, 201)),
        ((1200,), (200, 500)),
    ],
)
def test_so_many_images_are_used(counts: tuple[int, ...], used: tuple[int, int] | None) -> None:
    """At least 20 and 20, at most 200 and 500."""
    parts = [_Part(lambda i: Image.new("RGB", (1, 1)), torch.zeros(count, dtype=torch.int64)) for count in counts]
    what = _ImageSet("many", parts, ())
    if used is None:
        with pytest.raises(ValueError, match="many has (19|20) images to calibrate with and (19|20) to hold back; give 20 or more of each"):
            _drawn(what)
        return
    first, second = _drawn(what)
    assert (len(first), len(second)) == used
    orders = shuffled(*counts)
    half = counts[0] // 2
    expected = (orders[0], orders[1]) if len(counts) == 2 else (orders[0][:half], orders[0][half:])
    assert (first.tolist(), second.tolist()) == (expected[0][:200], expected[1][:500])


@pytest.mark.parametrize(("crop_mode", "bright"), [("center", 0.5), ("squash", 0.25)])
def test_an_image_that_is_no_square_is_cropped_or_squashed_as_the_configuration_says(crop_mode: str, bright: float, tmp_path: Path) -> None:
    """The middle quarter of its width is white: of the centre it is a half."""
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 24:40] = 255
    for i in range(40):
        Image.fromarray(wide).save(tmp_path / f"{i}.png")
    pixels = calibration(tmp_path, model(crop_pct=1.0, interpolation="nearest", crop_mode=crop_mode), SHAPE, None).held_back
    assert pixels.float().mean().item() / 255 == pytest.approx(bright, abs=0.02)


def test_channels_keep_their_order(tmp_path: Path) -> None:
    for i in range(40):
        Image.new("RGB", (16, 16), (250, 100, 10)).save(tmp_path / f"{i}.png")
    assert found(tmp_path).calibrating[3, 5, 7].tolist() == [250, 100, 10]


def test_labels_follow_the_models_names_and_not_the_order_of_the_folders(tmp_path: Path) -> None:
    as_tree(tmp_path, classes(30))
    by_order, by_name = found(tmp_path), found(tmp_path, ["dog", "cat"])
    assert by_order.labels is not None and by_name.labels is not None
    assert torch.equal(by_name.labels, 1 - by_order.labels)
    assert found(tmp_path, ["dog", "fish"]).labels is None, "folders that are no classes of the model say nothing of accuracy"


def test_images_are_resized_and_cropped_as_the_configuration_says(tmp_path: Path) -> None:
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 16:48] = 255  # the middle
    for i in range(2 * MIN_IMAGES):
        Image.fromarray(half).save(tmp_path / f"{i}.png")
    shares = {}
    for crop in (1.0, 0.5):
        pixels = calibration(tmp_path, model(crop_pct=crop, interpolation="nearest"), SHAPE, None).held_back
        shares[crop] = (pixels.float().mean() / 255).item()
    assert shares == {1.0: pytest.approx(0.5, abs=0.1), 0.5: pytest.approx(1.0, abs=0.1)}


def test_a_network_for_gray_images_gets_gray_images(tmp_path: Path) -> None:
    as_tree(tmp_path, {f"{i}.png": encoded(i) for i in range(40)})
    gray = timm.create_model("ftso_nats_cifar", cells=1, channels=4, in_chans=1)
    assert calibration(tmp_path, gray, (1, 8, 8), None).calibrating.shape == (20, 8, 8, 1)
    with pytest.raises(ValueError, match="takes images of 2 channels, which image files don't have"):
        calibration(tmp_path, gray, (2, 8, 8), None)


def test_many_images_are_not_all_used() -> None:
    digits = calibration("digits", model(), (3, 12, 12), list("0123456789"))
    assert len(digits.calibrating) == MAX_CALIBRATION < 1500 and len(digits.held_back) == 297 < MAX_HELD_BACK
    assert digits.labels is not None and len(digits.labels) == 297


MISTAKES: dict[str, tuple[dict[str, bytes], str]] = {
    "no images": ({"notes.txt": b"none"}, "has no images in class folders; expected .*; or a folder of images alone"),
    "too few": (
        {f"{i}.png": encoded(i) for i in range(39)},
        r"has 19 images to calibrate with and 20 to hold back; give 20 or more of each",
    ),
    "no image": ({f"{i}.png": encoded(i) if i else b"no picture" for i in range(40)}, r"0.png can't be read as an image \(.*\); replace"),
    "too few to judge": ({**classes(20, "train/"), **classes(2, "val/")}, "has 40 images to calibrate with and 4 to hold back"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_calibrate_is_refused_in_one_line(tmp_path: Path, mistake: str) -> None:
    tree, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message) as refusal:
        found(as_tree(tmp_path / "images", tree))
    assert "\n" not in str(refusal.value)


def test_a_place_that_is_not_there_or_no_tar_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="there is no .*none.* give a folder of images or class folders, a tar file of them, or one of digits"
    ):
        found(tmp_path / "none")
    (tmp_path / "a.tar").write_bytes(b"no tar file")
    with pytest.raises(ValueError, match="neither a folder nor an undamaged, uncompressed tar file"):
        found(tmp_path / "a.tar")


def test_named_data_that_are_not_here_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="data 'cifar10': no undamaged .* --data cifar10 --download` fetches it, or give a folder"):
        calibration("cifar10", model(), SHAPE, None)


def test_a_judgement_counts_classes_that_stay_and_right_answers() -> None:
    answers = {"exact": torch.tensor([0, 1, 1, 0]), "own": torch.tensor([0, 1, 0, 0])}
    one_hot = {name: torch.nn.functional.one_hot(classes, 2).float() for name, classes in answers.items()}
    exact, own = (lambda _, name=name: one_hot[name] for name in answers)  # type: ignore[misc]
    seen = measure_top1(exact, own, [torch.zeros(4, 3, 2, 2)], "four images", torch.tensor([0, 1, 1, 1]))
    assert seen == Top1Agreement("four images", 4, 0.75, 0.75, 0.5) and not seen.holds
    assert str(seen) == "the class that float32 says for 75.0 % of 4 images of four images, accuracy 50.0 % (float32 75.0 %)"
    assert "accuracy" not in str(measure_top1(exact, own, [torch.zeros(4, 3, 2, 2)], "four images"))


def test_batches_are_what_the_network_sees() -> None:
    pixels = torch.arange(10 * 4 * 4 * 3, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(10, 4, 4, 3)
    scaling = Scaling((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    parts = [*batches(pixels, scaling)]
    assert [len(part) for part in parts] == [8, 2]
    expected = (pixels[3, 1, 2, 1].item() / 255 - 0.2) / 0.6
    assert parts[0][3, 1, 1, 2].item() == pytest.approx(expected, abs=1e-6)
