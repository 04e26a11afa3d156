"""Lower precision in the network alone: weights, optimisers and losses stay in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.updates import State, Update, first_order
from nasarch.search.recipes import darts, edarts, ftso
from tests.helpers.coloured_images import data
from tests.helpers.followed_search import follow
from tests.helpers.network_state import state_of, tensors
from tests.helpers.update_kinds import UPDATES

TINY = {"layers": 3, "channels": 8, "batch_size": 8, "epochs": 2}


def losses(state: State, update: Update, steps: int = 3) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2 * steps, 16, 3, 16, 16, generator=generator)
    batches: list[tuple[Tensor, Tensor]] = list(zip(images, torch.randint(3, (2 * steps, 16), generator=generator), strict=True))
    return [update(state, train, valid).loss.item() for train, valid in zip(batches[::2], batches[1::2], strict=True)]


@pytest.mark.parametrize("name", UPDATES)
def test_bf16_learns_what_float32_does(name: str) -> None:
    whole, half = state_of(None), state_of(torch.bfloat16)
    expected = losses(whole, UPDATES[name])
    assert losses(half, UPDATES[name]) == pytest.approx(expected, rel=5e-2)
    assert {tensor.dtype for tensor in tensors(half)} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in tensors(half))


@pytest.mark.parametrize("name", ["weights_only", "first_order", "one_level"])
def test_the_scale_of_the_loss_leaves_no_trace(name: str) -> None:
    """A power of two changes no digit: with the loss scaled and no precision lowered, steps are those without, to the bit."""
    plain, scaled = state_of(None), state_of(None)
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=2)
    assert losses(plain, UPDATES[name], steps=4) == losses(scaled, UPDATES[name], steps=4)
    assert all(torch.equal(a, b) for a, b in zip(tensors(plain), tensors(scaled), strict=True))
    assert scaled.scaler.get_scale() == 2.0**10, "doubled after every second step, once a step"


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_the_loss_is_of_logits_in_float32_that_were_computed_lower(precision: torch.dtype) -> None:
    state = state_of(precision)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    seen: list[torch.dtype] = []
    state.net.register_forward_hook(lambda module, arguments, output: seen.append(output.dtype))
    logits = state.logits(x, state.arch())
    weights = dict(state.net.named_parameters())
    again = state.logits(x, state.arch(), {name: torch.zeros_like(p) for name, p in weights.items()})
    assert seen == [precision] * 2 and logits.dtype == again.dtype == torch.float32
    assert torch.equal(logits, logits.to(precision).float()) and not again.any()
    state.precision = None
    assert state.logits(x.double().float(), state.arch()).dtype == torch.float32 and seen[2:] == [torch.float32]


def test_the_scale_is_taken_up_again(tmp_path: Path) -> None:
    settings, path = ftso.Ftso(**TINY), tmp_path / "checkpoint.pt"
    follow(ftso, settings, Checkpoint(path), 1, amp="fp16")
    checkpoint = Checkpoint(path)
    checkpoint.stages["topology"]["scaler"]["scale"] = 2.0**5
    running = ftso.search(SearchContext(data=data(), checkpoint=checkpoint, amp="fp16"), settings)
    next(running)
    loop = running
    while loop.gi_yieldfrom is not None:
        loop = loop.gi_yieldfrom
    assert loop.gi_frame.f_locals["stage"].state.scaler.get_scale() == 2.0**5


def test_a_gradient_that_overflows_moves_nothing_and_lowers_the_scale() -> None:
    state = state_of(torch.float16)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = [parameter.detach().clone() for parameter in (*state.net.parameters(), *state.arch.parameters())]
    losses(state, first_order, steps=1)
    after = (*state.net.parameters(), *state.arch.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)) and state.scaler.get_scale() == 2.0**39


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        (darts, darts.Darts(order="second", **TINY)),
        (darts, darts.Darts(order="exact", **TINY)),
        (edarts, edarts.Edarts(images=20, **TINY)),
    ],
    ids=["darts, second", "darts, exact", "edarts"],
)
def test_second_order_in_fp16_is_refused_at_once(recipe: Any, settings: Any) -> None:
    with pytest.raises(ValueError, match="order .* is not computed in fp16.* --amp bf16 or off"):
        next(recipe.search(SearchContext(data=data(), amp="fp16"), settings))


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_a_search_in_lower_precision_goes_on_with_its_scale(amp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)
    settings, path = ftso.Ftso(**TINY), tmp_path / "checkpoint.pt"
    whole, expected = follow(ftso, settings, Checkpoint(), amp=amp)
    before, nothing = follow(ftso, settings, Checkpoint(path), 4, amp=amp)
    kept = Checkpoint(path).stages["topology"]
    assert nothing is None and (set() if amp == "bf16" else {"scale", "_growth_tracker"}) <= kept["scaler"].keys()
    after, found = follow(ftso, settings, Checkpoint(path), amp=amp)
    assert found is not None and expected is not None and found[:2] == expected[:2]
    assert [step.loss for step in before + after] == [step.loss for step in whole]
