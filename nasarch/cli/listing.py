"""The catalogue for people: a table for the terminal, the same in Markdown, and all that is known of one genotype."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasarch.cells.genotype import Genotype
from nasarch.drawing.text import text
from nasarch.models.catalogue import Entry, entry
from nasarch.models.profile import Profile
from nasarch.models.zoo import Model

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("model", "searched on", "params, M", "multi-adds, M", "reported error, %", "reported by", "source")
NUMBERS = COLUMNS[2:5]
NOTES = (
    "multi-adds: of convolutions and linear layers, as fvcore counts them, for one image of the model's input size",
    "reported error: CIFAR's test error or ImageNet's top-1 error in the table or README that is named beside it, of the network and "
    "training there, not measured here; with * the test error of the weights in this package, measured by nasarch",
)


def row(entry: Entry) -> tuple[str, ...]:
    """The cells of `COLUMNS`."""
    source = entry.source.removeprefix("github.com/")
    return (
        entry.name,
        entry.searched_on,
        f"{entry.parameters / 1e6:.2f}",
        f"{entry.multi_adds / 1e6:.1f}",
        _error(entry),
        entry.reported_by or "-",
        source,
    )


def _error(entry: Entry) -> str:
    if entry.reported_error is None:
        return "-"
    spread = "" if entry.reported_spread is None else f" ± {entry.reported_spread:.2f}"
    return f"{entry.reported_error:.2f}{spread}" + ("*" if entry.reported_by == "nasarch" else "")


def table(entries: Iterable[Entry]) -> Table:
    """A table whose columns are as wide as what stands in them."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0))
    for column in COLUMNS:
        fixed = column not in ("reported by", "source")  # which are folded in a narrow terminal
        heading = "\n".join(column.rsplit(" ", 1))  # the unit or the last word below
        table.add_column(heading, justify="right" if column in NUMBERS else "left", no_wrap=fixed, overflow="fold")
    for item in entries:
        table.add_row(*row(item))
    return table


def markdown(entries: Iterable[Entry]) -> str:
    """A table in Markdown, with links to the sources."""
    rules = ["---:" if column in NUMBERS else "---" for column in COLUMNS]
    lines = ["| " + " | ".join(cells) + " |" for cells in (COLUMNS, rules, *map(_markdown_row, entries))]
    return "\n".join([*lines, "", *(f"{note[:1].upper()}{note[1:]}.  " for note in NOTES)]).rstrip()


def _markdown_row(entry: Entry) -> tuple[str, ...]:
    name, *middle, source = row(entry)
    return (f"`{name}`", *middle, source if entry.url is None else f"[{source}]({entry.url})")


def describe(genotype: Genotype, models: Sequence[Model]) -> str:
    """Provenance, models with their costs, reported results with their units, and the cells."""
    results = [_line("" if rank else "reported", _result(result)) for rank, result in enumerate(genotype.provenance.get("results", ()))]
    return "\n".join([genotype.name, *_provenance(genotype.provenance), *_models(models), *results, "", text(genotype)])


def _line(label: str, value: object) -> str:
    return f"  {label:<12} {value}"


def _provenance(about: Mapping[str, Any]) -> Iterator[str]:
    if "method" in about:
        yield _line("method", about["method"])
    if "paper" in about:
        yield _line("paper", ", ".join(f"arXiv:{value}" if key == "arxiv" else str(value) for key, value in about["paper"].items()))
    for label, key in (("searched on", "searched_on"), ("kind", "kind")):
        if key in about:
            yield _line(label, about[key])
    for rank, (key, value) in enumerate(about.get("source", {}).items()):
        yield _line("" if rank else "source", f"{key}: {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _models(models: Sequence[Model]) -> Iterator[str]:
    width = max(len(model.name) for model in models)
    for rank, item in enumerate(map(entry, models)):
        size = f"{item.input_size}x{item.input_size}"
        cost = f"{item.parameters:>9,} parameters, {item.multi_adds / 1e6:.1f} M multi-adds (fvcore, conv + linear, {size})"
        yield _line("" if rank else "models", f"{item.name:<{width}}  {cost}, {models[rank].data.num_classes} classes of {item.data_set}")


def _result(result: Mapping[str, Any]) -> str:
    spread = f" ± {result['spread']}" if "spread" in result else ""
    unit = f" {result['unit']}" if "unit" in result else ""
    remarks = [str(result[key]) for key in ("note", "budget") if key in result]
    by = f" [{result['reported_by']}]" if "reported_by" in result else ""
    return f"{result['dataset']} {result['metric']} {result['value']}{spread}{unit}" + (f" ({'; '.join(remarks)})" if remarks else "") + by


def profile_lines(profile: Profile) -> Iterator[str]:
    """A profile with its units and what was counted."""
    size = "x".join(map(str, profile.input_size))
    images = f"{profile.batch} image{'s' if profile.batch > 1 else ''} of {size}, float32"
    low, high = profile.latency_quartiles_ms
    yield f"{profile.model}, {images}"
    yield _line("parameters", f"{profile.parameters:,}")
    yield _line("multi-adds", f"{profile.multi_adds / 1e6:.1f} M (fvcore, conv + linear, one image)")
    yield _line("activations", f"{_megabytes(profile.peak_bytes)} at most at once while inferring")
    if profile.saved_bytes is None:
        yield _line("", "of a training step unknown: the last map has one pixel, so one image can't train; choose a larger size or batch")
    else:
        yield _line("", f"{_megabytes(profile.saved_bytes)} kept for the backward pass of a training step")
    speed = f"{1e3 * profile.batch / profile.latency_ms:.1f} images/s"
    yield _line("latency", f"{profile.latency_ms:.2f} ms, median of {profile.runs} runs (quartiles {low:.2f} to {high:.2f} ms), {speed}")
    ratio = profile.latency_ms / profile.channels_last_ms
    yield _line("", f"{profile.channels_last_ms:.2f} ms in channels_last memory format ({ratio:.2f}x)")
    yield _line("", f"on {profile.device}, {profile.threads} CPU thread{'s' if profile.threads > 1 else ''}, PyTorch eager, random images")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
