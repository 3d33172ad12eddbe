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

from satstudy.codecs import registry
from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.report.labels import CURVES, condition_labels, matrix_cells
from satstudy.report.paper import paper_table_2
from satstudy.report.style import BLACK, WIDTH, codec_lines, legend_above, rate_ticks, styled, whiskers
from satstudy.report.tables import counterparts


def readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast with an RGB colour in 0–1 (WCAG 2.2, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


@styled
def accuracy_heatmap(matrix: pd.DataFrame, conditions: pd.DataFrame) -> Figure:
    """Accuracy in percent: a column is what the classifier was trained on, a row what it was validated on.

    Cells hold the mean over seeds, half the width of its interval, where `matrix` has one
    (`metrics.accuracy.accuracy_matrix`), and in parentheses the paper's number, where Table 2 has the codecs at about
    the same rates. A frame marks cells that were trained and validated on the same condition. Lightness alone tells
    the values, so the map can be read in grey.

    Parameters
    ----------
    matrix, conditions : as `labels.matrix_cells` takes them
    """
    cells, names = matrix_cells(matrix, conditions), condition_labels(conditions)
    accuracy, half = cells["accuracy"], (cells["high"] - cells["low"]) / 2
    text = accuracy.map(lambda v: f"{v:.1f}")
    text = text.where(half.isna(), text + "\n±" + half.map(lambda v: f"{v:.1f}"))
    published = _published(accuracy, conditions)
    text = text.where(published == "", text + "\n" + published)
    rows, columns = accuracy.shape
    lines = 1 + max(str(cell).count("\n") for cell in text.to_numpy().ravel())
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + (0.24 + 0.15 * lines) * rows))
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


def _published(accuracy: pd.DataFrame, conditions: pd.DataFrame) -> pd.DataFrame:
    """The paper's numbers in the shape of `accuracy`, "(80.7)"; empty where it has none."""
    table = paper_table_2()
    rows, columns = counterparts(conditions)

    def number(validated: str, trained: str) -> str:
        if validated not in rows or trained not in columns:
            return ""
        return f"({table[columns[trained].name].to_dict()[rows[validated].name]:.1f})"

    texts = [[number(v, t) for t in accuracy.columns] for v in accuracy.index]
    return pd.DataFrame(texts, accuracy.index, accuracy.columns)


def _wrapped(label: str) -> str:
    """The rate, and what stands in parentheses, on lines of their own.

    >>> _wrapped("mbt2018 (natural) 0.72 bpp"), _wrapped("JPEG 2000 0.40 bpp (bpp=0.4)")
    ('mbt2018\\n(natural)\\n0.72 bpp', 'JPEG 2000\\n0.40 bpp\\n(bpp=0.4)')
    """
    return re.sub(r" (?=[\d.]+ bpp)| (?=\()", "\n", label)


@styled
def confusion_by_rate(confusions: pd.DataFrame, conditions: pd.DataFrame) -> Figure:
    """Confusion matrices in percent: rows are true classes, columns answers; zeros are left empty.

    Uncompressed images and up to three rates of one learned codec are shown, the highest rate first: of the codec that
    was measured at most rates, not trained on natural images.

    Parameters
    ----------
    confusions : of `metrics.accuracy.confusions`
    conditions : condition, codec, setting, bpp
    """
    require(confusions, ("validated_on", "label", "predicted", "share"), "The table of confusions", "train first")
    measured = conditions[conditions["condition"].isin(confusions["validated_on"])]
    learned = measured.loc[[registry.main_codec([codec]) is not None for codec in measured["codec"]], "codec"]
    shown = measured[measured["codec"].isin([registry.ORIGINAL, *learned.mode()[:1]])]
    shown = shown.sort_values("bpp", ascending=False)[:4]
    if shown.empty:
        raise InputError("No condition of a learned codec and no uncompressed one was validated on.")
    labels, classes = condition_labels(conditions), sorted({*confusions["label"], *confusions["predicted"]})
    tables = {}
    for name in shown["condition"]:
        cells = confusions[confusions["validated_on"] == name].pivot(index="label", columns="predicted", values="share")
        tables[labels[name]] = cells.reindex(index=classes, columns=classes).fillna(0.0)
    across = min(2, len(tables))
    down = -(-len(tables) // across)
    count = len(classes)
    width = min(WIDTH, across * (1.2 + 0.36 * count) + 1)
    side = (width - 1.6) / across
    figure, grid = plt.subplots(
        down, across, figsize=(width, down * (side + 0.3) + 0.9), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    small = max(4.5, min(7.0, 72 * 0.8 * side / count))
    names = [str(name).replace("_", " ") for name in classes]
    for number, (axes, (title, table)) in enumerate(zip(grid.flat, tables.items(), strict=False)):
        answers = names if number + across >= len(tables) else False
        percent = 100 * table
        text = percent.map(lambda v: f"{v:.0f}" if v >= 0.5 else "")
        sns.heatmap(  # numbers of many classes would be too small to read
            percent, annot=text if 72 * side / count > 12 else False, fmt="", cmap="Greys", vmin=0, vmax=100, ax=axes,
            annot_kws={"fontsize": 7}, cbar=False, xticklabels=answers, yticklabels=names, square=True,
        )  # fmt: skip
        axes.set_title(title, fontsize=9)
        axes.set(xlabel="", ylabel="")
        axes.tick_params(axis="both", labelsize=small, length=0)
        for spine in axes.spines.values():
            spine.set_visible(True)
    for axes in grid.flat[len(tables) :]:
        axes.set_visible(False)
    figure.supxlabel("answered", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    bar = figure.colorbar(grid[0, 0].collections[0], ax=grid, aspect=40, pad=0.02)
    bar.set_label("share of the true class in %")
    return figure


@styled
def ranking(table: pd.DataFrame, names: Sequence[str], value: str, quantity: str, digits: int = 1) -> Figure:
    """Estimates with their intervals, a row each, in the order of the table.

    Parameters
    ----------
    table : columns `value`, low, high
    names : of the rows
    quantity : the axis
    """
    require(table, (value, "low", "high"), "The table", "measure first")
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.26 * len(table)))
    whiskers(axes, table.reset_index(drop=True), value, digits, missing="no better than guessing")
    axes.set_yticks(range(len(table)), list(names))
    axes.set_xlabel(quantity)
    return figure


@styled
def accuracy_curves(curves: pd.DataFrame) -> Figure:
    """Accuracy against rate, a line for each codec with its 95 % band; dashed, that of uncompressed images.

    Left: classifiers trained on uncompressed images. Right: trained on images coded as those they are validated on.

    Parameters
    ----------
    curves : codec, bpp, trained ("original" or "matched"), accuracy, low, high as fractions; a row of the codec
        "original" is the uncompressed one
    """
    columns = ("codec", "bpp", "trained", "accuracy", "low", "high")
    require(curves, columns, "The table of accuracy against rate", "train and validate first")
    base, coded = curves[curves["codec"] == "original"], curves[curves["codec"] != "original"]
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.4), sharey=True, sharex=True)
    for axes, (trained, words) in zip(panels, CURVES.items(), strict=True):
        for codec, line in codec_lines(coded["codec"]).items():
            part = coded[(coded["codec"] == codec) & (coded["trained"] == trained)].sort_values("bpp")
            axes.plot(part["bpp"], 100 * part["accuracy"], **line.options())
            axes.fill_between(part["bpp"], 100 * part["low"], 100 * part["high"], color=line.colour, alpha=0.15, lw=0)
        for value in base["accuracy"]:
            axes.axhline(100 * value, color=BLACK, linestyle="--", linewidth=1)
        axes.set_title(f"trained {words}")
        rate_ticks(axes, log=True)
        axes.set_xlabel("rate in bpp")
    panels[0].set_ylabel("accuracy in %")
    legend_above(figure, panels[0])
    return figure


@styled
def class_heatmap(classes: pd.DataFrame, conditions: pd.DataFrame, trained_on: str) -> Figure:
    """Accuracy of each class in percent, for one training condition; classes that lose most stand at the top.

    Parameters
    ----------
    classes : trained_on, validated_on, label, accuracy (`metrics.transfer.class_accuracies`), of one classifier
    """
    require(classes, ("trained_on", "validated_on", "label", "accuracy"), "The table of classes", "train first")
    chosen = classes[classes["trained_on"] == trained_on]
    if chosen.empty:
        raise InputError(
            f"No classifier was trained on {trained_on}: take one of {sorted(set(classes['trained_on']))}."
        )
    labels = condition_labels(conditions)
    table = 100 * chosen.pivot(index="label", columns="validated_on", values="accuracy")
    table = table[[name for name in labels if name in table.columns]]
    own = table[trained_on] if trained_on in table.columns else table.max(axis=1)
    table = table.loc[(own - table.min(axis=1)).sort_values(ascending=False, kind="stable").index]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.6 + 0.24 * len(table)))
    sns.heatmap(
        table, ax=axes, annot=True, fmt=".0f", cmap="cividis", vmin=0, vmax=100, annot_kws={"fontsize": 8},
        cbar_kws={"label": "accuracy in %", "aspect": 25},
    )  # fmt: skip
    for label, value in zip(axes.texts, table.to_numpy().ravel(), strict=True):
        label.set_color(readable_on(mpl.colormaps["cividis"](value / 100)))
    axes.set_xticklabels([labels[c] for c in table.columns], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticklabels([str(name).replace("_", " ") for name in table.index], rotation=0)
    axes.tick_params(length=0)
    axes.set_xlabel("validated on")
    axes.set_ylabel("class")
    return figure
