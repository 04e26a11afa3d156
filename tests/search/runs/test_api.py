"""Searches from Python: the same run folders as those of the command, the epochs as they end, loggers, and what is refused."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch

import nasarch
from nasarch.cli.main import main
from nasarch.flags import flags_of
from nasarch.runtime.options import to_dict
from nasarch.search import Run, read_run, recipes, search, search_epochs
from nasarch.search.runs import api, command
from nasarch.search.runs.api import Options
from nasarch.search.runs.options import SearchOptions
from nasarch.search.settings.presets import PRESETS, SETTINGS
from tests.helpers.command_line import python

SMALL = recipes.PcDarts(epochs=2, warmup=1, layers=3, channels=4, batch_size=64, nodes=2)
FLAGS = ["--epochs", "2", "--warmup", "1", "--nodes", "2", "--layers", "3", "--channels", "4", "--batch-size", "64"]
WHERE: dict[str, Any] = {"data": "digits", "size": 8, "device": "cpu", "seed": 3}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(SMALL, **WHERE, out=tmp_path_factory.mktemp("runs") / "python")


def without(record: Any, *names: str) -> Any:
    """JSON without keys of these names."""
    if isinstance(record, dict):
        return {key: without(value, *names) for key, value in record.items() if key not in names}
    return [without(value, *names) for value in record] if isinstance(record, list) else record


def test_a_search_from_python_is_that_of_the_command(found: Run, tmp_path: Path) -> None:
    other = tmp_path / "command"
    flags = ["--data", "digits", "--size", "8", "--device", "cpu", "--seed", "3"]
    assert main(["search", "pc-darts", *FLAGS, *flags, "--out", str(other)]) == 0
    names = sorted(str(path.relative_to(other)) for path in other.rglob("*"))
    assert names == sorted(str(path.relative_to(found.folder)) for path in found.folder.rglob("*")) and len(names) > 8
    changing = ("command", "seconds", "images_per_second", "memory", "out", "resumed")
    for name in (name for name in names if name.endswith((".json", ".jsonl"))):
        one, two = ([json.loads(line) for line in text_of(folder / name)] for folder in (found.folder, other))
        assert without(one, *changing) == without(two, *changing), name
    for name in ("weights.jsonl", "edges.json"):
        assert (other / name).read_bytes() == (found.folder / name).read_bytes()


def text_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]


def test_the_recorded_command_repeats_the_search(found: Run, tmp_path: Path) -> None:
    command = found.config["command"].split()
    assert command[:3] == ["nasarch", "search", "pc-darts"] and "--weight-decay" not in command
    command[command.index("--out") + 1] = str(tmp_path / "again")
    assert main(command[1:]) == 0
    assert read_run(tmp_path / "again").weights == found.weights


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (recipes.PcDarts(), {}),
        (recipes.PcDarts(lr=0.5), {"space": "nats", "data": "cifar10", "split": "lists"}),
        (recipes.preset("pc-darts", "nats"), {"space": "nats"}),
        (recipes.preset("pc-darts", "k8"), {"preset": "k8", "data": "digits", "in_memory": False}),
        (recipes.preset("dots", "imagenet"), {"preset": "imagenet", "hessian": True}),
        (recipes.Edarts(images=None, sparse=False), {"seed": 3, "amp": "bf16"}),
    ],
)
def test_the_command_line_of_a_search_has_its_settings_and_options(settings: Any, options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = list[Any]()

    @contextmanager
    def planned(method: str, settings: Any, job: SearchOptions, default: Any, given: Any, words: str) -> Iterator[Any]:
        plans.append((method, settings, job, default, words))
        raise Reached
        yield

    def search_with(method: str, settings: Any, job: SearchOptions, default: Any, given: Any) -> None:
        plans.append((method, settings, job, default))

    monkeypatch.setattr(api, "planned", planned)
    monkeypatch.setattr(command, "search_with", search_with)
    with pytest.raises(Reached):
        search(settings, **options)
    assert main(shlex.split(plans[0][-1])[1:]) == 0
    assert plans[0][:-1] == plans[1]


class Reached(Exception):
    """Ends a search where it comes to its plan."""


def test_a_result_holds_what_the_folder_holds_and_does_not_change(found: Run) -> None:
    assert found.genotype is not None and found.genotype == nasarch.Genotype.load(found.folder / "genotype.json")
    assert [line["epoch"] for line in found.metrics] == [1, 2] and list(found.cells) == [1, 2]
    assert found.architecture_weights is not None and found.margins is not None and found.weights is not None
    expected = torch.tensor(found.weights[-1].operations)
    assert torch.equal(found.architecture_weights.operations_ZEO, expected) and expected.shape == (2, 5, 8)
    assert {margin.node for margin in found.margins} == {2, 3} and found.config["settings"]["epochs"] == 2
    with pytest.raises(FrozenInstanceError):
        found.genotype = None  # type: ignore[misc]


def test_a_search_as_words_of_a_command_line() -> None:
    dots = recipes.Dots()
    changed = replace(dots, grouped=False, operation=replace(dots.operation, epochs=3, warmup=1), lr=0.5)
    words = ["--operation.epochs", "3", "--operation.warmup", "1", "--no-grouped", "--lr", "0.5"]
    assert flags_of(vars(dots), vars(changed)) == words
    assert flags_of({"a_b": None, "c": (1, 2), "d": False}, {"a_b": True, "c": (3, 4), "d": True}) == [*"--a-b True --c 3 4 --d".split()]


class Recorder:
    def __init__(self) -> None:
        self.calls = list[Any]()

    def start(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.calls.append((folder, config["settings"]["epochs"]))

    def log(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        self.calls.append((stage, epoch, metrics["loss"]))

    def finish(self, result: Mapping[str, Any] | None) -> None:
        self.calls.append(result and result["name"])


def test_epochs_come_as_they_end_and_a_search_that_is_left_goes_on(found: Run, tmp_path: Path) -> None:
    recorder = Recorder()
    epochs = search_epochs(SMALL, **WHERE, out=tmp_path / "run", loggers=[recorder])
    first = next(epochs)
    assert (first.epoch, first.epochs, first.is_warmup, first.loss) == (1, 2, True, found.metrics[0]["loss"])
    assert first.genotype == found.cells[1] and not (tmp_path / "run" / "genotype.json").exists()
    epochs.close()
    (stage,) = {line["stage"] for line in found.metrics}
    assert recorder.calls == [(tmp_path / "run", 2), (stage, 1, first.loss), None]

    recorder, losses = Recorder(), [line["loss"] for line in found.metrics]
    epochs = search_epochs(SMALL, resume=tmp_path / "run", loggers=[recorder])
    seen = []
    while True:
        try:
            seen.append(next(epochs).loss)
        except StopIteration as stop:
            assert isinstance(stop.value, Run) and stop.value.weights == found.weights
            break
    assert seen == losses and recorder.calls[-2:] == [(stage, 2, losses[1]), "pc_darts_digits"]


def test_settings_are_named_by_their_methods_and_presets() -> None:
    assert {kind.__name__ for kind in SETTINGS.values()} | {"DotsStage", "preset"} == {*recipes.__all__}
    assert recipes.preset("pc-darts", "k8") == PRESETS["pc-darts"]["k8"].settings()
    with pytest.raises(ValueError, match="unknown method 'pcdarts'; did you mean pc-darts"):
        recipes.preset("pcdarts", "k8")


def test_defaults_are_reduced_to_the_data_and_the_row_of_a_preset_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(recipes.preset("pc-darts", "imagenet"), epochs=40, layers=3, channels=4)
    run = search(settings, data="digits", size=8, device="cpu", preset="imagenet", scale=0.05, name="mine", out=tmp_path / "run")
    assert run.config["preset"]["row"] == "Table 2" and run.genotype is not None and run.genotype.name == "mine"
    assert (run.config["settings"]["batch_size"], run.config["settings"]["epochs"]) == (40, 3)
    assert "nasarch: warning: --batch-size 40 instead of 1024" in capsys.readouterr().err
    with pytest.raises(ValueError, match="batch size 512: data 'digits' has"):  # not the default, so it is not reduced
        search(replace(settings, batch_size=512), data="digits", size=8, device="cpu", preset="imagenet", out=tmp_path / "typed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 3}, "search has no option 'epoch'; legal are data, size"),
        ({"runs": 2}, "search has no option 'runs'"),
        ({"seed": "3"}, "search: seed = '3': choose an integer"),
        ({"size": 0.5}, "search: size = 0.5: choose an integer"),
        ({"amp": "fp8"}, "search: amp = 'fp8': choose off or bf16 or fp16"),
        ({"tf32": 1}, "search: tf32 = 1: choose true or false"),
        ({"name": "a b"}, "--name 'a b': choose letters"),
        ({"data": "nowhere"}, "nowhere"),
        ({"preset": "nothing"}, "unknown preset 'nothing' of pc-darts"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(options: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        search(SMALL, **{"device": "cpu", "out": tmp_path / "run"} | options)
    assert words in str(error.value) and "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_settings_of_no_method_are_refused() -> None:
    with pytest.raises(
        TypeError, match="'pc-darts' are settings of no method; choose nasarch.search.recipes.NAME.. with one of Darts, PcDarts"
    ):
        search("pc-darts")


def test_options_are_those_of_the_command_but_for_what_concerns_several_runs_and_the_terminal() -> None:
    elsewhere = {"runs", "consensus", "nats_table", "tensorboard", "max_macs"}
    assert get_type_hints(Options).keys() == to_dict(SearchOptions()).keys() - elsewhere


def test_the_package_of_searches_is_imported_without_its_parts() -> None:
    code = (
        "import sys; sys.argv[0] = 'nasarch'; import nasarch.search; from nasarch.search import recipes;"
        "recipes.PcDarts(epochs=5, warmup=1);"
        "print([name for name in ('torch', 'timm', 'numpy', 'rich') if name in sys.modules], 'search_epochs' in dir(nasarch.search))"
    )
    assert python("-c", code, check=True).stdout == "[] True\n"
    assert subprocess.run([sys.executable, "-c", "from nasarch.search import wrong"], capture_output=True).returncode == 1
