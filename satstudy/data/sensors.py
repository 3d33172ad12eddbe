"""Further overhead imagery to train codecs on and to measure them on: a folder with one subfolder for each sensor.

A fifth of the scenes of each set is for measurement, the rest for training. A scene is what shares ground: images of
one flight line or of one neighbourhood stay on one side. Which side is fixed by the name of the scene, so more images
never move one from training to measurement.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from satstudy.core.errors import InputError
from satstudy.data.images import find_images

#: One scene of this many is measured.
FIFTH = 5
#: Massachusetts Roads (Mnih 2013), tiles of 400 pixels: those with numbers near each other are of one neighbourhood.
TILES_OF_A_NEIGHBOURHOOD = 20


def scene(path: Path) -> str:
    """The scene that an image of a set shows, as "set/scene"; by default the name of its file.

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
    """Whether the scene of this image is for measurement, not for training."""
    return in_the_fifth(scene(path))


def in_the_fifth(name: str) -> bool:
    """Whether something of this name is in the fifth that is measured; the name alone decides."""
    return hashlib.sha256(name.encode()).digest()[0] % FIFTH == 0


def sets(root: Path | str) -> dict[str, list[Path]]:
    """The images of each set below `root`, by the name of the subfolder.

    Raises
    ------
    InputError
        There is no such folder, or no image in a subfolder.
    """
    folders = sorted(path for path in Path(root).glob("*") if path.is_dir())
    if not folders:
        raise InputError(f"{root} has no folders of images: lay one subfolder out for each set, as the README says.")
    return {folder.name: find_images([folder]) for folder in folders}
