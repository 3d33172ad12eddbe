"""Rate and distortion of one image: bpp, PSNR and MS-SSIM."""

from __future__ import annotations

import math

import numpy as np
import torch
from pytorch_msssim import ms_ssim as _ms_ssim

from satstudy.core.errors import InputError
from satstudy.core.types import Pixels

#: Least side for MS-SSIM: five scales and a window of 11 pixels need (11 − 1)·2⁴ + 1 (Wang, Simoncelli, Bovik 2003).
MS_SSIM_SIDE = 161


def bpp(n_bytes: int, height: int, width: int) -> float:
    """Bits per pixel: 8·(bytes of the whole encoded file)/(height·width).

    >>> bpp(1000, height=100, width=80)
    1.0
    """
    if height < 1 or width < 1:
        raise InputError(f"An image of {height}×{width} has no pixels, so no bits per pixel.")
    return 8 * n_bytes / (height * width)


def psnr(a: Pixels, b: Pixels) -> float:
    """PSNR in dB of two images uint8 (height, width, 3), over all channels; inf where they are equal.

    Raises
    ------
    InputError
        Not two uint8 images of one size; so does `ms_ssim`.

    Examples
    --------
    >>> image = np.full((8, 8, 3), 100, np.uint8)
    >>> round(psnr(image, image + 1), 2)  # MSE = 1
    48.13
    """
    _check_pair(a, b)
    rows = max(1, 2**22 // a[0].size)  # by blocks of rows: the differences of a scene of 16,000² take 6 GB
    total = 0
    for top in range(0, len(a), rows):
        difference = a[top : top + rows].astype(np.int64) - b[top : top + rows]
        total += int(np.vdot(difference, difference))
    return psnr_of_error(total, a.size)


def psnr_of_error(squared: int, samples: int) -> float:
    """10·log10(255²/MSE) in dB from the sum of squared errors of `samples` samples; inf for 0, nan without samples."""
    if samples == 0:
        return math.nan
    return math.inf if squared == 0 else 10 * math.log10(255**2 * samples / squared)


def ms_ssim(a: Pixels, b: Pixels) -> float:
    """Multi-scale SSIM of two images uint8 (height, width, 3), in [0, 1]: the mean over R, G and B.

    nan where a side is below `MS_SSIM_SIDE`: the coarsest of the five scales would be smaller than the window, and
    fewer scales would be another metric. By `pytorch_msssim` in float64, since its variance is a difference of
    squares, which float32 rounds differently from one convolution backend to the next.
    """
    _check_pair(a, b)
    if min(a.shape[:2]) < MS_SSIM_SIDE:
        return math.nan
    values = []
    with torch.inference_mode():
        for channel in range(a.shape[2]):  # one at a time, which takes a third of the memory
            x, y = (torch.from_numpy(image[None, None, :, :, channel].astype(np.float64)) for image in (a, b))
            values.append(float(_ms_ssim(x, y, data_range=255)))
    return float(np.mean(values))


def _check_pair(a: Pixels, b: Pixels) -> None:
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.ndim != 3 or a.size == 0:
        raise InputError(
            f"Two uint8 images (height, width, 3) of one size are compared, not {a.dtype} {a.shape} "
            f"and {b.dtype} {b.shape}: decode to 8 bits and crop first."
        )
