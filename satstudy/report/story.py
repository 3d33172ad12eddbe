"""What the book says first: findings, the paper's claims beside this study's results, and every number of the paper.

All of it is computed from the tables of a study, so that a new measurement changes numbers and verdicts alike. The
sentences state what a number means; which one is taken follows from its sign and its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from satstudy.codecs import registry
from satstudy.core.geometry import TILINGS, grid
from satstudy.core.types import Pixels
from satstudy.metrics import bd_rate
from satstudy.metrics.seams import place, with_derived
from satstudy.report import figures_rd, html, paper, pictures, tables
from satstudy.report.figures_images import coded_pictures
from satstudy.report.findings import of_other_domain, own_and_other
from satstudy.report.labels import NATURAL, OVERHEAD, codec_name, counted, interval, percent, signed

#: Table → frame, as `results/reference` has them: `bd_rate_naip`, `accuracy`, …
Results = Mapping[str, pd.DataFrame]
#: Suffix of the tables of a set → what its images are.
SETS = {
    "_mosaics": "mosaics of 1024×1024 pixels",
    "_naip": "NAIP scenes of 934×724 pixels",
    "_massachusetts": "Massachusetts images of 400×400 pixels",
    "_earthart": "Landsat, Terra and Aqua scenes of 666×666 pixels",
    "_neon": "NEON images of 200×200 pixels",
    "_bluemarble": "one Blue Marble scene",
    "": "UC Merced tiles of 256×256 pixels",
}
#: The rivals that a short table has; those of them that were measured are shown.
RIVALS = ("avif", "hevc", "vvc", "jpeg2000", "jpeg-flat", "jpeg", "mbt2018")
PAPER_RATE = "jpeg2000"
#: Bits in % that the paper's Table 1 saves by training on overhead imagery.
DOMAIN_SAVED = 100 * (1 - paper.TABLE_1[1][2] / paper.TABLE_1[0][2])


class Finding(NamedTuple):
    """One of the results on the front page."""

    title: str
    number: str
    meaning: str
    limit: str


class Claim(NamedTuple):
    """A claim of the paper, what was found here, and the verdict: yes, no, partly, or not measured."""

    claim: str
    paper: str
    here: str
    agrees: str
    why: str


def read(folder: Path) -> dict[str, Any]:
    """What a study kept, as `fragments` takes it."""
    return {
        "results": {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv"))},
        "crops": pictures.load(folder / "crops")[1] if (folder / "crops").exists() else None,
        "equal": pictures.load(folder / "equal") if (folder / "equal").exists() else None,
    }


# --- Rows of the tables -----------------------------------------------------------------------------------


def named_sets() -> dict[str, str]:
    """Name of a set of `rd.sets` → what its images are."""
    return {suffix[1:]: words for suffix, words in SETS.items() if suffix}


def twins(codecs: Iterable[str]) -> tuple[str, str] | None:
    """A codec trained on overhead imagery, and the one registered after it, trained on natural images."""
    known = [registry.find(name) for name in registry.names() if name in set(codecs)]
    plain = [entry for entry in known if entry.learned and not entry.learned.refined]
    for overhead, natural in pairwise(plain):
        if (overhead.learned and overhead.learned.domain, natural.learned and natural.learned.domain) == (
            "overhead", "natural",
        ):  # fmt: skip
            return overhead.name, natural.name
    return None


def row(results: Results, table: str, codec: str, reference: str) -> pd.Series | None:
    """The row of a BD-rate table that compares two codecs, or None."""
    if table not in results:
        return None
    frame = results[table]
    found = frame[(frame["codec"] == codec) & (frame["reference"] == reference)].dropna(subset="bd_rate")
    return None if found.empty else found.iloc[0]


def measured(results: Results) -> list[tuple[str, str]]:
    """(suffix, learned codec) of the sets on which a learned codec was compared; large images first."""
    found = []
    for suffix in SETS:
        frame = results.get(f"bd_rate{suffix}")
        if frame is not None and (codec := registry.main_codec(frame["codec"])):
            found.append((suffix, codec))
    return found


def by_set(results: Results, rivals: Iterable[str] | None = None, refined: bool = False) -> pd.DataFrame:
    """Bits of the main learned codec against each rival, in %, a row for each set; large images first.

    Parameters
    ----------
    rivals : by default all that were measured
    refined : of its refined files; sets without them are left out
    """
    lines = []
    for suffix, codec in measured(results):
        pairs = results[f"bd_rate{suffix}"]
        pairs = pairs[pairs["codec"] == (f"{codec}-refined" if refined else codec)].dropna(subset="bd_rate")
        if pairs.empty:
            continue
        line = {"bits against, in %": SETS[suffix], "images": f"{int(pairs['images'].iloc[0]):,}"}
        for name in [*RIVALS, *sorted(set(pairs["reference"]) - {*RIVALS})] if rivals is None else rivals:
            for found in pairs[pairs["reference"] == name].to_dict("records"):
                line[codec_name(name)] = signed(found["bd_rate"], found["low"], found["high"])
        lines.append(line)
    return pd.DataFrame(lines).fillna("–")


def without_headers(results: Results, rival: str = "avif") -> str:
    """Bits of the main learned codec against a rival, less what each format spends on an empty image, set by set."""
    pairs = [(s, codec, row(results, f"bd_rate_bare{s}", codec, rival)) for s, codec in measured(results)]
    parts = [f"{SETS[s]} {percent(one['bd_rate'], one['low'], one['high'])}" for s, _, one in pairs if one is not None]
    if not parts:
        return ""
    sizes = results["wrapping"].set_index("codec")["bytes"]
    codec, name = pairs[0][1], codec_name(rival)
    return (
        f"**Small images.** Without the bytes of an empty image (*{codec_name(codec)}* {sizes[codec]}, {name} "
        f"{sizes[rival]}), *{codec_name(codec)}* needs against {name}: {'; '.join(parts)}."
    )


def ranges(results: Results, rivals: Iterable[str], refined: bool = False) -> str:
    """The PSNR of the comparisons of the main learned codec with some rivals, on the first set that has them all."""
    for suffix, codec in measured(results):
        one = [row(results, f"bd_rate{suffix}", f"{codec}-refined" if refined else codec, rival) for rival in rivals]
        found = [
            f"{r['shared_low']:.0f} to {r['shared_high']:.0f} dB against {codec_name(r['reference'])}"
            for r in one
            if r is not None
        ]
        if len(found) == len(one):
            return f"{SETS[suffix]}: {', '.join(found)}"
    return ""


def change(one: pd.Series) -> str:
    """A BD-rate in words.

    >>> change(pd.Series({"bd_rate": -12.34, "low": -15.0, "high": -9.0}))
    '12.3 % [9.0, 15.0] fewer bits'
    """
    value, low, high = (float(one[name]) for name in ("bd_rate", "low", "high"))
    if value < 0:
        value, low, high = -value, -high, -low
    number, _, bounds = interval(value, low, high).partition(" ")
    return f"{number} % {bounds}".rstrip() + (" fewer bits" if one["bd_rate"] < 0 else " more bits")


def sign(one: pd.Series) -> int:
    """−1 for fewer bits, 1 for more, 0 where the interval contains 0; without an interval the estimate decides."""
    low, high = (one["bd_rate"] if math.isnan(one[name]) else one[name] for name in ("low", "high"))
    return -1 if high < 0 else 1 if low > 0 else 0


def _of_means(one: pd.Series) -> pd.Series:
    """The comparison of the mean curves, with the names of that image by image."""
    return pd.Series({"bd_rate": one["of_means"], "low": one["of_means_low"], "high": one["of_means_high"]})


def hardest(results: Results, suffix: str, codec: str) -> pd.Series:
    """The comparison with the classical codec that needs the fewest bits."""
    frame = results[f"bd_rate{suffix}"]
    classical = {name for name in registry.names() if registry.find(name).learned is None}
    rows = frame[(frame["codec"] == codec) & frame["reference"].isin(classical)].dropna(subset="bd_rate")
    return rows.sort_values("bd_rate").iloc[-1]


# --- Findings ---------------------------------------------------------------------------------------------


def findings(results: Results) -> list[Finding]:
    """What was found, in the order of the front page; a result that is not there is left out."""
    found = (_rate(results), _domain(results), _seams(results), _classifiers(results), _baseline(results))
    return [finding for finding in found if finding][:4]


def _rate(results: Results) -> Finding | None:
    if not (sets := measured(results)):
        return None
    suffix, codec = sets[0]
    best = hardest(results, suffix, codec)
    plain = row(results, f"bd_rate{suffix}", codec, PAPER_RATE)
    rival, name = codec_name(best["reference"]), codec_name(codec)
    number = f"On {SETS[suffix]}, *{name}* needs {change(best)} than {rival}"
    if plain is not None and best["reference"] != PAPER_RATE:
        number += f" and {change(plain)} than {codec_name(PAPER_RATE)}"
    meaning = {
        -1: "The same quality goes down in fewer bits than with any classical codec measured.",
        0: f"It beats what satellites use; between it and {rival} no difference is seen.",
        1: f"Who can run {rival} on board sends fewer bits with it; learning alone does not win.",
    }[sign(best)]
    count, span = counted(int(best["images"]), "image"), f"{best['shared_low']:.0f} to {best['shared_high']:.0f} dB"
    limit = f"{count}, PSNR, the range that both codecs reach ({span})."
    others = [r for s, c in sets[1:] if (r := row(results, f"bd_rate{s}", c, str(best["reference"]))) is not None]
    if others:
        limit += f" Against {rival} on other images: {_spread(others)}."
    return Finding("Rate", f"{number} at equal PSNR.", meaning, limit)


def _domain(results: Results) -> Finding | None:
    if "domain_gains" not in results:
        return None
    gains = results["domain_gains"]
    here, there = (of_other_domain(gains, kind) for kind in (OVERHEAD, NATURAL))
    meaning = {
        1: "Training images of the domain help, and what is gained there is lost on photographs."
        if sign(there) > 0
        else "Training images of the domain help, and cost nothing on photographs.",
        0: "No gain of training images of the domain is seen, and a loss on photographs is."
        if sign(there) > 0
        else "No gain of training images of the domain is seen.",
        -1: "Photographs train a better codec for overhead imagery than overhead imagery does.",
    }[sign(here)]
    return Finding(
        "Domain",
        f"A small codec trained on photographs needs {change(here)} on overhead imagery than one trained there; on "
        f"photographs the latter needs {change(there)} than the former.",
        f"{meaning} The paper's Table 1 has {DOMAIN_SAVED:.0f} % for one point of one training.",
        f"{results['domain']['seed'].nunique()} trainings a side, of one data set each; intervals are over classes "
        "(photographs: images) and trainings.",
    )


def _seams(results: Results) -> Finding | None:
    rows = _seamless(results)
    if rows.empty:
        return None
    one = rows.sort_values("images").iloc[-1]
    sample = grid(1496, 1496, paper.PATCH, paper.OVERLAP)
    texts = "; ".join(f"{r['category']}: {change(r)}" for _, r in rows.replace({"category": named_sets()}).iterrows())
    return Finding(
        "Seams",
        f"`seamless` against the paper's blending, at equal PSNR: {texts}.",
        f"Blending codes {100 * sample.repeated:.1f} % of the pixels of the paper's example again and still has seams. "
        "Transforms that see across the borders need neither."
        if sign(one) < 0
        else "No pixel is coded twice and no seam is left, at about the bits of blending.",
        f"{int(rows['images'].sum())} scenes of {len(rows)} places, which are too few for an interval.",
    )


def _seam_ratios(results: Results) -> pd.DataFrame:
    """Seam measure over that of the original: a row for each place; independent, blend (overlap 8) and seamless."""
    if "seams" not in results:
        return pd.DataFrame()
    frame = with_derived(results["seams"])
    frame = frame[(frame["tiling"] != "blend") | ((frame["overlap"] == paper.OVERLAP) & (frame["weighting"] == "mean"))]
    ratios = frame.pivot_table(index=frame["image"].map(place).replace(named_sets()), columns="tiling", values="ratio")
    return ratios if {*TILINGS} <= {*ratios} else pd.DataFrame()


def _seamless(results: Results) -> pd.DataFrame:
    """The rows that compare `seamless` with blending, of one codec; none where the tilings were not measured."""
    frame = results.get("bd_rate_tilings", pd.DataFrame({"codec": [], "reference": []}, dtype=str))
    same = frame["codec"].str.removesuffix("-seamless") == frame["reference"].str.removesuffix("-blend")
    return frame[same & frame["codec"].str.endswith("-seamless")]


def _classifiers(results: Results) -> Finding | None:
    if "accuracy" not in results or "accuracy_conditions" not in results:
        return None
    means = _means(results)
    return Finding(
        "Classifiers",
        f"Right answers on images coded as in training, and on images coded otherwise: {_listed(means)}; "
        f"{_listed([_paper_means()])}.",
        {
            "no": "A classifier loses less on images coded otherwise than in the paper, in which two thirds are lost.",
            "yes": "As in the paper, a classifier fails on images coded otherwise than in its training.",
            "partly": "Some classifiers fail on images coded otherwise as in the paper, and others do not.",
        }[_only_its_own(means)],
        f"{int(results['accuracy']['images'].iloc[0]):,} images of other classes than the paper's; means over the "
        "cells of its Table 2.",
    )


class _Means(NamedTuple):
    """Mean accuracies of a classifier in %."""

    classifier: str
    own: float  #: on the conditions that were trained on
    other: float  #: on others


def _cells_of_the_paper(matrix: pd.DataFrame, conditions: pd.DataFrame) -> pd.DataFrame:
    """The cells that stand for one of the paper's Table 2."""
    rows, columns = tables.counterparts(conditions)
    return matrix[matrix["validated_on"].isin(rows.keys()) & matrix["trained_on"].isin(columns.keys())]


def _means(results: Results) -> list[_Means]:
    """Of each classifier over the cells of the paper's Table 2, or over all where none of these was measured."""
    matrix = results["accuracy"]
    found = _cells_of_the_paper(matrix, results["accuracy_conditions"])
    groups = (matrix if found.empty else found).groupby("classifier", sort=False)
    return [_Means(str(name), *own_and_other(part)) for name, part in groups]


def _paper_means() -> _Means:
    table = paper.paper_table_2().rename_axis(index="validated_on").reset_index()
    cells = table.melt(id_vars="validated_on", var_name="trained_on", value_name="accuracy")
    return _Means("the paper's", *own_and_other(cells.assign(accuracy=cells["accuracy"] / 100)))


def _listed(means: Sequence[_Means]) -> str:
    return "; ".join(f"{m.classifier} {m.own:.1f} % and {m.other:.1f} %" for m in means)


def _only_its_own(means: Sequence[_Means]) -> str:
    """Whether classifiers work only on the codec that they were trained on: "yes", "no" or "partly"."""
    fails = [m.other < m.own / 2 for m in means]
    return "yes" if all(fails) else "partly" if any(fails) else "no"


def _baseline(results: Results) -> Finding | None:
    one = next(filter(lambda r: r is not None, (row(results, f"bd_rate{s}", *BASELINE) for s in SETS)), None)
    if one is None:
        return None
    return Finding(
        "Baselines",
        f"{codec_name(BASELINE[0])} needs {change(one)} than with its colour transform.",
        "A comparison with a badly set classical codec is worth nothing, and papers seldom say how it was set.",
        f"{int(one['images'])} images; the paper does not say which of the two it measured.",
    )


#: The baseline without its colour transform, and with it.
BASELINE = ("jpeg2000-rgb", "jpeg2000")


def cards(found: Iterable[Finding]) -> str:
    """Findings as a grid of cards, in MyST Markdown."""
    items = [
        f":::{{grid-item-card}} {f.title}\n{f.number}\n\n**What it means.** {f.meaning}\n\n**Limit.** {f.limit}\n:::"
        for f in found
    ]
    return "::::{grid} 1 1 2 2\n:gutter: 3\n\n" + "\n\n".join(items) + "\n::::\n"


# --- Claims -----------------------------------------------------------------------------------------------


def claims(results: Results) -> list[Claim]:
    """What the paper claims, and what was found here."""
    found = []
    for rival in ("jpeg", "jpeg2000"):
        found_rows = ((s, row(results, f"bd_rate{s}", codec, rival)) for s, codec in measured(results))
        rows = [(s, r) for s, r in found_rows if r is not None]
        if rows:
            curves = [_of_means(r) for _, r in rows]
            found.append(
                Claim(
                    f"Learned compression needs fewer bits than {codec_name(rival)}",
                    "Fig. 6, curves alone",
                    f"{change(rows[0][1])} on {SETS[rows[0][0]]}"
                    + (f"; {_spread(r for _, r in rows)}" if len(rows) > 1 else ""),
                    _verdict([sign(r) for r in [*(r for _, r in rows), *curves]]),
                    "Image by image, over the PSNR that both codecs reach. Of the mean curves, as in the figure: "
                    f"{_spread(curves)}. The paper has no stronger rival; the next table has.",
                )
            )
    if "domain_gains" in results:
        one = of_other_domain(results["domain_gains"], OVERHEAD)
        saved = -100 * one["bd_rate"] / (100 + one["bd_rate"])
        found.append(
            Claim(
                "Training on the domain saves bits",
                f"Table 1: {DOMAIN_SAVED:.0f} % fewer bits",
                f"trained on photographs: {change(one)}",
                {1: "partly" if -saved < DOMAIN_SAVED / 2 else "yes", 0: "no", -1: "no"}[sign(one)],
                "The paper compares one point of each codec, with other images and perhaps another length of training. "
                "Here network, steps, pixels and seeds are the same, and only the images differ.",
            )
        )
    if (finding := _seams(results)) and not (ratios := _seam_ratios(results)).empty:
        found.append(
            Claim(
                "Blending overlapping patches makes seams less visible",
                "Fig. 4, by eye",
                "Luminance gradient across seams, as a multiple of the original's: "
                + "; ".join(
                    f"{name}: {row['independent']:.2f} without blending, {row['blend']:.2f} with it, "
                    f"{row['seamless']:.2f} seamless"
                    for name, row in ratios.iterrows()
                )
                + f". {finding.number.replace('`', '')}",
                _verdict([*np.sign((ratios["blend"] - 1).abs() - (ratios["independent"] - 1).abs())]),
                "Blending codes the overlap twice. "
                + (
                    "Without patches in the transforms there is no seam, for fewer bits."
                    if (_seamless(results)["bd_rate"] < 0).all()
                    else "Without patches in the transforms there is no seam; what it costs in bits differs by set."
                ),
            )
        )
    if "accuracy" in results and "accuracy_conditions" in results:
        means, theirs = _means(results), _paper_means()
        found.append(
            Claim(
                "A classifier works only on the codec that it was trained on",
                f"Table 2: {theirs.own:.1f} % on the own coding, {theirs.other:.1f} % on others (means)",
                f"on the own coding and on others, over the same cells: {_listed(means)}",
                _only_its_own(means),
                "Other images and classes. The page of the reference study has each cell, and tests what could make a "
                "classifier as brittle as the paper's.",
            )
        )
    return found


def _spread(rows: Iterable[pd.Series]) -> str:
    """The least and the largest BD-rate of some sets, and how many there are."""
    values = sorted(float(one["bd_rate"]) for one in rows)
    if len(values) == 1:
        return f"{signed(values[0])} % on 1 set"
    return f"{signed(values[0])} % to {signed(values[-1])} % over {len(values)} sets"


def _verdict(signs: list[int]) -> str:
    return "yes" if all(s < 0 for s in signs) else "no" if all(s > 0 for s in signs) else "partly"


def claims_page(found: list[Claim], rivals: pd.DataFrame) -> str:
    """The claims as a table, why each agrees or does not, and the bits against the rivals (`by_set`)."""
    table = pd.DataFrame([c[:4] for c in found], columns=["the paper claims", "its evidence", "here", "agrees"])
    table.attrs["caption"] = "The claims of the paper beside the results on real imagery, at equal PSNR."
    reasons = [f"**{c.claim}: {c.agrees}.** {c.why}" for c in found]
    rivals.attrs["caption"] = "Bits of the learned codec against others at equal PSNR; negative: fewer."
    return "\n\n".join([_raw(html.table(table, 1)), *reasons, _raw(html.table(rivals, 2)), ""])


def _raw(text: str) -> str:
    return f"```{{raw}} html\n{text}\n```\n"


# --- Every number of the paper ----------------------------------------------------------------------------


def numbers(results: Results, crops: Mapping[str, Any]) -> str:
    """Tables and single numbers of the paper beside those of this study."""
    blocks = []
    if "domain" in results:
        first = tables.table_1(tables.domain_curves(results["domain"]), OVERHEAD, NATURAL)
        first.attrs["caption"] = "Table 1 of the paper, and the rates of both codecs here at one PSNR."
    else:
        first = paper.paper_table_1()
        first.attrs["caption"] = "Table 1 of the paper as it stands."
    blocks.append(("Domain-specific training (Table 1)", first))
    if "accuracy" in results and "accuracy_conditions" in results:
        for name, part in results["accuracy"].groupby("classifier", sort=False):
            second = tables.table_2(part, results["accuracy_conditions"])
            second.attrs["caption"] = f"Accuracy in % of {name}; in parentheses the paper's, where they match."
            blocks.append((f"Classification (Table 2): {name}", second))
    second = paper.paper_table_2()
    second.attrs["caption"] = "Table 2 of the paper as it stands: accuracy in %, columns trained on, rows validated on."
    blocks.append(("The paper's own Table 2", second))
    fifth = figure_5(crops)
    if not fifth.empty:
        fifth.attrs["caption"] = "Rates in bpp of the pictures of Fig. 5, and of the crops that this book shows for it."
        blocks.append(("One crop at many rates (Fig. 5)", fifth))
    example = grid(1496, 1496, paper.PATCH, paper.OVERLAP)
    pixels = 100 * (example.coded_pixels / 1496**2 - 1)
    single = pd.DataFrame(
        [
            ("patches of an image of 1496×1496 pixels", "36", f"{len(example)}"),
            ("coded more than once, of the coded pixels", "5.14 %", f"{100 * example.repeated:.2f} %"),
            ("the same, of the pixels of the image", "–", f"{pixels:.2f} %"),
            *((f"images of {name}", f"{size:,}", "as the profile says") for name, size in paper.SPLIT_SIZES.items()),
        ],
        columns=["number", "the paper", "here"],
    )
    single.attrs["caption"] = "Single numbers of the text."
    blocks.append(("Single numbers", single))
    return "\n".join(f"## {title}\n\n{_raw(html.table(table, i))}" for i, (title, table) in enumerate(blocks, 1))


def figure_5(crops: Mapping[str, Any]) -> pd.DataFrame:
    """Rates of Fig. 5, and those of the crops that a study kept (`coded` of their facts)."""
    rows = []
    for label, theirs, codec in (("LC", paper.FIGURE_5_LEARNED, None), ("JPEG", paper.FIGURE_5_JPEG, "jpeg")):
        coded = crops.get("coded", [])
        ours = [one[2] for one in coded if (one[1] == codec if codec else registry.find(one[1]).learned)]
        here = ", ".join(f"{bpp:.2g}" for bpp in ours)
        if ours:
            rows.append((label, ", ".join(f"{bpp:g}" for bpp in theirs), here))
    return pd.DataFrame(rows, columns=["codec", "the paper", "here"])


def readings(results: Results, number: int = 1) -> str:
    """Where another reading of the paper can be tested: what it would give, as the table of that number."""
    psnr = paper.TABLE_1[1][1]
    mse = 255**2 / 10 ** (psnr / 10)
    percents = [value for line in paper.TABLE_2 for value in line]
    fitting = {n: sum(abs(round(p * n / 100) * 100 / n - p) < 0.006 for p in percents) for n in (378, 375)}
    tests = [
        ("PSNR of 255/MSE (Eq. 4)", f"{psnr:.2f} dB would be {10 * math.log10(255 / mse):.2f} dB"),
        (
            "Table 2 is one run of 378 or 375 images",
            f"{fitting[378]} of {len(percents)} percentages are multiples of 1/378, {fitting[375]} of 1/375",
        ),
    ]
    for suffix, name in SETS.items():
        if (one := row(results, f"bd_rate{suffix}", *BASELINE)) is not None:
            tests.append(("JPEG 2000 without its colour transform", f"{change(one)} on {name}"))
            break
    if "accuracy_leakage" in results:
        effect = results["accuracy_leakage"]["effect"]
        tests.append(("images and not objects are split", f"{100 * effect.mean():+.1f} points of accuracy (mean)"))
    table = pd.DataFrame(tests, columns=["the other reading", "what it gives"])
    table.attrs["caption"] = "Other readings of the paper that could be tested, computed or measured."
    return _raw(html.table(table, number))


# --- Figures ----------------------------------------------------------------------------------------------


def curves(results: Results) -> html.Curves | None:
    """Mean curves of every set on which a learned codec was measured, and of every class of the tiles."""
    sets: dict[str, pd.DataFrame] = {}
    still = None
    for suffix, _ in measured(results):
        frame = results[f"rate_distortion{suffix}"]
        sets[SETS[suffix]] = bd_rate.mean_curves(frame)
        still = still or figures_rd.rate_distortion(frame, log=True, resamples=50)
    if still is None:
        return None
    tiles = results["rate_distortion"]
    if tiles["category"].nunique() > 1:
        for name, part in tiles.groupby("category"):
            sets[f"class {str(name).replace('_', ' ')}"] = bd_rate.mean_curves(part)
    caption = "Mean PSNR against mean rate of whole files, a marker for each setting; above and to the left is better."
    return html.Curves(sets, still, caption)


def fragments(
    results: Results, crops: Mapping[str, Any] | None, equal: tuple[Mapping[str, Pixels], Mapping[str, Any]] | None
) -> dict[str, str]:
    """What the pages of the book include, by name.

    Parameters
    ----------
    crops : facts of the crops at many rates
    equal : pictures of one place coded in equally many bytes, and their facts (`study.side_by_side`)
    """
    drawn = curves(results)
    interactive = _raw(html.curves(drawn, 1)) if drawn else ""
    page = numbers(results, crops or {})
    first = _raw(html.pictures(coded_pictures(*equal), 1)) if equal else interactive
    return {
        "figure": first,
        "curves": interactive,
        "findings": cards(findings(results)),
        "claims": claims_page(claims(results), by_set(results, RIVALS)),
        "numbers": page,
        "readings": readings(results, 1 + page.count("<figure")),
    }
