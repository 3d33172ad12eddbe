"""The canvas of a synthetic scene: colour, height and surface type of the ground, drawn in metres.

Pillow draws each shape at twice the resolution into one image of four bands (red, green, blue, height), which is then
averaged down, so that outlines are antialiased. A second image has the surface type, which determines texture and gloss
(`satstudy.data.synthetic.light`).
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from satstudy.data.synthetic.view import View

Colour = tuple[int, int, int]
Floats = NDArray[np.float32]

#: Heights are stored in 8 bits, in steps of half a metre.
HEIGHT_STEP = 0.5
OVERSAMPLING = 2


class Surface(NamedTuple):
    """Appearance of a surface type: display colour in summer and winter, and texture.

    `fine`, `middle` and `coarse` are relative amplitudes of the texture at about 1–2, 3–12 and 16–250 pixels. `patchy`
    is the variation of colour between green and brown, `canopy` the height of crowns in metres; `gloss` is 1 for water.
    """

    summer: Colour
    winter: Colour
    fine: float
    middle: float
    coarse: float
    patchy: float = 0.0
    canopy: float = 0.0
    gloss: float = 0.0


SURFACES: dict[str, Surface] = {
    "grass": Surface((98, 116, 68), (132, 124, 92), 0.17, 0.14, 0.13, 0.09),
    "lawn": Surface((102, 121, 76), (128, 127, 92), 0.12, 0.10, 0.10, 0.06),
    "meadow": Surface((120, 124, 84), (142, 132, 104), 0.18, 0.17, 0.15, 0.14, 0.25),
    "crop": Surface((104, 118, 66), (148, 128, 100), 0.16, 0.13, 0.14, 0.10),
    "soil": Surface((160, 140, 114), (154, 136, 112), 0.15, 0.13, 0.15, 0.04),
    "sand": Surface((206, 188, 156), (202, 188, 160), 0.10, 0.08, 0.10, 0.03),
    "gravel": Surface((158, 152, 142), (158, 152, 142), 0.20, 0.14, 0.13),
    "asphalt": Surface((112, 111, 110), (112, 111, 110), 0.09, 0.09, 0.12),
    "concrete": Surface((176, 173, 164), (176, 173, 164), 0.09, 0.06, 0.10),
    "roof": Surface((150, 146, 142), (150, 146, 142), 0.09, 0.05, 0.05),
    "paint": Surface((225, 225, 220), (225, 225, 220), 0.05, 0.04, 0.04),
    "water": Surface((54, 74, 78), (58, 72, 74), 0.06, 0.05, 0.10, 0.0, 0.0, 1.0),
    "forest": Surface((80, 98, 66), (116, 108, 96), 0.26, 0.16, 0.14, 0.10, 4.5),
    "conifer": Surface((70, 86, 62), (72, 86, 66), 0.24, 0.16, 0.11, 0.06, 4.2),
    "shrub": Surface((156, 140, 110), (158, 142, 116), 0.21, 0.20, 0.15, 0.05, 0.45),
    "tree": Surface((84, 104, 68), (112, 106, 92), 0.26, 0.18, 0.08, 0.06, 1.5),
}
NUMBER = {name: index for index, name in enumerate(SURFACES)}


class Canvas:
    """A drawing surface in a local frame of metres (x right, y down).

    Parameters
    ----------
    width, height : of the image in pixels
    view : the acquisition; determines colours of the season, lean of high objects, and shadows
    """

    def __init__(self, width: int, height: int, view: View):
        self.width, self.height, self.view = width, height, view
        over = OVERSAMPLING
        self._colours = Image.new("RGBX", (over * width, over * height))
        self._kinds = Image.new("L", (width, height))
        self._shades = Image.new("L", (width, height))
        self._colour = ImageDraw.Draw(self._colours)
        self._kind = ImageDraw.Draw(self._kinds)
        self._shade = ImageDraw.Draw(self._shades)
        self.scale = 1 / view.gsd
        self.matrix = np.eye(2) / view.gsd
        self.shift = np.array([width / 2, height / 2]) + np.array(view.offset) / view.gsd
        self.angle = 0.0
        #: Random numbers for what differs between views of one place: cars, ships, drained ponds.
        self.moment = np.random.default_rng([*view.seed, 1])
        self.palette: dict[str, Colour] = {}
        for name, surface in SURFACES.items():
            summer, winter = np.array(surface.summer, float), np.array(surface.winter, float)
            mixed = winter + (summer - winter) * view.green
            if name in ("forest", "tree"):
                mixed += view.autumn * np.array([34.0, 2.0, -8.0])
            self.palette[name] = _rgb(mixed)

    def at(self, x: float, y: float, angle: float = 0.0) -> Canvas:
        """The same canvas with a frame moved to (x, y) and rotated by `angle` radians."""
        moved = copy.copy(self)
        cos, sin = np.cos(angle), np.sin(angle)
        moved.shift = self.matrix @ np.array([x, y]) + self.shift
        moved.matrix = self.matrix @ np.array([[cos, -sin], [sin, cos]])
        moved.angle = self.angle + angle
        return moved

    def pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """Pixel coordinates (..., 2) of local metres (..., 2)."""
        found: NDArray[np.float64] = np.asarray(points, dtype=float) @ self.matrix.T + self.shift
        return found

    def visible(self, points: ArrayLike) -> bool:
        """Whether the bounding box of `points` intersects the image."""
        found = self.pixels(points)
        low, high = found.min(axis=0), found.max(axis=0)
        return bool(high[0] > 0 and high[1] > 0 and low[0] < self.width and low[1] < self.height)

    def _ink(self, surface: str, colour: Colour | None, height: float) -> tuple[tuple[int, int, int, int], int]:
        red, green, blue = colour or self.palette[surface]
        return (red, green, blue, int(min(255, max(0.0, height) / HEIGHT_STEP))), NUMBER[surface]

    def area(self, points: ArrayLike, surface: str, colour: Colour | None = None, height: float = 0.0) -> None:
        """A filled polygon of (n, 2) points."""
        self._polygon(self.pixels(points), surface, colour, height)

    def _polygon(self, corners: NDArray[np.float64], surface: str, colour: Colour | None, height: float) -> None:
        ink, kind = self._ink(surface, colour, height)
        self._colour.polygon((corners * OVERSAMPLING).ravel().tolist(), fill=ink)
        self._kind.polygon(corners.ravel().tolist(), fill=kind)

    def box(self, x: float, y: float, w: float, h: float, surface: str, colour: Colour | None = None,
            height: float = 0.0) -> None:  # fmt: skip
        """A filled rectangle of size (w, h) round (x, y)."""
        self.area(rectangle(x, y, w, h), surface, colour, height)

    def disc(self, x: float, y: float, radius: float, surface: str, colour: Colour) -> None:
        """A filled circle."""
        ink, kind = self._ink(surface, colour, 0.0)
        (px, py), r = self.pixels((x, y)), radius * self.scale
        if r > 0:
            over = OVERSAMPLING
            self._colour.ellipse((over * (px - r), over * (py - r), over * (px + r), over * (py + r)), fill=ink)
            self._kind.ellipse((px - r, py - r, px + r, py + r), fill=kind)

    def line(self, points: ArrayLike, width: float, surface: str, colour: Colour | None = None,
             height: float = 0.0) -> None:  # fmt: skip
        """A band of `width` metres along (n, 2) points; at least half a pixel wide."""
        ink, kind = self._ink(surface, colour, height)
        corners = self.pixels(points)
        thick = max(1, round(width * self.scale * OVERSAMPLING))
        self._colour.line((corners * OVERSAMPLING).ravel().tolist(), fill=ink, width=thick, joint="curve")
        if thick > 1:
            self._kind.line(corners.ravel().tolist(), fill=kind, width=max(1, thick // OVERSAMPLING), joint="curve")

    def boxes(self, centres: ArrayLike, w: ArrayLike, h: ArrayLike, turn: ArrayLike, surface: str,
              colours: NDArray[np.float64], height: float) -> None:  # fmt: skip
        """Many small rectangles, rotated by `turn`; `colours` is (n, 3)."""
        centre = np.asarray(centres, float).reshape(-1, 2)
        count = len(centre)
        half_w, half_h, angle = (np.broadcast_to(np.asarray(v, float), (count,)) for v in (w, h, turn))
        corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
        local = np.stack([corner[:, 0] * half_w[:, None], corner[:, 1] * half_h[:, None]], axis=-1)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        turned = np.stack([local[..., 0] * cos - local[..., 1] * sin, local[..., 0] * sin + local[..., 1] * cos], -1)
        corners = self.pixels(turned + centre[:, None])
        seen = _seen(corners, self.width, self.height)
        step, kind = int(height / HEIGHT_STEP), NUMBER[surface]
        inks = np.clip(colours, 0, 255).astype(int).tolist()
        fine, plain = (corners * OVERSAMPLING).reshape(count, 8).tolist(), corners.reshape(count, 8).tolist()
        for index in np.flatnonzero(seen):
            red, green, blue = inks[index]
            self._colour.polygon(fine[index], fill=(red, green, blue, step))
            self._kind.polygon(plain[index], fill=kind)

    def crowns(self, centres: ArrayLike, radii: ArrayLike, colours: NDArray[np.float64], heights: ArrayLike) -> None:
        """Many trees, each of three discs that get smaller, higher and lighter; `colours` is (n, 3)."""
        centre = self.pixels(np.asarray(centres, float).reshape(-1, 2))
        count = len(centre)
        radius = np.broadcast_to(np.asarray(radii, float), (count,)) * self.scale
        height = np.broadcast_to(np.asarray(heights, float), (count,)) / HEIGHT_STEP
        seen = _seen(centre[:, None] + radius[:, None, None] * np.array([[-1, -1], [1, 1]]), self.width, self.height)
        kind, over = NUMBER["tree"], OVERSAMPLING
        shades = [np.clip(colours * factor, 0, 255).astype(int).tolist() for factor in (0.94, 1.06)]
        for index in np.flatnonzero(seen).tolist():
            x, y = centre[index].tolist()
            r, top = float(radius[index]), float(height[index])
            self._kind.ellipse((x - r, y - r, x + r, y + r), fill=kind)
            for size, share, shade in ((1.0, 0.55, shades[0]), (0.7, 0.85, shades[1]), (0.35, 1.0, shades[1])):
                s = r * size * over
                ink = (*shade[index], int(min(255.0, top * share)))
                self._colour.ellipse((over * x - s, over * y - s, over * x + s, over * y + s), fill=ink)

    def block(self, points: ArrayLike, height: float, roof: Colour, surface: str = "roof") -> None:
        """A prism with a flat roof, which leans if seen off nadir."""
        base = self.pixels(points)
        lean = np.array(self.view.lean) * height * self.scale
        top = base + lean
        if np.hypot(*lean) > 0.3:
            for start, end in zip(range(-1, len(base) - 1), range(len(base)), strict=True):
                side = np.stack([base[start], base[end], top[end], top[start]])
                self._polygon(side, surface, (150, 146, 140), height / 2)
        self._polygon(top, surface, roof, height)

    def gable(self, x: float, y: float, w: float, h: float, height: float, roof: Colour) -> None:
        """A house of size (w, h) with a ridge along its longer side; the roof facing the sun is lighter."""
        frame = self.at(x, y, 0.0 if w >= h else np.pi / 2)
        long, short = max(w, h) / 2, min(w, h) / 2
        frame.block(rectangle(0, 0, 2 * long, 2 * short), height, roof)
        lean = np.linalg.solve(frame.matrix, np.array(self.view.lean) * self.scale)
        for side in (-1.0, 1.0):
            facing = side * np.array([-np.sin(frame.angle), np.cos(frame.angle)])
            half = np.array([[-long, 0], [long, 0], [long, side * short], [-long, side * short]])
            frame.area(half + lean * height, "roof", shaded(roof, self.view.on_slope(facing, 0.5)), height + 1)

    def cast(self, points: ArrayLike, width: float, heights: ArrayLike) -> None:
        """The shadow of a thin line at `heights` metres above (n, 2) points, such as a crane."""
        away = self.view.shadow_per_metre * np.asarray(heights, float).reshape(-1, 1) * self.scale
        corners = self.pixels(points) + away
        thick = max(1, round(width * self.scale))
        self._shade.line(corners.ravel().tolist(), fill=200, width=thick)

    def layers(self) -> tuple[Floats, Floats, NDArray[np.uint8], Floats]:
        """Colour (h, w, 3) in [0, 1], height in metres, surface type and drawn shadow in [0, 1], each (h, w)."""
        reduced = np.asarray(self._colours.reduce(OVERSAMPLING))
        colour = reduced[..., :3].astype(np.float32) * np.float32(1 / 255)
        height = reduced[..., 3].astype(np.float32) * np.float32(HEIGHT_STEP)
        shade = np.asarray(self._shades).astype(np.float32) * np.float32(1 / 255)
        return colour, height, np.asarray(self._kinds), shade


def _seen(corners: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    low, high = corners.min(axis=1), corners.max(axis=1)
    inside: NDArray[np.bool_] = (high > 0).all(axis=1) & (low < np.array([width, height])).all(axis=1)
    return inside


def _rgb(values: ArrayLike) -> Colour:
    red, green, blue = (int(v) for v in np.clip(np.asarray(values, float), 0, 255))
    return red, green, blue


def shaded(colour: Colour, factor: float) -> Colour:
    """`colour` multiplied by `factor` in linear light."""
    return _rgb(np.array(colour, float) * np.sqrt(max(0.0, factor)))


def tint(rng: np.random.Generator, colour: Colour, amount: float = 12.0) -> Colour:
    """`colour` with random changes of brightness and, less, of hue."""
    return _rgb(np.array(colour, float) + rng.normal(0, amount) + rng.normal(0, amount / 3, 3))


def rectangle(x: float, y: float, w: float, h: float) -> NDArray[np.float64]:
    """The four corners of a rectangle of size (w, h) round (x, y)."""
    return np.array([[x - w / 2, y - h / 2], [x + w / 2, y - h / 2], [x + w / 2, y + h / 2], [x - w / 2, y + h / 2]])


def ellipse(x: float, y: float, a: float, b: float, count: int = 48) -> NDArray[np.float64]:
    """Points of an ellipse with half axes a and b."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + a * np.cos(angle), y + b * np.sin(angle)], axis=1)


def oval(x: float, y: float, a: float, b: float) -> NDArray[np.float64]:
    """A stadium shape: a rectangle of half sides (a, b), a ≥ b, with half circles as short sides."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 24)
    right = np.stack([x + (a - b) + b * np.cos(angle), y + b * np.sin(angle)], axis=1)
    return np.concatenate([right, 2 * np.array([x, y]) - right])


def blob(rng: np.random.Generator, x: float, y: float, a: float, b: float, rough: float = 0.25,
         count: int = 72) -> NDArray[np.float64]:  # fmt: skip
    """A smooth random outline around an ellipse."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = np.ones(count)
    for order in range(2, 8):
        radius += rough / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.45, 1.6)
    return np.stack([x + a * radius * np.cos(angle), y + b * radius * np.sin(angle)], axis=1)


def wander(rng: np.random.Generator, length: float, sway: float, count: int = 40) -> NDArray[np.float64]:
    """A smooth random line along x from −length to length, with an amplitude of about `sway` in y."""
    along = np.linspace(-length, length, count)
    y = sum(
        sway / order * rng.normal() * np.sin(order * np.pi * along / length + rng.uniform(0, 2 * np.pi))
        for order in (1, 2, 3)
    )
    return np.stack([along, np.broadcast_to(y, along.shape)], axis=1)
