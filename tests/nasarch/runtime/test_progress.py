"""What a search says while it runs."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import torch
from rich.console import Console

from nasarch.cells.genotype import Genotype, resolve
from nasarch.runtime.progress import Clock, ProgressDisplay
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.runs.console import cell_figures, report, stage_name

CELL = resolve("darts_v2_cifar")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still unless a test moves it."""
    now = [100.0]
    monkeypatch.setattr("nasarch.runtime.progress.time.monotonic", lambda: now[0])
    return now


def progress(
    epoch: int, step: int, *, stage: str = "topology", is_warmup: bool = False, ends: bool = False, cells: Genotype = CELL
) -> Progress:
    return Progress(
        stage=stage,
        is_warmup=is_warmup,
        epoch=epoch,
        epochs=5,
        step=step,
        steps=10,
        loss=1.25,
        accuracy=0.5,
        images_per_second=1234.0,
        learning_rate=0.1,
        temperature=1.0,
        result=SearchResult(cells, [], ArchitectureWeights(torch.zeros(0), torch.zeros(0))) if ends else None,
    )


def said(reports: Iterator[Progress] | list[Progress], *, terminal: bool = False) -> list[str]:
    file = io.StringIO()
    with ProgressDisplay(Console(file=file, force_terminal=terminal, width=300), " of this stage") as live:
        for place in reports:
            report(live, "seed 3", place)
    return [line for line in file.getvalue().splitlines() if line]


def at_times(clock: list[float], *steps: tuple[float, Progress]) -> Iterator[Progress]:
    for time, place in steps:
        clock[0] = time
        yield place


def test_the_end_of_an_epoch_says_the_cell_and_the_time_left(clock: list[float]) -> None:
    (line,) = said(at_times(clock, (100.0, progress(1, 5)), (110.0, progress(1, 10, ends=True))))
    assert line == (
        "seed 3, topology, epoch 1 of 5, step 10 of 10: loss 1.2500, accuracy 0.500, 1,234 images/s; "
        "skip connections: 2 normal, 3 reduction; 530 M multi-adds on ImageNet; 1 min left of this stage"
    )


def test_a_file_gets_a_line_every_quarter_of_a_minute_with_the_time_left(clock: list[float]) -> None:
    times = ((t, progress(1, int(t - 99))) for t in (100.0, 101.0, 102.0, 103.0, 104.0))
    assert said(at_times(clock, *times)) == []
    clock[0] = 200.0
    late = said(at_times(clock, (200.0, progress(1, 1)), (216.0, progress(1, 3))))
    assert len(late) == 1 and late[0].endswith("step 3 of 10: loss 1.2500, accuracy 0.500, 1,234 images/s; 6 min left of this stage")


def test_a_warm_up_is_called_so_and_has_a_pace_of_its_own(clock: list[float]) -> None:
    steps = [(100.0, progress(1, 1, is_warmup=True)), (100.9, progress(1, 10, is_warmup=True, ends=True)), (102.0, progress(2, 1))]
    lines = said(at_times(clock, *steps, (120.0, progress(2, 10, ends=True))))
    assert "topology (warm-up: only weights), epoch 1 of 5" in lines[0] and lines[0].endswith("; 4.0 s left of this stage")
    assert "topology, epoch 2 of 5" in lines[1] and lines[1].endswith("; 1 min left of this stage")


def test_a_stage_is_named_with_its_warm_up() -> None:
    names = [stage_name(progress(1, 1, is_warmup=is_warmup)) for is_warmup in (True, False)]
    assert names == ["topology (warm-up: only weights)", "topology"]


def test_a_stage_at_its_end_has_no_time_left(clock: list[float]) -> None:
    (line,) = said(at_times(clock, (100.0, progress(5, 1)), (101.0, progress(5, 10, ends=True))))
    assert line.endswith("multi-adds on ImageNet")


def test_every_stage_starts_its_clock_anew(clock: list[float]) -> None:
    watch, left = Clock(), []
    for time, stage, done in ((0.0, "a", 1), (10.0, "a", 2), (1000.0, "b", 1), (1001.0, "b", 2)):
        clock[0] = time
        left.append(watch.left(stage, done, 4))
    assert left == [None, "20.0 s", None, "2.0 s"]


def test_a_terminal_shows_a_bar_that_starts_again_with_the_next_stage(clock: list[float]) -> None:
    lines = "\n".join(said([progress(5, 10, stage="operations", ends=True), progress(1, 1), progress(5, 10, ends=True)], terminal=True))
    assert "operations, epoch 5 of 5" in lines and "topology, epoch 5 of 5" in lines


def test_a_cell_of_nats_bench_has_no_network_on_imagenet() -> None:
    cells = Genotype.from_nats("|skip_connect~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|skip_connect~2|")
    assert cell_figures(cells) == "skip connections: 4 normal"
