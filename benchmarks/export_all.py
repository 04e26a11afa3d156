"""Every model of the zoo as ONNX: is the file right, and how large is it? Prints the table of docs/export/all_models.md.

Each model is exported at its own size, with the weights that `nasarch export onnx NAME` gives it (the package's, or random ones), into a
temporary folder, and refused as there if its logits are not PyTorch's. Difference and what is allowed are in units of how much a logit
varies between images; the allowance is ten times what rounding does to PyTorch's own float32 logits, or 1e-4 if that is more.

    python benchmarks/export_all.py ['pc_darts_*'] [--out results/export-all.json] [--table table.md]
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

import nasarch
from nasarch.atomic import write_text
from nasarch.export.onnx.float32 import checked
from nasarch.export.source.find import find_model

COLUMNS = ("model", "image", "MB", "nodes", "difference", "allowed")


def measured(name: str, folder: Path) -> dict[str, Any]:
    """What the export of model `name` says, or why there is none."""
    start, path = time.perf_counter(), folder / f"{name}.onnx"
    try:
        found = checked(find_model(name).model)
        found.save(path)
    except ValueError as error:
        return {"model": name, "error": str(error)}
    seen, unit, size_bytes = found.agreement, found.agreement.scale, path.stat().st_size
    path.unlink()
    return {
        "model": name,
        "size": found.shape[1],
        "bytes": size_bytes,
        "nodes": len(found.proto.graph.node),
        "difference": seen.difference / unit,
        "allowed": seen.tolerance / unit,
        "seconds": round(time.perf_counter() - start, 1),
    }


def row(found: dict[str, Any]) -> tuple[str, ...]:
    if "error" in found:
        return (f"`{found['model']}`", found["error"], *[""] * (len(COLUMNS) - 2))
    sizes = f"{found['size']}", f"{found['bytes'] / 1e6:.1f}", f"{found['nodes']}"
    return (f"`{found['model']}`", *sizes, f"{found['difference']:.1e}", f"{found['allowed']:.1e}")


def table(rows: list[dict[str, Any]]) -> str:
    rules = ("---", *["---:"] * (len(COLUMNS) - 1))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (COLUMNS, rules, *map(row, rows))) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Export every model to ONNX and print the table of differences and sizes.")
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--table", type=Path, help="Markdown file for the table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in nasarch.list_models(options.pattern):
            rows.append(measured(name, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    if options.table:
        write_text(options.table, table(rows))
    if options.out:
        versions = {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
        machine = {"date": datetime.date.today().isoformat(), "processor": platform.processor() or platform.machine(), **versions}
        write_text(options.out, json.dumps({**machine, "threads": options.threads, "models": rows}, indent=1) + "\n")
    failed = [found["model"] for found in rows if "error" in found]
    raise SystemExit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
