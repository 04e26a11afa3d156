"""SSD detectors: `load` one from a folder or the Hub, build one with `ssd`. Both are imported when they are asked for: they need torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .detector import load, ssd

__all__ = ["load", "ssd"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import detector

    return getattr(detector, name)
