"""Metrics against torchmetrics and against cases worked out by hand; intervals against their coverage."""

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
from satstudy.metrics import quality as metrics
from satstudy.metrics.bd_rate import bd_rate, interpolated_means, rate_at_psnr

RATES = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
PSNRS = np.array([24.0, 27.0, 30.5, 34.0, 38.0])


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
    assert metrics.bpp(1000, 100, 80) == 1.0
    with pytest.raises(InputError):
        metrics.bpp(10, 0, 5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.5, 80), st.integers(0, 2**31))
def test_psnr_agrees_with_torchmetrics(height, width, sigma, seed):
    a = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    b = noisy(a, sigma, seed)
    if (a == b).all():
        assert metrics.psnr(a, b) == math.inf
        return
    expected = torchmetrics_psnr(as_tensor(b), as_tensor(a), data_range=255.0)
    assert metrics.psnr(a, b) == pytest.approx(float(expected), abs=1e-4)  # its log is float32
    assert metrics.psnr(a, b) == metrics.psnr(b, a)


def test_psnr_of_a_known_error_over_several_blocks_of_rows():
    # 3·4096·700 samples are more than one block; every one is off by 1, so MSE = 1.
    a = np.full((700, 4096, 3), 7, np.uint8)
    assert metrics.psnr(a, a + 1) == pytest.approx(20 * math.log10(255))


def test_psnr_does_not_wrap_around_at_eight_bits():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == pytest.approx(0.0)
    assert metrics.psnr(white, white) == math.inf


@pytest.mark.parametrize(
    "other", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)]
)
def test_images_that_cannot_be_compared_are_refused(other):
    with pytest.raises(InputError, match="of one size"):
        metrics.psnr(np.zeros((4, 4, 3), np.uint8), other)


@pytest.mark.parametrize("sigma", [3, 30])
def test_ms_ssim_agrees_with_torchmetrics(sigma):
    a = picture()
    b = noisy(a, sigma)
    # torchmetrics pads its windows at the borders and crops them; the two packages differ by about 1e-4.
    expected = float(torchmetrics_ms_ssim(as_tensor(b), as_tensor(a), data_range=255.0))
    assert metrics.ms_ssim(a, b) == pytest.approx(expected, abs=2e-3)


def test_ms_ssim_of_equal_images_is_one_and_falls_with_noise():
    a = picture()
    values = [metrics.ms_ssim(a, noisy(a, sigma)) for sigma in (2, 10, 40)]
    assert metrics.ms_ssim(a, a) == pytest.approx(1.0)
    assert 1 > values[0] > values[1] > values[2] > 0


def test_ms_ssim_is_nan_below_its_smallest_side_and_a_number_at_it():
    side = metrics.MS_SSIM_SIDE
    small, large = picture(side - 1, 300), picture(side, 170)
    assert math.isnan(metrics.ms_ssim(small, small))
    assert metrics.ms_ssim(large, large) == pytest.approx(1.0)
    assert math.isnan(metrics.ms_ssim(picture(1, 1), picture(1, 1)))


@pytest.mark.parametrize("method", ["pchip", "akima"])
@pytest.mark.parametrize("factor", [0.5, 0.75, 1.0, 2.0])
def test_bd_rate_of_a_constant_factor_is_that_factor(factor, method):
    found = bd_rate(RATES, PSNRS, factor * RATES, PSNRS, method)
    assert found == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_bd_rate_takes_different_numbers_of_points_in_any_order():
    # Both on the line log2(bpp) = (PSNR − 30)/6, the second at 80 % of the rate.
    psnr_a, psnr_b = np.array([36.0, 24, 30]), np.array([27.0, 33, 39, 25, 29])
    found = bd_rate(2 ** ((psnr_a - 30) / 6), psnr_a, 0.8 * 2 ** ((psnr_b - 30) / 6), psnr_b)
    assert found == pytest.approx(-20)


def test_bd_rate_ignores_a_dearer_point_of_equal_psnr():
    found = bd_rate(RATES, PSNRS, [*(0.5 * RATES), 9.0], [*PSNRS, PSNRS[-1]])
    assert found == pytest.approx(-50)


@pytest.mark.parametrize(
    ("bpp", "psnr", "words"),
    [
        (RATES, PSNRS + 50, "share no PSNR"),
        (RATES, [*PSNRS[:-1], math.inf], "finite"),
        ([0.0, *RATES[1:]], PSNRS, "above 0"),
        ([1.0], [30.0], "two points"),
        (RATES[1:], PSNRS, "as many"),
    ],
)
def test_curves_without_a_bd_rate_say_why(bpp, psnr, words):
    with pytest.raises(InputError, match=words):
        bd_rate(RATES, PSNRS, bpp, psnr)


def test_rate_at_psnr_meets_the_points_and_is_nan_outside():
    for rate, psnr in zip(RATES, PSNRS, strict=True):
        assert rate_at_psnr(RATES, PSNRS, psnr) == pytest.approx(rate)
    assert 0.2 < rate_at_psnr(RATES, PSNRS, 28.0) < 0.4
    assert math.isnan(rate_at_psnr(RATES, PSNRS, 50.0))


def test_interpolated_means_average_at_equal_rates_over_the_common_range():
    # Two images whose PSNR is linear in log2(bpp), 10 dB apart, at different rates.
    first, second = np.array([0.1, 0.2, 0.4, 0.8]), np.array([1.6, 0.8, 0.2, 0.4])
    quality = np.stack([20 + 3 * np.log2(first), 30 + 3 * np.log2(second)])
    rates, means = interpolated_means([first, second], quality, count=7)
    assert rates[0] == pytest.approx(0.2)
    assert rates[-1] == pytest.approx(0.8)
    assert means == pytest.approx(25 + 3 * np.log2(rates))


def test_interpolated_means_need_a_rate_that_all_images_reach():
    with pytest.raises(InputError, match="all 2 images"):
        interpolated_means([[0.1, 0.2], [0.3, 0.4]], [[20, 21], [20, 21]])
