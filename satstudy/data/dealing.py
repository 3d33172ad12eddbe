"""Drawing images at random by whole objects, even over the categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from satstudy.core.errors import InputError
from satstudy.data.records import ImageRecord

#: Category → its objects → the images of each.
Pool = dict[str, list[list[ImageRecord]]]


def draw_pool(
    records: Sequence[ImageRecord], categories: Iterable[str] | None, per_object: int | None, rng: np.random.Generator
) -> Pool:
    """Objects by category, in random order that does not depend on the order of the records."""
    kept = None if categories is None else set(categories)
    objects: dict[str, list[ImageRecord]] = defaultdict(list)
    previous = None
    for record in sorted(records, key=lambda r: r.path.as_posix()):
        if previous == record.path:
            raise InputError(f"{record.path} is among the records twice: scan each folder once.")
        previous = record.path
        if kept is None or record.category in kept:
            objects[record.object].append(record)
    pool: Pool = defaultdict(list)
    for name in sorted(objects):
        images = objects[name]
        if len({r.category for r in images}) > 1:
            raise InputError(f"The object {name} has images of two categories: give each object one.")
        order = rng.permutation(len(images))[:per_object]
        pool[images[0].category].append([images[i] for i in order])
    return {category: [pool[category][i] for i in rng.permutation(len(pool[category]))] for category in sorted(pool)}


def all_objects(pool: Pool) -> list[list[ImageRecord]]:
    """The objects of all categories."""
    return [images for objects in pool.values() for images in objects]


def count_images(objects: Iterable[Sequence[ImageRecord]]) -> int:
    """The images of some objects."""
    return sum(map(len, objects))


def _even(total: int, room: Sequence[int], rng: np.random.Generator) -> list[int]:
    """`total` dealt out as evenly as `room` allows; who gets one more is drawn."""
    dealt = [0] * len(room)
    total = min(total, sum(room))
    while total:
        free = [i for i in range(len(room)) if dealt[i] < room[i]]
        share = total // len(free)
        if not share:
            for i in rng.permutation(free)[:total]:
                dealt[i] += 1
            break
        for i in free:
            step = min(share, room[i] - dealt[i])
            dealt[i] += step
            total -= step
    return dealt


def draw(pool: Pool, count: int, rng: np.random.Generator) -> list[ImageRecord]:
    """`count` images, even over the categories, of as few objects as the drawn order needs."""
    quotas = _even(count, [count_images(objects) for objects in pool.values()], rng)
    return [
        record
        for objects, quota in zip(pool.values(), quotas, strict=True)
        for record in [record for images in objects for record in images][:quota]
    ]


def deal(pool: Pool, first: int, second: int, rng: np.random.Generator) -> tuple[Pool, Pool]:
    """Deal whole objects to two sides that need `first` and `second` images.

    Both sides get enough in all if any way of dealing gives that (else as much as any gives). Among those
    ways, as many categories as possible stand on both sides, and each is dealt in the proportion of the two as
    nearly as its objects allow, by least squares. Found by dynamic programming over the sums that are reachable.
    """
    if not first + second:
        return {}, {}
    # Most pools hold many times what is wanted; a part of each category is enough, and quick.
    quotas = _even(first + second, [count_images(objects) for objects in pool.values()], rng)
    part: Pool = {}
    for (category, objects), quota in zip(pool.items(), quotas, strict=True):
        enough, running = 2 * quota + max(map(len, objects)), np.cumsum([len(o) for o in objects])
        part[category] = objects[: int(np.searchsorted(running, enough)) + 1]
    sides, missing = _deal_all(part, first, second, rng)
    if missing and len(all_objects(part)) < len(all_objects(pool)):
        sides, missing = _deal_all(pool, first, second, rng)
    return sides


def _deal_all(pool: Pool, first: int, second: int, rng: np.random.Generator) -> tuple[tuple[Pool, Pool], int]:
    total, share = count_images(all_objects(pool)), first / (first + second)
    names = [list(pool)[i] for i in rng.permutation(len(pool))]
    cost = np.full(total + 1, np.inf)  # of giving the first side s images, the categories so far
    cost[0] = 0
    choices: list[np.ndarray[tuple[int], np.dtype[np.int32]]] = []
    for name in names:
        images_here = count_images(pool[name])
        reachable = _sums(pool[name])[-1]
        after, choice = np.full(total + 1, np.inf), np.zeros(total + 1, dtype=np.int32)
        for here in (s for s in range(images_here + 1) if reachable >> s & 1):
            one_sided = first and second and here in (0, images_here)
            penalty = (here - share * images_here) ** 2 + (total**2 if one_sided else 0)
            candidate = cost[: total + 1 - here] + penalty
            better = candidate < after[here:]
            after[here:][better] = candidate[better]
            choice[here:][better] = here
        cost = after
        choices.append(choice)
    s = np.arange(total + 1)
    missing = np.maximum(0, first - s) + np.maximum(0, second - (total - s))
    empty = ((s == 0) & (first > 0)) | ((s == total) & (second > 0))
    missing = np.where(np.isfinite(cost) & ~empty, missing, total + first + second)
    best = int(np.lexsort((cost, missing))[0])
    one: Pool = {}
    two: Pool = {}
    remaining = best
    for name, choice in zip(reversed(names), reversed(choices), strict=True):
        here = int(choice[remaining])
        remaining -= here
        sums = _sums(pool[name])
        one[name], two[name] = [], []
        for k in range(len(pool[name]) - 1, -1, -1):
            images = pool[name][k]
            if sums[k] >> here & 1:  # reachable without it
                two[name].append(images)
            else:
                one[name].append(images)
                here -= len(images)
    ordered = sorted(pool)
    return ({c: one[c] for c in ordered}, {c: two[c] for c in ordered}), int(missing[best])


def _sums(objects: Sequence[Sequence[ImageRecord]]) -> list[int]:
    """Bit s of entry k: whether some of the first k objects have s images in all."""
    reached = [1]
    for images in objects:
        reached.append(reached[-1] | reached[-1] << len(images))
    return reached
