"""Search and train on images of one's own: a folder of class folders, here the digits written as files.

python examples/own_data.py [FOLDER]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import timm
from PIL import Image

import nasarch  # noqa: F401  # registers the models with timm
from nasarch.data.load import load


def digits_as_files(folder: Path) -> Path:
    """train/CLASS/NUMBER.png and val/CLASS/NUMBER.png of a part of the digits."""
    for name, part in zip(("train", "val"), load("digits").parts, strict=False):
        for number, (pixels, label) in enumerate(zip(part.pixels[:200], part.labels[:200].tolist(), strict=True)):
            path = folder / name / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return folder


def command(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "nasarch", *map(str, words), "--device", "cpu"], check=True, stdout=subprocess.DEVNULL)


with tempfile.TemporaryDirectory() as root:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else digits_as_files(Path(root) / "digits")
    search, training = Path(root) / "search", Path(root) / "training"
    command("search", "ftso", "--data", data, "--out", search, "--batch-size", 20, "--layers", 3, "--channels", 4)
    small = ("--cells", 3, "--channels", 8, "--batch-size", 20, "--epochs", 2, "--cutout", 0)
    command("train", search / "genotype.json", "--data", data, "--out", training, *small)
    model = timm.create_model(f"local-dir:{training / 'model'}", pretrained=True)
    print(f"{model.num_classes} classes, images of {model.pretrained_cfg['input_size']}")
