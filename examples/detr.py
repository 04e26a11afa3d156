"""Train a DETR of transformers on feature maps of nasarch, here for one step on noise.

python examples/detr.py
"""

import torch
import transformers

import nasarch  # noqa: F401  # registers the models with timm, on which transformers' TimmBackbone builds

torch.manual_seed(0)
backbone = transformers.TimmBackboneConfig(backbone="ftso_imagenet", out_indices=[4])
small = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "num_queries": 10}
config = transformers.DetrConfig(backbone_config=backbone, use_timm_backbone=False, num_labels=3, **small)
model = transformers.DetrForObjectDetection(config).train()
images = torch.randn(2, 3, 128, 160)
labels = [{"class_labels": torch.tensor([i]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.4]])} for i in range(2)]  # center, size: 0 to 1
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
found = model(pixel_values=images, labels=labels)
found.loss.backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
optimizer.step()
print(f"loss {found.loss:.3f}, logits {list(found.logits.shape)}, boxes {list(found.pred_boxes.shape)}")
