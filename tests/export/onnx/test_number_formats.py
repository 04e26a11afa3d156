"""What becomes of a graph's numbers: 8-bit integers by the formula, float16 by rounding, pixels by mean and std, each computed by hand."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.onnx import variants
from nasarch.export.onnx.calibration import Calibration
from nasarch.export.onnx.check import Agreement
from nasarch.export.onnx.float16 import halved
from nasarch.export.onnx.float32 import Checked
from nasarch.export.onnx.graph import plain, strip, translated
from nasarch.export.onnx.int8 import quantised
from nasarch.export.onnx.session import open_session, run
from nasarch.export.onnx.uint8_input import Scaling, scaling_of, with_pixels
from nasarch.export.samples import sample_images, sample_pixels
from tests.helpers.exported import Session, graph_of

MEAN, STD = (0.1, 0.4, 0.8), (0.2, 0.5, 0.9)
WIDTHS = np.array([0.01, 1.0, 7.0, 0.3])  # of the weights of four channels: one scale for all would lose the first


def network() -> onnx.ModelProto:
    """Convolution, normalisation that no convolution takes in, pooling, linear layer."""
    chance = np.random.default_rng(0)
    weights: dict[str, Any] = {
        "conv": chance.uniform(-1, 1, (4, 3, 3, 3)) * WIDTHS[:, None, None, None],
        "shift": chance.normal(size=4),
        **{name: chance.uniform(0.5, 2, 4) for name in ("gamma", "beta", "mean", "var")},
        "linear": chance.normal(size=(2, 4)),
        "bias": chance.normal(size=2),
    }
    nodes = [
        helper.make_node("Conv", ["pixel_values", "conv", "shift"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["maps", "gamma", "beta", "mean", "var"], ["normal"]),
        helper.make_node("GlobalAveragePool", ["normal"], ["mean of maps"]),
        helper.make_node("Flatten", ["mean of maps"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "linear", "bias"], ["logits"], transB=1),
    ]
    return graph_of(nodes, (3, 5, 7), 2, **{name: value.astype(np.float32) for name, value in weights.items()})


def tensors(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


# --- 8-bit integers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def integers() -> onnx.ModelProto:
    """Quantised on two batches, the larger numbers in the second."""
    return quantised(network(), iter([sample_images(2, 3, 5, 7), 3 * sample_images(4, 3, 5, 7)]))


def test_a_weight_has_a_scale_for_each_channel_symmetric_in_int8(integers: onnx.ModelProto) -> None:
    before, after = tensors(network()), tensors(integers)
    for name in ("conv", "linear"):
        scale, zero, held = (after[f"{name}_{part}"] for part in ("scale", "zero_point", "quantized"))
        widest = np.abs(before[name]).max(tuple(range(1, before[name].ndim)))
        np.testing.assert_allclose(scale, widest / 127, rtol=0.01)
        assert scale.shape == (len(before[name]),) and zero.dtype == held.dtype == np.int8 and not zero.any()
        lines = scale.reshape(-1, *[1] * (held.ndim - 1))
        assert np.abs(held * lines - before[name]).max((*range(1, held.ndim),)).tolist() <= (0.51 * scale).tolist()
    (node,) = (node for node in integers.graph.node if node.op_type == "DequantizeLinear" and node.input[0] == "conv_quantized")
    assert attributes(node)["axis"] == 0


def test_activations_are_uint8_of_the_range_that_all_batches_have(integers: onnx.ModelProto) -> None:
    seen = torch.cat([sample_images(2, 3, 5, 7), 3 * sample_images(4, 3, 5, 7)]).numpy()
    after = tensors(integers)
    low, high = seen.min(), seen.max()
    assert high > 1.5 * sample_images(2, 3, 5, 7).max() and low < 0
    assert after["pixel_values_scale"] == pytest.approx((high - low) / 255, rel=1e-5)
    assert after["pixel_values_zero_point"].dtype == np.uint8
    assert int(after["pixel_values_zero_point"]) == round(-low / ((high - low) / 255))
    kinds = {value.dtype for name, value in after.items() if name.endswith("_zero_point") and value.ndim == 0}
    assert kinds == {np.dtype(np.uint8)}


def test_symmetric_activations_are_int8_around_zero_and_biases_stay() -> None:
    images = [sample_images(2, 3, 5, 7), 3 * sample_images(4, 3, 5, 7)]
    after, before = tensors(made := quantised(network(), iter(images), symmetric=True)), tensors(network())
    zeros = {name: value for name, value in after.items() if name.endswith("_zero_point")}
    assert zeros and {value.dtype for value in zeros.values()} == {np.dtype(np.int8)} and not any(value.any() for value in zeros.values())
    widest = max(one.abs().max().item() for one in images)
    assert after["pixel_values_scale"] == pytest.approx(2 * widest / 254, rel=0.01)
    for name in ("shift", "bias"):
        np.testing.assert_array_equal(after[name], before[name])
    assert not any(value.dtype == np.int32 for value in after.values())
    x = sample_images(3, 3, 5, 7)
    exact, found = (run(open_session(proto.SerializeToString()), x) for proto in (network(), made))
    assert (found - exact).abs().max() < 0.2 * exact.std()


def test_ranges_stand_in_the_file_and_normalisation_stays_in_float32(integers: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in integers.graph.node]
    assert {"QuantizeLinear", "DequantizeLinear", "BatchNormalization"} <= {*kinds} and "DynamicQuantizeLinear" not in kinds
    (normal,) = (node for node in integers.graph.node if node.op_type == "BatchNormalization")
    before, after = tensors(network()), tensors(integers)
    for own in normal.input[1:]:
        np.testing.assert_array_equal(after[own], before[own])
    produced = {name: node for node in integers.graph.node for name in node.output}
    for kind in ("Conv", "Gemm"):
        (node,) = (node for node in integers.graph.node if node.op_type == kind)
        assert {produced[name].op_type for name in node.input} == {"DequantizeLinear"}, "all it takes was held in 8 bits"
    (pool,) = (node for node in integers.graph.node if node.op_type == "GlobalAveragePool")
    assert produced[pool.input[0]].op_type == "DequantizeLinear"


def test_the_quantised_graph_computes_what_integers_would(integers: onnx.ModelProto) -> None:
    """One image, by the formula q = clip(round(x / scale) + zero, 0, 255), where the file says that a tensor is held in 8 bits."""
    after = tensors(integers)

    def held(x: np.ndarray, name: str) -> np.ndarray:
        scale, zero = (after[f"{name}_{part}"].astype(np.float64) for part in ("scale", "zero_point"))
        return (np.clip(np.round(x / scale) + zero, 0, 255) - zero) * scale

    images = sample_images(3, 3, 5, 7)
    conv, linear = (
        after[f"{name}_quantized"] * after[f"{name}_scale"].astype(np.float64).reshape(-1, *[1] * more)
        for name, more in (("conv", 3), ("linear", 1))
    )
    x = torch.from_numpy(held(images.double().numpy(), "pixel_values"))
    shift = torch.from_numpy(after["shift_quantized"] * after["shift_quantized_scale"].astype(np.float64))
    maps = nn.functional.conv2d(x, torch.from_numpy(conv), shift, padding=1)
    told = tensors(network())
    gamma, beta, mean, var = (told[name].astype(np.float64)[:, None, None] for name in ("gamma", "beta", "mean", "var"))
    normal = held((held(maps.numpy(), "maps") - mean) / (var + 1e-5) ** 0.5 * gamma + beta, "normal")
    flat = held(normal.mean((2, 3)), "mean of maps")
    logits = held(flat @ linear.T + after["bias_quantized"] * after["bias_quantized_scale"], "logits")
    found = run(open_session(integers.SerializeToString()), images).numpy()
    step = float(after["logits_scale"])
    assert np.abs(found - logits).max() <= 2.01 * step and step < 0.02 * np.ptp(logits)
    assert (np.abs(found - logits) < 0.01 * step).mean() > 0.5


def test_neither_the_graph_nor_the_logging_are_changed_and_nothing_of_this_machine_is_inside(
    integers: onnx.ModelProto, caplog: pytest.LogCaptureFixture
) -> None:
    before = network()
    quantised(before, [sample_images(2, 3, 5, 7)])
    assert not caplog.records, "onnxruntime's advice is for others"
    assert before == network() and logging.root.manager.disable == 0
    assert integers.ir_version == 8 and not integers.graph.value_info and not integers.metadata_props
    assert {opset.domain: opset.version for opset in integers.opset_import}[""] == 18
    broken = network()
    broken.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ExportError, match="^onnxruntime can't quantise the graph: [^\n]*; try another version of it$"):
        quantised(broken, [sample_images(2, 3, 5, 7)])
    assert logging.root.manager.disable == 0


# --- float16 -----------------------------------------------------------------------------------------------------------------


def test_all_weights_are_rounded_to_float16_and_both_ends_are_float32() -> None:
    before = network()
    half = halved(before)
    assert before == network()
    own = tensors(half)
    for name, value in tensors(before).items():
        assert own[name].dtype == np.float16, name
        np.testing.assert_array_equal(own[name], value.astype(np.float16))
    ends = [*half.graph.input, *half.graph.output]
    assert [(end.name, end.type.tensor_type.elem_type) for end in ends] == [
        ("pixel_values", TensorProto.FLOAT),
        ("logits", TensorProto.FLOAT),
    ]
    casts = [attributes(node)["to"] for node in half.graph.node if node.op_type == "Cast"]
    assert sorted(casts) == [TensorProto.FLOAT, TensorProto.FLOAT16]
    onnx.checker.check_model(half, full_check=True)  # which refuses nodes out of order
    assert half.ir_version == 8 and not half.graph.value_info


def test_weights_below_the_smallest_of_float16_are_no_warning() -> None:
    small = network()
    for tensor in small.graph.initializer:
        if tensor.name == "gamma":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1e-9), "gamma"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(tensors(halved(small))["gamma"]).max() < 1e-6


# --- pixels ------------------------------------------------------------------------------------------------------------------


def identity(height: int | str, width: int | str, channels: int = 3) -> onnx.ModelProto:
    proto = graph_of([helper.make_node("Identity", ["pixel_values"], ["logits"])], (channels, height, width), "any")
    proto.graph.output[0].type.tensor_type.shape.ClearField("dim")
    for size in ("batch", channels, height, width):
        dim = proto.graph.output[0].type.tensor_type.shape.dim.add()
        dim.dim_param, dim.dim_value = ("", size) if isinstance(size, int) else (size, 0)
        if isinstance(size, int):
            dim.ClearField("dim_param")
            dim.dim_value = size
        else:
            dim.dim_param = size
    return proto


@pytest.mark.parametrize("size", [(5, 7), ("height", "width")])
def test_pixels_become_what_mean_and_std_of_each_channel_make_of_them(size: tuple[Any, Any]) -> None:
    """Images that are no squares, with a mark in one corner, one channel unlike the other."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    pixels[:, 0, :2] = (255, 128, 0)
    expected = np.empty((2, 3, 5, 7))
    for c in range(3):
        expected[:, c] = (pixels[..., c] / 255 - MEAN[c]) / STD[c]
    before, scaling = identity(*size), Scaling(MEAN, STD)
    proto = with_pixels(before, scaling)
    session = open_session(proto.SerializeToString())
    found = run(session, torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(scaling.images(torch.from_numpy(pixels)).numpy(), expected, atol=2e-6)
    assert [(end.name, end.type, end.shape) for end in session.get_inputs()] == [("pixels", "tensor(uint8)", ["batch", *size, 3])]
    assert before == identity(*size) and len(proto.graph.node) == 5


def test_a_model_of_one_channel_has_one_mean() -> None:
    model: Any = nn.Identity()
    model.pretrained_cfg = {"mean": (0.25,), "std": [0.5]}
    assert scaling_of(model, 1) == Scaling((0.25,), (0.5,))
    pixels = torch.tensor([[[[64], [255]]]], dtype=torch.uint8)
    session = open_session(with_pixels(identity(1, 2, 1), scaling_of(model, 1)).SerializeToString())
    torch.testing.assert_close(run(session, pixels), torch.tensor([[[[(64 / 255 - 0.25) / 0.5, 1.5]]]]))
    with pytest.raises(ExportError, match=r"states mean \[0.25\] and std \[0.5\] for 3 channel"):
        scaling_of(model, 3)
    model.pretrained_cfg = {"mean": (0.25,)}
    with pytest.raises(ExportError, match=r"states mean \[0.25\] and std \[\] for 1 channel"):
        scaling_of(model, 1)
    model.pretrained_cfg = {}
    with pytest.raises(ExportError, match="states no mean and std for 1 channel"):
        scaling_of(model, 1)


# --- which images calibrate and which judge ----------------------------------------------------------------------------------


class Reader(nn.Module):
    """The class is the channel that is brightest in the first pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {"mean": MEAN, "std": STD, "input_size": (3, 5, 7)}

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 0, 0]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is fed to the quantiser and to both files, the second answering another class for some images."""
    seen: dict[str, Any] = {"exact": Session(Reader())}

    def answer(images: Tensor) -> Tensor:
        found = Reader()(images)
        return torch.where((images[:, 0, 0, 1] > 2)[:, None], found, found.roll(1, 1))

    def take(proto: onnx.ModelProto, batches: Iterable[Tensor], *, symmetric: bool) -> onnx.ModelProto:
        seen["proto"], seen["fitting"] = proto, [*batches]
        return proto

    seen["own"] = Session(answer)
    monkeypatch.setattr(variants, "quantised", take)
    monkeypatch.setattr(variants, "open_checked", lambda proto: seen["own"])
    return seen


def base(seen: dict[str, Any]) -> Checked:
    return Checked(Reader().eval(), (3, 5, 7), None, 3, network(), seen["exact"], Agreement(0, 1, 1, 0), {})


def test_the_first_images_calibrate_and_the_held_back_ones_judge(watched: dict[str, Any]) -> None:
    noise = [np.random.default_rng(i).integers(0, 256, (20 + i, 5, 7, 3), dtype=np.uint8) for i in (1, 3)]
    calibrating, held_back = map(torch.from_numpy, noise)
    scaling, labels = Scaling(MEAN, STD), torch.zeros(23, dtype=torch.int64)
    made = variants.to_int8(base(watched), Calibration("mine", calibrating, held_back, labels))
    assert torch.equal(torch.cat(watched["fitting"]), scaling.images(calibrating))
    assert [len(batch) for batch in watched["fitting"]] == [8, 8, 5]
    for side in ("exact", "own"):
        assert torch.equal(torch.cat(watched[side].fed), scaling.images(held_back))
    images = scaling.images(held_back).double().numpy()
    exact = images[:, :, 0, 0].argmax(1)
    own = np.where(images[:, 0, 0, 1] > 2, exact, (exact + 1) % 3)
    shares = [(one == other).mean() for one, other in ((exact, own), (exact, labels.numpy()), (own, labels.numpy()))]
    assert 0.1 < shares[0] < 0.9 and shares[1] != shares[2]
    assert made.top1 is not None and made.top1[1:] == (23, *(pytest.approx(share) for share in shares))
    judged = {"images": 23, "of": "mine", "same_class_as_float32": round(shares[0], 4)}
    accuracies = {"float32_accuracy": round(shares[1], 4), "accuracy": round(shares[2], 4)}
    calibration = {"images": 21, "of": "mine", "ranges": "MinMax"}
    assert made.properties == {"precision": "int8", "calibration": calibration, "top1_agreement": {**judged, **accuracies}}
    assert made.found == f"{made.top1}; ranges from 21 others" and watched["proto"] == network()


def test_without_images_synthetic_ones_calibrate_and_judge(watched: dict[str, Any]) -> None:
    made = variants.to_int8(base(watched), None)
    assert [len(batch) for batch in watched["fitting"]] == [5] * 4 and torch.equal(
        torch.cat(watched["fitting"]), sample_images(20, 3, 5, 7)
    )
    for side in ("exact", "own"):
        assert torch.equal(torch.cat(watched[side].fed), sample_images(20, 3, 5, 7))
    assert made.properties["calibration"] == {"images": 20, "of": "synthetic images", "ranges": "MinMax"}
    assert made.top1 is not None and made.top1.before is None and made.top1.images == 20


@pytest.mark.parametrize("pictures", [False, True])
def test_float16_is_judged_as_integers_are(watched: dict[str, Any], pictures: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "compare_half", lambda *_: Agreement(0, 1, 1, 0))
    pixels = sample_pixels(12, 3, 5, 7)
    made = variants.to_float16(base(watched), Calibration("mine", pixels[:4], pixels[4:], None) if pictures else None)
    fed = Scaling(MEAN, STD).images(pixels[4:]) if pictures else sample_images(20, 3, 5, 7)
    assert torch.equal(torch.cat(watched["own"].fed), fed) and torch.equal(torch.cat(watched["exact"].fed), fed)
    assert made.properties["precision"] == "float16" and made.properties["top1_agreement"]["images"] == (8 if pictures else 20)
    assert made.top1 is not None and made.top1.before is None and "logits within 0.0e+00 of" in made.found


# --- what is left in a file --------------------------------------------------------------------------------------------------


def test_notes_of_the_exporter_are_removed_however_deep() -> None:
    proto = network()
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["y"], doc_string="line 3 of mine.py")], "b", [], [])
    proto.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch, doc_string="here"))
    proto.graph.doc_string = proto.doc_string = "there"
    for place in (proto, proto.graph, proto.graph.node[0], proto.graph.node[-1].attribute[0].g.node[0], proto.graph.initializer[0]):
        place.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="line 3 of mine.py")
    proto.graph.value_info.append(helper.make_tensor_value_info("maps", TensorProto.FLOAT, None))
    proto.ir_version = 10
    strip(proto)
    assert (
        b"mine.py" not in proto.SerializeToString()
        and b"there" not in proto.SerializeToString()
        and b"here" not in proto.SerializeToString()
    )
    assert [node.op_type for node in proto.graph.node][:2] == ["Conv", "BatchNormalization"]
    assert plain(proto) is proto and proto.ir_version == 8 and not proto.graph.value_info


class Pools(nn.Module):
    """Average pooling that goes beyond an odd edge, and one with padding, which counts it."""

    def forward(self, x: Tensor) -> Tensor:
        counted = nn.functional.avg_pool2d(x, 3, 2, padding=1, count_include_pad=True)
        return nn.functional.avg_pool2d(x, 2, 2, ceil_mode=True) + counted


def test_pooling_beyond_an_odd_edge_counts_nothing_there_and_padding_is_counted() -> None:
    """onnxruntime up to 1.23 counts what lies beyond the edge if told to count the padding."""
    proto = translated(Pools().eval(), torch.zeros(2, 3, 5, 7), "x", ["y"], {0: "batch"})
    pools = {attributes(node)["ceil_mode"]: attributes(node) for node in proto.graph.node if node.op_type == "AveragePool"}
    assert pools[1].get("count_include_pad", 0) == 0 and pools[0]["count_include_pad"] == 1
    x = sample_images(3, 3, 5, 7)
    found = open_session(proto.SerializeToString()).run(None, {"x": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), Pools()(x), rtol=1e-5, atol=1e-6)
    assert proto.ir_version == 8 and [(one.domain, one.version) for one in proto.opset_import] == [("", 18)]
