"""Distortions other than coding: mistakes of a processing pipeline, and noise similar to that of a codec.

Each maps uint8 (height, width, 3) to the same. A condition names it by a word, with a number if it has a parameter:
`blur 1.5`.
"""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter
from scipy.fft import dctn, idctn

from satstudy.core.errors import InputError, choices
from satstudy.core.types import Floats, Pixels


def swap(image: Pixels) -> Pixels:
    """Exchange red and blue, as if BGR were read as RGB."""
    return np.ascontiguousarray(image[..., ::-1])


def scale(image: Pixels, factor: float) -> Pixels:
    """Multiply all values by `factor`, as if the range of values were misread."""
    return _rounded(image.astype(np.float64) * factor)


def standardise(image: Pixels) -> Pixels:
    """Scale each channel of the image to mean 128 and standard deviation 64."""
    pixels = image.astype(np.float64)
    return _rounded(128 + 64 * (pixels - pixels.mean((0, 1))) / np.maximum(1, pixels.std((0, 1))))


def shift(image: Pixels, pixels: float) -> Pixels:
    """Move the image down and to the right, with black borders, as if its box belonged to another image size."""
    moved = np.zeros_like(image)
    step = int(pixels)
    moved[step:, step:] = image[: image.shape[0] - step, : image.shape[1] - step]
    return moved


def zoom(image: Pixels, factor: float) -> Pixels:
    """Enlarge the centre by `factor`, as if its box belonged to a smaller image."""
    height, width = image.shape[:2]
    cut_h, cut_w = height / factor, width / factor
    box = ((width - cut_w) / 2, (height - cut_h) / 2, (width + cut_w) / 2, (height + cut_h) / 2)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box))


def blur(image: Pixels, sigma: float) -> Pixels:
    """Gaussian blur of `sigma` pixels, similar to that of repeated resampling."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def noise(image: Pixels, quality: float) -> Pixels:
    """Add uniform noise, as wide as JPEG's quantization steps, to the 8×8 DCT coefficients of Y, Cb and Cr.

    The noise is a function of the image.
    """
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    ycc = np.asarray(Image.fromarray(padded).convert("YCbCr"), dtype=np.float64)
    blocks = ycc.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8, 3)
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(image).data))
    steps = np.stack([_jpeg_steps(int(quality))[min(channel, 1)] for channel in range(3)], axis=-1)[:, None]
    coefficients = dctn(blocks, axes=(1, 3), norm="ortho") + rng.uniform(-0.5, 0.5, blocks.shape) * steps
    noisy = _rounded(idctn(coefficients, axes=(1, 3), norm="ortho").reshape(padded.shape))
    return np.asarray(Image.fromarray(noisy, "YCbCr").convert("RGB"))[:height, :width]


@functools.cache
def _jpeg_steps(quality: int) -> tuple[Floats, Floats]:
    """libjpeg's quantization tables (8, 8) of luminance and chrominance at a quality."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as file:
        tables = file.quantization  # type: ignore[attr-defined]
    luminance, colours = (np.array(tables[k], dtype=np.float64).reshape(8, 8) for k in (0, 1))
    return luminance, colours


def _rounded(values: Floats) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


#: Word → function, and the range of its parameter (None without one).
DISTORTIONS: dict[str, tuple[Callable[..., Pixels], tuple[float, float] | None]] = {
    "swap": (swap, None),
    "scale": (scale, (0, 4)),
    "standardise": (standardise, None),
    "shift": (shift, (1, 1000)),
    "zoom": (zoom, (1, 8)),
    "blur": (blur, (0, 20)),
    "noise": (noise, (1, 100)),
}


@dataclass(frozen=True)
class Distortion:
    """One of `DISTORTIONS` with its parameter.

    Examples
    --------
    >>> distort = Distortion.parse("scale 0.5")
    >>> distort(np.full((1, 1, 3), 200, np.uint8)).ravel().tolist()
    [100, 100, 100]
    """

    word: str
    value: float | None = None

    def __call__(self, image: Pixels) -> Pixels:
        function = DISTORTIONS[self.word][0]
        return function(image) if self.value is None else function(image, self.value)

    def __str__(self) -> str:
        return self.word if self.value is None else f"{self.word} {self.value:g}"

    @classmethod
    def parse(cls, text: str) -> Distortion:
        """Parse the name of a distortion in a condition, such as "blur 1.5".

        Raises
        ------
        InputError
            An unknown word, or a number that is missing, out of range or not expected.
        """
        word, _, number = text.partition(" ")
        if word not in DISTORTIONS:
            raise InputError(f"{text!r} is no distortion: {choices(word, DISTORTIONS)}.")
        limits = DISTORTIONS[word][1]
        if limits is None and not number:
            return cls(word)
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if limits is None or not limits[0] <= value <= limits[1]:
            wanted = f"a number from {limits[0]:g} to {limits[1]:g}" if limits else "no number"
            raise InputError(f"{text!r} is no distortion: {word} takes {wanted}.")
        return cls(word, value)
