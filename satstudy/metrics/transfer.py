"""How accuracy carries over from one condition to another: patterns, worst cases, rates that suffice, what predicts it.

All of these are functions of the accuracies of several cells of the matrix. The cells are resampled together, objects
and rounds alike, by `satstudy.metrics.bootstrap`; a statistic of many cells is then one function of each resample.
Intervals are not corrected for multiple comparisons.
"""

from __future__ import annotations

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
    """Accuracies of some cells, (trained on, validated on), and their joint resamples.

    Attributes
    ----------
    names : the k cells
    values : float (k,), 0–1
    draws : float (resamples, k); nan with a single object
    """

    names: tuple[Cell, ...]
    values: Floats
    draws: Floats

    def interval(self, statistic: Callable[[Floats], float]) -> Interval:
        """A function of the k accuracies, with its interval."""
        return percentile_interval(statistic(self.values), self.resampled(statistic))

    def resampled(self, statistic: Callable[[Floats], float]) -> Floats:
        """The statistic of each resample."""
        return np.array([statistic(draw) for draw in self.draws])

    def index(self, trained_on: str, validated_on: str) -> int:
        """Where a cell stands.

        Raises
        ------
        InputError
            A cell that is not there.
        """
        try:
            return self.names.index((trained_on, validated_on))
        except ValueError:
            raise InputError(f"No classifier trained on {trained_on} was validated on {validated_on}.") from None

    def row_of(self, trained_on: str) -> dict[str, int]:
        """Validated on → where the cell stands, of one column of the matrix."""
        return {row: i for i, (column, row) in enumerate(self.names) if column == trained_on}


def cells(predictions: pd.DataFrame, measures: Mapping[str, Floats] | None = None, resamples: int = 2000) -> Cells:
    """The accuracies of all cells of a predictions frame, resampled together.

    Parameters
    ----------
    predictions : the columns of `satstudy.metrics.accuracy.COLUMNS`; every cell has the same images and rounds
    measures : further quantities of the same images, name → (images,) in the order of their names; they become cells
        ("", name) whose values are their means

    Raises
    ------
    InputError
        A column is missing, there is no row, or a cell lacks images that another has.
    """
    columns = ("trained_on", "validated_on", "seed", "image", "object", "label", "predicted")
    require(predictions, columns, "The predictions frame", "train and validate first")
    right = predictions.assign(right=(predictions["label"] == predictions["predicted"]).astype(float))
    wide = right.pivot(index=["seed", "image"], columns=["trained_on", "validated_on"], values="right")
    # In the order in which the frame names them, not by the alphabet.
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
    draws = resampled_means(table, clusters=objects, runs=seeds, resamples=resamples)
    return Cells(tuple(names), table.mean(axis=0), draws)


def against_own(predictions: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of each cell less that of its column on the column's own condition, paired.

    Returns
    -------
    DataFrame
        trained_on, validated_on, difference, difference_low, difference_high; nan where the column was not validated on
        its own condition
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


# --- The pattern of the paper's Table 2 ------------------------------------------------------------------


def remaining_skill(matrix: Floats, own: NDArray[np.intp], chance: float) -> Floats:
    """What is left of each classifier's skill, (rows, columns): 1 as on its own condition, 0 as good as guessing.

    nan where a classifier does not even read its own condition better than by guessing.

    Parameters
    ----------
    matrix : accuracies 0–1, (validated on, trained on)
    own : (columns,), the row of each column's own condition
    chance : the accuracy of guessing
    """
    skill = matrix - chance
    at_home = skill[own, np.arange(matrix.shape[1])]
    return skill / np.where(at_home > 0, at_home, np.nan)


def pattern_distance(matrix: Floats, paper: Floats, own: NDArray[np.intp], chance: float, paper_chance: float) -> float:
    """How far the pattern of a matrix is from that of the paper: 0 is the same pattern.

    The root mean square difference of the remaining skill, over all cells but each classifier's own condition. Of the
    accuracies themselves a difference would tell mostly how hard the data sets are.

    Examples
    --------
    >>> paper = np.array([[0.8, 0.2], [0.2, 0.8]])  # each classifier reads its own condition alone
    >>> same, blind_to_nothing = np.array([[0.6, 0.15], [0.15, 0.6]]), np.full((2, 2), 0.6)
    >>> own = np.array([0, 1])
    >>> round(pattern_distance(same, paper, own, 0, 0), 2), pattern_distance(blind_to_nothing, paper, own, 0, 0)
    (0.0, 0.75)
    """
    off = np.ones(matrix.shape, np.bool_)
    off[own, np.arange(matrix.shape[1])] = False
    gap = remaining_skill(matrix, own, chance) - remaining_skill(paper, own, paper_chance)
    return float(np.sqrt(np.square(gap[off]).mean()))


def compare_patterns(
    hypotheses: Mapping[str, pd.DataFrame], paper: pd.DataFrame, chance: float, paper_chance: float, base: str
) -> pd.DataFrame:
    """The distance of each hypothesis' matrix to the paper's, nearest first, and its difference to that of `base`.

    Parameters
    ----------
    hypotheses : name → predictions frame whose conditions bear the names of `paper`
    paper : accuracies in %, rows validated on, columns trained on; what a hypothesis lacks is left out for all
    base : the hypothesis that the others are compared with, paired where images and rounds are the same

    Returns
    -------
    DataFrame
        hypothesis, distance, low, high, difference, difference_low, difference_high, own (mean accuracy on the own
        condition, 0–1), cells (how many are compared)
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
    """The lowest accuracy of each column over `rows`, and by how much it is above that of column `base`.

    Which row is worst is chosen in each resample anew.

    Returns
    -------
    DataFrame
        trained_on, worst (the row that is lowest), accuracy, low, high, mean (over rows), gain, gain_low, gain_high
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
    """The lowest rate from which on the accuracy stays at `wanted` or above, between points along log(rate).

    nan if the highest rate does not suffice, and the lowest rate if all do.

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
        return math.nan
    share = (wanted - y[last]) / (y[last + 1] - y[last])
    return float(np.exp(x[last] + share * (x[last + 1] - x[last])))


def sufficient_rates(
    predictions: pd.DataFrame, conditions: pd.DataFrame, *, margin: float = 0.01, matched: bool = False
) -> pd.DataFrame:
    """For each codec the lowest rate whose accuracy is within `margin` of that of uncompressed images.

    Parameters
    ----------
    predictions : of classifiers trained on "original", and with `matched` on each condition too
    conditions : condition, codec, bpp
    matched : take classifiers trained on the condition that they are validated on

    Returns
    -------
    DataFrame
        codec, bpp, low, high, lowest (the lowest rate that was measured)
    """
    found = cells(predictions)
    original = found.index("original", "original")
    table = []
    for codec, part in conditions[conditions["codec"] != "original"].groupby("codec", sort=False):
        at = np.array([found.index(name if matched else "original", name) for name in part["condition"]])
        rates = part["bpp"].to_numpy(np.float64)

        def rate(values: Floats, at: NDArray[np.intp] = at, rates: Floats = rates) -> float:
            return sufficient_rate(rates, values[at], values[original] - margin)

        table.append((codec, *found.interval(rate), float(rates.min())))
    return pd.DataFrame(table, columns=["codec", "bpp", "low", "high", "lowest"])


# --- What predicts accuracy ------------------------------------------------------------------------------


def rank_correlations(
    predictions: pd.DataFrame, measures: Mapping[str, Mapping[str, Floats]], conditions: Sequence[str]
) -> pd.DataFrame:
    """Spearman's rank correlation, over conditions, between accuracy and the mean of a measure.

    Parameters
    ----------
    predictions : of classifiers trained on "original"
    measures : name → condition → (images,), in the order of the images' names
    conditions : those that are compared

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
    """Accuracy of each class in each cell, mean over rounds: trained_on, validated_on, label, accuracy, images."""
    require(predictions, ("label", "predicted"), "The predictions frame", "train and validate first")
    frame = predictions.assign(accuracy=(predictions["label"] == predictions["predicted"]).astype(float))
    groups = frame.groupby(["trained_on", "validated_on", "label"], sort=False)
    return groups.agg(accuracy=("accuracy", "mean"), images=("image", "nunique")).reset_index()
