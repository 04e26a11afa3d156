"""Export to ONNX in several variants: the files' names for the Hub's clients, and the check that each has to pass before it gets its name.

| variant | file in a folder | flag | takes | has to show |
|---|---|---|---|---|
| float32 | onnx/model.onnx | - | pixel_values, float32 [batch, C, H, W] | PyTorch's logits, see check.py |
| pixels | onnx/model_uint8in.onnx | --uint8-input | pixels, uint8 [batch, H, W, C], see uint8_input.py | the same |
| any size | onnx/model_anysize.onnx | --any-size | pixels of any height and width, see any_size.py | its logits after timm's transform |
| float16 | onnx/model_fp16.onnx | --fp16 | as float32 | PyTorch's logits as float16 can hold them, see float16.py; classes as below |
| int8 | onnx/model_quantized.onnx | --int8 | as float32 | float32's class for 95 % of held-back images, see calibration.py |
| int8, symmetric | onnx/model_int8.onnx | --int8 --symmetric | as float32 | the same |

All are made of one checked float32 graph. Either all files appear, or none. transformers.js calls the last three dtype "fp16", "q8"
and "int8".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nasarch.atomic import atomic_path
from nasarch.console import command_line
from nasarch.export.errors import ExportError
from nasarch.export.samples import sample_images, sample_pixels
from nasarch.export.source.config import configuration
from nasarch.export.source.find import LoadedModel, find_model
from nasarch.export.source.folder import is_exported

from .calibration import Calibration, calibration
from .float32 import Checked, OnnxReport, checked, input_size, report
from .graph import INPUT, OPSET
from .session import latencies, run
from .top1_agreement import MIN_AGREEMENT, Top1Agreement
from .uint8_input import PIXELS
from .variants import ANY_SIZE, CONVERT, FLOAT16, FLOAT32, INT8, SYMMETRIC, UINT8

FILES = {
    FLOAT32: "model.onnx",
    UINT8: "model_uint8in.onnx",
    ANY_SIZE: "model_anysize.onnx",
    FLOAT16: "model_fp16.onnx",
    INT8: "model_quantized.onnx",
    SYMMETRIC: "model_int8.onnx",
}


@dataclass(frozen=True, kw_only=True)
class ExportVariants:
    """Which files are wanted; the fields are the flags of `nasarch export onnx`.

    Raises:
        ValueError: int8 without images, images that nothing asks for, symmetric without int8, or any size and multiples.
    """

    dynamic_size: bool = False
    uint8_input: bool = False
    any_size: bool = False
    fp16: bool = False
    int8: bool = False
    symmetric: bool = False
    calibrate: str | None = None
    opset: int = OPSET
    force: bool = False

    def __post_init__(self) -> None:
        if self.any_size and self.dynamic_size:
            raise ValueError("--any-size resizes every image to the model's size; leave --dynamic-size out, or give that alone")
        if self.symmetric and not self.int8:
            raise ValueError("--symmetric is a form of --int8; give that, too")
        if self.int8 and self.calibrate is None:
            raise ValueError("--int8 needs images to take its ranges from; name them by --calibrate FOLDER, a tar file, or cifar10")
        if self.calibrate is not None and not (self.int8 or self.fp16):
            raise ValueError(f"--calibrate {self.calibrate} serves --int8 and --fp16; give one of them with it")

    @property
    def converted(self) -> list[str]:
        """Those beside float32."""
        flags = {UINT8: self.uint8_input, ANY_SIZE: self.any_size, FLOAT16: self.fp16, SYMMETRIC if self.symmetric else INT8: self.int8}
        return [variant for variant, flag in flags.items() if flag]

    def paths(self, out: str | os.PathLike[str]) -> dict[str, Path]:
        """Where each goes: `out` itself, or the folder onnx/ in `out` where that is a folder or ends in a slash.

        Raises:
            ValueError: several variants and one file.
        """
        text = os.fspath(out)
        if Path(text).is_dir() or text.endswith(("/", os.sep)):
            return {variant: Path(text) / "onnx" / FILES[variant] for variant in (FLOAT32, *self.converted)}
        if len(self.converted) > 1:
            raise ValueError(
                f"{text} is one file, and {' and '.join(self.converted)} are several; give a folder: -o {Path(text).parent / 'NAME'}/"
            )
        return {(self.converted or [FLOAT32])[0]: Path(text)}


class VariantReport(NamedTuple):
    """A file of another form than float32; latencies at batch 1 in milliseconds, the two in turn."""

    path: Path
    variant: str
    size_bytes: int
    found: str
    top1: Top1Agreement | None
    onnx_ms: float
    float32_ms: float

    def __str__(self) -> str:
        sizes = {UINT8: "H, W", ANY_SIZE: "height, width"}.get(self.variant)
        takes = INPUT if sizes is None else f"{PIXELS}, uint8 [batch, {sizes}, C]"
        ratio = self.float32_ms / self.onnx_ms
        lines = [
            f"{self.path}: {self.variant}, {self.size_bytes / 1e6:.1f} MB, takes {takes}",
            f"checked: {self.found}",
            f"latency at batch 1: {self.onnx_ms:.2f} ms, float32 {self.float32_ms:.2f} ms ({ratio:.1f}x)",
        ]
        if self.top1 is not None and not self.top1.holds:
            lines.append(f"forced: fewer than {100 * MIN_AGREEMENT:.0f} % of the images keep their class")
        return "\n".join(lines)


class Written(NamedTuple):
    """All that was written."""

    reports: tuple[OnnxReport | VariantReport, ...]
    random: bool
    named: bool

    def __str__(self) -> str:
        lines = [str(report) for report in self.reports]
        lines += ["the classes have no names: --data NAME says what the weights were trained on"] * (not self.named and not self.random)
        return "\n".join(lines + ["the weights are random: --checkpoint W.safetensors exports trained ones"] * self.random)


def export_model(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    size: int | None = None,
    variants: ExportVariants | None = None,
) -> Written:
    """Export a model, by default as one float32 file: see `find_model`, `ExportVariants` and `export_onnx` for the arguments.

    Raises:
        ValueError: what these refuse, images that can't be used, a folder whose card describes something else, or a file that doesn't
            agree with the model; nothing is written then.
    """
    variants = variants or ExportVariants()
    if is_exported(out) and (os.path.realpath(source) != os.path.realpath(out) or checkpoint or data or size or variants.dynamic_size):
        own = f"only variants of that model go there: {command_line('export', 'onnx', out, '-o', out, '--fp16')}, for example"
        raise ValueError(f"the card in {out} describes its own model and the size of its images, so {own}; else give another folder")
    return export_variants(find_model(source, checkpoint, data), out, size=size, variants=variants)


def export_variants(subject: LoadedModel, out: str | os.PathLike[str], *, size: int | None, variants: ExportVariants) -> Written:
    """As `export_model`, of a model at hand."""
    model, names, random = subject
    paths = variants.paths(out)
    images = None
    if variants.calibrate is not None:  # images that can't be read are known before the slow part
        images = calibration(variants.calibrate, model, input_size(model, size), names or configuration(model).get("label_names"))
    with _files(paths) as files:
        base = checked(model, size=size, class_names=names, dynamic_size=variants.dynamic_size, opset=variants.opset)
        reports: list[OnnxReport | VariantReport] = []
        for variant, file in files.items():
            if variant == FLOAT32:
                base.save(file)
                reports.append(report(base, paths[variant], file.stat().st_size))
            else:
                reports.append(_write(variant, base, file, paths[variant], images, variants.force))
    return Written(tuple(reports), random, "class_names" in base.properties)


@contextmanager
def _files(paths: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """A temporary file for each place; all of them get their names, or none."""
    folder = next(iter(paths.values())).parent
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        with ExitStack() as stack:
            files = {variant: stack.enter_context(atomic_path(path)) for variant, path in paths.items()}
            for file in files.values():
                file.touch()
            yield files
    finally:
        for one in new:
            with suppress(OSError):  # it has files in it, as it should
                one.rmdir()


def _write(variant: str, base: Checked, file: Path, path: Path, images: Calibration | None, force: bool) -> VariantReport:
    """Make, check and write one form."""
    made = CONVERT[variant](base, images)
    if made.top1 is not None and not made.top1.holds and not force:
        raise ExportError(f"refused: {variant} gives {made.top1}, and at least {100 * MIN_AGREEMENT:.0f} % are needed; {_remedy(variant)}")
    base.save(file, made.proto, **made.properties)
    image = sample_images(1, *base.shape)
    fed = sample_pixels(1, *base.shape) if variant in (UINT8, ANY_SIZE) else image
    own, float32 = latencies(lambda: run(made.session, fed), lambda: run(base.session, image))
    return VariantReport(path, variant, file.stat().st_size, made.found, made.top1, own, float32)


def _remedy(variant: str) -> str:
    more = "give more images or others, of the kind that the network was trained on"
    better = "leave --fp16 out" if variant == FLOAT16 else more
    return f"{better}; networks with random weights amplify rounding; --force writes the file all the same"
