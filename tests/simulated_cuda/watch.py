"""A CUDA device on which nothing is computed: its tensors are fake, those of the CPU are real, and what costs time on a GPU is noted.

| noted | is |
|---|---|
| synchronisation | the CPU waits for the GPU's answer: `.item()`, `bool(x)`, `nonzero`, indexing by a mask ... |
| blocking copy | between host and device, without `non_blocking=True`: the CPU waits, too |
| copy | between host and device, `non_blocking` |
| mixed devices | an operation on tensors of the CPU and of the GPU, which CUDA refuses, and so does the simulation |
| kernel | an operation that is dispatched and is no view, with the bytes of the tensors that it reads and writes |

Each is noted with its place, the innermost line of nasarch on the stack. One dispatched operation counts as one kernel, though cuDNN
starts several for a BN, and a `foreach` operation one for some dozens of tensors.

What comes back from the device are ones, or, of a tensor that was copied there and has not changed, its real values. Where values decide
about a shape (`nonzero`, a mask, `nms`), all are taken: as many as there can be.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses import FakeTensorMode, fake_tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.optim import optimizer
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode

from tests.simulated_cuda.ledger import BLOCKING, COPY, MIXED, OUTSIDE, SYNCHRONISATION, Event, Ledger, module, place, stack

VALUES = "_simulated_values"  # of a copy on the device: its version then, and the tensor of the CPU
POINTERS = "Accessing the data pointer of FakeTensor"  # as `deepcopy` does, to no harm
FREE = {"alias", "detach", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty", "new_empty_strided", "_unsafe_view"}

FUSED = {"_fused_sgd_", "_fused_adam_"}  # change weights in place, and have no form for fake tensors


class MixedDevices(RuntimeError):
    """As CUDA says it: expected all tensors to be on the same device."""


class SimulatedCuda(TorchDispatchMode):
    """Within its context "cuda" is the simulated device; `ledgers` holds one `Ledger` for each part that `during` named.

    All that it changes in torch is changed back at the end. It needs a torch that sees a device (stub.py).
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.part, self.ledgers = OUTSIDE, dict[str, Ledger]()
        self.undo = ExitStack()

    def __enter__(self) -> SimulatedCuda:
        with ExitStack() as changes:
            changes.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message=POINTERS)
            changes.enter_context(_moved_visibly())
            changes.enter_context(_foreach_of_fakes())
            changes.enter_context(mock.patch.object(fake_tensor, "init_gpu_context", lambda device: None))  # it allocates on the GPU
            changes.enter_context(mock.patch.object(torch.cuda, "synchronize", self._synchronised))
            changes.enter_context(mock.patch.object(FakeTensor, "tolist", lambda x: x.cpu().tolist()))
            changes.enter_context(torch.autograd.set_multithreading_enabled(False))  # a backward pass runs under the line that asked for it
            super().__enter__()
            self.undo = changes.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*(error or (None, None, None)))
        self.undo.close()

    @contextmanager
    def during(self, part: str) -> Iterator[Ledger]:
        """What happens in the block is noted under this name; of blocks in each other the innermost counts."""
        before, self.part = self.part, part
        try:
            yield self._ledger()
        finally:
            self.part = before

    def _ledger(self) -> Ledger:
        return self.ledgers.setdefault(self.part, Ledger())

    def _note(self, kind: str, what: str) -> None:
        self._ledger().events[Event(kind, what, place())] += 1

    def _synchronised(self, device: Any = None) -> None:
        self._note(SYNCHRONISATION, "synchronize")

    def __torch_dispatch__(self, func: OpOverload, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if func is torch.ops.prim.device.default:
            return args[0].fake_device
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        inputs = list(_tensors([args, list(kwargs.values())]))
        if not any(x.is_cuda for x in inputs) and not _is_sent([*args, kwargs.get("device")]):
            return func(*args, **kwargs)
        if _is_composite(func):  # which otherwise autograd takes apart, but not in inference mode
            with self._again():
                return func.decompose(*args, **kwargs)
        if name in FUSED:
            self._check(name, inputs)
            result = None
        elif name in ("_to_copy", "copy_"):
            result = self._copied(func, args, kwargs, is_new=name == "_to_copy")
        else:
            self._check(name, inputs)
            result = self._answered(func, name, args, kwargs)
        if name not in FREE and not _is_view(func):
            key = name, place()
            self._ledger().kernels[key] += 1
            self._ledger().bytes[key] += sum(x.numel() * x.element_size() for x in [*inputs, *_tensors([result])])
        return result

    @contextmanager
    def _again(self) -> Iterator[None]:
        """Within a dispatch the mode is off; here it sees operations again."""
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    def _run(self, func: OpOverload, *args: Any, **kwargs: Any) -> Any:
        with self.fake:
            return func(*args, **kwargs)

    def _copied(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], *, is_new: bool) -> Tensor:
        """`_to_copy(x, ...)` or `copy_(target, x)`."""
        source = args[0] if is_new else args[1]
        target = torch.device(kwargs.get("device") or source.device) if is_new else args[0].device
        if source.device.type != target.type:
            is_free = kwargs.get("non_blocking", not is_new and len(args) > 2 and args[2])
            self._note(COPY if is_free else BLOCKING, f"{source.device.type} -> {target.type} {_form(source)}")
        if target.type != "cuda":
            return self._value(source).to(kwargs.get("dtype") or source.dtype) if is_new else args[0].copy_(self._value(source))
        if not is_new or source.is_cuda:
            return self._run(func, *args, **kwargs)
        form = func(source.to("meta"), **{**kwargs, "device": "meta"})
        with self.fake:
            result = torch.empty_strided(form.shape, form.stride(), dtype=form.dtype, device=target)
        setattr(result, VALUES, (_version(result), source.to(form.dtype, copy=True)))
        return result

    def _value(self, x: Tensor) -> Tensor:
        """What the CPU gets of a tensor of the device."""
        version, value = getattr(x, VALUES, (None, None))
        return torch.ones(x.shape, dtype=x.dtype) if value is None or version != _version(x) else value.clone()

    def _check(self, name: str, inputs: Sequence[Tensor]) -> None:
        """Raise MixedDevices for tensors of the CPU beside those of the device; numbers and indices are legal, indices are copied."""
        strangers = [x for x in inputs if not x.is_cuda and x.ndim]
        if strangers and name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            self._note(BLOCKING, f"{name} by {', '.join(map(_form, strangers))} of the cpu")
        elif strangers:
            self._note(MIXED, f"{name} with {', '.join(map(_form, strangers))} of the cpu")
            raise MixedDevices(f"{name}: all tensors have to be on one device, but {_form(strangers[0])} is on the cpu, at {place()}")

    def _answered(self, func: OpOverload, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The result of an operation that copies nothing, of which some ask the device."""
        if name in ("_local_scalar_dense", "equal", "_linalg_check_errors"):
            self._note(SYNCHRONISATION, name)
            if name == "_local_scalar_dense":
                return _number(self._value(args[0]))
            return True if name == "equal" else None
        if name in ("nonzero", "nms", "masked_select"):
            self._note(SYNCHRONISATION, name)
            return self._all_of(name, *args)
        if name in ("index", "index_put", "index_put_") and any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]):
            return self._masked(func, name, *args, **kwargs)
        return self._run(func, *args, **kwargs)

    def _all_of(self, name: str, x: Tensor, *others: Any) -> Tensor:
        """As if everything were taken."""
        if name == "masked_select":
            return self._run(torch.ops.aten.new_empty.default, x, [torch.broadcast_shapes(x.shape, others[0].shape).numel()])
        shape = [x.numel(), x.ndim] if name == "nonzero" else [len(x)]
        return self._run(torch.ops.aten.new_empty.default, x, shape, dtype=torch.int64)

    def _masked(self, func: OpOverload, name: str, x: Tensor, indices: Sequence[Tensor | None], *values: Any, **kwargs: Any) -> Any:
        """Indexing by masks, which become indices first; but a number is put by `masked_fill`, without asking."""
        if values and values[0].numel() == 1:
            return self._run(func, x, indices, *values, **kwargs)
        found: list[Tensor | None] = []
        for index in indices:
            if index is None or index.dtype not in (torch.bool, torch.uint8):
                found.append(index)
            else:
                self._note(SYNCHRONISATION, f"{name} by a mask")
                found += self._all_of("nonzero", index).unbind(1)
        return self._run(func, x, found, *values, **kwargs)


@contextmanager
def _moved_visibly() -> Iterator[None]:
    """`torch.tensor(numbers, device="cuda")` is made on the CPU and copied where a mode sees it."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


@contextmanager
def _foreach_of_fakes() -> Iterator[None]:
    """Optimisers and clipping take many tensors at once as they do on CUDA; they ask for the tensors' very type."""
    lists = (optimizer._foreach_supported_types, _foreach_utils._foreach_supported_types)
    for types in lists:
        types.append(FakeTensor)
    try:
        yield
    finally:
        for types in lists:
            types.remove(FakeTensor)


def _is_sent(values: Iterable[Any]) -> bool:
    """Whether an operation is told to put its result on the device."""
    return any(isinstance(value, torch.device) and value.type == "cuda" for value in values)


def _version(x: Tensor) -> int | None:
    """How often it was changed; of a tensor of inference nobody counts."""
    return None if x.is_inference() else x._version


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


@functools.cache
def _is_composite(func: OpOverload) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def _is_view(func: OpOverload) -> bool:
    return any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)


def _form(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"


def _number(value: Tensor) -> Any:
    """A number that the CPU asked for; loss scaling is told that no gradient overflowed."""
    asks = next(module(frame) for frame in stack() if not module(frame).startswith((__name__, "torch._", "torch.utils")))
    return 0.0 if asks == torch.amp.grad_scaler.__name__ else value.item()
