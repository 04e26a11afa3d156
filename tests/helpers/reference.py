"""The literal twins of the supernet and of the zoo's networks: a module for each edge and operation, straight from the equations.

    f_ij(x_i; S) = sum_o  softmax(alpha_ij)_o * o(S * x_i) + (1 - S) * x_i          PC-DARTS (Xu et al. 2020) eq. 1
    x_j          = sum_{i<j}  softmax(beta_j)_i * f_ij(x_i)                         eq. 2

S takes the first C / K channels; after the concatenation of both parts the channels are shuffled (sec. 4.2's code: groups of
K). With K = 1 and uniform edge weights of one it is DARTS. Every batch normalisation, pooling and `none` is computed where the
equations have it. In a network of the zoo a node is the sum of its two edges, each with its own ReLU and its own drop path (Liu et al.
2019, sec. 3.2). Written for the tests and benchmarks alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class HalvingSkip(nn.Module):
    def __init__(self, c_in: int, c_out: int, affine: bool = False) -> None:
        super().__init__()
        self.left = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.right = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        odd = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]  # beyond a map of odd size there are zeros
        return self.norm(torch.cat([self.left(x), self.right(odd)], dim=1))


def conv_block(c_in: int, c_out: int, affine: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=affine))


def half(c: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(c, c, kernel, stride=stride, padding=padding, dilation=dilation, groups=c, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c, affine=affine)]


def operation(name: str, c: int, stride: int, pooling_norm: bool = True) -> nn.Module:
    """Of a search: pooling is normalised (but in NATS-Bench), and no BN is affine."""
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else HalvingSkip(c, c)
    if name in POOLING:
        return nn.Sequential(POOLING[name](stride), *([nn.BatchNorm2d(c, affine=False)] if pooling_norm else []))
    return convolutions(name, c, stride, affine=False)


POOLING = {
    "max_pool_3x3": lambda stride: nn.MaxPool2d(3, stride, 1),
    "avg_pool_3x3": lambda stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
}


def convolutions(name: str, c: int, stride: int, affine: bool) -> nn.Module:
    kind, kernel = name[:3], int(name[-1])
    if kind == "nor":
        conv = nn.Conv2d(c, c, kernel, stride=stride, padding=kernel // 2, bias=False)
        return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(c, affine=affine))
    if kind == "sep":
        return nn.Sequential(*half(c, kernel, stride, 1, affine), *half(c, kernel, 1, 1, affine))
    return nn.Sequential(*half(c, kernel, stride, 2, affine))


def shuffle(x: Tensor, groups: int) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


class MixedEdge(nn.Module):
    """Eq. 1 of one edge; the weights are given for all operations, those outside the candidates are not built."""

    def __init__(self, c: int, stride: int, names: dict[int, str], k: int, pooling_norm: bool = True) -> None:
        super().__init__()
        self.c, self.k, self.stride = c // k, k, stride
        self.operations = nn.ModuleDict({str(o): operation(name, c // k, stride, pooling_norm) for o, name in names.items()})

    def forward(self, x: Tensor, weight_O: Tensor, chosen: list[int] | None = None) -> Tensor:
        """`chosen`: the channels that S takes; they return to their places, and nothing is shuffled."""
        rest = [channel for channel in range(x.shape[1]) if chosen is not None and channel not in chosen]
        taken, left = (x[:, : self.c], x[:, self.c :]) if chosen is None else (x[:, chosen], x[:, rest])
        mixed = sum(weight_O[int(o)] * module(taken) for o, module in self.operations.items())
        if self.k == 1 and chosen is None:
            return mixed
        total = sum(weight_O[int(o)] for o in self.operations)
        left = left if self.stride == 1 else F.max_pool2d(left, 2, ceil_mode=True)
        joined = torch.cat([mixed, total * left], dim=1)
        if chosen is None:
            return shuffle(joined, self.k)
        return torch.stack([joined[:, (chosen + rest).index(channel)] for channel in range(x.shape[1])], dim=1)


class TwinCell(nn.Module):
    def __init__(self, space, candidates_EO, c_pp: int, c_p: int, c: int, reduction: bool, reduction_prev: bool, k: int) -> None:
        super().__init__()
        self.space = space
        if space.inputs == 2:
            self.pre0 = HalvingSkip(c_pp, c) if reduction_prev else conv_block(c_pp, c)
            self.pre1 = conv_block(c_p, c)
        self.edges = nn.ModuleList()
        for e, (source, _) in enumerate(space.edges):
            names = {o: name for o, name in enumerate(space.operations) if candidates_EO[e, o]}
            self.edges.append(MixedEdge(c, 2 if reduction and source < space.inputs else 1, names, k, space.name != "nats"))

    def forward(self, s0: Tensor, s1: Tensor, operations_EO: Tensor, edges_E: Tensor, chosen_E=None) -> Tensor:
        chosen_E = [None] * len(self.edges) if chosen_E is None else chosen_E
        states = [self.pre0(s0), self.pre1(s1)] if self.space.inputs == 2 else [s1]
        for j in self.space.inner_nodes:
            incoming = [e for e, edge in enumerate(self.space.edges) if edge.target == j and len(self.edges[e].operations)]
            states.append(
                sum(edges_E[e] * self.edges[e](states[self.space.edges[e].source], operations_EO[e], chosen_E[e]) for e in incoming)
            )
        return torch.cat([states[j] for j in self.space.concat()], dim=1)


class TwinSupernet(nn.Module):
    """The search network of CIFAR: `operations_ZEO` and `edges_ZE` are the softmaxes of alpha and beta."""

    def __init__(self, space, candidates_ZEO, *, channels: int, layers: int, partial: int, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels))
        c_pp = c_p = 3 * channels
        c, reduction_prev = channels, False
        self.cells, self.kinds = nn.ModuleList(), []
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            c = 2 * c if reduction else c
            z = int(reduction)
            self.cells.append(TwinCell(space, candidates_ZEO[z], c_pp, c_p, c, reduction, reduction_prev, partial))
            self.kinds.append(z)
            reduction_prev, c_pp, c_p = reduction, c_p, c * len(space.concat())
        self.classifier = nn.Linear(c_p, num_classes)

    def forward(self, x: Tensor, operations_ZEO: Tensor, edges_ZE: Tensor, chosen=None) -> Tensor:
        """`chosen`: for each cell and each edge the channels that are taken, if not the first ones."""
        s0 = s1 = self.stem(x)
        for i, (z, cell) in enumerate(zip(self.kinds, self.cells, strict=True)):
            s0, s1 = s1, cell(s0, s1, operations_ZEO[z], edges_ZE[z], None if chosen is None else chosen[i])
        return self.classifier(s1.mean((2, 3)))


def fixed_operation(name: str, c: int, stride: int) -> nn.Module:
    """Of a network that is trained: pooling as it is, BN affine."""
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else HalvingSkip(c, c, affine=True)
    return POOLING[name](stride) if name in POOLING else convolutions(name, c, stride, affine=True)


def drop_path(x: Tensor, rate: float) -> Tensor:
    kept = torch.empty(len(x), 1, 1, 1, dtype=x.dtype).bernoulli_(1 - rate)
    return x / (1 - rate) * kept


class FixedCell(nn.Module):
    """A cell of a genotype all of whose nodes are used."""

    def __init__(self, cell, c_pp: int, c_p: int, c: int, reduction: bool, reduction_prev: bool) -> None:
        super().__init__()
        self.cell, self.drops_nodes = cell, False
        self.pre0 = HalvingSkip(c_pp, c, affine=True) if reduction_prev else conv_block(c_pp, c, affine=True)
        self.pre1 = conv_block(c_p, c, affine=True)
        self.edges = nn.ModuleList()
        for j in cell.live:
            self.edges.extend(fixed_operation(e.operation, c, 2 if reduction and e.source < 2 else 1) for e in cell.edges_of(j))

    def forward(self, s0: Tensor, s1: Tensor, rate: float) -> Tensor:
        states, modules = [self.pre0(s0), self.pre1(s1)], iter(self.edges)
        for j in self.cell.live:
            total = 0
            for edge in self.cell.edges_of(j):
                module = next(modules)
                out = module(states[edge.source])
                droppable = self.training and rate > 0 and not isinstance(module, nn.Identity) and not self.drops_nodes
                total = total + (drop_path(out, rate) if droppable else out)
            states.append(drop_path(total, rate) if self.drops_nodes and self.training and rate > 0 else total)
        return torch.cat([states[j] for j in self.cell.live_concat], dim=1)


class TwinNetwork(nn.Module):
    """The network for CIFAR of a genotype, without auxiliary head; its parameters in the order of the zoo's."""

    def __init__(self, genotype, *, cells: int, channels: int, num_classes: int = 10, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.rate = drop_path_rate
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels))
        c_pp = c_p = 3 * channels
        c, reduction_prev, self.cells = channels, False, nn.ModuleList()
        for i in range(cells):
            reduction = i in (cells // 3, 2 * cells // 3)
            c = 2 * c if reduction else c
            cell = genotype.cells["reduction" if reduction else "normal"]
            self.cells.append(FixedCell(cell, c_pp, c_p, c, reduction, reduction_prev))
            reduction_prev, c_pp, c_p = reduction, c_p, c * len(cell.live_concat)
        self.classifier = nn.Linear(c_p, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1, self.rate)
        return self.classifier(s1.mean((2, 3)))

    def load(self, net: nn.Module) -> None:
        """The weights and statistics of a network of the zoo."""
        theirs, ours = net.state_dict().values(), self.state_dict().values()
        for value, own in zip(theirs, ours, strict=True):
            assert value.shape == own.shape
            own.copy_(value)
