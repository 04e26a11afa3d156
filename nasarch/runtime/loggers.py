"""Experiment loggers: TensorBoard, Weights & Biases, MLflow, or any class with the three methods of `Logger`.

Their packages are imported when a run starts, and are no dependencies of nasarch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol


class Logger(Protocol):
    """Experiment logger of a run: start, log ..., finish."""

    def start(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin, or go on after a stop; `folder` is the run's, `config` what its config.json holds."""

    def log(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics at the end of an epoch; each stage of a run counts its epochs from 1."""

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """End with the result as JSON has it, or with None if the run was stopped or failed."""


class TensorBoardLogger:
    """Logger that writes TensorBoard events into the folder events of the run, each metric as STAGE/NAME."""

    def start(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Open the file of events.

        Raises:
            ValueError: the package tensorboard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError("--tensorboard needs the package tensorboard; run: pip install 'nasarch[tensorboard]'") from error
        self.writer = SummaryWriter(folder / "events")

    def log(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(f"{stage}/{name}", value, epoch)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        self.writer.close()


class WandbLogger:
    """Logger for Weights & Biases: metrics as STAGE/NAME over STAGE/epoch, the configuration, and the result in the summary.

    Args:
        arguments: of wandb.init, such as project="nas" or mode="offline".
    """

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    def start(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin a run of W&B, by default named as the folder.

        Raises:
            ValueError: the package wandb is not installed.
        """
        try:
            import wandb
        except ImportError as error:
            raise ValueError("WandbLogger needs the package wandb; run: pip install wandb") from error
        self.run, self.stages = wandb.init(**{"name": folder.name, "config": dict(config)} | self.arguments), set[str]()

    def log(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        if stage not in self.stages:
            self.stages.add(stage)
            self.run.define_metric(f"{stage}/*", step_metric=f"{stage}/epoch")
        self.run.log({f"{stage}/{name}": value for name, value in {"epoch": epoch, **metrics}.items()})

    def finish(self, result: Mapping[str, Any] | None) -> None:
        if result is not None:
            self.run.summary["result"] = dict(result)
        self.run.finish(exit_code=0 if result is not None else 1)


class MlflowLogger:
    """Logger for MLflow: the configuration as config.json, metrics as STAGE/NAME by epoch, and the result as result.json.

    Args:
        experiment: name of the experiment.
        tracking_uri: server, or folder or database of the records (default: as MLflow is configured).
    """

    def __init__(self, experiment: str = "nasarch", tracking_uri: str | None = None) -> None:
        self.experiment, self.tracking_uri = experiment, tracking_uri

    def start(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin a run of MLflow, named as the folder.

        Raises:
            ValueError: the package mlflow is not installed.
        """
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise ValueError("MlflowLogger needs the package mlflow; run: pip install mlflow") from error
        self.client = MlflowClient(tracking_uri=self.tracking_uri)
        experiment = self.client.get_experiment_by_name(self.experiment)
        number = self.client.create_experiment(self.experiment) if experiment is None else experiment.experiment_id
        self.run_id = self.client.create_run(number, run_name=folder.name).info.run_id
        self.client.log_dict(self.run_id, dict(config), "config.json")

    def log(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.client.log_metric(self.run_id, f"{stage}/{name}".replace(",", ""), value, step=epoch)  # MLflow allows no comma

    def finish(self, result: Mapping[str, Any] | None) -> None:
        if result is not None:
            self.client.log_dict(self.run_id, dict(result), "result.json")
        self.client.set_terminated(self.run_id, "FINISHED" if result is not None else "FAILED")


class RunLog:
    """The loggers of one run: a context that starts all of them, and finishes them with `result`, which is None until it is set."""

    def __init__(self, loggers: Sequence[Logger], folder: Path, config: Mapping[str, Any]) -> None:
        self.loggers, self.folder, self.config = loggers, folder, config
        self.result: Mapping[str, Any] | None = None

    def __enter__(self) -> RunLog:
        with ExitStack() as stack:
            for logger in self.loggers:
                logger.start(self.folder, self.config)
                stack.callback(self._finish, logger)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def _finish(self, logger: Logger) -> None:
        logger.finish(self.result)

    def log(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics with every logger."""
        for logger in self.loggers:
            logger.log(stage, epoch, metrics)
