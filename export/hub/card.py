"""Model card (README.md) of a classifier on the Hub: metadata, usage, measured and reported results, citation.

The text is the Jinja template card.md; here are its metadata and its values.

Figures that were measured with these weights and figures that a paper reports for its own are never mixed: only the first are
in the metadata, and without trained weights there are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

import nasarch
from nasarch.cells.genotype import Genotype
from nasarch.models.cost import Cost
from nasarch.models.labels import known

from .config import preprocessor_config

TAGS = ["image-classification", "timm", "nasarch", "neural-architecture-search", "onnx"]
UNNAMED = "OWNER/NAME"
HUB_NAME = re.compile(r'"hf-hub:([^"]+)"')  # where a card says that its model is
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
    """The model card (README.md) of a classifier: metadata in YAML, then Markdown, by the template card.md."""
    about = facts.genotype.provenance
    searched_on = about.get("searched_on")
    data = known(searched_on)
    values = {
        "name": facts.name,
        "genotype": facts.genotype.name,
        "method": about.get("method"),
        "searched_on": searched_on if data is None else data.title,
        "repository": facts.repository or UNNAMED,
        "licence": facts.config.get("license", "not stated"),
    }
    return render(
        Path(__file__).with_name("card.md"),
        _metadata(facts),
        {key: None if value is None else escaped(value) for key, value in values.items()}
        | {
            "random": facts.random,
            "input_size": facts.config["input_size"],
            "transformers_js": preprocessor_config(facts.config) is not None,
            "grey": facts.config["input_size"][0] == 1,
            "model": table(("", ""), _model(facts)),
            "measured": _measured(facts),
            "reported": _reported(about),
            "origin": origin(facts.genotype),
            "citation": bibtex(about),
        },
    )


def render(template: Path, metadata: ModelCardData, values: Mapping[str, Any]) -> str:
    """The text of huggingface_hub's `ModelCard` by a Jinja template; `values` are escaped by the caller."""
    return str(ModelCard.from_template(metadata, template_path=str(template), **values)).rstrip() + "\n"


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
    names_on_hub = [data.hub for data in map(known, filter(None, names)) if data is not None and data.hub is not None]
    return list(dict.fromkeys(names_on_hub)) or None


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


def _model(facts: Facts) -> Iterator[tuple[str, str]]:
    config, names = facts.config, facts.class_names
    channels, height, width = config["input_size"]
    yield "timm architecture", f"`{facts.architecture}`, {', '.join(f'{key} {value}' for key, value in facts.sizes.items())}"
    yield "parameters", f"{facts.cost.parameters:,}"
    yield "multi-adds", f"{facts.cost.multi_adds / 1e6:.1f} M (convolutions and linear layers, one image)"
    mode = "" if config.get("crop_mode", "center") == "center" else f", {config['crop_mode']}"
    yield "images", f"{channels} x {height} x {width}, {config['interpolation']}, crop {config['crop_pct']:g}{mode}"
    yield "mean, std", f"{_numbers(config['mean'])}; {_numbers(config['std'])}"
    yield "classes", f"{facts.num_classes}" + ("" if names is None else f": {escaped(', '.join(names[:10]))}{', ...' * (len(names) > 10)}")
    trained = f"trained on {escaped(facts.trained_on)}" if facts.trained_on else "trained, on what is not stated"
    yield "weights", "random" if facts.random else trained
    yield "sha256 of model.safetensors", f"`{facts.weights_sha256}`"
    yield "ONNX", f"`onnx/model.onnx`: {facts.onnx}"
    yield "written by", f"nasarch {nasarch.__version__}"


# ---- figures


def _measured(facts: Facts) -> str:
    """A table of the results with these weights; empty without results."""
    rows = [map(escaped, (r["dataset"], r["metric"], _value(r), _conditions(r) or "not stated")) for r in facts.results]
    return table(("data set", "metric", "value", "budget and seeds"), rows) if rows else ""


def _conditions(result: Mapping[str, Any]) -> str:
    """What a result cost and hangs on."""
    given = [str(result[key]) for key in ("budget", "note") if key in result]
    return "; ".join(given + [f"{key} {result[key]}" for key in ("epochs", "seed", "seeds", "runs") if result.get(key) is not None])


def _value(result: Mapping[str, Any]) -> str:
    spread = f" ± {result['spread']}" if "spread" in result else ""
    return f"{result['value']}{spread} {result.get('unit', '')}".strip()


def _reported(about: Mapping[str, Any]) -> str:
    """A table of the results that the provenance lists, of other weights; empty without results."""
    results = [result for result in about.get("results", ()) if result["metric"] in REPORTED]
    rows = [map(escaped, (r["dataset"], r["metric"], _value(r), r.get("reported_by", "-"))) for r in results]
    return table(("data set", "metric", "value", "source"), rows) if rows else ""


def origin(genotype: Genotype) -> str:
    """What is known of where the cells are from."""
    about = genotype.provenance
    source = about.get("source", {})
    rows = [(key.replace("_", " "), escaped(about[key])) for key in ("method", "searched_on", "kind") if key in about]
    rows += [(key, escaped(source[key])) for key in SOURCE if key in source]
    if not rows:
        return "Nothing is known of them."
    return f"{table(('', ''), rows)}\n\n`genotype.json` holds the cells and all that is known of them."


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
    key = re.sub(r"[^\w.+-]+", "_", f"{about.get('method', 'cells')}{paper.get('year', '')}".lower())
    kind = "inproceedings" if "venue" in paper else "misc"
    lines = "".join(f"  {name} = {{{_line(value)}}},\n" for name, value in fields.items() if value)
    return f"```bibtex\n@{kind}{{{key},\n{lines}}}\n```"


# ---- Markdown


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def escaped(value: Any) -> str:
    """A value as one line of Markdown that shows it as it is: no HTML, links, images, code or emphasis; without control characters."""
    return re.sub(r"([\\`*~]|\](?=[(\[:]))", r"\\\1", _line(value))


def _line(value: Any) -> str:
    """A value in one line, without HTML and control characters."""
    words = " ".join(str(value).replace("<", "&lt;").split())
    return "".join(letter for letter in words if letter == " " or letter.isprintable())


def table(heading: tuple[str, ...], rows: Any) -> str:
    """A Markdown table; its cells are Markdown, in which values from elsewhere are `escaped`."""
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
