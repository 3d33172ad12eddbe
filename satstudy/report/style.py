"""How every figure looks: one set of parameters, one line style for each codec and tiling, in one place.

Colours are of Okabe and Ito's palette (*Color Universal Design*, 2008), which colour-blind readers can tell
apart. For print in grey, line style and marker differ wherever colour does.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, ParamSpec

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from satstudy.report.labels import codec_name, interval

#: Inches; 100 px an inch on the page, drawn at twice that.
WIDTH = 7.0
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#606060"

P = ParamSpec("P")


class Line(NamedTuple):
    """The label of a thing that is plotted, and what tells it from the others."""

    label: str
    colour: str
    marker: str
    dashes: Any = "-"
    hollow: bool = False

    def options(self, **more: Any) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot`."""
        face = "white" if self.hollow else self.colour
        own = {"color": self.colour, "marker": self.marker, "linestyle": self.dashes, "markerfacecolor": face}
        return {**own, "label": self.label, **more}


DENSE, SPARSE = (0, (1, 1)), (0, (5, 1.5, 1, 1.5, 1, 1.5))
CODECS = {
    "jpeg": Line(codec_name("jpeg"), VERMILION, "s", "--"),
    "jpeg2000": Line(codec_name("jpeg2000"), ORANGE, "^", "-."),
    "webp": Line(codec_name("webp"), GREEN, "v", DENSE),
    "avif": Line(codec_name("avif"), PURPLE, "D", SPARSE),
    "learned": Line(codec_name("learned"), BLUE, "o", "-"),
    "learned-natural": Line(codec_name("learned-natural"), SKY, "o", (0, (3, 1)), hollow=True),
    "learned-refined": Line(codec_name("learned-refined"), BLACK, "P", (0, (6, 2))),
    "original": Line(codec_name("original"), BLACK, "x", "-"),
}
TILINGS = {
    "original": Line("original", GREY, "None", "-"),
    "independent": Line("independent patches", VERMILION, "s", "--"),
    "blend": Line("overlap, mean", BLUE, "o", "-"),
    "blend, mean": Line("overlap, mean", BLUE, "o", "-"),
    "blend, ramp": Line("overlap, ramp", GREEN, "^", "-."),
    "seamless": Line("seamless", BLACK, "D", DENSE),
}
#: For things without a style of their own, such as the λ of a training.
CYCLE = [
    ("o", "-", BLUE), ("s", "--", VERMILION), ("^", "-.", GREEN), ("D", DENSE, BLACK), ("v", SPARSE, PURPLE),
    ("P", (0, (6, 2)), ORANGE), ("X", (0, (2, 1)), SKY),
]  # fmt: skip


def line(name: str, known: dict[str, Line], index: int = 0) -> Line:
    """The style of `name`, or the `index`-th of the cycle for a name that has none."""
    marker, dashes, colour = CYCLE[index % len(CYCLE)]
    return known.get(name, Line(name, colour, marker, dashes))


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The look of the study's figures, for a page of about 700 px; also for plots of one's own."""
    parameters = {
        **sns.axes_style("ticks"),
        "axes.grid": True,
        "axes.labelsize": 10,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.unicode_minus": True,
        "figure.constrained_layout.use": True,
        # Twice the page's resolution; the page scales the picture down.
        "figure.dpi": 200,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 10,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "image.interpolation": "auto",
        "legend.fontsize": 9,
        "legend.frameon": False,
        "legend.handlelength": 3.2,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "savefig.dpi": 200,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
    }
    with mpl.rc_context(parameters):
        yield


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in `style` and hand the figure over closed: a notebook shows it once, as the value of its cell."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        before = set(plt.get_fignums())
        with style():
            try:
                figure = function(*args, **kwargs)
                # Ticks are made when first drawn, and take the style that holds then.
                figure.draw_without_rendering()
                return figure
            finally:
                for number in set(plt.get_fignums()) - before:
                    plt.close(number)

    return wrapper


def legend_above(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """A legend above the axes, where it cannot lie over data, in rows of at most `columns`."""
    handles, labels = axes.get_legend_handles_labels()
    rows = math.ceil(len(labels) / columns)
    figure.legend(handles, labels, loc="outside upper center", ncols=math.ceil(len(labels) / rows))


def whiskers(axes: Axes, table: pd.DataFrame, value: str, digits: int = 0, plain: bool = False) -> None:
    """Estimates with intervals, a row each from the top, with the numbers at the right.

    Parameters
    ----------
    table : columns `value`, low, high; a row whose value is nan says that there is no number
    plain : whiskers alone, for bars; else points whose colour and marker tell the sign, grey diamonds where the
        interval contains 0
    """
    axes.axvline(0, color=BLACK, linewidth=1, zorder=1)
    for i, (v, low, high) in enumerate(zip(table[value], table["low"], table["high"], strict=True)):
        text = "too little PSNR in common" if math.isnan(v) else interval(v, low, high, digits)
        axes.annotate(text, (1, i), (4, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=8)
        if math.isnan(v):
            continue
        error = None if math.isnan(low) else [[max(0.0, v - low)], [max(0.0, high - v)]]
        if plain:
            marker, colour = "none", BLACK
        elif low <= 0 <= high:
            marker, colour = "D", GREY
        else:
            marker, colour = ("o", BLUE) if v < 0 else ("s", VERMILION)
        axes.errorbar(v, i, xerr=error, fmt=marker, color=colour, capsize=3, zorder=3)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(axis="y", visible=False)


def rate_ticks(axes: Axes, log: bool) -> None:
    """A bpp axis, linear or in log with plain numbers."""
    axes.set_xlabel("rate in bpp (bits of the whole file per pixel)")
    if not log:
        axes.set_xlim(left=0)
        return
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    steps: list[float] = [1, 2, 5] if high / low < 200 else [1]
    ticks = [s * 10.0**e for e in range(-4, 3) for s in steps]
    axes.set_xticks([t for t in ticks if low <= t <= high], minor=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set_xlim(low, high)


def synthetic_note(figure: Figure) -> Figure:
    """Mark a figure of synthetic data as such, below everything else; returns the figure."""
    with style():
        engine = figure.get_layout_engine()
        room = 0.2 / figure.get_figheight()
        if isinstance(engine, ConstrainedLayoutEngine):
            engine.set(rect=(0, room, 1, 1 - room))
        # A line of the figure's own height below figures that are laid out by hand.
        figure.text(0.995, 0.005, "synthetic scenes", ha="right", va="bottom", fontsize=8, style="italic", color=GREY)
        figure.draw_without_rendering()
    return figure


def bare(axes: Axes) -> None:
    """No ticks, spines or grid: for axes that show an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(False)
