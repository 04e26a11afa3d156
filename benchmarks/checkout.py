"""Lets a script that was started by its path import `benchmarks` and `tests` of this checkout, and nasarch as it is installed.

The checkout has a folder nasarch/ without the sub-packages that lie beside it (see pyproject.toml), so it must not come before an installed
nasarch; and other packages bring a `tests` of their own, so it must not come last. Each is therefore imported while its place is first.
Scripts begin with

    if not __package__:
        import checkout
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])

import_module("nasarch")  # from where it is installed: of this checkout only the folder of the script is on the path so far
sys.path.insert(0, ROOT)
for name in ("benchmarks", "tests"):
    import_module(name)
sys.path.remove(ROOT)
sys.path.append(ROOT)  # for what these import in processes of their own
