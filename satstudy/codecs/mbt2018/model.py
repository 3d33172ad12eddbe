"""The joint autoregressive and hierarchical-prior model of the paper, and its training pass.

The network is CompressAI's `JointAutoregressiveHierarchicalPriors` (`mbt2018`: Minnen, Ballé, Toderici, *Joint
Autoregressive and Hierarchical Priors for Learned Image Compression*, NeurIPS 2018), with its names and weights. The
training pass takes its noise as an argument, so that a run can be repeated, resumed and spread over processes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from satstudy.codecs.mbt2018.layers import GDN, EntropyBottleneck, GaussianConditional, MaskedConv2d, conv, deconv
from satstudy.core.errors import InputError
from satstudy.core.loss import rate_distortion
from satstudy.core.tensor_files import require_finite

#: Pixels of the image per latent, and latents per hyper-latent, along one side.
LATENT_STRIDE = 16
HYPER_STRIDE = 4
#: Added likelihood of any latent at its mean, which stands for the escape code of a file.
ESCAPE_LIKELIHOOD = 2.0**-17


class TrainingOutput(NamedTuple):
    """One pass over a batch of `b` crops."""

    x_hat: Tensor  #: float32 (b, 3, h, w), not clamped
    bits_y: Tensor  #: float32 (), −log2 likelihood of all latents of the batch
    bits_z: Tensor  #: float32 (), likewise of the hyper-latents


class Loss(NamedTuple):
    """The loss of a batch, its rate and its distortion: float32 scalars (`satstudy.core.loss`)."""

    total: Tensor
    bpp: Tensor
    mse: Tensor  #: of pixels in [0, 1], not rounded


def round_ste(x: Tensor) -> Tensor:
    """Rounding with the gradient of the identity (straight-through estimator)."""
    return x + (torch.round(x) - x).detach()


#: Buffers of a CompressAI state that follow from its weights.
_DERIVED = ("_offset", "_quantized_cdf", "_cdf_length", "scale_table", "scale_bound")


class Model(nn.Module):
    """CompressAI's `mbt2018` with a repeatable training pass.

    Parameters
    ----------
    N, M : channels of the transforms and of the latents. The paper does not give them; CompressAI has 192 and 192 for
        low and middle rates. A CPU trains 64 and 96 in hours.
    """

    # PyTorch does not type the layers of a sequence.
    g_a: Any
    g_s: Any
    h_a: Any
    h_s: Any
    entropy_parameters: Any
    context_prediction: Any
    entropy_bottleneck: Any

    def __init__(self, N: int, M: int):
        super().__init__()
        self.N, self.M = N, M
        # Layers are registered in CompressAI's order, which the state of an optimizer follows. They are also created in
        # its order, with those that its base classes create and replace. So a seed gives the same weights.
        self.entropy_bottleneck = EntropyBottleneck(N)
        _analysis(N, M), _synthesis(N, M), _hyper_analysis(N, M), deconv(N, N), deconv(N, N), conv(N, M, 3, 1)
        _hyper_analysis(N, M), _hyper_synthesis(N, M)
        self.g_a, self.g_s = _analysis(N, M), _synthesis(N, M)
        self.h_a, self.h_s = _hyper_analysis(N, M), _hyper_synthesis(N, M)
        self.gaussian_conditional = GaussianConditional()
        self.entropy_parameters = nn.Sequential(
            conv(M * 4, M * 10 // 3, 1, 1), _leaky(), conv(M * 10 // 3, M * 8 // 3, 1, 1), _leaky(),
            conv(M * 8 // 3, M * 2, 1, 1),
        )  # fmt: skip
        self.context_prediction = MaskedConv2d(M, 2 * M, kernel_size=5, padding=2)

    def aux_loss(self) -> Tensor:
        """The loss that fits the quantiles of the factorized prior, a scalar."""
        return self.entropy_bottleneck.loss()

    def training_pass(
        self, x: Tensor, noise_y: Tensor, noise_z: Tensor, precision: torch.dtype, context_passes: int = 0
    ) -> TrainingOutput:
        """One forward pass: the rate of noisy latents, the distortion of rounded ones.

        The rate needs a differentiable likelihood, so uniform noise replaces rounding (Ballé et al. 2017). The
        synthesis sees `round(y − means) + means` as a decoder does, with a straight-through gradient ("mixed
        quantization", Minnen & Singh, *Channel-wise autoregressive entropy models*, ICIP 2020, §3.3).

        Parameters
        ----------
        x : float32 (b, 3, h, w) in [0, 1], h and w multiples of 64
        noise_y, noise_z : float32, uniform in [−0.5, 0.5), of the shapes of y and z
        precision : torch.float32 or torch.bfloat16, for the convolutions; likelihoods are always float32
        context_passes : passes of `decoded`, after which the context model sees the latents of a decoder; with 0 it
            sees noisy latents
        """
        with torch.autocast(x.device.type, dtype=precision, enabled=precision != torch.float32):
            y = self.g_a(x)
            z = self.h_a(y)
        y, z = y.float(), z.float()
        medians = self.entropy_bottleneck._get_medians().detach().reshape(1, -1, 1, 1)
        z_hat = round_ste(z - medians) + medians
        likelihood_z = self.likelihood_z(z + noise_z)
        y_noisy = y + noise_y
        with torch.autocast(x.device.type, dtype=precision, enabled=precision != torch.float32):
            hyper = self.h_s(z_hat)
            context = y_noisy
            if context_passes:
                context = y + (self.decoded(y, hyper, context_passes) - y).detach()
            scales, means = self.distributions(hyper, context)
        conditional = self.gaussian_conditional
        likelihood_y = conditional._likelihood(y_noisy, scales, means)
        # Far from its mean a normal distribution is 0 in float32 and a bound on it has no gradient, so the worst
        # predictions would never improve. In a file such a latent is an escape code, longer with its distance.
        likelihood_y = likelihood_y + ESCAPE_LIKELIHOOD / (1 + (y_noisy - means).square())
        y_hat = round_ste(y - means.detach()) + means.detach()
        with torch.autocast(x.device.type, dtype=precision, enabled=precision != torch.float32):
            x_hat = self.g_s(y_hat)
        return TrainingOutput(x_hat.float(), -torch.log2(likelihood_y).sum(), -torch.log2(likelihood_z).sum())

    def distributions(self, hyper: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means of the latents given `context`: float32 (b, M, rows, columns) each."""
        parameters = self.entropy_parameters(torch.cat((hyper, self.context_prediction(context)), dim=1))
        scales, means = parameters.float().chunk(2, 1)
        return scales, means

    @torch.no_grad()
    def decoded(self, y: Tensor, hyper: Tensor, passes: int) -> Tensor:
        """The latents `round(y − means) + means` of a decoder: means depend on the latents decoded before.

        Each pass computes all positions from those of the pass before. As many passes as the wavefront has steps are
        exact, a few come close. With 0 passes the result is `round(y)`, as in CompressAI's `forward`.

        Parameters
        ----------
        y : float32 (b, M, rows, columns)
        hyper : float32 (b, 2M, rows, columns), the output of `h_s`
        """
        y_hat = torch.round(y)
        for _ in range(passes):
            means = self.distributions(hyper, y_hat)[1]
            y_hat = torch.round(y - means) + means
        return y_hat

    def likelihood_z(self, z: Tensor) -> Tensor:
        """Likelihoods of hyper-latents z, (b, N, rows, columns): float32 (N, 1, b·rows·columns)."""
        bottleneck = self.entropy_bottleneck
        values = z.transpose(0, 1).reshape(z.shape[1], 1, -1)
        likelihood, _, _ = bottleneck._likelihood(values)
        return bottleneck.likelihood_lower_bound(likelihood)

    def loss(self, output: TrainingOutput, x: Tensor, lam: float) -> Loss:
        """The loss of one batch of crops `x`, float32 (b, 3, h, w) in [0, 1]."""
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        bpp = (output.bits_y + output.bits_z) / pixels
        mse = torch.mean((output.x_hat - x) ** 2)
        return Loss(rate_distortion(lam, mse, bpp), bpp, mse)

    @torch.no_grad()
    def estimate(self, x: Tensor, context_passes: int = 0) -> tuple[Tensor, Tensor]:
        """Rate and reconstruction without coding, for validation during training; results come from real files.

        The rate is that of CompressAI's `forward`, except for `context_passes` (see `decoded`). Latents are rounded
        relative to their means, as in CompressAI's `compress`; its `forward` rounds them to integers.

        Returns
        -------
        bits : float32 (b,), −log2 likelihood of y and z
        x_hat : float32 (b, 3, h, w), rounded to multiples of 1/255
        """
        y = self.g_a(x)
        z_hat, likelihood_z = self.entropy_bottleneck(self.h_a(y))
        hyper = self.h_s(z_hat)
        scales, means = self.distributions(hyper, self.decoded(y, hyper, context_passes))
        y_hat, likelihood_y = self.gaussian_conditional(y, scales, means=means)
        bits = sum(-torch.log2(likelihood).flatten(1).sum(1) for likelihood in (likelihood_y, likelihood_z))
        return bits, torch.round(self.g_s(y_hat).clamp(0, 1) * 255) / 255  # type: ignore[return-value]

    @property
    def size(self) -> str:
        """The numbers of channels, for listings."""
        return f"N={self.N} M={self.M}"

    def main_parameters(self) -> list[nn.Parameter]:
        """All parameters but the quantiles, which `aux_loss` alone fits."""
        return [p for name, p in self.named_parameters() if not name.endswith("quantiles")]

    def weights(self) -> dict[str, Tensor]:
        """The trained tensors, without buffers.

        Masked taps of the context model are zero here. CompressAI zeroes them in the first forward pass, and the
        fingerprint of a model must not depend on whether there was one.
        """
        weights = {name: parameter.detach() for name, parameter in self.named_parameters()}
        weights["context_prediction.weight"] = weights["context_prediction.weight"] * self.context_prediction.mask
        return weights


def _analysis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(conv(3, N), GDN(N), conv(N, N), GDN(N), conv(N, N), GDN(N), conv(N, M))


def _synthesis(N: int, M: int) -> nn.Sequential:
    norms = [GDN(N, inverse=True) for _ in range(3)]
    layers = [deconv(M, N), norms[0], deconv(N, N), norms[1], deconv(N, N), norms[2], deconv(N, 3)]
    return nn.Sequential(*layers)


def _hyper_analysis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(conv(M, N, 3, 1), _leaky(), conv(N, N), _leaky(), conv(N, N))


def _hyper_synthesis(N: int, M: int) -> nn.Sequential:
    middle = M * 3 // 2
    return nn.Sequential(deconv(N, M), _leaky(), deconv(M, middle), _leaky(), conv(middle, M * 2, 3, 1))


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(inplace=True)


def build(N: int, M: int) -> Model:
    """A randomly initialised model.

    Raises
    ------
    InputError
        N is not in 1…1024, or M not in 3…1024.
    """
    if not (1 <= N <= 1024 and 3 <= M <= 1024):
        raise InputError(f"N = {N} and M = {M} are no sizes for this model: take N in 1…1024 and M in 3…1024.")
    return Model(N, M)


def from_weights(weights: dict[str, Tensor]) -> Model:
    """A model in evaluation mode from its trained tensors; N and M are read off their shapes.

    Raises
    ------
    InputError
        Tensors are missing, unknown, of another shape, or not finite.
    """
    try:
        N, M = weights["g_a.0.weight"].shape[0], weights["g_a.6.weight"].shape[0]
    except (KeyError, IndexError):
        raise InputError(
            "These weights are not of CompressAI's JointAutoregressiveHierarchicalPriors (mbt2018): "
            "g_a.0.weight or g_a.6.weight is missing."
        ) from None
    # A large model is allocated only if the file has tensors of that size.
    for name, shape in (("g_a.2.weight", (N, N, 5, 5)), ("h_s.2.weight", (M, M * 3 // 2, 5, 5))):
        if name not in weights or weights[name].shape != shape:
            raise InputError(f"These weights do not fit mbt2018 with N = {N}, M = {M}: see {name}.")
    model = build(N, M)
    wanted, known = model.weights(), set(model.state_dict())
    foreign = {name for name in set(weights) - known if not name.endswith(_DERIVED)}
    wrong = sorted((set(wanted) - set(weights)) | foreign) or sorted(
        name for name, tensor in wanted.items() if weights[name].shape != tensor.shape
    )
    if wrong:
        raise InputError(f"These weights do not fit mbt2018 with N = {N}, M = {M}: see {', '.join(wrong[:3])}.")
    trained = {name: weights[name].float() for name in wanted}
    require_finite(trained)
    model.load_state_dict(trained, strict=False)
    return model.eval()
