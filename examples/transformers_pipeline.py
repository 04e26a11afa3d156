"""Classify an image with transformers: a folder of `nasarch export hub` is a model of AutoModelForImageClassification and pipeline.

python examples/transformers_pipeline.py [IMAGE]
"""

import sys
import tempfile
from pathlib import Path

import torch
import transformers
from PIL import Image

import nasarch  # noqa: F401  # registers the models with timm, on which transformers' TimmWrapper builds
from nasarch.export.hub.folder import hub

image = Image.open(sys.argv[1]).convert("RGB") if len(sys.argv) > 1 else Image.effect_noise((48, 40), 60).convert("RGB")
with tempfile.TemporaryDirectory() as folder:
    for _ in hub("pc_darts_cifar_shallow", out=Path(folder, "model")):
        pass
    model = transformers.AutoModelForImageClassification.from_pretrained(Path(folder, "model")).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(Path(folder, "model"))
with torch.no_grad():
    probabilities = model(**processor(image, return_tensors="pt")).logits.softmax(-1)[0]
for probability, index in zip(*probabilities.topk(3), strict=True):
    print(f"{model.config.id2label[int(index)]}: {probability:.3f}")
