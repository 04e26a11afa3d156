"""A folder for the Hub loads everywhere with the same logits, says what is true, and holds nothing of this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from PIL import Image
from timm.models import save_for_hf
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.cells.provenance import public
from nasarch.export.hub import folder as exporter
from nasarch.export.hub.card import card
from nasarch.export.hub.folder import HubReport, export_hub
from nasarch.export.onnx.session import open_session
from nasarch.models.labels import CIFAR10_CLASSES, KNOWN, known, labels_of
from nasarch.models.zoo import CIFAR100, IMAGENET1K
from tests.helpers.exported import FOLDER, files, new_cell, save, trained, without_onnx

ROOT = Path(__file__).parents[3]


def images(channels: int = 3, size: int = 32) -> Tensor:
    return torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(1))


def configuration(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, HubReport]:
    """The folder of the run of a cell that was found a minute ago and trained, its model, the report."""
    run = tmp_path_factory.mktemp("run")
    source = {
        "command": f"nasarch search ftso --data {run}/images --out ~/runs/x",
        "data": {"name": "flowers", "source": f"10 images of {run / 'images'}"},
        "seed": 3,
    }
    paper = {"title": "On Cells", "authors": "Doe, Roe", "venue": "ICLR", "year": 2020, "arxiv": "1234.56789"}
    results = [{"dataset": "CIFAR-10", "metric": "test error", "value": 2.57, "unit": "%", "reported_by": "On Cells, Table 1"}]
    genotype = new_cell("minute_cell", run / "cell.json", method="FTSO", searched_on="flowers", paper=paper, source=source, results=results)
    inputs = {"input_size": (3, 40, 40), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "num_classes": 3}
    model = trained("nas_cifar", genotype=genotype.to_dict(), num_classes=3, aux_head=True, pretrained_cfg_overlay=inputs)
    save_for_hf(model, str(run / "model"), model_config={"label_names": ["rose", "tulip", "zinnia"]}, safe_serialization=True)
    data = {"name": "flowers", "source": f"10 images of {run / 'images'}"}
    (run / "config.json").write_text(json.dumps({"genotype": genotype.to_dict(), "data": data, "command": f"train {run}"}))
    test = {"images": 9, "loss": 0.5, "top1": 91.456, "top5": None}
    told = {
        "seed": 3,
        "epochs": 7,
        "batch_size": 64,
        "seconds": 8.5,
        "device": "CPU",
        "recipe": {"name": "shallow"},
        "weights": "last epoch",
    }
    (run / "result.json").write_text(json.dumps({**told, "data": data, "test": test}))
    folder = tmp_path_factory.mktemp("hub") / "new" / "folder"
    return folder, model, export_hub(run, folder)


def test_a_cell_found_a_minute_ago_loads_with_timm_and_gives_the_same_logits(fresh: tuple[Path, Any, HubReport]) -> None:
    folder, model, report = fresh
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        expected = model(images(size=40))
        assert expected.std(0).min() > 1e-3 and torch.equal(loaded(images(size=40)), expected)
        (found,) = open_session(folder / "onnx" / "model.onnx").run(None, {"pixel_values": images(size=40).numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-4)
    assert loaded.genotype == model.genotype and loaded.aux_head is None
    assert (report.architecture, report.num_classes, report.random, report.labelled) == ("nas_cifar", 3, False, True)
    assert files(folder) == FOLDER and [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_the_configuration_has_the_preprocessing_and_the_labels_of_the_training(fresh: tuple[Path, Any, HubReport]) -> None:
    folder, _, _ = fresh
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    seen = timm.data.resolve_model_data_config(model)
    assert (seen["input_size"], seen["interpolation"], seen["crop_pct"]) == ((3, 40, 40), "bicubic", 1.0)
    assert (list(seen["mean"]), list(seen["std"])) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert list(model.pretrained_cfg["label_names"]) == configuration(folder)["label_names"] == ["rose", "tulip", "zinnia"]
    assert model.forward_features(images(size=40)).shape[2:] == tuple(model.pretrained_cfg["pool_size"]) == (10, 10)
    assert model.pretrained_cfg["description"] == "FTSO cells searched on flowers: 3 cells, 4 channels, 40x40 images"


def test_the_folder_adapts_to_other_classes_channels_and_to_features(fresh: tuple[Path, Any, HubReport]) -> None:
    place = f"local-dir:{fresh[0]}"
    assert timm.create_model(place, pretrained=True, num_classes=7)(images()).shape == (3, 7)
    assert timm.create_model(place, pretrained=True, in_chans=1)(images(1)).shape == (3, 3)
    assert [m.shape[2] for m in timm.create_model(place, pretrained=True, features_only=True)(images())] == [32, 16, 8]


def test_transformers_builds_the_same_model_from_the_configuration(fresh: tuple[Path, Any, HubReport]) -> None:
    """As its wrapper does: the architecture with model_args, and the number of classes by itself."""
    folder, model, _ = fresh
    config = configuration(folder)
    assert "num_classes" not in config["model_args"], "given twice, it is a TypeError in transformers"
    twin = timm.create_model(config["architecture"], pretrained=False, num_classes=config["num_classes"], **config["model_args"]).eval()
    twin.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    with torch.no_grad():
        assert torch.equal(twin(images()), model(images()))


def test_transformers_loads_the_folder(fresh: tuple[Path, Any, HubReport]) -> None:
    transformers = pytest.importorskip("transformers")
    folder, model, _ = fresh
    wrapped = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(wrapped(images()).logits, model(images()), rtol=1e-5, atol=1e-5)
    assert wrapped.config.id2label == {0: "rose", 1: "tulip", 2: "zinnia"}


@pytest.mark.parametrize("local", [True, False])
def test_transformers_prepares_images_by_timms_configuration_alone(
    fresh: tuple[Path, Any, HubReport], monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    """In a folder and, other code of transformers, on the Hub: preprocessor_config.json is for transformers.js."""
    auto = pytest.importorskip("transformers.models.auto.image_processing_auto")
    monkeypatch.setattr(auto, "is_timm_local_checkpoint", lambda _: local, raising=False)
    processor = auto.AutoImageProcessor.from_pretrained(fresh[0])
    assert type(processor).__name__ == "TimmWrapperImageProcessor"
    assert processor.data_config["mean"] == (0.1, 0.2, 0.3) and processor.data_config["interpolation"] == "bicubic"


def test_the_folder_has_what_transformers_js_reads_and_no_model_type(fresh: tuple[Path, Any, HubReport]) -> None:
    config = configuration(fresh[0])
    assert config["id2label"] == {"0": "rose", "1": "tulip", "2": "zinnia"} and "model_type" not in config
    prepared = json.loads((fresh[0] / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert prepared["size"] == {"shortest_edge": 40} and prepared["image_mean"] == [0.1, 0.2, 0.3]
    text = (fresh[0] / "README.md").read_text(encoding="utf-8")
    assert "new ImageClassificationPipeline(" in text and 'dtype: "fp32"' in text and "await classifier(image, " in text


IN_ANOTHER_PROCESS = """
import sys
import torch
torch.set_num_threads(1)
import nasarch, timm
folder, images, out, *transformers = sys.argv[1:]
images = torch.load(images)
found = [timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(images)]
if transformers:
    from transformers import AutoModelForImageClassification
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    assert model.config.id2label[3] == "cat"
    found.append(model(images).logits)
torch.save([logits.detach() for logits in found], out)
"""


def test_the_packages_weights_load_in_a_new_process_with_timm_and_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "export_onnx", without_onnx)
    folder = export_hub("ftso_cifar_shallow", tmp_path / "out").path
    clients = ["transformers"] * (importlib.util.find_spec("transformers") is not None)
    torch.save(images(), tmp_path / "images.pt")
    arguments = [str(folder), str(tmp_path / "images.pt"), str(tmp_path / "found.pt"), *clients]
    done = subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = timm.create_model("ftso_cifar_shallow", pretrained=True).eval()(images())
    found = torch.load(tmp_path / "found.pt")
    assert len(found) == 1 + len(clients) and expected.std(0).min() > 0.1
    for logits in found:
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    text = (folder / "README.md").read_text(encoding="utf-8")
    evaluations: Any = ModelCard.load(folder / "README.md").data.eval_results
    assert {(one.dataset_name, one.dataset_type) for one in evaluations} == {("CIFAR-10 (JPEG)", "CIFAR-10 (JPEG)")}
    assert "trained on CIFAR-10 (JPEG)" in text and evaluations[0].metric_value == pytest.approx(81.3, abs=0.1)


@pytest.mark.parametrize("name, network", [("pc_darts_imagenet", "nas_224"), ("ftso_nats_cifar", "nas_bench_201")])
def test_models_of_the_zoo_become_generic_ones_with_their_genotype_inside(tmp_path: Path, name: str, network: str) -> None:
    model = trained(name, cells=3 if network == "nas_224" else 1, in_chans=1, num_classes=5)
    report = export_hub(name, tmp_path / "out", checkpoint=save(model, tmp_path / "w.safetensors"), size=48)
    config = configuration(tmp_path / "out")
    assert report.architecture == config["architecture"] == network and not report.labelled
    assert Genotype.from_dict(config["model_args"]["genotype"]) == model.genotype
    seen: Any = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(seen(images(1)), model(images(1)))
    cfg, zoo = seen.pretrained_cfg, model.default_cfg
    assert (cfg["input_size"], cfg["num_classes"], cfg["crop_pct"]) == ((1, 48, 48), 5, zoo["crop_pct"])
    assert cfg["mean"] == pytest.approx([sum(zoo["mean"]) / 3]) and cfg["std"] == pytest.approx([sum(zoo["std"]) / 3])
    assert "label_names" not in config, "nobody said what the five classes are"


def test_timms_transform_of_the_folder_is_that_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "export_onnx", without_onnx)
    model = trained("pc_darts_cifar")
    export_hub("pc_darts_cifar", tmp_path / "out", checkpoint=save(model, tmp_path / "w.safetensors"), data="cifar10")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 37, 3), dtype=np.uint8)
    loaded = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    one, other = (timm.data.create_transform(**timm.data.resolve_model_data_config(m))(Image.fromarray(pixels)) for m in (model, loaded))
    assert torch.equal(one, other)
    assert configuration(tmp_path / "out")["label_names"] == list(CIFAR10_CLASSES)


def test_another_pooling_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained("pc_darts_cifar", global_pool="max")
    monkeypatch.setattr(exporter, "build", lambda *_: model)
    monkeypatch.setattr(exporter, "export_onnx", without_onnx)
    export_hub("pc_darts_cifar", tmp_path / "out")
    loaded = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(loaded(images()), model(images()))


def test_nothing_of_this_machine_and_no_pickle_is_in_the_folder(fresh: tuple[Path, Any, HubReport]) -> None:
    folder, _, _ = fresh
    machine = {str(folder.parents[1]), str(Path.home()), str(ROOT), sys.prefix, "/tmp", str(folder.parents[3]), "stack_trace"}
    for path in map(folder.joinpath, files(folder)):
        content = path.read_bytes()
        assert path.suffix in (".json", ".md", ".png", ".svg", ".safetensors", ".onnx")
        assert not [word for word in machine - {"/"} if word.encode() in content], path.name
    assert Genotype.load(folder / "genotype.json").provenance["source"]["command"] == "nasarch search ftso --data images --out x"


@pytest.mark.parametrize(
    "text, shown",
    [
        ("nasarch search ftso --data ../shared/cifar --epochs 1", "nasarch search ftso --data cifar --epochs 1"),
        ("3 images of /home/me/a.tar, 4 of ~me/b.tar", "3 images of a.tar, 4 of b.tar"),
        (r"--out=C:\Users\me\runs\x", "--out=x"),
        ("file:///home/me/x", "x"),
        ("https://github.com/x/y and a/b.py, 24.2 / 7.3", "https://github.com/x/y and a/b.py, 24.2 / 7.3"),
    ],
)
def test_of_paths_only_the_last_part_is_kept(text: str, shown: str) -> None:
    assert public({"a": [text, 1]}) == {"a": [shown, 1]}


def test_the_weights_digest_is_in_the_card_and_in_the_onnx_file(fresh: tuple[Path, Any, HubReport]) -> None:
    folder, _, _ = fresh
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    properties = {entry.key: entry.value for entry in onnx.load(folder / "onnx" / "model.onnx").metadata_props}
    assert properties["weights_sha256"] == digest and digest in (folder / "README.md").read_text(encoding="utf-8")
    assert json.loads(properties["class_names"]) == ["rose", "tulip", "zinnia"]


def test_the_card_tells_measured_figures_from_reported_ones(fresh: tuple[Path, Any, HubReport]) -> None:
    path = fresh[0] / "README.md"
    seen: Any = metadata_load(path)
    assert (seen["library_name"], seen["pipeline_tag"], seen["license"]) == ("timm", "image-classification", "apache-2.0")
    assert {"timm", "image-classification", "onnx", "arxiv:1234.56789"} <= {*seen["tags"]}
    (evaluation,) = ModelCard.load(path).data.eval_results
    assert (evaluation.dataset_name, evaluation.metric_type, evaluation.metric_value) == ("flowers", "accuracy", 91.46)
    text = path.read_text(encoding="utf-8")
    measured, reported = text.split("## Measured")[1].split("## Reported for these cells")
    conditions = "7 epochs, batch 64, 8.5 s; 9 test images, read once; recipe shallow; weights of the last epoch; CPU; seed 3"
    assert f"| flowers | test accuracy | 91.46 % | {conditions} |" in measured and "2.57" not in measured
    assert "| CIFAR-10 | test error | 2.57 % | On Cells, Table 1 |" in reported
    assert text.index("import nasarch\nimport timm") < text.index("timm.create_model(")
    assert "@inproceedings{ftso2020," in text and "author = {Doe and Roe}" in text and "trained on flowers" in text


def test_a_card_of_random_weights_says_so_and_states_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_cell("my_cell", tmp_path / "cell.json")
    monkeypatch.setattr(exporter, "build", lambda *_: trained("nas_cifar", genotype=str(tmp_path / "cell.json"), num_classes=10))
    monkeypatch.setattr(exporter, "export_onnx", without_onnx)
    report = export_hub(tmp_path / "cell.json", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert report.random and "the weights are random" in str(report)
    assert "**The weights are random.**" in text and "Nothing: the weights are random." in text and "## Reported" not in text
    assert "model-index" not in text and "Nothing is known of them." in text and "label_names" not in configuration(tmp_path / "out")


def test_results_in_the_form_of_a_provenance_and_none_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(exporter, "card", lambda facts: seen.append(facts) or "")
    monkeypatch.setattr(exporter, "export_onnx", without_onnx)
    new_cell("my_cell", tmp_path / "genotype.json")
    save(trained("nas_cifar", genotype=str(tmp_path / "genotype.json"), num_classes=10), tmp_path / "model.safetensors")
    result = {
        "dataset": "CIFAR-10",
        "metric": "test error",
        "value": 9.5,
        "spread": 0.3,
        "unit": "%",
        "seeds": [0, 1],
        "note": "see /a/log",
    }
    (tmp_path / "result.json").write_text(json.dumps({"results": [{**result, "note": "see /a/log"}]}))
    export_hub(tmp_path, tmp_path / "out")
    text = card(seen[0])
    assert not seen[0].random and "| CIFAR-10 | test error | 9.5 ± 0.3 % | see log; seeds [0, 1] |" in text
    assert "type: test_error" in text and "type: uoft-cs/cifar10" in text
    assert "No accuracy is stated" in card(replace(seen[0], results=())) and "trained, on what is not stated" in text


def test_a_data_set_that_is_named_gives_labels_but_leaves_the_preprocessing_of_a_training(
    fresh: tuple[Path, Any, HubReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was written before may be written again, with what was forgotten."""
    monkeypatch.setattr(exporter, "export_onnx", without_onnx)
    monkeypatch.setitem(KNOWN, "imagenet", KNOWN["imagenet"]._replace(title="Leaves", class_names=("oak", "ash", "elm")))
    export_hub(fresh[0], tmp_path / "out", data="imagenet")
    before, config = configuration(fresh[0]), configuration(tmp_path / "out")
    assert config["label_names"] == ["oak", "ash", "elm"] and config["pretrained_cfg"]["mean"] == [0.1, 0.2, 0.3]
    assert [*config["id2label"].values()] == ["oak", "ash", "elm"]
    labels = {"label_names": 0, "id2label": 0}
    assert {**config, **labels} == {**before, **labels}
    assert files(tmp_path / "out") == FOLDER
    with pytest.raises(ValueError, match="has weights of its own"):
        export_hub(fresh[0], tmp_path / "other", checkpoint="w.safetensors")


def test_classes_are_named_by_data_set() -> None:
    assert known("CIFAR-10") is known("cifar10") is KNOWN["cifar10"] and known("flowers") is known(None) is None
    assert known("ImageNet-1k") is known("imagenet_jpeg") is KNOWN["imagenet"]
    copy = known("cifar10-jpeg")
    assert copy == known("CIFAR-10 (JPEG)") and copy == KNOWN["cifar10"]._replace(title="CIFAR-10 (JPEG)", hub=None)
    for data in KNOWN.values():
        classes = data.statistics.num_classes if data.statistics is not None else 10
        labels = labels_of(data, classes)
        assert labels is not None and len(set(labels.names)) == classes and labels_of(data, classes + 1) is None
    hundred = labels_of(KNOWN["cifar100"], CIFAR100.num_classes)
    assert hundred is not None and [*hundred.names] == sorted(hundred.names) and hundred.names[99] == "worm"
    thousand = labels_of(KNOWN["imagenet"], IMAGENET1K.num_classes)
    assert thousand is not None and thousand.descriptions[thousand.names[0]] == "tench, Tinca tinca"
