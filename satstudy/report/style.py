"""How every figure looks: one set of parameters, and one line style for each codec and tiling.

Colours are of the palette of Okabe and Ito (*Color Universal Design*, 2008), which colour-blind readers can tell
apart. For print in grey, marker or dashes differ wherever colour does.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, ParamSpec

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from satstudy.codecs import registry
from satstudy.codecs.registry import PlotStyle
from satstudy.report.labels import codec_name, interval

#: Inches; 100 px an inch on the page, drawn at twice that.
WIDTH = 7.0
#: Colours by the names that entries of `satstudy.codecs.registry` use.
PALETTE = {
    "black": "#000000", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442",
    "blue": "#0072B2", "vermilion": "#D55E00", "purple": "#CC79A7",
}  # fmt: skip
BLACK, YELLOW, BLUE, VERMILION = (PALETTE[name] for name in ("black", "yellow", "blue", "vermilion"))
GREY = "#606060"

P = ParamSpec("P")


class Line(NamedTuple):
    """A label, and what tells the line from others."""

    label: str
    look: PlotStyle

    @property
    def colour(self) -> str:
        """As Matplotlib takes it."""
        return PALETTE.get(self.look.colour, self.look.colour)

    def options(self, **more: Any) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot`."""
        own = {"color": self.colour, "marker": self.look.marker, "linestyle": self.look.dashes}
        face = "white" if self.look.hollow else self.colour
        return {**own, "markerfacecolor": face, "label": self.label, **more}


DENSE, SPARSE = (0, (1, 1)), (0, (5, 1.5, 1, 1.5, 1, 1.5))
#: Lines of the blending experiment.
TILING_LINES = {
    "original": Line("original", PlotStyle(GREY, "None")),
    "independent": Line("independent", PlotStyle("vermilion", "s", "--")),
    "blend": Line("blend, mean", PlotStyle("blue", "o")),
    "blend, mean": Line("blend, mean", PlotStyle("blue", "o")),
    "blend, ramp": Line("blend, ramp", PlotStyle("green", "^", "-.")),
    "seamless": Line("seamless", PlotStyle("black", "D", DENSE)),
}
#: For what has no style of its own, such as the λ of a training.
CYCLE = (
    PlotStyle("blue", "o"),
    PlotStyle("vermilion", "s", "--"),
    PlotStyle("green", "^", "-."),
    PlotStyle("black", "D", DENSE),
    PlotStyle("purple", "v", SPARSE),
    PlotStyle("orange", "P", (0, (6, 2))),
    PlotStyle("sky", "X", (0, (2, 1))),
)


def cycle_line(label: str, index: int) -> Line:
    """The `index`-th line of a figure whose lines have no styles of their own."""
    return Line(label, CYCLE[index % len(CYCLE)])


def codec_lines(codecs: Iterable[str]) -> dict[str, Line]:
    """Codec → line, in the order of the registry; codecs that it does not have follow by name.

    A codec without a style takes one of `CYCLE` that no other codec of the figure has.
    """
    entries = {name: registry.find(name) for name in registry.names()}
    order = {name: place for place, name in enumerate(entries)}
    names = sorted(set(codecs), key=lambda codec: (order.get(codec, len(order)), codec))
    looks = {name: entries[name].style for name in names if name in entries}
    taken = {(look.marker, look.dashes) for look in looks.values() if look}
    free = itertools.cycle([look for look in CYCLE if (look.marker, look.dashes) not in taken] or CYCLE)
    return {name: Line(codec_name(name), looks.get(name) or next(free)) for name in names}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Matplotlib's parameters for the study's figures, on a page of about 700 px; also for figures of your own."""
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
    """Draw in `style` and return the figure closed: a notebook shows it once, as the value of its cell."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        before = set(plt.get_fignums())
        with style():
            try:
                figure = function(*args, **kwargs)
                # Ticks are made when the figure is first drawn, with the parameters of that moment.
                figure.draw_without_rendering()
                # The caption, unless the notebook has a better one.
                figure.set_label((function.__doc__ or "").partition("\n")[0])
                return figure
            finally:
                for number in set(plt.get_fignums()) - before:
                    plt.close(number)

    return wrapper


def legend_above(figure: Figure, axes: Axes) -> None:
    """A legend above the axes, where it covers no data, in rows of at most four."""
    handles, labels = axes.get_legend_handles_labels()
    rows = math.ceil(len(labels) / 4)
    figure.legend(handles, labels, loc="outside upper center", ncols=math.ceil(len(labels) / rows))


def whiskers(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    digits: int = 0,
    plain: bool = False,
    missing: str = "too little PSNR in common",
) -> None:
    """Draw estimates with intervals, a row each from the top, and write the numbers at the right.

    Parameters
    ----------
    table : columns `value`, low, high; a row whose value is nan says that there is no number
    plain : whiskers alone, for bars; else points whose colour and marker tell the sign, and grey diamonds where the
        interval contains 0
    missing : what is written where there is no number
    """
    axes.axvline(0, color=BLACK, linewidth=1, zorder=1)
    for i, (v, low, high) in enumerate(zip(table[value], table["low"], table["high"], strict=True)):
        text = missing if math.isnan(v) else interval(v, low, high, digits)
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


def bare(axes: Axes) -> None:
    """No ticks, spines or grid: for axes that show an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(False)
