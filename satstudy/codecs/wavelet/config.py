"""The size of a wavelet model, and the rates that it is for."""

from __future__ import annotations

from dataclasses import dataclass

from satstudy.core.errors import InputError

#: λ that `condition` counts from, and the range that models are trained for.
LAM_CENTRE, LAM_MIN, LAM_MAX = 0.01, 1e-4, 0.2
#: Levels of the transform that have networks: 9/7 wavelets, then Haar.
LEVELS = 8


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
