"""The words and numbers that tables and figures share: names of codecs and conditions, estimates with intervals."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd

from satstudy.codecs import registry
from satstudy.core.errors import InputError
from satstudy.core.frames import require

#: What a result table appends to a codec's name, and how that reads.
VARIANTS = {
    "by-lambda": "setting chosen by λ",
    "refined": "refined",
    "independent": "independent",
    "blend": "blend",
    "seamless": "seamless",
}

#: Kinds of images, as the tables of the domain experiment name them.
OVERHEAD, NATURAL = "overhead", "natural"
DOMAINS = {OVERHEAD: "overhead imagery", NATURAL: "photographs"}


def trained_on(training: str) -> str:
    """What a training of the domain experiment saw.

    >>> trained_on("natural, overhead"), trained_on("both")
    ('photographs, then overhead imagery', 'both')
    """
    return ", then ".join(DOMAINS.get(kind, kind) for kind in training.split(", "))


def codec_name(codec: str) -> str:
    """How a codec of a result table is called in print; one that is not registered by its own name.

    >>> codec_name("jpeg2000"), codec_name("mbt2018-seamless"), codec_name("avif-speed6"), codec_name("bpg")
    ('JPEG 2000', 'mbt2018, seamless', 'AVIF, speed 6', 'bpg')
    """
    if codec == registry.ORIGINAL:
        return "uncompressed"
    if codec in registry.names():
        return registry.find(codec).label
    if effort := re.fullmatch(r"(.+)-(speed|effort|refine)(\d+)", codec):
        return f"{codec_name(effort[1])}, {effort[2]} {effort[3]}"
    for variant, words in VARIANTS.items():
        if base := codec.removesuffix(f"-{variant}") if codec.endswith(f"-{variant}") else "":
            return f"{codec_name(base)}, {words}"
    return codec


def rate(bpp: float) -> str:
    """bpp to two decimals, or to two digits where it is small.

    >>> rate(0.667), rate(0.0234)
    ('0.67', '0.023')
    """
    return f"{bpp:.2f}" if bpp >= 0.1 else f"{bpp:.2g}"


def interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """An estimate with its interval; without bounds where there are none, a dash where there is no value.

    >>> interval(80.668, 78.14, 83.0), interval(-12.34, math.nan, math.nan)
    ('80.7 [78.1, 83.0]', '−12.3')
    """
    if math.isnan(value):
        return "–"
    if math.isnan(low) or math.isnan(high):
        return _fixed(value, digits)
    return f"{_fixed(value, digits)} [{_fixed(low, digits)}, {_fixed(high, digits)}]"


#: What the classifier of a curve of accuracy against rate was trained on.
CURVES = {registry.ORIGINAL: "on uncompressed images", "matched": "on the same coding"}


def least_rate(value: float, low: float, high: float, highest: float) -> str:
    """A rate in bpp with its interval; what is inf lies above the highest rate that was measured.

    >>> least_rate(1.234, 0.98, math.inf, 2.31), least_rate(math.inf, math.inf, math.inf, 0.99)
    ('1.23 [0.98, > 2.31]', '> 0.99')
    """
    texts = [f"> {highest:.2f}" if math.isinf(bpp) else _fixed(bpp, 2) for bpp in (value, low, high)]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def signed(value: float, low: float = math.nan, high: float = math.nan, digits: int = 1) -> str:
    """A difference with its sign, and its interval where there is one.

    >>> signed(2.5, 1, 4), signed(-3)
    ('+2.5 [1.0, 4.0]', '−3.0')
    """
    text = interval(value, low, high, digits)
    return text if text[0] in "−–" else f"+{text}"


def percent(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A difference in percent with its sign, and its interval where there is one.

    >>> percent(2.5, 1, 4), percent(-3)
    ('+2.5 % [1.0, 4.0]', '−3.0 %')
    """
    number, _, bounds = signed(value, low, high).partition(" ")
    return f"{number} % {bounds}".rstrip()


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "image"), counted(1260, "image")
    ('1 image', '1,260 images')
    """
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _fixed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no "−0.0"


def db(ms_ssim: float) -> float:
    """MS-SSIM in dB, −10·log10(1 − x), which spreads out the values near 1; inf at 1."""
    return math.inf if ms_ssim >= 1 else -10 * math.log10(1 - ms_ssim)


def condition_labels(conditions: pd.DataFrame) -> dict[str, str]:
    """Condition → codec and measured rate, in the order of the frame; with the setting where two labels would be equal.

    Raises
    ------
    InputError
        A column is missing, there is no row, or a condition stands twice.
    """
    require(conditions, ("condition", "codec", "setting", "bpp"), "The conditions frame", "code the images first")
    if conditions["condition"].duplicated().any():
        twice = conditions.loc[conditions["condition"].duplicated(), "condition"].iloc[0]
        raise InputError(f"The condition {twice!r} stands twice in the conditions frame: keep one of its rows.")
    rows = conditions[["condition", "codec", "setting", "bpp"]].astype({"bpp": float}).to_dict("records")
    plain = [
        codec_name(row["codec"])
        if row["codec"] == registry.ORIGINAL
        else f"{codec_name(row['codec'])} {rate(row['bpp'])} bpp"
        for row in rows
    ]
    return {
        row["condition"]: f"{label} ({row['setting']})" if plain.count(label) > 1 and row["setting"] else label
        for row, label in zip(rows, plain, strict=True)
    }


def matrix_cells(matrix: pd.DataFrame, conditions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The accuracy matrix as tables, rows validated on, columns trained on, in the order of `conditions`.

    Parameters
    ----------
    matrix : of `metrics.accuracy.accuracy_matrix`; several rows of one pair are averaged, and intervals may be missing

    Returns
    -------
    dict
        `accuracy`, `low` and `high` in percent; nan where a pair was not measured, or has no interval

    Raises
    ------
    InputError
        A column is missing, there is no row, or a condition is not described in `conditions`.
    """
    require(matrix, ("trained_on", "validated_on", "accuracy"), "The accuracy matrix", "train and validate first")
    order = list(condition_labels(conditions))
    unknown = sorted((set(matrix["trained_on"]) | set(matrix["validated_on"])) - set(order))
    if unknown:
        raise InputError(f"The conditions frame does not describe {', '.join(unknown)}: add a row for each.")
    frame = matrix.assign(**{side: np.nan for side in ("low", "high") if side not in matrix.columns})
    means = frame.groupby(["validated_on", "trained_on"])[["accuracy", "low", "high"]].mean() * 100
    rows = [c for c in order if c in set(matrix["validated_on"])]
    columns = [c for c in order if c in set(matrix["trained_on"])]
    return {name: means[name].unstack("trained_on").reindex(index=rows, columns=columns) for name in means.columns}
