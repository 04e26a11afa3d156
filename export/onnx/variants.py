"""The other forms of a checked float32 graph: each is made, opened in onnxruntime, and compared with what it has to be equal to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import onnx
import onnxruntime
from torch import Tensor

from nasarch.export.source.model import describe

from .calibration import Calibration
from .check import Agreement, ExportError, compare, first_line, open_session, run, sample_images, worst
from .float16 import compare_half, halved
from .float32 import Checked, refuse, sizes
from .int8 import quantised
from .top1_agreement import Top1Agreement, batches, judge
from .uint8_input import scaling_of, with_pixels

FLOAT32, UINT8, FLOAT16, INT8 = "float32", "pixels", "float16", "int8"
SYNTHETIC = "synthetic images"
SYNTHETIC_COUNT, SYNTHETIC_BATCH = 20, 5


class Derived(NamedTuple):
    """A graph, what its check found in words, and the properties in which its file differs from that of float32."""

    proto: onnx.ModelProto
    session: onnxruntime.InferenceSession
    found: str
    judgement: Top1Agreement | None
    properties: dict[str, Any]


def pixels(base: Checked, _: Calibration | None = None) -> Derived:
    """With the preprocessing inside."""
    scaling = scaling_of(base.reference, base.shape[0])
    proto = with_pixels(base.proto, scaling)
    session = opened(proto)
    agreement = worst([compare(base.reference, session, one, scaling.images) for one in sizes(base.shape, base.multiple)])
    refuse(agreement, f"{describe(base.reference)} with its preprocessing")
    return Derived(proto, session, within(agreement), None, {"preprocessing": "inside"})


def half(base: Checked, images: Calibration | None = None) -> Derived:
    """In float16."""
    proto = halved(base.proto)
    session = opened(proto)
    agreement = worst([compare_half(base.reference, session, one) for one in sizes(base.shape, base.multiple)])
    refuse(agreement, f"{describe(base.reference)} in float16")
    judgement = judged(base, session, images)
    return Derived(proto, session, f"{within(agreement)}; {judgement}", judgement, {"precision": FLOAT16, "judged": judgement.properties()})


def integers(base: Checked, images: Calibration | None) -> Derived:
    """In 8-bit integers, with the ranges of `images`, or of synthetic ones: then only its speed means anything."""
    if images is None:
        fitting: Iterable[Tensor] = sample_images(SYNTHETIC_COUNT, *base.shape).split(SYNTHETIC_BATCH)
        count, source = SYNTHETIC_COUNT, SYNTHETIC
    else:
        fitting = batches(images.calibrating, scaling_of(base.reference, base.shape[0]))
        count, source = len(images.calibrating), images.source
    proto = quantised(base.proto, fitting)
    session = opened(proto)
    judgement = judged(base, session, images)
    told = {"calibration": {"images": count, "of": source, "ranges": "MinMax"}, "judged": judgement.properties()}
    return Derived(proto, session, f"{judgement}; ranges from {count} others", judgement, {"precision": INT8, **told})


DERIVE: dict[str, Callable[[Checked, Calibration | None], Derived]] = {UINT8: pixels, FLOAT16: half, INT8: integers}


def judged(base: Checked, session: onnxruntime.InferenceSession, images: Calibration | None) -> Top1Agreement:
    """What `session` says of the held-back images, or where there are none of synthetic ones."""
    exact, own = partial(run, base.session), partial(run, session)
    if images is None:
        return judge(exact, own, sample_images(SYNTHETIC_COUNT, *base.shape).split(SYNTHETIC_BATCH), SYNTHETIC)
    scaling = scaling_of(base.reference, base.shape[0])
    return judge(exact, own, batches(images.held_back, scaling), images.source, images.labels)


def opened(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
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
