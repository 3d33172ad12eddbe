"""A check of the data frames that wings pass to each other."""

from __future__ import annotations

import pandas as pd

from satstudy.core.errors import InputError


def require(frame: pd.DataFrame, columns: tuple[str, ...], what: str, remedy: str) -> None:
    """Raise InputError where `frame` lacks a column or has no row."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(f"{what} lacks the columns {', '.join(missing)}: {remedy}.")
    if frame.empty:
        raise InputError(f"{what} has no rows: {remedy}.")
