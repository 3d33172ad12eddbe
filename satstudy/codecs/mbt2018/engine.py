"""`mbt2018` behind the interface `Engine`: one λ for each set of weights, one tensor of latents with a stride of 16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from satstudy.codecs.coding.engine import UNIT, Latents
from satstudy.codecs.mbt2018.entropy import EntropyCoder
from satstudy.codecs.mbt2018.model import Model
from satstudy.codecs.mbt2018.refinement import RefinedTransforms
from satstudy.codecs.mbt2018.transforms import HALO, Transforms


class Mbt2018Engine:
    """Transforms and entropy coder of one `mbt2018` model.

    Parameters
    ----------
    model, tables : from a file of weights
    lam : λ of the training
    refine : steps of latent refinement; 0 for none
    """

    strides: tuple[int, ...] = (UNIT,)
    synthesis_halo = HALO * UNIT
    piece = 512
    lam_index = 0

    def __init__(
        self,
        model: Model,
        tables: dict[str, Tensor],
        lam: float,
        device: torch.device | str = "cpu",
        *,
        refine: int = 0,
    ):
        self.transforms = RefinedTransforms(model, lam, refine, device) if refine else Transforms(model, device)
        self.entropy = EntropyCoder(model, tables, device=device)
        self.device = self.transforms.device
        self.analysis_halo = self.transforms.margin * UNIT

    def analysis(self, pixels: Tensor) -> list[Latents]:
        return [(y,) for y in self.transforms.analysis(pixels)]

    def synthesis(self, latents: Sequence[Latents], lam_index: int) -> Tensor:
        return self.transforms.synthesis(torch.stack([y for (y,) in latents]))

    def encode(self, tiles: Sequence[Latents]) -> bytes:
        return self.entropy.encode([y for (y,) in tiles])[0]

    def decode(self, data: bytes, shapes: Sequence[tuple[int, int]], lam_index: int) -> list[Latents]:
        return [(y,) for y in self.entropy.decode(data, shapes)]
