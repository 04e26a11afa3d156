"""SSD detectors: build one with `ssd`, `save` it in a folder, `load` it from there or the Hub, count its `cost`. Imported late."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .detector import cost, load, save, ssd

__all__ = ["cost", "load", "save", "ssd"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import detector

    return getattr(detector, name)
