"""What several wings compute from the pixels of an image."""

import numpy as np
import pytest
from PIL import Image

from satstudy.core.pixels import centre, luminance


def test_luminance_is_that_of_pillow():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).convert("L"), np.float32)  # ITU-R 601-2, rounded
    assert luminance(image).dtype == np.float32
    assert luminance(image) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(
    ("shape", "side", "expected"), [((10, 7), 4, (4, 4)), ((3, 9), 4, (3, 4)), ((2, 2), 4, (2, 2))]
)
def test_the_centre_is_central(shape, side, expected):
    image = np.zeros((*shape, 3), np.uint8)
    image[:, :, 0] = np.arange(shape[0])[:, None]
    image[:, :, 1] = np.arange(shape[1])
    part = centre(image, side)
    assert part.shape == (*expected, 3)
    assert part.flags.c_contiguous
    for axis in (0, 1):
        before, after = part[..., axis].min(), shape[axis] - 1 - part[..., axis].max()
        assert abs(int(before) - int(after)) <= 1


def test_the_centre_of_a_small_image_is_mirrored_at_the_right_and_bottom():
    image = np.random.default_rng(1).integers(0, 256, (5, 12, 3), dtype=np.uint8)
    part = centre(image, 8, mirror=True)
    assert np.array_equal(part[:5], image[:, 2:10])
    assert np.array_equal(part[5:], part[4:1:-1])
