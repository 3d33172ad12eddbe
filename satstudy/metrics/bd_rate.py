"""Comparing codecs at equal PSNR: BD-rate of two curves, of each image, and of the mean curves of a set of images.

A rate-distortion frame has a row for each image, codec and setting, with the columns `image`, `codec`, `setting`, `bpp`
and `psnr` (`ms_ssim` and `category` where they are asked for). Codecs are compared over the same images or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.core.types import Floats
from satstudy.metrics.bootstrap import Interval, bootstrap_interval, change_interval

#: Least PSNR range in dB that two curves of an image must share: on less, their BD-rate says little.
MIN_SHARED = 1.0

#: Columns that tell the rows of a rate-distortion frame apart.
KEY = ["image", "codec", "setting"]


# --- Two curves -------------------------------------------------------------------------------------------


def bd_rate(ref_bpp: ArrayLike, ref_psnr: ArrayLike, test_bpp: ArrayLike, test_psnr: ArrayLike) -> float:
    """Bjøntegaard's mean rate difference in percent at equal PSNR; negative where `test` needs fewer bits.

    By the `bjontegaard` package, over the PSNR range that both curves reach, with monotone cubic interpolation (pchip)
    as in the common test conditions of JVET (JVET-T2010). Herglotz et al. (arXiv 2202.12565) find Akima interpolation
    nearer to the truth on curves of four points.

    Raises
    ------
    InputError
        No common PSNR, fewer than two points, a rate of 0 or less, or a value that is not finite.

    Examples
    --------
    >>> rates, psnrs = np.array([0.1, 0.2, 0.4, 0.8]), [24.0, 27.5, 31.0, 34.5]
    >>> round(bd_rate(rates, psnrs, 0.8 * rates, psnrs), 6)
    -20.0
    """
    # Imported here because it imports matplotlib.pyplot, which the codec alone does not need.
    from bjontegaard import bd_rate as library

    (rate_a, psnr_a), (rate_b, psnr_b) = _curve(ref_bpp, ref_psnr), _curve(test_bpp, test_psnr)
    shared_psnr(psnr_a, psnr_b)
    options: dict[str, Any] = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    return float(library(rate_a, psnr_a, rate_b, psnr_b, **options))


def rate_at_psnr(bpp: ArrayLike, psnr: ArrayLike, target: float) -> float:
    """bpp of a curve at `target` dB, by pchip through log(bpp) over PSNR; nan outside the curve.

    >>> round(rate_at_psnr([0.1, 0.2, 0.4], [24.0, 27.0, 30.0], 25.5), 4)
    0.1414
    """
    rate, quality = _curve(bpp, psnr)
    return float(np.exp(PchipInterpolator(quality, np.log(rate), extrapolate=False)(target)))


def shared_psnr(ref_psnr: ArrayLike, test_psnr: ArrayLike) -> tuple[float, float]:
    """(low, high) in dB: the PSNR range that both curves reach. Raises InputError where there is none."""
    ref, test = np.asarray(ref_psnr), np.asarray(test_psnr)
    low, high = float(max(ref.min(), test.min())), float(min(ref.max(), test.max()))
    if not low < high:
        raise InputError(
            f"The curves share no PSNR ({ref.min():.2f}–{ref.max():.2f} dB and {test.min():.2f}–{test.max():.2f} dB): "
            "add settings until they overlap."
        )
    return low, high


def _curve(bpp: ArrayLike, psnr: ArrayLike) -> tuple[Floats, Floats]:
    """A curve by rising PSNR; of points with equal PSNR the cheapest is kept."""
    rate, quality = np.asarray(bpp, dtype=np.float64), np.asarray(psnr, dtype=np.float64)
    if rate.shape != quality.shape or rate.ndim != 1:
        raise InputError(f"A curve is as many rates as PSNR values, not {rate.shape} and {quality.shape}.")
    if not (np.isfinite(rate).all() and np.isfinite(quality).all() and (rate > 0).all()):
        raise InputError("A curve needs rates above 0 and finite PSNR: leave lossless points out.")
    order = np.lexsort((rate, quality))
    quality, first = np.unique(quality[order], return_index=True)
    if len(quality) < 2:
        raise InputError("A curve needs two points of different PSNR or more: evaluate more settings.")
    return rate[order][first], quality


# --- Mean curves ------------------------------------------------------------------------------------------


class _Curves(NamedTuple):
    """The curves of one codec, a row an image (sorted by name), a column a setting (sorted by mean rate)."""

    bpp: Floats
    psnr: Floats

    @property
    def mean_psnr(self) -> Floats:
        return np.asarray(self.psnr.mean(axis=0))


def _curves(frame: pd.DataFrame, codec: str) -> _Curves:
    part = frame[frame["codec"] == codec]
    if part.empty:
        raise InputError(f"The table has no codec {codec!r}: it has {', '.join(sorted(set(frame['codec'])))}.")
    lossless = part.loc[~np.isfinite(part["psnr"]), "image"]
    if len(lossless):
        raise InputError(
            f"{codec} codes {lossless.iloc[0]} without loss, so its PSNR has no mean: leave that image out."
        )
    bpp, psnr = (part.pivot(index="image", columns="setting", values=column) for column in ("bpp", "psnr"))
    order = bpp.mean().sort_values().index
    return _Curves(bpp[order].to_numpy(np.float64), psnr[order].to_numpy(np.float64))


def _of_means(reference: _Curves, test: _Curves, statistic: Callable[..., float], **bootstrap: Any) -> Interval:
    """`statistic(ref_bpp, ref_psnr, test_bpp, test_psnr)` of the mean curves; images are drawn for both codecs at once.

    Resamples in which it raises InputError (mean curves that do not overlap) count as nan.
    """
    parts = [*reference, *test]
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    statistic(*(part.mean(axis=0) for part in parts))  # raises where all images together give no number

    def of(means: Floats) -> float:
        try:
            return float(statistic(*np.split(means, ends)))
        except InputError:
            return math.nan

    return bootstrap_interval(np.concatenate(parts, axis=1), of, **bootstrap)


def image_set(frame: pd.DataFrame) -> list[str]:
    """The images of the frame, sorted; InputError unless every codec and setting has each exactly once."""
    require(frame, tuple(KEY), "The rate-distortion table", "run `evaluate` first")
    if frame.duplicated(KEY).any():
        row = frame[frame.duplicated(KEY)].iloc[0]
        raise InputError(f"{row['image']} stands twice under {row['codec']} {row['setting']}: keep one of the rows.")
    everything = set(frame["image"])
    for (codec, setting), part in frame.groupby(["codec", "setting"]):
        missing = sorted(everything - set(part["image"]))
        if missing:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise InputError(
                f"{codec} {setting} lacks {shown}: codecs are compared on equal images only, resume the run."
            )
    return sorted(everything)


def mean_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over images of each setting: codec, setting, bpp, psnr, ms_ssim, images; by codec and rising bpp.

    `ms_ssim` is nan where any image is too small for it: a mean over the others would be of another set of images.

    Raises
    ------
    InputError
        Codecs or settings of different images, or an image that is coded without loss.
    """
    images = image_set(frame)
    for codec in set(frame["codec"]):
        _curves(frame, codec)
    columns = ["bpp", "psnr", "ms_ssim"]
    groups = frame.groupby(["codec", "setting"])[columns]
    means = groups.mean().where(groups.count() == len(images)).reset_index()
    return means.assign(images=len(images)).sort_values(["codec", "bpp"], ignore_index=True)


# --- Codecs over images -----------------------------------------------------------------------------------


def bd_rates(
    frame: pd.DataFrame,
    reference: str = "jpeg2000",
    *,
    objects: Mapping[str, Hashable] | None = None,
    **bootstrap: Any,
) -> pd.DataFrame:
    """BD-rate of every other codec against `reference`, with bootstrap intervals over images.

    `bd_rate` compares the two curves of each image; it is the mean over images of the logarithm of the rate ratio, as
    a change in %. `of_means` is the BD-rate of the mean curves, which papers often give. It depends on how a codec
    distributes bits over images: with a fixed λ or quality, busy images get more bits, where bits raise the mean PSNR
    least, and the codec seems worse than it is against one of fixed rate (see `choose_by_lambda`).

    An image on which any codec shares less than `MIN_SHARED` dB with the reference is left out for all codecs. A codec
    that does so on most images gets no number and a note.

    Parameters
    ----------
    objects : image → the object it shows; images of one object are drawn together
    bootstrap : `resamples`, `seed` and `level` of `bootstrap_interval`

    Returns
    -------
    DataFrame
        codec, reference, bd_rate, low, high (in %), compared (number of images in this mean), of_means, of_means_low,
        of_means_high (in %, over all images), psnr_low, psnr_high (the PSNR range of the mean curves, in dB), images,
        note
    """
    images = image_set(frame)
    clusters = _clusters(images, objects)
    ref = _curves(frame, reference)
    tests = {codec: _curves(frame, codec) for codec in sorted(set(frame["codec"]) - {reference})}
    enough = {codec: _shared_range(ref, test) >= MIN_SHARED for codec, test in tests.items()}
    usable = [codec for codec, mask in enough.items() if 2 * mask.sum() >= len(images)]
    kept = np.flatnonzero(np.all([enough[codec] for codec in usable], axis=0)) if usable else np.arange(len(images))
    kept_clusters = None if clusters is None else [clusters[i] for i in kept]
    rows = []
    for codec, test in tests.items():
        mean = of_means = Interval(np.nan, np.nan, np.nan)
        span, note, compared = (np.nan, np.nan), "", 0
        try:
            span = shared_psnr(ref.mean_psnr, test.mean_psnr)
            of_means = _of_means(ref, test, bd_rate, clusters=clusters, **bootstrap)
        except InputError as error:
            note = str(error)
        if codec in usable and len(kept):
            compared = len(kept)
            logs = [np.log1p(bd_rate(ref.bpp[i], ref.psnr[i], test.bpp[i], test.psnr[i]) / 100) for i in kept]
            mean = change_interval(logs, clusters=kept_clusters, **bootstrap)
        else:
            few = f"{enough[codec].sum()} of {len(images)} images share {MIN_SHARED:g} dB or more: add settings."
            note = note or few
        rows.append((codec, reference, *mean, compared, *of_means, *span, len(images), note))
    names = ["codec", "reference", "bd_rate", "low", "high", "compared", "of_means", "of_means_low", "of_means_high"]
    return pd.DataFrame(rows, columns=[*names, "psnr_low", "psnr_high", "images", "note"])


def _shared_range(ref: _Curves, test: _Curves) -> Floats:
    """PSNR range in dB that both curves of each image reach: (images,); negative where they are apart."""
    low = np.maximum(ref.psnr.min(axis=1), test.psnr.min(axis=1))
    return np.asarray(np.minimum(ref.psnr.max(axis=1), test.psnr.max(axis=1)) - low)


def _clusters(images: Sequence[str], objects: Mapping[str, Hashable] | None) -> list[Hashable] | None:
    if objects is None:
        return None
    missing = [name for name in images if name not in objects]
    if missing:
        raise InputError(f"No object is given for {missing[0]}: map every image of the table to its object.")
    return [objects[name] for name in images]


def by_category(frame: pd.DataFrame, reference: str = "jpeg2000", **options: Any) -> pd.DataFrame:
    """`bd_rates` for the images of each category, with `category` as the first column."""
    require(frame, ("category",), "The rate-distortion table", "run `evaluate` first")
    tables = {category: bd_rates(part, reference, **options) for category, part in frame.groupby("category")}
    return pd.concat(tables, names=["category"]).reset_index("category").reset_index(drop=True)


def standard_comparisons(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """`bd_rates` against JPEG 2000 and JPEG, and of the learned codec against its twin, where these were measured."""
    codecs = set(frame["codec"])
    if not codecs & {"jpeg2000", "jpeg"}:
        raise InputError(
            "The table has neither JPEG 2000 nor JPEG to compare with: give rd.jpeg2000 or rd.jpeg settings."
        )
    tables = [bd_rates(frame, reference, **options) for reference in ("jpeg2000", "jpeg") if reference in codecs]
    pair = ["learned", "learned-natural"]
    if codecs.issuperset(pair):
        tables.append(bd_rates(frame[frame["codec"].isin(pair)], "learned-natural", **options))
    return pd.concat(tables, ignore_index=True)


def rows_against(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The rows of a BD-rate table that compare with `reference`; InputError if there are none."""
    found = table[table["reference"] == reference]
    if found.empty:
        known = ", ".join(sorted(set(table["reference"]))) or "nothing"
        raise InputError(f"The BD-rate table compares with {known}, not with {reference}: name one of these.")
    return found.reset_index(drop=True)


def choose_by_lambda(frame: pd.DataFrame, codec: str, lams: Sequence[float]) -> pd.DataFrame:
    """The curve of `codec` if λ chose its setting for each image: a control for comparisons of mean curves.

    Nothing is coded. Of the measured settings, each image takes the one with the least `lam · 255² · MSE + bpp`.
    Against itself a codec should have a BD-rate of 0.

    Returns
    -------
    DataFrame
        rows of the frame; `codec` is "<codec>-by-lambda" and `setting` the λ
    """
    part = frame[frame["codec"] == codec].reset_index(drop=True)
    mse = 255**2 * 10 ** (-part["psnr"] / 10)
    tables = []
    for lam in lams:
        best = (lam * mse + part["bpp"]).groupby(part["image"]).idxmin()
        tables.append(part.loc[best].assign(codec=f"{codec}-by-lambda", setting=f"lam={lam:g}"))
    return pd.concat(tables, ignore_index=True)


class RateSaved(NamedTuple):
    """Two codecs at one PSNR: `saved` in percent of `bpp_b`, positive where `codec_a` needs less."""

    psnr: float
    bpp_a: float
    bpp_b: float
    saved: float
    low: float
    high: float


def rate_saved_at_psnr(
    frame: pd.DataFrame,
    codec_a: str,
    codec_b: str,
    psnr: float | None = None,
    *,
    objects: Mapping[str, Hashable] | None = None,
    **bootstrap: Any,
) -> RateSaved:
    """The rate that `codec_a` saves against `codec_b` at equal PSNR, as Table 1 of the paper compares.

    Rates are those of the mean curves at `psnr` dB (`rate_at_psnr`), by default in the middle of the range that both
    reach. The interval resamples images at that PSNR.

    Parameters
    ----------
    objects, bootstrap : as `bd_rates`

    Raises
    ------
    InputError
        A codec that is not in the frame, or a PSNR that one of the two does not reach.
    """
    a, b = _curves(frame, codec_a), _curves(frame, codec_b)
    images = image_set(frame[frame["codec"].isin([codec_a, codec_b])])
    low, high = shared_psnr(a.mean_psnr, b.mean_psnr)
    target = (low + high) / 2 if psnr is None else psnr
    if not low <= target <= high:
        raise InputError(
            f"{target:g} dB lies outside {low:.2f}–{high:.2f} dB, which both {codec_a} and {codec_b} reach."
        )

    def saved(bpp_a: Floats, psnr_a: Floats, bpp_b: Floats, psnr_b: Floats) -> float:
        return 100 * (1 - rate_at_psnr(bpp_a, psnr_a, target) / rate_at_psnr(bpp_b, psnr_b, target))

    found = _of_means(a, b, saved, clusters=_clusters(images, objects), **bootstrap)
    bpp_a, bpp_b = (rate_at_psnr(curves.bpp.mean(axis=0), curves.mean_psnr, target) for curves in (a, b))
    return RateSaved(target, bpp_a, bpp_b, *found)
