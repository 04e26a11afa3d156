"""Settings of searches that are compared with their literal twins."""

from __future__ import annotations

from nasarch.search.recipes import pc_darts

OPTIMISERS = {"lr": 0.1, "lr_end": 0.03, "momentum": 0.8, "weight_decay": 2e-3, "clip": 2.0, "arch_lr": 0.05, "arch_weight_decay": 0.02}


BETAS = {"arch_betas": (0.6, 0.99)}


SMALL = {"nodes": 2, "channels": 4, "batch_size": 6, **OPTIMISERS}


ONE_STAGE = {"epochs": 2, "layers": 3, **BETAS, **SMALL}


UNEQUAL = (0.6, 0.3)  # the architecture's side has fewer batches, so that it begins anew within an epoch


PC_DARTS = pc_darts.PcDarts(warmup=1, init_std=0.5, fractions=UNEQUAL, **ONE_STAGE)
