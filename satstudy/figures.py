"""Every plot of the study, from result frames and images alone: nothing is trained or coded here.

Each function returns a `matplotlib.figure.Figure` and shows nothing. Those that show images are in
`pictures` and are exported here too; the look of all of them is `plotstyle.style`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from satstudy import comparison, metrics
from satstudy.errors import InputError
from satstudy.intervals import Floats
from satstudy.labels import codec_name, condition_labels, db, interval, matrix_cells, require
from satstudy.pictures import crops_grid, patch_grid, seam_comparison
from satstudy.plotstyle import (
    BLUE,
    CODECS,
    GREY,
    TILINGS,
    VERMILION,
    WIDTH,
    legend_above,
    line,
    rate_ticks,
    style,
    styled,
    synthetic_note,
)

__all__ = [
    "accuracy_difference", "accuracy_heatmap", "bd_rate_bars", "crops_grid", "loss_curves", "overlap_ablation", "patch_grid",
    "rate_by_category", "rate_distortion", "seam_comparison", "seam_profile", "style", "synthetic_note",
]  # fmt: skip


# --- Training -------------------------------------------------------------------------------------------


@styled
def loss_curves(runs: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss, rate and PSNR against steps; training faint, validation strong.

    Parameters
    ----------
    runs : label ("λ = 0.013") → the `metrics.csv` of that training

    Raises
    ------
    InputError
        No run, a missing column, or a run without rows.
    """
    if not runs:
        raise InputError("There is no training to plot: give one metrics frame or more.")
    figure, panels = plt.subplots(3, 1, figsize=(WIDTH, 6.6), sharex=True)
    for i, (label, frame) in enumerate(runs.items()):
        require(frame, ("step", "split", "loss", "bpp", "psnr"), f"The metrics of {label}", "train first")
        look = line(label, {}, i)
        for axes, column in zip(panels, ("loss", "bpp", "psnr"), strict=True):
            training, validation = (frame[frame["split"] == split] for split in ("train", "validation"))
            axes.plot(training["step"], training[column], color=look.colour, alpha=0.35, linewidth=0.7)
            options = look.options(markevery=max(1, len(validation) // 8))
            axes.plot(validation["step"], validation[column], **options)
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panels[0].yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    panels[0].tick_params(axis="y", which="minor", labelsize=9)
    for axes, label in zip(panels, ("loss λ·255²·MSE + bpp", "rate in bpp", "PSNR in dB"), strict=True):
        axes.set_ylabel(label)
    panels[2].set_xlabel("step of the optimizer")
    panels[0].plot([], [], color=GREY, alpha=0.5, linewidth=0.8, label="training crops (faint)")
    legend_above(figure, panels[0], 4)
    figure.align_ylabels()
    return figure


# --- Rate and distortion --------------------------------------------------------------------------------


def _band(rates: Floats, values: Floats, metric: str, n: int, clusters: list[Hashable] | None) -> Floats:
    """Bounds of the mean curve at the mean rate of each setting: (settings, 2).

    A resample of images has other mean rates too; its point is moved along the slope of the mean curve to the
    rate at which the band is drawn, so that only what lies across the curve counts.
    """
    level = (lambda x: db(x)) if metric == "ms_ssim" else float
    mean_rates = np.log(rates.mean(axis=0))
    means = np.array([level(x) for x in values.mean(axis=0)])
    slopes = np.gradient(means, mean_rates) if len(means) > 1 else np.zeros(1)
    bounds = []
    for k in range(len(means)):

        def moved(pair: Floats, k: int = k) -> float:
            return float(level(pair[1]) - slopes[k] * (np.log(pair[0]) - mean_rates[k]))

        found = metrics.bootstrap_interval(np.stack([rates[:, k], values[:, k]], axis=1), moved, clusters=clusters, n=n)
        bounds.append((found.low, found.high))
    return np.array(bounds)


@styled
def rate_distortion(
    frame: pd.DataFrame,
    metric: Literal["psnr", "ms_ssim"] = "psnr",
    *,
    log: bool = False,
    objects: Mapping[str, Hashable] | None = None,
    n: int = 1000,
) -> Figure:
    """Mean quality against mean rate, a curve for each codec and a marker for each setting (paper, Fig. 6).

    Bands are 95 % bootstrap intervals over images, or over the objects they show. MS-SSIM is in dB,
    −10·log10(1 − mean).

    Parameters
    ----------
    log : a logarithmic rate axis, which shows the low rates
    objects : image → the object it shows; images of one object are then drawn together
    n : resamples

    Raises
    ------
    InputError
        Codecs that were not measured on the same images, or images too small for MS-SSIM.
    """
    if metric not in ("psnr", "ms_ssim"):
        raise InputError(f"metric = {metric!r}: take psnr or ms_ssim.")
    columns = ("image", "codec", "setting", "bpp", "psnr", "ms_ssim")
    require(frame, columns, "The rate-distortion table", "run `evaluate` first")
    means = comparison.mean_curves(frame)
    if not np.isfinite(means[metric]).all():
        raise InputError("Some images are too small for MS-SSIM (161 px a side): leave them out, or plot psnr.")
    clusters = None if objects is None else [objects[name] for name in sorted(set(frame["image"]))]
    figure, axes = plt.subplots(figsize=(WIDTH, 4.8))
    known = [codec for codec in CODECS if codec in set(means["codec"])]
    codecs = known + sorted(set(means["codec"]) - set(known))
    for i, codec in enumerate(codecs):
        curve, look = means[means["codec"] == codec], line(codec, CODECS, i)
        part = frame[frame["codec"] == codec]
        rates, values = (
            part.pivot(index="image", columns="setting", values=name)[list(curve["setting"])].to_numpy(np.float64)
            for name in ("bpp", metric)
        )
        height = curve[metric] if metric == "psnr" else curve[metric].map(db)
        band = _band(rates, values, metric, n, clusters)
        axes.fill_between(curve["bpp"], band[:, 0], band[:, 1], color=look.colour, alpha=0.13, linewidth=0)
        axes.plot(curve["bpp"], height, zorder=3, **look.options())
    axes.set_ylabel("PSNR in dB" if metric == "psnr" else "MS-SSIM in dB, −10·log₁₀(1 − MS-SSIM)")
    rate_ticks(axes, log)
    legend_above(figure, axes, 6 if len(codecs) > 4 else 4)
    return figure


def _intervals(axes: Axes, table: pd.DataFrame, value: str) -> None:
    """Estimates with whiskers, a row each from the top, with the numbers at the right."""
    at = np.arange(len(table))
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    whiskers = [(table[value] - table["low"]).clip(lower=0), (table["high"] - table[value]).clip(lower=0)]
    colours = [BLUE if v < 0 else VERMILION for v in table[value]]
    markers = ["o" if v < 0 else "s" for v in table[value]]
    for i in np.flatnonzero(table[value].notna()):
        error = [[whiskers[0].iloc[i]], [whiskers[1].iloc[i]]]
        axes.errorbar(table[value].iloc[i], at[i], xerr=error, fmt=markers[i], color=colours[i], capsize=3, zorder=3)
    for i, (v, low, high) in enumerate(zip(table[value], table["low"], table["high"], strict=True)):
        text = "no PSNR in common" if np.isnan(v) else interval(v, low, high, 0)
        axes.annotate(text, (1, i), (4, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=8)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(axis="y", visible=False)


@styled
def bd_rate_bars(table: pd.DataFrame) -> Figure:
    """BD-rate of each codec against a reference, with interval whiskers.

    Parameters
    ----------
    table : of `rate_distortion.bd_rates`
    """
    require(table, ("codec", "reference", "bd_rate", "low", "high"), "The BD-rate table", "run `bd_rates` first")
    # Codecs without a number last.
    table = table.sort_values("bd_rate", ignore_index=True)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.42 * len(table)))
    for i, (codec, value) in enumerate(zip(table["codec"], table["bd_rate"], strict=True)):
        if np.isfinite(value):
            axes.barh(i, value, height=0.55, color=line(codec, CODECS, i).colour, alpha=0.45, edgecolor=GREY, zorder=2)
    _intervals(axes, table, "bd_rate")
    axes.set_yticks(range(len(table)), [codec_name(codec) for codec in table["codec"]])
    axes.set_xlabel(_bd_label(table))
    return figure


def _bd_label(table: pd.DataFrame) -> str:
    return f"BD-rate against {codec_name(table['reference'].iloc[0])} in % (negative: fewer bits at equal PSNR)"


@styled
def rate_by_category(
    frame: pd.DataFrame, codec: str = "learned", reference: str = "jpeg2000", *, n: int = 400
) -> Figure:
    """Where learned coding wins and loses: BD-rate by category, best first, with the number of images.

    Parameters
    ----------
    frame : the rate-distortion frame, or the table that `rate_distortion.by_category` made of it
    n : resamples for the intervals, where they are computed here
    """
    if "bd_rate" not in frame.columns:
        require(frame, ("image", "codec", "category"), "The rate-distortion table", "run `evaluate` first")
        frame = comparison.by_category(frame[frame["codec"].isin([codec, reference])], reference, n=n)
    columns = ("category", "codec", "reference", "bd_rate", "low", "high", "images")
    require(frame, columns, "The table by category", "run `by_category` first")
    table = frame[(frame["codec"] == codec) & (frame["reference"] == reference)]
    if table.empty:
        raise InputError(f"The table has no BD-rate of {codec} against {reference}: name codecs that it holds.")
    table = table.sort_values("bd_rate", ignore_index=True)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.24 * len(table)))
    _intervals(axes, table, "bd_rate")
    names = [c.replace("_", " ") for c in table["category"]]
    axes.set_yticks(range(len(table)), [f"{c} ({k})" for c, k in zip(names, table["images"], strict=True)])
    axes.set_ylabel("category (images)")
    axes.set_xlabel(f"{codec_name(codec)}: {_bd_label(table)}")
    return figure


# --- Seams ----------------------------------------------------------------------------------------------


@styled
def seam_profile(frame: pd.DataFrame, value: Literal["gradient", "error"] = "gradient") -> Figure:
    """Gradient or error by the distance to the nearest seam, a line for each tiling, averaged over images.

    Parameters
    ----------
    frame : rows of `blending.seam_profile` with a column `tiling` ("independent", "blend", "seamless")
    """
    if value not in ("gradient", "error"):
        raise InputError(f"value = {value!r}: take gradient or error.")
    require(frame, ("tiling", "distance", value), "The seam profile", "run `blending.seam_profile` first")
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    for i, (tiling, part) in enumerate(frame.groupby("tiling", sort=False)):
        curve = part.groupby("distance")[value].mean()
        axes.plot(curve.index, curve, **line(str(tiling), TILINGS, i).options(markevery=2))
    if value == "gradient" and "gradient_original" in frame.columns:
        # Each tiling looks at the original at its own seams; their mean is the level to compare with.
        curve = frame.groupby("distance")["gradient_original"].mean()
        axes.plot(curve.index, curve, **TILINGS["original"].options(linewidth=1.2))
    what = "absolute luminance difference" if value == "gradient" else "absolute error"
    axes.set_ylabel(f"mean {what}\nin levels of 0–255")
    axes.set_xlabel("distance to the nearest seam in px (0: across the seam)")
    axes.set_ylim(bottom=0)
    legend_above(figure, axes, 4)
    return figure


SEAM_VALUES = {
    "psnr_near": "PSNR within 8 px of a seam in dB",
    "psnr": "PSNR in dB",
    "gap": "PSNR near seams less PSNR away in dB",
    "seam": "gradient at seams, decoded / original",
}


def _same_images(frame: pd.DataFrame) -> None:
    everything = set(frame["image"])
    for key, part in frame.groupby(["lam", "tiling", "weighting", "overlap"], dropna=False):
        if set(part["image"]) != everything or part["image"].duplicated().any():
            raise InputError(f"The seam frame lacks images, or has some twice, for {key}: measure all of them once.")


@styled
def overlap_ablation(frame: pd.DataFrame, value: Literal["psnr_near", "psnr", "gap", "seam"] = "psnr_near") -> Figure:
    """What an overlap costs in bits and brings at the seams, for each weighting; seamless as a reference.

    Means over images, a panel for each λ. Images of one patch have no seam and are left out.

    Parameters
    ----------
    frame : the seam frame, whose columns are `blending.COLUMNS`
    value : what is plotted against the rate; `gap` takes the content of the images out, `seam` is the ratio
        to the original

    Raises
    ------
    InputError
        A missing column, no image with a seam, or other images for one tiling than for another.
    """
    if value not in SEAM_VALUES:
        raise InputError(f"value = {value!r}: take one of {', '.join(SEAM_VALUES)}.")
    columns = ("image", "lam", "tiling", "weighting", "overlap", "bpp", "psnr", "psnr_near", "psnr_away", "seam")
    require(frame, (*columns, "seam_original"), "The seam frame", "run the blending experiment first")
    frame = frame.assign(
        gap=frame["psnr_near"] - frame["psnr_away"],
        seam=frame["seam"] / frame["seam_original"],
        weighting=frame["weighting"].fillna("none"),  # "none" in a CSV may be read as missing
    )
    frame = frame[~frame["image"].isin(frame.loc[frame["psnr_near"].isna(), "image"])]
    if frame.empty:
        raise InputError("No image of the seam frame has a seam: take images larger than a patch.")
    _same_images(frame)
    lams = sorted(set(frame["lam"]))
    figure, grid = plt.subplots(1, len(lams), figsize=(WIDTH, 4.0), squeeze=False)
    for axes, lam in zip(grid[0], lams, strict=True):
        _ablation_panel(axes, frame[frame["lam"] == lam], value)
        if len(lams) > 1:
            axes.set_title(f"λ = {lam:g}")
    grid[0, 0].set_ylabel(SEAM_VALUES[value])
    figure.supxlabel("rate in bpp (bits of the whole file per pixel)", fontsize=10)
    legend_above(figure, grid[0, 0], 4)
    return figure


def _ablation_panel(axes: Axes, frame: pd.DataFrame, value: str) -> None:
    means = frame.groupby(["tiling", "weighting", "overlap"])[["bpp", value]].mean().reset_index()
    alone = means[means["tiling"] == "independent"]
    tops: dict[tuple[int, float], float] = {}
    for _, row in alone.iterrows():
        axes.plot(
            [row["bpp"]], [row[value]], zorder=4, **TILINGS["independent"].options(linestyle="None", markersize=7)
        )
    blends = means[means["tiling"] == "blend"]
    for i, (weighting, part) in enumerate(blends.groupby("weighting")):
        # Patches side by side are an overlap of nothing: both weightings begin there.
        curve = pd.concat([alone, part]).sort_values("overlap")
        axes.plot(curve["bpp"], curve[value], **line(f"blend, {weighting}", TILINGS, i).options())
        for overlap, x, y in zip(part["overlap"], part["bpp"], part[value], strict=True):
            key = (int(overlap), round(x, 9))
            tops[key] = max(y, tops.get(key, -np.inf))
    for (overlap, x), y in tops.items():
        axes.annotate(f"{overlap} px", (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    for _, row in means[means["tiling"] == "seamless"].iterrows():
        look = TILINGS["seamless"]
        axes.axhline(row[value], color=look.colour, linestyle=look.dashes, linewidth=1.2, zorder=1)
        axes.plot([row["bpp"]], [row[value]], zorder=4, **look.options(markersize=6))
    axes.margins(x=0.1, y=0.14)
    axes.locator_params(axis="x", nbins=5)


# --- Accuracy -------------------------------------------------------------------------------------------


@styled
def accuracy_heatmap(matrix: pd.DataFrame, conditions: pd.DataFrame) -> Figure:
    """Accuracy in percent: a column is what the classifier was trained on, a row what it was validated on.

    Cells hold the mean over seeds and half the width of its interval, where `matrix` has one
    (`accuracy.accuracy_matrix`); the frame marks cells trained and validated on the same condition.

    Parameters
    ----------
    matrix, conditions : as `labels.matrix_cells` takes them
    """
    cells, names = matrix_cells(matrix, conditions), condition_labels(conditions)
    accuracy, half = cells["accuracy"], (cells["high"] - cells["low"]) / 2
    text = accuracy.map(lambda v: f"{v:.1f}")
    text = text.where(half.isna(), text + "\n±" + half.map(lambda v: f"{v:.1f}"))
    rows, columns = accuracy.shape
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.52 * rows))
    sns.heatmap(
        accuracy, ax=axes, annot=text, fmt="", cmap="cividis", vmin=0, vmax=100, linewidths=1, linecolor="white",
        annot_kws={"fontsize": 9 if columns <= 6 else 8}, cbar_kws={"label": "accuracy in %", "aspect": 25},
    )  # fmt: skip
    for j, trained in enumerate(accuracy.columns):
        if trained in accuracy.index:
            i = list(accuracy.index).index(trained)
            axes.add_patch(Rectangle((j + 0.04, i + 0.04), 0.92, 0.92, fill=False, edgecolor="black", linewidth=2.6))
            axes.add_patch(Rectangle((j + 0.04, i + 0.04), 0.92, 0.92, fill=False, edgecolor="white", linewidth=1.2))
    wide = columns > 5
    labels = [names[c] if wide else _wrapped(names[c]) for c in accuracy.columns]
    axes.set_xticklabels(labels, rotation=30 if wide else 0, ha="right" if wide else "center", rotation_mode="anchor")
    axes.set_yticklabels([names[c] for c in accuracy.index], rotation=0)
    axes.tick_params(length=0)
    axes.set_xlabel("trained on")
    axes.set_ylabel("validated on")
    return figure


def _wrapped(label: str) -> str:
    """The rate and the setting on lines of their own."""
    parts = label.split()
    at = next((i for i, word in enumerate(parts) if word[0].isdigit() and i + 1 < len(parts) and i), len(parts))
    lines = [" ".join(parts[:at]), " ".join(parts[at : at + 2]), " ".join(parts[at + 2 :])]
    return "\n".join(part for part in lines if part)


@styled
def accuracy_difference(frame: pd.DataFrame, conditions: pd.DataFrame, what: str = "difference of accuracy") -> Figure:
    """Differences of accuracy with their intervals, a row for each pair of conditions.

    Parameters
    ----------
    frame : trained_on, validated_on, effect, low, high as fractions, such as `accuracy.leakage_effect` gives
    what : the quantity, for the axis
    """
    columns = ("trained_on", "validated_on", "effect", "low", "high")
    require(frame, columns, "The table of differences", "compare two matrices first")
    names = condition_labels(conditions)
    table = frame.assign(**{c: 100 * frame[c] for c in ("effect", "low", "high")}).reset_index(drop=True)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.26 * len(table)))
    _intervals(axes, table, "effect")
    pairs = zip(table["trained_on"], table["validated_on"], strict=True)
    axes.set_yticks(range(len(table)), [f"{names.get(a, a)} → {names.get(b, b)}" for a, b in pairs])
    axes.set_ylabel("trained on → validated on")
    axes.set_xlabel(f"{what} in percentage points")
    return figure
