"""What a codec is: a name, a setting, and two functions between pixels and the bytes of a file."""

from __future__ import annotations

import io
from typing import Protocol

import numpy as np
from PIL import Image, ImageFile

from satstudy.core.errors import DamagedFile, InputError
from satstudy.core.types import Pixels
from satstudy.data.images import MAX_PIXELS


class Codec(Protocol):
    """Encodes `uint8 (height, width, 3)` RGB to the bytes of a file and back.

    Attributes
    ----------
    name : "jpeg", "jpeg2000", "webp", "avif", "learned", "learned-natural", …
    setting : what distinguishes two points of one codec's curve, as text ("quality=75")
    """

    @property
    def name(self) -> str: ...

    @property
    def setting(self) -> str: ...

    def encode(self, image: Pixels) -> bytes:
        """The whole file. Raises InputError for what is no RGB image or too large for the format."""
        ...

    def decode(self, data: bytes) -> Pixels:
        """The pixels. Raises DamagedFile for truncated or foreign bytes."""
        ...


def check_pixels(image: Pixels, codec: str, longest: int | None = None) -> None:
    """Raise InputError unless `image` is `uint8 (h, w, 3)` with no side above `longest`."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{codec} takes uint8 (height, width, 3) RGB, not {found}: repeat grey, scale 16 bits to 8.")
    if 0 in image.shape:
        raise InputError(f"{codec} cannot code an image without pixels ({image.shape[0]}×{image.shape[1]}).")
    if longest is not None and max(image.shape[:2]) > longest:
        raise InputError(
            f"{codec} stores sides up to {longest} pixels, this image is {image.shape[0]}×{image.shape[1]}: "
            "cut it into scenes."
        )


def check_range(codec: str, name: str, value: int, low: int, high: int) -> None:
    """Raise InputError unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{codec} takes {name} as a whole number from {low} to {high}, not {value!r}.")


def check_size(height: int, width: int, codec: str) -> None:
    """Raise DamagedFile where a header claims more pixels than any image of the study has."""
    if height * width > MAX_PIXELS:
        raise DamagedFile(f"The {codec} header claims {height}×{width} pixels, above the limit of {MAX_PIXELS}.")


def save_with_pillow(image: Pixels, format: str, **options: object) -> bytes:
    """The bytes of `image` in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format, **options)
    return buffer.getvalue()


def load_with_pillow(plugin: type[ImageFile.ImageFile], data: bytes, codec: str) -> Pixels:
    """Decode with one of Pillow's plugins and no other.

    The plugin is called directly instead of through `Image.open`: no other format is tried on foreign bytes,
    and the size is checked against the study's limit rather than against Pillow's process-wide one.
    """
    try:
        with plugin(io.BytesIO(data)) as image:
            check_size(image.height, image.width, codec)
            if image.mode != "RGB":
                raise DamagedFile(f"This {codec} file holds {image.mode} pixels, not RGB: encode RGB images only.")
            image.load()
            return np.array(image, dtype=np.uint8)
    except DamagedFile:
        raise
    except (SyntaxError, OSError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError) as error:
        raise DamagedFile(f"These {len(data)} bytes are no {codec} file, or a damaged one ({error}).") from None
