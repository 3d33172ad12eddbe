"""Learned codecs in the order of their rates, and the search for the one that meets a rate or a PSNR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from satstudy.codecs.base import closest_rate
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import Checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.codecs.registry import CodecEntry
from satstudy.codecs.wavelet.config import named_lams
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.data.sources import MaskedSource, Source, masked
from satstudy.metrics.quality import bpp as bits_per_pixel
from satstudy.metrics.quality import psnr_of_error


def shipped_codecs(entry: CodecEntry, **options: Any) -> list[LearnedCodec]:
    """A learned codec with the weights that ship, at each λ of its ladder or of these weights.

    Parameters
    ----------
    options : of `LearnedCodec`

    Raises
    ------
    InputError
        None ship.
    """
    assert entry.learned is not None
    if not checkpoint.ships(entry.learned):
        raise checkpoint.none_ship(f"of {entry.name}", "train them, or name a file of weights")
    if entry.learned.every_rate and (path := checkpoint.shipped_for_every_rate(entry.learned.domain)):
        return codecs_of(checkpoint.load(path), entry, **options)
    return [
        LearnedCodec(checkpoint.load(path), **options) for path in checkpoint.shipped(entry.learned.domain).values()
    ]


def codecs_of(weights: Checkpoint, entry: CodecEntry, **options: Any) -> list[LearnedCodec]:
    """The codecs of given weights: at each λ of the ladder if they serve every rate, else the one."""
    base = LearnedCodec(weights, **options)
    return [base.at(float(lam)) for lam in entry.ladder] if weights.serves_every_rate else [base]


class Coded(NamedTuple):
    """A file, what made it, and what was asked of it."""

    data: bytes
    codec: LearnedCodec
    bpp: float
    psnr: float | None  #: in dB, over the pixels that have data; None where it was not asked for


class Ladder:
    """Codecs rising in rate: one for each λ that a file can name, or one for each of several weights.

    Parameters
    ----------
    weights : a checkpoint that serves every rate, or paths of weights for one λ each, rising in λ
    options : of `LearnedCodec`

    Raises
    ------
    InputError
        A checkpoint of one rate.
    """

    def __init__(self, weights: Checkpoint | Sequence[Path], **options: Any):
        self._made: dict[int, LearnedCodec] = {}
        self._makers: list[Callable[[], LearnedCodec]]
        if isinstance(weights, Checkpoint):
            if not weights.serves_every_rate:
                raise InputError(f"{weights.path} is for lam = {weights.lam:g} alone: name weights for every rate.")
            base = LearnedCodec(weights, **options)
            self._makers = [partial(base.at, lam) for lam in named_lams()]
        else:
            self._makers = [partial(_loaded, path, options) for path in weights]

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, index: int) -> LearnedCodec:
        if index not in self._made:
            self._made[index] = self._makers[index]()
        return self._made[index]

    def encode(
        self,
        image: Pixels | Source | MaskedSource,
        notes: dict[str, Any] | None = None,
        *,
        bpp: float | None = None,
        psnr: float | None = None,
    ) -> Coded:
        """The file that comes closest to a rate in bits per pixel or to a PSNR in dB; both rise from codec to codec.

        Examples
        --------
        >>> from satstudy.codecs.learned.checkpoint import load
        >>> ladder = Ladder(load("weights.safetensors"))  # doctest: +SKIP
        >>> ladder.encode(image, bpp=0.4).data  # doctest: +SKIP
        """
        if (bpp is None) == (psnr is None):
            raise InputError("Name a rate or a PSNR, one of them.")
        found: dict[int, Coded] = {}

        def measured(index: int) -> float:
            if index not in found:
                codec = self[index]
                data = codec.encode(image, notes)
                height, width = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
                reached = None if psnr is None else file_psnr(codec, data, image)
                found[index] = Coded(data, codec, bits_per_pixel(len(data), height, width), reached)
            return found[index].bpp if psnr is None else found[index].psnr or 0.0

        best = closest_rate(measured, len(self), float(bpp if psnr is None else psnr))  # type: ignore[arg-type]
        measured(best)
        return found[best]


def shipped_ladder(**options: Any) -> Ladder:
    """The ladder of the weights in the package: of one model for every rate if there is one, else of each λ.

    Parameters
    ----------
    options : of `LearnedCodec`

    Raises
    ------
    InputError
        No weights are in the package.
    """
    every, known = checkpoint.shipped_for_every_rate(), list(checkpoint.shipped().values())
    if every is None and not known:
        raise checkpoint.none_ship("for overhead images", "name some with --weights")
    return Ladder(known if every is None else checkpoint.load(every), **options)


def _loaded(path: Path, options: dict[str, Any]) -> LearnedCodec:
    return LearnedCodec(checkpoint.load(path), **options)


def file_psnr(codec: LearnedCodec, data: bytes, image: Pixels | Source | MaskedSource) -> float:
    """PSNR in dB of a file against the image, over the pixels that have data; neither is held in memory as a whole."""
    total = samples = 0
    for top, band in codec.bands(codec.open(data)):
        bottom = top + len(band)
        if isinstance(image, np.ndarray):
            original, valid = image[top:bottom], None
        else:
            original = image.read(top, bottom, 0, image.width)
            tells = masked(image)
            valid = tells.valid(top, bottom, 0, image.width) if tells else None
        difference = original.astype(np.int64) - band
        if valid is not None:
            difference = difference[valid]
        total += int(np.vdot(difference, difference))
        samples += difference.size
    return psnr_of_error(total, samples)
