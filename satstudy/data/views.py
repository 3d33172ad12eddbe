"""What the classifier sees of an image: the object and some of its surroundings, as a square."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.data.images import Pixels
from satstudy.data.records import Box, ImageRecord

#: Metres per pixel assumed where the JSON says none: fMoW's pan-sharpened satellites lie between 0.3 and 0.7.
TYPICAL_GSD = 0.5


def context_box(box: Box, gsd: float | None) -> Box:
    """The box and its surroundings, as the first-place solution of the fMoW challenge cuts it.

    The long side grows to `long · 1.5 · 2**t`, t = clamp(1 − (log2(size in m) − 5) / 6, 0, 1): threefold for
    what is up to 32 m long, 1.5-fold from 2048 m on. The short side gets the same margin in pixels, as there, so
    that a narrow box shows as much ground at its long edges as at its short ones. That solution also
    evens out unequal pixel spacing of the two axes; here pixels count as square.

    Parameters
    ----------
    box : the annotated object
    gsd : metres per pixel; `TYPICAL_GSD` where it is None

    Returns
    -------
    Box
        Not clipped: it may reach over the image's edge.
    """
    long = max(box.w, box.h)
    metres = long * (TYPICAL_GSD if gsd is None else gsd)
    t = min(1.0, max(0.0, 1 - (math.log2(metres) - 5) / 6))
    margin = round(long * (1.5 * 2**t - 1) / 2)
    return Box(box.x - margin, box.y - margin, box.w + 2 * margin, box.h + 2 * margin, box.category)


def crop_object(image: Pixels, record: ImageRecord, size: int = 256) -> Pixels:
    """The classifier's view of an image: its object with context, `size` pixels on the long side.

    The first box of the record's own category is taken, or else the first of all. A record without boxes
    gives the whole image. What lies beyond the image's edge is black, and so is the padding of
    the short side, half of it on each side.

    Parameters
    ----------
    image : uint8 (record.height, record.width, 3), the original or a decoded version of it

    Returns
    -------
    uint8 (size, size, 3), bicubic with Pillow's antialiasing

    Raises
    ------
    InputError
        An image of another size than the record's.
    """
    if image.shape[:2] != (record.height, record.width):
        raise InputError(
            f"The image of {record.path} has {image.shape[0]}×{image.shape[1]} pixels where its record says "
            f"{record.height}×{record.width}: boxes fit only the full-size image."
        )
    if record.boxes:
        own = [box for box in record.boxes if box.category == record.category]
        view = context_box((own or list(record.boxes))[0], record.gsd)
    else:
        view = Box(0, 0, record.width, record.height)
    scale = size / max(view.w, view.h)
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    pad_x, pad_y = (size - round(view.w * scale)) // 2, (size - round(view.h * scale)) // 2
    # Only the part inside the image is resized: the view's own size comes from a file and may be anything.
    left, top = max(view.x, 0), max(view.y, 0)
    right, bottom = min(view.x + view.w, record.width), min(view.y + view.h, record.height)
    x0, x1 = (min(size, pad_x + round((edge - view.x) * scale)) for edge in (left, right))
    y0, y1 = (min(size, pad_y + round((edge - view.y) * scale)) for edge in (top, bottom))
    if x1 > x0 and y1 > y0:
        piece = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
        canvas[y0:y1, x0:x1] = np.asarray(piece.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC))
    return canvas
