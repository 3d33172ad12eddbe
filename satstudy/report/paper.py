"""The numbers that the paper reports, on fMoW with mbt2018 and a dual-path network.

Bayerl, Keglevic, Wödlinger, Sablatnig: *Impact of Learned Domain Specific Compression on Satellite Image Object
Classification*, 26th Computer Vision Winter Workshop, 2023 (CEUR-WS Vol-3349, CC BY 4.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

#: Table 1: trained on, PSNR in dB, bpp; measured on val-compress of fMoW.
TABLE_1 = (("natural images (ImageNet)", 32.80, 0.84), ("overhead images (fMoW)", 32.92, 0.67))


class PaperCondition(NamedTuple):
    """A condition of the paper's Table 2."""

    name: str
    codec: str
    bpp: float


TABLE_2_TRAINED = (
    PaperCondition("LC 0.02 bpp", "mbt2018", 0.02),
    PaperCondition("LC 0.67 bpp", "mbt2018", 0.67),
    PaperCondition("LC-ImageNet 0.84 bpp", "mbt2018-natural", 0.84),
    PaperCondition("JPEG 0.77 bpp", "jpeg", 0.77),
)
TABLE_2_VALIDATED = (
    PaperCondition("LC 0.02 bpp", "mbt2018", 0.02),
    PaperCondition("LC 0.67 bpp", "mbt2018", 0.67),
    PaperCondition("LC 1.07 bpp", "mbt2018", 1.07),
    PaperCondition("LC-ImageNet 0.84 bpp", "mbt2018-natural", 0.84),
    PaperCondition("JPEG 0.31 bpp", "jpeg", 0.31),
    PaperCondition("JPEG 0.77 bpp", "jpeg", 0.77),
    PaperCondition("JPEG 1.55 bpp", "jpeg", 1.55),
    PaperCondition("uncompressed", "original", 24.0),
)
#: Table 2, accuracy in %: rows validated on, columns trained on, in the order above.
TABLE_2 = (
    (77.83, 27.12, 10.58, 12.91),
    (25.57, 80.67, 15.67, 32.89),
    (26.90, 78.81, 16.63, 35.21),
    (14.94, 14.67, 78.92, 11.22),
    (14.41, 35.81, 11.22, 89.81),
    (16.59, 38.07, 11.85, 91.55),
    (15.34, 39.38, 14.32, 91.55),
    (15.00, 39.52, 12.97, 91.29),
)
#: Fig. 5: rates in bpp of the crops that it shows.
FIGURE_5_LEARNED, FIGURE_5_JPEG = (0.003, 0.12, 0.35, 0.63), (0.06, 0.14, 0.44, 0.68)
#: §3.2: pixels of a patch's side, and of an overlap.
PATCH, OVERLAP = 256, 8
#: Categories that its classifiers tell apart.
CLASSES = 63
#: §4.1: images in each split.
SPLIT_SIZES = {"train-compress": 1289, "val-compress": 1929, "train-class": 1551, "val-class": 378}


#: A condition here stands for one of the paper if the ratio of their rates is at most this.
NEAR = 1.25


def counterpart(codec: str, bpp: float, known: Sequence[PaperCondition] = TABLE_2_VALIDATED) -> PaperCondition | None:
    """The condition of Table 2 of the same codec, at the nearest rate within a ratio of `NEAR`; None if there is none.

    >>> counterpart("jpeg", 0.8).name, counterpart("jpeg", 0.5), counterpart("original", 24).name
    ('JPEG 0.77 bpp', None, 'uncompressed')
    """
    ratios = {
        condition: max(condition.bpp / bpp, bpp / condition.bpp) for condition in known if condition.codec == codec
    }
    best = min(ratios, key=lambda condition: ratios[condition], default=None)
    return best if best and ratios[best] <= NEAR else None


def paper_table_1() -> pd.DataFrame:
    """Table 1: trained on, PSNR in dB and bpp of two codecs on the same overhead images."""
    return pd.DataFrame(TABLE_1, columns=["trained on", "PSNR in dB", "bpp"])


def paper_table_2() -> pd.DataFrame:
    """Table 2: accuracy in %, columns trained on, rows validated on (§5 of the paper; its captions say otherwise).

    It gives two decimals, finer than the 1/378 of one run, and no interval.
    """
    rows = pd.Index([r.name for r in TABLE_2_VALIDATED], name="validated on")
    columns = pd.Index([r.name for r in TABLE_2_TRAINED], name="trained on")
    return pd.DataFrame(TABLE_2, index=rows, columns=columns)
