"""COCO's twelve figures, computed here once more from their definition: crowds, area ranges, ties, more detections than count, absences."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from nasarch.export.detection.coco_metrics import EVALUATORS, FIGURES, coco_figures, lines

PACKAGES = [name for name in ("faster_coco_eval", "pycocotools") if find_spec(name)]
OVERLAPS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
AREAS = {"": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
Row = dict[str, Any]


def overlap(found: list[float], true: list[float], crowd: bool) -> float:
    """Intersection over union; of a crowd over the detection alone."""
    width = min(found[0] + found[2], true[0] + true[2]) - max(found[0], true[0])
    height = min(found[1] + found[3], true[1] + true[3]) - max(found[1], true[1])
    shared, own = max(width, 0.0) * max(height, 0.0), found[2] * found[3]
    return shared / (own if crowd else own + true[2] * true[3] - shared)


def judged(found: list[Row], true: list[Row], threshold: float, area: tuple[float, float]) -> tuple[list[tuple[float, bool, bool]], int]:
    """Of one image and class: for each detection score, whether it is right, whether it counts; and how many objects there are to find."""
    objects = sorted(([one, bool(one["iscrowd"]) or not area[0] <= one["area"] <= area[1]] for one in true), key=lambda pair: pair[1])
    taken, result = set[int](), []
    for row in found:
        best, least = None, threshold
        for i, (one, aside) in enumerate(objects):
            if i in taken and not one["iscrowd"]:
                continue
            if best is not None and not objects[best][1] and aside:
                break  # what counts is preferred to what doesn't
            if overlap(row["bbox"], one["bbox"], bool(one["iscrowd"])) >= least:
                best, least = i, overlap(row["bbox"], one["bbox"], bool(one["iscrowd"]))
        if best is None:
            counts = area[0] <= row["bbox"][2] * row["bbox"][3] <= area[1]
        else:
            counts = not objects[best][1]
            taken.add(best)
        result.append((row["score"], best is not None, counts))
    return result, sum(not aside for _, aside in objects)


def precision_and_recall(truth: Row, rows: list[Row], threshold: float, area: tuple[float, float], most: int) -> list[tuple[float, float]]:
    """For each class that has something to find: the mean precision at 101 recalls, and the recall in the end."""
    figures = []
    for category in sorted(one["id"] for one in truth["categories"]):
        seen, objects = list[tuple[float, bool, bool]](), 0
        for image in sorted(one["id"] for one in truth["images"]):
            here = [row for row in rows if row["image_id"] == image and row["category_id"] == category]
            true = [one for one in truth["annotations"] if one["image_id"] == image and one["category_id"] == category]
            some, count = judged(sorted(here, key=lambda row: -row["score"])[:most], true, threshold, area)
            seen, objects = seen + some, objects + count
        if not objects:
            continue
        right = [is_right for _, is_right, counts in sorted(seen, key=lambda one: -one[0]) if counts]
        hits = np.cumsum(right)
        recalls, precisions = hits / objects, hits / np.arange(1, len(right) + 1)
        points = [max(precisions[recalls >= recall], default=0.0) for recall in np.linspace(0, 1, 101)]
        figures.append((float(np.mean(points)), float(recalls[-1]) if len(right) else 0.0))
    return figures


def literally(truth: Row, rows: list[Row]) -> dict[str, float]:
    def mean(which: int, overlaps: list[float], area: str, most: int = 100) -> float:
        found = [pair[which] for one in overlaps for pair in precision_and_recall(truth, rows, one, AREAS[area], most)]
        return float(np.mean(found)) if found else -1.0

    precise = {"AP": mean(0, OVERLAPS, ""), "AP50": mean(0, [0.5], ""), "AP75": mean(0, [0.75], "")}
    precise |= {f"AP{area}": mean(0, OVERLAPS, area) for area in "sml"}
    recalls = {f"AR{most}": mean(1, OVERLAPS, "", most) for most in (1, 10, 100)}
    return precise | recalls | {f"AR{area}": mean(1, OVERLAPS, area) for area in "sml"}


def drawn(seed: int) -> tuple[Row, list[Row]]:
    """Four images, one with nothing in it and one with more detections than count; three classes, one of which is never there."""
    chance = np.random.default_rng(seed)
    images = [{"id": i, "width": 400, "height": 300, "file_name": f"{i}.png"} for i in (4, 9, 2, 7)]
    annotations, rows = list[Row](), list[Row]()
    for image, count in ((4, 7), (9, 5), (7, 3)):
        for _ in range(count):
            side = float(chance.choice([12, 32, 60, 96, 150]))  # 32 and 96 lie on the borders of small, medium and large
            box = [float(chance.integers(0, 200)), float(chance.integers(0, 120)), side, side * float(chance.choice([1, 1, 0.75]))]
            crowd, category = int(chance.random() < 0.2), int(chance.choice([3, 11]))
            about = {"image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3] * (0.9 if crowd else 1)}
            annotations.append({**about, "id": len(annotations) + 50, "iscrowd": crowd})
            for _ in range(int(chance.integers(0, 4))):
                moved = [value + float(chance.normal(0, side / 12)) for value in box]
                rows.append({"image_id": image, "category_id": category, "bbox": moved, "score": float(chance.choice([0.3, 0.6, 0.9]))})
    for image, count in ((2, 3), (9, 4), (4, 110)):
        for _ in range(count):
            box = [float(value) for value in chance.integers(5, 150, 4)]
            rows.append({"image_id": image, "category_id": int(chance.choice([3, 3, 3, 11, 20])), "bbox": box, "score": 0.3})
    order = chance.permutation(len(rows))
    categories = [{"id": number, "name": str(number)} for number in (11, 20, 3)]
    return {"images": images, "annotations": annotations, "categories": categories}, [rows[i] for i in order]


@pytest.mark.parametrize("seed", range(3))
def test_all_figures_are_those_of_the_definition(seed: int) -> None:
    truth, rows = drawn(seed)
    expected = literally(truth, rows)
    assert len({round(value, 3) for value in expected.values()}) > 9 and min(expected.values()) > 0
    before = json.dumps([truth, rows])
    for package in PACKAGES:
        found = coco_figures(truth, rows, package)
        assert [*found] == [*FIGURES] and found == pytest.approx(expected, abs=1e-9), package
    assert json.dumps([truth, rows]) == before, "what is evaluated isn't changed"


def case(*boxes: list[float], **more: Any) -> Row:
    annotations = [{"image_id": 1, "category_id": 5, "bbox": box, **more} for box in boxes]
    return {
        "images": [{"id": 1, "width": 900, "height": 900, "file_name": "a"}],
        "categories": [{"id": 5, "name": "x"}],
        "annotations": annotations,
    }


def row(box: list[float], score: float = 0.5) -> Row:
    return {"image_id": 1, "category_id": 5, "bbox": box, "score": score}


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(("side", "ranges"), [(31.9, "s"), (32.0, "sm"), (32.1, "m"), (95.9, "m"), (96.0, "ml"), (96.1, "l")])
def test_a_box_is_small_up_to_32_and_large_from_96_pixels_a_side(package: str, side: float, ranges: str) -> None:
    """Where the file says no area it is the box's; one that it says counts instead."""
    found = coco_figures(case([10.0, 10.0, side, side]), [row([10.0, 10.0, side, side])], package)
    assert {area for area in "sml" if found[f"AP{area}"] == pytest.approx(1)} == {*ranges}
    assert {area for area in "sml" if found[f"AR{area}"] == -1} == {*"sml"} - {*ranges}
    told = coco_figures(case([10.0, 10.0, side, side], area=5.0), [row([10.0, 10.0, side, side])], package)
    assert [told[f"AP{area}"] for area in "sml"] == [pytest.approx(1), -1, -1]


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(("width", "thresholds"), [(50.1, 1), (49.9, 0), (75.1, 6), (74.9, 5), (95.1, 10)])
def test_an_overlap_counts_from_its_threshold_on(package: str, width: float, thresholds: int) -> None:
    """A detection that covers so many hundredths of an object."""
    found = coco_figures(case([0.0, 0.0, 100.0, 100.0]), [row([0.0, 0.0, width, 100.0])], package)
    assert found["AP"] == pytest.approx(thresholds / 10) and found["AP50"] == pytest.approx(int(thresholds > 0))
    assert found["AP75"] == pytest.approx(int(thresholds > 5)) and found["AR1"] == pytest.approx(thresholds / 10)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    ("before", "recalled"), [(0, (1, 1, 1)), (1, (0, 1, 1)), (9, (0, 1, 1)), (10, (0, 0, 1)), (99, (0, 0, 1)), (100, (0, 0, 0))]
)
def test_of_an_image_the_best_1_10_and_100_detections_count(package: str, before: int, recalled: tuple[int, ...]) -> None:
    """So many that are wrong are surer than the right one."""
    wrong = [row([300.0, 300.0, 50.0, 50.0 + i], 0.9) for i in range(before)]
    found = coco_figures(case([0.0, 0.0, 50.0, 50.0]), [*wrong, row([0.0, 0.0, 50.0, 50.0], 0.8)], package)
    assert tuple(found[f"AR{most}"] for most in (1, 10, 100)) == pytest.approx(recalled)
    assert found["AP"] == pytest.approx(recalled[2] / (before + 1))


@pytest.mark.parametrize("package", PACKAGES)
def test_detections_in_a_crowd_are_neither_right_nor_wrong(package: str) -> None:
    known = case([0.0, 0.0, 50.0, 50.0])
    known["annotations"] += case([100.0, 0.0, 200.0, 200.0], iscrowd=1)["annotations"]
    inside = [row([110.0 + 20 * i, 10.0, 30.0, 30.0], 0.9) for i in range(3)]
    right = row([0.0, 0.0, 50.0, 50.0], 0.5)
    assert coco_figures(known, [*inside, right], package)["AP"] == pytest.approx(1)
    assert coco_figures(known, [row([600.0, 10.0, 30.0, 30.0], 0.9), right], package)["AP"] == pytest.approx(0.5)
    known["annotations"][1]["iscrowd"] = 0
    assert coco_figures(known, [*inside, right], package)["AP"] < 0.2
    nothing_found, crowd_alone = coco_figures(known, [], package), coco_figures(case([0.0, 0.0, 9.0, 9.0], iscrowd=1), [right], package)
    assert nothing_found["AP"] == nothing_found["AR100"] == 0 and {*crowd_alone.values()} == {-1}


def test_the_quick_package_is_taken_first_and_figures_are_told_in_percent() -> None:
    assert [*EVALUATORS] == ["faster_coco_eval", "pycocotools"]
    told = dict.fromkeys(FIGURES, -1.0) | {"AP": 0.12345, "APs": 0.0}
    said = lines(told)
    assert said[0] == "AP     12.35 %  IoU 0.50:0.95" and said[3].startswith("APs     0.00 %") and len(said) == 12
    assert said[1] == "AP50       -    IoU 0.50"
