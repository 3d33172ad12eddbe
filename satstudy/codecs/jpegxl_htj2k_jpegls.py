"""JPEG XL, HTJ2K and near-lossless JPEG-LS through imagecodecs, single-threaded.

BD-rates below are at equal PSNR in RGB against JPEG 2000 (OpenJPEG) on 5 to 8 tiles of UC Merced.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from satstudy.codecs.base import check_pixels, check_range, check_size, describe
from satstudy.codecs.registry import CodecEntry, PlotStyle, register
from satstudy.core.errors import DamagedFile, InputError
from satstudy.core.types import Pixels


@dataclass(frozen=True)
class JPEGXL:
    """JPEG XL by libjxl, a bare codestream.

    libjxl quantizes for perceived difference (Butteraugli) in its own colour space XYB and has no mode for PSNR. Effort
    3 needs 19 %, 5 20 %, 6 and 7 15 %, and 8 13 % more bits than JPEG 2000; 8 takes four times as long as 7, the
    default of libjxl and here.

    Attributes
    ----------
    distance : in Butteraugli units, 0.05–25; more is coarser
    effort : 1–9, the encoder's effort
    """

    distance: float = 2.0
    effort: int = 7
    name: str = "jpegxl"

    def __post_init__(self) -> None:
        _check_positive("JPEG XL", "distance", self.distance, 0.05, 25)
        check_range("JPEG XL", "effort", self.effort, 1, 9)

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        import imagecodecs

        check_pixels(image, "JPEG XL")
        options: dict[str, Any] = {"distance": self.distance, "effort": self.effort, "usecontainer": False}
        return bytes(imagecodecs.jpegxl_encode(image, numthreads=1, **options))

    def decode(self, data: bytes) -> Pixels:
        import imagecodecs

        if data[:2] != b"\xff\x0a":
            raise DamagedFile(f"These {len(data)} bytes are no bare JPEG XL codestream.")
        return _pixels(lambda: imagecodecs.jpegxl_decode(data, numthreads=1), "JPEG XL")


@dataclass(frozen=True)
class HTJ2K:
    """High-throughput JPEG 2000 (ISO 15444-15): the 9/7 wavelet with the multi-component colour transform.

    OpenJPH encodes; OpenJPEG decodes, because imagecodecs returns OpenJPH's values modulo 256: a decoded 256 becomes
    black (aous72/OpenJPH issue 234). OpenJPH quantizes with one step and cuts no coding passes, so its rate is not set
    but follows. It needs 8 to 12 % more bits than JPEG 2000 (means over each set of the reference study) and codes ten
    times as fast; 6 instead of 5 decompositions need 1 % more on tiles and no less on images of 1024².

    Attributes
    ----------
    step : of the quantizer, relative to the range of the samples
    """

    step: float = 0.04
    name: str = "htj2k"

    def __post_init__(self) -> None:
        _check_positive("HTJ2K", "step", self.step, 1e-4, 1)

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        import imagecodecs

        check_pixels(image, "HTJ2K")
        # OpenJPH divides images with a side of less than 2⁵ into empty bands, and its decoder refuses these.
        levels = min(5, min(image.shape[:2]).bit_length() - 1)
        options: dict[str, Any] = {"level": self.step, "reversible": False, "rgb": True, "resolutions": levels}
        return bytes(imagecodecs.htj2k_encode(image, **options))

    def decode(self, data: bytes) -> Pixels:
        import imagecodecs

        _check_header(data, "HTJ2K", b"\xff\x4f\xff\x51", ">II", 8)
        return _pixels(lambda: imagecodecs.jpeg2k_decode(data, numthreads=1), "HTJ2K")


@dataclass(frozen=True)
class JPEGLS:
    """Near-lossless JPEG-LS by CharLS: no sample of R, G and B is off by more than `near`; without a colour transform.

    Attributes
    ----------
    near : the largest error of a sample, 1–127
    """

    near: int = 4
    name: str = "jpegls"

    def __post_init__(self) -> None:
        check_range("JPEG-LS", "near", self.near, 1, 127)

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        import imagecodecs

        check_pixels(image, "JPEG-LS", 65_535)
        return bytes(imagecodecs.jpegls_encode(image, level=self.near))

    def decode(self, data: bytes) -> Pixels:
        import imagecodecs

        frame = max(0, data.find(b"\xff\xf7", 0, 256))  # behind application segments
        _check_header(data, "JPEG-LS", b"\xff\xd8", ">HH", frame + 5)
        return _pixels(lambda: imagecodecs.jpegls_decode(data), "JPEG-LS")


def _check_positive(codec: str, name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{codec} takes {name} as a number from {low:g} to {high:g}, not {value!r}.")


def _check_header(data: bytes, codec: str, magic: bytes, sides: str, at: int) -> None:
    """Raise DamagedFile unless the file begins with `magic` and claims a size that the study has images of."""
    if data[: len(magic)] != magic or len(data) < at + struct.calcsize(sides):
        raise DamagedFile(f"These {len(data)} bytes are no {codec} codestream.")
    first, second = struct.unpack_from(sides, data, at)
    check_size(first, second, codec)


def _pixels(decode: Callable[[], Any], codec: str) -> Pixels:
    import numpy as np

    try:
        pixels = np.asarray(decode())
    except MemoryError:
        raise
    except Exception as error:
        raise DamagedFile(f"This is no {codec} codestream, or a damaged one ({error}).") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DamagedFile(f"This {codec} file holds no 8-bit RGB pixels: encode it with this codec.")
    return pixels


def _version(library: str) -> str:
    import imagecodecs

    return f"{library} {imagecodecs.version(dict)[library]} in imagecodecs {imagecodecs.__version__}"


register(
    CodecEntry(
        "jpegxl",
        "JPEG XL",
        parameter="distance",
        ladder=(0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 25.0),
        factory=JPEGXL,
        setting_type=float,
        version=lambda: _version("libjxl"),
        style=PlotStyle("sky", "X", (0, (2, 1))),
        package="imagecodecs",
        extra="anchors",
    )
)
register(
    CodecEntry(
        "htj2k",
        "HTJ2K",
        parameter="step",
        ladder=(0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
        factory=HTJ2K,
        setting_type=float,
        version=lambda: _version("openjph"),
        style=PlotStyle("orange", "v", "--", hollow=True),
        package="imagecodecs",
        extra="anchors",
    )
)
register(
    CodecEntry(
        "jpegls",
        "JPEG-LS",
        parameter="near",
        ladder=(1, 2, 4, 8, 16, 32),
        factory=JPEGLS,
        version=lambda: _version("charls"),
        style=PlotStyle("vermilion", "d", (0, (1, 1)), hollow=True),
        package="imagecodecs",
        extra="anchors",
    )
)
