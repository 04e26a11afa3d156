"""The steps of the five methods at the sizes of their papers, for the stages steps and graph; and the networks of stage exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nasarch.cells.space import DARTS, Space
from nasarch.cells.topology import read_path
from nasarch.compute import AUTOCAST_DTYPES, seeded
from nasarch.runtime.options import Precision
from nasarch.search.engine import updates
from nasarch.search.engine.discretize import by_kind, given_edges
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.updates import Batch, OptimizerSettings, State, Update, initial_state
from nasarch.search.recipes import dots, ftso
from nasarch.search.recipes.pc_darts import PcDarts
from nasarch.search.supernet.candidates import all_candidates, on, only
from nasarch.search.supernet.network import Supernet

from .context import Context
from .formats import FORMATS

COMBINATIONS: tuple[tuple[Precision, str], ...] = tuple(product(("off", "bf16"), FORMATS))  # type: ignore[arg-type]
CLASSES = 10
SMALL = {"channels": 4, "layers": 3}
SMALL_BATCH, SMALL_SIZE, SMALL_NODES = 4, 16, 2


def skips(space: Space) -> Tensor:
    return only(space, *ftso.Ftso.topology_operation)


def two_an_edge(space: Space) -> Tensor:
    """What the operation search of DOTS leaves, for instance."""
    return only(space, "skip_connect", "sep_conv_3x3")


def along_a_path(space: Space) -> Tensor:
    """eDARTS' edges."""
    path = read_path("-".join(["01"] * space.nodes), space)
    return all_candidates(space) & on(space, by_kind(given_edges(space, path)))


class Case(NamedTuple):
    """One step: the candidates, the shapes of network and relaxation, the update and the images of a batch."""

    candidates: Callable[[Space], Tensor]
    update: Update
    batch: int
    shape: Mapping[str, Any]
    weights: Mapping[str, Any] = MappingProxyType({})


WIDE = {"channels": 16, "layers": 8}
PARTIAL, ONE, PAIRS = WIDE | {"partial": PcDarts.partial}, {"subset": 1}, {"subset": 2}
GROUPS = {"groups": (dots.FREE, dots.PARAMETRIC)}
CASES = {
    "ftso": Case(skips, updates.first_order, 256, PARTIAL, ONE),
    "pc-darts": Case(all_candidates, updates.first_order, 256, PARTIAL, ONE),
    "pc-darts, weights only": Case(all_candidates, updates.weights_only, 256, PARTIAL, ONE),
    "dots, topology": Case(two_an_edge, updates.one_level, 64, WIDE | {"layers": 17}, PAIRS),
    "darts, second order": Case(all_candidates, updates.second_order, 64, WIDE),
    "edarts, second order": Case(along_a_path, updates.second_order, 64, WIDE | {"layers": 5}),
    "edarts, weights only": Case(along_a_path, updates.weights_only, 64, WIDE | {"layers": 5}),
    "dots, operations": Case(all_candidates, updates.first_order, 64, WIDE, GROUPS),
    "darts, first order": Case(all_candidates, updates.first_order, 64, WIDE),
    "darts, exact": Case(all_candidates, updates.exact_second_order, 64, WIDE),
    "pc-darts, random channels": Case(all_candidates, updates.first_order, 256, PARTIAL | {"random_channels": True}, ONE),
}


def modules(case: Case, *, small: bool, init_std: float = 1e-3) -> tuple[Supernet, Relaxation]:
    """Network and relaxation of a case, always the same, on the CPU."""
    space = DARTS.with_nodes(SMALL_NODES) if small else DARTS
    mask, shape = case.candidates(space), {**case.shape, **(SMALL if small else {})}
    with seeded(0):
        net = Supernet(space, mask, num_classes=CLASSES, **shape).train()
    return net, Relaxation(space, mask, init_std=init_std, generator=torch.Generator().manual_seed(0), **case.weights)


def state_of(case: Case, device: str, amp: Precision, *, small: bool) -> State:
    """A search of this case about to begin, with the optimisers of nasarch."""
    net, arch = modules(case, small=small)
    state = initial_state(net.to(device), arch.to(device), OptimizerSettings.of(PcDarts()))
    state.precision = AUTOCAST_DTYPES[amp]
    return state


def batches(case: Case, device: str, count: int, *, small: bool) -> list[Batch]:
    """Random images and labels, always the same."""
    generator, size = torch.Generator().manual_seed(0), SMALL_SIZE if small else 32
    found = []
    for _ in range(count):
        x = torch.randn(SMALL_BATCH if small else case.batch, 3, size, size, generator=generator)
        found.append((x.to(device), torch.randint(CLASSES, (len(x),), generator=generator).to(device)))
    return found


def combinations(context: Context) -> list[tuple[Precision, str]]:
    """Precisions and formats of a step: all pairs, in a rehearsal each of both once."""
    pairs = COMBINATIONS[::3] if context.small else COMBINATIONS
    return [(amp, form) for amp, form in pairs if form in context.forms and amp in context.precisions]
