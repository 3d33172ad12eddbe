"""The figures that show a seam close up, with the error beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from satstudy.codecs.learned.stitching import Grid, grid, seams
from satstudy.core.errors import InputError
from satstudy.data.images import Pixels
from satstudy.report.style import BLACK, WIDTH, bare, styled


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
    where : (top, left, size) of the crop; a fourth entry, as `blending.SeamCrop` has, is not looked at
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
    rows, columns = seams(layout)
    for start, places, vertical in ((top, rows, False), (left, columns, True)):
        for s in places:
            at = (s - start) / size
            if not 0 < at < 1:
                continue
            for edge, outward in ((0, -1), (1, 1)):
                tip = (at, edge) if vertical else (edge, 1 - at)
                shift = (0, 13 * outward) if vertical else (13 * outward, 0)
                axes.annotate("", tip, shift, "axes fraction", "offset points", arrowprops={**look, "shrink": 0.08})
