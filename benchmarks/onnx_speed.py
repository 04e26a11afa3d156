"""How much faster the exported files are than PyTorch, as ratios of one run: what `nasarch bench` measures, beside what is to be reached.

| ratio, batch 1 | to be reached |
|---|---|
| PyTorch eager / ONNX float32 | 2 |
| ONNX float32 / ONNX int8 | 1.3 |

All sides take turns in one process, medians. On one thread times are CPU seconds of this process, so that other load disturbs little, else
seconds of the wall. Weights are random and the int8 ranges those of synthetic images, which
changes no speed. Say by --note what else the machine was doing.

    python benchmarks/onnx_speed.py [pc_darts_imagenet] [--threads 1] [--runs 30] [--compile] [--note TEXT] [--out results/onnx-speed.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nasarch.atomic import write_text
from nasarch.export.benchmark import EAGER, BenchmarkReport, bench

TARGETS = {"PyTorch eager / ONNX float32": 2.0, "ONNX float32 / ONNX int8": 1.3}


def ratios(measured: BenchmarkReport) -> dict[str, Any]:
    """The ratios of latencies at batch 1, and of times a batch."""
    rows = {row.name: row for row in measured.rows}
    pairs = {"PyTorch eager / ONNX float32": (EAGER, "ONNX float32"), "ONNX float32 / ONNX int8": ("ONNX float32", "ONNX int8")}
    return {
        name: {
            "batch 1": round(rows[slow].latency_ms / rows[fast].latency_ms, 2),
            f"batch {measured.batch}": round(rows[fast].images_per_second / rows[slow].images_per_second, 2),
            "to be reached at batch 1": TARGETS[name],
        }
        for name, (slow, fast) in pairs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Ratios of the speed of PyTorch, ONNX float32 and ONNX int8.")
    parser.add_argument("model", nargs="?", default="pc_darts_imagenet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile, too, which takes minutes to begin")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    clock = time.process_time if options.threads == 1 else time.perf_counter
    measured = bench(options.model, batch=options.batch, runs=options.runs, threads=options.threads, compiled=options.compile, clock=clock)
    times = "CPU seconds" if options.threads == 1 else "seconds of the wall"
    report = {
        "date": datetime.date.today().isoformat(),
        "note": options.note,
        "times": times,
        "ratios": ratios(measured),
        **asdict(measured),
    }
    print(json.dumps(report, indent=1))
    if options.out:
        write_text(options.out, json.dumps(report, indent=1) + "\n")
    missed = [name for name, found in report["ratios"].items() if found["batch 1"] < TARGETS[name]]
    raise SystemExit(f"not reached: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
