"""Objects by the water: bridges and ports."""

from __future__ import annotations

import itertools

import numpy as np

from satstudy.data.synthetic import parts
from satstudy.data.synthetic.canvas import Canvas, tint
from satstudy.data.synthetic.outlines import rectangle, wander
from satstudy.data.synthetic.parts import Points


def _river(c: Canvas, rng: np.random.Generator, width: float) -> None:
    far = 1500.0
    line = wander(rng, far, 60, 90)
    line[:, 1] -= np.interp(0, line[:, 0], line[:, 1])
    bank = c.palette["meadow"]
    c.line(line, width + 26, "meadow", bank)
    for side in (-1, 1):
        spots, _ = parts.along(parts.beside(line, side * (width / 2 + 9)), 9)
        near = np.abs(spots[:, 0]) < 700
        spots = spots[near & (rng.random(len(spots)) < 0.6)]
        parts.trees(c, rng, spots + rng.normal(0, 4, spots.shape), (2, 5))
    c.line(line, width + 4, "sand", tint(rng, (150, 136, 108), 8))
    c.line(line, width, "water", tint(rng, (66, 82, 76), 12))


def road_bridge(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A road over a river."""
    _river(c.at(0, 0, np.pi / 2 + float(rng.normal(0, 0.12))), rng, 1.55 * s)
    width, height = float(rng.choice([10, 14, 22, 28])), float(rng.uniform(6, 16))
    far = np.array([[-1500.0, 0], [1500, 0]])
    parts.road(c, far, width, "asphalt", None, True, 0.02)
    span = np.array([[-s, 0.0], [s, 0]])
    c.line(span, width + 3, "concrete", tint(rng, (184, 182, 174), 8), height)
    if rng.random() < 0.35:
        for x in np.linspace(-s * 0.8, s * 0.8, 12):
            c.cast([[x, -width / 2], [x, width / 2]], 1.0, [height + 14, height + 14])
            c.line([[x, -width / 2], [x, width / 2]], 0.8, "roof", (176, 178, 178), height + 2)
    parts.road(c, span, width, "asphalt", tint(rng, (124, 123, 121), 8), True, 0.02, height)
    return rectangle(0, 0, 2 * s, width + 4)


def railway_bridge(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A railway over a river, often as a truss."""
    _river(c.at(0, 0, np.pi / 2 + float(rng.normal(0, 0.12))), rng, 1.55 * s)
    tracks = int(rng.integers(1, 3))
    width, height = 5.0 * tracks + 2, float(rng.uniform(5, 12))
    c.line([[-1500, 0], [1500, 0]], width + 9, "meadow")
    c.line([[-1500, 0], [1500, 0]], width, "gravel", tint(rng, (136, 124, 112), 6))
    c.line([[-s, 0], [s, 0]], width + 0.5, "roof", tint(rng, (112, 104, 98), 14), height)
    for track in range(tracks):
        y = (track - (tracks - 1) / 2) * 4.6
        for sleepers in np.arange(-2 * s, 2 * s, 1.8):
            level = height if abs(sleepers) < s else 0.0
            c.line([[sleepers, y - 1.3], [sleepers, y + 1.3]], 0.5, "gravel", (104, 94, 86), level)
        for rail in (-0.75, 0.75):
            c.line([[-1500, y + rail], [1500, y + rail]], 0.35, "roof", (92, 84, 80), 0)
            c.line([[-s, y + rail], [s, y + rail]], 0.35, "roof", (90, 84, 80), height)
    if rng.random() < 0.7:
        steel = tint(rng, (128, 124, 118), 16)
        joints = np.linspace(-s, s, max(5, int(s / 5)))
        for start, end in itertools.pairwise(joints):
            for low, high in ((-1, 1), (1, -1)):
                bar = np.array([[start, low * width / 2], [end, high * width / 2]])
                c.line(bar, 0.6, "roof", steel, height + 6)
                c.cast(bar, 0.6, [height + 6, height + 6])
    return rectangle(0, 0, 2 * s, width + 4)


def _ship(c: Canvas, rng: np.random.Generator, length: float) -> None:
    beam = length * 0.15
    hull = np.array([[-0.5, -0.5], [0.36, -0.5], [0.5, 0], [0.36, 0.5], [-0.5, 0.5]]) * np.array([length, beam])
    c.area(hull, "paint", tint(rng, (128, 70, 60) if rng.random() < 0.5 else (70, 78, 92), 12), 9)
    c.area(hull * 0.94, "roof", tint(rng, (120, 104, 92), 14), 8)
    c.box(-0.41 * length, 0, 0.09 * length, beam * 0.85, "paint", (226, 226, 222), 20)
    if rng.random() < 0.6:
        _stacks(c.at(-0.01 * length, 0), rng, 0.64 * length, beam * 0.85, 14)
    else:
        for x in np.linspace(-0.27, 0.3, 5):
            c.box(x * length, 0, 0.09 * length, beam * 0.6, "paint", tint(rng, (150, 132, 112), 9), 10)


def _stacks(c: Canvas, rng: np.random.Generator, w: float, h: float, height: float) -> None:
    """Containers in rows, two and a half metres wide, in the colours of their lines."""
    along, across = np.meshgrid(np.arange(-w / 2 + 3.2, w / 2 - 3, 6.6), np.arange(-h / 2 + 1.3, h / 2 - 1, 2.7))
    spots = np.stack([along.ravel(), across.ravel()], 1)
    spots = spots[rng.random(len(spots)) < 0.85]
    paints = np.array([[150, 66, 56], [62, 88, 128], [196, 192, 186], [84, 110, 84], [176, 116, 66], [110, 112, 116]])
    colours = paints[rng.integers(len(paints), size=len(spots))] + rng.normal(0, 9, (len(spots), 3))
    c.boxes(spots, 6.2, 2.45, 0.0, "roof", colours, height)


def port(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A quay with cranes, stacked containers or sheds, and ships alongside; water to -y."""
    sea = tint(rng, (58, 78, 84), 10)
    c.box(0, -1500, 6000, 3000, "water", sea)
    depth = float(rng.uniform(0.65, 0.95)) * s
    c.box(0, depth / 2 + 4, 2.05 * s, depth + 14, "concrete", tint(rng, (170, 166, 156), 10))
    c.box(0, 1, 2.05 * s, 3, "concrete", (120, 116, 110), 3)
    if rng.random() < 0.5:
        x = float(rng.uniform(-0.5, 0.5)) * s
        c.box(x, -0.28 * s, 42, 0.56 * s, "concrete", (172, 168, 158), 3)
        _ship(c.at(x + 38, -0.27 * s, np.pi / 2), rng, 0.45 * s)
    container = rng.random() < 0.65
    bays = int(rng.integers(3, 6))
    for index in range(bays):
        x = (index + 0.5) * 2 * s / bays - s
        for row in range(2):
            y = depth * (0.38 + 0.36 * row)
            if container and rng.random() < 0.85:
                _stacks(c.at(x, y), rng, 1.7 * s / bays, depth * 0.26, float(rng.choice([5, 8, 10])))
            else:
                parts.hall(c, rng, x, y, 1.6 * s / bays, depth * 0.26, float(rng.uniform(7, 12)))
    for x in np.sort(rng.uniform(-0.9, 0.9, int(rng.integers(2, 6)))) * s:
        boom = np.array([[x, 26.0], [x, -34.0]])
        paint = tint(rng, (190, 92, 62) if container else (206, 182, 92), 12)
        c.cast(boom, 2.5, [38, 38])
        for leg in (-9.0, 9.0):
            c.cast([[x + leg, 4], [x + leg, 4]], 2, [0, 38])
            c.line([[x + leg, 3], [x + leg, 22]], 1.6, "roof", paint, 12)
        c.line(boom, 3.2, "roof", paint, 20)
    where = -0.9 * s
    while where < 0.7 * s:
        length = float(c.moment.uniform(0.4, 0.85)) * s
        if c.moment.random() < 0.75 and where + length < 1.1 * s:
            _ship(c.at(where + length / 2, -length * 0.085), c.moment, length)
        where += length + 22
    c.line([[-1500, depth + 20], [1500, depth + 20]], 9, "asphalt")
    return rectangle(0, depth / 2 - 0.15 * s, 2 * s, depth + 0.3 * s)
