"""The catalogue in words: what is reported, what it costs, where it is from; rows, lines and the profile by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import timm

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cli.listing import describe, markdown, profile_lines, row, table
from nasarch.models import shipped
from nasarch.models.catalogue import Entry, cost_of, create, entries, entry, find, label, model_of, models_of
from nasarch.models.profile import Profile
from nasarch.models.zoo import CIFAR, CIFAR10, CIFAR100, IMAGENET, IMAGENET1K, MODELS, NATS_BENCH, Model

RESULTS = [
    {"dataset": "ImageNet", "metric": "top-5 error", "value": 7.5},
    {"dataset": "CIFAR-10", "metric": "test accuracy", "value": 91.0},
    {"dataset": "CIFAR-10", "metric": "parameters", "value": 3.3, "unit": "M"},
    {"dataset": "CIFAR-10", "metric": "test error", "value": 2.5, "spread": 0.25, "unit": "%", "reported_by": "Table 1", "note": "a note"},
    {"dataset": "CIFAR-10", "metric": "test error", "value": 9.0, "reported_by": "Table 2"},
    {"dataset": "ImageNet", "metric": "top-1 error", "value": 25.0, "reported_by": "Table 3"},
    {"dataset": "CIFAR-100", "metric": "test accuracy", "value": 82.125, "reported_by": "Table 4"},
]
ABOUT: dict[str, Any] = {
    "method": "Mine",
    "paper": {"title": "A Paper", "year": 2020, "arxiv": "2001.00001"},
    "searched_on": "cifar10",
    "kind": "published",
    "source": {"repository": "someone/somewhere", "path": "a.py", "commit": "abc"},
    "results": RESULTS,
}


def mine(**changes: Any) -> Genotype:
    return replace(resolve("darts_v2_cifar"), name="mine", provenance=ABOUT | changes)


def known(genotype: Genotype, network: Any = CIFAR, data: Any = CIFAR10) -> Entry:
    return entry(Model("mine_model", network, data, genotype))


# ---- what is known of a model


def test_an_entry_has_the_first_error_on_its_data_set() -> None:
    small, large, other = known(mine()), known(mine(), IMAGENET, IMAGENET1K), known(mine(), CIFAR, CIFAR100)
    assert (small.reported_error, small.reported_spread, small.reported_by) == (2.5, 0.25, "Table 1")
    assert (large.reported_error, large.reported_spread, large.reported_by) == (25.0, None, "Table 3")
    assert (other.reported_error, other.reported_by) == (17.875, "Table 4")  # what is missing to 100 % accuracy
    none = known(mine(results=[]))
    assert (none.reported_error, none.reported_spread, none.reported_by) == (None, None, None)
    assert (small.name, small.genotype, small.method, small.searched_on) == ("mine_model", "mine", "Mine", "cifar10")
    assert (small.data_set, large.data_set, other.data_set) == ("CIFAR-10", "ImageNet", "CIFAR-100")
    assert (small.input_size, large.input_size) == (32, 224)
    assert (small.parameters, large.parameters, other.parameters) == (
        3_349_342,
        4_718_752,
        3_349_342 + 90 * 577,
    )  # tests/nasarch/models/test_network.py
    bare = known(Genotype("bare", "darts", dict(resolve("darts_v2_cifar").cells)))
    assert (bare.method, bare.searched_on, bare.source, bare.url) == ("unknown", "unknown", "unknown", None)


@pytest.mark.parametrize(
    ("changes", "source", "url"),
    [
        ({}, "github.com/someone/somewhere", "https://github.com/someone/somewhere"),
        ({"source": {"repository": "https://git.example/x"}}, "git.example/x", "https://git.example/x"),
        ({"source": {}}, "arxiv.org/abs/2001.00001", "https://arxiv.org/abs/2001.00001"),
        ({"source": {}, "paper": {}}, "published", None),
        ({"kind": "inferred from the paper's text"}, "inferred from the paper", "https://arxiv.org/abs/2001.00001"),
        ({"kind": "found by nasarch"}, "found by nasarch", "https://github.com/someone/somewhere"),
    ],
)
def test_the_source_is_the_repository_or_the_paper(changes: dict[str, Any], source: str, url: str | None) -> None:
    found = known(mine(**changes))
    assert (found.source, found.url) == (source, url)


def test_shallow_networks_state_what_was_measured_of_their_weights() -> None:
    name = "pc_darts_cifar_shallow"
    found = entry(MODELS[name])
    assert found.reported_error == round(100 - shipped.card(name)["file"]["top1"], 6) and found.reported_by == "nasarch"
    assert create(MODELS[name]).stem[0][0].weight.equal(timm.create_model(name, pretrained=True).stem[0][0].weight)


def test_a_genotype_makes_the_generic_models_with_that_of_its_data_set_first() -> None:
    for searched_on, expected in (
        ("cifar10", [("nas_cifar", CIFAR10), ("nas_224", IMAGENET1K)]),
        ("CIFAR100", [("nas_cifar", CIFAR100), ("nas_224", IMAGENET1K)]),
        ("ImageNet", [("nas_224", IMAGENET1K), ("nas_cifar", CIFAR10)]),
    ):
        models = models_of(mine(searched_on=searched_on))
        assert [(model.name, model.data) for model in models] == expected
        assert all(model.genotype == mine() for model in models)
    renamed = replace(resolve("darts_v2_cifar"), name="darts_v1_cifar")
    assert [model.name for model in models_of(renamed)] == ["nas_cifar", "nas_224"]  # the name alone makes no model of the zoo
    assert label(models[0]) == "nas_224 of genotype mine" and label(MODELS["dots_cifar"]) == "dots_cifar"
    net = create(models[1]._replace(network=CIFAR))
    assert net.num_classes == 10 and net.genotype == mine()


def test_names_mean_models_and_genotypes() -> None:
    assert model_of("dots_cifar_224").name == "dots_cifar_224" and model_of("ftso_nats_cifar").network is NATS_BENCH
    assert find("dots_cifar_224") == resolve("dots_cifar")
    assert model_of(resolve("dots_cifar").to_darts()).name == "nas_cifar"
    assert [found.name for found in entries("dots_cifar*")] == ["dots_cifar", "dots_cifar100", "dots_cifar100_224", "dots_cifar_224"]
    assert cost_of(MODELS["dots_cifar"]).parameters == 3_526_030


# ---- tables


ROW = Entry(
    name="one",
    genotype="g",
    method="m",
    searched_on="cifar10",
    data_set="CIFAR-10",
    input_size=32,
    parameters=3_456_789,
    multi_adds=567_890_000,
    reported_error=2.5,
    reported_spread=0.125,
    reported_by="Table 1",
    source="github.com/a/b",
    url="https://github.com/a/b",
)


def test_a_row_has_millions_and_the_error_with_its_spread() -> None:
    assert row(ROW) == ("one", "cifar10", "3.46", "567.9", "2.50 ± 0.12", "Table 1", "a/b")
    assert row(replace(ROW, reported_spread=None, reported_by="nasarch"))[4] == "2.50*"
    assert row(replace(ROW, reported_error=None, reported_by=None))[4:6] == ("-", "-")


def test_the_table_in_markdown_links_to_the_sources() -> None:
    head, rule, first, second, empty, *notes = markdown([ROW, replace(ROW, name="two", url=None)]).splitlines()
    assert head == "| model | searched on | params, M | multi-adds, M | reported error, % | reported by | source |"
    assert rule == "| --- | --- | ---: | ---: | ---: | --- | --- |" and empty == ""
    assert first == "| `one` | cifar10 | 3.46 | 567.9 | 2.50 ± 0.12 | Table 1 | [a/b](https://github.com/a/b) |"
    assert second == "| `two` | cifar10 | 3.46 | 567.9 | 2.50 ± 0.12 | Table 1 | a/b |"
    assert len(notes) == 2 and notes[0].startswith("Multi-adds: of convolutions")


def test_the_table_for_a_terminal_folds_the_sources_alone() -> None:
    made = table([ROW])
    assert [column.no_wrap for column in made.columns] == [True] * 5 + [False] * 2
    assert [column.justify for column in made.columns] == ["left", "left", "right", "right", "right", "left", "left"]
    assert [list(column.cells)[0] for column in made.columns] == list(row(ROW)) and made.columns[3].header == "multi-adds,\nM"


# ---- one genotype


def test_a_genotype_is_described_from_its_origin_to_its_cells() -> None:
    lines = describe(mine(), models_of(mine())).splitlines()
    assert lines[:20] == [
        "mine",
        "  method       Mine",
        "  paper        A Paper, 2020, arXiv:2001.00001",
        "  searched on  cifar10",
        "  kind         published",
        "  source       repository: someone/somewhere",
        "               path: a.py",
        "               commit: abc",
        "  models       nas_cifar  3,349,342 parameters, 528.4 M multi-adds (fvcore, conv + linear, 32x32), 10 classes of CIFAR-10",
        "               nas_224    4,718,752 parameters, 529.9 M multi-adds (fvcore, conv + linear, 224x224), 1000 classes of ImageNet",
        "  reported     ImageNet top-5 error 7.5",
        "               CIFAR-10 test accuracy 91.0",
        "               CIFAR-10 parameters 3.3 M",
        "               CIFAR-10 test error 2.5 ± 0.25 % (a note) [Table 1]",
        "               CIFAR-10 test error 9.0 [Table 2]",
        "               ImageNet top-1 error 25.0 [Table 3]",
        "               CIFAR-100 test accuracy 82.125 [Table 4]",
        "",
        "normal cell",
        "  c_{k-2} ── sep_conv_3x3 ──┐",
    ]
    assert "a note; short" in describe(mine(results=[RESULTS[3] | {"budget": "short"}]), models_of(mine()))
    nested = describe(mine(source={"seeds": [1, 2], "data": {"name": "digits", "images": 5}}), models_of(mine()))
    assert "  source       data: name digits, images 5\n               seeds: 1, 2\n" in nested  # other keys by their names


# ---- profile


PROFILE = Profile(
    model="one",
    input_size=(3, 24, 48),
    batch=2,
    device="cpu",
    threads=4,
    parameters=12_345,
    multi_adds=6_780_000,
    peak_bytes=1_250_000,
    saved_bytes=2_340_000,
    latency_ms=12.5,
    latency_quartiles_ms=(12.25, 13.0),
    channels_last_ms=8.0,
    runs=7,
)


def test_a_profile_is_said_with_its_units() -> None:
    assert list(profile_lines(PROFILE)) == [
        "one, 2 images of 3x24x48, float32",
        "  parameters   12,345",
        "  multi-adds   6.8 M (fvcore, conv + linear, one image)",
        "  activations  1.2 MB at most at once while inferring",
        "               2.3 MB kept for the backward pass of a training step",
        "  latency      12.50 ms, median of 7 runs (quartiles 12.25 to 13.00 ms), 160.0 images/s",
        "               8.00 ms in channels_last memory format (1.56x)",
        "               on cpu, 4 CPU threads, PyTorch eager, random images",
    ]
    one = list(profile_lines(replace(PROFILE, batch=1, threads=1, saved_bytes=None)))
    assert one[0] == "one, 1 image of 3x24x48, float32" and "80.0 images/s" in one[5] and "1 CPU thread," in one[7]
    assert one[4].strip().startswith("of a training step unknown")
