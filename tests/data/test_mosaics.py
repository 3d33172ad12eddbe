"""satstudy.data.mosaics: tiles side by side, and shrunk."""

import numpy as np
import pytest

from satstudy.core.errors import InputError
from satstudy.data.mosaics import mosaic, shrunk


def test_tiles_stand_row_by_row_and_small_ones_are_mirrored(picture):
    tiles = [picture(32, 32, seed) for seed in range(5)] + [picture(30, 32, 5)]
    found = mosaic(tiles, 3)
    assert found.shape == (64, 96, 3)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, 3)
        place = found[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert np.array_equal(place[: len(tile)], tile)
    assert np.array_equal(found[62:, 64:], tiles[5][::-1][:2])
    with pytest.raises(InputError, match="5 tiles do not fill rows of 3"):
        mosaic(tiles[:5], 3)


def test_shrinking_keeps_the_mean_and_removes_what_would_alias():
    stripes = np.zeros((120, 120, 3), np.uint8)
    stripes[::2] = 200
    for factor in (2, 3, 4):
        small = shrunk(stripes, factor)
        assert small.shape == (120 // factor, 120 // factor, 3)
        inner = small[4:-4].astype(float)
        assert abs(inner.mean() - 100) < 2
        assert np.ptp(inner) < (80 if factor == 3 else 10)
