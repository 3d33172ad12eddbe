"""Outlines of shapes in metres, as points (n, 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rectangle(x: float, y: float, w: float, h: float) -> NDArray[np.float64]:
    """The four corners of a rectangle of size (w, h) round (x, y)."""
    return np.array([[x - w / 2, y - h / 2], [x + w / 2, y - h / 2], [x + w / 2, y + h / 2], [x - w / 2, y + h / 2]])


def ellipse(x: float, y: float, a: float, b: float, count: int = 48) -> NDArray[np.float64]:
    """Points of an ellipse with half axes a and b."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + a * np.cos(angle), y + b * np.sin(angle)], axis=1)


def oval(x: float, y: float, a: float, b: float, count: int = 24) -> NDArray[np.float64]:
    """A rectangle of half sides (a, b), a >= b, with half circles for its short sides, as an athletics track."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, count)
    right = np.stack([x + (a - b) + b * np.cos(angle), y + b * np.sin(angle)], axis=1)
    return np.concatenate([right, 2 * np.array([x, y]) - right])


def blob(rng: np.random.Generator, x: float, y: float, a: float, b: float, rough: float = 0.25,
         count: int = 72) -> NDArray[np.float64]:  # fmt: skip
    """An irregular smooth outline about an ellipse."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = np.ones(count)
    for order in range(2, 8):
        radius += rough / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.45, 1.6)
    return np.stack([x + a * radius * np.cos(angle), y + b * radius * np.sin(angle)], axis=1)


def wander(rng: np.random.Generator, length: float, sway: float, count: int = 40) -> NDArray[np.float64]:
    """A smooth line along x from -length to length that sways in y by about `sway`."""
    along = np.linspace(-length, length, count)
    y = sum(
        sway / order * rng.normal() * np.sin(order * np.pi * along / length + rng.uniform(0, 2 * np.pi))
        for order in (1, 2, 3)
    )
    return np.stack([along, np.broadcast_to(y, along.shape)], axis=1)
