"""The whole line in one go, on data that comes with scikit-learn: search, genotype, picture, timm model, profile, checked ONNX file."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path


def demo(*, out: Path | None = None) -> None:
    """Search on the embedded digits, build the model, profile and export it: the whole line, in about a minute.

    Args:
        out: a new folder for the results; by default one below runs/.
    """
    import timm
    from rich.console import Console
    from rich.table import Table

    from nasarch.cells.genotype import Genotype
    from nasarch.drawing.draw import draw
    from nasarch.drawing.text import text
    from nasarch.export.onnx.float32 import export_onnx
    from nasarch.models.profile import profile_model
    from nasarch.search.recipes.ftso import Ftso
    from nasarch.search.runs.command import search_with
    from nasarch.search.runs.options import SearchOptions

    folder = out or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    console = Console()
    start = time.perf_counter()

    console.rule("1. nasarch search ftso --data digits")
    search_with("ftso", Ftso(), SearchOptions(data="digits", out=folder))
    genotype = Genotype.load(folder / "genotype.json")
    searched = time.perf_counter() - start

    console.rule(f"2. nasarch show {folder / 'genotype.json'}")
    print(text(genotype))
    picture = draw(genotype, folder / "cell.svg")

    console.rule("3. a timm model of it, its profile, and an ONNX file checked against it")
    model = timm.create_model("nas_cifar", genotype=str(folder / "genotype.json")).eval()
    profile = profile_model(model, runs=5)
    report = export_onnx(model, folder / "model.onnx")
    print(report)

    summary = Table(title="summary", title_justify="left", show_header=False)
    for name, value in {
        "search": f"FTSO, 1 epoch on the digits, {searched:.0f} s",
        "genotype": folder / "genotype.json",
        "picture": picture,
        "model": "nas_cifar, 20 cells, 36 channels, weights not trained",
        "parameters": f"{profile.parameters:,}",
        "multi-adds": f"{profile.multi_adds / 1e6:.1f} M (fvcore, convolutions and linear layers)",
        "latency": f"PyTorch {report.torch_ms:.1f} ms, onnxruntime {report.onnx_ms:.1f} ms at batch 1",
        "ONNX": f"{report.path}, {report.size_bytes / 1e6:.1f} MB, logits within {report.agreement.relative}",
        "time": f"{time.perf_counter() - start:.0f} s in all",
    }.items():
        summary.add_row(name, str(value))
    console.print(summary, soft_wrap=True)
