"""Matrices and differences of accuracy are readable in every cell."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from drawn_figures import agg, legend, outside, overlapping, words
from small_tables import CONDITIONS

from satstudy.core.errors import InputError
from satstudy.report.figures_accuracy import (
    accuracy_curves,
    accuracy_heatmap,
    class_heatmap,
    confusion_by_rate,
    ranking,
    readable_on,
)

pytestmark = pytest.mark.usefixtures("quiet_figures")


def matrix(trained=("low", "jpeg"), validated=("low", "jpeg", "raw")):
    rows = [(t, v, 0.9 if t == v else 0.2) for t in trained for v in validated]
    frame = pd.DataFrame(rows, columns=["trained_on", "validated_on", "accuracy"])
    return frame.assign(low=frame["accuracy"] - 0.03, high=frame["accuracy"] + 0.02)


def test_the_heat_map_has_columns_trained_rows_validated_and_half_intervals():
    figure = agg(accuracy_heatmap(matrix(), CONDITIONS))
    axes, bar = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("trained on", "validated on", "accuracy in %")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["mbt2018\n0.023 bpp", "JPEG\n0.80 bpp"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["mbt2018 0.023 bpp", "JPEG 0.80 bpp", "uncompressed"]
    assert [t.get_text() for t in axes.texts][:2] == ["90.0\n±2.5\n(77.8)", "20.0\n±2.5\n(12.9)"], "and the paper's"
    assert [t.get_color() for t in axes.texts][:2] == ["black", "white"]
    assert not overlapping(figure, axes.get_xticklabels())
    assert not outside(figure)


def test_a_heat_map_of_many_conditions_and_missing_cells_is_readable():
    names = [f"c{i}" for i in range(8)]
    conditions = pd.DataFrame(
        {"condition": names, "codec": "mbt2018-natural", "setting": "s", "bpp": np.arange(8) + 0.5}
    )
    frame = matrix(names, names).iloc[1:]
    figure = agg(accuracy_heatmap(frame, conditions))
    assert len(figure.axes[0].texts) == 63
    assert not overlapping(figure, figure.axes[0].texts)
    assert not outside(figure)


def test_a_matrix_without_intervals_shows_percent_alone():
    others = CONDITIONS.assign(bpp=CONDITIONS["bpp"].where(CONDITIONS["codec"] != "mbt2018", 0.3))
    figure = accuracy_heatmap(matrix().drop(columns=["low", "high"]), others.drop_duplicates("condition"))
    assert figure.axes[0].texts[0].get_text() == "90.0", "nor has the paper such a rate"


def confused(classes):
    cells = [("raw", name, label, other, 0.8 if label == other else 0.2 / (len(classes) - 1))
             for name in CONDITIONS["condition"] for label in classes for other in classes]  # fmt: skip
    return pd.DataFrame(cells, columns=["trained_on", "validated_on", "label", "predicted", "share"])


@pytest.mark.parametrize(("count", "numbers"), [(3, True), (21, False)])
def test_confusion_is_shown_for_falling_rates_of_the_learned_codec(count, numbers):
    classes = [f"parking_lot_{i:02}" for i in range(count)]
    figure = agg(confusion_by_rate(confused(classes), CONDITIONS))
    *maps, _ = figure.axes
    titles = [axes.get_title() for axes in maps if axes.get_visible()]
    assert titles == ["uncompressed", "mbt2018 0.70 bpp", "mbt2018 0.023 bpp"], "nothing of JPEG"
    assert bool(maps[0].texts) == numbers
    if numbers:
        assert maps[0].texts[0].get_text() == "80"
    assert [t.get_text() for t in maps[0].get_yticklabels()] == [name.replace("_", " ") for name in classes]
    assert not overlapping(figure, maps[0].get_yticklabels())
    assert not outside(figure)


def test_confusion_is_shown_of_the_codec_that_was_measured_at_most_rates():
    one = pd.DataFrame({"condition": ["other"], "codec": "learned", "setting": "lam=0.02", "bpp": 0.8})
    classes = confused("ab")
    both = pd.concat([classes, classes.assign(validated_on="other")])
    *maps, _ = confusion_by_rate(both, pd.concat([CONDITIONS, one])).axes
    titles = [axes.get_title() for axes in maps if axes.get_visible()]
    assert titles == ["uncompressed", "mbt2018 0.70 bpp", "mbt2018 0.023 bpp"]


def test_confusion_without_a_condition_to_show_is_refused():
    with pytest.raises(InputError, match="No condition of a learned codec"):
        confusion_by_rate(confused("ab").assign(validated_on="other"), CONDITIONS)


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


# --- Curves, rankings and classes -------------------------------------------------------------------------


def curves():
    rows = [
        (codec, bpp, trained, 0.5 + 0.1 * i + (0.2 if trained == "matched" else 0))
        for codec in ("jpeg", "mbt2018")
        for i, bpp in enumerate((0.1, 0.4, 1.6))
        for trained in ("original", "matched")
    ]
    frame = pd.DataFrame([*rows, ("original", 24.0, "original", 0.95)], columns=["codec", "bpp", "trained", "accuracy"])
    return frame.assign(low=frame["accuracy"] - 0.05, high=frame["accuracy"] + 0.04)


def test_curves_have_a_line_and_a_band_for_each_codec_and_the_uncompressed_accuracy():
    figure = agg(accuracy_curves(curves()))
    left, right = figure.axes
    assert legend(figure) == ["JPEG", "mbt2018"]
    assert left.lines[0].get_ydata() == pytest.approx([50, 60, 70])
    assert right.lines[0].get_ydata() == pytest.approx([70, 80, 90])
    assert len(left.collections) == 2
    assert left.lines[-1].get_ydata() == [95, 95]
    assert left.get_xscale() == "log"
    assert not outside(figure)


def test_a_ranking_has_its_rows_in_order_with_numbers():
    table = pd.DataFrame({"distance": [0.2, 0.5], "low": [0.1, 0.4], "high": [0.3, 0.6]})
    figure = agg(ranking(table, ["swapped", "as they are"], "distance", "distance", 2))
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["swapped", "as they are"]
    assert "0.20 [0.10, 0.30]" in words(figure)
    assert not outside(figure)


def test_classes_that_lose_most_stand_at_the_top():
    rows = [("low", v, label, share) for label, of in {"dam": (0.9, 0.8, 0.1), "port": (0.7, 0.6, 0.6)}.items()
            for v, share in zip(("low", "jpeg", "raw"), of, strict=True)]  # fmt: skip
    classes = pd.DataFrame(rows, columns=["trained_on", "validated_on", "label", "accuracy"])
    figure = agg(class_heatmap(classes, CONDITIONS, "low"))
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["dam", "port"]
    assert [t.get_text() for t in axes.texts][:3] == ["90", "80", "10"]
    assert not outside(figure)
    with pytest.raises(InputError, match="was trained on webp"):
        class_heatmap(classes, CONDITIONS, "webp")
