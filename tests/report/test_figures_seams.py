"""The plots of the blending experiment have a line for each tiling, of the same images."""

import math

import pandas as pd
import pytest
from drawn_figures import agg, image, legend, outside, overlapping, seam_frame, words
from matplotlib.figure import Figure

from satstudy.core.errors import InputError
from satstudy.core.geometry import grid
from satstudy.metrics import seams
from satstudy.report.figures_seams import overlap_ablation, seam_profile

pytestmark = pytest.mark.usefixtures("quiet_figures")


@pytest.mark.parametrize("value", ["gradient", "error"])
def test_the_profile_has_a_line_for_each_tiling_and_the_original(value):
    layout = grid(120, 160, 40, 0)
    frame = pd.concat(
        seams.seam_profile(image(), image(seed=i), layout).assign(tiling=t)
        for i, t in enumerate(("independent", "blend", "seamless"))
    )
    figure = agg(seam_profile(frame, value))
    expected = ["independent", "blend, mean", "seamless"] + ["original"] * (value == "gradient")
    assert legend(figure) == expected
    assert figure.axes[0].get_xlabel().startswith("distance to the nearest seam in px")
    assert "levels of 0–255" in figure.axes[0].get_ylabel()
    assert not outside(figure)
    with pytest.raises(InputError, match="lacks the columns tiling"):
        seam_profile(frame.drop(columns="tiling"))
    with pytest.raises(InputError, match="gradient or error"):
        seam_profile(frame, "bits")


@pytest.mark.parametrize(("reference", "label"), [(None, "PSNR lost"), (math.nan, "PSNR away from seams")])
def test_the_ablation_has_a_panel_for_each_lambda_and_seamless_as_a_line(reference, label):
    frame = seam_frame() if reference is None else seam_frame().assign(psnr_near_reference=reference)
    figure = agg(overlap_ablation(frame))
    assert label in figure.axes[0].get_ylabel()
    assert [ax.get_title() for ax in figure.axes] == ["λ = 0.0018", "λ = 0.013"]
    assert legend(figure) == ["independent", "blend, mean", "blend, ramp", "seamless"]
    for axes in figure.axes:
        assert [t.get_text() for t in axes.texts] == ["8 px", "16 px"]
        assert not overlapping(figure, axes.texts)
        level = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
        assert len(level) == 1
    assert "rate in bpp" in " ".join(words(figure))
    assert not outside(figure)


def test_images_without_a_seam_are_left_out_of_the_ablation():
    frame = seam_frame((0.013,))
    kept = frame[frame["image"] != "i0"]
    frame.loc[frame["image"] == "i0", ["psnr_near", "bpp"]] = math.nan, 99.0
    (axes,), (expected,) = overlap_ablation(frame).axes, overlap_ablation(kept).axes
    drawn, wanted = ([line.get_xydata().tolist() for line in one.lines] for one in (axes, expected))
    assert drawn == wanted
    with pytest.raises(InputError, match="has a seam"):
        overlap_ablation(frame.assign(psnr_near=math.nan))


def test_the_ablation_compares_equal_images_and_reads_a_csv(tmp_path):
    frame = seam_frame()
    with pytest.raises(InputError, match="lacks images"):
        overlap_ablation(frame.iloc[1:])
    frame.assign(weighting=frame["weighting"].replace("none", None)).to_csv(tmp_path / "seams.csv", index=False)
    assert isinstance(overlap_ablation(pd.read_csv(tmp_path / "seams.csv")), Figure)
    with pytest.raises(InputError, match="256, 512 pixels: keep one size"):
        overlap_ablation(pd.concat([frame, frame.assign(patch=512)]))
