"""Latent refinement for the wavelet codec: the encoder optimizes the coefficients of each image.

The decision of the encoder (`WaveletModel`) takes each coefficient by itself. It does not see that a coefficient also
changes the predictions of those after it, nor that the second network corrects the image after the inverse transform.
Gradient steps on the coefficients lower the loss of the image with both in view. Weights and decoder stay the same.

During the steps a coefficient is a mixture of the whole residuals below and above: `s` parts of the upper one. Its bits
are the mean of both, and its error has the variance s · (1 − s) of a draw, so that the loss is what drawing whole
residuals would cost on average. The temperature falls, mixtures become whole, and in the end coefficients are rounded.
This is the mean-field form of stochastic Gumbel annealing (Yang, Bamler, Mandt, *Improving inference for neural image
compression*, NeurIPS 2020), without its chance: with bits and variance in closed form no noise is needed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from satstudy.codecs.coding.integers import full_precision
from satstudy.codecs.wavelet.coder import WaveletCoder
from satstudy.codecs.wavelet.config import lam_of
from satstudy.codecs.wavelet.exact import UNIT
from satstudy.codecs.wavelet.model import Prediction, WaveletModel, condition, likelihood, predicted_scale
from satstudy.codecs.wavelet.subbands import Bands, each, stacked
from satstudy.core.loss import distortion_weight

#: Step size of Adam in quantization steps, times the root of the number of steps; its share at the last step.
STEP_SIZE, LAST_STEP_SIZE = 0.22, 0.4
#: Adam's decay of the two moments: short, since the steps are few.
BETAS = (0.75, 0.85)
#: Temperature at the first and the last step.
TEMPERATURE, LAST_TEMPERATURE = 0.4, 0.2
#: Share of the decided coefficients in the start; the rest are the coefficients as the transform gives them.
DECIDED = 0.5
#: Limit of the bits of one residual: an escape costs about this, and some residuals cannot be coded at all.
MOST_BITS = 40.0


def refined(model: WaveletModel, coder: WaveletCoder, index: int, x: Tensor, first: Bands, steps: int) -> list[Bands]:
    """Coefficients of images of one shape that give a lower loss once they are rounded.

    Parameters
    ----------
    model : on the device of `x`, without gradients of its own
    coder : of the same weights
    index : of λ
    x : float32 (b, 3, h, w) in [0, 1]
    first : of all images, from `WaveletModel.decompose`
    steps : gradient steps; each takes about two and a half times as long as decoding

    Returns
    -------
    of each image, to be coded with `decide=False`; where the search found no lower loss, the decided coefficients
    """
    decided = [coder.encode([bands], index) for bands in each(first)]
    plain = [coded[0] for _, coded in decided]
    with full_precision(), torch.inference_mode(False), torch.enable_grad():
        found = _optimized(model, coder, index, x.clone(), first, stacked(plain), steps)
    lam, pixels = lam_of(index), x.shape[2] * x.shape[3]

    def cost(image: Tensor, data: bytes, coded: Bands) -> float:
        """The loss in bits: of bytes and of decoded pixels."""
        x_hat = model.recompose(coded, condition(torch.tensor([lam], device=x.device))).clamp_(0, 1)
        return 8 * len(data) + distortion_weight(lam) * pixels * float((x_hat - image).square().mean())

    better = []
    with torch.no_grad(), full_precision():
        for image, bands, (data, (own,)) in zip(x.split(1), each(found), decided, strict=True):
            other, (rounded,) = coder.encode([bands], index, decide=False)
            better.append(rounded if cost(image, other, rounded) < cost(image, data, own) else own)
    return better


def _optimized(
    model: WaveletModel, coder: WaveletCoder, index: int, x: Tensor, first: Bands, plain: Bands, steps: int
) -> Bands:
    """The coefficients of the last step, not yet whole."""
    lam = torch.full((len(x),), lam_of(index), device=x.device)
    low_step, band_steps = model.steps(lam)
    sizes = [low_step, *band_steps]
    start = [
        ((1 - DECIDED) * one + DECIDED * other) / size
        for one, other, size in zip((first.low, *first.details), (plain.low, *plain.details), sizes, strict=False)
    ]
    values = [value.clone().requires_grad_(True) for value in start]

    def bands() -> Bands:
        low, *details = (value * size for value, size in zip(values, sizes, strict=False))
        return Bands(low, details)

    step_size = STEP_SIZE / math.sqrt(steps)
    optimizer = torch.optim.Adam(values, lr=step_size, betas=BETAS)
    for step in range(steps):
        progress = step / steps
        optimizer.param_groups[0]["lr"] = step_size * (1 - progress * (1 - LAST_STEP_SIZE))
        temperature = TEMPERATURE * (LAST_TEMPERATURE / TEMPERATURE) ** progress
        mixing = _Mixing(coder, index, temperature)
        bits, x_hat = model.coded(bands(), lam, mixing)
        error = (x_hat - x).square().sum() / x.shape[1]
        optimizer.zero_grad()
        (bits.sum() + distortion_weight(lam_of(index)) * error).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        return bands()


class _Mixing:
    """Coefficients as mixtures of two whole residuals (`satstudy.codecs.wavelet.model.Quantizer`)."""

    def __init__(self, coder: WaveletCoder, index: int, temperature: float):
        self.coder, self.index, self.temperature = coder, index, temperature

    def __call__(self, y: Tensor, asked: Prediction, error_bits: Tensor) -> tuple[Tensor, Tensor]:
        residual = y - asked.means
        below = torch.floor(residual.detach())
        share = (residual - below).clamp(1e-4, 1 - 1e-4)
        upper = torch.sigmoid((torch.atanh(share) - torch.atanh(1 - share)) / self.temperature)
        scale = predicted_scale(asked)
        table = self.coder.table_of(asked.level, asked.scales.detach() * UNIT)
        low_bits, high_bits = (self._bits(k, scale, table) for k in (below, below + 1))
        bits = low_bits + upper * (high_bits - low_bits) + error_bits * upper * (1 - upper)
        return bits, below + upper + asked.means

    def _bits(self, k: Tensor, scale: Tensor, table: Tensor) -> Tensor:
        """Bits of whole residuals, as the tables say; the gradient of scales is that of a normal distribution."""
        spent = self.coder.bits(k, table, self.index).clamp_max(MOST_BITS)
        normal = -torch.log2(likelihood(k, scale))
        return spent + normal - normal.detach()
