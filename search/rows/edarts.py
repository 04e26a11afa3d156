"""Rows of eDARTS (ICPR 2020): Tables II to IV, Fig. 2 and 3, sec. IV-F. Table I lists the sub-spaces that Fig. 2 searches.

Note:
    Table II averages accuracy and parameters over five searches and takes the least search time of them; its skip connections are sums
    over the five. Its parameters are those of the shallow network.
Note:
    Fig. 2 averages ten searches (seeds 20 to 29). How often a searched cell is trained is unsaid: once for each search.
Note:
    Table III's "final" accuracies are quoted from the papers of the cells (2.76 %, 2.50 %, 2.57 % error).
Note:
    The error on CIFAR-100 is 16.83 % in Table IV and 16.84 % in the text.
"""

from __future__ import annotations

from dataclasses import replace

from .row import CIFAR100, Compare, Figure, Published, RankPaths, Row, Search, Select, Train, days, error, size

FINAL = Train(recipe="edarts")
SHALLOW = "shallow accuracy"
HOURS = 24
TABLE_2 = {  # skip connections of five normal and five reduction cells, accuracy, parameters, GPU-hours
    "darts": ("DARTS", (14, 19), 90.25, 0.11, 36),
    "darts-subset": ("DARTS + Data Subset", (4, 14), 91.27, 0.15, 6),
    "darts-sparse": ("DARTS + Epoch Update", (5, 11), 91.33, 0.16, 4.6),
    "darts-subset-sparse": ("DARTS + Data Subset + Epoch Update", (5, 8), 92.15, 0.2, 0.85),
}
TABLE_3 = {  # accuracies of the shallow and of the final network
    "darts-v1": ("DARTS_V1", "darts_v1_cifar", 90.14, 97.00, "cifar"),
    "darts-v2": ("DARTS_V2", "darts_v2_cifar", 91.37, 97.24, "cifar"),
    "p-darts": ("P-DARTS", "p_darts_cifar", 92.76, 97.50, "pc-darts"),
    "pc-darts": ("PC-DARTS", "pc_darts_cifar", 93.00, 97.43, "pc-darts"),
}
IN_TABLE_4 = (
    Published("densenet-bc", "DenseNet-BC", 3.46, parameters=25.6),
    Published("nasnet-a", "NASNet-A + cutout", 2.65, parameters=3.3, days=1800, model="nasnet_a_cifar"),
    Published("amoebanet-a", "AmoebaNet-A + cutout", 3.34, parameters=3.2, days=3150, model="amoebanet_a_cifar"),
    Published("amoebanet-b", "AmoebaNet-B + cutout", 2.55, parameters=2.8, days=3150),
    Published("hierarchical", "Hierarchical evolution", 3.75, parameters=15.7, days=300),
    Published("pnas", "PNAS", 3.41, parameters=3.2, days=225, model="pnasnet_cifar"),
    Published("enas", "ENAS + cutout", 2.89, parameters=4.6, days=0.5, model="enas_cifar"),
    Published("darts-v1", "DARTS (first order) + cutout", 3.00, parameters=3.3, days=1.5, model="darts_v1_cifar"),
    Published("darts-v2", "DARTS (second order) + cutout", 2.76, parameters=3.3, days=4, model="darts_v2_cifar"),
    Published("snas-mild", "SNAS + mild constraint + cutout", 2.98, parameters=2.9, days=1.5, model="snas_mild_cifar"),
    Published("snas-moderate", "SNAS + moderate constraint + cutout", 2.85, parameters=2.8, days=1.5, model="snas_moderate_cifar"),
    Published("snas-aggressive", "SNAS + aggressive constraint + cutout", 3.10, parameters=2.3, days=1.5, model="snas_aggressive_cifar"),
    Published("proxylessnas", "ProxylessNAS + cutout", 2.08, parameters=5.7, days=4),
    Published("pc-darts", "PC-DARTS + cutout", 2.57, parameters=3.6, days=0.1, model="pc_darts_cifar"),
    Published("fair-darts", "Fair DARTS", 2.54, parameters=2.8, days=0.3, model="fair_darts_a_cifar"),
    Published("p-darts-cifar10", "P-DARTS CIFAR10 + cutout", 2.50, parameters=3.4, days=0.3, model="p_darts_cifar"),
    Published("p-darts-cifar100", "P-DARTS CIFAR100 + cutout", 2.62, parameters=3.6, days=0.3),
)
ON_CIFAR100 = (
    Published("densenet-bc", "DenseNet-BC", 17.18, parameters=25.6),
    Published("darts-v1", "DARTS (first order) + cutout", 17.76, parameters=3.3, days=1.5, model="darts_v1_cifar"),
    Published("darts-v2", "DARTS (second order) + cutout", 17.54, parameters=3.3, days=4, model="darts_v2_cifar"),
    Published("p-darts-cifar10", "P-DARTS CIFAR10 + cutout", 16.55, parameters=3.4, days=0.3, model="p_darts_cifar"),
    Published("p-darts-cifar100", "P-DARTS CIFAR100 + cutout", 15.92, parameters=3.6, days=0.3),
)
PICTURE = "in a picture only"


def _table_2(preset: str) -> Row:
    title, (normal, reduction), accuracy, parameters, hours = TABLE_2[preset]
    return Row(
        name=f"edarts/table2/{preset}",
        place=f"eDARTS, Table II, {title}",
        steps=(Search(method="edarts", preset=preset, runs=5), Compare(seeds=1)),
        figures=(
            Figure("skip connections, normal cell", normal),
            Figure("skip connections, reduction cell", reduction),
            Figure(SHALLOW, accuracy),
            Figure("shallow parameters", parameters),
            *days(hours / HOURS),
        ),
    )


def _table_3(slug: str) -> list[Row]:
    title, model, shallow, final, recipe = TABLE_3[slug]
    return [
        Row(
            name=f"edarts/table3/{slug}-shallow",
            place=f"eDARTS, Table III, {title}, shallow",
            steps=(Compare(models=(model,)),),
            figures=(Figure(SHALLOW, shallow),),
        ),
        Row(
            name=f"edarts/table3/{slug}-final",
            place=f"eDARTS, Table III, {title}, final",
            steps=(Train(recipe=recipe, model=model),),
            figures=(error(round(100 - final, 2)),),
            notes=("quoted from the cell's own paper, so by that paper's recipe",),
        ),
    ]


def _table_4(data: str, searched: str, reported: float, parameters: float, cost: float) -> Row:
    preset = searched.lower()
    return Row(
        name=f"edarts/table4/{data}/edarts-{preset}",
        place=f"eDARTS, Table IV, {data}, eDARTS {searched} + cutout",
        steps=(Search(method="edarts", preset=preset), replace(FINAL, data=data)),
        figures=(error(reported), *size(parameters), *days(cost)),
        notes=("one search for each data set (sec. IV-E)",),
    )


def _fig_2(number: int, cells: int) -> Row:
    return Row(
        name=f"edarts/fig2/ss{number}-{cells}",
        place=f"eDARTS, {'Fig. 2' if cells in (5, 16) else 'sec. IV-C'}, SS{number}, {cells} cells",
        steps=(Search(method="edarts", preset=f"ss{number}-{cells}", runs=10, seed=20), Compare(seeds=1)),
        figures=(Figure(SHALLOW, None, words=PICTURE),),
    )


ROWS: tuple[Row, ...] = (
    *(_table_2(preset) for preset in TABLE_2),
    *(row for slug in TABLE_3 for row in _table_3(slug)),
    _table_4("cifar10", "CIFAR10", 2.53, 3.1, 0.015),
    _table_4("cifar100", "CIFAR10", 17.00, 3.1, 0.015),
    _table_4("cifar10", "CIFAR100", 2.72, 3.5, 0.016),
    _table_4("cifar100", "CIFAR100", 16.83, 3.5, 0.016),
    *(one.row("edarts/table4/cifar10", "eDARTS, Table IV, CIFAR-10", FINAL) for one in IN_TABLE_4),
    *(one.row("edarts/table4/cifar100", "eDARTS, Table IV, CIFAR-100", replace(FINAL, data=CIFAR100)) for one in ON_CIFAR100),
    *(_fig_2(number, cells) for number in range(1, 9) for cells in (5, 16)),
    *(_fig_2(1, cells) for cells in (10, 20)),
    Row(
        name="edarts/fig3",
        place="eDARTS, Fig. 3 and sec. III-B, IV-D, all 180 paths",
        steps=(RankPaths(flags=("--by-test",)),),
        figures=(
            Figure("best path accuracy", 92.44),
            Figure("worst path accuracy", 91.24),
            Figure("best path in both cells accuracy", 93.66),
        ),
        notes=("ranked by test images, as in the paper; how many trainings a path has is unsaid: three",),
    ),
    Row(
        name="edarts/sec4f/separable",
        place="eDARTS, sec. IV-F, all separable, 16 cells, 14 edges",
        steps=(Search(method="edarts", preset="separable", runs=10), Select(recipe="shallow"), FINAL),
        figures=(error(2.56), *days(1 / HOURS)),
        notes=("the best cell of 10 searches; how it is chosen is unsaid: by validation accuracy",),
    ),
    Row(
        name="edarts/sec4f/equal-attention",
        place="eDARTS, sec. IV-F, the path, equal attention",
        steps=(Search(method="edarts", preset="equal-attention", runs=10), Compare(seeds=1)),
        figures=(Figure(SHALLOW, None, words="below 92.5 %"),),
    ),
)
