"""Figures, tables and pictures as HTML, each with a number, a caption and a text for readers who do not see it.

A notebook shows what these functions return, and the book shows it again. `book/_static/book.js` lays pictures over
each other and lets curves answer to the pointer; without scripts all of them can still be read.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.report.style import GREY, codec_lines

#: Rows of a table that is not folded.
LONG = 12
#: Characters of a cell that is not wrapped.
WIDE = 60


class Picture(NamedTuple):
    """A picture among those that are compared: what made it, what it shows, and its measurements ("0.30 bpp")."""

    name: str
    pixels: Pixels
    note: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one place; two of them at a time are laid over each other, parted by a line that can be moved.

    Attributes
    ----------
    shown : uint8 (h, w, 3) each, all of one size; the first two are laid over each other at the start
    place : what they show, for readers who do not see them
    zoom : pixels of the page for a pixel of the picture; above 1 they are shown as squares
    """

    shown: Sequence[Picture]
    place: str
    caption: str
    zoom: int = 1


@dataclass(frozen=True)
class Curves:
    """Mean quality against mean rate of several sets of images, one of which is chosen and shown.

    Attributes
    ----------
    sets : name → columns codec, setting, bpp, psnr (`metrics.bd_rate.mean_curves`); the first is shown at the start
    still : the first set as a figure, for readers without scripts
    """

    sets: Mapping[str, pd.DataFrame]
    still: Figure
    caption: str


def figure(drawn: Figure, number: int, mark: str = "") -> str:
    """A figure of Matplotlib; its label (`Figure.set_label`) is the caption.

    Parameters
    ----------
    mark : written above the figure, "synthetic scenes"
    """
    return _numbered("Figure", number, _image(drawn, mark), str(drawn.get_label()))


def _image(drawn: Figure, mark: str) -> str:
    # Above all that is drawn, a legend above the axes among it.
    top = drawn.get_tightbbox().y1 / drawn.get_figheight() if mark else 0
    written = [drawn.text(0, max(1, top) + 0.01, mark, fontsize=8, color=GREY, va="bottom")] if mark else []
    with io.BytesIO() as file:
        # Twice the resolution of the page, as the style has it.
        drawn.savefig(file, format="png", bbox_inches="tight")
        for text in written:
            text.remove()
        with Image.open(file) as image:
            width, height = image.size
            data = _webp(image.convert("RGB"), exact=any(_is_picture(shown) for shown in drawn.findobj(AxesImage)))
    return _img(data, ". ".join(filter(None, [mark.capitalize(), describe(drawn)])), width // 2, height // 2)


def _is_picture(shown: AxesImage) -> bool:
    """Whether pixels are shown in their own colours, not in those of a colour map."""
    return np.asarray(shown.get_array()).ndim == 3


def _webp(image: Image.Image, exact: bool) -> bytes:
    """Lossless WebP; a chart that need not be exact has 256 colours, which no eye tells apart and halves its size."""
    if not exact:
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).convert("RGB")
    with io.BytesIO() as file:
        image.save(file, "webp", lossless=True, method=3)
        return file.getvalue()


def _img(webp: bytes, alt: str, width: int, height: int) -> str:
    address = f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
    return f'<img src="{address}" alt="{escape(alt)}" width="{width}" height="{height}" loading="lazy">'


def describe(drawn: Figure) -> str:
    """What a figure shows: axes, lines, titles, rows and columns, as a text.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> drawn, axes = plt.subplots()
    >>> _ = axes.plot([0, 1], [0, 1], label="AVIF"), axes.set(xlabel="rate in bpp", ylabel="PSNR in dB")
    >>> describe(drawn)
    'Chart of PSNR in dB against rate in bpp. AVIF from (0, 0) to (1, 1)'
    >>> plt.close(drawn)
    """
    parts = []
    for axes in drawn.axes:
        if axes.get_label() == "<colorbar>":
            continue
        titles = [axes.get_title("left"), axes.get_title("center"), axes.get_title("right")]
        title = " ".join(filter(None, titles))
        labels = axes.get_xlabel() or drawn.get_supxlabel(), axes.get_ylabel() or drawn.get_supylabel()
        x, y = (" ".join(label.split()) for label in labels)
        texts = [" ".join(text.get_text().split()) for text in axes.get_yticklabels()]
        if axes.get_images() and not axes.get_lines() and not axes.texts:
            parts.append(": ".join(["Picture", *filter(None, (title, x))]))
        elif axes.texts or any(isinstance(drawn_as, QuadMesh) for drawn_as in axes.collections):
            rows = [text for text in texts if text]
            numbers = [" ".join(text.get_text().split()) for text in axes.texts]
            listed = 0 < len(rows) == len(numbers)  # a number for each row, as in a chart of whiskers
            what = f"Chart of {x}" if listed else f"Table of {y or 'rows'} by {x or 'columns'}"
            what = ": ".join(filter(None, (what, title)))
            detail = [": ".join(pair) for pair in zip(rows, numbers, strict=True)] if listed else rows
            parts.append(". ".join(filter(None, (what, "; ".join(detail)))))
        elif x or y or title:
            lines = []
            for line in axes.get_lines():
                xs, ys = (np.asarray(data, float) for data in line.get_data())
                if not str(line.get_label()).startswith("_") and len(xs):
                    ends = f"({xs[0]:.3g}, {ys[0]:.3g})" + (f" to ({xs[-1]:.3g}, {ys[-1]:.3g})" if len(xs) > 1 else "")
                    lines.append(f"{line.get_label()} {'from ' if len(xs) > 1 else 'at '}{ends}")
            what = f"Chart of {y} against {x}" if x and y else f"Chart of {x or y or title}"
            parts.append(". ".join(filter(None, [what, title if x or y else "", "; ".join(lines)])))
    return ". ".join(parts) or "Picture"


def table(frame: pd.DataFrame, number: int) -> str:
    """A table without a column of row numbers, folded if it is long, with its content as CSV to keep.

    Parameters
    ----------
    frame : `frame.attrs["caption"]` is the caption; an index with a name becomes the first column; cells longer than
        a line of text are wrapped
    """
    plain = frame
    if frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex):
        corner = " \\ ".join(str(name) for name in (frame.index.name, frame.columns.name) if name)
        plain = frame.rename_axis(index=corner or " ", columns=None).reset_index()
    caption = str(frame.attrs.get("caption", ""))
    data = base64.b64encode(plain.to_csv(index=False).encode()).decode()
    link = f'<a class="csv" download="table-{number}.csv" href="data:text/csv;base64,{data}">CSV</a>'
    body = plain.to_html(index=False, border=0, na_rep="–").replace("<th>", '<th scope="col">')
    name = escape(caption or f"Table {number}")
    wrapped = " wrapped" if max((len(str(cell)) for cell in plain.to_numpy().ravel()), default=0) > WIDE else ""
    body = f'<div class="scroll{wrapped}" role="region" tabindex="0" aria-label="{name}">{body}</div>'
    if len(plain) > LONG:
        body = f"<details><summary>{len(plain)} rows</summary>{body}</details>"
    return _numbered("Table", number, body, caption, link)


def pictures(compared: Pictures, number: int, mark: str = "") -> str:
    """Pictures side by side, of which a script makes one with a line that parts two of them.

    Raises
    ------
    InputError
        No picture, or pictures of several sizes.
    """
    sizes = {picture.pixels.shape for picture in compared.shown}
    if len(sizes) != 1:
        raise InputError(f"{len(sizes)} sizes of pictures are to be compared: give pictures of one size.")
    ((height, width, _),) = sizes
    items = []
    for picture in compared.shown:
        with io.BytesIO() as file:
            Image.fromarray(picture.pixels).save(file, "WEBP", lossless=True)
            data = file.getvalue()
        note = ", ".join(filter(None, [picture.name, picture.note]))
        image = _img(data, f"{compared.place}: {note}", compared.zoom * width, compared.zoom * height)
        items.append(f'<div class="picture" data-name="{escape(picture.name)}">{image}<p>{escape(note)}</p></div>')
    squares = " squares" if compared.zoom > 1 else ""
    body = f'<div class="compare{squares}" data-place="{escape(compared.place)}">{"".join(items)}</div>'
    return _numbered("Figure", number, body, ". ".join(filter(None, [mark.capitalize(), compared.caption])))


def curves(chosen: Curves, number: int, mark: str = "") -> str:
    """A figure, and the data from which a script draws one that answers to the pointer and to the keyboard."""
    lines = codec_lines(codec for frame in chosen.sets.values() for codec in frame["codec"])
    looks = {
        codec: {
            "label": line.label,
            "colour": line.colour,
            "marker": line.look.marker,
            "dashes": _dashes(line.look.dashes),
        }
        for codec, line in lines.items()
    }
    points = {
        name: {
            codec: [[round(r["bpp"], 4), round(r["psnr"], 2), r["setting"]] for r in part.to_dict("records")]
            for codec, part in frame.groupby("codec", sort=False)
        }
        for name, frame in chosen.sets.items()
    }
    data = json.dumps({"looks": looks, "sets": points}, ensure_ascii=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # no text may end the script
    body = f'<div class="curves">{_image(chosen.still, mark)}<script type="application/json">{data}</script></div>'
    return _numbered("Figure", number, body, chosen.caption)


def _dashes(dashes: str | tuple[int, tuple[float, ...]]) -> str:
    """Lengths of strokes and gaps for SVG; those of Matplotlib are in widths of the line."""
    known = {"-": (), "--": (3.7, 1.6), "-.": (6.4, 1.6, 1, 1.6), ":": (1, 1.65)}
    lengths = known[dashes] if isinstance(dashes, str) else dashes[1]
    return " ".join(f"{1.6 * length:g}" for length in lengths)


def _numbered(kind: str, number: int, body: str, caption: str, link: str = "") -> str:
    name = kind.lower()
    text = " ".join(filter(None, [f"<b>{kind} {number}.</b>", escape(caption), link]))
    words = f"<figcaption>{text}</figcaption>"
    content = words + body if kind == "Table" else body + words
    return f'<figure class="study {name}" id="{name}-{number}">{content}</figure>'
