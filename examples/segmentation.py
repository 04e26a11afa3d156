"""Train DeepLabV3+ of segmentation_models_pytorch on feature maps of nasarch, here for one step on noise.

python examples/segmentation.py
"""

import segmentation_models_pytorch as smp
import torch

import nasarch  # noqa: F401  # registers the models with timm, on which the encoders called "tu-NAME" build

torch.manual_seed(0)
model = smp.DeepLabV3Plus("tu-pc_darts_imagenet", encoder_weights=None, encoder_output_stride=16, classes=3).train()
images, masks = torch.randn(2, 3, 96, 128), torch.randint(3, (2, 96, 128))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
logits = model(images)
loss = torch.nn.functional.cross_entropy(logits, masks)
loss.backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
optimizer.step()
print(f"loss {loss:.3f}, logits {list(logits.shape)}")
