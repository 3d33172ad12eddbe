"""Latent refinement: the encoder optimizes the latents of each image; weights and decoder stay the same.

Gradient steps on the latents lower the loss of one image (Campos et al., *Content adaptive optimization for neural
image compression*, CVPR workshops 2019), with the stochastic Gumbel annealing of Yang, Bamler, Mandt (*Improving
inference for neural image compression*, NeurIPS 2020): each latent is a random mixture of the integers below and above,
and the randomness falls to zero over the steps.

Two things differ. The temperature scales the odds of the two integers and not the mixture, which gains more in few
steps. Hyper-latents are not optimized: they are `h_a` of the latents, as in the coder. Padding and pixels without data
count like all others.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from satstudy.codecs.mbt2018.model import HYPER_STRIDE, Model, round_ste
from satstudy.codecs.mbt2018.transforms import Transforms
from satstudy.core.hardware import fast_bf16
from satstudy.core.loss import distortion_weight

#: Step size of Adam in quantization steps, divided by the root of the number of steps; its share at the last step.
STEP_SIZE, LAST_STEP_SIZE = 0.2, 0.4
#: Adam's decay of the two moments: short, since the steps are few.
BETAS = (0.75, 0.85)
#: Annealing temperature at the first and the last step; 0 would be plain rounding.
TEMPERATURE, LAST_TEMPERATURE = 0.5, 0.1


class RefinedTransforms(Transforms):
    """`Transforms` whose analysis refines the output of `g_a`.

    Parameters
    ----------
    model : the trained network
    lam : λ of the loss, that of the network's training
    steps : gradient steps; each takes about as long as decoding
    device : where the networks run

    Attributes
    ----------
    margin : latents around a piece of an image that are refined with it; a multiple of the stride of hyper-latents
    """

    margin = HYPER_STRIDE

    def __init__(self, model: Model, lam: float, steps: int, device: torch.device | str = "cpu"):
        super().__init__(model, device)
        self.lam, self.steps = lam, steps
        with torch.inference_mode(False):
            self.model = copy.deepcopy(model).requires_grad_(False).eval()
            self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = torch.bfloat16 if fast_bf16(self.device) else torch.float32

    def analysis(self, pixels: Tensor) -> Tensor:
        """uint8 (b, h, w, 3), h and w multiples of 16, to latents float32 (b, M, h/16, w/16).

        The noise has a fixed seed and is the same for all images of a batch.
        """
        first = super().analysis(pixels)
        with torch.inference_mode(False):
            first = first.clone()
            x = self.scaled(pixels)
            with torch.enable_grad():
                refined = self._optimize(x, first)
            with torch.no_grad():
                # Few steps can end with a larger loss.
                better = self._cost(x, refined) < self._cost(x, first)
            return torch.where(better[:, None, None, None], refined, first)

    def _optimize(self, x: Tensor, first: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        y = first.clone().requires_grad_(True)
        step_size = STEP_SIZE / math.sqrt(self.steps)
        optimizer = torch.optim.Adam([y], lr=step_size, betas=BETAS)
        context = torch.round(first)
        for step in range(self.steps):
            progress = step / self.steps
            optimizer.param_groups[0]["lr"] = step_size * (1 - progress * (1 - LAST_STEP_SIZE))
            temperature = TEMPERATURE * (LAST_TEMPERATURE / TEMPERATURE) ** progress
            # The context model sees the decoded latents of the step before.
            bits_z, hyper = self._hyper(y)
            with self._autocast():
                scales, means = self.model.distributions(hyper, y + (context - y).detach())
            residual = y - means
            y_hat = _gumbel_round(residual, temperature, generator) + means
            bits, distortion = self._bits(y_hat, scales, means), self._distortion(x, y_hat)
            optimizer.zero_grad()
            (bits + bits_z + distortion).sum().backward()  # type: ignore[no-untyped-call]
            context = (torch.round(residual) + means).detach()
            optimizer.step()
        return y.detach()

    def _cost(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of rounded latents in bits: float32 (b,)."""
        bits_z, hyper = self._hyper(y)
        with self._autocast():
            scales, means = self.model.distributions(hyper, self.model.decoded(y, hyper, 1))
        y_hat = torch.round(y - means) + means
        return bits_z + self._bits(y_hat, scales, means) + self._distortion(x, y_hat)

    def _hyper(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Bits of the hyper-latents (b,), and the output of `h_s` (b, 2M, rows, columns)."""
        model = self.model
        medians = model.entropy_bottleneck._get_medians().reshape(1, -1, 1, 1)
        with self._autocast():
            z = model.h_a(y).float()
            z_hat = round_ste(z - medians) + medians
            hyper = model.h_s(z_hat)[..., : y.shape[2], : y.shape[3]]
        likelihood = model.likelihood_z(z_hat).reshape(z.shape[1], z.shape[0], -1)
        return -torch.log2(likelihood).sum((0, 2)), hyper

    def _bits(self, y_hat: Tensor, scales: Tensor, means: Tensor) -> Tensor:
        conditional = self.model.gaussian_conditional
        likelihood = conditional.likelihood_lower_bound(conditional._likelihood(y_hat, scales, means))
        return -torch.log2(likelihood).flatten(1).sum(1)

    def _distortion(self, x: Tensor, y_hat: Tensor) -> Tensor:
        """The distortion in bits: float32 (b,)."""
        with self._autocast():
            x_hat = self.model.g_s(y_hat)
        pixels = x.shape[2] * x.shape[3]
        return distortion_weight(self.lam) * pixels * (x_hat.float() - x).square().flatten(1).mean(1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)


def _gumbel_round(value: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A random mixture of the integers below and above `value`."""
    below = torch.floor(value.detach())
    rest = (value - below).clamp(1e-4, 1 - 1e-4)
    uniform = torch.rand((2, 1, *value.shape[1:]), generator=generator).clamp_(1e-9, 1 - 1e-7)
    gumbel = -torch.log(-torch.log(uniform)).to(value.device)
    # The softmax of two logits is the logistic function of their difference.
    odds = (torch.atanh(rest) - torch.atanh(1 - rest)) / temperature
    return below + torch.sigmoid(odds + gumbel[1] - gumbel[0])
