"""What classifiers make of coded images: the train × validate matrix (paper, §5)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from satstudy.classification.coded_images import CodedSet, Condition, code_condition, conditions_frame, whole_tile
from satstudy.classification.network import ClassifierConfig
from satstudy.classification.train import cross_validate
from satstudy.core.settings import build
from satstudy.data.views import crop_object
from satstudy.study.study import Study


@dataclass(frozen=True)
class Accuracy:
    """What the classification experiment measured."""

    predictions: pd.DataFrame
    conditions: pd.DataFrame
    train_labels: list[str]
    val_labels: list[str]


def classifier_config(study: Study) -> tuple[ClassifierConfig, int]:
    """The classifier of the profile, and the side of the crops it is given."""
    settings = dict(study.profile.accuracy.classifier)
    where = f"{study.profile.name}.accuracy.classifier"
    size: int = build(int, settings.pop("size", 128), f"{where}.size")
    config: ClassifierConfig = build(ClassifierConfig, settings, where)
    return config, size


def accuracy_predictions(study: Study, level: str = "object") -> Accuracy:
    """Train on each condition, validate on all (paper, §5), with every seed.

    Parameters
    ----------
    level : "object", or "image" for the split that lets one object stand on both sides
    """
    config, size = classifier_config(study)
    wanted = study.profile.accuracy
    crop = whole_tile if study.profile.data.kind == "folders" else crop_object
    folder = study.folder / "accuracy"
    # A network that only codes whole images of the paper's size would take the paper's tiling of them.
    names = list(dict.fromkeys((*wanted.train_on, *wanted.validate_on)))
    sides: dict[str, dict[str, CodedSet]] = {"train-class": {}, "val-class": {}}
    for name in names:
        condition = Condition(name, study.condition_codec(name))
        for split in sides:
            needed = wanted.train_on if split == "train-class" else wanted.validate_on
            if name in needed:
                records = study.records(split, level)
                sides[split][name] = code_condition(
                    records, condition, folder / "coded", crop, size=size, progress=study.progress
                )
    train = [sides["train-class"][name] for name in wanted.train_on]
    validation = [sides["val-class"][name] for name in wanted.validate_on]
    predictions = cross_validate(
        config, train, validation, range(wanted.seeds), folder / "networks", progress=study.progress
    )
    known = {coded.condition: coded for coded in (*train, *validation)}
    return Accuracy(
        predictions,
        conditions_frame([known[name] for name in names]),
        train[0].labels.tolist(),
        validation[0].labels.tolist(),
    )
