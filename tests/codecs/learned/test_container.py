"""The file format: what was written is read, anything else is refused."""

import json
import struct
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_headers import PRINT, SMALL, headers

from satstudy.codecs.coding import bitstream
from satstudy.codecs.coding.bitstream import Header, _Cursor, _varint, read, write
from satstudy.core.errors import DamagedFile, InputError

ONE = Header(120, 200, "independent", 64, 0, 4, PRINT, {"a": 1})


def streams_for(header: Header, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    count = header.group_counts()[0] * header.group_counts()[1]
    return [rng.integers(0, 256, size, dtype=np.uint8).tobytes() for size in rng.integers(0, 300, count)]


@given(header=headers(), seed=st.integers(0, 99))
@settings(deadline=None)
def test_what_is_written_is_read(header, seed):
    streams = streams_for(header, seed)
    data = write(header, streams)
    file = read(data)
    assert file.header == header
    assert [file.stream(i) for i in range(len(streams))] == streams
    assert read(memoryview(data)).header == header


def test_only_files_with_masks_pay_for_them():
    """Without a mask the layout is that of the page in the book, byte for byte; with one, a byte more."""
    header = Header(300, 200, "blend", 256, 8, 8, PRINT)
    plain = write(header, [b"stream"])
    head = b"SaT\2\1" + PRINT + _varint(300) + _varint(200) + bytes([16, 8, 8, 0])
    assert plain == head + struct.pack("<I", zlib.crc32(head + b"stream")) + b"stream"
    masked = write(replace(header, fill=7), [b"stream"])
    assert len(masked) == len(plain) + 1
    assert masked[4] == plain[4] | bitstream.MASKED
    assert masked[13] == 7
    assert read(masked).header.fill == 7
    assert read(plain).header.fill is None


def test_every_truncation_is_refused():
    data = write(SMALL, streams_for(SMALL))
    single = write(ONE, streams_for(ONE))
    for whole in (data, single):
        for length in range(len(whole)):
            with pytest.raises(DamagedFile):
                read(whole[:length])
    for tail in (b"\0", b"x" * 100):
        with pytest.raises(DamagedFile, match="should have"):
            read(data + tail)
        with pytest.raises(DamagedFile, match="damaged"):
            read(single + tail)


@pytest.mark.parametrize("header", [ONE, SMALL])
def test_every_change_of_one_byte_that_the_headers_checksum_covers_is_refused(header):
    """Of a file of one group that is all of it, of other files the header and the index."""
    data = write(header, streams_for(header))
    spans = read(data).spans
    covered = spans[0][0] if len(spans) > 1 else len(data)
    assert covered == len(data) > spans[0][0] + 50 or header is SMALL
    for at in range(covered):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            altered = bytearray(data)
            altered[at] ^= flip
            with pytest.raises(InputError):
                read(bytes(altered))


def test_a_small_file_takes_25_bytes_besides_its_stream():
    header = Header(256, 256, "independent", 256, 0, 8, PRINT)
    assert len(write(header, [bytes(100)])) == 125


def test_a_change_in_a_stream_is_refused_when_that_stream_is_read():
    streams = [stream or b"?" for stream in streams_for(SMALL)]
    data = write(SMALL, streams)
    spans = read(data).spans
    for index, (start, end) in enumerate(spans):
        for at in {start, (start + end) // 2, end - 1}:
            altered = bytearray(data)
            altered[at] ^= 1 << (at % 8)
            file = read(bytes(altered))
            with pytest.raises(DamagedFile, match=f"Part {index + 1} of {len(spans)}"):
                file.stream(index)
            others = [i for i in range(len(spans)) if i != index]
            assert [file.stream(i) for i in others] == [streams[i] for i in others]


def test_a_newer_version_asks_for_an_update():
    data = bytearray(write(SMALL, streams_for(SMALL)))
    data[3] = bitstream.WITH_LAM + 1
    with pytest.raises(InputError, match="update satstudy") as caught:
        read(bytes(data))
    assert not isinstance(caught.value, DamagedFile)
    for early in (0, 1):
        data[3] = early
        with pytest.raises(InputError, match=f"version {early}, which was never released"):
            read(bytes(data))


@pytest.mark.parametrize("data", [b"", b"S", b"SaT", b"PNG\1", b"\x89PNG\r\n\x1a\n" + b"x" * 100, b"SaT\2"])
def test_foreign_and_empty_files_are_refused(data):
    with pytest.raises(DamagedFile):
        read(data)


def forged(values, notes: bytes = b"", index: bytes = b"", tiling: int = 0) -> bytes:
    """A file with any numbers, sides of tiles in units of 16 pixels, and a right checksum."""
    out = b"SaT\2" + bytes([tiling]) + PRINT + b"".join(map(_varint, values)) + notes + index
    return out + struct.pack("<I", zlib.crc32(out))


def entry(size: int = 0) -> bytes:
    return _varint(size) + struct.pack("<I", 0)


def test_the_forger_can_make_a_good_file():
    assert read(forged([5, 7, 4, 0, 1, 0])).header == Header(5, 7, "independent", 64, 0, 1, PRINT)
    several = forged([5, 300, 4, 0, 1, 0], index=entry() * 5)
    assert read(several).header == Header(5, 300, "independent", 64, 0, 1, PRINT)


@pytest.mark.parametrize(
    ("values", "tiling"),
    [
        ([0, 7, 4, 0, 1, 0], 0),
        ([5, 0, 4, 0, 1, 0], 0),
        ([1 << 25, 7, 4, 0, 1, 0], 0),
        ([5, 7, 0, 0, 1, 0], 0),
        ([5, 7, 512, 0, 1, 0], 0),
        ([5, 7, 4, 8, 1, 0], 0),
        ([5, 7, 4, 8, 1, 0], 3),
        ([5, 7, 4, 33, 1, 0], 1),
        ([5, 7, 4, 63, 1, 0], 2),
        ([5, 7, 3, 0, 1, 0], 3),
        ([5, 7, 4, 0, 0, 0], 0),
        ([5, 7, 4, 0, 65, 0], 0),
        ([5, 7, 128, 0, 3, 0], 0),
        ([5, 7, 4, 0, 1, 0], 4),
        ([5, 7, 4, 0, 1, 0], 127),
        ([5, 7, 4, 0, 1, 1 << 17], 0),
    ],
)
def test_numbers_out_of_range_are_refused_however_right_the_checksum(values, tiling):
    with pytest.raises(DamagedFile, match="out of range"):
        read(forged(values, tiling=tiling))


@pytest.mark.parametrize("side", [20_000, 1 << 24])
@pytest.mark.parametrize("tile", [16, 4096])
def test_a_tiny_file_that_claims_a_huge_image_costs_nothing(side, tile):
    data = forged([side, side, tile // 16, tile // 2, 1, 0], index=entry() * 20, tiling=1)
    tracemalloc.start()
    with pytest.raises(InputError):
        read(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_an_index_that_claims_more_than_the_file_holds_is_refused():
    for size in (1, (1 << 35) - 1):
        with pytest.raises(DamagedFile, match="should have"):
            read(forged([5, 300, 4, 0, 1, 0], index=entry(size) + entry() * 4))
    with pytest.raises(DamagedFile, match="cut short"):
        read(forged([5, 300, 4, 0, 1, 0], index=entry() * 3))


def test_an_image_above_the_limit_is_refused_unless_it_is_raised():
    large = replace(SMALL, height=3000, width=3000, group=8)
    data = write(large, streams_for(large))
    with pytest.raises(InputError, match="raise the limit"):
        read(data, max_pixels=3000 * 3000 - 1)
    assert read(data, max_pixels=3000 * 3000).header.height == 3000


@pytest.mark.parametrize(
    "plain",
    [
        b" " * (1 << 26),  # inflates to 64 MiB
        b"[" * 60_000,
        b"[1, 2]",
        b"12" * 4000,
        b"\xff\xfe{}",
        b'{"a": 1',
        b"",
    ],
    ids=["bomb", "deep", "list", "long number", "no text", "cut", "empty"],
)
def test_hostile_notes_are_refused_in_little_memory(plain):
    packed = zlib.compress(plain, 9)
    data = forged([5, 7, 4, 0, 1, len(packed)], notes=packed)
    tracemalloc.start()
    with pytest.raises(DamagedFile, match=r"notes|range"):
        read(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


@pytest.mark.parametrize("packed", [b"nonsense", zlib.compress(b"{}") + b"tail", zlib.compress(b'{"a": 1}')[:-1]])
def test_notes_that_are_no_deflated_object_are_refused(packed):
    with pytest.raises(DamagedFile, match="notes"):
        read(forged([5, 7, 4, 0, 1, len(packed)], notes=packed))


def test_notes_go_up_to_their_limit_and_no_further():
    rng = np.random.default_rng(0)
    text = "".join(chr(c) for c in rng.integers(35, 91, bitstream.MAX_NOTES - len('{"a":""}')))
    header = replace(SMALL, notes={"a": text})
    assert len(json.dumps(header.notes, separators=(",", ":"))) == bitstream.MAX_NOTES
    assert read(write(header, streams_for(header))).header.notes == header.notes
    with pytest.raises(InputError, match="shorten"):
        write(replace(SMALL, notes={"a": text + "x"}), streams_for(SMALL))
    with pytest.raises(InputError, match="JSON"):
        write(replace(SMALL, notes={"a": object()}), streams_for(SMALL))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"width": 1 << 25},
        {"tile": 40},
        {"overlap": 33},
        {"overlap": -1},
        {"group": 65},
        {"fill": 256},
        {"fill": -1},
    ],
)
def test_what_no_reader_would_accept_is_not_written(change):
    with pytest.raises(InputError, match="format"):
        write(replace(SMALL, **change), [b""])


def test_the_number_of_streams_is_that_of_the_groups():
    with pytest.raises(ValueError, match="streams"):
        write(SMALL, [b""])


@given(value=st.integers(0, (1 << 35) - 1))
def test_varints_round_trip_and_have_one_form(value):
    data = _varint(value)
    cursor = _Cursor(memoryview(data))
    assert cursor.varint() == value
    assert cursor.at == len(data) == max(1, -(-value.bit_length() // 7))


@given(data=st.binary(min_size=5, max_size=7))
def test_any_bytes_are_a_canonical_varint_or_refused(data):
    cursor = _Cursor(memoryview(data))
    try:
        value = cursor.varint()
    except DamagedFile:
        end = next((i for i, byte in enumerate(data) if byte < 128), 9)
        assert end >= 5 or (end and not data[end])
    else:
        assert _varint(value) == data[: cursor.at]


@given(data=st.binary(max_size=200), valid_start=st.booleans())
@settings(max_examples=300)
def test_random_bytes_are_refused_with_a_sentence(data, valid_start):
    data = b"SaT\2" + data if valid_start else data
    with pytest.raises(InputError):
        read(data)


@pytest.mark.parametrize(
    ("tiling", "tile", "overlap", "group"), [("blend", 256, 8, 8), ("seamless", 1024, 0, 2), ("independent", 256, 0, 8)]
)
def test_the_overhead_is_below_one_percent_at_low_rates(tiling, tile, overlap, group):
    header = Header(1496, 1496, tiling, tile, overlap, group, PRINT)
    count = header.group_counts()[0] * header.group_counts()[1]
    coded = 0.02 * 1496**2 / 8
    streams = [bytes(int(coded) // count)] * count
    overhead = len(write(header, streams)) - sum(map(len, streams))
    assert overhead <= 0.01 * coded


def test_notes_are_checked_before_anything_is_coded():
    with pytest.raises(InputError, match="shorten them"):
        bitstream.pack_notes({"text": "x" * bitstream.MAX_NOTES})
    assert bitstream.pack_notes({}) == b""


def test_too_many_pixels_are_refused_before_the_index_is_read():
    data = bytearray(write(SMALL, streams_for(SMALL)))
    with pytest.raises(InputError, match="raise the limit"):
        read(bytes(data[: len(data) // 2]), max_pixels=10)
