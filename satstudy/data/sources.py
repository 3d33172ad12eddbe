"""Image sources of the learned codec: pixels by windows, and where the image has no data."""

from __future__ import annotations

import dataclasses
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from satstudy.core.errors import InputError
from satstudy.core.types import Mask, Pixels


class Source(Protocol):
    """An image that is read by windows."""

    height: int
    width: int

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        """uint8 (bottom − top, right − left, 3)."""


class MaskedSource(Source, Protocol):
    """A source with a mask of pixels without data, which the codec keeps exactly.

    Attributes
    ----------
    fill : value of pixels without data in all bands of the decoded image; None where every pixel has data
    """

    fill: int | None

    def valid(self, top: int, bottom: int, left: int, right: int) -> Mask | None:
        """Which pixels have data: bool (bottom − top, right − left); None if all have."""


@dataclasses.dataclass
class ArraySource:
    """An image in memory.

    Attributes
    ----------
    pixels : uint8 (height, width, 3)
    mask : bool (height, width), which pixels have data; None if all have
    fill : value of pixels without data in all bands of the decoded image; 0 by default where there is a mask
    """

    pixels: Pixels
    mask: Mask | None = None
    fill: int | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise InputError(
                f"An image is uint8 (height, width, 3), not {self.pixels.dtype} {self.pixels.shape}: convert it first."
            )
        self.height, self.width = self.pixels.shape[:2]
        if self.mask is not None:
            if self.mask.dtype != np.bool_ or self.mask.shape != self.pixels.shape[:2]:
                raise InputError(
                    f"A mask is bool {self.pixels.shape[:2]} for this image, not {self.mask.dtype} {self.mask.shape}: "
                    "give one of its size."
                )
            self.fill = self.fill or 0

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        return self.pixels[top:bottom, left:right]

    def valid(self, top: int, bottom: int, left: int, right: int) -> Mask | None:
        return None if self.mask is None else self.mask[top:bottom, left:right]


def masked(source: Source) -> MaskedSource | None:
    """The source if it has a mask, else None."""
    return cast(MaskedSource, source) if getattr(source, "fill", None) is not None else None


def read(source: Source, top: int, bottom: int, left: int, right: int) -> Tensor:
    """The pixels of a rectangle, uint8 (rows, columns, 3); pixels without data are filled by `fill_invalid`."""
    pixels = source.read(top, bottom, left, right)
    with_mask = masked(source)
    valid = with_mask.valid(top, bottom, left, right) if with_mask else None
    if valid is not None and not valid.all():
        pixels = fill_invalid(pixels, valid)
    # PyTorch warns of read-only arrays, which Pillow and rasterio may return.
    return torch.from_numpy(np.require(pixels, requirements=("C", "W")))


def fill_invalid(pixels: Pixels, valid: Mask) -> Pixels:
    """Replace pixels without data by a smooth interpolation of the others.

    Pull-push (Gortler et al., *The Lumigraph*, SIGGRAPH 1996): valid pixels are averaged over squares of 2, 4, 8, …
    pixels, and each gap takes the interpolated mean of the smallest square that has valid pixels.

    Parameters
    ----------
    pixels : uint8 (rows, columns, 3)
    valid : bool (rows, columns), which pixels have data
    """
    colour = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    smooth = _pull_push(colour, torch.from_numpy(valid.astype(np.float32))[None, None])
    filled: Pixels = smooth[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    return filled


def _pull_push(colour: Tensor, valid: Tensor) -> Tensor:
    """float32 (1, 3, h, w) with gaps filled; `valid` (1, 1, h, w) is 0 or 1. Mid-grey if no pixel is valid."""
    if valid.all():
        return colour
    if valid.numel() == 1:
        return torch.full_like(colour, 128)
    share = F.avg_pool2d(valid, 2, ceil_mode=True)
    mean = F.avg_pool2d(colour * valid, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = _pull_push(mean, (share > 0).float())
    return torch.where(valid > 0, colour, F.interpolate(coarse, size=valid.shape[2:], mode="bilinear"))
