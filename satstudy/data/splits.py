"""The splits of a data set: train-compress, val-compress, train-class and val-class.

The paper (§4.1) trains the codec on 1,289 images of fMoW's train split (*train-compress*) and measures it on 1,929 of
the val split (*val-compress*). It splits the latter again into 1,551 images that train the classifier (*train-class*)
and 378 that validate it (*val-class*).

Splits are made by object: all images of one object are in one split. Otherwise a classifier could recognize an object
from its other images. The paper does not say how it splits.

A split is stored as a *manifest*: a CSV table with path, category, object and split of each image.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.data.records import ImageRecord


@dataclass(frozen=True)
class Sizes:
    """Numbers of images; `val_compress` includes `train_class` and `val_class`."""

    train_compress: int
    val_compress: int
    train_class: int
    val_class: int

    def __post_init__(self) -> None:
        if min(self.train_compress, self.val_compress, self.train_class, self.val_class) < 0:
            raise InputError(f"{self} has a negative size: take 0 or more.")
        if self.train_class + self.val_class > self.val_compress:
            raise InputError(
                f"train-class and val-class ({self.train_class} + {self.val_class} images) are parts of val-compress "
                f"({self.val_compress}): make it larger, or them smaller."
            )


#: The sizes of the paper, §4.1 (its §5 says 1,554 and 375 for the last two).
PAPER = Sizes(train_compress=1289, val_compress=1929, train_class=1551, val_class=378)


def make(
    train: Sequence[ImageRecord],
    val: Sequence[ImageRecord] | None,
    root: Path | str,
    sizes: Sizes,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw the four splits at random, stratified by category.

    Within a category objects are drawn at random with all their images, the last object in part if needed for the size.
    The sizes of train-class and val-class are exact whenever possible with whole objects, else the closest, with a
    warning.

    Parameters
    ----------
    train, val : images for train-compress and for val-compress; for fMoW its two splits. With val=None both are drawn
        from `train`, by object
    root : folder to which the manifest's paths are relative

    Returns
    -------
    DataFrame
        A manifest. It depends on the seed and not on the order of the records.

    Raises
    ------
    InputError
        Too few images or objects, an image twice, or an image outside `root`.
    """
    rng = np.random.default_rng(seed)
    pools = [draw_pool(records, rng) for records in (train, val) if records is not None]
    if val is None:
        _require(pools[0], sizes.train_compress + sizes.val_compress, "The data set", "all splits together")
        val_pool, train_pool = group_split(pools[0], sizes.val_compress, sizes.train_compress, rng)
    else:
        train_pool, val_pool = pools
        _require(train_pool, sizes.train_compress, "The train split", "train-compress")
        _require(val_pool, sizes.val_compress, "The val split", "val-compress")
        both = {o[0].object for o in all_objects(train_pool)} & {o[0].object for o in all_objects(val_pool)}
        if both:
            raise InputError(f"{len(both)} objects ({min(both)}, …) are in train and in val: split them first.")
    if sizes.train_class and sizes.val_class and len(all_objects(val_pool)) < 2:
        raise InputError(
            f"The val split has {len(all_objects(val_pool))} object and 2 are needed, one for train-class and one for "
            "val-class: add images of other objects."
        )
    val_side, train_side = group_split(val_pool, sizes.val_class, sizes.train_class, rng)
    drawn = {
        "train-compress": draw_objects(train_pool, sizes.train_compress, rng),
        "train-class": draw_objects(train_side, sizes.train_class, rng),
        "val-class": draw_objects(val_side, sizes.val_class, rng),
    }
    taken = {record.path for name in ("train-class", "val-class") for record in drawn[name]}
    rest = {
        category: [left for images in objects if (left := [r for r in images if r.path not in taken])]
        for category, objects in val_pool.items()
    }
    drawn["val-compress"] = draw_objects(rest, sizes.val_compress - len(taken), rng)
    _warn_of_sizes(drawn, sizes)
    return manifest_from(((r, name) for name, records in drawn.items() for r in records), root)


def file_number(path: Path) -> int | None:
    """The number at the end of a file's name, None without one.

    >>> file_number(Path("river/river07.webp"))
    7
    """
    match = re.search(r"(\d+)$", path.stem)
    return int(match[1]) if match else None


#: Numbers of the images in val-class (`by_number`).
VAL_CLASS_NUMBERS = range(88, 100)


def by_number(records: Sequence[ImageRecord], root: Path | str, first: int = 40) -> pd.DataFrame:
    """Split by `file_number`: UC Merced, where neighbouring numbers can show neighbouring ground.

    Numbers below `first` are train-compress, all others val-compress: those in `VAL_CLASS_NUMBERS` val-class, the rest
    train-class.

    Raises
    ------
    InputError
        A name without a number, an object in two splits, or a split that lacks a category.
    """
    rows = []
    for record in records:
        number = file_number(record.path)
        if number is None:
            raise InputError(f"{record.path} has no number at the end of its name: use make() instead.")
        rest = "val-class" if number in VAL_CLASS_NUMBERS else "train-class"
        rows.append((record, "train-compress" if number < first else rest))
    categories = {record.category for record in records}
    for name in ("train-compress", "train-class", "val-class"):
        empty = sorted(categories - {record.category for record, side in rows if side == name})
        if empty or not rows:
            raise InputError(
                f"{name} has no image of {len(empty)} of {len(categories)} categories ({', '.join(empty[:3])}, …): "
                "choose another number, or use make() instead."
            )
    sides: dict[str, set[str]] = defaultdict(set)
    for record, name in rows:
        sides[record.object].add(name)
    torn = sorted(name for name, side in sides.items() if len(side) > 1)
    if torn:
        raise InputError(f"{len(torn)} objects ({torn[0]}, …) have numbers on two sides: use make() instead.")
    return manifest_from(rows, root)


def _require(pool: Pool, needed: int, where: str, what: str) -> None:
    objects = all_objects(pool)
    if count_images(objects) < needed:
        raise InputError(
            f"{where} has {count_images(objects)} images of {len(objects)} objects in {len(pool)} "
            f"categories and {needed} are needed for {what}: ask for fewer, lower min_size, or add images."
        )


def _warn_of_sizes(drawn: dict[str, list[ImageRecord]], sizes: Sizes) -> None:
    has = {name: len(records) for name, records in drawn.items()}
    has["val-compress"] += has["train-class"] + has["val-class"]
    wanted = {name: int(getattr(sizes, name.replace("-", "_"))) for name in SPLITS}
    short = [f"{name} has {has[name]} of {wanted[name]}" for name in SPLITS if has[name] < wanted[name]]
    if short:
        warnings.warn(f"Whole objects do not add up to the sizes asked for: {', '.join(short)} images.", stacklevel=3)


COLUMNS = ("path", "category", "object", "split")
SPLITS = ("train-compress", "val-compress", "train-class", "val-class")


def manifest_from(rows: Iterable[tuple[ImageRecord, str]], root: Path | str) -> pd.DataFrame:
    """The manifest of records and their splits, sorted; paths are relative to `root`.

    Raises
    ------
    InputError
        An image outside `root`, or twice, or an unknown split.
    """
    try:
        table = [(r.path.relative_to(root).as_posix(), r.category, r.object, name) for r, name in rows]
    except ValueError as error:
        raise InputError(
            f"An image lies outside the data's root ({error}): name the folder that was scanned."
        ) from None
    table.sort(key=lambda row: (SPLITS.index(row[3]), row[0]))
    manifest = pd.DataFrame(table, columns=list(COLUMNS))
    _check_manifest(manifest, "The manifest")
    return manifest


def subset(manifest: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one split; val-compress includes train-class and val-class."""
    if name not in SPLITS:
        raise InputError(f"{name!r} is no split: take one of {', '.join(SPLITS)}.")
    names = SPLITS[1:] if name == "val-compress" else (name,)
    return manifest[manifest["split"].isin(names)].reset_index(drop=True)


def write_manifest(path: Path | str, manifest: pd.DataFrame) -> None:
    """Check a manifest as `read_manifest` does, and write it as CSV."""
    _check_manifest(manifest, "The manifest")
    with atomic(path) as temporary:
        manifest.to_csv(temporary, columns=list(COLUMNS), index=False, lineterminator="\n")


def read_manifest(path: Path | str, root: Path | str | None = None) -> pd.DataFrame:
    """Read a manifest.

    Parameters
    ----------
    root : check that every image is there

    Raises
    ------
    InputError
        No readable CSV, other columns, an unknown split, an image twice, a path that leaves the root, or images that
        are missing below `root`.
    """
    path = Path(path)
    try:
        # A category may be called "NA".
        manifest = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no manifest {path}: make one first.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no readable CSV ({error}): make the manifest again.") from None
    _check_manifest(manifest, str(path))
    if root is not None:
        missing = [name for name in manifest["path"] if not Path(root, name).is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(manifest)} images of {path} are not in {root} ({missing[0]}, …): "
                "fetch them, or make the manifest again."
            )
    return manifest


def _check_manifest(manifest: pd.DataFrame, what: str) -> None:
    if list(manifest.columns) != list(COLUMNS):
        raise InputError(
            f"{what} has the columns {', '.join(map(str, manifest.columns))} instead of {', '.join(COLUMNS)}: "
            "make it again."
        )
    unknown = sorted(set(manifest["split"]) - set(SPLITS))
    if unknown:
        raise InputError(f"{what} has an unknown split {unknown[0]!r}: take one of {', '.join(SPLITS)}.")
    twice = manifest["path"][manifest["path"].duplicated()]
    if len(twice):
        raise InputError(f"{what} has {twice.iloc[0]} {1 + (twice == twice.iloc[0]).sum()} times: keep one row of it.")
    for name in manifest["path"]:
        pure = PurePosixPath(name)
        plain = pure.name and not pure.is_absolute() and ".." not in pure.parts and str(pure) == name
        if not plain or re.search(r"[\\\0\r\n]|^[A-Za-z]:", name):
            raise InputError(f"{what} has {name!r}, which is no plain path below the data's root: make it one.")


#: Category → its objects → the images of each.
Pool = dict[str, list[list[ImageRecord]]]


def draw_pool(records: Sequence[ImageRecord], rng: np.random.Generator) -> Pool:
    """Objects by category, in random order that does not depend on the order of the records."""
    objects: dict[str, list[ImageRecord]] = defaultdict(list)
    previous = None
    for record in sorted(records, key=lambda r: r.path.as_posix()):
        if previous == record.path:
            raise InputError(f"{record.path} is among the records twice: scan each folder once.")
        previous = record.path
        objects[record.object].append(record)
    pool: Pool = defaultdict(list)
    for name in sorted(objects):
        images = objects[name]
        if len({r.category for r in images}) > 1:
            raise InputError(f"The object {name} has images of two categories: give each object one.")
        pool[images[0].category].append([images[i] for i in rng.permutation(len(images))])
    return {category: [pool[category][i] for i in rng.permutation(len(pool[category]))] for category in sorted(pool)}


def all_objects(pool: Pool) -> list[list[ImageRecord]]:
    """The objects of all categories."""
    return [images for objects in pool.values() for images in objects]


def count_images(objects: Iterable[Sequence[ImageRecord]]) -> int:
    """The number of images of some objects."""
    return sum(map(len, objects))


def even(total: int, room: Sequence[int], rng: np.random.Generator) -> list[int]:
    """`total` as a sum of parts, as even as their limits `room` allow; the remainder goes to random parts."""
    parts = [0] * len(room)
    total = min(total, sum(room))
    while total:
        free = [i for i in range(len(room)) if parts[i] < room[i]]
        share = total // len(free)
        if not share:
            for i in rng.permutation(free)[:total]:
                parts[i] += 1
            break
        for i in free:
            step = min(share, room[i] - parts[i])
            parts[i] += step
            total -= step
    return parts


def draw_objects(pool: Pool, count: int, rng: np.random.Generator) -> list[ImageRecord]:
    """`count` images, even over the categories, from the first objects of each."""
    quotas = even(count, [count_images(objects) for objects in pool.values()], rng)
    return [
        record
        for objects, quota in zip(pool.values(), quotas, strict=True)
        for record in [record for images in objects for record in images][:quota]
    ]


def group_split(pool: Pool, first: int, second: int, rng: np.random.Generator) -> tuple[Pool, Pool]:
    """Split whole objects into two groups of at least `first` and `second` images, stratified by category.

    The groups are large enough whenever whole objects allow it, else as close as possible. Among such splits as many
    categories as possible are in both groups, in proportions that are closest to `first` : `second` in the
    least-squares sense. Solved by dynamic programming over the sums that subsets of objects can reach.
    """
    if not first + second:
        return {}, {}
    # Most pools are much larger than the split; a part of each category is enough and faster.
    quotas = even(first + second, [count_images(objects) for objects in pool.values()], rng)
    part: Pool = {}
    for (category, objects), quota in zip(pool.items(), quotas, strict=True):
        enough, running = 2 * quota + max(map(len, objects)), np.cumsum([len(o) for o in objects])
        part[category] = objects[: int(np.searchsorted(running, enough)) + 1]
    groups, missing = _split_pool(part, first, second, rng)
    if missing and len(all_objects(part)) < len(all_objects(pool)):
        groups, missing = _split_pool(pool, first, second, rng)
    return groups


def _split_pool(pool: Pool, first: int, second: int, rng: np.random.Generator) -> tuple[tuple[Pool, Pool], int]:
    total, share = count_images(all_objects(pool)), first / (first + second)
    names = [list(pool)[i] for i in rng.permutation(len(pool))]
    cost = np.full(total + 1, np.inf)  # of s images in the first group, over the categories so far
    cost[0] = 0
    choices: list[np.ndarray[tuple[int], np.dtype[np.int32]]] = []
    for name in names:
        images_here = count_images(pool[name])
        reachable = _sums(pool[name])[-1]
        after, choice = np.full(total + 1, np.inf), np.zeros(total + 1, dtype=np.int32)
        for here in (s for s in range(images_here + 1) if reachable >> s & 1):
            in_one_group = first and second and here in (0, images_here)
            penalty = (here - share * images_here) ** 2 + (total**2 if in_one_group else 0)
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
    """Bit s of entry k is set if a subset of the first k objects has s images."""
    reached = [1]
    for images in objects:
        reached.append(reached[-1] | reached[-1] << len(images))
    return reached
