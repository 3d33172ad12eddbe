"""Mosaics of small tiles of one class, for measurements and trainings that need larger images.

Neighbouring tiles show different places.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.core.pixels import mirrored
from satstudy.core.types import Pixels


def mosaic(tiles: Sequence[Pixels], columns: int) -> Pixels:
    """Square tiles row by row: uint8 (rows · side, columns · side, 3).

    Parameters
    ----------
    tiles : a multiple of `columns`. The side is the longer side of the first tile; smaller tiles are extended by their
        mirror image

    Examples
    --------
    >>> mosaic([np.zeros((64, 60, 3), np.uint8)] * 6, columns=3).shape
    (128, 192, 3)
    """
    if not tiles or len(tiles) % columns:
        raise InputError(f"{len(tiles)} tiles do not fill rows of {columns}: take a multiple.")
    side = max(tiles[0].shape[:2])
    whole = [mirrored(tile, side)[:side, :side] for tile in tiles]
    return np.concatenate([np.concatenate(whole[i : i + columns], 1) for i in range(0, len(whole), columns)])


def shrunk(image: Pixels, factor: int) -> Pixels:
    """The image at 1/`factor` of its size, antialiased (Lanczos)."""
    height, width = (max(1, side // factor) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
