"""The matrix of accuracies says what its frames say, and what the paper says beside it."""

import math

import pandas as pd
import pytest
from small_tables import CONDITIONS

from satstudy.core.errors import InputError
from satstudy.report import paper
from satstudy.report.tables import sufficient_table, table_2

MATRIX = pd.DataFrame(
    [
        ("high", "low", 0.25, 0.2, 0.3),
        ("high", "high", 0.80668, 0.7814, 0.83),
        ("jpeg", "webp", 0.5, math.nan, math.nan),
    ],
    columns=["trained_on", "validated_on", "accuracy", "low", "high"],
)


def test_table_2_has_intervals_and_the_papers_number_at_the_same_rate():
    table = table_2(MATRIX, CONDITIONS)
    assert list(table.columns) == ["mbt2018 0.70 bpp (paper: LC 0.67 bpp)", "JPEG 0.80 bpp (paper: JPEG 0.77 bpp)"]
    low, high, webp = table.index
    assert (low, webp) == ("mbt2018 0.023 bpp (paper: LC 0.02 bpp)", "WebP 0.50 bpp")
    assert table.loc[high, table.columns[0]] == "80.7 [78.1, 83.0] (80.67)"
    assert table.loc[low, table.columns[0]] == "25.0 [20.0, 30.0] (27.12)"
    assert table.loc[low, table.columns[1]] == "–"  # not measured: the paper's number alone would mislead
    assert table.loc[webp, table.columns[1]] == "50.0"  # no interval, and no such codec in the paper


def test_a_rate_that_is_not_the_papers_has_no_counterpart():
    other = CONDITIONS.assign(bpp=CONDITIONS["bpp"].where(CONDITIONS["condition"] != "low", 0.026))
    table = table_2(MATRIX, other)
    assert table.index[0] == "mbt2018 0.026 bpp", "0.02 is further off than a factor of 1.25"
    assert table.iloc[0, 0] == "25.0 [20.0, 30.0]"
    assert paper.counterpart("jpeg", 0.77 * 1.249).name == "JPEG 0.77 bpp"
    assert paper.counterpart("jpeg", 0.77 * 1.26) is None
    assert paper.counterpart("jpeg", 1.0) is None, "neither 0.77 nor 1.55"
    assert paper.counterpart("avif", 0.77) is None


def test_a_matrix_by_seed_is_averaged_and_has_no_interval():
    by_seed = pd.DataFrame(
        [("high", "high", 0, 0.8), ("high", "high", 1, 0.7)], columns=["trained_on", "validated_on", "seed", "accuracy"]
    )
    assert table_2(by_seed, CONDITIONS).iloc[0, 0] == "75.0 (80.67)"


def test_uncompressed_images_stand_beside_the_papers_uncompressed_row():
    raw = pd.DataFrame([("jpeg", "raw", 0.9)], columns=["trained_on", "validated_on", "accuracy"])
    for bpp in (24.0, math.nan):
        conditions = CONDITIONS.assign(bpp=CONDITIONS["bpp"].where(CONDITIONS["condition"] != "raw", bpp))
        assert table_2(raw, conditions).iloc[0, 0] == "90.0 (91.29)"


def test_table_2_says_what_is_missing():
    with pytest.raises(InputError, match="does not describe webp"):
        table_2(MATRIX, CONDITIONS[CONDITIONS["condition"] != "webp"])
    with pytest.raises(InputError, match="no rows"):
        table_2(MATRIX.head(0), CONDITIONS)
    with pytest.raises(InputError, match="stands twice"):
        table_2(MATRIX, pd.concat([CONDITIONS, CONDITIONS.head(1)]))


def test_rates_that_suffice_stand_side_by_side():
    rates = pd.DataFrame({"codec": ["jpeg", "avif", "jpeg"], "trained": ["original", "original", "matched"],
                          "bpp": [1.2, math.inf, 0.5], "low": [1.0, 0.9, 0.4], "high": [math.inf, math.inf, 0.6],
                          "highest": [2.3, 1.6, 2.3]})  # fmt: skip
    table = sufficient_table(rates)
    assert list(table.columns) == ["codec", "trained on uncompressed images", "trained on the same coding"]
    assert table.iloc[0].tolist() == ["JPEG", "1.20 [1.00, > 2.30]", "0.50 [0.40, 0.60]"]
    assert table.iloc[1].tolist()[:2] == ["AVIF", "> 1.60 [0.90, > 1.60]"]
