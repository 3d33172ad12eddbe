"""Comparing codecs from a rate-distortion frame, always over the same images for every codec."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from satstudy.core.errors import InputError
from satstudy.metrics import quality as metrics
from satstudy.metrics.bootstrap import Floats, Interval, bootstrap_interval, change_interval
from satstudy.metrics.curves import image_set, points

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
            span = metrics.overlap(ref_psnr.mean(axis=0), quality.mean(axis=0))
            of_means = metrics.bd_rate_interval(ref_rate, ref_psnr, rate, quality, clusters=clusters, **options)
        except InputError as error:
            note = str(error)
        counted = len(kept) if codec in most else 0
        if counted:
            logs = [np.log1p(metrics.bd_rate(ref_rate[i], ref_psnr[i], rate[i], quality[i]) / 100) for i in kept]
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
    low, high = metrics.overlap(psnr_a.mean(axis=0), psnr_b.mean(axis=0))
    target = (low + high) / 2 if psnr is None else psnr
    if not low <= target <= high:
        raise InputError(
            f"{target:g} dB lies outside {low:.2f}–{high:.2f} dB, which both {codec_a} and {codec_b} reach."
        )
    parts = [rate_a, psnr_a, rate_b, psnr_b]
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]

    def rates(means: Floats) -> tuple[float, float]:
        a, pa, b, pb = np.split(means, ends)
        return metrics.rate_at_psnr(a, pa, target), metrics.rate_at_psnr(b, pb, target)

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
