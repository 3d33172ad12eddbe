"""Exact entropy coding of latents: probabilities in integers, tiles in lock-step, one coder for many.

The decoder must find bit for bit the probabilities that the encoder used, or everything after the first
difference is garbage. Floating-point networks do not give that: another thread count, batch size or
library changes the last bit, and with it now and then a scale index. Here every number that decides a
probability is an integer (Ballé, Johnston, Minnen, *Integer networks for data compression with
latent-variable models*, ICLR 2019): weights on a grid of 2⁻¹⁰, activations on a grid of 2⁻⁶, within
±128. Sums of their products are exact in float64, whose 53 bits hold them in any order, and in float32
where a bound on them says so, so that any matrix product may be used to take them.

Positions are coded along the wavefront: the context of (r, c) reaches two columns to the right in the
rows above, so all positions with equal c + 3r, of all tiles, are coded in one step.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import constriction
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from satstudy.errors import DamagedFile, InputError
from satstudy.model import HYPER_STRIDE, Model

WEIGHT_BITS = 10  #: fraction bits of weights
ACTIVATION_BITS = 6  #: fraction bits of activations and means
LIMIT = 1 << 13  #: activations stay within ±LIMIT units of 2^-ACTIVATION_BITS
#: Sums stay within this, far above ±LIMIT·2^WEIGHT_BITS, so that two of them fit 32 bits.
SATURATION = (1 << 30) - 1 - (1 << WEIGHT_BITS)
LEVELS = 64  #: scales that a probability table exists for
SCALE_MIN, SCALE_MAX = 0.11, 256.0  #: of CompressAI's scale table
#: Slope of the leaky rectifier, 0.01 in CompressAI: 82 / 2¹³.
LEAK, LEAK_BITS = 82, 13
#: A residual is coded within ±MAX_SYMBOL; no network of use comes near.
MAX_SYMBOL = (1 << 15) - 1
#: Frequencies of the tables that are stored with the weights.
TABLE_BITS = 22

#: Tiles that go through `h_a` together.
HYPER_BATCH = 4
#: Positions whose neighbourhoods are gathered at a time.
STRIP = 4096

_Models = list[constriction.stream.model.Categorical]
_Ints = NDArray[np.int32]

#: Rows and columns, relative to the current position, that the masked 5×5 context reads.
CONTEXT = [(r, c) for r in (-2, -1) for c in (-2, -1, 0, 1, 2)] + [(0, -2), (0, -1)]
#: Those of one row, in `CONTEXT`.
CONTEXT_LINES = [slice(0, 5), slice(5, 10), slice(10, 12)]


# --- Probability tables ---------------------------------------------------------------------------------


def scale_levels() -> list[float]:
    """The scales of the tables, evenly spaced in their logarithm."""
    step = math.log(SCALE_MAX / SCALE_MIN) / (LEVELS - 1)
    return [SCALE_MIN * math.exp(step * i) for i in range(LEVELS)]


@lru_cache(1)
def scale_thresholds() -> tuple[int, ...]:
    """Where one level ends and the next begins, in units of 2^-(WEIGHT_BITS + ACTIVATION_BITS).

    The geometric mean of two neighbouring levels: the loss of coding with the wrong scale grows with the
    square of the error in its logarithm.
    """
    levels = scale_levels()
    unit = 1 << (WEIGHT_BITS + ACTIVATION_BITS)
    return tuple(round(math.sqrt(a * b) * unit) for a, b in itertools.pairwise(levels))


@lru_cache(1)
def gaussian_frequencies() -> tuple[tuple[int, ...], ...]:
    """For each level, integer frequencies of the residuals −n … n and, last, of an escape.

    `math.erfc` differs between platforms in the last of 53 bits; frequencies are rounded to 22, and no
    rounding happens within 2⁻²⁶ of a tie (tested), so these integers are the same everywhere.
    """

    def below(t: float) -> float:
        return 0.5 * math.erfc(-t / math.sqrt(2))

    tables = []
    for scale in scale_levels():
        n = max(1, math.ceil(5 * scale))
        half = [below((0.5 - k) / scale) - below((-0.5 - k) / scale) for k in range(n + 1)]
        tail = 2 * below((-0.5 - n) / scale)
        probabilities = half[:0:-1] + half + [tail]
        tables.append(tuple(max(1, round(p * (1 << TABLE_BITS))) for p in probabilities))
    return tuple(tables)


def _categorical(frequencies: Sequence[int]) -> constriction.stream.model.Categorical:
    # Quotients by the sum are correctly rounded (IEEE 754), and so the same on every machine.
    array = np.asarray(frequencies, dtype=np.float64)
    return constriction.stream.model.Categorical(array / array.sum(), perfect=False)


@lru_cache(1)
def _gaussian_models() -> _Models:
    return [_categorical(frequencies) for frequencies in gaussian_frequencies()]


def hyper_tables(model: Model) -> dict[str, Tensor]:
    """Integer tables of the factorized prior of z, to be stored with the weights.

    Returns
    -------
    dict
        `z_frequencies` int32 (N, width): frequencies of `z_start`, `z_start + 1`, …, then of an escape in
        the last column, zero where a channel has fewer values; `z_start`, `z_length` and `z_median`
        int32 (N,), the median in units of 2^-ACTIVATION_BITS.
    """
    bottleneck = model.entropy_bottleneck
    with torch.no_grad():
        quantiles = bottleneck.quantiles.detach().double().cpu()[:, 0]
        median = torch.round(quantiles[:, 1] * (1 << ACTIVATION_BITS)).clamp(-LIMIT, LIMIT)
        centre = median / (1 << ACTIVATION_BITS)
        start = torch.floor(quantiles[:, 0] - centre).clamp(-MAX_SYMBOL, -1).int()
        stop = torch.ceil(quantiles[:, 2] - centre).clamp(1, MAX_SYMBOL).int()
        # The tails hold 1e-9 of the mass by CompressAI's default; more than this width is no prior of use.
        start, stop = start.clamp_min(-255), stop.clamp_max(255)
        length = stop - start + 1
        width = int(length.max())
        offsets = torch.arange(width)[None]
        samples = (start[:, None] + offsets).double() + centre[:, None]
        probability = _prior_mass(model, samples)
        probability = torch.where(offsets < length[:, None], probability, torch.zeros(()).double())
        escape = (1 - probability.sum(1, keepdim=True)).clamp_min(0)
        frequencies = torch.round(torch.cat((probability, escape), 1) * (1 << TABLE_BITS)).clamp_min(1)
        inside = torch.cat((offsets < length[:, None], torch.ones(len(length), 1, dtype=torch.bool)), 1)
        frequencies = torch.where(inside, frequencies, torch.zeros(()).double()).int()
    return {
        "z_frequencies": frequencies,
        "z_start": start,
        "z_length": length.int(),
        "z_median": median.int(),
    }


def _prior_mass(model: Model, values: Tensor) -> Tensor:
    """Mass of [v − ½, v + ½] under the factorized prior, in double precision; values float64 (N, n)."""
    bottleneck = model.entropy_bottleneck

    def logits(x: Tensor) -> Tensor:
        x = x[:, None]
        for i, matrix in enumerate(bottleneck.matrices):
            x = F.softplus(matrix.detach().cpu().double()) @ x + bottleneck.biases[i].detach().cpu().double()
            if i < len(bottleneck.factors):
                x = x + torch.tanh(bottleneck.factors[i].detach().cpu().double()) * torch.tanh(x)
        return x[:, 0]

    return torch.sigmoid(logits(values + 0.5)) - torch.sigmoid(logits(values - 0.5))


def check_tables(tables: dict[str, Tensor], N: int) -> None:
    """Refuse tables that a weights file may bring and that no `hyper_tables` made.

    Raises
    ------
    InputError
        Missing, of the wrong shape, or out of range.
    """
    try:
        frequencies, start = tables["z_frequencies"], tables["z_start"]
        length, median = tables["z_length"], tables["z_median"]
        good = (
            frequencies.dim() == 2
            and frequencies.dtype == torch.int32
            and frequencies.shape[0] == N
            and all(t.shape == (N,) and t.dtype == torch.int32 for t in (start, length, median))
            and bool(((length >= 3) & (length + 1 <= frequencies.shape[1])).all())
            and bool((start.abs() <= MAX_SYMBOL).all() and (median.abs() <= LIMIT).all())
            and bool((frequencies >= 0).all() and (frequencies < 1 << 23).all() and frequencies.shape[1] <= 1024)
        )
    except (KeyError, AttributeError):
        good = False
    if not good:
        raise InputError("The probability tables in these weights are missing or damaged: fetch the weights again.")


# --- Integer layers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """No autograd, autocast or reduced-precision products, whatever the caller has switched on."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


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


def _float32_is_exact(device: torch.device) -> bool:
    """Whether products of whole numbers come out exact here.

    Settings beyond this program (an environment variable of oneDNN, a library's own default) can make
    float32 products quietly coarser; float64 is never touched by them.
    """
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.integers(-(1 << 11), 1 << 11, (37, 64)))
    weight = torch.from_numpy(generator.integers(-(1 << 6), 1 << 6, (64, 48)))
    found = _multiplier(weight.to(device, torch.float32))(x.to(device, torch.float32))
    return torch.equal(found.cpu().double(), x.double() @ weight.double())


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
    carrier : torch.float32, with float64 where needed; torch.float64 for all of it

    Raises
    ------
    InputError
        Weights so large that their sums could not be told exactly.
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor, carrier: torch.dtype, device: torch.device):
        grids = [torch.round(weight.double().cpu() * (1 << WEIGHT_BITS)) for weight in weights]
        unit = 1 << (WEIGHT_BITS + ACTIVATION_BITS)
        offset = torch.round(bias.double().cpu() * unit)
        self.outputs = len(offset)
        largest = max(float(grid.abs().max()) for grid in grids)
        total = float(sum((grid.abs() * LIMIT).sum(0) for grid in grids).max())  # type: ignore[union-attr]
        if total >= 2.0**52 or largest >= 2.0**24 or float(offset.abs().max()) >= SATURATION / 2:
            raise InputError("These weights are too large to be coded exactly: train with a lower learning rate.")
        self.bias = offset.to(device, torch.int32)
        self.double = carrier == torch.float64
        self.pieces = [grid.to(device, carrier) for grid in grids]
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


class HyperSynthesis:
    """`h_s` in integers: hyper-latents to the parameters that do not depend on the context.

    Convolutions are taken as matrix products over gathered neighbourhoods, since a library may compute a
    3×3 convolution by Winograd's method, whose fractions are not exact.
    """

    def __init__(self, h_s: torch.nn.Sequential, carrier: torch.dtype, device: torch.device):
        self.carrier = carrier
        layers: list[Any] = list(h_s)
        self.up = [self._deconvolution(layers[i], carrier, device) for i in (0, 2)]
        conv = layers[4]
        taps = conv.weight.detach().permute(2, 3, 1, 0)  # (3, 3, in, out)
        rows = [taps[i].reshape(-1, conv.out_channels) for i in range(3)]
        self.last = Linear(rows, conv.bias.detach(), carrier, device)

    @staticmethod
    def _deconvolution(layer: Any, carrier: torch.dtype, device: torch.device) -> list[Linear]:
        """A 5×5 stride-2 transposed convolution as four 3×3 convolutions, one per output phase."""
        weight, bias = layer.weight.detach(), layer.bias.detach()  # (in, out, 5, 5)
        phases = []
        for row in (0, 1):
            for column in (0, 1):
                # Output 2i + p takes input i + d through tap 2 + p − 2d, where that is within 0…4: an odd phase
                # has no d = −1.
                taps = [
                    torch.cat([weight[:, :, 4 + row - 2 * i, 4 + column - 2 * j] for j in range(column, 3)])
                    for i in range(row, 3)
                ]
                phases.append(Linear(taps, bias, carrier, device))
        return phases

    @staticmethod
    def _neighbourhoods(x: Tensor) -> Iterator[tuple[slice, slice, list[Tensor]]]:
        """(b, h, w, c) to three (b·h·w, 3c): rows of each position's 3×3 surroundings, zero outside.

        Given out in strips, as it takes nine times the memory of `x`: tiles, rows, and what surrounds them.
        """
        b, h, w, c = x.shape
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        deep = max(1, min(h, STRIP // w))
        many = max(1, STRIP // (deep * w))
        for tile in range(0, b, many):
            for row in range(0, h, deep):
                tiles, rows = slice(tile, min(b, tile + many)), slice(row, min(h, row + deep))
                lines = (padded[tiles, rows.start + i : rows.stop + i] for i in range(3))
                around = [torch.cat([line[:, :, j : j + w] for j in range(3)], -1).reshape(-1, 3 * c) for line in lines]
                yield tiles, rows, around

    def __call__(self, z: Tensor) -> Tensor:
        """Integer hyper-latents (b, h, w, N) to integer parameters (b, 4h, 4w, 2M)."""
        x = z
        for phases in self.up:
            b, h, w, c = x.shape
            grid = x.new_empty(b, h, 2, w, 2, phases[0].outputs)
            for tiles, rows, around in self._neighbourhoods(x):
                part = grid[tiles, rows]
                for phase, layer in enumerate(phases):
                    seen = [line[:, phase % 2 * c :] for line in around[phase // 2 :]]
                    values = to_activation(layer.sums(*seen), leaky=True)
                    part[:, :, phase // 2, :, phase % 2] = values.reshape(*part.shape[:2], w, -1)
            x = grid.reshape(b, 2 * h, 2 * w, -1)
        b, h, w, _ = x.shape
        result = x.new_empty(b, h, w, self.last.outputs)
        for tiles, rows, around in self._neighbourhoods(x):
            part = result[tiles, rows]
            part.copy_(to_activation(self.last.sums(*around), leaky=False).reshape(part.shape))
        return result


# --- Symbols --------------------------------------------------------------------------------------------


class _Writer:
    def __init__(self) -> None:
        self.coder = constriction.stream.queue.RangeEncoder()

    def write(self, symbols: _Ints, model: constriction.stream.model.Categorical) -> None:
        self.coder.encode(np.ascontiguousarray(symbols, dtype=np.int32), model)

    def escapes(self, excess: _Ints, negative: NDArray[np.bool_]) -> None:
        """How far values lie outside their tables (≥ 0), and on which side: exponential-Golomb."""
        if not len(excess):
            return
        value = excess.astype(np.int64) + 1
        bits = np.frexp(value.astype(np.float64))[1] - 1
        self.coder.encode(bits.astype(np.int32), _UNIFORM_BITS)
        for b in np.unique(bits[bits > 0]):
            rest = value[bits == b] - (1 << int(b))
            self.coder.encode(rest.astype(np.int32), constriction.stream.model.Uniform(1 << int(b)))
        self.coder.encode(negative.astype(np.int32), _UNIFORM_SIGN)

    def finish(self) -> bytes:
        data: bytes = self.coder.get_compressed().astype("<u4").tobytes()
        # The decoder reads zeros past the end.
        return data.rstrip(b"\0")


class _Reader:
    def __init__(self, data: bytes):
        padded = data + b"\0" * (-len(data) % 4)
        self.coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, "<u4").astype(np.uint32))

    def read(self, model: constriction.stream.model.Categorical, count: int) -> _Ints:
        result: _Ints = self.coder.decode(model, count)
        return result

    def escapes(self, count: int) -> tuple[_Ints, NDArray[np.bool_]]:
        if not count:
            return np.zeros(0, np.int32), np.zeros(0, bool)
        bits = self.coder.decode(_UNIFORM_BITS, count)
        value = np.ones(count, np.int64) << bits
        for b in np.unique(bits[bits > 0]):
            chosen = bits == b
            model = constriction.stream.model.Uniform(1 << int(b))
            value[chosen] += self.coder.decode(model, int(chosen.sum()))
        negative = self.coder.decode(_UNIFORM_SIGN, count).astype(bool)
        return (value - 1).astype(np.int32), negative


_UNIFORM_BITS = constriction.stream.model.Uniform(17)
_UNIFORM_SIGN = constriction.stream.model.Uniform(2)


def _write_residuals(writer: _Writer, k: _Ints, level: NDArray[np.uint8]) -> None:
    """Residuals of one step, sorted by level so that each table is called once."""
    order = np.argsort(level, kind="stable")
    k, counts = k[order], np.bincount(level, minlength=LEVELS)
    outside: list[tuple[_Ints, NDArray[np.bool_]]] = []
    start = 0
    for i in np.flatnonzero(counts):
        part = k[start : start + counts[i]]
        start += counts[i]
        n = _half_width(int(i))
        far = np.abs(part) > n
        symbols = part + n
        if far.any():
            symbols = np.where(far, 2 * n + 1, symbols)
            outside.append(((np.abs(part[far]) - n - 1).astype(np.int32), part[far] < 0))
        writer.write(symbols, _gaussian_models()[i])
    if outside:
        writer.escapes(np.concatenate([e for e, _ in outside]), np.concatenate([s for _, s in outside]))


def _read_residuals(reader: _Reader, level: NDArray[np.uint8]) -> _Ints:
    order = np.argsort(level, kind="stable")
    counts = np.bincount(level, minlength=LEVELS)
    k = np.empty(len(level), np.int32)
    widths = np.empty(len(level), np.int32)
    start = 0
    for i in np.flatnonzero(counts):
        end = start + counts[i]
        widths[start:end] = _half_width(int(i))
        k[start:end] = reader.read(_gaussian_models()[i], int(counts[i])) - _half_width(int(i))
        start = end
    far = k > widths
    if far.any():
        excess, negative = reader.escapes(int(far.sum()))
        magnitude = excess + widths[far] + 1
        k[far] = np.where(negative, -magnitude, magnitude)
    result = np.empty_like(k)
    result[order] = k
    return result


@lru_cache(LEVELS)
def _half_width(level: int) -> int:
    return (len(gaussian_frequencies()[level]) - 2) // 2


# --- The coder ------------------------------------------------------------------------------------------


class Steps(NamedTuple):
    """The order in which the positions of a group of tiles are coded."""

    positions: list[Tensor]  #: per step, indices into the padded (tile, row, column) grid
    places: list[Tensor]  #: per step, indices into the unpadded (tile, row, column) grid
    padded: tuple[int, int, int]  #: tiles, rows + 2, columns + 4
    grid: tuple[int, int, int]  #: tiles, rows, columns


def plan(shapes: Sequence[tuple[int, int]]) -> Steps:
    """The wavefront over tiles of `shapes` (rows, columns), all in lock-step."""
    return _plan(tuple((int(r), int(c)) for r, c in shapes))


@lru_cache(4)
def _plan(shapes: tuple[tuple[int, int], ...]) -> Steps:
    rows, columns = max(r for r, _ in shapes), max(c for _, c in shapes)
    tile, r, c = np.meshgrid(np.arange(len(shapes)), np.arange(rows), np.arange(columns), indexing="ij")
    sizes = np.asarray(shapes)
    inside = (r < sizes[:, 0, None, None]) & (c < sizes[:, 1, None, None])
    tile, r, c = tile[inside], r[inside], c[inside]
    when = c + 3 * r
    order = np.argsort(when, kind="stable")
    padded = ((tile * (rows + 2) + r + 2) * (columns + 4) + c + 2)[order]
    plain = ((tile * rows + r) * columns + c)[order]
    cuts = np.flatnonzero(np.diff(when[order])) + 1
    return Steps(
        [torch.from_numpy(part) for part in np.split(padded, cuts)],
        [torch.from_numpy(part) for part in np.split(plain, cuts)],
        (len(shapes), rows + 2, columns + 4),
        (len(shapes), rows, columns),
    )


class EntropyCoder:
    """Codes the latents of groups of tiles into one stream a group.

    Parameters
    ----------
    model : the trained network
    tables : from `hyper_tables`, as stored with the weights; made from the model if not given
    carrier : torch.float32 (faster, with float64 for the few rows that need it) or torch.float64; the streams
        are the same
    device : where the integer networks run; the range coder runs on the CPU
    """

    def __init__(
        self,
        model: Model,
        tables: dict[str, Tensor] | None = None,
        carrier: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        self.model, self.carrier, self.device = model, carrier, torch.device(device)
        self.M, self.N = model.M, model.N
        self.h_a = copy.deepcopy(model.h_a).requires_grad_(False)
        self.h_a.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tables = tables or hyper_tables(model)
        check_tables(self.tables, model.N)
        with _full_precision():
            if carrier == torch.float32 and not _float32_is_exact(self.device):
                carrier = self.carrier = torch.float64
            self.h_s = HyperSynthesis(model.h_s, carrier, self.device)
            # (12, in, out): only the taps that the mask lets through.
            taps = [model.context_prediction.weight.detach()[:, :, r + 2, c + 2].T for r, c in CONTEXT]
            bias = model.context_prediction.bias.detach()
            lines = [torch.cat(taps[part]) for part in CONTEXT_LINES]
            self.context = Linear(lines, bias, carrier, self.device)
            layers: list[Any] = [layer for layer in model.entropy_parameters if isinstance(layer, torch.nn.Conv2d)]
            weights = [(layer.weight.detach()[:, :, 0, 0].T, layer.bias.detach()) for layer in layers]
            # The first layer is a sum over the parameters of h_s, known beforehand, and over the context.
            first, bias = weights[0]
            self.from_hyper = Linear([first[: 2 * self.M]], bias, carrier, self.device)
            self.from_context = Linear([first[2 * self.M :]], torch.zeros_like(bias), carrier, self.device)
            self.rest = [Linear([w], b, carrier, self.device) for w, b in weights[1:]]
        self.thresholds = torch.tensor(scale_thresholds(), dtype=torch.int32, device=self.device)
        frequencies, length = self.tables["z_frequencies"].numpy(), self.tables["z_length"].numpy()
        self._z_models = [
            _categorical([*row[:n].tolist(), max(1, int(row[-1]))]) for row, n in zip(frequencies, length, strict=True)
        ]

    # --- Hyper-latents ----------------------------------------------------------------------------------

    def _write_z(self, writer: _Writer, symbols: _Ints) -> None:
        """symbols int32 (positions, N), relative to the medians."""
        excess, sides = [], []
        for channel, model in enumerate(self._z_models):
            start, n = int(self.tables["z_start"][channel]), int(self.tables["z_length"][channel])
            index = symbols[:, channel] - start
            below, above = index < 0, index >= n
            far = below | above
            if far.any():
                excess.append(np.where(below, -index - 1, index - n)[far].astype(np.int32))
                sides.append(below[far])
                index = np.where(far, n, index)
            writer.write(index, model)
        if excess:
            writer.escapes(np.concatenate(excess), np.concatenate(sides))

    def _read_z(self, reader: _Reader, positions: int) -> _Ints:
        start, length = self.tables["z_start"].numpy(), self.tables["z_length"].numpy()
        index = np.stack([reader.read(model, positions) for model in self._z_models])
        far = index == length[:, None]
        if far.any():
            excess, below = reader.escapes(int(far.sum()))
            n = np.broadcast_to(length[:, None], index.shape)[far]
            index[far] = np.where(below, -excess - 1, excess + n)
        symbols: _Ints = (index + start[:, None]).T.astype(np.int32)
        return symbols

    def _parameters(self, z: _Ints, shapes: Sequence[tuple[int, int]], steps: Steps) -> Tensor:
        """The first layer's sums over `h_s`'s output, int32 (tiles·rows·columns, channels).

        Tiles of one shape go through the network together.
        """
        _, rows, columns = steps.grid
        medians = self.tables["z_median"].numpy().astype(np.int64)
        values = np.clip(z.astype(np.int64) * (1 << ACTIVATION_BITS) + medians, -LIMIT, LIMIT)
        hyper = [_hyper_shape(shape) for shape in shapes]
        starts = np.cumsum([0] + [r * c for r, c in hyper])
        width = self.from_hyper.outputs
        result = torch.zeros(len(shapes), rows, columns, width, dtype=torch.int32, device=self.device)
        for shape in sorted(set(shapes)):
            tiles = [i for i, other in enumerate(shapes) if other == shape]
            r, c = _hyper_shape(shape)
            part = np.stack([values[starts[i] : starts[i + 1]].reshape(r, c, self.N) for i in tiles])
            parameters = self.h_s(torch.from_numpy(part).to(self.device, self.carrier))
            parameters = parameters[:, : shape[0], : shape[1]]
            sums = self.from_hyper.sums(parameters.reshape(-1, 2 * self.M))
            result[tiles, : shape[0], : shape[1]] = sums.reshape(len(tiles), *shape, width)
        return result.reshape(-1, width)

    # --- Latents ----------------------------------------------------------------------------------------

    def _distribution(self, buffer: Tensor, at: Tensor, hyper: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Levels and means (int32, units of 2^-ACTIVATION_BITS) at the padded positions `at`."""
        # Looked up one by one: indexing with a matrix is three times slower.
        around = (
            buffer.index_select(0, (at[:, None] + offsets[line]).flatten()).reshape(len(at), -1)
            for line in CONTEXT_LINES
        )
        context = to_activation(self.context.sums(*around), leaky=False).to(self.carrier)
        x = to_activation(self.from_context.sums(context).add_(hyper), leaky=True)
        for layer in self.rest[:-1]:
            x = to_activation(layer.sums(x.to(self.carrier)), leaky=True)
        sums = self.rest[-1].sums(x.to(self.carrier))
        # Scales are compared before rounding: the grid of activations is coarse for small ones.
        level = torch.bucketize(sums[:, : self.M].contiguous(), self.thresholds, out_int32=True)
        mean = to_activation(sums[:, self.M :], leaky=False)
        return level, mean

    def _offsets(self, steps: Steps) -> Tensor:
        return torch.tensor([r * steps.padded[2] + c for r, c in CONTEXT], device=self.device)

    def _buffer(self, steps: Steps) -> Tensor:
        return torch.zeros(math.prod(steps.padded), self.M, dtype=self.carrier, device=self.device)

    def encode(self, latents: Sequence[Tensor]) -> tuple[bytes, list[Tensor]]:
        """Code a group of tiles.

        Parameters
        ----------
        latents : float32 (M, rows, columns) each, the output of `g_a`

        Returns
        -------
        data : one stream
        y_hat : float32 (M, rows, columns) each, what `decode` gives back
        """
        with _full_precision():
            shapes = [(y.shape[1], y.shape[2]) for y in latents]
            steps = plan(shapes)
            tiles, rows, columns = steps.grid
            writer = _Writer()
            medians = self.tables["z_median"].to(self.device).float() / (1 << ACTIVATION_BITS)
            symbols = []
            for batch in _batches(latents):
                z = self.h_a(batch.to(self.device, memory_format=torch.channels_last)) - medians[:, None, None]
                if not (torch.isfinite(batch).all() and torch.isfinite(z).all()):
                    raise InputError("These weights give latents that are not finite: train or fetch them again.")
                z = torch.round(z).clamp_(-MAX_SYMBOL, MAX_SYMBOL)
                symbols.append(z.permute(0, 2, 3, 1).reshape(-1, self.N).cpu().numpy().astype(np.int32))
            z_symbols = np.concatenate(symbols)
            self._write_z(writer, z_symbols)
            hyper = self._parameters(z_symbols, shapes, steps)
            target = torch.zeros(tiles, rows, columns, self.M, device=self.device)
            for tile, y in zip(target, latents, strict=True):
                tile[: y.shape[1], : y.shape[2]] = y.permute(1, 2, 0)
            target = target.reshape(-1, self.M) * (1 << ACTIVATION_BITS)
            result = torch.zeros(target.shape, dtype=torch.int32, device=self.device)
            buffer, offsets = self._buffer(steps), self._offsets(steps)
            for at, place in zip(steps.positions, steps.places, strict=True):
                at, place = at.to(self.device), place.to(self.device)
                level, mean = self._distribution(buffer, at, hyper.index_select(0, place), offsets)
                k = target.index_select(0, place).sub_(mean).mul_(2.0**-ACTIVATION_BITS).round_()
                k = k.clamp_(-MAX_SYMBOL, MAX_SYMBOL).to(torch.int32)
                value = (k << ACTIVATION_BITS).add_(mean)
                result.index_copy_(0, place, value)
                buffer.index_copy_(0, at, value.clamp_(-LIMIT, LIMIT).to(self.carrier))
                _write_residuals(writer, k.flatten().cpu().numpy(), level.flatten().to(torch.uint8).cpu().numpy())
            return writer.finish(), self._tiles(result, shapes, steps)

    def decode(self, data: bytes, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The quantized latents of a group of tiles of `shapes` (rows, columns).

        Raises
        ------
        DamagedFile
            The stream cannot have been written for these shapes.
        """
        with _full_precision():
            steps = plan(shapes)
            reader = _Reader(data)
            try:
                positions = sum(r * c for r, c in map(_hyper_shape, shapes))
                hyper = self._parameters(self._read_z(reader, positions), shapes, steps)
                result = torch.zeros(math.prod(steps.grid), self.M, dtype=torch.int32, device=self.device)
                buffer, offsets = self._buffer(steps), self._offsets(steps)
                for at, place in zip(steps.positions, steps.places, strict=True):
                    at, place = at.to(self.device), place.to(self.device)
                    level, mean = self._distribution(buffer, at, hyper.index_select(0, place), offsets)
                    k = _read_residuals(reader, level.flatten().to(torch.uint8).cpu().numpy())
                    symbols = torch.from_numpy(k).to(self.device).reshape(mean.shape)
                    value = (symbols << ACTIVATION_BITS).add_(mean)
                    result.index_copy_(0, place, value)
                    buffer.index_copy_(0, at, value.clamp_(-LIMIT, LIMIT).to(self.carrier))
            except (AssertionError, ValueError) as error:
                raise DamagedFile(f"The coded latents do not fit this model ({error}).") from None
            if not reader.coder.maybe_exhausted():
                raise DamagedFile("The coded latents hold more than the image they claim.")
            return self._tiles(result, shapes, steps)

    def _tiles(self, values: Tensor, shapes: Sequence[tuple[int, int]], steps: Steps) -> list[Tensor]:
        grid = values.float().mul_(2.0**-ACTIVATION_BITS).reshape(*steps.grid, self.M)
        return [grid[i, :r, :c].permute(2, 0, 1) for i, (r, c) in enumerate(shapes)]


def _batches(latents: Sequence[Tensor]) -> Iterator[Tensor]:
    """Neighbours of one shape together, some at a time: (b, M, rows, columns)."""
    for _, same in itertools.groupby(latents, key=lambda y: y.shape):
        tiles = list(same)
        for start in range(0, len(tiles), HYPER_BATCH):
            yield torch.stack(tiles[start : start + HYPER_BATCH])


def _hyper_shape(shape: tuple[int, int]) -> tuple[int, int]:
    return math.ceil(shape[0] / HYPER_STRIDE), math.ceil(shape[1] / HYPER_STRIDE)
