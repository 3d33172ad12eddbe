"""satstudy.report.labels: names of codecs and conditions, and numbers with intervals."""

import math

import pytest
from small_tables import CONDITIONS

from satstudy.report import labels


@pytest.mark.parametrize(
    ("value", "low", "high", "digits", "expected"),
    [
        (80.668, 78.14, 83.0, 1, "80.7 [78.1, 83.0]"),
        (-0.04, -1.26, 0.5, 1, "0.0 [−1.3, 0.5]"),
        (5, math.nan, math.nan, 0, "5"),
        (math.nan, 1, 2, 1, "–"),
        (math.inf, math.nan, math.nan, 1, "inf"),
    ],
)
def test_intervals_are_written_for_readers(value, low, high, digits, expected):
    assert labels.interval(value, low, high, digits) == expected


def test_rates_keep_two_digits_where_they_are_small():
    assert [labels.rate(r) for r in (0.67, 1.0, 0.0234, 0.003, 24)] == ["0.67", "1.00", "0.023", "0.003", "24.00"]


def test_ms_ssim_in_decibels():
    assert labels.db(0.99) == pytest.approx(20)
    assert labels.db(1) == math.inf


def test_conditions_of_one_codec_and_rate_are_told_apart_by_their_setting():
    two = CONDITIONS.head(2).assign(bpp=0.5)
    names = labels.condition_labels(two)
    assert list(names.values()) == ["mbt2018 0.50 bpp (lam=0.0018)", "mbt2018 0.50 bpp (lam=0.013)"]


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("jpeg2000", "JPEG 2000"),
        ("jpeg2000-by-lambda", "JPEG 2000, setting chosen by λ"),
        ("mbt2018-natural-refined", "mbt2018 (natural), refined"),
        ("mbt2018-blend", "mbt2018, blend"),
        ("original", "uncompressed"),
        ("seamless", "seamless"),
        ("bpg-fast", "bpg-fast"),
    ],
)
def test_codecs_and_their_variants_are_named_as_in_the_registry(codec, name):
    assert labels.codec_name(codec) == name
