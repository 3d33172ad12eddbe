"""Exact entropy coding of wavelet sub-bands: the networks predict, a range coder spends the bits.

A stream holds the tiles of one group, those of one shape in batches. Of each batch come first the coarsest low-pass
values, plainly; then turn by turn, from coarse to fine, the residuals of the coefficients (`model`), and at the end of
the stream two bytes that check what was decoded.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import constriction
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from satstudy.codecs.coding.probability import LEVELS as SCALES
from satstudy.codecs.coding.probability import MAX_SYMBOL, ResidualTables
from satstudy.codecs.coding.range_coder import Ints, Reader, Writer, read_residuals, write_residuals
from satstudy.codecs.wavelet.config import LEVELS, lam_of, scaled_log
from satstudy.codecs.wavelet.exact import (
    UNIT,
    convolutions_are_exact,
    exact_arithmetic,
    exact_networks,
    exact_shifts,
    level_thresholds,
)
from satstudy.codecs.wavelet.model import (
    ERROR_BITS,
    LOW_BITS,
    TURNS,
    Prediction,
    WaveletModel,
    assembled,
    band_shapes,
    inside,
    take,
)
from satstudy.codecs.wavelet.subbands import (
    BANDS,
    SMOOTH_LEVELS,
    STRIDE,
    Bands,
    each,
    even_sides,
    join_coarse,
    split_coarse,
    stacked,
)
from satstudy.codecs.wavelet.tables import (
    Counts,
    add_counts,
    check_tables,
    costs,
    group,
    no_counts,
    rates,
    residual_tables,
)
from satstudy.core.errors import DamagedFile, InputError

#: Pixels that go through the networks together; the order of the symbols in a stream depends on it.
BATCH_PIXELS = 1 << 20
#: Bytes of the checksum of what was decoded.
CHECKSUM = 2

Shape = tuple[int, int]
#: Takes residuals that were decided, and the table of each.
Sink = Callable[[Ints, NDArray[np.uint8]], None]
#: Decides or reads the residuals of one turn: (prediction, table of each residual, which are in the stream, means) to
#: whole residuals, those not in the stream 0, and the ones that are, flat.
Residuals = Callable[[Prediction, Tensor, Tensor, Tensor], tuple[Tensor, Ints]]


class WaveletCoder:
    """Codes the sub-bands of groups of tiles into one stream a group.

    Parameters
    ----------
    model : the trained networks
    tables : stored with the weights (`satstudy.codecs.wavelet.tables`); Gaussian ones where there are none
    device : where the networks run; the range coder runs on the CPU

    Raises
    ------
    InputError
        Convolutions on this device do not come out exact, or the tables do not fit.
    """

    def __init__(
        self, model: WaveletModel, tables: dict[str, Tensor] | None = None, device: torch.device | str = "cpu"
    ):
        self.device = torch.device(device)
        if not convolutions_are_exact(self.device):
            raise InputError(
                f"Convolutions on {self.device} are not exact, so files could not be decoded elsewhere: take the CPU."
            )
        self.networks = exact_networks(model, self.device)
        self.gain = model.gain.detach().double().cpu()
        self.gain_slope = model.gain_slope.detach().double().cpu()
        self.thresholds = level_thresholds(self.device)
        self._stored = tables or {}
        check_tables(self._stored)
        self._tables: dict[int, tuple[ResidualTables, Tensor]] = {}

    def steps(self, index: int) -> tuple[float, Tensor]:
        """Quantization steps, relative to pixels in [0, 1]: of the low-pass band, and float32 (8, 9) of the others."""
        base = math.sqrt(3 * ERROR_BITS / lam_of(index)) / 255
        return base, (base / torch.exp(self.gain + self.gain_slope * scaled_log(index))).float()

    def tables(self, index: int) -> tuple[ResidualTables, Tensor]:
        """The tables of the range coder at a λ, and what each residual costs."""
        if rates(index) not in self._tables:
            made = residual_tables(self._stored, index)
            self._tables[rates(index)] = made, costs(made).to(self.device)
        return self._tables[rates(index)]

    def bits(self, k: Tensor, table: Tensor, index: int) -> Tensor:
        """Bits of whole residuals by table (`table_of`); beyond the widest table they grow as an escape's do."""
        columns = self.tables(index)[1]
        return columns[table, k.abs().clamp_max(columns.shape[1] - 1).long()]

    def table_of(self, level: int, scales: Tensor) -> Tensor:
        """Which table each residual of a level is coded with: int64, from log-scales in steps × UNIT."""
        return torch.bucketize(scales.contiguous(), self.thresholds, right=True).add_(SCALES * group(level))

    def encode(self, tiles: Sequence[Bands], index: int, decide: bool = True) -> tuple[bytes, list[Bands]]:
        """Code a group of tiles.

        Parameters
        ----------
        tiles : 9/7 bands and the low-pass band that they leave, float32, batch dimension 1, relative to pixels in
            [0, 1], from `WaveletModel.decompose`
        index : of λ
        decide : choose residuals by rate and distortion; otherwise the nearest whole one is taken

        Returns
        -------
        data : one stream
        decoded : what `decode` gives back; coded again without a decision, it gives the same stream
            where the sides of all coarse levels are even
        """
        writer = Writer()

        def write(k: Ints, tables: NDArray[np.uint8]) -> None:
            write_residuals(writer, k, tables, self.tables(index)[0])

        decoded, checksum = self._encode(writer, tiles, index, write, decide)
        return writer.finish() + checksum.to_bytes(CHECKSUM, "little"), decoded

    def count(self, tiles: Sequence[Bands], index: int) -> Counts:
        """How often each residual occurs in what `encode` codes, by table."""
        counts = no_counts()
        self._encode(Writer(), tiles, index, partial(add_counts, counts, index))
        return counts

    def _encode(
        self, writer: Writer, tiles: Sequence[Bands], index: int, sink: Sink, decided: bool = True
    ) -> tuple[list[Bands], int]:
        with exact_arithmetic():
            decoded: list[Bands | None] = [None] * len(tiles)
            checksum = 0
            for batch in batches([_shape(tile) for tile in tiles]):
                bands = stacked([tiles[i] for i in batch])
                result, checksum = self._encode_batch(writer, bands, index, checksum, sink, decided)
                for i, bands in zip(batch, each(result), strict=True):
                    decoded[i] = bands
        return decoded, checksum  # type: ignore[return-value]

    def _encode_batch(
        self, writer: Writer, bands: Bands, index: int, checksum: int, sink: Sink, decided: bool
    ) -> tuple[Bands, int]:
        base, steps = self.steps(index)
        coarse = split_coarse(bands.low.to(self.device))
        reach = (1 << _low_bits(index) - 1) - 1
        low = torch.round(coarse.low / base).clamp_(-reach, reach)
        details = [band.to(self.device) for band in (*bands.details, *coarse.details)]
        if not (torch.isfinite(low).all() and all(torch.isfinite(band).all() for band in details)):
            raise InputError("These weights give coefficients that are not finite: train or fetch them again.")
        plain = (low.flatten().cpu().numpy() + reach).astype(np.int32)
        writer.coder.encode(plain, constriction.stream.model.Uniform(2 * reach + 1))
        cells = [
            F.pixel_unshuffle(even_sides(band / steps[level, :, None, None].to(self.device)), 2).unflatten(
                1, (BANDS, 4)
            )
            for level, band in enumerate(details)
        ]

        def decide(asked: Prediction, table: Tensor, coded: Tensor, means: Tensor) -> tuple[Tensor, Ints]:
            turn = TURNS[asked.turn]
            residual = take(cells[asked.level], turn) - means / UNIT
            ratio = (steps[asked.level, turn.bands] / base).to(self.device).repeat_interleave(len(turn.positions))
            k = torch.round(residual).clamp_(-MAX_SYMBOL, MAX_SYMBOL)
            if decided:
                k = self._decided(residual, k, table, index, ERROR_BITS * ratio[:, None, None] ** 2)
            k *= coded
            symbols = _flat(k, coded, np.int32)
            sink(symbols, _flat(table, coded, np.uint8))
            return k, symbols

        return self._walked(low, index, _shape(bands), decide, checksum)

    def _decided(self, residual: Tensor, nearest: Tensor, table: Tensor, index: int, error_bits: Tensor) -> Tensor:
        """The cheapest of the nearest whole residual, the next one towards zero, and zero."""
        best = nearest
        cost = self.bits(nearest, table, index).addcmul_(error_bits, (residual - nearest).square_())
        for k in (nearest - torch.sign(nearest), torch.zeros_like(nearest)):
            value = self.bits(k, table, index).addcmul_(error_bits, (residual - k).square_())
            better = value < cost
            best, cost = torch.where(better, k, best), torch.where(better, value, cost)
        return best

    def decode(self, data: bytes, shapes: Sequence[Shape], index: int) -> list[Bands]:
        """The bands of a group of tiles.

        Parameters
        ----------
        shapes : (rows, columns) of each tile's low-pass band, a sixteenth of its pixels

        Raises
        ------
        DamagedFile
            The stream cannot have been written for these shapes, or does not give the coefficients that were coded.
        """
        data, wanted = data[:-CHECKSUM], data[-CHECKSUM:]
        reader = Reader(data)

        def read(_: Prediction, table: Tensor, coded: Tensor, means: Tensor) -> tuple[Tensor, Ints]:
            symbols = read_residuals(reader, _flat(table, coded, np.uint8), self.tables(index)[0])
            full = np.zeros(coded.shape, np.float32)
            full[coded.cpu().numpy()] = symbols
            return torch.from_numpy(full).to(self.device), symbols

        decoded: list[Bands | None] = [None] * len(shapes)
        checksum = 0
        with exact_arithmetic():
            try:
                for batch in batches(shapes):
                    shape = shapes[batch[0]]
                    reach = (1 << _low_bits(index) - 1) - 1
                    rows, columns = band_shapes(shape[0] * STRIDE, shape[1] * STRIDE)[-1]
                    count = len(batch) * 3 * rows * columns
                    plain = reader.coder.decode(constriction.stream.model.Uniform(2 * reach + 1), count)
                    low = torch.from_numpy(plain.astype(np.float32) - reach).reshape(len(batch), 3, rows, columns)
                    result, checksum = self._walked(low.to(self.device), index, shape, read, checksum)
                    for i, bands in zip(batch, each(result), strict=True):
                        decoded[i] = bands
            except (AssertionError, ValueError) as error:
                raise DamagedFile(f"The coded coefficients do not fit this model ({error}).") from None
        if not reader.coder.maybe_exhausted():
            raise DamagedFile("The coded coefficients hold more than the image they claim.")
        if checksum.to_bytes(CHECKSUM, "little") != wanted:
            raise DamagedFile("The decoded coefficients are not those that were coded: take an undamaged copy.")
        return decoded  # type: ignore[return-value]

    def _coded(self, asked: Prediction, shape: Shape, table: Tensor) -> Tensor:
        """Which residuals of a turn are in the stream: bool (b, values, rows, columns).

        Not those of positions beyond an odd side, nor those of the narrowest distribution: they are zero.
        """
        turn = TURNS[asked.turn]
        rows, columns = band_shapes(shape[0] * STRIDE, shape[1] * STRIDE)[asked.level]
        here = inside(rows, columns, self.device)[list(turn.positions)]
        return here.repeat(turn.bands.stop - turn.bands.start, 1, 1) & (table % SCALES > 0)

    def _walked(self, low: Tensor, index: int, shape: Shape, residuals: Residuals, checksum: int) -> tuple[Bands, int]:
        """Go through the turns of a batch; returns the bands as decoded and the checksum."""
        base, steps = self.steps(index)
        shapes = band_shapes(shape[0] * STRIDE, shape[1] * STRIDE)
        walk = self.networks.walk(low * UNIT, exact_shifts(self.networks, index), shapes)
        asked = next(walk)
        decoded: list[Tensor] = []
        for level in reversed(range(LEVELS)):
            parts: list[Tensor] = []
            for _ in TURNS:
                means = torch.floor(asked.means + 0.5).clamp_(-512 * UNIT, 512 * UNIT)
                table = self.table_of(level, asked.scales)
                k, symbols = residuals(asked, table, self._coded(asked, shape, table), means)
                checksum = binascii.crc_hqx(symbols.astype("<i4", copy=False).tobytes(), checksum)
                turn = TURNS[asked.turn]
                rows, columns = shapes[level]
                here = inside(rows, columns, self.device)[list(turn.positions)]
                parts.append((k * UNIT + means) * here.repeat(turn.bands.stop - turn.bands.start, 1, 1))
                if level or len(parts) < len(TURNS):
                    asked = walk.send(parts[-1])
            rows, columns = shapes[level]
            y_hat = F.pixel_shuffle(assembled(parts), 2)[:, :, :rows, :columns] / UNIT
            decoded.insert(0, y_hat * steps[level, :, None, None].to(self.device))
        low_hat = join_coarse(Bands(low * base, decoded[SMOOTH_LEVELS:]), *shape)
        return Bands(low_hat, decoded[:SMOOTH_LEVELS]), checksum


def batches(shapes: Sequence[Shape]) -> Iterator[list[int]]:
    """Which tiles go through the networks together: those of one shape, up to `BATCH_PIXELS`."""
    for shape in dict.fromkeys(shapes):
        same = [i for i, other in enumerate(shapes) if other == shape]
        many = max(1, BATCH_PIXELS // (shape[0] * shape[1] * STRIDE * STRIDE))
        for start in range(0, len(same), many):
            yield same[start : start + many]


def _shape(bands: Bands) -> Shape:
    return bands.low.shape[2], bands.low.shape[3]


def _flat(values: Tensor, chosen: Tensor, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """The chosen values, flat, as integers on the CPU."""
    return values.cpu().numpy()[chosen.cpu().numpy()].astype(dtype)


def _low_bits(index: int) -> int:
    """Bits of a value of the coarsest low-pass band: one fewer for each quarter of λ."""
    return LOW_BITS - (277 - index) // 128
