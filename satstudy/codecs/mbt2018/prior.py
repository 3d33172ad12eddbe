"""Integer probability tables of the hyper-latents: computed once from the factorized prior, stored with the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from satstudy.codecs.coding.integers import ACTIVATION_BITS, LIMIT
from satstudy.codecs.coding.probability import MAX_SYMBOL, TABLE_BITS
from satstudy.codecs.mbt2018.model import Model
from satstudy.core.errors import InputError


def hyper_tables(model: Model) -> dict[str, Tensor]:
    """Integer tables of the factorized prior of z.

    Returns
    -------
    dict
        `z_frequencies` int32 (N, width): frequencies of the values `z_start`, `z_start + 1`, …, zero where a channel
        has fewer values; the last column is the frequency of the escape symbol. `z_start`, `z_length` and `z_median`
        int32 (N,), the median in units of 2^-ACTIVATION_BITS.
    """
    bottleneck = copy.deepcopy(model.entropy_bottleneck).cpu().double()
    with torch.no_grad():
        quantiles = bottleneck.quantiles[:, 0]
        median = torch.round(quantiles[:, 1] * (1 << ACTIVATION_BITS)).clamp(-LIMIT, LIMIT)
        centre = median / (1 << ACTIVATION_BITS)
        start = torch.floor(quantiles[:, 0] - centre).clamp(-MAX_SYMBOL, -1).int()
        stop = torch.ceil(quantiles[:, 2] - centre).clamp(1, MAX_SYMBOL).int()
        # CompressAI's quantiles leave 1e-9 of the mass outside; a useful prior is never wider than this.
        start, stop = start.clamp_min(-255), stop.clamp_max(255)
        length = stop - start + 1
        width = int(length.max())
        offsets = torch.arange(width)[None]
        samples = (start[:, None] + offsets).double() + centre[:, None]
        probability = bottleneck._likelihood(samples[:, None])[0][:, 0]
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


def check_tables(tables: dict[str, Tensor], N: int) -> None:
    """Check the tables of a weights file.

    Raises
    ------
    InputError
        They are missing, of the wrong shape, or out of range.
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
