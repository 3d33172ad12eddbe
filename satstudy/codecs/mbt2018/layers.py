"""The layers of `mbt2018`, with CompressAI's names, numbers and gradients, without importing it.

Importing CompressAI costs several times what coding a small image does: it imports torchvision, torch_geometric and
SciPy on the way. The tests hold these layers against CompressAI's own.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Least likelihood that a loss sees, and least scale of a Gaussian.
LEAST_LIKELIHOOD, LEAST_SCALE = 1e-9, 0.11
#: Mass outside the outer quantiles of the factorized prior.
TAIL_MASS = 1e-9


class _Bounded(torch.autograd.Function):
    """`max(x, bound)`, whose gradient also passes where it moves x towards the bound."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x, bound)
        return torch.max(x, bound)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, bound = ctx.saved_tensors
        return ((x >= bound) | (gradient < 0)) * gradient, None


class LowerBound(nn.Module):
    """A bound from below that training can leave again."""

    bound: Tensor

    def __init__(self, bound: float):
        super().__init__()
        self.register_buffer("bound", torch.tensor([bound]))

    def forward(self, x: Tensor) -> Tensor:
        return _Bounded.apply(x, self.bound)  # type: ignore[no-untyped-call]


class NonNegative(nn.Module):
    """A parameter stored as the square root of what it stands for, so that this stays at or above `minimum`."""

    pedestal: Tensor

    def __init__(self, minimum: float = 0):
        super().__init__()
        pedestal = 2.0**-36
        self.register_buffer("pedestal", torch.tensor([pedestal]))
        self.lower_bound = LowerBound((minimum + pedestal) ** 0.5)

    def stored(self, value: Tensor) -> Tensor:
        """The parameter that stands for `value`."""
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
    """A convolution that sees only what comes before its position, row by row (PixelCNN's mask of type A)."""

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
    """The factorized prior of the hyper-latents: a density for each channel, as a monotone network.

    Ballé, Minnen, Singh, Hwang, Johnston, *Variational image compression with a scale hyperprior*, ICLR 2018, §6.1.

    Attributes
    ----------
    quantiles : float32 (channels, 1, 3): where the lower tail ends, the median, where the upper tail begins
    """

    target: Tensor
    filters = (3, 3, 3, 3)

    def __init__(self, channels: int, init_scale: float = 10):
        super().__init__()
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
        """Mass of [x − ½, x + ½], and the logits of its two ends; x float32 (channels, 1, n)."""
        lower, upper = (self._logits_cumulative(x + end, False) for end in (-0.5, 0.5))
        return torch.sigmoid(upper) - torch.sigmoid(lower), lower, upper

    def loss(self) -> Tensor:
        """What moves the quantiles to where the tails end, and nothing else."""
        return torch.abs(self._logits_cumulative(self.quantiles, True) - self.target).sum()

    def forward(self, x: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Values with noise (training) or rounded relative to the medians, and their likelihoods; both as x."""
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
    def _update_quantiles(self, radius: float = 1e5) -> None:
        """Find the quantiles by bisection."""
        for i, target in enumerate(self.target):
            low = torch.full((self.channels, 1, 1), -radius, device=self.quantiles.device)
            high = -low
            low = torch.where(target <= self._logits_cumulative(high, True), low, high)
            high = torch.where(self._logits_cumulative(low, True) <= target, high, low)
            while not torch.isclose(low, high, rtol=1e-4, atol=1e-3).all():
                middle = (low + high) / 2
                found = self._logits_cumulative(middle, True)
                low, high = torch.where(found <= target, middle, low), torch.where(found >= target, middle, high)
            self.quantiles[:, :, i] = ((low + high) / 2)[:, :, 0]


class GaussianConditional(nn.Module):
    """The distribution of a latent: a Gaussian with the mean and scale that are given for it."""

    def __init__(self) -> None:
        super().__init__()
        self.likelihood_lower_bound = LowerBound(LEAST_LIKELIHOOD)
        self.lower_bound_scale = LowerBound(LEAST_SCALE)

    def _likelihood(self, x: Tensor, scales: Tensor, means: Tensor) -> Tensor:
        """Mass of [x − ½, x + ½]; all of one shape."""
        scales = self.lower_bound_scale(scales)
        distance = torch.abs(x - means)
        upper, lower = ((end - distance) / scales for end in (0.5, -0.5))
        # The complementary error function keeps the digits of the tails.
        below = -(2**-0.5)
        return 0.5 * torch.erfc(below * upper) - 0.5 * torch.erfc(below * lower)

    def forward(self, x: Tensor, scales: Tensor, means: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Latents with noise (training) or rounded relative to their means, and their likelihoods."""
        training = self.training if training is None else training
        x = x + torch.empty_like(x).uniform_(-0.5, 0.5) if training else torch.round(x - means) + means
        return x, self.likelihood_lower_bound(self._likelihood(x, scales, means))


def conv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.Conv2d:
    """A convolution that keeps the size, or halves it with a stride of 2."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)


def deconv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.ConvTranspose2d:
    """A transposed convolution that multiplies the size by its stride."""
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=kernel // 2, output_padding=stride - 1)
