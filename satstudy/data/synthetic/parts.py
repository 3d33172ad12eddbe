"""Parts of scenes: trees, vehicles, roads, car parks, houses, halls, aircraft, pools."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satstudy.data.synthetic.canvas import Canvas, Colour, ellipse, rectangle, tint

Points = NDArray[np.float64]
CAR_COLOURS = np.array(
    [[225, 226, 226], [196, 198, 200], [150, 152, 156], [60, 62, 66], [36, 38, 42], [128, 40, 38], [52, 70, 112],
     [176, 168, 150]],
    dtype=float,
)  # fmt: skip
ROOFS: tuple[Colour, ...] = (
    (150, 98, 76), (128, 112, 100), (104, 100, 98), (168, 158, 146), (138, 84, 66), (92, 88, 90), (186, 178, 166),
)  # fmt: skip
FLAT_ROOFS: tuple[Colour, ...] = (
    (214, 212, 206), (186, 184, 178), (150, 148, 146), (120, 122, 126), (168, 160, 144), (132, 146, 158),
    (146, 104, 88),
)  # fmt: skip


def pick(rng: np.random.Generator, choices: tuple[Colour, ...]) -> Colour:
    """A random one of `choices`, with random changes."""
    return tint(rng, choices[int(rng.integers(len(choices)))], 9.0)


def trees(c: Canvas, rng: np.random.Generator, centres: ArrayLike, radius: tuple[float, float] = (1.8, 4.5)) -> None:
    """Single trees, a fifth of them evergreen."""
    spots = np.asarray(centres, float).reshape(-1, 2)
    count = len(spots)
    size = rng.uniform(*radius, count)
    evergreen = rng.random(count) < 0.2
    leaf = np.where(evergreen[:, None], np.array(c.palette["conifer"]), np.array(c.palette["tree"]))
    colours = leaf + rng.normal(0, 9, (count, 1)) + rng.normal(0, 4, (count, 3))
    c.crowns(spots, size, colours.astype(float), size * rng.uniform(1.3, 2.2, count))


def scatter(rng: np.random.Generator, w: float, h: float, per_hectare: float) -> Points:
    """Random points in a rectangle of size (w, h) around the origin, half of them in clusters."""
    count = rng.poisson(max(0.0, w * h / 1e4 * per_hectare))
    clumps = rng.uniform(-0.5, 0.5, (max(1, count // 6), 2))
    near = clumps[rng.integers(len(clumps), size=count)] + rng.normal(0, 0.05, (count, 2))
    free = rng.uniform(-0.5, 0.5, (count, 2))
    spots = np.where(rng.random((count, 1)) < 0.5, near, free)
    places: Points = np.clip(spots, -0.5, 0.5) * np.array([w, h])
    return places


def along(points: ArrayLike, step: float) -> tuple[Points, Points]:
    """Points every `step` metres on a line of (n, 2) points, and the line's direction there in radians."""
    line = np.asarray(points, float)
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.arange(step / 2, lengths[-1], step)
    spots = np.stack([np.interp(at, lengths, line[:, axis]) for axis in (0, 1)], axis=1)
    ahead = np.stack([np.interp(at + 1.0, lengths, line[:, axis]) for axis in (0, 1)], axis=1)
    behind = np.stack([np.interp(at - 1.0, lengths, line[:, axis]) for axis in (0, 1)], axis=1)
    return spots, np.arctan2(*(ahead - behind).T[::-1])


def beside(points: ArrayLike, distance: float) -> Points:
    """The parallel line at `distance` metres."""
    line: Points = np.asarray(points, float)
    way = np.gradient(line, axis=0)
    way /= np.maximum(1e-9, np.hypot(*way.T))[:, None]
    moved: Points = line + distance * np.stack([-way[:, 1], way[:, 0]], axis=1)
    return moved


def cars(c: Canvas, centres: ArrayLike, turn: ArrayLike, share: float = 1.0, lorries: float = 0.0) -> None:
    """Vehicles at a random fraction `share` of the places, which differ between views."""
    rng = c.moment
    spots = np.asarray(centres, float).reshape(-1, 2)
    there = rng.random(len(spots)) < share
    if not there.any():
        return
    angle = np.broadcast_to(np.asarray(turn, float), (len(spots),))[there]
    spots = spots[there]
    count = len(spots)
    big = rng.random(count) < lorries
    length = np.where(big, rng.uniform(8, 15, count), rng.uniform(3.9, 5.0, count))
    width = np.where(big, 2.6, rng.uniform(1.7, 2.0, count))
    chance = np.array([0.24, 0.18, 0.16, 0.12, 0.14, 0.06, 0.06, 0.04])
    paint = CAR_COLOURS[rng.choice(len(CAR_COLOURS), count, p=chance)] + rng.normal(0, 8, (count, 1))
    c.boxes(spots, length, width, angle, "paint", paint, 1.5)
    # The windscreens, darker.
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (0.18 * length)[:, None]
    c.boxes(spots + ahead, 0.9, width * 0.85, angle, "paint", paint * 0.35, 1.5)


def road(c: Canvas, points: ArrayLike, width: float, surface: str = "asphalt", colour: Colour | None = None,
         marks: bool = True, traffic: float = 0.02, height: float = 0.0) -> None:  # fmt: skip
    """A road with verge, centre line and vehicles; `traffic` is vehicles per metre of lane."""
    if not height:
        c.line(points, width + 3, "soil" if surface != "asphalt" else "gravel")
    c.line(points, width, surface, colour, height)
    if marks and width > 5:
        spots, turn = along(points, 9.0)
        c.boxes(spots, 3.5, 0.25, turn, "paint", np.full((len(spots), 3), 215.0), height)
    if traffic:
        for side in (-1, 1):
            spots, turn = along(beside(points, side * width / 4), 12.0)
            # Places every 12 m, of which a fraction 12 · traffic has a vehicle.
            jitter = c.moment.uniform(-3, 3, len(spots))
            spots = spots + jitter[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            cars(c, spots, turn if side > 0 else turn + np.pi, 12 * traffic, lorries=0.12)


def parking(c: Canvas, w: float, h: float, share: float, surface: str = "asphalt", planted: bool = False,
            rng: np.random.Generator | None = None) -> None:  # fmt: skip
    """A car park of size (w, h) around the origin: double rows of stalls along x, with aisles between them."""
    c.box(0, 0, w, h, surface)
    stall, depth, aisle = 2.7, 5.0, 6.5
    rows = np.arange(-h / 2 + depth / 2 + 1, h / 2 - depth / 2, 2 * depth + aisle)
    columns = np.arange(-w / 2 + 5, w / 2 - 5, stall)
    if not len(columns):
        return
    for y in rows:
        for shift in (0.0, depth):
            if y + shift + depth / 2 > h / 2:
                continue
            spots = np.stack([columns, np.full_like(columns, y + shift)], axis=1)
            marks = spots + np.array([stall / 2, 0])
            c.boxes(marks, 0.25, depth, 0.0, "paint", np.full((len(marks), 3), 205.0), 0)
            # Fewer cars far from the middle.
            busy = np.clip(share * (1.25 - 0.8 * abs(y) / h) + c.moment.normal(0, 0.12), 0, 1)
            cars(c, spots, np.pi / 2 + np.pi * c.moment.integers(2, size=len(spots)), float(busy))
        if planted and rng is not None:
            spots = np.stack([columns[::9], np.full_like(columns[::9], y + depth / 2)], axis=1)
            trees(c, rng, spots, (1.5, 2.8))


def house(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    """A house of about (w, h) around the origin, half of the time with a wing."""
    roof = pick(rng, ROOFS)
    height = float(rng.uniform(4, 6.5))
    wing, side = rng.random() < 0.5, float(rng.choice([-1, 1]))
    if wing:
        c.gable(side * w * 0.25, h * 0.35, w * 0.42, h * 0.75, height - 0.5, roof)
    if rng.random() < 0.15:
        c.block(rectangle(0, 0, w, h), height, pick(rng, FLAT_ROOFS))
    else:
        c.gable(0, 0, w, h, height, roof)
    if rng.random() < 0.5:
        c.box(float(rng.uniform(-0.3, 0.3)) * w, 0.15 * h, 1.0, 1.0, "roof", (120, 90, 80), height + 2)


def hall(c: Canvas, rng: np.random.Generator, x: float, y: float, w: float, h: float, height: float) -> None:
    """A building with a flat roof, with ventilation units on it."""
    roof = pick(rng, FLAT_ROOFS)
    c.block(rectangle(x, y, w, h), height, roof)
    lean = np.linalg.solve(c.matrix, np.array(c.view.lean) * c.scale) * height
    top = c.at(x + lean[0], y + lean[1])
    bright, dark = tint(rng, roof, 4), (max(0, roof[0] - 26), max(0, roof[1] - 26), max(0, roof[2] - 24))
    if rng.random() < 0.5:
        for step in np.arange(-w / 2 + 6, w / 2 - 3, 9.0):
            top.box(float(step), 0, 1.2, h * 0.8, "roof", dark, height)
    count = int(rng.integers(2, 10))
    units = rng.uniform(-0.4, 0.4, (count, 2)) * np.array([w, h])
    sizes = rng.uniform(1.5, 4, (count, 2))
    colours = np.array(bright) + rng.normal(0, 22, (count, 1)) * np.ones(3)
    top.boxes(units, sizes[:, 0], sizes[:, 1], 0.0, "roof", colours, height + 1.5)


def aircraft(c: Canvas, length: float) -> None:
    """An airliner of `length` metres that points to +x."""
    body = ellipse(0, 0, length / 2, length * 0.055, 20)
    wing = np.array([[0.12, 0], [-0.10, 0.46], [-0.17, 0.46], [-0.08, 0], [-0.17, -0.46], [-0.10, -0.46]]) * length
    tail = np.array([[-0.38, 0], [-0.46, 0.17], [-0.5, 0.17], [-0.46, 0], [-0.5, -0.17], [-0.46, -0.17]]) * length
    c.area(wing, "paint", (200, 202, 206), 3)
    c.area(tail, "paint", (204, 206, 210), 4)
    c.area(body, "paint", (232, 233, 235), 4)
    for side in (-1, 1):
        c.box(0.06 * length, side * 0.16 * length, 0.09 * length, 0.03 * length, "paint", (120, 122, 128), 3)


def pool(c: Canvas, points: ArrayLike, rng: np.random.Generator) -> None:
    """A swimming pool with a pale rim."""
    outline = np.asarray(points, float)
    centre = outline.mean(axis=0)
    wider = 1 + 2.4 / max(2.4, float(np.ptp(outline[:, 0])))
    c.area(centre + (outline - centre) * wider, "concrete", (206, 204, 196))
    c.area(outline, "paint", tint(rng, (104, 180, 196), 8))
