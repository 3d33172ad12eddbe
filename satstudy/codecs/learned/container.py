"""The `.sat` file: one header, one index, one stream for each group of tiles.

::

    offset  field
    0       magic "SaT", then the version (2)
    4       tiling: 0 independent, 1 blend by mean, 2 blend by ramp, 3 seamless; 128 more with validity masks
    5       fingerprint of the weights, 8 bytes
    13      with validity masks alone: the value of pixels without data (1)
    …       varints: height, width, tile side / 16, overlap, tiles per side of a group, length of the notes
    …       notes: UTF-8 JSON object, deflated; absent when its length is 0
    …       index, for each group of tiles, row by row: length of its stream (varint), CRC-32 of it; none for one group
    …       CRC-32 of everything before, and for one group of its stream as well
    …       the streams, each with its validity mask before it where there are such (`satstudy.codecs.learned.validity`)

Integers of fixed size are little-endian. A varint has seven bits a byte, least significant first, the
eighth saying that another follows; it has no superfluous zero bytes and at most five bytes.

No field is believed before it has been checked against the bytes that are there.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from satstudy.codecs.learned.header import MAX_SIDE, TILE_UNIT, TILINGS, Header
from satstudy.core.errors import DamagedFile, InputError

MAGIC = b"SaT"
VERSION = 2
#: Bit of the tiling's byte: every stream begins with the validity mask of its group.
MASKED = 0x80
#: Larger than any image of fMoW (16288×16291); a caller may allow more.
MAX_PIXELS = 20_000 * 20_000
MAX_NOTES = 1 << 16
_REMEDY = "fetch or compress it again"


@dataclass(frozen=True)
class Container:
    """A file that has passed every check but those of its streams, which are made as they are read."""

    header: Header
    data: memoryview
    spans: tuple[tuple[int, int], ...]  #: start and end of each stream in `data`
    checksums: tuple[int, ...]  #: of the streams; none for a single one, which the header's covers

    def stream(self, index: int) -> bytes:
        """One group's bytes.

        Raises
        ------
        DamagedFile
            They are not those that were written.
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


def packed_notes(notes: dict[str, Any]) -> bytes:
    """Notes as they stand in a file.

    Raises
    ------
    InputError
        Above 64 KiB, or not plain JSON.
    """
    if not notes:
        return b""
    try:
        plain = json.dumps(notes, separators=(",", ":"), sort_keys=True).encode()
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
        Notes above 64 KiB or not plain JSON, or numbers that no reader would accept.
    """
    if not header.in_range():
        raise InputError(
            f"An image of {header.height}×{header.width} pixels in tiles of {header.tile} with an overlap of "
            f"{header.overlap} does not fit this format: sides go up to {MAX_SIDE}, overlaps to half a tile."
        )
    notes = packed_notes(header.notes)
    if len(streams) != math.prod(header.shape()):
        raise ValueError(f"{len(streams)} streams for {header.shape()} groups")
    tiling = TILINGS.index(header.tiling) | (0 if header.fill is None else MASKED)
    out = bytearray(MAGIC + bytes([VERSION, tiling]) + header.fingerprint)
    if header.fill is not None:
        out.append(header.fill)
    for value in (header.height, header.width, header.tile // TILE_UNIT, header.overlap, header.group, len(notes)):
        out += _varint(value)
    out += notes
    if len(streams) > 1:
        for stream in streams:
            out += _varint(len(stream)) + struct.pack("<I", zlib.crc32(stream))
    # An image of 256² pixels at 0.02 bpp has 160 bytes: a single stream gets no checksum of its own.
    covered = bytes(out) + (streams[0] if len(streams) == 1 else b"")
    return bytes(out) + struct.pack("<I", zlib.crc32(covered)) + b"".join(streams)


def read(data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> Container:
    """Check a file and find its streams.

    Parameters
    ----------
    max_pixels : refuse larger images, before any memory is taken for them

    Raises
    ------
    DamagedFile
        No such file, truncated, altered, too long, or with a field out of range.
    InputError
        Written by a newer version, or larger than `max_pixels`.
    """
    cursor = _Cursor(memoryview(data))
    start = cursor.take(4) if len(data) >= 4 else bytes(data)
    if start[:3] != MAGIC:
        raise DamagedFile("This is no .sat file: it does not begin with “SaT”.")
    if len(start) < 4:
        raise DamagedFile(f"This file is cut short at byte {len(data)}: {_REMEDY}.")
    if start[3] > VERSION:
        raise InputError(f"This file has version {start[3]} and this program reads up to {VERSION}: update satstudy.")
    if start[3] < VERSION:
        raise InputError(f"This file has version {start[3]}, which was never released: compress the image again.")
    tiling = cursor.take(1)[0]
    fingerprint = cursor.take(8)
    fill = cursor.take(1)[0] if tiling & MASKED else None
    height, width, tile, overlap, group, length = (cursor.varint() for _ in range(6))
    tile *= TILE_UNIT
    kind = tiling & ~MASKED
    known = TILINGS[kind] if kind < len(TILINGS) else ""
    header = Header(height, width, known, tile, overlap, group, fingerprint, fill=fill)
    if not (known and header.in_range() and length <= MAX_NOTES):
        raise DamagedFile(f"A number in the header of this file is out of range: {_REMEDY}.")
    if height * width > max_pixels:
        raise InputError(
            f"This file holds {height}×{width} pixels, more than the limit of {max_pixels}: raise the limit "
            "if you trust it, or decode a window."
        )
    packed = cursor.take(length)
    count = math.prod(header.shape())
    entries = count if count > 1 else 0
    # An index entry takes five bytes at least: a file too short for its index asks for nothing.
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
        plain = inflate.decompress(packed, MAX_NOTES + 1)  # one more, so that the end is reached
        whole = inflate.eof and not inflate.unused_data and len(plain) <= MAX_NOTES
        notes = json.loads(plain.decode()) if whole else None
    except (zlib.error, ValueError, RecursionError):
        notes = None
    if not isinstance(notes, dict):
        raise DamagedFile(f"The notes in this file are damaged: {_REMEDY}.")
    return notes
