"""The ten categories of objects, one function each.

A function draws in the frame of the object: metres, origin in its centre, `s` is half its length. It returns points
(n, 2) of the outline, which give the bounding box.
"""

from __future__ import annotations

import itertools

import numpy as np

from satstudy.data.synthetic import parts
from satstudy.data.synthetic.canvas import Canvas, Colour, blob, ellipse, oval, rectangle, shaded, tint, wander
from satstudy.data.synthetic.ground import crop_colour
from satstudy.data.synthetic.ground import crop_field as field_of_crops
from satstudy.data.synthetic.parts import Points


def _strip(c: Canvas, rng: np.random.Generator, s: float, width: float) -> None:
    """A runway along x, from −s to s, with markings and rubber marks."""
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


def airport(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A runway with taxiway, apron, terminal, parked airliners and car park."""
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
    """Two motorways that cross at two levels, with ramps and some loops."""
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
    """A car park, sometimes with planted rows, or a parking garage."""
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
    """A motor circuit, a speedway or a horse race course, with stand and car park."""
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


def lake_or_pond(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Still water with a natural shore and trees."""
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


def railway_bridge(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A railway bridge over a river, often a truss bridge."""
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
    """Rows of containers."""
    along, across = np.meshgrid(np.arange(-w / 2 + 3.2, w / 2 - 3, 6.6), np.arange(-h / 2 + 1.3, h / 2 - 1, 2.7))
    spots = np.stack([along.ravel(), across.ravel()], 1)
    spots = spots[rng.random(len(spots)) < 0.85]
    paints = np.array([[150, 66, 56], [62, 88, 128], [196, 192, 186], [84, 110, 84], [176, 116, 66], [110, 112, 116]])
    colours = paints[rng.integers(len(paints), size=len(spots))] + rng.normal(0, 9, (len(spots), 3))
    c.boxes(spots, 6.2, 2.45, 0.0, "roof", colours, height)


def port(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A quay with cranes, containers or sheds, and ships; the water is at −y."""
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


def crop_field(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A field: a rectangle with rows, or the circle of centre-pivot irrigation."""
    if rng.random() < 0.3:
        c.box(0, 0, 2.1 * s, 2.1 * s, "soil" if c.view.arid > 0.5 else "meadow")
        crop = int(rng.integers(4))
        colour = tint(rng, crop_colour(c.view.season, crop, 0.0), 9)
        c.disc(0, 0, s, "crop", colour)
        start, share = float(rng.uniform(0, 6)), float(rng.uniform(1, 3.5))
        angle = np.linspace(start, start + share, 30)
        other = crop_colour(c.view.season, crop + 1, 0.0)
        c.area(np.vstack([[[0, 0]], s * np.stack([np.cos(angle), np.sin(angle)], 1)]), "crop", tint(rng, other, 8))
        for radius in np.arange(s * 0.12, s, max(18.0, s * 0.12)):
            ring = ellipse(0, 0, float(radius), float(radius), 90)
            c.line(np.vstack([ring, ring[:1]]), 0.8, "soil")
        arm = float(c.moment.uniform(0, 6))
        c.line([[0, 0], [s * np.cos(arm), s * np.sin(arm)]], 1.2, "paint", (206, 206, 204), 3)
        return ellipse(0, 0, s, s)
    h = s * float(rng.uniform(0.8, 1.9))
    c.box(0, 0, 2 * s + 14, h + 14, "meadow")
    field_of_crops(c, rng, 2 * s, h)
    return rectangle(0, 0, 2 * s, h)


def aquaculture(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Ponds between dykes, some of them drained, with paddle-wheel aerators."""
    h = s * float(rng.uniform(0.9, 1.6))
    dyke = "soil" if rng.random() < 0.6 else "meadow"
    c.box(0, 0, 2 * s + 8, h + 8, dyke)
    columns, rows = int(rng.integers(3, 8)), int(rng.integers(2, 5))
    base = np.array(tint(rng, (78, 96, 86), 12))
    for row in range(rows):
        for column in range(columns):
            w, d = 2 * s / columns, h / rows
            x, y = (column + 0.5) * w - s, (row + 0.5) * d - h / 2
            pond = rectangle(x, y, w - 7, d - 7)
            drained = c.moment.random() < 0.12
            red, green, blue = (int(v) for v in np.clip(base + rng.normal(0, 11) + rng.normal(0, 6, 3), 20, 200))
            c.area(pond, "soil" if drained else "water", (150, 132, 106) if drained else (red, green, blue))
            wheels = rng.uniform(-0.35, 0.35, (int(rng.integers(0, 7)), 2)) * [w, d] + [x, y]
            if not drained:
                foam = np.full((len(wheels), 3), 214.0)
                c.boxes(wheels, 3.2, 1.6, c.moment.uniform(0, 3, len(wheels)), "paint", foam, 0)
    parts.hall(c, rng, s + 14, 0, 16, 24, 5)
    parts.trees(c, rng, blob(rng, 0, 0, 1.25 * s, 0.75 * h, 0.1, 30), (2, 4))
    return rectangle(0, 0, 2 * s, h)
