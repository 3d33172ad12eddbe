"""Exact arithmetic: network layers in integers, with equal results on every machine.

The last bit of a floating-point network depends on the number of threads, the batch size and the library. Here every
number is an integer (Ballé, Johnston, Minnen, *Integer networks for data compression with latent-variable models*, ICLR
2019): weights in multiples of 2⁻¹⁰, activations in multiples of 2⁻⁶ within ±1024. Floats hold the integers, so that
fast matrix products apply: sums of products are exact in float64, and in float32 where a bound on them guarantees it.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from satstudy.core.errors import InputError

WEIGHT_BITS = 10  #: fraction bits of weights
ACTIVATION_BITS = 6  #: fraction bits of activations and means
LIMIT = 1 << 16  #: activations stay within ±LIMIT units of 2^-ACTIVATION_BITS
#: Sums stay within ±SATURATION, 16 times the range of activations: two of them and the half for rounding fit int32.
SATURATION = (1 << 30) - 1 - (1 << WEIGHT_BITS)
#: Slope of leaky ReLU: 82 / 2¹³, for 0.01 in CompressAI.
LEAK, LEAK_BITS = 82, 13


class _Precision:
    """PyTorch's precision of float32 products, one setting for all threads.

    The first thread that enters sets it to full, and the last one that leaves restores it. PyTorch has an older and a
    newer interface: the older one can always be set, which sets both, but not read once the newer one was used.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.old: str | None = None
        self.new: list[str] = []

    @staticmethod
    def _settings() -> list[Any]:
        places = (torch.backends.mkldnn, torch.backends.cuda)
        return [place.matmul for place in places if hasattr(getattr(place, "matmul", None), "fp32_precision")]

    def enter(self) -> None:
        with self.lock:
            if self.inside == 0:
                try:
                    self.old = torch.get_float32_matmul_precision()
                except RuntimeError:
                    self.old = None
                self.new = [setting.fp32_precision for setting in self._settings()]
                torch.set_float32_matmul_precision("highest")
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                if self.old is not None:
                    torch.set_float32_matmul_precision(self.old)
                for setting, value in zip(self._settings(), self.new, strict=True):
                    setting.fp32_precision = value


_PRECISION = _Precision()


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Switch autograd, autocast and matrix products of reduced precision off, whatever the caller has set."""
    _PRECISION.enter()
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        _PRECISION.leave()


def _multiplier(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The fastest exact product of float32 (rows, in) with `weight` (in, out) on its device.

    On a CPU it is oneDNN's, with the weight laid out once. On some processors its kernels are two to three times as
    fast as the BLAS behind `@`. They are exact as well: they add the products without transforming the operands.
    """
    if weight.device.type != "cpu":
        return lambda x: x @ weight
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.T.contiguous())
        multiply = torch.ops.mkldnn._linear_pointwise
        multiply(torch.zeros(1, len(weight)), packed, None, "none", [], "")
    except (AttributeError, RuntimeError):  # a build of PyTorch without oneDNN, or one that renamed these
        return lambda x: x @ weight

    def product(x: Tensor) -> Tensor:
        if not torch.backends.mkldnn.enabled:  # the caller has switched it off
            return x @ weight
        result: Tensor = multiply(x.contiguous(), packed, None, "none", [], "")
        return result

    return product


def float32_is_exact(device: torch.device) -> bool:
    """Whether float32 products of integers are exact on this device, by a test.

    Environment variables of oneDNN or cuBLAS, and defaults of libraries, can reduce their precision silently. The test
    takes long sums of short factors, and single products of odd 12-bit factors, which neither bfloat16 nor
    TensorFloat-32 can hold. It takes few rows and many, since libraries choose their kernels by that.
    """
    generator = np.random.default_rng(0)
    for rows in (1, 37, 1024):
        short = generator.integers(-(1 << 11), 1 << 11, (rows, 64)), generator.integers(-(1 << 6), 1 << 6, (64, 48))
        single, odd = np.zeros((rows, 384), np.int64), generator.integers(-2047, 2047, (384, 320)) * 2 + 1
        single[np.arange(rows), generator.integers(384, size=rows)] = generator.integers(1024, 2047, rows) * 2 + 1
        for x, weight in (short, (single, odd)):
            product = _multiplier(torch.from_numpy(weight).to(device, torch.float32))
            found = product(torch.from_numpy(x).to(device, torch.float32))
            # float64 has a fast product and holds these sums exactly.
            if not np.array_equal(found.cpu().numpy(), x.astype(np.float64) @ weight.astype(np.float64)):
                return False
    return True


class Linear:
    """`x @ weight + bias` in integers, for rows of activations.

    A float of p bits holds a sum exactly, in any order of its terms, if their magnitudes add up to less than 2^p. By
    the Cauchy–Schwarz inequality this holds if the product of the two vectors' norms is below 2^p. So the product is
    computed in float32, and again in float64 for rows of larger norm. Both give the same integers.

    Parameters
    ----------
    weights : float (in, out) each, rounded to multiples of 2^-WEIGHT_BITS; one for each part of the layer's inputs
    bias : float (out,)
    dtype : torch.float32, with float64 where needed, or torch.float64 for all rows

    Raises
    ------
    InputError
        Weights too large for exact sums.
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor, dtype: torch.dtype, device: torch.device):
        integers = [torch.round(weight.double().cpu() * (1 << WEIGHT_BITS)) for weight in weights]
        unit = 1 << (WEIGHT_BITS + ACTIVATION_BITS)
        offset = torch.round(bias.double().cpu() * unit)
        self.outputs = len(offset)
        largest = max(float(weight.abs().max()) for weight in integers)
        total = float(sum((weight.abs() * LIMIT).sum(0) for weight in integers).max())  # type: ignore[union-attr]
        if total >= 2.0**52 or largest >= 2.0**24 or float(offset.abs().max()) >= SATURATION / 2:
            raise InputError("These weights are too large to be coded exactly: train with a lower learning rate.")
        self.bias = offset.to(device, torch.int32)
        self.double = dtype == torch.float64
        self.weights = [weight.to(device, dtype) for weight in integers]
        self.products = [] if self.double else [_multiplier(weight) for weight in self.weights]
        # One percent less, for the rounding of the norm itself.
        norms = [math.sqrt(float(weight.square().sum(0).max())) for weight in integers]
        self.max_norms = [0.99 * 2.0**24 / max(1.0, norm) for norm in norms]

    def sums(self, *parts: Tensor) -> Tensor:
        """int32 (rows, out) in units of 2^-(WEIGHT_BITS + ACTIVATION_BITS), clamped to ±SATURATION.

        Parameters
        ----------
        parts : (rows, in) each, integers in the layer's dtype, one for each of its weights
        """
        if self.double:
            return self._in_double(parts)
        total, inexact = self.bias, None
        for part, product, max_norm in zip(parts, self.products, self.max_norms, strict=True):
            total = product(part).to(torch.int32).add_(total)
            norm = torch.linalg.vector_norm(part, dim=1)
            if norm.max() >= max_norm:
                rows = norm >= max_norm
                inexact = rows if inexact is None else inexact | rows
        if inexact is not None:
            total[inexact] = self._in_double([part[inexact] for part in parts])
        return total

    def _in_double(self, parts: Sequence[Tensor]) -> Tensor:
        total = self.bias.double()
        for part, weight in zip(parts, self.weights, strict=True):
            total = torch.addmm(total, part.double(), weight.double())
        return total.clamp_(-SATURATION, SATURATION).to(torch.int32)


def to_activation(sums: Tensor, leaky: bool) -> Tensor:
    """Activations from sums (int32, overwritten): rounded half up, leaky ReLU if `leaky`, clamped to ±LIMIT."""
    x = sums.add_(1 << (WEIGHT_BITS - 1)).bitwise_right_shift_(WEIGHT_BITS)
    if leaky:
        # Leaky ReLU is max(x, slope · x) for slopes below 1.
        x = torch.maximum(x, (x * LEAK).add_(1 << (LEAK_BITS - 1)).bitwise_right_shift_(LEAK_BITS))
    return x.clamp_(-LIMIT, LIMIT)
