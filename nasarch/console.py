"""What a command prints: JSON, and tables that a terminal does not cut."""

from __future__ import annotations

import json
from typing import Any


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_rich(table: Any) -> None:
    """To a terminal at its width unless that would cut something; to a file or pipe at full width."""
    from rich.console import Console

    wide = Console(width=1000)
    console = Console(highlight=False)
    least = wide.measure(table).minimum if console.is_terminal else wide.measure(table).maximum
    console.width = max(console.width, least)
    console.print(table)
