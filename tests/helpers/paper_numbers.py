"""The numbers of the papers, typed from their texts: settings of the searches, of trainings, and constants. Imports nothing of nasarch.

Every value stands beside its place. "code" is the published code (quark0/darts, yuhuixu1993/PC-DARTS, guyuchao/DOTS), "choice" is
nasarch's own, with the reason. `paper_presets.py` has the rows of the tables, as changes of what is here.

| text | of |
|---|---|
| DARTS | Liu, Simonyan, Yang, ICLR 2019 (arXiv 1806.09055) |
| PC-DARTS | Xu et al., ICLR 2020 (arXiv 1907.05737) |
| DOTS | Gu et al., the submission to ICLR 2021 (arXiv 2010.00969) |
| eDARTS | Siddiqui, Kyrkou, Theocharides, ICPR 2020 |
| FTSO | Wang et al., 2024 text (arXiv 2303.12948); FTSO 2021: the submission to ICLR |
| NATS-Bench | Dong et al., TPAMI 2021; 200E.config of its code |
"""

from __future__ import annotations

from typing import Any

Values = dict[str, tuple[Any, str]]  # a value and its place, by the name of the setting

DARTS: Values = {
    "order": ("second", "sec. 2.3, eq. 7 and 8; Table 1 has first order, too"),
    "epochs": (50, "A.1.1"),
    "nodes": (4, "A.1.1: 7 nodes, with two inputs and the output"),
    "layers": (8, "A.1.1"),
    "channels": (16, "A.1.1"),
    "batch_size": (64, "A.1.1"),
    "lr": (0.025, "A.1.1"),
    "lr_end": (0.001, "code, --learning_rate_min; A.1.1 has zero"),
    "momentum": (0.9, "A.1.1"),
    "weight_decay": (0.0003, "A.1.1"),
    "clip": (5.0, "code, --grad_clip"),
    "arch_lr": (0.0003, "A.1.1"),
    "arch_weight_decay": (0.001, "A.1.1"),
    "arch_betas": ((0.5, 0.999), "A.1.1"),
    "init_std": (0.001, "code, 1e-3 * randn; A.1.1 has zero"),
    "fractions": ((0.5, 0.5), "sec. 3.1: half of the training data is the validation set"),
}
PC_DARTS: Values = {
    "partial": (4, "sec. 4.2: K = 4 for CIFAR10"),
    "edge_normalisation": (True, "eq. 2; Table 3 goes without"),
    "epochs": (50, "sec. 4.2"),
    "warmup": (15, "sec. 4.2: only network parameters in the first 15 epochs"),
    "nodes": (4, "sec. 4.1, 4.2: N = 6, with the two inputs"),
    "layers": (8, "sec. 4.2: 6 normal and 2 reduction cells"),
    "channels": (16, "sec. 4.2"),
    "batch_size": (256, "sec. 4.2"),
    "lr": (0.1, "sec. 4.2"),
    "lr_end": (0.0, "sec. 4.2: annealed down to zero"),
    "momentum": (0.9, "sec. 4.2"),
    "weight_decay": (0.0003, "sec. 4.2"),
    "clip": (5.0, "code, --grad_clip"),
    "arch_lr": (0.0006, "sec. 4.2"),
    "arch_weight_decay": (0.001, "sec. 4.2"),
    "arch_betas": ((0.5, 0.999), "sec. 4.2"),
    "init_std": (0.001, "code, 1e-3 * randn, beta too"),
    "rate_warmup": (0, "sec. 4.2 has none"),
    "random_channels": (False, "sec. 4.1: the first 1/K channels, then a shuffle"),
    "fractions": ((0.5, 0.5), "sec. 4.2: two subsets of equal size"),
}
DOTS: Values = {
    "operation_epochs": (25, "sec. 4.1"),
    "operation_warmup": (15, "sec. 4.1: the first 15 epochs of both stages"),
    "operation_layers": (8, "sec. 4.1"),
    "operation_start": (10.0, "sec. 4.1, A.2: T_0 = 10"),
    "operation_decay": (0.65, "A.2: theta of the operation weights"),
    "operation_levels": (2, "eq. 8"),
    "operation_arch_betas": ((0.5, 0.999), "code; A.2 has none"),
    "topology_epochs": (35, "sec. 4.1"),
    "topology_warmup": (15, "sec. 4.1"),
    "topology_layers": (17, "sec. 4.1"),
    "topology_start": (10.0, "sec. 4.1, A.2: T_0 = 10"),
    "topology_decay": (0.72, "A.2: theta of the edge combination weights"),
    "topology_levels": (1, "eq. 12"),
    "topology_arch_betas": ((0.5, 0.999), "DARTS'; A.2 has none, the code 0.9 and 0.999"),
    "operation_scale": (0.001, 'code, softmax(balance / (1e-3 T)); sec. 3.2 has "a low initial temperature"'),
    "operations_from": (None, "Table 5 alone has given operations"),
    "grouped": (True, "eq. 4"),
    "nodes": (4, "Appendix B, Table 7: 14 edges, as DARTS"),
    "channels": (16, "code, --init_channels"),
    "batch_size": (64, "code, --batch_size"),
    "lr": (0.025, "A.2"),
    "lr_end": (0.001, "A.2: 0.001 in 60 epochs"),
    "momentum": (0.9, "A.2"),
    "weight_decay": (0.0003, "A.2"),
    "clip": (5.0, "code, --grad_clip"),
    "arch_lr": (0.0001, "A.2; the code has 3e-4"),
    "arch_weight_decay": (0.001, "A.2"),
    "fractions": ((0.5, 0.5), "eq. 8 follows DARTS; code, --train_portion"),
}
EDARTS: Values = {
    "order": ("second", "sec. IV-B: 2nd order, equation 7 of DARTS"),
    "epochs": (50, "sec. III-C: full 50 epochs"),
    "images": (2500, "sec. IV-B: 2500 samples for training and 2500 for validation"),
    "sparse": (True, "sec. III-C: sparse-update; sec. IV-B: once per epoch"),
    "attention": ("forward", "choice: sec. IV-C does not say when the constants are added"),
    "path": ("01-01-01-01", "choice: Fig. 1 alone has the path, of which there is no picture"),
    "operations": (
        ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
        "sec. IV-D: the right operations of DARTS' space",
    ),
    "nodes": (4, "sec. III-B: 8 out of 14 edges"),
    "layers": (5, "sec. IV-E"),
    "channels": (16, "sec. IV-E"),
    "batch_size": (64, "sec. IV-B: all settings exactly those of DARTS"),
    "lr": (0.025, "the same"),
    "lr_end": (0.001, "the same (DARTS' code)"),
    "momentum": (0.9, "the same"),
    "weight_decay": (0.0003, "the same"),
    "clip": (5.0, "the same (DARTS' code)"),
    "arch_lr": (0.0003, "the same"),
    "arch_weight_decay": (0.001, "the same"),
    "arch_betas": ((0.5, 0.999), "the same"),
    "init_std": (0.001, "the same (DARTS' code)"),
}
FTSO: Values = {
    "topology_operation": (("skip_connect",), "Algorithm 1, step 2"),
    "operator": ("replace", "sec. 3: the second strategy is the default"),
    "operation": ("sep_conv_3x3", "sec. 4.1"),
    "operator_beta": (False, "Algorithm 2; sec. 3 has beta, too"),
    "edge_softmax": (True, "PC-DARTS eq. 2, quoted in sec. 2; Algorithm 1 has none"),
    "operator_epochs": (50, "Table 1: Op(50ep.); 18 in one row"),
    "epochs": (1, "Algorithm 1: while still in the first epoch"),
    "iterations": (None, "Table 1: 1ep. is the best, 1it. the fastest"),
    "nodes": (4, "FTSO 2021, A.1: four intermediate nodes"),
    "layers": (8, "FTSO 2021, Table 4: 6 + 2"),
    "channels": (16, "FTSO 2021, A.1 and Table 4"),
    "partial": (4, "FTSO 2021, Table 4: channel proportion 25 %"),
    "batch_size": (256, "choice: PC-DARTS sec. 4.2, whose framework is inherited (sec. 3)"),
    "lr": (0.025, "FTSO 2021, Table 4: Cos. (0.025, 0)"),
    "lr_end": (0.0, "FTSO 2021, Table 4: Cos. (0.025, 0)"),
    "momentum": (0.9, "choice: PC-DARTS sec. 4.2"),
    "weight_decay": (0.0003, "choice: PC-DARTS sec. 4.2"),
    "clip": (5.0, "choice: DARTS' code"),
    "arch_lr": (0.0006, "FTSO 2021, Table 4: 6 x 10^-4"),
    "arch_weight_decay": (0.001, "choice: PC-DARTS sec. 4.2"),
    "arch_betas": ((0.5, 0.999), "choice: PC-DARTS sec. 4.2"),
    "fractions": ((0.5, 0.5), "FTSO 2021, A.1: half the images (25K)"),
}
SEARCHES: dict[str, Values] = {"darts": DARTS, "pc-darts": PC_DARTS, "dots": DOTS, "edarts": EDARTS, "ftso": FTSO}

CIFAR: Values = {
    "epochs": (600, "DARTS sec. 3.2; DOTS sec. 4.1"),
    "batch_size": (96, "DARTS sec. 3.2; DOTS sec. 4.1; eDARTS sec. IV-E"),
    "lr": (0.025, "DARTS code; DOTS sec. 4.1"),
    "schedule": ("cosine", "DARTS code; DOTS sec. 4.1: cosine annealing to 0"),
    "decay": (0.0, "none"),
    "tail": (0.0, "none"),
    "warmup": (0.0, "none"),
    "momentum": (0.9, "DARTS code; DOTS sec. 4.1"),
    "nesterov": (False, "none"),
    "weight_decay": (0.0003, "DARTS code; DOTS sec. 4.1"),
    "clip": (5.0, "DARTS code; DOTS sec. 4.1"),
    "cutout": (16, "DARTS sec. 3.2 has cutout; code: length 16"),
    "colour_jitter": (0.0, "none"),
    "drop_path": (0.2, "DARTS sec. 3.2; DOTS sec. 4.1"),
    "drop_path_on": ("edges", "DARTS code: each edge but identities"),
    "aux_weight": (0.4, "DARTS sec. 3.2"),
    "label_smoothing": (0.0, "none"),
    "mixup": (0.0, "none"),
    "ema": (0.0, "none"),
    "cells": (None, "of the model: 20 in DARTS sec. 3.2"),
    "channels": (None, "of the model: 36 in DARTS sec. 3.2"),
}
PC_DARTS_CIFAR: Values = CIFAR | {"batch_size": (128, "PC-DARTS sec. 4.2"), "drop_path": (0.3, "PC-DARTS sec. 4.2")}
IMAGENET: Values = {
    "epochs": (250, "PC-DARTS sec. 4.3"),
    "batch_size": (1024, "PC-DARTS sec. 4.3"),
    "lr": (0.5, "PC-DARTS sec. 4.3"),
    "schedule": ("linear", "PC-DARTS sec. 4.3: decayed down to zero linearly"),
    "decay": (0.0, "none"),
    "tail": (0.0, "none: the text has a straight line"),
    "warmup": (0.02, "PC-DARTS sec. 4.3: the first 5 epochs, of 250"),
    "momentum": (0.9, "PC-DARTS sec. 4.3"),
    "nesterov": (False, "none"),
    "weight_decay": (0.00003, "PC-DARTS sec. 4.3"),
    "clip": (5.0, "PC-DARTS code, train_imagenet.py"),
    "cutout": (0, "none"),
    "colour_jitter": (0.4, "PC-DARTS code: ColorJitter 0.4, 0.4, 0.4, hue 0.2"),
    "drop_path": (0.0, "PC-DARTS code"),
    "drop_path_on": ("edges", "DARTS code: each edge but identities"),
    "aux_weight": (0.4, "PC-DARTS sec. 4.3 has a tower; code: 0.4"),
    "label_smoothing": (0.1, "PC-DARTS sec. 4.3 has it; code: 0.1"),
    "mixup": (0.0, "none"),
    "ema": (0.0, "none"),
    "cells": (None, "of the model: 14 in PC-DARTS sec. 4.3"),
    "channels": (None, "of the model: 48 in PC-DARTS sec. 4.3"),
}
RECIPES: dict[str, Values] = {
    "cifar": CIFAR,
    "pc-darts": PC_DARTS_CIFAR,
    "edarts": PC_DARTS_CIFAR
    | {
        "batch_size": (96, "eDARTS sec. IV-E: a smaller batch size of 96"),
        "channels": (32, "eDARTS sec. IV-E: the initial number of channels is 32"),
    },
    "ftso": PC_DARTS_CIFAR,  # FTSO 2021, Table 4: Cos. (0.025, 0), 18 + 2 cells, 36 channels; 600 epochs: Table 1
    "imagenet": IMAGENET,
    "imagenet-100": IMAGENET
    | {
        "epochs": (100, "PC-DARTS Table 3: re-trained by 100 epochs"),
        "warmup": (0.05, "PC-DARTS sec. 4.3: the first 5 epochs, here of 100"),
    },
    "dots-imagenet": IMAGENET | {"schedule": ("cosine", "DOTS sec. 4.2: cosine annealing to 0")},
    "darts-imagenet": IMAGENET
    | {
        "batch_size": (128, "DARTS code, train_imagenet.py"),
        "lr": (0.1, "DARTS code, train_imagenet.py"),
        "schedule": ("exponential", "DARTS code, train_imagenet.py: StepLR of an epoch"),
        "decay": (0.000493098369595677, "DARTS code, train_imagenet.py: gamma 0.97, to the power of 250 epochs"),
        "warmup": (0.0, "none"),
    },
    "shallow": {
        "epochs": (100, "eDARTS sec. IV-A"),
        "batch_size": (64, "eDARTS sec. IV-A"),
        "lr": (0.025, "eDARTS sec. IV-A"),
        "schedule": ("cosine", "eDARTS sec. IV-A: drops to 0 using cosine annealing"),
        "decay": (0.0, "none"),
        "tail": (0.0, "none"),
        "warmup": (0.0, "none"),
        "momentum": (0.9, "eDARTS sec. IV-A"),
        "nesterov": (False, "none"),
        "weight_decay": (0.0003, "eDARTS sec. IV-A"),
        "clip": (5.0, "eDARTS sec. IV-A"),
        "cutout": (0, "eDARTS sec. IV-A: no cutout"),
        "colour_jitter": (0.0, "none"),
        "drop_path": (0.2, "eDARTS sec. IV-A"),
        "drop_path_on": ("edges", "DARTS code: each edge but identities"),
        "aux_weight": (0.0, "eDARTS sec. IV-A: no auxiliary tower"),
        "label_smoothing": (0.0, "none"),
        "mixup": (0.0, "none"),
        "ema": (0.0, "none"),
        "cells": (5, "eDARTS sec. IV-A"),
        "channels": (16, "eDARTS sec. IV-A"),
    },
    "nats": {
        "epochs": (200, "NATS-Bench, 200E.config"),
        "batch_size": (256, "NATS-Bench, 200E.config"),
        "lr": (0.1, "NATS-Bench, 200E.config"),
        "schedule": ("cosine", "NATS-Bench, 200E.config: eta_min 0"),
        "decay": (0.0, "none"),
        "tail": (0.0, "none"),
        "warmup": (0.0, "NATS-Bench, 200E.config: 0"),
        "momentum": (0.9, "NATS-Bench, 200E.config"),
        "nesterov": (True, "NATS-Bench, 200E.config"),
        "weight_decay": (0.0005, "NATS-Bench, 200E.config"),
        "clip": (0.0, "none"),
        "cutout": (0, "none"),
        "colour_jitter": (0.0, "none"),
        "drop_path": (0.0, "none"),
        "drop_path_on": ("edges", "DARTS code: each edge but identities"),
        "aux_weight": (0.0, "none"),
        "label_smoothing": (0.0, "none"),
        "mixup": (0.0, "none"),
        "ema": (0.0, "none"),
        "cells": (None, "of the model: 5 a stage"),
        "channels": (None, "of the model: 16"),
    },
}
RECIPES_ARE_FOR = {  # stem and spaces
    "cifar": ("cifar", ("darts",)),
    "pc-darts": ("cifar", ("darts",)),
    "edarts": ("cifar", ("darts",)),
    "ftso": ("cifar", ("darts",)),
    "imagenet": ("imagenet", ("darts",)),
    "imagenet-100": ("imagenet", ("darts",)),
    "dots-imagenet": ("imagenet", ("darts",)),
    "darts-imagenet": ("imagenet", ("darts",)),
    "shallow": ("cifar", ("darts", "nats")),  # eDARTS sec. IV-A; the cheapest look at cells of NATS-Bench, too
    "nats": ("cifar", ("nats", "darts")),
}

ATTENTION = {  # eDARTS sec. IV-C: "0.0006 to sep3x3 and 0.0004 to sep5x5 while subtracting the same from dil5x5 and dil3x3"
    "none": 0.0,
    "max_pool_3x3": 0.0,
    "avg_pool_3x3": 0.0,
    "skip_connect": 0.0,
    "sep_conv_3x3": 0.0006,
    "sep_conv_5x5": 0.0004,
    "dil_conv_3x3": -0.0004,  # choice: in the order of the sentence the 5x5 loses 0.0006, as the ranking of sec. III-A has it
    "dil_conv_5x5": -0.0006,
}
GROUPS = (  # DOTS sec. 3.1: without and with parameters
    {"none", "skip_connect", "avg_pool_3x3", "max_pool_3x3"},
    {"sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"},
)
ADAM_BETAS = (0.5, 0.999)  # DARTS A.1.1; PC-DARTS sec. 4.2 and 4.3
FINITE_DIFFERENCE = 0.01  # DARTS sec. 2.3: epsilon = 0.01 / |v|
SUPERNETS = {  # parameters by K, stem and classes, counted with the published codes (DARTS; PC-DARTS on CIFAR-10 and ImageNet)
    (1, "cifar", 10): 1_930_618,
    (4, "cifar", 10): 299_578,
    (2, "imagenet", 1000): 956_512,
}
LAST_TEMPERATURES = {  # 10 theta^t: t = 9 and 19 on CIFAR-10, 14 and 14 on ImageNet; beside it what the text calls the end (sec. 4.1, 4.2)
    "cifar10": ((0.20712, 0.2), (0.0194678, 0.02)),
    "imagenet": ((0.178180, 0.1), (0.0193428, 0.01)),  # 0.100 at t = 16, 0.0124 and 0.0079 at t = 15 and 16
}
CORRELATED_PAIRS = 10  # DOTS A.1: pairs of the 5 edges into the last node
PATHS = 180  # eDARTS sec. IV-D
MAX_MACS = 600.0  # PC-DARTS sec. 4.1: the mobile setting
IMAGENET_PIXELS = 64  # choice: smaller images would leave the cells maps of 7 pixels and less after ImageNet's stem
HESSIAN = {"iterations": 20, "tolerance": 0.001, "seed": 0}  # choice: FTSO Fig. 4 has the largest eigenvalue, not how
LEVEL = 0.05  # choice: of the verdicts on rankings
NETWORKS = {  # cells and channels, of the recipes that have none of their own
    "cifar": (20, 36),  # DARTS sec. 3.2; PC-DARTS sec. 4.2; DOTS sec. 4.1
    "imagenet": (14, 48),  # PC-DARTS sec. 4.3
    "nats": (5, 16),  # NATS-Bench sec. 3.1; cells of a stage
}
BUDGET: Values = {  # of a network that is ranked; other settings as in the recipe `shallow`
    "epochs": (100, "eDARTS sec. IV-A"),
    "seeds": (3, "choice: sec. IV-A has 10, where networks take hours in all"),
    "seed": (0, "choice"),
    "batch_size": (64, "eDARTS sec. IV-A"),
    "lr": (0.025, "eDARTS sec. IV-A"),
    "drop_path": (0.2, "eDARTS sec. IV-A"),
    "cells": (5, "eDARTS sec. IV-A"),
    "channels": (16, "eDARTS sec. IV-A"),
    "networks_per_group": (0, "choice: as many as are fastest"),
}
RANKED_PATHS: Values = {
    "best": (20, "eDARTS sec. IV-D: the top 20 go on"),
    "ends": (3, "choice"),
    "nodes": (4, "eDARTS sec. IV-D: 180 paths"),
    "by_test": (False, "choice: the text ranks by the test images (sec. IV-D)"),
    "reduction": (None, "choice: each node reads the two before it; the text has the operations alone"),
}
NATS_TABLE_4 = (93.98, 70.22, 45.57)  # FTSO Table 4, of the one cell that reaches them
NATS_ALL_CONV = (93.76, 71.11, 41.44)  # NATS-Bench: nor_conv_3x3 on all edges
