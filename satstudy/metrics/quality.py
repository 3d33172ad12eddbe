"""Rate and distortion: bpp, PSNR and MS-SSIM of an image, BD-rate and rates of curves over images."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ms_ssim as _ms_ssim

from satstudy.core.errors import InputError

#: Five scales and a window of 11 need (11 − 1)·2⁴ pixels and one more (Wang, Simoncelli, Bovik 2003).
MS_SSIM_SIDE = 161


# --- One image ------------------------------------------------------------------------------------------
def bpp(n_bytes: int, height: int, width: int) -> float:
    """Bits a pixel: 8·(bytes of the whole encoded file)/(height·width)."""
    if height < 1 or width < 1:
        raise InputError(f"An image of {height}×{width} has no pixels, so no bits a pixel.")
    return 8 * n_bytes / (height * width)


def _same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.ndim != 3 or a.size == 0:
        raise InputError(
            f"Two uint8 images (height, width, 3) of one size are compared, not {a.dtype} {a.shape} "
            f"and {b.dtype} {b.shape}: decode to 8 bits and crop first."
        )


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """10·log10(255²/MSE) in dB over all channels of two `uint8 (h, w, 3)`; inf where they are equal."""
    _same(a, b)
    rows = max(1, 2**22 // a[0].size)  # by blocks of rows: a scene of 16,000² would need 6 GB at once
    total = 0
    for top in range(0, len(a), rows):
        difference = a[top : top + rows].astype(np.int64) - b[top : top + rows]
        total += int(np.vdot(difference, difference))
    return math.inf if total == 0 else 10 * math.log10(255**2 * a.size / total)


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Multi-scale SSIM of two `uint8 (h, w, 3)` in [0, 1]: the mean over R, G and B, data range 255.

    nan where a side is below `MS_SSIM_SIDE` (161 px): the coarsest of the five scales would be smaller than
    the window, and fewer scales would be another metric.

    By `pytorch_msssim` in float64, a channel at a time: its variance is a difference of squares, which
    float32 rounds differently from one convolution backend to the next.
    """
    _same(a, b)
    if min(a.shape[:2]) < MS_SSIM_SIDE:
        return math.nan
    values = []
    with torch.inference_mode():
        for channel in range(a.shape[2]):
            x, y = (torch.from_numpy(image[None, None, :, :, channel].astype(np.float64)) for image in (a, b))
            values.append(float(_ms_ssim(x, y, data_range=255)))
    return float(np.mean(values))
