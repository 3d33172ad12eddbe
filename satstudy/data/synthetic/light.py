"""Rendering of the drawn ground: texture, relief, sun and shadow, atmosphere, and the sensor.

Texture is a sum of octaves of equal variance, so that its power falls as f⁻², as in natural images (Field, 1987). The
relief is shaded by its slope, and shadows are cast from the height map. Light is linear (the square of display values).
The atmosphere adds light; the sensor blurs, sharpens and adds noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from satstudy.data.synthetic.canvas import SURFACES, Canvas, Floats
from satstudy.data.synthetic.view import View

#: Half the side of the textured square of ground, relative to the field of view.
REACH = 0.8
SKY = np.array([0.23, 0.27, 0.33], dtype=np.float32)  # light in shadow
SUN = np.array([0.78, 0.76, 0.73], dtype=np.float32)
AIR = np.array([0.30, 0.36, 0.44], dtype=np.float32)  # colour of haze


def _resize(grid: Floats, size: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> Floats:
    image = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC, box=box)
    return np.asarray(image, dtype=np.float32)


def octaves(rng: np.random.Generator, cells: int, levels: int) -> Floats:
    """Noise of unit variance, (cells, cells): the sum of `levels` octaves of equal variance."""
    grid = np.zeros((1, 1), dtype=np.float32)
    for level in range(levels - 1, -1, -1):
        side = max(2, -(-cells // 2**level))
        grid = _resize(grid, (side, side)) if grid.size > 1 else np.zeros((side, side), np.float32)
        grid = grid + rng.standard_normal((side, side), dtype=np.float32)
    return grid / np.float32(max(1e-6, float(grid.std())))


class Texture:
    """Noise fixed to the ground: all views of an object have the same texture."""

    def __init__(self, seed: tuple[int, ...], field: float, view: View, width: int, height: int):
        self.seed, self.field, self.view, self.size = seed, field, view, (width, height)

    def band(self, name: int, cell: float, levels: int) -> Floats:
        """Octaves with wavelengths from `cell` metres upwards, sampled by the view: (h, w)."""
        half = REACH * self.field
        cells = int(np.ceil(2 * half / cell))
        grid = octaves(np.random.default_rng([*self.seed, name]), cells, levels)
        width, height = self.size
        # The image's corners in cells from the grid's top left.
        per_cell = self.view.gsd / cell
        left = cells / 2 - (width / 2 + self.view.offset[0] / self.view.gsd) * per_cell
        top = cells / 2 - (height / 2 + self.view.offset[1] / self.view.gsd) * per_cell
        box = (left, top, left + width * per_cell, top + height * per_cell)
        limits = [min(max(v, 0.0), float(cells)) for v in box]
        return _resize(grid, self.size, (limits[0], limits[1], limits[2], limits[3]))


def shadows(height: Floats, view: View) -> Floats:
    """Fraction of direct sunlight that is blocked at each point of a height map (h, w), 0..1.

    The range of a running maximum along the ray to the sun doubles with each of log2(length) steps.
    """
    reach = float(height.max()) / np.tan(np.radians(view.sun_elevation)) / view.gsd
    drop = np.float32(np.tan(np.radians(view.sun_elevation)) * view.gsd)
    blocking = np.pad(height, 0)
    step = 1
    horizon = np.full_like(height, -1e3)
    while step <= max(1.0, min(reach, 256.0)) * 1.01:
        dx, dy = np.round(view.to_sun * step).astype(int)
        moved = _moved(blocking, dx, dy) - step * drop
        np.maximum(horizon, moved, out=horizon)
        np.maximum(blocking, moved, out=blocking)
        step *= 2
    # A tolerance of half a metre, since heights are rounded.
    return np.clip((horizon - height - np.float32(0.5)) * np.float32(0.7), 0, 1)


def _moved(grid: Floats, dx: int, dy: int) -> Floats:
    """`grid` shifted by (−dx, −dy); −1000 outside."""
    out = np.full_like(grid, -1e3)
    height, width = grid.shape
    if abs(dx) < width and abs(dy) < height:
        out[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)] = grid[
            max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)
        ]
    return out


def _spread(image: Floats, weight: float) -> Floats:
    """Convolution with (weight, 1 − 2·weight, weight) along both axes, twice: the point spread function."""
    for _ in range(2):
        for axis in (0, 1):
            rolled = image.swapaxes(0, axis)
            out = rolled * np.float32(1 - 2 * weight)
            out[1:] += np.float32(weight) * rolled[:-1]
            out[:1] += np.float32(weight) * rolled[:1]
            out[:-1] += np.float32(weight) * rolled[1:]
            out[-1:] += np.float32(weight) * rolled[-1:]
            image = out.swapaxes(0, axis)
    return image


def _table(name: str) -> Floats:
    return np.array([getattr(surface, name) for surface in SURFACES.values()], dtype=np.float32)


def develop(canvas: Canvas, field: float, seed: tuple[int, ...]) -> tuple[NDArray[np.uint8], float]:
    """Render the drawn ground.

    Parameters
    ----------
    canvas : the drawn ground
    field : side of the field of view in metres, equal for all views of an object
    seed : of the object; that of the view is in `canvas.view`

    Returns
    -------
    uint8 (h, w, 3), and the fraction covered by thin cloud, 0..1
    """
    view, width, height_px = canvas.view, canvas.width, canvas.height
    rng = np.random.default_rng([*view.seed, 7])
    colour, height, kind, drawn_shade = canvas.layers()
    texture = Texture(seed, field, view, width, height_px)
    unit = field / 1024
    smallest = max(2 * unit, 1.2 * view.gsd)
    coarse = texture.band(1, 16 * unit, 5)
    middle = texture.band(2, max(4 * unit, 1.2 * view.gsd), 2)
    fine = texture.band(3, smallest, 1) + rng.standard_normal((height_px, width), dtype=np.float32)
    fine *= np.float32(0.7)
    patches = texture.band(4, 24 * unit, 4)

    # The absolute value of noise has sharp valleys and round tops, as canopies seen from above.
    crown = np.abs(middle) + np.float32(0.5) * np.abs(texture.band(5, max(5.0, 2 * view.gsd), 1))
    crown += np.float32(0.12) * fine
    canopy = _table("canopy")[kind]
    relief = height + canopy * (crown * np.float32(0.6))
    # Between crowns less of the sky is visible.
    gaps = np.clip(np.float32(0.75) - np.float32(0.55) * crown, 0, 0.6)
    open_sky = 1 - np.clip(canopy * np.float32(0.3), 0, 1) * gaps

    gain = _table("fine")[kind] * fine
    gain += _table("middle")[kind] * middle
    gain += _table("coarse")[kind] * coarse
    colour *= colour
    colour *= np.clip(1 + gain, 0.25, 2.2)[..., None]
    hue = _table("patchy")[kind] * patches
    colour[..., 0] *= np.clip(1 + hue, 0.4, 2)
    colour[..., 1] *= np.clip(1 + np.float32(0.45) * hue, 0.4, 2)
    colour[..., 2] *= np.clip(1 + np.float32(0.3) * hue, 0.4, 2)

    # Slopes that face the sun are lighter.
    per_metre = np.float32(0.5 / view.gsd)
    slope_x, slope_y = np.zeros_like(relief), np.zeros_like(relief)
    slope_x[:, 1:-1] = (relief[:, 2:] - relief[:, :-2]) * per_metre
    slope_y[1:-1] = (relief[2:] - relief[:-2]) * per_metre
    np.clip(slope_x, -1.2, 1.2, out=slope_x)
    np.clip(slope_y, -1.2, 1.2, out=slope_y)
    sun, elevation = view.to_sun, np.radians(view.sun_elevation)
    facing = slope_x * np.float32(-sun[0] / np.tan(elevation)) + slope_y * np.float32(-sun[1] / np.tan(elevation))
    steep = np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    direct = np.clip((1 + facing) / steep, 0, 1.8)
    direct *= 1 - np.maximum(shadows(relief, view), drawn_shade)
    strength = np.float32(0.75 + 0.35 * np.sin(elevation))

    water = _table("gloss")[kind]
    glint = np.float32(0.02 + 0.03 * abs(np.sin(np.radians(view.off_nadir_azimuth)))) * water
    for channel in range(3):
        colour[..., channel] *= SKY[channel] * open_sky + (strength * SUN[channel]) * direct
        colour[..., channel] += SKY[channel] * glint
    return _sensor(colour, view, coarse, rng)


def _sensor(radiance: Floats, view: View, coarse: Floats, rng: np.random.Generator) -> tuple[NDArray[np.uint8], float]:
    """Atmosphere, optics, contrast stretch and noise; overwrites the linear `radiance`."""
    haze = np.float32(view.haze) * (1 + np.float32(0.08) * coarse)
    cover = 0.0
    if view.veil:
        small = _resize(octaves(rng, 8, 3), (48, 48)) + np.float32(0.12) * octaves(rng, 48, 4)
        cloud = np.clip(_resize(small, (radiance.shape[1], radiance.shape[0])) - np.float32(0.3), 0, 1.2)
        haze = haze + np.float32(view.veil) * cloud
        cover = float((cloud > 0.2).mean())
    np.clip(haze, 0, 0.6, out=haze)
    lightness = np.float32(1.6) if cover else np.float32(1.0)
    for channel in range(3):
        plane = radiance[..., channel]
        plane += haze * (AIR[channel] * lightness - plane)
    image = _spread(radiance, view.blur)
    if view.sharpening:
        image += np.float32(view.sharpening) * (image - _spread(image, 0.22))
    grey = image[::4, ::4].mean(axis=-1)
    low, high = np.percentile(grey, [0.5, 99.3])
    # Delivered products are stretched, but only in part: a dark scene stays darker than a bright one.
    low = view.stretch * low * 0.9
    high = view.stretch * high * 1.1 + (1 - view.stretch) * 0.62
    luma = np.float32(0.3) * image[..., 0] + np.float32(0.5) * image[..., 1] + np.float32(0.2) * image[..., 2]
    image -= luma[..., None]
    image *= np.float32(view.saturation)
    image += luma[..., None]
    image -= np.float32(low)
    image *= (np.array(view.gains) / (high - low)).astype(np.float32)
    np.clip(image, 0, 1.1, out=image)
    if abs(view.gamma - 1) > 0.02:
        np.power(image, np.float32(view.gamma / 2), out=image)
    else:
        np.sqrt(image, out=image)
    image *= np.float32(235)
    image += np.float32(8)
    shape = image.shape[:2]
    # Noise of the panchromatic band, and coarser noise of the colour bands.
    image += np.float32(view.noise) * rng.standard_normal(shape, dtype=np.float32)[..., None]
    for channel in range(3):
        rough = rng.standard_normal((shape[0] // 2 + 1, shape[1] // 2 + 1), dtype=np.float32)
        image[..., channel] += np.float32(0.5 * view.noise) * _resize(rough, (shape[1], shape[0]))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), cover
