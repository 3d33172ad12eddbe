"""The images that watch a training: their centres, and what a model makes of them by its own estimate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from satstudy.codecs.mbt2018.model import Model
from satstudy.core.pixels import centre
from satstudy.core.types import Pixels
from satstudy.data.images import read_image


def centres(images: Sequence[Path | Pixels], side: int) -> Tensor:
    """The central squares of images, mirrored at their borders where they are smaller: uint8 (n, 3, side, side)."""
    pieces = []
    for entry in images:
        image = entry if isinstance(entry, np.ndarray) else read_image(entry)
        pieces.append(centre(image, side, mirror=True))
    return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2)


def estimate(model: Model, squares: Tensor, lam: float, context_passes: int = 0) -> tuple[float, float, float]:
    """(loss, bpp, PSNR in dB), means over images, by `Model.estimate`: to watch a training, no result."""
    device = next(model.parameters()).device
    bits, psnr, mse = [], [], []
    for x in squares.split(8):
        x = x.to(device).float() / 255
        b, x_hat = model.estimate(x, context_passes)
        error = ((x_hat - x) ** 2).flatten(1).mean(1).clamp_min(1e-10)
        bits.append(b / (x.shape[2] * x.shape[3]))
        mse.append(error)
        psnr.append(-10 * torch.log10(error))
    bpp, distortion = torch.cat(bits).mean().item(), torch.cat(mse).mean().item()
    return lam * 255**2 * distortion + bpp, bpp, torch.cat(psnr).mean().item()
