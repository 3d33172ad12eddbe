"""The records of a data set: path, category, object and size of each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm.auto import tqdm

from satstudy.core.errors import InputError


class Box(NamedTuple):
    """A rectangle in pixels; (x, y) is its upper left corner. It may reach beyond the borders of the image."""

    x: int
    y: int
    w: int
    h: int
    category: str = ""


class ImageRecord(NamedTuple):
    """One image of a data set, without its pixels."""

    path: Path
    category: str
    object: str  #: the object or place that is seen; all its images belong in one split
    height: int
    width: int
    boxes: tuple[Box, ...] = ()
    gsd: float | None = None  #: ground sample distance, metres per pixel


@dataclass(frozen=True)
class ScanResult:
    """The records of a scan, in sorted order, and the images that it left out."""

    records: list[ImageRecord]
    skipped: list[tuple[Path, str]] = field(default_factory=list)  #: unusable files, with the reason
    notes: list[tuple[Path, str]] = field(default_factory=list)  #: remarks on images that are used
    too_small: int = 0  #: number of images below the minimum size


#: Fewer images than this are scanned too quickly for a progress bar.
PROGRESS_FROM = 500


def collect(
    images: Sequence[Path],
    read: Callable[[Path], tuple[ImageRecord, Sequence[str]]],
    *,
    min_size: int | None,
    on_error: Literal["raise", "skip"],
    progress: bool,
    label: str = "scanning",
) -> ScanResult:
    """The records of images, in the order of `images`.

    Parameters
    ----------
    read : gives the record of an image, and remarks on it
    min_size : minimum of height and width in pixels; None takes all images
    on_error : on an unusable file, raise, or list it in `skipped`
    label : of the progress bar

    Raises
    ------
    InputError
        An unusable file, with on_error="raise".
    """
    records: list[ImageRecord] = []
    skipped: list[tuple[Path, str]] = []
    remarks: list[tuple[Path, str]] = []
    too_small = 0
    for path in tqdm(images, desc=label, unit="image", disable=not progress or len(images) < PROGRESS_FROM):
        try:
            record, notes = read(path)
        except InputError as error:
            if on_error == "raise":
                raise
            skipped.append((path, str(error)))
            continue
        if min_size is not None and min(record.height, record.width) < min_size:
            too_small += 1
            continue
        records.append(record)
        remarks.extend((path, note) for note in notes)
    return ScanResult(records, skipped, remarks, too_small)
