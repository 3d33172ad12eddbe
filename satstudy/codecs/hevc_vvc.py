"""HEVC and VVC still pictures through the ffmpeg of `imageio-ffmpeg`: raw streams, set for PSNR.

A file is the height and the width as two 16-bit numbers, then the raw stream of one intra picture. HEVC intra is what
BPG files hold. Samples are 10-bit Y'CbCr (BT.709 matrix, full range), which changes no 8-bit RGB value by itself. The
sides are extended to multiples of 8, and to 64, by repeating the last row and column. ffmpeg runs as a process of its
own with one thread; starting it takes some 0.1 s, which the times of these codecs include.
"""

from __future__ import annotations

import functools
import re
import struct
import subprocess
from dataclasses import dataclass
from typing import ClassVar

from satstudy.codecs.base import check_choice, check_pixels, check_range, check_size, describe
from satstudy.codecs.registry import CodecEntry, PlotStyle, register
from satstudy.core.errors import DamagedFile, SatstudyError
from satstudy.core.types import Pixels

#: The largest sample of 10 bits, and the value of chroma that stands for no colour.
PEAK, NEUTRAL = 1023, 512
#: Weights of R, G and B in luma (ITU-R BT.709).
RED, GREEN, BLUE = 0.2126, 0.7152, 0.0722
#: Of either side. The three planes of a VVC picture stand below each other.
LONGEST = 4096


@dataclass(frozen=True)
class HEVC:
    """HEVC intra by x265, 4:4:4.

    On 6 tiles of UC Merced over 0.08–3.9 bpp, against x265's preset veryslow: placebo −0.7 % (the default here),
    slow +0.3 %, medium +5.3 %; 4:2:0 +10 %; chroma quantized 3 steps finer +1.0 %, 3 coarser +4.1 %; without sample
    adaptive offset +0.7 %.

    Attributes
    ----------
    qp : quantization parameter, 0–51
    preset : x265's effort
    """

    qp: int = 30
    preset: str = "placebo"
    name: str = "hevc"
    format: ClassVar[str] = "hevc"

    def __post_init__(self) -> None:
        check_range("HEVC", "qp", self.qp, 0, 51)
        check_choice("HEVC", "preset", self.preset, ("ultrafast", "fast", "medium", "slow", "veryslow", "placebo"))

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        check_pixels(image, "HEVC", LONGEST)
        options = f"log-level=none:qp={self.qp}:keyint=1:info=0:pools=1:frame-threads=1:wpp=0"
        height, width = _extended(*image.shape[:2])
        layout = ("-pix_fmt", "yuv444p10le", "-video_size", f"{width}x{height}")
        encoder = ("-c:v", "libx265", "-preset", self.preset, "-tune", "psnr", "-x265-params", options)
        return _encode(image, _planes(image), layout, encoder, self.format)

    def decode(self, data: bytes) -> Pixels:
        return _decode(data, "HEVC", self.format, "yuv444p10le")


@dataclass(frozen=True)
class VVC:
    """VVC intra by vvenc, 4:4:4.

    vvenc codes 4:2:0 alone, so the planes Y', Cb and Cr are the luma of one picture, below each other, with empty
    chroma. On 3 tiles of UC Merced over 0.08–1.9 bpp, preset fast, this takes 2.8 % fewer bits than real 4:2:0 (more at
    0.1 bpp, 5 to 15 % fewer at 1 bpp), and 3.7 % fewer than HEVC. Preset medium takes another 3.6 % off, in three times
    the time.

    Attributes
    ----------
    qp : quantization parameter, 0–63
    preset : vvenc's effort
    """

    qp: int = 32
    preset: str = "fast"
    name: str = "vvc"
    format: ClassVar[str] = "vvc"

    def __post_init__(self) -> None:
        check_range("VVC", "qp", self.qp, 0, 63)
        check_choice("VVC", "preset", self.preset, ("faster", "fast", "medium", "slow", "slower"))

    @property
    def setting(self) -> str:
        return describe(self)

    def encode(self, image: Pixels) -> bytes:
        import numpy as np

        check_pixels(image, "VVC", LONGEST)
        height, width = _extended(*image.shape[:2])
        planes = _planes(image) + np.full(3 * height * width // 2, NEUTRAL, "<u2").tobytes()
        layout = ("-pix_fmt", "yuv420p10le", "-video_size", f"{width}x{3 * height}")
        encoder = ("-c:v", "libvvenc", "-preset", self.preset, "-qpa", "0", "-qp", str(self.qp))
        return _encode(image, planes, layout, encoder, self.format)

    def decode(self, data: bytes) -> Pixels:
        return _decode(data, "VVC", self.format, "yuv420p10le")


def _encode(image: Pixels, planes: bytes, layout: tuple[str, ...], encoder: tuple[str, ...], format: str) -> bytes:
    raw = ("-f", "rawvideo", *layout, "-i", "pipe:0")
    stream = _ffmpeg(planes, *raw, *encoder, "-threads", "1", "-frames:v", "1", "-f", format, "pipe:1")
    return struct.pack("<HH", *image.shape[:2]) + stream


def _decode(data: bytes, codec: str, format: str, layout: str) -> Pixels:
    if len(data) < 8:
        raise DamagedFile(f"These {len(data)} bytes are no {codec} file.")
    height, width = struct.unpack_from("<HH", data)
    check_size(height, width, codec)
    rows, columns = _extended(height, width)
    largest = (3 * rows + 256) * (columns + 256)  # decoders pad a picture before they crop it
    limits = ("-threads", "1", "-max_pixels", str(largest), "-f", format, "-i", "pipe:0")
    try:
        planes = _ffmpeg(data[4:], *limits, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", layout, "pipe:1")
    except SatstudyError as error:
        raise DamagedFile(f"These {len(data)} bytes are no {codec} file, or a damaged one ({error}).") from None
    expected = rows * columns * (6 if codec == "HEVC" else 9)  # VVC has two planes of a quarter behind them
    if not height or not width or len(planes) != expected:
        raise DamagedFile(f"This {codec} file holds a picture of another size than its header says.")
    return _rgb(planes, height, width)


def _extended(height: int, width: int) -> tuple[int, int]:
    """The sides of the coded picture: multiples of 8, and at least as long as the largest block of x265."""
    return max(64, height + -height % 8), max(64, width + -width % 8)


def _planes(image: Pixels) -> bytes:
    """RGB as planes of 10-bit Y'CbCr of the extended size."""
    import numpy as np

    rows, columns = _extended(*image.shape[:2])
    rgb = np.pad(image, ((0, rows - image.shape[0]), (0, columns - image.shape[1]), (0, 0)), mode="edge")
    red, green, blue = np.moveaxis(rgb.astype(np.float32) / 255, 2, 0)
    luma = RED * red + GREEN * green + BLUE * blue
    chroma = [(blue - luma) / (2 - 2 * BLUE), (red - luma) / (2 - 2 * RED)]
    planes = np.stack([PEAK * luma, *(PEAK * plane + NEUTRAL for plane in chroma)])
    return np.clip(np.rint(planes), 0, PEAK).astype("<u2").tobytes()


def _rgb(planes: bytes, height: int, width: int) -> Pixels:
    """What `_planes` made planes of; samples after the third plane are ignored."""
    import numpy as np

    rows, columns = _extended(height, width)
    samples = np.frombuffer(planes, "<u2", 3 * rows * columns).reshape(3, rows, columns)[:, :height, :width]
    luma, cb, cr = (samples.astype(np.float32) - np.array([0, NEUTRAL, NEUTRAL], np.float32)[:, None, None]) / PEAK
    red, blue = luma + (2 - 2 * RED) * cr, luma + (2 - 2 * BLUE) * cb
    rgb = np.stack([red, (luma - RED * red - BLUE * blue) / GREEN, blue], axis=2)
    return np.clip(np.rint(255 * rgb), 0, 255).astype(np.uint8)


def _ffmpeg(data: bytes, *arguments: str) -> bytes:
    """What ffmpeg makes of `data`, from pipe to pipe; SatstudyError with its last line if it fails."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-protocol_whitelist", "pipe", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise SatstudyError(f"ffmpeg failed: {lines[-1] if lines else 'it gave no reason'}")
    return done.stdout


@functools.cache
def _version(encoder: str, pattern: str) -> str:
    """The version that an encoder of ffmpeg prints while it codes a small grey picture."""
    import imageio_ffmpeg

    source = ("-f", "lavfi", "-i", "color=gray:size=64x64", "-frames:v", "1")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *source, "-c:v", encoder, "-f", "null", "-"]
    printed = subprocess.run(command, capture_output=True, check=False).stderr.decode(errors="replace")
    ffmpeg, found = re.search(r"ffmpeg version (\S+)", printed), re.search(pattern, printed)
    name = encoder.removeprefix("lib")
    return f"{name} {found[1] if found else '?'} in ffmpeg {ffmpeg[1] if ffmpeg else '?'}"


register(
    CodecEntry(
        "hevc",
        "HEVC intra",
        parameter="qp",
        ladder=(16, 22, 28, 34, 40, 46),
        factory=HEVC,
        version=lambda: _version("libx265", r"HEVC encoder version (\S+)"),
        style=PlotStyle("green", "<", (0, (6, 2))),
        package="imageio_ffmpeg",
        extra="anchors",
    )
)
register(
    CodecEntry(
        "vvc",
        "VVC intra",
        parameter="qp",
        ladder=(18, 25, 32, 39, 46),
        factory=VVC,
        version=lambda: _version("libvvenc", r"libvvenc version: (\S+)"),
        style=PlotStyle("black", ">", "--"),
        package="imageio_ffmpeg",
        extra="anchors",
    )
)
