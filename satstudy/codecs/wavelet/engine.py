"""The wavelet codec as an engine of `LearnedCodec`: one set of weights for every λ, sub-bands at strides of 2 to 16."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from satstudy.codecs.coding.engine import Latents
from satstudy.codecs.coding.integers import full_precision
from satstudy.codecs.wavelet.coder import WaveletCoder
from satstudy.codecs.wavelet.config import lam_index, lam_of
from satstudy.codecs.wavelet.model import WaveletModel, condition
from satstudy.codecs.wavelet.refinement import refined
from satstudy.codecs.wavelet.subbands import SMOOTH_LEVELS, STRIDE, Bands, each


class WaveletEngine:
    """Transforms and entropy coder of one wavelet model at one λ.

    Parameters
    ----------
    lam : of the files that are written; files of any λ are read
    tables : stored with the weights
    refine : steps of latent refinement (`satstudy.codecs.wavelet.refinement`); 0 for none

    Raises
    ------
    InputError
        λ outside of what files can name, or tables that do not fit.
    """

    strides = (STRIDE, *(2 << level for level in range(SMOOTH_LEVELS)))
    # The filters of four levels see 60 pixels of the corrected image, the correction 16 pixels around these.
    analysis_halo = synthesis_halo = 96
    piece = 1024

    def __init__(
        self,
        model: WaveletModel,
        lam: float,
        tables: dict[str, Tensor] | None = None,
        device: torch.device | str = "cpu",
        *,
        refine: int = 0,
    ):
        self.device = torch.device(device)
        self.lam_index = lam_index(lam)
        self.refine = refine
        with torch.inference_mode(False):  # gradients of refinement pass through it
            self.model = copy.deepcopy(model).requires_grad_(False).eval()
            self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.coder = WaveletCoder(model, tables, self.device)

    def at(self, lam: float) -> WaveletEngine:
        """The same engine at another λ; networks and tables are shared."""
        other = copy.copy(self)
        other.lam_index = lam_index(lam)
        return other

    def _condition(self, lam_index: int) -> Tensor:
        return condition(torch.tensor([lam_of(lam_index)], dtype=torch.float32, device=self.device))

    def analysis(self, pixels: Tensor) -> list[Latents]:
        with full_precision():
            # A permuted (b, h, w, 3) tensor is channels-last without a copy.
            x = pixels.to(self.device).permute(0, 3, 1, 2).float().mul_(1 / 255)
            first = self.model.decompose(x, self._condition(self.lam_index))
            if self.refine:
                found = refined(self.model, self.coder, self.lam_index, x, first, self.refine)
            else:
                found = each(first)
            return [_latents(bands) for bands in found]

    def synthesis(self, latents: Sequence[Latents], lam_index: int) -> Tensor:
        with full_precision():
            low, *details = (torch.stack(tensors).to(self.device) for tensors in zip(*latents, strict=True))
            x = self.model.recompose(Bands(low, details), self._condition(lam_index))
            return x.clamp_(0, 1).mul_(255).permute(0, 2, 3, 1)

    def encode(self, tiles: Sequence[Latents]) -> bytes:
        bands = [Bands(low[None], [detail[None] for detail in details]) for low, *details in tiles]
        return self.coder.encode(bands, self.lam_index, decide=not self.refine)[0]

    def decode(self, data: bytes, shapes: Sequence[tuple[int, int]], lam_index: int) -> list[Latents]:
        return [_latents(bands) for bands in self.coder.decode(data, shapes, lam_index)]


def _latents(bands: Bands) -> Latents:
    """The sub-bands of one image without their batch dimension."""
    return (bands.low[0], *(detail[0] for detail in bands.details))
