"""The band networks in exact arithmetic: the same numbers on every machine.

A decoder must find, to the last bit, the distributions that the encoder used. Sums of floats depend on the order in
which they are taken, which differs between machines; sums of whole numbers do not, as long as every partial sum fits
into the 24 bits of a float32. So the networks are copied with

- weights rounded to multiples of 2^−s, where s is chosen for each output channel;
- activations rounded to multiples of 1/UNIT and held within ±LIMIT, and counted in units of 1/UNIT;
- s so large as the bound allows: the magnitudes of all terms of a sum add up to less than 2^(23 − s) units.

Every partial sum is then a multiple of 2^−s below 2^(24 − s), which float32 holds exactly, in whatever order and with
whatever instructions it is taken. This excludes convolutions by Winograd's method or by Fourier transforms, which
compute with fractions of the numbers: `exact_arithmetic` switches the libraries that may use them off.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from satstudy.codecs.coding.integers import full_precision
from satstudy.codecs.coding.probability import scale_levels
from satstudy.codecs.wavelet.config import scaled_log
from satstudy.codecs.wavelet.model import LIMIT, TURNS, BandNetworks, WaveletModel
from satstudy.core.errors import InputError

#: Activations are multiples of 1/UNIT.
UNIT = 32
#: What λ adds to a layer is a multiple of this, in units.
SHIFT_STEP = 2.0**-4
#: No more binary digits of a weight than this.
MAX_DIGITS = 14


def exact_networks(model: WaveletModel, device: torch.device) -> BandNetworks:
    """A copy of the model's band networks that computes exactly.

    Raises
    ------
    InputError
        Weights so large that their sums could not be held exactly.
    """
    networks = copy.deepcopy(model.networks).requires_grad_(False).eval().cpu()
    _to_grid([networks.first])
    _to_grid([networks.up])
    for network in networks.each():
        network.unit, network.rounded = UNIT, True
        for turn, enter in enumerate(network.enter):
            together = [enter]
            if 1 <= turn <= 3:
                together.append(network.luma[turn - 1])
            elif turn >= 4:
                together.append(network.luma_here[turn - 4])
                if turn == 5:
                    together.append(network.chroma)
            _to_grid(together, extra=LIMIT * UNIT)  # what λ may add at most
        for layer in network.trunk:
            _to_grid([layer], extra=LIMIT * UNIT)
        for layer in (*network.inner, *network.head):
            _to_grid([layer])
        for between in (network.merge, network.up):
            if between is not None:
                _to_grid([between])
    return networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@torch.no_grad()
def _to_grid(layers: Sequence[nn.Module], extra: float = 0) -> None:
    """Round the weights of layers whose outputs are added up, and the bias of the first, counted in units."""
    convolutions = cast(list[nn.Conv2d], list(layers))
    weights = [layer.weight.double() for layer in convolutions]
    first = convolutions[0]
    bias = first.bias.double() * UNIT  # type: ignore[union-attr]
    bound = sum(weight.abs().flatten(1).sum(1) for weight in weights) * LIMIT * UNIT + bias.abs() + extra + 1
    digits = torch.floor(23 - torch.log2(bound)).clamp_max(MAX_DIGITS)  # type: ignore[arg-type]
    if not torch.isfinite(bound).all() or digits.min() < 2:  # type: ignore[arg-type]
        raise InputError("These weights are too large to be coded exactly: train with a lower learning rate.")
    scale = torch.exp2(digits)
    for layer, weight in zip(convolutions, weights, strict=True):
        layer.weight.copy_(torch.round(weight * scale[:, None, None, None]) / scale[:, None, None, None])
    first.bias.copy_(torch.round(bias * scale) / scale)  # type: ignore[union-attr]


def exact_shifts(networks: BandNetworks, lam_index: int) -> list[list[Tensor]]:
    """What λ adds to the layers of each level network, in units, the same on every machine.

    The sums are taken one operation after the other in float64, which IEEE 754 defines to the last bit.

    Parameters
    ----------
    lam_index : λ = `LAM_CENTRE` · `LAM_RATIO` ** lam_index
    """
    t = scaled_log(lam_index)
    powers = (t, t * t, t * t * t)
    shifts = []
    for network in networks.each():
        layer = network.condition
        total = layer.bias.detach().double().cpu()
        for i, power in enumerate(powers):
            total = total + layer.weight.detach().double().cpu()[:, i] * power
        shift = torch.round(total * (UNIT / SHIFT_STEP)) * SHIFT_STEP
        shift = shift.clamp(-LIMIT * UNIT, LIMIT * UNIT).float()
        parts = shift[None, :, None, None].to(layer.weight.device).chunk(len(network.trunk) + len(TURNS), 1)
        shifts.append(list(parts))
    return shifts


def level_thresholds(device: torch.device) -> Tensor:
    """Log-scales in units at which one table of probabilities takes over from the next, on the grid of float32."""
    levels = [math.log(scale) for scale in scale_levels()]
    middle = [(a + b) / 2 * UNIT for a, b in itertools.pairwise(levels)]
    # Rounded to 2^-10 units: `math.log` may differ in the last bit between machines.
    return torch.tensor([round(value * 1024) / 1024 for value in middle], dtype=torch.float32, device=device)


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Sums are taken directly: no autograd, no reduced precision, no library that may transform a convolution."""
    with (
        full_precision(),
        torch.backends.cudnn.flags(enabled=False),
        torch.backends.nnpack.flags(enabled=False),
    ):
        yield


def convolutions_are_exact(device: torch.device) -> bool:
    """Whether convolutions of whole numbers come out exact here: a 3×3 and a 1×1 layer with sums up to 2^23."""
    generator = torch.Generator().manual_seed(0)
    for channels, size, side in ((64, 3, 24), (112, 1, 9), (12, 3, 40)):
        x = torch.randint(-509, 510, (2, channels, side, side), generator=generator).float()
        largest = 2**23 // (509 * channels * size * size)
        weight = torch.randint(-largest, largest + 1, (32, channels, size, size), generator=generator).float()
        with exact_arithmetic():
            there = x.to(device, memory_format=torch.channels_last), weight.to(device)
            found = torch.nn.functional.conv2d(*there, padding=size // 2).cpu()
            wanted = torch.nn.functional.conv2d(x.double(), weight.double(), padding=size // 2)
        if not torch.equal(found.double(), wanted):
            return False
    return True
