"""The network of a genotype: stem -> cells -> head, with the whole contract of a timm model.

Its layers are those of layers.py, numbered through. A feature map that timm asks for (a tap) is the last map of a resolution.
"""

# Annotations are values here, not strings: TorchScript and fx read those of `forward`.
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from timm.layers import DropPath, create_classifier, get_device_dtype
from timm.models import FeatureInfo, checkpoint
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cells.space import NATS

from .auxiliary import AUXILIARY, AuxiliaryHead
from .cell import Node
from .layers import Map, build_layers, start_statistics


def _tap(m: Map, output_stride: int) -> dict[str, Any]:
    """timm's entry in `feature_info`."""
    return {"num_chs": m.channels, "reduction": min(m.reduction, output_stride), "module": m.module}


def _checked_rate(rate: float) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"drop path rate {rate!r}; legal are 0 <= rate < 1: the papers take 0.2 and 0.3 for CIFAR-10, 0 for ImageNet")
    return float(rate)


def _checked_stride(output_stride: int) -> int:
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride={output_stride!r}; legal are 32, the papers' network, and 16 and 8, which dilate its last cells")
    return output_stride


def _taken(indices: int | list[int] | None, count: int) -> list[int]:
    """The taps that timm's `indices` mean, of `count`: None all, n the last n, a sequence those (negative ones from the end)."""
    if indices is None:
        return list(range(count))
    if isinstance(indices, int):
        if indices < 1 or indices > count:
            raise ValueError(f"the last {indices} feature maps; there are {count}: give 1 to {count}")
        return list(range(count - indices, count))
    kept_indices: list[int] = []
    for i in indices:
        if i < -count or i >= count:
            raise ValueError(f"feature map {i}; there are {count}: give indices from 0 to {count - 1}")
        kept_indices.append(i if i >= 0 else i + count)
    return kept_indices


class CellNetwork(nn.Module):
    """Images [B, in_chans, H, W] of any size -> logits [B, num_classes].

    Args:
        genotype: zoo name, path of a .json, plain dict, or `Genotype`.
        num_classes: 0 gives the pooled features [B, num_features].
        in_chans: channels of the images.
        global_pool: timm's: "avg", "max", "avgmax", "catavgmax", or "" for none (with num_classes=0).
        cells: how many in all; for NATS-Bench cells, how many a stage.
        channels: of the first cells' inner nodes.
        stem: "cifar" (stride 1) or "imagenet" (stride 8).
        drop_rate: dropout before the classifier.
        drop_path_rate: see `set_drop_path`.
        output_stride: 16 or 8 replace the strides of the last reductions by dilation of all that follows them: for segmentation, the
            same parameters on larger maps, not the papers' network. It changes nothing where the stem keeps the size of the image.
        aux_head: add the papers' auxiliary tower; while training the network then returns (logits, auxiliary logits).
        init_statistics: set the running statistics by the initial weights; False saves that time where weights are loaded next.

    Raises:
        ValueError: no such genotype, stem or output stride, too few cells or channels, a rate outside [0, 1).
    """

    __jit_unused_properties__ = ["_model_args"]

    def __init__(
        self,
        genotype: str | Path | Mapping[str, Any] | Genotype,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        cells: int = 20,
        channels: int = 36,
        stem: str = "cifar",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        aux_head: bool = False,
        output_stride: int = 32,
        init_statistics: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        dd = {"device": device, "dtype": dtype}
        self.genotype = resolve(genotype)
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.grad_checkpointing = False
        self._recorded_args = dict[str, Any]()
        self.stem, self.cells, maps = build_layers(
            self.genotype, stem, in_chans, cells, channels, _checked_rate(drop_path_rate), dd, _checked_stride(output_stride)
        )
        self.num_features = maps[-1].channels
        normed = self.genotype.space == NATS.name
        self.norm = nn.Sequential(nn.BatchNorm2d(self.num_features, **dd), nn.ReLU()) if normed else nn.Identity()
        self.feature_ends = list({m.reduction: i for i, m in enumerate(maps)}.values())
        self.feature_info = [_tap(maps[i], output_stride) for i in self.feature_ends]
        self.aux_end = self.feature_ends[-2] + 1  # the second reduction
        self.aux_head = AuxiliaryHead(maps[self.aux_end].channels, num_classes, **AUXILIARY[stem], **dd) if aux_head else None
        self.global_pool, self.head_drop, self.fc = create_classifier(
            self.num_features, num_classes, pool_type=global_pool, drop_rate=drop_rate, **dd
        )
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        if init_statistics:
            self._start_statistics()

    def _start_statistics(self) -> None:
        """Running statistics by the fresh weights, for images of the papers' size."""
        if not next(self.stem.parameters()).is_meta:
            start_statistics(self.stem, self.cells, self.norm, self.in_chans, 32 if len(self.stem) == 1 else 224)

    @property
    def _model_args(self) -> dict[str, Any]:
        """What timm writes beside saved weights to build the network again, a genotype given by name or path as a plain dict."""
        return self._recorded_args

    @_model_args.setter
    def _model_args(self, args: Mapping[str, Any]) -> None:
        own = {"genotype": self.genotype.to_dict()} if "genotype" in args else {}
        self._recorded_args = {key: value for key, value in args.items() if key != "init_statistics"} | own

    @torch.jit.ignore
    def init_weights(self) -> None:
        """Fresh weights by PyTorch's defaults as in the published code, and running statistics by these; also after `to_empty`."""
        for module in self.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        self._start_statistics()

    @torch.jit.ignore
    def set_drop_path(self, rate: float, on: str = "edges") -> None:
        """Drop each edge but identities with probability `rate`, a sample at a time, the same everywhere, while training.

        Zoph et al. 2018 and Liu et al. 2019 let it grow linearly with the epochs: rate * epoch / epochs.

        Args:
            on: "edges", or "nodes" to drop the sums of the edges instead, identities included, as FairDARTS' code does.
        """
        rate, of_nodes = _checked_rate(rate), {node.drop_path for node in self.modules() if isinstance(node, Node)}
        for module in self.modules():
            if isinstance(module, DropPath):
                module.drop_prob = rate if (module in of_nodes) == (on == "nodes") else 0.0

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's layer groups: the stem and one for each cell (`coarse`: for each resolution); the head follows."""
        if not coarse:
            return {"stem": r"^stem", "blocks": r"^cells\.(\d+)"}
        ends = [end - len(self.stem) for end in self.feature_ends]
        stages = [range(max(0, begin + 1), end + 1) for begin, end in zip([-1, *ends], ends, strict=False)]
        return {"stem": r"^stem", "blocks": [(rf"^cells\.(?:{'|'.join(map(str, s))})\.", (i,)) for i, s in enumerate(stages) if s]}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the outputs of cells for the backward pass and compute their insides again there."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None, device: Any = None, dtype: Any = None) -> None:
        """New classifiers, the auxiliary one too, for `num_classes` classes (0: none); `global_pool=None` keeps the pooling."""
        dd = get_device_dtype(self, device=device, dtype=dtype)
        self.num_classes = num_classes
        pool = self.global_pool.pool_type if global_pool is None else global_pool
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=pool, **dd)
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        self.global_pool.train(self.training)
        self.fc.train(self.training)
        if self.aux_head is not None:
            self.aux_head.reset(num_classes, **dd)

    def collect(self, x: Tensor, taps: list[int], last: int) -> tuple[Tensor, list[Tensor]]:
        """Run the layers up to number `last`: its output, and the outputs of the layers `taps`, in the order of the layers."""
        features: list[Tensor] = []
        previous = x
        for i, block in enumerate(self.stem):
            if i <= last:
                previous, x = x, block(x)
                if i in taps:
                    features.append(x)
        if len(self.stem) == 1:
            previous = x
        for i, cell in enumerate(self.cells):
            layer = i + len(self.stem)
            if layer <= last:
                if self.grad_checkpointing and not torch.jit.is_scripting():
                    previous, x = x, checkpoint(cell, previous, x)
                else:
                    previous, x = x, cell(previous, x)
                if layer in taps:
                    features.append(x)
        return x, features

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The features and the maps `indices` (of `feature_info`): None all, n the last n, a sequence those.

        Args:
            norm: put the last map through the final norm too (NATS-Bench networks have one).
            stop_early: don't run what follows the last map that is asked for; the features then end there.
            output_fmt: "NCHW", the only one.
            intermediates_only: return the maps alone.
        """
        assert output_fmt in ("NCHW",), "the only output format is NCHW"
        stages = _taken(indices, len(self.feature_ends))
        taps = [self.feature_ends[i] for i in stages]
        last = max(taps) if stop_early else len(self.stem) + len(self.cells) - 1
        x, features = self.collect(x, taps, last)
        if norm and self.feature_ends[-1] in taps:
            features[-1] = self.norm(features[-1])
        if intermediates_only:
            return features
        if last == self.feature_ends[-1]:
            x = self.norm(x)
        return x, features

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove what the maps `indices` don't need; features then end at the last of them. Returns their indices."""
        stages = _taken(indices, len(self.feature_ends))
        end, shortened = self.feature_ends[max(stages)], max(stages) < len(self.feature_ends) - 1
        del self.cells[max(0, end + 1 - len(self.stem)) :]
        del self.stem[end + 1 :]
        if prune_norm or shortened:
            self.norm = nn.Identity().train(self.training)
        if shortened:
            self.num_features = self.feature_info[max(stages)]["num_chs"]
        if prune_head or shortened:
            self.aux_head = None
            self.reset_classifier(0, "")
        return stages

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> the last map, [B, num_features, H', W']."""
        taps: list[int] = []
        x, _ = self.collect(x, taps, len(self.stem) + len(self.cells) - 1)
        return self.norm(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last map -> logits [B, num_classes], or what the classifier reads, [B, head_hidden_size]."""
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes]; with `aux_head`, while training, (logits, auxiliary logits)."""
        if not torch.jit.is_scripting() and self.aux_head is not None and self.training:
            x, middle = self.collect(x, [self.aux_end], len(self.stem) + len(self.cells) - 1)
            return self.forward_head(self.norm(x)), self.aux_head(middle[0])  # type: ignore[return-value]
        return self.forward_head(self.forward_features(x))


class Features(nn.Module):
    """Feature maps for detection and segmentation (timm's `features_only=True`): images [B, in_chans, H, W] -> a list of maps.

    They are those of `model.feature_info` with the indices `out_indices`, largest first; layers that they don't need are removed.

    timm's own wrapper of this kind can neither be scripted with a typed output nor asked for gradient checkpointing.
    """

    def __init__(self, model: CellNetwork, out_indices: int | Sequence[int]) -> None:
        super().__init__()
        indices = out_indices if isinstance(out_indices, int) else list(out_indices)
        stages = sorted(set(model.prune_intermediate_layers(indices, prune_norm=True)))
        self.feature_info = FeatureInfo(deepcopy(model.feature_info), tuple(stages))
        self.ends = [model.feature_ends[i] for i in stages]
        self.model = model

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.model.set_grad_checkpointing(enable)

    @torch.jit.ignore
    def set_drop_path(self, rate: float, on: str = "edges") -> None:
        self.model.set_drop_path(rate, on)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.model.collect(x, self.ends, self.ends[-1])[1]
