"""Settings files: what a run leaves repeats it, flags win over the file, and what is wrong is one line."""

from __future__ import annotations

import json
import random
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nasarch.cli.main import main
from nasarch.data.options import DataOptions
from nasarch.runtime.options import to_dict
from nasarch.search import read_run, read_settings, recipes, search
from nasarch.search.runs.options import SearchOptions
from nasarch.search.runs.settings_file import as_toml, read_values, with_values
from nasarch.search.settings.presets import PRESETS, SETTINGS
from tests.helpers.captured_options import CapturedCall, catch_searches, plan_of

SMALL = "--data digits --size 8 --layers 3 --channels 4 --nodes 2 --device cpu".split()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CapturedCall:
    monkeypatch.chdir(tmp_path)
    return catch_searches(monkeypatch)


def test_a_run_is_repeated_from_its_folder_alone(tmp_path: Path) -> None:
    first, again, third = (tmp_path / name for name in ("first", "again", "third"))
    flags = ["--preset", "imagenet", "--epochs", "40", "--scale", "0.05", "--seed", "4", "--hessian"]  # its batch size is reduced
    assert main(["search", "pc-darts", *SMALL, *flags, "--out", str(first)]) == 0
    assert main(["search", "--config", str(first / "settings.toml"), "--out", str(again)]) == 0
    one, two = read_run(first), read_run(again)
    assert one.weights == two.weights and one.cells == two.cells and one.genotype == two.genotype and one.margins == two.margins
    assert one.config["settings"] == two.config["settings"] and one.config["preset"] == two.config["preset"] and one.epochs == 3
    assert [line["eigenvalue"] for line in one.measured] == [line["eigenvalue"] for line in two.measured] != []
    assert (first / "settings.toml").read_bytes() == (again / "settings.toml").read_bytes()
    settings, options = read_settings(first / "settings.toml")
    assert search(settings, **options, out=third).weights == one.weights


def test_several_seeds_are_repeated_together_or_one_by_one(tmp_path: Path) -> None:
    flags = ["--iterations", "1", "--batch-size", "8", "--seed", "5", "--runs", "2", "--consensus"]
    assert main(["search", "ftso", *SMALL, *flags, "--out", str(tmp_path / "all")]) == 0
    for name, expected in ((".", {"seed": 5, "runs": 2, "consensus": True}), ("seed-6", {"seed": 6, "runs": 1, "consensus": False})):
        _, values = read_values(tmp_path / "all" / name / "settings.toml")
        assert {key: values[key] for key in expected} == expected
    assert main(["search", "--config", str(tmp_path / "all" / "seed-6" / "settings.toml"), "--out", str(tmp_path / "one")]) == 0
    assert read_run(tmp_path / "one").weights == read_run(tmp_path / "all" / "seed-6").weights


@pytest.mark.parametrize("method", SETTINGS)
def test_a_file_holds_every_setting_and_option(method: str, tmp_path: Path) -> None:
    """Written and read again, with what TOML has an own form for: nested stages, None, text with quotes, controls and no ASCII."""
    options = SearchOptions(
        dataset=DataOptions(data='a "b"\\c\t\x7f\u00e4\U0001f600', root=Path("here"), in_memory=False, workers=0),
        hessian_every=3,
        max_macs=1e16,
    )
    for preset in [None, *PRESETS[method]]:
        settings = SETTINGS[method]() if preset is None else PRESETS[method][preset].settings()
        (tmp_path / "settings.toml").write_text(as_toml(method, asdict(settings), to_dict(options)))
        name, values = read_values(tmp_path / "settings.toml")
        assert name == method
        read = with_values(SETTINGS[method](), {key: value for key, value in values.items() if hasattr(settings, key)}, "file")
        assert read == settings
        read = with_values(SearchOptions(), {key: value for key, value in values.items() if not hasattr(settings, key)}, "file")
        assert read == options
    no_text = as_toml(method, {}, {"data": "\udc80"})
    assert tomllib.loads(no_text)["data"] == "\\udc80"


def test_flags_win_over_the_file_and_the_file_over_the_preset(told: CapturedCall) -> None:
    Path("mine.toml").write_text('preset = "k8"\nlr = 1\nseed = 3\nlayers = 5\nroot = "cache"\nin_memory = true\nfractions = [0.25, 0.5]\n')
    plan = plan_of(told, "--config", "mine.toml", "--layers", "6", "--no-edge-normalisation", method="pc-darts")
    expected = recipes.PcDarts(partial=8, batch_size=512, lr=1.0, layers=6, edge_normalisation=False, fractions=(0.25, 0.5))
    assert plan.settings == expected and type(plan.settings.lr) is float
    assert plan.job == SearchOptions(preset="k8", seed=3, dataset=DataOptions(data="cifar10", root=Path("cache"), in_memory=True))
    assert plan.preset is not None and plan.preset["row"] == "Fig. 3, K = 8"
    assert plan_of(told, "--config=mine.toml", "--preset", "cifar10", method="pc-darts").settings.batch_size == 256

    Path("mine.json").write_text(json.dumps({"method": "dots", "topology": {"epochs": 20}, "operations_from": None, "space": "darts"}))
    dots = recipes.Dots()
    assert plan_of(told, "--config", "mine.json", "--topology.layers", "3", method="dots").settings == replace(
        dots, topology=replace(dots.topology, epochs=20, layers=3)
    )
    Path("nats.toml").write_text('space = "nats"\n')
    assert plan_of(told, "--config", "nats.toml", method="pc-darts").job.preset == "nats"


def test_the_values_of_a_file_are_not_reduced_to_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text('method = "pc-darts"\nbatch_size = 4096\n')
    assert main(["search", "--config", str(tmp_path / "mine.toml"), *SMALL, "--out", str(tmp_path / "run")]) == 2
    assert "batch size 4096" in capsys.readouterr().err and not (tmp_path / "run").exists()


LEGAL_NAME = ("epoch = 3", "mine.toml: unknown name 'epoch'; did you mean epochs? legal are partial, edge_normalisation, epochs,")
WRONG = [
    LEGAL_NAME,
    ("batch-size = 3", "unknown name 'batch-size'; did you mean batch_size?"),
    ("xyzzy = 3", "unknown name 'xyzzy'; remove it; legal are partial,"),
    ('epochs = "five"', "mine.toml: epochs = 'five': choose an integer"),
    ("epochs = 5.0", "mine.toml: epochs = 5.0: choose an integer"),
    ("epochs = true", "mine.toml: epochs = True: choose an integer"),
    ("epochs = 0", "mine.toml: epochs=0: choose 1 or more"),
    ("epochs = 1979-05-27", "mine.toml: epochs = datetime.date(1979, 5, 27): choose an integer"),
    ('lr = "fast"', "lr = 'fast': choose a number"),
    ("lr = nan", "lr = nan: choose a number"),
    ("fractions = [0.5]", "fractions = [0.5]: choose a list of 2 numbers"),
    ("fractions = 0.5", "fractions = 0.5: choose a list of 2 numbers"),
    ("edge_normalisation = 1", "edge_normalisation = 1: choose true or false"),
    ('amp = "fp8"', "amp = 'fp8': choose off or bf16 or fp16"),
    ("data = 3", "data = 3: choose a text in quotes"),
    ("root = 3", "root = 3: choose a path in quotes"),
    ("size = false", "size = False: choose an integer"),
    ("runs = 0", "mine.toml: --runs 0: choose 1 or more"),
    ("preset = 3", "unknown preset '3' of pc-darts"),
    ('method = "dots"', "mine.toml has the settings of dots, not of pc-darts: leave pc-darts out, or give another file"),
    ('method = "dart"', "mine.toml: unknown method 'dart'; did you mean darts?"),
    ("epochs = ", "mine.toml: damaged ("),
    ("a = " + "[" * 5000, "mine.toml: damaged ("),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text[:30] for text, _ in WRONG])
def test_what_is_wrong_with_a_file_is_one_line(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(text)
    assert main(["search", "pc-darts", "--config", "mine.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nasarch: error: ") and words in line
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"topology": 3}', "topology = 3: choose a table of epochs, warmup, layers"),
        ('{"topology": {"epoch": 3}}', "mine.json: topology: unknown name 'epoch'; did you mean epochs?"),
        ('{"topology": {"epochs": 0}}', "mine.json: topology: epochs=0: choose 1 or more"),
        ('{"topology": {"levels": 3}}', "topology: levels = 3: choose 1 or 2"),
        ("[]", "an object is expected"),
        ('{"lr": 1, "lr": 2}', "occurs twice"),
        ("\udc80", "not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_json_file_is_one_line(
    content: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_bytes(content.encode(errors="surrogateescape"))
    assert main(["search", "dots", "--config", "mine.json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "nowhere.toml"], "can't read nowhere.toml (No such file or directory): give a TOML or JSON file"),
        (["pc-darts", "--config", "."], "its name ends neither in .toml nor in .json"),
        (["--config", "empty.toml"], 'empty.toml names no method: add a line such as method = "darts"; legal are darts, pc-darts'),
        (
            ["--seed", "3"],
            "no method before the flags: choose darts, pc-darts, ftso, dots, edarts, or a file that names one, --config FILE",
        ),
    ],
)
def test_a_file_that_can_not_say_what_to_search_is_refused(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.toml").write_text("")
    assert main(["search", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_damaged_file_is_refused_in_one_line_or_read(tmp_path: Path) -> None:
    """A character less, more or another, bytes that are no text, and parts of the file twice or not at all, 600 times."""
    draw, path = random.Random(0), tmp_path / "settings.toml"
    whole = as_toml("dots", asdict(recipes.Dots()), to_dict(SearchOptions())).encode()
    outcomes = set()
    for _ in range(600):
        a, b = sorted(draw.choices(range(len(whole)), k=2))
        part = draw.choice(
            [b"", whole[a:b] * 2, bytes(draw.choices(range(256), k=2)), draw.choice([b"-", b"1e9", b"[", b'"', b"true", b"\n"])]
        )
        path.write_bytes(whole[:a] + part + whole[draw.choice([a, a + 1, b]) :])
        try:
            read_settings(path)
            outcomes.add("read")
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
