"""What the search context and the loop hand on, by its effect: devices, workers, stems, precision, clocks, warm-up and sparse updates."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasarch.cells.space import DARTS, NATS
from nasarch.data.load import load
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.result import SearchResult
from nasarch.search.engine.updates import first_order, weights_only
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.network import Supernet
from tests.helpers.clock import Clock
from tests.helpers.datasets import as_tree, encoded
from tests.helpers.nested import nested
from tests.literal.data import Side, split
from tests.literal.record import Watched
from tests.literal.small import data, in_float64

SPACE = DARTS.with_nodes(2)
SMALL = {"epochs": 3, "nodes": 2, "layers": 3, "channels": 4, "batch_size": 6}
WATCHED = pc_darts.PcDarts(warmup=1, init_std=0.5, **SMALL)


# ---- the search context


@pytest.mark.parametrize(
    ("space", "size", "blocks"),
    [(DARTS, (64, 64), 3), (DARTS, (64, 63), 1), (DARTS, (63, 64), 1), (DARTS, (70, 66), 3), (NATS, (64, 64), 1)],
)
def test_the_stem_is_imagenets_from_64_pixels_on(space: Any, size: tuple[int, int], blocks: int) -> None:
    net = SearchContext(data=data(size, count=6), space=space).supernet(
        space, all_candidates(space), channels=4, layers=3 if space is DARTS else 1
    )
    strides = [m.stride[0] for m in net.stem.modules() if isinstance(m, nn.Conv2d)]
    assert strides == ([2, 2, 2] if blocks == 3 else [1])


def test_all_tensors_are_on_the_device_of_the_search() -> None:
    context = SearchContext(data=data(), device="meta")
    net, arch = (
        context.supernet(SPACE, all_candidates(SPACE), channels=4, layers=3),
        context.relaxation(SPACE, all_candidates(SPACE), subset=1),
    )
    assert all(tensor.is_meta for module in (net, arch) for tensor in (*module.parameters(), *module.buffers()))
    for side in (*context.train_val_loaders(6, (0.5, 0.5)), context.one_level_loader(6, (0.5, 0.5))[0]):
        x, y = next(iter(side))
        assert x.is_meta and y.is_meta


def test_files_are_decoded_by_as_many_workers_as_asked_for(tmp_path: Path) -> None:
    names = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(8)]
    tree = as_tree(tmp_path / "photos", {name: encoded(seed, size=(16, 16)) for seed, name in enumerate(names)})
    images = load(str(tree), size=16, in_memory=False)

    def started(sides: Any) -> int:
        streams = [iter(side) for side in sides if side is not None]
        for stream in streams:
            next(stream)
        count = len(multiprocessing.active_children())
        for stream in streams:
            stream.close()  # type: ignore[attr-defined]
        return count

    counts = {workers: started(SearchContext(data=images, workers=workers).train_val_loaders(2, (0.5, 0.5))) for workers in (0, 1)}
    assert counts == {0: 0, 1: 2}, "half of them, rounded up, for each side"
    assert [started(SearchContext(data=images, workers=workers).one_level_loader(2, (0.5, 0.5))) for workers in (0, 1)] == [0, 1]


@pytest.mark.parametrize(("amp", "expected"), [("off", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_the_network_computes_in_the_precision_asked_for(amp: Any, expected: torch.dtype) -> None:
    kinds: set[torch.dtype] = set()
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, _, output: kinds.add(output.dtype) if isinstance(module, nn.Linear) else None
    )
    checkpoint = Checkpoint()
    try:
        Watched().follow(ftso.search(SearchContext(data=data(), amp=amp, checkpoint=checkpoint), ftso.Ftso(**{**SMALL, "epochs": 1})))
    finally:
        handle.remove()
    assert kinds == {expected}


def test_a_cell_has_the_name_of_the_search() -> None:
    for recipe, settings in ((ftso, ftso.Ftso(iterations=1, **SMALL)), (darts, darts.Darts(order="first", **{**SMALL, "epochs": 1}))):
        watched = Watched().follow(recipe.search(SearchContext(data=data(), name="mine"), settings))
        assert watched.found is not None and watched.found.genotype.name == "mine" == watched.reports[-1].genotype.name  # type: ignore[union-attr]


def test_a_search_leaves_torch_s_own_random_numbers_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    settings = replace(WATCHED, random_channels=True, partial=2, epochs=2)
    Watched().follow(pc_darts.search(SearchContext(data=data(), hessian=True), settings))
    assert torch.equal(torch.get_rng_state(), before)


# ---- several processes, as one of them sees it


def test_all_processes_compare_their_cells_after_every_epoch_and_ask_for_stops_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []
    asked: list[tuple[bool, int, str, bool]] = []

    def ask(wanted: bool, step: int, device: torch.device, *, ends: bool) -> bool:
        asked.append((wanted, step, str(device), ends))
        return wanted

    monkeypatch.setattr("nasarch.runtime.distributed.check_same", lambda value, what: compared.append((value, what)))
    monkeypatch.setattr("nasarch.runtime.distributed.stop_agreed", ask)
    watched = Watched().follow(ftso.search(SearchContext(data=data()), ftso.Ftso(**{**SMALL, "epochs": 2})))
    assert compared == [(repr(report.genotype.to_dict()), "cells") for report in watched.reports]  # type: ignore[union-attr]
    assert asked == 2 * [(False, 1, "cpu", False), (False, 2, "cpu", False), (False, 3, "cpu", True)]


def test_only_the_first_process_takes_up_the_sums_of_all(every_step: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, path = ftso.Ftso(**{**SMALL, "epochs": 1}), tmp_path / "checkpoint.pt"
    whole = [report for report in ftso.search(SearchContext(data=data()), settings)]
    checkpoint = Checkpoint(path)
    stopping = ftso.search(SearchContext(data=data(), checkpoint=checkpoint), settings)
    with pytest.raises(KeyboardInterrupt):
        for report in stopping:
            checkpoint.stop_requested = report.step == 2
    losses = {}
    for first in (True, False):
        monkeypatch.setattr("nasarch.runtime.distributed.is_main", lambda first=first: first)
        copy = tmp_path / f"{first}.pt"
        copy.write_bytes(path.read_bytes())
        (report,) = ftso.search(SearchContext(data=data(), checkpoint=Checkpoint(copy)), settings)
        losses[first] = report.loss
    last = (16 * whole[2].loss - 12 * whole[1].loss) / 4
    assert losses == {True: whole[2].loss, False: pytest.approx(last, rel=1e-5)}


# ---- warm-up and sparse updates


def tables(watched: Watched) -> list[Tensor]:
    return [p.detach().clone() for arch in watched.archs for p in arch.parameters()]


def weights(watched: Watched) -> list[Tensor]:
    return [p.detach().clone() for net in watched.nets for p in net.parameters()]


def histories(recipe: Any, settings: Any, **context: Any) -> Iterator[tuple[Any, list[Tensor], list[Tensor]]]:
    """After every step the report, the architecture parameters and the weights."""
    watched = Watched()
    for report in watched.going(recipe.search(SearchContext(data=data(), **context), settings)):
        yield report, tables(watched), weights(watched)


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)


def moved(before: list[Tensor], after: list[Tensor]) -> bool:
    """Whether all of them changed; none or all of them have to."""
    changes = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(changes) or not any(changes)
    return all(changes)


def test_in_the_warm_up_the_architecture_rests_to_the_bit_while_the_weights_move(every_step: None) -> None:
    generator = torch.Generator().manual_seed(0)
    alpha = 0.5 * torch.randn(2, 5, 8, generator=generator)
    before: list[Tensor] = [alpha, 0.5 * torch.randn(2, 2, 3, generator=generator)]
    last: list[Tensor] | None = None
    for report, arch, net in histories(pc_darts, WATCHED):
        assert moved(before, arch) == (report.epoch > 1) == (not report.is_warmup)
        assert last is None or moved(last, net)
        before, last = arch, net
    assert last is not None


def test_a_sparse_update_moves_alpha_in_the_last_step_but_one_of_each_epoch(every_step: None) -> None:
    settings = edarts.Edarts(images=14, path="01-12", order="first", **SMALL)
    before, places = [], []
    for report, arch, _ in histories(edarts, settings):
        assert not before or moved(before, arch) == (report.step == report.steps - 1)
        places.append((report.epoch, report.step, report.steps))
        before = arch
    assert places == [(epoch, step, 3) for epoch in (1, 2, 3) for step in (1, 2, 3)]


# ---- reports


def test_a_report_within_an_epoch_has_the_means_so_far_and_no_cell(every_step: None) -> None:
    """Against the losses that the network's own outputs give, step by step."""
    losses: list[tuple[float, int, int]] = []

    def heard(module: nn.Module, arguments: Any, output: Tensor) -> None:
        if isinstance(module, Supernet):
            labels, logits = expected.pop(0), output.detach()
            right = int((logits.argmax(1) == labels).sum())
            losses.append((float(nn.functional.cross_entropy(logits, labels)), right, len(labels)))

    images = data()
    weights_part, _ = split(images.train.labels.tolist(), (0.5, 0.5), 0)
    side = Side(images, weights_part, 6, 0)
    expected = [y for _ in range(2) for _, y in side.epoch()]
    handle = nn.modules.module.register_module_forward_hook(heard)
    try:
        seen: list[tuple[float, int, int]] = []
        for report, _, _ in histories(pc_darts, replace(WATCHED, epochs=3, warmup=2)):
            seen = ([] if report.step == 1 else seen) + losses[-1:]
            images_seen = sum(n for _, _, n in seen)
            assert report.loss == pytest.approx(sum(loss * n for loss, _, n in seen) / images_seen, rel=1e-6)
            assert report.accuracy == pytest.approx(sum(right for _, right, _ in seen) / images_seen, rel=1e-6)
            assert (report.result is not None) == report.ends_epoch == (report.step == report.steps)
            if not expected:
                break
    finally:
        handle.remove()


def test_a_search_reports_twice_a_second_and_at_the_ends_of_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("nasarch.runtime.meter.time", clock)
    monkeypatch.setattr("nasarch.search.engine.loop.weights_only", timed(clock, 0.3, weights_only))
    settings = replace(WATCHED, epochs=2, warmup=1, batch_size=3)
    reports: list[Any] = []
    for report in pc_darts.search(SearchContext(data=data()), settings):
        reports.append(report)
        if report.ends_epoch:
            break
    assert [report.step for report in reports] == [2, 4, 6] and reports[-1].steps == 6
    assert [round(report.images_per_second, 3) for report in reports] == [10.0, 10.0, round(16 / 1.8, 3)]


def timed(clock: Clock, seconds: float, plain: Any) -> Any:
    """An update that takes so many seconds."""

    def update(*arguments: Any) -> Any:
        clock.now += seconds
        return plain(*arguments)

    return update


def test_images_of_both_sides_are_counted_in_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("nasarch.runtime.meter.time", clock)
    monkeypatch.setattr("nasarch.search.recipes.ftso.first_order", timed(clock, 0.4, first_order))
    (report,) = [p for p in ftso.search(SearchContext(data=data()), ftso.Ftso(**{**SMALL, "epochs": 1})) if p.ends_epoch]
    assert report.images_per_second == pytest.approx((6 + 6 + 4 + 6 + 6 + 1) / 1.2)


# ---- what is kept, and what a stage that is over gives


def kept(
    alpha: Tensor, beta: Tensor | None = None, slope: Tensor | None = None, *, epochs: int = 3, among: tuple[str, ...] = DARTS.operations
) -> dict[str, Any]:
    """The state of a stage that is over, with the operations `among` as candidates on every edge."""
    candidates = torch.tensor([name in among for name in DARTS.operations]).expand(alpha.shape)
    arch = {"alpha": (alpha, None)} | ({} if beta is None else {"beta": (beta, slope)})
    return {"epochs": epochs, "step": 0, "is_over": True, "arch": arch, "candidates": candidates, "meter": {"sums": [], "count": 0}}


def ending(recipe: Any, settings: Any, **stages: dict[str, Any]) -> SearchResult:
    """What a search ends with all of whose stages are over."""
    checkpoint = Checkpoint()
    checkpoint.stages = dict(stages)
    watched = Watched().follow(recipe.search(SearchContext(data=data(), checkpoint=checkpoint), settings))
    assert watched.found is not None and not watched.reports and not watched.steps
    return watched.found


def test_dots_keeps_the_best_pair_and_not_the_two_best_edges_at_its_last_temperature() -> None:
    """Node 4 has the pairs 01 .3, 02 .2, 03 0, 12 .2, 13 .05, 23 .25: the best is 01, but edge 2 weighs most."""
    settings = nested(
        dots.Dots(),
        operation_epochs=3,
        topology_epochs=3,
        operation_warmup=0,
        topology_warmup=1,
        operation_layers=3,
        topology_layers=3,
        topology_start=4.0,
        topology_decay=0.5,
        nodes=3,
        channels=4,
        batch_size=6,
    )
    pairs = torch.tensor([0.3, 0.2, 1e-9, 0.2, 0.05, 0.25])
    beta = torch.zeros(2, 3, 6)
    beta[:, 2] = 2.0 * pairs.log()  # two epochs after the start of the annealing it is 2
    beta[:, 1, :3] = torch.tensor([0.0, 0.0, 1.0])
    beta[:, 1, 3:] = 99.0  # surplus entries are not read
    zeros = torch.zeros(2, 9, 8)
    found = ending(dots, settings, operations=kept(zeros), topology=kept(zeros, beta, among=("none", "sep_conv_3x3")))
    margins = {(m.kind, m.node): m for m in found.margins}
    for kind in ("normal", "reduction"):
        assert [[op.source for op in node] for node in found.genotype.cells[kind].nodes] == [[0, 1], [1, 2], [1, 0]]
        margin = margins[kind, 4]
        assert margin.weights == pytest.approx([0.5, 0.55, 0.65, 0.3], abs=1e-6)
        assert (margin.kept, margin.dropped, round(margin.lead or 0, 5)) == ((1, 0), 2, -0.15)
    assert found.weights.pairs_ZNS[0, 2].tolist() == pytest.approx((beta[0, 2].exp() / beta[0, 2].exp().sum()).tolist(), abs=1e-6)


@pytest.mark.parametrize(("apart", "expected"), [(0.4, [2, 1]), (0.6, [2, 0])])
def test_betas_are_tied_within_a_hundred_thousandth_and_not_beyond(apart: float, expected: list[int]) -> None:
    """Node 3: source 2 weighs most, then 0, and 1 by so many 1e-5 of the logarithm less, but its last descent was the steepest."""
    first, second = -1.1, -1.1 - apart * 1e-5
    beta = torch.zeros(2, 2, 3, dtype=torch.float64)
    beta[:, 1] = torch.tensor([first, second, math.log(1 - math.exp(first) - math.exp(second))], dtype=torch.float64)
    slope = torch.zeros_like(beta)
    slope[:, 1] = torch.tensor([0.1, -0.3, 0.2])
    slope[:, 0, :2] = torch.tensor([0.2, -0.1])
    with in_float64():
        found = ending(ftso, ftso.Ftso(**SMALL), topology=kept(torch.zeros(2, 5, 8), beta, slope, among=("skip_connect",)))
    for cell in found.genotype.cells.values():
        assert [[op.source for op in node] for node in cell.nodes] == [[1, 0], expected]


def test_of_a_stage_that_is_over_only_the_architecture_is_kept(tmp_path: Path) -> None:
    settings = nested(
        dots.Dots(),
        operation_epochs=2,
        topology_epochs=3,
        operation_warmup=0,
        topology_warmup=0,
        operation_layers=3,
        topology_layers=3,
        nodes=2,
        channels=4,
        batch_size=6,
    )
    checkpoint, path = Checkpoint(tmp_path / "checkpoint.pt"), tmp_path / "checkpoint.pt"
    held: list[dict[str, tuple[int, bool, set[str]]]] = []
    for report in dots.search(SearchContext(data=data(), checkpoint=checkpoint), settings):
        if report.ends_epoch:
            stages = torch.load(path, weights_only=True)["stages"] if path.exists() else {}
            held.append({name: (stage["epochs"], stage["is_over"], set(stage)) for name, stage in stages.items()})
    rest, going = (
        {"epochs", "step", "is_over", "meter", "arch", "candidates"},
        {"net", "weight_optimizer", "arch_optimizer", "loaders", "scaler"},
    )
    over = {"operations": (2, True, rest)}
    assert held == [
        {},
        {"operations": (1, False, rest | going)},
        over,
        over | {"topology": (1, False, rest | going)},
        over | {"topology": (2, False, rest | going)},
    ]
    last = torch.load(path, weights_only=True)["stages"]["topology"]
    assert last["is_over"] and set(last) == rest and checkpoint.epochs == 5


def test_a_search_has_so_many_iterations_and_no_more(tmp_path: Path) -> None:
    """16 images in batches of 6 are three steps, in two epochs six."""
    settings = {**SMALL, "epochs": 2}
    for iterations, epochs in ((2, 1), (3, 1), (4, 2)):
        checkpoint = Checkpoint(tmp_path / f"{iterations}.pt")
        for _ in ftso.search(SearchContext(data=data(), checkpoint=checkpoint), ftso.Ftso(iterations=iterations, **settings)):
            assert not checkpoint.stages.get("topology", {}).get("is_over", False)
        assert (checkpoint.epochs, checkpoint.stages["topology"]["is_over"]) == (epochs, True)
    (*_, last) = ftso.search(SearchContext(data=data()), ftso.Ftso(iterations=6, **settings))
    assert (last.epoch, last.step, last.steps) == (2, 3, 3)
    with pytest.raises(ValueError, match="iterations=7: epochs=2 have 6 steps; choose fewer iterations, or more epochs"):
        next(ftso.search(SearchContext(data=data()), ftso.Ftso(iterations=7, **settings)))


# ---- the eigenvalue


@pytest.mark.parametrize(("every", "steps"), [(None, [3, 3]), (1, [1, 2, 3, 1, 2, 3]), (2, [2, 3, 2, 3])])
def test_the_eigenvalue_is_measured_at_the_steps_asked_for(every: int | None, steps: list[int]) -> None:
    settings = ftso.Ftso(**{**SMALL, "epochs": 2})
    running = ftso.search(SearchContext(data=data(), hessian=True, hessian_every=every), settings)
    assert [report.step for report in running if "eigenvalue" in report.figures] == steps
    assert not any(report.figures for report in ftso.search(SearchContext(data=data(), hessian_every=1), settings))
