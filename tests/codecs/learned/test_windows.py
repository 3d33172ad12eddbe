"""Windows: inside the image, within the limit, and which intervals they touch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.codecs.coding.bitstream import Header
from satstudy.codecs.learned.codec import Window, check_window, overlapping
from satstudy.core.errors import InputError
from satstudy.core.geometry import spans

HEADER = Header(64, 100, "independent", 64, 0, 1, bytes(8))


def test_without_a_window_it_is_the_whole_image():
    assert check_window(None, HEADER, 1) == Window(0, 0, 100, 64)


@pytest.mark.parametrize("window", [(0, 0, 100, 64), (99, 63, 1, 1), (3, 4, 50, 20)])
def test_windows_inside_the_image_are_taken(window):
    assert check_window(Window(*window), HEADER, 6400) == window


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ((-1, 0, 5, 5), "leaves the image of 100×64"),
        ((0, 0, 0, 5), "leaves the image"),
        ((0, 0, 5, -5), "leaves the image"),
        ((90, 0, 11, 5), "leaves the image"),
        ((0, 64, 1, 1), "leaves the image"),
        ((0, 0, 40, 26), "more than 1000 pixels"),
    ],
)
def test_others_are_refused(window, words):
    with pytest.raises(InputError, match=words):
        check_window(Window(*window), HEADER, 1000)


@given(st.integers(1, 300), st.integers(1, 60), st.data())
def test_intervals_that_share_a_pixel_are_touched(length, patch, data):
    parts = spans(length, patch, data.draw(st.integers(0, patch // 2)))
    start = data.draw(st.integers(0, length - 1))
    count = data.draw(st.integers(1, length - start))
    pixels = set(range(start, start + count))
    assert overlapping(parts, start, count) == [i for i, part in enumerate(parts) if pixels & set(range(*part))]
