"""The transform against sums written out in NumPy, and against what the 9/7 filters are known for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs.wavelet import subbands
from satstudy.codecs.wavelet.config import LEVELS
from satstudy.codecs.wavelet.subbands import BANDS, SMOOTH_LEVELS, Bands


def line_by_sums(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One 9/7 level of a line of even length, by the definition: filters over the line mirrored at its ends."""
    n, root = len(x), 2**0.5

    def at(i: int) -> float:
        i %= 2 * n - 2
        return x[min(i, 2 * n - 2 - i)]

    low, high = subbands.LOW_PASS, subbands.HIGH_PASS
    return (
        np.array([root * sum(low[abs(d)] * at(2 * i + d) for d in range(-4, 5)) for i in range(n // 2)]),
        np.array([sum(high[abs(d)] * at(2 * i + 1 + d) for d in range(-3, 4)) / root for i in range(n // 2)]),
    )


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 32), (48, 80)])
def test_the_first_level_is_the_sum_over_the_filters(height, width):
    image = np.random.default_rng(0).normal(size=(height, width))
    bands = subbands.split_smooth(torch.from_numpy(image).expand(1, 3, -1, -1))
    rows = np.array([np.concatenate(line_by_sums(line)) for line in image])
    both = np.array([np.concatenate(line_by_sums(line)) for line in rows.T]).T
    h, w = height // 2, width // 2
    expected = [both[:h, w:], both[h:, :w], both[h:, w:]]
    for colour in range(3):
        for orientation, band in enumerate(expected):
            assert np.allclose(bands.details[0][0, 3 * colour + orientation], band, atol=1e-10)


def test_filters_have_the_moments_of_the_nine_seven_wavelet():
    low, high = subbands.LOW_PASS, subbands.HIGH_PASS
    taps = {d: low[abs(d)] for d in range(-4, 5)}
    assert sum(taps.values()) == pytest.approx(1, abs=1e-9)  # the gain at frequency 0
    assert sum((-1) ** d * value for d, value in taps.items()) == pytest.approx(0, abs=1e-9)  # and at the highest
    for moment in range(4):  # the high-pass filter is blind to cubic polynomials
        assert sum(high[abs(d)] * d**moment for d in range(-3, 4)) == pytest.approx(0, abs=1e-8)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_images_come_back(rows, columns, seed):
    x = torch.randn(1, 3, 16 * rows, 16 * columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    smooth = subbands.split_smooth(subbands.rotate(x))
    assert smooth.low.shape == (1, 3, rows, columns)
    coarse = subbands.split_coarse(smooth.low)
    assert len(smooth.details) == SMOOTH_LEVELS
    assert len(coarse.details) == LEVELS - SMOOTH_LEVELS
    assert all(band.shape[1] == BANDS for band in (*smooth.details, *coarse.details))
    low = subbands.join_coarse(coarse, rows, columns)
    assert torch.allclose(low, smooth.low, atol=1e-9)
    again = subbands.rotate(subbands.join_smooth(Bands(low, smooth.details)), inverse=True)
    assert torch.allclose(again, x, atol=1e-8)


def test_the_transform_is_nearly_orthonormal():
    x = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    smooth = subbands.split_smooth(x)
    parts = [smooth.low, *smooth.details]
    energy = sum(float(part.square().sum()) for part in parts)
    assert energy == pytest.approx(float(x.square().sum()), rel=0.1)
    assert torch.allclose(subbands.rotate(x).square().sum(1), x.square().sum(1))


def test_an_odd_side_repeats_its_last_sample_and_costs_no_detail():
    x = torch.rand(1, 3, 5, 7)
    bands = subbands.split_coarse(x).details[0].unflatten(1, (3, 3))
    assert float(bands[:, :, 1:, -1].abs().max()) < 1e-6, "no vertical or diagonal detail in the last row"
    assert float(bands[:, :, [0, 2], :, -1].abs().max()) < 1e-6, "no horizontal or diagonal detail in the last column"
