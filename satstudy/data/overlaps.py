"""Search for images with common pixels, which show the same ground.

Some data sets have overlapping tiles of larger images. These are not independent, and in different splits they leak.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm.auto import tqdm

from satstudy.core.types import Pixels
from satstudy.data.images import read_image
from satstudy.data.records import ImageRecord

#: Side of the blocks in pixels: an overlap of 2 · BLOCK − 1 pixels or more contains a block of each image's grid.
BLOCK = 8
#: Odd multipliers of the hash, along rows and columns.
_ALONG, _DOWN = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_FILTER_BITS = 24


class Overlap(NamedTuple):
    """Two images that show the same ground: pixel (y, x) of the first is pixel (y + dy, x + dx) of the second."""

    first: int
    second: int
    dy: int
    dx: int
    pixels: int  #: area of the overlap


def find_overlaps(images: Sequence[Path | Pixels], progress: bool = True) -> list[Overlap]:
    """All pairs of images that overlap with equal pixels, at a displacement by whole pixels.

    A rolling hash finds the 8×8 blocks of each image's grid at all positions of later images; every match is verified
    pixel by pixel. Overlaps narrower than 15 pixels can be missed. Tiles that were resampled or compressed after
    cutting are not found.

    Parameters
    ----------
    images : uint8 (height, width, 3), or files; each is read up to three times

    Examples
    --------
    >>> scene = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    >>> find_overlaps([scene[:64, :64], scene[:, 70:], scene[10:, 40:]], progress=False)
    [Overlap(first=0, second=2, dy=-10, dx=-40, pixels=1296), Overlap(first=1, second=2, dy=-10, dx=30, pixels=3500)]
    """
    if not images:
        return []
    known = [_grid_blocks(_pixels(image)) for image in tqdm(images, "blocks", unit="image", disable=not progress)]
    owner = np.repeat(np.arange(len(images)), [len(hashes) for hashes, _ in known])
    hashes, places = (np.concatenate([part[k] for part in known]) for k in (0, 1))
    order = np.argsort(hashes, kind="stable")
    hashes, places, owner = hashes[order], places[order], owner[order]
    # A table of the hashes' low bits rules out most blocks quickly.
    possible = np.zeros(1 << _FILTER_BITS, np.bool_)
    possible[_low_bits(hashes)] = True
    found = []
    for second, image in enumerate(tqdm(images, "overlaps", unit="image", disable=not progress)):
        for first, dy, dx in sorted(_candidates(_pixels(image), second, hashes, places, owner, possible)):
            pixels = _equal_pixels(_pixels(images[first]), _pixels(image), dy, dx)
            if pixels:
                found.append(Overlap(first, second, dy, dx, pixels))
    return sorted(found)


def merge_objects(records: Sequence[ImageRecord], overlaps: Sequence[Overlap]) -> list[ImageRecord]:
    """The records, with one object for all images that overlap directly or through other images.

    A merged object has the first of the names in sorted order.
    """
    names, given = np.unique([record.object for record in records], return_inverse=True)
    pairs = np.array([(given[o.first], given[o.second]) for o in overlaps], dtype=np.intp).reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names)))
    group = connected_components(links, directed=False)[1]
    first = {label: str(names[i]) for i, label in reversed(list(enumerate(group)))}
    return [record._replace(object=first[group[i]]) for record, i in zip(records, given, strict=True)]


def _pixels(image: Path | Pixels) -> Pixels:
    return image if isinstance(image, np.ndarray) else read_image(image)


def _rolling_hash(image: Pixels) -> NDArray[np.uint64]:
    """The hash of the block at each pixel, (height − 7, width − 7); empty for images smaller than a block."""
    if min(image.shape[:2]) < BLOCK:
        return np.empty((0, 0), np.uint64)
    red, green, blue = np.moveaxis(image.astype(np.uint64), 2, 0)
    # Mix the bits, so that equal differences of colours do not cancel in the sums below.
    value = (red << np.uint64(16) | green << np.uint64(8) | blue) * _DOWN
    value ^= value >> np.uint64(29)
    for factor in (_ALONG, _DOWN):
        length = value.shape[1] - BLOCK + 1
        total = np.zeros((value.shape[0], length), np.uint64)
        for k in range(BLOCK):
            total = total * factor + value[:, k : k + length]
        value = total.T
    return value


def _grid_blocks(image: Pixels) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Hashes and positions (y, x) of the grid's blocks, without repeated hashes, whose displacement is ambiguous."""
    hashes = _rolling_hash(image)[::BLOCK, ::BLOCK]
    unique, index, count = np.unique(hashes, return_index=True, return_counts=True)
    place = np.stack(np.divmod(index, max(1, hashes.shape[1])), axis=1) * BLOCK
    return unique[count == 1], place[count == 1]


def _low_bits(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return hashes & np.uint64((1 << _FILTER_BITS) - 1)


def _candidates(
    image: Pixels,
    number: int,
    hashes: NDArray[np.uint64],
    places: NDArray[np.intp],
    owner: NDArray[np.intp],
    possible: NDArray[np.bool_],
) -> set[tuple[int, int, int]]:
    """(earlier image, dy, dx) for each block of an earlier image's grid that is in `image`."""
    here = _rolling_hash(image)
    at = np.flatnonzero(possible[_low_bits(here.ravel())])
    low, high = (np.searchsorted(hashes, here.ravel()[at], side) for side in ("left", "right"))
    rows = np.repeat(at, high - low)
    starts = np.repeat(low, high - low)
    block = starts + np.arange(len(rows)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    earlier = owner[block] < number
    rows, block = rows[earlier], block[earlier]
    moved = np.stack(np.divmod(rows, max(1, here.shape[1])), axis=1) - places[block]
    return {(int(i), int(dy), int(dx)) for i, (dy, dx) in zip(owner[block], moved, strict=True)}


def _equal_pixels(first: Pixels, second: Pixels, dy: int, dx: int) -> int:
    """The area of the overlap in pixels; 0 if any pixel differs."""
    top, left = max(0, -dy), max(0, -dx)
    bottom, right = min(first.shape[0], second.shape[0] - dy), min(first.shape[1], second.shape[1] - dx)
    one = first[top:bottom, left:right]
    other = second[top + dy : bottom + dy, left + dx : right + dx]
    return one[..., 0].size if np.array_equal(one, other) else 0
