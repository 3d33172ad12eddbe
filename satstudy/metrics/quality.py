"""Rate and distortion: bpp, PSNR and MS-SSIM of an image, BD-rate and rates of curves over images."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pytorch_msssim import ms_ssim as _ms_ssim
from scipy.interpolate import PchipInterpolator

from satstudy.core.errors import InputError
from satstudy.metrics.bootstrap import (
    Floats,
    Interval,
    bootstrap_interval,
    cluster_bootstrap,
    difference_interval,
    proportion_interval,
)

__all__ = [
    "MS_SSIM_SIDE", "Interval", "bd_rate", "bd_rate_interval", "bootstrap_interval", "bpp", "cluster_bootstrap",
    "difference_interval", "interpolated_means", "ms_ssim", "overlap", "proportion_interval", "psnr", "rate_at_psnr",
]  # fmt: skip

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


# --- Curves ---------------------------------------------------------------------------------------------


def _curve(bpp: ArrayLike, psnr: ArrayLike) -> tuple[Floats, Floats]:
    """A curve by rising PSNR; of points with equal PSNR the cheapest is kept."""
    rate, quality = np.asarray(bpp, dtype=np.float64), np.asarray(psnr, dtype=np.float64)
    if rate.shape != quality.shape or rate.ndim != 1:
        raise InputError(f"A curve is as many rates as PSNR values, not {rate.shape} and {quality.shape}.")
    if not (np.isfinite(rate).all() and np.isfinite(quality).all() and (rate > 0).all()):
        raise InputError("A curve needs rates above 0 and finite PSNR: leave lossless points out.")
    order = np.lexsort((rate, quality))
    quality, first = np.unique(quality[order], return_index=True)
    if len(quality) < 2:
        raise InputError("A curve needs two points of different PSNR or more: evaluate more settings.")
    return rate[order][first], quality


def overlap(ref_psnr: ArrayLike, test_psnr: ArrayLike) -> tuple[float, float]:
    """(low, high) in dB: the PSNR that both curves reach. Raises InputError where there is none."""
    ref, test = np.asarray(ref_psnr), np.asarray(test_psnr)
    low, high = float(max(ref.min(), test.min())), float(min(ref.max(), test.max()))
    if not low < high:
        raise InputError(
            f"The curves share no PSNR ({ref.min():.2f}–{ref.max():.2f} dB and {test.min():.2f}–{test.max():.2f} dB): "
            "add settings until they overlap."
        )
    return low, high


def bd_rate(
    ref_bpp: ArrayLike,
    ref_psnr: ArrayLike,
    test_bpp: ArrayLike,
    test_psnr: ArrayLike,
    method: Literal["pchip", "akima"] = "pchip",
) -> float:
    """Bjøntegaard's average rate difference in percent at equal PSNR; negative where `test` needs less.

    By the `bjontegaard` package, over the PSNR that both curves reach (see `overlap`). The default is
    `pchip`, as in the common test conditions of JCT-VC and JVET (JVET-T2010): it keeps rate monotone between
    measured points. Herglotz et al. (arXiv 2202.12565) find `akima` nearer to the truth on four-point curves;
    with eight points the two agree to a fraction of a percent.

    Raises
    ------
    InputError
        No common PSNR, fewer than two points, or a point that is not finite.
    """
    # Imported here because it imports matplotlib.pyplot, which the codec alone does not need.
    from bjontegaard import bd_rate as library

    (rate_a, psnr_a), (rate_b, psnr_b) = _curve(ref_bpp, ref_psnr), _curve(test_bpp, test_psnr)
    overlap(psnr_a, psnr_b)
    options: dict[str, Any] = {"require_matching_points": False, "min_overlap": 0}
    return float(library(rate_a, psnr_a, rate_b, psnr_b, method=method, **options))


def rate_at_psnr(bpp: ArrayLike, psnr: ArrayLike, target: float) -> float:
    """bpp of a curve at `target` dB, by pchip through log(bpp) over PSNR; nan outside the curve."""
    rate, quality = _curve(bpp, psnr)
    return float(np.exp(PchipInterpolator(quality, np.log(rate), extrapolate=False)(target)))


def interpolated_means(bpp: ArrayLike, psnr: ArrayLike, count: int = 50) -> tuple[Floats, Floats]:
    """Mean PSNR at equal rates: each image's PSNR over log(bpp) interpolated, then averaged over images.

    Unlike the mean of each setting, every point compares images at one rate, as papers that plot "PSNR at
    x bpp" do.

    Parameters
    ----------
    bpp, psnr : (images, settings)
    count : number of rates

    Returns
    -------
    rates, means : (count,), the rates evenly spaced in log over the range that *every* image reaches

    Raises
    ------
    InputError
        The images share no range of rates.
    """
    rate, quality = np.asarray(bpp, dtype=np.float64), np.asarray(psnr, dtype=np.float64)
    low, high = rate.min(axis=1).max(), rate.max(axis=1).min()
    if not 0 < low < high:
        raise InputError(
            f"No rate is reached by all {len(rate)} images (the dearest starts at {low:.3f} bpp, the cheapest ends at "
            f"{high:.3f}): evaluate more settings."
        )
    rates = np.geomspace(low, high, count)
    means = np.zeros(count)
    for image_rate, image_psnr in zip(rate, quality, strict=True):
        order = np.lexsort((-image_psnr, image_rate))
        x, first = np.unique(np.log(image_rate[order]), return_index=True)
        means += PchipInterpolator(x, image_psnr[order][first])(np.clip(np.log(rates), x[0], x[-1])) / len(rate)
    return rates, means


def bd_rate_interval(
    ref_bpp: ArrayLike, ref_psnr: ArrayLike, test_bpp: ArrayLike, test_psnr: ArrayLike, **options: Any
) -> Interval:
    """BD-rate of the mean curves in percent, with a bootstrap over images that both codecs share.

    Parameters
    ----------
    ref_bpp, ref_psnr : (images, settings of the reference)
    test_bpp, test_psnr : (images, settings of the other), rows in the same order
    options : of `bootstrap_interval`

    Raises
    ------
    InputError
        The mean curves do not overlap, or the numbers of images differ.
    """
    parts = [np.asarray(part, dtype=np.float64) for part in (ref_bpp, ref_psnr, test_bpp, test_psnr)]
    if len({len(part) for part in parts}) > 1:
        raise InputError("Both codecs must have coded the same images, a row each.")
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]

    overlap(parts[1].mean(axis=0), parts[3].mean(axis=0))  # no number at all where all images give none

    def of_means(means: Floats) -> float:
        try:
            rate_a, psnr_a, rate_b, psnr_b = np.split(means, ends)
            return bd_rate(rate_a, psnr_a, rate_b, psnr_b)
        except InputError:
            return math.nan

    return bootstrap_interval(np.concatenate(parts, axis=1), of_means, **options)
