"""Tolerances of float32 files and their images: a case just inside and one just outside, computed by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from nasarch.export.errors import ExportError
from nasarch.export.onnx import check
from nasarch.export.onnx import float32 as exporter
from nasarch.export.onnx import verify as verifier
from nasarch.export.onnx.check import Agreement, compare, worst
from nasarch.export.onnx.float16 import compare_half
from nasarch.export.onnx.float32 import export_onnx
from nasarch.export.onnx.uint8_input import Scaling
from nasarch.export.samples import sample_images, sample_pixels
from nasarch.export.source.find import LoadedModel
from nasarch.export.verify import verify
from tests.helpers.exported import Session, bilinear
from tests.helpers.linear_model import EPS32, Constant, FirstPixel, Linear, exactly, varies


@pytest.mark.parametrize(("share", "holds"), [(0.98, True), (-0.98, True), (1.02, False), (-1.02, False)])
def test_a_bias_may_be_off_by_a_ten_thousandth_of_how_much_logits_vary(
    share: float, holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the export and at any later verification."""
    model = Linear().eval()
    allowed = 1e-4 * varies(exactly(model, sample_images(4, 3, 4, 4)))
    graph = model.graph(bias=np.array([0.0, share * allowed, 0.0]))
    monkeypatch.setattr(exporter, "graph", lambda *_: graph)
    monkeypatch.setattr(verifier, "find_model", lambda *_: LoadedModel(model, None, False))
    onnx.save(graph, tmp_path / "old.onnx")
    if holds:
        seen = export_onnx(model, tmp_path / "a.onnx").agreement
        assert (seen.tolerance, seen.difference) == (pytest.approx(allowed), pytest.approx(abs(share) * allowed, rel=5e-3))
        assert "checked: logits within" in str(verify(tmp_path / "old.onnx", model="named"))
        return
    with pytest.raises(ExportError, match="refused: onnxruntime's logits of Linear differ from PyTorch's by 1.0e-04 .*allowed 1.0e-04"):
        export_onnx(model, tmp_path / "a.onnx")
    with pytest.raises(ExportError, match="refused: .*old.onnx differ"):
        verify(tmp_path / "old.onnx", model="named")
    assert [path.name for path in tmp_path.iterdir()] == ["old.onnx"]


class Noisy(Linear):
    """Loses digits in float32, and none to speak of in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 4096 - 4096


@pytest.mark.parametrize(("share", "holds"), [(0.98, True), (1.02, False)])
def test_a_file_may_be_ten_times_as_far_away_as_pytorchs_own_rounding(share: float, holds: bool) -> None:
    model = Noisy().eval()
    images = sample_images(4, 3, 4, 4)
    single = (np.float32(exactly(model, images)) + np.float32(4096)) - np.float32(4096)
    noise = np.abs(single - exactly(model, images)).max()
    assert 10 * noise > 2e-4 * varies(exactly(model, images)), "else the other tolerance would be the larger"
    seen = compare(model, Session(lambda batch: model(batch) + share * 10 * noise))  # type: ignore[arg-type]
    assert (seen.noise, seen.tolerance) == (pytest.approx(noise, rel=0.02), pytest.approx(10 * noise, rel=0.02))
    assert seen.holds == holds and seen.relative.startswith(f"{seen.difference / seen.scale:.1e} of how much")


@pytest.mark.parametrize(("steps", "holds"), [(10, True), (11, False)])
def test_ten_steps_of_float32_are_always_allowed(steps: int, holds: bool) -> None:
    """Logits of 1024 are told apart in steps of 1024 times epsilon."""
    model = Constant(1024.0).eval()
    seen = compare(model, Session(lambda batch: model(batch) + steps * 1024 * EPS32))  # type: ignore[arg-type]
    assert (seen.scale, seen.tolerance, seen.clear) == (0, 10 * 1024 * EPS32, 0) and seen.holds == holds


@pytest.mark.parametrize(("lead", "clear"), [(20, 0), (21, 4)])
def test_a_class_is_clear_if_it_leads_by_more_than_twenty_times_the_noise(lead: int, clear: int) -> None:
    step = 1024 * EPS32
    model = Constant(1024 - lead * step, 1024, 0, 3).eval()
    seen = compare(model, Session(model))  # type: ignore[arg-type]
    assert (seen.noise, seen.clear, seen.other) == (step, clear, 0)
    nearer = compare(model, Session(lambda batch: model(batch) + torch.tensor([5, -5, 0, 0]) * step))  # type: ignore[arg-type]
    assert (nearer.clear, nearer.other, nearer.holds) == (clear, 0, True), "what is clear is said by float64, not by the file"
    swapped = check.clear_classes(torch.tensor([[5.0, 2.9], [5.0, 3.1]]), torch.tensor([[0.0, 1.0]] * 2), 1.0)
    assert swapped == (1, 1), "the second image's class is none of which more could be asked"


def test_a_file_is_run_on_one_image_and_on_three() -> None:
    model = Linear().eval()
    session = Session(model)
    compare(model, session)  # type: ignore[arg-type]
    assert [tuple(batch.shape) for batch in session.fed] == [(1, 3, 4, 4), (3, 3, 4, 4)]
    assert torch.equal(torch.cat(session.fed), sample_images(4, 3, 4, 4))
    halves = Session(model)
    compare_half(model, halves, (3, 4, 4))  # type: ignore[arg-type]
    assert [len(batch) for batch in halves.fed] == [1, 3] and torch.equal(torch.cat(halves.fed), torch.cat(session.fed))


def test_pixels_are_fed_as_they_are_and_pytorch_sees_what_the_scaling_makes_of_them() -> None:
    model, scaling = Linear().eval(), Scaling((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    session = Session(lambda pixels: model(scaling.images(pixels)), ("batch", 4, 4, 3), "tensor(uint8)")
    seen = compare(model, session, (3, 4, 4), scaling.images, (2, 2))  # type: ignore[arg-type]
    assert [(tuple(batch.shape), batch.dtype) for batch in session.fed] == [((2, 4, 4, 3), torch.uint8)] * 2
    pixels = torch.cat(session.fed).numpy()
    normalised = (pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]
    expected = normalised.transpose(0, 3, 1, 2).reshape(4, -1) @ model.weight.detach().double().numpy().T
    assert seen.holds and seen.difference == 0 and seen.scale == pytest.approx(varies(expected), rel=1e-4)


def test_what_fails_most_is_told_first() -> None:
    fine, close = Agreement(1.0, 10.0, 1.0, 1.0, 4, 0), Agreement(1.0, 1.25, 1.0, 1.0, 4, 0)
    beyond, nan, other = Agreement(2.0, 1.0, 1.0, 1.0), Agreement(math.nan, 1.0, 1.0, 1.0), Agreement(0.0, 1.0, 1.0, 1.0, 4, 1)
    for found in ([fine, close], [close, beyond], [beyond, nan], [nan, other]):
        assert worst(found) is found[1] and worst(found[::-1]) is found[1]
    assert [one.holds for one in (fine, close, beyond, nan, other)] == [True, True, False, False, False]
    assert Agreement(1.0, 1.0, 1.0, 1.0).holds and worst([Agreement(1.0, 0.0, 1.0, 0.0), close]).tolerance == 0


def test_the_images_are_shapes_and_a_quarter_of_grain_in_each_run_the_same() -> None:
    torch.manual_seed(99)
    images, again = sample_images(2, 3, 6, 9), sample_images(2, 3, 6, 9)
    generator = torch.Generator().manual_seed(0)
    shapes, grain = torch.randn(2, 3, 4, 4, generator=generator).numpy(), torch.randn(2, 3, 6, 9, generator=generator).numpy()
    np.testing.assert_allclose(images.numpy(), bilinear(shapes, 6, 9) + grain / 4, atol=1e-6)
    assert torch.equal(images, again)
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            assert torch.equal(sample_images(2, 3, 6, 9), images), "whatever the caller's defaults are"
    finally:
        torch.set_default_dtype(torch.float32)
    pixels = sample_pixels(2, 3, 6, 9)
    expected = np.clip(128 + 64 * images.numpy(), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    assert pixels.dtype == torch.uint8 and pixels.is_contiguous() and np.array_equal(pixels.numpy(), expected)


@pytest.mark.parametrize(("share", "brighter"), [(1.01, False), (0.99, True)])
def test_images_are_made_brighter_where_logits_vary_by_less_than_a_hundredth(share: float, brighter: bool) -> None:
    images = sample_images(4, 3, 4, 4)
    values = images[:, 0, 0, :1].double().numpy()
    offset = varies(values) / (0.01 * share) - values.max()  # so that the largest logit is the variation / (0.01 share)
    used, logits = check._telling_images(FirstPixel(offset), 4, (3, 4, 4))
    largest = offset + values.max()
    light = largest / varies(values) if brighter else 1.0
    torch.testing.assert_close(used, light * images)
    np.testing.assert_allclose(logits.numpy(), offset + light * values, rtol=1e-5)


def test_images_become_brighter_by_a_hundred_million_at_most_at_once_and_three_times() -> None:
    seen: list[float] = []
    images = sample_images(4, 3, 4, 4)

    class Watched(FirstPixel):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((x[0, 0, 0, 0] / images[0, 0, 0, 0]).item())
            assert len(seen) <= 4, "no end"
            return super().forward(x)

    check._telling_images(Watched(1.0, 0.0), 4, (3, 4, 4))
    assert seen == pytest.approx([1, 1e8, 1e16, 1e24], rel=1e-5)
    seen.clear()
    check._telling_images(Watched(1.0, 1e-12), 4, (3, 4, 4))
    assert seen[:2] == pytest.approx([1, 1e8], rel=1e-5) and len(seen) == 3 and 1e11 < seen[2] < 1e13
