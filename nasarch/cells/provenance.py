"""Provenance of a genotype: any JSON object; what is named here is checked where it occurs.

| key | is |
|---|---|
| method | the method's name |
| paper | object: title, authors, year, venue, arxiv |
| searched_on | data set searched on; the zoo chooses the network by it: `cifar10`, `cifar100`, `imagenet`, ... |
| kind | one of `KINDS` |
| source | object: repository, path, commit, name there; or command, seeds, data digest, versions |
| results | list of objects: dataset, metric, value, spread (the +- of the paper), unit, budget, note, reported_by (paper and table) |

Metrics of the packaged results: test error, top-1 error, top-5 error and test accuracy in %, parameters and multi-adds in M
(of the network for that data set), search cost in GPU-days. The first result of a metric is the one in `nasarch models`;
`reported_by` says whose figure it is: a paper's table, or the README of a repository (P-DARTS, FairDARTS).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nasarch.strict_json import frozen, shown

LOCAL_PATH = re.compile(r"(?<![\w:/\\])(?:file:|~[\w-]*|\.{1,2}|[A-Za-z]:)?(?:[/\\]+[^\s/\\'\",;:]+)*[/\\]+([^\s/\\'\",;:]+)[/\\]*")
KINDS = ("published", "inferred from the paper's text", "found by nasarch")
_KEYS = (
    *("method", "paper", "title", "authors", "venue", "year", "arxiv", "searched_on", "kind"),
    *("source", "repository", "path", "commit", "name"),
    *("results", "dataset", "metric", "value", "spread", "unit", "budget", "note", "reported_by"),
)
_ORDER = {key: rank for rank, key in enumerate(_KEYS)}
_SHAPES: dict[str, tuple[type, str]] = {
    "method": (str, "a string"),
    "searched_on": (str, "a string"),
    "paper": (Mapping, "an object"),
    "source": (Mapping, "an object"),
    "results": ((list, tuple), "a list of objects"),  # type: ignore[dict-item]  # isinstance takes it
}


def checked(value: Any) -> Mapping[str, Any]:
    """`value` read-only, its keys in the order of the table above and then by name.

    Raises:
        ValueError: it is no JSON object, or one of the keys above has a value of another shape; says what is legal.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"it is {shown(value)}; write an object, an empty one if nothing is known")
    kind = value.get("kind")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind {shown(kind)}; legal are {', '.join(map(repr, KINDS))}: write one of them or leave it out")
    for key, (types, legal) in _SHAPES.items():
        if key in value and not isinstance(value[key], types):
            raise ValueError(f"{key} {shown(value[key])}; legal is {legal}: write that or leave it out")
    for result in value.get("results", ()):
        _check_result(result)
    return frozen(value, _ORDER)


def _check_result(result: Any) -> None:
    named = isinstance(result, Mapping) and all(isinstance(result.get(key), str) for key in ("dataset", "metric"))
    if not named or type(result.get("value")) not in (int, float):
        example = '{"dataset": "CIFAR-10", "metric": "test error", "value": 2.57, "unit": "%"}'
        legal = "an object with the strings dataset and metric and the number value"
        raise ValueError(f"result {shown(result)}; legal is {legal}: write it like {example}")


def public(value: Any) -> Any:
    """A JSON value without local paths: of paths that start at a root, at home, or in a parent folder only the last part is left."""
    if isinstance(value, str):
        return LOCAL_PATH.sub(r"\1", value)
    if isinstance(value, Mapping):
        return {key: public(item) for key, item in value.items()}
    return [public(item) for item in value] if isinstance(value, (list, tuple)) else value
