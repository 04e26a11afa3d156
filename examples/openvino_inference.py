"""Run a file of `nasarch export onnx --any-size` in OpenVINO: images of any size in, classes out.

python examples/openvino_inference.py [IMAGE]
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import openvino
from PIL import Image

from nasarch.export.onnx.export import ExportVariants, export_model

image = Image.open(sys.argv[1]).convert("RGB") if len(sys.argv) > 1 else Image.effect_noise((70, 55), 60).convert("RGB")
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "model.onnx")
    export_model("pc_darts_cifar_shallow", file, variants=ExportVariants(any_size=True))
    names = json.loads(next(one.value for one in onnx.load(file).metadata_props if one.key == "class_names"))
    model = openvino.Core().compile_model(file, "CPU")
    (logits,) = model({"pixels": np.asarray(image)[None]}).values()
print(names[int(logits.argmax())])
