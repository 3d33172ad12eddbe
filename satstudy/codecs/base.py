"""Shared by the codecs: checks of images, settings and headers, and coding by Pillow."""

from __future__ import annotations

import dataclasses
import importlib
import io
from collections.abc import Callable
from typing import Any

from satstudy.core.errors import DamagedFile, InputError
from satstudy.core.types import Pixels


def describe(codec: Any) -> str:
    """The settings of a codec, a dataclass, as text: its first field, and all others that differ from their default.

    >>> from satstudy.codecs import AVIF
    >>> describe(AVIF(50)), describe(AVIF(50, speed=6))
    ('quality=50', 'quality=50 speed=6')
    """
    first, *others = (field for field in dataclasses.fields(codec) if field.name != "name")
    fields = [first, *(field for field in others if getattr(codec, field.name) != field.default)]
    values = [(field.name, getattr(codec, field.name)) for field in fields]
    return " ".join(f"{name}={value:g}" if type(value) is float else f"{name}={value}" for name, value in values)


def check_pixels(image: Pixels, codec: str, longest: int | None = None) -> None:
    """Raise InputError unless `image` is `uint8 (height, width, 3)` with no side above `longest`."""
    import numpy as np

    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{codec} takes uint8 (height, width, 3) RGB, not {found}: repeat grey, scale 16 bits to 8.")
    height, width = image.shape[:2]
    if 0 in (height, width):
        raise InputError(f"{codec} cannot code an image without pixels ({height}×{width}).")
    if longest is not None and max(height, width) > longest:
        raise InputError(
            f"{codec} stores sides up to {longest} pixels, this image is {height}×{width}: cut it into scenes."
        )


def check_range(codec: str, name: str, value: int, low: int, high: int) -> None:
    """Raise InputError unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{codec} takes {name} as a whole number from {low} to {high}, not {value!r}.")


def check_choice(codec: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise InputError unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(f"{codec} takes {name} as one of {', '.join(choices)}, not {value!r}.")


def check_size(height: int, width: int, codec: str) -> None:
    """Raise DamagedFile if a header claims more pixels than `satstudy.data.images.MAX_PIXELS`."""
    from satstudy.data.images import MAX_PIXELS

    if height * width > MAX_PIXELS:
        raise DamagedFile(f"The {codec} header claims {height}×{width} pixels, above the limit of {MAX_PIXELS}.")


def save_with_pillow(image: Pixels, format: str, **options: object) -> bytes:
    """The file of `image` in one of Pillow's formats."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format, **options)
    return buffer.getvalue()


def load_with_pillow(plugin: str, data: bytes, codec: str) -> Pixels:
    """Decode with one of Pillow's plugins ("Jpeg", "WebP", "Avif").

    The plugin is called directly and not through `Image.open`: no other format is tried on foreign bytes, and Pillow's
    pixel limit, one for the whole process, does not apply.

    Raises
    ------
    DamagedFile
        Not of this format, damaged, not RGB, or too many pixels.
    """
    import numpy as np

    open_image = getattr(importlib.import_module(f"PIL.{plugin}ImagePlugin"), f"{plugin}ImageFile")
    try:
        with open_image(io.BytesIO(data)) as image:
            check_size(image.height, image.width, codec)
            if image.mode != "RGB":
                raise DamagedFile(f"This {codec} file holds {image.mode} pixels, not RGB: encode RGB images only.")
            image.load()
            return np.array(image, dtype=np.uint8)
    except DamagedFile:
        raise
    except (SyntaxError, OSError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError) as error:
        raise DamagedFile(f"These {len(data)} bytes are no {codec} file, or a damaged one ({error}).") from None


def closest_rate(rate: Callable[[int], float], count: int, wanted: float) -> int:
    """The index of the setting with the rate closest to `wanted`, by binary search.

    Parameters
    ----------
    rate : index of a setting → its rate, ascending
    count : number of settings

    Examples
    --------
    >>> closest_rate([0.1, 0.2, 0.4, 0.8].__getitem__, 4, 0.5)
    2
    """
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rate(middle) < wanted else (low, middle)
    return min(range(low, high + 1), key=lambda index: abs(rate(index) - wanted))
