"""A profile counts what it says, on known networks, and leaves the model as it was."""

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest
import timm
import torch
from torch import Tensor, nn

from nasarch.models.network import CellNetwork
from nasarch.models.profile import Profile, count_parameters, multi_adds, peak_bytes, profile_model, saved_bytes

MAP = 8 * 8 * 4  # bytes of a channel of 8x8 numbers


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))


def tiny_model() -> CellNetwork:
    return CellNetwork("pc_darts_cifar", num_classes=4, cells=3, channels=4, drop_path_rate=0.1)


class Forked(nn.Module):
    """Holds the first map while it makes three more, and adds the last to it."""

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        z = y + 1
        z = z + 1
        return y + z


def test_parameters_are_weights_and_biases() -> None:
    assert count_parameters(small_net()) == 3 * 4 + 4 + 4 * 2 + 2
    assert count_parameters(nn.BatchNorm2d(5)) == 10


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), 6 * 4 * 9 * 64),
        (nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=False), 6 * 4 * 9 * 16),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), 4 * 9 * 64),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 10)), 2560),
        (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3), nn.AvgPool2d(2)), 0),
    ],
)
def test_multi_adds_are_those_of_convolutions_and_linear_layers(layer: nn.Module, expected: int) -> None:
    assert multi_adds(layer, (4, 8, 8)) == expected


def test_multi_adds_are_the_published_golden_number() -> None:
    assert multi_adds(timm.create_model("darts_v2_cifar"), (3, 32, 32)) == 528_359_040


def test_peak_is_the_most_that_lives_at_once() -> None:
    images = torch.zeros(1, 3, 8, 8)
    assert peak_bytes(small_net(), images) == (3 + 4 + 4) * MAP  # image, convolution, ReLU
    assert peak_bytes(Forked(), images) == 4 * 3 * MAP  # image, y, and two of the others
    assert peak_bytes(nn.Sequential(*[nn.ReLU()] * 9), images) == 3 * 3 * MAP  # a chain forgets
    assert peak_bytes(nn.Sequential(*[nn.ReLU(inplace=True)] * 9), images) == 3 * MAP
    assert peak_bytes(nn.Linear(8, 1), images) == 3 * MAP + 3 * 8 * 4  # the weight, transposed, is no activation


def test_saved_is_what_the_backward_pass_needs() -> None:
    images = torch.zeros(2, 3, 8, 8)
    assert saved_bytes(small_net(), images) == 2 * (3 + 4) * MAP  # the inputs of both convolutions
    assert saved_bytes(nn.Sequential(*[nn.AvgPool2d(1)] * 3), images) == 0
    assert saved_bytes(nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4)), images[:1]) is None


def test_memory_grows_with_the_batch_and_training_keeps_more_than_inference() -> None:
    model = tiny_model()
    one, four = (profile_model(model, size=32, batch=batch, runs=1) for batch in (1, 4))
    assert four.peak_bytes == 4 * one.peak_bytes
    assert one.saved_bytes is not None and four.saved_bytes is not None
    assert 3 * one.saved_bytes < four.saved_bytes <= 4 * one.saved_bytes and one.saved_bytes > one.peak_bytes
    assert four.multi_adds == one.multi_adds


def test_a_profile_says_what_was_measured_and_is_json() -> None:
    profile = profile_model(tiny_model(), size=24, batch=2, runs=5, threads=1, device="cpu")
    assert (
        profile.input_size == (3, 24, 24) and profile.batch == 2 and profile.runs == 5 and profile.threads == 1 and profile.device == "cpu"
    )
    low, high = profile.latency_quartiles_ms
    assert 0 < low <= profile.latency_ms <= high
    assert Profile(**{**json.loads(json.dumps(asdict(profile))), "input_size": (3, 24, 24), "latency_quartiles_ms": (low, high)}) == profile


def test_latency_is_the_median_of_the_passes_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three passes of a second each, and then 40, 10, 100, 20 and 30 ms: half of them take 20 to 40; in channels_last order 15 each."""
    orders: list[bool] = []
    now, passes = [0.0], [1.0, 1.0, 1.0, 0.04, 0.01, 0.1, 0.02, 0.03, 1.0, 1.0, 1.0, *[0.015] * 5]

    class Slow(nn.Module):
        in_chans = 2

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape == (4, 2, 8, 8) and not torch.is_grad_enabled() or not passes
            orders.append(x.is_contiguous(memory_format=torch.channels_last))
            now[0] += passes.pop(0) if passes else 0.0
            return x + 1

    monkeypatch.setattr("nasarch.models.profile.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("nasarch.models.profile.multi_adds", lambda model, size: 7)
    profile = profile_model(Slow(), size=8, batch=4, runs=5)
    assert profile.channels_last_ms == pytest.approx(15.0) and orders[:16] == [False] * 8 + [True] * 8
    assert profile.latency_ms == pytest.approx(30.0) and profile.latency_quartiles_ms == pytest.approx((20.0, 40.0))
    assert (profile.runs, profile.model, profile.multi_adds, profile.input_size) == (5, "Slow", 7, (2, 8, 8)) and not passes
    passes += [1.0, 1.0, 1.0, 0.05, 1.0, 1.0, 1.0, 0.01]
    one = profile_model(Slow(), size=8, batch=4, runs=1)
    assert one.latency_ms == pytest.approx(50.0) and one.latency_quartiles_ms == pytest.approx((50.0, 50.0))


def test_as_many_threads_are_used_as_are_asked_for_and_as_before_afterwards() -> None:
    seen: set[int] = set()

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.add(torch.get_num_threads())
            return x + 1

    before = torch.get_num_threads()
    assert profile_model(Counting(), size=8, runs=1, threads=before + 1).threads == before + 1
    assert seen - {before} == {before + 1} and torch.get_num_threads() == before


def test_the_size_of_a_model_is_its_own_unless_given() -> None:
    model = timm.create_model("ftso_nats_cifar", cells=1)
    assert profile_model(model, runs=1).input_size == (3, 32, 32)
    assert profile_model(model, runs=1, size=20).input_size == (3, 20, 20)
    assert profile_model(model, runs=1).model == "ftso_nats_cifar"


def profile_it(model: nn.Module) -> object:
    return profile_model(model, size=16, runs=1, threads=1)


def count_it(model: nn.Module) -> object:
    return multi_adds(model, (3, 16, 16))


@pytest.mark.parametrize("measure", [profile_it, count_it])
def test_the_model_and_torch_stay_as_they_were(measure: Callable[[nn.Module], object]) -> None:
    model = tiny_model().double().train()
    model.cells[0].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    threads, random_state = torch.get_num_threads(), torch.get_rng_state()
    measure(model)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) and tensor.dtype == before[name].dtype for name, tensor in model.state_dict().items())
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["size", "batch", "runs", "threads"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 0; .*at least 1"):
        profile_model(small_net(), **{"size": 8, name: 0})  # type: ignore[arg-type]  # a number each


@pytest.mark.parametrize("device", ["nonsense", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_with_the_legal_ones(device: str) -> None:
    with pytest.raises(ValueError, match=rf"device '{device}' .*legal are .*cpu"):
        profile_model(small_net(), size=8, device=device)


def test_what_can_not_run_is_said_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"can't run on 2 images of 3x4x4: .*choose another size or batch") as caught:
        profile_model(nn.Conv2d(3, 4, 9), size=4, batch=2)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="states no input size"):
        profile_model(small_net())
    with pytest.raises(ValueError, match="device 'meta'"):
        profile_model(timm.create_model("ftso_nats_cifar", device="meta"))
