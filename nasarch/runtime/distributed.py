"""Distributed processes as torchrun starts them: ranks, broadcast, all-reduce; no-ops in a single process. Knows no method.

Every process holds the whole network with the same weights, and takes its own share of each batch. Gradients are averaged
(`all_reduce_mean`), so weights and architecture parameters stay the same everywhere; batch statistics of BN are those of the own share, as
in PyTorch's DistributedDataParallel. The first process (rank 0) writes files and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")
_store: dist.Store | None = None  # of torchrun
_joined = 0  # times that this process has joined the others
AGREEMENT = 10  # steps between two questions of `stop_agreed`


def init(device: str) -> str:
    """Join the processes that torchrun started, if it did; returns the device of this one.

    Raises:
        ValueError: `device` names one GPU for all of them.
    """
    if rank_and_world_size()[1] < 2:
        return device
    own = own_device(device)
    if not dist.is_initialized():
        _join("nccl" if own.startswith("cuda") else "gloo")
    return own


def _join(backend: str) -> None:
    """Begin work in common, for the first or another time, each with keys of its own in the store: those of the last name closed ports."""
    global _store, _joined
    if _store is None:
        _store = next(dist.rendezvous("env://"))[0]
    _joined += 1
    rank, world_size = rank_and_world_size()
    dist.init_process_group(backend, store=dist.PrefixStore(f"nasarch/{_joined}", _store), rank=rank, world_size=world_size)


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process and how many torchrun started, joined or not: (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def own_device(device: str) -> str:
    """The device of this process among those that torchrun started.

    Raises:
        ValueError: `device` names one GPU for all of them.
    """
    if rank_and_world_size()[1] < 2:
        return device
    if device[-1:].isdigit():
        raise ValueError(f"--device {device} is one device for {rank_and_world_size()[1]} processes: choose auto, cuda or cpu")
    is_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    own = f"cuda:{os.environ['LOCAL_RANK']}" if is_cuda else "cpu"
    if is_cuda:
        torch.cuda.set_device(own)
    return own


def destroy() -> None:
    """End the work in common."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the main process (rank 0), which writes files and prints."""
    return rank() == 0


def all_reduce_mean(tensors: Iterable[Tensor | None]) -> None:
    """Replace each tensor by its mean over the processes, in place: one message for all. None is passed over, everywhere the same."""
    present = [tensor for tensor in tensors if tensor is not None]
    if world_size() == 1 or not present:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in present])
    dist.all_reduce(flat)
    for tensor, mean in zip(present, flat.div_(world_size()).split([tensor.numel() for tensor in present]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def all_reduce_sum(values: Sequence[float], device: torch.device | str) -> list[float]:
    """The sums of the values over the processes, in float64."""
    if world_size() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return sums.tolist()


def any_of(flag: bool, device: torch.device | str) -> bool:
    """Whether the flag is up in one process at least."""
    return all_reduce_sum([float(flag)], device)[0] > 0


def stop_agreed(asked: bool, step: int, device: torch.device | str, *, ends: bool) -> bool:
    """Whether somebody asked for a stop. Several processes have to agree; they ask each other now and then, in the same step."""
    if world_size() == 1:
        return asked
    return (ends or step % AGREEMENT == 0) and any_of(asked, device)


def broadcast_from_main(value: T) -> T:
    """The value of the first process, in all of them."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def run_on_main(work: Callable[[], T]) -> T:
    """The result of `work`, run in the first process alone; a ValueError there is raised in all, as one line and no traceback."""
    if world_size() == 1:
        return work()
    done, refused = broadcast_from_main(_outcome(work) if is_main() else (None, None))
    if refused is not None:
        raise ValueError(refused)
    return done  # type: ignore[return-value]


def _outcome(work: Callable[[], T]) -> tuple[T | None, str | None]:
    try:
        return work(), None
    except ValueError as error:
        return None, str(error)


def check_same(value: str, what: str) -> None:
    """Raise ValueError unless `value` is the same in all processes."""
    if world_size() == 1:
        return
    values: list[str] = [""] * world_size()
    dist.all_gather_object(values, value)
    if len(set(values)) > 1:
        raise ValueError(f"the {world_size()} processes have different {what}: start the search again, with the same software in all")
