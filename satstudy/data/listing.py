"""Which files of fMoW-rgb to fetch: the list of all of them, and choices among it."""

from __future__ import annotations

import bz2
import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from satstudy.core.errors import InputError

MANIFEST = "manifest.json.bz2"
#: The list names some two million files of ~60 characters; unpacked it may have eight times that.
MAX_LIST_BYTES = 2**30

_RGB = re.compile(r"(train|val)/([^/]+)/(\2_\d+)/\3_\d+_rgb\.(jpg|json)")


def read_manifest_list(path: Path | str, max_bytes: int = MAX_LIST_BYTES) -> list[str]:
    """The relative paths in `manifest.json.bz2`, a flat JSON list.

    Raises
    ------
    InputError
        No such file, no bzip2, no list of strings, more than `max_bytes` unpacked, or a path that leaves
        its folder.
    """
    path = Path(path)
    try:
        with bz2.open(path) as file:
            text = file.read(max_bytes + 1)
        if len(text) > max_bytes:
            raise InputError(f"{path} unpacks to more than {max_bytes} bytes and is not fMoW's list: fetch it again.")
        listed = json.loads(text)
    except FileNotFoundError:
        raise InputError(f"There is no {path}: fetch {MANIFEST} first.") from None
    except InputError:
        raise
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no readable list of fMoW's files ({error}): fetch it again.") from None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise InputError(f"{path} is no flat list of paths: fetch it again.")
    for name in listed:
        check_path(name)
    return listed


def select(
    paths: Iterable[str],
    split: Literal["train", "val"],
    categories: Iterable[str] | None = None,
    objects_per_category: int | None = None,
    seed: int = 0,
) -> list[str]:
    """The `_rgb` images of some objects, each with its JSON, sorted.

    A category with fewer objects than asked for gives all it has. The choice depends on the seed and on the
    set of paths, not on their order, and more objects of the same seed include the fewer.

    Raises
    ------
    InputError
        A category without any image, or no image at all.
    """
    if objects_per_category is not None and objects_per_category < 1:
        raise InputError(f"objects_per_category = {objects_per_category} leaves nothing: take 1 or more, or None.")
    wanted = None if categories is None else set(categories)
    found: dict[str, dict[str, dict[str, set[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for name in paths:
        match = _RGB.fullmatch(name)
        if match and match[1] == split and (wanted is None or match[2] in wanted):
            stem, _, ending = name.rpartition(".")
            found[match[2]][match[3]][stem].add(ending)
    complete: dict[str, dict[str, list[str]]] = {}
    for category, objects in found.items():
        whole = {o: sorted(s for s, e in images.items() if e == {"jpg", "json"}) for o, images in objects.items()}
        complete[category] = {o: stems for o, stems in whole.items() if stems}
    missing = sorted(c for c in (wanted if wanted is not None else set(complete)) if not complete.get(c))
    if missing or not complete:
        raise InputError(
            f"The list has no {split} image of {', '.join(missing) or 'any category'}: "
            "check the names, or fetch the list again."
        )
    chosen: list[str] = []
    for category in sorted(complete):
        # Seeded by the name as well, so that the choice in one category does not hang on the others.
        rng = np.random.default_rng([seed, *category.encode()])
        objects_here = sorted(complete[category])
        for i in rng.permutation(len(objects_here))[:objects_per_category]:
            for stem in complete[category][objects_here[i]]:
                chosen += [f"{stem}.jpg", f"{stem}.json"]
    return sorted(chosen)


def keep_large(paths: Iterable[str], root: Path | str, min_size: int = 1024) -> list[str]:
    """Those paths whose image has at least `min_size` rows and columns, by the JSON files fetched before.

    An image whose JSON is missing, unreadable or silent about the size is kept.
    """
    kept = []
    for name in paths:
        check_path(name)
        sides: list[float] = []
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            meta = json.loads(Path(root, name).with_suffix(".json").read_bytes())
            sides = [float(meta["img_height"]), float(meta["img_width"])]
        if not sides or min(sides) >= min_size:
            kept.append(name)
    return kept


def is_plain(name: str) -> bool:
    """Whether a name stays in its folder on every system, and is written in the usual way."""
    pure = PurePosixPath(name)
    inside = bool(pure.name) and not pure.is_absolute() and ".." not in pure.parts and str(pure) == name
    return inside and name.isprintable() and not re.search(r"[\\:]", name)


def check_path(name: str) -> None:
    """Refuse a name that is absolute, climbs out of its folder, or is written in an unusual way."""
    if not is_plain(name):
        raise InputError(f"{name!r} is no plain path below the data set's folder: the list is damaged, fetch it again.")
