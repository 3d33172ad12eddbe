"""The train × validate matrix as a table, beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from satstudy.report.labels import condition_labels, interval, matrix_cells
from satstudy.report.paper import TABLE_2_TRAINED, TABLE_2_VALIDATED, Reported, paper_table_2


def _nearest(conditions: pd.DataFrame, known: Sequence[Reported]) -> dict[str, Reported]:
    """Condition → the paper's of the same codec at the nearest rate, in log; none where the paper has no such codec."""
    found = {}
    for row in conditions.to_dict("records"):
        alike = [r for r in known if r.codec == row["codec"]]
        if alike:
            bpp = row["bpp"] if row["codec"] != "original" else 24.0
            found[row["condition"]] = min(alike, key=lambda r, b=bpp: abs(math.log(r.bpp / b)))  # type: ignore[misc]
    return found


def table_2(matrix: pd.DataFrame, conditions: pd.DataFrame, *, paper: bool = True) -> pd.DataFrame:
    """Accuracy in % with intervals, columns trained on, rows validated on, beside the paper's Table 2.

    The paper's number stands in brackets: "80.7 [78.1, 83.0] (80.67)". It is that of the same codec at the
    nearest rate, which the heading names; its data, classes and network are others.

    Parameters
    ----------
    matrix, conditions : as `labels.matrix_cells` takes them
    paper : False leaves the paper's numbers out
    """
    cells, names = matrix_cells(matrix, conditions), condition_labels(conditions)
    accuracy, low, high = cells["accuracy"], cells["low"], cells["high"]
    reported = paper_table_2()
    rows = _nearest(conditions, TABLE_2_VALIDATED) if paper else {}
    columns = _nearest(conditions, TABLE_2_TRAINED) if paper else {}

    def heading(condition: str, of_paper: dict[str, Reported]) -> str:
        match = of_paper.get(condition)
        same = match is None or match.codec == "original"
        return names[condition] if match is None or same else f"{names[condition]} (paper: {match.name})"

    def cell(validated: str, trained: str) -> str:
        value, *bounds = (part[trained].to_dict()[validated] for part in (accuracy, low, high))
        text = interval(value, bounds[0], bounds[1])
        if validated in rows and trained in columns and text != "–":
            text += f" ({reported[columns[trained].name].to_dict()[rows[validated].name]:.2f})"
        return text

    return pd.DataFrame(
        [[cell(v, t) for t in accuracy.columns] for v in accuracy.index],
        index=pd.Index([heading(v, rows) for v in accuracy.index], name="validated on"),
        columns=pd.Index([heading(t, columns) for t in accuracy.columns], name="trained on"),
    )
