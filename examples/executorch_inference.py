"""Convert a network to an ExecuTorch program with XNNPACK, for phones, and run it.

python examples/executorch_inference.py
"""

import tempfile
from pathlib import Path

import timm
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

import nasarch  # noqa: F401  # registers the models with timm

model = timm.create_model("pc_darts_cifar_shallow", pretrained=True).eval()
images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
program = to_edge_transform_and_lower(torch.export.export(model, (images,)), partitioner=[XnnpackPartitioner()]).to_executorch()
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "model.pte")
    file.write_bytes(program.buffer)
    (logits,) = Runtime.get().load_program(file).load_method("forward").execute([images])
    print(f"{file.stat().st_size / 1e6:.1f} MB, logits within {(logits - model(images)).abs().max():.0e} of PyTorch's")
