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


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [8, 16])
def test_deeplab_trains_a_step_on_dilated_maps(output_stride: int) -> None:
    torch.manual_seed(0)
    settings = {"encoder_weights": None, "classes": 2, "encoder_output_stride": output_stride}
    model = smp.DeepLabV3Plus("tu-pc_darts_imagenet", **settings).train()
    sizes = [(64 // stride, 96 // stride) for stride in (1, 2, 4, 8, min(16, output_stride), output_stride)]
    assert [m.shape[2:] for m in model.encoder(torch.randn(2, 3, 64, 96))] == sizes
    images, masks = torch.randn(2, 3, 64, 96), torch.randint(2, (2, 64, 96))
    torch.nn.functional.cross_entropy(model(images), masks).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    before = [p.detach().clone() for p in model.parameters()]
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
