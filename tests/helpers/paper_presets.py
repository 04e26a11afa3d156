"""The rows of the papers' tables, typed from their texts: what each changes of the settings in `paper_numbers.py`. No import of nasarch.

A row's effective settings are `paper_numbers.SEARCHES[method]` with `changes`; `row` is its place in the text, `reported` what the text
has of it, and `why` the place of values that the row itself doesn't say.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Row(NamedTuple):
    changes: dict[str, Any]
    row: str
    reported: str
    why: str = ""
    data: str = "cifar10"
    space: str = "darts"


C10 = "% test error on CIFAR-10"
PICTURE = "in a picture only"

NATS_TABLE_4 = "% test accuracy on CIFAR-10/CIFAR-100/ImageNet"
DARTS = {
    "first": Row({"order": "first"}, "DARTS Table 1, first order", f"3.00 ± 0.14 {C10}"),
    "second": Row({}, "DARTS Table 1, second order", f"2.76 ± 0.09 {C10}"),
    "exact": Row({"order": "exact"}, "DARTS eq. 7, the exact product", "not reported"),
    "first-nodes-5": Row({"order": "first", "nodes": 3}, "PC-DARTS Table 4, DARTS-v1, 5 nodes (3 inner)", f"3.03 {C10}"),
    "first-nodes-6": Row({"order": "first", "nodes": 4}, "PC-DARTS Table 4, DARTS-v1, 6 nodes (4 inner)", f"2.98 {C10}"),
    "first-nodes-7": Row({"order": "first", "nodes": 5}, "PC-DARTS Table 4, DARTS-v1, 7 nodes (5 inner)", f"2.89 {C10}"),
    "first-epochs-50": Row({"order": "first", "epochs": 50}, "PC-DARTS Table 4, DARTS-v1, 50 epochs", f"2.98 {C10}"),
    "first-epochs-75": Row({"order": "first", "epochs": 75}, "PC-DARTS Table 4, DARTS-v1, 75 epochs", f"2.87 {C10}"),
    "first-epochs-100": Row({"order": "first", "epochs": 100}, "PC-DARTS Table 4, DARTS-v1, 100 epochs", f"3.32 {C10}"),
    "first-epochs-125": Row({"order": "first", "epochs": 125}, "PC-DARTS Table 4, DARTS-v1, 125 epochs", f"3.08 {C10}"),
    "second-nodes-5": Row({"nodes": 3}, "PC-DARTS Table 4, DARTS-v2, 5 nodes (3 inner)", f"2.82 {C10}"),
    "second-nodes-6": Row({"nodes": 4}, "PC-DARTS Table 4, DARTS-v2, 6 nodes (4 inner)", f"2.76 {C10}"),
    "second-nodes-7": Row({"nodes": 5}, "PC-DARTS Table 4, DARTS-v2, 7 nodes (5 inner)", f"3.02 {C10}"),
    "second-epochs-50": Row({"epochs": 50}, "PC-DARTS Table 4, DARTS-v2, 50 epochs", f"2.76 {C10}"),
    "second-epochs-75": Row({"epochs": 75}, "PC-DARTS Table 4, DARTS-v2, 75 epochs", f"2.93 {C10}"),
    "second-epochs-100": Row({"epochs": 100}, "PC-DARTS Table 4, DARTS-v2, 100 epochs", f"3.51 {C10}"),
    "second-epochs-125": Row({"epochs": 125}, "PC-DARTS Table 4, DARTS-v2, 125 epochs", f"3.18 {C10}"),
    "nats": Row(
        {"order": "first", "layers": 5},
        "FTSO Table 4, DARTS (1st)",
        f"searched on CIFAR-10 54.30/15.61/16.32, on CIFAR-100 86.57/58.13/28.50, on ImageNet 89.58/63.89/33.77 {NATS_TABLE_4}",
        why="5 cells a stage, as in NATS-Bench",
        space="nats",
    ),
    "nats-second": Row(
        {"layers": 5},
        "FTSO Table 4, DARTS (2nd)",
        f"searched on CIFAR-10 86.88/58.61/28.91, on CIFAR-100 91.96/67.27/39.47, on ImageNet 84.64/55.15/26.06 {NATS_TABLE_4}",
        why="5 cells a stage, as in NATS-Bench",
        space="nats",
    ),
}

WITH_K = "choice: batch 64 K and rate 0.025 K, between DARTS' 64, 0.025 and PC-DARTS' 256, 0.1 (K times larger batch, sec. 1)"
ON_IMAGENET = "sec. 4.3, 5 epochs of a rising rate: code"
PC_IMAGENET: dict[str, Any] = {
    "partial": 2,  # sec. 4.3: a sub-sampling rate of 1/2
    "warmup": 35,  # sec. 4.3: frozen during the first 35 epochs
    "batch_size": 1024,  # sec. 4.3
    "lr": 0.5,  # sec. 4.3
    "arch_lr": 0.006,  # sec. 4.3
    "weight_decay": 0.00003,  # sec. 4.3
    "rate_warmup": 5,  # code: (epoch + 1) / 5
    "fractions": (0.1, 0.025),  # sec. 4.3
}
PC_IMAGENET_WHOLE = PC_IMAGENET | {"partial": 1, "batch_size": 512, "lr": 0.25}  # choice: in proportion to K
HUNDRED = "% top-1 error on ImageNet (100 epochs)"
PC_DARTS = {
    "cifar10": Row({}, "Table 1", f"2.57 ± 0.07 {C10}, 0.1 GPU-days"),
    "imagenet": Row(PC_IMAGENET, "Table 2", "24.2 % top-1 and 7.3 % top-5 error on ImageNet, 3.8 GPU-days", ON_IMAGENET, "imagenet"),
    "k1": Row({"partial": 1, "batch_size": 64, "lr": 0.025}, "Fig. 3, K = 1", f"{PICTURE}; 2.82 ± 0.05 {C10} in Table 3", WITH_K),
    "k2": Row({"partial": 2, "batch_size": 128, "lr": 0.05}, "Fig. 3, K = 2", f"{PICTURE}: worse than K = 4", WITH_K),
    "k4": Row({"partial": 4, "batch_size": 256, "lr": 0.1}, "Fig. 3, K = 4", f"2.57 ± 0.07 {C10}"),
    "k8": Row({"partial": 8, "batch_size": 512, "lr": 0.2}, "Fig. 3, K = 8", f"{PICTURE}: a dramatic drop", WITH_K),
    "neither": Row(
        {"partial": 1, "batch_size": 64, "lr": 0.025, "edge_normalisation": False},
        "Table 3, CIFAR-10, without PC, without EN",
        f"3.00 ± 0.14 {C10}, 0.4 GPU-days",
        WITH_K,
    ),
    "en": Row({"partial": 1, "batch_size": 64, "lr": 0.025}, "Table 3, CIFAR-10, EN alone", f"2.82 ± 0.05 {C10}, 0.4 GPU-days", WITH_K),
    "pc": Row({"edge_normalisation": False}, "Table 3, CIFAR-10, PC alone", f"2.67 ± 0.11 {C10}, 0.1 GPU-days"),
    "pc-en": Row({}, "Table 3, CIFAR-10, PC and EN", f"2.57 ± 0.07 {C10}, 0.1 GPU-days"),
    "imagenet-neither": Row(
        PC_IMAGENET_WHOLE | {"edge_normalisation": False},
        "Table 3, ImageNet, without PC, without EN",
        f"26.8 ± 0.1 {HUNDRED}, 7.7 GPU-days",
        ON_IMAGENET,
        "imagenet",
    ),
    "imagenet-en": Row(PC_IMAGENET_WHOLE, "Table 3, ImageNet, EN alone", f"26.3 ± 0.1 {HUNDRED}, 7.7 GPU-days", ON_IMAGENET, "imagenet"),
    "imagenet-pc": Row(
        PC_IMAGENET | {"edge_normalisation": False},
        "Table 3, ImageNet, PC alone",
        f"26.2 ± 0.1 {HUNDRED}, 3.8 GPU-days",
        ON_IMAGENET,
        "imagenet",
    ),
    "imagenet-pc-en": Row(PC_IMAGENET, "Table 3, ImageNet, PC and EN", f"25.8 ± 0.1 {HUNDRED}, 3.8 GPU-days", ON_IMAGENET, "imagenet"),
    "nodes-5": Row({"nodes": 3}, "Table 4, 5 nodes (3 inner)", f"2.63 {C10}"),
    "nodes-6": Row({"nodes": 4}, "Table 4, 6 nodes (4 inner)", f"2.57 {C10}"),
    "nodes-7": Row({"nodes": 5}, "Table 4, 7 nodes (5 inner)", f"2.64 {C10}"),
    "epochs-50": Row({"epochs": 50}, "Table 4, 50 epochs", f"2.57 {C10}"),
    "epochs-75": Row({"epochs": 75}, "Table 4, 75 epochs", f"2.67 {C10}", "the warm-up stays at 15"),
    "epochs-100": Row({"epochs": 100}, "Table 4, 100 epochs", f"2.69 {C10}", "the warm-up stays at 15"),
    "epochs-125": Row({"epochs": 125}, "Table 4, 125 epochs", f"2.75 {C10}", "the warm-up stays at 15"),
    "random": Row({"random_channels": True}, "eq. 1, channels at random", "not reported by itself"),
    "nats": Row({"layers": 5}, "no paper's: the NATS-Bench space", "not reported", "5 cells a stage, as in NATS-Bench", space="nats"),
}

NO_GROUP_ANNEALING = {"operation_start": 1.0, "operation_decay": 1.0}
NO_EDGE_ANNEALING = {"topology_start": 1.0, "topology_decay": 1.0}
DEPTH_UNKNOWN = "no figure in the text at hand; error falls with depth"
DOTS = {
    "cifar10": Row({}, "Table 1, sec. 4.1", f"2.45 ± 0.04 {C10} (Table 3), 0.2 GPU-days"),
    "cifar100": Row({}, "Table 10, Appendix C", "15.75 % test error on CIFAR-100, 0.2 GPU-days", data="cifar100"),
    "imagenet": Row(
        {
            "operation_epochs": 30,  # sec. 4.2, A.2: 30 epochs separately
            "topology_epochs": 30,
            "topology_layers": 14,  # sec. 4.2
            "operation_decay": 0.75,  # A.2
            "topology_decay": 0.64,  # A.2
            "batch_size": 1024,  # choice: the code has 0.25 with 512, the text 0.5
            "lr": 0.5,  # A.2
            "lr_end": 0.0,  # A.2: cosine decaying to 0
            "arch_lr": 0.006,  # A.2
            "fractions": (0.1, 0.025),  # sec. 4.2
        },
        "Table 2, sec. 4.2",
        "24.0 % top-1 and 7.2 % top-5 error on ImageNet, 1.0 GPU-days",
        data="imagenet",
    ),
    "both-annealings": Row({}, "Table 3, group and edge annealing", f"2.45 ± 0.04 {C10}"),
    "edge-annealing": Row(NO_GROUP_ANNEALING, "Table 3, edge annealing alone", f"2.57 ± 0.06 {C10}", "off is T = 1"),
    "group-annealing": Row(NO_EDGE_ANNEALING, "Table 3, group annealing alone", f"2.70 ± 0.11 {C10}", "off is T = 1"),
    "no-annealing": Row(NO_GROUP_ANNEALING | NO_EDGE_ANNEALING, "Table 3, without annealing", f"2.76 ± 0.09 {C10}", "off is T = 1"),
    "ol-ol": Row({"operation_levels": 1}, "Table 4, OL then OL", f"2.54 ± 0.06 {C10}"),
    "ol-bl": Row({"operation_levels": 1, "topology_levels": 2}, "Table 4, OL then BL", f"2.59 ± 0.12 {C10}"),
    "bl-ol": Row({}, "Table 4, BL then OL", f"2.45 ± 0.04 {C10}"),
    "bl-bl": Row({"topology_levels": 2}, "Table 4, BL then BL", f"2.66 ± 0.07 {C10}"),
    "darts-operations": Row(
        {"operations_from": "darts_v2_cifar"},
        "Table 5, topology of DARTS' operations",
        f"2.60 {C10}; DARTS alone 2.96",
        "choice: the published cell of DARTS; that of sec. 4.3 is not",
    ),
    "darts-operation-search": Row(
        {"grouped": False} | NO_GROUP_ANNEALING,
        "Table 5, topology of DARTS' operations, which are searched for first",
        f"2.60 {C10}; DARTS alone 2.96",
        "sec. 4.3",
    ),
    "depth-8": Row({"topology_layers": 8}, "Table 6, 8 cells in the topology search", DEPTH_UNKNOWN),
    "depth-14": Row({"topology_layers": 14}, "Table 6, 14 cells in the topology search", DEPTH_UNKNOWN),
    "depth-17": Row({}, "Table 6, 17 cells in the topology search", f"2.45 ± 0.04 {C10}"),
    "depth-20": Row({"topology_layers": 20}, "Table 6, 20 cells in the topology search", DEPTH_UNKNOWN),
    "code": Row(
        {
            "operation_start": 1.0,
            "operation_decay": 1.0,
            "operation_epochs": 30,  # 15 + 15
            "topology_epochs": 40,  # 20 + 20
            "topology_warmup": 20,
            "topology_layers": 8,
            "topology_decay": 0.7210227154182104,  # from 10 to 0.02 in 19 steps
            "arch_lr": 0.0003,
            "topology_arch_betas": (0.9, 0.999),
        },
        "later code, CIFAR: T = 1 in stage one, 8 cells, 30 + 40 epochs, architecture 3e-4",
        "not reported",
        "code, train_search.py",
    ),
}

FREE = ("none", "skip_connect", "max_pool_3x3")  # sec. III-A; "either max or average pooling": max is a choice
SUB_SPACES = {  # Table I
    1: ("sep_conv_3x3", "dil_conv_3x3"),
    2: ("sep_conv_5x5", "dil_conv_5x5"),
    3: ("sep_conv_3x3", "sep_conv_5x5"),
    4: ("dil_conv_3x3", "dil_conv_5x5"),
    5: ("sep_conv_3x3", "dil_conv_5x5"),
    6: ("sep_conv_5x5", "dil_conv_3x3"),
    7: ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3"),
    8: ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_5x5"),
}
WHOLE_CELL: dict[str, Any] = {"path": None, "attention": "off"}  # 14 edges, equal attention
AS_DARTS = WHOLE_CELL | {"layers": 8}  # Table II: all settings exactly those of DARTS
SKIPS = "skip connections (normal + reduction, 5 runs)"
SHALLOW = "% accuracy of the shallow network"


def _sub_space(number: int) -> dict[str, Row]:
    """5 and 16 cells are in Fig. 2 for all of Table I; 10 and 20 were tried with SS1 alone (sec. IV-C)."""
    changes = {layers: WHOLE_CELL | {"operations": FREE + SUB_SPACES[number], "layers": layers} for layers in (5, 10, 16, 20)}
    ten, twenty = (Row(changes[n], f"Table I, SS{number}; {n} cells with SS1 alone (sec. IV-C)", "not reported") for n in (10, 20))
    if number == 1:
        ten = Row(changes[10], "sec. IV-C, SS1 of Table I, 10 cells", "no figure")
        twenty = Row(changes[20], "sec. IV-C, SS1 of Table I, 20 cells", "as good as 16 cells (sec. IV-C)")
    return {
        f"ss{number}-5": Row(changes[5], f"Fig. 2, SS{number} of Table I, 5 cells", PICTURE),
        f"ss{number}-10": ten,
        f"ss{number}-16": Row(changes[16], f"Fig. 2, SS{number} of Table I, 16 cells", PICTURE),
        f"ss{number}-20": twenty,
    }


EDARTS = {
    "cifar10": Row({}, "Table IV, eDARTS CIFAR10", "2.53 % test error on CIFAR-10, 17.00 % on CIFAR-100, 0.015 GPU-days"),
    "cifar100": Row(
        {}, "Table IV, eDARTS CIFAR100", "16.83 % test error on CIFAR-100, 2.72 % on CIFAR-10, 0.016 GPU-days", data="cifar100"
    ),
    "darts": Row(
        AS_DARTS | {"images": None, "sparse": False},
        "Table II, DARTS",
        f"14 + 19 {SKIPS}, 90.25 {SHALLOW}, 0.11 M parameters, 36 GPU-hours",
    ),
    "darts-subset": Row(
        AS_DARTS | {"sparse": False},
        "Table II, DARTS + Data Subset",
        f"4 + 14 {SKIPS}, 91.27 {SHALLOW}, 0.15 M parameters, 6 GPU-hours",
    ),
    "darts-sparse": Row(
        AS_DARTS | {"images": None},
        "Table II, DARTS + Epoch Update",
        f"5 + 11 {SKIPS}, 91.33 {SHALLOW}, 0.16 M parameters, 4.6 GPU-hours",
    ),
    "darts-subset-sparse": Row(
        AS_DARTS,
        "Table II, DARTS + Data Subset + Epoch Update",
        f"5 + 8 {SKIPS}, 92.15 {SHALLOW}, 0.2 M parameters, 0.85 GPU-hours",
    ),
    "separable": Row(
        WHOLE_CELL | {"operations": FREE + ("sep_conv_3x3", "sep_conv_5x5"), "layers": 16},
        "sec. IV-F, all separable, 16 cells, 14 edges",
        "2.56 % test error on CIFAR-10, best of 10 runs of about 1 hour",
    ),
    "equal-attention": Row({"attention": "off"}, "sec. IV-F, the path, equal attention", f"below 92.5 {SHALLOW} on CIFAR-10"),
    "attention-start": Row({"attention": "start"}, "sec. IV-C, constants added once, at the start", "not told apart"),
    "attention-forward": Row({"attention": "forward"}, "sec. IV-C, constants added in every pass", "not told apart"),
    "attention-update": Row({"attention": "update"}, "sec. IV-C, constants added after each update of alpha", "not told apart"),
    **{name: row for number in SUB_SPACES for name, row in _sub_space(number).items()},
}

MAX_POOL = {"topology_operation": ("max_pool_3x3",)}
SEP3 = {"topology_operation": ("sep_conv_3x3",)}
OP3 = {"topology_operation": ("max_pool_3x3", "skip_connect", "none")}  # note below Table 1
OP4 = {"topology_operation": ("sep_conv_3x3", "max_pool_3x3", "skip_connect", "none")}
THEN_50 = {"epochs": 50, "operator": "gradient", "operator_epochs": 50}
BY_2021 = "FTSO 2021, Table 4: 0.5, 6e-3; batch and weight decay: PC-DARTS sec. 4.3"
FTSO_IMAGENET = {"batch_size": 1024, "lr": 0.5, "arch_lr": 0.006, "weight_decay": 0.00003}
PART = FTSO_IMAGENET | {"fractions": (0.1, 0.025)}  # FTSO 2021, A.1
ON_NATS = {"layers": 5, "partial": 1, "batch_size": 64, "lr_end": 0.001, "arch_lr": 0.0003, "operation": "nor_conv_3x3"}
FROM_DARTS = 'sec. 4.3: "based on DARTS instead of PC-DARTS"; 5 cells a stage as in NATS-Bench'


def _errors(cifar: str, imagenet: str, days: str) -> str:
    """Columns of Table 1."""
    of_cifar = f"{cifar} {C10} (600 / 1,200 epochs)" if cifar else ""
    of_imagenet = f"{imagenet} % top-1 / top-5 error on ImageNet" if imagenet else ""
    return ", ".join(text for text in (of_cifar, of_imagenet, f"{days} GPU-days") if text)


FTSO = {
    "skip-1it": Row({"iterations": 1}, "Table 1, CIF. Topo(skip,1it.)", _errors("2.68 / 2.54", "24.36 / 7.27", "7.87e-6")),
    "skip-1ep": Row({"epochs": 1}, "Table 1, CIF. Topo(skip,1ep.)", _errors("2.48 / 2.23", "23.60 / 7.01", "2e-4")),
    "skip-50ep": Row({"epochs": 50}, "Table 1, CIF. Topo(skip,50ep.)", _errors("2.77 / 2.52", "", "0.01")),
    "skip-1ep-op-18ep": Row(
        {"operator": "gradient", "operator_epochs": 18},
        "Table 1, CIF. Topo(skip,1ep.)+Op(18ep.)",
        _errors("2.85 / 2.59", "23.97 / 7.20", "0.01"),
    ),
    "skip-50ep-op-50ep": Row(THEN_50, "Table 1, CIF. Topo(skip,50ep.)+Op(50ep.)", _errors("2.59 / 2.36", "23.97 / 7.12", "0.05")),
    "mp-50ep-op-50ep": Row(MAX_POOL | THEN_50, "Table 1, CIF. Topo(m.p.,50ep.)+Op(50ep.)", _errors("2.83 / 2.48", "", "0.05")),
    "sep3-50ep": Row(SEP3 | {"epochs": 50}, "Table 1, CIF. Topo(sep3,50ep.)", _errors("2.63 / 2.48", "", "0.02")),
    "sep3-50ep-op-50ep": Row(SEP3 | THEN_50, "Table 1, CIF. Topo(sep3,50ep.)+Op(50ep.)", _errors("2.56 / 2.52", "24.73 / 7.60", "0.06")),
    "3op-50ep-op-50ep": Row(OP3 | THEN_50, "Table 1, CIF. Topo(3op,50ep.)+Op(50ep.)", _errors("2.59 / 2.50", "", "0.05")),
    "4op-50ep-op-50ep": Row(OP4 | THEN_50, "Table 1, CIF. Topo(4op,50ep.)+Op(50ep.)", _errors("2.68 / 2.59", "", "0.07")),
    "part-imagenet-1it": Row(
        PART | {"iterations": 1}, "Table 1, Part ImageNet Topo(skip,1it.)", _errors("", "24.03 / 7.07", "0.0002"), BY_2021, "imagenet"
    ),
    "part-imagenet-1ep": Row(PART, "Table 1, Part ImageNet Topo(skip,1ep.)", _errors("", "23.94 / 7.05", "0.0017"), BY_2021, "imagenet"),
    "part-imagenet-6ep": Row(
        PART | {"epochs": 6}, "Table 1, Part ImageNet Topo(skip,6ep.)", _errors("", "24.59 / 7.38", "0.009"), BY_2021, "imagenet"
    ),
    "full-imagenet-1ep": Row(
        FTSO_IMAGENET, "Table 1, Full ImageNet Topo(skip,1ep.)", _errors("2.35 / 2.26", "23.58 / 6.80", "0.01"), BY_2021, "imagenet"
    ),
    "skip-2it": Row({"iterations": 2}, "Fig. 3d, 2 iterations", f"{PICTURE}: works as well as 1 iteration"),
    "replace-sep3": Row({}, "Fig. 4a, sep_conv_3x3", f"{PICTURE}: the best; 2.48 / 2.23 {C10} in Table 1"),
    "replace-sep5": Row({"operation": "sep_conv_5x5"}, "Fig. 4a, sep_conv_5x5", PICTURE),
    "replace-dil3": Row({"operation": "dil_conv_3x3"}, "Fig. 4a, dil_conv_3x3", PICTURE),
    "replace-dil5": Row({"operation": "dil_conv_5x5"}, "Fig. 4a, dil_conv_5x5", PICTURE),
    "replace-max-pool": Row({"operation": "max_pool_3x3"}, "Fig. 4a, max_pool_3x3", PICTURE),
    "replace-avg-pool": Row({"operation": "avg_pool_3x3"}, "Fig. 4a, avg_pool_3x3", PICTURE),
    "replace-skip": Row({"operation": "skip_connect"}, "Fig. 4a, skip_connect", PICTURE),
    "cifar100": Row({}, "sec. 4.4, CIFAR-100", f"{PICTURE}: one epoch is enough", data="cifar100"),
    "cifar100-iterations": Row({}, "Fig. 4d, CIFAR-100 iteration by iteration", PICTURE, data="cifar100"),
    "cifar100-50ep": Row({"epochs": 50}, "Fig. 4c, CIFAR-100 epoch by epoch", PICTURE, data="cifar100"),
    "nats": Row(ON_NATS, "Table 4, FTSO", f"searched on any of them 93.98/70.22/45.57 {NATS_TABLE_4}", FROM_DARTS, space="nats"),
    "nats-gradient": Row(ON_NATS | {"operator": "gradient"}, "Algorithm 2, by gradient", "not reported", FROM_DARTS, space="nats"),
}

PRESETS: dict[str, dict[str, Row]] = {"darts": DARTS, "pc-darts": PC_DARTS, "ftso": FTSO, "dots": DOTS, "edarts": EDARTS}
