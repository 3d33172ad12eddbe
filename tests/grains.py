"""Sets of images that a small network tells apart, for tests."""

import dataclasses

import numpy as np

import satstudy.classification.train
from satstudy.classification.coded_images import CodedSet
from satstudy.classification.network import ClassifierConfig
from satstudy.classification.train import train_network

#: The smallest network of timm: what is tested is what happens around it.
TINY = ClassifierConfig(arch="test_resnet", epochs=6, batch=8, lr=5e-3, crop=32, precision="fp32", folds=2)


def patterns(objects=6, first=0, condition="original", noise=20.0):
    """Three classes that differ in grain, two images an object: uint8 40×40, alike up to turning."""
    images, labels, names = [], [], []
    for k, label in enumerate(("fine", "flat", "rough")):
        for i in range(2 * objects):
            rng = np.random.default_rng([k, first, i])
            y, x = np.mgrid[:40, :40]
            grain = ((x + y) % 2, np.zeros((40, 40)), (x // 8 + y // 8) % 2)[k] * 150
            picture = 60 + grain[..., None] + rng.normal(0, noise, (40, 40, 3))
            images.append(picture.clip(0, 255).astype(np.uint8))
            labels.append(label)
            names.append(f"{label}/{first}_{i}")
    n = len(images)
    things = np.array([f"{name.rsplit('_', 1)[0]}_{i // 2}" for i, name in enumerate(names)])
    measures = np.full(n, 24.0), np.full(n, np.inf), np.full(n, np.nan)
    return CodedSet(condition, np.stack(images), np.array(names), np.array(labels), things, *measures)


def with_(**changes):
    return dataclasses.replace(TINY, **changes)


def shown(monkeypatch, config, coded):
    """The images of every step, by the value that fills each of them."""
    steps = []
    original = satstudy.classification.train._crops
    monkeypatch.setattr(
        satstudy.classification.train,
        "_crops",
        lambda images, *rest: steps.append(images[:, 0, 0, 0]) or original(images, *rest),
    )
    train_network(config, [coded], 0)
    return [s.tolist() for s in steps]
