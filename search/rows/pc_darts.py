"""Rows of PC-DARTS (Xu et al. 2020): Tables 1 to 5 and Fig. 3.

Note:
    2.57 ± 0.07 of Table 1 is the best of the five trainings in Table 4 (2.72, 2.67, 2.57, 2.75, 2.64), not their mean, which is 2.67;
    0.07 is their standard deviation (of a sample: n - 1). Five trainings are run here, and the best of them is printed beside 2.57.
Note:
    How many searches a row of Tables 3 and 4 stands for is unsaid: one search. Sec. 4.4.2 speaks of five runs, Table 3 gives deviations:
    five trainings.
Note:
    The rows of other methods in Tables 1, 2 and 4 were not run by the paper; where their published cells are at hand, they can be trained.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

from nasarch.search.settings import pc_darts as presets

from .row import COCO, IMAGENET, Detect, Figure, Published, Row, Search, Select, Train, days, error, size, top5

CIFAR = Train(recipe="pc-darts")
FULL = Train(recipe="imagenet", data=IMAGENET)
SHORT = Train(recipe="imagenet-100", data=IMAGENET)
TABLE_1, TABLE_2 = "PC-DARTS, Table 1", "PC-DARTS, Table 2"
BEST = "2.57 is the best of the five trainings in Table 4, not their mean (2.67); 0.07 is their deviation"
STD_UNSAID = "the numbers of searches and trainings behind the deviation are unsaid: one search, five trainings"
BATCH_UNSAID = "batch sizes are unsaid: 64 K, and the learning rate 0.025 K"

IN_TABLE_1 = (
    Published("densenet-bc", "DenseNet-BC", 3.46, parameters=25.6),
    Published("nasnet-a", "NASNet-A + cutout", 2.65, parameters=3.3, days=1800, model="nasnet_a_cifar"),
    Published("amoebanet-a", "AmoebaNet-A + cutout", 3.34, 0.06, parameters=3.2, days=3150, model="amoebanet_a_cifar"),
    Published("amoebanet-b", "AmoebaNet-B + cutout", 2.55, 0.05, parameters=2.8, days=3150),
    Published("hierarchical", "Hierarchical Evolution", 3.75, 0.12, parameters=15.7, days=300),
    Published("pnas", "PNAS", 3.41, 0.09, parameters=3.2, days=225, model="pnasnet_cifar"),
    Published("enas", "ENAS + cutout", 2.89, parameters=4.6, days=0.5, model="enas_cifar"),
    Published("naonet-ws", "NAONet-WS", 3.53, parameters=3.1, days=0.4),
    Published("snas-mild", "SNAS (mild) + cutout", 2.98, parameters=2.9, days=1.5, model="snas_mild_cifar"),
    Published("snas-moderate", "SNAS (moderate) + cutout", 2.85, 0.02, parameters=2.8, days=1.5, model="snas_moderate_cifar"),
    Published("snas-aggressive", "SNAS (aggressive) + cutout", 3.10, 0.04, parameters=2.3, days=1.5, model="snas_aggressive_cifar"),
    Published("proxylessnas", "ProxylessNAS + cutout", 2.08, days=4.0),
    Published("p-darts", "P-DARTS + cutout", 2.50, parameters=3.4, days=0.3, model="p_darts_cifar"),
    Published("bayesnas", "BayesNAS + cutout", 2.81, 0.04, parameters=3.4, days=0.2, model="bayesnas_0007_cifar"),
)
IN_TABLE_2 = (
    Published("inception-v1", "Inception-v1", 30.2, None, 10.1, 6.6, 1448),
    Published("mobilenet", "MobileNet", 29.4, None, 10.5, 4.2, 569),
    Published("shufflenet-v1", "ShuffleNet 2x (v1)", 26.4, None, 10.2, 5, 524),
    Published("shufflenet-v2", "ShuffleNet 2x (v2)", 25.1, None, None, 5, 591),
    Published("nasnet-a", "NASNet-A", 26.0, None, 8.4, 5.3, 564, 1800, "nasnet_a_cifar_224"),
    Published("nasnet-b", "NASNet-B", 27.2, None, 8.7, 5.3, 488, 1800),
    Published("nasnet-c", "NASNet-C", 27.5, None, 9.0, 4.9, 558, 1800),
    Published("amoebanet-a", "AmoebaNet-A", 25.5, None, 8.0, 5.1, 555, 3150, "amoebanet_a_cifar_224"),
    Published("amoebanet-b", "AmoebaNet-B", 26.0, None, 8.5, 5.3, 555, 3150),
    Published("amoebanet-c", "AmoebaNet-C", 24.3, None, 7.6, 6.4, 570, 3150),
    Published("pnas", "PNAS", 25.8, None, 8.1, 5.1, 588, 225, "pnasnet_cifar_224"),
    Published("mnasnet-92", "MnasNet-92", 25.2, None, 8.0, 4.4, 388),
    Published("snas-mild", "SNAS (mild)", 27.3, None, 9.2, 4.3, 522, 1.5, "snas_mild_cifar_224"),
    Published("proxylessnas", "ProxylessNAS (GPU)", 24.9, None, 7.5, 7.1, 465, 8.3),
    Published("p-darts-cifar10", "P-DARTS (CIFAR10)", 24.4, None, 7.4, 4.9, 557, 0.3, "p_darts_cifar_224"),
    Published("p-darts-cifar100", "P-DARTS (CIFAR100)", 24.7, None, 7.5, 5.1, 577, 0.3),
    Published("bayesnas", "BayesNAS", 26.5, None, 8.9, 3.9, None, 0.2, "bayesnas_mobile_cifar_224"),
)
IN_TABLE_5 = (  # backbone, input size, multi-adds in 10^9, AP, AP50, AP75, AP of small, medium and large objects
    ("ssd300", "SSD300, VGG-16", 35.2, (23.2, 41.2, 23.4, 5.3, 23.2, 39.6)),
    ("ssd512", "SSD512, VGG-16", 99.5, (26.8, 46.5, 27.8, 9.0, 28.9, 41.9)),
    ("yolov2", "YOLOv2, Darknet-19", 17.5, (21.6, 44.0, 19.2, 5.0, 22.4, 35.5)),
    ("pelee", "Pelee, PeleeNet", 1.3, (22.4, 38.3, 22.9)),
    ("ssdlite-v1", "SSDLiteV1, MobileNetV1", 1.3, (22.2,)),
    ("ssdlite-v2", "SSDLiteV2, MobileNetV2", 0.8, (22.1,)),
    ("ssdlite-v3", "SSDLiteV3, MnasNet-A1", 0.8, (23.0, None, None, 3.8, 21.7, 42.0)),
)
AP = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")


def _darts(order: str, name: str, title: str, std: float, gpu_days: float) -> Row:
    """DARTS as it was run by its own paper: four searches, the best by validation, ten trainings."""
    return Row(
        name=f"pc-darts/table1/darts-{order}",
        place=f"{TABLE_1}, DARTS ({title} order) + cutout",
        steps=(Search(method="darts", preset=name, runs=4), Select(), Train(recipe="cifar", runs=10)),
        figures=(error(3.00 if order == "v1" else 2.76, std), *size(3.3), *days(gpu_days)),
        notes=("as DARTS ran it: four searches, the best after 100 epochs, its training 10 times",),
    )


TABLE_3 = (  # preset; test error, deviation and GPU-days on CIFAR-10; on ImageNet
    ("neither", "without PC, without EN", (3.00, 0.14, 0.4), (26.8, 0.1, 7.7)),
    ("en", "EN alone", (2.82, 0.05, 0.4), (26.3, 0.1, 7.7)),
    ("pc", "PC alone", (2.67, 0.11, 0.1), (26.2, 0.1, 3.8)),
    ("pc-en", "PC and EN", (2.57, 0.07, 0.1), (25.8, 0.1, 3.8)),
)


def _table_3(data: str, preset: str, title: str, reported: tuple[float, float, float]) -> Row:
    mean, std, cost = reported
    train = SHORT if data == IMAGENET else CIFAR
    return Row(
        name=f"pc-darts/table3/{data}-{preset.removeprefix('imagenet-')}",
        place=f"PC-DARTS, Table 3, {data}, {title}",
        steps=(Search(method="pc-darts", preset=preset), replace(train, runs=5)),
        figures=(error(mean, std), *days(cost)),
        notes=(STD_UNSAID, BATCH_UNSAID),
    )


RUNS = {  # Table 4, left: the same cell trained five times
    "darts-v1": ("DARTS-v1", "darts_v1_cifar", (2.89, 3.15, 2.99, 3.07, 3.27)),
    "darts-v2": ("DARTS-v2", "darts_v2_cifar", (3.11, 2.68, 2.77, 3.14, 3.06)),
    "pc-darts": ("PC-DARTS", "pc_darts_cifar", (2.72, 2.67, 2.57, 2.75, 2.64)),
}
METHODS = {"darts-v1": ("darts", "first-"), "darts-v2": ("darts", "second-"), "pc-darts": ("pc-darts", "")}
BY_EPOCHS = {
    "darts-v1": {50: 2.98, 75: 2.87, 100: 3.32, 125: 3.08},
    "darts-v2": {50: 2.76, 75: 2.93, 100: 3.51, 125: 3.18},
    "pc-darts": presets.EPOCHS,
}
BY_NODES = {
    "darts-v1": {5: 3.03, 6: 2.98, 7: 2.89},
    "darts-v2": {5: 2.82, 6: 2.76, 7: 3.02},
    "pc-darts": presets.NODES,
}


def _table_4(method: str) -> list[Row]:
    title, model, each = RUNS[method]
    command, prefix = METHODS[method]
    rows = [
        Row(
            name=f"pc-darts/table4/{method}-runs",
            place=f"PC-DARTS, Table 4, runs, {title}",
            steps=(Train(recipe="pc-darts", runs=5, model=model),),
            figures=(error(statistics.fmean(each), statistics.stdev(each), f"mean of {', '.join(map(str, each))}"),),
        )
    ]
    for kind, values in (("epochs", BY_EPOCHS[method]), ("nodes", BY_NODES[method])):
        rows += [
            Row(
                name=f"pc-darts/table4/{method}-{kind}-{number}",
                place=f"PC-DARTS, Table 4, {kind}, {title}, {number}",
                steps=(Search(method=command, preset=f"{prefix}{kind}-{number}"), CIFAR),
                figures=(error(reported),),
            )
            for number, reported in values.items()
        ]
    return rows


def _fig_3(k: int, reported: float | None, words: str) -> Row:
    return Row(
        name=f"pc-darts/fig3/k{k}",
        place=f"PC-DARTS, Fig. 3, sampling rate 1/{k}",
        steps=(Search(method="pc-darts", preset=f"k{k}"), CIFAR),
        figures=(error(reported, words=words),),
        notes=(BATCH_UNSAID,),
    )


def _table_5(slug: str, title: str, multi_adds: float, precisions: tuple[float | None, ...]) -> Row:
    figures = [Figure(metric, value) for metric, value in zip(AP, precisions, strict=False) if value is not None]
    reason = "no backbone of cells; another paper's figures (Tan et al. 2019)"
    return Row(
        name=f"pc-darts/table5/{slug}",
        place=f"PC-DARTS, Table 5, {title}",
        figures=(*figures, Figure("multi-adds", multi_adds * 1000)),
        reason=reason,
    )


ROWS: tuple[Row, ...] = (
    Row(
        name="pc-darts/table1/cifar10",
        place=f"{TABLE_1}, PC-DARTS + cutout",
        steps=(Search(method="pc-darts", preset="cifar10"), Train(recipe="pc-darts", runs=5)),
        figures=(Figure("best test error", 2.57, 0.07), *size(3.6), *days(0.1)),
        notes=(BEST,),
    ),
    _darts("v1", "first", "1st", 0.14, 0.4),
    _darts("v2", "second", "2nd", 0.09, 1.0),
    *(one.row("pc-darts/table1", TABLE_1, CIFAR) for one in IN_TABLE_1),
    Row(
        name="pc-darts/table2/cifar10",
        place=f"{TABLE_2}, PC-DARTS (CIFAR10)",
        steps=(Search(method="pc-darts", preset="cifar10"), FULL),
        figures=(error(25.1), *top5(7.8), *size(5.3, 586), *days(0.1)),
    ),
    Row(
        name="pc-darts/table2/imagenet",
        place=f"{TABLE_2}, PC-DARTS (ImageNet)",
        steps=(Search(method="pc-darts", preset="imagenet"), FULL),
        figures=(error(24.2), *top5(7.3), *size(5.3, 597), *days(3.8)),
    ),
    Row(
        name="pc-darts/table2/darts-v2",
        place=f"{TABLE_2}, DARTS (2nd order)",
        steps=(Search(method="darts", preset="second", runs=4), Select(), Train(recipe="darts-imagenet", data=IMAGENET)),
        figures=(error(26.7), *top5(8.7), *size(4.7, 574), *days(4.0)),
        notes=("4.0 GPU-days are of four searches",),
    ),
    *(one.row("pc-darts/table2", TABLE_2, FULL) for one in IN_TABLE_2),
    *(_table_3("cifar10", preset, title, cifar) for preset, title, cifar, _ in TABLE_3),
    *(_table_3(IMAGENET, f"imagenet-{preset}", title, imagenet) for preset, title, _, imagenet in TABLE_3),
    *(row for method in RUNS for row in _table_4(method)),
    Row(
        name="pc-darts/table5/pc-darts",
        place="PC-DARTS, Table 5, PC-DARTS with SSD, 320x320",
        steps=(Detect(model="pc_darts_imagenet", size=320, data=COCO),),
        figures=(*(Figure(*pair) for pair in zip(AP, (28.9, 46.9, 30.0, 7.9, 32.0, 48.3), strict=True)), Figure("multi-adds", 1200)),
        notes=("the training of the detector (epochs, learning rate, anchors) is unsaid: this package's defaults for 320 pixels",),
    ),
    *(_table_5(*line) for line in IN_TABLE_5),
    _fig_3(1, None, presets.FIG_3[1].format("%")),
    _fig_3(2, None, presets.FIG_3[2]),
    _fig_3(4, 2.57, ""),
    _fig_3(8, None, presets.FIG_3[8]),
)
