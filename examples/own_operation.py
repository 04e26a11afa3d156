"""Search cells with an own operation, an inverted bottleneck with squeeze-excitation, and run the network in onnxruntime.

python examples/own_operation.py

Or on the command line, where --plugin runs this file up to the line with __main__, which registers the operation:

nasarch search darts --plugin examples/own_operation.py --candidates none skip_connect mb_conv_3x3_se --data digits --out runs/own
nasarch export onnx runs/own/genotype.json --plugin examples/own_operation.py -o runs/own/model.onnx
"""

import tempfile
from pathlib import Path

from torch import Tensor, nn

import nasarch


class SqueezeExcitation(nn.Module):
    """Channels scaled by weights that a small network computes from their means: [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)


def mb_conv(channels: int, stride: int, affine: bool) -> nn.Module:
    """1x1 to twice the channels - BN - ReLU - depthwise 3x3 - BN - ReLU - squeeze-excitation - 1x1 - BN (Tan & Le 2019)."""
    wide = 2 * channels
    return nn.Sequential(
        nn.Conv2d(channels, wide, 1, bias=False),
        nn.BatchNorm2d(wide, affine=affine),
        nn.ReLU(),
        nn.Conv2d(wide, wide, 3, stride=stride, padding=1, groups=wide, bias=False),
        nn.BatchNorm2d(wide, affine=affine),
        nn.ReLU(),
        SqueezeExcitation(wide),
        nn.Conv2d(wide, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


nasarch.register_operation("mb_conv_3x3_se", mb_conv)

if __name__ == "__main__":
    import onnxruntime
    import timm
    import torch

    from nasarch.export.onnx.float32 import export_onnx
    from nasarch.search import recipes, search

    settings = recipes.Darts(order="first", epochs=1, nodes=2, layers=3, channels=4, batch_size=100)
    candidates = ("none", "max_pool_3x3", "skip_connect", "mb_conv_3x3_se")
    with tempfile.TemporaryDirectory() as folder:
        run = search(settings, data="digits", size=8, device="cpu", candidates=candidates, out=Path(folder) / "run")
        print(run.genotype)
        model = timm.create_model("nas_cifar", genotype=Path(folder) / "run" / "genotype.json", num_classes=10, cells=5, channels=8).eval()
        print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
        export_onnx(model, Path(folder) / "model.onnx")
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx")
        images = torch.rand(1, 3, 32, 32)
        (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        found = sorted({op.operation for cell in run.genotype.cells.values() for node in cell.nodes for op in node})
    print(f"operations found: {', '.join(found)}")
    print(f"difference to PyTorch below 1e-4: {bool(abs(logits - model(images).detach().numpy()).max() < 1e-4)}")
