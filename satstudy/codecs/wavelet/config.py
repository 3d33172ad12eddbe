"""The size of a wavelet model, and the rates that it is for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from satstudy.core.errors import InputError

#: λ that `condition` counts from, and the range that models are trained for.
LAM_CENTRE, LAM_MIN, LAM_MAX = 0.01, 1e-4, 0.2
#: A file names λ as an index: λ is `LAM_CENTRE` · `LAM_RATIO` ** index, in steps of 1.1 %.
LAM_RATIO = 2.0 ** (1 / 64)
LAM_INDEX_MIN, LAM_INDEX_MAX = -448, 320
#: Levels of the transform that have networks: 9/7 wavelets, then Haar.
LEVELS = 8


def lam_index(lam: float) -> int:
    """The λ that a file can name which is nearest to `lam`, as an index.

    Raises
    ------
    InputError
        Outside of what files can name.
    """
    index = round(math.log(lam / LAM_CENTRE) / math.log(LAM_RATIO)) if lam > 0 else LAM_INDEX_MIN - 1
    if not LAM_INDEX_MIN <= index <= LAM_INDEX_MAX:
        raise InputError(f"lam = {lam:g} is outside of what this codec is made for: take {LAM_MIN:g} to {LAM_MAX:g}.")
    return index


def lam_of(index: int) -> float:
    """The λ of an index."""
    return LAM_CENTRE * LAM_RATIO**index


def scaled_log(index: int) -> float:
    """ln(λ / LAM_CENTRE) / 3 of an index; the networks get λ as powers of it (`codecs.wavelet.model.condition`).

    >>> round(scaled_log(192), 4)  # λ = 0.08
    0.6931
    """
    return index * (math.log(2) / 192)


def named_lams() -> list[float]:
    """All λ that a file can name in the range of the training, rising; each is 1 % above the one before."""
    return [lam_of(index) for index in range(lam_index(LAM_MIN), lam_index(LAM_MAX) + 1)]


@dataclass(frozen=True)
class WaveletConfig:
    """The size of a model.

    Attributes
    ----------
    widths : channels of the network of each level, finest first; the last serves all coarser levels
    depths : residual convolutions of each
    correction : channels of the two networks that correct the image, at half its resolution
    """

    widths: tuple[int, ...] = (64, 80, 112, 96, 64)
    depths: tuple[int, ...] = (1, 2, 2, 2, 1)
    correction: int = 32

    def text(self) -> dict[str, str]:
        """As metadata of a file of weights."""
        return {
            "widths": ",".join(map(str, self.widths)),
            "depths": ",".join(map(str, self.depths)),
            "correction": str(self.correction),
        }

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.depths) or not 1 <= len(self.widths) <= LEVELS:
            raise InputError(f"widths and depths of a wavelet model name 1 to {LEVELS} levels each, the same number.")
        if not all(1 <= w <= 512 for w in (*self.widths, self.correction)) or not all(0 <= d <= 8 for d in self.depths):
            raise InputError("A wavelet model has 1 to 512 channels and 0 to 8 convolutions a level.")
