"""Variants of a checked float32 graph (uint8 input, float16, int8): each is converted, opened in onnxruntime and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import onnx
import onnxruntime
from torch import Tensor

from nasarch.export.errors import ExportError, first_line
from nasarch.export.samples import sample_images
from nasarch.export.source.config import describe

from .any_size import RESIZING, compare_resized, with_resizing
from .calibration import Calibration, transform
from .check import Agreement, compare, worst
from .float16 import compare_half, halved
from .float32 import Checked, refuse, sizes
from .int8 import quantised
from .session import open_session, run
from .top1_agreement import Top1Agreement, batches, measure_top1
from .uint8_input import scaling_of, with_pixels

FLOAT32, UINT8, FLOAT16, INT8, SYMMETRIC = "float32", "pixels", "float16", "int8", "int8, symmetric"
ANY_SIZE = "images of any size"
SYNTHETIC = "synthetic images"
SYNTHETIC_COUNT, SYNTHETIC_BATCH = 20, 5


class Converted(NamedTuple):
    """A graph, what its check found in words, and the properties in which its file differs from that of float32."""

    proto: onnx.ModelProto
    session: onnxruntime.InferenceSession
    found: str
    top1: Top1Agreement | None
    properties: dict[str, Any]


def to_uint8_input(base: Checked, _: Calibration | None = None) -> Converted:
    """With the preprocessing inside."""
    scaling = scaling_of(base.reference, base.shape[0])
    proto = with_pixels(base.proto, scaling)
    session = open_checked(proto)
    agreement = worst([compare(base.reference, session, one, scaling.images) for one in sizes(base.shape, base.multiple)])
    refuse(agreement, f"{describe(base.reference)} with its preprocessing")
    return Converted(proto, session, within(agreement), None, {"preprocessing": "inside"})


def to_any_size(base: Checked, _: Calibration | None = None) -> Converted:
    """With resizing, crop and scaling inside."""
    model, scaling = base.reference, scaling_of(base.reference, base.shape[0])
    proto = with_resizing(base.proto, model, base.shape, scaling)
    session = open_checked(proto)
    agreement = compare_resized(model, session, base.shape, scaling, transform(model, base.shape))
    refuse(agreement, f"{describe(model)} with timm's transform before it")
    return Converted(proto, session, f"with timm's transform, {within(agreement)}", None, {"preprocessing": RESIZING})


def to_float16(base: Checked, images: Calibration | None = None) -> Converted:
    """In float16."""
    proto = halved(base.proto)
    session = open_checked(proto)
    agreement = worst([compare_half(base.reference, session, one) for one in sizes(base.shape, base.multiple)])
    refuse(agreement, f"{describe(base.reference)} in float16")
    top1 = compare_top1(base, session, images)
    return Converted(proto, session, f"{within(agreement)}; {top1}", top1, {"precision": FLOAT16, "top1_agreement": top1.properties()})


def to_int8(base: Checked, images: Calibration | None, *, symmetric: bool = False) -> Converted:
    """In 8-bit integers, with the ranges of `images`, or of synthetic ones: then only its speed means anything."""
    if images is None:
        fitting: Iterable[Tensor] = sample_images(SYNTHETIC_COUNT, *base.shape).split(SYNTHETIC_BATCH)
        count, source = SYNTHETIC_COUNT, SYNTHETIC
    else:
        fitting = batches(images.calibrating, scaling_of(base.reference, base.shape[0]))
        count, source = len(images.calibrating), images.source
    proto = quantised(base.proto, fitting, symmetric=symmetric)
    session = open_checked(proto)
    top1 = compare_top1(base, session, images)
    ranges = {"images": count, "of": source, "ranges": "MinMax", **({"activations": "symmetric"} if symmetric else {})}
    properties = {"calibration": ranges, "top1_agreement": top1.properties()}
    return Converted(proto, session, f"{top1}; ranges from {count} others", top1, {"precision": INT8, **properties})


CONVERT: dict[str, Callable[[Checked, Calibration | None], Converted]] = {
    UINT8: to_uint8_input,
    ANY_SIZE: to_any_size,
    FLOAT16: to_float16,
    INT8: to_int8,
    SYMMETRIC: partial(to_int8, symmetric=True),
}


def compare_top1(base: Checked, session: onnxruntime.InferenceSession, images: Calibration | None) -> Top1Agreement:
    """What `session` says of the held-back images, or where there are none of synthetic ones."""
    exact, own = partial(run, base.session), partial(run, session)
    if images is None:
        return measure_top1(exact, own, sample_images(SYNTHETIC_COUNT, *base.shape).split(SYNTHETIC_BATCH), SYNTHETIC)
    scaling = scaling_of(base.reference, base.shape[0])
    return measure_top1(exact, own, batches(images.held_back, scaling), images.source, images.labels)


def open_checked(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session of `proto`, which has to pass the checker.

    Raises:
        ExportError: it doesn't, or onnxruntime can't load it.
    """
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the graph is not legal ONNX: {first_line(error)}; try other versions of onnx and onnxruntime") from error
    return open_session(proto.SerializeToString())


def within(agreement: Agreement) -> str:
    """An agreement in words."""
    return f"logits within {agreement.relative} (allowed {agreement.allowed}){agreement.classes}"
