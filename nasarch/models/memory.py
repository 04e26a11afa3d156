"""How many bytes of activations a model holds: at most at once while inferring, and for the backward pass of a training step.

Both see the storages of tensors, each once, and not weights and buffers. What kernels use inside and what an allocator adds
is not seen, so the figures are the same on every machine.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@torch.no_grad()
def peak_bytes(model: nn.Module, images: Tensor) -> int:
    """The most bytes that `images` and activations hold at once in a forward pass without gradients, in the model's mode."""
    with _LiveBytes(_addresses(model) | {images.data_ptr()}, images.nbytes) as counter:
        model(images)
    return counter.peak


def saved_bytes(model: nn.Module, images: Tensor) -> int | None:
    """The bytes that autograd keeps between a forward pass and its backward pass, in the model's mode.

    None: a map has one pixel, on which batch normalisation can't train with a single image.
    """
    weights = _addresses(model)
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model(images)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            return None
        raise
    total = sum(saved.values())
    del output  # its graph kept every storage alive, and so its address unique, until they were counted
    return total


def _addresses(model: nn.Module) -> set[int]:
    """Where the parameters and buffers lie."""
    return {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations made and that still live, and the most there were at once; `start`
    are there before, at the addresses `known`."""

    def __init__(self, known: Iterable[int], start: int) -> None:
        super().__init__()
        self.live = self.peak = start
        self.known = set(known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().nbytes():
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        pointer, size = storage.data_ptr(), storage.nbytes()
        if pointer not in self.known:
            self.known.add(pointer)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, pointer, size)

    def _forget(self, pointer: int, size: int) -> None:
        self.known.discard(pointer)
        self.live -= size
