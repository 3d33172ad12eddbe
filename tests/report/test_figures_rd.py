"""Every figure is drawn from a small frame, says what its axes are, and needs no colour to be read."""

import math

import numpy as np
import pandas as pd
import pytest
from drawn_figures import agg, legend, outside, overlapping, rd_frame, words
from matplotlib.figure import Figure
from measured_frames import frame_of

from satstudy.core.errors import InputError
from satstudy.metrics import bd_rate
from satstudy.report import figures_rd

pytestmark = pytest.mark.usefixtures("quiet_figures")


def metrics_frame():
    steps = np.arange(20, 220, 20)
    parts = [pd.DataFrame({"step": steps, "split": split, "loss": 2 + 9 / steps}) for split in ("train", "validation")]
    return pd.concat(parts).assign(bpp=0.5, psnr=30.0, lr=1e-3, seconds=1.0)


def test_loss_curves_are_strong_for_validation_and_faint_for_training():
    figure = agg(figures_rd.loss_curves({"λ = 0.0018": metrics_frame(), "λ = 0.013": metrics_frame()}))
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss λ·255²·MSE + bpp", "rate in bpp", "PSNR in dB"]
    assert figure.axes[-1].get_xlabel() == "step of the optimizer"
    assert legend(figure) == ["λ = 0.0018", "λ = 0.013", "training crops (faint)"]
    faint, strong, other, _ = figure.axes[2].lines
    assert faint.get_alpha() < 0.5
    assert strong.get_alpha() is None
    assert other.get_alpha() < 0.5
    assert not outside(figure)


def test_loss_curves_without_validation_or_without_data():
    training = metrics_frame().query("split == 'train'")
    assert isinstance(figures_rd.loss_curves({"λ": training}), Figure)
    with pytest.raises(InputError, match="no training"):
        figures_rd.loss_curves({})
    with pytest.raises(InputError, match="metrics of λ lacks the columns psnr"):
        figures_rd.loss_curves({"λ": metrics_frame().drop(columns="psnr")})


@pytest.mark.parametrize("log", [False, True])
def test_rate_distortion_has_a_curve_a_band_and_a_marker_for_each_codec(log):
    figure = agg(figures_rd.rate_distortion(rd_frame(), log=log, resamples=50))
    (axes,) = figure.axes
    assert axes.get_xlabel().startswith("rate in bpp")
    assert axes.get_ylabel() == "PSNR in dB"
    assert axes.get_xscale() == ("log" if log else "linear")
    assert legend(figure) == ["JPEG", "JPEG 2000", "WebP", "AVIF", "mbt2018", "mbt2018 (natural)"]
    assert len(axes.lines) == len(axes.collections) == 6
    assert all(len(line.get_xdata()) == 4 for line in axes.lines)
    # Told apart without colour, by marker, dashes and filling together.
    looks = {
        (curve.get_marker(), str(curve._unscaled_dash_pattern), curve.get_markerfacecolor() == "white")
        for curve in axes.lines
    }
    assert len(looks) == 6
    assert not outside(figure)


def test_the_curve_is_the_mean_and_the_band_holds_it():
    frame = rd_frame(codecs=("jpeg",))
    (axes,) = figures_rd.rate_distortion(frame, resamples=200).axes
    means = frame.groupby("setting")["psnr"].mean().to_numpy()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), means)
    band = axes.collections[0].get_paths()[0].vertices
    for rate, psnr in zip(axes.lines[0].get_xdata(), means, strict=True):
        at = band[np.isclose(band[:, 0], rate), 1]
        assert at.min() < psnr < at.max()


def test_a_band_forgives_what_moves_along_the_curve():
    # All images lie on one curve, at other rates for each: whichever are drawn, the curve is the same.
    rng = np.random.default_rng(0)
    rates = 0.1 * 2.0 ** np.arange(5) * np.exp(rng.normal(0, 0.2, (8, 1)))
    rows = [
        {"image": f"i{i}", "codec": "x", "setting": f"{k}", "bpp": r, "psnr": 30 + 4 * np.log2(r), "ms_ssim": 0.9}
        for i, line in enumerate(rates)
        for k, r in enumerate(line)
    ]
    (axes,) = figures_rd.rate_distortion(pd.DataFrame(rows), resamples=200).axes
    band = axes.collections[0].get_paths()[0].vertices
    spread = [np.ptp(band[np.isclose(band[:, 0], r), 1]) for r in axes.lines[0].get_xdata()]
    assert max(spread) < 0.2  # of the ±0.8 dB that the images differ by


def test_ms_ssim_is_in_decibels_and_needs_large_images():
    figure = figures_rd.rate_distortion(rd_frame(), "ms_ssim", resamples=20)
    assert figure.axes[0].get_ylabel().startswith("MS-SSIM in dB")
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(-10 * math.log10(0.2))
    with pytest.raises(InputError, match="too small for MS-SSIM"):
        figures_rd.rate_distortion(rd_frame().assign(ms_ssim=math.nan), "ms_ssim")


def test_a_single_image_and_a_single_setting_make_a_curve_without_a_band():
    frame = rd_frame(images=1).query("setting == 'q=0'")
    assert len(figures_rd.rate_distortion(frame).axes[0].lines) == 6


def test_images_of_one_object_widen_the_band():
    frame, objects = rd_frame(images=8, codecs=("jpeg",)), {f"i{i}": i // 2 for i in range(8)}

    def width(**options):
        band = (
            figures_rd.rate_distortion(frame, resamples=300, **options).axes[0].collections[0].get_paths()[0].vertices
        )
        return np.ptp(band[np.isclose(band[:, 0], 0.05), 1])

    assert width() > 0
    assert width(objects=objects) != width()


def test_rate_distortion_says_what_is_missing():
    with pytest.raises(InputError, match="no rows"):
        figures_rd.rate_distortion(rd_frame().head(0))
    with pytest.raises(InputError, match="equal images only"):
        figures_rd.rate_distortion(rd_frame().iloc[1:])
    with pytest.raises(InputError, match="psnr or ms_ssim"):
        figures_rd.rate_distortion(rd_frame(), "ssim")


def test_bd_rate_bars_have_whiskers_numbers_and_codecs_without_a_number():
    table = bd_rate.bd_rates(rd_frame(), resamples=50)
    table.loc[table["codec"] == "webp", ["bd_rate", "low", "high"]] = math.nan
    figure = agg(figures_rd.bd_rate_bars(table))
    (axes,) = figure.axes
    assert "BD-rate of images against JPEG 2000 in %" in axes.get_xlabel()
    assert len(axes.patches) == 4
    assert len(axes.containers) >= 4
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[-1] == "WebP"
    assert "too little PSNR in common" in words(figure)
    assert not outside(figure)
    with pytest.raises(InputError, match="lacks the columns low"):
        figures_rd.bd_rate_bars(table.drop(columns="low"))


def test_categories_are_sorted_by_what_learned_coding_saves():
    table = bd_rate.by_category(rd_frame(), resamples=20)
    figure = agg(figures_rd.rate_by_category(table, "mbt2018"))
    (axes,) = figure.axes
    assert axes.get_xlabel().startswith("mbt2018: mean BD-rate of images against JPEG 2000 in %")
    assert sorted(label.get_text() for label in axes.get_yticklabels()) == ["a (2)", "b (2)"]
    assert isinstance(figures_rd.rate_by_category(table, "avif"), Figure)
    with pytest.raises(InputError, match="no BD-rate of nothing"):
        figures_rd.rate_by_category(table, "nothing")


def test_the_matrix_of_pairs_is_sorted_and_written_into_its_cells():
    pairs = bd_rate.all_pairs(frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "mbt2018": 0.7}), resamples=50)
    axes = figures_rd.pair_matrix(pairs).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mbt2018", "JPEG 2000", "JPEG"]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    row = pairs[(pairs["codec"] == "mbt2018") & (pairs["reference"] == "jpeg")]["bd_rate"].item()
    assert cells[2, 0] == f"{row:+.0f}".replace("-", "−")
    assert len(cells) == 6


def test_numbers_in_the_matrix_of_many_pairs_do_not_overlap():
    names = ["jpeg", "jpeg-flat", "jpeg2000", "jpeg2000-rgb", "webp", "avif", "jpegxl", "htj2k", "jpegls", "hevc",
             "vvc", "learned", "mbt2018"]  # fmt: skip
    pairs = [(a, b, 500.0, 400.0, 600.0) for a in names for b in names if a != b]
    figure = agg(figures_rd.pair_matrix(pd.DataFrame(pairs, columns=["codec", "reference", "bd_rate", "low", "high"])))
    axes = figure.axes[0]
    assert {text.get_text() for text in axes.texts} == {"+500"}
    assert not overlapping(figure, axes.texts)
    assert not overlapping(figure, axes.get_yticklabels())
    assert not overlapping(figure, axes.get_xticklabels())
    assert not outside(figure)


def test_slices_make_a_line_with_whiskers_for_each_codec():
    slices = bd_rate.by_slice(frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "mbt2018": 0.7}), "jpeg2000", resamples=50)
    figure = figures_rd.rate_by_psnr(slices)
    assert legend(figure) == ["JPEG", "mbt2018"]
    line = figure.axes[0].lines[2]
    assert list(line.get_xdata()) == [25, 27, 29, 31, 33, 35, 37]
    assert list(line.get_ydata()) == list(slices[slices["codec"] == "mbt2018"]["bd_rate"])


def test_a_codec_far_beyond_the_others_is_named_and_not_drawn():
    slices = bd_rate.by_slice(frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "jpegls": 5.0}), "jpeg2000", resamples=50)
    figure = agg(figures_rd.rate_by_psnr(slices))
    assert legend(figure) == ["JPEG"]
    assert figure.axes[0].get_title(loc="right") == "beyond +150 %: JPEG-LS"
    assert figure.axes[0].get_ylim()[1] < 400
    assert not outside(figure)


def test_speeds_join_the_efforts_of_a_codec():
    rows = [
        ("jpeg2000", 0.0, 1.0, 1.0), ("avif-speed4", -20.0, 0.1, 2.0), ("avif-speed8", -10.0, 1.5, 2.0),
        ("jpegls", 411.3, 4.0, 1.0),
    ]  # fmt: skip
    speeds = pd.DataFrame(rows, columns=["codec", "bd_rate", "encode", "decode"])
    figure = figures_rd.rate_against_speed(speeds)
    assert legend(figure) == ["JPEG 2000", "AVIF", "JPEG-LS"]
    encoders, decoders = figure.axes
    assert [text.get_text() for text in encoders.texts] == ["4", "8", "+411 %"]
    assert max(line.get_ydata()[0] for line in encoders.lines) < 411, "the others can be told apart"
    assert list(encoders.lines[2].get_xdata()) == [0.1, 1.5]
    assert list(decoders.lines[2].get_ydata()) == [-20, -10]
    assert "decoding speed" in decoders.get_xlabel()
    assert figure.get_supxlabel() == "numbers: speed of AVIF"
