"""On a CUDA device that is simulated: every tensor is where it belongs, and no step of a search or a training waits for the device.

What is run, and how, say tests/helpers/simulated_cuda*.py. Nothing is computed, so nothing here says that results are right, or fast.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import step_cost
from tests.simulated_cuda import known as known_cases
from tests.simulated_cuda import stub as stub
from tests.simulated_cuda.ledger import BLOCKING, COPY, MIXED, OUTSIDE, SYNCHRONISATION
from tests.simulated_cuda.searches import BATCH
from tests.simulated_cuda.steps import STEP, SUPERNETS, UPDATES

ROOT = Path(__file__).parents[2]
WAITING = (SYNCHRONISATION, BLOCKING, MIXED)
REASON = stub.why_not() or ("torch is built without CUDA" if torch.version.cuda is None else None)
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def simulated(*arguments: str) -> str:
    """What a process of the simulation prints."""
    told = [sys.executable, "-m", "tests.simulated_cuda.device", *arguments]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def results(group: str) -> dict[str, Any]:
    """Of each case of a group: the error, and what was noted by part."""
    return json.loads(simulated(group))[group]


def noted(result: dict[str, Any], part: str, *kinds: str) -> Counter[tuple[str, str]]:
    """How often what was noted at which place."""
    counts: Counter[tuple[str, str]] = Counter()
    for event in result["parts"].get(part, {"events": []})["events"]:
        if event["kind"] in kinds:
            counts[event["what"], event["place"]] += event["count"]
    return counts


def check(found: dict[str, Any], *parts: str, but: tuple[str, ...] = ()) -> None:
    """Every case ran to its end, with all tensors where they belong, and in these parts nothing waited, but for cases named so."""
    for name, result in found.items():
        assert result["error"] is None, f"{name}: {result['error']}"
        assert not any(noted(result, part, MIXED) for part in result["parts"]), name
        for part in parts:
            assert result["parts"][part]["kernels"] > 0, name
            if not name.endswith(but or ("?",)):
                assert not noted(result, part, *WAITING), f"{name}, {part}: {noted(result, part, *WAITING)}"


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return results("known")


def test_a_step_that_looks_at_its_loss_is_found_out(known: dict[str, Any]) -> None:
    result = known["waiting_step"]
    assert result["error"] is None
    assert [what for what, place in noted(result, STEP, *WAITING) if place.endswith(" waiting_step")] == ["_local_scalar_dense"]
    with pytest.raises(AssertionError, match="_local_scalar_dense"):
        check({"waiting_step": result}, STEP)


@pytest.mark.parametrize(
    ("left", "where"),
    [
        ("step_of_left_images", "nasarch.search.supernet.network"),
        ("step_of_left_labels", "nasarch.search.engine.updates"),
        ("step_of_a_left_buffer", "nasarch.search.supernet.selection"),
    ],
)
def test_a_tensor_left_on_the_cpu_is_found_where_it_is_used(known: dict[str, Any], left: str, where: str) -> None:
    result = known[left]
    ((_, place),) = noted(result, STEP, MIXED)
    assert place.startswith(f"{where}:") and "MixedDevices" in result["error"]
    with pytest.raises(AssertionError, match=left):
        check({left: {**result, "error": None}}, STEP)


def test_a_copy_that_waits_is_found_out_and_one_that_does_not_is_not_blamed(known: dict[str, Any]) -> None:
    assert [what for what, _ in noted(known["fetching_step"], STEP, *WAITING)] == ["cpu -> cuda float32 [4, 3, 16, 16]"]
    with pytest.raises(AssertionError, match="fetching_step"):
        check({"fetching_step": known["fetching_step"]}, STEP)
    assert [what for what, _ in noted(known["fetching_ahead"], STEP, COPY)] == ["cpu -> cuda float32 [4, 3, 16, 16]"]
    check({"fetching_ahead": known["fetching_ahead"]}, STEP)


def test_every_way_to_wait_is_noted_once_and_what_is_legal_never(known: dict[str, Any]) -> None:
    for kind, lines, wanted in (
        ("question", known_cases.QUESTIONS, {SYNCHRONISATION: 1}),
        ("copy", known_cases.COPIES, {BLOCKING: 1}),
        ("mixture", known_cases.MIXTURES, {MIXED: 1}),
        ("legal", known_cases.LEGAL, {}),
    ):
        for name in lines:
            result = known[f"{kind}: {name}"]
            counts = {one: noted(result, STEP, one).total() for one in (*WAITING, COPY)}
            assert {one: count for one, count in counts.items() if count} == wanted, (kind, name)
            assert (result["error"] is None) is (kind != "mixture"), result["error"]


def test_kernels_and_bytes_are_counted_exactly(known: dict[str, Any]) -> None:
    counts = {
        name: (known[name]["parts"][STEP]["kernels"], known[name]["parts"][STEP]["bytes"])
        for name in ("three_kernels", "a_gradient", "views")
    }
    x, number = 4 * 8 * 4, 4
    forward, backward = 3 * x + (x + number), 2 * number + 3 * x
    assert counts == {"three_kernels": (3, 2 * x + 3 * x + (x + number)), "a_gradient": (4, forward + backward), "views": (0, 0)}


@pytest.mark.parametrize("name", ["values_come_back", "nothing_is_left", "nothing_is_computed"])
def test_of_the_device(known: dict[str, Any], name: str) -> None:
    assert known[name]["error"] is None


def test_the_stub_comes_before_torch() -> None:
    with pytest.raises(RuntimeError, match="before torch"):
        stub.load()


def test_every_update_and_every_supernet_stay_on_the_device_and_never_wait() -> None:
    found = results("core")
    assert {name.split(", ")[0] for name in found} == set(UPDATES) and {name.split(", ")[1] for name in found} == set(SUPERNETS)
    check(found, "first", STEP)
    copies = {name: noted(result, STEP, COPY).total() for name, result in found.items()}
    assert {name: count for name, count in copies.items() if count} == {"first_order, pc-darts random, float32": 2}  # passes


@pytest.mark.slow
def test_all_updates_of_all_supernets_in_float32() -> None:
    check(results("others"), "first", STEP)


@pytest.mark.slow
def test_in_bf16_nothing_waits_and_in_fp16_one_question_for_each_optimiser() -> None:
    """`GradScaler.step` asks whether a gradient overflowed: twice where weights and architecture move, once where the weights do alone."""
    found = results("lowered")
    check(found, "first", STEP, but=("fp16",))
    scaled = {name: noted(result, STEP, *WAITING) for name, result in found.items() if name.endswith("fp16")}
    assert len(scaled) == 3 * len(SUPERNETS)
    for name, counts in scaled.items():
        places = [place.split()[1] for _, place in counts.elements()]
        assert sorted(places) == ["_step_weights"] if name.startswith("weights_only") else ["_step_arch", "_step_weights"], name
        assert {what for what, _ in counts} == {"_local_scalar_dense"}
        assert noted(found[name], "first", *WAITING).total() == 2


@pytest.mark.slow
def test_whole_searches_wait_between_steps_alone() -> None:
    found = results("searches")
    check(found, BATCH, STEP, but=("fp16",))
    fp16 = found["pc-darts, fp16"]
    assert not noted(fp16, BATCH, *WAITING) and noted(fp16, STEP, *WAITING).total() == 2 * 3  # steps
    for name, result in found.items():  # the reports between them do look at losses
        assert any("nasarch.runtime.meter" in place for _, place in noted(result, OUTSIDE, *WAITING)), name
    measured = {
        name
        for name, result in found.items()
        if any("nasarch.search.engine.hessian" in place for _, place in noted(result, OUTSIDE, *WAITING))
    }
    assert measured == {"ftso", "darts, second order", "pc-darts", "pc-darts, random channels", "dots"}


@pytest.mark.slow
def test_trainings_wait_between_steps_alone() -> None:
    found = results("learners")
    check(found, BATCH, STEP, but=("fp16",))
    assert noted(found["everything, fp16"], STEP, *WAITING).total() == 10  # one in each step
    assert noted(found["colour jitter"], STEP, COPY).total() == 3 * 10
    assert not noted(found["everything, fp16"], BATCH, *WAITING)


@pytest.mark.slow
def test_a_detectors_step_waits_for_torchvisions_loss_alone() -> None:
    """Once an image for the anchors that match, and for the two sums of matching and of hard anchors, in both directions."""
    found = results("detector")
    for name, result in found.items():
        assert result["error"] is None, f"{name}: {result['error']}"
        assert not noted(result, STEP, MIXED) and not noted(result, OUTSIDE, MIXED), name
    steps, images = 4, 4
    for name in found.keys() - {"prediction"}:
        assert not noted(found[name], STEP, BLOCKING) and noted(found[name], STEP, COPY).total() == 3 * steps, name
        waits: Counter[str] = Counter()
        for (what, place), count in noted(found[name], STEP, SYNCHRONISATION).items():
            waits[f"{what}, {place.split()[1]}"] += count
        assert waits == {"nonzero, losses": images * steps, "index by a mask, losses": 2 * steps, "index_put by a mask, step": 2 * steps}
    suppressions = {what: count for (what, _), count in noted(found["prediction"], STEP, SYNCHRONISATION).items() if what == "nms"}
    assert suppressions == {"nms": 3}  # images


@pytest.mark.slow
def test_the_table_of_costs_has_every_step_and_bf16_moves_half_as_much(tmp_path: Path) -> None:
    """The command at the papers' sizes takes minutes; here two of the rows at a small one."""
    told = [sys.executable, "benchmarks/step_cost.py"]
    out, names = tmp_path / "cost.json", ["PC-DARTS", step_cost.SAMPLED]
    subprocess.run([*told, "--small", "--only", *names, "--out", str(out)], cwd=ROOT, check=True)
    steps = json.loads(out.read_text(encoding="utf-8"))["steps"]
    assert list(steps) == names and "literal, float32" not in steps[names[1]]
    for figures in steps.values():
        assert figures["float32"]["kernels"] < figures["bf16"]["kernels"] < 1.1 * figures["float32"]["kernels"]  # little is cast
        assert 0.5 < figures["bf16"]["GB"] / figures["float32"]["GB"] < 0.6
    ours, literal = steps["PC-DARTS"]["float32"], steps["PC-DARTS"]["literal, float32"]
    assert 3 * ours["kernels"] < literal["kernels"] and ours["GB"] < literal["GB"]
    shown = subprocess.run([*told, "--show", str(out)], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert shown.splitlines() == [*step_cost.header(), *(step_cost.line(*item) for item in steps.items())]
