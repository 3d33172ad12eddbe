"""The loss that a codec of λ is trained for: CompressAI's λ · 255² · MSE + bpp."""

from __future__ import annotations

from typing import Any


def distortion_weight(lam: Any) -> Any:
    """Bits per pixel that one unit of MSE is worth, for pixels in [0, 1].

    >>> round(distortion_weight(0.013) * 10**(-33 / 10), 3)  # an error of 33 dB
    0.424
    """
    return lam * 255**2


def rate_distortion(lam: Any, mse: Any, bpp: Any) -> Any:
    """The loss of numbers, arrays or tensors: the paper's eq. 1, in CompressAI's convention.

    Parameters
    ----------
    mse : mean squared error of pixels in [0, 1]
    bpp : bits per pixel
    """
    return distortion_weight(lam) * mse + bpp
