"""What a GPU by NVIDIA computes is what the CPU computes: searches, trainings, a detector, an exported model.

With NASARCH_CUDA_TESTS_ON=cpu they run on the CPU, which shows that the tests themselves are right.
"""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from nasarch.cells.space import DARTS
from nasarch.cli.main import main
from nasarch.compute import deterministic, seeded, set_tf32
from nasarch.data.loader import in_order
from nasarch.export.detection.learner import Learner as DetectLearner
from nasarch.export.detection.loader import Epochs, batches, transforms
from nasarch.export.detection.run import build
from nasarch.export.onnx.float32 import export_onnx
from nasarch.export.onnx.session import open_session
from nasarch.export.onnx.session import run as run_onnx
from nasarch.runtime.captured import Captured
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.optimizers import adam, set_rate, sgd
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.updates import State, weights_only
from nasarch.search.kernels.average_pool import AveragePool
from nasarch.search.recipes import ftso, pc_darts
from nasarch.search.supernet.candidates import all_candidates, only
from nasarch.search.supernet.network import Supernet
from nasarch.search.training.learner import Learner
from nasarch.search.training.run import run as run_training
from tests.helpers.followed_search import follow
from tests.helpers.interpreted_norm import CASES, differences
from tests.helpers.interpreted_supernet import copied, depthwise, poolings
from tests.helpers.small_detector import SETTINGS as DETECTOR
from tests.helpers.small_detector import command as detect_command
from tests.helpers.small_detector import data as drawn
from tests.helpers.small_detector import plan as detect_plan
from tests.helpers.small_detector import random_detector
from tests.helpers.small_models import images, small
from tests.helpers.small_training import SETTINGS, colours, plan
from tests.helpers.update_kinds import UPDATES

ON = os.environ.get("NASARCH_CUDA_TESTS_ON", "cuda")
CPU = torch.device("cpu")
MASKS = {"all": all_candidates(DARTS), "skip": only(DARTS, "skip_connect")}
EXACT = 1e-9
Batch = tuple[Tensor, Tensor]

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(ON == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def device() -> Iterator[torch.device]:
    """Without TF32, as the commands have it."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    set_tf32(False)
    yield torch.device(ON)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def there(values: Any, device: torch.device) -> Any:
    return tuple(value.to(device) for value in values)


def some_batches(count: int, dtype: torch.dtype = torch.float64) -> list[Batch]:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(count, 6, 3, 16, 16, generator=generator, dtype=torch.float64).to(dtype)
    return list(zip(x, torch.randint(10, (count, 6), generator=generator), strict=True))


def searched(mask: Tensor, partial: int, dtype: torch.dtype = torch.float64, clip: float = 5.0) -> State:
    """A small search on the CPU."""
    with seeded(0):
        net = Supernet(DARTS, mask, channels=8, layers=3, partial=partial).to(dtype)
    arch = Relaxation(DARTS, mask, subset=1, init_std=1e-1, generator=torch.Generator().manual_seed(1)).to(dtype)
    return with_optimizers(net, arch, clip)


def with_optimizers(net: nn.Module, arch: nn.Module, clip: float) -> State:
    return State(
        net=net,
        arch=arch,
        weight_optimizer=sgd(net.parameters(), 0.02, 0.9, weight_decay=3e-4),
        arch_optimizer=adam(arch.parameters(), 6e-4, (0.5, 0.999), weight_decay=1e-3),
        clip=clip,
    )


def moved(state: State, device: torch.device) -> State:
    """The same, about to begin on the device."""
    net, arch = copy.deepcopy(state.net), copy.deepcopy(state.arch)
    return with_optimizers(net.to(device), arch.to(device), state.clip)


def parameters(state: State) -> list[Tensor]:
    return [*state.net.parameters(), *state.arch.parameters()]


def difference(ours: Any, theirs: Any) -> float:
    """The largest, of each pair in units of the largest entry of its second one."""
    pairs = [(a.detach().cpu().double(), b.detach().cpu().double()) for a, b in zip(ours, theirs, strict=True)]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in pairs)


def test_fused_kernels_are_pytorchs(device: torch.device) -> None:
    pytest.importorskip("triton")
    if device.type == "cpu":
        pytest.skip("Triton's kernels run on a CPU in its interpreter alone: tests/search/kernels/test_fused.py")
    found = {name: differences(case, place=ON) for name, case in CASES.items()} | poolings(ON) | depthwise(ON) | {"copies": copied(ON)}
    assert len(found) == len(CASES) + 12 + 4 + 1
    for case, row in found.items():
        for name, value in row.items():
            assert value < EXACT, (case, name)
    assert 1e-4 < differences(CASES["blocks"], torch.bfloat16, ON)["value"] < 2e-2


@pytest.mark.parametrize(("mask", "partial"), [("all", 4), ("all", 1), ("skip", 4), ("skip", 1)])
def test_loss_and_all_gradients_of_a_supernet_are_the_cpus(mask: str, partial: int, device: torch.device) -> None:
    here = searched(MASKS[mask], partial)
    other, (batch, *_) = moved(here, device), some_batches(1)

    def gradients(state: State, on: torch.device) -> tuple[Tensor, ...]:
        x, y = there(batch, on)
        loss = F.cross_entropy(state.net.train()(x, state.arch()), y)
        return loss.detach(), *torch.autograd.grad(loss, parameters(state))

    expected, found = gradients(here, CPU), gradients(other, device)
    assert {value.device.type for value in found} == {device.type}
    assert difference(found, expected) <= EXACT
    assert difference(other.net.buffers(), here.net.buffers()) <= EXACT
    with torch.no_grad():
        next(iter(other.net.parameters()))[0, 0, 0, 0] += 1e-7  # what such a comparison would notice
    assert difference(gradients(other, device), expected) > EXACT


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [4, 7, 16])
def test_average_pooling_is_the_cpus_in_channels_last_order(size: int, stride: int, device: torch.device) -> None:
    x = torch.randn(3, 8, size, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    rows = []
    for place, pool in ((CPU, lambda a: F.avg_pool2d(a, 3, stride, 1, count_include_pad=False)), (device, AveragePool(stride))):
        here = x.to(place).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = pool(here)
        g = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape).to(place)
        rows.append((y, torch.autograd.grad(y, here, g.contiguous(memory_format=torch.channels_last))[0]))
    assert difference(rows[1], rows[0]) < 1e-12


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(5, 1, 16), (5, 2, 16), (3, 1, 16), (1, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize("size", [2, 4, 16])
def test_convolutions_are_the_cpus_in_channels_last_order(kernel: int, stride: int, groups: int, size: int, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(4, 16, size, size, generator=generator, dtype=torch.float64)
    w = torch.randn(16, 16 // groups, kernel, kernel, generator=generator, dtype=torch.float64)
    rows = []
    for place, dtype in ((CPU, torch.float64), (device, torch.float32)):
        here = x.to(place, dtype).contiguous(memory_format=torch.channels_last).requires_grad_(), w.to(place, dtype).requires_grad_()
        y = F.conv2d(*here, None, stride, kernel // 2, 1, groups)
        rows.append((y, *torch.autograd.grad(y.square().sum(), here)))
    assert 0 < difference(rows[1], rows[0]) < 1e-5


@pytest.mark.parametrize("name", UPDATES)
def test_three_steps_of_every_update_are_the_cpus(name: str, device: torch.device) -> None:
    here = searched(MASKS["all"], 4)
    other, data = moved(here, device), some_batches(6)
    before = [parameter.detach().clone() for parameter in parameters(here)]
    for train, valid in zip(data[:3], data[3:], strict=True):
        ours, theirs = UPDATES[name](other, there(train, device), there(valid, device)), UPDATES[name](here, train, valid)
        assert abs(ours.loss.item() - theirs.loss.item()) <= EXACT and ours.correct == theirs.correct.to(device)
    assert difference(parameters(other), parameters(here)) <= EXACT
    assert difference(before[: len(list(here.net.parameters()))], here.net.parameters()) > 1e-3
    assert (difference(before[-2:], parameters(here)[-2:]) > 1e-4) == (name != "weights_only")


@pytest.mark.parametrize("name", UPDATES)
def test_captured_steps_are_the_eager_ones(name: str, device: torch.device) -> None:
    start = searched(MASKS["all"], 1)
    eager, captured = moved(start, device), moved(start, device)
    one = Captured(lambda x, y, other, labels: UPDATES[name](captured, (x, y), (other, labels)))
    data = [there(batch, device) for batch in some_batches(12)]
    for number, (train, valid) in enumerate(zip(data[:6], data[6:], strict=True)):
        for state in (eager, captured):
            set_rate(state.weight_optimizer, 0.02 / (number + 1))
        ours, theirs = one(*train, *valid), UPDATES[name](eager, train, valid)
        assert abs(ours[0].item() - theirs.loss.item()) <= EXACT and ours[1] == theirs.correct
    assert difference(parameters(captured), parameters(eager)) <= EXACT
    assert difference(captured.net.buffers(), eager.net.buffers()) <= EXACT
    assert difference(parameters(captured), parameters(start)) > 1e-3
    assert len(one.graphs) == (device.type == "cuda") and one.enabled


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_searches_one_after_the_other_are_captured(amp: Any, device: torch.device) -> None:
    settings = ftso.Ftso(epochs=4, channels=8, layers=3, batch_size=16, nodes=2)
    weights = []
    for capture in (False, True, True):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that a step can't be captured
            found = follow(ftso, settings, Checkpoint(), device=device, amp=amp, capture=capture)[1]
        assert found is not None
        weights.append(found.weights.edges_ZE)
    for captured in weights[1:]:
        torch.testing.assert_close(captured, weights[0], rtol=0, atol=2e-3)


def test_deterministic_searches_of_one_seed_have_equal_bits_and_the_same_cell(device: torch.device) -> None:
    """PC-DARTS with all candidates: the loss of each epoch, and the architecture weights."""
    settings = pc_darts.PcDarts(epochs=2, warmup=1, channels=8, layers=3, batch_size=16, nodes=2)
    with deterministic(True):
        (ours, found), (theirs, again) = (follow(pc_darts, settings, Checkpoint(), device=device) for _ in range(2))
    assert found is not None and again is not None and found.genotype.cells == again.genotype.cells
    losses = [[report.loss for report in reports if report.ends_epoch] for reports in (ours, theirs)]
    assert losses[0] == losses[1] and len(losses[0]) == 2 and found.weights.operations_ZEO.std() > 0
    assert torch.equal(found.weights.operations_ZEO, again.weights.operations_ZEO)
    assert torch.equal(found.weights.edges_ZE, again.weights.edges_ZE)


def test_fp16_makes_the_step_of_float32_but_for_rounding(device: torch.device) -> None:
    exact = moved(searched(MASKS["all"], 4, torch.float32, clip=1e9), device)
    half = moved(exact, device)
    half.precision, half.scaler = torch.float16, torch.amp.GradScaler(device.type, init_scale=2.0**12)
    before = [parameter.detach().clone() for parameter in half.net.parameters()]
    train, valid = (there(batch, device) for batch in some_batches(2, torch.float32))
    for state in (exact, half):
        weights_only(state, train, valid)
    assert half.scaler.get_scale() == 2.0**12  # no gradient overflowed
    ours, theirs = (torch.cat([p.grad.double().flatten() for p in state.net.parameters()]) for state in (half, exact))  # type: ignore[union-attr]
    assert 1e-6 < float((ours - theirs).norm() / theirs.norm()) < 0.1  # it was rounded, and it was unscaled
    assert all((a != b).any() for a, b in zip(before, half.net.parameters(), strict=True) if a.ndim > 1)


def test_tf32_rounds_what_it_may_round(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    x, kernel = torch.randn(8, 64, 16, 16, generator=generator), torch.randn(64, 64, 3, 3, generator=generator) / 24
    products = {"convolution": lambda a, b: F.conv2d(a, b), "matrix product": lambda a, b: a.flatten(0, 2) @ b.flatten(1)[:16]}

    def errors() -> dict[str, float]:
        found = {}
        for name, product in products.items():
            exact = product(x.double(), kernel.double())
            found[name] = float((product(x.to(device), kernel.to(device)).cpu() - exact).norm() / exact.norm())
        return found

    exact = errors()
    set_tf32(True)
    rounded = errors()
    assert max(exact.values()) < 1e-5
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        assert min(rounded.values()) > 1e-5
    else:
        assert rounded == exact


TINY = {"layers": 3, "channels": 8, "batch_size": 8, "epochs": 3}


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
@pytest.mark.parametrize(
    ("recipe", "settings"),
    [(ftso, ftso.Ftso(**TINY)), (pc_darts, pc_darts.PcDarts(warmup=1, random_channels=True, **TINY))],
    ids=["ftso", "pc-darts, channels sampled"],
)
def test_a_search_goes_on_after_a_stop(
    recipe: Any, settings: Any, amp: Any, device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums on a GPU come in any order, so that the losses after it are near, not equal; another seed's are not near."""
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)  # a report after every step
    whole, expected = follow(recipe, settings, Checkpoint(), device=device, amp=amp)
    other, _ = follow(recipe, settings, Checkpoint(), device=device, amp=amp, seed=1)
    before, nothing = follow(recipe, settings, Checkpoint(tmp_path / "checkpoint.pt"), 5, device=device, amp=amp)
    after, found = follow(recipe, settings, Checkpoint(tmp_path / "checkpoint.pt"), device=device, amp=amp)
    assert nothing is None and found is not None and expected is not None and len(before) + len(after) == len(whole)
    losses = [torch.tensor([step.loss for step in steps]) for steps in (before + after, whole, other)]
    near, far = ((one - losses[1]).abs().max().item() for one in (losses[0], losses[2]))
    assert near < far / 4
    assert found.weights.operations_ZEO.device.type == "cpu"
    torch.testing.assert_close(found.weights.operations_ZEO, expected.weights.operations_ZEO, rtol=0, atol=2e-3)


def test_three_training_steps_are_the_cpus(device: torch.device) -> None:
    settings = replace(SETTINGS, aux_weight=0.4, drop_path=0.0, ema=0.9)  # drop path draws on the device

    def learner(on: torch.device) -> Learner:
        net = plan(settings).network.build(0, aux_head=True).double()
        return Learner(net.to(on), settings, seed=0, mean_std=((0.5,) * 3, (0.25,) * 3))

    here, other = learner(CPU), learner(device)
    for one in (here, other):
        one.start_epoch(0)
    for number, (x, y) in enumerate(some_batches(3)):
        batch = F.interpolate(x, size=32), y % 3
        (ours, right), (theirs, expected) = other.step(there(batch, device), number), here.step(batch, number)
        assert abs(ours.item() - theirs.item()) <= EXACT and right.item() == expected.item()
    for one in ("net", "ema"):
        ours, theirs = (state.state_dict()[one].values() for state in (other, here))
        assert difference([v for v in ours if v.is_floating_point()], [v for v in theirs if v.is_floating_point()]) <= EXACT
    assert difference(here.net.parameters(), here.ema.module.parameters()) > 1e-6  # type: ignore[union-attr]


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_a_training_learns_and_leaves_a_model_for_every_device(amp: Any, device: torch.device, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=6, batch_size=8, drop_path=0.1, channels=8)
    result = run_training(replace(plan(settings, amp=amp), device=device), 0, tmp_path, lambda progress: None)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] / 2 and result["test"]["top1"] > 60
    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    x, y = next(in_order(colours().test, colours(), batch_size=48))  # type: ignore[arg-type]
    with torch.no_grad():
        here, found = model(x), model.to(device)(x.to(device)).cpu()
    torch.testing.assert_close(found, here, rtol=1e-3, atol=1e-3)
    assert 100 * (here.argmax(1) == y).double().mean() == pytest.approx(result["test"]["top1"], abs=100 / 48 + 0.1)


def test_a_model_on_the_device_gives_the_file_that_the_cpu_gives(device: torch.device, tmp_path: Path) -> None:
    model = small("pc_darts_cifar").eval().to(device)
    x = images("pc_darts_cifar", 5)
    agreement = export_onnx(model, tmp_path / "model.onnx").agreement
    with torch.inference_mode():
        expected = model(x.to(device)).cpu()
    found = run_onnx(open_session(tmp_path / "model.onnx"), x)
    assert {parameter.device.type for parameter in model.parameters()} == {device.type} and agreement.holds
    apart = (expected - expected.mean(0)).norm()
    assert (found - expected).norm() < 1e-3 * apart < 1e-2 * (found - expected.flip(0)).norm()


def test_a_step_of_a_detector_is_the_cpus(device: torch.device, tmp_path: Path) -> None:
    drawn(tmp_path, 4, 2)
    what = detect_plan(tmp_path)
    losses, weights = {}, {}
    for on in (CPU, device):
        model = build(replace(what, device=on), tmp_path / "new").train()
        (batch,) = batches(what.train.scenes, transforms("none", 96, model.design.mean), 0, Epochs(4, 4, 0).draws(range(1), 0), 0)
        learner = DetectLearner(model, DETECTOR)
        losses[on.type] = torch.stack([learner.step(batch, number, 0.01) for number in range(2)])
        weights[on.type] = [parameter.detach() for parameter in model.parameters()]
    assert {weight.device.type for weight in weights[device.type]} == {device.type}
    torch.testing.assert_close(losses[device.type].cpu(), losses["cpu"], rtol=1e-3, atol=1e-3)
    assert (losses["cpu"][0] - losses["cpu"][1]).abs().max() > 1e-2  # the second step sees what the first one did


def test_a_detector_finds_what_it_finds_on_the_cpu(device: torch.device) -> None:
    model = random_detector()
    image = torch.rand(3, 80, 72, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (expected,) = model([image])
        (found,) = model.to(device)([image.to(device)])
    assert found["boxes"].device.type == device.type and len(expected["boxes"]) >= 5
    found = {name: value.cpu() for name, value in found.items()}
    same = box_iou(expected["boxes"], found["boxes"]) > 0.99
    same &= expected["labels"][:, None] == found["labels"]
    same &= (expected["scores"][:, None] - found["scores"]).abs() < 1e-3
    assert same.any(1).double().mean() >= 0.95 and abs(len(found["boxes"]) - len(expected["boxes"])) <= 0.05 * len(expected["boxes"])


SMALL = ["--size", "8", "--channels", "4"]
COMMANDS = {
    "search": ["search", "ftso", "--hessian", "--amp", "bf16", "--layers", "3", "--batch-size", "64", "--iterations", "3", *SMALL],
    "train": ["train", "pc_darts_cifar", "--recipe", "shallow", "--cells", "3", "--epochs", "1", "--amp", "fp16", *SMALL],
    "compare": ["compare", "pc_darts_cifar", "darts_v2_cifar", "--cells", "3", "--epochs", "1", "--images", "64", "--seeds", "1", *SMALL],
}


@pytest.mark.parametrize("name", [*COMMANDS, "detect"])
def test_every_command_that_trains_runs_on_the_device(name: str, device: torch.device, tmp_path: Path) -> None:
    if name == "detect":
        command = detect_command(drawn(tmp_path / "data", 4, 2), tmp_path / "run", "--epochs", "1")
        command[command.index("--device") + 1] = ON
    else:
        command = [*COMMANDS[name], "--device", ON, "--out", str(tmp_path / "run")]
    assert main(command) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    said = config.get("budget", config)["device"]
    assert said == ON if name == "compare" else (torch.cuda.get_device_name() if ON == "cuda" else "CPU (") in said
