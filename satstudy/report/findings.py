"""The sentences with which a study sums itself up, from its result tables alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from satstudy.codecs import registry
from satstudy.metrics.bd_rate import REFERENCE, rows_against
from satstudy.metrics.seams import bits_change, place
from satstudy.report.labels import (
    CURVES,
    DOMAINS,
    NATURAL,
    OVERHEAD,
    codec_name,
    condition_labels,
    counted,
    interval,
    least_rate,
    percent,
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
    return percent(row[value], row[low], row[high])


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
        parts.append(f"on {DOMAINS[tested_on]} {percent(row['bd_rate'], row['low'], row['high'])}")
    return (
        "**Domain.** Small codecs that were trained on the other kind of images, photographs or overhead imagery, need "
        f"at equal PSNR {' and '.join(parts)} bits; 95 % intervals over classes (photographs: images) and trainings."
    )


def of_other_domain(gains: pd.DataFrame, tested_on: str) -> pd.Series:
    """The row of the training on the other kind of images than those of the test: `bd_rate`, `low` and `high` in %."""
    other = NATURAL if tested_on == OVERHEAD else OVERHEAD
    return gains[(gains["tested_on"] == tested_on) & (gains["test"] == other)].iloc[0].rename({"value": "bd_rate"})


def training_images(gains: pd.DataFrame, names: Mapping[str, str]) -> str:
    """What each kind of training images brings: the smallest and the largest change of the loss over the sets.

    Parameters
    ----------
    gains : of `satstudy.study.data_kinds`
    names : set → what its images are
    """
    parts = []
    for change, rows in gains.groupby("test", sort=False):
        found = sorted(rows.to_dict("records"), key=lambda row: row["value"])
        ends = found[0], found[-1]
        changes = [f"{percent(row['value'], row['low'], row['high'])} on {names[row['set']]}" for row in ends]
        parts.append(f"{change} {' to '.join(changes)}")
    return (
        "**Training images.** Loss λ · 255² · MSE + bpp of small codecs against one trained on all kinds of images, on "
        f"ground that none saw: {'; '.join(parts)}."
    )


def ms_ssim(pairs: pd.DataFrame, rivals: Sequence[str]) -> str:
    """Bits of the main learned codec at equal MS-SSIM, which PSNR may rank otherwise.

    Parameters
    ----------
    pairs : of `metrics.bd_rate.all_pairs` in MS-SSIM
    """
    codec = registry.main_codec(pairs["codec"])
    rows = pairs[pairs["codec"] == codec].dropna(subset="bd_rate").set_index("reference")
    parts = [
        f"{codec_name(name)} {percent(rows['bd_rate'][name], rows['low'][name], rows['high'][name])}"
        for name in rivals
        if name in rows.index
    ]
    if codec is None or not parts:
        return "**MS-SSIM.** No learned codec was compared at equal MS-SSIM."
    count = int(rows["images"].iloc[0])
    return f"**MS-SSIM.** Bits of *{codec_name(codec)}* at equal MS-SSIM, {count:,} tiles: {'; '.join(parts)}."


def tilings(pairs: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Bits of `seamless` against blending at equal PSNR over the ladder, place by place.

    Parameters
    ----------
    pairs : of `metrics.bd_rate.by_category` with the reference "mbt2018-blend"
    names : place → what its images are; others have their own name
    """
    rows = pairs[(pairs["codec"] == "mbt2018-seamless") & (pairs["reference"] == "mbt2018-blend")]
    parts = []
    for row in rows.dropna(subset="bd_rate").replace({"category": dict(names)}).to_dict("records"):
        count = counted(row["images"], "image")
        parts.append(f"{row['category']} ({count}) {percent(row['bd_rate'], row['low'], row['high'])}")
    if not parts:
        return "**Tilings.** Blending and `seamless` were not both measured over the ladder."
    return f"**Tilings.** Bits of mbt2018 with `seamless` against blending, at equal PSNR: {'; '.join(parts)}."


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
    lams = ", ".join(f"{lam:g}" for lam in sorted(set(seamless["lam"])))
    counts = (counted(seamless["image"].nunique(), "image"), counted(seamless["image"].map(place).nunique(), "place"))
    fewer = more.value <= 0
    number, _, bounds = interval(*((-more.value, -more.high, -more.low) if fewer else more)).partition(" ")
    lost = (blend["psnr_near_reference"] - blend["psnr_near"]).mean()
    near = ""
    if not math.isnan(lost):
        better, amount = ("more" if lost > 0 else "less"), f"{abs(lost):.2f}"
        near = f" In overlaps and near seams blending has {amount} dB {better} error than `seamless` at these pixels."
    return (
        f"**Seams.** `seamless` takes {number} % {'fewer' if fewer else 'more'} bits{bounds and f' {bounds}'} than "
        f"blending with an overlap of {nearest} pixels, at {gained} dB ({' of '.join(counts)}, λ = {lams}).{near}"
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
    parts, rounds = [], []
    names = matrix["classifier"] if "classifier" in matrix else pd.Series("", matrix.index)
    for name, part in matrix.groupby(names, sort=False):
        means = [
            f"{mean:.1f} % {where}"
            for mean, where in zip(own_and_other(part), ("coded as in training", "coded otherwise"), strict=True)
            if not math.isnan(mean)
        ]
        parts.append(f"{name}{': ' if name else ''}{', '.join(means)}")
        if "seeds" in part:
            rounds.append(f"{name} {int(part['seeds'].iloc[0])}".strip())
    guess = f"; guessing gives {100 * chance['uniform']:.1f} %" if "uniform" in chance else ""
    text = f"**Classifiers.** Accuracy on images, mean over the matrix: {'; '.join(parts)}{guess}."
    if rounds:
        text += f" Rounds of training: {', '.join(rounds)}"
        if (matrix["seeds"] == 1).any():
            text += "; intervals of a single round do not include the variation between trainings"
        text += "."
    return text


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
    """Whether any hypothesis brings the pattern of the losses near the paper's Table 2, of each classifier.

    Near is less than half the distance that the codecs have as they are.

    Parameters
    ----------
    hypotheses : `study.accuracy.Classification.compare_hypotheses`
    """
    parts, near = [], []
    for name, part in hypotheses.groupby("classifier", sort=False):
        unchanged = part["difference"].fillna(0) == 0
        base, changes = part[unchanged].iloc[0], part[~unchanged].sort_values("distance")
        text = f"{name}: {base['hypothesis']} {interval(base['distance'], base['low'], base['high'], 2)}"
        if not changes.empty:
            best = changes.iloc[0]
            near += [str(best["hypothesis"])] if best["distance"] < base["distance"] / 2 else []
            bounds = interval(best["distance"], best["low"], best["high"], 2)
            text += f", nearest of {counted(len(changes), 'change')}: {best['hypothesis']} {bounds}"
        parts.append(text)
    answer = f"come near with: {', '.join(near)}" if near else "are not explained by any change that was tried"
    return (
        f"**Why.** The losses of the paper's Table 2 {answer}. Distance to its pattern (0: the same; root mean square "
        f"difference of what is left of a classifier's skill): {'; '.join(parts)}."
    )


def remedies(table: pd.DataFrame) -> str:
    """The worst row of the classifier trained on uncompressed images, of those trained on one coding, and of remedies.

    Parameters
    ----------
    table : of `metrics.transfer.worst_rows`, with classifier
    """
    parts = []
    for name, part in table.groupby("classifier", sort=False):
        coded = part["trained_on"].str.partition(" ")[0].isin(registry.names())
        uncompressed = part["trained_on"] == registry.ORIGINAL
        texts = [f"uncompressed {_share(part[uncompressed].iloc[0])}"]
        if coded.any():
            ends = 100 * part["accuracy"][coded].min(), 100 * part["accuracy"][coded].max()
            texts.append(f"one coding {ends[0]:.1f} to {ends[1]:.1f} %")
        others = part[~coded & ~uncompressed].sort_values("accuracy", ascending=False)
        texts += [f"{row['trained_on']} {_share(row)}" for _, row in others.iterrows()]
        parts.append(f"{name}: {', '.join(texts)}")
    return f"**Remedies.** Lowest accuracy over all codings, by what was trained on: {'; '.join(parts)}."


def _share(row: pd.Series) -> str:
    return f"{interval(*(100 * row[c] for c in ('accuracy', 'low', 'high')))} %"


def sufficient(rates: pd.DataFrame) -> str:
    """The lowest rate of each codec within one point of the accuracy on uncompressed images.

    Parameters
    ----------
    rates : of `metrics.transfer.sufficient_rates` with `classifier` and `trained`, "original" or "matched"
    """
    texts = []
    for trained, part in rates.groupby("trained", sort=False):
        found = [
            f"{codec_name(row['codec'])} {least_rate(*(row[c] for c in ('bpp', 'low', 'high', 'highest')))}"
            for row in part.to_dict("records")
        ]
        texts.append(f"{CURVES[str(trained)]}: {', '.join(found)}")
    return (
        f"**Rates that suffice.** Least bpp at which the accuracy of the {rates['classifier'].iloc[0]} classifier is "
        'within one point of that on uncompressed images, interpolated between the rates that were measured; "> 2" is '
        f"not reached at 2, the highest. Trained {'; '.join(texts)}."
    )


def summary(bd: pd.DataFrame, seams: pd.DataFrame, matrix: pd.DataFrame, chance: Mapping[str, Any]) -> str:
    """The answers to the paper's questions, as a Markdown list."""
    return listed(rate(bd), blending(seams), classifiers(matrix, chance))


def listed(*sentences: str) -> str:
    """A Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
