"""Fine-tune a network with fastai, here on the digits that are part of nasarch.

python examples/fastai_train.py
"""

import fastai.callback.progress  # Learner.no_bar
import fastai.callback.schedule  # noqa: F401  # Learner.fit_one_cycle
import timm
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from torch.utils.data import TensorDataset

import nasarch  # noqa: F401  # registers the models with timm
from nasarch.data.load import load

torch.manual_seed(0)
digits = load("digits", size=16)
parts = [TensorDataset(part.pixels.float() / 128 - 1, part.labels) for part in (digits.parts[0], digits.parts[-1])]
loaders = DataLoaders.from_dsets(*parts, bs=50, device=torch.device("cpu"), num_workers=0)
model = timm.create_model("pc_darts_cifar_shallow", pretrained=True, num_classes=10)
learner = Learner(loaders, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy)
with learner.no_bar(), learner.no_logging():
    learner.fit_one_cycle(1, 3e-3)
    _, found = learner.validate()
print(f"accuracy {found:.3f}")
