"""The figures of the accuracy experiment: the matrix of conditions, differences of two matrices, and confusion."""

from __future__ import annotations

import re
from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.report.labels import condition_labels, matrix_cells
from satstudy.report.style import WIDTH, styled, whiskers


def readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast with an RGB colour in 0–1 (WCAG 2.2, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


@styled
def accuracy_heatmap(matrix: pd.DataFrame, conditions: pd.DataFrame) -> Figure:
    """Accuracy in percent: a column is what the classifier was trained on, a row what it was validated on.

    Cells hold the mean over seeds and half the width of its interval, where `matrix` has one
    (`metrics.accuracy.accuracy_matrix`). A frame marks cells that were trained and validated on the same condition.

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
    for label, value in zip(axes.texts, accuracy.to_numpy()[accuracy.notna().to_numpy()], strict=True):
        label.set_color(readable_on(mpl.colormaps["cividis"](value / 100)))
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
    """The rate, and the setting behind it, on lines of their own.

    >>> _wrapped("JPEG 2000 0.40 bpp (bpp=0.4)")
    'JPEG 2000\\n0.40 bpp\\n(bpp=0.4)'
    """
    return re.sub(r" (?=[\d.]+ bpp)|(?<=bpp) (?=\()", "\n", label)


@styled
def accuracy_difference(frame: pd.DataFrame, conditions: pd.DataFrame, what: str = "difference of accuracy") -> Figure:
    """Differences of accuracy with their intervals, a row for each pair of conditions.

    Parameters
    ----------
    frame : trained_on, validated_on, effect, low, high as fractions (`metrics.accuracy.leakage_effect`)
    what : the quantity, for the axis
    """
    columns = ("trained_on", "validated_on", "effect", "low", "high")
    require(frame, columns, "The table of differences", "compare two matrices first")
    names = condition_labels(conditions)
    table = frame.assign(**{c: 100 * frame[c] for c in ("effect", "low", "high")}).reset_index(drop=True)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.26 * len(table)))
    whiskers(axes, table, "effect", 1)
    pairs = zip(table["trained_on"], table["validated_on"], strict=True)
    axes.set_yticks(range(len(table)), [f"{names.get(a, a)} → {names.get(b, b)}" for a, b in pairs])
    axes.set_ylabel("trained on → validated on")
    axes.set_xlabel(f"{what} in percentage points")
    return figure


@styled
def confusion_heatmap(table: pd.DataFrame) -> Figure:
    """The confusion matrix in percent: rows are true classes, columns answers; zeros are left empty.

    Parameters
    ----------
    table : of `metrics.accuracy.confusion`
    """
    if table.empty:
        raise InputError("The confusion table is empty: run `metrics.accuracy.confusion` first.")
    percent = 100 * table
    text = percent.map(lambda v: f"{v:.0f}" if v >= 0.5 else "")
    side = 1.6 + 0.36 * len(table)
    figure, axes = plt.subplots(figsize=(min(WIDTH, side + 1.2), side))
    # With many classes, numbers would be too small to read.
    numbers = text if len(table) <= 25 else False
    sns.heatmap(
        percent, annot=numbers, fmt="", cmap="Greys", vmin=0, vmax=100, ax=axes, annot_kws={"fontsize": 7},
        cbar_kws={"label": "share of the true class in %"},
    )  # fmt: skip
    axes.set_xlabel("answered")
    axes.set_ylabel("true class")
    axes.tick_params(axis="both", labelsize=7, length=0)
    return figure
