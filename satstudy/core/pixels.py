"""Operations on the pixels of one image that several wings share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satstudy.core.types import Pixels


def luminance(image: Pixels) -> NDArray[np.float32]:
    """Luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B: float32 (height, width) in [0, 255]."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def centre(image: Pixels, side: int, *, mirror: bool = False) -> Pixels:
    """The central square of `side` pixels, as a copy.

    Parameters
    ----------
    mirror : extend an image that is smaller by its mirror image at the right and bottom; else a smaller part returns

    Examples
    --------
    >>> small = np.zeros((40, 100, 3), np.uint8)
    >>> centre(small, 64).shape, centre(small, 64, mirror=True).shape
    ((40, 64, 3), (64, 64, 3))
    """
    if mirror:
        missing = [(0, max(0, side - length)) for length in image.shape[:2]]
        image = np.pad(image, [*missing, (0, 0)], mode="symmetric")
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return np.array(image[top : top + side, left : left + side], order="C")
