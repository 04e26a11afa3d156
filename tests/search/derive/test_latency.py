"""Cells within a latency: the best of all cells by the table's prediction, and measured as a whole networks that keep the limit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pytest
import torch

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cells.space import DARTS, NATS
from nasarch.latency.table import LatencyTable
from nasarch.models.zoo import network_of
from nasarch.search.derive.budget import Budget, Derivation, Derived
from nasarch.search.derive.costs import figures
from nasarch.search.derive.measured import ATTEMPTS, within_measured
from nasarch.search.engine.result import ArchitectureWeights
from nasarch.search.recipes import darts
from tests.helpers.latency_table import made_up_table

SMALL = DARTS.with_nodes(2).with_operations(["max_pool_3x3", "skip_connect", "sep_conv_3x3"])
CIFAR = network_of(SMALL, "nas_cifar")


def weights_of(seed: int) -> ArchitectureWeights:
    return ArchitectureWeights(torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(seed)), torch.ones(2, 5))


def derivation(seed: int, table: LatencyTable | None) -> Derivation:
    scores = darts.scores(SMALL, darts.Darts(), weights_of(seed))
    return Derivation.of(SMALL, scores, CIFAR, None, table)


def everything(seed: int, table: LatencyTable) -> tuple[np.ndarray, np.ndarray]:
    """Scores and added latencies (ms) of all cells, one by one: each a genotype, whose network the table predicts."""
    weights = weights_of(seed).operations_ZEO.double().log()
    pairs = [[*combinations(range(j), 2)] for j in SMALL.inner_nodes]
    choices = [[*zip(one, operations, strict=True)] for n in (0, 1) for one in pairs[n] for operations in product(range(3), repeat=2)]
    nodes = [choices[:9], choices[9:]]
    rows = {edge: e for e, edge in enumerate(SMALL.edges)}
    cells = [tuple(node) for node in product(*nodes)]
    parts = []
    for z, kind in enumerate(SMALL.kinds):
        one = []
        for cell in cells:
            score = sum(float(weights[z, rows[source, 2 + n], o]) for n, node in enumerate(cell) for source, o in node)
            made = Cell(tuple(tuple(Op(SMALL.operations[o], source) for source, o in node) for node in cell), (2, 3), 2)
            pools = Cell(((Op("skip_connect", 0), Op("skip_connect", 1)),) * 2, (2, 3), 2)
            genotype = Genotype("all", "darts", dict.fromkeys(SMALL.kinds, pools) | {kind: made})
            one.append((score, table.added_ms(genotype)))
        parts.append(np.array(one))
    base = table.added_ms(Genotype("base", "darts", dict.fromkeys(SMALL.kinds, pools)))
    scores = (parts[0][:, None, 0] + parts[1][None, :, 0]).ravel()
    return scores, (parts[0][:, None, 1] + parts[1][None, :, 1]).ravel() - base


def test_cells_within_a_latency_are_the_best_of_all() -> None:
    for seed in range(3):
        table = made_up_table(SMALL, CIFAR, seed=seed)
        scores, added = everything(seed, table)
        found = derivation(seed, table)
        assert len(scores) == (9 * 27) ** 2
        for share in (0.01, 0.2, 0.7):
            limit = float(np.quantile(added, share))
            (one,) = found.within(Budget(max_latency_ms=limit))
            best = scores[np.round(1000 * added) <= round(1000 * limit)].max()
            assert found.within(Budget())[0].score - one.score == pytest.approx(scores.max() - best, abs=1e-6), (seed, share)
            assert one.figures.latency == pytest.approx(1000 * table.added_ms(Genotype("x", "darts", one.cells)), abs=1e-6)
            assert one.figures.latency <= round(1000 * limit)


def test_the_front_of_latency_is_the_best_of_all_for_every_limit() -> None:
    table = made_up_table(SMALL, CIFAR, seed=1)
    scores, added = everything(1, table)
    expected, highest = [], -np.inf
    microseconds = np.round(1000 * added).astype(int)
    for i in np.lexsort((-scores, microseconds)):
        if scores[i] > highest + 1e-9:
            highest = scores[i]
            expected.append((int(microseconds[i]), scores.max() - highest))
    front = derivation(1, table).front("latency")
    below = [front[-1].score - one.score for one in front]
    assert [one.figures.latency for one in front] == [cost for cost, _ in expected]
    shortfall = [(expected[0][1] + score - expected[0][1]) for _, score in expected]
    assert below == pytest.approx([one - (scores.max() - highest) for one in shortfall], abs=1e-6)


@pytest.mark.parametrize(("space", "network"), [(DARTS, "nas_224"), (NATS, None)])
def test_the_predictions_of_edges_add_up_to_that_of_the_network(space, network) -> None:  # type: ignore[no-untyped-def]
    model, drawn = network_of(space, network), random.Random(0)
    table = made_up_table(space, model, scale=0.7)
    shape = (len(space.kinds), len(space.edges), len(space.operations))
    weights = ArchitectureWeights(torch.rand(shape), torch.ones(shape[:2]))
    found = Derivation.of(space, darts.scores(space, darts.Darts(), weights), model, None, table)
    for _ in range(20):
        one = found._derived([drawn.randrange(len(group.edges)) for group in found.groups])
        whole = figures(model, Genotype("drawn", space.name, one.cells), table)
        assert one.figures[:3] == whole[:3] and abs(one.figures.latency - whole.latency) <= 20  # rounded by operation
        assert whole.latency == round(700 * table.added_ms(Genotype("drawn", space.name, one.cells)))


def test_without_a_table_there_is_no_latency() -> None:
    (one,) = derivation(0, None).within(Budget())
    assert one.figures.latency == 0 and "predicted_latency_ms" not in one.figures.facts()


def test_a_latency_that_no_cell_keeps_names_the_smallest_one() -> None:
    found = derivation(0, made_up_table(SMALL, CIFAR))
    least = found.front("latency")[0].figures.latency / 1000
    with pytest.raises(ValueError, match=r"--max-latency-ms 0.5: the smallest nas_cifar of this search has [\d.]+ ms predicted") as error:
        found.within(Budget(max_latency_ms=0.5))
    named = float(str(error.value).split(" has ")[1].split()[0])
    assert 0 <= named - least <= 0.01 and found.within(Budget(max_latency_ms=named))


def test_a_table_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="the latency table is of another network .network nas_224 instead of nas_cifar"):
        derivation(0, made_up_table(SMALL, network_of(SMALL, "nas_224")))


class Machine:
    """Measures networks as `slowness` times their sum, on average; counts what it measured."""

    def __init__(self, table: LatencyTable, slowness: float, spread: float = 0.0) -> None:
        self.table, self.slowness, self.spread, self.measured = table, slowness, spread, list[Genotype]()

    def __call__(self, cells: Sequence[Genotype]) -> list[float]:
        self.measured += cells
        return [self.ms(one) for one in cells]

    def ms(self, cells: Genotype) -> float:
        drawn = random.Random(str(sorted(cells.cells.items())))
        return self.table.added_ms(cells) * self.slowness * (1 + self.spread * (2 * drawn.random() - 1))


def limit_of(found: Derivation, share: float) -> float:
    front = found.front("latency")
    return front[int(share * (len(front) - 1))].figures.latency / 1000 + 0.0001


@pytest.mark.parametrize("best", [1, 4])
def test_networks_that_are_slower_than_their_sum_keep_the_limit_in_the_end(best: int) -> None:
    table = made_up_table(SMALL, CIFAR, seed=2)
    found, machine = derivation(2, table), Machine(table, 1.2)
    limit = 1.2 * limit_of(found, 0.4)  # no network takes as long to a millionth, so rounding decides nothing
    free, *cells = within_measured(found, Budget(max_latency_ms=limit), best, machine)
    assert free.score == found.within(Budget())[0].score and free.measured_ms == pytest.approx(1.2 * free.figures.latency / 1000)
    assert len(cells) == best and all(one.measured_ms is not None and one.measured_ms <= limit for one in cells)
    expected = found.within(Budget(max_latency_ms=limit / 1.2), best)
    assert cells[0].score == expected[0].score and [one.score for one in cells] == sorted((one.score for one in cells), reverse=True)
    assert len({*machine.measured}) == len(machine.measured) <= 1 + ATTEMPTS * best


def test_networks_that_are_as_quick_as_predicted_are_measured_once() -> None:
    table = made_up_table(SMALL, CIFAR, seed=3)
    found, machine = derivation(3, table), Machine(table, 1.0)
    limit = limit_of(found, 0.5)
    _, one = within_measured(found, Budget(max_latency_ms=limit), 1, machine)
    assert one.cells == found.within(Budget(max_latency_ms=limit))[0].cells and len(machine.measured) == 2


def test_the_optimum_is_taken_if_it_keeps_the_limit_against_its_prediction() -> None:
    table = made_up_table(SMALL, CIFAR, seed=3)
    found = derivation(3, table)
    free, one = within_measured(found, Budget(max_latency_ms=limit_of(found, 0.9)), 1, Machine(table, 0.5))
    assert one == free and one.figures.latency / 1000 > limit_of(found, 0.9)
    fewer = (free.figures.multi_adds - 1) / 1e6
    _, other = within_measured(found, Budget(max_latency_ms=limit_of(found, 0.9), max_macs=fewer), 1, Machine(table, 0.5))
    assert other.figures.multi_adds < free.figures.multi_adds


def test_after_the_last_attempt_the_best_that_keeps_the_limit_is_taken() -> None:
    """Latencies far from additive: whatever is found keeps the limit, or nothing does and the fastest is named."""
    table = made_up_table(SMALL, CIFAR, seed=4)
    found, kept = derivation(4, table), 0
    for share in (0.1, 0.3, 0.5, 0.7):
        machine, limit = Machine(table, 1.1, spread=0.15), limit_of(found, share)
        try:
            _, one = within_measured(found, Budget(max_latency_ms=limit), 1, machine)
        except ValueError as error:
            least = min(map(machine.ms, machine.measured))
            assert f"takes {np.ceil(100 * least) / 100:g} ms" in str(error) and least > limit
            continue
        kept += 1
        assert one.measured_ms is not None and one.measured_ms <= limit and len(machine.measured) <= 1 + ATTEMPTS
        score = {cells: score for cells, score in _scored(found, machine).items() if machine.ms(cells) <= limit}
        assert one.score == pytest.approx(max(score.values()), abs=1e-9)
    assert kept


def _scored(found: Derivation, machine: Machine) -> dict[Genotype, float]:
    weights = weights_of(4).operations_ZEO.double().log()
    rows = {edge: e for e, edge in enumerate(SMALL.edges)}
    (free,) = found.within(Budget())

    def raw(cells: dict[str, Cell]) -> float:
        return sum(
            float(weights[z, rows[op.source, 2 + n], SMALL.operations.index(op.operation)])
            for z, kind in enumerate(SMALL.kinds)
            for n, node in enumerate(cells[kind].nodes)
            for op in node
        )

    return {one: free.score + raw(dict(one.cells)) - raw(dict(free.cells)) for one in machine.measured}


def test_a_limit_that_no_measured_network_keeps_names_the_fastest() -> None:
    table = made_up_table(SMALL, CIFAR, seed=2)
    found = derivation(2, table)
    with pytest.raises(ValueError, match=r"--max-latency-ms [\d.]+: the fastest of \d+ networks that were measured takes [\d.]+ ms; allow"):
        within_measured(found, Budget(max_latency_ms=limit_of(found, 0.1)), 1, Machine(table, 100.0))


def test_several_limits_hold_together() -> None:
    table = made_up_table(SMALL, CIFAR, seed=5)
    found = derivation(5, table)
    budget = Budget(max_latency_ms=limit_of(found, 0.5), max_skips=4)
    cells: list[Derived] = found.within(budget, 3)
    assert all(one.figures.latency <= budget.limits[3] and one.figures.skips <= 4 for one in cells)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_latencies_outside_their_range_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"--max-latency-ms {value}: choose"):
        Budget(max_latency_ms=value)
