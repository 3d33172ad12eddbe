"""The sentences with which a study sums itself up, from its result tables alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from satstudy.labels import codec_name


def of_codec(bd: pd.DataFrame, codec: str) -> str:
    """BD-rate of one codec with its interval, or why there is none."""
    rows = bd[bd["codec"] == codec]
    if rows.empty:
        return "was not measured"
    row = rows.iloc[0]
    if pd.isna(row["bd_rate"]):
        return f"has no range of PSNR in common with {codec_name(str(row['reference']))}"
    return f"{row['bd_rate']:+.1f} % [{row['low']:+.1f}, {row['high']:+.1f}]"


def rate(bd: pd.DataFrame) -> str:
    """How many bits each codec needs against the reference."""
    if bd.empty:
        return "**Rate.** No codec was compared with the reference."
    reference = codec_name(str(bd["reference"].iloc[0]))
    order = ["learned", "learned-refined", "learned-natural", "avif", "webp", "jpeg", "jpeg2000"]
    parts = [f"{codec_name(c)} {of_codec(bd, c)}" for c in order if c in set(bd["codec"])]
    return (
        f"**Rate.** BD-rate against {reference} (negative: fewer bits at equal PSNR): {'; '.join(parts)}. "
        f"95 % intervals over {int(bd['images'].iloc[0])} images."
    )


def blending(seams: pd.DataFrame, overlap: int = 8) -> str:
    """What `seamless` saves against the paper's blending, or against the overlap nearest to it."""
    blends = seams[(seams["tiling"] == "blend") & (seams["weighting"] == "mean")]
    seamless = seams[seams["tiling"] == "seamless"]
    if blends.empty or seamless.empty:
        return "**Seams.** Blending and `seamless` were not both measured."
    nearest = min(set(blends["overlap"]), key=lambda other: abs(other - overlap))
    blend = blends[blends["overlap"] == nearest]
    saved = 100 * (1 - float(seamless["bpp"].mean()) / float(blend["bpp"].mean()))
    gained = float(seamless["psnr"].mean()) - float(blend["psnr"].mean())
    return (
        f"**Seams.** `seamless` takes {abs(saved):.1f} % {'fewer' if saved >= 0 else 'more'} bits than blending with "
        f"an overlap of {nearest} pixels, at {gained:+.2f} dB."
    )


def classifiers(matrix: pd.DataFrame, chance: Mapping[str, Any]) -> str:
    """Accuracy on the condition that was trained on, and on the others."""
    same = matrix["trained_on"] == matrix["validated_on"]
    parts = [
        f"{100 * matrix[chosen]['accuracy'].mean():.1f} % {where}"
        for chosen, where in ((same, "on the condition they were trained on"), (~same, "on another"))
        if chosen.any()
    ]
    guess = f"; guessing gives {100 * chance['uniform']:.1f} %" if "uniform" in chance else ""
    return f"**Classifiers.** They are right in {' and '.join(parts)} (means over the matrix{guess})."


def summary(bd: pd.DataFrame, seams: pd.DataFrame, matrix: pd.DataFrame, chance: Mapping[str, Any]) -> str:
    """All of them, as a Markdown list."""
    return "\n".join(f"- {line}" for line in (rate(bd), blending(seams), classifiers(matrix, chance)))
