"""Optical recognition of handwritten digits (Alpaydin and Kaynak 1998): the 1,797 test images of the UCI data set, in this package.

`digits.npz` holds `images`, uint8 [1797, 8, 8] of grey levels 0 to 16, and `labels`, uint8 [1797]: the values of scikit-learn's
`load_digits`, in its order.

Source:
    E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49, licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
"""

from __future__ import annotations

from importlib import resources

import numpy as np

LEVELS = 16


def read() -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 [1797, 8, 8] of 0 to 255, and labels, int64 [1797]."""
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        return np.round(arrays["images"] * (255 / LEVELS)).astype(np.uint8), arrays["labels"].astype(np.int64)
