"""Experiment loggers: what they write at the ends of epochs, where their packages are there."""

from __future__ import annotations

import json
import struct
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import main
from nasarch.runtime.loggers import Logger, MlflowLogger, RunLog, TensorBoardLogger, WandbLogger
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
        with RunLog([TensorBoardLogger()], tmp_path, {}) as log:
            for progress in search(SearchContext(data=data(), hessian=True), Ftso(epochs=2, layers=3, channels=4, batch_size=8)):
                log_epoch(log, progress)
                ends += [progress] if progress.ends_epoch else []
        events = EventAccumulator(str(tmp_path / "events")).Reload()
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


class Recorder:
    """A logger of a user's own."""

    def __init__(self, name: str, calls: list[Any], fails: bool = False) -> None:
        self.name, self.calls, self.fails = name, calls, fails

    def start(self, folder: Path, config: Mapping[str, Any]) -> None:
        if self.fails:
            raise ValueError("words")
        self.calls.append((self.name, "start", folder, config))

    def log(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        self.calls.append((self.name, stage, epoch, metrics))

    def finish(self, result: Mapping[str, Any] | None) -> None:
        self.calls.append((self.name, "finish", result))


def test_all_loggers_of_a_run_get_everything_and_are_finished_whatever_happens(tmp_path: Path) -> None:
    calls: list[Any] = []
    loggers: list[Logger] = [Recorder("a", calls), Recorder("b", calls)]
    with RunLog(loggers, tmp_path, {"seed": 0}) as log:
        log.log("topology", 1, {"loss": 0.5})
        log.result = {"name": "found"}
    starts = [(name, "start", tmp_path, {"seed": 0}) for name in "ab"]
    assert calls[:4] == [*starts, *((name, "topology", 1, {"loss": 0.5}) for name in "ab")]
    assert sorted(calls[4:]) == [(name, "finish", {"name": "found"}) for name in "ab"]

    calls.clear()
    with pytest.raises(KeyboardInterrupt), RunLog(loggers, tmp_path, {}):
        raise KeyboardInterrupt
    assert sorted(call[::2] for call in calls if call[1] == "finish") == [("a", None), ("b", None)]

    calls.clear()
    with pytest.raises(ValueError, match="words"), RunLog([Recorder("a", calls), Recorder("b", calls, fails=True)], tmp_path, {}):
        pass
    assert [call[:2] for call in calls] == [("a", "start"), ("a", "finish")]


@pytest.mark.parametrize(("logger", "package"), [(WandbLogger(mode="offline"), "wandb"), (MlflowLogger(), "mlflow")])
def test_a_logger_without_its_package_says_what_to_install(
    logger: Logger, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"needs the package {package}; run: pip install {package}"):
        logger.start(tmp_path, {})


def logged(logger: Logger, folder: Path) -> None:
    """A run of two stages with the same epochs."""
    with RunLog([logger], folder, {"method": "DOTS", "settings": {"lr": 0.25}}) as log:
        for stage, losses in (("operations", (3.0, 2.0)), ("topology", (1.0, 0.5))):
            for epoch, loss in enumerate(losses, 1):
                log.log(stage, epoch, {"loss": loss, "skip connections, normal": 2.0})
        log.result = {"name": "found"}


def log_records(content: bytes) -> Iterator[bytes]:
    """Records of a file of W&B: after a header of 7 bytes, blocks of 32 KiB as in LevelDB's log, each part after checksum, length, kind."""
    position, record = 7, b""
    while position < len(content):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def test_a_run_of_weights_and_biases_in_its_offline_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
        from wandb.proto.wandb_internal_pb2 import Record

        monkeypatch.setenv("WANDB_SILENT", "true")
        logged(WandbLogger(mode="offline", project="nas", dir=str(tmp_path)), tmp_path / "folder")
        wandb.teardown()
        (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
        records = [Record.FromString(content) for content in log_records(file.read_bytes())]
    (run,) = [record.run for record in records if record.HasField("run")][:1]
    assert (run.project, run.display_name) == ("nas", "folder")
    assert json.loads({item.key: item.value_json for item in run.config.update}["settings"]) == {"lr": 0.25}
    lines = [
        {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [(line["topology/epoch"], line["topology/loss"]) for line in lines if "topology/loss" in line] == [(1, 1.0), (2, 0.5)]
    assert [(line["operations/epoch"], line["operations/loss"]) for line in lines if "operations/loss" in line] == [(1, 3.0), (2, 2.0)]
    (ended,) = [record.exit for record in records if record.HasField("exit")]
    assert ended.exit_code == 0


def test_a_run_of_mlflow_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow")
        from mlflow import MlflowClient

        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = (tmp_path / "records").as_uri()
        logged(MlflowLogger("nas", uri), tmp_path / "folder")
        client = MlflowClient(tracking_uri=uri)
        (run,) = client.search_runs([client.get_experiment_by_name("nas").experiment_id])
        losses = {stage: client.get_metric_history(run.info.run_id, f"{stage}/loss") for stage in ("operations", "topology")}
        assert {stage: [(one.step, one.value) for one in found] for stage, found in losses.items()} == {
            "operations": [(1, 3.0), (2, 2.0)],
            "topology": [(1, 1.0), (2, 0.5)],
        }
        assert (run.info.run_name, run.info.status) == ("folder", "FINISHED")
        assert run.data.metrics["topology/skip connections normal"] == 2.0
        for name, expected in (("config.json", {"method": "DOTS", "settings": {"lr": 0.25}}), ("result.json", {"name": "found"})):
            assert json.loads(Path(client.download_artifacts(run.info.run_id, name)).read_text()) == expected
