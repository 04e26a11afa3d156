"""Steps of a search on the simulated device: every kind of update on the supernet of every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasarch.cells.space import DARTS, Space
from nasarch.search.engine import updates
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.updates import Batch, OptimizerSettings, State, initial_state
from nasarch.search.recipes.pc_darts import PcDarts
from nasarch.search.supernet.candidates import all_candidates, on, only
from nasarch.search.supernet.network import Supernet
from tests.helpers.reference import TwinSupernet
from tests.simulated_cuda.watch import SimulatedCuda

STEP = "step"  # the part of a run that must not wait
UPDATES = ("weights_only", "one_level", "first_order", "second_order", "exact_second_order")
OF_FLOAT16 = ("weights_only", "one_level", "first_order")  # loss scaling knows no products of gradients
PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Shape(NamedTuple):
    """How large the networks are, and the images: the smallest on which nothing is left out, or the papers'."""

    nodes: int = 2
    channels: int = 8
    layers: int = 3
    batch_size: int = 4
    pixels: int = 16


SMALL = Shape()


class Supernets(NamedTuple):
    """The search network of a method: its candidates, and what else `Supernet` and `Relaxation` are told."""

    candidates: Callable[[Space], Tensor]
    network: dict[str, Any] = {}
    relaxation: dict[str, Any] = {}


def one_path(space: Space) -> Tensor:
    """eDARTS: every node reads the two inputs of the cell."""
    inputs = [e for e, edge in enumerate(space.edges) if edge.source < space.inputs]
    return on(space, dict.fromkeys(space.kinds, inputs))


SUPERNETS = {
    "pc-darts": Supernets(all_candidates, {"partial": 4}, {"subset": 1}),
    "pc-darts random": Supernets(all_candidates, {"partial": 4, "random_channels": True}, {"subset": 1}),
    "darts": Supernets(all_candidates),
    "ftso": Supernets(lambda space: only(space, "skip_connect"), {"partial": 4}, {"subset": 1}),
    "dots topology": Supernets(lambda space: only(space, "max_pool_3x3", "sep_conv_3x3"), {}, {"subset": 2, "operation_scale": 1e-3}),
    "edarts": Supernets(one_path, {}, {"bias": torch.linspace(-1e-3, 1e-3, len(DARTS.operations))}),
}


class LiteralNetwork(nn.Module):
    """The twin of a supernet, which takes the table of `LiteralRelaxation`."""

    def __init__(self, *told: Any, channels: int, layers: int, partial: int = 1) -> None:
        super().__init__()
        self.twin = TwinSupernet(*told, channels=channels, layers=layers, partial=partial)

    def forward(self, x_BCHW: Tensor, table_ZEO: Tensor) -> Tensor:
        return self.twin(x_BCHW, table_ZEO[:, :, :-1], table_ZEO[:, :, -1])


class LiteralRelaxation(Relaxation):
    """Operation weights, and the edges' as one more column."""

    def forward(self) -> Tensor:
        return torch.cat([self.operations(), self.edges()[:, :, None]], dim=2)


def state_of(name: str, precision: str, shape: Shape, *, literal: bool = False) -> State:
    """A search of the method about to begin, on the device; by its literal twin, if so."""
    space, supernet = DARTS.with_nodes(shape.nodes), SUPERNETS[name]
    mask = supernet.candidates(space)
    networks = (LiteralNetwork, LiteralRelaxation) if literal else (Supernet, Relaxation)
    net = networks[0](space, mask, channels=shape.channels, layers=shape.layers, **supernet.network).to("cuda").train()
    state = initial_state(net, networks[1](space, mask, **supernet.relaxation).to("cuda"), OptimizerSettings.of(PcDarts()))
    state.precision = PRECISIONS[precision]
    if precision == "fp16":
        state.scaler = torch.amp.GradScaler("cuda")
    return state


def batches(shape: Shape) -> Iterator[Batch]:
    """Images and labels on the device."""
    while True:
        x_BCHW = torch.empty(shape.batch_size, 3, shape.pixels, shape.pixels, device="cuda")
        yield x_BCHW, torch.empty(shape.batch_size, dtype=torch.long, device="cuda")


def step(cuda: SimulatedCuda, update: str, name: str, precision: str, shape: Shape = SMALL, *, literal: bool = False) -> None:
    """A step by this update, after one that both optimisers have moments from. All that it leaves lies on the device."""
    state, source = state_of(name, precision, shape, literal=literal), batches(shape)
    with cuda.during("first"):
        updates.one_level(state, next(source), next(source))
    with cuda.during(STEP):
        result = getattr(updates, update)(state, next(source), next(source))
    left = [*result, *state.net.parameters(), *state.net.buffers(), *state.arch.parameters(), *state.arch.buffers()]
    assert {x.device.type for x in left} == {"cuda"}


def is_core(update: str, name: str) -> bool:
    """What the quick tests run: every update and every supernet, not all of one with all of the other."""
    return update == "first_order" or name in ("pc-darts", "ftso")


def cases(*precisions: str, core: bool | None = None) -> dict[str, Callable[[SimulatedCuda], None]]:
    """By "update, supernet, precision"; those of the core alone, those outside of it, or all."""
    found: dict[str, Callable[[SimulatedCuda], None]] = {}
    for precision, name in product(precisions, SUPERNETS):
        for update in OF_FLOAT16 if precision == "fp16" else UPDATES:
            if core is None or core == is_core(update, name):
                found[f"{update}, {name}, {precision}"] = partial(_case, update, name, precision)
    return found


def _case(update: str, name: str, precision: str, cuda: SimulatedCuda) -> None:
    step(cuda, update, name, precision)
