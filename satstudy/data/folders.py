"""Any data set laid out as one folder per class: `<root>/<class>/<image>`, UC Merced for one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from satstudy.core.errors import InputError
from satstudy.data.images import find_images, image_size
from satstudy.data.records import ImageRecord, ScanResult, collect


def scan(
    root: Path | str,
    min_size: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    object_pattern: str | None = None,
    progress: bool = True,
) -> ScanResult:
    """The images of a tree of class folders, from their headers alone.

    A folder that holds images and no class folder is one class with the empty name "": enough to train
    a codec on or to measure rate and distortion, not to classify.

    Parameters
    ----------
    root : the folder that holds the class folders
    min_size : least height and width in pixels; None takes all
    on_error : what an unreadable header, an image outside the layout or a name that `object_pattern`
        does not match does: stop the scan, or be listed in `skipped`
    object_pattern : regular expression searched for in the file's name without its ending; its first group
        (or all it matches) names the object within the class. Give it where several images show
        one object: r"(site\\d+)_" for site12_2019.png. Without it each image is its own object.

    Returns
    -------
    ScanResult
        Records sorted by path. `object` is `<class>/<name>`; folders without an image are in `notes`.

    Raises
    ------
    InputError
        No image, no image of that size, a folder one level too high, or (with on_error="raise") an unusable file.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"There is no folder {root}: name the one that holds the class folders.")
    try:
        pattern = re.compile(object_pattern) if object_pattern is not None else None
    except re.error as error:
        raise InputError(f"object_pattern = {object_pattern!r} is no regular expression ({error}): mend it.") from None
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
        lambda path: (_record(root, path, pattern, flat), ()),
        min_size=min_size,
        on_error=on_error,
        progress=progress,
    )
    if not result.records:
        raise InputError(
            f"{root} has no usable image ({len(images)} seen, {len(result.skipped)} unusable, {result.too_small} below "
            f"min_size = {min_size}): lower min_size, or name another folder."
        )
    result.notes.extend(
        (folder, "holds no image")
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and not any(folder in p.parents for p in images)
    )
    return result  # in the order of `find_images`, by path


def _record(root: Path, path: Path, pattern: re.Pattern[str] | None, flat: bool) -> ImageRecord:
    parts = path.relative_to(root).parts
    if len(parts) != (1 if flat else 2):
        raise InputError(
            f"{path} lies outside the layout <class>/<image> of the others in {root}: move it, or skip such files."
        )
    category = "" if flat else parts[0]
    name = path.stem
    if pattern is not None:
        match = pattern.search(name)
        if match is None or not (match[1] if pattern.groups else match[0]):
            raise InputError(f"object_pattern = {pattern.pattern!r} finds no object in the name {path}: mend it.")
        name = match[1] if pattern.groups else match[0]
    height, width = image_size(path)
    return ImageRecord(path, category, f"{category}/{name}" if category else name, height, width)
