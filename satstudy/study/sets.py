"""The image sets beside the split of a study: mosaics of tiles, and scenes of other sensors, each image with its place.

What a comparison resamples is the place, or the class, and not the tile or the date: images of one place are no
independent measurements.
"""

from __future__ import annotations

import re
from pathlib import Path

from satstudy.core.errors import InputError
from satstudy.core.pixels import centre
from satstudy.core.types import Pixels
from satstudy.data import sensors
from satstudy.data.images import find_images, halved, is_jpeg, read_image
from satstudy.data.mosaics import mosaic

#: (name in the table, path or pixels, place).
Placed = tuple[str, Path | Pixels, str]

#: Tiles along one side of a mosaic, and their side in pixels.
MOSAIC, TILE = 4, 256


def mosaics(root: Path, first: int) -> list[Placed]:
    """A mosaic of 4×4 tiles of each class: synthetic in its layout only.

    Parameters
    ----------
    root : `<class>/<class><number>.<suffix>`, as UC Merced
    first : the 16 tiles of 256×256 pixels with the lowest numbers from this one on are taken
    """
    found: list[Placed] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        numbered = [path for path in find_images([folder]) if int(re.findall(r"\d+", path.stem)[-1]) >= first]
        tiles: list[Pixels] = []
        for path in numbered:
            tile = read_image(path)
            if tile.shape[:2] == (TILE, TILE):
                tiles.append(tile)
            if len(tiles) == MOSAIC**2:
                found.append((f"{folder.name}-mosaic", mosaic(tiles, MOSAIC), folder.name))
                break
    return found


#: Sets of which a part of the scenes is measured (`satstudy.data.sensors`).
DIVERSE = ("massachusetts", "earthart", "neon")


def images_of(kind: str, root: Path, *, first: int = 40, crop: int = 0) -> list[Placed]:
    """(name, image, place) of a set.

    Parameters
    ----------
    kind : `mosaics`; one of `DIVERSE`; or what the names of a place's scenes begin with ("naip"), all of one place
    first : of `mosaics`
    crop : side of the central crop of a scene, 0 for all of it

    Raises
    ------
    InputError
        No image of the set in the folder.
    """
    if kind == "mosaics":
        found = mosaics(root, first)
    elif kind in DIVERSE:
        files = [path for path in find_images([root]) if sensors.measured(path)]
        found = [(path.name, path, sensors.scene(path)) for path in files]
    else:
        files = [path for path in find_images([root]) if path.stem.startswith(kind)]
        found = [(path.name, centre(read_scene(path), crop) if crop else read_scene(path), kind) for path in files]
    if not found:
        raise InputError(f"{root} has no image of the set {kind}: the README says where to get them.")
    return found


def read_scene(path: Path) -> Pixels:
    """A large scene; halved if it is stored as JPEG.

    The blocks of a JPEG would favour JPEG, and meet the seams of patches, which are as often multiples of 8.
    """
    image = read_image(path)
    return halved(image) if is_jpeg(path) else image
