"""JPEG with optimal Huffman tables, progressive or sequential, whichever is smaller."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import ClassVar, Literal

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from satstudy.codecs.base import check_pixels, check_range, load_with_pillow, save_with_pillow
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels

LONGEST = 65_500  # libjpeg's own limit, a little below the format's 65,535

_buffer = threading.Lock()


@dataclass(frozen=True)
class JPEG:
    """JPEG through Pillow's libjpeg-turbo.

    Attributes
    ----------
    quality : 1–100, libjpeg's scale of the quantization tables
    subsampling : chroma; "4:2:0" is every encoder's default and the better one here: on 20 tiles of UC Merced,
        4:4:4 needs 8 % and 4:2:2 2 % more rate at equal PSNR *in RGB* (BD-rate over 0.2–3.8 bpp)
    optimize : Huffman tables made for the image; the standard's tables cost 15 % on those tiles
    progressive : None takes the smaller of both files. They decode to the same pixels, and on 256² tiles
        progressive is 5 % smaller at 4 bpp but 20 % larger at 0.2 bpp, where its scan headers weigh
    """

    quality: int = 75
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0"
    optimize: bool = True
    progressive: bool | None = None
    name: ClassVar[str] = "jpeg"

    def __post_init__(self) -> None:
        check_range("JPEG", "quality", self.quality, 1, 100)
        if self.subsampling not in ("4:2:0", "4:2:2", "4:4:4"):
            raise InputError(f'JPEG takes subsampling "4:2:0", "4:2:2" or "4:4:4", not {self.subsampling!r}.')

    @property
    def setting(self) -> str:
        parts = [f"quality={self.quality}"]
        if self.subsampling != "4:2:0":
            parts.append(self.subsampling)
        if not self.optimize:
            parts.append("standard tables")
        if self.progressive is not None:
            parts.append("progressive" if self.progressive else "sequential")
        return " ".join(parts)

    def encode(self, image: Pixels) -> bytes:
        check_pixels(image, "JPEG", LONGEST)
        kinds = (True, False) if self.progressive is None else (self.progressive,)
        return min((self._encode(image, kind) for kind in kinds), key=len)

    def _encode(self, image: Pixels, progressive: bool) -> bytes:
        options: dict[str, object] = {
            "quality": self.quality,
            "subsampling": self.subsampling,
            "optimize": self.optimize,
            "progressive": progressive,
        }
        if self.subsampling == "4:2:0":
            return save_with_pillow(image, "JPEG", **options)
        # Pillow gives libjpeg one byte a pixel for the whole file, which noisy 4:4:4 exceeds ("broken data
        # stream"); the size can only be raised for the process.
        with _buffer:
            previous = ImageFile.MAXBLOCK
            ImageFile.MAXBLOCK = max(previous, 6 * image.shape[0] * image.shape[1] + 2**16)
            try:
                return save_with_pillow(image, "JPEG", **options)
            finally:
                ImageFile.MAXBLOCK = previous

    def decode(self, data: bytes) -> Pixels:
        return load_with_pillow(JpegImageFile, data, "JPEG")
