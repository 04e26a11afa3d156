"""Export of a classifier as a web page: the image that a visitor chooses is classified in the browser and sent nowhere.

| file | holds |
|---|---|
| index.html, page.css, page.js | the page; a Content-Security-Policy allows requests to its own server alone |
| model.onnx | the model for images of any size (export/onnx/any_size.py), checked against timm's transform and PyTorch |
| cell.svg | the cells, if the model has some |
| onnxruntime-web/ | three files of that npm package: WebAssembly, one thread |

The browser decodes the image and does nothing else to it: browsers resize without antialiasing, which changes classes.
"""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import jinja2
import torch

from nasarch.atomic import new_folder
from nasarch.drawing.draw import draw
from nasarch.export.onnx.export import ExportVariants, VariantReport, export_variants
from nasarch.export.onnx.float32 import input_size
from nasarch.export.source.config import configuration
from nasarch.export.source.find import LoadedModel, find_model
from nasarch.models.cost import measured
from nasarch.models.labels import KNOWN, labels_of
from nasarch.models.network import CellNetwork
from nasarch.models.source import find_source

HERE = Path(__file__).parent
RUNTIME = "node_modules/onnxruntime-web"  # where `npm install onnxruntime-web` puts it
RUNTIME_FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


@dataclass(frozen=True, kw_only=True)
class WebReport:
    """Report of an export as a web page."""

    path: Path
    name: str
    size_bytes: int
    found: str
    named: bool
    random: bool

    def __str__(self) -> str:
        lines = [
            f"{self.path}: web page of {self.name}, {self.size_bytes / 1e6:.1f} MB with onnxruntime-web",
            f"checked: {self.found}",
            f"open:   python -m http.server --directory {shlex.quote(str(self.path))}, then http://localhost:8000/; any web server will do",
        ]
        lines += ["the classes have no names: --data NAME says what the weights were trained on"] * (not self.named and not self.random)
        return "\n".join(lines + ["the weights are random: --checkpoint W.safetensors exports trained ones"] * self.random)


def export_page(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    runtime: str | os.PathLike[str] = RUNTIME,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    size: int | None = None,
) -> WebReport:
    """Write the web page of a model to the folder `out`, which must be new or empty; see `find_model` for `source`, `checkpoint`, `data`.

    Args:
        runtime: folder of the npm package onnxruntime-web, 1.19 or later.
        size: height and width of the model's input in pixels; by default the model's.

    Raises:
        ValueError: what `find_model` and `export_variants` refuse, a folder that is not empty, or no onnxruntime-web.
    """
    libraries = [Path(runtime) / "dist" / name for name in RUNTIME_FILES]
    missing = [path.name for path in libraries if not path.is_file()]
    if missing:
        problem = f"no onnxruntime-web 1.19 or later in {runtime} ({missing[0]} is missing)"
        raise ValueError(f"{problem}: install it by `npm install onnxruntime-web`, and name its folder by --runtime")
    with new_folder(Path(out)) as folder:
        subject, name = find_model(source, checkpoint, data), find_source(source, checkpoint, data).name
        model, shape = subject.model, input_size(subject.model, size)
        if shape[0] not in (1, 3):
            raise ValueError(f"{source} takes images of {shape[0]} channels; a web page needs a model for colour or grey images")
        (written,) = export_variants(subject, folder / "model.onnx", size=size, variants=ExportVariants(any_size=True)).reports
        assert isinstance(written, VariantReport)
        (folder / "index.html").write_text(_index(name, subject, shape), encoding="utf-8")
        if isinstance(model, CellNetwork):
            draw(model.genotype, folder / "cell.svg")
        for file in ("page.css", "page.js"):
            shutil.copyfile(HERE / file, folder / file)
        (folder / "onnxruntime-web").mkdir()
        for path in libraries:
            shutil.copyfile(path, folder / "onnxruntime-web" / path.name)
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return WebReport(
        path=Path(out),
        name=name,
        size_bytes=size_bytes,
        found=written.found,
        named=_class_names(subject) is not None,
        random=subject.random,
    )


def _index(name: str, subject: LoadedModel, shape: tuple[int, int, int]) -> str:
    """index.html: figures and class names in the template of that name."""
    model, names = subject.model, _class_names(subject)
    cost = measured(model, torch.zeros(1, *shape))
    classes = names or [f"class {index}" for index in range(getattr(model, "num_classes", 0))]
    template = jinja2.Environment(autoescape=True).from_string((HERE / "index.html").read_text(encoding="utf-8"))
    return template.render(
        page={"name": name, "size": shape, "classes": classes},
        parameters=cost.parameters,
        multi_adds=cost.multi_adds,
        random=subject.random,
        picture=isinstance(model, CellNetwork),
        method=model.genotype.provenance.get("method") if isinstance(model, CellNetwork) else None,
    )


def _class_names(subject: LoadedModel) -> list[str] | None:
    """Names of the classes for a reader: of ImageNet's the words, not the WordNet ids; None if they aren't known."""
    names = subject.class_names or configuration(subject.model).get("label_names")
    if names is None:
        return None
    imagenet = labels_of(KNOWN["imagenet"], len(names))
    return [name if imagenet is None else imagenet.descriptions.get(name, name) for name in names]
