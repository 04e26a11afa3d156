"""Fine-tune a network with Lightning, here on the digits that are part of nasarch.

python examples/lightning_train.py
"""

import lightning
import timm
import torch
from torch.utils.data import DataLoader, TensorDataset

import nasarch  # noqa: F401  # registers the models with timm
from nasarch.data.load import load


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = timm.create_model("pc_darts_cifar_shallow", pretrained=True, num_classes=10)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        images, labels = batch
        return torch.nn.functional.cross_entropy(self.model(images), labels)

    def test_step(self, batch: list[torch.Tensor], _: int) -> None:
        images, labels = batch
        self.log("accuracy", (self.model(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


digits = load("digits", size=16)
parts = [TensorDataset(part.pixels.float() / 128 - 1, part.labels) for part in digits.parts]
lightning.seed_everything(0, verbose=False)
trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", gradient_clip_val=5.0, logger=False, enable_checkpointing=False)
trainer.fit(model := Classifier(), DataLoader(parts[0], 50, shuffle=True))
(found,) = trainer.test(model, DataLoader(parts[-1], 100))
print(f"accuracy {found['accuracy']:.3f}")
