"""Measured results of weights: result.json of a training, or a card of the package, as provenance.py has results.

result.json may hold what `nasarch train` writes, or results already: one, a list, or an object with `results`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nasarch.cells import provenance
from nasarch.cells.provenance import public
from nasarch.strict_json import plain


def measured_results(value: Any, data: str | None, source: str) -> tuple[Mapping[str, Any], ...]:
    """The results in `value`, the content of the JSON file `source`, on the data set `data` unless they name another.

    Raises:
        ValueError: they are of another shape.
    """
    if isinstance(value, Mapping) and isinstance(value.get("test"), Mapping):
        value = [*_of_test(value, data)]
    elif isinstance(value, Mapping):
        value = value["results"] if "results" in value else [value] if "metric" in value else []
    try:
        results = provenance.checked({"results": value or []})["results"]
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return tuple(public(plain(result)) for result in results)


def _of_test(value: Mapping[str, Any], data: str | None) -> Iterator[dict[str, Any]]:
    """Accuracies on the test images that `nasarch train` measured, as results."""
    test, recipe, images = value["test"], value.get("recipe", {}), value.get("data", {})
    name = images.get("name") if isinstance(images, Mapping) else None
    begun, changed = value.get("begun_from"), value.get("changed")
    changed = changed if isinstance(changed, Mapping) else {}
    conditions = {
        "data": name if name != data else None,  # a copy of a known data set, such as cifar10-jpeg
        "recipe": recipe.get("name") if isinstance(recipe, Mapping) else None,
        "weights of the": value.get("weights"),
        "begun from weights of SHA-256": begun.get("sha256") if isinstance(begun, Mapping) else None,
    }
    listed = [f"{key} {known}" for key, known in conditions.items() if known] + [str(value[key]) for key in ("device",) if key in value]
    listed += [f"{key} {new}" for key, new in changed.items()]
    for key, metric in (("top1", "test accuracy"), ("top5", "top-5 test accuracy")):
        if type(test.get(key)) in (int, float):
            yield {
                "dataset": data or "unnamed data",
                "metric": metric,
                "value": round(test[key], 2),
                "unit": "%",
                "budget": f"{value.get('epochs')} epochs, batch {value.get('batch_size')}, {value.get('seconds')} s",
                "note": "; ".join([f"{test.get('images')} test images, read once", *listed]),
                "seed": value.get("seed"),
            }
