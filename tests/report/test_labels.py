"""satstudy.report.labels and satstudy.report.markdown: words, numbers and sentences of the pages."""

import math

import pandas as pd
import pytest
from small_tables import CONDITIONS

from satstudy.report import labels
from satstudy.report.paper import paper_table_1, paper_table_2
from satstudy.report.tables import markdown


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
    assert list(names.values()) == ["learned 0.50 bpp (lam=0.0018)", "learned 0.50 bpp (lam=0.013)"]


def test_markdown_aligns_numbers_and_escapes_what_would_break_the_table():
    table = pd.DataFrame({"a|b": ["x|y", "p_q\nr"], "n": [1.5, math.nan], "i": ["−1.0 [−2.0, 0.0] (3.1)", "–"]})
    text = markdown(table, "A *caption*")
    lines = text.splitlines()
    assert lines[0] == r"*A \*caption\**"
    assert lines[2] == r"| a\|b | n | i |"
    assert lines[3] == "| :--- | ---: | ---: |"
    assert lines[4].startswith(r"| x\|y | 1.5 |")
    assert lines[5] == r"| p\_q r | – | – |"
    assert text.endswith("\n")


def test_markdown_keeps_a_named_index_and_equal_decimals():
    text = markdown(paper_table_2())
    assert text.startswith("| validated on | LC 0.02 bpp |")
    assert "| LC 1.07 bpp | 26.90 | 78.81 |" in text
    assert "*" not in markdown(paper_table_1())


def test_an_empty_table_is_a_heading():
    assert markdown(pd.DataFrame(columns=["a"])).splitlines() == ["| a |", "| :--- |"]
