"""Parts of an image: which may be decoded, and what lies under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from satstudy.codecs.learned.header import Header
from satstudy.codecs.learned.stitching import Interval
from satstudy.core.errors import InputError


class Window(NamedTuple):
    """Part of an image, in pixels from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def check_window(window: Window | None, header: Header, max_pixels: int) -> Window:
    """The window, or the whole image.

    Raises
    ------
    InputError
        Empty, outside the image, or of more than `max_pixels`.
    """
    if window is None:
        return Window(0, 0, header.width, header.height)
    x, y, width, height = window
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > header.width or y + height > header.height:
        raise InputError(
            f"The window {x} {y} {width} {height} leaves the image of {header.width}×{header.height} (width×height): "
            "give X Y WIDTH HEIGHT within it."
        )
    if width * height > max_pixels:
        raise InputError(f"The window holds more than {max_pixels} pixels: take a smaller one, or raise the limit.")
    return window


def touched(parts: Sequence[Interval], start: int, length: int) -> list[int]:
    """Which intervals share a pixel with [start, start + length)."""
    return [i for i, (a, b) in enumerate(parts) if a < start + length and b > start]
