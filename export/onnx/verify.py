"""Verify an ONNX classifier: whether a file, of any origin and age, still gives the logits of the model that it says it is.

1. The network is built again from the genotype in the properties (or is the one that is named).
2. Its weights are those of a checkpoint, those that nasarch ships, or the random ones that it always makes; their digest has to be
   that of the properties.
3. The logits are compared as at the export: float32 and uint8 input by check.py, float16 by float16.py, int8 by top1_agreement.py:
   the classes of images that are named, else the logits of synthetic ones.

An untrusted file has no such properties: only with a model named is anything compared. export/verify.py reads the file and chooses.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import timm
import torch
from torch import nn

from nasarch.cells.genotype import Genotype
from nasarch.compute import seeded
from nasarch.export.errors import ExportError
from nasarch.export.samples import sample_images
from nasarch.export.source.config import configure, describe, digest
from nasarch.export.source.find import find_model
from nasarch.export.source.model import build_model, load_weights
from nasarch.export.source.network import parameters_of, rebuilt
from nasarch.models import shipped
from nasarch.strict_json import parse, shown

from .any_size import RESIZING, compare_resized
from .calibration import calibration, transform
from .check import BATCHES, Agreement, compare, worst
from .float16 import compare_half
from .float32 import Shape, input_size, reference, refuse, sizes
from .graph import reduction
from .properties import compared_properties
from .session import run
from .top1_agreement import MIN_AGREEMENT, MIN_CORRELATION, SYNTHETIC, batches, correlation, measure_top1
from .uint8_input import scaling_of
from .untrusted import UntrustedModel
from .variants import FLOAT16, INT8, within

MAX_ELEMENTS = 2**26  # in an image that a file asks for
MAX_CHANNELS = 256
SMALL_NETWORK = 10_000_000  # parameters that any file may ask for


def verify_classifier(
    file: UntrustedModel,
    model: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    images: str | None = None,
) -> tuple[str, ...]:
    """Compare the logits of an ONNX file with those of the PyTorch model that it says it is; the findings, a line each.

    Args:
        model: what it should be, as `find_model` takes it; by default what its properties say.
        checkpoint: its weights (.safetensors), unless they are random, shipped, or in the folder `model`.
        data: data set that they were trained on, for labels, mean and std, if `model` doesn't say it.
        images: for an int8 file images to compare classes on, as `calibration.calibration` takes them.

    Raises:
        ValueError: its weights can't be had or are others, or it doesn't give the model's logits.
    """
    if data is not None and model is None:
        raise ValueError("--data says what the weights of --model were trained on: name that model, or leave --data out")
    expected = _model(file, model, checkpoint, data)
    file.start_step()
    if expected is None:
        return ("it doesn't say what it is, so its logits can't be checked: --model NAME compares them", *_ran(file))
    own = digest(expected)
    stated = file.properties.get("weights_sha256", own)
    if stated != own:
        remedy = "give the weights that it was made of by --checkpoint W.safetensors"
        raise ExportError(f"{file.path} was made of other weights (sha256 {stated[:12]}...) than these ({own[:12]}...); {remedy}")
    checks = f"{describe(expected)} with the weights of sha256 {own[:12]}..." + (
        "" if "weights_sha256" in file.properties else ", not stated"
    )
    properties = compared_properties(file, expected, _shape(file, expected), named=model is not None)
    compared = _compared(file, expected, images)
    if compared is None:
        reason = "whose logits hardly depend on synthetic images, so nothing in it was compared; name real ones by --images"
        return (f"not checked: it says that it is {checks}, {reason}",)
    return (checks, compared, *properties)


# ---- the model that it should be


def _model(file: UntrustedModel, name: str | None, checkpoint: str | os.PathLike[str] | None, data: str | None) -> nn.Module | None:
    """The model with its weights; None for a file that doesn't say what it is."""
    if name is not None:
        file.stop_timer()  # what the user names may be large
        loaded = find_model(name, checkpoint, data)
        if loaded.class_names is not None:
            configure(loaded.model, label_names=loaded.class_names)
        return loaded.model
    build = _builder(file)
    if build is None:
        if checkpoint is not None:
            raise ExportError(f"{file.path} doesn't say which network the weights are for; name it by --model NAME")
        return None
    if checkpoint is not None:
        model = build()
        load_weights(model, checkpoint)
        return _prepared(model, file)
    match = next((model for model in _known(build) if digest(model) == file.properties.get("weights_sha256")), None)
    if match is None:
        raise ExportError(
            f"the weights of {file.path} are trained ones that only their owner has; give --checkpoint W.safetensors or --model FOLDER"
        )
    return _prepared(match, file)


def _builder(file: UntrustedModel) -> Callable[[], nn.Module] | None:
    """What builds the network that the properties describe; None if they describe none."""
    stated = file.properties
    if {"genotype", "network"} <= stated.keys():
        try:
            genotype, network = Genotype.from_dict(parse(stated["genotype"].encode())), parse(stated["network"].encode())
        except ValueError as error:
            raise ExportError(f"{file.path} says of its network: {error}; name the model by --model NAME") from error
        _check_parameters(file, parameters_of(network, genotype.to_dict()))
        return partial(rebuilt, network, genotype.to_dict())
    name = stated.get("architecture", "")
    return partial(build_model, name) if "weights_sha256" in stated and timm.is_model(name) else None


def _check_parameters(file: UntrustedModel, count: int) -> None:
    """Refuse a network of many more parameters than a file of that size can hold, before anything of it is built."""
    if count > 4 * file.size_bytes + SMALL_NETWORK:
        raise ExportError(
            f"{file.path} asks for a network of {count:,} parameters, which its {file.size_bytes:,} bytes can't hold; give the model by "
            "--model NAME"
        )


def _known(build: Callable[[], nn.Module]) -> Iterator[nn.Module]:
    """The network with weights that need no file: random ones, and those that the package has."""
    with seeded(0):
        model = build()
    yield model
    for name in sorted(shipped.names()):
        yield timm.create_model(name, pretrained=True)


def _prepared(model: nn.Module, file: UntrustedModel) -> nn.Module:
    """With the preprocessing that the file states."""
    stated: dict[str, Any] = {key: _numbers(file, key) for key in ("mean", "std", "input_size") if key in file.properties}
    stated |= {"crop_pct": _json(file, "crop_pct")} if "crop_pct" in file.properties else {}
    stated |= {key: file.properties[key] for key in ("interpolation", "architecture") if key in file.properties}
    configure(model, **stated)
    return model.eval()


def _json(file: UntrustedModel, key: str) -> Any:
    try:
        return json.loads(file.properties[key])
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{file.path} has the property {key} {file.properties[key][:40]!r}, which is no JSON; export it again") from error


def _numbers(file: UntrustedModel, key: str) -> list[Any]:
    """A property that is a list of few numbers, which together make no huge image."""
    value, kinds = _json(file, key), (int,) if key == "input_size" else (int, float)
    if not isinstance(value, list) or not all(type(one) in kinds for one in value) or not 0 < len(value) <= MAX_CHANNELS:
        raise ExportError(f"{file.path} has the property {key} {shown(value)}, which is no list of numbers; export it again")
    if key == "input_size" and not (len(value) == 3 and min(value) > 0 and math.prod(value) < MAX_ELEMENTS):
        raise ExportError(f"{file.path} has the property {key} {shown(value)}, which is no size of an image; export it again")
    return value


# ---- comparing


def _compared(file: UntrustedModel, model: nn.Module, images: str | None) -> str | None:
    """What the comparison found, None if nothing could be compared; raises ExportError if it isn't the model."""
    twin, shape = reference(model), _shape(file, model)
    if file.properties.get("precision") == INT8:
        return _alike(file, twin, shape) if images is None else _classes(file, twin, shape, images)
    if file.properties.get("preprocessing") == RESIZING:
        agreement = compare_resized(twin, file.session, shape, scaling_of(twin, shape[0]), transform(twin, shape))
        refuse(agreement, f"{file.path}")
        return f"checked: with timm's transform, {within(agreement)}"
    multiple = reduction(model) if "size_multiple" in file.properties else None
    agreement = worst([_agreement(file, twin, one) for one in sizes(shape, multiple)])
    refuse(agreement, f"{file.path}")
    return f"checked: {within(agreement)}"


def _agreement(file: UntrustedModel, twin: nn.Module, shape: Shape) -> Agreement:
    ((_, (kind, taken)),) = file.inputs.items()
    if file.properties.get("precision") == FLOAT16:
        return compare_half(twin, file.session, shape)
    fixed = taken[0] if isinstance(taken[0], int) else None
    counts = BATCHES if fixed is None else (fixed,) * math.ceil(sum(BATCHES) / fixed)
    prepare = scaling_of(twin, shape[0]).images if kind == "tensor(uint8)" else None
    return compare(twin, file.session, shape, prepare, counts)


def _shape(file: UntrustedModel, model: nn.Module) -> Shape:
    """[C, H, W] of the images that the file takes."""
    if len(file.inputs) != 1 or len(next(iter(file.inputs.values()))[1]) != 4:
        raise ExportError(f"{file.path} takes {', '.join(file.inputs)}, and a classifier takes images alone; verify it without a model")
    if file.properties.get("preprocessing") == RESIZING and "input_size" in file.properties:
        channels, height, width = _numbers(file, "input_size")
        return channels, height, width
    ((kind, shape),) = file.inputs.values()
    if kind == "tensor(uint8)":
        shape = [shape[0], shape[3], shape[1], shape[2]]
    channels, height, width = (one if isinstance(one, int) else two for one, two in zip(shape[1:], input_size(model, None), strict=True))
    return channels, height, width


def _alike(file: UntrustedModel, twin: nn.Module, shape: Shape) -> str | None:
    """The logits of an int8 file against the model's, for synthetic images; None if those say nothing."""
    measured = correlation(twin, partial(run, file.session), shape, scaling_of(twin, shape[0]))
    if measured is None:
        return None
    agreement = f"a correlation of {measured:.3f} with PyTorch's logits for {SYNTHETIC} synthetic images"
    if not measured >= MIN_CORRELATION:
        raise ExportError(f"refused: {file.path} gives {agreement}, and at least {MIN_CORRELATION} is needed; export it again")
    stated = file.properties.get("top1_agreement", "not stated")
    return f"checked: {agreement} (at least {MIN_CORRELATION} is needed); its classes by --images alone; it says of them: {stated}"


def _classes(file: UntrustedModel, twin: nn.Module, shape: Shape, images: str) -> str:
    """The classes of an int8 file against the model's."""
    names = _json(file, "class_names") if "class_names" in file.properties else None
    file.stop_timer()
    chosen = calibration(images, twin, shape, names)
    file.start_step()
    measured = measure_top1(
        twin, partial(run, file.session), batches(chosen.held_back, scaling_of(twin, shape[0])), chosen.source, chosen.labels
    )
    if not measured.holds:
        raise ExportError(f"refused: {file.path} gives {measured}, and at least {100 * MIN_AGREEMENT:.0f} % are needed; export it again")
    return f"checked: {measured}"


def _ran(file: UntrustedModel) -> tuple[str, ...]:
    """Whether a file that nothing is known of runs, if its shapes say on what."""
    shapes = [[one if isinstance(one, int) else 2 * (axis == 0) for axis, one in enumerate(shape)] for _, shape in file.inputs.values()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or not 0 < math.prod(shapes[0]) < MAX_ELEMENTS or _kind(file) != "tensor(float)":
        return ()
    (kind, _), *_ = file.outputs.values()
    images = sample_images(*shapes[0])
    if not kind.startswith("tensor(") or kind == "tensor(string)":
        file.session.run(None, {next(iter(file.inputs)): images.numpy()})
        return (f"it runs on images {shapes[0]} and gives {kind}, no tensor of numbers",)
    output = run(file.session, images)
    finite = "finite" if bool(torch.isfinite(output).all()) else "not finite"
    return (f"it runs on images {shapes[0]} and gives {list(output.shape)}, {finite}",)


def _kind(file: UntrustedModel) -> str:
    return next(iter(file.inputs.values()))[0]
