"""Cross-validation of classifiers, trained on the images of each column and validated on those of each row.

Each round divides the objects into folds at random. Each image is validated once in a round, by the classifier trained
on the other folds. The folds of a round are equal for all columns and rows, so that these are paired.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import timm
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from tqdm.auto import tqdm

from satstudy.classification.coded_images import CodedSet
from satstudy.classification.network import ClassifierConfig, check_set
from satstudy.classification.train import (
    Classifier,
    OnStep,
    classes_of,
    fit_linear_head,
    images_per_epoch,
    load_network,
    train_network,
)
from satstudy.core.digests import digest
from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.metrics.accuracy import COLUMNS

#: Increase it when the same configuration gives other networks or predictions.
VERSION = 2


@dataclass(frozen=True)
class Column:
    """A training set of classifiers.

    Attributes
    ----------
    conditions : one condition, or a mixture: each epoch then draws one of them for each image
    start : column whose network is fine-tuned; by default a new network is trained
    images : number of images from the training folds, evenly over the classes; 0 takes all
    epochs, lr : replace those of the configuration; 0 does not
    """

    conditions: tuple[str, ...]
    start: str = ""
    images: int = 0
    epochs: int = 0
    lr: float = 0.0


class Fold(NamedTuple):
    """Indices of the training and the validation images."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]


class _Answers(NamedTuple):
    """For each image: the index of the predicted class, and the probability of the true class."""

    predicted: NDArray[np.intp]
    probability: NDArray[np.float32]


def divide(labels: Sequence[str], groups: Sequence[str], folds: int, seed: int) -> list[Fold]:
    """Divide images into folds, stratified by class; the images of one group are in one fold.

    Raises
    ------
    InputError
        A class with less groups than folds.
    """
    least = pd.DataFrame({"label": labels, "group": groups}).groupby("label")["group"].nunique()
    if least.min() < folds:
        raise InputError(
            f"{least.idxmin()} has {least.min()} objects, too few for {folds} folds: take fewer folds or more objects."
        )
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    return [Fold(train, validation) for train, validation in split]


@dataclass
class CrossValidation:
    """Classifiers of one configuration on coded sets of the same images, and their predictions, cached in `folder`.

    Attributes
    ----------
    config : of the classifiers and the cross-validation
    sets : condition → images; for a frozen network with features
    columns : name → training set
    folder : cache of networks and predictions
    by_image : divide images instead of objects, so that an object can be in training and validation
    """

    config: ClassifierConfig
    sets: Mapping[str, CodedSet]
    columns: Mapping[str, Column]
    folder: Path
    by_image: bool = False
    device: str = "auto"
    progress: bool = True
    _folds: dict[int, list[Fold]] = field(default_factory=dict)

    @property
    def _first(self) -> CodedSet:
        return next(iter(self.sets.values()))

    def folds(self, seed: int) -> list[Fold]:
        """The folds of one round."""
        if seed not in self._folds:
            groups = self._first.names if self.by_image else self._first.objects
            self._folds[seed] = divide(self._first.labels.tolist(), groups.tolist(), self.config.folds, seed)
        return self._folds[seed]

    def jobs(self) -> Iterator[tuple[str, int, int]]:
        """(column, seed, fold) of every classifier; one that is fine-tuned comes after the one it starts from."""
        for seed in range(self.config.seeds):
            for name in self.columns:
                for fold in range(self.config.folds):
                    yield name, seed, fold

    def network_path(self, name: str, seed: int, fold: int) -> Path:
        """The file of a trained network; its name has a digest of all settings and images."""
        column = self.columns[name]
        setting = {
            key: value
            for key, value in dataclasses.asdict(self._config_of(column)).items()
            if key not in ("weights", "view", "tta", "folds", "seeds", "regularisation")
        }
        start = self.network_path(column.start, seed, fold).name if column.start else self.config.start
        sets = [self.sets[condition].digest for condition in column.conditions]
        rows = self.folds(seed)[fold].train
        identity = digest(VERSION, setting, start, sets, column.images, seed, rows, timm.__version__, length=12)
        return self.folder / f"{_slug(name)}-seed{seed}-fold{fold}-{identity}.safetensors"

    def _config_of(self, column: Column) -> ClassifierConfig:
        changes = {name: value for name in ("epochs", "lr") if (value := getattr(column, name))}
        return dataclasses.replace(self.config, **changes)

    def _training_sets(self, name: str, seed: int, fold: int) -> list[CodedSet]:
        column = self.columns[name]
        rows = self.folds(seed)[fold].train
        if column.images:
            rows = some_rows(self._first.labels, rows, column.images, seed)
        return [self.sets[condition].take(rows) for condition in column.conditions]

    def classifier(self, name: str, seed: int, fold: int, on_step: OnStep | None = None) -> Classifier:
        """The classifier of a column, a round and a fold, read from `folder` or trained."""
        column = self.columns[name]
        config = self._config_of(column)
        if config.frozen:
            if column.start or column.images:
                raise InputError(f"{name}: a frozen network cannot be fine-tuned, nor trained on a part of the images.")
            return fit_linear_head(config, self._training_sets(name, seed, fold))
        path = self.network_path(name, seed, fold)
        if path.exists():
            return load_network(config, classes_of([self._first]), path, self.device)
        start = None
        if column.start:
            start = self.network_path(column.start, seed, fold)
            if not start.exists():
                self.classifier(column.start, seed, fold, on_step)
        found = train_network(
            config, self._training_sets(name, seed, fold), seed, classes=classes_of([self._first]), start=start,
            device=self.device, on_step=on_step, resume=path.with_suffix(".epoch"),
        )  # fmt: skip
        found.network.save(path)
        return found

    def train(self, jobs: Sequence[tuple[str, int, int]]) -> None:
        """Train the networks of some jobs that are not in `folder`; for a frozen network there are none."""
        left = [job for job in jobs if not self.config.frozen and not self.network_path(*job).exists()]
        with self._bar(left) as bar:
            for job in left:
                self.classifier(*job, on_step=_shower(bar, f"{job[0]}, seed {job[1]}, fold {job[2]}"))

    def _bar(self, left: Sequence[tuple[str, int, int]]) -> tqdm:  # type: ignore[type-arg]
        images = 0
        for name, seed, fold in left:
            config, column = self._config_of(self.columns[name]), self.columns[name]
            objects = self._first.objects[self.folds(seed)[fold].train]
            images += config.epochs * (column.images or images_per_epoch(objects, config))
        return tqdm(total=images, unit="image", desc=f"train {self.config.arch}", disable=not (self.progress and left))

    def predictions(self, validate_on: Sequence[str]) -> pd.DataFrame:
        """The predictions of the classifiers of every column for the images of every row.

        Returns
        -------
        DataFrame
            The columns of `satstudy.metrics.accuracy.COLUMNS`, one row for each image, condition and round.

        Raises
        ------
        InputError
            Sets of different images, no condition to train or validate on, or an error of `divide` or `train_network`.
        """
        self._check(validate_on)
        frames = []
        self.train(list(self.jobs()))
        rounds = [(seed, name) for seed in range(self.config.seeds) for name in self.columns]
        for seed, name in tqdm(rounds, "validate", unit="round", disable=not self.progress):
            answers = self._answers(name, seed, validate_on)
            for row in validate_on:
                frames.append(self._frame(name, seed, row, answers[row]))
        return pd.concat(frames, ignore_index=True)

    def _check(self, validate_on: Sequence[str]) -> None:
        if not self.columns or not validate_on:
            raise InputError("There is no condition to train or to validate on: name one or more of each.")
        named = {c for column in self.columns.values() for c in column.conditions} | set(validate_on)
        if unknown := sorted(named - set(self.sets)):
            raise InputError(f"No images were coded for {unknown[0]!r}: add it to the sets.")
        for name in named:
            check_set(self.sets[name], self.config)
            if not np.array_equal(self.sets[name].names, self._first.names):
                raise InputError(
                    f"{name} and {self._first.condition} hold different images: code the same list with both."
                )

    def _answers(self, name: str, seed: int, validate_on: Sequence[str]) -> dict[str, _Answers]:
        """Row → predictions of the classifiers of a column and a round."""
        paths = {row: self._answers_path(name, seed, row) for row in validate_on}
        known = {row: found for row, path in paths.items() if (found := _read_answers(path)) is not None}
        missing = [row for row in validate_on if row not in known]
        n = len(self._first)
        fresh = {row: _Answers(np.empty(n, np.intp), np.empty(n, np.float32)) for row in missing}
        for fold, (_, rows) in enumerate(self.folds(seed) if missing else []):
            classifier = self.classifier(name, seed, fold)
            for row in missing:
                shown = self.sets[row].take(rows)
                check_set(shown, self.config, classifier.classes)
                p = classifier.probabilities(shown)
                truth = p[np.arange(len(p)), np.searchsorted(classifier.classes, shown.labels)]
                fresh[row].predicted[rows], fresh[row].probability[rows] = p.argmax(1), truth
        for row in missing:
            with atomic(paths[row]) as temporary:
                np.savez_compressed(temporary, **fresh[row]._asdict())
        return known | fresh

    def _answers_path(self, name: str, seed: int, row: str) -> Path:
        config, column = self.config, self.columns[name]
        view = (config.view or config.crop, config.tta)
        folds = [fold.validation for fold in self.folds(seed)]
        if config.frozen:
            sets = [self.sets[condition].digest for condition in column.conditions]
            classifiers: object = (config.arch, dict(config.arch_options), config.start, config.regularisation, sets)
        else:
            classifiers = [self.network_path(name, seed, fold).name for fold in range(config.folds)]
        identity = digest(VERSION, classifiers, folds, view, self.sets[row].digest, length=12)
        return self.folder / "answers" / f"{_slug(name)}-seed{seed}-{_slug(row)}-{identity}.npz"

    def _frame(self, name: str, seed: int, row: str, answers: _Answers) -> pd.DataFrame:
        coded = self.sets[row]
        frame = pd.DataFrame({"image": coded.names, "object": coded.objects, "label": coded.labels})
        frame = frame.assign(
            trained_on=name,
            validated_on=row,
            seed=seed,
            predicted=np.array(classes_of([coded]))[answers.predicted],
            probability=answers.probability,
        )
        return frame[list(COLUMNS)]


def some_rows(labels: NDArray[np.str_], rows: NDArray[np.intp], count: int, seed: int) -> NDArray[np.intp]:
    """A random subset of `count` rows, as even over the classes as possible."""
    drawn = np.random.default_rng([seed, 2]).permutation(rows)
    rank = pd.Series(labels[drawn]).groupby(labels[drawn]).cumcount().to_numpy()
    return np.sort(drawn[np.argsort(rank, kind="stable")][:count])


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text)


def _read_answers(path: Path) -> _Answers | None:
    with (
        contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile),
        path.open("rb") as raw,
        np.load(raw, allow_pickle=False) as file,
    ):
        return _Answers(file["predicted"], file["probability"])
    return None


def _shower(bar: tqdm, what: str) -> OnStep:  # type: ignore[type-arg]
    """Show running means of loss and accuracy beside a progress bar."""
    means: list[float] = []

    def show(loss: float, right: float, images: int) -> None:
        means[:] = [0.9 * m + 0.1 * v for m, v in zip(means or (loss, right), (loss, right), strict=True)]
        bar.set_postfix_str(f"{what}: loss {means[0]:.2f}, accuracy {means[1]:.0%}", refresh=False)
        bar.update(images)

    return show
