"""ImageNet16-120: the first 120 classes of the downsampled ImageNet in 16x16 pixels, as in NATS-Bench (Dong et al. 2021, sec. 3.2).

| published file (Chrabaszcz et al. 2017) | holds, pickled |
|---|---|
| train_data_batch_1 ... train_data_batch_10 | data: uint8 [N, 768], red, green, blue, each row by row; labels: 1 to 1000; the mean image |
| val_data | data and labels |

Labels 1 to 120 are taken: 151,700 training and 6,000 test images, which NATS-Bench halves into validation and test images by lists of its
code. Mean and standard deviation are the constants of its code (AutoDL-Projects, get_dataset_with_transform.py), augmentation is crops with
2 pixels of padding and flips, as there. The files are archives of image-net.org that need an account, so there is no download.

They are pickles, which could run any code when they are read; here nothing but NumPy's arrays can be made.
"""

from __future__ import annotations

import codecs
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from nasarch.models.labels import IMAGENET16_CLASSES

NAME = "imagenet16-120"
SIDE, LABELS = 16, 1000
FILES = {  # with their MD5 sums in NATS-Bench's code (AutoDL-Projects, DownsampledImageNet.py)
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    "val_data": "3410e3017fdaefba8d5073aaa65e4bd6",
}
FOLDERS = ("ImageNet16", "")  # of the files within the root: NATS-Bench's archive has the first
_ARRAY = np.empty(0, np.uint8)
LEGAL: dict[tuple[str, str], Any] = {  # what a pickled array names; NumPy 2 renamed numpy.core
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _ARRAY.__reduce__()[0] for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _ARRAY.__reduce_ex__(5)[0] for core in ("core", "_core")},
}


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler of NumPy arrays and plain values, which runs no other code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in LEGAL:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
        return LEGAL[module, name]


def read_parts(root: Path) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """Pixels, uint8 [N, 16, 16, 3], and labels, int64 [N] from 0, of the training and the test images; and their source in words.

    Raises:
        ValueError: a file is missing or damaged.
    """
    folder = next((root / name for name in FOLDERS if (root / name / "val_data").is_file()), root)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"data {NAME!r}: no {missing[0]} in {folder}; unpack Imagenet16_train.zip and Imagenet16_val.zip of "
            "image-net.org/download-images (an account is needed, so --download can't), and give --root FOLDER that holds the files"
        )
    *train, test = [_read(folder / name) for name in FILES]
    others = [name for name, md5 in FILES.items() if hashlib.md5((folder / name).read_bytes()).hexdigest() != md5]
    source = f"ImageNet16's pickled batches, labels 1 to {len(IMAGENET16_CLASSES)}, MD5 sums "
    source += f"other than the published ones: {', '.join(others)}" if others else "as published"
    pixels, labels = map(np.concatenate, zip(*train, strict=True))
    return [(pixels, labels), test], source


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file:
            entry = ArrayUnpickler(file, encoding="latin1").load()
        pixels, labels = entry["data"], np.asarray(entry["labels"])
        if not (isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape == (len(labels), 3 * SIDE * SIDE)):
            raise ValueError(f"data is no uint8 array of {len(labels)} x {3 * SIDE * SIDE}")
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) and not 1 <= labels.min() <= labels.max() <= LABELS:
            raise ValueError(f"labels are no integers from 1 to {LABELS}")
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises all kinds
        words = f"{error}" or type(error).__name__
        raise ValueError(f"{path} is no batch of the downsampled ImageNet in 16x16 pixels ({words}): unpack its archive again") from error
    chosen = labels <= len(IMAGENET16_CLASSES)
    return pixels[chosen].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels[chosen].astype(np.int64) - 1
