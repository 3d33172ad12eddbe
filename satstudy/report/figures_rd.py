"""The figures of training, and of rate and distortion, from result frames alone.

Each function of this and the other `figures_*` modules returns a closed `matplotlib.figure.Figure` and shows nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.core.types import Floats
from satstudy.metrics import bd_rate
from satstudy.metrics.bootstrap import bootstrap_interval
from satstudy.report.labels import codec_name, db
from satstudy.report.style import GREY, WIDTH, codec_lines, cycle_line, legend_above, rate_ticks, styled, whiskers

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
        line = cycle_line(label, i)
        for axes, column in zip(panels, ("loss", "bpp", "psnr"), strict=True):
            training, validation = (frame[frame["split"] == split] for split in ("train", "validation"))
            axes.plot(training["step"], training[column], color=line.colour, alpha=0.35, linewidth=0.7)
            options = line.options(markevery=max(1, len(validation) // 8))
            axes.plot(validation["step"], validation[column], **options)
    for axes in panels[:2]:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        axes.tick_params(axis="y", which="minor", labelsize=9)
    for axes, label in zip(panels, ("loss λ·255²·MSE + bpp", "rate in bpp", "PSNR in dB"), strict=True):
        axes.set_ylabel(label)
    panels[2].set_xlabel("step of the optimizer")
    panels[0].plot([], [], color=GREY, alpha=0.5, linewidth=0.8, label="training crops (faint)")
    legend_above(figure, panels[0])
    figure.align_ylabels()
    return figure


# --- Rate and distortion --------------------------------------------------------------------------------


def _band(rates: Floats, values: Floats, metric: str, resamples: int, clusters: list[Hashable] | None) -> Floats:
    """Interval of the mean curve at the mean rate of each setting: (settings, 2).

    A resample of images has other mean rates too. Its point is moved along the slope of the mean curve to the rate at
    which the band is drawn, so that the band does not widen by points that move along the curve.

    Parameters
    ----------
    rates, values : (images, settings)
    """
    level = db if metric == "ms_ssim" else float
    mean_rates = np.log(rates.mean(axis=0))
    means = np.array([level(x) for x in values.mean(axis=0)])
    slopes = np.gradient(means, mean_rates) if len(means) > 1 else np.zeros(1)
    bounds = []
    for k in range(len(means)):

        def moved(pair: Floats, k: int = k) -> float:
            return float(level(pair[1]) - slopes[k] * (np.log(pair[0]) - mean_rates[k]))

        found = bootstrap_interval(
            np.stack([rates[:, k], values[:, k]], axis=1), moved, clusters=clusters, resamples=resamples
        )
        bounds.append((found.low, found.high))
    return np.array(bounds)


@styled
def rate_distortion(
    frame: pd.DataFrame,
    metric: Literal["psnr", "ms_ssim"] = "psnr",
    *,
    log: bool = False,
    objects: Mapping[str, Hashable] | None = None,
    resamples: int = 1000,
) -> Figure:
    """Mean quality against mean rate, a curve for each codec and a marker for each setting (paper, Fig. 6).

    Bands are 95 % bootstrap intervals over images, or over the objects they show: the uncertainty of the mean.
    Two codecs whose bands overlap may still differ on every single image, which `bd_rate_bars` shows. MS-SSIM is in
    dB, −10·log10(1 − mean).

    Parameters
    ----------
    log : a logarithmic rate axis, which shows the low rates
    objects : image → the object it shows; images of one object are resampled together

    Raises
    ------
    InputError
        Codecs that were not measured on the same images, or images too small for MS-SSIM.
    """
    if metric not in ("psnr", "ms_ssim"):
        raise InputError(f"metric = {metric!r}: take psnr or ms_ssim.")
    columns = ("image", "codec", "setting", "bpp", "psnr", "ms_ssim")
    require(frame, columns, "The rate-distortion table", "run `evaluate` first")
    means = bd_rate.mean_curves(frame)
    if not np.isfinite(means[metric]).all():
        raise InputError("Some images are too small for MS-SSIM (161 px a side): leave them out, or plot psnr.")
    clusters = None if objects is None else [objects[name] for name in sorted(set(frame["image"]))]
    figure, axes = plt.subplots(figsize=(WIDTH, 4.8))
    for codec, line in codec_lines(means["codec"]).items():
        curve = means[means["codec"] == codec]
        part = frame[frame["codec"] == codec]
        rates, values = (
            part.pivot(index="image", columns="setting", values=name)[list(curve["setting"])].to_numpy(np.float64)
            for name in ("bpp", metric)
        )
        height = curve[metric] if metric == "psnr" else curve[metric].map(db)
        band = _band(rates, values, metric, resamples, clusters)
        axes.fill_between(curve["bpp"], band[:, 0], band[:, 1], color=line.colour, alpha=0.13, linewidth=0)
        axes.plot(curve["bpp"], height, zorder=3, **line.options())
    axes.set_ylabel("PSNR in dB" if metric == "psnr" else "MS-SSIM in dB, −10·log₁₀(1 − MS-SSIM)")
    rate_ticks(axes, log)
    legend_above(figure, axes)
    return figure


@styled
def bd_rate_bars(table: pd.DataFrame) -> Figure:
    """BD-rate of each codec against JPEG 2000, the mean over images, with interval whiskers.

    Parameters
    ----------
    table : of `metrics.bd_rate.bd_rates` or `metrics.bd_rate.all_pairs`
    """
    require(table, ("codec", "reference", "bd_rate", "low", "high"), "The BD-rate table", "run `bd_rates` first")
    # Codecs without a number are last.
    table = bd_rate.rows_against(table, bd_rate.REFERENCE).sort_values("bd_rate", ignore_index=True)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.42 * len(table)))
    lines = codec_lines(table["codec"])
    for i, (codec, value) in enumerate(zip(table["codec"], table["bd_rate"], strict=True)):
        if np.isfinite(value):
            axes.barh(i, value, height=0.55, color=lines[codec].colour, alpha=0.45, edgecolor=GREY, zorder=2)
    whiskers(axes, table, "bd_rate", plain=True)
    axes.set_yticks(range(len(table)), [lines[codec].label for codec in table["codec"]])
    axes.set_xlabel(_bd_label(table))
    return figure


def _bd_label(table: pd.DataFrame) -> str:
    reference = codec_name(table["reference"].iloc[0])
    return f"mean BD-rate of images against {reference} in % (negative: fewer bits at equal PSNR)"


@styled
def rate_by_category(table: pd.DataFrame, codec: str = "learned") -> Figure:
    """BD-rate of a codec against JPEG 2000 by category, best first, with the number of images.

    Parameters
    ----------
    table : of `metrics.bd_rate.by_category`

    Raises
    ------
    InputError
        A missing column, or the table does not compare these two.
    """
    columns = ("category", "codec", "reference", "bd_rate", "low", "high", "images")
    require(table, columns, "The table by category", "run `by_category` first")
    table = table[(table["codec"] == codec) & (table["reference"] == bd_rate.REFERENCE)]
    if table.empty:
        raise InputError(
            f"The table has no BD-rate of {codec} against {bd_rate.REFERENCE}: name a codec that it holds."
        )
    table = table.sort_values("bd_rate", ignore_index=True)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.24 * len(table)))
    whiskers(axes, table, "bd_rate")
    names = [c.replace("_", " ") for c in table["category"]]
    axes.set_yticks(range(len(table)), [f"{c} ({k})" for c, k in zip(names, table["images"], strict=True)])
    axes.set_ylabel("category (images)")
    axes.set_xlabel(f"{codec_name(codec)}: {_bd_label(table)}")
    return figure


@styled
def pair_matrix(pairs: pd.DataFrame) -> Figure:
    """BD-rate in % of the codec of a row against that of a column; grey numbers have an interval that contains 0.

    Rows and columns stand in the order of the mean change against all others, the fewest bits first.

    Parameters
    ----------
    pairs : of `metrics.bd_rate.all_pairs`
    """
    require(pairs, ("codec", "reference", "bd_rate", "low", "high"), "The table of pairs", "run `all_pairs` first")
    logs = pairs.assign(log=np.log1p(pairs["bd_rate"] / 100)).groupby("codec")["log"].mean()
    order = list(logs.sort_values().index)
    cells = pairs.pivot(index="codec", columns="reference", values="bd_rate").reindex(index=order, columns=order)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.36 * len(order)))
    size = min(8, 85 / len(order))  # numbers of four signs stay apart
    shown = np.log1p(cells.to_numpy() / 100)
    image = axes.imshow(np.ma.masked_invalid(shown), cmap="RdBu_r", vmin=-np.log(2), vmax=np.log(2), aspect="auto")
    for row in pairs.dropna(subset="bd_rate").to_dict("records"):
        i, j = order.index(row["codec"]), order.index(row["reference"])
        certain = not row["low"] <= 0 <= row["high"]
        colour = ("white" if abs(shown[i, j]) > 0.5 else "black") if certain else GREY
        axes.text(j, i, _signed(row["bd_rate"]), ha="center", va="center", color=colour, fontsize=size)
    names = [textwrap.fill(codec_name(codec), 20) for codec in order]
    axes.set_xticks(range(len(order)), names, rotation=90)
    axes.set_yticks(range(len(order)), names)
    axes.grid(False)
    axes.set_xlabel("against")
    axes.set_ylabel("bits of")
    ticks = [-50, -33, -20, 0, 25, 50, 100]
    bar = figure.colorbar(image, ax=axes, extend="both", label="BD-rate in %", shrink=0.9)
    bar.set_ticks([float(np.log1p(t / 100)) for t in ticks], labels=[_signed(t) for t in ticks])
    return figure


#: More bits in % than `rate_by_psnr` draws a codec for.
BEYOND = 150


@styled
def rate_by_psnr(slices: pd.DataFrame) -> Figure:
    """Bits of each codec against one reference at equal PSNR, by slices of PSNR, with interval whiskers.

    Codecs that need over `BEYOND` % more bits in every slice are named above the axes and not drawn, so that the others
    can be told apart.

    Parameters
    ----------
    slices : of `metrics.bd_rate.by_slice`
    """
    columns = ("codec", "reference", "psnr_low", "psnr_high", "bd_rate", "low", "high")
    require(slices, columns, "The table of slices", "run `by_slice` first")
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    axes.axhline(0, color=GREY, linewidth=1)
    beyond = slices["codec"].map(slices.groupby("codec")["bd_rate"].min() > BEYOND)
    if names := ", ".join(codec_name(codec) for codec in slices["codec"][beyond].unique()):
        axes.set_title(f"beyond +{BEYOND} %: {names}", loc="right", fontsize=8)
    for codec, line in codec_lines(slices["codec"][~beyond]).items():
        part = slices[slices["codec"] == codec].sort_values("psnr_low")
        middle = (part["psnr_low"] + part["psnr_high"]) / 2
        axes.plot(middle, part["bd_rate"], zorder=3, **line.options())
        axes.vlines(middle, part["low"], part["high"], color=line.colour, linewidth=1, alpha=0.6)
    axes.set_yscale("function", functions=(_log_change, _change))
    axes.set_yticks([-50, -33, -20, -10, 0, 11, 25, 50, 100, 200])
    axes.yaxis.set_major_formatter(lambda value, _: _signed(value))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("PSNR in dB")
    axes.set_ylabel(f"bits against {codec_name(slices['reference'].iloc[0])} in %")
    legend_above(figure, axes)
    return figure


def _signed(percent: float) -> str:
    whole = round(percent)
    return f"{whole:+d}".replace("-", "−") if whole else "0"


def _log_change(percent: Floats) -> Floats:
    return np.asarray(np.log1p(np.maximum(percent, -99) / 100), np.float64)


def _change(log: Floats) -> Floats:
    return np.asarray(100 * np.expm1(log), np.float64)


#: BD-rate in % from which `rate_against_speed` draws a codec at the edge, with its number.
OFF_SCALE = 80
#: What the numbers of `rate_against_speed` are, by the word before them in a variant's name.
EFFORT_NAMES = {"speed": "speed of AVIF", "effort": "effort of JPEG XL", "refine": "steps of refinement"}


@styled
def rate_against_speed(speeds: pd.DataFrame) -> Figure:
    """Bits at equal PSNR against speed, of encoders at the left and of decoders at the right; best is below right.

    Variants of one codec ("avif-speed6") are joined by a line and numbered at the left. A codec that needs over 80 %
    more bits stands at the upper edge, with its number at the left, so that the others can be told apart.

    Parameters
    ----------
    speeds : of `metrics.bd_rate.speeds`
    """
    require(speeds, ("codec", "bd_rate", "encode", "decode"), "The table of speeds", "run `speeds` first")
    parts = speeds["codec"].str.extract(rf"^(?P<family>.+?)(?:-(?P<kind>{'|'.join(EFFORT_NAMES)})(?P<effort>\d+))?$")
    table = speeds.assign(family=parts["family"], effort=parts["effort"])
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 4.4), sharey=True)
    for axes, column in zip(panels, ("encode", "decode"), strict=True):
        axes.axhline(0, color=GREY, linewidth=1)
        for family, line in codec_lines(table["family"]).items():
            part = table[table["family"] == family].sort_values(column)
            axes.plot(part[column], part["bd_rate"].clip(upper=OFF_SCALE), zorder=3, **line.options(linewidth=1))
            if column == "encode":
                for x, y, effort in zip(part[column], part["bd_rate"], part["effort"], strict=True):
                    if isinstance(effort, str):
                        axes.annotate(effort, (x, y), (3, 3), textcoords="offset points", fontsize=7)
                    if y > OFF_SCALE:
                        text = f"+{y:.0f} %"
                        axes.annotate(text, (x, OFF_SCALE), (0, 5), textcoords="offset points", ha="center", fontsize=7)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel(f"{column[:-1]}ing speed, times {codec_name(bd_rate.REFERENCE)}'s")
    if numbers := [what for kind, what in EFFORT_NAMES.items() if kind in set(parts["kind"])]:
        figure.supxlabel(f"numbers: {', '.join(numbers)}", fontsize="small")
    panels[0].set_ylabel(f"BD-rate against {codec_name(bd_rate.REFERENCE)} in %")
    legend_above(figure, panels[0])
    return figure
