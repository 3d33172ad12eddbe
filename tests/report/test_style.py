"""The style is that of every figure, leaks nowhere, and needs no colour."""

import math

import pytest
from drawn_figures import rd_frame, seam_frame
from matplotlib import colors
from matplotlib import pyplot as plt

from satstudy.codecs import registry
from satstudy.core.errors import InputError
from satstudy.report import figures_rd, style
from satstudy.report.figures_seams import overlap_ablation

pytestmark = pytest.mark.usefixtures("quiet_figures")


def test_figures_are_twice_the_width_of_the_page(tmp_path):
    figures_rd.rate_distortion(rd_frame(), resamples=20).savefig(tmp_path / "a.png")
    assert plt.imread(tmp_path / "a.png").shape[1] == 1400


def test_codecs_and_tilings_differ_without_colour():
    codecs = style.codec_lines([*registry.names(), "bpg", "vvc"])
    tilings = {name: line for name, line in style.TILING_LINES.items() if name != "blend"}
    for lines in (codecs, tilings):
        looks = {(line.look.marker, str(line.look.dashes), line.look.hollow) for line in lines.values()}
        assert len(looks) == len(lines)
        assert all(colors.is_color_like(line.colour) for line in lines.values())
    assert len({(look.marker, str(look.dashes)) for look in style.CYCLE}) == len(style.CYCLE)


def test_codecs_stand_in_the_order_of_the_registry_and_unknown_ones_behind_them():
    lines = style.codec_lines(["zzz", "mbt2018", "bpg", "jpeg", "jpeg"])
    assert list(lines) == ["jpeg", "mbt2018", "bpg", "zzz"]
    assert lines["bpg"].label == "bpg"
    assert lines["bpg"].look != lines["zzz"].look


def test_a_figure_that_fails_is_closed_too():
    with pytest.raises(InputError):
        overlap_ablation(seam_frame().assign(psnr_near=math.nan))
    assert not plt.get_fignums()
