"""The JSON beside each image of fMoW: untrusted, and not always as documented."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from satstudy.core.errors import InputError
from satstudy.data.records import Box

#: A sidecar has a few kilobytes; what is larger is none.
MAX_JSON_BYTES = 4 * 2**20


def read(path: Path) -> dict[str, Any]:
    """The object that a sidecar holds; its fields are unchecked, and any may be missing.

    Raises
    ------
    InputError
        No such file, too large, no JSON, or no object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path} has more than {MAX_JSON_BYTES} bytes and is no fMoW sidecar: fetch it again.")
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} is missing: fetch it beside its image, or skip such images.") from None
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no readable JSON ({error}): fetch it again.") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path} holds a {type(meta).__name__} where fMoW has an object: fetch it again.")
    return meta


def number(value: Any) -> float | None:
    """A finite number, also one written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def boxes(found: Any, category: str, height: int, width: int, path: Path) -> tuple[tuple[Box, ...], list[str]]:
    """The boxes that hold something of the image, and a note for each that does not.

    Parameters
    ----------
    found : the field `bounding_boxes`: a list, one bare dict, or None. ID −1 marks a placeholder of the
        ground-truth archive, which is no object
    category : of a box that names none
    path : of the image, for the message

    Raises
    ------
    InputError
        Something else than boxes of four numbers.
    """
    entries = [found] if isinstance(found, dict) else found or []
    kept: list[Box] = []
    notes: list[str] = []
    try:
        for entry in entries:
            if number(entry.get("ID")) == -1:
                continue
            x, y, w, h = (float(value) for value in entry["box"])
            if not all(abs(value) < 1e6 for value in (x, y, w, h)):
                raise ValueError(f"{x}, {y}, {w}, {h} lies beyond any image")
            box = Box(round(x), round(y), round(w), round(h), str(entry.get("category") or category))
            if box.w < 1 or box.h < 1 or box.x >= width or box.y >= height or box.x + box.w <= 0 or box.y + box.h <= 0:
                notes.append(f"box {x:g}, {y:g}, {w:g}, {h:g} holds nothing of the image and is left out")
            else:
                kept.append(box)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path.with_suffix('.json')} has bounding_boxes that cannot be read ({error!r}): fetch it again."
        ) from None
    return tuple(kept), notes
