"""The ledger says what its results say: the committed page is made of the committed results, and a run's outcome is taken over whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import ledger
from nasarch.search.rows.rows import ROWS


def one(
    row: str = "pc-darts/table1/cifar10", scale: float = 0.02, data: str = "digits (1,500 images)", measured: float = 9.5
) -> dict[str, Any]:
    return {
        "row": row,
        "scale": scale,
        "seed": 0,
        "figures": [{"metric": "best test error", "measured": measured, "std": None, "runs": 1}],
        "budget": [{"stage": "search", "data": data, "runs": 1, "differs": ["epochs 1 (50)"], "seconds": 12.3}],
        "device": "CPU",
        "torch": "2.14",
        "date": "2026-11-27",
    }


def test_the_committed_page_is_made_of_the_committed_results() -> None:
    outcomes = ledger.read()
    assert ledger.DOCUMENT.read_text(encoding="utf-8") == ledger.document(outcomes)
    assert {line["row"] for line in outcomes} <= ROWS.keys()


def test_measured_stands_beside_reported_with_its_budget() -> None:
    page = ledger.document([one()])
    assert (
        "| `pc-darts/table1/cifar10` | best test error: 2.57 ± 0.07 | 9.5 | search: 1 on digits (1,500 images), 12 s; unlike the paper: "
        "epochs 1 (50)<br>seed 0; CPU, torch 2.14, 2026-11-27 |" in page
    )
    for name, row in ROWS.items():
        assert f"| `{name}` | {row.place} |" in page
    assert "| can be run" not in page and f"{len(ROWS)} rows" in page


def test_a_newer_run_replaces_an_older_one_and_no_other() -> None:
    older, newer, elsewhere = one(), one(measured=8.0), one(data="cifar10 (50,000 images)")
    found = ledger.merged([older, elsewhere], [newer])
    assert [line["figures"][0]["measured"] for line in found] == [9.5, 8.0] or [line["figures"][0]["measured"] for line in found] == [
        8.0,
        9.5,
    ]
    assert older not in found and elsewhere in found


def test_the_outcome_of_a_folder(tmp_path: Path) -> None:
    figure = {
        "metric": "test error",
        "unit": "%",
        "reported": 2.5,
        "reported_std": None,
        "words": "",
        "measured": 3.0,
        "std": 0.1,
        "runs": 2,
    }
    stage = {"stage": "train", "data": "digits", "runs": 2, "differs": [], "seconds": 1.0, "words": ""}
    result = {"figures": [figure, figure | {"measured": None}], "budget": [stage], "device": "CPU", "versions": {"torch": "2.14"}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "config.json").write_text(json.dumps({"row": "dots/fig1/a", "options": {"scale": 0.5, "seed": 3}}))
    found = ledger.outcome(tmp_path)
    assert (found["row"], found["scale"], found["seed"], len(found["figures"])) == ("dots/fig1/a", 0.5, 3, 1)
    assert found["figures"][0] == {"metric": "test error", "measured": 3.0, "std": 0.1, "runs": 2}
