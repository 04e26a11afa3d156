"""SSD by the formulas of its paper: anchors, offsets, matches, losses; steps, rates and averages of a training, each computed once more."""

from __future__ import annotations

import io
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from nasarch.data.image_files import File
from nasarch.export.detection import learner as detect_train
from nasarch.export.detection.coco import Scene
from nasarch.export.detection.learner import Learner, fit
from nasarch.export.detection.loader import Batch, Draw, Drawn, Epochs, transforms
from nasarch.export.detection.settings import DetectTraining
from nasarch.export.ssd.detector import assemble, default_boxes
from nasarch.export.ssd.graph import Detections
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.meter import Meter
from tests.helpers.exported import bilinear
from tests.helpers.small_detector import random_detector

MEAN, STD = (0.1, 0.4, 0.8), (0.2, 0.5, 0.9)


@pytest.fixture
def model() -> Any:
    """Of 64 pixels, with four maps of 4, 2, 1, 1 places a side, and colours that differ by channel."""
    found = random_detector()
    return assemble(replace(found.design, mean=MEAN, std=STD), found.backbone.body)


def anchors_of(maps: list[int], smallest: float, largest: float, size: int) -> np.ndarray:
    """Liu et al. 2016, sec. 2.2: s_k, and sqrt(s_k s_k+1) for one more square; proportions 1, 2, 1/2, 3, 1/3; corners in pixels."""
    shares = [smallest + (largest - smallest) / (len(maps) - 1) * k for k in range(len(maps))] + [1.0]
    found = []
    for k, places in enumerate(maps):
        side, between = shares[k], math.sqrt(shares[k] * shares[k + 1])
        shapes = [(side, side), (between, between)]
        for proportion in (2, 3):
            long, short = side * math.sqrt(proportion), side / math.sqrt(proportion)
            shapes += [(long, short), (short, long)]
        for i in range(places):
            for j in range(places):
                for width, height in shapes:
                    x, y, w, h = (j + 0.5) / places, (i + 0.5) / places, min(width, 1), min(height, 1)
                    found.append([size * v for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2)])
    return np.array(found)


@pytest.mark.parametrize(("size", "scales"), [(64, (0.2, 0.95)), (96, (0.1, 0.6))])
def test_anchors_are_those_of_the_papers_formula(size: int, scales: tuple[float, float]) -> None:
    found = random_detector()
    other = assemble(replace(found.design, size=size, scales=scales), found.backbone.body)
    maps = [math.ceil(size / 16), math.ceil(size / 32)]
    maps += [math.ceil(maps[1] / 2), math.ceil(maps[1] / 4)]
    mode = other.train().training
    np.testing.assert_allclose(default_boxes(other).numpy(), anchors_of(maps, *scales, size), atol=1e-4)
    assert other.training == mode


def test_a_design_is_what_the_detector_does(model: Any) -> None:
    changed = {"score_threshold": 0.11, "nms_threshold": 0.22, "candidates": 33, "detections": 44, "size": 72, "extras": (6, 10)}
    other = assemble(replace(model.design, **changed), model.backbone.body)
    assert (other.score_thresh, other.nms_thresh, other.topk_candidates, other.detections_per_img) == (0.11, 0.22, 33, 44)
    assert (other.transform.image_mean, other.transform.image_std) == ([*MEAN], [*STD]) and other.transform.fixed_size == (72, 72)
    assert other.neg_to_pos_ratio == 3 and other.proposal_matcher.high_threshold == other.proposal_matcher.low_threshold == 0.5
    maps = other.backbone.eval()(torch.zeros(1, 3, 72, 72))
    assert [(*found.shape[1:],) for found in maps.values()][2:] == [(6, 2, 2), (10, 1, 1)] and [*maps] == ["0", "1", "2", "3"]
    for block, (before, after) in zip(other.backbone.extra, ((other.backbone.out_channels[1], 6), (6, 10)), strict=True):
        kernels = [tuple(layer[0].weight.shape) for layer in block]
        assert kernels == [(after // 2, before, 1, 1), (after // 2, 1, 3, 3), (after, after // 2, 1, 1)]
        assert [layer[0].stride for layer in block] == [(1, 1), (2, 2), (1, 1)]
        assert all((layer[1].eps, layer[1].momentum) == (0.001, 0.03) and isinstance(layer[2], torch.nn.ReLU6) for layer in block)
    wide = assemble(replace(model.design, extras=(256, 256)), model.backbone.body)
    assert wide.backbone.extra[1][0][0].weight.std().item() == pytest.approx(0.03, rel=0.05)
    kinds = {"lite": {1, 16}, "dense": {1}}
    for head, groups in kinds.items():
        made = assemble(replace(model.design, head=head), model.backbone.body).head
        convolutions = [layer for layer in made.modules() if isinstance(layer, torch.nn.Conv2d)]
        assert {layer.groups for layer in convolutions if layer.in_channels in (1, 16)} == groups
        assert {layer.weight.shape[0] for layer in convolutions} >= {6 * 3, 6 * 4}
        norms = [layer for layer in made.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        assert all((layer.eps, layer.momentum) == (0.001, 0.03) for layer in norms) and bool(norms) == (head == "lite")


# --- the losses --------------------------------------------------------------------------------------------------------------


def iou(one: np.ndarray, other: np.ndarray) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def matched(boxes: np.ndarray, anchors: np.ndarray) -> list[int]:
    """Each anchor to the box that it overlaps most, if by a half; and each box to the anchor that overlaps it most (sec. 2.2)."""
    table = np.array([[iou(box, anchor) for anchor in anchors] for box in boxes])
    found = [int(column.argmax()) if column.max() >= 0.5 else -1 for column in table.T]
    for number, line in enumerate(table):
        found[int(line.argmax())] = number
    return found


def offsets(box: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Eq. 2, with the variances 0.1 and 0.2 of the paper's code."""
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x, y = ((box[i] + box[i + 2] - anchor[i] - anchor[i + 2]) / 2 for i in range(2))
    wide, high = math.log((box[2] - box[0]) / width), math.log((box[3] - box[1]) / height)
    return np.array([x / width / 0.1, y / height / 0.1, wide / 0.2, high / 0.2])


def losses(targets: list[tuple[np.ndarray, list[int]]], outputs: dict[str, Tensor], anchors: np.ndarray) -> dict[str, float]:
    """Eq. 1 and 3: cross entropy of the matches and of three times as many others, the worst, of each image; smooth L1 of offsets."""
    classification = localisation = 0.0
    positives = 0
    for i, (boxes, labels) in enumerate(targets):
        found = matched(boxes, anchors) if len(boxes) else [-1] * len(anchors)
        logits, regression = (outputs[key][i].detach().double().numpy() for key in ("cls_logits", "bbox_regression"))
        wanted = [labels[one] if one >= 0 else 0 for one in found]
        entropy = np.log(np.exp(logits).sum(1)) - logits[range(len(anchors)), wanted]
        chosen = [k for k, one in enumerate(found) if one >= 0]
        others = sorted((entropy[k] for k, one in enumerate(found) if one < 0), reverse=True)
        classification += entropy[chosen].sum() + sum(others[: 3 * len(chosen)])
        for k in chosen:
            apart = np.abs(regression[k] - offsets(boxes[found[k]], anchors[k]))
            localisation += np.where(apart < 1, apart**2 / 2, apart - 0.5).sum()
        positives += len(chosen)
    return {"classification": classification / max(positives, 1), "bbox_regression": localisation / max(positives, 1)}


BOXES = [
    ([[5.0, 8.0, 30.0, 31.0], [20.0, 3.0, 60.0, 22.0], [40.0, 40.0, 47.0, 44.0]], [2, 1, 2]),
    ([], []),
    ([[1.0, 30.0, 25.0, 62.0]], [1]),
]


def batch_of(seed: int = 0) -> Batch:
    pixels = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    targets = [{"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)} for boxes, labels in BOXES]
    return Batch(pixels, targets)


def test_the_losses_are_those_of_the_papers_formulas(model: Any) -> None:
    learner, batch = Learner(model.train(), DetectTraining()), batch_of()
    pixels = batch.images.double().numpy() / 255
    x = torch.from_numpy((pixels - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]).float()
    outputs = model.head([*model.backbone(x).values()])
    targets = [(np.array(boxes), labels) for boxes, labels in BOXES]
    expected = losses(targets, outputs, anchors_of([4, 2, 1, 1], 0.2, 0.95, 64))
    found = {name: value.item() for name, value in learner.losses(batch).items()}
    assert found == pytest.approx(expected, rel=1e-4) and min(expected.values()) > 0.1


@pytest.mark.parametrize(("height", "matches"), [(5.01, [0, 0, -1]), (4.99, [-1, 0, -1])])
def test_an_anchor_matches_a_box_from_an_overlap_of_a_half_on_and_each_box_has_one(height: float, matches: list[int], model: Any) -> None:
    learner = Learner(model, DetectTraining())
    learner.anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]])
    box = torch.tensor([[0.0, 0.0, 10.0, height]])
    assert learner._matched(box).tolist() == matches
    far = torch.tensor([[0.0, 0.0, 10.0, height], [58.0, 58.0, 70.0, 70.0]])
    assert learner._matched(far).tolist() == [*matches[:2], 1], "the one that overlaps most, however little"
    assert learner._matched(torch.zeros(0, 4)).tolist() == [-1, -1, -1]
    both = torch.tensor([[0.0, 0.0, 10.0, 7.0], [0.0, 0.0, 10.0, 9.0]])
    learner.anchors = torch.tensor([[0.0, 0, 10, 8.5], [0, 0, 10, 7], [0, 0, 10, 9]])
    assert learner._matched(both).tolist() == [1, 0, 1], "of two boxes the one that overlaps more"


def test_offsets_are_turned_back_into_boxes(model: Any) -> None:
    module, anchors = Detections(model), anchors_of([4, 2, 1, 1], 0.2, 0.95, 64)
    boxes = np.array([[5.0, 8.0, 30.0, 31.0], [-20.0, 3.0, 90.0, 22.0]])
    told = torch.tensor(np.stack([[offsets(box, anchor) for anchor in anchors] for box in boxes])).float()
    found = module.decoded(told).numpy()
    np.testing.assert_allclose(found[0], np.broadcast_to(boxes[0], (len(anchors), 4)), atol=1e-3)
    np.testing.assert_allclose(found[1], np.broadcast_to([0.0, 3.0, 64.0, 22.0], (len(anchors), 4)), atol=1e-3)
    far = module.decoded(torch.tensor([-1e3, 0.0, 1e3, 0.0]).expand(1, len(anchors), 4))[0].numpy()
    assert not far[:, [0, 2]].any(), "100 widths to the left, and not wider than 62.5 times the anchor, as torchvision limits it"
    np.testing.assert_allclose(far[:, [1, 3]], anchors[:, [1, 3]].clip(0, 64), atol=1e-3)


# --- a step ------------------------------------------------------------------------------------------------------------------


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


# --- epochs ------------------------------------------------------------------------------------------------------------------


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


# --- what an image becomes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path: Path) -> Scene:
    """60 pixels wide and 40 high, of noise, with two boxes in no symmetry and one that will be as narrow as a pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    wide, narrow = ([30.0, 2.0, 30.0 + share * 60 / 32, 9.0] for share in (1.02, 0.98))
    boxes = torch.tensor([[3.0, 5.0, 21.0, 17.0], wide, [40.0, 10.0, 58.0, 39.0], narrow])
    return Scene(5, File(str(tmp_path), "a.png"), 40, 60, boxes, torch.tensor([2, 1, 3, 4]))


def draws(scene: Scene, augmentation: Any, count: int) -> list[Any]:
    drawn = Drawn([scene], transforms(augmentation, 32, MEAN), seed=9)
    return [drawn[Draw(epoch, 0)] for epoch in range(count)]


def seeded(epoch: int) -> None:
    torch.manual_seed(random.Random(f"9 {epoch} 0").getrandbits(63))


def test_a_resized_image_is_bilinear_and_its_boxes_are_scaled_and_those_below_a_pixel_are_gone(picture: Scene) -> None:
    (sample,) = draws(picture, "none", 1)
    pixels = np.array(Image.open(Path(picture.file.path) / "a.png")).transpose(2, 0, 1)[None].astype(np.float64)
    assert np.abs(sample["image"].numpy() - bilinear(pixels, 32, 32)[0]).max() < 1
    expected = picture.boxes.numpy()[:3] * np.array([32 / 60, 32 / 40] * 2)
    np.testing.assert_allclose(sample["boxes"].numpy(), expected, atol=1e-4)
    assert sample["labels"].tolist() == [2, 1, 3]


def test_a_flip_mirrors_image_and_boxes_in_half_of_the_draws(picture: Scene) -> None:
    (plain,), flipped = draws(picture, "none", 1), 0
    for epoch, sample in enumerate(draws(picture, "flip", 8)):
        seeded(epoch)
        if torch.rand(1).item() < 0.5:
            flipped += 1
            assert torch.equal(sample["image"], plain["image"].flip(-1))
            mirrored = [[32 - right, top, 32 - left, bottom] for left, top, right, bottom in plain["boxes"].tolist()]
            assert sample["boxes"].tolist() == [pytest.approx(box, abs=1e-5) for box in mirrored]
        else:
            assert torch.equal(sample["image"], plain["image"]) and torch.equal(sample["boxes"], plain["boxes"])
        assert sample["labels"].tolist() == [2, 1, 3]
    assert 0 < flipped < 8


RESIZE, FLIP, CLEAN = v2.Resize((32, 32), antialias=False), v2.RandomHorizontalFlip(0.5), v2.SanitizeBoundingBoxes(min_size=1)
CROP = v2.RandomIoUCrop(0.3, 1.0, 0.5, 2.0, [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0], 40)
ZOOM = v2.RandomZoomOut({tv_tensors.Image: [26, 102, 204], "others": 0}, (1.0, 4.0), 0.5)
STEPS = {"ssd": [ZOOM, CROP, RESIZE, FLIP, v2.RandomPhotometricDistort(), CLEAN], "ssdlite": [CROP, RESIZE, FLIP, CLEAN]}


@pytest.mark.parametrize("augmentation", STEPS)
def test_ssds_augmentations_are_those_of_the_table_in_its_order(augmentation: str, picture: Scene) -> None:
    """Constants of Liu et al., sec. 2.2: overlaps, proportions of 1/2 to 2, zooming out to 4 times a side in half of the draws."""
    compose, seen = v2.Compose(STEPS[augmentation]), set[int]()
    pixels = torch.from_numpy(np.array(Image.open(Path(picture.file.path) / "a.png"))).permute(2, 0, 1)
    state = torch.get_rng_state()
    for epoch, sample in enumerate(draws(picture, augmentation, 12)):
        assert torch.equal(torch.get_rng_state(), state), "nothing else that is random depends on it"
        with torch.random.fork_rng(devices=[]):
            seeded(epoch)
            boxes = tv_tensors.BoundingBoxes(picture.boxes, format="XYXY", canvas_size=(40, 60))  # type: ignore[call-overload]
            expected = compose({"image": tv_tensors.Image(pixels), "boxes": boxes, "labels": picture.labels})
        assert all(torch.equal(sample[key], expected[key]) for key in ("image", "boxes", "labels"))
        seen.add(len(expected["labels"]))
    assert len(seen) > 1


def test_the_rim_that_zooming_out_adds_has_the_mean_colour(picture: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2.RandomPhotometricDistort, "__init__", lambda self: v2.Identity.__init__(self))
    monkeypatch.setattr(v2.RandomPhotometricDistort, "forward", lambda self, *found: found[0])
    monkeypatch.setattr(v2.RandomIoUCrop, "forward", lambda self, *found: found[0])
    corners = [tuple(sample["image"][:, i, j].tolist()) for sample in draws(picture, "ssd", 6) for i in (0, -1) for j in (0, -1)]
    assert corners.count((26, 102, 204)) > 5
