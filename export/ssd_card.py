"""The README of a detector on the Hub: what it is, how to use it, what was measured with these weights, whom to cite."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from huggingface_hub import ModelCardData

import nasarch
from nasarch.genotype import Genotype

from .detect_eval import FIGURES
from .origin import public
from .ssd import DetectorCost
from .ssd_check import SsdAgreement
from .ssd_design import Design

TAGS = ["object-detection", "ssd", "nasarch", "neural-architecture-search", "onnx"]
UNNAMED = "OWNER/NAME"


def card(
    design: Design, cost: DetectorCost, agreement: SsdAgreement, score: float, result: Mapping[str, Any] | None, weights: bytes
) -> str:
    """The README: metadata in YAML, then Markdown.

    Args:
        score: the ONNX file's score threshold; the design's is that of the training.
        result: what `nasarch detect train` left in result.json, if that is known.
        weights: the content of model.safetensors.
    """
    about = Genotype.from_dict(design.genotype).provenance if design.genotype else {}
    papers = ["arxiv:1512.02325", *([f"arxiv:{about['paper']['arxiv']}"] if "arxiv" in about.get("paper", {}) else [])]
    data = ModelCardData(library_name="nasarch", pipeline_tag="object-detection", license="apache-2.0", tags=[*TAGS, *papers])
    name = Genotype.from_dict(design.genotype).name if design.genotype else design.backbone
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# SSD on {public(name)}",
        f"An SSD detector whose backbone is `{design.backbone}`" + (f" of the cells {public(name)}." if design.genotype else "."),
        f"## Model\n\n{_table(('', ''), _model(design, cost, agreement, score, weights))}",
        f"## Use\n\n{_use(design)}",
        f"## Measured with these weights\n\n{_measured(result)}",
        _citation(about),
    ]
    return "\n\n".join(parts) + "\n"


def _model(design: Design, cost: DetectorCost, agreement: SsdAgreement, score: float, weights: bytes) -> Iterable[tuple[str, str]]:
    names = ", ".join(design.class_names[:20]) + (", ..." if len(design.class_names) > 20 else "")
    yield "images", f"any size; resized to {design.size} x {design.size}"
    yield "classes", f"{len(design.class_names)}: {names}"
    yield "heads", f"{design.head}, extra maps of {', '.join(map(str, design.extras))} channels"
    whole, backbone = (f"{number / 1e6:,.0f} M" for number in (cost.multi_adds, cost.backbone_multi_adds))
    yield "multi-adds", f"{whole}, of which the backbone's are {backbone} (convolutions and linear layers)"
    yield "parameters", f"{cost.parameters:,}"
    yield "ONNX", f"`onnx/model.onnx`, NMS inside, scores above {score:g}; compared with torchvision's SSD: {agreement}"
    yield "sha256 of model.safetensors", f"`{hashlib.sha256(weights).hexdigest()}`"
    yield "written by", f"nasarch {nasarch.__version__}"


def _use(design: Design) -> str:
    return f"""In Python, with `pip install nasarch`:

```python
from nasarch.export.ssd import load

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
    rows = [(name, f"{100 * val[name]:.2f} %" if val[name] >= 0 else "-", text) for name, text in FIGURES.items() if name in val]
    data = public(str(result.get("data", {}).get("name", "unnamed data")))
    budget = f"{settings.get('epochs')} epochs of batch {settings.get('batch_size')} on {data}, seed {result.get('seed')}"
    read = f"COCO's figures on {val.get('images')} images, read once, by {val.get('evaluator')}"
    where = f"{result.get('seconds')} s on {result.get('device')}"
    return f"{read}; {budget}, {where}.\n\n{_table(('figure', 'value', ''), rows)}"


def _citation(about: Mapping[str, Any]) -> str:
    cells = about.get("paper", {}).get("title")
    cited = "Liu et al., *SSD: Single Shot MultiBox Detector*, ECCV 2016" + (f"; for the cells: *{cells}*" if cells else "")
    return f"## Citation\n\n{cited}."


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) + " |" for line in lines)
