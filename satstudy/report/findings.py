"""The sentences with which a study sums itself up, from its result tables alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from satstudy.codecs import registry
from satstudy.metrics.bd_rate import REFERENCE, rows_against
from satstudy.metrics.seams import bits_change
from satstudy.report.labels import (
    CURVES,
    DOMAINS,
    NATURAL,
    OVERHEAD,
    codec_name,
    condition_labels,
    interval,
    least_rate,
    signed,
)


def codec_change(bd: pd.DataFrame, codec: str, value: str = "bd_rate") -> str:
    """BD-rate of one codec with its interval, or why there is none.

    Parameters
    ----------
    bd : rows of `metrics.bd_rate.bd_rates` with one reference
    value : "bd_rate", the mean over images, or "of_means", that of the mean curves
    """
    rows = bd[bd["codec"] == codec]
    if rows.empty:
        return "was not measured"
    row = rows.iloc[0]
    if pd.isna(row[value]):
        return f"has too little PSNR in common with {codec_name(str(row['reference']))}"
    low, high = ("low", "high") if value == "bd_rate" else (f"{value}_low", f"{value}_high")
    return _percent(row[value], row[low], row[high])


def _percent(value: float, low: float, high: float) -> str:
    number, _, bounds = signed(value, low, high).partition(" ")
    return f"{number} % {bounds}".rstrip()


def rate(bd: pd.DataFrame) -> str:
    """How many bits each codec needs against JPEG 2000, learned codecs first."""
    if bd.empty:
        return "**Rate.** No codec was compared with the reference."
    bd = rows_against(bd, REFERENCE)
    measured = [registry.find(name) for name in registry.names() if name in set(bd["codec"])]
    codecs = [entry.name for entry in sorted(measured, key=lambda entry: entry.learned is None)]
    means = [f"{codec_name(codec)} {codec_change(bd, codec)}" for codec in codecs]
    of_means = [f"{codec_name(codec)} {codec_change(bd, codec, 'of_means')}" for codec in codecs]
    return (
        f"**Rate.** BD-rate against {codec_name(REFERENCE)} (negative: fewer bits at equal PSNR), mean over "
        f"{int(bd['compared'].max()):,} images with 95 % intervals: {'; '.join(means)}. Of the mean curves: "
        f"{'; '.join(of_means)}."
    )


def domain(gains: pd.DataFrame) -> str:
    """What training on the kind of images that are coded saves.

    Parameters
    ----------
    gains : of `satstudy.study.domain`
    """
    parts = []
    for tested_on in (OVERHEAD, NATURAL):
        row = of_other_domain(gains, tested_on)
        parts.append(f"on {DOMAINS[tested_on]} {_percent(row['bd_rate'], row['low'], row['high'])}")
    return (
        "**Domain.** Small codecs that were trained on the other kind of images, photographs or overhead imagery, need "
        f"at equal PSNR {' and '.join(parts)} bits; 95 % intervals over images and seeds."
    )


def of_other_domain(gains: pd.DataFrame, tested_on: str) -> pd.Series:
    """The row of the training on the other kind of images than those of the test: `bd_rate`, `low` and `high` in %."""
    other = NATURAL if tested_on == OVERHEAD else OVERHEAD
    return gains[(gains["tested_on"] == tested_on) & (gains["test"] == other)].iloc[0].rename({"value": "bd_rate"})


def ms_ssim(pairs: pd.DataFrame, rivals: Sequence[str]) -> str:
    """Bits of the main learned codec at equal MS-SSIM, which PSNR may rank otherwise.

    Parameters
    ----------
    pairs : of `metrics.bd_rate.all_pairs` in MS-SSIM
    """
    codec = registry.main_codec(pairs["codec"])
    rows = pairs[pairs["codec"] == codec].dropna(subset="bd_rate").set_index("reference")
    parts = [
        f"{codec_name(name)} {_percent(rows['bd_rate'][name], rows['low'][name], rows['high'][name])}"
        for name in rivals
        if name in rows.index
    ]
    if codec is None or not parts:
        return "**MS-SSIM.** No learned codec was compared at equal MS-SSIM."
    count = int(rows["images"].iloc[0])
    return f"**MS-SSIM.** Bits of *{codec_name(codec)}* at equal MS-SSIM, {count:,} tiles: {'; '.join(parts)}."


def tilings(pairs: pd.DataFrame) -> str:
    """Bits of `seamless` against blending at equal PSNR over the ladder, place by place.

    Parameters
    ----------
    pairs : of `metrics.bd_rate.by_category` with the reference "mbt2018-blend"
    """
    rows = pairs[(pairs["codec"] == "mbt2018-seamless") & (pairs["reference"] == "mbt2018-blend")]
    parts = []
    for row in rows.dropna(subset="bd_rate").to_dict("records"):
        count = f"{row['images']} image{'s' if row['images'] > 1 else ''}"
        parts.append(f"{row['category']} ({count}) {_percent(row['bd_rate'], row['low'], row['high'])}")
    if not parts:
        return "**Tilings.** Blending and `seamless` were not both measured over the ladder."
    return f"**Tilings.** Bits of `seamless` against blending at equal PSNR: {'; '.join(parts)}."


def blending(seams: pd.DataFrame) -> str:
    """Bits that `seamless` saves against blending with the paper's overlap of 8 pixels, or the nearest overlap."""
    blends = seams[(seams["tiling"] == "blend") & (seams["weighting"] == "mean")]
    seamless = seams[seams["tiling"] == "seamless"]
    if blends.empty or seamless.empty:
        return "**Seams.** Blending and `seamless` were not both measured."
    nearest = min(set(blends["overlap"]), key=lambda overlap: abs(overlap - 8))
    blend = blends[blends["overlap"] == nearest]
    more = bits_change(seamless, blend)
    gained = signed(float(seamless["psnr"].mean()) - float(blend["psnr"].mean()), digits=2)
    count, lams = seamless["image"].nunique(), ", ".join(f"{lam:g}" for lam in sorted(set(seamless["lam"])))
    fewer = more.value <= 0
    number, _, bounds = interval(*((-more.value, -more.high, -more.low) if fewer else more)).partition(" ")
    lost = (blend["psnr_near_reference"] - blend["psnr_near"]).mean()
    near = ""
    if not math.isnan(lost):
        better, amount = ("more" if lost > 0 else "less"), f"{abs(lost):.2f}"
        near = f" In overlaps and near seams blending has {amount} dB {better} error than `seamless` at these pixels."
    return (
        f"**Seams.** `seamless` takes {number} % {'fewer' if fewer else 'more'} bits{bounds and f' {bounds}'} than "
        f"blending with an overlap of {nearest} pixels, at {gained} dB ({count} image{'s' if count > 1 else ''}, "
        f"λ = {lams}).{near}"
    )


def own_and_other(matrix: pd.DataFrame) -> tuple[float, float]:
    """Mean accuracy in % on the conditions that were trained on, and on others; nan where there is no such cell."""
    same = matrix["trained_on"] == matrix["validated_on"]
    return 100 * float(matrix["accuracy"][same].mean()), 100 * float(matrix["accuracy"][~same].mean())


def classifiers(matrix: pd.DataFrame, chance: Mapping[str, Any]) -> str:
    """Mean accuracy on the condition that was trained on, and on the others, of each classifier.

    Parameters
    ----------
    matrix : trained_on, validated_on, accuracy; with classifier, where there are several
    chance : `uniform`, the accuracy of guessing, between 0 and 1
    """
    parts = []
    names = matrix["classifier"] if "classifier" in matrix else pd.Series("", matrix.index)
    for name, part in matrix.groupby(names, sort=False):
        means = [
            f"{mean:.1f} % {where}"
            for mean, where in zip(own_and_other(part), ("coded as in training", "coded otherwise"), strict=True)
            if not math.isnan(mean)
        ]
        parts.append(f"{name}{': ' if name else ''}{', '.join(means)}")
    guess = f"; guessing gives {100 * chance['uniform']:.1f} %" if "uniform" in chance else ""
    return f"**Classifiers.** Accuracy on images, mean over the matrix: {'; '.join(parts)}{guess}."


def where_they_fail(matrix: pd.DataFrame, conditions: pd.DataFrame) -> str:
    """Mean accuracy on other codings than in training, with and without the training condition of the lowest rate.

    Parameters
    ----------
    matrix : classifier, trained_on, validated_on, accuracy; of several training conditions
    conditions : of `labels.condition_labels`
    """
    names = condition_labels(conditions)
    columns = conditions[conditions["condition"].isin(matrix["trained_on"])]
    lowest = str(columns.sort_values("bpp")["condition"].iloc[0])
    few_bits = (matrix["trained_on"] == lowest) | (matrix["validated_on"] == lowest)
    other = matrix.assign(few=few_bits)[matrix["trained_on"] != matrix["validated_on"]]
    parts = []
    for name, part in other.groupby("classifier", sort=False):
        text, rest = f"{name} {100 * part['accuracy'][part['few']].mean():.1f} %", part[~part["few"]]
        if not rest.empty:
            worst = rest.sort_values("accuracy").iloc[0]
            text += (
                f" and {100 * rest['accuracy'].mean():.1f} %, at least {100 * worst['accuracy']:.1f} % "
                f"(trained on {names[worst['trained_on']]}, validated on {names[worst['validated_on']]})"
            )
        parts.append(text)
    return (
        f"**Where they fail.** Mean accuracy on images coded otherwise, with {names[lowest]} as one of the two codings "
        f"and without it: {'; '.join(parts)}."
    )


def agreement(pairs: pd.DataFrame, conditions: pd.DataFrame) -> str:
    """Whether classifiers rank the conditions alike, and where they are farthest apart.

    Parameters
    ----------
    pairs : of `metrics.transfer.agreement`
    conditions : of `labels.condition_labels`
    """
    names = condition_labels(conditions)
    parts = [
        f"{row['classifier']} and {row['other']} {row['correlation']:.2f}, apart in {row['apart']} of {row['cells']}"
        for row in pairs.to_dict("records")
    ]
    row = pairs.iloc[(pairs["difference"] - pairs["other_difference"]).abs().to_numpy().argmax()]
    return (
        "**Do classifiers agree?** Rank correlation of what each loses against its own condition, over the cells of "
        f"the matrix, and cells in which their intervals do not meet: {'; '.join(parts)}. Farthest apart: trained on "
        f"{names[row['trained_on']]} and validated on {names[row['validated_on']]}, {row['classifier']} changes by "
        f"{signed(100 * row['difference'])} points and {row['other']} by {signed(100 * row['other_difference'])}."
    )


def explanation(hypotheses: pd.DataFrame) -> str:
    """The hypothesis that comes nearest to the pattern of the paper's Table 2, of each classifier.

    Parameters
    ----------
    hypotheses : `study.accuracy.Classification.compare_hypotheses`
    """
    parts = []
    for name, part in hypotheses.groupby("classifier", sort=False):
        base, best = part[part["difference"].fillna(0) == 0].iloc[0], part.sort_values("distance").iloc[0]
        text = f"{name}: {base['hypothesis']} {interval(base['distance'], base['low'], base['high'], 2)}"
        if best["hypothesis"] != base["hypothesis"]:
            text += f", nearest {best['hypothesis']} {interval(best['distance'], best['low'], best['high'], 2)}"
        parts.append(text)
    return (
        "**Why.** Distance to the pattern of the paper's Table 2 (0: the same; the root mean square difference of what "
        f"is left of each classifier's skill): {'; '.join(parts)}."
    )


def remedies(table: pd.DataFrame) -> str:
    """The worst row of the classifier trained on uncompressed images, and of the best remedy."""
    parts = []
    for name, part in table.groupby("classifier", sort=False):
        best = part.sort_values("accuracy").iloc[-1]
        texts = [
            f"{codec_name(r['trained_on'])} {interval(*(100 * r[c] for c in ('accuracy', 'low', 'high')))} %"
            for r in (part[part["trained_on"] == registry.ORIGINAL].iloc[0], best)
        ]
        parts.append(f"{name}: {texts[0]}, best {texts[1]}")
    return f"**Remedies.** Lowest accuracy over all codings, by what was trained on: {'; '.join(parts)}."


def sufficient(rates: pd.DataFrame) -> str:
    """The lowest rate of each codec within one point of the accuracy on uncompressed images.

    Parameters
    ----------
    rates : of `metrics.transfer.sufficient_rates` with `trained`, "original" or "matched"
    """
    texts = []
    for trained, part in rates.groupby("trained", sort=False):
        found = [
            f"{codec_name(row['codec'])} {least_rate(*(row[c] for c in ('bpp', 'low', 'high', 'highest')))}"
            for row in part.to_dict("records")
        ]
        texts.append(f"{CURVES[str(trained)]}: {', '.join(found)}")
    return (
        "**Rates that suffice.** bpp from which accuracy stays within one point of that on uncompressed images, of a "
        f"classifier trained {'; '.join(texts)}."
    )


def summary(bd: pd.DataFrame, seams: pd.DataFrame, matrix: pd.DataFrame, chance: Mapping[str, Any]) -> str:
    """The answers to the paper's questions, as a Markdown list."""
    return listed(rate(bd), blending(seams), classifiers(matrix, chance))


def listed(*sentences: str) -> str:
    """A Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
