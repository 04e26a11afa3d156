"""One thread for each test process: several of them with several threads each bring a small machine to a standstill."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for processes that tests start
