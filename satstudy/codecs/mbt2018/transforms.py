"""`g_a` and `g_s` prepared for coding: GDN parameters computed once, channels last, no autograd."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satstudy.codecs.mbt2018.layers import GDN
from satstudy.codecs.mbt2018.model import Model

#: Receptive field of the transforms on each side, in latents: `g_s` reaches 32 px, `g_a` 30 px.
HALO = 2


class FoldedGDN(nn.Module):
    """`GDN` without the reparametrization of gamma and beta, which only training needs; works in place."""

    gamma: Tensor
    beta: Tensor

    def __init__(self, layer: GDN):
        super().__init__()
        channels = layer.beta.shape[0]
        self.inverse = layer.inverse
        gamma = layer.gamma_reparam(layer.gamma.detach()).reshape(channels, channels, 1, 1)
        self.register_buffer("gamma", gamma.contiguous(memory_format=torch.channels_last))
        self.register_buffer("beta", layer.beta_reparam(layer.beta.detach()))

    def forward(self, x: Tensor) -> Tensor:
        norm = F.conv2d(x * x, self.gamma, self.beta)
        return x.mul_(norm.sqrt_() if self.inverse else norm.rsqrt_())


def _prepared(transform: nn.Sequential, device: torch.device) -> nn.Sequential:
    layers = [FoldedGDN(layer) if isinstance(layer, GDN) else copy.deepcopy(layer) for layer in transform]
    prepared = nn.Sequential(*layers).requires_grad_(False).eval()
    return prepared.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Transforms:
    """The analysis and synthesis of one model on `device`."""

    #: Latents around a piece of an image that its analysis needs.
    margin = HALO

    def __init__(self, model: Model, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        with torch.inference_mode():
            self.g_a, self.g_s = _prepared(model.g_a, self.device), _prepared(model.g_s, self.device)

    def analysis(self, pixels: Tensor) -> Tensor:
        """uint8 (b, h, w, 3), h and w multiples of 16, to latents float32 (b, M, h/16, w/16)."""
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return self.g_a(self.scaled(pixels))  # type: ignore[no-any-return]

    def scaled(self, pixels: Tensor) -> Tensor:
        """uint8 (b, h, w, 3) to the input of `g_a`, float32 (b, 3, h, w) in [0, 1]."""
        # A permuted (b, h, w, 3) tensor is channels-last without a copy.
        return pixels.to(self.device).permute(0, 3, 1, 2).float().mul_(1 / 255)

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """Latents float32 (b, M, rows, columns) to pixels float32 (b, 16·rows, 16·columns, 3) in [0, 255]."""
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            y_hat = y_hat.to(self.device).contiguous(memory_format=torch.channels_last)
            return self.g_s(y_hat).clamp_(0, 1).mul_(255).permute(0, 2, 3, 1)  # type: ignore[no-any-return]
