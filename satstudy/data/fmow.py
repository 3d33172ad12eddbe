"""Functional Map of the World (Christie et al., CVPR 2018), RGB version, in its own layout:

    {train,val}/<category>/<category>_<i>/<category>_<i>_<t>_rgb.{jpg,json}

`i` is the number of the object, `t` that of its image. The `_msrgb` files (rendered multispectral bands) are ignored,
and so are the challenge's test and seq splits, which have no labels.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.data import folders
from satstudy.data.images import EXTENSIONS, image_size, read_image
from satstudy.data.records import Box, ImageRecord, ScanResult, collect

#: The 62 categories of the train and val splits, and false_detection.
FMOW_CATEGORIES: tuple[str, ...] = tuple(
    """airport airport_hangar airport_terminal amusement_park aquaculture archaeological_site barn
    border_checkpoint burial_site car_dealership construction_site crop_field dam debris_or_rubble
    educational_institution electric_substation factory_or_powerplant false_detection fire_station flooded_road
    fountain gas_station golf_course ground_transportation_station helipad hospital impoverished_settlement
    interchange lake_or_pond lighthouse military_facility multi-unit_residential nuclear_powerplant
    office_building oil_or_gas_facility park parking_lot_or_garage place_of_worship police_station port prison
    race_track railway_bridge recreational_facility road_bridge runway shipyard shopping_mall
    single-unit_residential smokestack solar_farm space_facility stadium storage_tank surface_mine
    swimming_pool toll_booth tower tunnel_opening waste_disposal water_treatment_facility wind_farm zoo""".split()  # noqa: SIM905
)


SPLITS = ("train", "val")


def scan(
    root: Path | str,
    split: Literal["train", "val"] | None = None,
    min_size: int | None = 1024,
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool = True,
) -> ScanResult:
    """The images of an fMoW-rgb tree, from JSON files and image headers (no pixels are decoded).

    Parameters
    ----------
    root : folder with `train` and `val`
    split : one of them; None takes both
    min_size : minimum height and width in pixels (paper: 1024); None takes all images
    on_error : a missing or unreadable JSON or image header stops the scan, or is listed in `skipped`

    Returns
    -------
    ScanResult
        Records sorted by path; `object` is `<split>/<category>_<i>`. Boxes with ID −1 (placeholders), without area or
        outside the image are left out; boxes marked as not visible are kept. Height and width are the header's; `notes`
        lists JSON files that differ.

    Raises
    ------
    InputError
        No fMoW tree, an empty category, no image of that size, or an unusable file (with on_error="raise").
    """
    root = Path(root)
    if split not in (None, *SPLITS):
        raise InputError(f"split = {split!r} is none of fMoW's: take 'train', 'val' or None for both.")
    if not _is_tree(root):
        raise InputError(
            f"{root} is no fMoW tree ({{train,val}}/<category>/<category>_<i>/…_rgb.jpg): name the folder that holds "
            "train and val, or fetch a part of fMoW with `satstudy data fmow`."
        )
    parts = {
        path: part
        for part in ([split] if split else SPLITS)
        if (root / part).is_dir()
        for path in _images(root / part, strict=on_error == "raise")
    }
    result = collect(
        list(parts),
        lambda path: _record(path, parts[path]),
        min_size=min_size,
        on_error=on_error,
        progress=progress,
        label="scanning fMoW",
    )
    if not result.records:
        limit = f" of at least {min_size}×{min_size} pixels" if min_size is not None else ""
        raise InputError(
            f"{root / split if split else root} has no usable image{limit} ({len(parts)} …_rgb images seen, "
            f"{len(result.skipped)} unusable): lower min_size, or fetch more of fMoW."
            + (f" The first: {result.skipped[0][1]}" if result.skipped else "")
        )
    return result


def _is_tree(root: Path) -> bool:
    """Whether there is a folder `<split>/<category>/<category>_<i>`."""
    for split in SPLITS:
        if (root / split).is_dir():
            for category in (root / split).iterdir():
                if category.is_dir() and any(p.is_dir() for p in category.glob(f"{_literal(category.name)}_[0-9]*")):
                    return True
    return False


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _images(folder: Path, strict: bool) -> list[Path]:
    """The `_rgb` images of one split, sorted, and links to nothing; other files and folders are ignored."""
    found: list[Path] = []
    for category in sorted(folder.iterdir()):
        if not category.is_dir():
            found += [category] if category.is_symlink() and not category.exists() else []  # reading it says so
            continue
        object_name = re.compile(rf"{re.escape(category.name)}_\d+")
        inside: list[Path] = []
        for place in sorted(category.iterdir()):
            if object_name.fullmatch(place.name) and place.is_dir():
                image_name = re.compile(rf"{re.escape(place.name)}_\d+_rgb")
                named = (p for p in place.iterdir() if p.suffix.lower() in EXTENSIONS and image_name.fullmatch(p.stem))
                # Of one image in two formats (a .jpg and a lossless copy) the first name is taken.
                inside += sorted({p.stem: p for p in sorted(named, reverse=True)}.values())
        if strict and not inside and category.name in FMOW_CATEGORIES:
            raise InputError(f"{category} holds no …_rgb image: fetch the category, or remove the folder.")
        found += inside
    return found


def _record(path: Path, split: str) -> tuple[ImageRecord, list[str]]:
    height, width = image_size(path)
    meta = read_sidecar(path.with_suffix(".json"))
    notes = []
    tall, wide = sidecar_number(meta.get("img_height")), sidecar_number(meta.get("img_width"))
    if tall is not None and wide is not None and (tall, wide) != (height, width):
        notes.append(f"the JSON says {tall:g}×{wide:g} pixels, the image has {height}×{width}, which count")
    category = path.parent.parent.name
    boxes, odd = sidecar_boxes(meta.get("bounding_boxes"), category, height, width, path)
    gsd = sidecar_number(meta.get("gsd"))
    if gsd is not None and gsd <= 0:
        gsd = None
    return ImageRecord(path, category, f"{split}/{path.parent.name}", height, width, boxes, gsd), notes + odd


@dataclass(frozen=True)
class CheckReport:
    """The result of `check`."""

    categories: dict[str, int] = field(default_factory=dict)  #: readable images of each
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return sum(self.categories.values())


def check(root: Path | str, progress: bool = True) -> CheckReport:
    """Decode every image, since headers do not show all damage.

    Parameters
    ----------
    root : an fMoW tree, or a folder of class folders

    Raises
    ------
    InputError
        A folder that is neither.
    """
    read = functools.partial(scan, min_size=None) if _is_tree(Path(root)) else folders.scan
    result = read(root, on_error="skip", progress=progress)
    unreadable = list(result.skipped)
    categories: Counter[str] = Counter()
    few = len(result.records) < 20
    for record in tqdm(result.records, desc="decoding", unit="image", disable=not progress or few):
        try:
            read_image(record.path)
            categories[record.category] += 1
        except InputError as error:
            unreadable.append((record.path, str(error)))
    return CheckReport(dict(sorted(categories.items())), unreadable, list(result.notes))


#: fMoW's JSON files have a few kilobytes.
MAX_JSON_BYTES = 4 * 2**20


def read_sidecar(path: Path) -> dict[str, Any]:
    """The object in a JSON file of fMoW; its fields are not checked, and any may be missing.

    Raises
    ------
    InputError
        A missing file, one that is too large, no JSON, or no object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path} has more than {MAX_JSON_BYTES} bytes and is no fMoW sidecar: fetch it again.")
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} is missing: fetch it beside its image, or skip such images.") from None
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no readable JSON ({error}): fetch it again.") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path} holds a {type(meta).__name__} where fMoW has an object: fetch it again.")
    return meta


def sidecar_number(value: Any) -> float | None:
    """A finite number, also one written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def sidecar_boxes(found: Any, category: str, height: int, width: int, path: Path) -> tuple[tuple[Box, ...], list[str]]:
    """The boxes that overlap the image, and a note for each other box.

    Parameters
    ----------
    found : the field `bounding_boxes`: a list, one dict, or None. Boxes with ID −1 are placeholders
    category : for boxes that name none
    path : of the image, for the message

    Raises
    ------
    InputError
        Anything but boxes of four numbers.
    """
    entries = [found] if isinstance(found, dict) else found or []
    kept: list[Box] = []
    notes: list[str] = []
    try:
        for entry in entries:
            if sidecar_number(entry.get("ID")) == -1:
                continue
            x, y, w, h = (float(value) for value in entry["box"])
            if not all(abs(value) < 1e6 for value in (x, y, w, h)):
                raise ValueError(f"{x}, {y}, {w}, {h} lies beyond any image")
            box = Box(round(x), round(y), round(w), round(h), str(entry.get("category") or category))
            if box.w < 1 or box.h < 1 or box.x >= width or box.y >= height or box.x + box.w <= 0 or box.y + box.h <= 0:
                notes.append(f"box {x:g}, {y:g}, {w:g}, {h:g} holds nothing of the image and is left out")
            else:
                kept.append(box)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path.with_suffix('.json')} has bounding_boxes that cannot be read ({error!r}): fetch it again."
        ) from None
    return tuple(kept), notes


#: Metres per pixel if the JSON has none; fMoW's images have 0.3 to 0.7.
TYPICAL_GSD = 0.5


def context_box(box: Box, gsd: float | None) -> Box:
    """The box with context, as in the first-place solution of the fMoW challenge.

    The long side becomes `long · 1.5 · 2**t` with t = clamp(1 − (log2(size in m) − 5) / 6, 0, 1): 3 times as long up to
    32 m, 1.5 times from 2048 m on. The short side gets the same margin in pixels. Unlike that solution, this function
    takes pixels as square.

    Parameters
    ----------
    box : the annotated object
    gsd : metres per pixel; `TYPICAL_GSD` if None

    Returns
    -------
    Box
        Not clipped to the image.
    """
    long = max(box.w, box.h)
    metres = long * (TYPICAL_GSD if gsd is None else gsd)
    t = min(1.0, max(0.0, 1 - (math.log2(metres) - 5) / 6))
    margin = round(long * (1.5 * 2**t - 1) / 2)
    return Box(box.x - margin, box.y - margin, box.w + 2 * margin, box.h + 2 * margin, box.category)


def crop_object(image: Pixels, record: ImageRecord, size: int = 256) -> Pixels:
    """Crop the object with context (`context_box`), and scale its long side to `size` pixels.

    The object is the first box of the record's category, else the first box, else the whole image. Pixels outside the
    image are black, and so is the padding on both sides of the short side.

    Parameters
    ----------
    image : uint8 (record.height, record.width, 3), original or decoded

    Returns
    -------
    uint8 (size, size, 3), scaled by Pillow's antialiased bicubic filter

    Raises
    ------
    InputError
        An image size that differs from the record's.
    """
    if image.shape[:2] != (record.height, record.width):
        raise InputError(
            f"The image of {record.path} has {image.shape[0]}×{image.shape[1]} pixels where its record says "
            f"{record.height}×{record.width}: boxes fit only the full-size image."
        )
    if record.boxes:
        own = [box for box in record.boxes if box.category == record.category]
        view = context_box((own or list(record.boxes))[0], record.gsd)
    else:
        view = Box(0, 0, record.width, record.height)
    scale = size / max(view.w, view.h)
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    pad_x, pad_y = (size - round(view.w * scale)) // 2, (size - round(view.h * scale)) // 2
    # Only the part inside the image is resized, since the size of the box comes from a file.
    left, top = max(view.x, 0), max(view.y, 0)
    right, bottom = min(view.x + view.w, record.width), min(view.y + view.h, record.height)
    x0, x1 = (min(size, pad_x + round((edge - view.x) * scale)) for edge in (left, right))
    y0, y1 = (min(size, pad_y + round((edge - view.y) * scale)) for edge in (top, bottom))
    if x1 > x0 and y1 > y0:
        piece = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
        canvas[y0:y1, x0:x1] = np.asarray(piece.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC))
    return canvas
