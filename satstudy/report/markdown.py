"""Tables as markdown."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from satstudy.report.labels import interval

_NUMBER = re.compile(r"[−+-]?[\d,.]+( \[[^\]]*\])?( \([\d.]+\))?|–|")


def markdown(table: pd.DataFrame, caption: str = "") -> str:
    """A pipe table, with an index that has a name as first column; numbers are set to the right.

    The caption stands before it in italics. The text of cells is escaped where markdown would read it.
    """
    if table.index.name is not None:
        table = table.reset_index()
    columns = [_texts(table.iloc[:, j]) for j in range(table.shape[1])]
    cells = list(zip(*columns, strict=True))
    right = [bool(cells) and all(_NUMBER.fullmatch(row[j]) for row in cells) for j in range(table.shape[1])]
    lines = [
        [_escaped(str(name)) for name in table.columns],
        ["---:" if r else ":---" for r in right],
        *([_escaped(text) for text in row] for row in cells),
    ]
    head = f"*{_escaped(caption)}*\n\n" if caption else ""
    return head + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _texts(column: pd.Series[Any]) -> list[str]:
    """Numbers of a column to as many decimals as four digits of any of them need."""
    if not pd.api.types.is_float_dtype(column):
        return [str(value) for value in column]
    shown = [f"{value:.4g}" for value in column if math.isfinite(value)]
    decimals = max((len(text.partition(".")[2]) for text in shown if "e" not in text), default=0)
    return [interval(float(value), math.nan, math.nan, decimals) for value in column]


def _escaped(text: str) -> str:
    return re.sub(r"([|*_`<\\])", r"\\\1", " ".join(text.split()))
