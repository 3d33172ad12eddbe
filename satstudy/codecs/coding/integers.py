"""Arithmetic that comes out the same everywhere: layers of the network in whole numbers.

Floating-point networks do not give the same numbers twice: another thread count, batch size or library
changes the last bit. Here every number is an integer (Ballé, Johnston, Minnen, *Integer networks for data
compression with latent-variable models*, ICLR 2019): weights on a grid of 2⁻¹⁰, activations on a grid of
2⁻⁶, within ±1024. Sums of their products are exact in float64, whose 53 bits hold them in any order, and in
float32 where a bound on them says so, so that any matrix product may be used to take them.
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
#: Sums stay within this, 16 times ±LIMIT·2^WEIGHT_BITS, so that two of them fit 32 bits.
SATURATION = (1 << 30) - 1 - (1 << WEIGHT_BITS)
#: Slope of the leaky rectifier, 0.01 in CompressAI: 82 / 2¹³.
LEAK, LEAK_BITS = 82, 13


class _Precision:
    """PyTorch's precision of float32 products, which is one setting for all threads.

    The first that comes in sets it to full and the last that leaves sets it back, so that no thread takes it
    from another. PyTorch has an older and a newer interface to it; the older one refuses to be read once the
    newer was used, but can be set, and sets both.
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
    """No autograd, autocast or reduced-precision products, whatever the caller has switched on."""
    _PRECISION.enter()
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        _PRECISION.leave()


def _multiplier(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """float32 (rows, in) times `weight` (in, out), the weight brought into the form that is fastest here.

    On a CPU oneDNN takes the product, with the weight laid out for it once: its kernels are two to three
    times as fast as the BLAS behind `@` on processors that the latter was not made for, and sum plain
    products all the same.
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
        if not torch.backends.mkldnn.enabled:  # switched off since
            return x @ weight
        result: Tensor = multiply(x.contiguous(), packed, None, "none", [], "")
        return result

    return product


def float32_is_exact(device: torch.device) -> bool:
    """Whether products of whole numbers come out exact here.

    Settings beyond this program (an environment variable of oneDNN or of cuBLAS, a library's own default) can
    make float32 products quietly coarser. What is tried: full sums of short factors, and single products of odd
    factors of 12 bits, which neither bfloat16 nor TensorFloat-32 holds; for few rows and many, since libraries
    choose their kernels by that.
    """
    generator = np.random.default_rng(0)
    for rows in (1, 37, 1024):
        short = generator.integers(-(1 << 11), 1 << 11, (rows, 64)), generator.integers(-(1 << 6), 1 << 6, (64, 48))
        single, odd = np.zeros((rows, 384), np.int64), generator.integers(-2047, 2047, (384, 320)) * 2 + 1
        single[np.arange(rows), generator.integers(384, size=rows)] = generator.integers(1024, 2047, rows) * 2 + 1
        for x, weight in (short, (single, odd)):
            product = _multiplier(torch.from_numpy(weight).to(device, torch.float32))
            found = product(torch.from_numpy(x).to(device, torch.float32))
            # In float64, which has a fast product and holds these sums too.
            if not np.array_equal(found.cpu().numpy(), x.astype(np.float64) @ weight.astype(np.float64)):
                return False
    return True


class Linear:
    """`x @ weight + bias` in integers, for rows of activations.

    A float of p bits carries a sum exactly, in whatever order it is taken, as long as the magnitudes of its
    terms add up to less than 2^p. By the Cauchy–Schwarz inequality they do where the product of the two
    vectors' lengths does. So the product is taken in float32, piece by piece, and rows whose length does not
    allow it are taken again in float64. Both give the same integers, and nothing depends on who takes which way.

    Parameters
    ----------
    weights : float (in, out) each, taken to the grid of 2^-WEIGHT_BITS: the layer's inputs in pieces, which are
        summed one after the other
    bias : float (out,)
    dtype : torch.float32, with float64 where needed; torch.float64 for all of it

    Raises
    ------
    InputError
        Weights so large that their sums could not be told exactly.
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor, dtype: torch.dtype, device: torch.device):
        grids = [torch.round(weight.double().cpu() * (1 << WEIGHT_BITS)) for weight in weights]
        unit = 1 << (WEIGHT_BITS + ACTIVATION_BITS)
        offset = torch.round(bias.double().cpu() * unit)
        self.outputs = len(offset)
        largest = max(float(grid.abs().max()) for grid in grids)
        total = float(sum((grid.abs() * LIMIT).sum(0) for grid in grids).max())  # type: ignore[union-attr]
        if total >= 2.0**52 or largest >= 2.0**24 or float(offset.abs().max()) >= SATURATION / 2:
            raise InputError("These weights are too large to be coded exactly: train with a lower learning rate.")
        self.bias = offset.to(device, torch.int32)
        self.double = dtype == torch.float64
        self.pieces = [grid.to(device, dtype) for grid in grids]
        self.products = [] if self.double else [_multiplier(piece) for piece in self.pieces]
        # One percent off for the rounding of the length itself.
        self.allowed = [0.99 * 2.0**24 / max(1.0, math.sqrt(float(grid.square().sum(0).max()))) for grid in grids]

    def sums(self, *parts: Tensor) -> Tensor:
        """int32 (rows, out) in units of 2^-(WEIGHT_BITS + ACTIVATION_BITS), held within ±SATURATION."""
        if self.double:
            return self._in_double(parts)
        total, long = self.bias, None
        for part, product, allowed in zip(parts, self.products, self.allowed, strict=True):
            total = product(part).to(torch.int32).add_(total)
            length = torch.linalg.vector_norm(part, dim=1)
            if length.max() >= allowed:
                rows = length >= allowed
                long = rows if long is None else long | rows
        if long is not None:
            total[long] = self._in_double([part[long] for part in parts])
        return total

    def _in_double(self, parts: Sequence[Tensor]) -> Tensor:
        total = self.bias.double()
        for part, weight in zip(parts, self.pieces, strict=True):
            total = torch.addmm(total, part.double(), weight.double())
        return total.clamp_(-SATURATION, SATURATION).to(torch.int32)


def to_activation(sums: Tensor, leaky: bool) -> Tensor:
    """Sums rounded to activations (half up), rectified, and kept within ±LIMIT: int32. `sums` is used up."""
    x = sums.add_(1 << (WEIGHT_BITS - 1)).bitwise_right_shift_(WEIGHT_BITS)
    if leaky:
        # Below zero the leak is the larger of the two, above it the smaller.
        x = torch.maximum(x, (x * LEAK).add_(1 << (LEAK_BITS - 1)).bitwise_right_shift_(LEAK_BITS))
    return x.clamp_(-LIMIT, LIMIT)
