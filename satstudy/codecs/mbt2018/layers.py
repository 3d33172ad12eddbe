"""The layers of `mbt2018`: CompressAI's names, values and gradients without its import.

Importing CompressAI takes several times as long as coding a small image, since it imports torchvision and more. Tests
compare these layers with CompressAI's.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Lower bounds of a likelihood in the loss, and of the scale of a Gaussian.
LEAST_LIKELIHOOD, LEAST_SCALE = 1e-9, 0.11
#: Probability outside the outer quantiles of the factorized prior.
TAIL_MASS = 1e-9


class _Bounded(torch.autograd.Function):
    """`max(x, bound)`; below the bound, the gradient passes if a gradient step would raise x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x, bound)
        return torch.max(x, bound)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, bound = ctx.saved_tensors
        return ((x >= bound) | (gradient < 0)) * gradient, None


class LowerBound(nn.Module):
    """`max(x, bound)` with a gradient that leads x back above the bound."""

    bound: Tensor

    def __init__(self, bound: float):
        super().__init__()
        self.register_buffer("bound", torch.tensor([bound]))

    def forward(self, x: Tensor) -> Tensor:
        return _Bounded.apply(x, self.bound)  # type: ignore[no-untyped-call]


class NonNegative(nn.Module):
    """A non-negative parameter, stored as its square root, with the lower bound `minimum`."""

    pedestal: Tensor

    def __init__(self, minimum: float = 0):
        super().__init__()
        pedestal = 2.0**-36
        self.register_buffer("pedestal", torch.tensor([pedestal]))
        self.lower_bound = LowerBound((minimum + pedestal) ** 0.5)

    def stored(self, value: Tensor) -> Tensor:
        """The stored form of `value`."""
        return torch.sqrt(torch.max(value + self.pedestal, self.pedestal))

    def forward(self, stored: Tensor) -> Tensor:
        return self.lower_bound(stored) ** 2 - self.pedestal


class GDN(nn.Module):
    """Generalized divisive normalization, y_i = x_i / √(β_i + Σ_j γ_ij x_j²), or times the root if `inverse`.

    Ballé, Laparra, Simoncelli, *Density modeling of images using a generalized normalization transformation*, ICLR
    2016.
    """

    def __init__(self, channels: int, inverse: bool = False):
        super().__init__()
        self.inverse = inverse
        self.beta_reparam = NonNegative(1e-6)
        self.beta = nn.Parameter(self.beta_reparam.stored(torch.ones(channels)))
        self.gamma_reparam = NonNegative()
        self.gamma = nn.Parameter(self.gamma_reparam.stored(0.1 * torch.eye(channels)))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        gamma = self.gamma_reparam(self.gamma).reshape(channels, channels, 1, 1)
        norm = F.conv2d(x**2, gamma, self.beta_reparam(self.beta))
        return x * (torch.sqrt(norm) if self.inverse else torch.rsqrt(norm))


class MaskedConv2d(nn.Conv2d):
    """A convolution over the positions before the current one in raster order (PixelCNN's mask of type A)."""

    mask: Tensor
    bias: Tensor

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.register_buffer("mask", torch.ones_like(self.weight.data))
        _, _, height, width = self.mask.shape
        self.mask[:, :, height // 2, width // 2 :] = 0
        self.mask[:, :, height // 2 + 1 :] = 0

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = self.weight.data * self.mask
        return super().forward(x)


class EntropyBottleneck(nn.Module):
    """The factorized prior of the hyper-latents: each channel's distribution function is a small monotone network.

    Ballé, Minnen, Singh, Hwang, Johnston, *Variational image compression with a scale hyperprior*, ICLR 2018, §6.1.

    Attributes
    ----------
    quantiles : float32 (channels, 1, 3): end of the lower tail, median, start of the upper tail
    """

    target: Tensor
    filters = (3, 3, 3, 3)

    def __init__(self, channels: int):
        super().__init__()
        init_scale = 10.0
        self.channels = channels
        self.likelihood_lower_bound = LowerBound(LEAST_LIKELIHOOD)
        widths = (1, *self.filters, 1)
        scale = init_scale ** (1 / (len(self.filters) + 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for width, following in pairwise(widths):
            start = math.log(math.expm1(1 / scale / following))
            self.matrices.append(nn.Parameter(torch.full((channels, following, width), start)))
            self.biases.append(nn.Parameter(torch.empty(channels, following, 1).uniform_(-0.5, 0.5)))
            if len(self.matrices) <= len(self.filters):
                self.factors.append(nn.Parameter(torch.zeros(channels, following, 1)))
        self.quantiles = nn.Parameter(torch.tensor([-init_scale, 0.0, init_scale]).repeat(channels, 1, 1))
        tail = math.log(2 / TAIL_MASS - 1)
        self.register_buffer("target", torch.tensor([-tail, 0.0, tail]))

    def _get_medians(self) -> Tensor:
        return self.quantiles[:, :, 1:2]

    def _logits_cumulative(self, x: Tensor, stop_gradient: bool) -> Tensor:
        """Logits of the cumulative distribution at x, float32 (channels, 1, n)."""

        def held(parameter: Tensor) -> Tensor:
            return parameter.detach() if stop_gradient else parameter

        for i, matrix in enumerate(self.matrices):
            x = torch.matmul(F.softplus(held(matrix)), x) + held(self.biases[i])
            if i < len(self.filters):
                x = x + torch.tanh(held(self.factors[i])) * torch.tanh(x)
        return x

    def _likelihood(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probability of [x − ½, x + ½], and the logits at its ends; x is (channels, 1, n)."""
        lower, upper = (self._logits_cumulative(x + end, False) for end in (-0.5, 0.5))
        return torch.sigmoid(upper) - torch.sigmoid(lower), lower, upper

    def loss(self) -> Tensor:
        """A loss with gradients for the quantiles alone, zero where they cut off the tails."""
        return torch.abs(self._logits_cumulative(self.quantiles, True) - self.target).sum()

    def forward(self, x: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Noisy (training) or rounded values, and their likelihoods; both in the shape of x."""
        training = self.training if training is None else training
        turned = x.transpose(0, 1).contiguous()
        values = turned.reshape(turned.shape[0], 1, -1)
        if training:
            values = values + torch.empty_like(values).uniform_(-0.5, 0.5)
        else:
            medians = self._get_medians()
            values = torch.round(values - medians) + medians
        likelihood = self.likelihood_lower_bound(self._likelihood(values)[0])
        return tuple(part.reshape(turned.shape).transpose(0, 1).contiguous() for part in (values, likelihood))  # type: ignore[return-value]

    @torch.no_grad()
    def _update_quantiles(self) -> None:
        """Find the quantiles by bisection."""
        for i, target in enumerate(self.target):
            low = torch.full((self.channels, 1, 1), -1e5, device=self.quantiles.device)
            high = -low
            low = torch.where(target <= self._logits_cumulative(high, True), low, high)
            high = torch.where(self._logits_cumulative(low, True) <= target, high, low)
            while not torch.isclose(low, high, rtol=1e-4, atol=1e-3).all():
                middle = (low + high) / 2
                found = self._logits_cumulative(middle, True)
                low, high = torch.where(found <= target, middle, low), torch.where(found >= target, middle, high)
            self.quantiles[:, :, i] = ((low + high) / 2)[:, :, 0]


class GaussianConditional(nn.Module):
    """Gaussian latents with a mean and a scale each."""

    def __init__(self) -> None:
        super().__init__()
        self.likelihood_lower_bound = LowerBound(LEAST_LIKELIHOOD)
        self.lower_bound_scale = LowerBound(LEAST_SCALE)

    def _likelihood(self, x: Tensor, scales: Tensor, means: Tensor) -> Tensor:
        """Probability of [x − ½, x + ½]; all tensors have one shape."""
        scales = self.lower_bound_scale(scales)
        distance = torch.abs(x - means)
        upper, lower = ((end - distance) / scales for end in (0.5, -0.5))
        # The complementary error function stays exact in the tails.
        below = -(2**-0.5)
        return 0.5 * torch.erfc(below * upper) - 0.5 * torch.erfc(below * lower)

    def forward(self, x: Tensor, scales: Tensor, means: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Noisy (training) or rounded latents, relative to their means, and their likelihoods."""
        training = self.training if training is None else training
        x = x + torch.empty_like(x).uniform_(-0.5, 0.5) if training else torch.round(x - means) + means
        return x, self.likelihood_lower_bound(self._likelihood(x, scales, means))


def conv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.Conv2d:
    """A convolution that divides the size by its stride."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)


def deconv(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """A 5×5 transposed convolution that doubles the size."""
    return nn.ConvTranspose2d(inputs, outputs, 5, 2, padding=2, output_padding=1)
