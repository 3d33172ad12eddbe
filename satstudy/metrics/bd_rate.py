"""Comparing codecs at equal PSNR: BD-rate of two curves, of each image, and of the mean curves of a set of images.

A rate-distortion frame (`satstudy.study.rate_distortion.evaluate`) has a row for each image, codec and setting. Its
columns are `image`, `codec`, `setting`, `bpp` and `psnr`, and for some functions `ms_ssim`, `height`, `width` or
`category`. Codecs are compared over the same images or not at all: two over the PSNR range that both reach on an image,
several over the range that all reach. `in_ms_ssim` and `without_wrapping` return a changed frame for the same
comparisons.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator, PPoly

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.core.loss import rate_distortion
from satstudy.core.types import Floats
from satstudy.metrics.bootstrap import (
    Interval,
    bootstrap_interval,
    change_interval,
    percentile_interval,
    resampled_means,
)
from satstudy.metrics.quality import mse

#: The codec that others are compared with by default.
REFERENCE = "jpeg2000"
#: Minimum PSNR range in dB that the curves of an image must share for a meaningful BD-rate.
MIN_SHARED = 1.0

#: Columns that identify a row of a rate-distortion frame.
KEY = ["image", "codec", "setting"]


# --- Two curves -------------------------------------------------------------------------------------------


def bd_rate(ref_bpp: ArrayLike, ref_psnr: ArrayLike, test_bpp: ArrayLike, test_psnr: ArrayLike) -> float:
    """Bjøntegaard's mean rate difference in percent at equal PSNR; negative if `test` needs fewer bits.

    The mean over PSNR of the difference of log(bpp), with monotone cubic interpolation (pchip) as in the common test
    conditions of JVET (JVET-T2010). Herglotz et al. (arXiv 2202.12565) find Akima interpolation more accurate for
    curves of four points.

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
    ref, test = _curve(ref_bpp, ref_psnr), _curve(test_bpp, test_psnr)
    return 100 * math.expm1(_log_ratio(_integral(*ref), _integral(*test), *shared_psnr(ref[1], test[1])))


def _integral(bpp: Floats, psnr: Floats) -> PPoly:
    """The antiderivative of log(bpp) over PSNR."""
    return PchipInterpolator(psnr, np.log(bpp)).antiderivative()


def _log_ratio(ref: PPoly, test: PPoly, low: float, high: float) -> float:
    """Mean over `low` to `high` dB of the logarithm of the rate ratio of two curves, from their `_integral`."""
    ends = np.array([low, high])
    return float(np.diff(test(ends) - ref(ends))[0] / (high - low))


def rate_at_psnr(bpp: ArrayLike, psnr: ArrayLike, target: float) -> float:
    """bpp of a curve at `target` dB, by pchip interpolation of log(bpp) over PSNR; nan outside the curve.

    >>> round(rate_at_psnr([0.1, 0.2, 0.4], [24.0, 27.0, 30.0], 25.5), 4)
    0.1414
    """
    rate, quality = _curve(bpp, psnr)
    return float(np.exp(PchipInterpolator(quality, np.log(rate), extrapolate=False)(target)))


def shared_psnr(ref_psnr: ArrayLike, test_psnr: ArrayLike) -> tuple[float, float]:
    """(low, high) in dB: the PSNR range that both curves reach; InputError if there is none."""
    ref, test = np.asarray(ref_psnr), np.asarray(test_psnr)
    low, high = float(max(ref.min(), test.min())), float(min(ref.max(), test.max()))
    if not low < high:
        raise InputError(
            f"The curves share no PSNR ({ref.min():.2f}–{ref.max():.2f} dB and {test.min():.2f}–{test.max():.2f} dB): "
            "add settings until they overlap."
        )
    return low, high


def _curve(bpp: ArrayLike, psnr: ArrayLike) -> tuple[Floats, Floats]:
    """(bpp, PSNR) of a curve by rising PSNR; of points with equal PSNR the one with the lowest rate is kept."""
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


@dataclass(frozen=True)
class _Curves:
    """The curves of one codec: rows are images (sorted by name), columns are settings (sorted by mean rate)."""

    bpp: Floats
    psnr: Floats
    #: What `mean_integrals` has returned, by its arguments: each codec is compared with several others.
    _resampled_integrals: dict[str, list[PPoly]] = field(default_factory=dict)

    @property
    def mean_psnr(self) -> Floats:
        return np.asarray(self.psnr.mean(axis=0))

    @property
    def ends(self) -> tuple[Floats, Floats]:
        """The lowest and the highest PSNR of each image."""
        return self.psnr.min(axis=1), self.psnr.max(axis=1)

    @cached_property
    def integrals(self) -> list[PPoly]:
        """`_integral` of each image."""
        return [_integral(*_curve(bpp, psnr)) for bpp, psnr in zip(self.bpp, self.psnr, strict=True)]

    def mean_integrals(self, clusters: list[Hashable] | None, **bootstrap: Any) -> list[PPoly]:
        """`_integral` of the mean curve of each bootstrap resample; the same arguments draw the same images."""
        key = repr((clusters, bootstrap))
        if key not in self._resampled_integrals:
            both = np.concatenate([self.bpp, self.psnr], axis=1)
            draws = resampled_means(both, clusters=clusters, **bootstrap)
            halves = (np.split(draw, 2) for draw in draws if np.isfinite(draw).all())
            self._resampled_integrals[key] = [_integral(*_curve(bpp, psnr)) for bpp, psnr in halves]
        return self._resampled_integrals[key]


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


def _bd_rate_of_means(
    ref: _Curves, test: _Curves, clusters: list[Hashable] | None, level: float = 0.95, **bootstrap: Any
) -> Interval:
    """`bd_rate` of the mean curves with its interval.

    Equal to `_of_means(ref, test, bd_rate, …)`, but each codec's resampled curves are interpolated only once.
    """
    value = bd_rate(*(part.mean(axis=0) for part in (ref.bpp, ref.psnr, test.bpp, test.psnr)))
    draws = []
    pairs = zip(ref.mean_integrals(clusters, **bootstrap), test.mean_integrals(clusters, **bootstrap), strict=True)
    for a, b in pairs:
        low, high = max(a.x[0], b.x[0]), min(a.x[-1], b.x[-1])
        draws.append(100 * math.expm1(_log_ratio(a, b, low, high)) if low < high else math.nan)
    return percentile_interval(value, np.array(draws or [math.nan]), level)


def _of_means(reference: _Curves, test: _Curves, statistic: Callable[..., float], **bootstrap: Any) -> Interval:
    """`statistic(ref_bpp, ref_psnr, test_bpp, test_psnr)` of the mean curves, with its interval over images.

    A resample in which the statistic raises InputError (the mean curves do not overlap) counts as nan.
    """
    parts = [reference.bpp, reference.psnr, test.bpp, test.psnr]
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    statistic(*(part.mean(axis=0) for part in parts))  # raises if it has no value for all images

    def or_nan(means: Floats) -> float:
        try:
            return float(statistic(*np.split(means, ends)))
        except InputError:
            return math.nan

    return bootstrap_interval(np.concatenate(parts, axis=1), or_nan, **bootstrap)


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
    """Means over images for each setting: codec, setting, bpp, psnr, ms_ssim, images; by codec and rising bpp.

    `ms_ssim` is nan if any image is too small for it, since the mean would be over other images than that of PSNR.

    Raises
    ------
    InputError
        Different images for two codecs or settings, or an image that is coded without loss.
    """
    images = image_set(frame)
    for codec in set(frame["codec"]):
        _curves(frame, codec)
    columns = ["bpp", "psnr", "ms_ssim"]
    groups = frame.groupby(["codec", "setting"])[columns]
    means = groups.mean().where(groups.count() == len(images)).reset_index()
    return means.assign(images=len(images)).sort_values(["codec", "bpp"], ignore_index=True)


# --- Codecs over images -----------------------------------------------------------------------------------


class Comparison(NamedTuple):
    """A row of a BD-rate table: `codec` against `reference`.

    Attributes
    ----------
    bd_rate, low, high : geometric mean over images of the rate ratio at equal PSNR, as a change in %, with its 95 %
        interval
    compared : number of images in this mean
    shared_low, shared_high : PSNR range of the comparison in dB: medians over these images of the ends of their ranges
    of_means, of_means_low, of_means_high : BD-rate of the mean curves of all images, in %, with its 95 % interval
    psnr_low, psnr_high : PSNR range of the mean curves in dB
    images : number of all images
    note : reason for a missing number
    """

    codec: str
    reference: str
    bd_rate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    compared: int = 0
    shared_low: float = math.nan
    shared_high: float = math.nan
    of_means: float = math.nan
    of_means_low: float = math.nan
    of_means_high: float = math.nan
    psnr_low: float = math.nan
    psnr_high: float = math.nan
    images: int = 0
    note: str = ""

    @property
    def inverse(self) -> Comparison:
        """`reference` against `codec`."""

        def inverted(change: float) -> float:
            return 100 * (1 / (1 + change / 100) - 1)

        return self._replace(
            codec=self.reference,
            reference=self.codec,
            bd_rate=inverted(self.bd_rate),
            low=inverted(self.high),
            high=inverted(self.low),
            of_means=inverted(self.of_means),
            of_means_low=inverted(self.of_means_high),
            of_means_high=inverted(self.of_means_low),
        )


def bd_rates(
    frame: pd.DataFrame,
    reference: str = REFERENCE,
    *,
    objects: Mapping[str, Hashable] | None = None,
    **bootstrap: Any,
) -> pd.DataFrame:
    """BD-rate of every other codec against `reference`, with bootstrap intervals over images.

    `bd_rate` compares the two curves of each image, and takes the geometric mean of the rate ratios over images.
    `of_means` is the BD-rate of the mean curves, which many papers report. It depends on the distribution of bits over
    images: with a fixed λ or quality, images of high detail get more bits, which raise the mean PSNR least, so the
    codec appears worse than one of fixed rate (see `choose_by_lambda`).

    Each codec is compared over the PSNR range that it shares with the reference.
    An image on which any codec shares less than `MIN_SHARED` dB with the reference is left out for all codecs. A codec
    with too small a range on most images gets a note instead of a number.

    Parameters
    ----------
    objects : image → its object, place or class; images of one object are resampled together
    bootstrap : `resamples`, `seed` and `level` of `bootstrap_interval`

    Returns
    -------
    DataFrame
        one `Comparison` a row
    """
    images = image_set(frame)
    clusters = _clusters(images, objects)
    ref = _curves(frame, reference)
    tests = {codec: _curves(frame, codec) for codec in sorted(set(frame["codec"]) - {reference})}
    spans = {codec: _shared([ref, test]) for codec, test in tests.items()}
    enough = {codec: high - low >= MIN_SHARED for codec, (low, high) in spans.items()}
    usable = [codec for codec, mask in enough.items() if 2 * mask.sum() >= len(images)]
    kept = np.all([enough[codec] for codec in usable], axis=0) if usable else np.ones(len(images), bool)
    return pd.DataFrame(
        [
            _compare((reference, ref), (codec, test), kept & (codec in usable), spans[codec], clusters, **bootstrap)
            for codec, test in tests.items()
        ],
        columns=Comparison._fields,
    )


def all_pairs(frame: pd.DataFrame, *, objects: Mapping[str, Hashable] | None = None, **bootstrap: Any) -> pd.DataFrame:
    """Direct comparison of each codec with each other: a row for each ordered pair, as in `bd_rates`.

    A pair is compared over all images on which they share `MIN_SHARED` dB or more. Two codecs are ranked by their row
    here, not by the difference of two rows with a third codec.
    """
    images = image_set(frame)
    clusters = _clusters(images, objects)
    curves = {codec: _curves(frame, codec) for codec in dict.fromkeys(frame["codec"])}
    rows = []
    for first, second in itertools.combinations(curves.items(), 2):
        low, high = span = _shared([first[1], second[1]])
        enough = high - low >= MIN_SHARED
        row = _compare(first, second, enough & (2 * enough.sum() >= len(images)), span, clusters, **bootstrap)
        rows += [row, row.inverse]
    return pd.DataFrame(rows, columns=Comparison._fields).sort_values(["reference", "codec"], ignore_index=True)


def _compare(
    reference: tuple[str, _Curves],
    test: tuple[str, _Curves],
    kept: NDArray[np.bool_],
    span: tuple[Floats, Floats],
    clusters: list[Hashable] | None,
    **bootstrap: Any,
) -> Comparison:
    """Compare two codecs (name, curves) over the images `kept`, each over its PSNR range `span` (low, high)."""
    (ref_name, ref), (name, curves) = reference, test
    row = Comparison(name, ref_name, images=len(kept))
    try:
        low, high = shared_psnr(ref.mean_psnr, curves.mean_psnr)
        of_means = _bd_rate_of_means(ref, curves, clusters, **bootstrap)
        row = row._replace(
            of_means=of_means.value,
            of_means_low=of_means.low,
            of_means_high=of_means.high,
            psnr_low=low,
            psnr_high=high,
        )
    except InputError as error:
        row = row._replace(note=str(error))
    if not kept.any():
        few = int((span[1] - span[0] >= MIN_SHARED).sum())
        note = f"{few} of {len(kept)} images share {MIN_SHARED:g} dB or more: add settings."
        return row._replace(note=row.note or note)
    mean, low, high = _mean_change(ref, curves, kept, span, clusters, **bootstrap)
    start, stop = (float(np.median(end[kept])) for end in span)
    return row._replace(bd_rate=mean, low=low, high=high, compared=int(kept.sum()), shared_low=start, shared_high=stop)


def _mean_change(
    ref: _Curves,
    test: _Curves,
    kept: NDArray[np.bool_],
    span: tuple[Floats, Floats],
    clusters: list[Hashable] | None,
    **bootstrap: Any,
) -> Interval:
    """The mean over images `kept` of the rate ratio's logarithm, as a change in %."""
    which = np.flatnonzero(kept)
    logs = [_log_ratio(ref.integrals[i], test.integrals[i], span[0][i], span[1][i]) for i in which]
    return change_interval(logs, clusters=None if clusters is None else [clusters[i] for i in which], **bootstrap)


def _shared(curves: Sequence[_Curves]) -> tuple[Floats, Floats]:
    """(low, high): the PSNR range in dB of each image that all codecs reach; high < low where they are apart."""
    lows, highs = zip(*(codec.ends for codec in curves), strict=True)
    return np.max(lows, axis=0), np.min(highs, axis=0)


def by_slice(
    frame: pd.DataFrame,
    reference: str,
    *,
    width: float = 2.0,
    objects: Mapping[str, Hashable] | None = None,
    **bootstrap: Any,
) -> pd.DataFrame:
    """BD-rate of every other codec against `reference` within slices of PSNR.

    A slice includes the images on which both codecs reach all of it, so slices have different images: images of high
    detail reach lower PSNR. Slices with less than a tenth of the images are left out.

    Parameters
    ----------
    width : of a slice in dB; slices start at multiples of it

    Returns
    -------
    DataFrame
        codec, reference, psnr_low, psnr_high (the slice, in dB), bd_rate, low, high (in %), compared, images
    """
    images = image_set(frame)
    clusters = _clusters(images, objects)
    ref = _curves(frame, reference)
    rows = []
    for codec in dict.fromkeys(frame.loc[frame["codec"] != reference, "codec"]):
        test = _curves(frame, codec)
        low, high = _shared([ref, test])
        for number in range(math.floor(low.min() / width), math.ceil(high.max() / width)):
            start, stop = number * width, (number + 1) * width
            kept = (low <= start) & (stop <= high)
            if 10 * kept.sum() < len(images) or not kept.any():
                continue
            span = np.full(len(images), start), np.full(len(images), stop)
            change = _mean_change(ref, test, kept, span, clusters, **bootstrap)
            rows.append((codec, reference, start, stop, *change, int(kept.sum()), len(images)))
    names = ["codec", "reference", "psnr_low", "psnr_high", "bd_rate", "low", "high", "compared", "images"]
    return pd.DataFrame(rows, columns=names)


def _clusters(images: Sequence[str], objects: Mapping[str, Hashable] | None) -> list[Hashable] | None:
    if objects is None:
        return None
    missing = [name for name in images if name not in objects]
    if missing:
        raise InputError(f"No object is given for {missing[0]}: map every image of the table to its object.")
    return [objects[name] for name in images]


def by_category(frame: pd.DataFrame, reference: str = REFERENCE, **options: Any) -> pd.DataFrame:
    """`bd_rates` for the images of each category, with `category` as the first column."""
    require(frame, ("category",), "The rate-distortion table", "run `evaluate` first")
    tables = {category: bd_rates(part, reference, **options) for category, part in frame.groupby("category")}
    return pd.concat(tables, names=["category"]).reset_index("category").reset_index(drop=True)


def rows_against(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The rows of a BD-rate table that compare with `reference`; InputError if there are none."""
    found = table[table["reference"] == reference]
    if found.empty:
        known = ", ".join(sorted(set(table["reference"]))) or "nothing"
        raise InputError(f"The BD-rate table compares with {known}, not with {reference}: name one of these.")
    return found.reset_index(drop=True)


def in_ms_ssim(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `psnr` replaced by MS-SSIM in dB, −10·log10(1 − MS-SSIM), without images too small for it."""
    small = set(frame.loc[frame["ms_ssim"].isna(), "image"])
    kept = frame[~frame["image"].isin(small)]
    if kept.empty:
        raise InputError("No image of the table is large enough for MS-SSIM (161 px a side).")
    with np.errstate(divide="ignore"):
        return kept.assign(psnr=-10 * np.log10(1 - kept["ms_ssim"]))


def without_wrapping(frame: pd.DataFrame, wrapping: Mapping[str, int]) -> pd.DataFrame:
    """The frame without the rate of containers, which counts only for small images; at least one byte is left.

    Parameters
    ----------
    wrapping : codec → bytes of the container: the size of a file with a uniform image
        (`satstudy.study.rate_distortion.wrapping`)
    """
    pixels = frame["height"] * frame["width"]
    return frame.assign(bpp=np.maximum(frame["bpp"] - 8 * frame["codec"].map(wrapping) / pixels, 8 / pixels))


# --- The loss ---------------------------------------------------------------------------------------------


def choose_by_lambda(frame: pd.DataFrame, codec: str, lams: Sequence[float]) -> pd.DataFrame:
    """The curve of `codec` if each image takes the setting with the least loss at λ: a control for mean curves.

    Of its measured settings, each image takes the one with the least loss `lam · 255² · MSE + bpp`. The BD-rate of a
    codec against itself with these settings should be 0.

    Returns
    -------
    DataFrame
        rows of the frame with their `loss`; `codec` is "<codec>-by-lambda" and `setting` the λ
    """
    part = frame[frame["codec"] == codec].reset_index(drop=True)
    tables = []
    for lam in lams:
        loss = rate_distortion(lam, mse(part["psnr"]), part["bpp"])
        best = loss.groupby(part["image"]).idxmin()
        tables.append(part.loc[best].assign(codec=f"{codec}-by-lambda", setting=f"lam={lam:g}", loss=loss[best]))
    return pd.concat(tables, ignore_index=True)


def losses(
    frame: pd.DataFrame, lams: Sequence[float], *, objects: Mapping[str, Hashable] | None = None, **bootstrap: Any
) -> pd.DataFrame:
    """The mean loss λ·255²·MSE + bpp of each codec, over all images and over the tenth with the largest loss.

    MSE is that of samples in [0, 1]. Badly coded images raise the mean loss, but hardly lower the mean PSNR. For each
    codec and λ each image takes the setting with the least loss (`choose_by_lambda`). A codec whose settings are λ has
    rows for these alone: at others it would have to take a setting for another rate.

    Returns
    -------
    DataFrame
        codec, lam, loss, low, high, worst_loss (mean over the tenth of images with the largest loss), bpp and psnr
        (means), psnr_of_mse (PSNR of the mean MSE), worst_psnr (mean over the tenth with the lowest PSNR), images
    """
    images = image_set(frame)
    clusters = _clusters(images, objects)
    worst = math.ceil(len(images) / 10)
    rows = []
    for codec, settings in frame.groupby("codec", sort=False)["setting"]:
        own = settings.str.extract(r"^lam=(\S+)")[0].astype(float)
        for lam in lams if own.isna().any() else sorted(set(lams) & set(own)):
            part = choose_by_lambda(frame, str(codec), [lam]).sort_values("image")
            mean = bootstrap_interval(part["loss"].to_numpy(), clusters=clusters, **bootstrap)
            of_mse = -10 * math.log10(mse(part["psnr"]).mean())
            tails = part["loss"].nlargest(worst).mean(), part["psnr"].nsmallest(worst).mean()
            rows.append((codec, lam, *mean, tails[0], part["bpp"].mean(), part["psnr"].mean(), of_mse, tails[1]))
    names = ["codec", "lam", "loss", "low", "high", "worst_loss", "bpp", "psnr", "psnr_of_mse", "worst_psnr"]
    return pd.DataFrame(rows, columns=names).assign(images=len(images))


class RateSaved(NamedTuple):
    """Rates of two codecs at one PSNR; `saved` is (bpp_b − bpp_a)/bpp_b in %, with its interval."""

    psnr: float
    bpp_a: float
    bpp_b: float
    saved: float
    low: float
    high: float


def rate_saved_at_psnr(frame: pd.DataFrame, codec_a: str, codec_b: str, **bootstrap: Any) -> RateSaved:
    """The rate that `codec_a` saves relative to `codec_b` at equal PSNR, as in Table 1 of the paper.

    Rates are those of the mean curves (`rate_at_psnr`) in the middle of the PSNR range that both reach.

    Parameters
    ----------
    bootstrap : as `bd_rates`

    Raises
    ------
    InputError
        A codec that is not in the frame, or no PSNR that both reach.
    """
    a, b = _curves(frame, codec_a), _curves(frame, codec_b)
    image_set(frame[frame["codec"].isin([codec_a, codec_b])])  # raises if the codecs have different images
    target = sum(shared_psnr(a.mean_psnr, b.mean_psnr)) / 2

    def saved(bpp_a: Floats, psnr_a: Floats, bpp_b: Floats, psnr_b: Floats) -> float:
        return 100 * (1 - rate_at_psnr(bpp_a, psnr_a, target) / rate_at_psnr(bpp_b, psnr_b, target))

    found = _of_means(a, b, saved, **bootstrap)
    bpp_a, bpp_b = (rate_at_psnr(curves.bpp.mean(axis=0), curves.mean_psnr, target) for curves in (a, b))
    return RateSaved(target, bpp_a, bpp_b, *found)


# --- Speed ------------------------------------------------------------------------------------------------


def speeds(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """BD-rate and speed of every codec relative to JPEG 2000, from a frame with times of one run.

    Parameters
    ----------
    frame : also with `encode_s` and `decode_s`
    options : of `bd_rates`

    Returns
    -------
    DataFrame
        codec, compared, bd_rate, low, high (from `bd_rates`), encode, decode (speed relative to the reference: medians
        over images of the ratio of times, each a mean over settings); JPEG 2000 has 0, 1 and 1
    """
    times = frame.groupby(["codec", "image"])[["encode_s", "decode_s"]].mean()
    table = bd_rates(frame, **options)[["codec", "compared", "bd_rate", "low", "high"]]
    own = pd.DataFrame([(REFERENCE, frame["image"].nunique(), 0.0, 0.0, 0.0)], columns=table.columns)
    table = pd.concat([own, table], ignore_index=True)
    for column, name in (("encode_s", "encode"), ("decode_s", "decode")):
        ratios = {codec: (times.loc[REFERENCE, column] / times.loc[codec, column]).median() for codec in table["codec"]}
        table[name] = table["codec"].map(ratios)
    return table
