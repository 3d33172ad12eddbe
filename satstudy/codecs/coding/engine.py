"""The interface between `LearnedCodec` and a family of models: pixels to latents to bytes, and back.

`LearnedCodec` cuts images into tiles, writes files and joins decoded tiles, for any family. A family defines the
strides of its latents and the receptive fields of its transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

#: The latents of one tile: tensors (channels, rows, columns), each with its own stride.
Latents = tuple[Tensor, ...]
#: Latents and images are padded to multiples of this many pixels.
UNIT = 16


class Engine(Protocol):
    """The transforms and the entropy coder of one set of weights.

    Attributes
    ----------
    device : where the networks run
    strides : pixels per latent along one side, for each tensor of the latents; divisors of 16
    analysis_halo, synthesis_halo : pixels around a piece of an image that must be transformed with it, so that the
        result equals that of the whole image; multiples of 16
    piece : side in pixels, without halo, of the pieces in which large images are transformed
    lam_index : stands for λ in the header of a file (`satstudy.codecs.wavelet.config.lam_of`); 0 for a model of one λ
    """

    device: torch.device
    strides: tuple[int, ...]
    analysis_halo: int
    synthesis_halo: int
    piece: int
    lam_index: int

    def analysis(self, pixels: Tensor) -> list[Latents]:
        """uint8 (b, h, w, 3), sides multiples of 16, to the latents of each image."""
        ...

    def synthesis(self, latents: Sequence[Latents], lam_index: int) -> Tensor:
        """Latents of `b` tiles of one shape to pixels, float32 (b, h, w, 3) in [0, 255]."""
        ...

    def encode(self, tiles: Sequence[Latents]) -> bytes:
        """One stream for a group of tiles."""
        ...

    def decode(self, data: bytes, shapes: Sequence[tuple[int, int]], lam_index: int) -> list[Latents]:
        """The latents of a group of tiles of ⌈height/16⌉ × ⌈width/16⌉ each.

        Raises
        ------
        DamagedFile
            The stream does not fit these shapes.
        """
        ...


@runtime_checkable
class EveryRateEngine(Engine, Protocol):
    """An engine of weights that serve every λ."""

    def at(self, lam: float) -> EveryRateEngine:
        """The same engine at another λ; InputError where a file cannot name it."""
        ...


def padded(pixels: Tensor) -> Tensor:
    """uint8 (h, w, 3) with the last row and column repeated up to multiples of 16."""
    height, width = pixels.shape[:2]
    down, right = -height % UNIT, -width % UNIT
    if not (down or right):
        return pixels
    rows = torch.arange(height + down).clamp_max(height - 1)
    columns = torch.arange(width + right).clamp_max(width - 1)
    return pixels[rows][:, columns]


def unit_shape(height: int, width: int) -> tuple[int, int]:
    """The size of a padded image in units of 16 pixels: (rows, columns).

    >>> unit_shape(1496, 250)
    (94, 16)
    """
    return -(-height // UNIT), -(-width // UNIT)
