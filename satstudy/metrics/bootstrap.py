"""Confidence intervals: one bootstrap for all measurements, and Wilson's interval for independent trials.

Independent units are resampled: images, or the objects, places or dates that they show (clusters). Where networks were
trained several times, these trainings (runs) are resampled too, independently of the clusters (two-way bootstrap: Owen,
Ann. Appl. Stat. 2007). A single run cannot be resampled: the interval then covers the clusters alone.

Of k clusters, k − 1 are drawn with replacement (Rao and Wu, JASA 1988), and likewise of the runs. The variance of the
resampled mean is then the unbiased estimate of the variance of the mean; with draws of k it is too small by the factor
(k − 1)/k, a half for two runs. In simulations, 95 % intervals hold the true mean in 86 % of cases with 5 normally
distributed clusters (draws of k: 83 %), in 91 % (90 %) with 10 and in 94 % (94 %) with 60; in 89 % (84 %) with two runs
that differ by a third of what clusters do. So an interval of few clusters is too narrow, whichever of the two is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satstudy.core.errors import InputError
from satstudy.core.types import Floats


class Interval(NamedTuple):
    """An estimate and its confidence interval; `low` and `high` are nan where the data do not determine them."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[Floats], float] | None = None,
    *,
    clusters: Sequence[Hashable] | None = None,
    runs: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap of a mean or of a function of means (Efron & Tibshirani 1993, ch. 13).

    Parameters
    ----------
    values : (n,) or (n, k), a row a measurement; what is paired stands in one row or is subtracted before
    statistic : from the k means (k,) to a number; the mean of the first column by default
    clusters : n labels, rows of one label are drawn together; every row on its own by default
    runs : n labels of a second, crossed factor; a single run by default
    seed : of the random numbers; equal seeds draw the same labels from equal sets of labels
    level : confidence, between 0 and 1

    Returns
    -------
    Interval
        `low` and `high` are nan with a single cluster, and where the statistic is nan in more than 1 − `level` of the
        resamples.

    Raises
    ------
    InputError
        No row, a value that is not finite, another number of labels than rows, or `resamples` or `level` out of range.

    Examples
    --------
    >>> learned, jpeg = np.array([30.1, 28.4, 33.0, 29.2]), np.array([29.0, 27.5, 31.7, 28.3])
    >>> gain = bootstrap_interval(learned - jpeg)  # paired by image
    >>> f"{gain.value:.2f} dB [{gain.low:.2f}, {gain.high:.2f}]"
    '1.05 dB [0.90, 1.23]'

    The two images of one place count as one:

    >>> bootstrap_interval([1.0, 3.0, 3.0, 5.0], clusters=["a", "a", "b", "b"])
    Interval(value=3.0, low=2.0, high=4.0)
    """
    if not 0 < level < 1:
        raise InputError(f"level = {level}: take a confidence between 0 and 1, such as 0.95.")
    draws = resampled_means(values, clusters=clusters, runs=runs, resamples=resamples, seed=seed)
    table = _rows(values)
    of = statistic or (lambda means: means[0])
    found = draws[:, 0] if statistic is None else np.array([statistic(means) for means in draws])
    return percentile_interval(float(of(table.mean(axis=0))), found, level)


def resampled_means(
    values: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    runs: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Floats:
    """The means of each column in every resample: (resamples, k); nan with a single cluster.

    Parameters and errors as `bootstrap_interval`.
    """
    table = _rows(values)
    if not len(table) or not np.isfinite(table).all() or resamples < 1:
        raise InputError("A bootstrap needs one row of finite values or more, and resamples ≥ 1.")
    cluster, run = _labels(clusters, np.arange(len(table))), _labels(runs, np.zeros(len(table), np.intp))
    shape = (run.max() + 1, cluster.max() + 1)
    if shape[1] < 2:
        return np.full((resamples, table.shape[1]), math.nan)
    sizes, sums = np.zeros(shape), np.zeros((*shape, table.shape[1]))
    np.add.at(sizes, (run, cluster), 1)
    np.add.at(sums, (run, cluster), table)
    # How often each label was drawn determines a resample; products with these counts give all means at once.
    rng = np.random.default_rng(seed)
    run_counts, cluster_counts = (_draw(count, resamples, rng) for count in shape)
    total = np.zeros((resamples, table.shape[1]))
    rows = np.zeros((resamples, 1))
    for i, times in enumerate(run_counts.T[:, :, None]):
        total += times * (cluster_counts @ sums[i])
        rows += times * (cluster_counts @ sizes[i][:, None])
    with np.errstate(invalid="ignore"):
        return np.asarray(total / rows)


def percentile_interval(value: float, draws: Floats, level: float = 0.95) -> Interval:
    """An estimate with the percentiles of its resamples (n,); nan where more than 1 − `level` of them are nan."""
    if np.isnan(draws).mean() > 1 - level:
        return Interval(value, math.nan, math.nan)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def change_interval(logs: ArrayLike, **options: Any) -> Interval:
    """The geometric mean of ratios as a change in %, from their logarithms; options of `bootstrap_interval`.

    >>> round(change_interval(np.log([0.5, 2.0, 1.1, 1.1])).value, 2)  # halved and doubled cancel out
    4.88
    """
    return Interval(*(float(100 * np.expm1(value)) for value in bootstrap_interval(logs, **options)))


def proportion_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion of independent trials (Wilson 1927).

    >>> [round(bound, 3) for bound in proportion_interval(20, 20)]  # no error seen is not certainty
    [1.0, 0.839, 1.0]
    """
    if not 0 <= successes <= n or n < 1:
        raise InputError(f"{successes} of {n} is no proportion: give 0 ≤ successes ≤ n and n ≥ 1.")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p, shrink = successes / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    return Interval(p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)))


def _rows(values: ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    return table[:, None] if table.ndim == 1 else table


def _labels(labels: Sequence[Hashable] | None, default: NDArray[np.intp]) -> NDArray[np.intp]:
    """Labels as numbers from 0 on, in sorted order."""
    if labels is None:
        return default
    if len(labels) != len(default):
        raise InputError(f"{len(default)} rows have {len(labels)} cluster or run labels: give one to each.")
    return np.asarray(np.unique(np.asarray(labels), return_inverse=True)[1])


def _draw(count: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each of `count` labels is drawn: (resamples, count), rows sum to count − 1, or to 1 for one label."""
    if count == 1:
        return np.ones((resamples, 1))
    return rng.multinomial(count - 1, np.full(count, 1 / count), size=resamples).astype(np.float64)
