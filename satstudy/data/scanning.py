"""Reading what files tell about their images, one by one, and what is done with those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from tqdm.auto import tqdm

from satstudy.core.errors import InputError
from satstudy.data.records import ImageRecord, ScanResult

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
