"""Further overhead imagery for training and measuring codecs: a folder with one subfolder for each sensor.

A fifth of the scenes of each set is for measurement, the rest for training. A scene is a group of images that may show
the same ground, such as one flight line or one neighbourhood. A hash of its name decides, so that added images do not
move others between training and measurement.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from satstudy.core.errors import InputError
from satstudy.data.images import find_images

#: One scene of so many is for measurement.
FIFTH = 5
#: Massachusetts Roads (Mnih 2013), tiles of 400 pixels: tiles with similar numbers show one neighbourhood.
TILES_OF_A_NEIGHBOURHOOD = 20


def scene(path: Path) -> str:
    """The scene of an image, as "set/scene"; by default the file name.

    >>> scene(Path("massachusetts/data-road-segmentation-ideal-subset-cropped-testing-input-img-47.webp"))
    'massachusetts/cropped2'
    >>> scene(Path("neon/data-SJER-2017-SJER-064.webp")) == scene(Path("neon/data-SJER-SJER-064.webp"))
    True
    """
    kind, name = path.parent.name, path.stem
    if kind == "massachusetts":
        parts = name.split("-")
        name = "".join(parts[5:6]) + str(int(parts[-1]) // TILES_OF_A_NEIGHBOURHOOD)
    if kind == "neon":
        name = re.sub(r"^SJER-2017-", "SJER-", name.removeprefix("data-"))
    return f"{kind}/{name}"


def measured(path: Path) -> bool:
    """Whether the scene of this image is for measurement."""
    return in_the_fifth(scene(path))


def in_the_fifth(name: str) -> bool:
    """Whether a scene of this name is in the fifth for measurement, by a hash of the name."""
    return hashlib.sha256(name.encode()).digest()[0] % FIFTH == 0


def sets(root: Path | str) -> dict[str, list[Path]]:
    """The images of each set below `root`, by the name of the subfolder.

    Raises
    ------
    InputError
        No subfolder, or a subfolder without images.
    """
    folders = sorted(path for path in Path(root).glob("*") if path.is_dir())
    if not folders:
        raise InputError(f"{root} has no folders of images: lay one subfolder out for each set, as the README says.")
    return {folder.name: find_images([folder]) for folder in folders}
