"""Confidence intervals over images: the bootstrap, and Wilson's for independent trials.

What is resampled is *images* (or the objects they show), never pixels or settings: what is uncertain is
which images were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from satstudy.core.errors import InputError
from satstudy.core.types import Floats


class Interval(NamedTuple):
    """An estimate and its confidence interval; `low` and `high` are nan where the data cannot say."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike,
    of_means: Callable[[Floats], float] | None = None,
    *,
    clusters: Sequence[object] | None = None,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap over images of a mean, or of any function of means (Efron & Tibshirani 1993, ch. 13).

    Parameters
    ----------
    values : (images,) or (images, k)
    of_means : from the k means over images to the statistic; the mean itself otherwise
    clusters : one label an image; images of one label (one object, one scene) are drawn together
    n : resamples
    level : confidence, 0–1

    Returns
    -------
    Interval
        `low` and `high` are nan with a single image or cluster, and where more than 1 − `level` of the
        resamples have no statistic (curves that do not overlap, say).
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not len(table) or not np.isfinite(table).all() or not 0 < level < 1 or n < 1:
        raise InputError("A bootstrap needs finite values of one image or more, n ≥ 1 and 0 < level < 1.")
    labels = np.arange(len(table)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    if len(labels) != len(table):
        raise InputError(f"{len(table)} images have {len(labels)} cluster labels: give one to each.")

    def statistic(means: Floats) -> float:
        return float(means[0]) if of_means is None else float(of_means(means))

    value = statistic(table.mean(axis=0))
    groups = int(labels.max()) + 1
    if groups < 2:
        return Interval(value, math.nan, math.nan)
    sizes = np.bincount(labels, minlength=groups).astype(np.float64)
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, labels, table)
    # How often each group is drawn says all about a resample; one matrix product makes all the means.
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=n).astype(np.float64)
    means = (drawn @ sums) / (drawn @ sizes)[:, None]
    found = np.array([statistic(row) for row in means])
    if np.isnan(found).mean() > 1 - level:
        return Interval(value, math.nan, math.nan)
    low, high = np.nanpercentile(found, [50 * (1 - level), 50 * (1 + level)])
    return Interval(value, float(low), float(high))


def change_interval(logs: ArrayLike, **options: Any) -> Interval:
    """A mean of logarithms of ratios, as a change in %: `bootstrap_interval` of it, with the same options."""
    return Interval(*(float(100 * np.expm1(value)) for value in bootstrap_interval(logs, **options)))


def difference_interval(a: ArrayLike, b: ArrayLike, **options: Any) -> Interval:
    """Mean of `a − b`, paired by image, with `bootstrap_interval`'s options."""
    return bootstrap_interval(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), **options)


def proportion_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion of independent trials (Wilson 1927).

    Images of one object are not independent: use `cluster_bootstrap` for those.
    """
    if not 0 <= successes <= n or n < 1:
        raise InputError(f"{successes} of {n} is no proportion: give 0 ≤ successes ≤ n and n ≥ 1.")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p, shrink = successes / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    return Interval(p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)))


def cluster_bootstrap(correct: ArrayLike, clusters: Sequence[object], **options: Any) -> Interval:
    """Accuracy (0–1) with an interval over clusters: all images of an object are drawn together.

    Parameters
    ----------
    correct : (images,) of 0/1 or bool
    clusters : (images,) labels, the object each image shows
    options : of `bootstrap_interval`
    """
    return bootstrap_interval(np.asarray(correct, dtype=np.float64), clusters=clusters, **options)
