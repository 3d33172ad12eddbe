"""The acquisition of one synthetic image: sun, season, atmosphere and sensor."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class View:
    """Acquisition parameters of one image; angles in degrees, azimuths clockwise from north."""

    gsd: float  # ground sample distance, metres per pixel
    offset: tuple[float, float]  # of the scene in the image, metres
    time: datetime.datetime
    southern: bool
    arid: float  # 0 humid .. 1 dry
    sun_azimuth: float
    sun_elevation: float
    off_nadir: float
    off_nadir_azimuth: float
    haze: float  # fraction of the light that the atmosphere adds
    veil: float  # opacity of thin cloud, 0 .. 0.4
    blur: float  # weight of each neighbour in the point spread function
    sharpening: float  # strength of the unsharp mask
    noise: float  # grey levels
    gamma: float
    gains: tuple[float, float, float]
    saturation: float
    stretch: float  # contrast stretch: 0 none .. 1 percentiles to the full range
    seed: tuple[int, ...] = field(default=(0,))

    @property
    def season(self) -> float:
        """Time of the year in the northern hemisphere, 0..1: 0.5 is the middle of summer."""
        return (self.time.timetuple().tm_yday / 365 + (0.5 if self.southern else 0.0)) % 1

    @property
    def green(self) -> float:
        """Growth of the vegetation, 0..1."""
        growth = 0.5 - 0.5 * np.cos(2 * np.pi * (self.season - 0.03))
        return float(np.clip(growth * 1.25, 0, 1) * (1 - 0.6 * self.arid))

    @property
    def autumn(self) -> float:
        """Autumn colour of leaves, 0..1."""
        return float(np.exp(-(((self.season - 0.82) / 0.06) ** 2)))

    @property
    def to_sun(self) -> NDArray[np.float64]:
        """Unit vector on the ground (x right, y down) towards the sun."""
        angle = np.radians(self.sun_azimuth)
        return np.array([np.sin(angle), -np.cos(angle)])

    @property
    def shadow_per_metre(self) -> NDArray[np.float64]:
        """Displacement (x, y) in metres of the shadow of a point one metre above the ground."""
        end: NDArray[np.float64] = -self.to_sun / np.tan(np.radians(self.sun_elevation))
        return end

    @cached_property
    def lean(self) -> tuple[float, float]:
        """Displacement (x, y) in metres of a point one metre above the ground, as seen off nadir."""
        angle, length = np.radians(self.off_nadir_azimuth), np.tan(np.radians(self.off_nadir))
        return float(np.sin(angle) * length), float(-np.cos(angle) * length)

    def on_slope(self, facing: ArrayLike, slope: float) -> float:
        """Sunlight on a plane that descends by `slope` towards `facing`, relative to level ground."""
        elevation = np.radians(self.sun_elevation)
        towards = float(np.dot(np.asarray(facing, float), self.to_sun))
        tilt = np.arctan(slope)
        light = np.cos(tilt) * np.sin(elevation) + np.sin(tilt) * np.cos(elevation) * towards
        return float(np.clip(light / np.sin(elevation), 0.35, 1.5))


def random_view(
    rng: np.random.Generator,
    gsd: float,
    latitude: float,
    arid: float,
    seed: tuple[int, ...],
) -> View:
    """A random acquisition in a sun-synchronous morning orbit, on a day of 2010–2017.

    Parameters
    ----------
    gsd : metres per pixel
    latitude : degrees, negative in the south; determines the sun's position, with day and hour
    arid : 0 humid .. 1 dry
    seed : of this view, for its texture and noise
    """
    day = datetime.datetime(2010, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(days=int(rng.integers(2900)))
    hour = rng.uniform(9.75, 11.5)
    time = day + datetime.timedelta(seconds=int(hour * 3600))
    declination = np.radians(-23.44 * np.cos(2 * np.pi * (time.timetuple().tm_yday + 10) / 365))
    angle, lat = np.radians(15 * (hour - 12)), np.radians(latitude)
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(angle)
    east = -np.cos(declination) * np.sin(angle)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(angle)
    elevation = float(np.clip(np.degrees(np.arcsin(up)), 18, 80))
    haze = float(rng.beta(1.6, 6.0) * 0.4)
    return View(
        gsd=gsd,
        offset=(float(rng.normal(0, 4)), float(rng.normal(0, 4))),
        time=time,
        southern=latitude < 0,
        arid=arid,
        sun_azimuth=float(np.degrees(np.arctan2(east, north)) % 360),
        sun_elevation=elevation,
        off_nadir=float(rng.uniform(1, 26)),
        off_nadir_azimuth=float(rng.uniform(0, 360)),
        haze=haze,
        veil=float(rng.uniform(0.1, 0.4)) if rng.random() < 0.1 else 0.0,
        blur=float(rng.uniform(0.06, 0.16)),
        sharpening=float(rng.uniform(0.0, 0.6)),
        noise=float(rng.uniform(0.8, 2.6)),
        gamma=float(rng.uniform(0.85, 1.15)),
        gains=(float(rng.normal(1, 0.04)), 1.0, float(rng.normal(0.98, 0.05))),
        saturation=float(rng.uniform(0.45, 0.85)),
        stretch=float(rng.uniform(0.45, 1.0)),
        seed=seed,
    )
