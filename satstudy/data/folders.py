"""Data sets with one folder for each class: `<root>/<class>/<image>`, such as UC Merced."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from satstudy.core.errors import InputError
from satstudy.data.images import find_images, image_size
from satstudy.data.records import ImageRecord, ScanResult, collect


def scan(
    root: Path | str,
    min_size: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool = True,
) -> ScanResult:
    """The images of a folder of class folders, from their headers (no pixels are decoded).

    A folder with images and without class folders is one class with the empty name "": it serves to train and measure
    codecs, not classifiers.

    Parameters
    ----------
    root : folder with the class folders
    min_size : minimum height and width in pixels; None takes all images
    on_error : an unreadable header or an image outside the layout stops the scan, or is listed in `skipped`

    Returns
    -------
    ScanResult
        Records sorted by path. Each image is its own object, `<class>/<name>`; `notes` lists folders without images.

    Raises
    ------
    InputError
        No image, no image of that size, a folder one level too high, or an unusable file (with on_error="raise").
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"There is no folder {root}: name the one that holds the class folders.")
    images = find_images([root])
    depths = {len(path.relative_to(root).parts) for path in images}
    if min(depths) > 2:
        inner = images[0].relative_to(root).parts
        raise InputError(
            f"{root} has its images deeper than <class>/<image>: name the folder that holds the class folders, "
            f"perhaps {root.joinpath(*inner[:-2])}."
        )
    flat = depths == {1}
    result = collect(
        images,
        lambda path: (_record(root, path, flat), ()),
        min_size=min_size,
        on_error=on_error,
        progress=progress,
    )
    if not result.records:
        small = f", {result.too_small} below min_size = {min_size}" if result.too_small else ""
        reason = f"; {result.skipped[0][1]}" if result.skipped else ": lower min_size, or name another folder."
        raise InputError(
            f"{root} has no usable image ({len(images)} seen, {len(result.skipped)} unusable{small}){reason}"
        )
    result.notes.extend(
        (folder, "holds no image")
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and not any(folder in p.parents for p in images)
    )
    return result  # in the order of `find_images`, by path


def _record(root: Path, path: Path, flat: bool) -> ImageRecord:
    height, width = image_size(path)
    parts = path.relative_to(root).parts
    if len(parts) != (1 if flat else 2):
        raise InputError(
            f"{path} lies outside the layout <class>/<image> of the others in {root}: move it, or skip such files."
        )
    category = "" if flat else parts[0]
    return ImageRecord(path, category, f"{category}/{path.stem}" if category else path.stem, height, width)
