"""JPEG 2000 by OpenJPEG: 9/7 wavelet, multi-component colour transform, bare codestream.

Pillow's default for RGB has no colour transform, which costs 1.5–5.8 dB (0.06–2 bpp, 20 tiles of UC Merced). The other
settings need the fewest bits on these tiles (BD-rate at equal PSNR):

- Code-blocks of 64×64: 32×32 needs 2 % more rate, 64×16 3 %.
- Five resolutions for sides below 512 px, else six: on 256² tiles four need 3 % more than five, six 0.4 %, seven 1.7 %.
- One layer, one tile, one precinct; the progression order has no effect then.
- The file is the codestream (.j2k): the .jp2 wrapper would add 85 bytes. OpenJPEG's comment "Created by …", 39 bytes,
  is removed, and the pixels get its bytes.

Streams equal those of `opj_compress -I -mct 1` except for the comment.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import struct
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from satstudy.codecs.base import check_pixels, check_size, describe
from satstudy.codecs.registry import CodecEntry, PlotStyle, register
from satstudy.core.errors import DamagedFile, InputError, SatstudyError
from satstudy.core.types import Pixels

OLDEST = (2, 4, 0)  # glymur's own minimum

SOC, SIZ, COM, SOT, EOC = 0xFF4F, 0xFF51, 0xFF64, 0xFF90, 0xFFD9


# --- The library ----------------------------------------------------------------------------------------


def _copies() -> Iterator[Path]:
    """Copies of libopenjp2 in this environment: in the wheels of Pillow and rasterio, and conda's."""
    import PIL

    site, prefix = Path(PIL.__file__).resolve().parent.parent, Path(sys.prefix)
    for folder in ("pillow.libs", "PIL/.dylibs", "rasterio.libs", "rasterio/.dylibs"):
        yield from sorted((site / folder).glob("*openjp2*"))
    for pattern in ("lib/libopenjp2.so*", "lib/libopenjp2*.dylib", "Library/bin/openjp2.dll"):
        yield from sorted(prefix.glob(pattern))


def _version(library: Any) -> tuple[int, ...]:
    try:
        library.opj_version.restype = ctypes.c_char_p
        return tuple(int(part) for part in library.opj_version().decode().split(".")[:3])
    except (AttributeError, ValueError):
        return (0,)


@functools.cache
def _glymur() -> Any:
    """glymur with the system's libopenjp2, or the copy in a wheel if there is none.

    glymur searches libopenjp2 on import and defines its C structures for that version. Setting another library later
    would corrupt memory, so its module is loaded again with the copy. The user's glymur configuration does not change.
    """
    with warnings.catch_warnings():
        # glymur warns if the library named in the user's glymurrc cannot be loaded.
        warnings.simplefilter("ignore", UserWarning)
        import glymur
        from glymur.lib import openjp2

    if _version(openjp2.OPENJP2) >= OLDEST:
        return glymur
    for path in _copies():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        if _version(library) >= OLDEST:
            search, glymur.config.glymur_config = glymur.config.glymur_config, lambda _, found=library: found
            try:
                importlib.reload(openjp2)
            finally:
                glymur.config.glymur_config = search
            glymur.version.openjpeg_version = openjp2.version()
            glymur.version.openjpeg_version_tuple = _version(library)
            return glymur
    raise SatstudyError(
        "JPEG 2000 needs the OpenJPEG library 2.4 or later, and neither the system nor Pillow's wheel has it: install "
        "it (apt install libopenjp2-7, brew install openjpeg, or conda install openjpeg)."
    )


def openjpeg_version() -> str:
    """The version of OpenJPEG in use, such as "2.5.4"; versions may write different bytes."""
    return str(_glymur().version.openjpeg_version)


# --- The codestream -------------------------------------------------------------------------------------


class _Segment(NamedTuple):
    marker: int
    start: int
    stop: int


def _segments(data: bytes) -> list[_Segment]:
    """All marker segments and tile-parts (ISO 15444-1, annex A); DamagedFile unless they cover the bytes exactly."""
    try:
        if struct.unpack_from(">HH", data) != (SOC, SIZ):
            raise DamagedFile(f"These {len(data)} bytes are no JPEG 2000 codestream.")
        found, at = [_Segment(SOC, 0, 2)], 2
        while True:
            (marker,) = struct.unpack_from(">H", data, at)
            if marker == EOC and at + 2 == len(data):
                return [*found, _Segment(EOC, at, at + 2)]
            if marker == SOT:
                (length,) = struct.unpack_from(">I", data, at + 6)
                stop = at + length if length else len(data) - 2
                least = 14
            else:
                (length,) = struct.unpack_from(">H", data, at + 2)
                stop, least = at + 2 + length, 4
            if stop < at + least:
                raise DamagedFile("This JPEG 2000 codestream has a segment of impossible length.")
            found.append(_Segment(marker, at, stop))
            at = stop
    except struct.error:
        raise DamagedFile(f"This JPEG 2000 codestream is truncated or altered ({len(data)} bytes).") from None


def _size(data: bytes) -> tuple[int, int]:
    """(height, width) from the SIZ segment; DamagedFile unless it is 8-bit RGB without subsampling."""
    try:
        x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, components = struct.unpack_from(">8IH", data, 8)
        layout = struct.unpack_from(">9B", data, 42)
    except struct.error:
        raise DamagedFile("This JPEG 2000 codestream ends in its header.") from None
    plain = components == 3 and layout == (7, 1, 1) * 3 and (x0, y0, tile_x, tile_y) == (0, 0, 0, 0)
    if not plain or 0 in (x1, y1, tile_w, tile_h):
        raise DamagedFile("This JPEG 2000 codestream is not plain 8-bit RGB: encode it with this codec.")
    check_size(y1, x1, "JPEG 2000")
    return y1, x1


@dataclass(frozen=True)
class JPEG2000:
    """JPEG 2000 by OpenJPEG through glymur.

    A codestream has no checksum: truncation and damaged structure are refused, but a flipped bit of the coded data only
    changes pixels.

    Attributes
    ----------
    bpp : target bits per pixel of the whole file; small files may miss it by some percent, since OpenJPEG truncates
        between coding passes
    mct : the multi-component colour transform; off only to show its gain
    """

    bpp: float
    mct: bool = True
    name: str = "jpeg2000"

    def __post_init__(self) -> None:
        if not 0 < self.bpp < 10_000:
            raise InputError(f"JPEG 2000 takes bpp as a number above 0, not {self.bpp!r}.")

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        """The codestream. Warns if OpenJPEG cannot reach the target."""
        check_pixels(image, "JPEG 2000")
        height, width = image.shape[:2]
        side = min(height, width)
        target = self.bpp * height * width / 8
        comment = 6 + len(f"Created by OpenJPEG version {openjpeg_version()}")
        data = self._write(
            image,
            irreversible=True,
            mct=self.mct,
            # Each resolution halves the image; OpenJPEG refuses more than the image can be halved.
            numres=min(5 if side < 512 else 6, side.bit_length()),
            cratios=(3 * height * width / (target + comment),),
        )
        if len(data) > 1.1 * target + 8:
            warnings.warn(
                f"JPEG 2000 cannot code {height}×{width} pixels in {target:.0f} bytes ({self.setting}): "
                f"the file has {len(data)}.",
                stacklevel=2,
            )
        return data

    @staticmethod
    def _write(image: Pixels, **options: Any) -> bytes:
        glymur = _glymur()
        # glymur codes to and from files only.
        with tempfile.TemporaryDirectory(prefix="satstudy-") as folder:
            path = Path(folder) / "image.j2k"
            try:
                glymur.Jp2k(path, data=image, **options)
            except OSError as error:
                raise SatstudyError(
                    f"OpenJPEG could not write {image.shape[0]}×{image.shape[1]} pixels: {error}"
                ) from None
            data = path.read_bytes()
        return b"".join(data[part.start : part.stop] for part in _segments(data) if part.marker != COM)

    def decode(self, data: bytes) -> Pixels:
        segments = _segments(data)
        height, width = _size(data)
        if not any(part.marker == SOT for part in segments):
            raise DamagedFile("This JPEG 2000 codestream holds no pixels.")
        import numpy as np

        glymur = _glymur()
        with tempfile.TemporaryDirectory(prefix="satstudy-") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # OpenJPEG warns of a file before it refuses it
            path = Path(folder) / "image.j2k"
            path.write_bytes(data)
            try:
                pixels = glymur.Jp2kr(path)[:]
            except MemoryError:
                raise
            except Exception as error:
                raise DamagedFile(f"OpenJPEG refuses this codestream ({error}).") from None
        if not isinstance(pixels, np.ndarray) or pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise DamagedFile("This JPEG 2000 codestream decodes to another size than its header says.")
        return pixels


def _without_transform(bpp: float) -> JPEG2000:
    return JPEG2000(bpp, mct=False, name="jpeg2000-rgb")


register(
    CodecEntry(
        "jpeg2000",
        "JPEG 2000",
        parameter="bpp",
        ladder=(0.06, 0.12, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
        factory=JPEG2000,
        setting_type=float,
        version=lambda: f"OpenJPEG {openjpeg_version()}",
        style=PlotStyle("orange", "^", "-."),
    )
)
register(
    CodecEntry(
        "jpeg2000-rgb",
        "JPEG 2000 without colour transform",
        parameter="bpp",
        ladder=(0.12, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
        factory=_without_transform,
        setting_type=float,
        version=lambda: f"OpenJPEG {openjpeg_version()}",
        style=PlotStyle("orange", "^", (0, (1, 1)), hollow=True),
    )
)
