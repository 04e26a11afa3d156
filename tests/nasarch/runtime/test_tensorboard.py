"""TensorBoard events of the ends of epochs, where the package is there."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

from nasarch.cli.main import main
from nasarch.runtime.tensorboard import TensorBoardLogger
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes.ftso import Ftso, search
from nasarch.search.runs.console import log_epoch
from tests.helpers.coloured_images import data

FLAGS = ["--data", "digits", "--size", "8", "--layers", "3", "--channels", "4", "--iterations", "2", "--device", "cpu", "--tensorboard"]


def test_without_the_package_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["search", "ftso", "--out", str(tmp_path / "run"), *FLAGS]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--tensorboard needs the package tensorboard" in line and "pip install" in line
    assert not (tmp_path / "run" / "genotype.json").exists()


def test_the_ends_of_epochs_are_events(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package and what it imports
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        ends = []
        with TensorBoardLogger(tmp_path) as logger:
            for progress in search(SearchContext(data=data(), hessian=True), Ftso(epochs=2, layers=3, channels=4, batch_size=8)):
                log_epoch(logger, progress)
                ends += [progress] if progress.ends_epoch else []
        events = EventAccumulator(str(tmp_path)).Reload()
    assert len(ends) == 2 and len({end.loss for end in ends}) == 2
    expected = {
        name: [getattr(end, name) for end in ends] for name in ("loss", "accuracy", "learning_rate", "temperature", "images_per_second")
    }
    expected["eigenvalue"] = [end.figures["eigenvalue"] for end in ends]
    for kind in ("normal", "reduction"):
        edges = [[edge for node in end.result.genotype.cells[kind].nodes for edge in node] for end in ends]
        expected[f"skip connections, {kind}"] = [sum(edge.operation == "skip_connect" for edge in found) for found in edges]
    assert set(events.Tags()["scalars"]) == {f"topology/{name}" for name in expected}
    for name, values in expected.items():
        told = [(event.step, event.value) for event in events.Scalars(f"topology/{name}")]
        assert told == [(epoch, pytest.approx(value)) for epoch, value in enumerate(values, 1)]
