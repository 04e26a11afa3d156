"""Simulated CUDA from the command line, each run a process of its own.

    python -m tests.simulated_cuda.device GROUP ...     run all cases of the groups; what they did on the device, a line of JSON each

| file | holds |
|---|---|
| stub.py, cuda_stub/ | a CUDA runtime that does nothing, for torch to find |
| watch.py | the device of fake tensors |
| ledger.py | what is noted |
| the others | cases: what is run on the device |
"""

from __future__ import annotations

import argparse
import importlib
import json
import traceback
from typing import Any

from tests.simulated_cuda import stub

GROUPS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {  # the module, and what its `cases` are told
    "known": ("known", (), {}),
    "core": ("steps", ("float32",), {"core": True}),
    "others": ("steps", ("float32",), {"core": False}),
    "lowered": ("steps", ("bf16", "fp16"), {}),
    "searches": ("searches", (), {}),
    "learners": ("learners", (), {}),
    "detector": ("detector", (), {}),
}


def run(group: str) -> dict[str, Any]:
    """What each case of the group did: by part what was noted, and the error that ended it, if one did."""
    from tests.simulated_cuda.watch import SimulatedCuda

    name, told, options = GROUPS[group]
    results: dict[str, Any] = {}
    for title, case in importlib.import_module(f"tests.simulated_cuda.{name}").cases(*told, **options).items():
        error = None
        with SimulatedCuda() as cuda:
            try:
                case(cuda)
            except Exception:
                error = traceback.format_exc()
        results[title] = {"error": error, "parts": {part: ledger.to_dict() for part, ledger in cuda.ledgers.items()}}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Run nasarch on simulated CUDA tensors.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"cases to run: {', '.join(GROUPS)}")
    told = parser.parse_args()
    if unknown := [group for group in told.groups if group not in GROUPS]:
        parser.error(f"unknown group {unknown[0]}")
    if (reason := stub.why_not()) is not None:
        parser.error(reason)
    stub.load()
    for group in told.groups:
        print(json.dumps({group: run(group)}), flush=True)


if __name__ == "__main__":
    main()
