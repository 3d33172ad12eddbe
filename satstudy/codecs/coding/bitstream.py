"""The `.sat` file format: a header, an index, and one stream for each group of tiles.

A tile is a patch, or with the tiling `seamless` an entropy tile: a square of latents whose context does not reach into
its neighbours. A group is a square of tiles that the entropy coder codes together. It is decoded on its own, so that a
window of the image takes the groups under it alone.

::

    offset  field
    0       magic "SaT", then the version: 2, or 3 with an index of λ
    4       tiling: 0 independent, 1 blend by mean, 2 blend by ramp, 3 seamless; bit 7 is set with validity masks
    5       fingerprint of the weights, 8 bytes
    13      only with validity masks: the value of pixels without data, 1 byte
    …       varints: height, width, tile side / 16, overlap, tiles per side of a group, length of the notes;
            in version 3 also the index k of λ = 0.01 · 2^(k/64), zigzag: 0, −1, 1, −2, … as 0, 1, 2, 3, …
    …       notes: UTF-8 JSON object, deflated; absent when its length is 0
    …       index: for each group, row by row, the length of its stream (varint) and its CRC-32; absent for one group
    …       CRC-32 of all bytes before; of a file with one group also of its stream
    …       the streams; with validity masks, each begins with the mask of its group (`pack_mask`)

Integers of fixed size are little-endian. A varint has seven bits a byte, least significant first; the eighth bit is set
if another byte follows. It has at most five bytes and no superfluous zero bytes.

A reader checks every field against the bytes that are there before it allocates memory.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from satstudy.core.errors import DamagedFile, InputError
from satstudy.core.geometry import Grid, Rect, grid, span_count
from satstudy.core.types import Mask, Pixels

MAGIC = b"SaT"
#: Versions without and with the index of λ. Weights that serve every λ need it, unless it is 0.
WITHOUT_LAM, WITH_LAM = 2, 3
TILINGS = ("independent", "blend", "blend-ramp", "seamless")
#: Bit of the tiling's byte: every stream begins with the validity mask of its group.
MASKED = 0x80
#: Default limit of the decoder, larger than any image of fMoW (16288×16291).
MAX_PIXELS = 20_000 * 20_000
MAX_SIDE = 1 << 17
#: Largest number of bytes of the notes, inflated or deflated.
MAX_NOTES = 1 << 16
#: Largest magnitude of the index of λ.
MAX_LAM_INDEX = 1 << 10
#: Sides of tiles are multiples of this.
TILE_UNIT = 16
#: Largest side in pixels of an entropy tile of `seamless`, and of the tiles of a group laid side by side.
MAX_TILE = 4096
#: Largest side in pixels of a patch, which goes through the synthesis in one piece.
MAX_PATCH = 1024
#: A file of more than FEW_GROUPS groups has at least MIN_GROUP pixels for each: an image of many tiny groups would take
#: long to decode for the size of its file.
MIN_GROUP, FEW_GROUPS = 1 << 15, 64

_REMEDY = "fetch or compress it again"


@dataclass(frozen=True)
class Container:
    """A file with a valid header and index. Each stream is checked when it is read."""

    header: Header
    data: memoryview
    spans: tuple[tuple[int, int], ...]  #: start and end of each stream in `data`
    checksums: tuple[int, ...]  #: CRC-32 of each stream; empty for one stream, which the header's CRC-32 covers

    def stream(self, index: int) -> bytes:
        """The bytes of one group.

        Raises
        ------
        DamagedFile
            The checksum does not match.
        """
        start, end = self.spans[index]
        piece = bytes(self.data[start:end])
        if self.checksums and zlib.crc32(piece) != self.checksums[index]:
            raise DamagedFile(f"Part {index + 1} of {len(self.spans)} of this file is damaged: {_REMEDY}.")
        return piece


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


class _Cursor:
    def __init__(self, data: memoryview):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise DamagedFile(f"This file is cut short at byte {len(self.data)}: {_REMEDY}.")
        piece = bytes(self.data[self.at : self.at + count])
        self.at += count
        return piece

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if shift and not byte:
                    break
                return value
        raise DamagedFile(f"A number in the header of this file is malformed: {_REMEDY}.")


def pack_notes(notes: dict[str, Any]) -> bytes:
    """Notes as deflated JSON; no bytes for no notes.

    Raises
    ------
    InputError
        Above 64 KiB, no dict with text as keys, or not plain JSON.
    """
    if not isinstance(notes, dict) or not all(isinstance(key, str) for key in notes):
        raise InputError(f"Notes are a table of names and values, not {notes!r:.60}: give a dict with text as keys.")
    if not notes:
        return b""
    try:
        plain = json.dumps(notes, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The notes of this image are not plain JSON ({error}): give text and numbers.") from None
    if len(plain) > MAX_NOTES:
        raise InputError(f"The notes of this image take {len(plain)} bytes, more than {MAX_NOTES}: shorten them.")
    return zlib.compress(plain, 9)


def write(header: Header, streams: Sequence[bytes]) -> bytes:
    """The bytes of a file.

    Raises
    ------
    InputError
        Notes above 64 KiB or not plain JSON, or header fields out of range.
    """
    if not header.in_range():
        raise InputError(
            f"An image of {header.height}×{header.width} pixels in tiles of {header.tile} with an overlap of "
            f"{header.overlap} does not fit this format: sides go up to {MAX_SIDE}, overlaps to half a tile."
        )
    notes = pack_notes(header.notes)
    if len(streams) != math.prod(header.group_counts()):
        raise ValueError(f"{len(streams)} streams for {header.group_counts()} groups")
    tiling = TILINGS.index(header.tiling) | (0 if header.fill is None else MASKED)
    out = bytearray(MAGIC + bytes([WITH_LAM if header.lam_index else WITHOUT_LAM, tiling]) + header.fingerprint)
    if header.fill is not None:
        out.append(header.fill)
    for value in (header.height, header.width, header.tile // TILE_UNIT, header.overlap, header.group, len(notes)):
        out += _varint(value)
    if header.lam_index:
        out += _varint(2 * header.lam_index if header.lam_index > 0 else -2 * header.lam_index - 1)
    out += notes
    if len(streams) > 1:
        for stream in streams:
            out += _varint(len(stream)) + struct.pack("<I", zlib.crc32(stream))
    # An image of 256² pixels at 0.02 bpp has 160 bytes: a single stream has no checksum of its own.
    covered = bytes(out) + (streams[0] if len(streams) == 1 else b"")
    return bytes(out) + struct.pack("<I", zlib.crc32(covered)) + b"".join(streams)


def read(data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> Container:
    """Check header and index of a file.

    Parameters
    ----------
    max_pixels : refuse larger images before memory is allocated for them

    Raises
    ------
    DamagedFile
        No `.sat` file, truncated, altered, too long, or with a field out of range.
    InputError
        Written by a newer version, or larger than `max_pixels`.
    """
    cursor = _Cursor(memoryview(data))
    start = cursor.take(4) if len(data) >= 4 else bytes(data)
    if start[:3] != MAGIC:
        raise DamagedFile("This is no .sat file: it does not begin with “SaT”.")
    if len(start) < 4:
        raise DamagedFile(f"This file is cut short at byte {len(data)}: {_REMEDY}.")
    if start[3] > WITH_LAM:
        raise InputError(f"This file has version {start[3]} and this program reads up to {WITH_LAM}: update satstudy.")
    if start[3] < WITHOUT_LAM:
        raise InputError(f"This file has version {start[3]}, which was never released: compress the image again.")
    tiling = cursor.take(1)[0]
    fingerprint = cursor.take(8)
    fill = cursor.take(1)[0] if tiling & MASKED else None
    height, width, tile, overlap, group, length = (cursor.varint() for _ in range(6))
    zigzag = cursor.varint() if start[3] == WITH_LAM else 0
    lam_index = -(zigzag + 1) // 2 if zigzag % 2 else zigzag // 2
    tile *= TILE_UNIT
    kind = tiling & ~MASKED
    known = TILINGS[kind] if kind < len(TILINGS) else ""
    header = Header(height, width, known, tile, overlap, group, fingerprint, fill=fill, lam_index=lam_index)
    if not (known and abs(lam_index) <= MAX_LAM_INDEX and header.in_range() and length <= MAX_NOTES):
        raise DamagedFile(f"A number in the header of this file is out of range: {_REMEDY}.")
    if height * width > max_pixels:
        raise InputError(
            f"This file holds {height}×{width} pixels, more than the limit of {max_pixels}: raise the limit "
            "if you trust it, or decode a window."
        )
    packed = cursor.take(length)
    count = math.prod(header.group_counts())
    entries = count if count > 1 else 0
    # An index entry has five bytes or more: a file that is too short is refused before its index is read.
    if entries * 5 + 4 > len(data) - cursor.at:
        raise DamagedFile(f"This file is cut short at byte {len(data)}: {_REMEDY}.")
    lengths, checksums = [], []
    for _ in range(entries):
        lengths.append(cursor.varint())
        checksums.append(struct.unpack("<I", cursor.take(4))[0])
    checksum = zlib.crc32(cursor.data[: cursor.at])
    stored = struct.unpack("<I", cursor.take(4))[0]
    if not entries:
        lengths, checksum = [len(data) - cursor.at], zlib.crc32(cursor.data[cursor.at :], checksum)
    if stored != checksum:
        raise DamagedFile(f"{'The header of this' if entries else 'This'} file is damaged: {_REMEDY}.")
    if cursor.at + sum(lengths) != len(data):
        raise DamagedFile(f"This file has {len(data)} bytes and should have {cursor.at + sum(lengths)}: {_REMEDY}.")
    header = replace(header, notes=_notes(packed))
    spans, at = [], cursor.at
    for size in lengths:
        spans.append((at, at + size))
        at += size
    return Container(header, cursor.data, tuple(spans), tuple(checksums))


def _notes(packed: bytes) -> dict[str, Any]:
    if not packed:
        return {}
    try:
        inflate = zlib.decompressobj()
        plain = inflate.decompress(packed, MAX_NOTES + 1)  # one byte more than allowed shows that there are too many
        whole = inflate.eof and not inflate.unused_data and len(plain) <= MAX_NOTES
        notes = json.loads(plain.decode()) if whole else None
    except (zlib.error, ValueError, RecursionError):
        notes = None
    if not isinstance(notes, dict):
        raise DamagedFile(f"The notes in this file are damaged: {_REMEDY}.")
    return notes


@dataclass(frozen=True)
class Header:
    """The fields of a file's header.

    Attributes
    ----------
    height, width : of the image in pixels
    tiling : one of `TILINGS`
    tile : side of a patch (independent, blend) or of an entropy tile (seamless) in pixels
    overlap : pixels that neighbouring patches share; 0 unless the tiling is a blend
    group : tiles along one side of a group; a group has one stream
    fingerprint : of the weights, 8 bytes
    notes : small JSON object kept with the image, such as a georeference
    fill : value, in all bands, of pixels without data; None for an image without validity mask
    lam_index : k of λ = 0.01 · 2^(k/64) for weights that serve every λ; 0 for weights of one λ
    """

    height: int
    width: int
    tiling: str
    tile: int
    overlap: int
    group: int
    fingerprint: bytes
    notes: dict[str, Any] = field(default_factory=dict)
    fill: int | None = None
    lam_index: int = 0

    def in_range(self) -> bool:
        """Whether a reader accepts these fields.

        The limits of overlaps and of small groups bound the time to decode a small file. The limits of large groups
        and of patches bound the memory.
        """
        blends = self.tiling.startswith("blend")
        return (
            1 <= self.height <= MAX_SIDE
            and 1 <= self.width <= MAX_SIDE
            and 16 <= self.tile <= (MAX_TILE if self.tiling == "seamless" else MAX_PATCH)
            and self.tile % TILE_UNIT == 0
            and 0 <= self.overlap <= (self.tile // 2 if blends else 0)
            and (self.tile >= 64 or self.tiling != "seamless")
            and 1 <= self.group <= 64
            and self.group * self.tile <= MAX_TILE
            and math.prod(self.group_counts())
            <= max(FEW_GROUPS, max(self.height, 256) * max(self.width, 256) // MIN_GROUP)
            and (self.fill is None or 0 <= self.fill <= 255)
        )

    def layout(self) -> Grid:
        """The grid of tiles."""
        return grid(self.height, self.width, self.tile, self.overlap)

    def tile_counts(self) -> tuple[int, int]:
        """Numbers of tiles down and across."""
        rows, columns = (span_count(length, self.tile, self.overlap) for length in (self.height, self.width))
        return rows, columns

    def group_counts(self) -> tuple[int, int]:
        """Numbers of groups down and across."""
        rows, columns = self.tile_counts()
        return -(-rows // self.group), -(-columns // self.group)

    def group_index(self, row: int, column: int) -> int:
        """The index of the stream of the group at (row, column)."""
        return row * self.group_counts()[1] + column

    def group_tiles(self, row: int, column: int) -> list[tuple[int, int]]:
        """(row, column) of the tiles of one group, in coding order."""
        rows, columns = self.tile_counts()
        return [
            (i, j)
            for i in range(row * self.group, min((row + 1) * self.group, rows))
            for j in range(column * self.group, min((column + 1) * self.group, columns))
        ]

    def group_area(self, row: int, column: int) -> Rect:
        """The pixels that the tiles of one group cover."""
        step = self.tile - self.overlap
        end = (self.group - 1) * step + self.tile
        top, left = row * self.group * step, column * self.group * step
        return Rect(top, min(top + end, self.height), left, min(left + end, self.width))

    def groups(self) -> Iterator[list[tuple[int, int]]]:
        """`group_tiles` of all groups, in the order of the streams."""
        down, across = self.group_counts()
        return (self.group_tiles(i, j) for i in range(down) for j in range(across))


_RAW = -zlib.MAX_WBITS  # deflate without header and checksum: the stream has its own


def pack_mask(valid: Mask | None) -> bytes:
    """A validity mask as the first bytes of a stream.

    Parameters
    ----------
    valid : bool (rows, columns); None if all pixels are valid

    Returns
    -------
    bytes
        0 if all pixels are valid. Otherwise 1 and, deflated, one bit a pixel, most significant first, each row padded
        with zeros to whole bytes and combined by exclusive or with the row above, since edges differ little between
        rows.
    """
    if valid is None or valid.all():
        return b"\0"
    import numpy as np  # takes a third of a second, and `satstudy info` does not need it

    rows = np.packbits(valid, axis=1)
    rows[1:] ^= rows[:-1].copy()
    deflate = zlib.compressobj(9, zlib.DEFLATED, _RAW)
    return b"\1" + deflate.compress(rows.tobytes()) + deflate.flush()


def split_mask(stream: bytes, height: int, width: int) -> tuple[Pixels | None, bytes]:
    """Split a stream into its validity mask and the rest.

    Returns
    -------
    rows : uint8 (height, ⌈width / 8⌉), the mask in bits for `unpack_mask`; None if all pixels are valid
    rest : the stream after the mask

    Raises
    ------
    DamagedFile
        The mask is not of this size; no more memory is allocated than a mask takes.
    """
    if stream[:1] == b"\0":
        return None, stream[1:]
    columns = -(-width // 8)
    try:
        if stream[:1] != b"\1":
            raise ValueError
        inflate = zlib.decompressobj(_RAW)
        plain = inflate.decompress(stream[1:], height * columns + 1)  # one byte more shows that there are too many
        if not inflate.eof or len(plain) != height * columns:
            raise ValueError
    except (zlib.error, ValueError):
        raise DamagedFile("The validity mask in this file is damaged: fetch or compress it again.") from None
    import numpy as np

    rows = np.frombuffer(plain, np.uint8).reshape(height, columns)
    return np.bitwise_xor.accumulate(rows, axis=0), inflate.unused_data


def unpack_mask(rows: Pixels, top: int, bottom: int, left: int, right: int) -> Mask:
    """A part of a mask of `split_mask`: bool (bottom − top, right − left)."""
    import numpy as np

    first = left // 8
    bits = np.unpackbits(rows[top:bottom, first : -(-right // 8)], axis=1)
    return bits[:, left - 8 * first : right - 8 * first].astype(bool)


def impose_mask(pixels: Pixels, valid: Mask | None, value: int) -> None:
    """Set pixels without data to `value` in all bands, and change valid pixels of that value by one level; in place.

    A program that takes all pixels of the nodata value as masked then finds the same mask.
    """
    same = (pixels == value).all(axis=2)
    if same.any():
        pixels[same] = value - 1 if value == 255 else value + 1
    if valid is not None:
        pixels[~valid] = value
