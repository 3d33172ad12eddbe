"""Probability tables: rounded far from ties, close to the float model, and refused where they are damaged."""

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch

from satstudy.codecs.coding.integers import ACTIVATION_BITS, WEIGHT_BITS
from satstudy.codecs.coding.probability import TABLE_BITS, gaussian_frequencies, scale_levels, scale_thresholds
from satstudy.codecs.mbt2018.entropy import EntropyCoder
from satstudy.codecs.mbt2018.prior import check_tables, hyper_tables
from satstudy.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


def erfc(x: Decimal) -> Decimal:
    """1 − erf by its power series; the digits that cancel are among the 60 that are carried."""
    term, total, n = x, x, 0
    while abs(term) > Decimal(10) ** -50:
        n += 1
        term *= -x * x / n
        total += term / (2 * n + 1)
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    return 1 - 2 * total / pi.sqrt()


def exact_levels() -> list[Decimal]:
    low, high = Decimal("0.11"), Decimal(256)
    return [low * ((high / low).ln() * i / 63).exp() for i in range(64)]


def test_gaussian_frequencies_are_rounded_far_from_ties():
    """So far that the last bits of a platform's `erfc`, `exp` and `sqrt` cannot move one."""
    margin = Decimal(2) ** -26  # of one count; double precision errs by less than 2^-28
    with localcontext(prec=60):
        root = Decimal(2).sqrt()
        for table, scale in zip(gaussian_frequencies(), exact_levels(), strict=True):
            n = (len(table) - 2) // 2
            width = 5 * scale - Decimal("1e-6")
            assert n == max(1, math.ceil(width))
            assert margin < width % 1 < 1 - margin
            beyond = [erfc((Decimal(k) - Decimal("0.5")) / (scale * root)) / 2 for k in range(n + 2)]
            masses = [beyond[k] - beyond[k + 1] for k in range(n + 1)] + [2 * beyond[n + 1]]
            for mass, count in zip(masses, (*table[n : 2 * n + 1], table[-1]), strict=True):
                scaled = mass * (1 << TABLE_BITS)
                assert abs(scaled % 1 - Decimal("0.5")) > margin
                assert count == max(1, int(scaled + Decimal("0.5")))
            assert table[:n] == table[2 * n : n : -1]


def test_thresholds_are_rounded_far_from_ties():
    with localcontext(prec=60):
        levels = exact_levels()
        for (a, b), threshold in zip(itertools.pairwise(levels), scale_thresholds(), strict=True):
            exact = (a * b).sqrt() * (1 << (WEIGHT_BITS + ACTIVATION_BITS))
            assert abs(exact % 1 - Decimal("0.5")) > Decimal(2) ** -20
            assert threshold == int(exact + Decimal("0.5"))
        assert all(abs(float(a) / b - 1) < 1e-14 for a, b in zip(levels, scale_levels(), strict=True))


def test_scales_of_compressai_are_the_levels():
    from compressai.models.google import get_scale_table

    assert np.allclose(scale_levels(), np.asarray(get_scale_table()), rtol=1e-6)


def test_the_prior_of_z_follows_the_float_one(tiny_model):
    tables = hyper_tables(tiny_model)
    bottleneck = tiny_model.entropy_bottleneck
    for channel in range(8):
        start, n = int(tables["z_start"][channel]), int(tables["z_length"][channel])
        values = torch.zeros(8, 1, n)
        values[channel, 0] = torch.arange(start, start + n) + tables["z_median"][channel] / 64
        expected = bottleneck._likelihood(values)[0][channel, 0].detach().double()
        frequencies = tables["z_frequencies"][channel].double()
        total = frequencies.sum()
        assert torch.allclose(frequencies[:n] / total, expected, atol=1e-4 * float(expected.max()) + 2e-6)
        assert (frequencies[n:-1] == 0).all()
        assert frequencies[-1] >= 1
        assert (frequencies[:n] >= 1).all()
        assert abs(float(total) / (1 << TABLE_BITS) - 1) < 1e-3


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t.pop("z_median"),
        lambda t: t.update(z_frequencies=t["z_frequencies"][:-1]),
        lambda t: t.update(z_frequencies=t["z_frequencies"][0]),
        lambda t: t.update(z_frequencies=-t["z_frequencies"]),
        lambda t: t.update(z_frequencies=t["z_frequencies"] * 0 + (1 << 24)),
        lambda t: t.update(z_frequencies=t["z_frequencies"].float() * float("nan")),
        lambda t: t.update(z_frequencies=t["z_frequencies"].double()),
        lambda t: t.update(z_frequencies=torch.ones(8, 2000, dtype=torch.int32)),
        lambda t: t.update(z_length=t["z_length"] + 1000),
        lambda t: t.update(z_length=t["z_length"] * 0),
        lambda t: t.update(z_length=t["z_length"].float()),
        lambda t: t.update(z_start=t["z_start"] - (1 << 20)),
        lambda t: t.update(z_median=t["z_median"] + (1 << 20)),
        lambda t: t.update(z_median=t["z_median"][:3]),
        lambda t: t.update(z_median=None),
    ],
)
def test_damaged_tables_are_refused(tiny_model, damage):
    tables = dict(hyper_tables(tiny_model))
    check_tables(tables, 8)
    damage(tables)
    with pytest.raises(InputError, match="tables"):
        check_tables(tables, 8)
    with pytest.raises(InputError, match="tables"):
        EntropyCoder(tiny_model, tables)
