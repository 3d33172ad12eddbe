"""Rectangles of pixels, and the grid of patches that covers an image.

A grid is a list of spans (intervals of pixels) along each axis. A seam is the line where two patches meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from satstudy.core.errors import InputError

#: Patches side by side; overlapping patches, averaged (the paper); one transform of the whole image, computed by tiles.
Tiling = Literal["independent", "blend", "seamless"]
TILINGS: tuple[Tiling, ...] = get_args(Tiling)

#: Pixels along one axis: (first, last + 1).
Span = tuple[int, int]


class Rect(NamedTuple):
    """A rectangle of pixels, half open: rows `top … bottom − 1`, columns `left … right − 1`.

    >>> Rect.at(3, 4, width=50, height=20)
    Rect(top=4, bottom=24, left=3, right=53)
    """

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def at(cls, x: int, y: int, width: int, height: int) -> Rect:
        """The rectangle whose upper left pixel is (x, y)."""
        return cls(y, y + height, x, x + width)

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
    patch, overlap : side of a patch, and the pixels that two neighbours share
    rows, columns : spans along each axis, rising; the last may be shorter than `patch`
    """

    height: int
    width: int
    patch: int
    overlap: int
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Rect]:
        return (Rect(*row, *column) for row in self.rows for column in self.columns)

    def __getitem__(self, index: tuple[int, int]) -> Rect:
        return Rect(*self.rows[index[0]], *self.columns[index[1]])

    @property
    def coded_pixels(self) -> int:
        """The sum of the pixels of all patches."""
        return sum(b - a for a, b in self.rows) * sum(b - a for a, b in self.columns)

    @property
    def repeated(self) -> float:
        """Redundant coded pixels (beyond one for each pixel of the image) as a share of all (paper, §3.2: 0.0514)."""
        return 1 - self.height * self.width / self.coded_pixels

    @property
    def seams(self) -> tuple[list[int], list[int]]:
        """Rows and columns where the set of patches over a pixel changes; seam `s` lies between pixels `s − 1` and `s`.

        An overlap has a seam at both of its ends.
        """

        def edges(spans: tuple[Span, ...]) -> list[int]:
            return sorted({edge for (_, end), (start, _) in pairwise(spans) for edge in (start, end)})

        return edges(self.rows), edges(self.columns)


def span_count(length: int, patch: int, overlap: int) -> int:
    """The number of spans that `spans` returns."""
    return 1 if length <= patch else 1 + -(-(length - patch) // (patch - overlap))


def spans(length: int, patch: int, overlap: int) -> tuple[Span, ...]:
    """Spans of `patch` pixels, `patch − overlap` apart, that cover `length`; the last one ends at `length`.

    >>> spans(10, 4, 1)
    ((0, 4), (3, 7), (6, 10))
    """
    step = patch - overlap
    return tuple((i * step, min(i * step + patch, length)) for i in range(span_count(length, patch, overlap)))


def grid(height: int, width: int, patch: int = 256, overlap: int = 8) -> Grid:
    """The patches of an image (paper, §3.2: 256×256 with a step of 248).

    A patch at the right or lower edge ends with the image and may be smaller; moved inwards it would code more pixels
    twice.

    Raises
    ------
    InputError
        An image without pixels, a patch below 1, or an overlap that is negative or as large as the patch.

    Examples
    --------
    >>> layout = grid(1496, 1496, patch=256, overlap=8)
    >>> len(layout), round(100 * layout.repeated, 2)
    (36, 5.14)
    >>> grid(100, 200, patch=100, overlap=0).seams
    ([], [100])
    """
    if height < 1 or width < 1:
        raise InputError(f"An image of {height}×{width} pixels cannot be cut into patches: it needs 1×1 or more.")
    if patch < 1 or not 0 <= overlap < patch:
        raise InputError(f"patch = {patch}, overlap = {overlap}: take an overlap from 0 to patch − 1.")
    return Grid(height, width, patch, overlap, spans(height, patch, overlap), spans(width, patch, overlap))
