"""Images to wavelet sub-bands and back: a colour rotation and a two-dimensional wavelet transform.

The first four levels use the biorthogonal 9/7 filters of JPEG 2000 (Cohen, Daubechies, Feauveau 1992), scaled so that
they are close to orthonormal. The levels below use the Haar filters on the low-pass band that is left. A Haar
coefficient depends on its own block of samples alone, so the coarse levels of two tiles never meet::

    image ─ colour rotation ─► 9/7 ─► 9/7 ─► 9/7 ─► 9/7 ─► Haar … Haar ─► one low-pass value a colour
                                │      │      │      │       │
                             level 1   2      3      4    5 … 8     9 bands each: (HL, LH, HH) × 3 colours

Both directions are differentiable and run where their input is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from satstudy.codecs.wavelet.config import LEVELS

#: Levels with 9/7 filters.
SMOOTH_LEVELS = 4
#: Pixels a side of one sample of the low-pass band that the 9/7 levels leave.
STRIDE = 1 << SMOOTH_LEVELS
#: Bands of one level: three orientations of each of three colours.
BANDS = 9
#: Samples beyond a border that a 9/7 filter reaches, rounded up to whole cells of two.
REACH = 4
#: Analysis filters, centre first: they are symmetric (Antonini et al., *Image coding using wavelet transform*, 1992).
LOW_PASS = (0.602949018236, 0.266864118443, -0.078223266529, -0.016864118443, 0.026748757411)
HIGH_PASS = (1.115087052457, -0.591271763114, -0.057543526229, 0.091271763114)


class Bands(NamedTuple):
    """The sub-bands of a batch of images.

    Attributes
    ----------
    low : float32 (b, 3, rows, columns), the low-pass band of the last level in the list
    details : for each level, finest first, float32 (b, 9, rows, columns): of colour c and orientation o
        (0 horizontal detail, 1 vertical, 2 diagonal) the channel 3·c + o
    """

    low: Tensor
    details: list[Tensor]


def stacked(images: Sequence[Bands]) -> Bands:
    """The sub-bands of several images as one batch."""
    details = zip(*(bands.details for bands in images), strict=True)
    return Bands(torch.cat([bands.low for bands in images]), [torch.cat(level) for level in details])


def each(bands: Bands) -> list[Bands]:
    """The sub-bands of every image of a batch, with a batch dimension of 1."""
    details = zip(*(level.split(1) for level in bands.details), strict=True)
    return [Bands(low, list(levels)) for low, levels in zip(bands.low.split(1), details, strict=True)]


def rotate(x: Tensor, inverse: bool = False) -> Tensor:
    """RGB to a grey axis and two colour differences, orthonormal: float32 (b, 3, h, w) both."""
    rotation = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=x.dtype, device=x.device)
    rotation = rotation / rotation.norm(dim=1, keepdim=True)
    return torch.einsum("cd,bdhw->bchw", rotation.T if inverse else rotation, x)


def split_smooth(x: Tensor) -> Bands:
    """The 9/7 levels: float32 (b, 3, h, w), h and w multiples of 16, to four levels and a low-pass band of h/16 × w/16.

    A side is mirrored at its borders (whole-sample symmetry), as JPEG 2000 does.
    """
    kernel = _analysis_kernel(x.dtype, x.device)
    details = []
    for _ in range(SMOOTH_LEVELS):
        cells = F.pixel_unshuffle(_mirrored(x), 2)
        x, detail = _parted(F.conv2d(cells, kernel))
        details.append(detail)
    return Bands(x, details)


def join_smooth(bands: Bands) -> Tensor:
    """The inverse of `split_smooth`, exact but for rounding of floats."""
    x, kernel = bands.low, _synthesis_kernel(bands.low.dtype, bands.low.device)
    for detail in reversed(bands.details):
        cells = F.pixel_unshuffle(_mirrored(F.pixel_shuffle(_interleaved(x, detail), 2)), 2)
        x = F.pixel_shuffle(F.conv2d(cells, kernel), 2)
    return x


def split_coarse(x: Tensor) -> Bands:
    """The Haar levels of a low-pass band of any size: an odd side repeats its last sample, whose detail is zero."""
    details = []
    haar = _haar(x.dtype, x.device)
    for _ in range(LEVELS - SMOOTH_LEVELS):
        cells = F.pixel_unshuffle(even_sides(x), 2).unflatten(1, (3, 4))
        x, detail = _parted(torch.einsum("fp,bcphw->bcfhw", haar, cells).flatten(1, 2))
        details.append(detail)
    return Bands(x, details)


def join_coarse(bands: Bands, height: int, width: int) -> Tensor:
    """The inverse of `split_coarse` for a band of height × width samples."""
    sizes = [(height, width)]
    for _ in bands.details:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    x, haar = bands.low, _haar(bands.low.dtype, bands.low.device)
    for detail, (rows, columns) in zip(reversed(bands.details), reversed(sizes[:-1]), strict=True):
        cells = _interleaved(x, detail).unflatten(1, (3, 4))
        x = F.pixel_shuffle(torch.einsum("fp,bcfhw->bcphw", haar, cells).flatten(1, 2), 2)[:, :, :rows, :columns]
    return x


def even_sides(x: Tensor) -> Tensor:
    """Repeats the last row and column of (b, c, h, w) where their number is odd."""
    down, right = x.shape[2] % 2, x.shape[3] % 2
    return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def _parted(cells: Tensor) -> tuple[Tensor, Tensor]:
    """(b, 12, h, w), four bands of each colour, to the low-pass bands and the details."""
    bands = cells.unflatten(1, (3, 4))
    return bands[:, :, 0], bands[:, :, 1:].flatten(1, 2)


def _interleaved(low: Tensor, detail: Tensor) -> Tensor:
    return torch.cat((low[:, :, None], detail.unflatten(1, (3, 3))), 2).flatten(1, 2)


def _mirrored(x: Tensor) -> Tensor:
    """`REACH` samples more on each side, mirrored at the outermost sample; small bands are mirrored repeatedly."""
    for dim in (2, 3):
        length = x.shape[dim]
        index = torch.arange(-REACH, length + REACH, device=x.device).remainder(2 * length - 2)
        x = x.index_select(dim, torch.minimum(index, 2 * length - 2 - index))
    return x


# --- Kernels --------------------------------------------------------------------------------------------------
#
# One level is one convolution on cells of 2×2 samples: its input channels are the four samples of a cell, its output
# channels the four bands there. So a level runs at the speed of a small layer of a network.


@lru_cache
@torch.inference_mode(False)  # a tensor made in inference mode would stay one
def _haar(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(4 bands, 4 samples of a cell), orthonormal and symmetric, so that it is its own inverse."""
    signs = [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]
    return torch.tensor(signs, dtype=dtype, device=device) / 2


@lru_cache
@torch.inference_mode(False)
def _analysis_kernel(dtype: torch.dtype, device: torch.device) -> Tensor:
    line = torch.zeros(2, 2, 5, dtype=torch.float64)  # (band, sample of a cell, cell)
    for band, taps in enumerate(_filters()):
        for distance in range(1 - len(taps), len(taps)):
            cell, sample = divmod(band + distance, 2)
            line[band, sample, cell + 2] = taps[abs(distance)]
    return _two_dimensional(line, dtype, device)


@lru_cache
@torch.inference_mode(False)
def _synthesis_kernel(dtype: torch.dtype, device: torch.device) -> Tensor:
    # The synthesis filter of a band is the other band's analysis filter with every second sign turned.
    low, high = _filters()
    taps = [[(-1) ** d * value for d, value in enumerate(high)], [(-1) ** d * value for d, value in enumerate(low)]]
    line = torch.zeros(2, 2, 5, dtype=torch.float64)  # (sample of a cell, band, cell)
    for sample in range(2):
        for band in range(2):
            for cell in range(-2, 3):
                distance = abs(2 * cell + band - sample)
                if distance < len(taps[band]):
                    line[sample, band, cell + 2] = taps[band][distance]
    return _two_dimensional(line, dtype, device)


def _filters() -> tuple[list[float], list[float]]:
    """Low-pass and high-pass analysis filters, centre first, scaled towards unit norm."""
    root = 2**0.5
    return [value * root for value in LOW_PASS], [value / root for value in HIGH_PASS]


def _two_dimensional(line: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(12, 12, 5, 5): rows times columns, each colour by itself."""
    square = torch.einsum("abi,cdj->acbdij", line, line).reshape(4, 4, 5, 5)
    kernel = torch.zeros(12, 12, 5, 5, dtype=torch.float64)
    for colour in range(3):
        part = slice(4 * colour, 4 * colour + 4)
        kernel[part, part] = square
    return kernel.to(device, dtype)
