"""Rate and distortion of one image: bpp, PSNR and MS-SSIM."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d

from satstudy.core.errors import InputError
from satstudy.core.types import Floats, Pixels

#: Weights of the five scales, the Gaussian window of 11 samples with σ = 1.5, and the two constants for a peak of 255.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
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


def mse(psnr: Any) -> Any:
    """The mean squared error of pixels in [0, 1] that a PSNR in dB stands for; of numbers or arrays.

    >>> mse(30.0)
    0.001
    """
    return 10 ** (-psnr / 10)


def psnr_of_error(squared: int, samples: int) -> float:
    """10·log10(255²/MSE) in dB from the sum of squared errors of `samples` samples; inf for 0, nan without samples."""
    if samples == 0:
        return math.nan
    return math.inf if squared == 0 else 10 * math.log10(255**2 * samples / squared)


def ms_ssim(a: Pixels, b: Pixels) -> float:
    """Multi-scale SSIM of two images uint8 (height, width, 3), in [0, 1]: the mean over R, G and B.

    nan where a side is below `MS_SSIM_SIDE`: the coarsest of the five scales would be smaller than the window, and
    fewer scales would be another metric. In float64, since a variance is a difference of squares; by separable filters,
    which takes a quarter of the time of `pytorch_msssim`, whose values it has to 1e-5.
    """
    _check_pair(a, b)
    if min(a.shape[:2]) < MS_SSIM_SIDE:
        return math.nan
    return float(np.mean([_ms_ssim(a[:, :, c].astype(np.float64), b[:, :, c].astype(np.float64)) for c in range(3)]))


def _ms_ssim(x: Floats, y: Floats) -> float:
    """MS-SSIM of one channel: contrast and structure at every scale, luminance at the coarsest."""
    product = 1.0
    for scale, weight in enumerate(SCALES):
        if scale:
            x, y = _halved(x), _halved(y)
        mean_x, mean_y = _blurred(x), _blurred(y)
        variances = _blurred(x * x) - mean_x**2 + _blurred(y * y) - mean_y**2
        similarity = (2 * (_blurred(x * y) - mean_x * mean_y) + C2) / (variances + C2)
        if scale == len(SCALES) - 1:
            similarity *= (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
        product *= max(0.0, float(similarity.mean())) ** weight
    return product


def _blurred(plane: Floats) -> Floats:
    """Means under the window, where it lies inside the plane: (height − 10, width − 10)."""
    rows = correlate1d(plane, WINDOW, axis=0)[5:-5]
    return np.asarray(correlate1d(rows, WINDOW, axis=1)[:, 5:-5])


def _halved(plane: Floats) -> Floats:
    """Means of 2×2 samples; an odd side is extended by a zero at either end, as in the authors' code for tensors."""
    padded = np.pad(plane, [(side % 2, side % 2) for side in plane.shape])
    height, width = (side // 2 for side in padded.shape)
    return np.asarray(padded[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3)))


def _check_pair(a: Pixels, b: Pixels) -> None:
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.ndim != 3 or a.size == 0:
        raise InputError(
            f"Two uint8 images (height, width, 3) of one size are compared, not {a.dtype} {a.shape} "
            f"and {b.dtype} {b.shape}: decode to 8 bits and crop first."
        )
