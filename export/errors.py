"""Errors of exports, and the first line of another library's error."""

from __future__ import annotations


class ExportError(ValueError):
    """The model can't become a file that gives its outputs; nothing was written."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
