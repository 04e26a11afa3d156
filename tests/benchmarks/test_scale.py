"""The tables of docs/scale.md and docs/gpu.md are what the commands print; what the cost model says of more GPUs."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import scale, step_cost

DOCS = Path(__file__).parents[2] / "docs"


def test_the_docs_have_the_tables_of_the_commands() -> None:
    assert (DOCS / "scale.md").read_text(encoding="utf-8").endswith("\n".join(scale.lines()) + "\n")
    steps = json.loads(scale.COSTS.read_text(encoding="utf-8"))["steps"]
    table = "\n".join([*step_cost.header(), *(step_cost.line(*item) for item in steps.items())])
    assert table in (DOCS / "gpu.md").read_text(encoding="utf-8") and list(steps) == list(step_cost.ROWS)


def test_the_goals_of_a_step_are_stated_as_they_are() -> None:
    found = json.loads(scale.COSTS.read_text(encoding="utf-8"))["steps"]["PC-DARTS"]["bf16"]
    assert found["GB"] <= 60 and 4000 < found["kernels"] < 5000


def test_more_gpus_shorten_captured_steps_alone() -> None:
    (stage,) = scale.searches()["FTSO"][1]
    captured, eager = scale.Model("bf16", captured=True), scale.Model("bf16", captured=False)
    one, eight = (captured.step(stage, 256, gpus) for gpus in (1, 8))
    assert one / 9 < eight < one / 6
    launches = scale.LAUNCH * captured.costs["FTSO"]["bf16"]["kernels"]
    assert eager.step(stage, 256, 1) == launches < eager.step(stage, 256, 8) < 1.01 * launches
    assert captured.step(stage, 512, 1) == 2 * one
