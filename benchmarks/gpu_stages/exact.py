"""Stage exact: loss and all gradients of a supernet in float64, computed on the device in both formats and on the CPU in one.

A gradient's error is taken relative to its own norm, but at least to a millionth of the largest norm, since a gradient that should be zero
(of the only candidate of an edge) is but rounding. Beside it stands the same error in float32, which has to be far larger: it shows that
the comparison would notice a difference.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.supernet.network import Supernet

from .cases import CASES, SMALL, Case, batches, modules
from .context import Context
from .formats import in_format

LARGEST = 1e-9  # relative difference in float64 that is rounding
ROUNDING = 1e-2  # and in float32
FLOOR = 1e-6  # of the largest norm of a gradient
NETWORKS = {"K = 4": "pc-darts", "K = 1": "darts, first order", "skip connections alone, K = 4": "ftso"}


def run(context: Context) -> None:
    """Each network in each format."""
    for name, case in NETWORKS.items():
        for form in context.forms:
            context.attempt(f"{name}, {form}", partial(compared, CASES[case], form, context.device))


def compared(case: Case, form: str, device: str) -> dict[str, Any]:
    """The largest relative differences between the CPU in channels_last and the device in this format."""
    small = case._replace(shape={**case.shape, **SMALL, "channels": 8})
    (batch,) = batches(small, "cpu", 1, small=True)
    with in_format("channels_last"):
        truth = gradients(*modules(small, small=False, init_std=1.0), batch, "cpu", torch.float64)
    with in_format(form):
        net, arch = modules(small, small=False, init_std=1.0)
        found = {kind: worst(truth, gradients(net, arch, batch, device, kind)) for kind in (torch.float64, torch.float32)}
    (name, error), (worst_name, rounding) = found[torch.float64], found[torch.float32]
    agrees = error < LARGEST and rounding < ROUNDING
    return {"gradients": len(truth) - 1, "float64": error, "where": name, "float32": rounding, "where_32": worst_name, "agrees": agrees}


def gradients(net: Supernet, arch: Relaxation, batch: tuple[Tensor, Tensor], device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The loss and its gradients by name, as float64 on the CPU; the modules stay as they are."""
    net, arch = (copy.deepcopy(module).to(device, dtype) for module in (net, arch))
    loss = F.cross_entropy(net(batch[0].to(device, dtype), arch()), batch[1].to(device))
    named = {**dict(net.named_parameters()), **dict(arch.named_parameters())}
    found = torch.autograd.grad(loss, list(named.values()))
    return {name: value.detach().double().cpu() for name, value in zip(["loss", *named], [loss, *found], strict=True)}


def worst(truth: dict[str, Tensor], found: dict[str, Tensor]) -> tuple[str, float]:
    """The name with the largest relative difference, and that difference."""
    floor = FLOOR * max(float(value.norm()) for value in truth.values())
    errors = {name: float((found[name] - value).norm()) / max(float(value.norm()), floor) for name, value in truth.items()}
    return max(errors.items(), key=lambda item: item[1] if item[1] == item[1] else float("inf"))
