"""Fine-tune a network with timm's own train.py, here on the digits that are part of nasarch.

python examples/timm_train.py TRAIN.PY

TRAIN.PY is train.py of timm's repository (https://github.com/huggingface/pytorch-image-models), which timm's package doesn't contain.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from nasarch.data.load import load

SETTINGS = """--model pc_darts_cifar_shallow --pretrained --num-classes 10 --device cpu --workers 0 --no-aug
--epochs 1 --warmup-epochs 0 --batch-size 20 --lr 0.05 --experiment digits"""

with tempfile.TemporaryDirectory() as folder:
    for name, part in zip(("train", "validation"), load("digits").parts, strict=False):
        for number, (pixels, label) in enumerate(zip(part.pixels[:400], part.labels[:400].tolist(), strict=True)):
            path = Path(folder, "data", name, str(label), f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    words = [sys.argv[1], "--data-dir", f"{folder}/data", "--output", f"{folder}/runs", *SETTINGS.split()]
    subprocess.run([sys.executable, "-m", "nasarch", "run", *words], check=True, stderr=subprocess.DEVNULL)
    with Path(folder, "runs", "digits", "summary.csv").open() as file:
        print(f"top-1 accuracy {float(list(csv.DictReader(file))[-1]['eval_top1']):.1f} %")
