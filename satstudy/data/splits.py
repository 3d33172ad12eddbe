"""Which image serves what: train-compress, val-compress, train-class, val-class, as a manifest.

The paper (§4.1) trains the codec on 1,289 images of fMoW's train split (*train-compress*) and measures it on
1,929 of the val split (*val-compress*), which are split again into 1,551 that train the classifier
(*train-class*) and 378 that validate it (*val-class*).

`satstudy.data.manifests` describes the table they are written in. Splits are made by object: images of one object
never stand on two sides, else a classifier could know an object from its other images. Whether the paper did so
is not said; `level="image"` makes the split that ignores objects, to measure what that is worth.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from satstudy.core.errors import InputError
from satstudy.data.dealing import Pool, all_objects, count_images, deal, draw, draw_pool
from satstudy.data.manifests import COLUMNS, SPLITS, build, leakage, read_manifest, subset, write_manifest
from satstudy.data.records import ImageRecord

__all__ = [
    "COLUMNS",
    "PAPER",
    "SPLITS",
    "Sizes",
    "by_number",
    "file_number",
    "leakage",
    "make",
    "read_manifest",
    "subset",
    "write_manifest",
]


@dataclass(frozen=True)
class Sizes:
    """Images in each set; those of the two class sets are counted in `val_compress` too."""

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


#: The paper's, §4.1 (its §5 says 1,554 and 375 for the last two).
PAPER = Sizes(train_compress=1289, val_compress=1929, train_class=1551, val_class=378)


def make(
    train: Sequence[ImageRecord],
    val: Sequence[ImageRecord] | None,
    root: Path | str,
    sizes: Sizes = PAPER,
    seed: int = 0,
    level: Literal["object", "image"] = "object",
    categories: Iterable[str] | None = None,
    per_object: int | None = None,
) -> pd.DataFrame:
    """Draw the four sets, as even over the categories as the images allow.

    Within a category objects are drawn at random and taken with all their images; of the last one only
    as many are taken as are still wanted. Train-class and val-class have their asked sizes whenever some way of
    dealing whole objects to the two sides gives each enough images; where none does, the nearest is made,
    and a warning says what it has.

    Parameters
    ----------
    train, val : the images that train-compress and val-compress are drawn from (fMoW: its splits). With
        val=None both are drawn from `train`, objects dealt to one side each
    root : folder that the manifest's paths are relative to
    sizes : in images; the paper's by default
    level : "image" deals the same images of val-compress to train-class and val-class without regard to objects,
        as many of each category as "object" does: the two manifests differ by leakage alone
    categories : take these alone, and insist that each has an image to train the codec and two objects to
        train and validate the classifier; None takes what there is
    per_object : most images to draw of one object; None takes all (the paper has 1.24 in train-compress)

    Returns
    -------
    DataFrame
        A manifest. The same seed gives the same one, in whatever order the records come.

    Raises
    ------
    InputError
        Too few images or objects, an image twice, or one outside `root`.
    """
    if level not in ("object", "image"):
        raise InputError(f"level = {level!r} is none: take 'object' or 'image'.")
    if per_object is not None and per_object < 1:
        raise InputError(f"per_object = {per_object} leaves no image: take 1 or more, or None.")
    rng = np.random.default_rng(seed)
    pools = [draw_pool(records, categories, per_object, rng) for records in (train, val) if records is not None]
    if val is None:
        _require(pools[0], sizes.train_compress + sizes.val_compress, "The data set", "all splits together")
        val_pool, train_pool = deal(pools[0], sizes.val_compress, sizes.train_compress, rng)
        _insist(train_pool, val_pool, categories, sizes)
    else:
        train_pool, val_pool = pools
        _insist(train_pool, val_pool, categories, sizes)
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
    val_side, train_side = deal(val_pool, sizes.val_class, sizes.train_class, rng)
    drawn = {
        "train-compress": draw(train_pool, sizes.train_compress, rng),
        "train-class": draw(train_side, sizes.train_class, rng),
        "val-class": draw(val_side, sizes.val_class, rng),
    }
    taken = {record.path for name in ("train-class", "val-class") for record in drawn[name]}
    rest = {
        category: [left for images in objects if (left := [r for r in images if r.path not in taken])]
        for category, objects in val_pool.items()
    }
    drawn["val-compress"] = draw(rest, sizes.val_compress - len(taken), rng)
    _report(drawn, sizes)
    if level == "image":
        _shuffle_classes(drawn, rng)
    return build(((r, name) for name, records in drawn.items() for r in records), root)


def file_number(path: Path) -> int | None:
    """The number at the end of a file's name, 7 for UC Merced's `river07.webp`; None where there is none."""
    match = re.search(r"(\d+)$", path.stem)
    return int(match[1]) if match else None


def by_number(
    records: Sequence[ImageRecord],
    root: Path | str,
    train: range = range(0, 40),
    val_class: range = range(88, 100),
) -> pd.DataFrame:
    """Split by the number at the end of each file's name, see `file_number`.

    Images whose number is in `train` are train-compress; of the others those in `val_class` are val-class and the
    rest train-class, so that val-compress is all of the others. Neighbours in number can show neighbouring ground;
    blocks of numbers keep them together where a random draw would not.

    Raises
    ------
    InputError
        A name without a number, a number in both ranges, an object on two sides, or a category that a split lacks.
    """
    if set(train) & set(val_class):
        raise InputError(f"train = {train} and val_class = {val_class} overlap: an image cannot be in both.")
    rows = []
    for record in records:
        number = file_number(record.path)
        if number is None:
            raise InputError(f"{record.path} has no number at the end of its name: use make() instead.")
        name = "train-compress" if number in train else "val-class" if number in val_class else "train-class"
        rows.append((record, name))
    categories = {record.category for record in records}
    for name in ("train-compress", "train-class", *(["val-class"] if len(val_class) else [])):
        empty = sorted(categories - {record.category for record, side in rows if side == name})
        if empty or not rows:
            raise InputError(
                f"{name} has no image of {len(empty)} of {len(categories)} categories ({', '.join(empty[:3])}, …): "
                "choose other ranges, or use make() instead."
            )
    sides: dict[str, set[str]] = defaultdict(set)
    for record, name in rows:
        sides[record.object].add(name)
    torn = sorted(name for name, side in sides.items() if len(side) > 1)
    if torn:
        raise InputError(f"{len(torn)} objects ({torn[0]}, …) have numbers on two sides: use make() instead.")
    return build(rows, root)


def _require(pool: Pool, needed: int, where: str, what: str) -> None:
    objects = all_objects(pool)
    if count_images(objects) < needed:
        raise InputError(
            f"{where} has {count_images(objects)} images of {len(objects)} objects in {len(pool)} "
            f"categories and {needed} are needed for {what}: ask for fewer, lower min_size, or add images."
        )


def _insist(train: Pool, val: Pool, categories: Iterable[str] | None, sizes: Sizes) -> None:
    needs = [("train", train, 1 if sizes.train_compress else 0)]
    needs.append(("val", val, (sizes.train_class > 0) + (sizes.val_class > 0) or (sizes.val_compress > 0)))
    for split, pool, needed in needs:
        poor = [(c, len(pool.get(c, []))) for c in sorted(set(categories or ())) if len(pool.get(c, [])) < needed]
        if poor:
            counts = ", ".join(f"{category} {count}" for category, count in poor)
            raise InputError(
                f"The {split} split needs {needed} object(s) of each category and has too few of: {counts}; "
                "add images, or leave these categories out."
            )


def _report(drawn: dict[str, list[ImageRecord]], sizes: Sizes) -> None:
    has = {name: len(records) for name, records in drawn.items()}
    has["val-compress"] += has["train-class"] + has["val-class"]
    wanted = {name: int(getattr(sizes, name.replace("-", "_"))) for name in SPLITS}
    short = [f"{name} has {has[name]} of {wanted[name]}" for name in SPLITS if has[name] < wanted[name]]
    if short:
        warnings.warn(f"Whole objects do not add up to the sizes asked for: {', '.join(short)} images.", stacklevel=3)


def _shuffle_classes(drawn: dict[str, list[ImageRecord]], rng: np.random.Generator) -> None:
    """Deal the images of train-class and val-class anew, ignoring objects, counts by category kept."""
    validation: dict[str, int] = defaultdict(int)
    for record in drawn["val-class"]:
        validation[record.category] += 1
    mixed = sorted(drawn["train-class"] + drawn["val-class"], key=lambda r: r.path.as_posix())
    drawn["train-class"], drawn["val-class"] = [], []
    for i in rng.permutation(len(mixed)):
        side = "val-class" if validation[mixed[i].category] > 0 else "train-class"
        validation[mixed[i].category] -= 1
        drawn[side].append(mixed[i])
