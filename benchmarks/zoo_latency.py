"""Latency of every model of the zoo as a ratio to that of a baseline, which takes turns with it: PyTorch eager, one image, one CPU thread.

| images | baseline |
|---|---|
| 32x32 | darts_v2_cifar |
| 224x224 | darts_v2_cifar_224 |

In each turn the model and the baseline run one after the other; a ratio is the median of the turns' ratios. Times are CPU seconds of this
process, so that other load on the machine disturbs little; absolute times are not kept. Weights are random. The ratio of the baseline
itself is measured, too: its distance from 1 shows the noise.

    python benchmarks/zoo_latency.py [--turns 31] [--only PATTERN] [--note TEXT] [--out nasarch/gallery/latency.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

import nasarch
from nasarch.atomic import write_text
from nasarch.latency.timing import processor
from nasarch.models.profile import quartiles

BASELINES = {32: "darts_v2_cifar", 224: "darts_v2_cifar_224"}
WARMUP = 2


@torch.inference_mode()
def ratio(model: nn.Module, baseline: nn.Module, size: int, turns: int) -> dict[str, Any]:
    """Median and quartiles of the ratios of CPU seconds in each turn."""
    image, sides = torch.randn(1, 3, size, size), (model.eval(), baseline.eval())
    seconds = [list[float]() for _ in sides]
    for turn in range(WARMUP + turns):
        for side in (0, 1) if turn % 2 else (1, 0):
            start = time.process_time()
            sides[side](image)
            if turn >= WARMUP:
                seconds[side].append(time.process_time() - start)
    ratios = [one / other for one, other in zip(*seconds, strict=True)]
    return {"ratio": round(statistics.median(ratios), 3), "quartiles": [round(quartile, 3) for quartile in quartiles(ratios)]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of the models of the zoo as ratios to a baseline.")
    parser.add_argument("--turns", type=int, default=31, help="timed turns of a model and its baseline")
    parser.add_argument("--only", default="*", help="pattern of model names, with * and ?")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    baselines = {size: timm.create_model(name) for size, name in BASELINES.items()}
    found: dict[str, Any] = {}
    for name in nasarch.list_models(options.only):
        model = timm.create_model(name)
        size = model.default_cfg["input_size"][-1]
        found[name] = {"baseline": BASELINES[size], **ratio(model, baselines[size], size, options.turns)}
        print(name, found[name], flush=True)
    about = {
        "date": datetime.date.today().isoformat(),
        "measured": "median over the turns of the ratio of CPU seconds of a forward pass without gradients, model to baseline",
        "runtime": "PyTorch eager, float32, batch size 1",
        "device": f"{processor()} ({platform.machine()}), 1 thread",
        "versions": {"nasarch": nasarch.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "turns": options.turns,
        "note": options.note,
    }
    if options.out:
        write_text(options.out, json.dumps({**about, "models": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
