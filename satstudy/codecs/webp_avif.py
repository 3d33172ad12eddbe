"""WebP and AVIF through Pillow, on one thread, with the settings of the fewest bits at equal PSNR in RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from satstudy.codecs.base import check_choice, check_pixels, check_range, describe, load_with_pillow, save_with_pillow
from satstudy.codecs.registry import CodecEntry, PlotStyle, register
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels


@dataclass(frozen=True)
class WebP:
    """Lossy WebP: VP8 key frames, 4:2:0 chroma.

    Attributes
    ----------
    quality : 0–100
    method : 0–6, the encoder's effort; at equal PSNR on 20 tiles of UC Merced, 4 (libwebp's default) needs 3 % more
        rate than 6, and 0 needs 23 % more
    """

    quality: int = 75
    method: int = 6
    name: str = "webp"
    longest: ClassVar[int] = 16_383

    def __post_init__(self) -> None:
        check_range("WebP", "quality", self.quality, 0, 100)
        check_range("WebP", "method", self.method, 0, 6)

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        check_pixels(image, "WebP", self.longest)
        return save_with_pillow(image, "WEBP", quality=self.quality, method=self.method)

    def decode(self, data: bytes) -> Pixels:
        return load_with_pillow("WebP", data, "WebP")


@dataclass(frozen=True)
class AVIF:
    """AVIF: an AV1 key frame by libaom.

    The default is 4:4:4, tuned for PSNR, speed 4. BD-rate at equal PSNR in RGB on 20 tiles of UC Merced, over 0.15–2.5
    bpp, against Pillow's defaults (4:2:0, speed 6, tuned for perception):

    - 4:2:0 tuned for PSNR +1.4 %; 4:4:4 tuned for perception −2.1 %
    - 4:4:4 tuned for PSNR: speed 6 −2.6 %, speed 5 −7.3 %, speed 4 −10.2 % in five to seven times the time
    - limited instead of full range +0.7 %

    Attributes
    ----------
    quality : 0–100
    speed : 0–10, 10 the fastest
    subsampling : of chroma
    tune : the distortion that libaom optimizes
    """

    quality: int = 50
    speed: int = 4
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:4:4"
    tune: Literal["psnr", "ssim"] = "psnr"
    name: str = "avif"
    #: The format allows sides up to 65,536; these are the limits of libavif's decoder.
    longest: ClassVar[int] = 32_768
    most_pixels: ClassVar[int] = 16_384**2

    def __post_init__(self) -> None:
        from PIL import features

        check_range("AVIF", "quality", self.quality, 0, 100)
        check_range("AVIF", "speed", self.speed, 0, 10)
        check_choice("AVIF", "subsampling", self.subsampling, ("4:2:0", "4:2:2", "4:4:4"))
        check_choice("AVIF", "tune", self.tune, ("psnr", "ssim"))
        if not features.check("avif"):
            raise InputError("This Pillow was built without AVIF: install its wheel (pip install 'pillow>=11.3').")

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        check_pixels(image, "AVIF", self.longest)
        if image.shape[0] * image.shape[1] > self.most_pixels:
            raise InputError(f"AVIF's decoder stops at {self.most_pixels} pixels: cut the image into scenes.")
        return save_with_pillow(
            image,
            "AVIF",
            quality=self.quality,
            speed=self.speed,
            subsampling=self.subsampling,
            codec="aom",
            advanced={"tune": self.tune},
            # One thread and one tile: splitting saves time and costs rate.
            max_threads=1,
            autotiling=False,
        )

    def decode(self, data: bytes) -> Pixels:
        return load_with_pillow("Avif", data, "AVIF")


def _version(library: str, feature: str) -> str:
    from PIL import features

    return f"{library} {features.version(feature)}"


register(
    CodecEntry(
        "webp",
        "WebP",
        parameter="quality",
        ladder=(0, 10, 30, 50, 70, 85, 92),
        factory=WebP,
        version=lambda: _version("libwebp", "webp"),
        style=PlotStyle("green", "v", (0, (1, 1))),
    )
)
register(
    CodecEntry(
        "avif",
        "AVIF",
        parameter="quality",
        ladder=(3, 10, 20, 35, 50, 62, 75),
        factory=AVIF,
        version=lambda: _version("libavif", "avif"),
        style=PlotStyle("purple", "D", (0, (5, 1.5, 1, 1.5, 1, 1.5))),
    )
)
