"""Several runs brought together: what they have in common, and the cell of their mean weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nasarch.cells.genotype import Genotype
from nasarch.cli.main import main
from nasarch.search.runs.gather import combine

FLAGS = [
    "--data",
    "digits",
    "--size",
    "8",
    "--layers",
    "3",
    "--channels",
    "4",
    "--batch-size",
    "64",
    "--iterations",
    "2",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four of them, from one command."""
    folder = tmp_path_factory.mktemp("runs") / "four"
    assert main(["search", "ftso", "--out", str(folder), "--seed", "7", "--runs", "4", "--consensus", *FLAGS]) == 0
    return folder


def copies(runs: Path, folder: Path, count: int = 2) -> list[Path]:
    """Of the first runs, each in a folder of its own."""
    return [Path(shutil.copytree(runs / f"seed-{7 + i}", folder / f"machine-{i}")) for i in range(count)]


def test_a_command_leaves_the_runs_and_their_consensus(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(p.name for p in runs.iterdir()) == [
        "config.json",
        "consensus",
        "means.json",
        "seed-10",
        "seed-7",
        "seed-8",
        "seed-9",
        "settings.toml",
        "stability.json",
    ]
    assert sorted(p.name for p in (runs / "consensus").iterdir()) == ["agreement.json", "cell.png", "genotype.json"]
    rows = json.loads((runs / "consensus" / "agreement.json").read_text())
    assert [row["runs"] for row in rows] == [1, 2]
    assert all(0 <= row["operations"] <= row["edges"] <= 1 and 0.5 < row["chance"] < 0.55 for row in rows)
    assert json.loads((runs / "stability.json").read_text())[0]["runs"] == 4


def test_the_consensus_says_which_runs_it_is_of(runs: Path) -> None:
    found = Genotype.load(runs / "consensus" / "genotype.json").to_dict()
    source, first = found["provenance"]["source"], Genotype.load(runs / "seed-7" / "genotype.json").to_dict()["provenance"]
    assert found["name"] == "ftso_digits" and found["provenance"]["kind"] == "found by nasarch"
    assert source["seeds"] == [7, 8, 9, 10] and "seed" not in source and "mean weights of 4 runs" in source["note"]
    assert [row["runs"] for row in source["agreement of halves"]] == [1, 2]
    assert source["settings"] == first["source"]["settings"] and source["seconds"] >= first["source"]["seconds"]


@pytest.mark.parametrize("as_one", [True, False], ids=["a folder of several", "folders by themselves"])
def test_runs_gathered_later_give_the_same(runs: Path, as_one: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    combine((runs,) if as_one else tuple(copies(runs, tmp_path, 4)), out=tmp_path / "all")
    for name in ("stability.json", "means.json", "consensus/genotype.json", "consensus/agreement.json", "consensus/cell.png"):
        assert (tmp_path / "all" / name).read_bytes() == (runs / name).read_bytes()
    printed = capsys.readouterr().out
    assert "how often each edge was kept in 4 runs" in printed and f"wrote {tmp_path / 'all'}" in printed.replace("\n", "")


def test_what_ends_in_the_middle_leaves_nothing_and_can_begin_again(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        assert list(tmp_path.rglob("stability.json"))  # it is in the middle
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("nasarch.search.runs.gather.draw", stopped)
        combine((runs,), out=tmp_path / "all")
    assert not (tmp_path / "all").exists() and not list(tmp_path.rglob("stability.json"))
    combine((runs,), out=tmp_path / "all")
    assert (tmp_path / "all" / "consensus" / "cell.png").exists()


def test_without_a_consensus_the_counts_alone_are_written(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    combine((runs,), out=tmp_path / "all", stability_only=True)
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["means.json", "stability.json"]
    assert capsys.readouterr().out.rstrip().endswith(f"wrote {tmp_path / 'all'}".splitlines()[-1])


def test_what_can_not_be_brought_together_is_said(runs: Path, tmp_path: Path) -> None:
    first, second = copies(runs, tmp_path)
    out = tmp_path / "all"

    def refused(words: str, *folders: Path) -> None:
        with pytest.raises(ValueError, match=words) as caught:
            combine(folders or (first, second), out=out)
        assert len(str(caught.value).splitlines()) == 1 and not out.exists()

    refused("1 run is nothing to bring together: name two at least", first)
    refused("seed 7 is there twice", first, second, runs / "seed-7")
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps(config | {"settings": config["settings"] | {"lr": 0.5}}))
    refused("machine-1 and .*machine-0 differ in settings: only runs of the same search")
    (second / "config.json").write_text("{")
    refused(r"config.json: damaged \(not JSON.*give the folders of runs")
    (second / "config.json").unlink()
    refused("can't read .*config.json")
    (second / "genotype.json").unlink()
    refused("machine-1 holds no finished search of this version .no genotype.json.")
    (second / "weights.json").unlink()
    refused("machine-1 holds no finished search .*finish it with --resume")
    refused("nowhere holds no finished search", first, tmp_path / "nowhere")


def test_a_folder_in_use_is_left_alone(runs: Path, tmp_path: Path) -> None:
    before = sorted(runs.rglob("*"))
    with pytest.raises(ValueError, match="exists already: choose another folder with --out"):
        combine((runs,), out=runs)
    assert sorted(runs.rglob("*")) == before


def test_seeds_come_in_the_order_of_their_numbers(runs: Path, tmp_path: Path) -> None:
    combine((runs,), out=tmp_path / "all")
    source = Genotype.load(tmp_path / "all" / "consensus" / "genotype.json").to_dict()["provenance"]["source"]
    assert source["seeds"] == [7, 8, 9, 10]


def test_a_report_on_the_runs_shows_their_consensus(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs), "--out", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.index("<h2>Stability") < page.index("<h2>Consensus") and "runs in a half" in page
    assert (tmp_path / "page" / "consensus.svg").is_file() and (tmp_path / "page" / "consensus-agreement.svg").is_file()
    assert f"{json.loads((runs / 'consensus' / 'agreement.json').read_text())[-1]['edges']:.1%}" in page
    damaged = tmp_path / "damaged"
    shutil.copytree(runs, damaged)
    (damaged / "consensus" / "agreement.json").write_text("[{]")
    capsys.readouterr()
    assert main(["report", str(damaged)]) == 2
    assert "agreement.json: damaged (not JSON" in capsys.readouterr().err
