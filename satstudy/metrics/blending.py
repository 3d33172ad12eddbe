"""The blending experiment: what patches leave in a decoded image, and what avoiding it costs.

The measures are in `seam_measures` and exported here; this is the frame they are collected in, and the choice
of what is looked at.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from satstudy.codecs.learned.stitching import Grid, grid, seams
from satstudy.core.errors import InputError
from satstudy.data.images import Pixels
from satstudy.metrics import quality
from satstudy.metrics.bootstrap import Interval, change_interval
from satstudy.metrics.seams import check_layout, luminance, psnr_near_away, seam_measure, seam_profile, seam_ratio
from satstudy.report.labels import require

__all__ = [
    "COLUMNS", "TILINGS", "SeamCrop", "checked", "measure", "measured_layout", "more_bits", "psnr_near_away",
    "seam_measure", "seam_profile", "seam_ratio", "worst_seam",
]  # fmt: skip

#: Columns of the seam frame, one row an image, λ and tiling.
COLUMNS = (
    "image", "lam", "tiling", "weighting", "patch", "overlap", "bytes", "bpp", "psnr", "psnr_near", "psnr_away",
    "seam", "seam_original", "psnr_near_reference",
)  # fmt: skip
TILINGS = ("independent", "blend", "seamless")


class SeamCrop(NamedTuple):
    """A square of pixels around a piece of a seam; `orientation` is that of the seam."""

    top: int
    left: int
    size: int
    orientation: Literal["horizontal", "vertical"]


def measured_layout(
    height: int, width: int, tiling: str, patch: int = 256, overlap: int = 8, replaces: int = 256
) -> Grid:
    """The grid whose seams are looked at for a tiling of `LearnedCodec`.

    `seamless` has no patches. It is measured on the grid of the independent patches that it replaces
    (`replaces` pixels), which its own tiles of 512 and 1024 pixels fall on: so the same places are looked at
    as for `independent`, and any border of its own is among them.

    Raises
    ------
    InputError
        An unknown tiling, or what `stitching.grid` refuses.
    """
    if tiling not in TILINGS:
        raise InputError(f"tiling = {tiling!r}: take independent, blend or seamless.")
    side = replaces if tiling == "seamless" else patch
    return grid(height, width, side, overlap if tiling == "blend" else 0)


def measure(
    original: Pixels,
    decoded: Pixels,
    data_bytes: int,
    layout: Grid,
    *,
    image: str,
    lam: float,
    tiling: str,
    weighting: str = "none",
    distance: int = 8,
    reference: Pixels | None = None,
) -> dict[str, Any]:
    """One row of the seam frame (`COLUMNS`).

    Tilings have their seams in different places, whose content may be harder or easier to code than that of
    another's. What a tiling loses is therefore told by comparing it with a reference at the same pixels.

    Parameters
    ----------
    data_bytes : size of the whole encoded file
    layout : of `measured_layout`; its patch and overlap stand in the row
    weighting : `mean` or `ramp` for `blend`, else `none`
    reference : the image decoded by `seamless` with the same weights; for `seamless` itself, the image again.
        Its PSNR near the seams of `layout` is `psnr_near_reference`, nan without one
    """
    near, away = psnr_near_away(decoded, original, layout, distance)
    return {
        "image": image,
        "lam": lam,
        "tiling": tiling,
        "weighting": weighting,
        "patch": layout.patch,
        "overlap": layout.overlap,
        "bytes": data_bytes,
        "bpp": quality.bpp(data_bytes, layout.height, layout.width),
        "psnr": quality.psnr(original, decoded),
        "psnr_near": near,
        "psnr_away": away,
        "seam": seam_measure(decoded, layout),
        "seam_original": seam_measure(original, layout),
        "psnr_near_reference": np.nan
        if reference is None
        else psnr_near_away(reference, original, layout, distance)[0],
    }


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    """The seam frame, fit for means over images.

    Returns
    -------
    DataFrame
        also `lost` (psnr_near_reference − psnr_near, in dB), `gap` (psnr_away − psnr_near, in dB) and `ratio`
        (seam / seam_original); `weighting` is "none" where a CSV was read with that as missing

    Raises
    ------
    InputError
        A missing column, no row, an unknown tiling, or other images for one setting than for another.
    """
    require(frame, COLUMNS, "The seam frame", "run the blending experiment first")
    unknown = sorted(set(frame["tiling"]) - set(TILINGS))
    if unknown:
        raise InputError(f"The seam frame has a tiling {unknown[0]!r}: take one of {', '.join(TILINGS)}.")
    frame = frame.assign(
        weighting=frame["weighting"].fillna("none"),
        lost=frame["psnr_near_reference"] - frame["psnr_near"],
        gap=frame["psnr_away"] - frame["psnr_near"],
        ratio=frame["seam"] / frame["seam_original"],
    )
    everything = set(frame["image"])
    for key, part in frame.groupby(["lam", "tiling", "weighting", "patch", "overlap"]):
        if set(part["image"]) != everything or part["image"].duplicated().any():
            raise InputError(f"The seam frame lacks images, or has some twice, for {key}: measure all of them once.")
    return frame


def more_bits(part: pd.DataFrame, base: pd.DataFrame) -> Interval:
    """Bits of one tiling against another's in %, paired by image: the mean in the logarithm, and its interval.

    Parameters
    ----------
    part, base : rows of the seam frame, the same images and λ once each

    Returns
    -------
    metrics.Interval
        nan where `base` lacks an image
    """
    sizes, others = (table.set_index(["image", "lam"])["bytes"] for table in (part, base))
    logs = (sizes / others.reindex(sizes.index)).map(np.log)
    if logs.empty or logs.isna().any():
        return Interval(np.nan, np.nan, np.nan)
    return change_interval(logs.to_numpy(), clusters=logs.index.get_level_values("image").tolist())


def worst_seam(original: Pixels, decoded: Pixels, layout: Grid, size: int = 64, beside: Grid | None = None) -> SeamCrop:
    """The crop in which a seam shows most, by a rule and not by hand.

    Of all pieces of a seam that are `size` pixels long, the one across which the mean gradient grew most from
    the original to the decoded image; of equals, the first from the top, horizontal before vertical. The crop
    is centred on it as far as the image allows. It shows the worst of `decoded`: at another place that image may
    look as good as any.

    Parameters
    ----------
    beside : another layout that the crop is to show a seam of, along the first; if no place shows both, any will do

    Raises
    ------
    InputError
        No seam, a crop larger than the image, or images of another size than the layout's.
    """
    check_layout(decoded, layout, original)
    height, width = decoded.shape[:2]
    if not 2 <= size <= min(height, width):
        raise InputError(
            f"A crop of {size}×{size} does not fit into {height}×{width}: take a size of 2 or more that does."
        )
    best: tuple[float, SeamCrop] | None = None
    others = ((), ()) if beside is None else seams(beside)
    for axis, (orientation, places) in enumerate(zip(("horizontal", "vertical"), seams(layout), strict=True)):
        for s in places:
            start = min(max(s - size // 2, 0), decoded.shape[axis] - size)
            if beside is not None and not any(start < other < start + size for other in others[axis]):
                continue
            lines = (slice(s - 1, s + 1),) if orientation == "horizontal" else (slice(None), slice(s - 1, s + 1))
            steps = [np.abs(np.diff(luminance(im[lines]), axis=axis)).ravel() for im in (decoded, original)]
            grown = np.concatenate([[0.0], np.cumsum(steps[0] - steps[1], dtype=np.float64)])
            # Rounded, so that equal pieces are equal whatever the sums before them.
            means = np.round((grown[size:] - grown[:-size]) / size, 6)
            along = int(means.argmax())
            top, left = (start, along) if orientation == "horizontal" else (along, start)
            if best is None or means[along] > best[0]:
                best = float(means[along]), SeamCrop(top, left, size, orientation)  # type: ignore[arg-type]
    if best is None and beside is not None:
        return worst_seam(original, decoded, layout, size)
    if best is None:
        raise InputError(f"A layout of one patch of {layout.patch} pixels has no seam: take a larger image.")
    return best[1]
