"""Budget of each stage of a row: what was run, and where that differs from the paper. A figure says little without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.runtime.json_files import CONFIG, read_lines, read_object, typed_keys
from nasarch.search.rows.row import Compare, Correlate, RankPaths, Row, Search, Train
from nasarch.search.settings.presets import find as find_preset
from nasarch.search.training.recipes import recipe

from .metrics import Results


class Budget(NamedTuple):
    """Budget of a stage: data, number of runs, seeds, and the settings that differ from the paper's, "name here (paper)"."""

    stage: str
    data: str
    runs: int
    differs: tuple[str, ...]
    seconds: float

    def words(self) -> str:
        """For people."""
        what = f"{self.runs} run{'' if self.runs == 1 else 's'} on {self.data}, {self.seconds:.0f} s"
        return f"{what}; unlike the paper: {', '.join(self.differs)}" if self.differs else f"{what}; as the paper"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict() | {"differs": list(self.differs), "words": self.words()}


def budgets(row: Row, results: Results) -> list[Budget]:
    """The stages that have run."""
    return [*_search(row, results), *_train(row, results), *_ranking(row, results)]


def _search(row: Row, results: Results) -> Iterator[Budget]:
    step, runs = row.step(Search), results.searches
    if step is None or not runs:
        return
    paper = find_preset(step.method, step.preset)
    own = {"data": step.data or paper.data, "searches": step.runs} | _flat(asdict(paper.settings()))
    here = {"data": runs[0].config["data"]["name"], "searches": len(runs)} | _flat(dict(runs[0].config["settings"]))
    if here.get("operator") == "replace":  # FTSO without its operator search
        own = {name: value for name, value in own.items() if not name.startswith("operator_")}
    about = runs[0].config["data"]
    yield Budget("search", _images(about), len(runs), differences(here, own), sum(run.seconds or 0 for run in runs))


def _train(row: Row, results: Results) -> Iterator[Budget]:
    step = row.step(Train)
    configs = [read_object(path) for path in sorted((results.folder / "train").rglob(CONFIG)) if (path.parent / "result.json").is_file()]
    configs = [config for config in configs if "recipe" in config]
    if step is None or not configs:
        return
    settings = recipe(step.recipe).settings
    settings = settings if step.epochs is None else replace(settings, epochs=step.epochs)
    own = {"data": step.data, "trainings": step.runs} | asdict(settings)
    here = {"data": configs[0]["data"]["name"], "trainings": len(configs)} | configs[0]["settings"]
    done = [read_object(path) for path in (results.folder / "train").rglob("result.json")]
    seconds = sum(one.get("seconds", 0.0) for one in done)
    yield Budget("train", _images(configs[0]["data"]), len(configs), differences(here, own), seconds)


def _ranking(row: Row, results: Results) -> Iterator[Budget]:
    step = row.step(Compare, Correlate, RankPaths)
    name = "paths.json" if isinstance(step, RankPaths) else "pairs.json" if isinstance(step, Correlate) else "ranking.json"
    parts = ("search" if isinstance(step, RankPaths) else "train", name)
    about = results.json(*parts).get("budget")
    if step is None or about is None:
        return
    named = recipe(getattr(step, "recipe", "shallow"))
    size = dict(zip(("cells", "channels"), named.network, strict=True))
    paper = {"data": step.data, "epochs": getattr(step, "epochs", 100), "batch_size": named.settings.batch_size} | size
    paper |= {"seeds": step.seeds} if isinstance(step, Compare) else {}
    seconds = sum(line["seconds"] * 1.0 for line in read_lines(results.folder / parts[0] / "networks.jsonl", typed_keys))
    about = about | {"data": Path(about["data"]).name}
    data = f"{about['data']} ({about['trained_on']:,} images)"
    yield Budget(parts[0], data, about["seeds"], differences({key: about[key] for key in paper}, paper), seconds)


def differences(here: Mapping[str, Any], paper: Mapping[str, Any]) -> tuple[str, ...]:
    """ "name here (paper)" of each value that is another one."""
    pairs = [(name, here[name], value) for name, value in paper.items() if name in here]
    return tuple(f"{name} {_short(own)} ({_short(value)})" for name, own, value in pairs if _plain(own) != _plain(value))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_short, value))
    return "the model's" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in settings.items():
        values |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return values


def _images(about: Mapping[str, Any]) -> str:
    return f"{about['name']} ({about['images']:,} images)"
