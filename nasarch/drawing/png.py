"""Figures of matplotlib as small PNG files: a palette in place of full colours."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from nasarch.atomic import atomic_path

from .draw import STYLE

DPI = 110
PALETTE_SIZE = 160  # colours; few lines in few colours need no more, and the file is a quarter as large


def render_png(chart: Callable[..., Figure], *arguments: Any) -> bytes:
    """PNG file of the figure that `chart(*arguments)` gives; no setting of matplotlib is changed."""
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # a name in any script
        buffer = io.BytesIO()
        chart(*arguments).savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
    return with_palette(buffer.getvalue())


def save_png(path: Path, chart: Callable[..., Figure], *arguments: Any) -> None:
    """Write the PNG file of the figure that `chart(*arguments)` gives.

    Raises:
        ValueError: the file can't be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(render_png(chart, *arguments))


def with_palette(picture: bytes) -> bytes:
    """The same PNG file with a palette."""
    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(PALETTE_SIZE, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
