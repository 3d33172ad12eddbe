"""Rate-distortion curves from a frame of measurements, of the same images for every codec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from satstudy.core.errors import InputError
from satstudy.metrics import quality as metrics
from satstudy.metrics.bootstrap import Floats

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
            rates, means = metrics.interpolated_means(*points(frame, codec), count)
        except InputError as error:
            raise InputError(f"{codec}: {error}") from None
        tables.append(pd.DataFrame({"codec": codec, "bpp": rates, "psnr": means}))
    return pd.concat(tables, ignore_index=True)
