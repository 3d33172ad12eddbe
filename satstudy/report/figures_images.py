"""The figures that show images: crops side by side, and the patch grid."""

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
from satstudy.report.labels import rate
from satstudy.report.style import BLACK, GREY, WIDTH, YELLOW, bare, styled

#: (label, decoded crop, bpp of the whole image's file, PSNR of the whole image or of the crop)
Coded = tuple[str, Pixels, float, float]


@styled
def crops_grid(original: Pixels, coded: Sequence[Coded]) -> Figure:
    """The same crop at several rates, a row for each label, with the original at the left (paper, Fig. 5).

    Parameters
    ----------
    original : uint8 (h, w, 3)
    coded : (label, crop, bpp, PSNR in dB); crops of one label stand in one row in the order given

    Raises
    ------
    InputError
        No coded crop, or one of another size than the original.
    """
    if not coded:
        raise InputError("There is no coded crop to show: give one or more.")
    for label, crop, *_ in coded:
        if crop.shape != original.shape or crop.dtype != np.uint8:
            raise InputError(
                f"The crop of {label} is {crop.shape} and the original {original.shape}: cut out the same."
            )
    rows: dict[str, list[Coded]] = {}
    for entry in coded:
        rows.setdefault(entry[0], []).append(entry)
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
    for i, (label, row) in enumerate(rows.items()):
        for j, (_, crop, bpp, psnr) in enumerate(row):
            axes = figure.add_subplot(cells[i, j + 1])
            bare(axes)
            axes.imshow(crop)
            axes.set_xlabel(f"{rate(bpp)} bpp, {psnr:.1f} dB", fontsize=9)
            if j == 0:
                axes.set_title(label, loc="left")
    return figure


def kept_crops(crops: Mapping[str, Pixels], about: Mapping[str, Any]) -> Figure:
    """`crops_grid` from crops that were kept: `original`, and `<label> <i>` for the i-th entry of `about["coded"]`.

    Parameters
    ----------
    about : `coded`, a list of (label, bpp, PSNR in dB)

    Raises
    ------
    InputError
        A crop is missing.
    """
    try:
        coded = [(label, crops[f"{label} {i}"], bpp, psnr) for i, (label, bpp, psnr) in enumerate(about["coded"])]
        return crops_grid(crops["original"], coded)
    except KeyError as error:
        raise InputError(f"The kept crops lack {error}: run notebooks/rd.ipynb again.") from None


def _shared(parts: tuple[Span, ...]) -> list[Span]:
    """Where two neighbouring spans overlap."""
    return [(b[0], a[1]) for a, b in pairwise(parts) if b[0] < a[1]]


def _draw_grid(axes: Axes, layout: Grid, width: float) -> None:
    for a, b in _shared(layout.rows):
        axes.axhspan(a - 0.5, b - 0.5, color=YELLOW, alpha=0.5, linewidth=0)
    for a, b in _shared(layout.columns):
        axes.axvspan(a - 0.5, b - 0.5, color=YELLOW, alpha=0.5, linewidth=0)
    rows, columns = layout.seams
    for colour, thick in ((BLACK, 2.2 * width), ("white", width)):  # a white line on black is seen on any ground
        for s in rows:
            axes.axhline(s - 0.5, color=colour, linewidth=thick)
        for s in columns:
            axes.axvline(s - 0.5, color=colour, linewidth=thick)


@styled
def patch_grid(image: Pixels, layout: Grid) -> Figure:
    """The image with its patches and overlaps, and where four patches meet close up (paper, Fig. 3).

    Raises
    ------
    InputError
        A layout of another image.
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
    whole.set_xlabel(f"{layout.width}×{layout.height} pixels (width×height)")
    if corner:
        _corner(figure, whole, panels[0, 1], image, layout)
    title = f"{len(layout)} patches of {layout.patch}×{layout.patch} px"
    if layout.overlap:
        title += f", overlap {layout.overlap} px: {100 * layout.repeated:.2f} % of the coded pixels are coded again"
    figure.suptitle(title, fontsize=10)
    return figure


def _corner(figure: Figure, whole: Axes, axes: Axes, image: Pixels, layout: Grid) -> None:
    """Where four patches meet, six overlaps wide: half-way down, at the right, next to the close-up."""
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


def seam_comparison(
    without: Pixels,
    with_: Pixels,
    layout: Grid,
    where: tuple[Any, ...],
    zoom: int = 4,
    *,
    original: Pixels | None = None,
    layout_with: Grid | None = None,
    factor: int = 8,
    labels: tuple[str, str] = ("without blending", "with blending"),
) -> Figure:
    """The same crop without and with blending, and the error of both, with the seam marked (paper, Fig. 4).

    Pixels are shown as squares at equal contrast, nothing is drawn over them: arrows outside point at the
    seams of `layout`, and open ones at those of `layout_with` in the right column.

    Parameters
    ----------
    without, with_, original : uint8 (h, w, 3), the whole images
    layout, layout_with : of the left and the right column; without the second, both are marked alike
    where : (top, left, size) of the crop; a fourth entry, as `seams.SeamCrop` has, is not looked at
    zoom : hundredths of an inch a pixel, less where the page is too narrow for it
    factor : by which the absolute error, averaged over R, G and B, is multiplied; there is a row of errors
        where `original` is given

    Raises
    ------
    InputError
        Images of different sizes, or a crop that leaves them.
    """
    top, left, size = (int(v) for v in where[:3])
    for image in (with_, original):
        if image is not None and image.shape != without.shape:
            raise InputError(f"The images are {without.shape} and {image.shape}: give whole images of one size.")
    if min(top, left) < 0 or size < 1 or top + size > without.shape[0] or left + size > without.shape[1]:
        raise InputError(f"The crop {top}, {left}, {size} leaves the image of {without.shape[0]}×{without.shape[1]}.")
    if zoom < 1 or factor < 1:
        raise InputError(f"zoom = {zoom}, factor = {factor}: take 1 or more.")
    cut = np.s_[top : top + size, left : left + size]
    return _seam_panels(
        (without[cut], with_[cut]),
        None if original is None else original[cut],
        (layout, layout_with),
        (top, left),
        zoom,
        factor,
        labels,
    )


@styled
def _seam_panels(
    crops: tuple[Pixels, Pixels],
    original: Pixels | None,
    layouts: tuple[Grid, Grid | None],
    at: tuple[int, int],
    zoom: int = 4,
    factor: int = 8,
    labels: tuple[str, str] = ("without blending", "with blending"),
) -> Figure:
    """What `seam_comparison` draws, from the crops alone: uint8 (size, size, 3), `at` (top, left) of the image."""
    (layout, layout_with), (top, left), size = layouts, at, len(crops[0])
    margin, gap, foot, head = 0.45, 0.55, 0.45, 0.52
    side = min(size * zoom / 100, (WIDTH - 2 * margin - gap) / 2)
    count = 1 if original is None else 2
    inches = 2 * side + 2 * margin + gap, count * (side + head) + foot
    figure = plt.figure(figsize=inches, layout="none")
    # Arrows do not count when a notebook trims a figure, this does.
    figure.add_artist(Rectangle((0, 0), 1, 1, transform=figure.transFigure, fill=False, linewidth=0))
    for j, (crop, marks) in enumerate(zip(crops, (layout, layout_with or layout), strict=True)):
        shown: list[tuple[str, NDArray[Any]]] = [(labels[j], crop)]
        if original is not None:
            error = np.abs(crop.astype(np.int16) - original).mean(axis=2)
            shown.append((f"absolute error × {factor}", np.clip(error * factor, 0, 255)))
        for i, (label, pixels) in enumerate(shown):
            y = inches[1] - (i + 1) * (side + head) + 0.12
            box = ((margin + j * (side + gap)) / inches[0], y / inches[1], side / inches[0], side / inches[1])
            axes = figure.add_axes(box)
            bare(axes)
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(label, pad=16)
            _arrows(axes, marks, top, left, size, "white" if j and layout_with else BLACK)
    return figure


def kept_seam(
    crops: Mapping[str, Pixels], at: Mapping[str, Any], other: Literal["blend", "seamless"] = "blend"
) -> Figure:
    """`seam_comparison` of independent patches and `other`, from crops that were kept of the images.

    Parameters
    ----------
    crops : `original`, `independent`, `blend` and `seamless`, uint8 (size, size, 3)
    at : `top` and `left` of the crop, `height` and `width` of the image, `overlap` of the blended patches

    Raises
    ------
    InputError
        A crop or a number is missing.
    """
    try:
        height, width = int(at["height"]), int(at["width"])
        apart, over = (grid(height, width, 256, overlap) for overlap in (0, int(at["overlap"])))
        return _seam_panels(
            (crops["independent"], crops[other]),
            crops["original"],
            (apart, over if other == "blend" else None),
            (int(at["top"]), int(at["left"])),
            labels=("without blending", "with blending") if other == "blend" else ("independent patches", "seamless"),
        )
    except KeyError as error:
        raise InputError(f"The kept crops lack {error}: run notebooks/blending.ipynb again.") from None


def _arrows(axes: Axes, layout: Grid, top: int, left: int, size: int, face: str) -> None:
    """Point from outside at the ends of each seam that crosses the crop."""
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
