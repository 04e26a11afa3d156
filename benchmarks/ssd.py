"""Milliseconds of a detector from image to boxes: torchvision's SSD in PyTorch, and the same exported to ONNX, interleaved in one run.

Both get a uint8 image of 640x480 pixels and give boxes in its pixels, NMS done: the ONNX graph as `nasarch export ssd` writes it, and
torchvision's model with what has to be done before it (to float, channels first). On one thread CPU time is taken, else wall clock. The
score threshold is that of the exported file (0.05), for both. Random weights give scores that all lie around 1 / classes, far from what a
trained detector says, so that NMS would be measured on boxes that nobody sees: give a trained detector with --checkpoint, else the
background is made likelier until about as many candidates are left as a trained one has.

    python benchmarks/ssd.py [--checkpoint RUN] [--backbone pc_darts_imagenet] [--rounds 20] [--threads 1] [--out results/ssd.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
import torchvision

from nasarch.atomic import write_text
from nasarch.export.onnx.session import open_session
from nasarch.export.samples import sample_pixels
from nasarch.export.ssd.check import run
from nasarch.export.ssd.detector import cost, load, ssd
from nasarch.export.ssd.graph import Detections, graph

SCORE = 0.05
CLASSES = 91
CANDIDATES = 1000  # boxes of all classes above the score threshold that a trained detector has in an image of COCO, of the order


def detector(checkpoint: Path | None, backbone: str, size: int) -> Any:
    """The trained detector, or one with random weights and plausible scores."""
    if checkpoint is not None:
        return load(checkpoint, score_threshold=SCORE)
    torch.manual_seed(0)
    model = ssd(backbone, CLASSES, size=size)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # so that one pass gives it the statistics of images
    with torch.no_grad():
        model.train().head([*model.backbone(sample_pixels(4, 3, size, size).permute(0, 3, 1, 2).float() / 64 - 2).values()])
    model.score_thresh, model.design = SCORE, replace(model.design, score_threshold=SCORE)
    return quietened(model.eval())


@torch.inference_mode()
def quietened(model: Any) -> Any:
    """The detector with the background made likelier, until `CANDIDATES` scores are above the threshold."""
    logits = Detections(model).raw(sample_pixels(1, 3, 480, 640))["cls_logits"].squeeze(0)
    spread = 4 / logits.std()  # a trained detector is surer
    low, high = 0.0, 60.0
    for _ in range(30):
        middle = (low + high) / 2
        shifted = logits * spread
        shifted[:, 0] += middle
        low, high = (middle, high) if (shifted.softmax(-1)[:, 1:] > SCORE).sum() > CANDIDATES else (low, middle)
    for block in model.head.classification_head.module_list:
        last = block[-1]
        last.weight.mul_(spread)
        last.bias.mul_(spread)
        last.bias[0::CLASSES] += high
    return model


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each; three rounds warm up. On one thread CPU time, which others on the machine don't change so much."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 3):
        for name, call in calls.items():
            start = clock()
            call()
            if turn >= 3:
                times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


@torch.inference_mode()
def measure(model: Any, rounds: int) -> dict[str, Any]:
    """Both, for one image and for four."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(graph(Detections(model)), path)
        session, size = open_session(path), path.stat().st_size
    report: dict[str, Any] = {"megabytes": round(size / 1e6, 1)}
    for batch in (1, 4):
        pixels = sample_pixels(batch, 3, 480, 640)
        times = interleaved(
            {
                "torchvision": lambda pixels=pixels: model([*(pixels.permute(0, 3, 1, 2).float() / 255)]),  # type: ignore[misc]
                "onnxruntime": lambda pixels=pixels: run(session, pixels),  # type: ignore[misc]
            },
            rounds,
        )
        report[f"batch {batch}"] = {
            "milliseconds": {name: round(value, 1) for name, value in times.items()},
            "ratio": round(times["torchvision"] / times["onnxruntime"], 2),
            "detections": [len(found["scores"]) for found in run(session, pixels)],
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description="Milliseconds from image to boxes: torchvision's SSD, and its ONNX form.")
    parser.add_argument("--checkpoint", type=Path, help="the folder of a trained detector")
    parser.add_argument("--backbone", default="pc_darts_imagenet")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = detector(options.checkpoint, options.backbone, options.size)
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "processor": platform.processor() or platform.machine(),
        "threads": options.threads,
        "clock": "CPU time" if options.threads == 1 else "wall",
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "onnxruntime": onnxruntime.__version__,
        "detector": f"{options.checkpoint.name if options.checkpoint else options.backbone}, {model.design.size}x{model.design.size}",
        "classes": len(model.design.class_names),
        "multi_adds": cost(model).multi_adds,
        **measure(model, options.rounds),
    }
    for name, value in report.items():
        print(f"{name:14} {value}")
    if options.out:
        write_text(options.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
