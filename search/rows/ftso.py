"""Rows of FTSO (Wang et al. 2024): Tables 1, 3 and 4, and Fig. 3 to 5. Table 3's own rows are rows of Table 1.

Note:
    How many searches and trainings a figure stands for is unsaid: one each.
Note:
    Table 4 looks cells up in NATS-Bench: the search is run on each data set, and `--nats-table FILE` gives the accuracies of its cell.
Note:
    The figures of Fig. 3 to 5 are in pictures only; what the text says of them is quoted.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import correlation
from typing import NamedTuple

from .row import CIFAR100, IMAGENET, IMAGENET16, Figure, Published, Row, Search, Train, days, error, top5

CIFAR = Train(recipe="ftso")
LONG = replace(CIFAR, epochs=1200)
FULL = Train(recipe="imagenet", data=IMAGENET)
PICTURE = "in a picture only"


class Line(NamedTuple):
    """A line of Table 1: the preset, errors on CIFAR-10 after 600 and 1,200 epochs, top-1 and top-5 on ImageNet, GPU-days."""

    preset: str
    title: str
    short: float | None
    long: float | None
    imagenet: tuple[float, float] | None
    days: float

    def rows(self) -> list[Row]:
        """A row for each column that has a figure."""
        search = Search(method="ftso", preset=self.preset)
        made = [
            ("600", CIFAR, self.short, ()),
            ("1200", LONG, self.long, ()),
            ("imagenet", FULL, *((self.imagenet[0], top5(self.imagenet[1])) if self.imagenet else (None, ()))),
        ]
        return [
            Row(
                name=f"ftso/table1/{self.preset}/{column}",
                place=f"FTSO, Table 1, {self.title}, {'ImageNet' if column == 'imagenet' else f'CIFAR10, {column} epochs'}",
                steps=(search, train),
                figures=(error(reported), *more, *days(self.days)),
            )
            for column, train, reported, more in made
            if reported is not None
        ]


TABLE_1 = (
    Line("skip-1it", "CIF. Topo(skip,1it.)", 2.68, 2.54, (24.36, 7.27), 7.87e-6),
    Line("skip-1ep", "CIF. Topo(skip,1ep.)", 2.48, 2.23, (23.60, 7.01), 2e-4),
    Line("skip-50ep", "CIF. Topo(skip,50ep.)", 2.77, 2.52, None, 0.01),
    Line("skip-1ep-op-18ep", "CIF. Topo(skip,1ep.)+Op(18ep.)", 2.85, 2.59, (23.97, 7.20), 0.01),
    Line("skip-50ep-op-50ep", "CIF. Topo(skip,50ep.)+Op(50ep.)", 2.59, 2.36, (23.97, 7.12), 0.05),
    Line("mp-50ep-op-50ep", "CIF. Topo(m.p.,50ep.)+Op(50ep.)", 2.83, 2.48, None, 0.05),
    Line("sep3-50ep", "CIF. Topo(sep3,50ep.)", 2.63, 2.48, None, 0.02),
    Line("sep3-50ep-op-50ep", "CIF. Topo(sep3,50ep.)+Op(50ep.)", 2.56, 2.52, (24.73, 7.60), 0.06),
    Line("3op-50ep-op-50ep", "CIF. Topo(3op,50ep.)+Op(50ep.)", 2.59, 2.50, None, 0.05),
    Line("4op-50ep-op-50ep", "CIF. Topo(4op,50ep.)+Op(50ep.)", 2.68, 2.59, None, 0.07),
    Line("part-imagenet-1it", "Part ImageNet Topo(skip,1it.)", None, None, (24.03, 7.07), 0.0002),
    Line("part-imagenet-1ep", "Part ImageNet Topo(skip,1ep.)", None, None, (23.94, 7.05), 0.0017),
    Line("part-imagenet-6ep", "Part ImageNet Topo(skip,6ep.)", None, None, (24.59, 7.38), 0.009),
    Line("full-imagenet-1ep", "Full ImageNet Topo(skip,1ep.)", 2.35, 2.26, (23.58, 6.80), 0.01),
)
IN_TABLE_3 = (  # on CIFAR-10 after 600 epochs; on ImageNet
    (Published("nasnet-a", "NASNet-A", 2.65, days=1800, model="nasnet_a_cifar"), (26.0, 8.4), "nasnet_a_cifar_224"),
    (Published("amoebanet", "AmoebaNet", 2.55, days=3150), (24.3, 7.6), None),
    (Published("pnas", "PNAS", 3.41, days=225, model="pnasnet_cifar"), (25.8, 8.1), "pnasnet_cifar_224"),
    (Published("enas", "ENAS", 2.89, days=0.5, model="enas_cifar"), None, None),
    (Published("darts-v2", "DARTS (2nd)", 2.76, days=1, model="darts_v2_cifar"), (26.7, 8.7), "darts_v2_cifar_224"),
    (Published("snas", "SNAS", 2.85, days=1.5, model="snas_moderate_cifar"), (27.3, 9.2), "snas_mild_cifar_224"),
    (Published("proxylessnas", "ProxylessNAS", 2.08, days=4.0), (24.9, 7.5), None),
    (Published("p-darts", "P-DARTS", 2.50, days=0.3, model="p_darts_cifar"), (24.4, 7.4), "p_darts_cifar_224"),
    (Published("bayesnas", "BayesNAS", 2.81, days=0.2, model="bayesnas_0007_cifar"), (26.5, 8.9), "bayesnas_mobile_cifar_224"),
    (Published("pc-darts-cifar10", "PC-DARTS(CIFAR10)", 2.57, days=0.1, model="pc_darts_cifar"), (25.1, 7.8), "pc_darts_cifar_224"),
)
SEARCHED = {"cifar10": "CIFAR10", CIFAR100: "CIFAR100", IMAGENET16: "ImageNet"}
TABLE_4 = {  # accuracies on CIFAR-10, CIFAR-100 and ImageNet16-120, for each data set searched on
    "darts-v1": ("DARTS (1st)", "darts", "nats", ((54.30, 15.61, 16.32), (86.57, 58.13, 28.50), (89.58, 63.89, 33.77))),
    "darts-v2": ("DARTS (2nd)", "darts", "nats-second", ((86.88, 58.61, 28.91), (91.96, 67.27, 39.47), (84.64, 55.15, 26.06))),
    "ftso": ("FTSO", "ftso", "nats", ((93.98, 70.22, 45.57),) * 3),
}
IMAGENET_16 = "which ImageNet is unsaid: ImageNet16-120, the one that NATS-Bench has accuracies of"
ONE_EDGE = "93.98 / 70.22 / 45.57 belong to a cell with nor_conv_1x1 on one edge, which replacing by one operation can't give"


def _table_3(line: Published, imagenet: tuple[float, float] | None, model: str | None) -> list[Row]:
    rows = [line._replace(slug=f"{line.slug}/600").row("ftso/table3", "FTSO, Table 3, CIFAR10, 600 epochs", CIFAR)]
    if imagenet is not None:
        other = Published(f"{line.slug}/imagenet", line.title, imagenet[0], None, imagenet[1], days=line.days, model=model)
        rows.append(other.row("ftso/table3", "FTSO, Table 3, ImageNet", FULL))
    return rows


def _table_4(slug: str, data: str, accuracies: tuple[float, float, float]) -> Row:
    title, method, preset, _ = TABLE_4[slug]
    names = ("NATS-Bench CIFAR-10", "NATS-Bench CIFAR-100", "NATS-Bench ImageNet16-120")
    notes = (*((IMAGENET_16,) if data == IMAGENET16 else ()), *((ONE_EDGE,) if slug == "ftso" else ()))
    return Row(
        name=f"ftso/table4/{slug}-{data}",
        place=f"FTSO, Table 4, {title}, search on {SEARCHED[data]}",
        steps=(Search(method=method, preset=preset, data=data),),
        figures=tuple(Figure(f"{name} accuracy", value) for name, value in zip(names, accuracies, strict=True)),
        notes=notes,
    )


def _in_picture(name: str, place: str, preset: str, words: str, *, train: Train | None = CIFAR, **search: object) -> Row:
    """A point of a picture: a search, and a training of what it found, or the largest eigenvalue without one."""
    step = Search(method="ftso", preset=preset, **search)  # type: ignore[arg-type]
    metric = "test error" if train is not None else "largest eigenvalue"
    return Row(
        name=f"ftso/{name}",
        place=f"FTSO, {place}",
        steps=(step, *((train,) if train else ())),
        figures=(Figure(metric, None, words=words),),
    )


REPLACING = {  # Fig. 4a; the text names the best alone
    "replace-sep3": "the best",
    **{f"replace-{name}": "worse than sep_conv_3x3" for name in ("sep5", "dil3", "dil5", "max-pool", "avg-pool", "skip")},
}
WORSE = "accuracy falls after the first epoch"
RISES = "the eigenvalue rises with the epochs, and accuracy generally falls"

FIG_5 = (  # part, columns of Table 1, coefficient
    ("b", "600 and 1,200 epochs on CIFAR10", "short", "long", 0.77, ""),
    ("c", "CIFAR10 (600 epochs) and ImageNet", "short", "imagenet", None, "no guarantee"),
    ("d", "CIFAR10 (1,200 epochs) and ImageNet", "long", "imagenet", 0.70, ""),
)


def _pearson(part: str, title: str, one: str, other: str, reported: float | None, words: str) -> Row:
    """Fig. 5b to 5d, whose points are not listed: Table 1's own columns give a coefficient, too."""
    pairs = [(getattr(line, one), getattr(line, other)) for line in TABLE_1]
    points = [(x, y[0] if isinstance(y, tuple) else y) for x, y in pairs if x is not None and y is not None]
    own = correlation(*zip(*points, strict=True))
    return Row(
        name=f"ftso/fig5/{part}",
        place=f"FTSO, Fig. 5{part}, Pearson correlation of test accuracies, {title}",
        figures=(Figure("Pearson correlation", reported, words=words),),
        reason=f"the architectures of its points are not listed; the {len(points)} of Table 1 give {own:.2f}",
    )


ROWS: tuple[Row, ...] = (
    *(row for line in TABLE_1 for row in line.rows()),
    Row(
        name="ftso/table3/pc-darts-cifar10/1200",
        place="FTSO, Table 3, CIFAR10, 1200 epochs, PC-DARTS(CIFAR10)",
        steps=(replace(LONG, model="pc_darts_cifar"),),
        figures=(error(2.50),),
    ),
    Published("pc-darts-imagenet/imagenet", "PC-DARTS(ImageNet)", 24.2, None, 7.3, days=3.8, model="pc_darts_imagenet").row(
        "ftso/table3", "FTSO, Table 3, ImageNet", FULL
    ),
    *(row for line in IN_TABLE_3 for row in _table_3(*line)),
    *(_table_4(slug, data, values) for slug, line in TABLE_4.items() for data, values in zip(SEARCHED, line[3], strict=True)),
    *(
        _in_picture(
            f"fig3/a/epoch-{epoch}",
            f"Fig. 3a, epoch {epoch} of one search",
            "skip-50ep",
            f"{PICTURE}: {WORSE}",
            train=replace(CIFAR, after=epoch),
        )
        for epoch in (1, 10, 20, 30, 40, 50)
    ),
    *(
        _in_picture(f"fig3/b/{preset}", f"Fig. 3b, {title}, several searches", preset, f"{PICTURE}: one epoch is the best")
        for preset, title in (("skip-1ep", "1 epoch"), ("skip-50ep", "50 epochs"))
    ),
    *(
        _in_picture(
            f"fig3/c/{count}it",
            f"Fig. 3c, {count} iteration{'s' if count > 1 else ''}",
            "skip-1it",
            f"{PICTURE}: accuracy first drops, then rises within the first epoch",
            flags=("--iterations", str(count)),
        )
        for count in (1, 2, 5, 10, 50)
    ),
    *(
        _in_picture(f"fig3/d/{preset}", f"Fig. 3d, {title}", preset, f"{PICTURE}: both work well")
        for preset, title in (("skip-1it", "1 iteration"), ("skip-2it", "2 iterations"))
    ),
    *(_in_picture(f"fig4/a/{preset}", f"Fig. 4a, {preset}", preset, f"{PICTURE}: {words}") for preset, words in REPLACING.items()),
    _in_picture("fig4/c", "Fig. 4c, CIFAR100, by epoch", "cifar100-50ep", f"{PICTURE}: {RISES}", train=None, flags=("--hessian",)),
    _in_picture(
        "fig4/d",
        "Fig. 4d, CIFAR100, by iteration",
        "cifar100-iterations",
        f"{PICTURE}: {RISES}",
        train=None,
        flags=("--hessian-every", "1"),
    ),
    *(
        _in_picture(f"fig5/a/{preset}", f"Fig. 5a, {title} of operator search", preset, PICTURE)
        for preset, title in (("skip-1ep", "0 epochs"), ("skip-1ep-op-18ep", "18 epochs"))
    ),
    *(_pearson(*line) for line in FIG_5),
)
