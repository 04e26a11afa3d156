"""The commands bench, export and detect. PyTorch and what they do are imported when one of them runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nasarch.console import print_json, print_rich, print_text
from nasarch.flags import Flags, parse

if TYPE_CHECKING:
    from rich.table import Table

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE|RUN")]
Checkpoint = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
Images = Annotated[list[Path], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
File = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
Folder = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]
FileOrFolder = Annotated[str, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE|DIR")]
PathOrFolder = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE|DIR")]
MAX_RATIO = 2.0  # of multi-adds, up to which a baseline counts as near


def onnx(
    source: Source,
    *,
    out: FileOrFolder,
    checkpoint: Path | None = None,
    data: str | None = None,
    size: int | None = None,
    dynamic_size: bool = False,
    uint8_input: bool = False,
    any_size: bool = False,
    fp16: bool = False,
    int8: bool = False,
    symmetric: bool = False,
    calibrate: str | None = None,
    opset: int = 18,
    force: bool = False,
) -> None:
    """Export a model to ONNX: float32, float16 or int8, or with preprocessing included; each file is verified against PyTorch.

    Args:
        source: Model name, genotype file (.json), or folder of a search, a training or `nasarch export hub`.
        out: File to write, or folder (an existing one, or ending in /) for onnx/model.onnx and the variants.
        checkpoint: Trained weights (.safetensors; default: those of the folder or the package, else random weights).
        data: Data set that the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, imagenet16-120, digits.
        size: Height and width of the input images in pixels (default: the model's).
        dynamic_size: Dynamic height and width, in multiples of the network's total stride: 32, or 4 for CIFAR networks.
        uint8_input: Variant with uint8 input [batch, H, W, C], which includes the preprocessing.
        any_size: Variant with uint8 input of any height and width, which includes resizing, center crop and scaling as timm does them.
        fp16: Variant in float16, with float32 input and output.
        int8: Variant quantized to int8 (QDQ, uint8 activations, int8 weights per channel), with ranges from --calibrate.
        symmetric: With --int8: symmetric int8 activations (zero points 0) and float32 biases, as TensorRT and NPUs need them.
        calibrate: Calibration images for --int8, validation images for --fp16: a folder of images or class folders, a tar file, cifar10,
            cifar100, imagenet16-120, digits.
        opset: Version of ONNX's operators, 13 to 22; 18 is loaded by onnxruntime 1.15 and later.
        force: Write a float16 or int8 file even if its top-1 agreement on held-out images is below 95 %.
    """
    from nasarch.export.onnx.export import ExportVariants, export_model

    variants = ExportVariants(
        dynamic_size=dynamic_size,
        uint8_input=uint8_input,
        any_size=any_size,
        fp16=fp16,
        int8=int8,
        symmetric=symmetric,
        calibrate=calibrate,
        opset=opset,
        force=force,
    )
    print_text(export_model(source, out, checkpoint=checkpoint, data=data, size=size, variants=variants))


def hub(
    source: Source,
    *,
    out: Path | None = None,
    checkpoint: Path | None = None,
    data: str | None = None,
    size: int | None = None,
    push: str | None = None,
    public: bool = False,
) -> None:
    """Export a model as a folder for timm, transformers and onnxruntime, and upload it to the Hugging Face Hub.

    Args:
        source: Model name, genotype file (.json), or folder of a search or training; with --push alone a folder exported before, also by
            `nasarch export ssd`.
        out: Folder to write (a new one).
        checkpoint: Trained weights (.safetensors; default: those of the folder or the package, else random weights).
        data: Data set that the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, imagenet16-120, digits.
        size: Height and width of the input images in pixels (default: the training's or the model's).
        push: Repository OWNER/NAME to upload to, in one commit; a new repository is private.
        public: Make a new repository public.
    """
    from nasarch.export.hub.folder import hub

    for done in hub(source, out=out, checkpoint=checkpoint, data=data, size=size, repository=push, public=public):
        print_text(done)


def ssd(checkpoint: Checkpoint, *, out: PathOrFolder, score: float = 0.05, nms: float | None = None, detections: int | None = None) -> None:
    """Export a detector to one ONNX file, images in and boxes out, or to a folder for the Hub with that file in it.

    Args:
        checkpoint: Folder of `nasarch detect train`, or hf-hub:OWNER/NAME.
        out: File to write (.onnx), or a new folder.
        score: Score threshold of detections; low thresholds, as for COCO's metrics (0.001), cost time.
        nms: IoU threshold of non-maximum suppression (default: as trained).
        detections: Maximum number of detections in an image (default: as trained).
    """
    from nasarch.export.detection.export import export_ssd

    print_text(export_ssd(checkpoint, out, score=score, nms=nms, detections=detections))


def verify(
    file: File,
    *,
    model: str | None = None,
    checkpoint: Path | None = None,
    data: str | None = None,
    images: str | None = None,
    timeout: float = 20.0,
    memory: float = 4.0,
) -> None:
    """Verify an ONNX file against the PyTorch model that its metadata name; of other files the structure is checked.

    It runs in a child process with limits of time and memory.

    Args:
        file: ONNX file; no other file is opened.
        model: Model to compare with: name, genotype file or folder; of a detector the folder of its training (default: by the metadata).
        checkpoint: Weights of that model (.safetensors; not needed for random and packaged weights).
        data: Data set that the weights of --model were trained on, as --data of `nasarch export onnx`.
        images: Images for the top-1 agreement of an int8 file: a folder of images or class folders, a tar file, cifar10, cifar100,
            imagenet16-120, digits; for a detector with --model a data set in COCO's format (its val part) or a folder of images.
        timeout: Seconds that a step may take: reading the file, building its model, each batch.
        memory: Memory in GiB that the process may use (on Linux).
    """
    from nasarch.export.verify import verify_isolated

    print_text(verify_isolated(file, model=model, checkpoint=checkpoint, data=data, images=images, timeout=timeout, memory=memory))


def train_detector(arguments: Sequence[str], program: str, summary: str) -> None:
    """Train an SSD detector on images with boxes in COCO's format, and evaluate it."""
    from nasarch.export.detection.settings import DetectOptions, DetectTraining

    flags = parse(arguments, Flags(settings=DetectTraining(), options=DetectOptions()), program=program, description=summary)
    from nasarch.export.detection.train import train

    train(flags.settings, flags.options)


def evaluate_detector(
    checkpoint: Checkpoint,
    *,
    data: Path,
    images: Path | None = None,
    results: Path | None = None,
    batch: int = 8,
    workers: int = 2,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Compute COCO's twelve metrics of a detector.

    Args:
        checkpoint: Folder of `nasarch detect train` or `nasarch export ssd`, or hf-hub:OWNER/NAME.
        data: Folder with val.json (or COCO's own layout), or annotation file in COCO's format (.json).
        images: Folder or tar file of the images (default: found beside the annotations).
        results: File for the detections in COCO's results format (.json); with it DATA may be a file without annotations (test-dev).
        batch: Batch size.
        workers: Number of image-decoding worker processes.
        device: Device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
        json: Print JSON, with exact numbers.
    """
    from nasarch.compute import set_tf32
    from nasarch.export.detection.coco_metrics import lines
    from nasarch.export.detection.predict import evaluate

    set_tf32(False)
    figures, remarks = evaluate(checkpoint, data, images=images, results=results, batch=batch, workers=workers, device=device)
    if json:
        print_json(figures)
    else:
        print_text("\n".join([*lines(figures), *(f"note: {words}" for words in remarks)]))


def predict(
    checkpoint: Checkpoint,
    images: Images,
    *,
    out: Folder,
    score: float = 0.4,
    results: Path | None = None,
    annotations: Path | None = None,
    device: str = "auto",
) -> None:
    """Detect objects in images: annotated images with boxes, labels and scores, and detections.json.

    Args:
        checkpoint: Folder of `nasarch detect train` or `nasarch export ssd`, or hf-hub:OWNER/NAME.
        images: Image files.
        out: Folder to write.
        score: Score threshold of detections, 0 to 1.
        results: File for the detections in COCO's results format (.json), in pixels of the images as they are stored.
        annotations: File in COCO's format with the ids of images and categories for --results (default: the number at the end of each
            image's name, and the detector's ids).
        device: Device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
    """
    from nasarch.compute import set_tf32
    from nasarch.export.detection.predict import predict

    set_tf32(False)
    for line in predict(checkpoint, images, out, score=score, results=results, annotations=annotations, device=device):
        print_text(line)


def bench(
    source: Source,
    *,
    size: int | None = None,
    batch: int = 8,
    runs: int = 20,
    threads: int | None = None,
    skip_compile: bool = False,
    json: bool = False,
) -> None:
    """Benchmark a model in PyTorch, torch.compile and onnxruntime (float32, int8), and timm's nearest baseline.

    Args:
        source: Model name, genotype file (.json), or folder of a search, a training or `nasarch export hub`.
        size: Height and width of the input images in pixels (default: the model's).
        batch: Batch size of the throughput measurement.
        runs: Number of timed runs; the backends take turns.
        threads: Number of CPU threads (default: PyTorch's).
        skip_compile: Skip torch.compile, which takes minutes.
        json: Print JSON.
    """
    from .benchmark import bench

    measured = bench(source, size=size, batch=batch, runs=runs, threads=threads, compiled=not skip_compile)
    if json:
        print_json(asdict(measured))
        return
    print_text(_heading(measured))
    print_rich(_table(measured))
    for name, reason in measured.skipped.items():
        print_text(f"{name}: skipped, {reason}")
    print_text(*measured.notes)


def _heading(measured: Any) -> str:
    cost, other = (f"{count / 1e6:.0f} M multi-adds" for count in (measured.multi_adds, measured.baseline_multi_adds))
    sizes = ["x".join(map(str, size)) for size in (measured.input_size, measured.baseline_input_size)]
    threads = f"{measured.threads} CPU thread{'s' * (measured.threads > 1)}"
    return (
        f"{measured.model}, {sizes[0]}, {cost}\n"
        f"{_nearness(measured.baseline_ratio)}: {measured.baseline}, {sizes[1]}, {other}, {measured.baseline_ratio:.2g} times as many\n"
        f"{threads}, median of {measured.runs} turns, all sides in each; a ratio above 1 is quicker than PyTorch eager"
    )


def _nearness(ratio: float) -> str:
    """Whether the baseline costs about as much; `ratio` is how many times as many multi-adds it has."""
    if 1 / MAX_RATIO <= ratio <= MAX_RATIO:
        return "timm's nearest of well-known networks"
    return "no well-known network of timm's is near, so its rows say little; the nearest"


def _table(measured: Any) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("side", no_wrap=True)
    for column in ("ms, batch 1", "quartiles", "ratio", f"images/s, batch {measured.batch}", "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in measured.rows:
        low, high = row.latency_quartiles_ms
        ratios = f"{row.latency_ratio:.2f}", f"{row.throughput_ratio:.2f}"
        table.add_row(row.name, f"{row.latency_ms:.2f}", f"{low:.2f}-{high:.2f}", ratios[0], f"{row.images_per_second:.1f}", ratios[1])
    return table
