"""What is read of an image: its pixels by windows, and something smooth where it has no data."""

import numpy as np
import pytest

from satstudy.core.errors import InputError
from satstudy.data.sources import ArraySource, masked, read


def test_an_array_is_read_by_windows(picture):
    image = picture(9, 14)
    source = ArraySource(image)
    assert (source.height, source.width) == (9, 14)
    assert ArraySource(np.zeros((3, 4, 3), np.uint8)).read(1, 2, 0, 4).shape == (1, 4, 3)
    assert np.array_equal(read(source, 2, 9, 3, 5).numpy(), image[2:9, 3:5])
    assert source.valid(0, 9, 0, 14) is None
    assert masked(source) is None


def test_arrays_that_may_not_be_written_to_are_left_alone(picture):
    image = picture(5, 6)
    image.flags.writeable = False
    before = image.copy()
    read(ArraySource(image), 0, 5, 0, 6).zero_()
    assert np.array_equal(image, before)


def test_pixels_without_data_are_filled_from_around_them(picture):
    image, mask = picture(20, 30), np.ones((20, 30), bool)
    mask[:, 12:] = False
    source = ArraySource(image, mask)
    assert masked(source) is source
    assert source.fill == 0
    assert np.array_equal(source.valid(3, 5, 10, 15), mask[3:5, 10:15])
    part = read(source, 0, 20, 5, 30).numpy()
    assert np.array_equal(part[:, :7], image[:, 5:12])
    hidden = np.where(mask[..., None], image, 255 - image)
    assert np.array_equal(read(ArraySource(hidden, mask), 0, 20, 5, 30).numpy(), part)


@pytest.mark.parametrize("mask", [np.ones((8, 9), bool), np.ones((8, 8), np.uint8), np.ones((8, 8, 1), bool)])
def test_a_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(InputError, match="mask"):
        ArraySource(np.zeros((8, 8, 3), np.uint8), mask)
