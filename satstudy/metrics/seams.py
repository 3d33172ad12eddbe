"""How visible the seams of a patch grid are in a decoded image, and the table of these measurements (seam frame).

Seam `s` is the boundary between the rows (or columns) `s − 1` and `s` (`satstudy.core.geometry.Grid.seams`). The
gradient across a boundary is the mean absolute difference of the luminance on its two sides. Each tiling has its seams
in other places, and these may be harder or easier to code. Therefore the loss near seams is measured against `seamless`
at the same pixels.
"""

from __future__ import annotations

import itertools
import math
from pathlib import PurePosixPath
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

#: Columns of the seam frame, one row for each image, λ and tiling.
COLUMNS = (
    "image", "lam", "tiling", "weighting", "patch", "overlap", "bytes", "bpp", "psnr", "psnr_near", "psnr_away",
    "seam", "seam_original", "psnr_near_reference",
)  # fmt: skip

#: Near a seam: within this many pixels of it, or in an overlap.
NEAR = 8

#: Rows per block, to save memory: a scene of 16,000² takes 3 GB as floats.
BLOCK = 256


# --- One image --------------------------------------------------------------------------------------------


def measured_layout(height: int, width: int, tiling: str, overlap: int = 8, patch: int = 256) -> Grid:
    """The patch grid whose seams are measured for a tiling.

    `seamless` has no patches: it takes the grid of `independent`, whose seams include the borders of its own tiles
    (512 and 1024 pixels).

    Raises
    ------
    InputError
        An unknown tiling, or one of the errors of `grid`.
    """
    if tiling not in TILINGS:
        raise InputError(f"tiling = {tiling!r}: take one of {', '.join(TILINGS)}.")
    return grid(height, width, patch, overlap if tiling == "blend" else 0)


def seam_measure(image: Pixels, layout: Grid) -> float:
    """Ratio of the mean gradient across the seams to the mean gradient across all other boundaries.

    Each seam is compared with the boundaries of its own direction and weighted by its length. Expected is about 1 if
    the image is independent of the grid. Content along a seam, such as a road, changes it for the original too:
    divide by the measure of the original.

    Returns
    -------
    float
        1 for a flat image; inf if only seams have a gradient; nan if the layout has no seam, or if every boundary of a
        direction is one

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
    """PSNR in dB of the pixels near seams (in an overlap or within `distance` of a seam), and of all others.

    Returns
    -------
    near, away : nan without such pixels, inf if they are equal in both images

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
    """Gradient and error as functions of the distance to the nearest seam, over both directions.

    Returns
    -------
    DataFrame
        distance (0 … reach, in pixels; 0 is the seam itself); gradient and gradient_original (mean over the boundaries
        at that distance); error (mean absolute error of the pixels beside them, over R, G and B). Values are levels of
        0–255. Distances without a boundary have no row

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
    """A square of `size` pixels on a seam; `orientation` is the seam's, horizontal or vertical."""

    top: int
    left: int
    size: int
    orientation: str


def worst_seam(original: Pixels, decoded: Pixels, layout: Grid, size: int = 64, beside: Grid | None = None) -> SeamCrop:
    """The crop with the most visible seam: chosen by a rule, not by hand.

    Of all seam segments of `size` pixels, it shows the one with the largest increase of the mean gradient from the
    original to the decoded image. Ties go to the first from the top, horizontal before vertical. The crop is centred on
    the segment unless it would leave the image.

    Parameters
    ----------
    beside : another layout; the crop must show a parallel seam of it too, if any place shows both

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
            # Rounded: the cumulative sums before equal segments differ, and so do the rounding errors.
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
    layout : from `measured_layout`; gives patch and overlap
    weighting : `mean` or `ramp` for `blend`, else `none`
    reference : the image decoded by `seamless` with the same weights, for `psnr_near_reference`: its PSNR near the
        seams of `layout` (nan without)
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
    """Check that a seam frame is complete, and add derived columns.

    Returns
    -------
    DataFrame
        also `lost` (psnr_near_reference − psnr_near, in dB), `gap` (psnr_away − psnr_near, in dB) and `ratio`
        (seam / seam_original). A missing `weighting`, as pandas reads "none" from a CSV, is "none" again

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
    """Change in bits from tiling `base` to tiling `part` in %: geometric mean over images, its interval over places.

    Parameters
    ----------
    part, base : rows of the seam frame, one for each image and λ

    Returns
    -------
    Interval
        nan if `base` lacks an image; bounds are nan with fewer than three places
    """
    sizes, others = (table.set_index(["image", "lam"])["bytes"] for table in (part, base))
    logs = (sizes / others.reindex(sizes.index)).map(np.log)
    if logs.empty or logs.isna().any():
        return Interval(math.nan, math.nan, math.nan)
    places = logs.index.get_level_values("image").map(place).tolist()
    return change_interval(logs.to_numpy(), clusters=places)


def place(image: str) -> str:
    """What stands before the first `_` of an image's name: dates of one place are not independent.

    >>> place("scenes/naip_20120731.webp")
    'naip'
    """
    return PurePosixPath(image).stem.partition("_")[0]
