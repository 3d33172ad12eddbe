"""satstudy.codecs.wavelet.tables: tables counted on images, stored as integers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs.coding.probability import LEVELS, TABLE_BITS, gaussian_frequencies, gaussian_tables
from satstudy.codecs.coding.range_coder import Reader, Writer, read_residuals, write_residuals
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.wavelet.coder import WaveletCoder
from satstudy.codecs.wavelet.config import LAM_MAX, LAM_MIN, lam_index, lam_of
from satstudy.codecs.wavelet.model import condition
from satstudy.codecs.wavelet.tables import (
    GROUPS,
    RATES,
    RESIDUALS,
    add_counts,
    costs,
    fitted,
    no_counts,
    rates,
    residual_tables,
)
from satstudy.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
#: A scale of about one step, whose Gaussian table reaches ±6.
UNIT_SCALE = 18
#: Of λ.
INDEX = 0


def drawn(shape, table, seed=0, size=20_000):
    """Residuals of a Laplace distribution, all with one table."""
    k = np.round(np.random.default_rng(seed).laplace(0, shape, size)).astype(np.int32)
    return k, np.full(size, table, np.uint8)


def counted(*pairs):
    counts = no_counts()
    for k, tables in pairs:
        add_counts(counts, INDEX, k, tables)
    return counts


def test_without_counts_tables_are_gaussian():
    for tables in (residual_tables({}, INDEX), residual_tables(fitted(no_counts()), INDEX)):
        assert len(tables) == GROUPS * LEVELS
        for i, table in enumerate(tables.frequencies):
            own, gaussian = (np.array(t, float) / sum(t) for t in (table, gaussian_frequencies()[i % LEVELS]))
            assert own == pytest.approx(gaussian, abs=2.0 ** (2 - TABLE_BITS))


def test_counted_tables_follow_what_was_counted_and_others_stay_near():
    k, tables = drawn(0.5, UNIT_SCALE)
    found = residual_tables(fitted(counted((k, tables))), INDEX)
    shares = np.bincount(np.abs(k), minlength=8)[:4] / len(k)
    own = np.array(found.frequencies[UNIT_SCALE], float) / sum(found.frequencies[UNIT_SCALE])
    n = found.half_widths[UNIT_SCALE]
    assert own[n] == pytest.approx(shares[0], abs=0.02)
    assert [own[n + i] + own[n - i] for i in (1, 2, 3)] == pytest.approx(shares[1:], abs=0.02)
    assert list(own[:n]) == list(own[n + 1 : 2 * n + 1][::-1])
    # Another group at this scale has no counts of its own: it follows those of all.
    other = np.array(found.frequencies[2 * LEVELS + UNIT_SCALE], float)
    assert other / other.sum() == pytest.approx(own, abs=0.02)
    # So do the tables of another range of λ.
    elsewhere = np.array(residual_tables(fitted(counted((k, tables))), 200).frequencies[UNIT_SCALE], float)
    assert elsewhere / elsewhere.sum() == pytest.approx(own, abs=0.02)
    untouched = np.array(found.frequencies[UNIT_SCALE + 5], float)
    gaussian = np.array(gaussian_frequencies()[UNIT_SCALE + 5], float)
    assert untouched / untouched.sum() == pytest.approx(gaussian / gaussian.sum(), abs=1e-5)


def test_each_range_of_lam_has_its_own_counts():
    k, tables = drawn(0.5, UNIT_SCALE)
    counts = no_counts()
    for index in (-400, 200):
        add_counts(counts, index, k * (index > 0), tables)
    low, high = (residual_tables(fitted(counts), index) for index in (-400, 200))
    n = low.half_widths[UNIT_SCALE]
    zero = [t.frequencies[UNIT_SCALE][n] / sum(t.frequencies[UNIT_SCALE]) for t in (low, high)]
    assert zero[0] > 0.98
    assert zero[1] == pytest.approx((k == 0).mean(), abs=0.02)
    used = [rates(index) for index in range(lam_index(LAM_MIN), lam_index(LAM_MAX) + 1)]
    assert used == sorted(used)
    assert set(used) == set(range(RATES))


def test_a_stream_takes_the_entropy_of_its_counts():
    k, tables = drawn(0.4, UNIT_SCALE + LEVELS)
    found = residual_tables(fitted(counted((k, tables))), INDEX)
    lengths = []
    for use in (found, None):
        writer = Writer()
        write_residuals(writer, k, tables if use else tables % LEVELS, use)
        lengths.append(8 * len(writer.finish()))
    _, counts = np.unique(k, return_counts=True)
    entropy = -(counts * np.log2(counts / len(k))).sum()
    assert lengths[0] == pytest.approx(entropy, rel=0.01)
    assert lengths[1] > 1.1 * entropy


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(-40_000, 40_000), st.integers(1, GROUPS * LEVELS - 1)), max_size=50))
def test_what_is_written_is_read_and_costs_what_is_said(pairs):
    k, tables = np.array(pairs, np.int64).reshape(-1, 2).T
    k, tables = k.astype(np.int32), tables.astype(np.uint8)
    found = residual_tables(fitted(counted(drawn(1, 20), drawn(3, 90, 1))), INDEX)
    writer = Writer()
    write_residuals(writer, k, tables, found)
    data = writer.finish()
    assert np.array_equal(read_residuals(Reader(data), tables, found), k)
    price = costs(found)
    inside = np.abs(k) < price.shape[1]
    if inside.all() and (tables % LEVELS > 0).all():
        bits = float(price[tables.astype(int), np.abs(k)].double().sum())
        assert 8 * len(data) <= bits + 64


def test_costs_are_the_logarithms_of_the_frequencies():
    price = costs(residual_tables({}, INDEX))
    table = gaussian_tables().frequencies[UNIT_SCALE]
    n = gaussian_tables().half_widths[UNIT_SCALE]
    for row in range(UNIT_SCALE, len(price), LEVELS):
        assert price[row, 2] == pytest.approx(-np.log2(table[n + 2] / sum(table)), rel=1e-6)
    assert torch.isinf(price[::LEVELS, 1:]).all()
    assert torch.isfinite(price[1:LEVELS]).all()


def bands_of(model, image, index):
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return model.decompose(x, condition(torch.tensor([lam_of(index)], dtype=torch.float32)))


def test_files_with_counted_tables_are_shorter_and_need_these_tables(trained_wavelet, picture, tmp_path):
    image, index = picture(128, 128), 64
    plain = WaveletCoder(trained_wavelet)
    bands = bands_of(trained_wavelet, image, index)
    tables = fitted(plain.count([bands], index) * 8)
    checkpoint.save(tmp_path / "a.safetensors", trained_wavelet, {"lam": "0.01"}, tables, half=True)
    checkpoint.save(tmp_path / "b.safetensors", trained_wavelet, {"lam": "0.01"}, half=True)
    with_tables, without = (checkpoint.load(tmp_path / f"{name}.safetensors") for name in "ab")
    assert torch.equal(with_tables.tables[RESIDUALS], tables[RESIDUALS])
    assert without.tables == {}
    assert with_tables.fingerprint != without.fingerprint
    coder = WaveletCoder(trained_wavelet, tables)
    (short, decoded), (long, _) = (c.encode([bands], index) for c in (coder, plain))
    assert len(short) < len(long)
    again = coder.decode(short, [(8, 8)], index)[0]
    assert torch.equal(again.low, decoded[0].low)
    assert all(torch.equal(a, b) for a, b in zip(again.details, decoded[0].details, strict=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"other": torch.ones(3, dtype=torch.int32)},
        {RESIDUALS: torch.ones(RATES, GROUPS, 7, dtype=torch.int32)},
        {RESIDUALS: fitted(no_counts())[RESIDUALS][0]},
        {RESIDUALS: fitted(no_counts())[RESIDUALS].long()},
        {RESIDUALS: fitted(no_counts())[RESIDUALS] * 0},
        {RESIDUALS: fitted(no_counts())[RESIDUALS] + (1 << TABLE_BITS)},
    ],
)
def test_tables_that_do_not_fit_are_refused(wrong, small_wavelet):
    with pytest.raises(InputError, match="fetch them again"):
        WaveletCoder(small_wavelet, wrong)
