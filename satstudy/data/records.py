"""What a data set tells about an image: where it is, what it shows, how large it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm.auto import tqdm

from satstudy.core.errors import InputError


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
    """The records of images, in their order.

    Parameters
    ----------
    read : the record of one, and what is odd about it
    min_size : least height and width in pixels; None takes all
    on_error : what an unusable file does: stop, or be listed in `skipped`
    label : what the progress bar says

    Raises
    ------
    InputError
        An unusable file, with on_error="raise".
    """
    records: list[ImageRecord] = []
    skipped: list[tuple[Path, str]] = []
    odd: list[tuple[Path, str]] = []
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
        odd.extend((path, note) for note in notes)
    return ScanResult(records, skipped, odd, too_small)
