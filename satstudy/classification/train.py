"""What compression does to a classifier: train on images of one condition, validate on all of them.

The design is paired. For one seed, every condition starts from the same weights and sees the same
crops of the same images in the same order, turned the same way; only the coding differs. Validation
images are shown to the network of the last epoch and decide nothing before that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm.auto import tqdm

from satstudy.classification.coded_images import CodedSet
from satstudy.classification.network import Classifier, ClassifierConfig, build, check, turn
from satstudy.core.digests import digest, file_digest
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.hardware import settle_for_training
from satstudy.core.paths import atomic
from satstudy.metrics.accuracy import COLUMNS

__all__ = ["Classifier", "ClassifierConfig", "cross_validate", "images_per_epoch", "train_classifier"]

#: Raised when the same configuration would train otherwise than before.
VERSION = 1
#: (loss, accuracy of the batch, images) after each step.
OnStep = Callable[[float, float, int], None]


# --- Training ---------------------------------------------------------------------------------------------


def _epoch(coded: CodedSet, config: ClassifierConfig, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The batches of an epoch, of nearly equal size; a lone last image would upset the batch norms."""
    chosen = np.arange(len(coded))
    if config.one_per_object:
        groups = pd.Series(chosen).groupby(coded.objects, sort=True)
        chosen = np.array([int(rng.choice(group.to_numpy())) for _, group in groups])
    return np.array_split(rng.permutation(chosen), max(1, round(len(chosen) / config.batch)))


def _crops(images: NDArray[np.uint8], crop: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random crop of each image, turned at random."""
    n, height, width = images.shape[:3]
    draws = zip(
        rng.integers(height - crop + 1, size=n),
        rng.integers(width - crop + 1, size=n),
        rng.integers(8, size=n),
        images,
        strict=True,
    )
    return np.stack([turn(im[top : top + crop, left : left + crop], int(s)) for top, left, s, im in draws])


def images_per_epoch(coded: CodedSet, config: ClassifierConfig) -> int:
    """How many images an epoch shows."""
    return len(set(coded.objects.tolist())) if config.one_per_object else len(coded)


def _schedule(config: ClassifierConfig, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    if config.schedule == "step":
        every = config.step_epochs * max(1, steps // config.epochs)
        return torch.optim.lr_scheduler.StepLR(optimizer, every, 0.2)
    # The momentum stays; torch would otherwise also cycle that.
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, config.peak, total_steps=steps + 1, cycle_momentum=False)


def train_classifier(
    config: ClassifierConfig, train: CodedSet, seed: int, *, device: str = "auto", on_step: OnStep | None = None
) -> Classifier:
    """Train from the start to the last epoch.

    Parameters
    ----------
    train : the images of one condition
    seed : of the initial weights, the order of the images, the crops and their symmetries
    device : "auto" is a GPU where there is one; there, weights repeat closely but not to the bit
    on_step : called after each step

    Raises
    ------
    InputError
        Fewer than two images or classes, a crop larger than the images, or what `build` says.
    SatstudyError
        The loss is no longer finite.
    """
    check(train, config)
    classes = sorted(set(train.labels.tolist()))
    if len(classes) < 2:
        raise InputError(f"{train.condition} holds one class, {classes[0]}: there is nothing to tell apart.")
    where = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    with torch.random.fork_rng(devices=None if where.type == "cuda" else []):
        torch.manual_seed(seed)
        network = Classifier(build(config, len(classes)), classes, config, where)
        model = network.model
        rng = np.random.default_rng([seed, 1])
        labels = torch.from_numpy(np.searchsorted(classes, train.labels)).to(where)
        optimizer = _optimizer(config, model)
        per_epoch = max(1, round(images_per_epoch(train, config) / config.batch))
        schedule = _schedule(config, optimizer, per_epoch * config.epochs)
        settle_for_training()
        model.train()
        for _ in range(config.epochs):
            for chosen in _epoch(train, config, rng):
                logits = network.logits(_crops(train.images[chosen], config.crop, rng))
                truth = labels[torch.from_numpy(chosen).to(where)]
                loss = nn.functional.cross_entropy(logits, truth, label_smoothing=config.label_smoothing)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                value = loss.item()
                if not np.isfinite(value):
                    raise SatstudyError(f"The loss of {train.condition}, seed {seed}, is {value}: lower lr.")
                if on_step is not None:
                    on_step(value, (logits.argmax(1) == truth).float().mean().item(), len(chosen))
    return network


def _optimizer(config: ClassifierConfig, model: nn.Module) -> torch.optim.Optimizer:
    # Biases and norm scales are not shrunk.
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    decay = config.weight_decay if config.weight_decay is not None else (0.05 if config.optimizer == "adamw" else 0.0)
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.peak, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.peak)


# --- The experiment ---------------------------------------------------------------------------------------


def _result_path(
    folder: Path, config: ClassifierConfig, train: CodedSet, validation: Sequence[CodedSet], seed: int
) -> Path:
    plain = dataclasses.asdict(config)
    if config.init is not None and Path(config.init).is_file():
        plain["init"] = file_digest(Path(config.init))
    sets = [(s.condition, s.digest) for s in (train, *validation)]
    slug = re.sub(r"[^A-Za-z0-9.-]+", "_", train.condition)
    return folder / f"{slug}-seed{seed}-{digest(VERSION, plain, sets, seed, timm.__version__, length=12)}.csv"


def _known(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    with contextlib.suppress(ValueError, OSError):
        # A class named "None" or an object named "01" is text as any other.
        frame = pd.read_csv(path, dtype=_DTYPES, keep_default_na=False)
        if list(frame.columns) == list(COLUMNS):
            return frame
    return None


_DTYPES: dict[str, Any] = dict.fromkeys(COLUMNS, str) | {"seed": int, "probability": float}


def cross_validate(
    config: ClassifierConfig,
    train: Sequence[CodedSet],
    validation: Sequence[CodedSet],
    seeds: Sequence[int],
    folder: Path | str,
    *,
    device: str = "auto",
    progress: bool = True,
) -> pd.DataFrame:
    """Train on each of `train` with each seed, and validate each network on all of `validation`.

    Each network's answers are written to `folder` as soon as it is done. A call with the same
    configuration, pixels and seed reads them instead of training again, so an interrupted study goes on
    where it stood.

    Parameters
    ----------
    train : one set a condition, of the same images in the same order
    validation : likewise; no object of it should stand in `train`
    seeds : a network each

    Returns
    -------
    A predictions frame with the columns of `satstudy.metrics.accuracy.COLUMNS`

    Raises
    ------
    InputError
        Nothing to train or validate on, conditions of unlike images, an image on both sides, or what
        `train_classifier` and `Classifier.predict` say.
    """
    _paired(config, train, validation)
    if not seeds:
        raise InputError("There is no seed to train with: give one or more, the paper's means need several.")
    runs = [
        (coded, seed, _result_path(Path(folder), config, coded, validation, seed)) for seed in seeds for coded in train
    ]
    frames = [_known(path) for _, _, path in runs]
    left = sum(config.epochs * images_per_epoch(r[0], config) for r, f in zip(runs, frames, strict=True) if f is None)
    with tqdm(total=left, unit="image", desc=f"train {config.arch}", disable=not progress or not left) as bar:
        for i, (coded, seed, path) in enumerate(runs):
            if frames[i] is not None:
                continue
            mean_loss, mean_right = float("nan"), float("nan")

            def note(loss: float, right: float, images: int, name: str = f"{coded.condition}, seed {seed}") -> None:
                nonlocal mean_loss, mean_right
                mean_loss = loss if np.isnan(mean_loss) else 0.9 * mean_loss + 0.1 * loss
                mean_right = right if np.isnan(mean_right) else 0.9 * mean_right + 0.1 * right
                bar.set_postfix_str(f"{name}: loss {mean_loss:.2f}, accuracy {mean_right:.0%}", refresh=False)
                bar.update(images)

            network = train_classifier(config, coded, seed, device=device, on_step=note)
            parts = [network.predict(shown).assign(validated_on=shown.condition) for shown in validation]
            frame = pd.concat(parts).assign(trained_on=coded.condition, seed=seed)[list(COLUMNS)]
            with atomic(path) as temporary:
                frame.to_csv(temporary, index=False, float_format="%.6f")
            # What was written is what is returned: a fresh run and a resumed one then agree to the digit.
            frames[i] = _known(path)
    return pd.concat([f for f in frames if f is not None], ignore_index=True)


def _paired(config: ClassifierConfig, train: Sequence[CodedSet], validation: Sequence[CodedSet]) -> None:
    if not train or not validation:
        raise InputError("There is no condition to train or to validate on: name one or more of each.")
    for side in (train, validation):
        for coded in side:
            check(coded, config, sorted(set(train[0].labels.tolist())))
            if not np.array_equal(coded.names, side[0].names):
                raise InputError(
                    f"{coded.condition} and {side[0].condition} hold different images: code the same list with both."
                )
        names = [coded.condition for coded in side]
        if len(set(names)) < len(names):
            raise InputError(f"Two conditions share a name ({', '.join(names)}): give each its own.")
    both = set(train[0].names.tolist()) & set(validation[0].names.tolist())
    if both:
        raise InputError(f"{len(both)} images are trained on and validated on, such as {min(both)}: split them first.")
