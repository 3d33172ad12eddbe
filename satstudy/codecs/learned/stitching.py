"""Cutting an image into patches and putting decoded patches together again.

Everything is separable: a grid is a list of intervals along each axis, a blending weight the product of
one weight along the rows and one along the columns. Weights of all patches over a pixel add up to one, so
an image is rebuilt band by band, without counting afterwards and without the whole image in floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satstudy.core.errors import InputError

Weighting = Literal["mean", "ramp"]
Interval = tuple[int, int]


class Patch(NamedTuple):
    """A rectangle of pixels, half open: rows `top … bottom − 1`, columns `left … right − 1`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


@dataclass(frozen=True)
class Grid:
    """The patches that cover an image, row by row.

    Attributes
    ----------
    rows, columns : intervals along each axis, in pixels, rising; the last may be shorter than `patch`
    """

    height: int
    width: int
    patch: int
    overlap: int
    rows: tuple[Interval, ...]
    columns: tuple[Interval, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Patch]:
        return (Patch(*row, *column) for row in self.rows for column in self.columns)

    def __getitem__(self, index: tuple[int, int]) -> Patch:
        return Patch(*self.rows[index[0]], *self.columns[index[1]])

    @property
    def coded_pixels(self) -> int:
        """Pixels coded, those in overlaps as often as they are coded."""
        return sum(b - a for a, b in self.rows) * sum(b - a for a, b in self.columns)

    @property
    def repeated(self) -> float:
        """Share of the coded pixels that is coded more than once needed (paper, §3.2: 0.0514)."""
        return 1 - self.height * self.width / self.coded_pixels


def intervals(length: int, patch: int, overlap: int) -> tuple[Interval, ...]:
    """Intervals of `patch` pixels, `patch − overlap` apart, that cover `length`; the last is cut at the end."""
    step = patch - overlap
    count = 1 if length <= patch else 1 + -(-(length - patch) // step)
    return tuple((i * step, min(i * step + patch, length)) for i in range(count))


def grid(height: int, width: int, patch: int = 256, overlap: int = 8) -> Grid:
    """The patches of an image (paper, §3.2: 256×256 with a step of 248).

    A patch at the right or lower edge ends with the image, so it may be smaller; moving it inwards
    instead would code more pixels twice.

    Raises
    ------
    InputError
        No pixel, a patch below 1, or an overlap that is negative or as large as the patch.

    Examples
    --------
    >>> g = grid(1496, 1496, patch=256, overlap=8)
    >>> len(g), round(100 * g.repeated, 2)
    (36, 5.14)
    """
    if height < 1 or width < 1:
        raise InputError(f"An image of {height}×{width} pixels cannot be cut into patches: it needs 1×1 or more.")
    if patch < 1 or not 0 <= overlap < patch:
        raise InputError(f"patch = {patch}, overlap = {overlap}: take an overlap from 0 to patch − 1.")
    return Grid(height, width, patch, overlap, intervals(height, patch, overlap), intervals(width, patch, overlap))


def axis_weights(parts: tuple[Interval, ...], weighting: Weighting) -> list[NDArray[np.float32]]:
    """One weight a pixel for each interval, adding up to one at every pixel of the axis.

    `mean` gives every interval over a pixel the same weight (paper, §3.2). `ramp` lets it fall linearly
    towards an edge that another interval covers, so that no step is left where an overlap begins.
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
    """Put patches together, band by band.

    Parameters
    ----------
    patches : float32 or uint8 (height, width, 3) in [0, 255], row by row
    rows, columns : consecutive rows and columns of the layout that `patches` holds; all by default.
        Pixels that a patch left out would contribute to are incomplete.

    Yields
    ------
    top : first row of the band, counted from the top of the image
    band : uint8 (rows, width, 3), rounded once, after blending; it begins with the first of `columns`
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
        # Rows that no later patch reaches are finished.
        done = (layout.rows[i + 1][0] if i != rows[-1] else bottom) - top
        yield top, np.rint(np.clip(band[:done], 0, 255)).astype(np.uint8)
        carried = band[done:]


def assemble(height: int, width: int, bands: Iterable[tuple[int, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """One image from its bands."""
    image = np.empty((height, width, 3), np.uint8)
    for top, band in bands:
        image[top : top + len(band)] = band
    return image


def seams(layout: Grid) -> tuple[list[int], list[int]]:
    """Rows and columns where one patch takes over from the next.

    Returns
    -------
    rows, columns : seam `s` lies between pixels `s − 1` and `s`. With an overlap, both of its ends are
        seams: there the number of patches that contribute changes.
    """

    def of(parts: tuple[Interval, ...]) -> list[int]:
        inner = {a for a, _ in parts[1:]} | {b for _, b in parts[:-1]}
        return sorted(inner)

    return of(layout.rows), of(layout.columns)
