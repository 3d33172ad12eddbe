"""The order of coding: along the wavefront, all tiles of a group in lock-step.

The context of (r, c) reaches two columns to the right in the rows above, so all positions with equal
c + 3r, of all tiles, are coded in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: Rows and columns, relative to the current position, that the masked 5×5 context reads.
CONTEXT = [(r, c) for r in (-2, -1) for c in (-2, -1, 0, 1, 2)] + [(0, -2), (0, -1)]


class Steps(NamedTuple):
    """The order in which the positions of a group of tiles are coded."""

    positions: list[Tensor]  #: per step, indices into the padded (tile, row, column) grid
    places: list[Tensor]  #: per step, indices into the unpadded (tile, row, column) grid
    padded: tuple[int, int, int]  #: tiles, rows + 2, columns + 4
    grid: tuple[int, int, int]  #: tiles, rows, columns

    def context(self) -> Tensor:
        """int64 (12,): from an index into the padded grid to those of its `CONTEXT`."""
        return torch.tensor([r * self.padded[2] + c for r, c in CONTEXT])


def plan(shapes: Sequence[tuple[int, int]]) -> Steps:
    """The wavefront over tiles of `shapes` (rows, columns), all in lock-step."""
    return _plan(tuple((int(r), int(c)) for r, c in shapes))


@lru_cache(4)
def _plan(shapes: tuple[tuple[int, int], ...]) -> Steps:
    rows, columns = max(r for r, _ in shapes), max(c for _, c in shapes)
    tile, r, c = np.meshgrid(np.arange(len(shapes)), np.arange(rows), np.arange(columns), indexing="ij")
    sizes = np.asarray(shapes)
    inside = (r < sizes[:, 0, None, None]) & (c < sizes[:, 1, None, None])
    tile, r, c = tile[inside], r[inside], c[inside]
    when = c + 3 * r
    order = np.argsort(when, kind="stable")
    padded = ((tile * (rows + 2) + r + 2) * (columns + 4) + c + 2)[order]
    plain = ((tile * rows + r) * columns + c)[order]
    cuts = np.flatnonzero(np.diff(when[order])) + 1
    return Steps(
        [torch.from_numpy(part) for part in np.split(padded, cuts)],
        [torch.from_numpy(part) for part in np.split(plain, cuts)],
        (len(shapes), rows + 2, columns + 4),
        (len(shapes), rows, columns),
    )
