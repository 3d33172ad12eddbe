"""Blending of decoded patches, in bands of rows from top to bottom.

A blending weight is the product of a weight along the rows and one along the columns. The weights of all patches over a
pixel add up to one, so a band needs no division by a sum of weights, and the whole image is never held in floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from satstudy.core.errors import InputError
from satstudy.core.geometry import Grid, Span

Weighting = Literal["mean", "ramp"]


def axis_weights(parts: tuple[Span, ...], weighting: Weighting) -> list[NDArray[np.float32]]:
    """The weight of each pixel of each span; the weights at one pixel of the axis add up to one.

    `mean` gives all spans over a pixel the same weight (paper, §3.2). `ramp` lets the weight fall linearly towards an
    edge that another span covers, so that the overlap has no visible edges.

    Raises
    ------
    InputError
        `weighting` is neither.

    Examples
    --------
    >>> [weights.round(2).tolist() for weights in axis_weights(((0, 4), (2, 6)), "mean")]
    [[1.0, 1.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]
    >>> [weights.round(2).tolist() for weights in axis_weights(((0, 4), (2, 6)), "ramp")]
    [[1.0, 1.0, 0.75, 0.25], [0.25, 0.75, 1.0, 1.0]]
    """
    length = parts[-1][1]
    raw = []
    for i, (a, b) in enumerate(parts):
        weight = np.ones(b - a, np.float64)
        if weighting == "ramp":
            at = np.arange(a, b)
            if i > 0 and (shared := parts[i - 1][1] - a) > 0:
                weight = np.minimum(weight, (at - a + 0.5) / shared)
            if i + 1 < len(parts) and (shared := b - parts[i + 1][0]) > 0:
                weight = np.minimum(weight, (b - at - 0.5) / shared)
        elif weighting != "mean":
            raise InputError(f"weighting = {weighting!r}: take 'mean' or 'ramp'.")
        raw.append(weight)
    total = np.zeros(length)
    for (a, b), weight in zip(parts, raw, strict=True):
        total[a:b] += weight
    return [(weight / total[a:b]).astype(np.float32) for (a, b), weight in zip(parts, raw, strict=True)]


def blend(
    layout: Grid,
    patches: Iterable[NDArray[np.float32]],
    weighting: Weighting = "mean",
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Blend patches to an image, in bands of rows.

    Parameters
    ----------
    patches : float32 or uint8 (height, width, 3) in [0, 255], row by row of the layout
    rows, columns : consecutive rows and columns of the layout that `patches` holds, all by default; pixels that other
        patches cover too are incomplete

    Yields
    ------
    top : first row of the band, counted from the top of the image
    band : uint8 (rows, width, 3), rounded once, after blending; it starts at the first of `columns`
    """
    down, across = axis_weights(layout.rows, weighting), axis_weights(layout.columns, weighting)
    rows = range(len(layout.rows)) if rows is None else rows
    columns = range(len(layout.columns)) if columns is None else columns
    start, width = layout.columns[columns[0]][0], layout.columns[columns[-1]][1] - layout.columns[columns[0]][0]
    source = iter(patches)
    carried = np.zeros((0, width, 3), np.float32)
    for i in rows:
        top, bottom = layout.rows[i]
        band = np.zeros((bottom - top, width, 3), np.float32)
        band[: len(carried)] = carried
        for j in columns:
            left, right = layout.columns[j]
            piece = next(source)
            if piece.shape != (bottom - top, right - left, 3):
                raise ValueError(f"patch ({i}, {j}) is {piece.shape}, not {(bottom - top, right - left, 3)}")
            weight = down[i][:, None, None] * across[j][None, :, None]
            band[:, left - start : right - start] += piece * weight
        # Rows above the next row of patches are complete.
        done = (layout.rows[i + 1][0] if i != rows[-1] else bottom) - top
        yield top, np.rint(np.clip(band[:done], 0, 255)).astype(np.uint8)
        carried = band[done:]


def assemble(height: int, width: int, bands: Iterable[tuple[int, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """The image of all bands: uint8 (height, width, 3)."""
    image = np.empty((height, width, 3), np.uint8)
    for top, band in bands:
        image[top : top + len(band)] = band
    return image
