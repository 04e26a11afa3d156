"""Each command prints or writes what it says; what a user gets wrong is one line, status 2, and nothing half-written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm

import nasarch
from nasarch.cells.genotype import Genotype, resolve
from nasarch.drawing.draw import text
from nasarch.models.catalogue import Entry, find, is_name, models_of
from nasarch.models.zoo import MODELS
from tests.helpers.command_line import Run

MODELS_PAGE = Path(__file__).parents[3] / "docs" / "models.md"
ENTRY = set(Entry.__dataclass_fields__)


def saved(source: str, path: Path, **changes: Any) -> Path:
    """A file of the zoo's genotype `source` with changes of its JSON."""
    path.write_text(json.dumps({**resolve(source).to_dict(), **changes}))
    return path


# --- models ------------------------------------------------------------------------------------------------------------------


def test_models_as_json_have_all_fields_and_exact_figures(run: Run) -> None:
    status, out, err = run("models", "--json")
    entries = {entry["name"]: entry for entry in json.loads(out)}
    assert status == 0 and err == "" and list(entries) == sorted(MODELS)
    assert all(set(entry) == ENTRY for entry in entries.values())
    known = entries["pc_darts_imagenet"]
    assert (known["parameters"], known["multi_adds"], known["input_size"]) == (5_342_464, 581_627_328, 224)
    assert (known["reported_error"], known["searched_on"], known["source"]) == (24.2, "imagenet", "github.com/yuhuixu1993/PC-DARTS")
    known = entries["pc_darts_cifar"]
    assert (known["parameters"], known["reported_error"], known["reported_spread"]) == (3_634_678, 2.57, 0.07)
    assert entries["pc_darts_cifar_224"]["reported_error"] == 25.1 and entries["ftso_nats_cifar"]["reported_error"] == 6.02


def test_models_in_a_pipe_are_not_cut(run: Run) -> None:
    status, out, _ = run("models")
    assert status == 0 and "…" not in out and "\x1b" not in out and "reported error" in out and "fvcore" in out
    rows = [line.split() for line in out.splitlines()]
    assert {row[0] for row in rows if len(row) >= 6} >= set(MODELS)
    assert [*("pc_darts_imagenet", "imagenet", "5.34", "581.6", "24.20"), "PC-DARTS,", "Table", "2", "yuhuixu1993/PC-DARTS"] in rows


def test_models_of_a_pattern(run: Run) -> None:
    names = [entry["name"] for entry in json.loads(run("models", "ftso_*", "--json").out)]
    assert names == nasarch.list_models("ftso_*") and "ftso_imagenet" in names


def test_a_narrow_terminal_cuts_no_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = re.sub(r"\x1b\[[0-9;]*m", "", run("models", "bayesnas_mobile*").out)
    assert "bayesnas_mobile_cifar_224 cifar10 " in out and "414.8" in out


def test_markdown_lists_every_model_in_a_row_of_all_columns(run: Run) -> None:
    lines = run("models", "--markdown").out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert {len(row) for row in rows} == {7} and [row[0] for row in rows[2:]] == [f"`{name}`" for name in sorted(MODELS)]
    by_name = {row[0]: row[4:6] for row in rows}
    assert by_name["`p_darts_cifar`"] == ["2.42", "P-DARTS, README.md of its repository (b880e87)"]
    assert by_name["`pc_darts_cifar_shallow`"] == ["18.40*", "nasarch"] and by_name["`dots_cifar`"] == ["-", "-"]
    assert "[yuhuixu1993/PC-DARTS](https://github.com/yuhuixu1993/PC-DARTS)" in {row[-1] for row in rows}


def test_the_table_in_the_docs_is_the_one_that_the_command_prints(run: Run) -> None:
    found = re.search(r"<!-- models -->\n(.*?)\n<!-- /models -->", MODELS_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, "docs/models.md has no table between <!-- models --> and <!-- /models -->"
    assert found[1].strip() == run("models", "--markdown").out.strip(), "put the output of `nasarch models --markdown` into docs/models.md"


# --- show --------------------------------------------------------------------------------------------------------------------


def test_show_tells_origin_costs_reported_results_and_cells(run: Run) -> None:
    status, out, _ = run("show", "pc_darts_cifar_224")
    assert status == 0 and out.startswith("pc_darts_cifar\n") and text("pc_darts_cifar") in out
    for words in (
        "PC-DARTS: Partial Channel",
        "arXiv:1907.05737",
        "searched on  cifar10",
        "published",
        "commit: b74702f",
        "(fvcore, conv + linear, 224x224)",
    ):
        assert words in out, words
    assert re.search(r"pc_darts_cifar +3,634,678 parameters, 556.7 M multi-adds", out) and re.search(
        r"pc_darts_cifar_224 +5,270,560 parameters", out
    )
    results = resolve("pc_darts_cifar").provenance["results"]
    assert all(f"{result['dataset']} {result['metric']} {result['value']}" in out and result["reported_by"] in out for result in results)
    assert "test error 2.57 ± 0.07 % (with cutout) [PC-DARTS, Table 1]" in out


@pytest.mark.parametrize("name", sorted({model.genotype.name for model in MODELS.values() if model.genotype}))
def test_everything_in_the_zoo_can_be_shown(name: str, run: Run) -> None:
    status, out, err = run("show", name)
    assert status == 0 and err == "" and text(name) in out and "parameters" in out


def test_show_as_json_is_the_genotype_and_its_models(run: Run) -> None:
    value = json.loads(run("show", "ftso_nats_cifar", "--json").out)
    assert Genotype.from_dict(value["genotype"]) == resolve("ftso_nats_cifar")
    assert [model["name"] for model in value["models"]] == ["ftso_nats_cifar"] and set(value["models"][0]) == ENTRY


def test_a_file_with_the_least_that_is_legal_is_shown(run: Run, tmp_path: Path) -> None:
    path = saved("darts_v1_cifar", tmp_path / "cell.json", name="mine", provenance={})
    status, out, _ = run("show", path)
    assert (
        status == 0 and out.startswith("mine\n") and "nas_cifar  3,169,414 parameters" in out and "nas_224    4,510,432 parameters" in out
    )


# --- what a name means -------------------------------------------------------------------------------------------------------


def test_names_files_and_printed_cells_are_found(tmp_path: Path) -> None:
    genotype = resolve("ftso_nats_cifar")
    path = tmp_path / "cell.json"
    genotype.save(path)
    assert find("ftso_nats_cifar") == find(str(path)) == find(genotype.to_nats()) == genotype
    assert find("pc_darts_cifar_224") == find("pc_darts_cifar") == find(resolve("pc_darts_cifar").to_darts())
    assert is_name("x") and not any(map(is_name, ("x.json", "a/x", "|none~0|", "Genotype()")))


@pytest.mark.parametrize(
    ("name", "searched_on", "expected"),
    [
        ("pc_darts_cifar", "cifar10", ["nas_cifar", "nas_224"]),
        ("pc_darts_imagenet", "imagenet", ["nas_224", "nas_cifar"]),
        ("dots_cifar100", "cifar100", ["nas_cifar", "nas_224"]),
        ("ftso_nats_cifar", "cifar10", ["nas_bench_201"]),
    ],
)
def test_an_unknown_genotype_makes_the_generic_models(name: str, searched_on: str, expected: list[str], tmp_path: Path) -> None:
    models = models_of(Genotype.load(saved(name, tmp_path / "cell.json", name="mine")))
    assert [model.name for model in models] == expected
    small = {"cifar100": 100}.get(searched_on, 10)
    assert [model.data.num_classes for model in models] == [1000 if model.name == "nas_224" else small for model in models]


@pytest.mark.parametrize(
    ("searched_on", "size", "first"),
    [("imagenet", [32, 32], "nas_cifar"), ("pets", [64, 90], "nas_224"), ("pets", [90, 63], "nas_cifar"), ("imagenet", "?", "nas_224")],
)
def test_the_size_of_the_images_decides_what_their_folders_name_would(searched_on: str, size: Any, first: str) -> None:
    about = {"searched_on": searched_on, "source": {"data": {"name": searched_on, "size": size}}}
    genotype = Genotype.from_dict(resolve("pc_darts_cifar").to_dict() | {"name": "mine", "provenance": about})
    assert models_of(genotype)[0].name == first


def test_a_copy_of_a_file_of_the_zoo_makes_the_models_of_the_zoo(tmp_path: Path) -> None:
    models = models_of(Genotype.load(saved("pc_darts_cifar", tmp_path / "copy.json")))
    assert [model.name for model in models] == ["pc_darts_cifar", "pc_darts_cifar_224", "pc_darts_cifar_shallow"]


# --- draw, profile, export ---------------------------------------------------------------------------------------------------


def test_draw_writes_the_picture_and_says_where(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("draw", "ftso_nats_cifar", "-o", "new/cell.svg")
    assert status == 0 and out == f"wrote {Path('new/cell.svg')}\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cell.svg"]


def test_profile_measures_a_model_at_the_given_size(run: Run) -> None:
    options = ("--size", "16", "--batch", "2", "--runs", "2", "--threads", "1", "--device", "cpu")
    value = json.loads(run("profile", "darts_nats_cifar", *options, "--json").out)
    assert (value["model"], value["input_size"], value["batch"], value["runs"]) == ("darts_nats_cifar", [3, 16, 16], 2, 2)
    assert value["parameters"] == 73_306 and value["latency_ms"] > 0 and value["saved_bytes"] > value["peak_bytes"] > 0
    out = run("profile", "darts_nats_cifar", *options).out
    for words in (
        "73,306",
        "fvcore, conv + linear",
        "2 images of 3x16x16",
        "kept for the backward pass",
        "median of 2 runs",
        "cpu, 1 CPU thread",
    ):
        assert words in out, words


def test_profile_of_a_file_names_network_and_genotype(run: Run, tmp_path: Path) -> None:
    path = saved("darts_nats_cifar", tmp_path / "cell.json", name="mine")
    out = run("profile", path, "--size", "8", "--runs", "1").out
    assert out.startswith("nas_bench_201 of genotype mine, 1 image of 3x8x8")


def test_profile_says_so_where_one_image_can_not_train(run: Run) -> None:
    status, out, _ = run("profile", "darts_nats_cifar", "--size", "4", "--runs", "1")
    assert status == 0 and "one image can't train" in out


def test_export_onnx_hands_all_arguments_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from nasarch.export.onnx import export

    calls = []
    monkeypatch.setattr(export, "export_model", lambda *args, **kwargs: calls.append((args, kwargs)) or "the report")
    status, out, _ = run("export", "onnx", "ftso_nats_cifar", "--checkpoint", "w.safetensors", "--size", "64", "-o", "m.onnx")
    assert status == 0 and out == "the report\n"
    options = {"checkpoint": Path("w.safetensors"), "data": None, "size": 64, "variants": export.ExportVariants()}
    assert calls == [(("ftso_nats_cifar", "m.onnx"), options)]


# --- what users get wrong ----------------------------------------------------------------------------------------------------


MISTAKES = {
    "unknown command": (["shwo"], "did you mean show"),
    "unknown command of a group": (["export", "onx"], "did you mean onnx"),
    "no model matches": (["models", "resnet*"], "no model matches 'resnet*'"),
    "unknown model": (["show", "pc_dart_cifar"], "did you mean pc_darts_cifar"),
    "nothing close": (["draw", "zzz", "-o", "x.svg"], "`nasarch models` lists the names"),
    "generic model": (["profile", "nas_cifar"], "give the genotype"),
    "no such file": (["show", "none.json"], "none.json: can't read it"),
    "not JSON": (["draw", "notjson.json", "-o", "x.svg"], "not JSON"),
    "unknown operation": (["profile", "operation.json"], "unknown operation 'conv_9x9'"),
    "unknown suffix": (["draw", "darts_v1_cifar", "-o", "x.gif"], "legal are .svg, .png, .pdf"),
    "a folder in the way": (["draw", "darts_v1_cifar", "-o", "folder.svg"], "can't write folder.svg"),
    "a file as a folder": (["draw", "darts_v1_cifar", "-o", "notjson.json/x.svg"], "can't write"),
    "size": (["profile", "darts_nats_cifar", "--size", "0"], "size 0; it has to be at least 1"),
    "batch": (["profile", "darts_nats_cifar", "--batch=-1"], "batch -1; it has to be at least 1"),
    "runs": (["profile", "darts_nats_cifar", "--runs", "0"], "runs 0"),
    "threads": (["profile", "darts_nats_cifar", "--threads", "0"], "threads 0"),
    "device": (["profile", "darts_nats_cifar", "--device", "abacus"], "device 'abacus' can't be used here"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(mistake: str, run: Run, tmp_path: Path) -> None:
    arguments, words = MISTAKES[mistake]
    (tmp_path / "notjson.json").write_text("genotype")
    (tmp_path / "folder.svg").mkdir()
    cells = resolve("darts_nats_cifar").to_dict()["cells"]
    cells["normal"]["nodes"][0][0][0] = "conv_9x9"
    saved("darts_nats_cifar", tmp_path / "operation.json", cells=cells)
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run(*arguments)
    assert status == 2 and out == "" and words in err, err
    assert err.startswith("nasarch: error: ") and err.count("\n") == 1 and "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [["draw", "darts_v1_cifar"], ["models", "--jsn"], ["profile", "x", "--size", "big"], ["show"]])
def test_arguments_that_do_not_parse_end_with_status_2_and_no_traceback(arguments: list[str], run: Run, tmp_path: Path) -> None:
    status, out, err = run(*arguments)
    assert status == 2 and "Traceback" not in out + err and err and not list(tmp_path.iterdir())


def test_an_interrupt_ends_with_status_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        """Wait."""
        raise KeyboardInterrupt

    monkeypatch.setattr("nasarch.cli.commands.models", interrupted)
    status, out, err = run("models")
    assert status == 130 and out == "" and "Traceback" not in err


def test_the_catalogue_knows_what_timm_builds() -> None:
    network = timm.create_model("ftso_nats_cifar", device="meta")
    (model,) = models_of(find("ftso_nats_cifar"))
    assert model.network.size == network.pretrained_cfg["input_size"][1] and model.data.num_classes == network.num_classes
