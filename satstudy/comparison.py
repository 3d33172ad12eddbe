"""Comparing codecs from a rate-distortion frame, always over the same images for every codec."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from satstudy import metrics
from satstudy.errors import InputError
from satstudy.intervals import Floats

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


def _points(frame: pd.DataFrame, codec: str) -> tuple[Floats, Floats]:
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


def _clusters(frame: pd.DataFrame, objects: Mapping[str, Hashable] | None) -> list[Hashable] | None:
    if objects is None:
        return None
    names = sorted(set(frame["image"]))
    missing = [name for name in names if name not in objects]
    if missing:
        raise InputError(f"No object is given for {missing[0]}: map every image of the table to its object.")
    return [objects[name] for name in names]


def mean_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over images of each setting: codec, setting, bpp, psnr, ms_ssim, images; by codec and rising bpp.

    `ms_ssim` is nan where any image is too small for it: a mean over other images would be another set.
    """
    images = image_set(frame)
    for codec in set(frame["codec"]):
        _points(frame, codec)
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
            rates, means = metrics.interpolated_means(*_points(frame, codec), count)
        except InputError as error:
            raise InputError(f"{codec}: {error}") from None
        tables.append(pd.DataFrame({"codec": codec, "bpp": rates, "psnr": means}))
    return pd.concat(tables, ignore_index=True)


def _per_image(ref_rate: Floats, ref_psnr: Floats, rate: Floats, quality: Floats, **options: Any) -> metrics.Interval:
    """Geometric mean over images of each image's own BD-rate in %; nan where one has no common PSNR.

    The mean curves favour a codec steered by rate (JPEG 2000) over one steered by quality: the latter spends
    bits on the hard images, where they raise the mean PSNR least. Within an image both are steered alike.
    """
    try:
        points = zip(ref_rate, ref_psnr, rate, quality, strict=True)
        logs = [np.log1p(metrics.bd_rate(*image) / 100) for image in points]
    except InputError:
        return metrics.Interval(np.nan, np.nan, np.nan)
    found = metrics.bootstrap_interval(logs, **options)
    return metrics.Interval(*(float(100 * np.expm1(value)) for value in found))


def bd_rates(
    frame: pd.DataFrame,
    reference: str = "jpeg2000",
    *,
    objects: Mapping[str, Hashable] | None = None,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """BD-rate of every other codec's mean curve against `reference`, with bootstrap intervals over images.

    Parameters
    ----------
    objects : image → the object it shows; images of one object are then drawn together
    seed, n, level : of `metrics.bootstrap_interval`

    Returns
    -------
    DataFrame
        codec, reference, bd_rate, low, high (in %, negative is better), psnr_low, psnr_high (the range compared,
        dB), per_image, per_image_low, per_image_high (see `_per_image`), images, note (why there is no number,
        where there is none)
    """
    images = image_set(frame)
    ref_rate, ref_psnr = _points(frame, reference)
    options: dict[str, Any] = {"clusters": _clusters(frame, objects), "seed": seed, "n": n, "level": level}
    rows = []
    for codec in sorted(set(frame["codec"]) - {reference}):
        rate, quality = _points(frame, codec)
        found, span, note = metrics.Interval(np.nan, np.nan, np.nan), (np.nan, np.nan), ""
        try:
            span = metrics.overlap(ref_psnr.mean(axis=0), quality.mean(axis=0))
            found = metrics.bd_rate_interval(ref_rate, ref_psnr, rate, quality, **options)
        except InputError as error:
            note = str(error)
        single = _per_image(ref_rate, ref_psnr, rate, quality, **options)
        rows.append((codec, reference, *found, *span, *single, len(images), note))
    names = ["codec", "reference", "bd_rate", "low", "high", "psnr_low", "psnr_high"]
    names += ["per_image", "per_image_low", "per_image_high", "images", "note"]
    return pd.DataFrame(rows, columns=names)


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
    rate_a, psnr_a = _points(frame, codec_a)
    rate_b, psnr_b = _points(frame, codec_b)
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
    found = metrics.bootstrap_interval(values, saved, clusters=_clusters(pair, objects), seed=seed, n=n, level=level)
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
