"""One image coded by several codecs to files of about one size: for the notebook that shows the reader's own image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from satstudy.codecs import Codec, registry
from satstudy.codecs.base import closest_rate
from satstudy.codecs.learned.ladder import shipped_ladder
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.metrics import quality
from satstudy.report.labels import codec_name


class Coding(NamedTuple):
    """A codec with its setting, the file that it made, and the pixels decoded from it."""

    codec: Codec
    data: bytes
    decoded: Pixels


def coded(codec: Codec, image: Pixels) -> Coding:
    """The image coded and decoded."""
    data = codec.encode(image)
    return Coding(codec, data, codec.decode(data))


def of_size(name: str, image: Pixels, size: float) -> Coding:
    """The coding of `image` whose file is nearest to `size` bytes, of all settings of the codec.

    Raises
    ------
    InputError
        No such codec, or one whose setting is neither a rate nor a quality from 0 to 100.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None], (64, 80, 3))
    >>> of_size("jpeg2000", ramp, 400).codec.setting
    'bpp=0.625'
    """
    entry = registry.find(name)
    if entry.parameter == "bpp":
        return coded(entry.make(8 * size / image[..., 0].size), image)
    if entry.parameter != "quality":
        raise InputError(f"No file size can be aimed at by the {entry.parameter} of {name}: take jpeg2000 or avif.")
    files: dict[int, bytes] = {}

    def length(index: int) -> int:
        if index not in files:
            files[index] = entry.make(1 + index).encode(image)
        return len(files[index])

    best = closest_rate(length, 100, size)
    length(best)
    codec = entry.make(1 + best)
    return Coding(codec, files[best], codec.decode(files[best]))


def equal_files(image: Pixels, bpp: float) -> list[Coding]:
    """The learned codec with the shipped weights, AVIF and JPEG 2000, in files of nearly equal size.

    AVIF has the coarsest settings: it aims at the size of a first file of the learned codec at `bpp`, then the learned
    codec at the size of the AVIF file, and JPEG 2000 at that of the learned codec.

    Parameters
    ----------
    image : uint8 (height, width, 3)
    bpp : wanted rate in bits per pixel

    Raises
    ------
    InputError
        A rate that is not above 0, or no shipped weights.
    """
    if not bpp > 0:
        raise InputError(f"The rate of {bpp:g} bpp must be above 0: take 0.3, for one.")
    pixels = image[..., 0].size
    ladder = shipped_ladder()
    avif = of_size("avif", image, len(ladder.encode(image, bpp=bpp).data))
    learned = ladder.encode(image, bpp=8 * len(avif.data) / pixels)
    own = Coding(learned.codec, learned.data, learned.codec.decode(learned.data))
    return [own, avif, of_size("jpeg2000", image, len(own.data))]


def coding_table(image: Pixels, codings: Sequence[Coding]) -> pd.DataFrame:
    """codec, setting, bytes, bpp, psnr (dB), ms_ssim (nan below 161 pixels a side) of each coding."""
    rows = [
        (coding.codec.name, coding.codec.setting, len(coding.data), quality.bpp(len(coding.data), *image.shape[:2]),
         quality.psnr(image, coding.decoded), quality.ms_ssim(image, coding.decoded))
        for coding in codings
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["codec", "setting", "bytes", "bpp", "psnr", "ms_ssim"])


def labelled(codings: Sequence[Coding]) -> dict[str, Pixels]:
    """Label of each codec → its decoded pixels."""
    return {codec_name(coding.codec.name): coding.decoded for coding in codings}
