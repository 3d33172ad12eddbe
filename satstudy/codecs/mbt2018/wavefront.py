"""The order of coding: wavefronts of latents, in all tiles of a group at once.

The context of (row, column) reaches two columns to the right in the two rows above. So all positions of equal
column + 3·row, in all tiles, are coded in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: (row, column) of the 12 taps of the masked 5×5 context model, relative to the current position.
CONTEXT = [(r, c) for r in (-2, -1) for c in (-2, -1, 0, 1, 2)] + [(0, -2), (0, -1)]


class Steps(NamedTuple):
    """The order in which the positions of a group of tiles are coded.

    Attributes
    ----------
    padded_indices : per step, int64 indices into the flat grid of shape `padded`
    indices : per step, int64 indices of the same positions into the flat grid of shape `grid`
    padded : tiles, rows + 2, columns + 4, so that every context lies inside
    grid : tiles, rows, columns
    """

    padded_indices: list[Tensor]
    indices: list[Tensor]
    padded: tuple[int, int, int]
    grid: tuple[int, int, int]

    def context(self) -> Tensor:
        """int64 (12,): offsets from a padded index to those of its `CONTEXT`."""
        return torch.tensor([r * self.padded[2] + c for r, c in CONTEXT])


def plan(shapes: Sequence[tuple[int, int]]) -> Steps:
    """The order for tiles of `shapes` (rows, columns).

    >>> [index.tolist() for index in plan([(2, 5)]).indices]  # of ten positions, two pairs are coded at once
    [[0], [1], [2], [3, 5], [4, 6], [7], [8], [9]]
    """
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
