"""Quality against torchmetrics and against cases worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure as torchmetrics_ms_ssim,
)
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

from satstudy.core.errors import InputError
from satstudy.metrics import quality


def picture(height=192, width=176, seed=0):
    """Smoothed noise with an edge, uint8 (h, w, 3)."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (3, 3, 0)) * 300 + 120
    smooth[: height // 3] += 60
    return np.clip(smooth, 0, 255).astype(np.uint8)


def noisy(image, sigma, seed=1):
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def as_tensor(image):
    return torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]


def test_bpp_counts_bits_over_pixels_not_samples():
    assert quality.bpp(1000, 100, 80) == 1.0
    with pytest.raises(InputError):
        quality.bpp(10, 0, 5)


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.5, 80), st.integers(0, 2**31))
def test_psnr_agrees_with_torchmetrics(height, width, sigma, seed):
    a = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    b = noisy(a, sigma, seed)
    if (a == b).all():
        assert quality.psnr(a, b) == math.inf
        return
    expected = torchmetrics_psnr(as_tensor(b), as_tensor(a), data_range=255.0)
    assert quality.psnr(a, b) == pytest.approx(float(expected), abs=1e-4)  # its log is float32
    assert quality.psnr(a, b) == quality.psnr(b, a)


def test_psnr_of_a_known_error_over_several_blocks_of_rows():
    # 3·4096·700 samples are more than one block; every one is off by 1, so MSE = 1.
    a = np.full((700, 4096, 3), 7, np.uint8)
    assert quality.psnr(a, a + 1) == pytest.approx(20 * math.log10(255))


def test_psnr_does_not_wrap_around_at_eight_bits():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert quality.psnr(black, white) == pytest.approx(0.0)
    assert quality.psnr(white, white) == math.inf


@pytest.mark.parametrize(
    "other", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)]
)
def test_images_that_cannot_be_compared_are_refused(other):
    with pytest.raises(InputError, match="of one size"):
        quality.psnr(np.zeros((4, 4, 3), np.uint8), other)


@pytest.mark.parametrize("sigma", [3, 30])
def test_ms_ssim_agrees_with_torchmetrics(sigma):
    a = picture()
    b = noisy(a, sigma)
    # torchmetrics pads its windows at the borders and crops them; the two packages differ by about 1e-4.
    expected = float(torchmetrics_ms_ssim(as_tensor(b), as_tensor(a), data_range=255.0))
    assert quality.ms_ssim(a, b) == pytest.approx(expected, abs=2e-3)


def test_ms_ssim_of_equal_images_is_one_and_falls_with_noise():
    a = picture()
    values = [quality.ms_ssim(a, noisy(a, sigma)) for sigma in (2, 10, 40)]
    assert quality.ms_ssim(a, a) == pytest.approx(1.0)
    assert 1 > values[0] > values[1] > values[2] > 0


def test_ms_ssim_is_nan_below_its_smallest_side_and_a_number_at_it():
    side = quality.MS_SSIM_SIDE
    small, large = picture(side - 1, 300), picture(side, 170)
    assert math.isnan(quality.ms_ssim(small, small))
    assert quality.ms_ssim(large, large) == pytest.approx(1.0)
    assert math.isnan(quality.ms_ssim(picture(1, 1), picture(1, 1)))
