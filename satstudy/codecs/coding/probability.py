"""The probabilities of symbols as integer frequencies, the same on every machine.

Two kinds of tables: of a Gaussian at each of 64 scales, for the latents, made here; and of each channel's
factorized prior, for the hyper-latents, made once and stored with the weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import constriction
import numpy as np

from satstudy.codecs.coding.integers import ACTIVATION_BITS, WEIGHT_BITS

LEVELS = 64  #: scales that a probability table exists for
SCALE_MIN, SCALE_MAX = 0.11, 256.0  #: of CompressAI's scale table
#: A residual is coded within ±MAX_SYMBOL; no network of use comes near.
MAX_SYMBOL = (1 << 15) - 1
#: Frequencies of the tables that are stored with the weights.
TABLE_BITS = 22


def scale_levels() -> list[float]:
    """The scales of the tables, evenly spaced in their logarithm."""
    step = math.log(SCALE_MAX / SCALE_MIN) / (LEVELS - 1)
    return [SCALE_MIN * math.exp(step * i) for i in range(LEVELS)]


@lru_cache(1)
def scale_thresholds() -> tuple[int, ...]:
    """Where one level ends and the next begins, in units of 2^-(WEIGHT_BITS + ACTIVATION_BITS).

    The geometric mean of two neighbouring levels: the loss of coding with the wrong scale grows with the
    square of the error in its logarithm.
    """
    levels = scale_levels()
    unit = 1 << (WEIGHT_BITS + ACTIVATION_BITS)
    return tuple(round(math.sqrt(a * b) * unit) for a, b in itertools.pairwise(levels))


@lru_cache(1)
def gaussian_frequencies() -> tuple[tuple[int, ...], ...]:
    """For each level, integer frequencies of the residuals −n … n and, last, of an escape.

    `math.erfc` differs between platforms in the last of 53 bits; frequencies are rounded to 22, and no
    rounding happens within 2⁻²⁶ of a tie (tested), so these integers are the same everywhere.
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
    # Quotients by the sum are correctly rounded (IEEE 754), and so the same on every machine.
    array = np.asarray(frequencies, dtype=np.float64)
    return constriction.stream.model.Categorical(array / array.sum(), perfect=False)


@lru_cache(1)
def gaussian_models() -> list[constriction.stream.model.Categorical]:
    """One for each level: symbol k + n is the residual k, the last one the escape."""
    return [categorical(frequencies) for frequencies in gaussian_frequencies()]
