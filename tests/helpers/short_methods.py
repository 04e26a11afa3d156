"""The methods with short settings."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from tests.helpers.nested import nested

SMALL = {"epochs": 2, "layers": 3, "channels": 4, "batch_size": 8}


SHORT_DOTS = nested(
    dots.Dots(),
    operation_epochs=2,
    topology_epochs=3,
    operation_warmup=1,
    topology_warmup=1,
    operation_layers=3,
    topology_layers=4,
    channels=4,
    batch_size=8,
    arch_lr=1e-2,
)


METHODS: dict[str, tuple[ModuleType, Any]] = {
    "darts, first order": (darts, darts.Darts(order="first", **SMALL)),
    "darts, second order": (darts, darts.Darts(order="second", **SMALL)),
    "darts, exact": (darts, darts.Darts(order="exact", **SMALL)),
    "pc_darts": (pc_darts, pc_darts.PcDarts(warmup=1, **SMALL)),
    "pc_darts, no edge normalisation": (pc_darts, pc_darts.PcDarts(warmup=0, edge_normalisation=False, partial=2, **SMALL)),
    "dots": (dots, SHORT_DOTS),
    "dots, two levels": (dots, nested(SHORT_DOTS, topology_levels=2)),
    "dots, of DARTS' operations": (dots, nested(SHORT_DOTS, grouped=False, operation_levels=1)),
    "ftso": (ftso, ftso.Ftso(**SMALL)),
    "ftso, operators by gradient": (ftso, ftso.Ftso(operator="gradient", operator_epochs=2, **SMALL)),
    "edarts": (edarts, edarts.Edarts(images=20, **SMALL)),
    "edarts, all edges": (edarts, edarts.Edarts(images=None, sparse=False, path=None, attention="update", order="first", **SMALL)),
}
