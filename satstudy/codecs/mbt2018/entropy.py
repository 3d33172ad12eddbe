"""Exact entropy coding of the latents of `mbt2018`: the probability model runs in integers.

The decoder must compute exactly the probabilities of the encoder, or every symbol after the first difference is noise.
So every number that decides a probability is an integer (`satstudy.codecs.coding.integers`).

A stream has the symbols of z for all positions, then the residuals round(y − mean) of the latents. Latents are coded in
the steps of a wavefront (`satstudy.codecs.mbt2018.wavefront`): in each step the context model gives the distributions
at all positions whose causal neighbours are coded.
"""

from __future__ import annotations

import binascii
import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from satstudy.codecs.coding.integers import (
    ACTIVATION_BITS,
    LIMIT,
    Linear,
    float32_is_exact,
    full_precision,
    to_activation,
)
from satstudy.codecs.coding.probability import MAX_SYMBOL, scale_thresholds
from satstudy.codecs.coding.range_coder import HyperSymbols, Ints, Reader, Writer, read_residuals, write_residuals
from satstudy.codecs.mbt2018.model import HYPER_STRIDE, Model
from satstudy.codecs.mbt2018.prior import check_tables, hyper_tables
from satstudy.codecs.mbt2018.wavefront import CONTEXT, Steps, plan
from satstudy.core.errors import DamagedFile, InputError

#: Maximum number of tiles that go through `h_a` in one batch.
HYPER_BATCH = 4
#: Bytes of the latents' checksum.
CHECKSUM = 2


class EntropyCoder:
    """Codes the latents of a group of tiles as one stream.

    Parameters
    ----------
    model : the trained network
    tables : probability tables of z as stored with the weights (`hyper_tables`); computed from the model if not given
    dtype : that holds the integers: torch.float32 (faster; float64 for the few rows that need it) or torch.float64; the
        streams are the same
    device : where the integer networks run; the range coder runs on the CPU

    Raises
    ------
    InputError
        Damaged tables, or weights too large for exact sums.
    """

    def __init__(
        self,
        model: Model,
        tables: dict[str, Tensor] | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        self.model, self.dtype, self.device = model, dtype, torch.device(device)
        self.M, self.N = model.M, model.N
        self.h_a = copy.deepcopy(model.h_a).requires_grad_(False)
        self.h_a.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tables = tables or hyper_tables(model)
        check_tables(self.tables, model.N)
        with full_precision():
            if dtype == torch.float32 and not float32_is_exact(self.device):
                dtype = self.dtype = torch.float64
            self.h_s = HyperSynthesis(model.h_s, dtype, self.device)
            self.context = ContextModel(model, dtype, self.device)
        self.hyper_symbols = HyperSymbols(self.tables)

    def _parameters(self, z: Ints, shapes: Sequence[tuple[int, int]], steps: Steps) -> Tensor:
        """The part of the first layer of `entropy_parameters` whose input is `h_s(z)`.

        Tiles of equal shape go through the network in one batch. The result is int32 (tiles·rows·columns, channels).
        """
        _, rows, columns = steps.grid
        medians = self.tables["z_median"].numpy().astype(np.int64)
        values = np.clip(z.astype(np.int64) * (1 << ACTIVATION_BITS) + medians, -LIMIT, LIMIT)
        hyper = [_hyper_shape(shape) for shape in shapes]
        starts = np.cumsum([0] + [r * c for r, c in hyper])
        width = self.context.from_hyper.outputs
        result = torch.zeros(len(shapes), rows, columns, width, dtype=torch.int32, device=self.device)
        for shape in sorted(set(shapes)):
            tiles = [i for i, other in enumerate(shapes) if other == shape]
            r, c = _hyper_shape(shape)
            part = np.stack([values[starts[i] : starts[i + 1]].reshape(r, c, self.N) for i in tiles])
            parameters = self.h_s(torch.from_numpy(part).to(self.device, self.dtype))
            parameters = parameters[:, : shape[0], : shape[1]]
            sums = self.context.from_hyper.sums(parameters.reshape(-1, 2 * self.M))
            result[tiles, : shape[0], : shape[1]] = sums.reshape(len(tiles), *shape, width)
        return result.reshape(-1, width)

    def _buffer(self, steps: Steps) -> Tensor:
        return torch.zeros(math.prod(steps.padded), self.M, dtype=self.dtype, device=self.device)

    def encode(self, latents: Sequence[Tensor]) -> tuple[bytes, list[Tensor]]:
        """Code a group of tiles.

        Parameters
        ----------
        latents : float32 (M, rows, columns) each, the output of `g_a`

        Returns
        -------
        data : one stream
        y_hat : float32 (M, rows, columns) each, the result of `decode`

        Raises
        ------
        InputError
            Latents that are not finite.
        """
        with full_precision():
            shapes = [(y.shape[1], y.shape[2]) for y in latents]
            steps = plan(shapes)
            tiles, rows, columns = steps.grid
            writer = Writer()
            medians = self.tables["z_median"].to(self.device).float() / (1 << ACTIVATION_BITS)
            symbols = []
            for batch in _batches(latents):
                z = self.h_a(batch.to(self.device, memory_format=torch.channels_last)) - medians[:, None, None]
                if not (torch.isfinite(batch).all() and torch.isfinite(z).all()):
                    raise InputError("These weights give latents that are not finite: train or fetch them again.")
                z = torch.round(z).clamp_(-MAX_SYMBOL, MAX_SYMBOL)
                symbols.append(z.permute(0, 2, 3, 1).reshape(-1, self.N).cpu().numpy().astype(np.int32))
            z_symbols = np.concatenate(symbols)
            self.hyper_symbols.write(writer, z_symbols)
            hyper = self._parameters(z_symbols, shapes, steps)
            target = torch.zeros(tiles, rows, columns, self.M, device=self.device)
            for tile, y in zip(target, latents, strict=True):
                tile[: y.shape[1], : y.shape[2]] = y.permute(1, 2, 0)
            target = target.reshape(-1, self.M) * (1 << ACTIVATION_BITS)
            result = torch.zeros(target.shape, dtype=torch.int32, device=self.device)
            buffer, offsets = self._buffer(steps), steps.context().to(self.device)
            for padded, index in zip(steps.padded_indices, steps.indices, strict=True):
                padded, index = padded.to(self.device), index.to(self.device)
                level, mean = self.context(buffer, padded, hyper.index_select(0, index), offsets)
                k = target.index_select(0, index).sub_(mean).mul_(2.0**-ACTIVATION_BITS).round_()
                k = k.clamp_(-MAX_SYMBOL, MAX_SYMBOL).to(torch.int32)
                value = (k << ACTIVATION_BITS).add_(mean)
                result.index_copy_(0, index, value)
                buffer.index_copy_(0, padded, value.clamp_(-LIMIT, LIMIT).to(self.dtype))
                write_residuals(writer, k.flatten().cpu().numpy(), level.flatten().to(torch.uint8).cpu().numpy())
            return writer.finish() + _checksum(result), self._tiles(result, shapes, steps)

    def decode(self, data: bytes, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The quantized latents of a group of tiles of `shapes` (rows, columns).

        Raises
        ------
        DamagedFile
            The stream does not fit these shapes, or the decoded latents do not match their checksum.
        """
        data, checksum = data[:-CHECKSUM], data[-CHECKSUM:]
        with full_precision():
            steps = plan(shapes)
            reader = Reader(data)
            try:
                positions = sum(r * c for r, c in map(_hyper_shape, shapes))
                hyper = self._parameters(self.hyper_symbols.read(reader, positions), shapes, steps)
                result = torch.zeros(math.prod(steps.grid), self.M, dtype=torch.int32, device=self.device)
                buffer, offsets = self._buffer(steps), steps.context().to(self.device)
                for padded, index in zip(steps.padded_indices, steps.indices, strict=True):
                    padded, index = padded.to(self.device), index.to(self.device)
                    level, mean = self.context(buffer, padded, hyper.index_select(0, index), offsets)
                    k = read_residuals(reader, level.flatten().to(torch.uint8).cpu().numpy())
                    symbols = torch.from_numpy(k).to(self.device).reshape(mean.shape)
                    value = (symbols << ACTIVATION_BITS).add_(mean)
                    result.index_copy_(0, index, value)
                    buffer.index_copy_(0, padded, value.clamp_(-LIMIT, LIMIT).to(self.dtype))
            except (AssertionError, ValueError) as error:
                raise DamagedFile(f"The coded latents do not fit this model ({error}).") from None
            if not reader.coder.maybe_exhausted():
                raise DamagedFile("The coded latents hold more than the image they claim.")
            if _checksum(result) != checksum:
                raise DamagedFile("The decoded latents are not those that were coded: take an undamaged copy.")
            return self._tiles(result, shapes, steps)

    def _tiles(self, values: Tensor, shapes: Sequence[tuple[int, int]], steps: Steps) -> list[Tensor]:
        grid = values.float().mul_(2.0**-ACTIVATION_BITS).reshape(*steps.grid, self.M)
        return [grid[i, :r, :c].permute(2, 0, 1) for i, (r, c) in enumerate(shapes)]


def _batches(latents: Sequence[Tensor]) -> Iterator[Tensor]:
    """Consecutive latents of one shape as batches (b, M, rows, columns) of at most `HYPER_BATCH`."""
    for _, same in itertools.groupby(latents, key=lambda y: y.shape):
        tiles = list(same)
        for start in range(0, len(tiles), HYPER_BATCH):
            yield torch.stack(tiles[start : start + HYPER_BATCH])


def _checksum(values: Tensor) -> bytes:
    """CRC-16 of quantized latents, int32: detects a mismatch between the arithmetic of encoder and decoder.

    Damage of the file is detected by the checksums of the file format.
    """
    return binascii.crc_hqx(values.cpu().numpy().astype("<i4", copy=False).data, 0).to_bytes(CHECKSUM, "little")


def _hyper_shape(shape: tuple[int, int]) -> tuple[int, int]:
    return math.ceil(shape[0] / HYPER_STRIDE), math.ceil(shape[1] / HYPER_STRIDE)


#: Number of positions whose 3×3 neighbourhoods are in memory at once.
STRIP = 4096
#: The rows of `CONTEXT`. Each is an input of `Linear` of its own: shorter vectors seldom need float64.
CONTEXT_ROWS = [slice(0, 5), slice(5, 10), slice(10, 12)]


class HyperSynthesis:
    """`h_s` in integers.

    Convolutions are matrix products over gathered neighbourhoods: a library may compute a 3×3 convolution by Winograd's
    method, whose intermediate fractions are not exact.
    """

    def __init__(self, h_s: torch.nn.Sequential, dtype: torch.dtype, device: torch.device):
        self.dtype = dtype
        layers: list[Any] = list(h_s)
        self.up = [self._deconvolution(layers[i], dtype, device) for i in (0, 2)]
        conv = layers[4]
        taps = conv.weight.detach().permute(2, 3, 1, 0)  # (3, 3, in, out)
        rows = [taps[i].reshape(-1, conv.out_channels) for i in range(3)]
        self.last = Linear(rows, conv.bias.detach(), dtype, device)

    @staticmethod
    def _deconvolution(layer: Any, dtype: torch.dtype, device: torch.device) -> list[Linear]:
        """A 5×5 stride-2 transposed convolution as four 3×3 convolutions, one per output phase."""
        weight, bias = layer.weight.detach(), layer.bias.detach()  # (in, out, 5, 5)
        phases = []
        for row in (0, 1):
            for column in (0, 1):
                # Output 2i + p reads input i + d through tap 2 + p − 2d if that is in 0…4: an odd phase has no d = −1.
                taps = [
                    torch.cat([weight[:, :, 4 + row - 2 * i, 4 + column - 2 * j] for j in range(column, 3)])
                    for i in range(row, 3)
                ]
                phases.append(Linear(taps, bias, dtype, device))
        return phases

    @staticmethod
    def _neighbourhoods(x: Tensor) -> Iterator[tuple[slice, slice, list[Tensor]]]:
        """The zero-padded 3×3 neighbourhoods of x, (b, h, w, c), in strips, since they take nine times its memory.

        Yields
        ------
        tiles, rows : the strip of x
        around : the three rows of each neighbourhood, (positions, 3c) each
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
        """Integer hyper-latents (b, h, w, N) to integer outputs of `h_s` (b, 4h, 4w, 2M)."""
        x = z
        for phases in self.up:
            b, h, w, c = x.shape
            grid = x.new_empty(b, h, 2, w, 2, phases[0].outputs)
            for tiles, rows, around in self._neighbourhoods(x):
                part = grid[tiles, rows]
                for phase, layer in enumerate(phases):
                    inputs = [line[:, phase % 2 * c :] for line in around[phase // 2 :]]
                    values = to_activation(layer.sums(*inputs), leaky=True)
                    part[:, :, phase // 2, :, phase % 2] = values.reshape(*part.shape[:2], w, -1)
            x = grid.reshape(b, 2 * h, 2 * w, -1)
        b, h, w, _ = x.shape
        result = x.new_empty(b, h, w, self.last.outputs)
        for tiles, rows, around in self._neighbourhoods(x):
            part = result[tiles, rows]
            part.copy_(to_activation(self.last.sums(*around), leaky=False).reshape(part.shape))
        return result


class ContextModel:
    """`context_prediction` and `entropy_parameters` in integers: the scale level and the mean of every latent.

    Attributes
    ----------
    from_hyper : the part of the first layer of `entropy_parameters` whose input is the output of `h_s`; it needs no
        context, so it is computed for all positions at once
    """

    def __init__(self, model: Model, dtype: torch.dtype, device: torch.device):
        self.M, self.dtype = model.M, dtype
        # (12, in, out): the taps that are not masked.
        taps = [model.context_prediction.weight.detach()[:, :, r + 2, c + 2].T for r, c in CONTEXT]
        bias = model.context_prediction.bias.detach()
        self.context = Linear([torch.cat(taps[row]) for row in CONTEXT_ROWS], bias, dtype, device)
        layers: list[Any] = [layer for layer in model.entropy_parameters if isinstance(layer, torch.nn.Conv2d)]
        weights = [(layer.weight.detach()[:, :, 0, 0].T, layer.bias.detach()) for layer in layers]
        # The first layer is a sum of a part that reads h_s, computed beforehand, and a part that reads the context.
        first, bias = weights[0]
        self.from_hyper = Linear([first[: 2 * self.M]], bias, dtype, device)
        self.from_context = Linear([first[2 * self.M :]], torch.zeros_like(bias), dtype, device)
        self.rest = [Linear([w], b, dtype, device) for w, b in weights[1:]]
        self.thresholds = torch.tensor(scale_thresholds(), dtype=torch.int32, device=device)

    def __call__(self, buffer: Tensor, at: Tensor, hyper: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The distributions of the latents at the positions of one step.

        Parameters
        ----------
        buffer : integer latents (padded positions, M), zero where not coded yet
        at : int64 (n,), padded indices of the positions
        hyper : int32 (n, width), the sums of `from_hyper` there
        offsets : int64 (12,), from `Steps.context`

        Returns
        -------
        level : int32 (n, M), index of the scale in the probability tables
        mean : int32 (n, M), in units of 2^-ACTIVATION_BITS
        """
        # Indexing with a matrix is three times slower than `index_select`.
        around = (
            buffer.index_select(0, (at[:, None] + offsets[row]).flatten()).reshape(len(at), -1) for row in CONTEXT_ROWS
        )
        context = to_activation(self.context.sums(*around), leaky=False).to(self.dtype)
        x = to_activation(self.from_context.sums(context).add_(hyper), leaky=True)
        for layer in self.rest[:-1]:
            x = to_activation(layer.sums(x.to(self.dtype)), leaky=True)
        sums = self.rest[-1].sums(x.to(self.dtype))
        # Scales are compared before rounding: the grid of activations is coarse for small scales.
        level = torch.bucketize(sums[:, : self.M].contiguous(), self.thresholds, out_int32=True)
        mean = to_activation(sums[:, self.M :], leaky=False)
        return level, mean
