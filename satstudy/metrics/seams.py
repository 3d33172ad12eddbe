"""How much of a patch grid is left in a decoded image.

A seam `s` lies between pixels `s − 1` and `s` (`stitching.seams`). The gradient across a boundary is the
absolute difference of luminance (ITU-R BT.601, in levels of 0–255) of the two pixels beside it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from satstudy.codecs.learned.stitching import Grid, grid, seams
from satstudy.core.errors import InputError
from satstudy.core.frames import require
from satstudy.core.types import Floats, Pixels
from satstudy.metrics import quality
from satstudy.metrics.bootstrap import Interval, change_interval

#: Rows taken together, so that a scene of 16,000² needs no second copy of itself in floats.
BLOCK = 256


def luminance(image: Pixels) -> NDArray[np.float32]:
    """float32 (h, w) in [0, 255]."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def check_layout(image: Pixels, layout: Grid, other: Pixels | None = None) -> None:
    """Raise InputError unless all images are uint8 (h, w, 3) of the layout's size."""
    for pixels in (image,) if other is None else (image, other):
        if pixels.dtype != np.uint8 or pixels.shape != (layout.height, layout.width, 3):
            raise InputError(
                f"The layout is of a uint8 image {(layout.height, layout.width, 3)}, not of {pixels.dtype} "
                f"{pixels.shape}: make it with stitching.grid for this image."
            )


def _gradients(image: Pixels) -> tuple[Floats, Floats]:
    """Mean gradient across each boundary: between rows (h − 1,) and between columns (w − 1,)."""
    height, width = image.shape[:2]
    between_rows, between_columns = np.zeros(height - 1), np.zeros(width - 1)
    for top in range(0, height, BLOCK):
        y = luminance(image[top : top + BLOCK + 1])  # one row more than is new, for the boundary below the block
        between_rows[top : top + len(y) - 1] = np.abs(np.diff(y, axis=0)).mean(axis=1)
        between_columns += np.abs(np.diff(y[:BLOCK], axis=1)).sum(axis=0, dtype=np.float64)
    return between_rows, between_columns / height


def seam_measure(image: Pixels, layout: Grid) -> float:
    """Mean gradient across the seams over the mean gradient across all other boundaries.

    Both directions are pooled: each seam is compared with the boundaries of its own direction, and counts
    by its length. An image that knows nothing of the grid has about 1; what its content does along the seams
    by chance is left out by `seam_ratio`.

    Returns
    -------
    float
        1 or more where seams show. nan where the layout has no seam (one patch), or where every boundary of
        a direction is a seam; 1 for a flat image, inf where nothing but the seams has a gradient.

    Raises
    ------
    InputError
        An image of another size than the layout's.
    """
    check_layout(image, layout)
    at = elsewhere = 0.0
    lengths = (layout.width, layout.height)
    found = False
    for gradient, places, length in zip(_gradients(image), seams(layout), lengths, strict=True):
        if not places:
            continue
        on = np.zeros(len(gradient), bool)
        on[np.array(places) - 1] = True  # boundary i lies between pixels i and i + 1
        if on.all():
            return math.nan
        found = True
        at += length * float(gradient[on].sum())
        elsewhere += length * len(places) * float(gradient[~on].mean())
    if not found:
        return math.nan
    if elsewhere == 0:
        return 1.0 if at == 0 else math.inf
    return at / elsewhere


def seam_ratio(decoded: Pixels, original: Pixels, layout: Grid) -> float:
    """`seam_measure` of the decoded image over that of the original at the same places; 1 without seams.

    What lies along the seams by chance (a road, a shore) is in both and falls out. nan where either has none.
    """
    own = seam_measure(original, layout)
    return seam_measure(decoded, layout) / own if own > 0 else math.nan


def _near(parts: tuple[tuple[int, int], ...], distance: int) -> NDArray[np.bool_]:
    """Pixels of an axis in an overlap or at most `distance` from it; without overlap, from where two patches meet."""
    near = np.zeros(parts[-1][1], bool)
    for (_, end), (start, _) in itertools.pairwise(parts):
        near[max(0, start - distance) : end + distance] = True
    return near


def psnr_near_away(decoded: Pixels, original: Pixels, layout: Grid, distance: int = 8) -> tuple[float, float]:
    """PSNR in dB of the pixels in an overlap or within `distance` of a seam, and of all others.

    Returns
    -------
    near, away : nan where there is no such pixel, inf where they are equal in both images

    Raises
    ------
    InputError
        Images of another size than the layout's, or a distance below 1.
    """
    check_layout(decoded, layout, original)
    if distance < 1:
        raise InputError(f"distance = {distance}: take 1 pixel or more.")
    rows, columns = (_near(parts, distance) for parts in (layout.rows, layout.columns))
    sums, counts = [0, 0], [0, 0]
    for top in range(0, len(decoded), BLOCK):
        block = slice(top, top + BLOCK)
        error = np.square(decoded[block].astype(np.int32) - original[block]).sum(axis=2)
        near = rows[block, None] | columns[None, :]
        for side, mask in enumerate((near, ~near)):
            sums[side] += int(error[mask].sum())
            counts[side] += 3 * int(mask.sum())

    def value(total: int, count: int) -> float:
        if count == 0:
            return math.nan
        return math.inf if total == 0 else 10 * math.log10(255**2 * count / total)

    return value(sums[0], counts[0]), value(sums[1], counts[1])


def seam_profile(original: Pixels, decoded: Pixels, layout: Grid, reach: int = 32) -> pd.DataFrame:
    """Gradient and error by the distance to the nearest seam, both directions pooled.

    Returns
    -------
    DataFrame
        distance (0 … reach, in pixels; 0 is the seam itself), gradient and gradient_original (mean absolute
        luminance difference across the boundaries at that distance), error (mean absolute error of the pixels
        beside them, over R, G and B), all in levels of 0–255. No row for a distance that no boundary has.

    Raises
    ------
    InputError
        Images of another size than the layout's, or a layout without seams.
    """
    check_layout(decoded, layout, original)
    columns = ("gradient", "gradient_original", "error")
    by_row, by_column = np.zeros(layout.height), np.zeros(layout.width)
    for top in range(0, layout.height, BLOCK):
        error = np.abs(decoded[top : top + BLOCK].astype(np.int16) - original[top : top + BLOCK]).mean(axis=2)
        by_row[top : top + BLOCK] = error.mean(axis=1)
        by_column += error.sum(axis=0) / layout.height
    errors = [(e[1:] + e[:-1]) / 2 for e in (by_row, by_column)]
    tables = []
    parts = zip(
        seams(layout), _gradients(decoded), _gradients(original), errors, (layout.width, layout.height), strict=True
    )
    for places, gradient, own, error, length in parts:
        if places:
            boundary = np.arange(1, len(gradient) + 1)
            distance = np.abs(boundary[:, None] - np.array(places)).min(axis=1)
            values = dict(zip(columns, (gradient, own, error), strict=True))
            tables.append(pd.DataFrame({"distance": distance, "weight": float(length), **values}))
    if not tables:
        raise InputError(
            f"A layout of one patch has no seam: take an image of more than {layout.patch} pixels a side, or smaller "
            "patches."
        )
    table = pd.concat(tables)
    table = table[table["distance"] <= reach]
    table[list(columns)] = table[list(columns)].mul(table["weight"], axis=0)
    total = table.groupby("distance").sum()
    return total[list(columns)].div(total["weight"], axis=0).reset_index()


#: Columns of the seam frame, one row an image, λ and tiling.
COLUMNS = (
    "image", "lam", "tiling", "weighting", "patch", "overlap", "bytes", "bpp", "psnr", "psnr_near", "psnr_away",
    "seam", "seam_original", "psnr_near_reference",
)  # fmt: skip


TILINGS = ("independent", "blend", "seamless")


class SeamCrop(NamedTuple):
    """A square of pixels around a piece of a seam; `orientation` is that of the seam."""

    top: int
    left: int
    size: int
    orientation: Literal["horizontal", "vertical"]


def measured_layout(
    height: int, width: int, tiling: str, patch: int = 256, overlap: int = 8, replaces: int = 256
) -> Grid:
    """The grid whose seams are looked at for a tiling of `LearnedCodec`.

    `seamless` has no patches. It is measured on the grid of the independent patches that it replaces
    (`replaces` pixels), which its own tiles of 512 and 1024 pixels fall on: so the same places are looked at
    as for `independent`, and any border of its own is among them.

    Raises
    ------
    InputError
        An unknown tiling, or what `stitching.grid` refuses.
    """
    if tiling not in TILINGS:
        raise InputError(f"tiling = {tiling!r}: take independent, blend or seamless.")
    side = replaces if tiling == "seamless" else patch
    return grid(height, width, side, overlap if tiling == "blend" else 0)


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
    distance: int = 8,
    reference: Pixels | None = None,
) -> dict[str, Any]:
    """One row of the seam frame (`COLUMNS`).

    Tilings have their seams in different places, whose content may be harder or easier to code than that of
    another's. What a tiling loses is therefore told by comparing it with a reference at the same pixels.

    Parameters
    ----------
    data_bytes : size of the whole encoded file
    layout : of `measured_layout`; its patch and overlap stand in the row
    weighting : `mean` or `ramp` for `blend`, else `none`
    reference : the image decoded by `seamless` with the same weights; for `seamless` itself, the image again.
        Its PSNR near the seams of `layout` is `psnr_near_reference`, nan without one
    """
    near, away = psnr_near_away(decoded, original, layout, distance)
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
        "psnr_near_reference": np.nan
        if reference is None
        else psnr_near_away(reference, original, layout, distance)[0],
    }


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    """The seam frame, fit for means over images.

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


def more_bits(part: pd.DataFrame, base: pd.DataFrame) -> Interval:
    """Bits of one tiling against another's in %, paired by image: the mean in the logarithm, and its interval.

    Parameters
    ----------
    part, base : rows of the seam frame, the same images and λ once each

    Returns
    -------
    metrics.Interval
        nan where `base` lacks an image
    """
    sizes, others = (table.set_index(["image", "lam"])["bytes"] for table in (part, base))
    logs = (sizes / others.reindex(sizes.index)).map(np.log)
    if logs.empty or logs.isna().any():
        return Interval(np.nan, np.nan, np.nan)
    return change_interval(logs.to_numpy(), clusters=logs.index.get_level_values("image").tolist())


def worst_seam(original: Pixels, decoded: Pixels, layout: Grid, size: int = 64, beside: Grid | None = None) -> SeamCrop:
    """The crop in which a seam shows most, by a rule and not by hand.

    Of all pieces of a seam that are `size` pixels long, the one across which the mean gradient grew most from
    the original to the decoded image; of equals, the first from the top, horizontal before vertical. The crop
    is centred on it as far as the image allows. It shows the worst of `decoded`: at another place that image may
    look as good as any.

    Parameters
    ----------
    beside : another layout that the crop is to show a seam of, along the first; if no place shows both, any will do

    Raises
    ------
    InputError
        No seam, a crop larger than the image, or images of another size than the layout's.
    """
    check_layout(decoded, layout, original)
    height, width = decoded.shape[:2]
    if not 2 <= size <= min(height, width):
        raise InputError(
            f"A crop of {size}×{size} does not fit into {height}×{width}: take a size of 2 or more that does."
        )
    best: tuple[float, SeamCrop] | None = None
    others = ((), ()) if beside is None else seams(beside)
    for axis, (orientation, places) in enumerate(zip(("horizontal", "vertical"), seams(layout), strict=True)):
        for s in places:
            start = min(max(s - size // 2, 0), decoded.shape[axis] - size)
            if beside is not None and not any(start < other < start + size for other in others[axis]):
                continue
            lines = (slice(s - 1, s + 1),) if orientation == "horizontal" else (slice(None), slice(s - 1, s + 1))
            steps = [np.abs(np.diff(luminance(im[lines]), axis=axis)).ravel() for im in (decoded, original)]
            grown = np.concatenate([[0.0], np.cumsum(steps[0] - steps[1], dtype=np.float64)])
            # Rounded, so that equal pieces are equal whatever the sums before them.
            means = np.round((grown[size:] - grown[:-size]) / size, 6)
            along = int(means.argmax())
            top, left = (start, along) if orientation == "horizontal" else (along, start)
            if best is None or means[along] > best[0]:
                best = float(means[along]), SeamCrop(top, left, size, orientation)  # type: ignore[arg-type]
    if best is None and beside is not None:
        return worst_seam(original, decoded, layout, size)
    if best is None:
        raise InputError(f"A layout of one patch of {layout.patch} pixels has no seam: take a larger image.")
    return best[1]
