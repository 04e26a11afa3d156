"""Every tolerance of the export's checks has a case just inside and one just outside; what is allowed is computed here, by hand."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.onnx import check, untrusted
from nasarch.export.onnx import float32 as exporter
from nasarch.export.onnx import verify as verifier
from nasarch.export.onnx.check import Agreement, compare, worst
from nasarch.export.onnx.float16 import compare_half
from nasarch.export.onnx.float32 import export_onnx
from nasarch.export.onnx.session import latencies, open_session, run
from nasarch.export.onnx.top1_agreement import Top1Agreement, correlation, measure_top1
from nasarch.export.onnx.uint8_input import Scaling
from nasarch.export.samples import sample_images, sample_pixels
from nasarch.export.source.find import LoadedModel
from nasarch.export.verify import verify
from tests.helpers.exported import Session, bilinear, graph_of

EPS32, EPS16 = 2.0**-23, 2.0**-10
PLAIN = Scaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Linear(nn.Module):
    """Three logits that anyone can compute: W x + b."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(scale * torch.randn(3, 48, generator=generator) / 8)
        self.bias = nn.Parameter(torch.zeros(3))
        self.pretrained_cfg = {"input_size": (3, 4, 4), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias

    def graph(self, weight: np.ndarray | None = None, bias: np.ndarray | None = None) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Flatten", ["pixel_values"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
        ]
        w, b = (own.detach().numpy() if given is None else given for own, given in ((self.weight, weight), (self.bias, bias)))
        return graph_of(nodes, (3, 4, 4), 3, w=w.astype(np.float32), b=b.astype(np.float32))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def varies(logits: np.ndarray) -> float:
    """How much a logit varies from image to image."""
    return rms(logits - logits.mean(0))


def exactly(model: Linear, images: Tensor) -> np.ndarray:
    return images.double().flatten(1).numpy() @ model.weight.detach().double().numpy().T + model.bias.detach().double().numpy()


# --- float32 -----------------------------------------------------------------------------------------------------------------


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


class Constant(nn.Module):
    """The same logits for all images, which float32 holds exactly: noise is what float32 could not hold."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1) + 0 * x.mean()


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
    swapped = check._classes(torch.tensor([[5.0, 2.9], [5.0, 3.1]]), torch.tensor([[0.0, 1.0]] * 2), 1.0)
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


# --- the images --------------------------------------------------------------------------------------------------------------


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


class FirstPixel(nn.Module):
    """`offset` plus `factor` times a pixel."""

    def __init__(self, offset: float, factor: float = 1.0) -> None:
        super().__init__()
        self.offset, self.factor = offset, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.offset + self.factor * x[:, 0, 0, :1]


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


# --- float16 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "holds"), [(0.98, True), (1.02, False)])
def test_float16_may_be_off_by_two_hundredths_of_how_much_logits_vary(share: float, holds: bool) -> None:
    model = Linear().eval()
    expected = exactly(model, sample_images(4, 3, 4, 4))
    allowed = 0.02 * varies(expected)
    assert allowed > 1.5 * 3 * EPS16 * np.abs(expected).max(), "else rounding alone would be allowed more"
    seen = compare_half(model, Session(lambda batch: model(batch) - share * allowed), (3, 4, 4))  # type: ignore[arg-type]
    assert seen.tolerance == pytest.approx(allowed, rel=1e-4) and seen.difference == pytest.approx(share * allowed, rel=1e-4)
    assert seen.holds == holds and seen.classes == ""


class Rough(nn.Sequential):
    """Its first layer gives numbers near 2048, of which float16 holds the even ones above and the whole ones below."""

    class Lifted(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 2048.0

    class Lowered(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - 2048.0

    def __init__(self) -> None:
        super().__init__(self.Lifted(), self.Lowered())


@pytest.mark.parametrize(("share", "holds"), [(0.98, True), (1.02, False)])
def test_float16_may_be_three_times_as_far_away_as_rounding_in_pytorch(share: float, holds: bool) -> None:
    """Rounded are the weights and what each layer gives."""
    model, images = Rough().eval(), sample_images(4, 3, 4, 4)
    layer = model[0]
    assert isinstance(layer, Linear)
    expected = model(images).detach().double().numpy()
    rounded = layer.weight.detach().half().double().numpy()
    lifted = np.float16(np.float32(images.flatten(1).double().numpy() @ rounded.T + 2048))
    noise = rms(lifted.astype(np.float64) - 2048 - expected)
    assert 3 * noise > 0.2
    seen = compare_half(model, Session(lambda batch: model(batch) + share * 3 * noise), (3, 4, 4))  # type: ignore[arg-type]
    assert (seen.noise, seen.tolerance) == (pytest.approx(noise, rel=1e-3), pytest.approx(3 * noise, rel=1e-3))
    assert seen.holds == holds


class Fine(Linear):
    """What its weights and its buffer are beyond 1 is less than float16 holds there; whole numbers stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight.data = 1 + 4e-4 * (self.weight.data > 0)
        self.register_buffer("beyond", torch.tensor(1.0004))
        self.register_buffer("count", torch.tensor(2049))

    def forward(self, x: Tensor) -> Tensor:
        counted: Any = self.count - 2049
        return 1e3 * (x.flatten(1) @ (self.weight - 1).T + (self.beyond - 1)) + 1e6 * counted


def test_weights_and_buffers_are_rounded_to_see_what_float16_costs() -> None:
    """All of the logits is lost here, so three times as much is allowed."""
    model = Fine().eval()
    expected = model(sample_images(4, 3, 4, 4)).detach().double().numpy()
    assert compare_half(model, Session(model), (3, 4, 4)).noise == pytest.approx(rms(expected), rel=1e-3)  # type: ignore[arg-type]
    model.weight.data.fill_(1.0)
    assert compare_half(model, Session(model), (3, 4, 4)).noise == pytest.approx(0.4, rel=0.01)  # type: ignore[arg-type]


def test_layers_that_give_no_float32_are_left_as_they_are() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x.flatten(1), 2049 + x.argmax(1, keepdim=True)[:, :, 0, 0]

    class Whole(nn.Module):
        def forward(self, pair: Any) -> Any:
            return pair[1] - 2049

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.whole = Pair(), Whole()

        def forward(self, x: Tensor) -> Tensor:
            flat, which = self.pair(x)
            return flat.gather(1, self.whole((flat, which)))

    seen = compare_half(Net().eval(), Session(Net()), (3, 4, 4))  # type: ignore[arg-type]
    assert seen.holds and seen.difference == 0


@pytest.mark.parametrize(("share", "holds"), [(0.98, True), (1.02, False)])
def test_float16_may_always_be_off_by_three_of_its_steps(share: float, holds: bool) -> None:
    model = Constant(512.0, 1.0).eval()
    seen = compare_half(model, Session(lambda batch: model(batch) + share * 3 * 512 * EPS16), (3, 4, 4))  # type: ignore[arg-type]
    assert seen.noise == 512 * EPS16 and seen.holds == holds


@pytest.mark.parametrize(("largest", "fits"), [(65519.0, True), (65520.0, False)])
def test_numbers_that_float16_rounds_to_infinity_are_refused(largest: float, fits: bool) -> None:
    class Lowered(Constant):
        def forward(self, x: Tensor) -> Tensor:
            return x - self.logits

    model = nn.Sequential(Constant(largest), Lowered(65500.0)).eval()
    if fits:
        assert compare_half(model, Session(model), (3, 4, 4)).scale == 0  # type: ignore[arg-type]
    else:
        with pytest.raises(ExportError, match="exceed 65504"):
            compare_half(model, Session(model), (3, 4, 4))  # type: ignore[arg-type]


# --- int8 --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("same", "count", "holds"), [(19, 20, True), (94, 99, False), (95, 100, True), (18, 19, False)])
def test_nineteen_images_of_twenty_have_to_keep_their_class(same: int, count: int, holds: bool) -> None:
    classes = torch.arange(count) % 3
    other = torch.where(torch.arange(count) < same, classes, (classes + 1) % 3)
    lines = [iter(nn.functional.one_hot(which, 3).split(8)) for which in (classes, other)]
    batches = torch.zeros(count, 3, 2, 2).split(8)
    seen = measure_top1(*(lambda _, line=line: next(line) for line in lines), batches, "x", classes)  # type: ignore[arg-type]
    assert (seen.images, seen.agreement, seen.before, seen.after) == (count, same / count, 1.0, same / count) and seen.holds == holds
    assert Top1Agreement("x", 1, 0.95).holds and not Top1Agreement("x", 1, 0.9499999).holds


def mixed(model: Linear, likeness: float) -> np.ndarray:
    """Weights whose logits for the synthetic images correlate with those of `model` as `likeness` says."""
    pixels = sample_pixels(32, 3, 4, 4).numpy() / 255
    mean, std = (np.array(model.pretrained_cfg[key]) for key in ("mean", "std"))
    images = ((pixels - mean) / std).transpose(0, 3, 1, 2).reshape(32, -1)
    images = images - images.mean(0)
    own = model.weight.detach().double().numpy()
    other = np.random.default_rng(0).normal(size=own.shape)
    first, second = images @ own.T, images @ other.T
    other -= own * (first * second).sum() / (first * first).sum()
    second = images @ other.T
    return likeness * own + math.sqrt(1 - likeness**2) * other * np.linalg.norm(first) / np.linalg.norm(second)


@pytest.mark.parametrize(("likeness", "holds"), [(0.9005, True), (0.8995, False)])
def test_logits_of_an_int8_file_have_to_correlate_by_nine_tenths(
    likeness: float, holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Linear().eval()
    graph = model.graph(3 * mixed(model, likeness), bias=np.array([5.0, -5.0, 0.0]))  # a correlation sees neither 3 nor the bias
    helper.set_model_props(graph, {"precision": "int8", "top1_agreement": "well"})
    onnx.save(graph, tmp_path / "a.onnx")
    monkeypatch.setattr(verifier, "find_model", lambda *_: LoadedModel(model, None, False))
    if holds:
        said = str(verify(tmp_path / "a.onnx", model="named"))
        assert "a correlation of 0.90" in said and "32 synthetic images (at least 0.9 is needed)" in said and "says of them: well" in said
    else:
        with pytest.raises(ExportError, match="gives a correlation of 0.(899|9) with .*, and at least 0.9 is needed"):
            verify(tmp_path / "a.onnx", model="named")


@pytest.mark.parametrize(("share", "tells"), [(1.01, True), (0.99, False)])
def test_logits_that_vary_by_less_than_a_hundredth_are_not_correlated(share: float, tells: bool) -> None:
    pixels = sample_pixels(32, 3, 4, 4)[:, 0, 0, :1].double().numpy() / 255
    model = FirstPixel(varies(pixels) / (0.01 * share) - pixels.max())
    session = Session(lambda batch: -model(batch))
    found = correlation(model, lambda batch: run(session, batch), (3, 4, 4), PLAIN)  # type: ignore[arg-type]
    assert found == (pytest.approx(-1) if tells else None)
    assert [len(batch) for batch in session.fed] == [8, 8, 8, 8]


# --- onnxruntime -------------------------------------------------------------------------------------------------------------


def test_a_session_has_pytorchs_threads_and_gives_its_first_output() -> None:
    model, before = Linear().eval(), torch.get_num_threads()
    graph = model.graph()
    graph.graph.output.append(helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, ["batch", 48]))
    try:
        torch.set_num_threads(2)
        session = open_session(graph.SerializeToString())
    finally:
        torch.set_num_threads(before)
    assert session.get_session_options().intra_op_num_threads == 2 and session.get_providers() == ["CPUExecutionProvider"]
    images = sample_images(2, 3, 4, 4)
    torch.testing.assert_close(run(session, images), model(images).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("each", "turns"), [(0.001, 50), (0.1, 14), (0.5, 5)])
def test_a_latency_is_the_median_of_five_to_fifty_turns_after_three(each: float, turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds for two calls. The first turn that counts is short, the second long: neither is their median."""
    now, called = [0.0], list[str]()
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def call(name: str, seconds: float) -> None:
        called.append(name)
        assert len(called) <= 2 * 53, "no end"
        now[0] += seconds * {1: 40, 2: 40, 3: 40, 4: 0.5, 5: 1.6}.get(called.count(name), 1)

    slow, quick = latencies(lambda: call("slow", 1.2 * each), lambda: call("quick", 0.3 * each))
    assert called == ["slow", "quick"] * (3 + turns)
    assert (slow, quick) == (pytest.approx(1200 * each), pytest.approx(300 * each))


@pytest.mark.parametrize(("spare", "read"), [(0, True), (-1, False)])
def test_a_file_of_two_gigabytes_is_read_and_a_larger_one_is_not(spare: int, read: bool, tmp_path: Path, monkeypatch: Any) -> None:
    assert untrusted.LARGEST == 2**31 - 1
    onnx.save(Linear().graph(), tmp_path / "a.onnx")
    monkeypatch.setattr(untrusted, "LARGEST", (tmp_path / "a.onnx").stat().st_size + spare)
    if read:
        assert untrusted.read_onnx(tmp_path / "a.onnx").opset == 18
    else:
        with pytest.raises(ExportError, match="more than 2 GB"):
            untrusted.read_onnx(tmp_path / "a.onnx")
