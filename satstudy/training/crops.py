"""Random training crops: image, position and orientation follow from the seed, the step and the index in the batch.

Nothing else is remembered between steps. So a resumed run gets the crops of an uninterrupted one, and several processes
take their shares of one batch without communication.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from satstudy.core.errors import InputError
from satstudy.core.pixels import mirrored
from satstudy.core.types import Pixels
from satstudy.data.images import read_image


class CropSource:
    """Random square crops of a list of images.

    Parameters
    ----------
    images : paths, or arrays uint8 (height, width, 3)
    crop : side of a crop in pixels, unless a batch names another; smaller images are extended by their mirror image
    seed : of the run
    weights : how often each image is drawn, relative to the others; equally often by default
    recolour : change the colours of half of the crops (`recoloured`)
    cache_bytes : size limit of the cache of decoded images, least recently used first out
    """

    def __init__(
        self,
        images: Sequence[Path | Pixels],
        crop: int,
        seed: int,
        *,
        weights: Sequence[float] | None = None,
        recolour: bool = False,
        cache_bytes: int = 3 * 2**30,
    ):
        if not images:
            raise InputError("There is no image to train on: name a folder that holds some.")
        if weights is not None and (len(weights) != len(images) or min(weights) < 0 or not sum(weights) > 0):
            raise InputError("Each training image needs a weight of 0 or more, and some image one above 0.")
        self._shares = None if weights is None else np.cumsum(weights) / np.sum(weights)
        self.recolour = recolour
        self.images, self.crop, self.seed = list(images), crop, seed
        self._cache: OrderedDict[int, Pixels] = OrderedDict()
        self._cached, self._cache_bytes = 0, cache_bytes
        self._lock = threading.Lock()  # prefetched batches share the cache
        self._pool = ThreadPoolExecutor(2)

    def _image(self, index: int) -> Pixels:
        entry = self.images[index]
        if isinstance(entry, np.ndarray):
            return entry
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
        image = read_image(entry)
        with self._lock:
            if index not in self._cache:  # another thread may have read it meanwhile
                self._cache[index] = image
                self._cached += image.nbytes
            while self._cached > self._cache_bytes and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        return image

    def _drawn(self, rng: np.random.Generator) -> int:
        if self._shares is None:
            return int(rng.integers(len(self.images)))
        return min(int(np.searchsorted(self._shares, rng.random(), side="right")), len(self.images) - 1)

    def _one(self, rng: np.random.Generator, side: int) -> Pixels:
        image = mirrored(self._image(self._drawn(rng)), side)
        top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
        piece = image[top : top + side, left : left + side]
        # The eight symmetries of the square: overhead imagery has no up.
        piece = np.rot90(piece, int(rng.integers(4)))
        piece = piece[:, ::-1] if rng.integers(2) else piece
        return recoloured(piece, rng) if self.recolour and rng.integers(2) else piece

    def batch(self, step: int, size: int, rank: int = 0, world: int = 1, crop: int | None = None) -> Tensor:
        """This process's share of the batch of `size` crops at `step`, of side `crop`.

        Returns
        -------
        float32 (size / world, 3, crop, crop) in [0, 1], channels-last in memory
        """
        pieces = []
        for index in range(rank * size // world, (rank + 1) * size // world):
            pieces.append(self._one(np.random.default_rng([self.seed, step, index]), crop or self.crop))
        stacked = torch.from_numpy(np.ascontiguousarray(np.stack(pieces)))
        return stacked.permute(0, 3, 1, 2).float().div_(255)

    def prefetch(self, step: int, size: int, rank: int = 0, world: int = 1, crop: int | None = None) -> Future[Tensor]:
        """`batch` in the background; `.result()` waits for it."""
        return self._pool.submit(self.batch, step, size, rank, world, crop)


def recoloured(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The image as another sensor or another season might show it: uint8 (height, width, 3).

    Draws a gamma (0.7 to 1.4), a brightness (0.67 to 1.28) with an offset (±0.05 of the range) and a gain of each band
    (±12 %); every seventh image also changes the order of its bands, as false colour does.
    """
    x = (pixels.astype(np.float32) / 255) ** np.exp(rng.uniform(-0.35, 0.35))
    x = x * np.exp(rng.uniform(-0.4, 0.25)) + rng.uniform(-0.05, 0.05)
    x = x * np.exp(rng.uniform(-0.12, 0.12, 3))
    if rng.random() < 1 / 7:
        x = x[..., rng.permutation(3)]
    return np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)
