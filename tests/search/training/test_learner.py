"""Training a network: it learns, repeats itself, goes on where it was stopped, and leaves what timm loads."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn import functional as F

from nasarch.cells.genotype import resolve
from nasarch.compute import seeded
from nasarch.models.network import CellNetwork
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.training import evaluate as evaluation
from nasarch.search.training import run as train_run
from nasarch.search.training.learner import Learner, Progress, fit, mixed
from nasarch.search.training.plan import TrainPlan
from nasarch.search.training.record import recorded
from nasarch.search.training.run import _batches, _learner, run, summary
from nasarch.search.training.weights import load_weights
from tests.helpers.small_training import SETTINGS, colours, plan

EVERYTHING = replace(SETTINGS, aux_weight=0.4, mixup=0.2, label_smoothing=0.1, ema=0.9, colour_jitter=0.1, cutout=4, epochs=3)


def silent(progress: Progress) -> None:
    pass


def follow(what: TrainPlan, path: Path | None, stop_at: int | None = None) -> tuple[list[Progress], Learner]:
    """Train to the end, or ask for a stop at the report of that number."""
    checkpoint = Checkpoint(path)
    learner = _learner(what, 0, fresh=True)
    reports: list[Progress] = []
    try:
        for progress in fit(learner, _batches(what, 0), checkpoint):
            reports.append(progress)
            checkpoint.stop_requested = len(reports) == stop_at
    except KeyboardInterrupt:
        pass
    return reports, learner


def weights(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run(plan(replace(SETTINGS, epochs=10)), 0, folder, silent)
    return folder


def test_learns_three_colours_from_48_images(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert result["test"]["top1"] > 90 and result["test"]["top5"] is None and result["test"]["images"] == 48
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [*range(1, 11)] and lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert sorted(path.name for path in finished.iterdir()) == ["config.json", "metrics.jsonl", "model", "result.json"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    short = plan(replace(EVERYTHING, epochs=1))
    results = [run(short, seed, tmp_path / name, silent) for seed, name in ((3, "a"), (3, "b"), (4, "c"))]
    same, again, other = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(same[key], again[key]) for key in same) and not torch.equal(same["fc.weight"], other["fc.weight"])
    assert results[0]["test"] == results[1]["test"]


def test_a_stop_after_any_step_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit; what it changes nothing of is written out in test_literal_training.py."""
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)  # a report, and so a place to stop, after every step
    what = plan(EVERYTHING)
    whole, expected = follow(what, None)
    for stop_at in (2, 3, 7):  # within an epoch and at its end
        path = tmp_path / f"{stop_at}.pt"
        before, _ = follow(what, path, stop_at)
        after, learner = follow(what, path)
        assert len(before) == stop_at and len(after) == len(whole) - stop_at
        assert [(p.loss, p.accuracy) for p in before + after] == [(p.loss, p.accuracy) for p in whole]
        for net, other in ((learner.net, expected.net), (learner.result(), expected.result())):
            assert all(torch.equal(net.state_dict()[key], value) for key, value in other.state_dict().items())


def test_no_test_image_is_looked_at_before_the_last_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    looked, stepped = evaluation.in_order, Learner.step

    def looking(*arguments: Any, **named: Any) -> Iterator[Any]:
        events.append("look")
        assert arguments[0] is what.data.test
        return looked(*arguments, **named)

    def stepping(learner: Learner, *arguments: Any) -> Any:
        events.append("step")
        return stepped(learner, *arguments)

    what = plan(replace(SETTINGS, epochs=2))
    monkeypatch.setattr(evaluation, "in_order", looking)
    monkeypatch.setattr(Learner, "step", stepping)
    run(what, 0, tmp_path, silent)
    assert events == ["step"] * 6 + ["look"]


def test_other_test_images_give_the_same_network(tmp_path: Path) -> None:
    data = colours()
    assert data.test is not None
    black = replace(data, test=replace(data.test, pixels=torch.zeros_like(data.test.pixels)))
    for name, on in (("a", data), ("b", black), ("c", replace(data, test=None))):
        run(plan(replace(SETTINGS, epochs=1), on=on, test=name != "c"), 0, tmp_path / name, silent)
    first = weights(tmp_path / "a")
    assert all(torch.equal(first[key], weights(tmp_path / name)[key]) for key in first for name in "bc")
    assert json.loads((tmp_path / "c" / "result.json").read_text())["test"] is None


def test_bf16_trains_and_the_weights_stay_float32(tmp_path: Path) -> None:
    result = run(plan(replace(SETTINGS, epochs=1), amp="bf16"), 0, tmp_path, silent)
    assert result["amp"] == "bf16" and {value.dtype for value in weights(tmp_path).values()} <= {torch.float32, torch.int64}


def test_the_same_steps_in_bf16_give_the_same_weights() -> None:
    """Maps of one pixel before the reduction cells: a gradient that nobody wrote holds what was in that memory before."""
    generator, found = torch.Generator().manual_seed(0), []
    batch = torch.randn(8, 3, 1, 1, generator=generator), torch.randint(3, (8,), generator=generator)
    for _ in range(6):
        with seeded(0):
            net = CellNetwork(resolve("pc_darts_cifar"), 3, cells=3, channels=8)
        learner = Learner(net, SETTINGS, seed=0, mean_std=((0.5,) * 3, (0.25,) * 3), precision=torch.bfloat16)
        learner.start_epoch(0)
        for number in range(3):
            learner.step(batch, number)
        found.append([parameter.detach().clone() for parameter in net.parameters()])
    assert all(torch.equal(one, other) for later in found[1:] for one, other in zip(found[0], later, strict=True))


@pytest.mark.parametrize("count", [1, 4, 5])
def test_mixup_leaves_one_image_of_an_odd_number_as_it_is(count: int) -> None:
    x, y = torch.rand(count, 3, 2, 2), torch.arange(count) % 3
    mixup = Mixup(0.2, label_smoothing=0.1, num_classes=3)
    mixup._params_per_batch = lambda: (0.75, False)
    images, targets = mixed(x, y, mixup)
    even = count - count % 2
    torch.testing.assert_close(images[:even], 0.75 * x[:even] + 0.25 * x[:even].flip(0))
    assert torch.equal(images[even:], x[even:]) and targets.shape == (count, 3)
    smooth = 0.9 * F.one_hot(y, 3) + 0.1 / 3
    torch.testing.assert_close(targets[:even], 0.75 * smooth[:even] + 0.25 * smooth[:even].flip(0))
    torch.testing.assert_close(targets[even:], smooth[even:])


# ---- what is left


def test_timm_loads_the_folder_with_the_same_logits(finished: Path) -> None:
    assert len({file.stat().st_mode for file in (finished / "model").iterdir()}) == 1  # who reads one may read all
    model = timm.create_model(f"local-dir:{finished / 'model'}", pretrained=True).eval()
    data = colours()
    assert data.test is not None and model.num_classes == 3 and model.pretrained_cfg["input_size"] == (3, 16, 16)
    assert tuple(model.pretrained_cfg["mean"]) == data.mean and model.pretrained_cfg["label_names"] == ["r", "g", "b"]
    what = plan(replace(SETTINGS, epochs=10))
    net = what.network.build(1, aux_head=False)
    load_weights(net, finished / "model")
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), net.eval()(x))
    score = evaluation.evaluate(model, data.test, data, batch_size=16, device=torch.device("cpu"), workers=what.job.dataset.workers)
    assert score.top1 == pytest.approx(json.loads((finished / "result.json").read_text())["test"]["top1"])


def test_a_genotype_file_travels_in_the_folder_and_its_auxiliary_head_does_not(tmp_path: Path) -> None:
    cell = replace(resolve("fair_darts_a_cifar"), name="mine")
    cell.save(tmp_path / "cell.json")
    run(plan(replace(SETTINGS, epochs=1, aux_weight=0.4), source=tmp_path / "cell.json"), 0, tmp_path / "run", silent)
    (tmp_path / "cell.json").unlink()
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["architecture"] == "nas_cifar" and config["model_args"]["genotype"] == cell.to_dict()
    assert "num_classes" not in config["model_args"] and config["num_classes"] == 3
    assert not any(key.startswith("aux_head") for key in weights(tmp_path / "run"))
    assert timm.create_model(f"local-dir:{tmp_path / 'run' / 'model'}", pretrained=True).num_classes == 3


def test_mean_and_standard_deviation_of_runs() -> None:
    results = [{"seed": i, "test": {"top1": 90.0 + i, "top5": None, "loss": 0.5}} for i in range(3)]
    found = summary(results)
    assert found["seeds"] == [0, 1, 2] and found["top1"] == {"mean": 91.0, "std": 1.0}
    assert found["top5"] == {"mean": None, "std": None} and found["loss"] == {"mean": 0.5, "std": 0.0}
    assert summary(results[:1])["top1"] == {"mean": 90.0, "std": None}


# ---- what goes wrong


@pytest.mark.parametrize("interval", [0.0, 1e9])
def test_a_loss_that_is_no_number_names_the_step_and_leaves_the_last_good_state(
    interval: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", interval)  # the step is found whenever it is looked for
    stepped = Learner.step

    def stepping(learner: Learner, batch: Any, number: int) -> Any:
        loss, correct = stepped(learner, batch, number)
        return (loss * float("nan") if number == 4 else loss), correct

    monkeypatch.setattr(Learner, "step", stepping)
    with pytest.raises(ValueError, match=r"the loss is nan in training, epoch 2, step 2: .*checkpoint\.pt is of epoch 1, "):
        run(plan(), 0, tmp_path, silent)
    monkeypatch.setattr(Learner, "step", stepped)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["stages"]["training"]["epochs"] == 1
    _learner(plan(weights=tmp_path / "checkpoint.pt"), 5, fresh=True)
    run(plan(), 0, tmp_path, silent)
    run(plan(), 0, tmp_path / "unbroken", silent)
    assert all(torch.equal(value, weights(tmp_path)[key]) for key, value in weights(tmp_path / "unbroken").items())


@pytest.mark.parametrize("test", [True, False])
def test_weights_lost_in_the_last_step_are_no_result(test: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training loss is finite; the weights after the last one are not."""
    step = Learner.step

    def stepping(learner: Learner, batch: Any, number: int) -> Any:
        result = step(learner, batch, number)
        if number == 2:
            learner.net.fc.weight.data.fill_(float("nan"))
        return result

    monkeypatch.setattr(Learner, "step", stepping)
    with pytest.raises(ValueError, match=r"1 weights such as fc\.weight are no finite numbers: choose a smaller learning rate \(--lr\)"):
        run(plan(replace(SETTINGS, epochs=1), test=test), 0, tmp_path, silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "config.json", "metrics.jsonl"]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_test_loss_that_is_no_number_is_no_result(loss: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_run, "evaluate", lambda *_, **__: evaluation.Score(48, loss, 33.3, None))
    with pytest.raises(ValueError, match=rf"the loss on the test images is {loss}: choose a smaller learning rate \(--lr\)"):
        run(plan(replace(SETTINGS, epochs=1)), 0, tmp_path, silent)
    assert (tmp_path / "checkpoint.pt").exists() and not (tmp_path / "model").exists() and not (tmp_path / "result.json").exists()


def test_batches_that_are_no_pairs_are_refused_with_mixup(monkeypatch: pytest.MonkeyPatch) -> None:
    plan(replace(SETTINGS, mixup=0.2, batch_size=6))
    plan(replace(SETTINGS, batch_size=7))
    with pytest.raises(ValueError, match="a batch of 7 leaves one alone: choose --batch-size 6"):
        plan(replace(SETTINGS, mixup=0.2, batch_size=7))
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="a batch of 6 over 2 processes leaves one alone: choose --batch-size 4"):
        plan(replace(SETTINGS, mixup=0.2, batch_size=6))


def test_a_checkpoint_of_other_classes_or_cells_says_which_weights_differ(tmp_path: Path) -> None:
    follow(plan(), tmp_path / "a.pt", stop_at=1)
    data = replace(colours(), class_names=("r", "g", "b", "none"))
    with pytest.raises(
        ValueError,
        match=r"2 weights of another shape \(fc\.weight \[3, \d+\] instead of \[4, \d+\], fc\.bias \[3\] instead of \[4\]\); give",
    ):
        follow(plan(on=data), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"fair_darts_a_cifar.* \d+ weights missing \(.*, \.\.\.\)"):
        follow(plan(source="fair_darts_a_cifar"), tmp_path / "a.pt")


def test_a_damaged_checkpoint_and_one_of_other_settings_are_refused(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(plan(), 0, tmp_path, stop)
    with pytest.raises(ValueError, match="settings .*'lr': 0.1.* not .*'lr': 0.2"):
        run(plan(replace(SETTINGS, lr=0.2)), 0, tmp_path, silent)
    good = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged"):
        run(plan(), 0, tmp_path, silent)


def test_weights_to_begin_with_are_taken_or_refused(finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    again = _learner(plan(weights=finished / "model" / "model.safetensors"), 5, fresh=True)
    assert torch.equal(again.net.fc.weight, weights(finished)["fc.weight"])
    _learner(plan(replace(SETTINGS, aux_weight=0.4), weights=finished / "model"), 5, fresh=True)
    with pytest.raises(ValueError, match="of another genotype, size or number of classes"):
        _learner(plan(replace(SETTINGS, channels=8), weights=finished / "model"), 0, fresh=True)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    for path in (tmp_path / "bad.safetensors", tmp_path / "bad.pt", tmp_path / "none.pt", tmp_path):
        with pytest.raises(ValueError, match="can't read weights from"):
            _learner(plan(weights=path), 0, fresh=True)
    assert not caplog.records  # of timm's, beside the message


def test_the_result_names_the_weights_that_a_training_began_with(finished: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    shutil.copytree(finished / "model", tmp_path / "model")
    what = plan(weights=tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    expected = {"file": "model.safetensors", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    with pytest.raises(KeyboardInterrupt):
        run(what, 0, tmp_path / "run", stop)
    shutil.rmtree(tmp_path / "model")  # no longer needed
    result = run(what, 0, tmp_path / "run", silent)
    assert result["begun_from"] == expected == json.loads((tmp_path / "run" / "result.json").read_text())["begun_from"]
    note = recorded(what, summary([result]) | {"device": "CPU", "begun_from": expected})["note"]
    assert f"begun from the weights model.safetensors, SHA-256 {expected['sha256']}" in note and str(tmp_path) not in note
    assert json.loads((finished / "result.json").read_text())["begun_from"] is None
    assert "begun" not in recorded(what, summary([result]) | {"device": "CPU", "begun_from": None})["note"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "pc_darts_imagenet", "recipe": "imagenet"}, "16 pixels: take --size 224"),
        ({"source": "pc_darts_cifar", "recipe": "imagenet"}, "or a network with CIFAR's stem"),
        ({"settings": replace(SETTINGS, cutout=16)}, "choose --cutout 8"),
        ({"source": "ftso_nats_cifar"}, "take --recipe shallow or nats$"),
        ({"source": "pc_dart_cifar"}, "did you mean"),
    ],
    ids=["small images", "another stem", "cutout", "another space", "name"],
)
def test_what_does_not_fit_is_refused_with_a_remedy(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan(**change)
