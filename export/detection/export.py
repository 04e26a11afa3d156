"""Export of a trained detector: one checked ONNX file, or a folder for the Hub that stands alone.

| file | holds |
|---|---|
| model.safetensors | the weights, float32; no pickle anywhere |
| config.json | the design: backbone with its genotype as plain JSON, head, size, classes, thresholds |
| genotype.json, cells.png, cells.svg | the cells, if the backbone is made of cells |
| onnx/model.onnx | images in, boxes out; checked against PyTorch |
| README.md | the card, with COCO's figures if the training has them |

`load(DIR)` gives the detector back; before the folder gets its name, that has to find exactly what the original finds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torchvision.models.detection.ssd import SSD

from nasarch.atomic import atomic_path, new_folder
from nasarch.cells.genotype import Genotype, public_genotype
from nasarch.console import command_line
from nasarch.drawing.draw import draw
from nasarch.export.errors import ExportError
from nasarch.export.onnx.graph import IR_VERSION, OPSET
from nasarch.export.onnx.session import latencies, open_session
from nasarch.export.ssd.check import SsdAgreement, compare, run, sample_batches
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import cost, load, save
from nasarch.export.ssd.graph import OUTPUTS, Detections, graph
from nasarch.models.source import read_json

from .card import card


@dataclass(frozen=True, kw_only=True)
class SsdReport:
    """Report of an export and of its check; latencies are medians in milliseconds at batch 1 on `threads` CPU threads."""

    path: Path
    design: Design
    size_bytes: int
    agreement: SsdAgreement
    torch_ms: float
    onnx_ms: float
    threads: int

    def __str__(self) -> str:
        design, is_file = self.design, self.path.suffix == ".onnx"
        results = f"{design.detections} at most, {len(design.class_names)} classes"
        lines = [
            f"{self.path}: SSD on {design.network}, {design.size}x{design.size}, {self.size_bytes / 1e6:.1f} MB",
            f"pixels uint8 [batch, height, width, 3] -> {', '.join(OUTPUTS)}: {results}",
            f"opset {OPSET}, IR version {IR_VERSION}; score above {design.score_threshold:g}, NMS at {design.nms_threshold:g}",
            f"checked in onnxruntime {onnxruntime.__version__}: {self.agreement}",
            f"latency at batch 1 on {self.threads} CPU thread(s): torchvision {self.torch_ms:.1f} ms, onnxruntime {self.onnx_ms:.1f} ms "
            f"({self.torch_ms / self.onnx_ms:.1f}x)",
        ]
        upload = (
            f"load: nasarch.export.ssd.load({str(self.path)!r}); upload: {command_line('export', 'hub', self.path, '--push', 'OWNER/NAME')}"
        )
        return "\n".join(lines if is_file else [*lines, upload])


def export_ssd(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    score: float = 0.05,
    nms: float | None = None,
    detections: int | None = None,
) -> SsdReport:
    """Write the detector in `checkpoint` to `out`: a file if that ends in .onnx, else a folder, new or empty, for the Hub.

    Args:
        score: the file's score threshold; the folder's config keeps that of the training.
        nms: its NMS threshold; by default the training's.
        detections: at most so many in an image; by default as trained.

    Raises:
        ValueError: no detector there, an illegal threshold, a path that can't be written, or a check that fails; then nothing is left.
    """
    given = {"score_threshold": score, "nms_threshold": nms, "detections": detections}
    thresholds = {name: value for name, value in given.items() if value is not None}
    if Path(out).suffix != ".onnx":
        return _write_folder(checkpoint, Path(out), thresholds)
    return write_onnx(load(checkpoint, **thresholds), Path(out))


def write_onnx(model: SSD, path: Path) -> SsdReport:
    """Write `model`, in evaluation mode on the CPU, as one ONNX file that finds what it finds.

    Raises:
        ExportError: torch can't export it, or onnxruntime finds something else.
        ValueError: `path` can't be written.
    """
    batches = sample_batches(model.design.size)
    with atomic_path(path) as temporary, torch.autocast("cpu", enabled=False):
        temporary.touch()  # a path that can't be written is known before the slow part
        onnx.save(graph(Detections(model)), temporary)
        session = open_session(temporary)
        agreement = compare(model, session, batches)
        if not agreement.holds:
            remedy = "try other versions of torch and onnxruntime"
            raise ExportError(f"refused: onnxruntime finds something else than torchvision: {agreement}; {remedy}")
        image = batches[0]
        eager = [*(image.permute(0, 3, 1, 2).float() / 255)]
        torch_ms, onnx_ms = latencies(lambda: model(eager), lambda: run(session, image))
        return SsdReport(
            path=path,
            design=model.design,
            size_bytes=temporary.stat().st_size,
            agreement=agreement,
            torch_ms=torch_ms,
            onnx_ms=onnx_ms,
            threads=torch.get_num_threads(),
        )


def _write_folder(checkpoint: str | os.PathLike[str], out: Path, thresholds: Mapping[str, float]) -> SsdReport:
    """Write the folder `out`; the thresholds are those of the ONNX file in it."""
    model = load(checkpoint)
    if model.design.genotype is not None:  # without paths of this machine in its provenance
        public = public_genotype(Genotype.from_dict(model.design.genotype)).to_dict()
        model.design = replace(model.design, arguments={**(model.design.arguments or {}), "genotype": public})
    with new_folder(out) as folder:
        save(model, folder)
        if model.design.genotype is not None:
            for suffix in ("png", "svg"):
                draw(Genotype.from_dict(model.design.genotype), folder / f"cells.{suffix}")
        (folder / "onnx").mkdir()
        report = write_onnx(load(folder, **thresholds), folder / "onnx" / "model.onnx")
        _check_twin(model, load(folder))
        weights = (folder / "model.safetensors").read_bytes()
        text = card(model.design, cost(model), report.agreement, thresholds["score_threshold"], _result(checkpoint), weights)
        (folder / "README.md").write_text(text, encoding="utf-8")
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return replace(report, path=out, size_bytes=size_bytes)


@torch.inference_mode()
def _check_twin(model: SSD, twin: SSD) -> None:
    for batch in sample_batches(model.design.size):
        images = [*(batch.permute(0, 3, 1, 2).float() / 255)]
        for own, copied in zip(model(images), twin(images), strict=True):
            if not all(torch.equal(own[name], copied[name]) for name in own):
                raise ExportError("the detector that was written finds something else; look for NaN in its weights, else report it")


def _result(checkpoint: str | os.PathLike[str]) -> Mapping[str, Any] | None:
    """Result of `nasarch detect train`, if `checkpoint` is its folder."""
    result = read_json(Path(checkpoint) / "result.json")
    return result if isinstance(result, dict) and isinstance(result.get("val"), dict) else None
