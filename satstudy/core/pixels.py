"""Luminance and central crops of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satstudy.core.types import Pixels


def luminance(image: Pixels) -> NDArray[np.float32]:
    """Luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B: float32 (height, width) in [0, 255]."""
    # In whole numbers, so that equal pixels are equally bright: a matrix product may round them differently.
    red, green, blue = np.moveaxis(image.astype(np.int32), 2, 0)
    thousandths = 299 * red + 587 * green + 114 * blue
    return thousandths.astype(np.float32) / np.float32(1000)


def mirrored(image: Pixels, side: int) -> Pixels:
    """The image, extended by its mirror image at the right and bottom where it is smaller than `side`."""
    missing = [(0, max(0, side - length)) for length in image.shape[:2]]
    return np.pad(image, [*missing, (0, 0)], mode="symmetric") if any(after for _, after in missing) else image


def centre(image: Pixels, side: int, *, mirror: bool = False) -> Pixels:
    """The central square of `side` pixels, as a copy.

    Parameters
    ----------
    mirror : extend a smaller image by its mirror image; without, the result is smaller

    Examples
    --------
    >>> small = np.zeros((40, 100, 3), np.uint8)
    >>> centre(small, 64).shape, centre(small, 64, mirror=True).shape
    ((40, 64, 3), (64, 64, 3))
    """
    if mirror:
        image = mirrored(image, side)
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return np.array(image[top : top + side, left : left + side], order="C")
