"""A training written out: order, pictures, rates, loss, gradients, SGD, moving average, several processes. The twin of search/train*.py.

    g = mean of the processes' gradients, scaled to a norm of at most `clip`;  d = g + weight_decay * w
    v = momentum * v + d;     w = w - rate * v,  with Nesterov's momentum  w - rate * (d + momentum * v)

The cross entropy of the classifier and `aux_weight` times that of the auxiliary one, targets smoothed and mixed (Zhang et al. 2018); drop
path and rate by the epoch. What is left to chance is drawn as search/training/learner.py, nasarch/data/sampler.py and
search/training/colour_jitter.py say. All in double precision: within
`in_double` the package computes in it, too. Written for the tests alone.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.data.dataset import Dataset, Images
from nasarch.search.training.recipes import Training
from tests.helpers.reference import HalvingSkip, TwinNetwork, conv_block

Batch = tuple[Tensor, Tensor]


@contextmanager
def in_double() -> Iterator[None]:
    """The block's new tensors are float64, and what asks for float32 by `Tensor.float` gets that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


# ---- networks


class Auxiliary(nn.Module):
    """The tower of Szegedy et al. 2015 as in DARTS' code, on maps that are too small for its pooling: averaged to 2 x 2 pixels."""

    def __init__(self, channels: int, num_classes: int, last_bn: bool) -> None:
        super().__init__()
        self.reduce, self.reduce_norm = nn.Conv2d(channels, 128, 1, bias=False), nn.BatchNorm2d(128)
        self.expand, self.expand_norm = nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768) if last_bn else nn.Identity()
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        side = x.shape[2] // 2
        assert x.shape[2] == x.shape[3] < 7 and (side == 0 or x.shape[2] % 2 == 0)
        x = F.relu(x).repeat_interleave(2, 2).repeat_interleave(2, 3) if side == 0 else F.avg_pool2d(F.relu(x), side)
        x = F.relu(self.reduce_norm(self.reduce(x)))
        return self.classifier(F.relu(self.expand_norm(self.expand(x))).flatten(1))


class TrainedTwin(TwinNetwork):
    """The twin of a network of the zoo, perhaps with ImageNet's stem and an auxiliary tower behind the second reduction cell."""

    def __init__(self, genotype, *, cells: int, channels: int, num_classes: int, stem: str = "cifar", auxiliary: bool = False) -> None:
        super().__init__(genotype, cells=cells, channels=channels, num_classes=num_classes)
        if stem == "imagenet":
            self._begin_small(channels, cells)
        self.second = 2 * cells // 3
        classifier = self.classifier
        del self.classifier
        width = channels * 4 * len(genotype.cells["reduction"].live_concat)
        self.auxiliary = Auxiliary(width, num_classes, stem == "cifar") if auxiliary else None
        self.classifier = classifier  # last, as in the zoo's

    def _begin_small(self, c: int, cells: int) -> None:
        """Three convolutions of stride 2; the first cell reads an eighth of the image's side, and halves what it reads beside that."""

        def conv(c_in: int, c_out: int) -> nn.Conv2d:
            return nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False)

        first = nn.Sequential(conv(3, c // 2), nn.BatchNorm2d(c // 2), nn.ReLU())
        second = nn.Sequential(conv(c // 2, c), nn.BatchNorm2d(c))
        self.stem = nn.ModuleList([first, second, nn.Sequential(nn.ReLU(), conv(c, c), nn.BatchNorm2d(c))])
        self.cells[0].pre0, self.cells[0].pre1 = HalvingSkip(c, c, affine=True), conv_block(c, c, affine=True)
        is_reduction = 1 in (cells // 3, 2 * cells // 3)
        self.cells[1].pre0 = conv_block(c, 2 * c if is_reduction else c, affine=True)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if isinstance(self.stem, nn.ModuleList):
            s0 = self.stem[1](self.stem[0](x))
            s1 = self.stem[2](s0)
        else:
            s0 = s1 = self.stem(x)
        middle = s1
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, self.rate)
            middle = s1 if i == self.second else middle
        logits = self.classifier(s1.mean((2, 3)))
        return (logits, self.auxiliary(middle)) if self.auxiliary is not None and self.training else logits


# ---- images


def statistics(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the training images' channels, to four places, [3, 1, 1]."""
    assert isinstance(data.train, Images)
    levels = data.train.pixels.numpy().astype(np.float64) / 255
    return levels.mean((0, 2, 3)).round(4).reshape(3, 1, 1), levels.std((0, 2, 3)).round(4).reshape(3, 1, 1)


def normalised(levels: np.ndarray, data: Dataset) -> np.ndarray:
    mean, std = statistics(data)
    return (levels - mean) / std


def epochs(part: Images, data: Dataset, batch_size: int, cutout: int, seed: int) -> Iterator[list[Batch]]:
    """The batches of one epoch after the other, augmented image by image; the data set says by how many pixels, and whether to flip."""
    generator = torch.Generator().manual_seed(seed)
    count, (height, width), padding = len(part), data.size, data.augmentation.padding
    while True:
        order = torch.randperm(count, generator=generator).tolist()
        sizes = (2 * padding + 1, 2 * padding + 1, 2, height, width)
        draws = zip(*(torch.randint(size, (count,), generator=generator).tolist() for size in sizes), strict=True)
        images = [picture(part.pixels[i], data, cutout, *drawn) for i, drawn in zip(order, draws, strict=True)]
        labels = [int(part.labels[i]) for i in order]
        starts = range(0, count, batch_size)
        yield [(torch.stack(images[i : i + batch_size]), torch.tensor(labels[i : i + batch_size])) for i in starts]


def picture(pixels: Tensor, data: Dataset, cutout: int, top: int, left: int, flipped: int, row: int, column: int) -> Tensor:
    """One image: padded with black, cut, flipped, normalised, a square of it set to the mean."""
    (height, width), padding = data.size, data.augmentation.padding
    levels = np.pad(pixels.numpy() / 255, ((0, 0), (padding, padding), (padding, padding)))
    x = levels[:, top : top + height, left : left + width]
    x = normalised(x[:, :, ::-1] if flipped and data.augmentation.flip else x, data)
    row, column = row - cutout // 2, column - cutout // 2
    x[:, max(row, 0) : max(row + cutout, 0), max(column, 0) : max(column + cutout, 0)] = 0
    return torch.from_numpy(x)


def shares(batch: Batch, processes: int) -> list[Batch]:
    """Every process takes each so manieth image, all equally many; nothing is left of a batch of fewer images than processes."""
    (x, y), whole = batch, len(batch[1]) - len(batch[1]) % processes
    return [(x[rank:whole:processes], y[rank:whole:processes]) for rank in range(processes)] if whole else []


def recoloured(levels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, hue of each image in this order, as torchvision's ColorJitter; the hue turned in YIQ."""
    luma = torch.tensor([0.299, 0.587, 0.114])
    to_yiq = torch.stack([luma, torch.tensor([0.596, -0.274, -0.322]), torch.tensor([0.211, -0.523, 0.312])])
    drawn = torch.rand(4, len(levels), generator=generator)
    found = []
    for x, (b, c, s, h) in zip(levels, (2 * drawn - 1).T.tolist(), strict=True):
        x = ((1 + strength * b) * x).clamp(0, 1)
        grey = (luma[:, None, None] * x).sum(0)
        x = ((1 + strength * c) * x - strength * c * grey.mean()).clamp(0, 1)
        grey = (luma[:, None, None] * x).sum(0)
        x = ((1 + strength * s) * x - strength * s * grey).clamp(0, 1)
        luminance, i, q = (to_yiq @ x.flatten(1)).unbind()
        angle = 2 * math.pi * (strength / 2) * h
        turned = torch.stack([luminance, math.cos(angle) * i - math.sin(angle) * q, math.sin(angle) * i + math.cos(angle) * q])
        found.append(torch.linalg.solve(to_yiq, turned).view_as(x).clamp(0, 1))
    return torch.stack(found)


def mix(x: Tensor, target: Tensor, alpha: float, chance: np.random.RandomState) -> Batch:
    """Each image with that from the other end, and their targets likewise; of an odd number the last one stays as it is."""
    chance.rand()  # timm asks whether to mix at all: always
    share = chance.beta(alpha, alpha)
    pairs = len(x) - len(x) % 2

    def mixed(values: Tensor) -> Tensor:
        both = [share * values[i] + (1 - share) * values[pairs - 1 - i] for i in range(pairs)]
        return torch.stack([*both, *values[pairs:]])

    return mixed(x), mixed(target)


# ---- the loop


def rate_at(settings: Training, step: int, steps: int) -> float:
    """The rate of a step: while the warm-up lasts on the stair of this moment, then by the epoch, towards 0 at the end."""
    epochs, done, lasts = settings.epochs, step / steps, settings.warmup * settings.epochs
    stairs = max(5, round(lasts))
    if done < lasts:
        return settings.lr * math.floor(done * stairs / lasts + 1) / stairs
    epoch = step // steps
    if settings.schedule == "linear" and settings.tail:
        tail = round(settings.tail * epochs)  # published code: so many epochs, 5 of 250
        if epochs - epoch > tail:
            return settings.lr * (epochs - tail - epoch) / (epochs - tail)
        return settings.lr * (epochs - epoch) / ((epochs - tail) * 5)
    share = {
        "cosine": (1 + math.cos(math.pi * epoch / epochs)) / 2,
        "linear": 1 - epoch / epochs,
        "exponential": settings.decay ** (epoch / epochs),
    }[settings.schedule]
    return settings.lr * share


@dataclass
class Trace:
    """What a training went through: a value for each step, of all processes; and where it ended."""

    nets: Sequence[TrainedTwin]
    averages: Sequence[TrainedTwin]  # empty without a moving average
    velocity: list[Tensor] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    drops: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)  # of the gradient, before it is clipped
    right: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)

    @property
    def result(self) -> TrainedTwin:
        return (self.averages or self.nets)[0]

    def mean_loss(self, first: int, last: int) -> float:
        """Over the images of these steps."""
        weighed = sum(loss * n for loss, n in zip(self.losses[first:last], self.images[first:last], strict=True))
        return weighed / sum(self.images[first:last])

    def accuracy(self, first: int, last: int) -> float:
        return sum(self.right[first:last]) / sum(self.images[first:last])


def trained(
    build: Callable[[], TrainedTwin], settings: Training, data: Dataset, seed: int, *, processes: int = 1, part: Images | None = None
) -> Trace:
    """The whole training on a part of the data, by default all that are to train; `build` gives the network with its first weights."""
    part = part or data.train  # type: ignore[assignment]
    assert isinstance(part, Images)
    nets = [build().train() for _ in range(processes)]
    trace = Trace(nets, [copy.deepcopy(net).eval() for net in nets] if settings.ema else [])
    steps = len(part) // settings.batch_size + (len(part) % settings.batch_size >= processes)
    loader = epochs(part, data, settings.batch_size, settings.cutout, seed)
    for epoch in range(settings.epochs):
        trace.drops.append(settings.drop_path * epoch / settings.epochs)
        for number, batch in enumerate(next(loader)[:steps], epoch * steps):
            trace.rates.append(rate_at(settings, number, steps))
            _step(trace, settings, data, shares(batch, processes), seed, number)
        for group in (nets, trace.averages):
            for same in zip(*([b for b in net.buffers() if b.is_floating_point()] for net in group), strict=True):
                mean = sum(same) / len(same)
                for buffer in same:
                    buffer.copy_(mean)
    return trace


def _step(trace: Trace, settings: Training, data: Dataset, parts: Sequence[Batch], seed: int, number: int) -> None:
    gradients, losses, right = [], [], 0
    for rank, (net, (x, y)) in enumerate(zip(trace.nets, parts, strict=True)):
        net.rate = trace.drops[-1]
        for cell in net.cells:
            cell.drops_nodes = settings.drop_path_on == "nodes"
        chance = random.Random(f"{seed} {rank} {number}")
        torch.manual_seed(chance.getrandbits(63))
        target = torch.full((len(y), data.num_classes), settings.label_smoothing / data.num_classes)
        target[range(len(y)), y] += 1 - settings.label_smoothing
        if settings.colour_jitter:
            mean, std = map(torch.from_numpy, statistics(data))
            generator = torch.Generator().manual_seed(chance.getrandbits(63))
            x = (recoloured(x * std + mean, settings.colour_jitter, generator) - mean) / std
        if settings.mixup:
            x, target = mix(x, target, settings.mixup, np.random.RandomState(chance.getrandbits(32)))
        said = net(x)
        logits, *auxiliary = said if isinstance(said, tuple) else (said,)
        loss = cross_entropy(logits, target) + sum(settings.aux_weight * cross_entropy(other, target) for other in auxiliary)
        gradients.append(torch.autograd.grad(loss, list(net.parameters())))
        losses.append(loss.item())
        right += int((logits.argmax(1) == y).sum())
    trace.losses.append(sum(losses) / len(losses))  # all have equally many images
    trace.right.append(right)
    trace.images.append(sum(len(y) for _, y in parts))
    means = [sum(same) / len(same) for same in zip(*gradients, strict=True)]
    _descend(trace, settings, means)
    decay = min(settings.ema, 1 - (1 + number) ** (-2 / 3)) if number else 0.0
    for net, average in zip(trace.nets, trace.averages):  # noqa: B905 (none without a moving average)
        for value, mean in zip(net.state_dict().values(), average.state_dict().values(), strict=True):
            mean.copy_(decay * mean + (1 - decay) * value if mean.is_floating_point() else value)


def cross_entropy(logits: Tensor, target_BK: Tensor) -> Tensor:
    return -(target_BK * (logits - logits.logsumexp(1, keepdim=True))).sum(1).mean()


@torch.no_grad()
def _descend(trace: Trace, settings: Training, gradients: list[Tensor]) -> None:
    """One step of SGD, the same in all processes."""
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    trace.norms.append(norm)
    scale = min(1.0, settings.clip / (norm + 1e-6)) if settings.clip else 1.0
    weights = [list(net.parameters()) for net in trace.nets]
    wanted = [scale * g + settings.weight_decay * w for g, w in zip(gradients, weights[0], strict=True)]
    trace.velocity = [settings.momentum * v + d for v, d in zip(trace.velocity, wanted, strict=True)] if trace.velocity else wanted
    for i, (d, v) in enumerate(zip(wanted, trace.velocity, strict=True)):
        for of_process in weights:
            of_process[i] -= trace.rates[-1] * (d + settings.momentum * v if settings.nesterov else v)


# ---- the examination


@torch.no_grad()
def examined(net: TrainedTwin, part: Images, data: Dataset) -> tuple[float, float, float]:
    """Mean cross entropy, and the percentages of images whose class is the first, or among the first five, image by image."""
    net.eval()
    loss, first, five = 0.0, 0, 0
    for pixels, label in zip(part.pixels, part.labels.tolist(), strict=True):
        (logits,) = net(torch.from_numpy(normalised(pixels.numpy() / 255, data))[None]).tolist()
        loss -= logits[label] - math.log(sum(math.exp(value) for value in logits))
        place = sum(value > logits[label] for value in logits)
        first, five = first + (place < 1), five + (place < 5)
    return loss / len(part), 100 * first / len(part), 100 * five / len(part)
