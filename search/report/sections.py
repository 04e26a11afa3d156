"""The sections of a report on one run: each is a function from the run to HTML, empty where the run has nothing to say on it.

| section | after |
|---|---|
| operation weights, edge weights over time | DOTS Fig. 3: as the search uses them, and without annealing |
| operations retained in each group | DOTS Tables 7 to 9 |
| skip connections by epoch | eDARTS Table II, which counts those of the cell that was found |
| largest eigenvalue of the architecture Hessian | FTSO Fig. 4c and 4d, search/engine/hessian.py |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nasarch.cells.genotype import Genotype
from nasarch.drawing.svg import SharedLayout
from nasarch.drawing.text import NOTES
from nasarch.runtime.progress import duration
from nasarch.search.recipes.dots import FREE, PARAMETRIC
from nasarch.search.runs.history import Span, Timeline, kept_edges, node_name, retained_edges, retained_operations
from nasarch.search.runs.reader import Run

from . import charts
from .charts import Metric
from .html import Album, Html, facts, folded, heading, paragraph, table
from .summary import figure, memory, setting, summary

EIGENVALUE = "largest eigenvalue"


def brief(run: Run, album: Album) -> Iterator[Html]:
    """Sections of one run among many."""
    yield facts(summary(run))
    yield from _cell(run, album)
    yield from _margins(run)


def sections(run: Run, album: Album) -> Iterator[Html]:
    """All that one run has to say."""
    yield facts(summary(run))
    yield from _cell(run, album)
    yield from _settings(run)
    if run.epochs:
        yield from _curves(run, album)
        yield from _skips(run, album)
        yield from _eigenvalue(run, album)
        yield from _operation_weights(run, album)
        yield from _retained_operations(run)
        yield from _edge_weights(run, album)
        yield from _changes(run, album)
    yield from _margins(run)
    yield from _cost(run, album)


def _cell(run: Run, album: Album) -> Iterator[Html]:
    cell = run.last_cell
    if cell is not None:
        ended = run.genotype is not None
        yield heading("The cell that was found" if ended else "The present cell")
        words = f"{cell.name}, the cells that were found" if ended else f"{cell.name}, the cells that epoch {run.epochs} would give"
        yield album.cells("cell", cell_pictures(cell), words)


def cell_pictures(genotype: Genotype) -> dict[str, str]:
    """The cells as <svg> elements under their headings."""
    return {kind_title(kind): SharedLayout([cell]).svg(0, f"{genotype.name}: {kind} cell") for kind, cell in genotype.cells.items()}


def kind_title(kind: str) -> str:
    return f"{kind} cell ({NOTES[kind]})" if kind in NOTES else f"{kind} cell"


def _rows(settings: Mapping[str, Any], stage: str = "") -> Iterator[tuple[str, str]]:
    """Settings as rows, those of a stage under its flags' names, such as operation.epochs."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{key}.")
        else:
            yield f"{stage}{key}", setting(value)


def _settings(run: Run) -> Iterator[Html]:
    config, data = run.config, run.config.get("data") or {}
    yield heading("Settings")
    yield facts(dict(_rows(config["settings"])))
    more = {
        "command": config.get("command"),
        "amp": config.get("amp"),
        "tf32": config.get("tf32"),
        "deterministic": config.get("deterministic"),
        "processes": config.get("processes"),
        "threads": config.get("threads"),
        **(config.get("versions") or {}),
        "sha256 of the data": data.get("sha256"),
    }
    yield folded("how it was run", facts({key: str(value) for key, value in more.items() if value is not None}))


def _curves(run: Run, album: Album) -> Iterator[Html]:
    metrics = [metric for key, title in CURVES if (metric := _metric(run, key, title)) is not None]
    yield heading("Curves")
    words = "Loss and accuracy are means over the training images of the epoch."
    yield album.chart("curves", charts.curves(metrics, run.timeline), words)


CURVES = (
    ("loss", "loss"),
    ("accuracy", "accuracy"),
    ("learning_rate", "learning rate"),
    ("temperature", "temperature of the softmaxes"),
    ("multi_adds", "multi-adds as nas_224, millions"),
)


def _metric(run: Run, key: str, title: str) -> Metric | None:
    """A metric of one line; None if it is missing, or a temperature that stays."""
    line = run.column(key)
    values = {value for value in line if value is not None}
    return None if not values or (key == "temperature" and len(values) == 1) else Metric(title, {"": line}, log=key == "temperature")


def _skips(run: Run, album: Album) -> Iterator[Html]:
    lines = run.skips()
    if any(value is not None for line in lines.values() for value in line):
        yield heading("Skip connections")
        words = "Skip connections of the cell that each epoch would give; eDARTS (Table II) counts them, since DARTS tends to collect them."
        yield album.chart("skips", charts.curves([Metric("skip connections", lines, counts=True)], run.timeline), words)


def _eigenvalue(run: Run, album: Album) -> Iterator[Html]:
    line = run.column("eigenvalue")
    if any(value is not None for value in line):
        yield heading("Sharpness in the architecture parameters")
        words = (
            "The eigenvalue of largest magnitude of the loss' Hessian in the architecture parameters, after each epoch (FTSO Fig. 4c), on "
            f"the same {_measured_images(run)} each time: of those that train the architecture, or of all in a stage where all train both."
        )
        yield album.chart("eigenvalue", charts.curves([Metric(EIGENVALUE, {"": line})], run.timeline), words)
    if len(run.measured) > run.epochs:
        values, timeline = [at["eigenvalue"] for at in run.measured], Timeline.of(run.measured)
        words = "The same by iteration, as often as --hessian-every asked for it (FTSO Fig. 4d)."
        chart = charts.curves([Metric(EIGENVALUE, {"": values})], timeline, "measurement")
        yield album.chart("eigenvalue-by-iteration", chart, words)


def _measured_images(run: Run) -> str:
    """Number of images of `--hessian-images`, or a batch."""
    count = (run.config.get("job") or {}).get("hessian_images")
    return "batch of images" if count is None else f"{count} images"


def _operation_weights(run: Run, album: Album) -> Iterator[Html]:
    if run.weights:
        yield heading("Operation weights")
        for stage in run.timeline.stages:
            rows = [row for tables in run.weights[stage.first - 1 : stage.last] for kind in tables.operations for row in kind]
            if max((sum(weight > 0 for weight in row) for row in rows), default=0) < 2:
                yield paragraph(f"Stage {stage.value!r}: every edge has one candidate operation, which has all the weight.")
                continue
            for z, kind in enumerate(run.space.kinds):
                arguments = (run.space, _title(run, kind, stage), [tables.operations[z] for tables in run.weights])
                chart = charts.operation_weights(*arguments, run.timeline.of_stage(stage))
                words = f"Operation weights on every edge of the {kind} cell in the stage {stage.value!r}; all panels have one scale."
                yield album.chart(_name("operations", run, kind, stage), chart, words)
                plain = [tables.unannealed for tables in run.weights]
                if all(plain[stage.first - 1 : stage.last]):
                    title = f"{_title(run, kind, stage)}, without annealing"
                    tables_TEO = [table[z] if table else own.operations[z] for table, own in zip(plain, run.weights, strict=True)]
                    chart = charts.operation_weights(run.space, title, tables_TEO, run.timeline.of_stage(stage))
                    yield album.chart(_name("unannealed", run, kind, stage), chart, "The same at temperature 1 (DOTS Fig. 3b).")


def _retained_operations(run: Run) -> Iterator[Html]:
    stages = [stage for stage in run.timeline.stages if stage.value == "operations"]
    is_grouped = (
        run.config["method"] == "DOTS" and run.config["settings"].get("grouped", True) and {*FREE, *PARAMETRIC} == {*run.space.operations}
    )
    if not is_grouped or not run.weights or not stages:
        return
    tables = run.weights[stages[0].last - 1]
    yield heading("Operations retained in each group")
    yield paragraph(f"After epoch {stages[0].last}, the last of the operation search so far; the others are pruned (DOTS Tables 7 to 9).")
    rows = [
        (kind, str(edge.target), node_name(run.space, edge.source), *names)
        for z, kind in enumerate(run.space.kinds)
        for edge, names in retained_operations(run.space, (tables.unannealed or tables.operations)[z], (FREE, PARAMETRIC)).items()
    ]
    yield table(("cell", "node", "from", "non-parametric", "parametric"), rows, numbers=(1,))


def _edge_weights(run: Run, album: Album) -> Iterator[Html]:
    if run.weights:
        yield heading("Edge weights")
        for stage in run.timeline.stages:
            tables = [tables.edges for tables in run.weights[stage.first - 1 : stage.last]]
            if all(weight in (0.0, 1.0) for table in tables for kind in table for weight in kind):
                yield paragraph(f"Stage {stage.value!r}: operations alone have weights, edges have none.")
                continue
            for z, kind in enumerate(run.space.kinds):
                arguments = (run.space, _title(run, kind, stage), [tables.edges[z] for tables in run.weights], _kept(run, kind))
                chart = charts.edge_weights(*arguments, run.timeline.of_stage(stage))
                words = f"Edge weights into each node of the {kind} cell in the stage {stage.value!r}; every panel has its own scale."
                yield album.chart(_name("edges", run, kind, stage), chart, words)


def _title(run: Run, kind: str, stage: Span) -> str:
    """The cell, and the stage where there are several."""
    return f"{kind} cell" if len(run.timeline.stages) == 1 else f"{kind} cell, {stage.value[:20]}"


def _name(what: str, run: Run, kind: str, stage: Span) -> str:
    """Name of a picture, with the number of the stage where there are several."""
    stages = run.timeline.stages
    return f"{what}-{kind}" if len(stages) == 1 else f"{what}-{kind}-{stages.index(stage) + 1}"


def _kept(run: Run, kind: str) -> dict[int, tuple[int, ...]]:
    """The sources that each node of the last cell keeps."""
    if run.last_cell is None:
        return {}
    cell = run.last_cell.cells[kind]
    return {j: tuple(op.source for op in node) for j, node in zip(cell.inner_nodes, cell.nodes, strict=True)}


def _changes(run: Run, album: Album) -> Iterator[Html]:
    if not run.cells:
        return
    yield heading("The cell as it changed")
    if len(run.cells) > 1:
        yield _animation(run, album)
    histories = {kind: kept_edges(run.space, kind, run.cells, run.epochs) for kind in run.space.kinds}
    words = "Edges and operations of the cell that each epoch would give."
    yield album.chart("changes", charts.changes(run.space, histories, run.timeline), words)
    rows = [
        (kind, str(edge.target), node_name(run.space, edge.source), "; ".join(map(_stretch, stretches)))
        for kind, history in histories.items()
        for edge, stretches in history.items()
        if stretches
    ]
    yield folded("the same as a table", table(("cell", "node", "from", "epochs"), rows, numbers=(1,)))
    retained = [
        (kind, str(node), "; ".join(map(_stretch, stretches)))
        for kind in run.space.kinds
        for node, stretches in retained_edges(run.space, kind, run.cells, run.epochs).items()
    ]
    yield folded("the edges that each node retains, by epoch", table(("cell", "node", "epochs and sources"), retained, numbers=(1,)))
    if run.step_cells:
        rows = [(str(epoch), str(step), kind, _nodes(cell, kind)) for (epoch, step), cell in run.step_cells.items() for kind in cell.cells]
        yield folded("the cell by iteration (FTSO Fig. 3c)", table(("epoch", "step", "cell", "nodes"), rows, numbers=(0, 1)))


def _animation(run: Run, album: Album) -> Html:
    """The cells of all epochs in one layout, with the stage and the main metrics of each epoch."""
    epochs, layouts = sorted(run.cells), {}
    for kind in run.space.kinds:
        layouts[kind_title(kind)] = SharedLayout([run.cells[epoch].cells[kind] for epoch in epochs]).animation(f"{kind} cell by epoch")
    captions = []
    for epoch in epochs:
        line = run.metrics[epoch - 1]
        stage = f", stage {line['stage']!r}" if len(run.timeline.stages) > 1 else ""
        warmup = ", warm-up" if line["warmup"] else ""
        captions.append(f"epoch {epoch} of {run.epochs}{stage}{warmup}: loss {figure(line['loss'])}, accuracy {figure(line['accuracy'])}")
    words = "Cell that each epoch would give; edges that the epoch before did not have, or with another operation, have thick outlines."
    return album.animation("cells-by-epoch", layouts, captions, words)


def _nodes(genotype: Genotype, kind: str) -> str:
    """The operations and sources of each node: "2: skip_connect 0, skip_connect 1"."""
    cell = genotype.cells[kind]
    return "; ".join(
        f"{j}: " + ", ".join(f"{op.operation} {op.source}" for op in node) for j, node in zip(cell.inner_nodes, cell.nodes, strict=True)
    )


def _stretch(span: Span) -> str:
    when = f"{span.first}" if span.first == span.last else f"{span.first}-{span.last}"
    return f"{when} {span.value}"


def _margins(run: Run) -> Iterator[Html]:
    if not run.margins:
        return
    yield heading("Margins")
    yield paragraph("How clearly the edges of each node were chosen: by how much the last one kept leads the best one dropped.", soft=True)
    headings = ("cell", "node", "weights of its edges", "keeps", "drops first", "lead")
    rows = []
    for kind, node, weights, kept, dropped, lead in run.margins:
        names = [node_name(run.space, i) for i in range(node)]
        each = ", ".join(f"{name} {weight:.4f}" for name, weight in zip(names, weights, strict=False))
        best = "" if dropped is None else names[dropped]
        rows.append((kind, str(node), each, ", ".join(names[i] for i in kept), best, "" if lead is None else f"{lead:.6f}"))
    yield table(headings, rows, numbers=(1, 5))


def _cost(run: Run, album: Album) -> Iterator[Html]:
    speed, most = run.column("images_per_second"), run.column("memory")
    metrics = [
        Metric(title, {"": line})
        for title, line in (("images/s", speed), ("peak memory so far, MB", most))
        if any(value is not None for value in line)
    ]
    if metrics:
        yield heading("Cost")
        known = [f"{name}: {value}" for name, value in (("time", duration(run.seconds)), ("peak memory", memory(run))) if value]
        yield paragraph(f"{'; '.join(known)}. {run.config.get('device', '')}" if known else str(run.config.get("device", "")))
        yield album.chart("cost", charts.curves(metrics, run.timeline), "Speed and memory, by epoch.")
