"""Validity masks: exact, small, and refused when they are not what a file says."""

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs.coding import bitstream
from satstudy.core.errors import DamagedFile
from satstudy.data.sources import fill_invalid


def raw(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


@given(seed=st.integers(0, 999), height=st.integers(1, 40), width=st.integers(1, 40), rest=st.binary(max_size=9))
@settings(deadline=None)
def test_a_mask_and_what_follows_it_come_back(seed, height, width, rest):
    rng = np.random.default_rng(seed)
    valid = rng.random((height, width)) < rng.random()
    before = valid.copy()
    rows, found = bitstream.split_mask(bitstream.pack_mask(valid) + rest, height, width)
    assert found == rest
    assert np.array_equal(valid, before)
    if valid.all():
        assert rows is None
        return
    assert np.array_equal(bitstream.unpack_mask(rows, 0, height, 0, width), valid)
    top, left = rng.integers(height), rng.integers(width)
    bottom, right = rng.integers(top, height) + 1, rng.integers(left, width) + 1
    assert np.array_equal(bitstream.unpack_mask(rows, top, bottom, left, right), valid[top:bottom, left:right])


def test_all_valid_takes_one_byte():
    assert bitstream.pack_mask(None) == bitstream.pack_mask(np.ones((300, 200), bool)) == b"\0"


def test_a_slanted_edge_takes_less_than_a_byte_a_row():
    y, x = np.mgrid[:2048, :2048]
    assert len(bitstream.pack_mask(x + 0.27 * y > 700)) < 2048


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\2",
        b"\1",
        b"\1nonsense",
        b"\1" + raw(bytes(9)),
        b"\1" + raw(bytes(11)),
        b"\1" + raw(bytes(10))[:-1],
        b"\1" + zlib.compress(bytes(10)),
    ],
)
def test_what_is_not_one_mask_of_this_size_is_refused(stream):
    with pytest.raises(DamagedFile, match="mask"):
        bitstream.split_mask(stream, 5, 13)


def test_a_bomb_is_refused_in_little_memory():
    stream = b"\1" + raw(bytes(1 << 26))
    tracemalloc.start()
    with pytest.raises(DamagedFile):
        bitstream.split_mask(stream, 100, 100)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_filling_leaves_valid_pixels_and_continues_them(picture):
    image = picture(37, 50)
    image[:, :] = np.linspace(40, 200, 50).astype(np.uint8)[None, :, None]
    valid = np.ones((37, 50), bool)
    valid[10:20, 15:40] = False
    filled = fill_invalid(np.where(valid[..., None], image, 0).astype(np.uint8), valid)
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[valid], image[valid])
    assert np.abs(filled.astype(int) - image).max() < 40  # the hole went from 40 levels to 170


def test_filling_nothing_gives_grey():
    filled = fill_invalid(np.zeros((5, 7, 3), np.uint8), np.zeros((5, 7), bool))
    assert filled.shape == (5, 7, 3)
    assert (filled == 128).all()


@pytest.mark.parametrize("value", [0, 77, 255])
def test_afterwards_the_value_tells_the_mask(value):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    pixels[3:6, 4:9] = value
    pixels[8, 8, 0] = value  # one band alone is no sign
    valid = rng.random((20, 30)) < 0.7
    valid[3:5, 4:7] = True
    before = pixels.astype(int)
    bitstream.impose_mask(pixels, valid, value)
    assert np.array_equal((pixels != value).any(axis=2), valid)
    assert np.abs(pixels.astype(int) - before)[valid].max() == 1
    bitstream.impose_mask(pixels, None, value)
    assert not (pixels == value).all(axis=2).any()
