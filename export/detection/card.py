"""The README of a detector on the Hub: what it is, how to use it, what was measured with these weights, whom to cite."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import timm
from huggingface_hub import EvalResult, ModelCardData

import nasarch
from nasarch.cells.genotype import Genotype
from nasarch.export.hub.card import bibtex, data_sets, origin, paper_tags, table
from nasarch.export.source.origin import public
from nasarch.export.ssd.backbone import RANDOM, TIMMS
from nasarch.export.ssd.check import SsdAgreement
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import DetectorCost, millions

from .coco_metrics import FIGURES

TAGS = ["object-detection", "ssd", "nasarch", "neural-architecture-search", "onnx"]
UNNAMED = "OWNER/NAME"
SSD_PAPER = "1512.02325"


def card(
    design: Design, cost: DetectorCost, agreement: SsdAgreement, score: float, result: Mapping[str, Any] | None, weights: bytes
) -> str:
    """The README: metadata in YAML, then Markdown.

    Args:
        score: the ONNX file's score threshold; the design's is that of the training.
        result: what `nasarch detect train` left in result.json, if that is known.
        weights: the content of model.safetensors.
    """
    genotype = None if design.genotype is None else Genotype.from_dict(design.genotype)
    about, licence = {} if genotype is None else genotype.provenance, _licence(design, result)
    parts = [
        f"---\n{_metadata(design, about, licence, result).to_yaml()}\n---",
        f"# SSD on {public(design.network)}",
        f"An SSD detector whose backbone is {public(design.network)}, as a safetensors file and an ONNX file.",
        *(() if genotype is None else ("![The cells](cells.png)",)),
        f"## Model\n\n{table(('', ''), _model(design, cost, agreement, score, weights))}",
        f"## Use\n\n{_use(design)}",
        f"## Measured with these weights\n\n{_measured(result)}",
        *(() if genotype is None else (f"## Where the cells come from\n\n{origin(genotype)}",)),
        f"## Licence and citation\n\n{_citation(about, licence)}",
    ]
    return "\n\n".join(parts) + "\n"


# ---- metadata


def _metadata(design: Design, about: Mapping[str, Any], licence: str | None, result: Mapping[str, Any] | None) -> ModelCardData:
    evaluations = [*_evaluations(result)]
    return ModelCardData(
        library_name="nasarch",
        pipeline_tag="object-detection",
        license=licence,
        tags=[*TAGS, f"arxiv:{SSD_PAPER}", *paper_tags(about)],
        datasets=data_sets(*_data(result), about.get("searched_on")),
        metrics=["map"],
        model_name=f"SSD on {public(design.network)}" if evaluations else None,
        eval_results=evaluations or None,
    )


def _licence(design: Design, result: Mapping[str, Any] | None) -> str | None:
    """That of the backbone's first weights, where timm knows them; None for weights from elsewhere."""
    if (result or {}).get("began_with") not in (RANDOM, TIMMS) or not timm.is_model(design.backbone):
        return None
    return getattr(timm.get_pretrained_cfg(design.backbone), "license", None)


def _data(result: Mapping[str, Any] | None) -> list[str]:
    """What it was evaluated on and trained on, such as bccd/val and bccd/train."""
    parts = [(result or {}).get(key) for key in ("val", "data")]
    return [public(str(part["name"])) for part in parts if isinstance(part, Mapping) and part.get("name")]


def _evaluations(result: Mapping[str, Any] | None) -> Iterator[EvalResult]:
    name = next(iter(_data({"val": (result or {}).get("val")})), "unnamed data")
    for figure, value in _figures(result):
        if value >= 0:
            yield EvalResult(
                task_type="object-detection",
                dataset_type=name,
                dataset_name=name,
                metric_type=figure.lower(),
                metric_name=f"{figure} ({FIGURES[figure]}), %",
                metric_value=round(100 * value, 2),
            )


def _figures(result: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """COCO's that were measured, 0 to 1; -1 where there was nothing to find."""
    val = (result or {}).get("val") or {}
    return [(name, val[name]) for name in FIGURES if isinstance(val.get(name), (int, float))]


# ---- what it is


def _model(design: Design, cost: DetectorCost, agreement: SsdAgreement, score: float, weights: bytes) -> Iterable[tuple[str, str]]:
    names = ", ".join(design.class_names[:20]) + (", ..." if len(design.class_names) > 20 else "")
    yield "backbone", f"`{design.backbone}`" + ("" if design.genotype is None else f": {public(design.network)}")
    yield "images", f"any size; resized to {design.size} x {design.size}"
    yield "classes", f"{len(design.class_names)}: {names}"
    yield "heads", f"{design.head}, extra maps of {', '.join(map(str, design.extras))} channels"
    whole, backbone = (millions(number) for number in (cost.multi_adds, cost.backbone_multi_adds))
    yield "multi-adds", f"{whole}, of which the backbone's are {backbone} (convolutions and linear layers)"
    yield "parameters", f"{cost.parameters:,}"
    yield "ONNX", f"`onnx/model.onnx`, NMS inside, scores above {score:g}; compared with torchvision's SSD: {agreement}"
    yield "sha256 of model.safetensors", f"`{hashlib.sha256(weights).hexdigest()}`"
    yield "written by", f"nasarch {nasarch.__version__}"


def _use(design: Design) -> str:
    return f"""In Python, with `pip install nasarch`:

```python
from nasarch.export.ssd.detector import load

model = load("hf-hub:{UNNAMED}")  # or a folder with a copy of this one
(found,) = model([image])  # float [3, H, W], levels 0 to 1: found["boxes"], ["scores"], ["labels"]
names = model.design.class_names  # of the labels 1 to {len(design.class_names)}
```

The ONNX file needs onnxruntime alone. It takes images of any size as they are, several of one size at once; rows beyond `count` are zeros.

```python
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("onnx/model.onnx")
pixels = np.asarray(Image.open("image.jpg").convert("RGB"))[None]  # uint8 [batch, height, width, 3]
count, boxes, scores, labels = session.run(None, {{"pixels": pixels}})
```

In Python scores are above {design.score_threshold:g}; `load(..., score_threshold=0.3)` leaves weaker detections out. On the command line:
`nasarch detect predict hf-hub:{UNNAMED} IMAGE -o OUT`."""


def _measured(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "Nothing is known."
    val, settings = result["val"], result.get("settings", {})
    rows = [(name, f"{100 * value:.2f} %" if value >= 0 else "-", FIGURES[name]) for name, value in _figures(result)]
    data = next(iter(_data({"data": result.get("data")})), "unnamed data")
    budget = f"{settings.get('epochs')} epochs of batch {settings.get('batch_size')} on {data}, seed {result.get('seed')}"
    place = "".join(f" of {name}" for name in _data({"val": val}))
    read = f"COCO's figures on {val.get('images')} images{place}, read once, by {val.get('evaluator')}"
    where = f"{result.get('seconds')} s on {result.get('device')}"
    return f"{read}; {budget}, {where}.\n\n{table(('figure', 'value', ''), rows)}"


def _citation(about: Mapping[str, Any], licence: str | None) -> str:
    cells = bibtex(about)
    cited = (
        f"Licence: {licence or 'not stated'}. The detector: Liu et al., *SSD: Single Shot MultiBox Detector*, ECCV 2016, arXiv {SSD_PAPER}."
    )
    return cited if cells is None else f"{cited} The cells:\n\n{cells}"
