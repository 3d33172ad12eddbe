"""Every table of the study as a pandas frame of text, from result frames alone, and as markdown.

Estimates with a 95 % interval are written "80.7 [78.1, 83.0]". The paper's own numbers are in `reported`. That of
accuracies stands in a module of its own and is exported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from satstudy.core.frames import require
from satstudy.metrics import bd_rate
from satstudy.metrics.bootstrap import bootstrap_interval
from satstudy.metrics.seams import bits_change, with_derived
from satstudy.report.labels import codec_name, condition_labels, db, interval, matrix_cells, rate
from satstudy.report.paper import (
    SPLIT_SIZES,
    TABLE_2_TRAINED,
    TABLE_2_VALIDATED,
    Reported,
    paper_table_1,
    paper_table_2,
)


# --- Rate and distortion --------------------------------------------------------------------------------
def table_1(
    frame: pd.DataFrame,
    domain: str = "learned",
    natural: str = "learned-natural",
    *,
    psnr: float | None = None,
    objects: Mapping[str, Hashable] | None = None,
) -> pd.DataFrame:
    """What training on the domain saves at equal PSNR, beside the paper's Table 1.

    Rates here are read off the mean curves at one PSNR (`bd_rate.rate_saved_at_psnr`). The paper compares
    two points whose PSNR differs by 0.12 dB; what it saves is worked out from these as they are.

    Parameters
    ----------
    psnr : in dB; by default the middle of what both curves reach

    Raises
    ------
    InputError
        A codec is not in the frame, or both share no PSNR.
    """
    columns = ("image", "codec", "setting", "bpp", "psnr")
    require(frame, columns, "The rate-distortion table", "run `evaluate` first")
    found = bd_rate.rate_saved_at_psnr(frame, domain, natural, psnr, objects=objects)
    paper = paper_table_1()
    (_, psnr_n, bpp_n), (_, psnr_d, bpp_d) = paper.itertuples(index=False)
    rows = [
        ("natural images", f"{psnr_n:.2f}", rate(bpp_n), "", f"{found.psnr:.2f}", rate(found.bpp_b), ""),
        (
            "overhead images",
            f"{psnr_d:.2f}",
            rate(bpp_d),
            f"{100 * (1 - bpp_d / bpp_n):.0f}",
            f"{found.psnr:.2f}",
            rate(found.bpp_a),
            interval(found.saved, found.low, found.high, 0),
        ),
    ]
    names = ["PSNR in dB", "bpp", "rate saved in %"]
    headings = ["trained on", *(f"paper: {n}" for n in names), *(f"here: {n}" for n in names)]
    return pd.DataFrame(rows, columns=headings)


def rd_table(
    frame: pd.DataFrame, *, objects: Mapping[str, Hashable] | None = None, resamples: int = 1000, times: bool = False
) -> pd.DataFrame:
    """Means over images of each codec and setting, with bootstrap intervals over images.

    Parameters
    ----------
    objects : image → the object it shows; images of one object are then drawn together
    times : also seconds per megapixel to encode and decode, medians over images
    """
    columns = ("image", "codec", "setting", "bpp", "psnr", "ms_ssim")
    require(frame, columns, "The rate-distortion table", "run `evaluate` first")
    means = bd_rate.mean_curves(frame)
    clusters = None if objects is None else [objects[name] for name in sorted(set(frame["image"]))]
    rows = []
    for curve in means.to_dict("records"):
        part = frame[(frame["codec"] == curve["codec"]) & (frame["setting"] == curve["setting"])].sort_values("image")
        rates, quality = (
            bootstrap_interval(part[c].to_numpy(), clusters=clusters, resamples=resamples) for c in ("bpp", "psnr")
        )
        row = {
            "codec": codec_name(curve["codec"]),
            "setting": curve["setting"],
            "bpp": interval(*rates, 2 if rates.value >= 0.1 else 3),
            "PSNR in dB": interval(*quality, 1),
            "MS-SSIM in dB": "–" if math.isnan(curve["ms_ssim"]) else f"{db(curve['ms_ssim']):.1f}",
        }
        if times:
            require(part, ("encode_s", "decode_s", "height", "width"), "The table", "run `evaluate` first")
            pixels = part["height"] * part["width"] / 1e6
            for name in ("encode", "decode"):
                row[f"{name} in s/Mpx"] = f"{(part[f'{name}_s'] / pixels).median():.2g}"
        rows.append(row)
    return pd.DataFrame(rows)


def bd_table(table: pd.DataFrame, reference: str = "jpeg2000") -> pd.DataFrame:
    """BD-rates of `bd_rate.bd_rates` or `bd_rate.by_category`, with what they were computed over."""
    columns = (
        "codec", "reference", "bd_rate", "low", "high", "compared", "images", "of_means", "of_means_low",
        "of_means_high", "psnr_low", "psnr_high",
    )  # fmt: skip
    require(table, columns, "The BD-rate table", "run `bd_rates` first")
    rows = []
    for row in bd_rate.rows_against(table, reference).to_dict("records"):
        against = f"BD-rate against {codec_name(reference)} in %"
        span = "–" if math.isnan(row["psnr_low"]) else f"{row['psnr_low']:.1f}–{row['psnr_high']:.1f}"
        rows.append(
            {
                **({"category": row["category"].replace("_", " ")} if "category" in row else {}),
                "codec": codec_name(row["codec"]),
                f"{against}, mean over images": interval(row["bd_rate"], row["low"], row["high"]),
                "images": f"{row['compared']} of {row['images']}",
                "of the mean curves": interval(row["of_means"], row["of_means_low"], row["of_means_high"]),
                "PSNR of these, in dB": span,
            }
        )
    return pd.DataFrame(rows)


# --- Seams ----------------------------------------------------------------------------------------------
TILINGS = {"independent": "side by side", "blend": "overlap", "seamless": "seamless"}


SEAM_MEANS = {
    "psnr": "PSNR in dB", "psnr_near": "near seams", "psnr_away": "away from them",
    "lost": "lost near seams against seamless", "seam": "seam measure", "ratio": "seam ratio",
}  # fmt: skip


def seams_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over images of each λ and tiling: what it costs against patches side by side, and what is left of seams.

    Bits are against patches of the same size side by side, paired by image. *Near* is in overlaps and within 8 px of
    seams. What is lost there is PSNR in dB against seamless at the same pixels. The seam measure is the gradient
    across the seams over that elsewhere, the seam ratio this measure of the decoded image over that of the original,
    1 where no seam shows. Images of one patch count only where there is no word of seams.

    Parameters
    ----------
    frame : the seam frame, as `seams.measure` makes it
    """
    frame = with_derived(frame)
    rows = []
    for key, part in frame.assign(rank=frame["tiling"].map(list(TILINGS).index)).groupby(
        ["lam", "rank", "patch", "overlap", "weighting"]
    ):
        lam, _, patch, overlap, weighting = key
        tiling = part["tiling"].iloc[0]
        alone = frame[(frame["tiling"] == "independent") & (frame["lam"] == lam) & (frame["patch"] == patch)]
        rows.append(
            {
                "λ": f"{lam:g}",
                "tiling": f"overlap {overlap} px, {weighting}" if tiling == "blend" else TILINGS[tiling],
                "patch in px": "–" if tiling == "seamless" else str(patch),
                "bpp": f"{part['bpp'].mean():.3f}",
                "bits against side by side in %": interval(*bits_change(part, alone)),
                **{h: interval(part[name].mean(), math.nan, math.nan, 2) for name, h in SEAM_MEANS.items()},
            }
        )
    return pd.DataFrame(rows)


# --- Data -------------------------------------------------------------------------------------------------


def splits_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Images, objects and categories of each split, beside the paper's number of images.

    val-compress includes train-class and val-class, as in the paper.
    """
    require(manifest, ("path", "category", "object", "split"), "The manifest", "make it again")
    rows = []
    for name, images_in_paper in SPLIT_SIZES.items():
        names = ("val-compress", "train-class", "val-class") if name == "val-compress" else (name,)
        part = manifest[manifest["split"].isin(names)]
        counts = (len(part), part["object"].nunique(), part["category"].nunique(), images_in_paper)
        rows.append((name, *(f"{count:,}" for count in counts)))
    return pd.DataFrame(rows, columns=["split", "images", "objects", "categories", "images in the paper"])


def _nearest(conditions: pd.DataFrame, known: Sequence[Reported]) -> dict[str, Reported]:
    """Condition → the paper's of the same codec at the nearest rate, in log; none where the paper has no such codec."""
    found = {}
    for row in conditions.to_dict("records"):
        alike = [r for r in known if r.codec == row["codec"]]
        if alike:
            bpp = row["bpp"] if row["codec"] != "original" else 24.0
            found[row["condition"]] = min(alike, key=lambda r, b=bpp: abs(math.log(r.bpp / b)))  # type: ignore[misc]
    return found


def table_2(matrix: pd.DataFrame, conditions: pd.DataFrame, *, paper: bool = True) -> pd.DataFrame:
    """Accuracy in % with intervals, columns trained on, rows validated on, beside the paper's Table 2.

    The paper's number stands in brackets: "80.7 [78.1, 83.0] (80.67)". It is that of the same codec at the
    nearest rate, which the heading names; its data, classes and network are others.

    Parameters
    ----------
    matrix, conditions : as `labels.matrix_cells` takes them
    paper : False leaves the paper's numbers out
    """
    cells, names = matrix_cells(matrix, conditions), condition_labels(conditions)
    accuracy, low, high = cells["accuracy"], cells["low"], cells["high"]
    reported = paper_table_2()
    rows = _nearest(conditions, TABLE_2_VALIDATED) if paper else {}
    columns = _nearest(conditions, TABLE_2_TRAINED) if paper else {}

    def heading(condition: str, of_paper: dict[str, Reported]) -> str:
        match = of_paper.get(condition)
        same = match is None or match.codec == "original"
        return names[condition] if match is None or same else f"{names[condition]} (paper: {match.name})"

    def cell(validated: str, trained: str) -> str:
        value, *bounds = (part[trained].to_dict()[validated] for part in (accuracy, low, high))
        text = interval(value, bounds[0], bounds[1])
        if validated in rows and trained in columns and text != "–":
            text += f" ({reported[columns[trained].name].to_dict()[rows[validated].name]:.2f})"
        return text

    return pd.DataFrame(
        [[cell(v, t) for t in accuracy.columns] for v in accuracy.index],
        index=pd.Index([heading(v, rows) for v in accuracy.index], name="validated on"),
        columns=pd.Index([heading(t, columns) for t in accuracy.columns], name="trained on"),
    )


_NUMBER = re.compile(r"[−+-]?[\d,.]+( \[[^\]]*\])?( \([\d.]+\))?|–|")


def markdown(table: pd.DataFrame, caption: str = "") -> str:
    """A pipe table, with an index that has a name as first column; numbers are set to the right.

    The caption stands before it in italics. The text of cells is escaped where markdown would read it.
    """
    if table.index.name is not None:
        table = table.reset_index()
    columns = [_texts(table.iloc[:, j]) for j in range(table.shape[1])]
    cells = list(zip(*columns, strict=True))
    right = [bool(cells) and all(_NUMBER.fullmatch(row[j]) for row in cells) for j in range(table.shape[1])]
    lines = [
        [_escaped(str(name)) for name in table.columns],
        ["---:" if r else ":---" for r in right],
        *([_escaped(text) for text in row] for row in cells),
    ]
    head = f"*{_escaped(caption)}*\n\n" if caption else ""
    return head + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _texts(column: pd.Series[Any]) -> list[str]:
    """Numbers of a column to as many decimals as four digits of any of them need."""
    if not pd.api.types.is_float_dtype(column):
        return [str(value) for value in column]
    shown = [f"{value:.4g}" for value in column if math.isfinite(value)]
    decimals = max((len(text.partition(".")[2]) for text in shown if "e" not in text), default=0)
    return [interval(float(value), math.nan, math.nan, decimals) for value in column]


def _escaped(text: str) -> str:
    return re.sub(r"([|*_`<\\])", r"\\\1", " ".join(text.split()))
