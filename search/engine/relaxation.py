"""Continuous relaxation: architecture parameters -> the mixing table of a supernet. Knows softmax and temperature, not networks.

    mix[ij, o] = operation_weight[ij, o] * edge_weight[ij]

| weights | equation | used by |
|---|---|---|
| operations, one group | softmax over o of (alpha_ij + bias_ij) / T | DARTS eq. 2, PC-DARTS eq. 1; `bias` is eDARTS' attention |
| operations, several groups | the same, in each group of operations by itself | DOTS eq. 4 |
| edges, `subset` = 0 | 1 | DARTS, eDARTS |
| edges, `subset` = k | softmax of beta / T over the k-subsets of a node's edges; an edge weighs the sum over those that hold it | (below) |
| edges, `edge_softmax` off | beta instead of its softmax, at its start 1 / the number of subsets | FTSO Algorithm 1 to the letter |

k = 1 is PC-DARTS eq. 2, also FTSO's, k = 2 is DOTS eq. 9-11. Weights are exactly zero outside of the candidates; they sum to the
number of groups over an edge, and as softmaxes to k over a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from nasarch.cells.space import Space

from .result import NO_PAIRS, NOT_ANNEALED, ArchitectureWeights


class Relaxation(nn.Module):
    """All architecture parameters of a search: `alpha` [Z, E, O] and, if `subset` > 0, `beta` [Z, N, S].

    N inner nodes have up to S subsets of incoming edges each; surplus entries of `beta` are never read. Parameters start at
    `init_std` * randn, drawn from `generator` (0: all weights equal), beta without softmax at equal weights plus that. `temperature` is a
    tensor, to be filled at any time, also between replays of a captured step; that of the operations is `operation_scale` times as high.

    Raises:
        ValueError: a group names an unknown operation, groups overlap or leave a candidate out, or `subset` is negative.
    """

    candidates_ZEO: Tensor
    groups_GO: Tensor
    bias: Tensor
    temperature: Tensor
    members_ZNSE: Tensor
    legal_ZNS: Tensor

    def __init__(
        self,
        space: Space,
        candidates_ZEO: Tensor,
        *,
        groups: Sequence[Sequence[str]] = (),
        subset: int = 0,
        edge_softmax: bool = True,
        bias: Tensor | float = 0.0,
        operation_scale: float = 1.0,
        init_std: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if subset < 0:
            raise ValueError(f"subset={subset}: 0 weighs no edges, 1 weighs edges one by one, 2 weighs pairs of edges")
        self.space, self.subset, self.edge_softmax, self.operation_scale = space, subset, edge_softmax, operation_scale
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64), persistent=False)
        self.register_buffer("candidates_ZEO", candidates_ZEO, persistent=False)
        self.register_buffer("groups_GO", _group_masks(space, candidates_ZEO, groups or (space.operations,)), persistent=False)
        self.register_buffer("bias", torch.as_tensor(bias), persistent=False)
        self.alpha = nn.Parameter(init_std * torch.randn(candidates_ZEO.shape, generator=generator))
        if subset:
            members = _members(space, candidates_ZEO, subset)
            self.register_buffer("members_ZNSE", members.to(self.alpha.dtype), persistent=False)
            self.register_buffer("legal_ZNS", members.any(3), persistent=False)
            equal = self.legal_ZNS / self.legal_ZNS.sum(2, keepdim=True).clamp(min=1)
            initial = init_std * torch.randn(members.shape[:3], generator=generator)
            self.beta = nn.Parameter(initial if edge_softmax else initial + equal)

    def operations(self) -> Tensor:
        """Operation weights [Z, E, O]."""
        return self._operations((self.alpha + self.bias) / (self.temperature * self.operation_scale))

    def _operations(self, logits: Tensor) -> Tensor:
        return sum(_softmax(logits, self.candidates_ZEO & group_O) for group_O in self.groups_GO)  # type: ignore[return-value]

    def subsets(self) -> Tensor:
        """Weights of the subsets of each node's incoming edges [Z, N, S], in the order of itertools.combinations."""
        if not self.edge_softmax:
            return self.beta * self.legal_ZNS
        return _softmax(self.beta / self.temperature, self.legal_ZNS)

    def edges(self) -> Tensor:
        """Edge weights [Z, E]."""
        if not self.subset:
            return self.candidates_ZEO.any(2).to(self.alpha.dtype)
        return torch.einsum("zns,znse->ze", self.subsets(), self.members_ZNSE.to(self.beta.dtype))

    def weights(self) -> ArchitectureWeights:
        """Operation and edge weights as they are now, without gradients."""
        pairs = _softmax(self.beta, self.legal_ZNS) if self.subset == 2 else NO_PAIRS
        is_annealed = float(self.temperature) * self.operation_scale != 1
        unannealed = self._operations(self.alpha + self.bias) if is_annealed else NOT_ANNEALED
        return ArchitectureWeights(self.operations(), self.edges(), pairs, unannealed).detached()

    def forward(self) -> Tensor:
        """The mixing table [Z, E, O]."""
        return self.operations() * self.edges()[:, :, None]


def _softmax(logits: Tensor, legal: Tensor) -> Tensor:
    """Softmax over the last axis among the legal entries; zero elsewhere, and where nothing is legal."""
    some = legal.any(-1, keepdim=True)
    return logits.masked_fill(~legal & some, -torch.inf).softmax(-1) * legal


def _group_masks(space: Space, candidates_ZEO: Tensor, groups: Sequence[Sequence[str]]) -> Tensor:
    """[G, O]: which operation is in which group."""
    unknown = [name for group in groups for name in group if name not in space.operations]
    if unknown:
        raise ValueError(f"unknown operation {unknown[0]!r} in a group; legal in space {space.name!r} are {', '.join(space.operations)}")
    masks = torch.tensor([[name in group for name in space.operations] for group in groups])
    wrong = (masks.sum(0) != 1) & candidates_ZEO.flatten(0, 1).any(0).cpu()
    if wrong.any():
        name = space.operations[int(wrong.nonzero()[0])]
        raise ValueError(f"operation {name!r} is in {int(masks.sum(0)[wrong][0])} groups: every candidate belongs to exactly one")
    return masks


def _members(space: Space, candidates_ZEO: Tensor, subset: int) -> Tensor:
    """[Z, N, S, E]: whether edge e is in subset s of node n; a node with fewer edges than `subset` has the one of them all."""
    used_ZE = candidates_ZEO.any(2).tolist()
    sets = [[list(combinations(incoming, min(subset, len(incoming)))) for incoming in _incoming(space, used_E)] for used_E in used_ZE]
    most = max(len(subsets) for nodes in sets for subsets in nodes)
    members = torch.zeros(len(sets), space.nodes, most, len(space.edges), dtype=torch.bool)
    for z, nodes in enumerate(sets):
        for n, subsets in enumerate(nodes):
            for s, edges in enumerate(subsets):
                members[z, n, s, list(edges)] = True
    return members


def _incoming(space: Space, used_E: Sequence[bool]) -> list[list[int]]:
    """The edges into each inner node that have a candidate."""
    return [[e for e, edge in enumerate(space.edges) if edge.target == j and used_E[e]] for j in space.inner_nodes]
