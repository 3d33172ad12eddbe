"""The factorized prior of the hyper-latents as integer tables, made once and stored with the weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from satstudy.codecs.coding.integers import ACTIVATION_BITS, LIMIT
from satstudy.codecs.coding.probability import MAX_SYMBOL, TABLE_BITS
from satstudy.codecs.mbt2018.model import Model
from satstudy.core.errors import InputError


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
