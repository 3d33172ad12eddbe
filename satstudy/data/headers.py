"""Fields of image headers that neither Pillow nor GDAL reports: bits, colour models, orientation, pages.

The format is detected by the first bytes of a file, not by its name. Only fields of fixed size and at most `MAX_PARTS`
boxes, chunks or directories are read, so that damaged files cannot exhaust memory or time.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from satstudy.core.errors import InputError

MAX_PARTS = 4096
#: An ICC profile beyond this size is not read from a JPEG 2000 box.
MAX_ICC = 1 << 20

#: The formats that are parsed here; `other` is left to Pillow.
Container = Literal["tiff", "jpeg2000", "avif", "heif", "png", "jpeg", "other"]


@dataclass
class Header:
    """The fields of a header.

    Attributes
    ----------
    bits : maximum of the bits of all channels, as far as the header shows
    colours : name of a colour model that cannot be converted to RGB; otherwise empty
    pages : number of full-size images: TIFF directories, JPEG 2000 codestreams
    orientation : TIFF tag 274; for other formats Pillow reads it
    nodata : whether a TIFF has a nodata value, of 8 bits or not
    ycc : whether a JPEG 2000 has components Y, Cb and Cr of one size, which GDAL does not convert
    icc : ICC profile of a JPEG 2000 file
    premultiplied : band, counted from 1, of an alpha that the colours are multiplied by; 0 for none
    masked : whether a JPEG is followed by a mask, as GDAL writes it
    exif : whether a PNG has EXIF or text, or a TIFF a GPS position
    cicp : colour primaries, transfer and matrix (ITU-T H.273) other than those of sRGB
    cropped : whether an AVIF has a clean aperture (clap), to which Pillow does not crop it
    gamma : whether a PNG has a gamma or primaries (gAMA, cHRM) other than those of sRGB
    """

    container: Container
    bits: int = 8
    colours: str = ""
    pages: int = 1
    orientation: int = 1
    nodata: bool = False
    ycc: bool = False
    icc: bytes = b""
    premultiplied: int = 0
    masked: bool = False
    exif: bool = False
    cicp: tuple[int, ...] = ()
    cropped: bool = False
    gamma: bool = False


def read_header(path: Path | str) -> Header:
    """Read the header of a file; errors as `opened`."""
    with opened(path) as file:
        start = file.read(32)
        if not start:
            raise InputError(f"{path} is empty: fetch it again.")
        file.seek(0)
        return _parse(file, start)


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[BinaryIO]:
    """A file open for reading.

    Raises
    ------
    InputError
        No regular file, or none that may be read.
    """
    path = Path(path)
    if str(path) == "-":
        raise InputError("- stands for no file here: satstudy moves back and forth in its files, so name one.")
    try:
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path} is a link to {path.readlink()}, which is not there: mend or remove it.")
        if not path.exists():
            raise InputError(f"There is no file {path}: check the name.")
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file.")
        if not path.is_file():
            raise InputError(f"{path} is a stream or a device: write it into a file first, and name that.")
        file = path.open("rb")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}): name a file that you may read.") from None
    with file:
        yield file


def _parse(file: BinaryIO, start: bytes) -> Header:
    readers = {"tiff": _tiff, "jpeg2000": _jpeg2000, "avif": _isobmff, "heif": _isobmff, "png": _png, "jpeg": _jpeg}
    header = Header(_container(start))
    if header.container in readers:
        # Truncated or altered: whoever decodes the file says so.
        with contextlib.suppress(struct.error, IndexError, ValueError, OSError):
            readers[header.container](file, header)
    return header


def _container(start: bytes) -> Container:
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if start[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or start[:4] == b"\xff\x4f\xff\x51":
        return "jpeg2000"
    if start[4:8] == b"ftyp":
        return "avif" if start[8:12] in (b"avif", b"avis", b"mif1", b"msf1") else "heif"
    if start[:3] == b"\xff\xd8\xff":
        return "jpeg"
    return "png" if start[:8] == b"\x89PNG\r\n\x1a\n" else "other"


# --- TIFF ------------------------------------------------------------------------------------------------------

SUBFILE, OLD_SUBFILE, COMPRESSION, PHOTOMETRIC = 254, 255, 259, 262
ORIENTATION, INK_SET, GPS, NODATA = 274, 332, 34853, 42113
SAMPLES, SUB_DIRECTORIES, EXTRA_SAMPLES, DEPTH = 277, 330, 338, 32997
_UNKNOWN_COLOURS = {
    4: "a transparency mask", 8: "CIELAB colours", 9: "CIELAB colours", 10: "CIELAB colours",
    32803: "a colour filter array", 32844: "LogLuv colours", 32845: "LogLuv colours", 34892: "a colour filter array",
}  # fmt: skip
_INKS, _YCC, _JPEG = 5, 6, 7
_REDUCED, _MASK, _PREMULTIPLIED = 1, 4, 1


def _tiff(file: BinaryIO, header: Header) -> None:
    """Adobe, *TIFF Revision 6.0* (1992); directories of BigTIFF have counts and offsets of 8 bytes."""
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    big = 43 in start[2:4]
    offset, count_format, entry = (8, "Q", 20) if big else (4, "H", 12)
    number = order + ("Q" if big else "I")
    (at,) = struct.unpack_from(number, start, offset)
    first: dict[int, int] = {}
    seen: set[int] = set()
    pages = 0
    while at and at not in seen and len(seen) < MAX_PARTS:
        seen.add(at)
        file.seek(at)
        (count,) = struct.unpack(order + count_format, file.read(struct.calcsize(order + count_format)))
        entries = file.read(min(count, MAX_PARTS) * entry)
        tags: dict[int, int] = {}
        for place in range(0, len(entries) - entry + 1, entry):
            tag, kind = struct.unpack_from(order + "HH", entries, place)
            # The first value alone, of a number stored in the entry itself.
            value = struct.unpack_from(order + {1: "B", 3: "H"}.get(kind, "I"), entries, place + (12 if big else 8))[0]
            tags[tag] = value
        pages += not (tags.get(SUBFILE, 0) & (_REDUCED | _MASK) or tags.get(OLD_SUBFILE, 0) == 2)
        first = first or tags
        (at,) = struct.unpack(number, file.read(struct.calcsize(number)))
    header.pages = max(1, pages)
    header.orientation = first.get(ORIENTATION, 1) if 1 <= first.get(ORIENTATION, 1) <= 8 else 1
    header.nodata, header.exif = NODATA in first, GPS in first
    if first.get(EXTRA_SAMPLES) == _PREMULTIPLIED and first.get(SAMPLES) in (2, 4):
        header.premultiplied = first[SAMPLES]
    model = first.get(PHOTOMETRIC, 1)
    header.colours = _UNKNOWN_COLOURS.get(model, "" if model <= _YCC else f"colours of kind {model}")
    if model == _INKS and (first.get(INK_SET, 1) != 1 or first.get(SAMPLES, 4) > 4):
        header.colours = "inks other than cyan, magenta, yellow and black"
    if first.get(SUBFILE, 0) & _REDUCED and (pages or SUB_DIRECTORIES in first):
        header.colours = "a preview before the image itself"
    if first.get(DEPTH, 1) > 1:
        header.colours = "a volume"
    converted = model == _INKS or (model == _YCC and first.get(COMPRESSION) != _JPEG)
    if converted and header.orientation != 1:
        header.colours = "a turned image in inks or YCbCr"  # libtiff turns it in part when it converts it


# --- Boxes of JPEG 2000 (ISO/IEC 15444-1, annex I) and of HEIF (ISO/IEC 14496-12) ------------------------------


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the content of each box between two places."""
    for _ in range(MAX_PARTS):
        if start + 8 > end:
            return
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            (length,), head = struct.unpack(">Q", file.read(8)), 16
        stop = end if length == 0 else start + length
        if stop < start + head:
            return
        yield kind, start + head, min(stop, end)
        start = stop


def _length(file: BinaryIO) -> int:
    return file.seek(0, 2)


_SRGB, _GREY, _SYCC = 16, 17, 18
_ENUMERATED, _ICC_METHODS = 1, (2, 3)
_PREMULTIPLIED_OPACITY = 2


def _jpeg2000(file: BinaryIO, header: Header) -> None:
    end = _length(file)
    file.seek(0)
    if file.read(4) == b"\xff\x4f\xff\x51":
        _codestream(file, 0, header)
        return
    model, streams, columns, even = 0, 0, 0, False
    for kind, start, stop in _boxes(file, 0, end):
        if kind == b"jp2h":
            for inner, a, b in _boxes(file, start, stop):
                file.seek(a)
                if inner == b"colr" and not model:
                    method, _, _, first = struct.unpack(">BbBI", file.read(7))
                    if method in _ICC_METHODS:
                        file.seek(a + 3)
                        header.icc, model = file.read(min(b - a - 3, MAX_ICC)), _SRGB
                    elif method == _ENUMERATED:  # a reader passes over methods that it does not know
                        model = first
                elif inner == b"pclr":
                    _, columns = struct.unpack(">HB", file.read(3))
                    header.bits = max([header.bits, *((depth & 0x7F) + 1 for depth in file.read(columns))])
                elif inner == b"cmap":
                    straight = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
                    if file.read(min(b - a, MAX_PARTS)) != straight:
                        header.colours = "a palette of other than red, green and blue"
                elif inner == b"cdef":
                    (entries,) = struct.unpack(">H", file.read(2))
                    for channel, kind_of, _ in struct.iter_unpack(">HHH", file.read(6 * min(entries, MAX_PARTS))):
                        if kind_of == _PREMULTIPLIED_OPACITY:
                            header.premultiplied = channel + 1
        elif kind == b"jp2c":
            streams += 1
            if streams == 1:
                even = _codestream(file, start, header)
    header.pages = max(1, streams)
    if model == _SYCC:
        header.ycc = even and not columns
    elif model not in (0, _SRGB, _GREY):
        header.colours = f"colours of kind {model}"
    if len(header.icc) >= 20 and header.icc[16:20] not in (b"RGB ", b"GRAY"):
        header.colours = f"colours by a profile for {header.icc[16:20].decode('ascii', 'replace').strip()}"


def _codestream(file: BinaryIO, start: int, header: Header) -> bool:
    """Bits of every component from SIZ (annex A.5.1), which decoders go by; whether all are of 8 bits and one size."""
    file.seek(start + 40)
    (count,) = struct.unpack(">H", file.read(2))
    depths = file.read(3 * min(count, MAX_PARTS))
    bits = [(depth & 0x7F) + 1 for depth in depths[::3]]
    header.bits = max([header.bits, *bits])
    if any(depth & 0x80 for depth in depths[::3]):
        header.colours = "signed values"
    return set(bits) == {8} and set(depths[1::3]) == set(depths[2::3]) == {1}


#: Boxes that hold boxes, with the bytes before the first of them.
_NESTED = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8,
           b"av01": 78}  # fmt: skip


def _foreign(codes: Sequence[int]) -> tuple[int, ...]:
    """The codes, unless they are those of sRGB and BT.709 or say nothing."""
    return () if codes[0] in (1, 2) and codes[1] in (1, 2, 6, 13) else tuple(codes)


def _isobmff(file: BinaryIO, header: Header) -> None:
    """Bits of every coded picture, an alpha or a thumbnail among them (av1C: AV1-ISOBMFF, §2.3.3)."""
    waiting, seen = [(0, _length(file))], 0
    while waiting and seen < MAX_PARTS:
        for kind, start, stop in _boxes(file, *waiting.pop()):
            seen += 1
            if kind in _NESTED:
                waiting.append((start + _NESTED[kind], stop))
            elif kind == b"av1C":
                file.seek(start)
                flags = file.read(3)[2]
                header.bits = max(header.bits, (12 if flags & 0x20 else 10) if flags & 0x40 else 8)
            elif kind == b"clap":
                header.cropped = True
            elif kind == b"colr":
                file.seek(start)
                name, *codes = struct.unpack(">4s3H", file.read(10))
                header.cicp = header.cicp or (_foreign(codes) if name == b"nclx" else ())


# --- PNG -------------------------------------------------------------------------------------------------------


#: In units of 1/100,000.
_SRGB_VALUES = {b"gAMA": (45455,), b"cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}


def _png(file: BinaryIO, header: Header) -> None:
    """Bits, colour space, and whether an EXIF or text chunk stands anywhere (W3C, *PNG*, 3rd edition, §11)."""
    at, named = 8, False
    for _ in range(MAX_PARTS):
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IHDR":
            header.bits = max(header.bits, file.read(9)[8])
        elif kind in (b"gAMA", b"cHRM"):
            values = struct.unpack(f">{len(_SRGB_VALUES[kind])}I", file.read(4 * len(_SRGB_VALUES[kind])))
            header.gamma |= any(abs(a - b) > 500 for a, b in zip(values, _SRGB_VALUES[kind], strict=True))
        elif kind in (b"cICP", b"iCCP", b"sRGB"):  # these go before gAMA and cHRM
            named = True
            header.cicp = _foreign(file.read(3)) if kind == b"cICP" else header.cicp
        elif kind == b"IDAT":
            header.gamma &= not named
        elif kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
            header.exif = True
        elif kind == b"IEND":
            return
        at += 12 + length


# --- JPEG ------------------------------------------------------------------------------------------------------


def _jpeg(file: BinaryIO, header: Header) -> None:
    """Whether a deflated mask of one bit a pixel follows the image, and after it the length of the image (GDAL)."""
    file.seek(-4, 2)
    (length,) = struct.unpack("<I", file.read(4))
    file.seek(length - 2)
    header.masked = length > 2 and file.read(2) == b"\xff\xd9" and file.read(1) == b"\x78"
