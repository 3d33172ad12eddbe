"""A folder of synthetic scenes, laid out as fMoW-rgb is."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from tqdm.auto import tqdm

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.data.synthetic.scene import CATEGORIES, GENERATOR_VERSION, SMALLEST, draw

#: File in the root of a tree that records its parameters.
RECORD = "synthetic.json"


class Planned(NamedTuple):
    """One image of a tree; `size` is its side in pixels."""

    split: str
    category: str
    object: int
    view: int
    size: int

    def path(self, root: Path, suffix: str = "png") -> Path:
        """`<root>/<split>/<category>/<category>_<i>/<category>_<i>_<t>_rgb.<suffix>`."""
        name = f"{self.category}_{self.object}"
        return root / self.split / self.category / name / f"{name}_{self.view}_rgb.{suffix}"


def plan(
    categories: Sequence[str] | None = None, train_objects: int = 3, val_objects: int = 6, views: int = 2,
    size: int = 1024,
) -> list[Planned]:  # fmt: skip
    """All images of a tree, sorted.

    The first image of val is larger, 1496² if the others are 1024²: the size of the paper's stitching example.
    """
    chosen = CATEGORIES if categories is None else tuple(sorted(set(categories)))
    for name in chosen:
        if name not in CATEGORIES:
            raise InputError(f"{name!r} is no category that can be drawn: choose from {', '.join(CATEGORIES)}.")
    if not chosen or min(train_objects, val_objects) < 0 or train_objects + val_objects < 1 or views < 1:
        raise InputError("The tree would be empty: ask for at least one category, one object and one view.")
    if size < SMALLEST:
        raise InputError(f"Scenes of {size} pixels are too small to show their objects: ask for {SMALLEST} or more.")
    images = [
        Planned(split, category, index, view, size)
        for split, count in (("train", train_objects), ("val", val_objects))
        for category in chosen
        for index in range(count)
        for view in range(views)
    ]
    first = next((position for position, image in enumerate(images) if image.split == "val"), None)
    if first is not None:
        images[first] = images[first]._replace(size=size * 1496 // 1024)
    return images


def _record(root: Path, parameters: dict[str, Any]) -> None:
    """Write the parameters of a tree, or refuse a tree with other parameters."""
    path = root / RECORD
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            different = [name for name in parameters if found.get(name) != parameters[name]]
        except (ValueError, AttributeError):
            raise InputError(f"{path} is damaged: delete the folder {root} and make it again.") from None
        if different:
            name = different[0]
            raise InputError(
                f"{root} holds synthetic scenes made with {name}={found.get(name)!r}, not {parameters[name]!r}: "
                "name another folder or delete this one."
            )
    elif root.exists() and any(root.iterdir()):
        raise InputError(f"{root} is not empty and holds no {RECORD}: name a new folder for the synthetic scenes.")
    else:
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(parameters, indent=1) + "\n", encoding="utf-8")


def _write(root: Path, item: Planned, seed: int) -> None:
    scene = draw(item.category, item.object, item.view, seed, (item.size, item.size), item.split)
    with atomic(item.path(root)) as temporary:
        Image.fromarray(scene.image).save(temporary, compress_level=2)
    with atomic(item.path(root, "json")) as temporary:
        temporary.write_text(json.dumps(scene.metadata, indent=1) + "\n", encoding="utf-8")


def write_tree(
    root: Path | str,
    *,
    categories: Sequence[str] | None = None,
    train_objects: int = 3,
    val_objects: int = 6,
    views: int = 2,
    size: int = 1024,
    seed: int = 0,
    progress: bool = True,
) -> int:
    """Write synthetic scenes as an fMoW tree of PNG and JSON files; existing files are kept.

    fMoW's images are JPEG. PNG is used here since an image that was JPEG before favours JPEG in a comparison of codecs.

    Parameters
    ----------
    root : a new folder, or the tree of an earlier call with the same parameters
    categories : some of `CATEGORIES`; None for all
    train_objects, val_objects : objects of each category in each split
    views : images of each object
    size : side of the images in pixels; the first image of val is larger by 1496/1024

    Returns
    -------
    The number of images drawn.

    Raises
    ------
    InputError
        Parameters out of range, or a folder with other content.
    """
    root = Path(root)
    if seed < 0:
        raise InputError(f"The seed {seed} is negative: give 0 or more.")
    images = plan(categories, train_objects, val_objects, views, size)
    parameters = {
        "synthetic": True,
        "generator": GENERATOR_VERSION,
        "seed": seed,
        "size": size,
        "categories": sorted({item.category for item in images}),
        "train_objects": train_objects,
        "val_objects": val_objects,
        "views": views,
    }
    _record(root, parameters)
    missing = [item for item in images if not (item.path(root).exists() and item.path(root, "json").exists())]
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(images), initial=len(images) - len(missing), desc="synthetic scenes", unit="image",
             disable=not (progress and missing)) as bar,
    ):  # fmt: skip
        futures = [pool.submit(_write, root, item, seed) for item in missing]
        try:
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return len(missing)
