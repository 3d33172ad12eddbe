"""Objects of leisure and dwelling: stadiums, golf courses, pools, lakes, houses."""

from __future__ import annotations

import numpy as np

from satstudy.data.synthetic import parts
from satstudy.data.synthetic.canvas import Canvas, shaded, tint
from satstudy.data.synthetic.outlines import blob, ellipse, oval, rectangle, wander
from satstudy.data.synthetic.parts import Points


def _pitch(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    """A football pitch: mown stripes and white lines."""
    base = tint(rng, c.palette["lawn"], 6)
    c.box(0, 0, w + 8, h + 8, "lawn", base)
    stripes = int(rng.integers(8, 16))
    for index in range(0, stripes, 2):
        c.box((index + 0.5) * w / stripes - w / 2, 0, w / stripes, h, "lawn", shaded(base, 1.22))
    for x, length, depth in ((0.0, w, h), (-0.42 * w, 0.16 * w, 0.55 * h), (0.42 * w, 0.16 * w, 0.55 * h)):
        frame = rectangle(x, 0, length, depth)
        c.line(np.vstack([frame, frame[:1]]), 0.6, "paint")
    c.line([[0, -h / 2], [0, h / 2]], 0.6, "paint")
    ring = ellipse(0, 0, 9.15, 9.15, 24)
    c.line(np.vstack([ring, ring[:1]]), 0.6, "paint")


def stadium(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A pitch within stands that rise outwards, roofed or open, closed or on some sides; perhaps a track."""
    b = s * float(rng.uniform(0.72, 0.88))
    c.area(oval(0, 0, s * 1.25, b * 1.3), "asphalt" if rng.random() < 0.6 else "concrete")
    if rng.random() < 0.6:
        side = float(rng.choice([-1, 1]))
        parts.parking(c.at(0, side * b * 1.75), 2.2 * s, 0.7 * b, float(rng.uniform(0.02, 0.7)))
    inner_a, inner_b = 0.62 * s, 0.62 * s * float(rng.uniform(0.66, 0.76))
    outline = oval if rng.random() < 0.5 else ellipse
    closed = rng.random() < 0.65
    seats = tint(rng, ((132, 128, 124), (96, 112, 150), (156, 92, 82), (176, 174, 168))[int(rng.integers(4))], 8)
    top, roofed = float(rng.uniform(14, 32)), rng.random() < 0.6
    if closed:
        c.block(outline(0, 0, s, b), top, tint(rng, (212, 210, 204), 10))
        steps = 9
        for index in range(steps):
            share = (index + 1) / steps if not roofed else 0.45 + 0.55 * (index + 1) / steps
            a1, b1 = s + (inner_a - s) * share, b + (inner_b - b) * share
            c.area(outline(0, 0, a1, b1), "concrete", shaded(seats, 1.12 if index % 2 else 0.9), top * (1 - share))
        if roofed:
            for angle in np.linspace(0, 2 * np.pi, 40, endpoint=False):
                ray = np.array([np.cos(angle), np.sin(angle)])
                c.line([ray * [s * 0.98, b * 0.98], ray * [0.84 * s, 0.84 * b]], 0.7, "roof", (176, 176, 172), top)
    else:
        c.area(outline(0, 0, inner_a * 1.2, inner_b * 1.25), "gravel")
        for side in rng.permutation([-1, 1])[: int(rng.integers(1, 3))]:
            for index in range(6):
                y = side * (inner_b + 6 + (b - inner_b) * index / 6)
                tone = shaded(seats, 1.12 if index % 2 else 0.9)
                rise = top * 0.7 * (index + 1) / 6
                c.box(0, float(y), 1.5 * inner_a, (b - inner_b) / 6 + 0.5, "concrete", tone, rise)
            if roofed:
                c.block(rectangle(0, side * b, 1.5 * inner_a, (b - inner_b) * 0.6), top, tint(rng, (206, 206, 202), 9))
    if rng.random() < 0.4 or not closed:
        c.area(oval(0, 0, inner_a, inner_b), "paint", tint(rng, (164, 98, 80), 8))
        lane = oval(0, 0, inner_a - 4, inner_b - 4)
        c.line(np.vstack([lane, lane[:1]]), 0.4, "paint")
        c.area(oval(0, 0, inner_a - 9, inner_b - 9), "lawn")
        _pitch(c, rng, 1.25 * inner_a, 1.3 * (inner_b - 9))
    else:
        c.area(outline(0, 0, inner_a, inner_b), "lawn")
        _pitch(c, rng, 1.55 * inner_a, 1.45 * inner_b)
    return ellipse(0, 0, s, b)


def golf_course(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Fairways between rows of trees, with greens, bunkers, a pond and paths."""
    h = s * float(rng.uniform(0.7, 0.95))
    rough = blob(rng, 0, 0, 1.1 * s, 1.1 * h, 0.12)
    c.area(rough, "grass")
    parts.trees(c, rng, parts.scatter(rng, 1.8 * s, 1.8 * h, 40), (2, 5))
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(-0.7, 0.7, 2) * [s, h]
        c.area(blob(rng, x, y, s * 0.12, s * 0.07), "water", tint(rng, (62, 80, 82), 9))
    count = int(rng.integers(4, 9))
    tone = tint(rng, (114, 140, 78) if c.view.green > 0.4 else (140, 140, 92), 7)
    for index in range(count):
        y = (index + 0.5) / count * 1.7 * h - 0.85 * h
        hole = c.at(float(rng.uniform(-0.25, 0.25)) * s, float(y), float(rng.normal(0, 0.22)))
        length = s * float(rng.uniform(0.3, 0.62))
        line = wander(rng, length, 12)
        wide = min(0.62 * 1.7 * h / count, float(rng.uniform(22, 38)))
        hole.line(line, wide, "lawn", tone)
        for end in (line[0], line[-1]):
            hole.disc(end[0], end[1], wide / 2, "lawn", tone)
        for x in np.arange(-length, length, 16.0):
            y0 = float(np.interp(x, line[:, 0], line[:, 1]))
            hole.box(float(x), y0, 8, wide * 0.9, "lawn", shaded(tone, 1.08))
        green = line[-1] if rng.random() < 0.5 else line[0]
        hole.area(blob(rng, green[0], green[1], 13, 10, 0.2), "lawn", shaded(tone, 1.35))
        for _ in range(int(rng.integers(2, 5))):
            where = green + rng.normal(0, 17, 2)
            hole.area(blob(rng, where[0], where[1], 6.5, 4, 0.4), "sand", (222, 208, 176))
        far = line[0] + line[-1] - green
        hole.box(far[0], far[1], 12, 6, "lawn", shaded(tone, 1.25))
        row = np.stack([rng.uniform(-length, length, 14), rng.choice([-1, 1], 14) * wide * 0.8], axis=1)
        parts.trees(hole, rng, row, (2, 5))
    c.line(wander(rng, 0.9 * s, 0.5 * h), 2.6, "concrete")
    return rough


def swimming_pool(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A public bath: basins on a paved deck, lawns, changing rooms."""
    h = s * float(rng.uniform(1.1, 1.7))
    c.box(0, 0, 2.2 * s + 10, h * 1.15 + 10, "lawn")
    c.box(0, 0, 2 * s, h, "concrete", tint(rng, (196, 188, 174), 9))
    water = c.at(float(rng.uniform(-0.15, 0.15)) * s, float(rng.uniform(-0.1, 0.1)) * h)
    shape = rng.random()
    if shape < 0.45:
        w, d = 0.95 * s, 0.42 * s
        parts.pool(water, rectangle(-0.2 * s, 0, w, d), rng)
        for lane in np.linspace(-d / 2, d / 2, 8)[1:-1]:
            water.line([[-0.2 * s - w / 2, lane], [-0.2 * s + w / 2, lane]], 0.3, "paint", (66, 112, 152))
        parts.pool(water, blob(rng, 0.62 * s, 0.12 * h, 0.17 * s, 0.2 * s, 0.2), rng)
    elif shape < 0.8:
        parts.pool(water, blob(rng, 0, 0, 0.55 * s, 0.32 * s, 0.5), rng)
        parts.pool(water, ellipse(0.72 * s, -0.2 * h, 0.12 * s, 0.12 * s), rng)
    else:
        for x in (-0.5, 0.1, 0.62):
            parts.pool(water, rectangle(x * s, 0, 0.4 * s, 0.7 * s * float(rng.uniform(0.5, 1))), rng)
    parts.hall(c, rng, 0, -h * 0.5, 1.2 * s, 9, 4)
    spots = rng.uniform(-0.46, 0.46, (int(rng.integers(8, 30)), 2)) * [2 * s, h]
    spots[:, 1] = np.sign(spots[:, 1]) * h * 0.42
    c.crowns(spots, 1.5, np.array([[214.0, 206, 190]]) + rng.normal(0, 16, (len(spots), 3)), 2.5)
    parts.trees(c, rng, parts.scatter(rng, 2.2 * s, 8, 200) + np.array([0, h * 0.58]), (1.5, 4))
    return rectangle(0, 0, 2 * s, h)


def lake_or_pond(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Still water with a natural shore, reeds and trees."""
    rough, flat = float(rng.uniform(0.2, 0.5)), float(rng.uniform(0.55, 0.95))
    shore = blob(rng, 0, 0, s, flat * s, rough, 110)
    c.area(shore * 1.14, "meadow")
    edge = shore * 1.06
    dense = rng.random(len(edge)) < float(rng.uniform(0.1, 0.9))
    parts.trees(c, rng, (edge + rng.normal(0, 5, edge.shape))[dense], (2, 5))
    c.area(shore * 1.02, "sand", tint(rng, (158, 144, 112), 9))
    low = 1 - 0.02 * float(c.moment.uniform(0, 2))
    water = tint(rng, ((52, 72, 74), (84, 96, 74), (64, 84, 96), (110, 112, 92))[int(rng.integers(4))], 8)
    c.area(shore * low, "water", water)
    c.area(shore * low * 0.8, "water", shaded(water, 0.86))
    if rng.random() < 0.3:
        island = blob(rng, 0.2 * s, 0, 0.12 * s, 0.1 * s)
        c.area(island, "meadow")
        parts.trees(c, rng, island * 0.9 + [0.02 * s, 0], (2, 4))
    if rng.random() < 0.5:
        c.line([shore[20] * 1.05, shore[20] * 0.86], 2.2, "roof", (160, 140, 116), 1)
    return shore


def single_unit_residential(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A house in its garden, with drive, terrace and often a pool or a shed."""
    w, h = 2 * s, 2 * s * float(rng.uniform(0.8, 1.3))
    c.box(0, 0, w + 8, h + 8, "grass")
    c.box(0, 0, w, h, "lawn")
    fence = rectangle(0, 0, w, h)
    c.line(np.vstack([fence, fence[:1]]), 0.8, "meadow", (96, 100, 76), 1.5)
    drive = float(rng.choice([-1, 1])) * 0.3 * w
    c.line([[drive, 0], [drive * 1.1, h / 2]], 5, "concrete")
    c.line([[drive * 1.1, h / 2 - 1], [drive * 1.1, h / 2 + 60]], 4, "asphalt")
    c.box(0, -0.17 * h, 0.3 * w, 0.14 * h, "concrete", tint(rng, (176, 158, 138), 9))
    parts.house(c, rng, min(24.0, 0.52 * w), min(14.0, 0.3 * h))
    c.at(drive, 0.06 * h).gable(0, 0, 7, 8, 3.5, parts.pick(rng, parts.ROOFS))
    if rng.random() < 0.3:
        parts.pool(c.at(-drive * 0.6, -0.32 * h), rectangle(0, 0, 9, 4.5), rng)
    if rng.random() < 0.5:
        c.at(-drive, -0.4 * h).gable(0, 0, 5, 3.5, 2.5, parts.pick(rng, parts.ROOFS))
    parts.cars(c, [[drive * 1.05, 0.33 * h], [drive * 1.05, 0.42 * h]], np.pi / 2, 0.6)
    parts.trees(c, rng, rng.uniform(-0.47, 0.47, (int(rng.integers(5, 16)), 2)) * [w, h], (1.5, 4.5))
    return rectangle(0, 0, w, h)
