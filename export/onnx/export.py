"""The forms in which a model leaves as ONNX, what the Hub's clients call their files, and what each has to show before it gets its name.

| form | file in a folder | flag | takes | has to show |
|---|---|---|---|---|
| float32 | onnx/model.onnx | - | pixel_values, float32 [batch, C, H, W] | PyTorch's logits, see check.py |
| pixels | onnx/model_uint8in.onnx | --uint8-input | pixels, uint8 [batch, H, W, C], see uint8_input.py | the same |
| float16 | onnx/model_fp16.onnx | --fp16 | as float32 | PyTorch's logits as float16 can hold them, see float16.py; classes as below |
| int8 | onnx/model_quantized.onnx | --int8 | as float32 | float32's class for 95 % of held-back images, see calibration.py |

All are made of one checked float32 graph. Either all files appear, or none. transformers.js calls the last two dtype "fp16" and "q8".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nasarch.atomic import atomic_path
from nasarch.export.hub.folder import is_exported
from nasarch.export.source.find import Subject, find_subject

from .calibration import Calibration, calibration
from .check import ExportError, latencies, run, sample_images, sample_pixels
from .float32 import Checked, OnnxReport, checked, input_size, report
from .graph import INPUT
from .properties import configuration
from .top1_agreement import ENOUGH, Top1Agreement
from .uint8_input import PIXELS
from .variants import DERIVE, FLOAT16, FLOAT32, INT8, UINT8

FILES = {FLOAT32: "model.onnx", UINT8: "model_uint8in.onnx", FLOAT16: "model_fp16.onnx", INT8: "model_quantized.onnx"}


@dataclass(frozen=True, kw_only=True)
class ExportVariants:
    """Which files are wanted; the fields are the flags of `nasarch export onnx`.

    Raises:
        ValueError: int8 without images, or images that nothing asks for.
    """

    dynamic_size: bool = False
    uint8_input: bool = False
    fp16: bool = False
    int8: bool = False
    calibrate: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.int8 and self.calibrate is None:
            raise ValueError("--int8 needs images to take its ranges from; name them by --calibrate FOLDER, a tar file, or cifar10")
        if self.calibrate is not None and not (self.int8 or self.fp16):
            raise ValueError(f"--calibrate {self.calibrate} serves --int8 and --fp16; give one of them with it")

    @property
    def derived(self) -> list[str]:
        """Those beside float32."""
        return [form for form, wanted in ((UINT8, self.uint8_input), (FLOAT16, self.fp16), (INT8, self.int8)) if wanted]

    def places(self, out: str | os.PathLike[str]) -> dict[str, Path]:
        """Where each goes: `out` itself, or the folder onnx/ in `out` where that is a folder or ends in a slash.

        Raises:
            ValueError: several forms and one file.
        """
        text = os.fspath(out)
        if Path(text).is_dir() or text.endswith(("/", os.sep)):
            return {form: Path(text) / "onnx" / FILES[form] for form in (FLOAT32, *self.derived)}
        if len(self.derived) > 1:
            raise ValueError(
                f"{text} is one file, and {' and '.join(self.derived)} are several; give a folder: -o {Path(text).parent / 'NAME'}/"
            )
        return {(self.derived or [FLOAT32])[0]: Path(text)}


class FormReport(NamedTuple):
    """A file of another form than float32; latencies at batch 1 in milliseconds, the two in turn."""

    path: Path
    form: str
    size_bytes: int
    found: str
    judgement: Top1Agreement | None
    onnx_ms: float
    float32_ms: float

    def __str__(self) -> str:
        takes = f"{PIXELS}, uint8 [batch, H, W, C]" if self.form == UINT8 else INPUT
        ratio = self.float32_ms / self.onnx_ms
        lines = [
            f"{self.path}: {self.form}, {self.size_bytes / 1e6:.1f} MB, takes {takes}",
            f"checked: {self.found}",
            f"latency at batch 1: {self.onnx_ms:.2f} ms, float32 {self.float32_ms:.2f} ms ({ratio:.1f}x)",
        ]
        if self.judgement is not None and not self.judgement.holds:
            lines.append(f"forced: fewer than {100 * ENOUGH:.0f} % of the images keep their class")
        return "\n".join(lines)


class Written(NamedTuple):
    """All that was written."""

    reports: tuple[OnnxReport | FormReport, ...]
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
    forms: ExportVariants | None = None,
) -> Written:
    """Export a model, by default as one float32 file: see `find_subject`, `ExportVariants` and `export_onnx` for the arguments.

    Raises:
        ValueError: what these refuse, images that can't be used, a folder whose card describes something else, or a file that doesn't
            agree with the model; nothing is written then.
    """
    forms = forms or ExportVariants()
    if is_exported(out) and (os.path.realpath(source) != os.path.realpath(out) or checkpoint or data or size or forms.dynamic_size):
        own = f"only forms of that model go there: nasarch export onnx {out} -o {out} --fp16, for example"
        raise ValueError(f"the card in {out} describes its own model and the size of its images, so {own}; else give another folder")
    return export_forms(find_subject(source, checkpoint, data), out, size=size, forms=forms)


def export_forms(subject: Subject, out: str | os.PathLike[str], *, size: int | None, forms: ExportVariants) -> Written:
    """As `export_model`, of a model at hand."""
    model, names, random = subject
    places = forms.places(out)
    images = None
    if forms.calibrate is not None:  # images that can't be read are known before the slow part
        images = calibration(forms.calibrate, model, input_size(model, size), names or configuration(model).get("label_names"))
    with _files(places) as files:
        base = checked(model, size=size, class_names=names, dynamic_size=forms.dynamic_size)
        reports: list[OnnxReport | FormReport] = []
        for form, file in files.items():
            if form == FLOAT32:
                base.save(file)
                reports.append(report(base, places[form], file.stat().st_size))
            else:
                reports.append(_write(form, base, file, places[form], images, forms.force))
    return Written(tuple(reports), random, "class_names" in base.properties)


@contextmanager
def _files(places: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """A temporary file for each place; all of them get their names, or none."""
    folder = next(iter(places.values())).parent
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        with ExitStack() as stack:
            files = {form: stack.enter_context(atomic_path(path)) for form, path in places.items()}
            for file in files.values():
                file.touch()
            yield files
    finally:
        for one in new:
            with suppress(OSError):  # it has files in it, as it should
                one.rmdir()


def _write(form: str, base: Checked, file: Path, path: Path, images: Calibration | None, force: bool) -> FormReport:
    """Make, check and write one form."""
    made = DERIVE[form](base, images)
    if made.judgement is not None and not made.judgement.holds and not force:
        raise ExportError(f"refused: {form} gives {made.judgement}, and at least {100 * ENOUGH:.0f} % are needed; {_remedy(form)}")
    base.save(file, made.proto, **made.properties)
    image = sample_images(1, *base.shape)
    fed = sample_pixels(1, *base.shape) if form == UINT8 else image
    own, float32 = latencies(lambda: run(made.session, fed), lambda: run(base.session, image))
    return FormReport(path, form, file.stat().st_size, made.found, made.judgement, own, float32)


def _remedy(form: str) -> str:
    better = "give more images or others, of the kind that the network was trained on" if form == INT8 else "leave --fp16 out"
    return f"{better}; networks with random weights amplify rounding; --force writes the file all the same"
