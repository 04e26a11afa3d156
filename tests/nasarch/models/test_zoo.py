"""Every JSON in genotypes/ is a timm model: names, descriptions, what is refused, and what importing costs."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm

import nasarch
from nasarch.cells import genotype
from nasarch.cells.genotype import Genotype
from nasarch.models import zoo

ROOT = Path(__file__).parents[3]
NATS_TEXT = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def python(code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, whose genotypes/ a test may change; Python started there imports it."""
    shutil.copytree(ROOT / "nasarch", tmp_path / "nasarch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "genotypes", tmp_path / "nasarch" / "genotypes", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_genotype_is_a_model_and_those_of_cifar_are_two() -> None:
    classes = {"cifar10": 10, "cifar100": 100, "imagenet": 1000, "unstated": 10}
    for stem in genotype.names():
        value = genotype.resolve(stem)
        transfers = value.space == "darts" and value.provenance["searched_on"] != "imagenet"
        assert timm.is_model(stem) and timm.is_model(f"{stem}_224") == transfers
        assert zoo.MODELS[stem].data.num_classes == classes[value.provenance["searched_on"]]


def test_the_models_of_the_papers_are_there() -> None:
    expected = "ftso_imagenet ftso_nats_cifar pc_darts_cifar pc_darts_cifar_224 pc_darts_imagenet dots_cifar dots_cifar_224 dots_cifar100 "
    expected += "dots_imagenet darts_v1_cifar darts_v2_cifar darts_v2_cifar_224 p_darts_cifar snas_mild_cifar darts_nats_cifar"
    assert set(expected.split()) <= set(nasarch.list_models()) <= set(timm.list_models(module="zoo"))


def test_models_are_listed_by_pattern_and_only_nasarchs() -> None:
    assert nasarch.list_models("pc_darts_*") == [*("pc_darts_cifar", "pc_darts_cifar_224", "pc_darts_cifar_shallow"), "pc_darts_imagenet"]
    assert nasarch.list_models("resnet*") == [] and nasarch.list_models() == sorted(zoo.MODELS)
    assert not set(zoo.GENERIC) & set(nasarch.list_models()) and set(zoo.GENERIC) <= set(timm.list_models("nas_*"))


def test_a_description_is_complete() -> None:
    cfg = timm.get_pretrained_cfg("pc_darts_imagenet")
    assert (cfg.input_size, cfg.pool_size, cfg.num_classes, cfg.interpolation) == ((3, 224, 224), (7, 7), 1000, "bicubic")
    assert (cfg.mean, cfg.std, cfg.crop_pct) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875)
    assert cfg.paper_name.startswith("PC-DARTS") and cfg.paper_ids == "arXiv:1907.05737" and cfg.license == "apache-2.0"
    assert cfg.origin_url == "https://github.com/yuhuixu1993/PC-DARTS" and "14 cells, 48 channels" in cfg.description
    small = timm.get_pretrained_cfg("dots_cifar100")
    assert (small.input_size, small.pool_size, small.num_classes, small.crop_pct) == ((3, 32, 32), (8, 8), 100, 1.0)
    assert small.mean != cfg.mean and small.mean != timm.get_pretrained_cfg("dots_cifar").mean


@pytest.mark.parametrize("name", nasarch.list_models())
def test_no_description_is_left_half_empty(name: str) -> None:
    cfg = timm.get_pretrained_cfg(name)
    assert cfg.description and cfg.first_conv and cfg.classifier == "fc" and cfg.paper_name
    assert cfg.origin_url is None or cfg.origin_url.startswith("https://")


# --- generic models ------------------------------------------------------------------------------------------------------------


def test_generic_models_take_a_name_a_path_a_dict_or_the_value(tmp_path: Path) -> None:
    value = genotype.resolve("dots_cifar")
    value.save(tmp_path / "cell.json")
    for form in ("dots_cifar", str(tmp_path / "cell.json"), tmp_path / "cell.json", value.to_dict(), value):
        assert timm.create_model("nas_224", genotype=form, device="meta", cells=3).genotype == value


@pytest.mark.parametrize("name", zoo.GENERIC)
def test_generic_models_need_a_genotype(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs genotype="):
        timm.create_model(name)


def test_a_genotype_of_another_space_is_sent_to_the_right_model() -> None:
    with pytest.raises(ValueError, match="use nas_bench_201"):
        timm.create_model("nas_cifar", genotype=NATS_TEXT)
    with pytest.raises(ValueError, match="use nas_cifar or nas_224"):
        timm.create_model("nas_bench_201", genotype="dots_cifar")


def test_a_named_model_keeps_its_genotype() -> None:
    with pytest.raises(ValueError, match="use timm.create_model\\('nas_224', genotype"):
        timm.create_model("dots_cifar_224", genotype="pc_darts_cifar")


# --- create_model --------------------------------------------------------------------------------------------------------------


def test_create_model_is_timms() -> None:
    model = nasarch.create_model("pc_darts_cifar", num_classes=5, cells=3, channels=4)
    assert model.num_classes == 5 and model.default_cfg["architecture"] == "pc_darts_cifar"


def test_unknown_models_are_refused_with_what_comes_close() -> None:
    with pytest.raises(ValueError, match="unknown model 'pc_dart_cifar'; did you mean pc_darts_cifar"):
        nasarch.create_model("pc_dart_cifar")
    with pytest.raises(ValueError, match="there are .*pc_darts_imagenet.*nas_cifar"):
        nasarch.create_model("zzz")


def test_missing_weights_are_told_before_anything_is_built() -> None:
    for make in (nasarch.create_model, timm.create_model):
        with pytest.raises(ValueError, match="no weights for pc_darts_cifar yet; `nasarch train pc_darts_cifar"):
            make("pc_darts_cifar", pretrained=True)


# --- registration --------------------------------------------------------------------------------------------------------------


def test_a_second_load_registers_nothing_anew() -> None:
    before = timm.model_entrypoint("pc_darts_cifar")
    importlib.reload(zoo)  # a warning of timm's about overwriting would fail this test
    assert timm.model_entrypoint("pc_darts_cifar") is before
    assert timm.create_model("pc_darts_cifar", cells=3, channels=4).default_cfg["num_classes"] == 10


def test_entry_points_are_ordinary_functions_of_the_module() -> None:
    names: dict = {}
    exec("from nasarch.models.zoo import *", names)
    entry = names["pc_darts_cifar_224"]
    assert entry is zoo.pc_darts_cifar_224 and entry.__module__ == "nasarch.models.zoo" and "PC-DARTS" in entry.__doc__
    assert "14 cells, 48 channels" in entry.__doc__ and len(entry(cells=4, channels=4).cells) == 4


@pytest.mark.parametrize("name", ["resnet18", "create_model", "my-cell"])
def test_a_name_that_is_taken_or_no_name_is_refused(name: str) -> None:
    model = zoo.MODELS["pc_darts_cifar"]._replace(name=name)
    with pytest.raises(ValueError, match=f"genotypes/{name}.json: '{name}' can't be a model's name or is one already; rename"):
        zoo._register(model)


def test_two_genotypes_for_one_name_are_refused() -> None:
    model = zoo.MODELS["pc_darts_cifar_224"]
    with pytest.raises(ValueError, match="two genotypes make the model 'pc_darts_cifar_224'"):
        zoo._distinct([model, model])


def test_a_file_dropped_into_genotypes_is_a_model(package: Path) -> None:
    value = genotype.resolve("dots_cifar").to_dict() | {"name": "mine", "provenance": {"searched_on": "digits"}}
    Genotype.from_dict(value).save(package / "nasarch" / "genotypes" / "mine.json")
    Genotype.from_nats(NATS_TEXT, name="tiny").save(package / "nasarch" / "genotypes" / "tiny.json")
    code = "import nasarch, timm; print(nasarch.__file__, *[sum(p.numel() for p in timm.create_model(n).parameters()) for n in ("
    done = python(code + "'mine', 'mine_224', 'tiny')])", package)
    assert done.stdout.split()[:3] == [str(package / "nasarch" / "__init__.py"), "3526030", "5023456"], done.stderr
    assert int(done.stdout.split()[3]) > 0


def test_a_broken_file_in_genotypes_is_named(package: Path) -> None:
    broken = package / "nasarch" / "genotypes" / "mine.json"
    broken.write_text('{"schema": ')
    done = python("import nasarch", package)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "GenotypeError" in last and str(broken) in last and "not JSON" in last


# --- importing -------------------------------------------------------------------------------------------------------------------


def test_importing_prints_nothing_and_loads_nothing_heavy() -> None:
    code = """
import sys, timm, socket
def refuse(*_): raise AssertionError("network")
socket.socket.connect = refuse
before = set(sys.modules)
import nasarch
new = set(sys.modules) - before
heavy = ("torchvision", "fvcore", "matplotlib", "onnx", "onnxruntime", "onnxscript", "rich", "tyro", "sklearn", "huggingface_hub")
assert not [m for m in new if m.split(".")[0] in heavy], new
assert not [m for m in new if m.startswith(("nasarch.search", "nasarch.export", "nasarch.cli.main"))], new
"""
    done = python(code, ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_search_and_export_load_on_demand() -> None:
    assert nasarch.search is importlib.import_module("nasarch.search")
    assert nasarch.export is importlib.import_module("nasarch.export")
    assert nasarch.__version__[0].isdigit() and {"search", "export", "Genotype"} <= set(dir(nasarch))
    with pytest.raises(AttributeError, match="no attribute 'trains'"):
        nasarch.trains  # noqa: B018
