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
import torch
import torch.nn.functional as F
from torch import Tensor

from satstudy.codecs.learned.integers import ACTIVATION_BITS, LIMIT, WEIGHT_BITS
from satstudy.codecs.learned.model import Model
from satstudy.core.errors import InputError

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


def hyper_tables(model: Model) -> dict[str, Tensor]:
    """Integer tables of the factorized prior of z, to be stored with the weights.

    Returns
    -------
    dict
        `z_frequencies` int32 (N, width): frequencies of `z_start`, `z_start + 1`, …, then of an escape in
        the last column, zero where a channel has fewer values; `z_start`, `z_length` and `z_median`
        int32 (N,), the median in units of 2^-ACTIVATION_BITS.
    """
    bottleneck = model.entropy_bottleneck
    with torch.no_grad():
        quantiles = bottleneck.quantiles.detach().double().cpu()[:, 0]
        median = torch.round(quantiles[:, 1] * (1 << ACTIVATION_BITS)).clamp(-LIMIT, LIMIT)
        centre = median / (1 << ACTIVATION_BITS)
        start = torch.floor(quantiles[:, 0] - centre).clamp(-MAX_SYMBOL, -1).int()
        stop = torch.ceil(quantiles[:, 2] - centre).clamp(1, MAX_SYMBOL).int()
        # The tails hold 1e-9 of the mass by CompressAI's default; more than this width is no prior of use.
        start, stop = start.clamp_min(-255), stop.clamp_max(255)
        length = stop - start + 1
        width = int(length.max())
        offsets = torch.arange(width)[None]
        samples = (start[:, None] + offsets).double() + centre[:, None]
        probability = _prior_mass(model, samples)
        probability = torch.where(offsets < length[:, None], probability, torch.zeros(()).double())
        escape = (1 - probability.sum(1, keepdim=True)).clamp_min(0)
        frequencies = torch.round(torch.cat((probability, escape), 1) * (1 << TABLE_BITS)).clamp_min(1)
        inside = torch.cat((offsets < length[:, None], torch.ones(len(length), 1, dtype=torch.bool)), 1)
        frequencies = torch.where(inside, frequencies, torch.zeros(()).double()).int()
    return {
        "z_frequencies": frequencies,
        "z_start": start,
        "z_length": length.int(),
        "z_median": median.int(),
    }


def _prior_mass(model: Model, values: Tensor) -> Tensor:
    """Mass of [v − ½, v + ½] under the factorized prior, in double precision; values float64 (N, n)."""
    bottleneck = model.entropy_bottleneck

    def logits(x: Tensor) -> Tensor:
        x = x[:, None]
        for i, matrix in enumerate(bottleneck.matrices):
            x = F.softplus(matrix.detach().cpu().double()) @ x + bottleneck.biases[i].detach().cpu().double()
            if i < len(bottleneck.factors):
                x = x + torch.tanh(bottleneck.factors[i].detach().cpu().double()) * torch.tanh(x)
        return x[:, 0]

    return torch.sigmoid(logits(values + 0.5)) - torch.sigmoid(logits(values - 0.5))


def check_tables(tables: dict[str, Tensor], N: int) -> None:
    """Refuse tables that a weights file may bring and that no `hyper_tables` made.

    Raises
    ------
    InputError
        Missing, of the wrong shape, or out of range.
    """
    try:
        frequencies, start = tables["z_frequencies"], tables["z_start"]
        length, median = tables["z_length"], tables["z_median"]
        good = (
            frequencies.dim() == 2
            and frequencies.dtype == torch.int32
            and frequencies.shape[0] == N
            and all(t.shape == (N,) and t.dtype == torch.int32 for t in (start, length, median))
            and bool(((length >= 3) & (length + 1 <= frequencies.shape[1])).all())
            and bool((start.abs() <= MAX_SYMBOL).all() and (median.abs() <= LIMIT).all())
            and bool((frequencies >= 0).all() and (frequencies < 1 << 23).all() and frequencies.shape[1] <= 1024)
        )
    except (KeyError, AttributeError):
        good = False
    if not good:
        raise InputError("The probability tables in these weights are missing or damaged: fetch the weights again.")
