"""How sure an accuracy is: intervals over the images that were shown and the seeds that were drawn.

Images of one object resemble each other, and so do the answers of one trained network. Both are drawn
anew as wholes: objects with all their images, seeds with all their answers (a two-way bootstrap; Owen,
*The pigeonhole bootstrap*, Ann. Appl. Stat. 2007). Of k objects or seeds, k − 1 are drawn, which makes
the variance of the mean unbiased where k is small (Rao and Wu, *Resampling inference with complex survey
data*, JASA 1988); with two or three seeds drawing k would miss half or a third of it. A single seed
cannot be drawn anew: the interval then speaks for the images alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from satstudy.core.errors import InputError
from satstudy.metrics.bootstrap import Interval, proportion_interval

#: Columns of a predictions frame, one row an image, validation condition and trained network.
COLUMNS = (
    "trained_on",
    "validated_on",
    "seed",
    "image",
    "object",
    "label",
    "predicted",
    "probability",
)
Cell = tuple[str, str]  #: (trained on, validated on)


class Chance(NamedTuple):
    """Accuracies that need no image, as fractions."""

    uniform: float  #: guessing among the classes of the training set
    majority: float  #: always answering the training set's most frequent class


class _Cell(NamedTuple):
    correct: NDArray[np.float64]  # (seeds, objects): images answered rightly
    images: NDArray[np.float64]  # (objects,)
    seeds: list[Any]
    objects: list[Any]

    @property
    def accuracy(self) -> float:
        return float(self.correct.sum() / (len(self.seeds) * self.images.sum()))


def _count(frame: pd.DataFrame, cell: Cell) -> _Cell:
    right = frame.assign(right=frame["label"] == frame["predicted"]).groupby(["seed", "object"])["right"]
    correct, images = (getattr(right, how)().unstack("object", fill_value=0) for how in ("sum", "size"))
    if (images != images.iloc[0]).to_numpy().any():
        raise InputError(f"The seeds of {cell} were validated on different images: take one split for all seeds.")
    return _Cell(
        correct.to_numpy(np.float64), images.iloc[0].to_numpy(np.float64), list(correct.index), list(correct.columns)
    )


def _cells(predictions: pd.DataFrame) -> dict[Cell, _Cell]:
    missing = set(COLUMNS) - {"probability", "image"} - set(predictions.columns)
    if missing:
        raise InputError(f"The predictions lack the columns {', '.join(sorted(missing))}.")
    if predictions.empty:
        raise InputError("There are no predictions: train and validate first.")
    groups = predictions.groupby(["trained_on", "validated_on"], sort=False)
    return {(str(a), str(b)): _count(part, (str(a), str(b))) for (a, b), part in groups}  # type: ignore[misc]


def _draws(count: int, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each of `count` units is drawn: (resamples, count), rows summing to count − 1."""
    if count == 1:
        return np.ones((resamples, 1))
    return rng.multinomial(count - 1, np.full(count, 1 / count), size=resamples).astype(np.float64)


def _resample(cell: _Cell, resamples: int, seed: int) -> NDArray[np.float64]:
    # Equal seeds and shapes give equal draws in every cell, which is what pairs them.
    rng = np.random.default_rng(seed)
    seeds = _draws(len(cell.seeds), resamples, rng)
    objects = _draws(len(cell.objects), resamples, rng)
    right = ((seeds @ cell.correct) * objects).sum(1)
    return right / (seeds.sum(1) * (objects @ cell.images))


def _bounds(values: NDArray[np.float64], level: float, objects: int) -> tuple[float, float]:
    if objects < 2:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _interval(cell: _Cell, resamples: int, level: float, seed: int) -> Interval:
    accuracy, objects = cell.accuracy, len(cell.objects)
    if accuracy in (0, 1):
        # No error seen, or nothing right: every draw is the same. Wilson's bound over objects is not.
        return proportion_interval(round(accuracy * objects), objects, level)
    return Interval(accuracy, *_bounds(_resample(cell, resamples, seed), level, objects))


def accuracies(predictions: pd.DataFrame) -> pd.DataFrame:
    """The matrix, one row a seed: trained_on, validated_on, seed, accuracy (0..1), images, objects."""
    rows = [
        (*cell, seed, float(right.sum() / c.images.sum()), int(c.images.sum()), len(c.objects))
        for cell, c in _cells(predictions).items()
        for seed, right in zip(c.seeds, c.correct, strict=True)
    ]
    return pd.DataFrame(rows, columns=["trained_on", "validated_on", "seed", "accuracy", "images", "objects"])


def accuracy_matrix(
    predictions: pd.DataFrame, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Accuracy of every pair of conditions, with its interval.

    Parameters
    ----------
    predictions : the columns of `COLUMNS`
    resamples, level, seed : of the bootstrap described above

    Returns
    -------
    trained_on, validated_on, accuracy (mean over seeds, 0..1), low, high, seeds, images, objects

    Raises
    ------
    InputError
        A column is missing, there is no row, or the seeds of a cell saw different images.
    """
    rows = [
        (*cell, *_interval(c, resamples, level, seed), len(c.seeds), int(c.images.sum()), len(c.objects))
        for cell, c in _cells(predictions).items()
    ]
    columns = ["trained_on", "validated_on", "accuracy", "low", "high", "seeds", "images", "objects"]
    return pd.DataFrame(rows, columns=columns)


def difference(
    predictions: pd.DataFrame, a: Cell, b: Cell, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Accuracy in cell `a` less that in cell `b`, each (trained on, validated on), paired.

    Objects and seeds are drawn together in both cells, so that what both share (hard images, a lucky
    start) cancels.

    Raises
    ------
    InputError
        A cell that is not there, or cells of different images or seeds.
    """
    cells = _cells(predictions)
    for cell in (a, b):
        if cell not in cells:
            known = ", ".join(sorted({f"({t}, {v})" for t, v in cells}))
            raise InputError(f"There is no cell {cell}: there are {known}.")
    one, other = cells[a], cells[b]
    same = one.objects == other.objects and one.seeds == other.seeds and np.array_equal(one.images, other.images)
    if not same:
        raise InputError(f"{a} and {b} were not measured on the same images and seeds: they cannot be paired.")
    gaps = _resample(one, resamples, seed) - _resample(other, resamples, seed)
    return Interval(one.accuracy - other.accuracy, *_bounds(gaps, level, len(one.objects)))


def leakage_effect(
    by_object: pd.DataFrame, by_image: pd.DataFrame, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """What a split by images adds to the accuracy over a split by objects, cell by cell.

    The two splits validate on different images, so the draws are independent.

    Returns
    -------
    trained_on, validated_on, by_object, by_image, effect (image less object), low, high
    """
    kept, leaking = _cells(by_object), _cells(by_image)
    rows = []
    for cell in (c for c in kept if c in leaking):
        one, other = kept[cell], leaking[cell]
        gaps = _resample(other, resamples, seed + 1) - _resample(one, resamples, seed)
        effect = other.accuracy - one.accuracy
        fewest = min(len(one.objects), len(other.objects))
        rows.append((*cell, one.accuracy, other.accuracy, effect, *_bounds(gaps, level, fewest)))
    if not rows:
        raise InputError("The two splits share no pair of conditions: run both with the same conditions.")
    return pd.DataFrame(rows, columns=["trained_on", "validated_on", "by_object", "by_image", "effect", "low", "high"])


def confusion(predictions: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """Which class is taken for which in one cell (trained on, validated on), over all seeds.

    Returns
    -------
    DataFrame
        Share of each true class (row, adding up to one) that was answered with each class (column).

    Raises
    ------
    InputError
        A cell that is not there.
    """
    chosen = predictions[(predictions["trained_on"] == cell[0]) & (predictions["validated_on"] == cell[1])]
    if chosen.empty:
        raise InputError(f"There is no cell {cell}: take conditions that were trained and validated on.")
    classes = sorted(set(chosen["label"]) | set(chosen["predicted"]))
    counts = confusion_matrix(chosen["label"], chosen["predicted"], labels=classes, normalize="true")
    return pd.DataFrame(counts, index=classes, columns=classes)


def chance(train_labels: Iterable[str], validation_labels: Iterable[str]) -> Chance:
    """What can be had without looking: for the caption of the matrix."""
    train, validation = pd.Series(list(train_labels)), pd.Series(list(validation_labels))
    if train.empty or validation.empty:
        raise InputError("Chance needs the labels of at least one training and one validation image.")
    # Ties go to the first class by name, so that the figure does not depend on the order of the images.
    favourite = train.value_counts().sort_index().idxmax()
    return Chance(1 / train.nunique(), float((validation == favourite).mean()))
