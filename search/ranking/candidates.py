"""Candidates of a ranking: cells by run, file or name, checked to be comparable, and as facts in config.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nasarch.cells.genotype import Genotype
from nasarch.models.source import find_sources

from .budget import Budget
from .origin import in_common
from .task import Facts, RankingTask
from .tournament import Candidate


def origins(cells: Sequence[Candidate], budget: Budget) -> Facts:
    """Search data of the cells that come from folders; errors as in `in_common`."""
    return in_common((folder for cell in cells if (folder := Path(cell.name)).is_dir()), budget.dataset.size)


def load_candidates(sources: Sequence[str]) -> list[Candidate]:
    """Candidates of the sources, each named by its source.

    Raises:
        ValueError: one is not there.
    """
    return [Candidate(name, source_model.cells) for source in sources for name, source_model in find_sources(source)]


def comparable(candidates: list[Candidate], least: int = 1) -> list[Candidate]:
    """The same candidates, checked.

    Raises:
        ValueError: they are fewer than `least`, one of them is there twice, or they are of different spaces.
    """
    if len(candidates) < least:
        count = "1 cell is" if candidates else "no cells are"
        raise ValueError(f"{count} nothing to select from: `nasarch select` takes two or more, such as runs/a runs/b")
    names = [candidate.name for candidate in candidates]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is there twice: name it once, and take --seeds for more trainings of each")
    for other in candidates[1:]:
        if other.genotype.space != candidates[0].genotype.space:
            spaces = f"{candidates[0].name} is of space {candidates[0].genotype.space!r}, {other.name} of {other.genotype.space!r}"
            raise ValueError(f"{spaces}: their networks differ in more than the cells; compare cells of one space")
    return candidates


def to_facts(cells: Sequence[Candidate]) -> list[dict[str, Any]]:
    """For config.json, from which a resumed command takes them."""
    return [{"name": cell.name, "genotype": cell.genotype.to_dict()} for cell in cells]


def from_facts(task: RankingTask) -> list[Candidate]:
    """Candidates of `to_facts`."""
    return [Candidate(cell["name"], Genotype.from_dict(cell["genotype"])) for cell in task.facts["cells"]]
