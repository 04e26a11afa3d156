"""`nasarch evaluate MODEL`: loss and accuracy of trained weights on the test images of a data set. PyTorch is imported when it runs.

The images are scaled by the statistics that the model states (`mean` and `std` of its config.json), as in its training, whatever those
of the data set are. The classes of both have to have the same names in the same order.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nasarch.data.options import DataOptions
from nasarch.ranges import Count
from nasarch.runtime.options import MachineOptions

if TYPE_CHECKING:
    from nasarch.data.dataset import Dataset
    from nasarch.models.source import ModelSource

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|RUN|DIR")]
Out = Annotated[Path | None, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE")]
DEFAULT_DATA, DEFAULT_MACHINE = DataOptions(), MachineOptions()


def evaluate(
    source: Source,
    *,
    dataset: Annotated[DataOptions, tyro.conf.arg(name="")] = DEFAULT_DATA,
    machine: Annotated[MachineOptions, tyro.conf.arg(name="")] = DEFAULT_MACHINE,
    batch_size: Count = 96,
    out: Out = None,
) -> None:
    """Test trained weights: loss and accuracy on the test images of a data set.

    Args:
        source: Folder of a training, a folder for timm or the Hub, or the name of a model whose weights ship with the package.
        dataset: Options of the data set.
        machine: Options of the hardware.
        batch_size: Number of images in a step.
        out: File for the result as JSON.
    """
    from nasarch.atomic import write_text
    from nasarch.console import print_text
    from nasarch.runtime import distributed
    from nasarch.runtime.run_folder import as_json

    if machine.capture:
        raise ValueError("--capture records the steps of a training, and a test has none; leave it out")
    with machine.started() as device:
        result = measure(source, dataset.load(), batch_size=batch_size, device=device, workers=dataset.workers)
    if not distributed.rank_and_world_size()[0]:
        if out is not None:
            write_text(out, as_json(result))
        five = "" if result["top5"] is None else f", top-5 {result['top5']:.2f} %"
        print_text(f"test accuracy {result['top1']:.2f} %{five}, loss {result['loss']:.4f} on {result['images']:,} images")


def measure(source: str, data: Dataset, *, batch_size: int, device: Any, workers: int | None) -> dict[str, Any]:
    """Loss and accuracies of the weights that `source` names on the test part of `data`, with what was tested where.

    Raises:
        ValueError: the source has no trained weights or no cells, the data have no test part, or are of other classes or another size.
    """
    import timm

    import nasarch.models.zoo  # noqa: F401 - timm knows the models by it
    from nasarch.compute import environment
    from nasarch.models.source import find_source

    from .evaluate import evaluate

    model_source = find_source(source)
    if not model_source.pretrained:
        raise ValueError(f"{source} has no trained weights: give the folder of a training, or of a model that has some")
    if data.test is None:
        raise ValueError(f"data {data.name!r} has no test part: add one (folders train/ and test/)")
    net = timm.create_model(model_source.source, pretrained=True)
    check_data(model_source, net.pretrained_cfg, data)
    scaled = replace(data, statistics=(tuple(net.pretrained_cfg["mean"]), tuple(net.pretrained_cfg["std"])))
    score = evaluate(net.to(device), data.test, scaled, batch_size=batch_size, device=device, workers=workers)
    return {
        "source": source,
        "data": {"name": data.name, "source": data.source, "size": list(data.size), "sha256": data.digest},
        **score._asdict(),
        **environment(device),
    }


def check_data(model: ModelSource, cfg: dict[str, Any], data: Dataset) -> None:
    """Raise ValueError unless the data have the model's classes, by name and in order, and images of its size."""
    names = tuple(cfg.get("label_names") or (model.data.class_names if model.data is not None else ()))
    if (names and names != data.class_names) or cfg["num_classes"] != data.num_classes:
        number, (own, other) = next(
            ((i, pair) for i, pair in enumerate(zip(names, data.class_names, strict=False)) if pair[0] != pair[1]), (0, ("", ""))
        )
        where = f"class {number} is {own!r} in the model and {other!r} in the data" if own else "their numbers differ"
        raise ValueError(
            f"{model.name} tells {cfg['num_classes']} classes apart, data {data.name!r} have {data.num_classes} ({where}): take the data "
            "set that it was trained on, or one with the same classes"
        )
    size = tuple(cfg["input_size"][1:])
    if size != data.size:
        raise ValueError(
            f"{model.name} takes images of {size[0]}x{size[1]} pixels, data {data.name!r} have {data.size[0]}x{data.size[1]}: add --size "
            f"{size[0]}"
        )
