"""The style is that of every figure, leaks nowhere, and needs no colour."""

import math

import pytest
from drawn_figures import agg, image, rd_frame, seam_frame
from matplotlib import pyplot as plt

from satstudy.core.errors import InputError
from satstudy.core.geometry import grid
from satstudy.report import figures_rd, style
from satstudy.report.figures_images import seam_comparison
from satstudy.report.figures_seams import overlap_ablation
from satstudy.report.style import synthetic_note

pytestmark = pytest.mark.usefixtures("quiet_figures")


def test_the_mark_of_synthetic_data_lies_below_everything_else():
    figure = agg(synthetic_note(figures_rd.rate_distortion(rd_frame(), resamples=20)))
    (note,) = figure.texts
    assert note.get_text() == "synthetic scenes"
    renderer = figure.canvas.get_renderer()
    assert note.get_window_extent(renderer).y1 <= figure.axes[0].xaxis.label.get_window_extent(renderer).y0
    pixels = image()
    by_hand = synthetic_note(seam_comparison(pixels, pixels, grid(120, 160, 40, 0), (0, 0, 60)))
    assert by_hand.texts[-1].get_text() == "synthetic scenes"


def test_figures_are_twice_the_width_of_the_page(tmp_path):
    figures_rd.rate_distortion(rd_frame(), resamples=20).savefig(tmp_path / "a.png")
    assert plt.imread(tmp_path / "a.png").shape[1] == 1400


def test_codecs_and_tilings_differ_without_colour():
    for known in (style.CODECS, {k: v for k, v in style.TILINGS.items() if k != "blend"}):
        looks = [(line.marker, str(line.dashes), line.hollow) for line in known.values()]
        assert len(set(looks)) == len(looks)
    assert len({(m, str(d)) for m, d, _ in style.CYCLE}) == len(style.CYCLE)


def test_an_unknown_codec_gets_a_style_of_its_own():
    assert style.line("bpg", style.CODECS, 2).label == "bpg"


def test_a_figure_that_fails_is_closed_too():
    with pytest.raises(InputError):
        overlap_ablation(seam_frame().assign(psnr_near=math.nan))
    assert not plt.get_fignums()
