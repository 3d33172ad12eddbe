"""`metrics.csv` of a training: what it logged, without what it will log again after an interruption."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from satstudy.core.paths import atomic

CSV_FIELDS = ("step", "split", "loss", "bpp", "psnr", "lr", "seconds")


def append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows, with a header where the file is new."""
    if not rows:
        return
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, CSV_FIELDS)
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


def forget_after(path: Path, step: int) -> None:
    """Drop what an interrupted run logged after its last saved state, at `step`."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        # A row cut short by a kill belongs to a step after the saved state, whatever its digits say.
        whole = (row for row in csv.DictReader(file) if None not in row.values() and row["step"].isdigit())
        rows = [row for row in whole if int(row["step"]) <= step]
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, CSV_FIELDS)
        writer.writeheader()
        writer.writerows(rows)
