"""Comparing codecs from a rate-distortion frame, always over the same images for every codec."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from satstudy.core.errors import InputError
from satstudy.core.types import Floats
from satstudy.metrics.bootstrap import (
    Interval,
    bootstrap_interval,
    change_interval,
)

#: An image whose curves have less than this in common, in dB, says little about two codecs.
MIN_SHARED = 1.0


def _clusters(frame: pd.DataFrame, objects: Mapping[str, Hashable] | None) -> list[Hashable] | None:
    if objects is None:
        return None
    names = sorted(set(frame["image"]))
    missing = [name for name in names if name not in objects]
    if missing:
        raise InputError(f"No object is given for {missing[0]}: map every image of the table to its object.")
    return [objects[name] for name in names]


def _shared(ref_psnr: Floats, psnr: Floats) -> Floats:
    """dB of PSNR that both curves of each image reach: (images,); negative where they are apart."""
    low = np.maximum(ref_psnr.min(axis=1), psnr.min(axis=1))
    high = np.minimum(ref_psnr.max(axis=1), psnr.max(axis=1))
    return np.asarray(high - low)


def bd_rates(
    frame: pd.DataFrame,
    reference: str = "jpeg2000",
    *,
    objects: Mapping[str, Hashable] | None = None,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """BD-rate of every other codec against `reference`, with bootstrap intervals over images.

    That of an image is of its own two curves; what is given is the mean over images in the logarithm of the rate. The
    BD-rate of the mean curves, which papers often give, stands beside it. It depends on how bits are dealt out
    among images: a codec of fixed λ or quality spends more on busy images, where bits raise the mean PSNR least, and
    so seems worse than it is against one of fixed rate (see `steered`).

    Images of which any codec shares less than `MIN_SHARED` with the reference are left out for all. A codec that does
    so on most images is given no number.

    Parameters
    ----------
    objects : image → the object it shows; images of one object are then drawn together
    seed, n, level : of `metrics.bootstrap_interval`

    Returns
    -------
    DataFrame
        codec, reference, bd_rate, low, high (in %, negative is better), compared (how many images this is the mean
        of), of_means, of_means_low, of_means_high (of the mean curves of all images, in %), psnr_low, psnr_high (the
        range of these, dB), images, note (why there is no number, where there is none)
    """
    images, clusters = image_set(frame), _clusters(frame, objects)
    options: dict[str, Any] = {"seed": seed, "n": n, "level": level}
    ref_rate, ref_psnr = points(frame, reference)
    measured = {codec: points(frame, codec) for codec in sorted(set(frame["codec"]) - {reference})}
    enough = {codec: _shared(ref_psnr, psnr) >= MIN_SHARED for codec, (_, psnr) in measured.items()}
    most = {codec: mask for codec, mask in enough.items() if 2 * mask.sum() >= len(images)}
    kept = np.flatnonzero(np.logical_and.reduce([*most.values(), np.ones(len(images), bool)]))
    some = None if clusters is None else [clusters[i] for i in kept]
    rows = []
    for codec, (rate, quality) in measured.items():
        found = of_means = Interval(np.nan, np.nan, np.nan)
        span, note = (np.nan, np.nan), ""
        try:
            span = overlap(ref_psnr.mean(axis=0), quality.mean(axis=0))
            of_means = bd_rate_interval(ref_rate, ref_psnr, rate, quality, clusters=clusters, **options)
        except InputError as error:
            note = str(error)
        counted = len(kept) if codec in most else 0
        if counted:
            logs = [np.log1p(bd_rate(ref_rate[i], ref_psnr[i], rate[i], quality[i]) / 100) for i in kept]
            found = change_interval(logs, clusters=some, **options)
        else:
            few = f"{enough[codec].sum()} of {len(images)} images share {MIN_SHARED:g} dB or more: add settings."
            note = note or few
        rows.append((codec, reference, *found, counted, *of_means, *span, len(images), note))
    names = ["codec", "reference", "bd_rate", "low", "high", "compared", "of_means", "of_means_low", "of_means_high"]
    return pd.DataFrame(rows, columns=[*names, "psnr_low", "psnr_high", "images", "note"])


def against(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
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


def of_reference(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The rows of a BD-rate table that compare with `reference`; InputError if there are none."""
    found = table[table["reference"] == reference]
    if found.empty:
        known = ", ".join(sorted(set(table["reference"]))) or "nothing"
        raise InputError(f"The BD-rate table compares with {known}, not with {reference}: name one of these.")
    return found.reset_index(drop=True)


def steered(frame: pd.DataFrame, codec: str, lams: Sequence[float]) -> pd.DataFrame:
    """What `codec` would be if λ chose its setting for each image: a control for comparisons of mean curves.

    Nothing is coded: of the settings that were measured, each image takes that of the least
    `lam · 255² · MSE + bpp`. Against itself a codec should have a BD-rate of 0.

    Returns
    -------
    DataFrame
        rows of the frame; `codec` is "<codec>-steered" and `setting` the λ
    """
    part = frame[frame["codec"] == codec].reset_index(drop=True)
    mse = 255**2 * 10 ** (-part["psnr"] / 10)
    tables = []
    for lam in lams:
        best = (lam * mse + part["bpp"]).groupby(part["image"]).idxmin()
        tables.append(part.loc[best].assign(codec=f"{codec}-steered", setting=f"lam={lam:g}"))
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
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> RateSaved:
    """The rate that `codec_a` saves against `codec_b` at equal PSNR, as Table 1 of the paper compares.

    Rates are read off the mean curves (`metrics.rate_at_psnr`) at `psnr` dB, by default the middle of what
    both reach; the interval resamples images at that PSNR.

    Raises
    ------
    InputError
        A codec that is not in the frame, or a PSNR that one of the two does not reach.
    """
    pair = frame[frame["codec"].isin([codec_a, codec_b])]
    rate_a, psnr_a = points(frame, codec_a)
    rate_b, psnr_b = points(frame, codec_b)
    image_set(pair)
    low, high = overlap(psnr_a.mean(axis=0), psnr_b.mean(axis=0))
    target = (low + high) / 2 if psnr is None else psnr
    if not low <= target <= high:
        raise InputError(
            f"{target:g} dB lies outside {low:.2f}–{high:.2f} dB, which both {codec_a} and {codec_b} reach."
        )
    parts = [rate_a, psnr_a, rate_b, psnr_b]
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]

    def rates(means: Floats) -> tuple[float, float]:
        a, pa, b, pb = np.split(means, ends)
        return rate_at_psnr(a, pa, target), rate_at_psnr(b, pb, target)

    def saved(means: Floats) -> float:
        a, b = rates(means)
        return 100 * (1 - a / b)

    values = np.concatenate(parts, axis=1)
    found = bootstrap_interval(values, saved, clusters=_clusters(pair, objects), seed=seed, n=n, level=level)
    return RateSaved(target, *rates(values.mean(axis=0)), *found)


def by_category(frame: pd.DataFrame, reference: str = "jpeg2000", **options: Any) -> pd.DataFrame:
    """`bd_rates` for the images of each category, with `category` as the first column."""
    tables = [
        bd_rates(part, reference, **options).assign(category=category) for category, part in frame.groupby("category")
    ]
    if not tables:
        raise InputError("The rate-distortion table has no rows: run `evaluate` first.")
    table = pd.concat(tables, ignore_index=True)
    return table[["category", *(column for column in table.columns if column != "category")]]


KEY = ["image", "codec", "setting"]


def image_set(frame: pd.DataFrame) -> list[str]:
    """The images of the frame, sorted; InputError unless every codec and setting has each exactly once."""
    if frame.empty:
        raise InputError("The rate-distortion table has no rows: run `evaluate` first.")
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


def points(frame: pd.DataFrame, codec: str) -> tuple[Floats, Floats]:
    """bpp and psnr of one codec as (images, settings), images sorted by name, settings by rate."""
    part = frame[frame["codec"] == codec]
    if part.empty:
        raise InputError(f"The table has no codec {codec!r}: it has {', '.join(sorted(set(frame['codec'])))}.")
    lossless = part.loc[~np.isfinite(part["psnr"]), "image"]
    if len(lossless):
        raise InputError(
            f"{codec} codes {lossless.iloc[0]} without loss, so its PSNR has no mean: leave that image out."
        )
    rate, quality = (part.pivot(index="image", columns="setting", values=column) for column in ("bpp", "psnr"))
    order = rate.mean().sort_values().index
    return rate[order].to_numpy(np.float64), quality[order].to_numpy(np.float64)


def mean_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over images of each setting: codec, setting, bpp, psnr, ms_ssim, images; by codec and rising bpp.

    `ms_ssim` is nan where any image is too small for it: a mean over other images would be another set.
    """
    images = image_set(frame)
    for codec in set(frame["codec"]):
        points(frame, codec)
    columns = ["bpp", "psnr", "ms_ssim"]
    groups = frame.groupby(["codec", "setting"])[columns]
    means = groups.mean().where(groups.count() == len(images)).reset_index()
    return means.assign(images=len(images)).sort_values(["codec", "bpp"], ignore_index=True)


def interpolated_curves(frame: pd.DataFrame, codecs: Sequence[str] | None = None, count: int = 50) -> pd.DataFrame:
    """Mean PSNR at equal rates (`metrics.interpolated_means`): codec, bpp, psnr; a codec over its own range.

    Raises InputError naming the codec whose images share no rate, as codecs steered by quality may where the
    images differ much: leave it out by `codecs`, or evaluate more of its settings.
    """
    image_set(frame)
    tables = []
    for codec in sorted(set(frame["codec"])) if codecs is None else codecs:
        try:
            rates, means = interpolated_means(*points(frame, codec), count)
        except InputError as error:
            raise InputError(f"{codec}: {error}") from None
        tables.append(pd.DataFrame({"codec": codec, "bpp": rates, "psnr": means}))
    return pd.concat(tables, ignore_index=True)


# --- Curves ---------------------------------------------------------------------------------------------
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


def overlap(ref_psnr: ArrayLike, test_psnr: ArrayLike) -> tuple[float, float]:
    """(low, high) in dB: the PSNR that both curves reach. Raises InputError where there is none."""
    ref, test = np.asarray(ref_psnr), np.asarray(test_psnr)
    low, high = float(max(ref.min(), test.min())), float(min(ref.max(), test.max()))
    if not low < high:
        raise InputError(
            f"The curves share no PSNR ({ref.min():.2f}–{ref.max():.2f} dB and {test.min():.2f}–{test.max():.2f} dB): "
            "add settings until they overlap."
        )
    return low, high


def bd_rate(
    ref_bpp: ArrayLike,
    ref_psnr: ArrayLike,
    test_bpp: ArrayLike,
    test_psnr: ArrayLike,
    method: Literal["pchip", "akima"] = "pchip",
) -> float:
    """Bjøntegaard's average rate difference in percent at equal PSNR; negative where `test` needs less.

    By the `bjontegaard` package, over the PSNR that both curves reach (see `overlap`). The default is
    `pchip`, as in the common test conditions of JCT-VC and JVET (JVET-T2010): it keeps rate monotone between
    measured points. Herglotz et al. (arXiv 2202.12565) find `akima` nearer to the truth on four-point curves;
    with eight points the two agree to a fraction of a percent.

    Raises
    ------
    InputError
        No common PSNR, fewer than two points, or a point that is not finite.
    """
    # Imported here because it imports matplotlib.pyplot, which the codec alone does not need.
    from bjontegaard import bd_rate as library

    (rate_a, psnr_a), (rate_b, psnr_b) = _curve(ref_bpp, ref_psnr), _curve(test_bpp, test_psnr)
    overlap(psnr_a, psnr_b)
    options: dict[str, Any] = {"require_matching_points": False, "min_overlap": 0}
    return float(library(rate_a, psnr_a, rate_b, psnr_b, method=method, **options))


def rate_at_psnr(bpp: ArrayLike, psnr: ArrayLike, target: float) -> float:
    """bpp of a curve at `target` dB, by pchip through log(bpp) over PSNR; nan outside the curve."""
    rate, quality = _curve(bpp, psnr)
    return float(np.exp(PchipInterpolator(quality, np.log(rate), extrapolate=False)(target)))


def interpolated_means(bpp: ArrayLike, psnr: ArrayLike, count: int = 50) -> tuple[Floats, Floats]:
    """Mean PSNR at equal rates: each image's PSNR over log(bpp) interpolated, then averaged over images.

    Unlike the mean of each setting, every point compares images at one rate, as papers that plot "PSNR at
    x bpp" do.

    Parameters
    ----------
    bpp, psnr : (images, settings)
    count : number of rates

    Returns
    -------
    rates, means : (count,), the rates evenly spaced in log over the range that *every* image reaches

    Raises
    ------
    InputError
        The images share no range of rates.
    """
    rate, quality = np.asarray(bpp, dtype=np.float64), np.asarray(psnr, dtype=np.float64)
    low, high = rate.min(axis=1).max(), rate.max(axis=1).min()
    if not 0 < low < high:
        raise InputError(
            f"No rate is reached by all {len(rate)} images (the dearest starts at {low:.3f} bpp, the cheapest ends at "
            f"{high:.3f}): evaluate more settings."
        )
    rates = np.geomspace(low, high, count)
    means = np.zeros(count)
    for image_rate, image_psnr in zip(rate, quality, strict=True):
        order = np.lexsort((-image_psnr, image_rate))
        x, first = np.unique(np.log(image_rate[order]), return_index=True)
        means += PchipInterpolator(x, image_psnr[order][first])(np.clip(np.log(rates), x[0], x[-1])) / len(rate)
    return rates, means


def bd_rate_interval(
    ref_bpp: ArrayLike, ref_psnr: ArrayLike, test_bpp: ArrayLike, test_psnr: ArrayLike, **options: Any
) -> Interval:
    """BD-rate of the mean curves in percent, with a bootstrap over images that both codecs share.

    Parameters
    ----------
    ref_bpp, ref_psnr : (images, settings of the reference)
    test_bpp, test_psnr : (images, settings of the other), rows in the same order
    options : of `bootstrap_interval`

    Raises
    ------
    InputError
        The mean curves do not overlap, or the numbers of images differ.
    """
    parts = [np.asarray(part, dtype=np.float64) for part in (ref_bpp, ref_psnr, test_bpp, test_psnr)]
    if len({len(part) for part in parts}) > 1:
        raise InputError("Both codecs must have coded the same images, a row each.")
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]

    overlap(parts[1].mean(axis=0), parts[3].mean(axis=0))  # no number at all where all images give none

    def of_means(means: Floats) -> float:
        try:
            rate_a, psnr_a, rate_b, psnr_b = np.split(means, ends)
            return bd_rate(rate_a, psnr_a, rate_b, psnr_b)
        except InputError:
            return math.nan

    return bootstrap_interval(np.concatenate(parts, axis=1), of_means, **options)
