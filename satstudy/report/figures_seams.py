"""The figures of the blending experiment: error by the distance to a seam, and what an overlap costs and gains."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.metrics.seams import with_derived
from satstudy.report.style import TILING_LINES, WIDTH, cycle_line, legend_above, styled


@styled
def seam_profile(frame: pd.DataFrame, value: Literal["gradient", "error"] = "gradient") -> Figure:
    """Gradient or error by the distance to the nearest seam, a line for each tiling, averaged over images.

    Parameters
    ----------
    frame : rows of `metrics.seams.seam_profile` with a column `tiling` ("independent", "blend", "seamless")
    """
    if value not in ("gradient", "error"):
        raise InputError(f"value = {value!r}: take gradient or error.")
    require(frame, ("tiling", "distance", value), "The seam profile", "run `metrics.seams.seam_profile` first")
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    for i, (tiling, part) in enumerate(frame.groupby("tiling", sort=False)):
        curve = part.groupby("distance")[value].mean()
        markers = [0, *range(1 + i, len(curve), 4)]
        line = TILING_LINES.get(str(tiling)) or cycle_line(str(tiling), i)
        axes.plot(curve.index, curve, **line.options(markevery=markers))
    if value == "gradient" and "gradient_original" in frame.columns:
        # The original was measured at the seams of each tiling; the mean of these is the level to compare with.
        curve = frame.groupby("distance")["gradient_original"].mean()
        axes.plot(curve.index, curve, **TILING_LINES["original"].options(linewidth=1.2))
    what = "absolute luminance difference" if value == "gradient" else "absolute error"
    axes.set_ylabel(f"mean {what}\nin levels of 0–255")
    axes.set_xlabel("distance to the nearest seam in px (0: across the seam)")
    if value == "gradient":
        axes.set_ylim(bottom=0)
    legend_above(figure, axes)
    return figure


SEAM_VALUES = {
    "lost": "PSNR lost in overlaps and within 8 px of seams,\nin dB (against seamless at the same pixels)",
    "gap": "PSNR away from seams less PSNR in overlaps\nand within 8 px of seams, in dB",
}


@styled
def overlap_ablation(frame: pd.DataFrame) -> Figure:
    """What an overlap costs in bits and gains at the seams, for each weighting, with seamless beside.

    Means over images, a panel for each λ. Images of one patch have no seam and are left out. The error near seams is
    compared with that of seamless at the same pixels, since tilings have their seams in different places. If a row
    lacks the seamless image, it is compared with the error elsewhere in the same image.

    Parameters
    ----------
    frame : the seam frame (`metrics.seams`)

    Raises
    ------
    InputError
        A missing column, no image with a seam, or other images for one tiling than for another.
    """
    frame = with_derived(frame)
    frame = frame[~frame["image"].isin(frame.loc[frame["psnr_near"].isna(), "image"])]
    if frame.empty:
        raise InputError("No image of the seam frame has a seam: take images larger than a patch.")
    value = "lost" if frame["lost"].notna().all() else "gap"
    sides = sorted(set(frame.loc[frame["tiling"] != "seamless", "patch"]))
    if len(sides) > 1:
        raise InputError(f"The seam frame has patches of {', '.join(map(str, sides))} pixels: keep one size.")
    lams = sorted(set(frame["lam"]))
    figure, grid = plt.subplots(1, len(lams), figsize=(WIDTH, 4.0), squeeze=False)
    for axes, lam in zip(grid[0], lams, strict=True):
        _ablation_panel(axes, frame[frame["lam"] == lam], value)
        if len(lams) > 1:
            axes.set_title(f"λ = {lam:g}")
    grid[0, 0].set_ylabel(SEAM_VALUES[value])
    figure.supxlabel("rate in bpp (bits of the whole file per pixel)", fontsize=10)
    legend_above(figure, grid[0, 0])
    return figure


def _ablation_panel(axes: Axes, frame: pd.DataFrame, value: str) -> None:
    means = frame.groupby(["tiling", "weighting", "overlap"])[["bpp", value]].mean().reset_index()
    alone = means[means["tiling"] == "independent"]
    tops: dict[tuple[int, float], float] = {}
    for _, row in alone.iterrows():
        axes.plot(
            [row["bpp"]], [row[value]], zorder=4, **TILING_LINES["independent"].options(linestyle="None", markersize=7)
        )
    blends = means[means["tiling"] == "blend"]
    for weighting, part in blends.groupby("weighting"):
        # Independent patches have an overlap of 0: the curves of both weightings begin there.
        curve = pd.concat([alone, part]).sort_values("overlap")
        axes.plot(curve["bpp"], curve[value], **TILING_LINES[f"blend, {weighting}"].options())
        for overlap, x, y in zip(part["overlap"], part["bpp"], part[value], strict=True):
            key = (int(overlap), round(x, 9))
            tops[key] = max(y, tops.get(key, -np.inf))
    for (overlap, x), y in tops.items():  # curves fall, so the place above and right of a point is free
        axes.annotate(
            f"{overlap} px", (x, y), (5, 3), textcoords="offset points", ha="left", va="bottom", fontsize=8, zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    for _, row in means[means["tiling"] == "seamless"].iterrows():
        line = TILING_LINES["seamless"]
        axes.axhline(row[value], color=line.colour, linestyle=line.look.dashes, linewidth=1.2, zorder=1)
        axes.plot([row["bpp"]], [row[value]], zorder=4, **line.options(markersize=6))
    axes.margins(x=0.14, y=0.14)
    axes.locator_params(axis="x", nbins=5)
