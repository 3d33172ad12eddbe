"""The figures that show images: crops side by side, the patch grid, and a seam close up."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from numpy.typing import NDArray

from satstudy.core.errors import InputError
from satstudy.core.geometry import Grid, Span, grid
from satstudy.core.types import Pixels
from satstudy.report import html
from satstudy.report.labels import codec_name, rate
from satstudy.report.style import BLACK, GREY, WIDTH, YELLOW, bare, styled

# --- Crops ----------------------------------------------------------------------------------------------

#: (codec, decoded crop, bpp of the whole image's file, PSNR of the whole image in dB)
CodedCrop = tuple[str, Pixels, float, float]


@styled
def crops_grid(original: Pixels, coded: Sequence[CodedCrop]) -> Figure:
    """The same crop at several rates, a row for each codec, with the original at the left (paper, Fig. 5).

    Parameters
    ----------
    original : uint8 (h, w, 3)
    coded : crops of one codec stand in one row, in the order given

    Raises
    ------
    InputError
        No coded crop, or one of another size than the original.
    """
    if not coded:
        raise InputError("There is no coded crop to show: give one or more.")
    rows: dict[str, list[CodedCrop]] = {}
    for entry in coded:
        codec, crop = entry[:2]
        if crop.shape != original.shape or crop.dtype != np.uint8:
            raise InputError(
                f"The crop of {codec} is {crop.shape} and the original {original.shape}: cut out the same."
            )
        rows.setdefault(codec, []).append(entry)
    columns = 1 + max(len(row) for row in rows.values())
    side = WIDTH / columns
    height = len(rows) * (side * original.shape[0] / original.shape[1] + 0.42)
    figure = plt.figure(figsize=(WIDTH, height))
    cells = figure.add_gridspec(len(rows), columns)
    first = figure.add_subplot(cells[:, 0])
    bare(first)
    first.imshow(original)
    first.set_title("original")
    first.set_xlabel("24 bpp", fontsize=9)
    for i, (codec, row) in enumerate(rows.items()):
        for j, (_, crop, bpp, psnr) in enumerate(row):
            axes = figure.add_subplot(cells[i, j + 1])
            bare(axes)
            axes.imshow(crop)
            axes.set_xlabel(f"{rate(bpp)} bpp, {psnr:.1f} dB", fontsize=9)
            if j == 0:
                axes.set_title(codec_name(codec), loc="left")
    return figure


@styled
def whole_and_square(original: Pixels, decoded: Mapping[str, Pixels], top: int, left: int, side: int) -> Figure:
    """What each of several codecs changes in an image, as a whole and in one square of it.

    The first row has the original and the errors in it, the second row the square, the third its errors: the absolute
    difference, averaged over R, G and B, in levels of 255, on one scale for all codecs.

    Parameters
    ----------
    original : uint8 (height, width, 3)
    decoded : label → pixels of the same shape
    top, left, side : of the square

    Raises
    ------
    InputError
        No decoded image, or one of another shape.
    """
    if not decoded or any(pixels.shape != original.shape for pixels in decoded.values()):
        raise InputError(f"Decoded images must be there, all with the shape {original.shape} of the original.")
    errors = {name: np.abs(pixels.astype(np.int16) - original).mean(axis=2) for name, pixels in decoded.items()}
    cut = np.s_[top : top + side, left : left + side]
    scale: dict[str, Any] = {
        "cmap": "magma", "vmin": 0, "vmax": max(4.0, *(float(np.percentile(e, 99.5)) for e in errors.values()))
    }  # fmt: skip
    columns = 1 + len(decoded)
    width = WIDTH / columns
    tall = original.shape[0] / original.shape[1]
    figure, panels = plt.subplots(
        3, columns, figsize=(WIDTH, width * (2 + tall) + 0.4), height_ratios=(tall, 1, 1), squeeze=False
    )
    for axes in panels.flat:
        bare(axes)
    panels[0, 0].imshow(original)
    panels[1, 0].imshow(original[cut])
    for colour, thick in (("white", 2.5), (BLACK, 1.2)):
        frame = Rectangle((left, top), side, side, fill=False, edgecolor=colour, linewidth=thick)
        panels[0, 0].add_patch(frame)
    panels[0, 0].set_title("original")
    for (name, error), column in zip(errors.items(), panels.T[1:], strict=True):
        column[0].set_title(name)
        column[0].imshow(error, **scale)
        column[1].imshow(decoded[name][cut])
        shown = column[2].imshow(error[cut], **scale)
    for axes, text in zip(panels[:, 1], ("errors", "the framed square", "its errors"), strict=True):
        axes.set_ylabel(text, fontsize=9)
    bar = figure.colorbar(shown, cax=panels[2, 0].inset_axes((0.1, 0.55, 0.8, 0.1)), orientation="horizontal")
    bar.set_label("error in levels of 255", fontsize=9)
    return figure


def saved_crops(pictures: Mapping[str, Pixels], facts: Mapping[str, Any]) -> Figure:
    """`crops_grid` of pictures that `study.experiments.rate_crops` chose and a notebook saved.

    Parameters
    ----------
    pictures : `original`, and those that the facts name
    facts : `coded`, a list of (name of the picture, codec, bpp, PSNR in dB)

    Raises
    ------
    InputError
        A picture or a fact is missing.
    """
    try:
        coded = [(codec, pictures[name], bpp, psnr) for name, codec, bpp, psnr in facts["coded"]]
        return crops_grid(pictures["original"], coded)
    except (KeyError, ValueError) as error:
        raise InputError(f"The saved crops lack {error}: run notebooks/rd.ipynb again.") from None


def coded_pictures(pictures: Mapping[str, Pixels], facts: Mapping[str, Any]) -> html.Pictures:
    """One crop, original and coded in equally many bytes (`study.side_by_side.equal_bytes`), to be compared.

    At the start these are the original and the learned codec, which comes last in the facts.
    """
    coded = [
        html.Picture(codec_name(codec), pictures[name], f"{rate(bpp)} bpp, {psnr:.1f} dB")
        for name, codec, bpp, psnr in facts["coded"]
    ]
    return html.Pictures(
        [html.Picture("original", pictures["original"], "24 bpp"), *reversed(coded)],
        facts["image"],
        f"{facts['image']}, coded by every codec in equally many bytes, as nearly as its settings allow; rate and PSNR "
        f"are those of the whole image ({codec_name(facts['coded'][-1][1])}: {facts['learned']}). Move the line, "
        "choose what stands on each side, and look where it differs.",
        zoom=max(1, 512 // pictures["original"].shape[1]),
    )


@styled
def error_maps(pictures: Mapping[str, Pixels], facts: Mapping[str, Any]) -> Figure:
    """Where each codec errs at equal bytes: the absolute error, mean of R, G and B, multiplied to be seen.

    Parameters
    ----------
    pictures, facts : of `study.side_by_side.equal_bytes`
    """
    figure, panels = plt.subplots(1, len(facts["coded"]), figsize=(WIDTH, WIDTH / len(facts["coded"]) + 0.5))
    for axes, (name, codec, _, psnr) in zip(np.atleast_1d(panels), facts["coded"], strict=True):
        error = np.abs(pictures[name].astype(np.int16) - pictures["original"]).mean(axis=2)
        bare(axes)
        shown = np.clip(AMPLIFICATION * error, 0, 255)
        axes.imshow(np.round(shown / GREY_STEP) * GREY_STEP, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(codec_name(codec))
        axes.set_xlabel(f"{psnr:.1f} dB; error × {AMPLIFICATION}", fontsize=8)
    return figure


# --- Patches --------------------------------------------------------------------------------------------


@styled
def patch_grid(image: Pixels, layout: Grid) -> Figure:
    """The image with its patches and overlaps, and a close-up of where four patches meet (paper, Fig. 3).

    Raises
    ------
    InputError
        The layout of an image of another size.
    """
    if image.shape[:2] != (layout.height, layout.width):
        raise InputError(f"The layout is of {layout.height}×{layout.width} pixels and the image {image.shape}.")
    corner = len(layout.rows) > 1 and len(layout.columns) > 1
    height = 4.5 * layout.height / layout.width + 0.6 if corner else WIDTH * layout.height / layout.width + 0.6
    figure, panels = plt.subplots(
        1, 2 if corner else 1, figsize=(WIDTH, max(height, 3.0)), squeeze=False,
        width_ratios=(4.5, 2.3) if corner else None,
    )  # fmt: skip
    whole = panels[0, 0]
    bare(whole)
    whole.imshow(image)
    _draw_grid(whole, layout, 0.5)
    whole.set_xlim(-0.5, layout.width - 0.5)
    whole.set_ylim(layout.height - 0.5, -0.5)
    whole.set_xlabel(f"{layout.height}×{layout.width} pixels (height × width)")
    if corner:
        _close_up(figure, whole, panels[0, 1], image, layout)
    title = f"{len(layout)} patches of {layout.patch}×{layout.patch} px"
    if layout.overlap:
        title += f", overlap {layout.overlap} px: {100 * layout.repeated:.2f} % of the coded pixels are coded again"
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_grid(axes: Axes, layout: Grid, width: float) -> None:
    """Overlaps in yellow, seams as white lines on black ones, which are seen on any ground."""
    for a, b in _overlaps(layout.rows):
        axes.axhspan(a - 0.5, b - 0.5, color=YELLOW, alpha=0.5, linewidth=0)
    for a, b in _overlaps(layout.columns):
        axes.axvspan(a - 0.5, b - 0.5, color=YELLOW, alpha=0.5, linewidth=0)
    rows, columns = layout.seams
    for colour, thick in ((BLACK, 2.2 * width), ("white", width)):
        for s in rows:
            axes.axhline(s - 0.5, color=colour, linewidth=thick)
        for s in columns:
            axes.axvline(s - 0.5, color=colour, linewidth=thick)


def _overlaps(parts: tuple[Span, ...]) -> list[Span]:
    """The pixels of an axis that two neighbouring patches share."""
    return [(b[0], a[1]) for a, b in pairwise(parts) if b[0] < a[1]]


def _close_up(figure: Figure, whole: Axes, axes: Axes, image: Pixels, layout: Grid) -> None:
    """Where four patches meet, six overlaps wide: half-way down and at the right, next to the close-up."""
    i, j = len(layout.rows) // 2, len(layout.columns) - 1
    y, x = ((p[k][0] + p[k - 1][1]) / 2 for p, k in ((layout.rows, i), (layout.columns, j)))
    reach = max(16, 3 * layout.overlap)
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    bottom, right = min(layout.height, int(y) + reach), min(layout.width, int(x) + reach)
    bare(axes)
    axes.imshow(image)
    _draw_grid(axes, layout, 1.0)
    axes.set_xlim(left - 0.5, right - 0.5)
    axes.set_ylim(bottom - 0.5, top - 0.5)
    axes.set_title("where four patches meet", fontsize=9)
    note = "one patch borders on the next"
    if layout.overlap:
        note = f"yellow: {layout.overlap} px in two patches, in four where bands cross"
    axes.set_xlabel("\n".join(textwrap.wrap(note, 34)), fontsize=9)
    for colour, thick in (("white", 3.0), (BLACK, 1.4)):
        whole.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=thick)
        )
    for a, b in ((top, 1), (bottom, 0)):
        link = ConnectionPatch((right, a), (0, b), "data", "axes fraction", axesA=whole, axesB=axes, color=GREY)
        figure.add_artist(link)


# --- Seams ----------------------------------------------------------------------------------------------

#: By this the error of a crop, averaged over R, G and B, is multiplied to be seen.
AMPLIFICATION = 8
#: Such errors are drawn in sixteen greys: nobody tells more apart, and the picture takes less than half the bytes.
GREY_STEP = 17


def seam_pictures(pictures: Mapping[str, Pixels], facts: Mapping[str, Any]) -> html.Pictures:
    """The crop around a seam under every tiling, enlarged, to be laid over each other and over the original."""
    return html.Pictures(
        [html.Picture(name, pictures[name]) for name in ("original", "independent", "blend", "seamless")],
        f"a seam in {facts['image']}",
        f"The strongest seam of {facts['image']} that independent patches leave, λ = {facts['lam']:g}, six pixels of "
        "the page for one of the image. It runs through the middle; the original shows what is no seam.",
        zoom=6,
    )


def saved_seam(
    pictures: Mapping[str, Pixels], facts: Mapping[str, Any], other: Literal["blend", "seamless"] = "blend"
) -> Figure:
    """The crop around a seam, coded in independent patches and otherwise, with the error of both (paper, Fig. 4).

    Pixels are shown as squares at equal contrast, and nothing is drawn over them: arrows outside point at the seams
    of the independent patches and, white in the right column, at those of the blended ones.

    Parameters
    ----------
    pictures : `original`, `independent`, `blend` and `seamless`, uint8 (size, size, 3)
    facts : `top` and `left` of the crop, `height` and `width` of the image, `overlap` of the blended patches

    Raises
    ------
    InputError
        A picture or a fact is missing.
    """
    try:
        height, width, top, left, overlap = (int(facts[key]) for key in ("height", "width", "top", "left", "overlap"))
        crops, original = (pictures["independent"], pictures[other]), pictures["original"]
    except KeyError as error:
        raise InputError(f"The saved seam lacks {error}: run notebooks/blending.ipynb again.") from None
    independent = grid(height, width, 256, 0)
    if other == "blend":
        labels, layouts = ("independent", "blend"), (independent, grid(height, width, 256, overlap))
    else:
        labels, layouts = ("independent", "seamless"), (independent, independent)
    return _seam_panels(crops, original, layouts, labels, top, left)


@styled
def _seam_panels(
    crops: tuple[Pixels, Pixels],
    original: Pixels,
    layouts: tuple[Grid, Grid],
    labels: tuple[str, str],
    top: int,
    left: int,
) -> Figure:
    """A seam close up under two tilings, and the error of both; arrows point at the seams (paper, Fig. 4)."""
    size = len(original)
    margin, gap, foot, head = 0.45, 0.55, 0.45, 0.52
    side = min(size / 25, (WIDTH - 2 * margin - gap) / 2)  # four hundredths of an inch a pixel, if there is room
    inches = 2 * side + 2 * margin + gap, 2 * (side + head) + foot
    figure = plt.figure(figsize=inches, layout="none")
    # A notebook trims figures, to what is drawn in them without arrows: this invisible frame keeps their room.
    figure.add_artist(Rectangle((0, 0), 1, 1, transform=figure.transFigure, fill=False, linewidth=0))
    for j, (crop, layout, label) in enumerate(zip(crops, layouts, labels, strict=True)):
        error = np.abs(crop.astype(np.int16) - original).mean(axis=2)
        shown: tuple[tuple[str, NDArray[Any]], ...] = (
            (label, crop),
            (f"absolute error × {AMPLIFICATION}", np.clip(AMPLIFICATION * error, 0, 255)),
        )
        for i, (title, pixels) in enumerate(shown):
            x, y = margin + j * (side + gap), inches[1] - (i + 1) * (side + head) + 0.12
            axes = figure.add_axes((x / inches[0], y / inches[1], side / inches[0], side / inches[1]))
            bare(axes)
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(title, pad=16)
            _arrows(axes, layout, top, left, size, BLACK if layout == layouts[0] else "white")
    return figure


def _arrows(axes: Axes, layout: Grid, top: int, left: int, size: int, face: str) -> None:
    """Point from outside at both ends of each seam that crosses the crop."""
    look: dict[str, Any] = {"facecolor": face, "edgecolor": BLACK, "width": 1, "headwidth": 6, "headlength": 6}
    rows, columns = layout.seams
    for start, places, vertical in ((top, rows, False), (left, columns, True)):
        for s in places:
            at = (s - start) / size
            if not 0 < at < 1:
                continue
            for edge, outward in ((0, -1), (1, 1)):
                tip = (at, edge) if vertical else (edge, 1 - at)
                shift = (0, 13 * outward) if vertical else (13 * outward, 0)
                axes.annotate("", tip, shift, "axes fraction", "offset points", arrowprops={**look, "shrink": 0.08})
