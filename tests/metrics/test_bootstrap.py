"""Intervals against scipy, against what theory says of their width, and against how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from satstudy.core.errors import InputError
from satstudy.metrics.bootstrap import bootstrap_interval, change_interval, proportion_interval, resampled_means


def test_the_interval_of_a_mean_is_close_to_the_normal_one():
    values = np.random.default_rng(3).normal(5, 2, 400)
    value, low, high = bootstrap_interval(values)
    assert value == values.mean()
    assert (low, high) == pytest.approx(stats.norm.interval(0.95, values.mean(), stats.sem(values)), abs=0.03)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_resampled_means_have_the_unbiased_variance_of_the_mean(count):
    """So they have by drawing count − 1; draws of count have (count − 1)/count of it."""
    values = np.random.default_rng(count).normal(0, 1, count)
    draws = resampled_means(values, resamples=40_000)
    assert draws.var() == pytest.approx(stats.sem(values) ** 2, rel=0.03)
    # The same of clusters of equal size.
    repeated, labels = np.repeat(values, 4), np.repeat(np.arange(count), 4)
    assert np.array_equal(resampled_means(repeated, clusters=labels, resamples=40_000), draws)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_runs_are_drawn_as_clusters_are(count):
    values = np.random.default_rng(count).normal(0, 1, count)
    repeated, labels = np.repeat(values, 4), np.repeat(np.arange(count), 4)
    crossed = resampled_means(repeated, runs=labels, clusters=np.tile(np.arange(4), count), resamples=40_000)
    assert crossed.var() == pytest.approx(stats.sem(values) ** 2, rel=0.03)


def normal(clusters, trials):
    """Values of clusters, each trial a row, whose true mean is 0."""
    return np.random.default_rng(clusters).normal(0, 1, (trials, clusters))


def coverage(table):
    intervals = [bootstrap_interval(row, resamples=400, seed=trial) for trial, row in enumerate(table)]
    return np.mean([low <= 0 <= high for _, low, high in intervals])


def test_few_clusters_are_covered_better_than_by_draws_of_all_of_them():
    table = normal(5, 1000)
    draws_of_all = [
        stats.bootstrap((row,), np.mean, n_resamples=400, method="percentile", rng=np.random.default_rng(trial))
        for trial, row in enumerate(table)
    ]
    theirs = np.mean([low <= 0 <= high for low, high in (found.confidence_interval for found in draws_of_all)])
    low, high = stats.t.interval(0.95, 4, table.mean(axis=1), stats.sem(table, axis=1))
    exact = np.mean((low <= 0) & (high >= 0))
    assert theirs + 0.01 < coverage(table) < exact
    assert exact == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("clusters", "expected"), [(5, 0.86), (10, 0.91), (60, 0.94)])
def test_the_truth_is_covered_as_often_as_the_module_says(clusters, expected):
    assert coverage(normal(clusters, 800)) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_two_ways_of_drawing_cover_the_truth_where_one_does_not(runs):
    rng = np.random.default_rng(runs)
    labels = {"clusters": np.tile(np.arange(40), runs), "runs": np.repeat(np.arange(runs), 40)}
    covered = {"two": 0, "one": 0}
    for _ in range(200):
        table = rng.normal(0, 0.15, (runs, 1)) + rng.normal(0, 0.3, 40) + rng.normal(0, 0.3, (runs, 40))
        for way, given_labels in (("two", labels), ("one", {"clusters": labels["clusters"]})):
            _, low, high = bootstrap_interval(table.ravel(), **given_labels, resamples=300)
            covered[way] += low <= 0 <= high
    assert covered["one"] / 200 < 0.8
    assert covered["two"] / 200 > (0.85 if runs < 5 else 0.9)


def test_an_interval_repeats_with_its_seed_and_narrows_with_its_level():
    values = np.random.default_rng(5).random(30)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    wide, narrow = (bootstrap_interval(values, level=level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize(
    ("values", "labels"),
    [([3], {}), ([3], {"clusters": ["a"]}), ([3], {"runs": [1]}), ([2, 4], {}), ([3, 3], {"runs": [1, 2]})],
)
def test_two_clusters_give_no_interval(values, labels):
    value, low, high = bootstrap_interval(values, **labels)
    assert value == 3
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([1.0, math.nan], {}, "finite"),
        ([], {}, "one row"),
        ([1.0, 2.0], {"resamples": 0}, "resamples ≥ 1"),
        ([1.0, 2.0], {"level": 1.0}, "between 0 and 1"),
        ([1.0, 2.0], {"clusters": [1]}, "2 rows have 1 cluster"),
        ([1.0, 2.0], {"runs": [1, 2, 3]}, "2 rows have 3 cluster or run labels"),
    ],
)
def test_unusable_values_are_refused(values, options, words):
    with pytest.raises(InputError, match=words):
        bootstrap_interval(values, **options)


def test_clusters_widen_the_interval_of_images_that_repeat_each_other():
    objects = np.repeat(np.arange(20), 10)
    correct = np.random.default_rng(6).random(20)[objects] < 0.5
    alone, grouped = bootstrap_interval(correct), bootstrap_interval(correct, clusters=list(objects))
    assert grouped.value == alone.value == correct.mean()
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_a_paired_difference_is_tighter_than_either_mean():
    generator = np.random.default_rng(7)
    a = generator.normal(30, 4, 100)
    b = a - 1 + generator.normal(0, 0.1, 100)
    value, low, high = bootstrap_interval(a - b)
    assert low < 1 < high
    assert value == pytest.approx(1, abs=0.05)
    assert high - low < 0.1
    # So is a function of means whose columns are drawn together.
    assert bootstrap_interval(np.stack([a, b], axis=1), lambda means: means[0] - means[1]) == pytest.approx(
        (value, low, high)
    )


def test_a_function_of_means_agrees_with_scipy():
    """The ratio of two means; with 200 images draws of all or of all but one are alike."""
    a, b = np.random.default_rng(8).gamma(4, 1, (2, 200))
    found = bootstrap_interval(np.stack([a, b], axis=1), lambda means: means[0] / means[1])
    assert found.value == pytest.approx(a.mean() / b.mean())
    library = stats.bootstrap(
        (a, b), lambda x, y, axis: x.mean(axis) / y.mean(axis), paired=True, n_resamples=4000, method="percentile",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found[1:] == pytest.approx(library.confidence_interval, abs=0.01)


def test_a_statistic_that_fails_in_many_resamples_has_no_interval():
    values = np.arange(10.0)
    often = bootstrap_interval(values, lambda means: math.nan if means[0] < 4 else means[0])
    assert often.value == 4.5
    assert math.isnan(often.low)
    rarely = bootstrap_interval(values, lambda means: math.nan if means[0] < 2 else means[0])
    assert 2 < rarely.low < 4.5 < rarely.high


def test_a_change_is_the_geometric_mean_of_ratios():
    ratios = np.random.default_rng(9).gamma(20, 1 / 20, 30)
    found = change_interval(np.log(ratios))
    assert found.value == pytest.approx(100 * (stats.gmean(ratios) - 1))
    assert found.low < found.value < found.high


def test_wilson_by_hand_and_at_the_ends():
    # Newcombe 1998, table I: 81 of 263, method 3.
    value, low, high = proportion_interval(81, 263)
    assert (round(value, 4), round(low, 4), round(high, 4)) == (0.3080, 0.2553, 0.3662)
    assert proportion_interval(0, 20).low == 0
    assert proportion_interval(0, 20).high > 0.1
    assert proportion_interval(20, 20).high == 1
    with pytest.raises(InputError):
        proportion_interval(3, 2)
