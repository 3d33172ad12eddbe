"""Patches that are coded each on its own, side by side or overlapping: in batches through the transforms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.codecs.learned.latents import FileLatents
from satstudy.codecs.learned.model import LATENT_STRIDE
from satstudy.codecs.learned.stitching import Grid
from satstudy.codecs.learned.transforms import Transforms, pad_to_stride
from satstudy.data.sources import Source, read

#: Patches that go through a transform together: on a CPU more take memory and save no time.
BATCH = {"cpu": 1, "cuda": 16}


def analyse(
    transforms: Transforms, source: Source, layout: Grid, tiles: list[tuple[int, int]], bar: tqdm[Any]
) -> Iterator[Tensor]:
    """Latents float32 (M, rows, columns) of the patches `tiles`, in their order."""
    batch = BATCH.get(transforms.device.type, 1)
    waiting: list[Tensor] = []
    for index, at in enumerate(tiles):
        waiting.append(pad_to_stride(read(source, *layout[at])))
        # Patches of one shape share a batch.
        last = index + 1 == len(tiles) or _size(layout, *tiles[index + 1]) != _size(layout, *at)
        if last or len(waiting) == batch:
            yield from transforms.analysis(torch.stack(waiting))
            bar.update(len(waiting))
            waiting.clear()


def decoded(
    transforms: Transforms, latents: FileLatents, layout: Grid, rows: list[int], columns: list[int], bar: tqdm[Any]
) -> Iterator[NDArray[np.float32]]:
    """Decoded patches, float32 (height, width, 3) in [0, 255], row by row."""
    together = BATCH.get(transforms.device.type, 1)
    for i in rows:
        latents.forget(layout.rows[i][0] // LATENT_STRIDE)
        start = 0
        while start < len(columns):
            shape = _size(layout, i, columns[start])
            batch = [j for j in columns[start : start + together] if _size(layout, i, j) == shape]
            pixels = transforms.synthesis(torch.stack([latents.tile(i, j) for j in batch])).cpu()
            for part in pixels:
                yield part[: shape[0], : shape[1]].numpy()
            start += len(batch)
            bar.update(len(batch))


def _size(layout: Grid, i: int, j: int) -> tuple[int, int]:
    patch = layout[i, j]
    return patch.height, patch.width
