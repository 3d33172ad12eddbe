"""What a `.sat` file says about its image: how it was cut into tiles, and those into groups of one stream each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from satstudy.codecs.learned.stitching import Grid, Patch, grid

TILINGS = ("independent", "blend", "blend-ramp", "seamless")
MAX_SIDE = 1 << 17
#: Sides of tiles are multiples of the latents' stride.
TILE_UNIT = 16
#: Pixels along one side of an entropy tile of `seamless`, and of a group of tiles.
MAX_TILE = 4096
#: Pixels along one side of a patch, which goes through the synthesis in one piece.
MAX_PATCH = 1024
#: Pixels a group has at least on average, where there are more than a few.
MIN_GROUP, FEW_GROUPS = 1 << 15, 64


@dataclass(frozen=True)
class Header:
    """What a file says about its image and how it was cut.

    Attributes
    ----------
    tiling : one of `TILINGS`
    tile : side of a patch (independent, blend) or of an entropy tile (seamless) in pixels
    overlap : pixels that neighbouring patches share; 0 but for blends
    group : tiles along one side of a group; a group has one stream
    notes : small JSON object kept with the image, such as a georeference
    fill : value, in all bands, of pixels without data, whose masks then stand before the streams; None
        where the image has no such pixels to tell apart
    """

    height: int
    width: int
    tiling: str
    tile: int
    overlap: int
    group: int
    fingerprint: bytes
    notes: dict[str, Any] = field(default_factory=dict)
    fill: int | None = None

    def in_range(self) -> bool:
        """Whether a reader accepts these numbers.

        An overlap of more than half a tile, or many small groups, would let a small file ask for any amount of
        work, and a larger group or patch for any amount of memory.
        """
        blends = self.tiling.startswith("blend")
        return (
            1 <= self.height <= MAX_SIDE
            and 1 <= self.width <= MAX_SIDE
            and 16 <= self.tile <= (MAX_TILE if self.tiling == "seamless" else MAX_PATCH)
            and self.tile % TILE_UNIT == 0
            and 0 <= self.overlap <= (self.tile // 2 if blends else 0)
            and (self.tile >= 64 or self.tiling != "seamless")
            and 1 <= self.group <= 64
            and self.group * self.tile <= MAX_TILE
            and math.prod(self.shape()) <= max(FEW_GROUPS, max(self.height, 256) * max(self.width, 256) // MIN_GROUP)
            and (self.fill is None or 0 <= self.fill <= 255)
        )

    def layout(self) -> Grid:
        """The tiles."""
        return grid(self.height, self.width, self.tile, self.overlap)

    def tiles(self) -> tuple[int, int]:
        """Tiles along both axes."""
        rows, columns = (_tiles(length, self.tile, self.overlap) for length in (self.height, self.width))
        return rows, columns

    def shape(self) -> tuple[int, int]:
        """Groups along both axes, without listing their tiles."""
        rows, columns = self.tiles()
        return -(-rows // self.group), -(-columns // self.group)

    def group_index(self, row: int, column: int) -> int:
        """Which stream the group at (row, column) has."""
        return row * self.shape()[1] + column

    def group_tiles(self, row: int, column: int) -> list[tuple[int, int]]:
        """The (row, column) of the tiles of one group, in the order they are coded."""
        rows, columns = self.tiles()
        return [
            (i, j)
            for i in range(row * self.group, min((row + 1) * self.group, rows))
            for j in range(column * self.group, min((column + 1) * self.group, columns))
        ]

    def group_area(self, row: int, column: int) -> Patch:
        """The rectangle of pixels that the tiles of one group cover."""
        step = self.tile - self.overlap
        end = (self.group - 1) * step + self.tile
        top, left = row * self.group * step, column * self.group * step
        return Patch(top, min(top + end, self.height), left, min(left + end, self.width))

    def groups(self) -> Iterator[list[tuple[int, int]]]:
        """`group_tiles` of all groups, in the order of the streams."""
        down, across = self.shape()
        return (self.group_tiles(i, j) for i in range(down) for j in range(across))


def _tiles(length: int, tile: int, overlap: int) -> int:
    return 1 if length <= tile else 1 + -(-(length - tile) // (tile - overlap))
