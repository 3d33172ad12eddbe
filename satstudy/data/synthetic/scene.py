"""One synthetic image: an object of an fMoW category in its surroundings, with fMoW's metadata."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satstudy.core.errors import InputError
from satstudy.data.synthetic import parts, places
from satstudy.data.synthetic.canvas import Canvas
from satstudy.data.synthetic.ground import surroundings
from satstudy.data.synthetic.light import develop
from satstudy.data.synthetic.view import View, random_view

#: Increase it when the same seed gives other pixels, so that no tree mixes two versions.
GENERATOR_VERSION = 1

SPLITS = ("train", "val")
#: Minimum side of a scene in pixels.
SMALLEST = 64


class Category(NamedTuple):
    """How objects of a category are drawn.

    Attributes
    ----------
    draw : function that draws the object
    field : range of the side of the field of view in metres
    extent : range of half the object's length, relative to the field of view
    places : possible kinds of surroundings
    access : whether a road leads to it
    """

    draw: Callable[[Canvas, np.random.Generator, float], parts.Points]
    field: tuple[float, float]
    extent: tuple[float, float]
    places: tuple[str, ...]
    access: bool = True


_ANY = ("farmland", "suburb", "industry", "woodland", "dry")
_OPEN = ("farmland", "woodland", "dry")
_TOWN = ("suburb", "industry")

_DRAWN: dict[str, Category] = {
    "airport": Category(places.airport, (1000, 1400), (0.30, 0.42), ("farmland", "suburb", "industry", "dry")),
    "aquaculture": Category(places.aquaculture, (450, 800), (0.18, 0.36), _OPEN),
    "crop_field": Category(places.crop_field, (450, 800), (0.15, 0.34), ("farmland", "dry"), False),
    "golf_course": Category(places.golf_course, (600, 1000), (0.26, 0.42), ("suburb", "farmland", "woodland", "dry")),
    "interchange": Category(places.interchange, (650, 1050), (0.22, 0.36), _ANY, False),
    "lake_or_pond": Category(places.lake_or_pond, (400, 800), (0.10, 0.32), (*_OPEN, "suburb"), False),
    "parking_lot_or_garage": Category(places.parking_lot_or_garage, (360, 560), (0.09, 0.26), _TOWN),
    "port": Category(places.port, (650, 1050), (0.25, 0.42), _TOWN, False),
    "race_track": Category(places.race_track, (650, 1100), (0.22, 0.38), ("farmland", "suburb", "woodland", "dry")),
    "railway_bridge": Category(places.railway_bridge, (380, 700), (0.09, 0.22), _ANY, False),
}

#: The fMoW categories that can be drawn, sorted.
CATEGORIES: tuple[str, ...] = tuple(sorted(_DRAWN))


class Scene(NamedTuple):
    """An image, uint8 (h, w, 3), the boxes (x, y, w, h) of its objects in pixels, and the fields of fMoW's JSON."""

    image: NDArray[np.uint8]
    boxes: tuple[tuple[int, int, int, int], ...]
    metadata: dict[str, Any]


def _frame(points: NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """The bounding box of `points`, clipped to the image; at least one pixel."""
    low = np.clip(np.floor(points.min(axis=0)), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)), low + 1, [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _metadata(view: View, width: int, height: int, latitude: float, zone: int) -> dict[str, Any]:
    band = "CDEFGHJKLMNPQRSTUVWX"[int((latitude + 80) // 8)]
    return {
        "gsd": round(view.gsd, 4),
        "img_width": width,
        "img_height": height,
        "timestamp": view.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "utm": f"{zone}{band}",
        "country_code": "SYN",
        "off_nadir_angle_dbl": round(view.off_nadir, 3),
        "target_azimuth_dbl": round((view.off_nadir_azimuth + 180) % 360, 3),
        "sun_azimuth_dbl": round(view.sun_azimuth, 3),
        "sun_elevation_dbl": round(view.sun_elevation, 3),
    }


def draw(
    category: str,
    object_index: int,
    view_index: int,
    seed: int = 0,
    size: tuple[int, int] = (1024, 1024),
    split: str = "val",
) -> Scene:
    """Draw one image of one object; equal arguments give equal images.

    All views of an object have the same ground; sun, season, atmosphere, sensor and vehicles differ. `size` changes the
    resolution, not the field of view.

    Parameters
    ----------
    category : one of `CATEGORIES`
    object_index, view_index, seed : 0 or more
    size : (height, width) in pixels, at least `SMALLEST` each
    split : "train" or "val", which have different objects

    Raises
    ------
    InputError
        An unknown category or split, or a size or index out of range.
    """
    if category not in _DRAWN:
        raise InputError(f"{category!r} is no category that can be drawn: choose from {', '.join(CATEGORIES)}.")
    if split not in SPLITS:
        raise InputError(f"{split!r} is no split: choose 'train' or 'val'.")
    if min(object_index, view_index, seed) < 0:
        raise InputError(f"Object {object_index}, view {view_index} and seed {seed} must not be negative.")
    height, width = size
    if min(size) < SMALLEST:
        raise InputError(f"A scene of {height}x{width} pixels cannot show its object: ask for {SMALLEST} or more.")
    kind = _DRAWN[category]
    # The name's checksum, not its index: a new category does not change the others.
    key = (seed, SPLITS.index(split), zlib.crc32(category.encode()), object_index)
    rng = np.random.default_rng([*key, 0])
    field = float(rng.uniform(*kind.field))
    half = field * float(rng.uniform(*kind.extent))
    place = kind.places[int(rng.integers(len(kind.places)))]
    latitude, zone = float(rng.uniform(18, 56) * rng.choice([1, 1, -1])), int(rng.integers(1, 61))
    arid = float(rng.uniform(0.5, 1)) if place == "dry" else float(rng.uniform(0, 0.45))
    room = max(0.0, min(0.14 * field, 0.47 * field - half))
    x, y = (float(v) for v in rng.uniform(-room, room, 2))
    angle = float(rng.uniform(0, 2 * np.pi))

    view_key = (*key, 1, view_index)
    view_rng = np.random.default_rng(view_key)
    gsd = field * float(view_rng.uniform(0.94, 1.06)) / max(size)
    view = random_view(view_rng, gsd, latitude, arid, view_key)
    canvas = Canvas(width, height, view)
    surroundings(canvas, np.random.default_rng([*key, 2]), place, field)
    spot = canvas.at(x, y, angle)
    lane = np.random.default_rng([*key, 5])
    if kind.access and place in _OPEN:
        parts.road(canvas.at(x, y, float(lane.uniform(0, 2 * np.pi))), np.array([[0, 0], [2 * field, 0]]), 6.5)
    outline = spot.pixels(kind.draw(spot, np.random.default_rng([*key, 3]), half))
    image, cover = develop(canvas, field, (*key, 4))

    box = _frame(outline, width, height)
    name = f"{category}_{object_index}_{view_index}_rgb"
    metadata = {
        "img_filename": name,
        **_metadata(view, width, height, latitude, zone),
        "cloud_cover": round(100 * cover),
        "bounding_boxes": [{"ID": object_index, "category": category, "visible": True, "box": list(box)}],
        "synthetic": True,
        "generator": GENERATOR_VERSION,
        "seed": seed,
        "split": split,
        "surroundings": place,
    }
    return Scene(image, (box,), metadata)
