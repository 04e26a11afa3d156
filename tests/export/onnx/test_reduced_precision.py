"""Tolerances of float16 and int8 files, and limits of sessions and sizes: a case just inside and one just outside."""

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
from nasarch.export.onnx import untrusted
from nasarch.export.onnx import verify as verifier
from nasarch.export.onnx.float16 import compare_half
from nasarch.export.onnx.session import latencies, open_session, run
from nasarch.export.onnx.top1_agreement import Top1Agreement, correlation, measure_top1
from nasarch.export.onnx.uint8_input import Scaling
from nasarch.export.samples import sample_images, sample_pixels
from nasarch.export.source.find import LoadedModel
from nasarch.export.verify import verify
from tests.helpers.exported import Session
from tests.helpers.linear_model import EPS16, Constant, FirstPixel, Linear, exactly, rms, varies

PLAIN = Scaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


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
