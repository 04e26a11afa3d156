"""Lets a script that was started by its path import `benchmarks` and `tests` of this checkout, and nasarch as it is installed.

The checkout has a folder nasarch/ without the sub-packages that lie beside it (see pyproject.toml), so its root must not come before an
installed nasarch; and other projects leave packages `tests` and `benchmarks`, so these two are imported while the root does come first.
Scripts begin with

    if not __package__:
        import checkout
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])

sys.path.insert(0, ROOT)
for name in ("benchmarks", "tests"):
    import_module(name)
sys.path.remove(ROOT)
sys.path.append(ROOT)  # for what these import in processes of their own
