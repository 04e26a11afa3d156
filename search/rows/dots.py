"""Rows of DOTS (Gu et al., submission of 2020): Tables 1 to 10, Fig. 1 and 3.

Note:
    Of Tables 1, 5 and 6 the text at hand has no lines: their figures are those that the text and Table 3 quote. Table 4's cells follow
    from its caption: OL is one-level, BL bi-level optimization; 2.45 is the method's own.
Note:
    "We follow DARTS to run the evaluation five times and report the average" (sec. 4.1): five trainings on CIFAR. One search. ImageNet is
    trained once.
Note:
    Tables 7 to 9 list the operations that the operation search retains; their figure is how many of a run's are the same.
"""

from __future__ import annotations

from .row import CIFAR100, IMAGENET, Correlate, Figure, Published, Row, Search, Train, days, error, size, top5

CIFAR = Train(recipe="cifar", runs=5)
HUNDRED = Train(recipe="cifar", data=CIFAR100, runs=5)
FULL = Train(recipe="dots-imagenet", data=IMAGENET)
FROM_TEXT = "the table has no lines in the text at hand; the figure is quoted elsewhere in it"

IN_TABLE_2 = (
    Published("inception-v1", "Inception-v1", 30.2, None, 10.1, 6.6, 1448),
    Published("mobilenet", "MobileNet", 29.4, None, 10.5, 4.2, 569),
    Published("shufflenet-v1", "ShuffleNet 2x (v1)", 26.4, None, 10.2, 5.4, 524),
    Published("shufflenet-v2", "ShuffleNet 2x (v2)", 25.1, None, 7.6, 7.4, 591),
    Published("nasnet-a", "NASNet-A", 26.0, None, 8.4, 5.3, 564, 1800, "nasnet_a_cifar_224"),
    Published("amoebanet-c", "AmoebaNet-C", 24.3, None, 7.6, 6.4, 570, 3150),
    Published("pnas", "PNAS", 25.8, None, 8.1, 5.1, 588, 225, "pnasnet_cifar_224"),
    Published("mnasnet-92", "MnasNet-92", 25.2, None, 8.0, 4.4, 388, 1667),
    Published("darts-v2", "DARTS (2nd order) (CIFAR10)", 26.7, None, 8.7, 4.7, 574, 4.0, "darts_v2_cifar_224"),
    Published("snas", "SNAS (CIFAR10)", 27.3, None, 9.2, 4.3, 522, 1.5, "snas_mild_cifar_224"),
    Published("p-darts", "P-DARTS (CIFAR10)", 24.4, None, 7.4, 4.9, 557, 0.3, "p_darts_cifar_224"),
    Published("gdas", "GDAS", 26.0, None, 8.5, 5.3, 581, 0.2, "gdas_cifar_224"),
    Published("fair-darts-cifar10", "FairDARTS (CIFAR10)", 24.9, None, 7.5, 4.8, 541, 0.4, "fair_darts_b_cifar_224"),
    Published("pc-darts-cifar10", "PC-DARTS (CIFAR10)", 25.1, None, 7.8, 5.3, 586, 0.1, "pc_darts_cifar_224"),
    Published("sdarts-adv", "SDARTS-ADV (CIFAR10)", 25.2, None, 7.8, 5.4, 594, 1.3, "sdarts_adv_cifar_224"),
    Published("proxylessnas", "ProxylessNAS (ImageNet)", 24.9, None, 7.5, 7.1, 465, 8.3),
    Published("fair-darts-imagenet", "FairDARTS (ImageNet)", 24.4, None, 7.4, 4.3, 440, 3),
    Published("pc-darts-imagenet", "PC-DARTS (ImageNet)", 24.2, None, 7.3, 5.3, 597, 3.8, "pc_darts_imagenet"),
)
IN_TABLE_10 = (
    Published("resnet", "ResNet", 22.10, parameters=1.7),
    Published("densenet-bc", "DenseNet-BC", 17.18, parameters=25.6),
    Published("amoebanet", "AmoebaNet", 18.93, parameters=3.1, days=3150, model="amoebanet_a_cifar"),
    Published("pnas", "PNAS", 19.53, parameters=3.2, days=150, model="pnasnet_cifar"),
    Published("enas", "ENAS", 19.43, parameters=4.6, days=0.45, model="enas_cifar"),
    Published("darts-v2", "DARTS (2nd)", 17.54, parameters=3.4, model="darts_v2_cifar"),
    Published("gdas", "GDAS", 18.38, parameters=3.4, days=0.2, model="gdas_cifar"),
    Published("p-darts", "P-DARTS", 17.49, parameters=3.6, days=0.3, model="p_darts_cifar"),
    Published("dropnas", "DropNAS", 16.39, parameters=4.4, days=0.7, model="dropnas_cifar"),
    Published("darts-minus", "DARTS-", 17.16, parameters=3.4, days=0.4, model="darts_minus_cifar"),
)


def _ablation(name: str, title: str, preset: str, reported: float | None, std: float | None = None, *notes: str) -> Row:
    words = "" if reported is not None else "not in the text at hand"
    return Row(
        name=f"dots/{name}",
        place=f"DOTS, {title}",
        steps=(Search(method="dots", preset=preset), CIFAR),
        figures=(error(reported, std, words),),
        notes=notes,
    )


LETTERS = {
    "S": "skip_connect",
    "Z": "none",
    "M": "max_pool_3x3",
    "A": "avg_pool_3x3",
    "s3": "sep_conv_3x3",
    "s5": "sep_conv_5x5",
    "d3": "dil_conv_3x3",
    "d5": "dil_conv_5x5",
}
RETAINED = {  # for each edge the operation without weights and that with them; "-" is not legible in the text at hand
    (7, "cifar10", "normal"): "S/s3 S/s3 S/s3 S/s3 S/s3 S/d3 S/s3 S/s5 Z/d5 S/s3 S/s3 S/s5 S/s3 Z/s3",
    (7, "cifar10", "reduction"): "",
    (8, "cifar100", "normal"): "S/s3 S/s3 S/s3 S/s3 S/d5 S/s5 S/s3",
    (8, "cifar100", "reduction"): "",
    (9, "imagenet", "normal"): "S/d5 S/d3 S/s3 S/s3 Z/s3 Z/s3 S/s3 S/s3 Z/s3 Z/s3 S/s5 Z/s3 Z/d5 Z/s3",
    (9, "imagenet", "reduction"): "Z/s5 S/s3 Z/s3 S/s5 Z/d5 M/s3 A/s5 Z/- Z/- M/- M/- S/- Z/- Z/-",
}


def _retained(table: int, data: str, kind: str) -> Row:
    """A half of Tables 7 to 9: the operations of both groups on the edges of a cell."""
    edges = [[LETTERS.get(letter, letter) for letter in edge.split("/")] for edge in RETAINED[table, data, kind].split()]
    number = sum(name != "-" for edge in edges for name in edge)
    words = ", ".join("/".join(edge) for edge in edges) or "not legible in the text at hand"
    return Row(
        name=f"dots/table{table}/{kind}",
        place=f"DOTS, Table {table}, {data}, {kind} cell",
        steps=(Search(method="dots", preset=data),),
        figures=(Figure(f"retained operations, {kind} cell", float(number) if number else None, words=words),),
        notes=("the figure counts the operations that the table lists; measured are those of them that the search retains",),
    )


ROWS: tuple[Row, ...] = (
    Row(
        name="dots/table1/cifar10",
        place="DOTS, Table 1, DOTS",
        steps=(Search(method="dots", preset="cifar10"), CIFAR),
        figures=(error(2.45, 0.04), *days(0.2)),
        notes=(FROM_TEXT,),
    ),
    Row(
        name="dots/table2/cifar10",
        place="DOTS, Table 2, DOTS (CIFAR10)",
        steps=(Search(method="dots", preset="cifar10"), FULL),
        figures=(error(24.4), *top5(7.5), *size(5.0, 557), *days(0.2)),
    ),
    Row(
        name="dots/table2/imagenet",
        place="DOTS, Table 2, DOTS (ImageNet)",
        steps=(Search(method="dots", preset="imagenet"), FULL),
        figures=(error(24.0), *top5(7.2), *size(5.3, 596), *days(1.0)),
    ),
    *(one.row("dots/table2", "DOTS, Table 2", FULL) for one in IN_TABLE_2),
    _ablation("table3/neither", "Table 3, without annealing", "no-annealing", 2.76, 0.09),
    _ablation("table3/group", "Table 3, group annealing alone", "group-annealing", 2.70, 0.11),
    _ablation("table3/edge", "Table 3, edge annealing alone", "edge-annealing", 2.57, 0.06),
    _ablation("table3/both", "Table 3, both annealings", "both-annealings", 2.45, 0.04),
    _ablation("table4/ol-ol", "Table 4, one-level, one-level", "ol-ol", 2.54, 0.06),
    _ablation("table4/ol-bl", "Table 4, one-level, bi-level", "ol-bl", 2.59, 0.12),
    _ablation("table4/bl-ol", "Table 4, bi-level, one-level", "bl-ol", 2.45, 0.04),
    _ablation("table4/bl-bl", "Table 4, bi-level, bi-level", "bl-bl", 2.66, 0.07),
    Row(
        name="dots/table5/darts",
        place="DOTS, Table 5, DARTS",
        steps=(Search(method="darts", preset="second"), CIFAR),
        figures=(error(2.96),),
        notes=(FROM_TEXT, "which order of DARTS is unsaid: the second"),
    ),
    _ablation("table5/darts-topology", "Table 5, DARTS' operations, topology searched", "darts-operations", 2.60, None, FROM_TEXT),
    _ablation(
        "table5/darts-search-topology", "Table 5, operations searched as DARTS does", "darts-operation-search", 2.60, None, FROM_TEXT
    ),
    _ablation("table5/dots", "Table 5, DOTS' operations, topology searched", "cifar10", 2.45, None, FROM_TEXT),
    *(
        _ablation(f"table6/depth-{cells}", f"Table 6, topology search of {cells} cells", f"depth-{cells}", 2.45 if cells == 17 else None)
        for cells in (8, 14, 17, 20)
    ),
    *(_retained(*key) for key in RETAINED),
    Row(
        name="dots/table10/cifar100",
        place="DOTS, Table 10, DOTS",
        steps=(Search(method="dots", preset="cifar100"), HUNDRED),
        figures=(error(15.75), *size(4.2), *days(0.2)),
    ),
    *(one.row("dots/table10", "DOTS, Table 10", HUNDRED) for one in IN_TABLE_10),
    *(
        Row(
            name=f"dots/fig1/{part}",
            place=f"DOTS, Fig. 1{part}, {title}",
            steps=(Search(method=method, preset=preset), Correlate()),
            figures=(Figure("Kendall's tau", None, words="in a picture only"),),
        )
        for part, title, method, preset in (
            ("a", "operation weights of DARTS", "darts", "second"),
            ("b", "weights of edge pairs of DOTS", "dots", "cifar10"),
        )
    ),
    *(
        Row(
            name=f"dots/fig3/{part}",
            place=f"DOTS, Fig. 3{part}, operation weights by epoch, {method}",
            steps=(Search(method=method, preset=preset),),
            figures=(Figure("weight of none on the deepest edge", reported, words=words),),
        )
        for part, method, preset, reported, words in (
            ("a", "darts", "second", 0.9, "0.4 on edge (0, 5), 0.9 on edge (4, 5)"),
            ("b", "dots", "cifar10", None, "no clear advantage of none, except on the deepest edge"),
        )
    ),
)
