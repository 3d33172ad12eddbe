"""The surroundings of the object: blocks of farmland, suburb, industry, woodland or dry land between roads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from satstudy.data.synthetic import parts
from satstudy.data.synthetic.canvas import Canvas, Colour, blob, rectangle, tint, wander

CROPS: tuple[tuple[Colour, Colour, float], ...] = (
    # colour when grown, colour when ripe, time of ripeness in the year
    ((86, 118, 62), (196, 176, 118), 0.52),
    ((74, 108, 58), (168, 148, 98), 0.72),
    ((98, 130, 62), (206, 190, 96), 0.40),
    ((104, 128, 74), (128, 132, 84), 0.95),
)


def crop_colour(season: float, crop: int, arid: float) -> Colour:
    """A field's colour in a season: bare, sprouting, grown, ripe, and bare again."""
    grown, ripe, when = (np.array(v, float) for v in CROPS[crop % len(CROPS)])
    bare = np.array((152.0, 134, 110)) + 14 * arid
    age = (season - float(when) + 0.5) % 1  # 0.5 is the harvest
    stages = [bare, bare, grown, grown, ripe, ripe * 0.9 + bare * 0.1, bare]
    days = [0.0, 0.12, 0.28, 0.40, 0.48, 0.54, 0.62]
    red, green, blue = (float(np.interp(age, days, [s[channel] for s in stages])) for channel in range(3))
    return int(red), int(green), int(blue)


def crop_field(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    """A field of size (w, h) with rows and wheel tracks."""
    colour = tint(rng, crop_colour(c.view.season, int(rng.integers(8)), c.view.arid), 10)
    c.box(0, 0, w, h, "crop", colour)
    turned = rng.random() < 0.4
    frame, length, width = (c.at(0, 0, np.pi / 2), h, w) if turned else (c, w, h)
    dark = (max(0, colour[0] - 16), max(0, colour[1] - 15), max(0, colour[2] - 11))
    step = float(rng.choice([3.2, 4.5, 6.0, 12.0, 18.0]))
    # Every other swath is darker, since it was driven in the other direction.
    for y in np.arange(-width / 2 + step, width / 2 - step / 2, 2 * step):
        frame.box(0, float(y), length * 0.94, step, "crop", tint(rng, dark, 2.5))
    for y in np.arange(-width / 2 + 12, width / 2, 24.0):
        for gap in (-0.9, 0.9):
            frame.line([[-length / 2, y + gap], [length / 2, y + gap]], 0.5, "soil")


def _farm_block(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    chance = rng.random()
    if chance < 0.13:
        wood(c, rng, w, h)
    elif chance < 0.30:
        c.box(0, 0, w, h, "meadow")
        parts.trees(c, rng, parts.scatter(rng, w, h, 8))
        if rng.random() < 0.3:
            c.area(blob(rng, w * 0.15, h * 0.1, 12, 8), "water")
    elif chance < 0.38:
        c.box(0, 0, w, h, "grass")
        yard = c.at(float(rng.uniform(-0.2, 0.2)) * w, float(rng.uniform(-0.2, 0.2)) * h)
        yard.area(blob(rng, 0, 0, 34, 26), "gravel")
        for x, y in ((-18, -8), (12, 10), (-8, 18)):
            parts.hall(yard, rng, x, y, float(rng.uniform(12, 30)), float(rng.uniform(8, 14)), 6)
        parts.house(yard.at(22, -14), rng, 14, 10)
        parts.trees(yard, rng, rng.normal(0, 30, (14, 2)))
    else:
        count = int(rng.integers(1, 4))
        edges = np.linspace(-h / 2, h / 2, count + 1)
        for low, high in itertools.pairwise(edges):
            crop_field(c.at(0, float(low + high) / 2), rng, w, float(high - low) - 2)
    if rng.random() < 0.5:
        line = np.array([[-w / 2, -h / 2], [w / 2, -h / 2]])
        spots, _ = parts.along(line, 6.0)
        keep = rng.random(len(spots)) < 0.7
        parts.trees(c, rng, (spots + rng.normal(0, 1.2, spots.shape))[keep], (2, 4))


def wood(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    """A wood with single trees along its edge."""
    kind = "conifer" if rng.random() < 0.3 else "forest"
    c.area(blob(rng, 0, 0, w * 0.5, h * 0.5, 0.12), kind, tint(rng, c.palette[kind], 5), 6)
    edge = blob(rng, 0, 0, w * 0.5, h * 0.5, 0.15, 60)
    parts.trees(c, rng, edge + rng.normal(0, 3, edge.shape), (2.5, 5))


def _garden(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    """A plot with a house around the origin; the street is at +y."""
    c.box(0, 0, w - 1, h - 1, "lawn" if rng.random() < 0.8 else "soil", None)
    drive = float(rng.choice([-1, 1])) * w * 0.3
    c.box(drive, h * 0.32, 3.4, h * 0.36, "concrete", tint(rng, (164, 160, 152), 12))
    house_w, house_h = min(w * 0.68, float(rng.uniform(10, 17))), min(h * 0.42, float(rng.uniform(8, 12)))
    parts.house(c.at(float(rng.normal(0, 1)), h * 0.02), rng, house_w, house_h)
    if rng.random() < 0.08:
        parts.pool(c.at(-drive * 0.5, -h * 0.33), rectangle(0, 0, 8, 4), rng)
    if rng.random() < 0.4:
        c.at(drive, -h * 0.3).gable(0, 0, 4, 3, 2.5, parts.pick(rng, parts.ROOFS))
    parts.cars(c, [[drive, h * 0.36]], np.pi / 2, 0.5)
    count = int(rng.poisson(4))
    spots = rng.uniform(-0.48, 0.48, (count, 2)) * np.array([w, h])
    spots[:, 1] = np.where(rng.random(count) < 0.6, -np.abs(spots[:, 1]) - 0.05 * h, spots[:, 1])
    parts.trees(c, rng, np.clip(spots, [-w / 2, -h / 2], [w / 2, h / 2]), (1.2, 4.2))


def homes(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    """Two rows of plots, back to back."""
    c.box(0, 0, w, h, "lawn")
    depth = h / 2
    plot = float(rng.uniform(15, 24))
    count = max(1, int(w / plot))
    for row, turn in ((-1, np.pi), (1, 0.0)):
        for index in range(count):
            x = (index + 0.5) * w / count - w / 2
            spot = c.at(x, row * depth / 2, turn)
            own = np.random.default_rng(rng.integers(2**63))
            if spot.visible(rectangle(0, 0, w / count, depth)):
                _garden(spot, own, w / count, depth)
    for side in (-1, 1):
        spots, _ = parts.along([[-w / 2, side * h / 2], [w / 2, side * h / 2]], 14.0)
        parts.trees(c, rng, spots[rng.random(len(spots)) < 0.5], (1.5, 3.5))


def _town_block(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    chance = rng.random()
    if chance < 0.08:
        c.box(0, 0, w, h, "grass")
        parts.trees(c, rng, parts.scatter(rng, w, h, 50))
        c.line(wander(rng, w / 2, h * 0.2), 2.5, "gravel")
    elif chance < 0.14:
        _works_block(c, rng, w, h)
    else:
        homes(c, rng, w, h)


def _works_block(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    c.box(0, 0, w, h, "asphalt" if rng.random() < 0.6 else "concrete")
    chance = rng.random()
    if chance < 0.12:
        c.box(0, 0, w, h, "meadow")
        parts.trees(c, rng, parts.scatter(rng, w, h, 25))
        return
    split = float(rng.uniform(0.45, 0.7))
    built = w * split
    count = int(rng.integers(1, 4))
    for index in range(count):
        part = h / count
        y = (index + 0.5) * part - h / 2
        height = float(rng.uniform(5, 12))
        parts.hall(c, rng, -w / 2 + built / 2 + 3, y, built * float(rng.uniform(0.7, 0.95)), part * 0.78, height)
    lot = c.at(w / 2 - (w - built) / 2, 0)
    if rng.random() < 0.6:
        parts.parking(lot, w - built - 6, h * 0.85, float(rng.uniform(0.15, 0.8)))
    else:
        size = int(rng.integers(10, 40))
        spots = rng.uniform(-0.42, 0.42, (size, 2)) * np.array([w - built, h])
        turn = rng.choice([0, np.pi / 2], size)
        colours = rng.uniform(60, 190, (size, 3)) * 0.5 + 70
        lot.boxes(spots, rng.uniform(3, 12, size), 2.6, turn, "roof", colours, 2.5)
    parts.trees(c, rng, parts.scatter(rng, w, 4, 120) + np.array([0, h / 2]), (1.5, 3))


def _wood_block(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    chance = rng.random()
    if chance < 0.12:
        c.box(0, 0, w, h, "meadow")
        parts.trees(c, rng, parts.scatter(rng, w, h, 40))
    elif chance < 0.18:
        c.box(0, 0, w, h, "meadow", tint(rng, (132, 122, 96), 8))
        parts.trees(c, rng, parts.scatter(rng, w, h, 12), (1, 2))
    else:
        kind = "conifer" if rng.random() < 0.35 else "forest"
        c.box(0, 0, w + 12, h + 12, kind, tint(rng, c.palette[kind], 7), float(rng.uniform(5, 11)))


def _dry_block(c: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    base = tint(rng, (172, 148, 118), 10)
    c.box(0, 0, w + 10, h + 10, "shrub" if rng.random() < 0.75 else "soil", base)
    count = rng.poisson(w * h / 1e4 * float(rng.uniform(30, 160)))
    spots = rng.uniform(-0.5, 0.5, (count, 2)) * np.array([w, h])
    leaf = np.array([104.0, 98, 70]) + rng.normal(0, 10, (count, 1)) * np.ones(3)
    radius = rng.gamma(3, 0.45, count) + 0.4
    c.crowns(spots, radius, leaf, radius * 1.2)
    if rng.random() < 0.3:
        wash = wander(rng, w * 0.7, h * 0.2)
        c.at(0, 0, float(rng.uniform(0, 3))).line(wash, float(rng.uniform(4, 12)), "sand")


BLOCKS = {
    "farmland": (_farm_block, 210.0, 9.0, "meadow"),
    "suburb": (_town_block, 92.0, 10.0, "grass"),
    "industry": (_works_block, 150.0, 13.0, "grass"),
    "woodland": (_wood_block, 260.0, 7.0, "forest"),
    "dry": (_dry_block, 300.0, 6.0, "soil"),
}


def split(
    rng: np.random.Generator, rect: tuple[float, float, float, float], target: float
) -> Iterator[tuple[float, float, float, float]]:
    """Divide a rectangle (x0, y0, x1, y1) across its longer side until the parts are about `target` metres."""
    x0, y0, x1, y1 = rect
    w, h = x1 - x0, y1 - y0
    if max(w, h) < target * 1.5:
        yield rect
        return
    at = float(rng.uniform(0.38, 0.62))
    if w >= h:
        yield from split(rng, (x0, y0, x0 + at * w, y1), target)
        yield from split(rng, (x0 + at * w, y0, x1, y1), target)
    else:
        yield from split(rng, (x0, y0, x1, y0 + at * h), target)
        yield from split(rng, (x0, y0 + at * h, x1, y1), target)


def surroundings(c: Canvas, rng: np.random.Generator, kind: str, field: float) -> None:
    """Cover the field of view (in metres) with blocks of a kind (one of `BLOCKS`), in a random orientation."""
    draw, target, street, base = BLOCKS[kind]
    frame = c.at(float(rng.uniform(-60, 60)), float(rng.uniform(-60, 60)), float(rng.uniform(0, np.pi)))
    half = 0.9 * field + 60
    frame.box(0, 0, 4 * half, 4 * half, base)
    paved = kind in ("suburb", "industry")
    blocks = list(split(rng, (-half, -half, half, half), target * float(rng.uniform(0.8, 1.25))))
    seeds = rng.integers(2**63, size=len(blocks))
    # Roads first: they run in the gaps between blocks.
    for x0, y0, x1, y1 in blocks:
        corners = np.array([[x0, y0], [x1, y0], [x1, y1]])
        if frame.visible(rectangle((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0 + 20, y1 - y0 + 20)):
            surface = "asphalt" if paved or (x1 - x0) > target else "gravel"
            for line in (corners[:2], corners[1:]):
                parts.road(frame, line, street * 0.62, surface, None, paved, 0.012 if paved else 0.002)
    for (x0, y0, x1, y1), seed in zip(blocks, seeds, strict=True):
        w, h = x1 - x0 - street, y1 - y0 - street
        spot = frame.at((x0 + x1) / 2, (y0 + y1) / 2)
        if spot.visible(rectangle(0, 0, w + 20, h + 20)):
            own = np.random.default_rng(seed)
            # Some blocks of another kind, so that surroundings correlate less with the category.
            other = own.random()
            if other < 0.1 and kind in ("farmland", "woodland", "suburb"):
                mixed = {"farmland": _town_block, "woodland": _farm_block, "suburb": _wood_block}[kind]
                mixed(spot, own, w, h)
            else:
                draw(spot, own, w, h)
