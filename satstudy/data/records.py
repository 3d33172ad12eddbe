"""What a data set tells about an image: where it is, what it shows, how large it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in pixels of the image; the origin is the image's top-left corner.

    It may reach over the image's edge, as the crop around an object near the edge does.
    """

    x: int
    y: int
    w: int
    h: int
    category: str = ""


class ImageRecord(NamedTuple):
    """One image of a data set, without its pixels."""

    path: Path
    category: str
    object: str  #: what is seen: images of one object share it, and belong on one side of a split
    height: int
    width: int
    boxes: tuple[Box, ...] = ()
    gsd: float | None = None  #: ground sample distance, metres per pixel


@dataclass(frozen=True)
class ScanResult:
    """What a scan found, in sorted order, and what it left out."""

    records: list[ImageRecord]
    skipped: list[tuple[Path, str]] = field(default_factory=list)  #: unusable files, with the reason
    notes: list[tuple[Path, str]] = field(default_factory=list)  #: used, though something about it is odd
    too_small: int = 0  #: images below the least size that was asked for
