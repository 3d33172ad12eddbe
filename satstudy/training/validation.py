"""Validation crops and their estimated loss during training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from satstudy.core.loss import rate_distortion
from satstudy.core.pixels import centre
from satstudy.core.types import Pixels
from satstudy.data.images import read_image


def central_crops(images: Sequence[Path | Pixels], side: int) -> Tensor:
    """The central squares of images, mirrored where they are too small: uint8 (n, 3, side, side)."""
    pieces = []
    for entry in images:
        image = entry if isinstance(entry, np.ndarray) else read_image(entry)
        pieces.append(centre(image, side, mirror=True))
    return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2)


@torch.no_grad()
def estimated_loss(
    estimate: Callable[[Tensor], tuple[Tensor, Tensor]], crops: Tensor, lam: float, device: torch.device
) -> tuple[float, float, float]:
    """(loss, bpp, PSNR in dB), means over crops: a training curve, not a result from real files.

    Parameters
    ----------
    estimate : bits (b,) and decoded crops of crops float32 (b, 3, height, width) in [0, 1]
    crops : uint8 (n, 3, height, width), sides multiples of 64
    """
    bits, psnr, mse = [], [], []
    for x in crops.split(8):
        x = x.to(device).float() / 255
        b, x_hat = estimate(x)
        error = ((x_hat - x) ** 2).flatten(1).mean(1).clamp_min(1e-10)
        bits.append(b / (x.shape[2] * x.shape[3]))
        mse.append(error)
        psnr.append(-10 * torch.log10(error))
    bpp, distortion = torch.cat(bits).mean().item(), torch.cat(mse).mean().item()
    return rate_distortion(lam, distortion, bpp), bpp, torch.cat(psnr).mean().item()
