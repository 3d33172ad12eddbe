"""Objects that traffic uses on land: airfields, junctions, car parks, race tracks.

Every object is drawn in its own frame, with half its length `s` in metres, and returns points (n, 2) on its
outline in that frame, from which its bounding box is taken.
"""

from __future__ import annotations

import numpy as np

from satstudy.data.synthetic import parts
from satstudy.data.synthetic.canvas import Canvas, Colour, tint
from satstudy.data.synthetic.outlines import blob, ellipse, oval, rectangle
from satstudy.data.synthetic.parts import Points


def _strip(c: Canvas, rng: np.random.Generator, s: float, width: float) -> None:
    """A runway along x, from -s to s, with its markings and the rubber where aircraft touch down."""
    surface, shade = ("asphalt", 92) if rng.random() < 0.6 else ("concrete", 160)
    ink: Colour = tint(rng, (shade, shade, shade - 2), 8)
    c.box(0, 0, 2 * s + 60, width + 14, "gravel" if rng.random() < 0.5 else "grass")
    c.box(0, 0, 2 * s, width, surface, ink)
    dark = (int(ink[0] * 0.72), int(ink[1] * 0.72), int(ink[2] * 0.74))
    for end in (-1, 1):
        for y in rng.normal(0, width * 0.1, 9):
            c.line([[end * s * 0.62, y], [end * s * 0.93, y]], float(rng.uniform(0.8, 2)), surface, dark)
        count = max(4, int(width / 4))
        y = (np.arange(count) - (count - 1) / 2) * width * 0.85 / count
        white = np.full((count, 3), 222.0)
        c.boxes(np.stack([np.full(count, end * (s - 22)), y], 1), 26, 1.9, 0.0, "paint", white, 0)
        for side in (-1, 1):
            c.box(end * (s - 110), side * width * 0.22, 38, width * 0.13, "paint", (218, 218, 214))
    spots = np.arange(-s + 70, s - 60, 50.0)
    c.boxes(np.stack([spots, 0 * spots], 1), 28, 0.9, 0.0, "paint", np.full((len(spots), 3), 220.0), 0)
    for side in (-1, 1):
        c.line([[-s, side * width * 0.47], [s, side * width * 0.47]], 0.7, "paint")


def runway(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A landing strip on its own, perhaps with a turning pad and a hangar."""
    width = float(rng.uniform(22, 46))
    c.box(0, 0, 2.1 * s, width + 70, "meadow" if rng.random() < 0.5 else "grass")
    _strip(c, rng, s, width)
    for end in (-1, 1):
        if rng.random() < 0.6:
            c.disc(end * (s - 25), float(rng.choice([-1, 1])) * width * 0.5, width * 0.55, "asphalt")
    if rng.random() < 0.45:
        x = float(rng.uniform(-0.6, 0.6)) * s
        c.line([[x, 0], [x, width + 30]], 15, "asphalt")
        c.box(x, width + 42, 70, 40, "concrete")
        parts.hall(c, rng, x + 10, width + 72, 34, 22, 8)
        parts.aircraft(c.at(x - 12, width + 42, float(rng.uniform(0, 6))), 13)
    return rectangle(0, 0, 2 * s, width + 10)


def airport(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A runway with its taxiway, apron, terminal, parked airliners and car park."""
    side, width = float(rng.choice([-1, 1])), float(rng.uniform(34, 50))
    c.box(0, side * 0.28 * s, 2.2 * s, 1.1 * s, "grass")
    track = side * float(rng.uniform(0.20, 0.26)) * s
    _strip(c, rng, s, width)
    c.line([[-s, track], [s, track]], 19, "asphalt")
    for x in (-0.97, -0.45, 0.4, 0.97):
        bend = float(rng.choice([-0.08, 0, 0.08]))
        c.line([[x * s, 0], [(x + bend) * s, track]], 19, "asphalt")
    apron_w, apron_d = float(rng.uniform(0.8, 1.25)) * s, float(rng.uniform(0.2, 0.3)) * s
    middle, centre = track + side * (apron_d / 2 + 8), float(rng.uniform(-0.25, 0.25)) * s
    c.box(centre, middle, apron_w, apron_d, "concrete", tint(rng, (178, 175, 166), 10))
    c.line([[centre - apron_w / 2, track], [centre + apron_w / 2, track]], 0.5, "paint", (212, 184, 80))
    face = middle + side * apron_d / 2
    land = c.at(centre, face + side * 0.11 * s)
    land.box(0, side * 0.06 * s, apron_w * 0.95, 0.32 * s, "asphalt")
    parts.hall(c, rng, centre, face + side * 0.03 * s, apron_w * 0.6, 0.09 * s, 14)
    parts.parking(c.at(centre, face + side * 0.2 * s), apron_w * 0.6, 0.18 * s, 0.6)
    length = float(rng.uniform(28, 44))
    for x in np.arange(centre - 0.42 * apron_w, centre + 0.42 * apron_w, length * 1.15):
        if c.moment.random() < 0.7:
            if abs(x - centre) < 0.3 * apron_w:
                c.box(float(x), face - side * 10, 3.5, 26, "roof", (196, 196, 194), 6)
            turn = side * np.pi / 2 + c.moment.normal(0, 0.06)
            spot = c.at(float(x), face - side * (14 + length / 2), float(turn))
            parts.aircraft(spot, length * float(c.moment.choice([0.8, 1, 1.15])))
    for x in (-0.42, 0.42):
        parts.hall(c, rng, centre + x * apron_w, face + side * 0.06 * s, 0.1 * apron_w, 0.11 * s, 12)
    far = face + side * 0.3 * s
    return np.array([[-s, -width], [s, -width], [s, width], [centre, far], [centre - apron_w / 2, far], [-s, width]])


def _motorway(c: Canvas, points: Points, width: float, height: float) -> None:
    for side in (-1, 1):
        parts.road(c, parts.beside(points, side * (width / 4 + 1.2)), width / 2, "asphalt", None, True, 0.022, height)
    c.line(points, 2.2, "grass" if not height else "concrete", None, height)


def interchange(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Two motorways that cross at two levels, with loops, a diamond, or both."""
    cross = float(rng.uniform(1.2, np.pi - 1.2))
    over = np.array([np.cos(cross), np.sin(cross)])
    c.area(blob(rng, 0, 0, 1.05 * s, 1.05 * s, 0.1), "grass")
    parts.trees(c, rng, parts.scatter(rng, 1.5 * s, 1.5 * s, 14))
    wide, lane = float(rng.uniform(22, 32)), 7.5
    far = np.linspace(-6 * s, 6 * s, 61)
    under_line = np.stack([far, 0 * far], 1)
    over_line = far[:, None] * over
    loops = rng.random(4) < 0.65
    for quadrant in range(4):
        first = np.array([1.0, 0]) * (1 if quadrant in (0, 3) else -1)
        second = over * (1 if quadrant in (0, 1) else -1)
        t = np.linspace(0, 1, 30)[:, None]
        bend = (first + second) * 0.22 * s
        curve = (1 - t) ** 2 * first * 0.95 * s + 2 * t * (1 - t) * bend + t**2 * second * 0.95 * s
        parts.road(c, curve, lane, traffic=0.01, marks=False)
        if loops[quadrant]:
            radius = 0.21 * s
            to = (first + second) / np.hypot(*(first + second))
            half = np.arccos(np.clip(first @ second, -1, 1)) / 2
            centre = to * (radius + wide / 2) / np.sin(half)
            parts.road(c, ellipse(centre[0], centre[1], radius, radius, 40), lane, traffic=0.01, marks=False)
    _motorway(c, under_line, wide, 0.0)
    _motorway(c, over_line, wide, 0.0)
    deck = np.linspace(-wide * 0.85, wide * 0.85, 9)[:, None] * over
    c.line(deck, wide + 3, "concrete", (170, 168, 160), 6.5)
    _motorway(c, deck, wide, 7.0)
    return ellipse(0, 0, s, s)


def parking_lot_or_garage(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A car park, sometimes with a building in a corner or planted rows."""
    h = s * float(rng.uniform(0.9, 1.7))
    surface = "asphalt" if rng.random() < 0.75 else "concrete"
    share = float(rng.beta(2, 1.6))
    if rng.random() < 0.3:  # a garage: the top floor is a car park on a building
        c.box(0, 0, 2 * s + 24, h + 24, "grass")
        c.block(rectangle(0, 0, 2 * s, h), 9, (176, 174, 168), surface="concrete")
        lean = np.linalg.solve(c.matrix, np.array(c.view.lean) * c.scale) * 9
        parts.parking(c.at(lean[0], lean[1]), 2 * s - 3, h - 3, share, "concrete")
        c.box(lean[0], lean[1], 2 * s - 3, 1.0, "concrete", (150, 148, 142), 10)
    else:
        c.box(0, 0, 2 * s + 10, h + 10, "grass")
        parts.parking(c, 2 * s, h, share, surface, rng.random() < 0.5, rng)
    return rectangle(0, 0, 2 * s, h)


def race_track(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A motor circuit, a speedway or a course for horses, with its stand and paddock."""
    kind = rng.random()
    b = s * float(rng.uniform(0.42, 0.6))
    width = float(rng.uniform(11, 20))
    c.area(oval(0, 0, 1.1 * s, 1.15 * b), "grass")
    if kind < 0.35:
        line = blob(rng, 0, 0, 0.9 * s, b * 0.9, 0.55, 120)
        c.line(np.vstack([line, line[:2]]), width + 16, "gravel", tint(rng, (186, 172, 144), 8))
        c.line(np.vstack([line, line[:2]]), width, "asphalt", tint(rng, (96, 96, 98), 6))
        for edge in (-1, 1):
            c.line(parts.beside(np.vstack([line, line[:2]]), edge * width * 0.47), 0.8, "paint")
    else:
        sandy = kind > 0.7
        line = oval(0, 0, s, b)
        c.area(oval(0, 0, s + 5, b + 5), "gravel")
        c.area(line, "sand" if sandy else "asphalt", tint(rng, (176, 148, 112) if sandy else (104, 104, 104), 8))
        inner = oval(0, 0, s - width, b - width)
        c.area(inner, "lawn" if rng.random() < 0.6 else "meadow")
        c.line(np.vstack([inner, inner[:1]]), 0.8, "paint")
        if rng.random() < 0.4:
            c.area(blob(rng, -0.3 * s, 0, 0.2 * s, 0.3 * b), "water")
        if not sandy:
            parts.parking(c.at(0.15 * s, 0), 0.7 * s, 0.6 * b, 0.5)
    parts.hall(c, rng, 0, -(b + 24), 0.7 * s, 20, 13)
    parts.parking(c.at(0, -(b + 64)), 1.2 * s, 50, float(rng.uniform(0.1, 0.7)))
    return np.vstack([oval(0, 0, s, b), rectangle(0, -(b + 10), 0.7 * s, 40)])
