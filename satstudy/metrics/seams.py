"""How visible the seams of a patch grid are in a decoded image, and the seam frame that holds these measurements.

Seam `s` is the boundary between the rows (or columns) `s − 1` and `s` (`satstudy.core.geometry.Grid.seams`). The
gradient across a boundary is the mean absolute difference of the luminance on its two sides. Tilings have their seams
in different places, which may be harder or easier to code: what a tiling loses near its seams is measured against
`seamless` at the same pixels.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.core.geometry import TILINGS, Grid, Span, grid
from satstudy.core.pixels import luminance
from satstudy.core.types import Floats, Pixels
from satstudy.metrics import quality
from satstudy.metrics.bootstrap import Interval, change_interval

#: Columns of the seam frame, one row an image, λ and tiling.
COLUMNS = (
    "image", "lam", "tiling", "weighting", "patch", "overlap", "bytes", "bpp", "psnr", "psnr_near", "psnr_away",
    "seam", "seam_original", "psnr_near_reference",
)  # fmt: skip

#: Pixels within this distance of a seam, or in an overlap, are near it.
NEAR = 8

#: Rows that are computed together: a scene of 16,000² in floats would take 3 GB.
BLOCK = 256


# --- One image --------------------------------------------------------------------------------------------


def measured_layout(height: int, width: int, tiling: str, overlap: int = 8, patch: int = 256) -> Grid:
    """The grid on whose seams a tiling is measured.

    `seamless` has no patches. It is measured on the grid of the independent patches that it replaces, on which the
    borders of its own tiles (512 and 1024 pixels) lie too.

    Raises
    ------
    InputError
        An unknown tiling, or one of the errors of `grid`.
    """
    if tiling not in TILINGS:
        raise InputError(f"tiling = {tiling!r}: take one of {', '.join(TILINGS)}.")
    return grid(height, width, patch, overlap if tiling == "blend" else 0)


def seam_measure(image: Pixels, layout: Grid) -> float:
    """Mean gradient across the seams over the mean gradient across all other boundaries.

    Each seam is compared with the boundaries of its own direction and counts by its length. An image that does not
    depend on the grid has about 1. What its content does along the seams by chance, such as a road, is in the original
    too: compare with the measure of that.

    Returns
    -------
    float
        1 for a flat image, inf where only the seams have a gradient; nan where the layout has no seam, or where every
        boundary of a direction is one

    Raises
    ------
    InputError
        An image of another size than the layout's.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(100, 110, (200, 200, 3), dtype=np.uint8)
    >>> stepped = noise.copy()
    >>> stepped[:, 100:] += 10
    >>> layout = grid(200, 200, patch=100, overlap=0)
    >>> round(seam_measure(noise, layout), 1), round(seam_measure(stepped, layout), 1)
    (1.0, 2.8)
    """
    _check_sizes(layout, image)
    if len(layout) == 1:
        return math.nan
    at = elsewhere = 0.0
    for gradient, places, length in zip(_gradients(image), layout.seams, (layout.width, layout.height), strict=True):
        if not places:
            continue
        seam = np.zeros(len(gradient), bool)
        seam[np.array(places) - 1] = True  # boundary i lies between pixels i and i + 1
        if seam.all():
            return math.nan
        at += length * float(gradient[seam].sum())
        elsewhere += length * len(places) * float(gradient[~seam].mean())
    if elsewhere == 0:
        return 1.0 if at == 0 else math.inf
    return at / elsewhere


def psnr_near_away(decoded: Pixels, original: Pixels, layout: Grid, distance: int = NEAR) -> tuple[float, float]:
    """PSNR in dB of the pixels in an overlap or within `distance` of a seam, and of all others.

    Returns
    -------
    near, away : nan where there is no such pixel, inf where they are equal in both images

    Raises
    ------
    InputError
        Images of another size than the layout's, or a distance below 1.
    """
    _check_sizes(layout, decoded, original)
    if distance < 1:
        raise InputError(f"distance = {distance}: take 1 pixel or more.")
    rows, columns = (_near(spans, distance) for spans in (layout.rows, layout.columns))
    sums, counts = [0, 0], [0, 0]
    for top in range(0, len(decoded), BLOCK):
        block = slice(top, top + BLOCK)
        error = np.square(decoded[block].astype(np.int32) - original[block]).sum(axis=2)
        near = rows[block, None] | columns[None, :]
        for side, mask in enumerate((near, ~near)):
            sums[side] += int(error[mask].sum())
            counts[side] += 3 * int(mask.sum())
    near_db, away_db = (quality.psnr_of_error(total, count) for total, count in zip(sums, counts, strict=True))
    return near_db, away_db


def seam_profile(original: Pixels, decoded: Pixels, layout: Grid, reach: int = 32) -> pd.DataFrame:
    """Gradient and error by the distance to the nearest seam, both directions pooled.

    Returns
    -------
    DataFrame
        distance (0 … reach, in pixels; 0 is the seam itself), gradient and gradient_original (across the boundaries at
        that distance), error (mean absolute error of the pixels beside them, over R, G and B), all in levels of 0–255.
        No row for a distance that no boundary has

    Raises
    ------
    InputError
        Images of another size than the layout's, or a layout without seams.
    """
    _check_sizes(layout, decoded, original)
    if len(layout) == 1:
        raise InputError(f"A layout of one patch of {layout.patch} pixels has no seam: take a larger image.")
    by_row, by_column = np.zeros(layout.height), np.zeros(layout.width)
    for top in range(0, layout.height, BLOCK):
        error = np.abs(decoded[top : top + BLOCK].astype(np.int16) - original[top : top + BLOCK]).mean(axis=2)
        by_row[top : top + BLOCK] = error.mean(axis=1)
        by_column += error.sum(axis=0) / layout.height
    errors = [(e[1:] + e[:-1]) / 2 for e in (by_row, by_column)]
    values = ["gradient", "gradient_original", "error"]
    tables = []
    for places, length, *columns in zip(
        layout.seams, (layout.width, layout.height), _gradients(decoded), _gradients(original), errors, strict=True
    ):
        if places:
            boundary = np.arange(1, len(columns[0]) + 1)
            distance = np.abs(boundary[:, None] - np.array(places)).min(axis=1)
            table = pd.DataFrame(dict(zip(values, columns, strict=True))) * length
            tables.append(table.assign(distance=distance, weight=float(length)))
    pooled = pd.concat(tables).query("distance <= @reach").groupby("distance").sum()
    return pooled[values].div(pooled["weight"], axis=0).reset_index()


class SeamCrop(NamedTuple):
    """A square of pixels around a piece of a seam; `orientation` is that of the seam, horizontal or vertical."""

    top: int
    left: int
    size: int
    orientation: str


def worst_seam(original: Pixels, decoded: Pixels, layout: Grid, size: int = 64, beside: Grid | None = None) -> SeamCrop:
    """The crop in which a seam shows most: chosen by a rule, not by hand.

    Of all pieces of a seam that are `size` pixels long, the one across which the mean gradient grew most from the
    original to the decoded image; of equal ones the first from the top, horizontal before vertical. The crop is centred
    on it as far as the image allows.

    Parameters
    ----------
    beside : another layout that the crop should show a parallel seam of; where no place shows both, it is ignored

    Raises
    ------
    InputError
        No seam, a crop larger than the image, or images of another size than the layout's.
    """
    _check_sizes(layout, decoded, original)
    height, width = decoded.shape[:2]
    if not 2 <= size <= min(height, width):
        raise InputError(
            f"A crop of {size}×{size} does not fit into {height}×{width}: take a size of 2 or more that does."
        )
    found: list[tuple[float, SeamCrop]] = []
    others = ((), ()) if beside is None else beside.seams
    for axis, (orientation, places) in enumerate(zip(("horizontal", "vertical"), layout.seams, strict=True)):
        for s in places:
            start = min(max(s - size // 2, 0), decoded.shape[axis] - size)
            if beside is not None and not any(start < other < start + size for other in others[axis]):
                continue
            lines = np.s_[s - 1 : s + 1] if axis == 0 else np.s_[:, s - 1 : s + 1]
            steps = [np.abs(np.diff(luminance(image[lines]), axis=axis)).ravel() for image in (decoded, original)]
            grown = np.concatenate([[0.0], np.cumsum(steps[0] - steps[1], dtype=np.float64)])
            # Rounded, so that equal pieces are equal whatever the sums before them.
            means = np.round((grown[size:] - grown[:-size]) / size, 6)
            along = int(means.argmax())
            top, left = (start, along) if axis == 0 else (along, start)
            found.append((float(means[along]), SeamCrop(top, left, size, orientation)))
    if found:
        return max(found, key=lambda entry: entry[0])[1]
    if beside is not None:
        return worst_seam(original, decoded, layout, size)
    raise InputError(f"A layout of one patch of {layout.patch} pixels has no seam: take a larger image.")


def _check_sizes(layout: Grid, *images: Pixels) -> None:
    """Raise InputError unless all images are uint8 (height, width, 3) of the layout's size."""
    for pixels in images:
        if pixels.dtype != np.uint8 or pixels.shape != (layout.height, layout.width, 3):
            raise InputError(
                f"The layout is of a uint8 image {(layout.height, layout.width, 3)}, not of {pixels.dtype} "
                f"{pixels.shape}: make it with geometry.grid for this image."
            )


def _gradients(image: Pixels) -> tuple[Floats, Floats]:
    """Gradient across each boundary: between rows (height − 1,) and between columns (width − 1,)."""
    height, width = image.shape[:2]
    between_rows, between_columns = np.zeros(height - 1), np.zeros(width - 1)
    for top in range(0, height, BLOCK):
        y = luminance(image[top : top + BLOCK + 1])  # one row more, for the boundary below the block
        between_rows[top : top + len(y) - 1] = np.abs(np.diff(y, axis=0)).mean(axis=1)
        between_columns += np.abs(np.diff(y[:BLOCK], axis=1)).sum(axis=0, dtype=np.float64)
    return between_rows, between_columns / height


def _near(spans: tuple[Span, ...], distance: int) -> NDArray[np.bool_]:
    """Pixels of an axis in an overlap, or at most `distance` from where one patch ends and the next begins."""
    near = np.zeros(spans[-1][1], bool)
    for (_, end), (start, _) in itertools.pairwise(spans):
        near[max(0, start - distance) : end + distance] = True
    return near


# --- The seam frame ---------------------------------------------------------------------------------------


def measure(
    original: Pixels,
    decoded: Pixels,
    data_bytes: int,
    layout: Grid,
    *,
    image: str,
    lam: float,
    tiling: str,
    weighting: str = "none",
    reference: Pixels | None = None,
) -> dict[str, Any]:
    """One row of the seam frame (`COLUMNS`).

    Parameters
    ----------
    data_bytes : size of the whole encoded file
    layout : of `measured_layout`; its patch and overlap stand in the row
    weighting : `mean` or `ramp` for `blend`, else `none`
    reference : the image decoded by `seamless` with the same weights. Its PSNR near the seams of `layout` is
        `psnr_near_reference`, nan without one
    """
    near, away = psnr_near_away(decoded, original, layout)
    return {
        "image": image,
        "lam": lam,
        "tiling": tiling,
        "weighting": weighting,
        "patch": layout.patch,
        "overlap": layout.overlap,
        "bytes": data_bytes,
        "bpp": quality.bpp(data_bytes, layout.height, layout.width),
        "psnr": quality.psnr(original, decoded),
        "psnr_near": near,
        "psnr_away": away,
        "seam": seam_measure(decoded, layout),
        "seam_original": seam_measure(original, layout),
        "psnr_near_reference": math.nan if reference is None else psnr_near_away(reference, original, layout)[0],
    }


def with_derived(frame: pd.DataFrame) -> pd.DataFrame:
    """The seam frame with the columns that follow from others, checked to be complete.

    Returns
    -------
    DataFrame
        also `lost` (psnr_near_reference − psnr_near, in dB), `gap` (psnr_away − psnr_near, in dB) and `ratio`
        (seam / seam_original); `weighting` is "none" where a CSV was read with that as missing

    Raises
    ------
    InputError
        A missing column, no row, an unknown tiling, or other images for one setting than for another.
    """
    require(frame, COLUMNS, "The seam frame", "run the blending experiment first")
    unknown = sorted(set(frame["tiling"]) - set(TILINGS))
    if unknown:
        raise InputError(f"The seam frame has a tiling {unknown[0]!r}: take one of {', '.join(TILINGS)}.")
    frame = frame.assign(
        weighting=frame["weighting"].fillna("none"),
        lost=frame["psnr_near_reference"] - frame["psnr_near"],
        gap=frame["psnr_away"] - frame["psnr_near"],
        ratio=frame["seam"] / frame["seam_original"],
    )
    everything = set(frame["image"])
    for key, part in frame.groupby(["lam", "tiling", "weighting", "patch", "overlap"]):
        if set(part["image"]) != everything or part["image"].duplicated().any():
            raise InputError(f"The seam frame lacks images, or has some twice, for {key}: measure all of them once.")
    return frame


def bits_change(part: pd.DataFrame, base: pd.DataFrame) -> Interval:
    """Bits of one tiling against another's in %, paired by image: the mean in the logarithm, and its interval.

    Parameters
    ----------
    part, base : rows of the seam frame, the same images and λ once each

    Returns
    -------
    Interval
        nan where `base` lacks an image
    """
    sizes, others = (table.set_index(["image", "lam"])["bytes"] for table in (part, base))
    logs = (sizes / others.reindex(sizes.index)).map(np.log)
    if logs.empty or logs.isna().any():
        return Interval(math.nan, math.nan, math.nan)
    return change_interval(logs.to_numpy(), clusters=logs.index.get_level_values("image").tolist())
