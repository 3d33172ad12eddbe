"""Probability tables of the range coder as integer frequencies, equal on every machine.

Latents use the tables of a Gaussian at 64 scales, computed here. Hyper-latents use the tables of each channel's
factorized prior, which are stored with the weights (`satstudy.codecs.mbt2018.prior`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import constriction
import numpy as np

from satstudy.codecs.coding.integers import ACTIVATION_BITS, WEIGHT_BITS

LEVELS = 64  #: number of scales with a table
SCALE_MIN, SCALE_MAX = 0.11, 256.0  #: of CompressAI's scale table
#: Residuals are clamped to ±MAX_SYMBOL, which no useful network reaches.
MAX_SYMBOL = (1 << 15) - 1
#: Frequencies of a table add up to about 2^TABLE_BITS.
TABLE_BITS = 22


def scale_levels() -> list[float]:
    """The scales of the tables, evenly spaced in their logarithm.

    >>> [round(scale, 3) for scale in scale_levels()][::21]
    [0.11, 1.458, 19.318, 256.0]
    """
    step = math.log(SCALE_MAX / SCALE_MIN) / (LEVELS - 1)
    return [SCALE_MIN * math.exp(step * i) for i in range(LEVELS)]


@lru_cache(1)
def scale_thresholds() -> tuple[int, ...]:
    """The boundaries between neighbouring levels, in units of 2^-(WEIGHT_BITS + ACTIVATION_BITS).

    They are geometric means, since the cost of a wrong scale grows with the square of the error in its logarithm.
    """
    levels = scale_levels()
    unit = 1 << (WEIGHT_BITS + ACTIVATION_BITS)
    return tuple(round(math.sqrt(a * b) * unit) for a, b in itertools.pairwise(levels))


@lru_cache(1)
def gaussian_frequencies() -> tuple[tuple[int, ...], ...]:
    """For each level, integer frequencies of the residuals −n … n and of the escape symbol.

    `math.erfc` differs between platforms in the last of 53 bits. Frequencies are rounded to 22 bits, and no value lies
    within 2⁻²⁶ of a tie (tested), so the integers are equal everywhere.
    """

    def below(t: float) -> float:
        return 0.5 * math.erfc(-t / math.sqrt(2))

    tables = []
    for scale in scale_levels():
        n = max(1, math.ceil(5 * scale - 1e-6))
        half = [below((0.5 - k) / scale) - below((-0.5 - k) / scale) for k in range(n + 1)]
        tail = 2 * below((-0.5 - n) / scale)
        probabilities = half[:0:-1] + half + [tail]
        tables.append(tuple(max(1, round(p * (1 << TABLE_BITS))) for p in probabilities))
    return tuple(tables)


def categorical(frequencies: Sequence[int]) -> constriction.stream.model.Categorical:
    """The range coder's model of symbols 0, 1, … with these frequencies."""
    # IEEE 754 rounds quotients correctly, so they are equal on every machine.
    array = np.asarray(frequencies, dtype=np.float64)
    return constriction.stream.model.Categorical(array / array.sum(), perfect=False)


class ResidualTables:
    """Tables of residuals, each for the range coder: symbol k + n is the residual k, the last symbol is the escape.

    Parameters
    ----------
    frequencies : of each table, integers for the residuals −n … n and for the escape

    Attributes
    ----------
    half_widths : n of each table
    models : of the range coder
    """

    def __init__(self, frequencies: Sequence[Sequence[int]]):
        self.frequencies = frequencies
        self.half_widths = [(len(table) - 2) // 2 for table in frequencies]
        self.models = [categorical(table) for table in frequencies]

    def __len__(self) -> int:
        return len(self.models)


@lru_cache(1)
def gaussian_tables() -> ResidualTables:
    """The tables of `gaussian_frequencies`, one for each level."""
    return ResidualTables(gaussian_frequencies())
