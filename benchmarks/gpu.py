"""What a GPU has to tell about nasarch, in the order of its worth, for a machine that is at hand for some minutes only.

| stage | tells | file |
|---|---|---|
| data | decodes the images, for the stages that need them | images.py |
| smoke | whether all five methods run in float32, bf16 and fp16; an error is a result | smoke.py |
| exact | loss and all gradients in float64, against the CPU's | exact.py |
| kernels | convolutions of a PC-DARTS step as multiples of the memory floor, which is measured in the same run | kernels.py |
| steps | a step of each method in two memory formats: time, kernels, busy GPU, memory; the literal twin beside | steps.py |
| graph | the same steps as CUDA graphs, and whether they do what the eager ones do | graph.py |
| whole | FTSO's epoch and iteration, PC-DARTS as 2 + 3 epochs and, if time is left, all 50 | whole.py |
| resume | searches stopped and resumed against unbroken ones; the same seed twice | resume.py |
| train | the shallow networks of two genotypes, for as many epochs as fit | train.py |
| export | ONNX from a model on the GPU; a detector's step and prediction there | export.py |

Each stage is a process of its own with a limit of time (driver.py), and each result is written the moment it is had, so that a crash, a
hang, a kill or a lost CUDA context costs what is left of one stage. `--out` gets gpu.json, gpu.md and a file for each training, all of
them below 16 MiB. Float32 is computed without TF32 unless --tf32 is given.

    python benchmarks/gpu.py --data ../shared/data/cifar10-jpeg --budget 540 --out DIR
    python benchmarks/gpu.py --only train --resume DIR --budget 300 --out NEW    (goes on with unfinished trainings)
    python benchmarks/gpu.py --device cpu --small --budget 600 --out DIR         (the rehearsal)
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

if not __package__:
    import checkout  # noqa: F401

from benchmarks.gpu_stages import child
from benchmarks.gpu_stages.context import Context, replace_text
from benchmarks.gpu_stages.driver import Report, Stage, run_stages
from benchmarks.gpu_stages.machine import SWITCHES, about, prepare
from benchmarks.gpu_stages.table import markdown


def _stage(name: str, least: float, most: float = math.inf) -> Stage:
    return Stage(f"benchmarks.gpu_stages.{name}:run", least, most)


DATA = {"data": _stage("images", 5, 60)}
STAGES = {
    "smoke": _stage("smoke", 20, 45),
    "exact": _stage("exact", 10, 25),
    "kernels": _stage("kernels", 10, 40),
    "steps": _stage("steps", 15, 60),
    "graph": _stage("graph", 15, 60),
    "whole": _stage("whole", 20),
    "resume": _stage("resume", 15, 60),
    "train": _stage("train", 30),
    "export": _stage("export", 15, 60),
}
FORMS, PRECISIONS = Context().forms, Context().precisions
NEED_DATA = {"smoke", "whole", "resume", "train"}
CHILD = "--child"


def chosen(names: list[str], *, small: bool) -> dict[str, Stage]:
    """The stages of these names in the order of their worth, after the images if one of them needs some.

    In a rehearsal none has a limit but the least of the others: it is to see the end of each, on a CPU that others may use, too.
    """
    stages = (DATA if NEED_DATA & set(names) else {}) | {name: stage for name, stage in STAGES.items() if name in names}
    return {name: stage._replace(most=math.inf) for name, stage in stages.items()} if small else stages


def measure(context: Context, names: list[str], budget: float) -> Report:
    """Run the stages, their results in the files of `context.out`."""
    machine = about(context) | {"budget": budget}

    def save(report: Report) -> None:
        replace_text(context.out / "gpu.json", json.dumps({"about": machine, "stages": report}, indent=1) + "\n")
        replace_text(context.out / "gpu.md", markdown(machine, report))
        ended = [(name, row) for name, row in report.items() if row["status"] != "running"]
        if ended and ended[-1][0] not in told:
            name, row = ended[-1]
            told.add(name)
            print(f"{name}: {row['status']}, {row['seconds']} s", flush=True)

    told: set[str] = set()
    command = [sys.executable, str(Path(__file__).resolve()), CHILD]
    return run_stages(chosen(names, small=context.small), context, budget=budget, command=command, save=save)


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Returns 0 if every stage came to its end or was skipped for want of time."""
    if sys.argv[1:2] == [CHILD]:
        child.main(sys.argv[2], Path(sys.argv[3]), prepare)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, without a gpu.json so far")
    parser.add_argument("--data", default="digits", help="a name or a path, as for nasarch search")
    parser.add_argument("--budget", type=float, default=480, metavar="SECONDS", help="for all stages")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true", help="everything tiny, to see that it runs")
    parser.add_argument("--tf32", action="store_true", help="let the GPU round the factors of products to 10 bits")
    parser.add_argument("--autotune", action="store_true", help="let cuDNN try its algorithms on each new shape")
    parser.add_argument("--capture", action="store_true", help="searches of smoke and resume, and trainings, run by CUDA graphs")
    parser.add_argument(
        "--cases",
        nargs="+",
        default=(),
        metavar="CASE",
        help="searches and steps of the stages smoke, steps, graph and whole, and how names of kernels begin; by default all",
    )
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="memory formats in which they are")
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="of smoke, steps (no fp16) and graph (no fp16)"
    )
    parser.add_argument("--switched-on", nargs="+", choices=SWITCHES, default=(), help="of captured steps, what is off by default")
    parser.add_argument("--contiguous", action="store_true", help="whole searches in NCHW order (see the figures of `steps` first)")
    parser.add_argument("--epochs", type=int, help="of the trainings; by default as many as the time allows")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="results of an earlier run, whose unfinished trainings go on")
    options = vars(parser.parse_args())
    names, budget = options.pop("only"), options.pop("budget")
    if (options["out"] / "gpu.json").exists():
        parser.error(f"{options['out']} holds results already: give another folder")
    options["out"].mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored where a shell has started this in the background
        signal.signal(number, interrupt)
    try:
        report = measure(Context(**options), names, budget)
    except KeyboardInterrupt:
        print(f"interrupted; the results so far are in {options['out']}")
        return 130
    print((options["out"] / "gpu.md").read_text(encoding="utf-8"))
    return int(any(row["status"] not in ("ok", "skipped") for row in report.values()))


if __name__ == "__main__":
    raise SystemExit(main())
