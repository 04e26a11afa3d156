"""Every flag of `nasarch search` reaches what is built: changed alone it changes that alone."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.space import DARTS, NATS
from nasarch.cli.main import main
from nasarch.data.options import DataOptions
from nasarch.data.split_files import write_split
from nasarch.runtime.options import to_dict, updated
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from nasarch.search.recipes.methods import METHODS
from nasarch.search.runs import run
from nasarch.search.runs.options import SearchOptions
from tests.helpers.captured_options import CapturedCall, catch_searches, plan_of, typed
from tests.helpers.coloured_images import data
from tests.helpers.nested import dotted, flat, nested

# Flags of every method, each with another value than its default.
CHANGED: dict[str, tuple[type, dict[str, Any]]] = {
    "darts": (
        darts.Darts,
        dict(order="exact", epochs=3, nodes=2, layers=5, channels=6, batch_size=7, lr=0.5, lr_end=0.25, momentum=0.75, weight_decay=0.125)
        | dict(clip=2.5, arch_lr=0.0625, arch_weight_decay=0.375, arch_betas=(0.25, 0.5), init_std=0.625, fractions=(0.3, 0.2)),
    ),
    "pc-darts": (
        pc_darts.PcDarts,
        dict(partial=2, edge_normalisation=False, epochs=13, warmup=3, nodes=2, layers=5, channels=6, batch_size=7, lr=0.5, lr_end=0.25)
        | dict(
            momentum=0.75,
            weight_decay=0.125,
            clip=2.5,
            arch_lr=0.0625,
            arch_weight_decay=0.375,
            arch_betas=(0.25, 0.5),
            init_std=0.625,
            rate_warmup=4,
        )
        | dict(random_channels=True, fractions=(0.3, 0.2)),
    ),
    "dots": (
        dots.Dots,
        dict(operation_epochs=11, topology_epochs=12, operation_warmup=3, topology_warmup=4, operation_layers=5, topology_layers=6)
        | dict(operation_start=9.0, operation_decay=0.5, topology_start=8.0, topology_decay=0.75, operation_scale=0.5, operation_levels=1)
        | dict(
            topology_levels=2,
            grouped=False,
            operations_from="darts_v2_cifar",
            nodes=2,
            channels=10,
            batch_size=7,
            lr=0.25,
            lr_end=0.375,
            momentum=0.625,
        )
        | dict(weight_decay=0.125, clip=2.5, arch_lr=0.0625, arch_weight_decay=0.875, fractions=(0.3, 0.2))
        | dict(operation_arch_betas=(0.25, 0.5), topology_arch_betas=(0.125, 0.75)),
    ),
    "ftso": (
        ftso.Ftso,
        dict(topology_operation=("max_pool_3x3", "none"), operator="gradient", operation="sep_conv_5x5", operator_epochs=11, epochs=2)
        | dict(operator_beta=True, edge_softmax=False)
        | dict(iterations=9, nodes=2, layers=5, channels=6, partial=2, batch_size=7, lr=0.5, lr_end=0.25, momentum=0.75)
        | dict(weight_decay=0.125, clip=2.5, arch_lr=0.0625, arch_weight_decay=0.375, arch_betas=(0.25, 0.5), fractions=(0.3, 0.2)),
    ),
    "edarts": (
        edarts.Edarts,
        dict(order="first", epochs=3, images=17, sparse=False, attention="start", path="01-12", operations=("skip_connect", "none"))
        | dict(nodes=2, layers=6, channels=10, batch_size=7, lr=0.5, lr_end=0.25, momentum=0.75, weight_decay=0.125, clip=2.5)
        | dict(arch_lr=0.0625, arch_weight_decay=0.375, arch_betas=(0.25, 0.5), init_std=0.625),
    ),
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CapturedCall:
    monkeypatch.chdir(tmp_path)
    return catch_searches(monkeypatch)


# ---- search: settings


@pytest.mark.parametrize("method", CHANGED)
def test_every_setting_of_a_method_has_its_flag(method: str, told: CapturedCall) -> None:
    kind, changes = CHANGED[method]
    usual = flat(kind())
    assert changes.keys() == usual.keys() and all(changes[name] != usual[name] for name in usual)
    plan = plan_of(told, *typed({dotted(kind(), name): value for name, value in changes.items()}), method=method)
    assert plan.settings == nested(kind(), **changes) and type(plan.settings) is kind
    assert plan_of(told, method=method).settings == kind()


@pytest.mark.parametrize(
    ("method", "title", "recipe"),
    [
        ("darts", "DARTS", darts),
        ("pc-darts", "PC-DARTS", pc_darts),
        ("dots", "DOTS", dots),
        ("ftso", "FTSO", ftso),
        ("edarts", "eDARTS", edarts),
    ],
)
def test_a_command_is_the_method_of_its_name(method: str, title: str, recipe: Any, told: CapturedCall) -> None:
    plan = plan_of(told, "--seed", "1", method=method)
    assert (plan.command, plan.method) == (method, METHODS[method])
    assert plan.method[:2] == (title, recipe.PAPER) and plan.method[3:] == (recipe.search, recipe.derive, recipe.scores)
    assert plan.words == f"nasarch search {method} --seed 1"
    assert plan.context.name == f"{recipe.__name__.rsplit('.', 1)[1]}_digits"
    assert plan.preset is None and plan.remarks == ()


# ---- search: the other flags


def test_without_flags_a_search_is_of_the_digits_in_darts_space(told: CapturedCall) -> None:
    plan = plan_of(told)
    assert told.load == {"name": "digits", "size": None, "root": None, "download": False, "in_memory": None}
    context = plan.context
    assert (context.space, context.seed, context.amp, context.parts, context.workers) == (DARTS, 0, "off", None, None)
    assert (context.hessian, context.hessian_every, str(context.device)) == (False, None, "cpu")
    assert plan.job == SearchOptions() and told.tf32 == [False]
    assert told.folder.parent == Path("runs") and told.folder.name.startswith("ftso-digits-")


def test_data_and_how_they_are_read(told: CapturedCall) -> None:
    flags = ["--data", "some/photos.tar", "--size", "48", "--root", "cache", "--download", "--in-memory", "False"]
    plan = plan_of(told, *flags)
    assert told.load == {"name": "some/photos.tar", "size": 48, "root": Path("cache"), "download": True, "in_memory": False}
    assert plan.context.data.name == "photos" and plan.context.name == "ftso_photos"
    assert told.folder.name.startswith("ftso-photos-")
    plan_of(told, "--in-memory", "True")
    assert told.load["in_memory"] is True


BENCH: dict[str, tuple[list[str], dict[str, Any]]] = {
    "workers": (["--workers", "3"], {"workers": 3}),
    "device": (["--device", "cpu"], {}),
    "amp": (["--amp", "bf16"], {"amp": "bf16"}),
    "hessian": (["--hessian"], {"hessian": True}),
    "hessian_every": (["--hessian-every", "5"], {"hessian": True, "hessian_every": 5}),
    "hessian_images": (["--hessian-images", "9"], {"hessian": True, "hessian_images": 9}),
    "name": (["--name", "mine"], {"name": "mine"}),
    "space": (["--space", "nats", "--data", "digits"], {"space": NATS}),
}


@pytest.mark.parametrize("flag", BENCH)
def test_a_flag_changes_its_part_of_the_workplace_alone(flag: str, told: CapturedCall) -> None:
    flags, expected = BENCH[flag]
    plan, usual = plan_of(told, *flags), plan_of(told).context
    others = [field.name for field in fields(SearchContext) if field.name not in ("data", "checkpoint")]
    assert {name: getattr(plan.context, name) for name in others} == {name: getattr(usual, name) for name in others} | expected


JOB: dict[str, tuple[list[str], Any]] = {
    "preset": (["--preset", "skip-1it"], "skip-1it"),
    "data": (["--data", "cifar10"], "cifar10"),
    "size": (["--size", "16"], 16),
    "root": (["--root", "here"], Path("here")),
    "download": (["--download"], True),
    "in_memory": (["--in-memory", "True"], True),
    "workers": (["--workers", "0"], 0),
    "space": (["--space", "nats"], "nats"),
    "scale": (["--scale", "2"], 2.0),
    "seed": (["--seed", "4"], 4),
    "runs": (["--runs", "3"], 3),
    "device": (["--device", "cpu"], "cpu"),
    "amp": (["--amp", "fp16"], "fp16"),
    "tf32": (["--tf32"], True),
    "capture": (["--capture"], True),
    "deterministic": (["--deterministic"], True),
    "hessian": (["--hessian"], True),
    "hessian_every": (["--hessian-every", "1"], 1),
    "hessian_images": (["--hessian-images", "9"], 9),
    "max_macs": (["--max-macs", "450"], 450.0),
    "candidates": (["--candidates", "skip_connect", "sep_conv_3x3"], ("skip_connect", "sep_conv_3x3")),
    "tensorboard": (["--tensorboard"], True),
    "name": (["--name", "mine"], "mine"),
    "out": (["--out", "there"], Path("there")),
}
TOGETHER = {"split": "--split", "nats_table": "--space nats", "consensus": "--runs 2", "resume": "a folder"}  # shown by tests of their own


def test_every_flag_of_a_search_is_in_a_table() -> None:
    assert JOB.keys() | TOGETHER.keys() == to_dict(SearchOptions()).keys()


@pytest.mark.parametrize("flag", [flag for flag in JOB if flag not in ("preset", "space")])
def test_a_flag_changes_its_field_of_the_job_alone(flag: str, told: CapturedCall) -> None:
    flags, value = JOB[flag]
    assert plan_of(told, *flags).job == updated(SearchOptions(), {flag: value})


def test_flags_that_go_together_reach_the_job(told: CapturedCall) -> None:
    assert plan_of(told, "--runs", "2", "--consensus").job == SearchOptions(runs=2, consensus=True)
    job = plan_of(told, "--space", "nats", "--nats-table", "table.csv").job
    assert (job.space, job.nats_table, job.preset) == ("nats", Path("table.csv"), "nats")


def test_tf32_is_set_as_the_flag_says(told: CapturedCall) -> None:
    plan_of(told, "--tf32")
    plan_of(told)
    assert told.tf32 == [True, False]


def test_processes_part_whatever_comes_of_a_search(told: CapturedCall, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []
    monkeypatch.setattr("nasarch.runtime.distributed.destroy", lambda: left.append("left"))
    plan_of(told)

    def fail(plan: Any, folder: Path) -> None:
        raise ValueError("words")

    monkeypatch.setattr("nasarch.search.runs.command.search", fail)
    assert main(["search", "ftso"]) == 2 and left == ["left"] * 2


def test_results_go_to_the_folder_that_is_named(told: CapturedCall) -> None:
    plan_of(told, "--out", "there/it")
    assert told.folder == Path("there/it")
    Path("full").mkdir()
    Path("full/file").write_text("")
    assert main(["search", "ftso", "--out", "full"]) == 2


def test_epochs_are_scaled_by_the_factor(told: CapturedCall) -> None:
    plan = plan_of(told, "--scale", "0.5", "--epochs", "30", "--warmup", "10", method="pc-darts")
    assert plan.settings == pc_darts.PcDarts(epochs=15, warmup=5)


def test_the_lists_of_a_split_are_the_two_sides(told: CapturedCall, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = data()
    listing = replace(whole, name="digits").listing
    write_split(listing, (0.5, 0.25), 0, tmp_path / "two")
    write_split(listing, (0.2, 0.2, 0.2), 0, tmp_path / "three")
    plan = plan_of(told, "--split", str(tmp_path / "two"))
    assert plan.context.parts is not None and plan.job == SearchOptions(split=tmp_path / "two")
    for part, number in zip(plan.context.parts, (1, 2), strict=True):
        assert [f"train/{i:06}" for i in part.tolist()] == (tmp_path / "two" / f"part-{number}.txt").read_text().split()
    assert [len(part) for part in plan.context.parts] == [24, 12]
    assert main(["search", "ftso", "--split", str(tmp_path / "three")]) == 2
    assert "three has 3 parts: a search takes two" in capsys.readouterr().err


def test_what_a_user_may_not_have_meant_is_remarked(told: CapturedCall, tmp_path: Path) -> None:
    """A split makes fractions idle; a rate of the preset's for another batch size, in proportion 0.025 * 64 / 256."""
    write_split(replace(data(), name="digits").listing, (0.5, 0.5), 0, tmp_path / "split")
    split = ["--split", str(tmp_path / "split")]
    idle = "says nothing beside --split, whose lists are the two sides"
    assert plan_of(told, *split, "--fractions", "0.1", "0.2").remarks == (f"--fractions {idle}",)
    assert plan_of(told, *split, "--images", "9", method="edarts").remarks == (f"--images {idle}",)
    assert plan_of(told, *split).remarks == plan_of(told, "--fractions", "0.1", "0.2").remarks == ()
    (remark,) = plan_of(told, "--batch-size", "64").remarks
    assert remark.startswith("batch size 64 instead of 256 with the same learning rate 0.025: in proportion it would be --lr 0.00625;")
    assert plan_of(told, "--batch-size", "64", "--lr", "0.00625").remarks == plan_of(told, "--lr", "0.5").remarks == ()


def test_a_preset_is_told_with_its_row_and_result(told: CapturedCall) -> None:
    plan = plan_of(told, "--preset", "k8", "--lr", "0.3", method="pc-darts")
    assert plan.preset == {"name": "k8", "row": "Fig. 3, K = 8", "reported": "in a picture only: a dramatic drop"}
    assert plan.settings == pc_darts.PcDarts(partial=8, batch_size=512, lr=0.3) and plan.job == SearchOptions(
        preset="k8", dataset=DataOptions(data="cifar10")
    )
    imagenet = plan_of(told, "--preset=imagenet", "--batch-size", "512", method="pc-darts")
    assert imagenet.job.dataset.data == told.load["name"] == "imagenet" and imagenet.remarks  # against the preset's own batch size
    nats = plan_of(told, "--space", "nats", method="pc-darts")
    assert nats.preset is not None and nats.preset["name"] == "nats" and nats.settings.layers == 5 and nats.job.preset == "nats"
    assert plan_of(told, "--space=nats", "--preset", "nats", "--layers", "2", method="pc-darts").settings.layers == 2
    assert plan_of(told, "--preset", "nats", method="pc-darts").job == SearchOptions(
        preset="nats", space="nats", dataset=DataOptions(data="cifar10")
    )
    assert main(["search", "pc-darts", "--preset"]) == 2


@pytest.mark.parametrize("method", ["ftso", "pc-darts"])
def test_a_folder_tells_all_of_a_search_again(method: str, told: CapturedCall, tmp_path: Path) -> None:
    kind, changes = CHANGED[method]
    write_split(replace(data(), name="digits").listing, (0.5, 0.5), 0, tmp_path / "split")
    flags = [
        *typed(changes),
        "--seed",
        "5",
        "--split",
        str(tmp_path / "split"),
        "--name",
        "mine",
        "--hessian",
        "--tf32",
        "--scale",
        "2",
        "--out",
        "elsewhere",
    ]
    plan = plan_of(told, *flags, method=method)
    config = {"method": plan.method.title, "settings": changes | {"epochs": 2 * changes["epochs"]}, "job": to_dict(plan.job)}
    config["data"] = run._about(plan.context)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    again = plan_of(told, "--resume", str(tmp_path / "run"), "--seed", "9", method=method)
    assert told.folder == tmp_path / "run" and told.tf32 == [True, True]
    assert again.settings == kind(**config["settings"])  # scaled before, and not once more
    assert again.job == updated(plan.job, {"resume": tmp_path / "run"}) and again.remarks == ()
    assert again.context.name == "mine" and again.context.hessian and again.context.parts is not None
    assert main(["search", "darts", "--resume", str(tmp_path / "run")]) == 2


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_of_multi_adds_is_a_number_above_zero(budget: float) -> None:
    with pytest.raises(ValueError, match=f"--max-macs {budget}: choose a number above 0"):
        SearchOptions(max_macs=budget)
