"""Images that a profile names: folders in the checkout, and large scenes as they are measured on."""

from __future__ import annotations

from pathlib import Path

from satstudy import paths
from satstudy.data.images import Pixels, halved, read_image
from satstudy.errors import InputError
from satstudy.study import Study


def profile_folder(study: Study, name: str, setting: str) -> Path:
    """A folder that the profile names, relative to the checkout."""
    root = paths.ROOT / name
    if not root.is_dir():
        raise InputError(
            f"The profile {study.profile.name} reads images from {root}, which is not there: put or link them there, "
            f"or leave {setting} out."
        )
    return root


def read_scene(path: Path) -> Pixels:
    """A large scene; halved if it is stored as JPEG.

    The blocks of a JPEG would favour JPEG, and meet the seams of patches, which are as often multiples of 8.
    """
    image = read_image(path)
    return halved(image) if is_jpeg(path) else image


def is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg")
