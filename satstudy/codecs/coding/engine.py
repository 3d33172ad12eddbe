"""What a family of learned models does for `LearnedCodec`: pixels to latents to bytes, and back.

`LearnedCodec` cuts images, keeps files and puts tiles together; it does not know which model works in between. A
family says at which strides its latents stand, and how far its transforms see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

#: The latents of one tile: tensors (channels, rows, columns), each at a stride of its own.
Latents = tuple[Tensor, ...]
#: Latents and images are padded to multiples of this many pixels.
UNIT = 16


class Engine(Protocol):
    """The transforms and the entropy coder of one set of weights.

    Attributes
    ----------
    device : where the networks run
    strides : pixels along one side of a sample, of each tensor of the latents; all divide 16
    analysis_halo, synthesis_halo : pixels around a piece of an image that must be transformed with it, so that the
        piece comes out as it does in the whole image; multiples of 16
    piece : side of the pieces in which large images are transformed, in pixels, halo not counted
    rate : what a file stores of λ, 0 for a model of a single λ
    """

    device: torch.device
    strides: tuple[int, ...]
    analysis_halo: int
    synthesis_halo: int
    piece: int
    rate: int

    def analysis(self, pixels: Tensor) -> list[Latents]:
        """uint8 (b, h, w, 3), sides multiples of 16, to the latents of each image."""
        ...

    def synthesis(self, latents: Sequence[Latents], rate: int) -> Tensor:
        """Latents of `b` tiles of one shape to pixels, float32 (b, h, w, 3) in [0, 255]."""
        ...

    def encode(self, tiles: Sequence[Latents]) -> bytes:
        """One stream for a group of tiles."""
        ...

    def decode(self, data: bytes, shapes: Sequence[tuple[int, int]], rate: int) -> list[Latents]:
        """The latents of a group of tiles of ⌈height/16⌉ × ⌈width/16⌉ each.

        Raises
        ------
        DamagedFile
            The stream cannot have been written for these shapes.
        """
        ...


def padded(pixels: Tensor) -> Tensor:
    """uint8 (h, w, 3), its last row and column repeated until both sides are multiples of 16."""
    height, width = pixels.shape[:2]
    down, right = -height % UNIT, -width % UNIT
    if not (down or right):
        return pixels
    rows = torch.arange(height + down).clamp_max(height - 1)
    columns = torch.arange(width + right).clamp_max(width - 1)
    return pixels[rows][:, columns]


def unit_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of 16×16 pixels that an image of `height` × `width` pixels is padded to."""
    return -(-height // UNIT), -(-width // UNIT)
