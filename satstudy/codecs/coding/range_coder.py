"""Range coding of integers; a value outside the table is an escape symbol plus an Exp-Golomb code."""

from __future__ import annotations

import constriction
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from satstudy.codecs.coding.probability import ResidualTables, categorical, gaussian_tables

Ints = NDArray[np.int32]

_UNIFORM_BITS = constriction.stream.model.Uniform(17)
_UNIFORM_SIGN = constriction.stream.model.Uniform(2)


class Writer:
    """Encodes symbols to one stream of bytes.

    >>> model = categorical([3, 1])
    >>> writer = Writer()
    >>> writer.write(np.array([0, 0, 1, 0], np.int32), model)
    >>> Reader(writer.finish()).read(model, 4).tolist()
    [0, 0, 1, 0]
    """

    def __init__(self) -> None:
        self.coder = constriction.stream.queue.RangeEncoder()

    def write(self, symbols: Ints, model: constriction.stream.model.Categorical) -> None:
        """Encode int32 symbols 0, 1, … with one model."""
        self.coder.encode(np.ascontiguousarray(symbols, dtype=np.int32), model)

    def escapes(self, excess: Ints, negative: NDArray[np.bool_]) -> None:
        """Encode the distances of values from their tables (≥ 0) as Exp-Golomb codes, and their signs."""
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
        """The bytes of the stream."""
        data: bytes = self.coder.get_compressed().astype("<u4").tobytes()
        # The decoder reads zeros past the end.
        return data.rstrip(b"\0")


class Reader:
    """Decodes the stream of a `Writer`, by the same calls in the same order.

    Other bytes give other symbols, or an AssertionError where no `Writer` gives such bytes.
    """

    def __init__(self, data: bytes):
        padded = data + b"\0" * (-len(data) % 4)
        self.coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, "<u4").astype(np.uint32))

    def read(self, model: constriction.stream.model.Categorical, count: int) -> Ints:
        """Decode `count` symbols with one model."""
        result: Ints = self.coder.decode(model, count)
        return result

    def escapes(self, count: int) -> tuple[Ints, NDArray[np.bool_]]:
        """Decode `count` values of one call of `Writer.escapes`."""
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


def write_residuals(writer: Writer, k: Ints, level: NDArray[np.uint8], tables: ResidualTables | None = None) -> None:
    """Encode the residuals of one step, sorted by level, so that each table is used once.

    Parameters
    ----------
    k : int32 (n,), residuals
    level : uint8 (n,), index of each residual's table
    tables : by default those of a Gaussian
    """
    tables = tables or gaussian_tables()
    order = np.argsort(level, kind="stable")
    k, counts = k[order], np.bincount(level, minlength=len(tables))
    outside: list[tuple[Ints, NDArray[np.bool_]]] = []
    start = 0
    for i in np.flatnonzero(counts):
        part = k[start : start + counts[i]]
        start += counts[i]
        n = tables.half_widths[i]
        far = np.abs(part) > n
        symbols = part + n
        if far.any():
            symbols = np.where(far, 2 * n + 1, symbols)
            outside.append(((np.abs(part[far]) - n - 1).astype(np.int32), part[far] < 0))
        writer.write(symbols, tables.models[i])
    if outside:
        writer.escapes(np.concatenate([e for e, _ in outside]), np.concatenate([s for _, s in outside]))


def read_residuals(reader: Reader, level: NDArray[np.uint8], tables: ResidualTables | None = None) -> Ints:
    """Decode the residuals of one step: int32 (n,)."""
    tables = tables or gaussian_tables()
    order = np.argsort(level, kind="stable")
    counts = np.bincount(level, minlength=len(tables))
    k = np.empty(len(level), np.int32)
    widths = np.empty(len(level), np.int32)
    start = 0
    for i in np.flatnonzero(counts):
        end = start + counts[i]
        widths[start:end] = tables.half_widths[i]
        k[start:end] = reader.read(tables.models[i], int(counts[i])) - tables.half_widths[i]
        start = end
    far = k > widths
    if far.any():
        excess, negative = reader.escapes(int(far.sum()))
        magnitude = excess + widths[far] + 1
        k[far] = np.where(negative, -magnitude, magnitude)
    result = np.empty_like(k)
    result[order] = k
    return result


class HyperSymbols:
    """Codes hyper-latents, channel by channel, with the tables of the weights (`satstudy.codecs.mbt2018.prior`)."""

    def __init__(self, tables: dict[str, Tensor]):
        self.start, self.length = tables["z_start"].numpy(), tables["z_length"].numpy()
        self.models = [
            categorical([*row[:n].tolist(), max(1, int(row[-1]))])
            for row, n in zip(tables["z_frequencies"].numpy(), self.length, strict=True)
        ]

    def write(self, writer: Writer, symbols: Ints) -> None:
        """Encode symbols, int32 (positions, N), relative to the medians."""
        excess, sides = [], []
        for channel, model in enumerate(self.models):
            start, n = int(self.start[channel]), int(self.length[channel])
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

    def read(self, reader: Reader, positions: int) -> Ints:
        """Decode int32 (positions, N)."""
        index = np.stack([reader.read(model, positions) for model in self.models])
        far = index == self.length[:, None]
        if far.any():
            excess, below = reader.escapes(int(far.sum()))
            n = np.broadcast_to(self.length[:, None], index.shape)[far]
            index[far] = np.where(below, -excess - 1, excess + n)
        symbols: Ints = (index + self.start[:, None]).T.astype(np.int32)
        return symbols
