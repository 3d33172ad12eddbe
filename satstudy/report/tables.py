"""The tables of the study: pandas frames of text, made from result frames.

Estimates with a 95 % interval are written "80.7 [78.1, 83.0]". The paper's numbers are in `report.paper`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from satstudy.core.frames import require
from satstudy.core.geometry import TILINGS
from satstudy.metrics import bd_rate
from satstudy.metrics.bootstrap import bootstrap_interval
from satstudy.metrics.seams import bits_change, with_derived
from satstudy.report.labels import (
    CURVES,
    DOMAINS,
    OVERHEAD,
    codec_name,
    condition_labels,
    db,
    interval,
    least_rate,
    matrix_cells,
    rate,
    signed,
    trained_on,
)
from satstudy.report.paper import (
    SPLIT_SIZES,
    TABLE_2_TRAINED,
    TABLE_2_VALIDATED,
    PaperCondition,
    counterpart,
    paper_table_1,
    paper_table_2,
)
from satstudy.report.style import codec_lines

# --- Rate and distortion --------------------------------------------------------------------------------


def table_1(frame: pd.DataFrame, domain: str = "mbt2018", natural: str = "mbt2018-natural") -> pd.DataFrame:
    """The rate saved by training on overhead images, at equal PSNR, beside the paper's Table 1.

    Rates are those of the mean curves at one PSNR (`metrics.bd_rate.rate_saved_at_psnr`). The paper compares two points
    whose PSNR differs by 0.12 dB; its saved rate is computed from these points without correction.

    Parameters
    ----------
    domain, natural : names of the codec trained on overhead and on natural images

    Raises
    ------
    InputError
        A codec is not in the frame, or the curves share no PSNR.
    """
    columns = ("image", "codec", "setting", "bpp", "psnr")
    require(frame, columns, "The rate-distortion table", "run `evaluate` first")
    found = bd_rate.rate_saved_at_psnr(frame, domain, natural)
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


def domain_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of the domain experiment on overhead images; the codec is what a training saw.

    Parameters
    ----------
    frame : of `satstudy.study.domain`
    """
    part = frame[frame["tested_on"] == OVERHEAD].rename(columns={"codec": "made_by", "trained_on": "codec"})
    return part.groupby(["image", "category", "codec", "setting"], as_index=False)[["bpp", "psnr"]].mean()


def domain_table(gains: pd.DataFrame) -> pd.DataFrame:
    """BD-rates of each training against the one on the kind of images that it is tested on.

    Parameters
    ----------
    gains : of `satstudy.study.domain`
    """
    rows = [
        (DOMAINS[row["tested_on"]], trained_on(row["test"]), signed(row["value"], row["low"], row["high"]))
        for row in gains.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["tested on", "trained on", "bits in %"])


def data_kinds_table(gains: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The loss of each training without one kind of images against the training with all, a row for each set.

    Parameters
    ----------
    gains : of `satstudy.study.data_kinds`
    names : set → what its images are
    """
    cells = gains.assign(
        text=[signed(*bounds) for bounds in zip(gains["value"], gains["low"], gains["high"], strict=True)]
    )
    found = cells.pivot(index="set", columns="test", values="text").loc[gains["set"].unique(), gains["test"].unique()]
    found.insert(0, "loss in % against all kinds", [names.get(name, name) for name in found.index])
    return found.reset_index(drop=True).rename_axis(columns=None)


def rd_table(frame: pd.DataFrame, *, resamples: int = 1000, times: bool = False) -> pd.DataFrame:
    """Means over images of each codec and setting, with bootstrap intervals over images.

    Parameters
    ----------
    times : also medians over images of the seconds per megapixel to encode and to decode
    """
    columns = ("image", "codec", "setting", "bpp", "psnr", "ms_ssim")
    require(frame, columns, "The rate-distortion table", "run `evaluate` first")
    means = bd_rate.mean_curves(frame)
    rows = []
    for curve in means.to_dict("records"):
        part = frame[(frame["codec"] == curve["codec"]) & (frame["setting"] == curve["setting"])].sort_values("image")
        rates, quality = (bootstrap_interval(part[c].to_numpy(), resamples=resamples) for c in ("bpp", "psnr"))
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


def one_image_table(codings: pd.DataFrame) -> pd.DataFrame:
    """Size and quality of several codings of one image, of the frame of `study.one_image.coding_table`."""
    return pd.DataFrame(
        {
            "codec": codings["codec"].map(codec_name),
            "setting": codings["setting"],
            "bytes": codings["bytes"].map("{:,}".format),
            "bpp": codings["bpp"].map(rate),
            "PSNR in dB": codings["psnr"].map("{:.2f}".format),
            "MS-SSIM": codings["ms_ssim"].map(lambda value: "–" if math.isnan(value) else f"{value:.4f}"),
        }
    )


def span(low: float, high: float) -> str:
    """A range of PSNR as text; a dash for nan.

    >>> span(24.96, 33.5)
    '25.0–33.5'
    """
    return "–" if math.isnan(low) else f"{low:.1f}–{high:.1f}"


def bd_table(table: pd.DataFrame, reference: str = "jpeg2000", quality: str = "PSNR") -> pd.DataFrame:
    """BD-rates against one codec, with the PSNR range and the number of images of each.

    Parameters
    ----------
    table : from `metrics.bd_rate.bd_rates`, `all_pairs` or `by_category`
    quality : the quality measure of the table, "MS-SSIM" after `metrics.bd_rate.in_ms_ssim`
    """
    columns = (
        "codec", "reference", "bd_rate", "low", "high", "compared", "shared_low", "shared_high", "images", "of_means",
        "of_means_low", "of_means_high", "psnr_low", "psnr_high",
    )  # fmt: skip
    require(table, columns, "The BD-rate table", "run `bd_rates` first")
    rows = []
    for row in bd_rate.rows_against(table, reference).to_dict("records"):
        against = f"BD-rate against {codec_name(reference)} in %"
        rows.append(
            {
                **({"category": row["category"].replace("_", " ")} if "category" in row else {}),
                "codec": codec_name(row["codec"]),
                f"{against}, mean over images": interval(row["bd_rate"], row["low"], row["high"]),
                f"{quality} in dB": span(row["shared_low"], row["shared_high"]),
                "images": f"{row['compared']} of {row['images']}",
                "of the mean curves": interval(row["of_means"], row["of_means_low"], row["of_means_high"]),
                f"{quality} of these, in dB": span(row["psnr_low"], row["psnr_high"]),
            }
        )
    return pd.DataFrame(rows)


def pair_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """BD-rate in % of the row's codec against the column's codec, with its interval and PSNR range in dB.

    Parameters
    ----------
    pairs : from `metrics.bd_rate.all_pairs`
    """
    columns = ("codec", "reference", "bd_rate", "low", "high", "shared_low", "shared_high")
    require(pairs, columns, "The table of pairs", "run `all_pairs` first")
    order = list(codec_lines(pairs["codec"]))
    cells = {(row["codec"], row["reference"]): row for row in pairs.to_dict("records")}

    def cell(codec: str, reference: str) -> str:
        if (row := cells.get((codec, reference))) is None:
            return "–"
        number = interval(row["bd_rate"], row["low"], row["high"])
        return number if number == "–" else f"{number} ({span(row['shared_low'], row['shared_high'])} dB)"

    return pd.DataFrame(
        [[cell(codec, reference) for reference in order] for codec in order],
        index=pd.Index([codec_name(codec) for codec in order], name="bits of"),
        columns=pd.Index([codec_name(codec) for codec in order], name="against, in %"),
    )


def slice_table(slices: pd.DataFrame) -> pd.DataFrame:
    """Change in bits at equal PSNR, in %, for each slice of PSNR, with the number of images in the slice.

    Parameters
    ----------
    slices : from `metrics.bd_rate.by_slice`
    """
    columns = ("codec", "reference", "psnr_low", "psnr_high", "bd_rate", "low", "high", "compared")
    require(slices, columns, "The table of slices", "run `by_slice` first")
    order = list(codec_lines(slices["codec"]))
    text = slices.assign(
        slice=[f"{low:g}–{high:g} dB" for low, high in zip(slices["psnr_low"], slices["psnr_high"], strict=True)],
        text=[
            f"{interval(row['bd_rate'], row['low'], row['high'])} ({row['compared']})"
            for row in slices.to_dict("records")
        ],
    )
    places = dict.fromkeys(text.sort_values("psnr_low")["slice"])
    cells = text.pivot(index="codec", columns="slice", values="text").reindex(index=order, columns=list(places))
    cells.index = pd.Index([codec_name(codec) for codec in order], name=f"against {_only_reference(slices)}")
    return cells.fillna("–").rename_axis(columns=None)


def _only_reference(table: pd.DataFrame) -> str:
    return codec_name(table["reference"].iloc[0])


def loss_table(losses: pd.DataFrame) -> pd.DataFrame:
    """The mean loss λ·255²·MSE + bpp of each codec and λ, over all images and over the tenth with the largest loss.

    Parameters
    ----------
    losses : from `metrics.bd_rate.losses`
    """
    columns = ("codec", "lam", "loss", "low", "high", "worst_loss", "bpp", "psnr", "psnr_of_mse", "worst_psnr")
    require(losses, columns, "The table of losses", "run `losses` first")
    order = {codec: place for place, codec in enumerate(codec_lines(losses["codec"]))}
    rows = []
    for row in losses.assign(place=losses["codec"].map(order)).sort_values(["lam", "place"]).to_dict("records"):
        rows.append(
            {
                "λ": f"{row['lam']:g}",
                "codec": codec_name(row["codec"]),
                "loss": interval(row["loss"], row["low"], row["high"], 3),
                "of the worst tenth": f"{row['worst_loss']:.3f}",
                "bpp": rate(row["bpp"]),
                "mean PSNR in dB": f"{row['psnr']:.1f}",
                "PSNR of the mean error": f"{row['psnr_of_mse']:.1f}",
                "PSNR of the worst tenth": f"{row['worst_psnr']:.1f}",
            }
        )
    return pd.DataFrame(rows)


def wrapping_table(wrapping: pd.DataFrame, pairs: pd.DataFrame, bare: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The overhead of each file format, as the bytes of an empty image, and BD-rates with and without it.

    Parameters
    ----------
    wrapping : codec, bytes, version, settings (`study.rate_distortion.wrapping`)
    pairs, bare : from `metrics.bd_rate.all_pairs`, of whole files and after `without_wrapping`
    """
    require(wrapping, ("codec", "bytes", "version", "settings"), "The table of wrapping", "run `wrapping` first")
    found = [bd_rate.rows_against(table, reference).set_index("codec") for table in (pairs, bare)]
    rows = []
    for row in wrapping.to_dict("records"):
        whole, without = (
            interval(*table.loc[row["codec"], ["bd_rate", "low", "high"]]) if row["codec"] in table.index else "–"
            for table in found
        )
        rows.append(
            {
                "codec": codec_name(row["codec"]),
                "bytes of an empty image": f"{row['bytes']:,}",
                f"BD-rate against {codec_name(reference)} in %": whole,
                "without wrapping": without,
                "settings": row["settings"],
                "version": row["version"],
            }
        )
    return pd.DataFrame(rows)


def speed_table(speeds: pd.DataFrame) -> pd.DataFrame:
    """Bits and speed of each codec relative to JPEG 2000, the fastest encoder first.

    Parameters
    ----------
    speeds : from `metrics.bd_rate.speeds`
    """
    require(speeds, ("codec", "bd_rate", "low", "high", "encode", "decode"), "The speeds", "run `speeds` first")
    name = codec_name(bd_rate.REFERENCE)
    rows = []
    for row in speeds.sort_values("encode", ascending=False).to_dict("records"):
        numbers = {f"{what}, times {name}": f"{row[what]:.2g}" for what in ("encode", "decode")}
        change = interval(row["bd_rate"], row["low"], row["high"])
        rows.append({"codec": codec_name(row["codec"]), **numbers, f"BD-rate against {name} in %": change})
    return pd.DataFrame(rows)


# --- Seams ----------------------------------------------------------------------------------------------
SEAM_MEANS = {
    "psnr": "PSNR in dB", "psnr_near": "near seams", "psnr_away": "away from them",
    "lost": "lost near seams against seamless", "seam": "seam measure", "ratio": "seam ratio",
}  # fmt: skip


def seams_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Rate, PSNR near seams and visibility of seams for each λ and tiling: means over images.

    The change in bits is relative to independent patches of the same size, paired by image. Near seams means in
    overlaps and within 8 px of a seam; the loss there is in dB PSNR against seamless at the same pixels. The seam
    measure is the gradient across seams divided by that elsewhere. The seam ratio is this measure of the decoded image
    divided by that of the original: 1 if no seam is visible. Images of one patch have no seam and count for rate and
    PSNR only.

    Parameters
    ----------
    frame : the seam frame (`metrics.seams`)
    """
    frame = with_derived(frame)
    rows = []
    order = frame["tiling"].map(TILINGS.index)
    for key, part in frame.assign(order=order).groupby(["lam", "order", "patch", "overlap", "weighting"]):
        lam, _, patch, overlap, weighting = key
        tiling = part["tiling"].iloc[0]
        alone = frame[(frame["tiling"] == "independent") & (frame["lam"] == lam) & (frame["patch"] == patch)]
        rows.append(
            {
                "λ": f"{lam:g}",
                "tiling": f"overlap {overlap} px, {weighting}" if tiling == "blend" else tiling,
                "patch in px": "–" if tiling == "seamless" else str(patch),
                "bpp": f"{part['bpp'].mean():.3f}",
                "bits against independent in %": interval(*bits_change(part, alone)),
                **{h: interval(part[name].mean(), math.nan, math.nan, 2) for name, h in SEAM_MEANS.items()},
            }
        )
    return pd.DataFrame(rows)


# --- Data -----------------------------------------------------------------------------------------------


def splits_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Numbers of images, objects and categories of each split, and of images in the paper.

    val-compress includes train-class and val-class, as in the paper.

    Parameters
    ----------
    manifest : from `data.splits`
    """
    require(manifest, ("category", "object", "split"), "The manifest", "make it again")
    rows = []
    for name, size in SPLIT_SIZES.items():
        parts = set(SPLIT_SIZES) - {"train-compress"} if name == "val-compress" else {name}
        part = manifest[manifest["split"].isin(parts)]
        counts = (len(part), part["object"].nunique(), part["category"].nunique(), size)
        rows.append((name, *(f"{count:,}" for count in counts)))
    return pd.DataFrame(rows, columns=["split", "images", "objects", "categories", "images in the paper"])


# --- Accuracy -------------------------------------------------------------------------------------------


def counterparts(conditions: pd.DataFrame) -> tuple[dict[str, PaperCondition], dict[str, PaperCondition]]:
    """The rows and the columns of the paper's Table 2 that conditions stand for.

    Condition → the paper's condition with the same codec and a similar rate (`paper.counterpart`), if any.
    """
    rates = conditions["bpp"].mask(conditions["codec"] == "original", 24.0)
    given = list(zip(conditions["condition"], conditions["codec"], rates, strict=True))
    rows, columns = (
        {name: match for name, codec, bpp in given if (match := counterpart(codec, bpp, known))}
        for known in (TABLE_2_VALIDATED, TABLE_2_TRAINED)
    )
    return rows, columns


def table_2(matrix: pd.DataFrame, conditions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in % with intervals (columns: trained on, rows: validated on), beside the paper's Table 2.

    The paper's accuracy is in parentheses: "80.7 [78.1, 83.0] (80.67)". It is that of the same codec at a similar rate
    (ratio below `paper.NEAR`), which the heading names. The paper has other data, classes and networks.

    Parameters
    ----------
    matrix, conditions : as for `labels.matrix_cells`
    """
    cells, names = matrix_cells(matrix, conditions), condition_labels(conditions)
    accuracy, low, high = cells["accuracy"], cells["low"], cells["high"]
    published = paper_table_2()
    rows, columns = counterparts(conditions)

    def heading(condition: str, matches: dict[str, PaperCondition]) -> str:
        match = matches.get(condition)
        same = match is None or match.codec == "original"
        return names[condition] if match is None or same else f"{names[condition]} (paper: {match.name})"

    def cell(validated: str, trained: str) -> str:
        value, *bounds = (part[trained].to_dict()[validated] for part in (accuracy, low, high))
        text = interval(value, bounds[0], bounds[1])
        if validated in rows and trained in columns and text != "–":
            text += f" ({published[columns[trained].name].to_dict()[rows[validated].name]:.2f})"
        return text

    return pd.DataFrame(
        [[cell(v, t) for t in accuracy.columns] for v in accuracy.index],
        index=pd.Index([heading(v, rows) for v in accuracy.index], name="validated on"),
        columns=pd.Index([heading(t, columns) for t in accuracy.columns], name="trained on"),
    )


def sufficient_table(rates: pd.DataFrame) -> pd.DataFrame:
    """The least rates of `metrics.transfer.sufficient_rates` in bpp, a row a codec, a column a kind of training."""
    require(rates, ("codec", "trained", "bpp", "low", "high", "highest"), "The rates frame", "measure the curves first")
    bounds = [rates[name] for name in ("bpp", "low", "high", "highest")]
    cells = rates.assign(
        codec=rates["codec"].map(codec_name),
        cell=[least_rate(*row) for row in zip(*bounds, strict=True)],
        trained="trained " + rates["trained"].map(CURVES),
    )
    order = cells["codec"].unique(), cells["trained"].unique()
    return (
        cells.pivot(index="codec", columns="trained", values="cell").loc[order].rename_axis(columns=None).reset_index()
    )


def estimates(frame: pd.DataFrame, words: Sequence[str], values: Mapping[str, str], digits: int = 1) -> pd.DataFrame:
    """A table of text columns, and of estimates with their intervals.

    Parameters
    ----------
    words : columns of text
    values : column of an estimate → heading. Fractions are written in percent if the heading ends with "in %". The
        interval is in `low` and `high` for the first column, in `<column>_low` and `<column>_high` for others

    Examples
    --------
    >>> frame = pd.DataFrame({"codec": ["jpeg"], "accuracy": [0.8], "low": [0.7], "high": [0.9]})
    >>> estimates(frame, ["codec"], {"accuracy": "accuracy in %"}).to_dict("records")
    [{'codec': 'jpeg', 'accuracy in %': '80.0 [70.0, 90.0]'}]
    """
    require(frame, (*words, *values), "The table", "measure first")
    table = {word.replace("_", " "): frame[word].tolist() for word in words}
    for i, (name, heading) in enumerate(values.items()):
        factor = 100 if heading.endswith("in %") else 1
        bounds = ("low", "high") if i == 0 else (f"{name}_low", f"{name}_high")
        columns = [factor * frame.get(c, pd.Series(math.nan, frame.index)) for c in (name, *bounds)]
        table[heading] = [interval(v, low, high, digits) for v, low, high in zip(*columns, strict=True)]
    return pd.DataFrame(table)
