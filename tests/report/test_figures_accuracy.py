"""Matrices and differences of accuracy are readable in every cell."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from drawn_figures import agg, outside, overlapping, words
from small_tables import CONDITIONS

from satstudy.core.errors import InputError
from satstudy.report.figures_accuracy import accuracy_difference, accuracy_heatmap, readable_on

pytestmark = pytest.mark.usefixtures("quiet_figures")


def matrix(trained=("low", "jpeg"), validated=("low", "jpeg", "raw")):
    rows = [(t, v, 0.9 if t == v else 0.2) for t in trained for v in validated]
    frame = pd.DataFrame(rows, columns=["trained_on", "validated_on", "accuracy"])
    return frame.assign(low=frame["accuracy"] - 0.03, high=frame["accuracy"] + 0.02)


def test_the_heat_map_has_columns_trained_rows_validated_and_half_intervals():
    figure = agg(accuracy_heatmap(matrix(), CONDITIONS))
    axes, bar = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("trained on", "validated on", "accuracy in %")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["learned\n0.023 bpp", "JPEG\n0.80 bpp"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["learned 0.023 bpp", "JPEG 0.80 bpp", "uncompressed"]
    assert [t.get_text() for t in axes.texts][:2] == ["90.0\n±2.5", "20.0\n±2.5"]
    assert [t.get_color() for t in axes.texts][:2] == ["black", "white"]
    assert not overlapping(figure, axes.get_xticklabels())
    assert not outside(figure)


def test_a_heat_map_of_many_conditions_and_missing_cells_is_readable():
    names = [f"c{i}" for i in range(8)]
    conditions = pd.DataFrame(
        {"condition": names, "codec": "learned-natural", "setting": "s", "bpp": np.arange(8) + 0.5}
    )
    frame = matrix(names, names).iloc[1:]
    figure = agg(accuracy_heatmap(frame, conditions))
    assert len(figure.axes[0].texts) == 63
    assert not overlapping(figure, figure.axes[0].texts)
    assert not outside(figure)


def test_a_matrix_without_intervals_shows_percent_alone():
    figure = accuracy_heatmap(matrix().drop(columns=["low", "high"]), CONDITIONS)
    assert figure.axes[0].texts[0].get_text() == "90.0"


def test_text_has_contrast_on_every_cell():
    def luminance(colour):
        return sum(
            w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), colour[:3], strict=True)
        )

    for v in np.linspace(0, 1, 101):
        cell = luminance(mpl.colormaps["cividis"](v)) + 0.05
        text = 1.05 if readable_on(mpl.colormaps["cividis"](v)) == "white" else 0.05
        assert max(cell, text) / min(cell, text) >= 4.5  # WCAG 2.2, 1.4.3


def test_accuracy_says_what_is_missing():
    with pytest.raises(InputError, match="no rows"):
        accuracy_heatmap(matrix().head(0), CONDITIONS)
    with pytest.raises(InputError, match="does not describe raw"):
        accuracy_heatmap(matrix(), CONDITIONS[CONDITIONS["condition"] != "raw"])


def test_differences_are_in_percentage_points():
    frame = matrix().assign(effect=0.05, low=-0.01, high=0.11)
    figure = agg(accuracy_difference(frame, CONDITIONS, "gain by leakage"))
    assert figure.axes[0].get_xlabel() == "gain by leakage in percentage points"
    assert "5.0 [−1.0, 11.0]" in words(figure)
    assert not outside(figure)
