"""Accuracy of classifiers for each pair of training and validation conditions, with intervals.

The images of one object are correlated, and so are the predictions of one trained network. Therefore intervals resample
objects (with all their images) and seeds (with all their predictions), by `satstudy.metrics.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.core.types import Floats
from satstudy.metrics.bootstrap import (
    bootstrap_interval,
    percentile_interval,
    proportion_interval,
    resampled_means,
)

#: Columns of a predictions frame, one row for each image, validation condition and trained network.
COLUMNS = ("trained_on", "validated_on", "seed", "image", "object", "label", "predicted", "probability")
Cell = tuple[str, str]  #: (trained on, validated on)


class Chance(NamedTuple):
    """Accuracies without seeing the images, as fractions."""

    uniform: float  #: of random guesses among the classes of the training set
    majority: float  #: of always predicting the most frequent class of the training set


class _Answers(NamedTuple):
    """The predictions in one cell of the matrix, one for each image and seed."""

    right: Floats
    seeds: list[Any]
    objects: list[Any]

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of seeds, images and objects."""
        seeds = len(set(self.seeds))
        return seeds, len(self.right) // seeds, len(set(self.objects))

    def resampled(self, seed: int = 0) -> Floats:
        return resampled_means(self.right, clusters=self.objects, runs=self.seeds, seed=seed)[:, 0]


def _cells(predictions: pd.DataFrame) -> dict[Cell, _Answers]:
    columns = ("trained_on", "validated_on", "seed", "object", "label", "predicted")
    require(predictions, columns, "The predictions frame", "train and validate first")
    cells = {}
    for (a, b), part in predictions.groupby(["trained_on", "validated_on"], sort=False):  # type: ignore[misc]
        images = part.groupby(["seed", "object"]).size().unstack(fill_value=0).to_numpy()
        if (images != images[0]).any():
            raise InputError(f"The seeds of {(a, b)} were validated on different images: take one split for all seeds.")
        right = (part["label"] == part["predicted"]).to_numpy(np.float64)
        cells[str(a), str(b)] = _Answers(right, part["seed"].tolist(), part["object"].tolist())
    return cells


def accuracy_matrix(predictions: pd.DataFrame, **bootstrap: Any) -> pd.DataFrame:
    """Accuracy for each pair of conditions, with its interval.

    If all predictions are right, or all wrong, resamples do not differ: the interval is then Wilson's over objects.

    Parameters
    ----------
    predictions : the columns of `COLUMNS`
    bootstrap : `resamples`, `seed` and `level` of `bootstrap_interval`

    Returns
    -------
    DataFrame
        trained_on, validated_on, accuracy (mean over seeds, 0–1), low, high (nan with fewer than three objects), seeds,
        images, objects

    Raises
    ------
    InputError
        A missing column, no row, or different images for the seeds of a cell.

    Examples
    --------
    >>> answers = pd.DataFrame({"object": ["o1", "o1", "o2", "o3"], "label": "dam",
    ...                         "predicted": ["dam", "dam", "port", "dam"], "seed": 0,
    ...                         "trained_on": "original", "validated_on": "jpeg 50"})
    >>> accuracy_matrix(answers)[["trained_on", "validated_on", "accuracy", "images", "objects"]]
      trained_on validated_on  accuracy  images  objects
    0   original      jpeg 50      0.75       4        3
    """
    rows = []
    for cell, answers in _cells(predictions).items():
        accuracy, counts = answers.accuracy, answers.counts
        if accuracy in (0, 1):
            found = proportion_interval(round(accuracy * counts[2]), counts[2])
        else:
            found = bootstrap_interval(answers.right, clusters=answers.objects, runs=answers.seeds, **bootstrap)
        rows.append((*cell, *found, *counts))
    columns = ["trained_on", "validated_on", "accuracy", "low", "high", "seeds", "images", "objects"]
    return pd.DataFrame(rows, columns=columns)


def leakage_effect(by_object: pd.DataFrame, by_image: pd.DataFrame) -> pd.DataFrame:
    """The increase of accuracy in each cell if images are split without regard to objects.

    The two splits have different validation images, so they are resampled independently.

    Returns
    -------
    DataFrame
        trained_on, validated_on, by_object, by_image, effect (by image less by object), low, high

    Raises
    ------
    InputError
        As `accuracy_matrix`, or no pair of conditions that is in both frames.
    """
    kept, leaking = _cells(by_object), _cells(by_image)
    rows = []
    for cell in (c for c in kept if c in leaking):
        one, other = kept[cell], leaking[cell]
        effect = percentile_interval(other.accuracy - one.accuracy, other.resampled(seed=1) - one.resampled())
        rows.append((*cell, one.accuracy, other.accuracy, *effect))
    if not rows:
        raise InputError("The two splits share no pair of conditions: run both with the same conditions.")
    return pd.DataFrame(rows, columns=["trained_on", "validated_on", "by_object", "by_image", "effect", "low", "high"])


def confusions(predictions: pd.DataFrame) -> pd.DataFrame:
    """How a classifier confuses the classes of each condition, over all seeds.

    The classifier is the one that was trained on the condition that comes first in the frame.

    Returns
    -------
    DataFrame
        trained_on, validated_on, label, predicted, and share: the fraction of the true class `label` that was
        predicted as `predicted`; pairs that never occur are left out
    """
    require(
        predictions,
        ("trained_on", "validated_on", "label", "predicted"),
        "The predictions frame",
        "train and validate first",
    )
    chosen = predictions[predictions["trained_on"] == predictions["trained_on"].iloc[0]]
    shares = chosen.groupby(["trained_on", "validated_on", "label"], sort=False)["predicted"].value_counts(
        normalize=True
    )
    return shares.rename("share").reset_index()


def chance(train_labels: Iterable[str], validation_labels: Iterable[str]) -> Chance:
    """The accuracy of random guesses, and of always predicting the most frequent class of the training set.

    >>> chance(["dam", "dam", "port"], ["dam", "port", "port", "port"])
    Chance(uniform=0.5, majority=0.25)
    """
    train, validation = pd.Series(list(train_labels)), pd.Series(list(validation_labels))
    if train.empty or validation.empty:
        raise InputError("Chance needs the labels of at least one training and one validation image.")
    # Ties go to the first class by name, so that the order of the images has no effect.
    favourite = train.value_counts().sort_index().idxmax()
    return Chance(1 / train.nunique(), float((validation == favourite).mean()))
