"""Training of one classifier, a network or a linear head, on images of one condition or of a mixture of conditions.

Trainings are paired: for one seed and fold they have the same initial weights, and see the same crops of the same
images in the same order and orientation. Only the condition differs. The network after the last epoch is used; there is
no early stopping.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from satstudy.classification.coded_images import CodedSet
from satstudy.classification.network import ClassifierConfig, Network, build, check_set, turn
from satstudy.core.digests import digest
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.hardware import settled_for_training
from satstudy.core.paths import atomic

#: Called after each step with the loss, the accuracy on the batch and the number of images.
OnStep = Callable[[float, float, int], None]


class Classifier(Protocol):
    """A trained network, or a linear head on the features of a frozen network."""

    @property
    def classes(self) -> list[str]: ...

    def probabilities(self, coded: CodedSet) -> NDArray[np.float64]:
        """(n, classes), rows adding up to one."""
        ...


class TrainedNetwork(NamedTuple):
    """A network with trained weights."""

    classes: list[str]
    network: Network

    def probabilities(self, coded: CodedSet) -> NDArray[np.float64]:
        return self.network.mean_over_views(coded.images).astype(np.float64)


class LinearHead(NamedTuple):
    """Multinomial logistic regression on standardised features of a frozen network."""

    classes: list[str]
    pipeline: Pipeline

    def probabilities(self, coded: CodedSet) -> NDArray[np.float64]:
        return self.pipeline.predict_proba(_features(coded))


def classes_of(sets: Sequence[CodedSet]) -> list[str]:
    """The classes of a training set, sorted.

    Raises
    ------
    InputError
        Fewer than two.
    """
    classes = sorted(set(sets[0].labels.tolist()))
    if len(classes) < 2:
        raise InputError(f"{sets[0].condition} has one class, {', '.join(classes)}: a classifier needs two or more.")
    return classes


# --- The linear head -------------------------------------------------------------------------------------


def add_features(coded: CodedSet, config: ClassifierConfig, folder: Path | str) -> CodedSet:
    """The set with the features of the frozen network, cached in `folder`."""
    setting = (config.arch, dict(config.arch_options), config.start, config.view or config.crop, config.tta)
    path = Path(folder) / f"{digest(setting, coded.digest, length=16)}.npy"
    features = None
    with contextlib.suppress(OSError, ValueError, EOFError):
        features = np.load(path, allow_pickle=False)
    if features is None or len(features) != len(coded):
        check_set(coded, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same random weights for all conditions
            network = Network(build(config, 0), config)
        features = network.mean_over_views(coded.images, embed=True)
        with atomic(path) as temporary:
            np.save(temporary, features)
    return dataclasses.replace(coded, features=features)


def _features(coded: CodedSet) -> NDArray[np.float32]:
    if coded.features is None:
        raise InputError(f"{coded.condition} has no features for the linear head: call add_features first.")
    return coded.features


def fit_linear_head(config: ClassifierConfig, sets: Sequence[CodedSet]) -> LinearHead:
    """Fit the head to all images of all sets; the regularisation does not depend on the number of sets."""
    features = np.concatenate([_features(coded) for coded in sets])
    labels = np.concatenate([coded.labels for coded in sets])
    regression = LogisticRegression(C=config.regularisation / len(sets), max_iter=2000)
    return LinearHead(classes_of(sets), make_pipeline(StandardScaler(), regression).fit(features, labels))


# --- The network -----------------------------------------------------------------------------------------


@settled_for_training()
def train_network(
    config: ClassifierConfig,
    sets: Sequence[CodedSet],
    seed: int,
    *,
    classes: list[str] | None = None,
    start: Path | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
    resume: Path | None = None,
) -> TrainedNetwork:
    """Train a network for `config.epochs` epochs.

    Parameters
    ----------
    sets : one condition, or a mixture of conditions of the same images: each epoch then draws one of them for each
        image
    seed : of the initial weights, the order of the images, the crops, their orientation and the mixture
    classes : sorted; by default those of the sets
    start : safetensors file of a trained network with the same classes, to fine-tune; the statistics of its batch norms
        are frozen, since the fine-tuning may have a few images only
    device : "auto" takes a GPU if there is one. Results on a GPU are not reproducible to the bit
    on_step : called after each step
    resume : file for the state after each epoch; an interrupted training continues from it and gives the same weights

    Raises
    ------
    InputError
        Fewer than two images or classes, a crop larger than the images, or an error of `network.build`.
    SatstudyError
        The loss is not finite.
    """
    for coded in sets:
        check_set(coded, config, classes)
    classes = classes or classes_of(sets)
    where = _device(device)
    with torch.random.fork_rng(devices=None if where.type == "cuda" else []):
        torch.manual_seed(seed)
        network = Network(build(config, len(classes)), config, where)
        model = network.model
        if start is not None:
            model.load_state_dict(load_file(start))
        optimizer = _optimizer(config, model)
        labels = torch.from_numpy(np.searchsorted(classes, sets[0].labels)).to(where)
        steps = max(1, round(images_per_epoch(sets[0].objects, config) / config.batch)) * config.epochs
        done = _restore(resume, model, optimizer) if resume else 0
        for epoch in range(done, config.epochs):
            _to_training(model, start is not None)
            # One generator for each epoch, so that an interruption does not change the random numbers.
            rng, mixture = np.random.default_rng([seed, epoch]), np.random.default_rng([seed, epoch, 1])
            batches = _batches(sets[0], config, rng)
            for i, chosen in enumerate(batches):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(config, epoch * len(batches) + i, steps)
                logits = network.logits(_crops(_mixed(sets, chosen, mixture), config, rng))
                truth = labels[torch.from_numpy(chosen).to(where)]
                loss = nn.functional.cross_entropy(logits, truth, label_smoothing=config.label_smoothing)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                value = loss.item()
                if not np.isfinite(value):
                    raise SatstudyError(f"The loss of {sets[0].condition}, seed {seed}, is {value}: lower lr.")
                if on_step is not None:
                    on_step(value, (logits.argmax(1) == truth).float().mean().item(), len(chosen))
            if resume and epoch + 1 < config.epochs:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1}
                with atomic(resume) as temporary:
                    torch.save(state, temporary)
    if resume:
        resume.unlink(missing_ok=True)
    return TrainedNetwork(classes, network)


def load_network(config: ClassifierConfig, classes: list[str], path: Path, device: str = "auto") -> TrainedNetwork:
    """Read a trained network from a safetensors file."""
    with torch.random.fork_rng(devices=[]):
        network = Network(build(config, len(classes)), config, _device(device))
    network.model.load_state_dict(load_file(path))
    return TrainedNetwork(classes, network)


def _device(name: str) -> torch.device:
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def _restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the state of model and optimizer; returns the number of finished epochs, 0 without a readable state."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["epochs"])
    except Exception:  # no file, or a damaged one: torch.load documents no list of its exceptions
        return 0


def _to_training(model: nn.Module, keep_statistics: bool) -> None:
    model.train()
    for layer in model.modules():
        if keep_statistics and isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()


def images_per_epoch(objects: NDArray[np.str_], config: ClassifierConfig) -> int:
    """Images in one epoch, given the object of each image of the training set."""
    return len(set(objects.tolist())) if config.one_per_object else len(objects)


def _batches(coded: CodedSet, config: ClassifierConfig, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The batches of an epoch, of nearly equal size, since batch norms cannot train on a batch of one."""
    chosen = np.arange(len(coded))
    if config.one_per_object:
        groups = pd.Series(chosen).groupby(coded.objects, sort=True)
        chosen = np.array([int(rng.choice(group.to_numpy())) for _, group in groups])
    return np.array_split(rng.permutation(chosen), max(1, round(len(chosen) / config.batch)))


def _mixed(sets: Sequence[CodedSet], rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The images at `rows`, each from a random one of the sets."""
    if len(sets) == 1:
        return sets[0].images[rows]
    drawn = rng.integers(len(sets), size=len(rows))
    return np.stack([sets[which].images[row] for which, row in zip(drawn, rows, strict=True)])


def _crops(images: NDArray[np.uint8], config: ClassifierConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random crop of each image in a random orientation, or its centre without augmentation."""
    crop = config.crop
    n, height, width = images.shape[:3]
    if not config.augment:
        top, left = (height - crop) // 2, (width - crop) // 2
        return images[:, top : top + crop, left : left + crop]
    draws = zip(
        rng.integers(height - crop + 1, size=n),
        rng.integers(width - crop + 1, size=n),
        rng.integers(8, size=n),
        images,
        strict=True,
    )
    return np.stack([turn(im[top : top + crop, left : left + crop], int(s)) for top, left, s, im in draws])


def learning_rate(config: ClassifierConfig, step: int, steps: int) -> float:
    """The learning rate of step `step`, counted from 0, of `steps`."""
    if config.schedule == "step":
        epoch = step * config.epochs // steps
        return config.peak * 0.2 ** (epoch // config.step_epochs)
    # Rises as a cosine from 1/25 of the peak in the first 30 % of the steps, then falls to 0 (Smith and Topin 2019).
    warm = 0.3 * steps
    low, far = (config.peak / 25, 1 - step / warm) if step < warm else (0.0, (step - warm) / (steps - warm))
    return low + (config.peak - low) * (1 + math.cos(math.pi * far)) / 2


def _optimizer(config: ClassifierConfig, model: nn.Module) -> torch.optim.Optimizer:
    # No weight decay of biases and norm scales.
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    decay = config.weight_decay if config.weight_decay is not None else (0.05 if config.optimizer == "adamw" else 0.0)
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.peak, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.peak)
