"""The list of rows: what each stands for, with its epochs, as text and as JSON, without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nasarch.cli.main import main
from nasarch.search.reproduce.metrics import Measured
from nasarch.search.reproduce.table import cells, in_words, reported
from nasarch.search.rows.row import Figure
from nasarch.search.rows.rows import ROWS, find


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ftso/table1/skip-1ep/1200", ["search ftso --preset skip-1ep (1 epoch)", "train --recipe ftso on cifar10 (1200 epochs)"]),
        (
            "ftso/table1/skip-1ep-op-18ep/imagenet",
            ["search ftso --preset skip-1ep-op-18ep (19 epochs)", "train --recipe imagenet on imagenet (250 epochs)"],
        ),
        ("dots/table1/cifar10", ["search dots --preset cifar10 (60 epochs)", "5 x train --recipe cifar on cifar10 (600 epochs)"]),
        (
            "dots/table5/darts-topology",
            ["search dots --preset darts-operations (35 epochs)", "5 x train --recipe cifar on cifar10 (600 epochs)"],
        ),
        ("edarts/table2/darts", ["5 x search edarts --preset darts (50 epochs)", "compare"]),
        ("edarts/fig3", ["rank-paths"]),
        ("pc-darts/table5/pc-darts", ["detect train"]),
    ],
)
def test_a_row_in_words(name: str, words: list[str]) -> None:
    assert [in_words(step) for step in find(name).steps] == words


def test_figures_with_their_decimals() -> None:
    assert reported(Figure("test error", 2.57, 0.07)) == "test error 2.57 ± 0.07"
    assert reported(Figure("test error", None, None, "in a picture only")) == "test error: in a picture only"
    lines = cells([Measured(Figure("search cost", 7.87e-6), 3e-5, None, 1), Measured(Figure("AP", 28.9), 12.345, 0.5, 2)])
    assert lines == [("search cost, days", "7.87e-06", "3.00e-05", "1"), ("AP, %", "28.9", "12.3 ± 0.50", "2")]
    assert cells([Measured(Figure("AP", None, words="none"), None, None, 0)]) == [("AP, %", "none", "-", "-")]


def test_the_list_and_its_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ROWS)
    assert f"{len(ROWS)} rows, {sum(row.reason is None for row in ROWS.values())} can be run" in printed
    assert main(["reproduce", "dots/fig1", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["row"], second["row"]) == ("dots/fig1/a", "dots/fig1/b")
    assert first["steps"][1] == {"step": "correlate", "data": "cifar10", "epochs": 300, "recipe": "cifar"}
    assert main(["reproduce", "pc-darts/table9"]) == 2
    assert "unknown row 'pc-darts/table9'; did you mean" in capsys.readouterr().err


def test_the_list_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv[0] = 'nasarch'; from nasarch.cli.main import main; main(['reproduce', 'dots']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
