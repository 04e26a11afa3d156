"""segmentation-models-pytorch builds its decoders on the feature maps."""

import pytest
import torch

import nasarch  # noqa: F401  # registers the models

smp = pytest.importorskip("segmentation_models_pytorch", reason="segmentation_models_pytorch is not installed")


@pytest.mark.parametrize(("decoder", "settings"), [(smp.Unet, {}), (smp.FPN, {"decoder_dropout": 0.0})])
def test_an_encoder_of_the_zoo_trains_a_step(decoder: type[torch.nn.Module], settings: dict) -> None:
    torch.manual_seed(0)
    model = decoder("tu-pc_darts_imagenet", encoder_weights=None, classes=2, in_channels=3, **settings).double().train()
    images, masks = torch.randn(2, 3, 64, 96, dtype=torch.float64), torch.randint(2, (2, 64, 96))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    before = torch.nn.functional.cross_entropy(model(images), masks)
    before.backward()
    assert all(p.grad is not None for p in model.parameters())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # cell networks start with gradients of norm 1000, so the papers clip
    optimizer.step()
    assert torch.nn.functional.cross_entropy(model(images), masks) < before


def test_a_cifar_encoder_keeps_the_full_resolution() -> None:
    model = smp.Unet("tu-pc_darts_cifar", encoder_weights=None, encoder_depth=2, decoder_channels=(32, 16), classes=3)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 3, 32, 32)
