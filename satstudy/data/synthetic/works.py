"""Objects that produce: energy, oil, water, crops, fish."""

from __future__ import annotations

import numpy as np

from satstudy.data.synthetic import parts
from satstudy.data.synthetic.canvas import Canvas, tint
from satstudy.data.synthetic.ground import crop_colour
from satstudy.data.synthetic.ground import crop_field as field_of_crops
from satstudy.data.synthetic.outlines import blob, ellipse, rectangle
from satstudy.data.synthetic.parts import Points


def solar_farm(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Rows of panels in fenced fields, with lanes and inverter sheds."""
    h = s * float(rng.uniform(0.8, 1.8))
    floor = str(rng.choice(["grass", "meadow", "soil", "gravel"]))
    c.box(0, 0, 2 * s, h, floor)
    c.line(np.vstack([rectangle(0, 0, 2 * s - 4, h - 4), rectangle(0, 0, 2 * s - 4, h - 4)[:1]]), 4, "gravel")
    spacing, depth = float(rng.uniform(5.5, 10)), float(rng.uniform(2.4, 4.6))
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    panel = tint(rng, (58, 66, 92), 9)
    outline = rng.random((rows, columns)) < 0.93
    for row in range(rows):
        for column in range(columns):
            w, d = (2 * s - 16) / columns - 7, (h - 16) / rows - 7
            x, y = (column + 0.5) * (2 * s - 16) / columns - s + 8, (row + 0.5) * (h - 16) / rows - h / 2 + 8
            if not outline[row, column]:
                continue
            for offset in np.arange(-d / 2 + depth / 2, d / 2 - depth / 2, spacing):
                c.box(x, y + float(offset), w, depth, "panel", panel, 2)
                c.line([[x - w / 2, y + offset], [x + w / 2, y + offset]], 0.3, "panel", (116, 122, 136), 2)
            c.box(x + w / 2 + 3.5, y, 4, 7, "roof", (208, 208, 204), 3)
    return rectangle(0, 0, 2 * s, h)


def wind_farm(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Turbines with their crane pads and tracks; the shadow tells them from a pole."""
    count = int(rng.integers(2, 7))
    spots = np.stack([np.linspace(-s, s, count), rng.normal(0, 0.3 * s, count)], axis=1)
    height, blade = float(rng.uniform(60, 95)), float(rng.uniform(26, 44))
    c.line(
        np.vstack([[[-1500, spots[0, 1] + 40]], spots + np.array([0, 14]), [[1500, spots[-1, 1] + 40]]]), 5, "gravel"
    )
    wind = float(c.moment.uniform(0, 2 * np.pi))
    for x, y in spots:
        turbine = c.at(float(x), float(y))
        turbine.box(0, 10, 24, 26, "gravel", tint(rng, (186, 178, 162), 8))
        turbine.disc(0, 0, 6, "gravel")
        lean = np.linalg.solve(turbine.matrix, np.array(c.view.lean) * c.scale) * height
        steps = np.linspace(0, 1, 5)[:, None]
        turbine.line(steps * lean, 3.8, "paint", (232, 232, 230))
        turbine.cast(steps * [0, 0], 3.8, steps[:, 0] * height)
        across = np.array([-np.sin(wind), np.cos(wind)])
        start = float(c.moment.uniform(0, 2))
        for arm in range(3):
            # The rotor stands upright: seen from above its blades lie in one line, the shadow shows all three.
            angle = start + arm * 2 * np.pi / 3
            side, up = blade * np.sin(angle), blade * np.cos(angle)
            tip = across * side + lean * (1 + up / height)
            turbine.line([lean, tip], 2.6, "paint", (238, 238, 236))
            turbine.cast([[0, 0], across * side], 2.6, [height, height + up])
        turbine.box(lean[0], lean[1], 5, 5, "paint", (240, 240, 238))
    return np.concatenate([spots + blade * 0.8 * np.array(d) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))])


def storage_tank(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """A tank farm: round tanks with fixed or floating roofs, dykes and pipes."""
    h = s * float(rng.uniform(1.0, 1.7))
    c.box(0, 0, 2 * s, h, str(rng.choice(["gravel", "concrete", "soil", "grass"])))
    rows = int(rng.integers(1, 4))
    pitch = h / rows
    white = rng.random() < 0.65
    for row in range(rows):
        y = (row + 0.5) * pitch - h / 2
        columns = max(1, int(2 * s / pitch))
        size = float(rng.uniform(0.24, 0.37)) * pitch
        c.line([[-s, y - pitch / 2 + 2], [s, y - pitch / 2 + 2]], 1.6, "roof", (150, 140, 128), 1)
        for column in range(columns):
            if rng.random() < 0.12:
                continue
            x = (column + 0.5) * 2 * s / columns - s
            cell = rectangle(x, y, 2 * s / columns - 4, pitch - 4)
            c.line(np.vstack([cell, cell[:1]]), 2.2, "soil", tint(rng, (156, 144, 124), 5), 1.5)
            radius, height = size * float(rng.uniform(0.85, 1.1)), float(rng.uniform(9, 17))
            tone = tint(rng, (222, 221, 215) if white else (164, 160, 150), 12)
            lean = np.linalg.solve(c.matrix, np.array(c.view.lean) * c.scale) * height
            c.block(ellipse(x, y, radius, radius, 40), height, tone, tint(rng, (188, 186, 180), 6), "paint")
            if rng.random() < 0.4:  # a floating roof, below the rim
                c.disc(x + lean[0], y + lean[1], radius * 0.94, "roof", tint(rng, (140, 136, 130), 12), height * 0.55)
            else:
                c.disc(x + lean[0], y + lean[1], radius * 0.07, "roof", (150, 150, 148), height + 0.5)
            c.line([[x + radius, y], [x + radius, y - pitch / 2 + 2]], 0.8, "roof", (172, 170, 164), 1)
    return rectangle(0, 0, 2 * s, h)


def _basin(c: Canvas, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    c.disc(x, y, radius + 1.6, "concrete", (190, 188, 180), 1.5)
    c.disc(x, y, radius, "water", tint(rng, (84, 92, 76), 14), 0)
    c.disc(x, y, radius * 0.8, "water", tint(rng, (72, 84, 76), 10), 0)
    turn = float(c.moment.uniform(0, 2 * np.pi))
    arm = radius * np.array([np.cos(turn), np.sin(turn)])
    ends = np.array([[x, y], [x, y]]) + np.stack([-arm if radius > 12 else 0 * arm, arm])
    c.line(ends, 1.4, "roof", (188, 188, 184), 1.5)
    c.disc(x, y, radius * 0.1, "concrete", (170, 168, 162), 2)


def water_treatment_facility(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """Round clarifiers and oblong aeration basins."""
    h = s * float(rng.uniform(1.0, 1.5))
    c.box(0, 0, 2 * s, h, "lawn" if rng.random() < 0.7 else "gravel")
    c.line([[-s, 0], [s, 0]], 5, "asphalt")
    c.line([[0, -h / 2], [0, h / 2]], 5, "asphalt")
    count = int(rng.integers(1, 4))
    for row in range(2):
        y = (row - 0.5) * h / 2
        split = float(rng.uniform(-0.1, 0.35)) * s
        radius = min((split + s) / (2 * count) * 0.8, h * 0.2)
        for index in range(count):
            if rng.random() < 0.9:
                _basin(c, rng, -s + (index + 0.5) * (split + s) / count, y, radius)
        if rng.random() < 0.75:
            w, lanes = (s - split) * 0.72, int(rng.integers(2, 6))
            x, d = (s + split) / 2 + 2, h * 0.34
            c.box(x, y, w + 3, d + 3, "concrete", (188, 186, 178), 1.5)
            for lane in range(lanes):
                foam = tint(rng, (104, 100, 84) if rng.random() < 0.5 else (76, 86, 76), 8)
                c.box(x, y + ((lane + 0.5) / lanes - 0.5) * d, w, d / lanes - 1.4, "water", foam)
        else:
            parts.hall(c, rng, (s + split) / 2, y, (s - split) * 0.5, h * 0.22, 7)
    parts.trees(c, rng, parts.scatter(rng, 2 * s, 6, 200) + np.array([0, h / 2]))
    return rectangle(0, 0, 2 * s, h)


def crop_field(c: Canvas, rng: np.random.Generator, s: float) -> Points:
    """One field: oblong with rows, or the circle of a centre pivot."""
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
    """Ponds side by side between dykes, some drained, with paddle wheels."""
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
