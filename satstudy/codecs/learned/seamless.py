"""The seamless tiling: transforms that run piece by piece and see what lies around each piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.codecs.learned.latents import FileLatents
from satstudy.codecs.learned.model import LATENT_STRIDE
from satstudy.codecs.learned.stitching import Patch, grid, intervals
from satstudy.codecs.learned.transforms import HALO, Transforms, pad_to_stride
from satstudy.codecs.learned.windows import Window, touched
from satstudy.data.images import Pixels
from satstudy.data.sources import Source, read

#: Side of the pieces in which the transforms run, in pixels, halo not counted.
TRANSFORM_TILE = 512


def analyse(transforms: Transforms, source: Source, tile: Patch) -> Tensor:
    """The latents of one tile as an analysis of the whole image has them: float32 (M, rows, columns)."""
    halo = transforms.margin * LATENT_STRIDE
    rows = []
    for a, b in intervals(tile.height, TRANSFORM_TILE, 0):
        top, bottom = max(0, tile.top + a - halo), min(source.height, tile.top + b + halo)
        line = []
        for c, d in intervals(tile.width, TRANSFORM_TILE, 0):
            left, right = max(0, tile.left + c - halo), min(source.width, tile.left + d + halo)
            pixels = read(source, top, bottom, left, right)
            y = transforms.analysis(pad_to_stride(pixels)[None])[0]
            line.append(y[:, _latents(tile.top + a - top, b - a), _latents(tile.left + c - left, d - c)])
        rows.append(torch.cat(line, dim=2))
    return torch.cat(rows, dim=1)


def _latents(before: int, length: int) -> slice:
    """The latents of `length` pixels that begin `before` pixels into a window."""
    start = before // LATENT_STRIDE
    return slice(start, start + math.ceil(length / LATENT_STRIDE))


def bands(transforms: Transforms, latents: FileLatents, window: Window, bar: tqdm[Any]) -> Iterator[tuple[int, Pixels]]:
    """Bands of the window, rounded; synthesis sees `HALO` latents beyond each piece.

    Yields
    ------
    top : first row of the band, counted from the top of the whole image
    band : uint8 (rows, width of the window, 3)
    """
    header = latents.file.header
    pieces = grid(header.height, header.width, TRANSFORM_TILE, 0)
    rows, columns = touched(pieces.rows, window.y, window.height), touched(pieces.columns, window.x, window.width)
    bar.reset(len(rows) * len(columns))
    for i in rows:
        top, bottom = pieces.rows[i]
        first, last = max(top, window.y), min(bottom, window.y + window.height)
        latents.forget(top // LATENT_STRIDE - HALO)
        band = np.empty((last - first, window.width, 3), np.uint8)
        for j in columns:
            left, right = pieces.columns[j]
            start, end = max(left, window.x), min(right, window.x + window.width)
            region, y, x = latents.region(top, bottom, left, right, HALO)
            pixels = transforms.synthesis(region[None])[0]
            inner = pixels[first - y : last - y, start - x : end - x]
            band[:, start - window.x : end - window.x] = inner.round().to(torch.uint8).cpu().numpy()
            bar.update()
        yield first, band
