"""Training crops: which image, where, and turned how, as a pure function of seed and step.

Nothing is remembered between steps, so a run resumes at any step with the crops that it would have had,
and several processes take their shares of one global batch without speaking to each other.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.data.images import read_image


class CropSource:
    """Square crops of a list of images.

    Parameters
    ----------
    images : paths, or arrays `uint8 (height, width, 3)`
    crop : side of a crop in pixels; smaller images are mirrored up to it
    seed : of the whole run
    cache_bytes : decoded images kept in memory; the least recently used leave first
    """

    def __init__(
        self, images: Sequence[Path | Pixels], crop: int, seed: int, cache_bytes: int = 3 * 2**30, workers: int = 2
    ):
        if not images:
            raise InputError("There is no image to train on: name a folder that holds some.")
        self.images, self.crop, self.seed = list(images), crop, seed
        self._cache: OrderedDict[int, Pixels] = OrderedDict()
        self._cached, self._cache_bytes = 0, cache_bytes
        self._lock = threading.Lock()  # prefetched batches share the cache
        self._pool = ThreadPoolExecutor(max(1, workers))

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

    def _one(self, rng: np.random.Generator, image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        if min(height, width) < self.crop:
            pad = [(0, max(0, self.crop - height)), (0, max(0, self.crop - width)), (0, 0)]
            image = np.pad(image, pad, mode="symmetric")
            height, width = image.shape[:2]
        top = int(rng.integers(height - self.crop + 1))
        left = int(rng.integers(width - self.crop + 1))
        piece = image[top : top + self.crop, left : left + self.crop]
        # The eight symmetries of the square: overhead imagery has no up.
        piece = np.rot90(piece, int(rng.integers(4)))
        return piece[:, ::-1] if rng.integers(2) else piece

    def batch(self, step: int, size: int, rank: int = 0, world: int = 1) -> Tensor:
        """This process's share of the global batch of `size` crops at `step`.

        Returns
        -------
        float32 (size / world, 3, crop, crop) in [0, 1], channels-last in memory
        """
        pieces = []
        for index in range(rank * size // world, (rank + 1) * size // world):
            rng = np.random.default_rng([self.seed, step, index])
            pieces.append(self._one(rng, self._image(int(rng.integers(len(self.images))))))
        stacked = torch.from_numpy(np.ascontiguousarray(np.stack(pieces)))
        return stacked.permute(0, 3, 1, 2).float().div_(255)

    def prefetch(self, step: int, size: int, rank: int = 0, world: int = 1):  # type: ignore[no-untyped-def]
        """`batch`, begun in the background; `.result()` waits for it."""
        return self._pool.submit(self.batch, step, size, rank, world)
