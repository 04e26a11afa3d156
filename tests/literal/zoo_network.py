"""The networks of the zoo written out: from a genotype and the tensors of a state dict, by name, to logits and maps.

A node is computed when somebody reads it, and every tensor that is read is noted: what is never read would be built for nothing. Twin of
nasarch/models/network.py, nasarch/models/cell.py, nasarch/models/layers.py, nasarch/models/skeleton.py, nasarch/models/stem.py and
nasarch/models/auxiliary.py, of which it uses nothing. Written for the tests alone.

| network | stem | cells | head |
|---|---|---|---|
| Liu et al. 2019, sec. 3.2 | one 3x3 convolution to 3C | reduction cells at 1/3 and 2/3, which double C | mean, linear |
| ImageNet, sec. 3.3 and code | 3x3 convolutions of stride 2: C / 2, C, C; the first cell reads the last two | the same | mean, linear |
| NATS-Bench, sec. 3.1 | one 3x3 convolution to C | three stages, a residual block before two of them | BN, ReLU, mean, linear |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class LiteralNetwork:
    """A network of `cells` cells and `channels` channels with the tensors `state`; `training` normalises by the batch."""

    def __init__(
        self, genotype: Any, state: Mapping[str, Tensor], *, stem: str, cells: int, channels: int, training: bool, auxiliary: bool = False
    ) -> None:
        self.genotype, self.state, self.training, self.auxiliary = genotype, state, training, auxiliary
        self.stem, self.cells, self.channels = stem, cells, channels
        self.used: set[str] = set()

    def __call__(self, x: Tensor) -> dict[str, Any]:
        """`layers` by name, the last map `features`, `logits`, and with an auxiliary tower what it says."""
        maps = {}
        previous, current = self._begin(x, maps)
        is_nats = self.genotype.space == "nats"
        kinds = ["normal", "residual"] * 2 + ["normal"] if is_nats else []
        plan = [kind for kind in kinds for _ in range(self.cells if kind == "normal" else 1)] or [
            "reduction" if i in (self.cells // 3, 2 * self.cells // 3) else "normal" for i in range(self.cells)
        ]
        halved = []
        for i, kind in enumerate(plan):
            out = self._residual(f"cells.{i}", current) if kind == "residual" else self._cell(f"cells.{i}", kind, previous, current)
            halved += [i] if kind in ("residual", "reduction") else []
            previous, current = current, out
            maps[f"cells.{i}"] = current
        features = F.relu(self._norm("norm.0", current)) if is_nats else current
        logits = F.linear(features.mean((2, 3)), self._of("fc.weight"), self._of("fc.bias"))
        found = {"layers": maps, "features": features, "logits": logits}
        if self.auxiliary:
            found["auxiliary"] = self._tower(maps[f"cells.{halved[1]}"])
        return found

    @property
    def unused(self) -> set[str]:
        """Tensors that nothing has read."""
        return {name for name in self.state if name not in self.used and not name.endswith("num_batches_tracked")}

    # ---- layers

    def _of(self, name: str) -> Tensor:
        self.used.add(name)
        return self.state[name]

    def _conv(self, name: str, x: Tensor, **form: Any) -> Tensor:
        assert f"{name}.bias" not in self.state
        return F.conv2d(x, self._of(f"{name}.weight"), **form)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        scale, shift, mean, var = (self._of(f"{name}.{key}") for key in ("weight", "bias", "running_mean", "running_var"))
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        scale, shift, mean, var = (values[:, None, None] for values in (scale, shift, mean, var))
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def _relu_conv_bn(self, name: str, x: Tensor, **form: Any) -> Tensor:
        return self._norm(f"{name}.2", self._conv(f"{name}.1", F.relu(x), **form))

    def _halved(self, name: str, x: Tensor) -> Tensor:
        """Even rows and columns by one convolution, odd ones by another; a map of odd size has zeros there at its end."""
        x = F.relu(x)
        odd = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        both = [self._conv(f"{name}.1.conv_1", x, stride=2), self._conv(f"{name}.1.conv_2", odd, stride=2)]
        return self._norm(f"{name}.2", torch.cat(both, dim=1))

    # ---- parts

    def _begin(self, x: Tensor, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The two inputs of the first cell."""
        if self.stem == "cifar":
            maps["stem.0"] = self._norm("stem.0.1", self._conv("stem.0.0", x, padding=1))
            return maps["stem.0"], maps["stem.0"]
        maps["stem.0"] = F.relu(self._norm("stem.0.1", self._conv("stem.0.0", x, stride=2, padding=1)))
        maps["stem.1"] = self._norm("stem.1.1", self._conv("stem.1.0", maps["stem.0"], stride=2, padding=1))
        maps["stem.2"] = self._norm("stem.2.2", self._conv("stem.2.1", F.relu(maps["stem.1"]), stride=2, padding=1))
        return maps["stem.1"], maps["stem.2"]

    def _cell(self, name: str, kind: str, previous: Tensor, current: Tensor) -> Tensor:
        cell, stride = self.genotype.cells[kind], 2 if kind == "reduction" else 1
        known: dict[int, Tensor] = {}

        def state(node: int) -> Tensor:
            if node not in known:
                known[node] = self._input(name, node, cell.inputs, previous, current) if node < cell.inputs else summed(node)
            return known[node]

        def summed(node: int) -> Tensor:
            shape = torch.tensor(current.shape[2:])
            height, width = (-(-shape // stride)).tolist()
            channels = state_channels(name, cell, self.state, current)
            total = current.new_zeros(len(current), channels, height, width)
            built = [edge for edge in cell.edges_of(node) if edge.operation != "none"]
            for i, edge in enumerate(built):
                step = stride if edge.source < cell.inputs else 1
                total = total + self._operation(edge.operation, f"{name}.nodes.{node}.edges.{i}.op", state(edge.source), step)
            return total

        return torch.cat([state(node) for node in cell.live_concat], dim=1)

    def _input(self, name: str, node: int, inputs: int, previous: Tensor, current: Tensor) -> Tensor:
        """An input of a cell, brought to its channels and to the size of the newer one; NATS-Bench's has the right ones."""
        if inputs == 1:
            return current
        x = (previous, current)[node]
        if node == 0 and previous.shape[2:] != current.shape[2:]:
            return self._halved(f"{name}.preprocess.0", x)
        return self._relu_conv_bn(f"{name}.preprocess.{node}", x)

    def _operation(self, operation: str, name: str, x: Tensor, stride: int) -> Tensor:
        if operation == "skip_connect":
            return x if stride == 1 else self._halved(name, x)
        if operation == "max_pool_3x3":
            return F.max_pool2d(x, 3, stride, 1)
        if operation == "avg_pool_3x3":
            inside = F.avg_pool2d(torch.ones_like(x), 3, stride, 1)  # the share of the window that lies inside
            return F.avg_pool2d(x, 3, stride, 1) / inside
        if operation in ("conv_7x1_1x7", "conv_3x1_1x3"):
            padding = int(operation[5]) // 2
            x = self._conv(f"{name}.1", F.relu(x), stride=(1, stride), padding=(0, padding))
            return self._norm(f"{name}.3", self._conv(f"{name}.2", x, stride=(stride, 1), padding=(padding, 0)))
        kind, _, sides = operation.split("_")
        kernel = int(sides[0])
        if kind == "nor":
            return self._relu_conv_bn(name, x, stride=stride, padding=kernel // 2)
        if kind == "dil":
            return self._separable(name, 1, x, stride=stride, padding=kernel - 1, dilation=2)
        x = self._separable(name, 1, x, stride=stride, padding=kernel // 2)
        return self._separable(name, 5, x, stride=1, padding=kernel // 2)

    def _separable(self, name: str, first: int, x: Tensor, **form: Any) -> Tensor:
        """ReLU - depthwise - pointwise - BN, the depthwise convolution being layer `first`."""
        x = self._conv(f"{name}.{first}", F.relu(x), groups=x.shape[1], **form)
        return self._norm(f"{name}.{first + 2}", self._conv(f"{name}.{first + 1}", x))

    def _residual(self, name: str, x: Tensor) -> Tensor:
        halved = self._relu_conv_bn(f"{name}.conv_a", x, stride=2, padding=1)
        odd = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        ones = F.pad(torch.ones_like(x), (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        mean = F.avg_pool2d(odd, 2) / F.avg_pool2d(ones, 2)
        return self._relu_conv_bn(f"{name}.conv_b", halved, padding=1) + self._conv(f"{name}.shortcut.1", mean)

    def _tower(self, x: Tensor) -> Tensor:
        """Pooling by 5x5 with stride 3 behind CIFAR's stem and 2 behind ImageNet's, which has no second BN."""
        stride = 3 if self.stem == "cifar" else 2
        x = F.relu(self._norm("aux_head.reduce.1", self._conv("aux_head.reduce.0", self._pooled(F.relu(x), stride))))
        x = self._conv("aux_head.expand.0", x)
        x = F.relu(self._norm("aux_head.expand.1", x) if self.stem == "cifar" else x)
        return F.linear(x.mean((2, 3)), self._of("aux_head.fc.weight"), self._of("aux_head.fc.bias"))

    @staticmethod
    def _pooled(x: Tensor, stride: int) -> Tensor:
        """Window by window; where a side has no room for two of them, the map becomes 2x2, each pixel the mean of its half."""
        if min(x.shape[2:]) < 5 + stride:
            rows, columns = ([range(i * n // 2, -(-(i + 1) * n // 2)) for i in range(2)] for n in x.shape[2:])
        else:
            rows, columns = ([range(start, start + 5) for start in range(0, n - 4, stride)] for n in x.shape[2:])
        means = [[x[:, :, r.start : r.stop, c.start : c.stop].mean((2, 3)) for c in columns] for r in rows]
        return torch.stack([torch.stack(row, dim=2) for row in means], dim=2)


def state_channels(name: str, cell: Any, state: Mapping[str, Tensor], current: Tensor) -> int:
    """Of the inner nodes of a cell: what its preprocessing gives, or of a cell of one input what that has."""
    if cell.inputs == 1:
        return current.shape[1]
    return next(len(state[key]) for i in (0, 1) if (key := f"{name}.preprocess.{i}.2.bias") in state)
