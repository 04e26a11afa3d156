"""Steps, learning rates, moving averages, stops and batches of a detector's training."""

from __future__ import annotations

import io
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from nasarch.data.image_files import File
from nasarch.export.detection import learner as detect_train
from nasarch.export.detection.coco import Scene
from nasarch.export.detection.learner import Learner, fit
from nasarch.export.detection.loader import Batch, Epochs
from nasarch.export.detection.settings import DetectTraining
from nasarch.export.ssd.detector import assemble
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.meter import Meter
from tests.helpers.boxes import MEAN, STD, batch_of
from tests.helpers.small_detector import random_detector


@pytest.fixture
def model() -> Any:
    """Of 64 pixels, with four maps of 4, 2, 1, 1 places a side, and colours that differ by channel."""
    found = random_detector()
    return assemble(replace(found.design, mean=MEAN, std=STD), found.backbone.body)


SETTINGS = DetectTraining(lr=0.3, momentum=0.7, weight_decay=0.02, clip=0.0, ema=0.5)


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_steps_are_sgd_with_momentum_decay_and_a_limit_and_the_average_is_short_at_first(clip: float, model: Any) -> None:
    """v = momentum v + (g + decay w), w = w - rate v; the average's decay is the smaller of 0.5 and 1 - (1 + step)^(-2/3)."""
    learner = Learner(model.train(), replace(SETTINGS, clip=clip))
    weights = [parameter.detach().double().clone() for parameter in model.parameters()]
    speed, average = [torch.zeros_like(w) for w in weights], [w.clone() for w in weights]
    longer = False
    for number, rate in enumerate((0.01, 0.03, 0.02)):
        batch = batch_of(number)
        total: Any = sum(learner.losses(batch).values())
        gradients = [g.double() for g in torch.autograd.grad(total, [*model.parameters()])]
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        longer |= norm > 0.5
        factor = min(1.0, clip / norm) if clip else 1.0
        found = learner.step(batch, number, rate)
        assert [group["lr"] for group in learner.optimizer.param_groups] == [rate]
        decay = min(0.5, 1 - (1 + number) ** (-2 / 3))
        for i, g in enumerate(gradients):
            speed[i] = 0.7 * speed[i] + factor * g + 0.02 * weights[i]
            weights[i] = weights[i] - rate * speed[i]
            average[i] = decay * average[i] + (1 - decay) * weights[i]
        for own, expected in zip(model.parameters(), weights, strict=True):
            torch.testing.assert_close(own.detach().double(), expected, rtol=1e-4, atol=1e-5)
            assert own.grad is None
        for own, expected in zip(learner.result().parameters(), average, strict=True):
            torch.testing.assert_close(own.detach().double(), expected, rtol=1e-4, atol=1e-5)
        assert not found.requires_grad and found.sum().item() == pytest.approx(float(total.detach()), rel=1e-4)
    assert longer and learner.result() is not model and not learner.result().training


def test_losses_are_in_the_order_of_their_names_and_in_float32(model: Any) -> None:
    learner, batch = Learner(model.train(), DetectTraining(), torch.bfloat16), batch_of()
    kinds = list[torch.dtype]()
    layer = next(layer for layer in model.head.modules() if isinstance(layer, torch.nn.Conv2d))
    layer.register_forward_hook(lambda _, __, output: kinds.append(output.dtype))
    told = learner.losses(batch)
    assert kinds == [torch.bfloat16] and {value.dtype for value in told.values()} == {torch.float32}
    found = learner.step(batch, 0, 0.0)
    assert found.tolist() == pytest.approx([told["classification"].item(), told["bbox_regression"].item()], rel=1e-2)
    assert told["classification"] != told["bbox_regression"] and learner.result() is model


@pytest.mark.parametrize(("precision", "last"), [(None, True), (torch.bfloat16, False)])
def test_weights_lie_channels_last_in_float32_alone(precision: torch.dtype | None, last: bool, model: Any) -> None:
    learner = Learner(model, DetectTraining(), precision)
    kernel = max((p for p in learner.model.parameters() if p.ndim == 4 and p.shape[2] > 1 < p.shape[1]), key=lambda p: p.numel())
    assert kernel.is_contiguous(memory_format=torch.channels_last) == last


def test_a_state_is_everything_that_the_next_step_depends_on(model: Any) -> None:
    """The weights, their average, which is another by now, and the speed of the optimiser."""
    learner = Learner(model.train(), SETTINGS)
    for number in range(2):
        learner.step(batch_of(number), number, 0.02)
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    file.seek(0)
    state = torch.load(file)
    assert [*state] == ["model", "ema", "optimizer"]
    assert not all(torch.equal(value, state["ema"][name]) for name, value in state["model"].items())
    other = random_detector()
    twin = Learner(assemble(replace(other.design, mean=MEAN, std=STD), other.backbone.body).train(), SETTINGS)
    twin.load_state_dict(state)
    for found, kept in ((twin.model.state_dict(), state["model"]), (twin.result().state_dict(), state["ema"])):
        assert all(torch.equal(found[name], value) for name, value in kept.items())
    for one in (learner, twin):
        one.step(batch_of(2), 2, 0.02)
    for one, same in zip(learner.model.parameters(), twin.model.parameters(), strict=True):
        assert torch.equal(one, same)
    with pytest.raises(ValueError, match="the checkpoint is of another detector: .* weights missing"):
        twin.load_state_dict({**state, "model": {}})


class Counted(Learner):
    """Writes down what each step is given, and learns nothing."""

    def __init__(self, model: Any, settings: DetectTraining) -> None:
        super().__init__(model, settings)
        self.steps = list[tuple[int, float, int]]()

    def step(self, batch: Batch, number: int, rate: float) -> Tensor:
        self.steps.append((number, rate, int(batch.images[:, 0, 0, 0].sum())))
        return torch.tensor([1.0 + number, 0.5], dtype=torch.float64)


def scenes(folder: Path, count: int) -> tuple[Scene, ...]:
    """Images of one level each, and a box in each."""
    found = []
    for number in range(count):
        Image.new("RGB", (40, 30), (number, number, number)).save(folder / f"{number}.png")
        box = torch.tensor([[3.0, 4.0, 20.0, 28.0]])
        found.append(Scene(number, File(str(folder), f"{number}.png"), 30, 40, box, torch.tensor([1])))
    return tuple(found)


def test_the_rate_rises_in_the_warm_up_and_falls_as_a_cosine(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 epochs of 5 steps, a warm-up of round(0.23 x 15) = 3 steps; which images a step sees is drawn by seed and epoch."""
    settings = DetectTraining(epochs=3, batch_size=2, lr=0.4, warmup=0.23, augmentation="none", size=64)
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)
    learner, checkpoint = Counted(model, settings), Checkpoint(tmp_path / "checkpoint.pt", {})
    told = [*fit(learner, scenes(tmp_path, 11), 7, 0, checkpoint)]
    rates = [0.4 / 3, 0.8 / 3, 0.4] + [0.4 * (1 + math.cos(math.pi * step / 15)) / 2 for step in range(3, 15)]
    assert [step[0] for step in learner.steps] == [*range(15)] and [step[1] for step in learner.steps] == pytest.approx(rates)
    expected = list[int]()
    for epoch in range(3):
        order = [*range(11)]
        random.Random(f"7 {epoch}").shuffle(order)
        expected += [order[i] + order[i + 1] for i in range(0, 10, 2)]
    assert [step[2] for step in learner.steps] == expected
    assert [(one.epoch, one.step, one.epochs, one.steps) for one in told] == [(e, s, 3, 5) for e in (1, 2, 3) for s in range(1, 6)]
    assert [one.learning_rate for one in told] == pytest.approx(rates) and learner.model.training
    means = [sum(1.0 + n for n in range(5 * e, 5 * e + s)) / s for e in range(3) for s in range(1, 6)]
    assert [one.classification for one in told] == pytest.approx(means) and {one.localisation for one in told} == {0.5}
    assert [one.loss for one in told] == pytest.approx([mean + 0.5 for mean in means])
    assert [one.ends_epoch for one in told] == [s == 5 for _ in range(3) for s in range(1, 6)]
    kept = checkpoint.stage("detector training")
    assert kept is not None and (kept["epochs"], kept["step"], kept["meter"]) == (3, 0, {"sums": [], "count": 0})


def test_a_stop_within_an_epoch_keeps_its_steps_and_losses_and_goes_on_with_the_next(tmp_path: Path, model: Any) -> None:
    settings = DetectTraining(epochs=3, batch_size=2, lr=0.4, warmup=0.0, augmentation="none", size=64)
    checkpoint, images = Checkpoint(tmp_path / "checkpoint.pt", {}), scenes(tmp_path, 8)

    class Stopped(Counted):
        def step(self, batch: Batch, number: int, rate: float) -> Tensor:
            checkpoint.stop_requested = number == 5
            return super().step(batch, number, rate)

    with pytest.raises(KeyboardInterrupt):
        [*fit(Stopped(model, settings), images, 7, 0, checkpoint)]
    kept = Checkpoint(tmp_path / "checkpoint.pt", {}).stage("detector training")
    assert kept is not None and (kept["epochs"], kept["step"], kept["meter"]) == (1, 2, {"sums": [5.0 + 6.0, 1.0], "count": 2})
    checkpoint.stop_requested = False
    rest, whole = Counted(model, settings), Counted(model, settings)
    second, third = fit(rest, images, 7, 0, checkpoint)
    [*fit(whole, images, 7, 0, Checkpoint(None, {}))]
    assert rest.steps == whole.steps[6:] and [step[0] for step in rest.steps] == [*range(6, 12)]
    assert (second.epoch, second.step, second.classification) == (2, 4, pytest.approx((5 + 6 + 7 + 8) / 4))
    assert (third.epoch, third.step, third.classification) == (3, 4, pytest.approx((9 + 10 + 11 + 12) / 4))


@pytest.mark.parametrize(("number", "kept", "steps"), [(3, (1, 0), 4), (4, (1, 1), 5), (7, (2, 0), 8)])
def test_a_stop_takes_effect_after_its_step_and_in_the_last_one_not_at_all(
    number: int, kept: tuple[int, int], steps: int, tmp_path: Path, model: Any
) -> None:
    settings, checkpoint = DetectTraining(epochs=2, batch_size=2, augmentation="none", size=64), Checkpoint(tmp_path / "c.pt", {})

    class Stopped(Counted):
        def step(self, batch: Batch, at: int, rate: float) -> Tensor:
            checkpoint.stop_requested = at == number
            return super().step(batch, at, rate)

    learner, stopped = Stopped(model, settings), False
    try:
        [*fit(learner, scenes(tmp_path, 8), 7, 0, checkpoint)]
    except KeyboardInterrupt:
        stopped = True
    state = checkpoint.stage("detector training")
    assert state is not None and (state["epochs"], state["step"]) == kept and state["meter"]["count"] == kept[1]
    assert len(learner.steps) == steps and stopped == (number < 7)


def test_a_loss_that_is_infinite_or_no_number_is_told_and_others_are_not() -> None:
    for value, fits in ((1e308, True), (math.inf, False), (math.nan, False)):
        meter = Meter(torch.device("cpu"), detect_train.REMEDY)
        losses = torch.tensor([value, 0.0], dtype=torch.float64)
        meter.add(losses.sum(), losses.unbind(), 1, images=3)
        if fits:
            assert meter.means("epoch 1", all_processes=True) == [value, 0.0]
            assert meter.state_dict() == {"sums": [value, 0.0], "count": 1}
        else:
            with pytest.raises(ValueError, match=f"the loss is {value} in epoch 1: choose a smaller learning rate"):
                meter.means("epoch 1", all_processes=True)


LEGAL = [(4, 4, 1), (9, 2, 1), (8, 4, 2)]

ILLEGAL = [(3, 4, 1), (9, 1, 1), (8, 3, 2), (8, 2, 2)]


@pytest.mark.parametrize(("count", "size", "ranks", "legal"), [*((*one, True) for one in LEGAL), *((*one, False) for one in ILLEGAL)])
def test_a_batch_has_two_images_a_process_and_no_more_than_there_are(count: int, size: int, ranks: int, legal: bool) -> None:
    if legal:
        order = Epochs(count, size, 0, 0, ranks)
        assert order.steps == count // size and [len(one) for one in order.draws(range(1), 0)] == [size // ranks] * order.steps
    else:
        with pytest.raises(ValueError, match=f"batch size {size}: there are {count} images"):
            Epochs(count, size, 0, 0, ranks)
