"""The README of a model on the Hub: what it is, how to load it, what was measured, what a paper reports, whom to cite.

Figures that were measured with these weights and figures that a paper reports for its own are never mixed: only the first are
in the metadata, and without trained weights there are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

import nasarch
from nasarch.cells.genotype import Genotype
from nasarch.export.source.labels import known
from nasarch.models.cost import Cost

TAGS = ["image-classification", "timm", "nasarch", "neural-architecture-search", "onnx"]
UNNAMED = "OWNER/NAME"
PLACE = re.compile(r'"hf-hub:([^"]+)"')  # where a card says that its model is
REPORTED = ("test error", "top-1 error", "top-5 error", "test accuracy", "top-1 accuracy")
ACCURACY = ("test accuracy", "top-1 accuracy", "accuracy")
SOURCE = ("repository", "commit", "path", "name", "command", "seed", "seconds", "device")  # of a genotype's provenance


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the card says; `results` were measured with these weights."""

    name: str
    repository: str | None
    genotype: Genotype
    architecture: str
    sizes: Mapping[str, Any]
    config: Mapping[str, Any]
    cost: Cost
    num_classes: int
    class_names: Sequence[str] | None
    random: bool
    trained_on: str | None
    weights_sha256: str
    onnx: str
    results: Sequence[Mapping[str, Any]] = ()


def card(facts: Facts) -> str:
    """The README: metadata in YAML, then Markdown."""
    parts = [
        _opening(facts),
        "![The cells](cells.png)",
        f"## Model\n\n{table(('', ''), _model(facts))}",
        f"## Use\n\n{_use(facts)}",
        f"## Measured with these weights\n\n{_measured(facts)}",
        *_reported(facts.genotype.provenance),
        f"## Where the cells come from\n\n{origin(facts.genotype)}",
        f"## Licence and citation\n\n{_citation(facts)}",
    ]
    return f"---\n{_metadata(facts).to_yaml()}\n---\n\n# {facts.name}\n\n" + "\n\n".join(parts) + "\n"


# ---- metadata


def _metadata(facts: Facts) -> ModelCardData:
    about = facts.genotype.provenance
    return ModelCardData(
        license=facts.config.get("license"),
        library_name="timm",
        pipeline_tag="image-classification",
        tags=[*TAGS, *paper_tags(about)],
        datasets=data_sets(facts.trained_on, about.get("searched_on")),
        metrics=["accuracy"],
        model_name=facts.name if facts.results else None,
        eval_results=[*_evaluations(facts)] or None,
    )


def paper_tags(about: Mapping[str, Any]) -> list[str]:
    """By which the Hub links the paper of a genotype's provenance."""
    return [f"arxiv:{about['paper']['arxiv']}"] if "arxiv" in about.get("paper", {}) else []


def data_sets(*names: str | None) -> list[str] | None:
    """What the Hub calls them, those that it has."""
    found = [data.hub for data in map(known, filter(None, names)) if data is not None and data.hub is not None]
    return list(dict.fromkeys(found)) or None


def _evaluations(facts: Facts) -> Iterator[EvalResult]:
    for result in facts.results:
        data = known(result["dataset"])
        kind = "accuracy" if result["metric"] in ACCURACY else result["metric"].replace(" ", "_")
        yield EvalResult(
            task_type="image-classification",
            dataset_type=data.hub if data is not None and data.hub is not None else result["dataset"],
            dataset_name=result["dataset"],
            metric_type=kind,
            metric_name=result["metric"],
            metric_value=result["value"],
        )


# ---- what it is


def _opening(facts: Facts) -> str:
    about = facts.genotype.provenance
    method, data = about.get("method"), about.get("searched_on")
    cells = f"cells of {facts.genotype.name}" + (f", found by {method}" if method else "") + (f" on {_title(data)}" if data else "")
    lines = [f"An image classifier made of the {cells}, as a timm model, a safetensors file and an ONNX file."]
    if facts.random:
        lines.append("> **The weights are random.** This is an architecture to be trained: its logits mean nothing.")
    return "\n\n".join(lines)


def _model(facts: Facts) -> Iterator[tuple[str, str]]:
    config, names = facts.config, facts.class_names
    channels, height, width = config["input_size"]
    yield "timm architecture", f"`{facts.architecture}`, {', '.join(f'{key} {value}' for key, value in facts.sizes.items())}"
    yield "parameters", f"{facts.cost.parameters:,}"
    yield "multi-adds", f"{facts.cost.multi_adds / 1e6:.1f} M (convolutions and linear layers, one image)"
    yield "images", f"{channels} x {height} x {width}, {config['interpolation']}, crop {config['crop_pct']:g}"
    yield "mean, std", f"{_numbers(config['mean'])}; {_numbers(config['std'])}"
    yield "classes", f"{facts.num_classes}" + ("" if names is None else f": {', '.join(names[:10])}{', ...' * (len(names) > 10)}")
    trained = f"trained on {facts.trained_on}" if facts.trained_on else "trained, on what is not stated"
    yield "weights", "random" if facts.random else trained
    yield "sha256 of model.safetensors", f"`{facts.weights_sha256}`"
    yield "ONNX", f"`onnx/model.onnx`: {facts.onnx}"
    yield "written by", f"nasarch {nasarch.__version__}"


def _use(facts: Facts) -> str:
    place = facts.repository or UNNAMED
    channels, height, width = facts.config["input_size"]
    return f"""`import nasarch` comes first: it makes the architecture known to timm, which otherwise says "Unknown model".

```bash
pip install nasarch
```

```python
import nasarch
import timm

model = timm.create_model("hf-hub:{place}", pretrained=True).eval()  # or "local-dir:FOLDER" with a copy of this one
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
logits = model(transform(image).unsqueeze(0))  # a PIL image
```

Feature maps: `timm.create_model("hf-hub:{place}", pretrained=True, features_only=True)`; other classes: `num_classes=...`.

In transformers:

```python
import nasarch
from transformers import AutoImageProcessor, AutoModelForImageClassification

processor = AutoImageProcessor.from_pretrained("{place}")
model = AutoModelForImageClassification.from_pretrained("{place}")
```

The ONNX file needs neither: input `pixel_values` [batch, {channels}, {height}, {width}], scaled as in the table above, output `logits`."""


# ---- figures


def _measured(facts: Facts) -> str:
    if facts.random:
        return "Nothing: the weights are random."
    if not facts.results:
        return "No accuracy is stated: none came with the weights."
    rows = [(r["dataset"], r["metric"], _value(r), _conditions(r) or "not stated") for r in facts.results]
    return table(("data set", "metric", "value", "budget and seeds"), rows)


def _conditions(result: Mapping[str, Any]) -> str:
    """What a result cost and hangs on."""
    given = [str(result[key]) for key in ("budget", "note") if key in result]
    return "; ".join(given + [f"{key} {result[key]}" for key in ("epochs", "seed", "seeds", "runs") if result.get(key) is not None])


def _value(result: Mapping[str, Any]) -> str:
    spread = f" ± {result['spread']}" if "spread" in result else ""
    return f"{result['value']}{spread} {result.get('unit', '')}".strip()


def _reported(about: Mapping[str, Any]) -> Iterator[str]:
    rows = [(r["dataset"], r["metric"], _value(r), r.get("reported_by", "-")) for r in about.get("results", ()) if r["metric"] in REPORTED]
    if rows:
        note = "By the sources named, for networks of these cells with other weights; nothing of it was measured with these."
        yield f"## Reported for these cells\n\n{note}\n\n{table(('data set', 'metric', 'value', 'source'), rows)}"


def origin(genotype: Genotype) -> str:
    """What is known of where the cells are from."""
    about = genotype.provenance
    source = about.get("source", {})
    rows = [(key.replace("_", " "), str(about[key])) for key in ("method", "searched_on", "kind") if key in about]
    rows += [(key, str(source[key])) for key in SOURCE if key in source]
    if not rows:
        return "Nothing is known of them."
    return f"{table(('', ''), rows)}\n\n`genotype.json` holds the cells and all that is known of them."


def _citation(facts: Facts) -> str:
    licence, entry = f"Licence: {facts.config.get('license', 'not stated')}.", bibtex(facts.genotype.provenance)
    return licence if entry is None else f"{licence} The cells:\n\n{entry}"


def bibtex(about: Mapping[str, Any]) -> str | None:
    """The paper of a genotype's provenance, if it names one."""
    paper = about.get("paper", {})
    if "title" not in paper:
        return None
    fields = {
        "title": f"{{{paper['title']}}}",
        "author": " and ".join(str(paper.get("authors", "")).split(", ")),
        "year": paper.get("year"),
        "booktitle": paper.get("venue"),
        "eprint": paper.get("arxiv"),
        "archivePrefix": "arXiv" if "arxiv" in paper else None,
    }
    key = f"{str(about.get('method', 'cells')).lower().replace(' ', '_')}{paper.get('year', '')}"
    kind = "inproceedings" if "venue" in paper else "misc"
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"```bibtex\n@{kind}{{{key},\n{lines}}}\n```"


# ---- Markdown


def _title(name: str) -> str:
    data = known(name)
    return name if data is None else data.title


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def table(heading: tuple[str, ...], rows: Any) -> str:
    """Rows of a Markdown table."""
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) + " |" for line in lines)
