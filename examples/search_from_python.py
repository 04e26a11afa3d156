"""Search a cell from Python, look at its margins, and build a network of it.

python examples/search_from_python.py
"""

import tempfile
from pathlib import Path

import timm
import torch

import nasarch  # noqa: F401  # registers the models with timm
from nasarch.search import recipes, search

settings = recipes.PcDarts(epochs=2, warmup=1, nodes=2, layers=3, channels=4, batch_size=50, lr=0.025)
with tempfile.TemporaryDirectory() as folder:
    run = search(settings, data="digits", size=8, device="cpu", out=Path(folder) / "run")
    print(run.genotype)
    for margin in run.margins:
        print(margin)
    model = timm.create_model("nas_cifar", genotype=Path(folder) / "run" / "genotype.json", num_classes=10, cells=5, channels=8)
logits = model.eval()(torch.rand(2, 3, 32, 32))
print(f"logits of shape {tuple(logits.shape)}, loss of the search {run.metrics[-1]['loss']:.2f}")
