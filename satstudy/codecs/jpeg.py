"""JPEG with optimized Huffman tables, progressive or sequential, whichever file is smaller."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal

from satstudy.codecs.base import check_choice, check_pixels, check_range, describe, load_with_pillow, save_with_pillow
from satstudy.codecs.registry import CodecEntry, PlotStyle, register
from satstudy.core.types import Pixels

LONGEST = 65_500  # libjpeg's own limit, a little below the format's 65,535

_buffer = threading.Lock()


@dataclass(frozen=True)
class JPEG:
    """JPEG by libjpeg-turbo through Pillow, with Huffman tables optimized for the image.

    Measured on 20 tiles of UC Merced: the standard's Huffman tables cost 15 %. At equal PSNR in RGB, 4:4:4 needs 8 %
    and 4:2:2 2 % more rate than 4:2:0 (BD-rate over 0.2–3.8 bpp).

    Attributes
    ----------
    quality : 1–100, libjpeg's scale of the quantization tables
    subsampling : of chroma
    progressive : None takes the smaller of both files, which decode to the same pixels

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((40, 60, 3), 128, np.uint8)
    >>> codec = JPEG(quality=50)
    >>> codec.setting, codec.decode(codec.encode(image)).shape
    ('quality=50', (40, 60, 3))
    """

    quality: int = 75
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0"
    progressive: bool | None = None
    name: str = "jpeg"

    def __post_init__(self) -> None:
        check_range("JPEG", "quality", self.quality, 1, 100)
        check_choice("JPEG", "subsampling", self.subsampling, ("4:2:0", "4:2:2", "4:4:4"))

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        check_pixels(image, "JPEG", LONGEST)
        kinds = (True, False) if self.progressive is None else (self.progressive,)
        return min((self._encode(image, kind) for kind in kinds), key=len)

    @property
    def _tables(self) -> dict[str, Any]:
        return {"quality": self.quality}

    def _encode(self, image: Pixels, progressive: bool) -> bytes:
        from PIL import ImageFile

        options: dict[str, Any] = {**self._tables, "subsampling": self.subsampling, "optimize": True}
        if self.subsampling == "4:2:0":
            return save_with_pillow(image, "JPEG", progressive=progressive, **options)
        # Pillow's buffer for the whole file has one byte a pixel, which noisy 4:4:4 exceeds ("broken data stream").
        # Its size is a setting of the process.
        with _buffer:
            previous = ImageFile.MAXBLOCK
            ImageFile.MAXBLOCK = max(previous, 6 * image.shape[0] * image.shape[1] + 2**16)
            try:
                return save_with_pillow(image, "JPEG", progressive=progressive, **options)
            finally:
                ImageFile.MAXBLOCK = previous

    def decode(self, data: bytes) -> Pixels:
        return load_with_pillow("Jpeg", data, "JPEG")


@dataclass(frozen=True)
class FlatJPEG(JPEG):
    """JPEG with one quantization step for all coefficients, as the PSNR asks for; the standard's tables suit the eye.

    Attributes
    ----------
    quality : 101 less the step, so that more is finer here too
    """

    quality: int = 85
    name: str = "jpeg-flat"

    @property
    def _tables(self) -> dict[str, Any]:
        # Pillow scales tables by the quality; 50 leaves them as they are.
        return {"quality": 50, "qtables": [[101 - self.quality] * 64] * 2}


def _version() -> str:
    from PIL import features

    return f"libjpeg-turbo {features.version('libjpeg_turbo')}"


register(
    CodecEntry(
        "jpeg",
        "JPEG",
        parameter="quality",
        ladder=(4, 8, 15, 30, 50, 70, 85, 92),
        factory=JPEG,
        version=_version,
        style=PlotStyle("vermilion", "s", "--"),
    )
)
register(
    CodecEntry(
        "jpeg-flat",
        "JPEG, flat tables",
        parameter="quality",
        ladder=(1, 40, 65, 80, 88, 93, 96, 98),
        factory=FlatJPEG,
        version=_version,
        style=PlotStyle("vermilion", "s", (0, (1, 1)), hollow=True),
    )
)
