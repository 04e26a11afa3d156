"""How far a stage of a search is: its epoch and step, its sums, and their way into a checkpoint and back."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from nasarch.data.loader import BatchLoader
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint

from .updates import State

REMEDY = "choose a smaller learning rate (--lr), in another folder"


class StageState:
    """How far a stage is, its state laid down in the checkpoint and taken up again."""

    def __init__(self, checkpoint: Checkpoint, stage: str, state: State, train: BatchLoader, valid: BatchLoader | None) -> None:
        self.checkpoint, self.stage, self.state = checkpoint, stage, state
        self.loaders = {"train": train} | ({} if valid is None else {"valid": valid})
        self.epochs = self.step = 0
        self.is_over = False
        self.meter = Meter(next(state.net.parameters()).device)
        if (kept := checkpoint.stage(stage)) is not None:
            self._take_up(kept)

    def stop_requested(self, step: int, *, ends: bool) -> bool:
        """Whether somebody asked for a stop, of which all processes hear at once."""
        return distributed.stop_agreed(self.checkpoint.stop_requested, step, self.meter.device, ends=ends)

    def check(self, epoch: int, step: int) -> None:
        """Raise ValueError if a loss up to this step of epoch `epoch`, counted from 0, was not finite: nothing of that is kept."""
        self.meter.check(f"{self.stage}, epoch {epoch + 1}", step)

    def keep_epoch(self, epochs: int, *, is_over: bool) -> None:
        """An epoch ended; of a stage that is over only what others read is kept."""
        self.step, self.meter = 0, Meter(self.meter.device)
        if is_over and self.checkpoint.path is not None:
            self.checkpoint.keep(self.stage, {"epochs": epochs, "step": 0, "is_over": True, "arch": self._arch()})
        elif not is_over:
            self.keep(epochs, 0)

    def keep(self, epochs: int, step: int) -> None:
        """Everything, after `step` steps of the epoch that follows `epochs` whole ones."""
        meter = self.meter.state_dict()
        if self.checkpoint.path is None:
            return
        state = self.state
        self.checkpoint.keep(
            self.stage,
            {
                "epochs": epochs,
                "step": step,
                "is_over": False,
                "arch": self._arch(),
                "net": state.net.state_dict(),
                "weight_optimizer": state.weight_optimizer.state_dict(),
                "arch_optimizer": state.arch_optimizer.state_dict(),
                "loaders": {name: loader.state_dict() for name, loader in self.loaders.items()},
                "scaler": state.scaler.state_dict(),
                "meter": meter,
            },
        )

    def _arch(self) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
        """The architecture parameters, and the gradients that recipes break ties with."""
        return {name: (p.detach().cpu(), None if p.grad is None else p.grad.cpu()) for name, p in self.state.arch.named_parameters()}

    def _take_up(self, kept: dict[str, Any]) -> None:
        for name, parameter in self.state.arch.named_parameters():
            value, gradient = kept["arch"][name]
            parameter.data.copy_(value)
            parameter.grad = None if gradient is None else gradient.to(parameter)
        self.epochs, self.step, self.is_over = kept["epochs"], kept["step"], kept["is_over"]
        if self.is_over:
            return
        self.state.net.load_state_dict(kept["net"])
        self.state.weight_optimizer.load_state_dict(kept["weight_optimizer"])
        self.state.arch_optimizer.load_state_dict(kept["arch_optimizer"])
        if kept["scaler"]:  # empty where nothing is scaled
            self.state.scaler.load_state_dict(kept["scaler"])
        for name, loader in self.loaders.items():
            loader.load_state_dict(kept["loaders"][name])
        if distributed.is_main():  # its sums are those of all processes
            self.meter.load_state_dict(kept["meter"])


class Meter:
    """Sums on the device, so that a step never waits for the one before; read twice a second at most."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.unseen: list[torch.Tensor] = []  # losses since the last check
        self.loss: torch.Tensor | float = 0.0
        self.correct: torch.Tensor | int = 0
        self.images = self.timed = 0
        self.start = self.reported = time.perf_counter()

    def add(self, loss: torch.Tensor, correct: torch.Tensor, images: int, other_images: int) -> None:
        self.unseen.append(loss)
        self.loss = self.loss + loss * images
        self.correct = self.correct + correct
        self.images += images
        self.timed += images + other_images

    def due(self, interval: float) -> bool:
        """Whether the last reading is `interval` seconds old."""
        return time.perf_counter() - self.reported >= interval

    def check(self, place: str, step: int) -> None:
        """Raise ValueError if a loss was not finite since the last check, `step` being the last one: names the first."""
        losses, self.unseen = self.unseen, []
        wrong = [i for i, loss in enumerate(torch.stack(losses).tolist() if losses else ()) if not math.isfinite(loss)]
        if wrong:
            first = step - len(losses) + 1 + wrong[0]
            raise ValueError(f"the loss is {losses[wrong[0]].item()} in {place}, step {first}: {REMEDY}")

    def means(self, place: str, *, of_all: bool) -> tuple[float, float]:
        """Loss and accuracy: of this process, or of all of them, which then have to ask at the same time."""
        self.reported = time.perf_counter()
        loss, correct, images = self._totals() if of_all else self._sums()
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss} in {place}: {REMEDY}")
        return loss / images, correct / images

    def images_per_second(self) -> float:
        """Of all processes together."""
        return distributed.world_size() * self.timed / (time.perf_counter() - self.start)

    def state_dict(self) -> dict[str, Any]:
        """The sums of all processes, which have to ask at the same time."""
        loss, correct, images = self._totals()
        return {"loss": loss, "correct": int(correct), "images": int(images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss, self.correct, self.images = state["loss"], state["correct"], state["images"]

    def _totals(self) -> list[float]:
        return distributed.all_reduce_sum(self._sums(), self.device)

    def _sums(self) -> list[float]:
        return [float(self.loss), float(self.correct), float(self.images)]
