"""Images as the learned codec reads them: by windows, with or without pixels that have no data."""

from __future__ import annotations

import dataclasses
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from satstudy.codecs.learned import validity
from satstudy.core.errors import InputError
from satstudy.data.images import Pixels


class Source(Protocol):
    """An image that is read by windows."""

    height: int
    width: int

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        """uint8 (bottom − top, right − left, 3)."""


class MaskedSource(Source, Protocol):
    """One that may have pixels without data, which are kept exactly.

    Any source with `fill` is one: `fill` is the value that those pixels have in all bands of the decoded
    image, None where it has none to tell apart.
    """

    fill: int | None

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_] | None:
        """Where there is data: bool (bottom − top, right − left), or None where all of it is."""


@dataclasses.dataclass
class ArraySource:
    """An image in memory.

    Attributes
    ----------
    pixels : uint8 (height, width, 3)
    mask : bool (height, width), where there is data; None where every pixel has
    fill : with a mask, what pixels without data have in all bands of the decoded image
    """

    pixels: Pixels
    mask: NDArray[np.bool_] | None = None
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

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_] | None:
        return None if self.mask is None else self.mask[top:bottom, left:right]


def masked(source: Source) -> MaskedSource | None:
    """The source, if it tells pixels without data apart."""
    return cast(MaskedSource, source) if getattr(source, "fill", None) is not None else None


def read(source: Source, top: int, bottom: int, left: int, right: int) -> Tensor:
    """The pixels of a rectangle, those without data filled from around them: uint8 (rows, columns, 3)."""
    pixels = source.read(top, bottom, left, right)
    if tells := masked(source):
        valid = tells.valid(top, bottom, left, right)
        if valid is not None and not valid.all():
            pixels = validity.fill(pixels, valid)
    # Torch warns of arrays that cannot be written to, as Pillow's and rasterio's may be.
    return torch.from_numpy(np.require(pixels, requirements=("C", "W")))
