"""Large scenes as they are measured on."""

from __future__ import annotations

from pathlib import Path

from satstudy.data.images import Pixels, halved, read_image


def read_scene(path: Path) -> Pixels:
    """A large scene; halved if it is stored as JPEG.

    The blocks of a JPEG would favour JPEG, and meet the seams of patches, which are as often multiples of 8.
    """
    image = read_image(path)
    return halved(image) if is_jpeg(path) else image


def is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg")
