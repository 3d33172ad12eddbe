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
    crop : side of a crop in pixels; smaller images are extended by their mirror image
    seed : of the run
    cache_bytes : size limit of the cache of decoded images, least recently used first out
    """

    def __init__(self, images: Sequence[Path | Pixels], crop: int, seed: int, cache_bytes: int = 3 * 2**30):
        if not images:
            raise InputError("There is no image to train on: name a folder that holds some.")
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

    def _one(self, rng: np.random.Generator, image: Pixels) -> Pixels:
        image = mirrored(image, self.crop)
        top, left = (int(rng.integers(length - self.crop + 1)) for length in image.shape[:2])
        piece = image[top : top + self.crop, left : left + self.crop]
        # The eight symmetries of the square: overhead imagery has no up.
        piece = np.rot90(piece, int(rng.integers(4)))
        return piece[:, ::-1] if rng.integers(2) else piece

    def batch(self, step: int, size: int, rank: int = 0, world: int = 1) -> Tensor:
        """This process's share of the batch of `size` crops at `step`.

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

    def prefetch(self, step: int, size: int, rank: int = 0, world: int = 1) -> Future[Tensor]:
        """`batch` in the background; `.result()` waits for it."""
        return self._pool.submit(self.batch, step, size, rank, world)
