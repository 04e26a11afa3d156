"""The commands around detectors: `nasarch detect train, eval, predict` and `nasarch export ssd`. What they do lies in nasarch.export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from nasarch.console import print_json

Command = Callable[..., None]
Checkpoint = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
Images = Annotated[list[Path], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
Out = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]
File = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE|DIR")]


def detect(arguments: Sequence[str] = ()) -> Mapping[str, Command]:
    """Find objects with a detector on found cells: train, eval, predict."""
    return {"train": _train_command(), "eval": evaluate, "predict": predict}


def _train_command() -> Command:
    from nasarch.export.detection.settings import DetectOptions, DetectTraining

    def train_command(job: Any = DetectOptions(), settings: Any = DetectTraining()) -> None:  # noqa: B008
        """Train an SSD detector on images with boxes in COCO's format, and evaluate it."""
        from nasarch.export.detection.train import train

        train(settings, job)

    train_command.__annotations__ = {
        "job": Annotated[DetectOptions, tyro.conf.arg(name="")],
        "settings": Annotated[DetectTraining, tyro.conf.arg(name="")],
        "return": None,
    }
    return train_command


def evaluate(
    checkpoint: Checkpoint,
    *,
    data: Path,
    images: Path | None = None,
    batch: int = 8,
    workers: int = 2,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Compute COCO's twelve figures of a detector.

    Args:
        checkpoint: the folder of `nasarch detect train` or `nasarch export ssd`, or hf-hub:OWNER/NAME.
        data: a folder with val.json (or COCO's own layout), or a .json file with annotations in COCO's format.
        images: folder or tar file of the images; by default it is looked for beside the annotations.
        batch: images at once.
        workers: processes that decode images.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
        json: print JSON with the exact figures.
    """
    from nasarch.compute import set_tf32
    from nasarch.export.detection.coco_metrics import lines
    from nasarch.export.detection.predict import evaluate

    set_tf32(False)
    figures, remarks = evaluate(checkpoint, data, images=images, batch=batch, workers=workers, device=device)
    if json:
        print_json(figures)
    else:
        print("\n".join([*lines(figures), *(f"note: {words}" for words in remarks)]))


def predict(
    checkpoint: Checkpoint,
    images: Images,
    *,
    out: Out,
    score: float = 0.4,
    device: str = "auto",
) -> None:
    """Find objects in images: pictures with boxes, labels and scores, and detections.json.

    Args:
        checkpoint: the folder of `nasarch detect train` or `nasarch export ssd`, or hf-hub:OWNER/NAME.
        images: image files.
        out: the folder to write to.
        score: leave out what the detector is less sure of, 0 to 1.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
    """
    from nasarch.compute import set_tf32
    from nasarch.export.detection.predict import predict

    set_tf32(False)
    for line in predict(checkpoint, images, out, score=score, device=device):
        print(line)


def ssd(checkpoint: Checkpoint, *, out: File, score: float = 0.05, nms: float | None = None, detections: int | None = None) -> None:
    """Export a detector to one ONNX file, images in and boxes out, or to a folder for the Hub with that file in it.

    Args:
        checkpoint: the folder of `nasarch detect train`, or hf-hub:OWNER/NAME.
        out: the file to write, ending in .onnx; anything else is a new folder.
        score: detections have a score above it; a low one, as COCO's figures need (0.001), costs time.
        nms: of two boxes of a class that overlap by more (intersection over union) the weaker goes; by default as trained.
        detections: at most so many in an image; by default as trained.
    """
    from nasarch.export.detection.export import export_ssd

    print(export_ssd(checkpoint, out, score=score, nms=nms, detections=detections))
