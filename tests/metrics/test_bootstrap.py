"""satstudy.metrics.bootstrap: bootstrap intervals, as `metrics` hands them on."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.metrics.bd_rate import bd_rate_interval
from satstudy.metrics.bootstrap import bootstrap_interval, cluster_bootstrap, difference_interval, proportion_interval

RATES = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
PSNRS = np.array([24.0, 27.0, 30.5, 34.0, 38.0])


def test_bootstrap_of_a_mean_is_close_to_the_normal_interval():
    values = np.random.default_rng(3).normal(5, 2, 400)
    value, low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert value == values.mean()
    assert low == pytest.approx(value - half, abs=0.03)
    assert high == pytest.approx(value + half, abs=0.03)


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(4)
    intervals = [bootstrap_interval(generator.normal(0, 1, 60), n=400, seed=k) for k in range(200)]
    covered = np.mean([low <= 0 <= high for _, low, high in intervals])
    assert 0.89 <= covered <= 0.99


def test_bootstrap_repeats_with_its_seed_and_narrows_with_its_level():
    values = np.random.default_rng(5).random(30)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    wide, narrow = (bootstrap_interval(values, level=level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_bootstrap_of_one_image_gives_no_interval():
    value, low, high = bootstrap_interval([3.0])
    assert value == 3
    assert math.isnan(low)
    assert math.isnan(high)


def test_bootstrap_refuses_what_is_not_finite():
    with pytest.raises(InputError, match="finite"):
        bootstrap_interval([1.0, math.nan])


def test_clusters_widen_the_interval_of_images_that_repeat_each_other():
    objects = np.repeat(np.arange(20), 10)
    correct = np.random.default_rng(6).random(20)[objects] < 0.5
    alone = bootstrap_interval(correct)
    grouped = cluster_bootstrap(correct, list(objects))
    assert grouped.value == alone.value == correct.mean()
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    with pytest.raises(InputError, match="cluster labels"):
        cluster_bootstrap(correct, [1, 2])


def test_a_paired_difference_is_tighter_than_either_mean():
    generator = np.random.default_rng(7)
    a = generator.normal(30, 4, 100)
    b = a - 1 + generator.normal(0, 0.1, 100)
    value, low, high = difference_interval(a, b)
    assert low < 1 < high
    assert value == pytest.approx(1, abs=0.05)
    assert high - low < 0.1


def curves(images=25, seed=8):
    """Per-image curves: contents differ by a lot, the test codec needs 70–90 % of the rate on each."""
    generator = np.random.default_rng(seed)
    content = np.exp(generator.normal(0, 0.5, (images, 1)))
    saving = generator.uniform(0.7, 0.9, (images, 1))
    psnr = np.tile(PSNRS, (images, 1)) + generator.normal(0, 1, (images, 1))
    return RATES * content, psnr, RATES * content * saving, psnr


def test_bd_rate_interval_holds_the_saving_and_pairs_images():
    value, low, high = bd_rate_interval(*curves(), n=300)
    assert -30 < low < value < high < -10
    assert high - low < 10  # the contents' spread of 50 % cancels because images are drawn for both at once


def test_bd_rate_interval_is_as_wide_as_zero_for_a_constant_factor():
    rate, psnr, *_ = curves()
    found = bd_rate_interval(rate, psnr, rate / 2, psnr, n=200)
    assert found == pytest.approx((-50, -50, -50))


def test_bd_rate_interval_refuses_curves_that_cannot_be_paired():
    rate, psnr, *_ = curves()
    with pytest.raises(InputError, match="same images"):
        bd_rate_interval(rate, psnr, rate[1:], psnr[1:])
    with pytest.raises(InputError, match="share no PSNR"):
        bd_rate_interval(rate, psnr, rate, psnr + 90)


def test_wilson_by_hand_and_at_the_ends():
    # Newcombe 1998, table I: 81 of 263, method 3.
    value, low, high = proportion_interval(81, 263)
    assert (round(value, 4), round(low, 4), round(high, 4)) == (0.3080, 0.2553, 0.3662)
    assert proportion_interval(0, 20).low == 0
    assert proportion_interval(0, 20).high > 0.1
    assert proportion_interval(20, 20).high == 1
    with pytest.raises(InputError):
        proportion_interval(3, 2)


@settings(deadline=None)
@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_stays_in_range_around_its_value(counts, level):
    value, low, high = proportion_interval(*counts, level=level)
    assert 0 <= low <= value <= high <= 1
