"""Tables of the range coder for residuals of wavelet coefficients, counted on training images.

The encoder decides by rate and distortion, so residuals are more often zero than a Gaussian of the predicted scale
says. Counted tables need 3 to 6 % fewer bits than Gaussian ones (`book/decisions/wavelet.md`). They are stored with the
weights as integers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from satstudy.codecs.coding.probability import LEVELS as SCALES
from satstudy.codecs.coding.probability import TABLE_BITS, ResidualTables, gaussian_frequencies, gaussian_tables
from satstudy.core.errors import InputError

#: Levels of the transform with tables of their own, finest first; the last group serves all coarser levels.
GROUPS = 4
#: Ranges of λ with tables of their own; each spans this many indices of λ, the second starts at `SECOND_RATES`.
RATES, RATES_SPAN, SECOND_RATES = 4, 176, -251
#: Name of the tensor in a file of weights.
RESIDUALS = "residuals"
#: Residuals that a Gaussian table, or the table of all levels, counts as, for each column and at least.
PRIOR_COLUMN, PRIOR = 20, 300

Counts = NDArray[np.int64]


def group(level: int) -> int:
    """Which tables serve a level of the transform, 0 (finest) … 7."""
    return min(level, GROUPS - 1)


def rates(index: int) -> int:
    """Which tables serve a λ, given as its index.

    >>> [rates(index) for index in (-427, -252, -251, 0, 277)]
    [0, 0, 1, 2, 3]
    """
    return min(max(0, (index - SECOND_RATES) // RATES_SPAN + 1), RATES - 1)


@lru_cache(1)
def _columns() -> list[slice]:
    """Where each scale's magnitudes 0 … n and its escape stand in a row of counts."""
    widths = gaussian_tables().half_widths
    ends = np.cumsum([n + 2 for n in widths])
    return [slice(int(end) - n - 2, int(end)) for end, n in zip(ends, widths, strict=True)]


def no_counts() -> Counts:
    """Zeros: int64 (ranges of λ, groups, columns)."""
    return np.zeros((RATES, GROUPS, _columns()[-1].stop), np.int64)


def add_counts(counts: Counts, index: int, residuals: NDArray[np.int32], tables: NDArray[np.uint8]) -> None:
    """Count residuals, coded at the λ of `index`, by table and magnitude."""
    widths, starts = np.array(gaussian_tables().half_widths), np.array([column.start for column in _columns()])
    scale = tables % SCALES
    column = starts[scale] + np.minimum(np.abs(residuals), widths[scale] + 1)
    np.add.at(counts[rates(index)], (tables // SCALES, column), 1)


def fitted(counts: Counts) -> dict[str, Tensor]:
    """Integer frequencies from counts, as they are stored: int32 (ranges of λ, groups, columns).

    Tables with few counts stay near those of all levels and λ together, and these near a Gaussian.
    """
    counts = counts.reshape(RATES * GROUPS, -1)
    rows = np.zeros_like(counts)
    for table, columns, n in zip(gaussian_frequencies(), _columns(), gaussian_tables().half_widths, strict=True):
        prior = np.array([*table[n : 2 * n + 1], table[-1]], np.float64)
        prior[1:-1] *= 2  # both signs
        prior /= prior.sum()
        weight = PRIOR + PRIOR_COLUMN * n
        together = counts[:, columns].sum(0)
        prior = (together + weight * prior) / (together.sum() + weight)
        for row, counted in zip(rows, counts, strict=True):
            share = (counted[columns] + weight * prior) / (counted[columns].sum() + weight)
            share[1:-1] /= 2
            row[columns] = np.maximum(1, np.round(share * (1 << TABLE_BITS)))
    return {RESIDUALS: torch.from_numpy(rows.astype(np.int32).reshape(RATES, GROUPS, -1))}


def residual_tables(stored: dict[str, Tensor], index: int) -> ResidualTables:
    """The tables of all groups at the λ of `index`, `LEVELS` each: those stored with the weights, else Gaussian ones.

    Raises
    ------
    InputError
        The stored tables have another shape, or frequencies out of range.
    """
    check_tables(stored)
    if not stored:
        return ResidualTables(gaussian_frequencies() * GROUPS)
    rows = stored[RESIDUALS].numpy()[rates(index)]
    return ResidualTables([_both_signs(row[columns]) for row in rows for columns in _columns()])


def check_tables(stored: dict[str, Tensor]) -> None:
    """Refuse stored tables of another shape or with frequencies out of range; none at all are fine.

    Raises
    ------
    InputError
        They do not fit.
    """
    if not stored:
        return
    plain = stored.get(RESIDUALS, torch.zeros(0)).numpy()
    if set(stored) != {RESIDUALS} or plain.shape != no_counts().shape or plain.dtype != np.int32:
        raise InputError("These weights hold tables of another shape: fetch them again.")
    if plain.min() < 1 or plain.max() > 1 << TABLE_BITS:
        raise InputError("These weights hold tables whose frequencies are out of range: fetch them again.")


def _both_signs(row: NDArray[np.int32]) -> list[int]:
    """Frequencies of −n … n and the escape from those of 0 … n and the escape."""
    return [*row[-2:0:-1].tolist(), *row.tolist()]


def costs(tables: ResidualTables) -> Tensor:
    """Bits of a residual by table and magnitude: float32 (tables, widest table); the last columns are escapes."""
    widest = max(tables.half_widths) + 65
    bits = np.zeros((len(tables), widest), np.float32)
    for i, (table, n) in enumerate(zip(tables.frequencies, tables.half_widths, strict=True)):
        own = -np.log2(np.asarray(table, np.float64) / sum(table))
        bits[i, : n + 1] = own[n : 2 * n + 1]
        bits[i, n + 1 :] = own[-1] + 6 + 2 * np.floor(np.log2(np.arange(1, widest - n)))
    bits[::SCALES, 1:] = np.inf  # the narrowest distribution is not coded
    return torch.from_numpy(bits)
