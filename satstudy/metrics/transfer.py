"""How classifiers transfer to other conditions: statistics over several cells of the matrix of accuracies.

A cell is a pair (trained on, validated on) of conditions. A column of the matrix has the classifiers trained on one
condition, a row the images of one validation condition. A round is one training of all classifiers, with its own seed.

All cells are resampled together, by objects and rounds (`satstudy.metrics.bootstrap`). The interval of a statistic
comes from its values in the resamples. Intervals are not corrected for multiple comparisons.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.core.types import Floats
from satstudy.metrics.accuracy import Cell
from satstudy.metrics.bootstrap import Interval, percentile_interval, resampled_means


@dataclass(frozen=True)
class Cells:
    """Accuracies of k cells (trained on, validated on), and their joint resamples.

    Attributes
    ----------
    names : of the k cells
    values : float (k,), 0–1
    draws : float (resamples, k); nan with fewer than three objects
    """

    names: tuple[Cell, ...]
    values: Floats
    draws: Floats

    def interval(self, statistic: Callable[[Floats], float]) -> Interval:
        """The value of a function of the k accuracies, with its interval."""
        return percentile_interval(statistic(self.values), self.resampled(statistic))

    def resampled(self, statistic: Callable[[Floats], float]) -> Floats:
        """The value of a function of the k accuracies in each resample."""
        return np.array([statistic(draw) for draw in self.draws])

    def index(self, trained_on: str, validated_on: str) -> int:
        """The index of a cell.

        Raises
        ------
        InputError
            No such cell.
        """
        try:
            return self.names.index((trained_on, validated_on))
        except ValueError:
            raise InputError(f"No classifier trained on {trained_on} was validated on {validated_on}.") from None

    def row_of(self, trained_on: str) -> dict[str, int]:
        """Validated on → index of the cell, for one column of the matrix."""
        return {row: i for i, (column, row) in enumerate(self.names) if column == trained_on}


def cells(predictions: pd.DataFrame, measures: Mapping[str, Floats] | None = None) -> Cells:
    """The accuracies of all cells of a predictions frame, resampled together.

    Parameters
    ----------
    predictions : the columns of `satstudy.metrics.accuracy.COLUMNS`; every cell has the same images and rounds
    measures : further quantities of the images, name → (images,) in the order of the images' names. Each becomes a cell
        ("", name) with its mean as the value

    Raises
    ------
    InputError
        A missing column, no row, or cells with different images or rounds.
    """
    columns = ("trained_on", "validated_on", "seed", "image", "object", "label", "predicted")
    require(predictions, columns, "The predictions frame", "train and validate first")
    right = predictions.assign(right=(predictions["label"] == predictions["predicted"]).astype(float))
    wide = right.pivot(index=["seed", "image"], columns=["trained_on", "validated_on"], values="right")
    # In the order of the frame.
    names = list(dict.fromkeys(zip(predictions["trained_on"], predictions["validated_on"], strict=True)))
    wide = wide[names]
    if wide.isna().to_numpy().any():
        raise InputError(
            "The cells were not measured on the same images and rounds: they cannot be resampled together."
        )
    table = wide.to_numpy(np.float64)
    images = wide.index.get_level_values("image")
    if measures:
        position = {name: i for i, name in enumerate(sorted(set(images)))}
        rows = np.array([position[name] for name in images])
        table = np.column_stack([table, *(np.asarray(values, np.float64)[rows] for values in measures.values())])
        names += [("", name) for name in measures]
    objects = predictions.drop_duplicates("image").set_index("image")["object"].loc[images].tolist()
    seeds = wide.index.get_level_values("seed").tolist()
    draws = resampled_means(table, clusters=objects, runs=seeds)
    return Cells(tuple(names), table.mean(axis=0), draws)


def against_own(predictions: pd.DataFrame) -> pd.DataFrame:
    """The difference in accuracy between each cell and the cell on the training condition of its column, paired.

    Returns
    -------
    DataFrame
        trained_on, validated_on, difference, difference_low, difference_high; nan if the column was not validated on
        its training condition
    """
    found = cells(predictions)
    table = []
    for i, (column, row) in enumerate(found.names):
        own = found.row_of(column).get(column)
        gap = Interval(math.nan, math.nan, math.nan)
        if own is not None:
            gap = found.interval(lambda v, i=i, own=own: float(v[i] - v[own]))  # type: ignore[misc]
        table.append((column, row, *gap))
    return pd.DataFrame(
        table, columns=["trained_on", "validated_on", "difference", "difference_low", "difference_high"]
    )


def agreement(matrix: pd.DataFrame) -> pd.DataFrame:
    """How alike the matrices of several classifiers are, pair by pair, over the cells that both have.

    Cells on the condition that was trained on are left out: there the difference to the own condition is zero.

    Parameters
    ----------
    matrix : classifier, trained_on, validated_on, and `against_own`

    Returns
    -------
    DataFrame
        classifier, other; cells; correlation, Spearman's between the differences of both to their own conditions, nan
        with fewer than three cells; apart, the cells in which the intervals of these differences do not meet;
        trained_on and validated_on of the cell in which the differences are farthest apart, and difference and
        other_difference there, as fractions
    """
    kept = matrix[matrix["trained_on"] != matrix["validated_on"]]
    table = []
    for first, second in itertools.combinations(matrix["classifier"].unique(), 2):
        one, other = (kept.loc[kept["classifier"] == name, _GAPS] for name in (first, second))
        both = one.merge(other, on=["trained_on", "validated_on"], suffixes=("", "_of_other")).dropna()
        if both.empty:
            continue
        a, b = both["difference"], both["difference_of_other"]
        enough = len(both) > 2 and np.ptp(a) and np.ptp(b)
        meet = (both["difference_low"] <= both["difference_high_of_other"]) & (
            both["difference_low_of_other"] <= both["difference_high"]
        )
        farthest = both.loc[(a - b).abs().idxmax()]
        correlation = float(spearmanr(a, b).statistic) if enough else math.nan
        cell = farthest[["trained_on", "validated_on", "difference", "difference_of_other"]]
        table.append((first, second, len(both), correlation, int((~meet).sum()), *cell))
    columns = ["classifier", "other", "cells", "correlation", "apart", "trained_on", "validated_on"]
    return pd.DataFrame(table, columns=[*columns, "difference", "other_difference"])


_GAPS = ["trained_on", "validated_on", "difference", "difference_low", "difference_high"]


# --- The pattern of the paper's Table 2 ------------------------------------------------------------------


def remaining_skill(matrix: Floats, own: NDArray[np.intp], chance: float) -> Floats:
    """Accuracy above chance, relative to that on the training condition: (rows, columns).

    1 is the accuracy on the training condition, 0 that of random guesses; nan if the accuracy on the training condition
    does not exceed chance.

    Parameters
    ----------
    matrix : accuracies 0–1, (validated on, trained on)
    own : (columns,), the row with the training condition of each column
    chance : the accuracy of random guesses
    """
    skill = matrix - chance
    own_skill = skill[own, np.arange(matrix.shape[1])]
    return skill / np.where(own_skill > 0, own_skill, np.nan)


def pattern_distance(matrix: Floats, paper: Floats, own: NDArray[np.intp], chance: float, paper_chance: float) -> float:
    """The distance between the patterns of a matrix and of the paper's matrix; 0 for equal patterns.

    The root mean square difference of `remaining_skill` over all cells except those on training conditions. Differences
    of accuracies would mainly show how difficult the data sets are.

    Examples
    --------
    >>> paper = np.array([[0.8, 0.2], [0.2, 0.8]])  # accurate on training conditions only
    >>> same = np.array([[0.6, 0.15], [0.15, 0.6]])
    >>> uniform = np.full((2, 2), 0.6)  # as accurate on the other condition
    >>> own = np.array([0, 1])
    >>> round(pattern_distance(same, paper, own, 0, 0), 2), pattern_distance(uniform, paper, own, 0, 0)
    (0.0, 0.75)
    """
    off = np.ones(matrix.shape, np.bool_)
    off[own, np.arange(matrix.shape[1])] = False
    gap = remaining_skill(matrix, own, chance) - remaining_skill(paper, own, paper_chance)
    return float(np.sqrt(np.square(gap[off]).mean()))


def compare_patterns(
    hypotheses: Mapping[str, pd.DataFrame], paper: pd.DataFrame, chance: float, paper_chance: float, base: str
) -> pd.DataFrame:
    """The `pattern_distance` of each hypothesis to the paper, the smallest first, and its difference to that of `base`.

    Parameters
    ----------
    hypotheses : what may have differed in the paper's pipeline (`satstudy.study.accuracy.Hypothesis`): its name → the
        predictions under it, whose conditions have the names of `paper`
    paper : accuracies in %, rows validated on, columns trained on; conditions that a hypothesis lacks are left out
    base : the hypothesis with which the others are compared, paired if images and rounds are equal

    Returns
    -------
    DataFrame
        hypothesis, distance, low, high, difference, difference_low, difference_high, own (mean accuracy on training
        conditions, 0–1), cells (number of compared cells)
    """
    resampled = {name: cells(frame) for name, frame in hypotheses.items()}
    shared = set.intersection(*({*found.names} for found in resampled.values()))
    columns = [c for c in paper.columns if any(trained == c for trained, _ in shared) and (c, c) in shared]
    rows = [r for r in paper.index if all((c, r) in shared for c in columns)]
    if not columns or len(rows) < 2:
        raise InputError("The hypotheses share too few of the paper's conditions: measure two rows or more in each.")
    own = np.array([rows.index(c) for c in columns])
    reference = paper.loc[rows, columns].to_numpy(np.float64) / 100
    found = {}
    for name, all_cells in resampled.items():
        at = np.array([[all_cells.index(c, r) for c in columns] for r in rows])

        def distance(values: Floats, at: NDArray[np.intp] = at) -> float:
            return pattern_distance(values[at], reference, own, chance, paper_chance)

        interval, draws = all_cells.interval(distance), all_cells.resampled(distance)
        found[name] = interval, draws, float(all_cells.values[at][own, np.arange(len(columns))].mean())
    value, draws, _ = found[base]
    table = []
    for name, (interval, own_draws, diagonal) in found.items():
        gap = percentile_interval(interval.value - value.value, own_draws - draws)
        table.append((name, *interval, *gap, diagonal, len(rows) * len(columns) - len(columns)))
    names = ["hypothesis", "distance", "low", "high", "difference", "difference_low", "difference_high", "own", "cells"]
    return pd.DataFrame(table, columns=names).sort_values("distance", kind="stable", ignore_index=True)


# --- Worst cases -----------------------------------------------------------------------------------------


def worst_rows(predictions: pd.DataFrame, rows: Sequence[str], base: str) -> pd.DataFrame:
    """The lowest accuracy of each column over `rows`, and its gain over that of column `base`.

    The minimum is taken anew in each resample.

    Returns
    -------
    DataFrame
        trained_on, worst (the row with the lowest accuracy), accuracy, low, high, mean (over rows), gain, gain_low,
        gain_high
    """
    found = cells(predictions[predictions["validated_on"].isin(rows)])
    base_at = np.array(list(found.row_of(base).values()))
    table = []
    for column in dict.fromkeys(column for column, _ in found.names):
        at = found.row_of(column)
        where = np.array(list(at.values()))
        lowest = found.interval(lambda v, where=where: float(v[where].min()))  # type: ignore[misc]
        gain = found.interval(lambda v, where=where: float(v[where].min() - v[base_at].min()))  # type: ignore[misc]
        worst = min(at, key=lambda row, at=at: found.values[at[row]])  # type: ignore[misc]
        table.append((column, worst, *lowest, float(found.values[where].mean()), *gain))
    names = ["trained_on", "worst", "accuracy", "low", "high", "mean", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(table, columns=names)


# --- Rates that suffice ----------------------------------------------------------------------------------


def sufficient_rate(rates: Floats, accuracies: Floats, wanted: float) -> float:
    """The lowest rate from which on the accuracy is at least `wanted`, interpolated linearly over log(rate).

    inf if the highest rate does not suffice; the lowest rate if all suffice.

    >>> round(sufficient_rate(np.array([0.1, 0.2, 0.4]), np.array([0.5, 0.7, 0.9]), 0.8), 3)
    0.283
    """
    order = np.argsort(rates)
    x, y = np.log(rates[order]), accuracies[order]
    below = np.flatnonzero(y < wanted)
    if not len(below):
        return float(rates[order][0])
    last = int(below[-1])
    if last + 1 == len(y):
        return math.inf
    share = (wanted - y[last]) / (y[last + 1] - y[last])
    return float(np.exp(x[last] + share * (x[last + 1] - x[last])))


def sufficient_rates(
    predictions: pd.DataFrame, conditions: pd.DataFrame, *, margin: float = 0.01, matched: bool = False
) -> pd.DataFrame:
    """For each codec the lowest rate with an accuracy at most `margin` below that on uncompressed images.

    Parameters
    ----------
    predictions : of classifiers trained on "original", and with `matched` also on each condition
    conditions : condition, codec, bpp
    matched : use classifiers trained on the condition they are validated on

    Returns
    -------
    DataFrame
        codec; bpp, low, high, inf for more than the highest rate; lowest and highest, the rates that were measured
    """
    found = cells(predictions)
    original = found.index("original", "original")
    table = []
    for codec, part in conditions[conditions["codec"] != "original"].groupby("codec", sort=False):
        at = np.array([found.index(name if matched else "original", name) for name in part["condition"]])
        rates = part["bpp"].to_numpy(np.float64)

        def rate(values: Floats, at: NDArray[np.intp] = at, rates: Floats = rates) -> float:
            return sufficient_rate(rates, values[at], values[original] - margin)

        # The bounds are draws, since nothing lies between a rate and infinity.
        draws = np.sort(found.resampled(rate))
        least = math.floor(0.025 * (len(draws) - 1))
        bounds = float(draws[least]), float(draws[-1 - least])
        table.append((codec, rate(found.values), *bounds, float(rates.min()), float(rates.max())))
    return pd.DataFrame(table, columns=["codec", "bpp", "low", "high", "lowest", "highest"])


# --- What predicts accuracy ------------------------------------------------------------------------------


def rank_correlations(
    predictions: pd.DataFrame, measures: Mapping[str, Mapping[str, Floats]], conditions: Sequence[str]
) -> pd.DataFrame:
    """Spearman's rank correlation, over conditions, between accuracy and the mean of a measure.

    Parameters
    ----------
    predictions : of classifiers trained on "original"
    measures : name → condition → (images,), in the order of the images' names
    conditions : to correlate over

    Returns
    -------
    DataFrame
        measure, correlation, low, high
    """
    flat = {f"{name}\n{c}": of[c] for name, of in measures.items() for c in conditions}
    chosen = predictions[(predictions["trained_on"] == "original") & predictions["validated_on"].isin(conditions)]
    found = cells(chosen, flat)
    at = np.array([found.index("original", c) for c in conditions])
    table = []
    for name in measures:
        other = np.array([found.index("", f"{name}\n{c}") for c in conditions])

        def correlation(values: Floats, other: NDArray[np.intp] = other) -> float:
            a, b = values[at], values[other]
            return float(spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else math.nan

        table.append((name, *found.interval(correlation)))
    return pd.DataFrame(table, columns=["measure", "correlation", "low", "high"])


# --- Classes ---------------------------------------------------------------------------------------------


def class_accuracies(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each class in each cell: trained_on, validated_on, label, accuracy (mean over rounds), images."""
    require(predictions, ("label", "predicted"), "The predictions frame", "train and validate first")
    frame = predictions.assign(accuracy=(predictions["label"] == predictions["predicted"]).astype(float))
    groups = frame.groupby(["trained_on", "validated_on", "label"], sort=False)
    return groups.agg(accuracy=("accuracy", "mean"), images=("image", "nunique")).reset_index()
