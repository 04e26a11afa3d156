"""A stub of CUDA's runtime and driver, compiled and loaded before torch is, so that torch sees a device where there is none.

    python -c "from tests.simulated_cuda import stub as stub; stub.load(); import torch; print(torch.cuda.is_available())"

torch's autograd asks the runtime for devices and streams even for tensors that are fake. This module imports no torch: once torch is
loaded it is too late, and so the simulation needs a process of its own.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "cuda_stub"
HEADER = "driver_types.h"


def why_not() -> str | None:
    """Why there can be no stub here."""
    if not sys.platform.startswith("linux"):
        return "the stub of CUDA's runtime is written for Linux"
    if shutil.which("gcc") is None:
        return "the stub of CUDA's runtime needs gcc"
    if headers() is None:
        return f"no {HEADER} of CUDA's runtime (it comes with the packages of a torch that is built for CUDA)"
    return None


def headers() -> Path | None:
    """The folder of CUDA's headers, of the packages that torch brings."""
    found = sorted(Path(sysconfig.get_paths()["purelib"]).glob(f"nvidia/**/include/{HEADER}"))
    return found[-1].parent if found else None


def load() -> None:
    """Load the stub into this process, its names before those of all libraries that come later.

    Raises:
        RuntimeError: torch is loaded already.
        OSError, subprocess.CalledProcessError: it can't be built here (`why_not`).
    """
    if "torch" in sys.modules:
        raise RuntimeError("the stub of CUDA has to be loaded before torch")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "stub.so"
        build(library)
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def build(library: Path) -> None:
    """Compile the stub, under the driver's name, which whoever asks for the driver then gets."""
    folder = headers()
    assert folder is not None
    gcc = ["gcc", "-shared", "-fPIC", "-O1", "-Wl,-soname,libcuda.so.1", f"-I{SOURCE}", f"-I{folder}"]
    subprocess.run([*gcc, str(SOURCE / "runtime.c"), "-o", str(library)], check=True, capture_output=True, text=True)
