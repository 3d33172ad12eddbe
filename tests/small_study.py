"""A study small enough for a test: synthetic scenes of 176 pixels, and weights with N = 8, M = 12 that "ship"."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.mbt2018.model import build
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.core import paths, settings
from satstudy.study import weights
from satstudy.study.profiles import Profile
from satstudy.study.study import Study, open_study

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "description": "for a test",
    "seed": 18,  # its airports lie in open country, which is drawn ten times as fast as a town
    "data": {
        "kind": "synthetic",
        "label": "synthetic scenes",
        "categories": 2,
        "train_objects": 2,
        "val_objects": 3,
        "views": 2,
        "size": 176,
    },
    "splits": {"train_compress": 6, "train_class": 8, "val_class": 4},
    "train": {"lams": [0.005, 0.01], "steps": 2, "batch": 1, "crop": 64, "validation": 1, "validate_every": 1},
    "rd": {"images": 2, "codecs": {"jpeg": [20, 80], "jpeg2000": 0.5, "mbt2018": "default"}, "resamples": 50},
    "blending": {"images": 1, "lam": 0.01, "overlaps": [0, 8]},
    "accuracy": {
        "size": 48,
        "classifiers": {"small": {"arch": "test_resnet", "epochs": 1, "batch": 4, "crop": 32, "view": 48, "folds": 2}},
        "matrix_of": ["small"],
        "train_on": ["original", "jpeg 20"],
        "validate_on": ["original", "jpeg 50"],
    },
}


def tiny(**changes: Any) -> Profile:
    """The small profile with changes by section: `tiny(train={"steps": 3})`."""
    content = {**CONTENT}
    for name, change in changes.items():
        content[name] = {**content[name], **change} if isinstance(change, dict) else change
    return settings.build(Profile, content, content["name"])


@contextmanager
def place(folder: Path, model) -> Iterator[pytest.MonkeyPatch]:
    """Have results, the repository and the shipped weights below `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", folder)
        patch.setattr(paths, "BUILD", folder / "build")
        patch.setattr(paths, "REFERENCE", folder / "reference")
        patch.setattr(paths, "WEIGHTS", folder / "weights")
        ship(folder / "weights", model, 0.01)
        yield patch


def ship(folder: Path, model, lam: float, domain: str = "overhead") -> Path:
    """Weights as they stand in the package."""
    path = folder / f"{domain}-lam{lam:g}.safetensors"
    about = {"N": str(model.N), "M": str(model.M), "lam": f"{lam:g}", "domain": domain}
    checkpoint.save(path, model, about, hyper_tables(model))
    return path


def opened(**changes: Any) -> Study:
    """The study of the small profile with changes."""
    return open_study(tiny(**changes), progress=False)


def without_training(patch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the trainers that are made, none of which trains: their weights are those given, or random."""
    calls: list[Any] = []

    class Instead:
        def __init__(self, config, images, validation, folder, *, init, N, M, metadata, progress):
            self.config, self.folder, self.metadata = config, folder, metadata
            self.model = init or build(N, M).eval()
            calls.append(self)
            self.images, self.validation, self.init = images, validation, init

        def run(self):
            about = {**self.metadata, "N": str(self.model.N), "M": str(self.model.M), "lam": repr(self.config.lam)}
            checkpoint.save(self.folder / "weights.safetensors", self.model, about)

    patch.setattr(weights, "Trainer", Instead)
    return calls
