"""The latents of a file, decoded group by group when they are first asked for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from satstudy.codecs.learned import validity
from satstudy.codecs.learned.container import Container
from satstudy.codecs.learned.entropy import EntropyCoder
from satstudy.codecs.learned.model import LATENT_STRIDE, latent_shape
from satstudy.data.images import Pixels


class FileLatents:
    """Quantized latents of a file by tile, and masks, decoded group by group when first asked for."""

    def __init__(self, entropy: EntropyCoder, file: Container):
        self.entropy, self.file = entropy, file
        self.layout = file.header.layout()
        self.side = file.header.group
        self._groups: dict[tuple[int, int], dict[tuple[int, int], Tensor]] = {}
        self._masks: dict[tuple[int, int], Pixels | None] = {}

    def forget(self, row: int) -> None:
        """Drop the groups that lie wholly above latent row `row`."""
        rows = self.layout.rows
        for key in list(self._groups):
            last = min((key[0] + 1) * self.side, len(rows)) - 1
            if -(-rows[last][1] // LATENT_STRIDE) <= row:
                del self._groups[key], self._masks[key]

    def _load(self, key: tuple[int, int]) -> None:
        if key in self._groups:
            return
        header = self.file.header
        tiles = header.group_tiles(*key)
        patches = [self.layout[at] for at in tiles]
        shapes = [latent_shape(patch.height, patch.width) for patch in patches]
        stream, mask = self.file.stream(header.group_index(*key)), None
        if header.fill is not None:
            area = header.group_area(*key)
            mask, stream = validity.split(stream, area.height, area.width)
        self._groups[key] = dict(zip(tiles, self.entropy.decode(stream, shapes), strict=True))
        self._masks[key] = mask

    def tile(self, i: int, j: int) -> Tensor:
        """float32 (M, rows, columns)."""
        key = (i // self.side, j // self.side)
        self._load(key)
        return self._groups[key][i, j]

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Which pixels of a rectangle have data: bool (rows, columns)."""
        result = np.ones((bottom - top, right - left), bool)
        down, across = self.file.header.shape()
        span = self.side * (self.file.header.tile - self.file.header.overlap)
        # Where groups overlap they say the same, and the one that begins later is asked.
        for i in range(min(top // span, down - 1), min((bottom - 1) // span, down - 1) + 1):
            for j in range(min(left // span, across - 1), min((right - 1) // span, across - 1) + 1):
                self._load((i, j))
                mask, area = self._masks[i, j], self.file.header.group_area(i, j)
                if mask is not None:
                    a, b = max(top, area.top), min(bottom, area.bottom)
                    c, d = max(left, area.left), min(right, area.right)
                    part = validity.unpack(mask, a - area.top, b - area.top, c - area.left, d - area.left)
                    result[a - top : b - top, c - left : d - left] = part
        return result

    def region(self, top: int, bottom: int, left: int, right: int, halo: int) -> tuple[Tensor, int, int]:
        """The latents under a rectangle of pixels, and up to `halo` more on each side.

        Returns
        -------
        region : float32 (M, rows, columns)
        y, x : the pixel at which it begins
        """
        header, stride = self.file.header, LATENT_STRIDE
        rows, columns = latent_shape(header.height, header.width)
        a, b = max(0, top // stride - halo), min(rows, -(-bottom // stride) + halo)
        c, d = max(0, left // stride - halo), min(columns, -(-right // stride) + halo)
        side = header.tile // stride
        parts = []
        for i in range(a // side, -(-b // side)):
            line = []
            for j in range(c // side, -(-d // side)):
                vertical = slice(max(0, a - i * side), b - i * side)
                line.append(self.tile(i, j)[:, vertical, max(0, c - j * side) : d - j * side])
            parts.append(torch.cat(line, dim=2))
        return torch.cat(parts, dim=1), a * stride, c * stride
