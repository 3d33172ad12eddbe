"""Symbols, residuals and hyper-latents of any size come back as they were written."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs.coding.probability import MAX_SYMBOL, categorical
from satstudy.codecs.coding.range_coder import HyperSymbols, Reader, Writer, read_residuals, write_residuals
from satstudy.codecs.mbt2018.prior import hyper_tables


def test_excesses_of_any_size_round_trip():
    for sizes in ([0], [1, 2, 3, 4], [0, 7, 65534, 65535, 2**17 - 2], list(range(300))):
        writer = Writer()
        excess = np.asarray(sizes, np.int32)
        negative = excess % 3 == 0
        writer.escapes(excess, negative)
        back, sides = Reader(writer.finish()).escapes(len(sizes))
        assert np.array_equal(back, excess)
        assert np.array_equal(sides, negative)


def test_streams_without_their_trailing_zeros_decode():
    """`finish` strips them; a whole stream may vanish."""
    skewed = categorical([1 << 22, 1, 1])
    stripped = 0
    for count, last in itertools.product(range(40), range(3)):
        writer = Writer()
        symbols = np.asarray([0] * count + [last], np.int32)
        writer.write(symbols, skewed)
        full = writer.coder.get_compressed().astype("<u4").tobytes()
        data = writer.finish()
        stripped += len(full) - len(data) >= 4
        reader = Reader(data)
        assert np.array_equal(reader.read(skewed, len(symbols)), symbols)
        assert reader.coder.maybe_exhausted()
    assert stripped


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.5, 50.0, 1e4, 1e9]))
@settings(max_examples=25, deadline=None)
def test_residuals_of_any_size_come_back_at_any_level(seed, scale):
    rng = np.random.default_rng(seed)
    steps = []
    writer = Writer()
    for count in (1, 40, 7):
        k = np.clip(rng.normal(0, scale, count).round(), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
        steps.append((k, rng.integers(0, 64, count).astype(np.uint8)))
        write_residuals(writer, *steps[-1])
    reader = Reader(writer.finish())
    for k, level in steps:
        assert np.array_equal(read_residuals(reader, level), k)
    assert reader.coder.maybe_exhausted()


@pytest.mark.parametrize("scale", [0.5, 50.0, 1e4])
def test_hyper_latents_come_back_within_their_tables_and_beyond(tiny_model, scale):
    coder = HyperSymbols(hyper_tables(tiny_model))
    z = np.random.default_rng(0).normal(0, scale, (30, 8)).round()
    z = np.clip(z, -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
    writer = Writer()
    coder.write(writer, z)
    back = coder.read(Reader(writer.finish()), 30)
    assert back.dtype == np.int32
    assert np.array_equal(back, z)
