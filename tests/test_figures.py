"""Every figure is drawn from a small frame, says what its axes are, and needs no colour to be read."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from satstudy import comparison, figures, plotstyle
from satstudy.blending import COLUMNS as SEAM_COLUMNS
from satstudy.blending import SeamCrop, seam_profile
from satstudy.errors import InputError
from satstudy.figures_accuracy import readable_on
from satstudy.stitching import grid

CODECS = ("jpeg", "jpeg2000", "webp", "avif", "learned", "learned-natural")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("a figure was shown"))
    before = dict(mpl.rcParams)
    yield
    assert not plt.get_fignums(), "a figure was left open"
    assert dict(mpl.rcParams) == before, "the style leaked"


def rd_frame(images=4, codecs=CODECS):
    rng, rows = np.random.default_rng(0), []
    for i in range(images):
        ease = rng.normal(0, 1)
        for k, codec in enumerate(codecs):
            for q in range(4):
                row = {"image": f"i{i}", "codec": codec, "setting": f"q={q}", "category": "ab"[i % 2]}
                noise = rng.normal(0, 0.1)
                rows.append(
                    {**row, "bpp": 0.05 * 2**q, "psnr": 22 + 3 * q + k / 2 + ease + noise, "ms_ssim": 0.8 + q / 20}
                )
    return pd.DataFrame(rows)


def metrics_frame():
    steps = np.arange(20, 220, 20)
    parts = [pd.DataFrame({"step": steps, "split": split, "loss": 2 + 9 / steps}) for split in ("train", "validation")]
    return pd.concat(parts).assign(bpp=0.5, psnr=30.0, lr=1e-3, seconds=1.0)


def seam_frame(lams=(0.0018, 0.013)):
    tilings = [("independent", "none", 0), ("seamless", "none", 0)]
    tilings += [("blend", w, o) for w in ("mean", "ramp") for o in (8, 16)]
    rows = [
        (f"i{i}", lam, t, w, 256, o, 1000 + o, 0.5 + o / 100, 30.0, 29.0 + o / 50, 30.1, 1.2, 1.0, 30.0)
        for i in range(2)
        for lam in lams
        for t, w, o in tilings
    ]
    return pd.DataFrame(rows, columns=SEAM_COLUMNS)


CONDITIONS = pd.DataFrame(
    [("low", "learned", "lam=0.0018", 0.023), ("jpeg", "jpeg", "quality=75", 0.8), ("raw", "original", "", 24.0)],
    columns=["condition", "codec", "setting", "bpp"],
)


def matrix(trained=("low", "jpeg"), validated=("low", "jpeg", "raw")):
    rows = [(t, v, 0.9 if t == v else 0.2) for t in trained for v in validated]
    frame = pd.DataFrame(rows, columns=["trained_on", "validated_on", "accuracy"])
    return frame.assign(low=frame["accuracy"] - 0.03, high=frame["accuracy"] + 0.02)


def image(height=120, width=160, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def legend(figure: Figure):
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def words(figure: Figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def overlapping(figure: Figure, texts):
    """Pairs of texts whose boxes on the page overlap."""
    renderer = figure.canvas.get_renderer()
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text() and t.get_visible()]
    return [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[:i] if x.shrunk(0.9, 0.9).overlaps(y)]


def outside(figure: Figure):
    """Whether anything drawn leaves the page."""
    box, (width, height) = figure.get_tightbbox(figure.canvas.get_renderer()), figure.get_size_inches()
    return min(box.x0, box.y0, width - box.x1, height - box.y1) < -0.01


def agg(figure: Figure):
    mpl.backends.backend_agg.FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure


# --- Training -------------------------------------------------------------------------------------------


def test_loss_curves_are_strong_for_validation_and_faint_for_training():
    figure = agg(figures.loss_curves({"λ = 0.0018": metrics_frame(), "λ = 0.013": metrics_frame()}))
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
    assert isinstance(figures.loss_curves({"λ": training}), Figure)
    with pytest.raises(InputError, match="no training"):
        figures.loss_curves({})
    with pytest.raises(InputError, match="metrics of λ lacks the columns psnr"):
        figures.loss_curves({"λ": metrics_frame().drop(columns="psnr")})


# --- Rate and distortion --------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
def test_rate_distortion_has_a_curve_a_band_and_a_marker_for_each_codec(log):
    figure = agg(figures.rate_distortion(rd_frame(), log=log, n=50))
    (axes,) = figure.axes
    assert axes.get_xlabel().startswith("rate in bpp")
    assert axes.get_ylabel() == "PSNR in dB"
    assert axes.get_xscale() == ("log" if log else "linear")
    assert legend(figure) == ["JPEG", "JPEG 2000", "WebP", "AVIF", "learned", "learned (natural)"]
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
    (axes,) = figures.rate_distortion(frame, n=200).axes
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
    (axes,) = figures.rate_distortion(pd.DataFrame(rows), n=200).axes
    band = axes.collections[0].get_paths()[0].vertices
    spread = [np.ptp(band[np.isclose(band[:, 0], r), 1]) for r in axes.lines[0].get_xdata()]
    assert max(spread) < 0.2  # of the ±0.8 dB that the images differ by


def test_ms_ssim_is_in_decibels_and_needs_large_images():
    figure = figures.rate_distortion(rd_frame(), "ms_ssim", n=20)
    assert figure.axes[0].get_ylabel().startswith("MS-SSIM in dB")
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(-10 * math.log10(0.2))
    with pytest.raises(InputError, match="too small for MS-SSIM"):
        figures.rate_distortion(rd_frame().assign(ms_ssim=math.nan), "ms_ssim")


def test_a_single_image_and_a_single_setting_make_a_curve_without_a_band():
    frame = rd_frame(images=1).query("setting == 'q=0'")
    assert len(figures.rate_distortion(frame).axes[0].lines) == 6


def test_images_of_one_object_widen_the_band():
    frame, objects = rd_frame(images=8, codecs=("jpeg",)), {f"i{i}": i // 4 for i in range(8)}

    def width(**options):
        band = figures.rate_distortion(frame, n=300, **options).axes[0].collections[0].get_paths()[0].vertices
        return np.ptp(band[np.isclose(band[:, 0], 0.05), 1])

    assert width() > 0
    assert width(objects=objects) != width()


def test_rate_distortion_says_what_is_missing():
    with pytest.raises(InputError, match="no rows"):
        figures.rate_distortion(rd_frame().head(0))
    with pytest.raises(InputError, match="equal images only"):
        figures.rate_distortion(rd_frame().iloc[1:])
    with pytest.raises(InputError, match="psnr or ms_ssim"):
        figures.rate_distortion(rd_frame(), "ssim")


def test_bd_rate_bars_have_whiskers_numbers_and_codecs_without_a_number():
    table = comparison.bd_rates(rd_frame(), n=50)
    table.loc[table["codec"] == "webp", ["bd_rate", "low", "high"]] = math.nan
    figure = agg(figures.bd_rate_bars(table))
    (axes,) = figure.axes
    assert "BD-rate of images against JPEG 2000 in %" in axes.get_xlabel()
    assert len(axes.patches) == 4
    assert len(axes.containers) >= 4
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[-1] == "WebP"
    assert "too little PSNR in common" in words(figure)
    assert not outside(figure)
    with pytest.raises(InputError, match="lacks the columns low"):
        figures.bd_rate_bars(table.drop(columns="low"))


def test_categories_are_sorted_by_what_learned_coding_saves():
    figure = agg(figures.rate_by_category(rd_frame(), n=20))
    (axes,) = figure.axes
    assert axes.get_xlabel().startswith("learned: mean BD-rate of images against JPEG 2000 in %")
    assert sorted(label.get_text() for label in axes.get_yticklabels()) == ["a (2)", "b (2)"]
    table = comparison.by_category(rd_frame(), n=20)
    assert isinstance(figures.rate_by_category(table, "avif"), Figure)
    with pytest.raises(InputError, match="no BD-rate of nothing"):
        figures.rate_by_category(table, "nothing")


# --- Images ---------------------------------------------------------------------------------------------


def test_crops_stand_in_rows_by_label_with_rate_and_psnr():
    original = image(40, 60)
    coded = [(name, original, bpp, 30.0) for name in ("learned", "JPEG") for bpp in (0.012, 0.35, 0.63)]
    figure = agg(figures.crops_grid(original, coded))
    assert len(figure.axes) == 7
    assert [ax.get_title("center") or ax.get_title("left") for ax in figure.axes] == [
        "original", "learned", "", "", "JPEG", "", "",
    ]  # fmt: skip
    captions = [ax.get_xlabel() for ax in figure.axes]
    assert captions[:4] == ["24 bpp", "0.012 bpp, 30.0 dB", "0.35 bpp, 30.0 dB", "0.63 bpp, 30.0 dB"]
    # All crops at one scale.
    widths = {round(ax.get_window_extent().width) for ax in figure.axes}
    assert max(widths) - min(widths) <= 1
    assert not overlapping(figure, [ax.xaxis.label for ax in figure.axes])


def test_crops_of_other_sizes_are_refused():
    with pytest.raises(InputError, match="cut out the same"):
        figures.crops_grid(image(40, 60), [("JPEG", image(40, 50), 0.1, 20.0)])
    with pytest.raises(InputError, match="no coded crop"):
        figures.crops_grid(image(), [])


def test_the_patch_grid_says_how_many_patches_and_how_much_is_coded_twice():
    figure = figures.patch_grid(np.zeros((1496, 1496, 3), np.uint8), grid(1496, 1496, 256, 8))
    assert any("36 patches of 256×256 px, overlap 8 px: 5.14 %" in word for word in words(figure))
    assert len(figure.axes) == 2
    # Ten seams each way, drawn in white on black.
    assert len(figure.axes[0].lines) == 2 * (10 + 10)
    assert not outside(agg(figure))


@pytest.mark.parametrize(("height", "width", "patch", "overlap", "panels"), [(60, 60, 64, 8, 1), (60, 130, 40, 0, 2)])
def test_the_patch_grid_of_few_patches(height, width, patch, overlap, panels):
    figure = figures.patch_grid(image(height, width), grid(height, width, patch, overlap))
    assert len(figure.axes) == panels
    with pytest.raises(InputError, match="layout is of"):
        figures.patch_grid(image(10, 10), grid(height, width, patch, overlap))


def test_the_seam_is_marked_outside_the_pixels_and_the_error_is_amplified_as_stated():
    original, layout = image(), grid(120, 160, 40, 0)
    without = np.clip(original.astype(int) + 10, 0, 255).astype(np.uint8)
    figure = agg(
        figures.seam_comparison(without, original, layout, SeamCrop(10, 60, 40, "vertical"), 4, original=original)
    )
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["without blending", "absolute error × 8", "with blending", "absolute error × 8"]
    shown = [np.asarray(ax.images[0].get_array()) for ax in figure.axes]
    np.testing.assert_array_equal(shown[0], without[10:50, 60:100])
    assert shown[1].max() == pytest.approx(80)
    assert shown[3].max() == 0
    assert {ax.images[0].get_clim() for ax in figure.axes} == {(0, 255)}
    for axes in figure.axes:
        arrows = [t for t in axes.texts if t.arrow_patch is not None]
        assert len(arrows) == 4  # row 40 and column 80, at both ends
        inner = axes.get_window_extent().shrunk(0.99, 0.99)
        assert not any(inner.overlaps(t.arrow_patch.get_window_extent()) for t in arrows)
    # A pixel is a square of a whole number of dots.
    assert figure.axes[0].get_window_extent().width == pytest.approx(40 * 4 * figure.dpi / 100)


def test_seams_of_two_layouts_are_told_apart():
    pixels = image()
    figure = figures.seam_comparison(
        pixels, pixels, grid(120, 160, 40, 0), (0, 0, 100), layout_with=grid(120, 160, 40, 8)
    )
    left, right = ([t.arrow_patch for t in ax.texts] for ax in figure.axes)
    assert len(left) == 2 * (2 + 2)
    assert len(right) > len(left)
    assert left[0].get_facecolor() != right[0].get_facecolor()


def test_a_seam_outside_the_image_is_refused():
    pixels, layout = image(), grid(120, 160, 40, 0)
    with pytest.raises(InputError, match="leaves the image"):
        figures.seam_comparison(pixels, pixels, layout, (100, 0, 40))
    with pytest.raises(InputError, match="one size"):
        figures.seam_comparison(pixels, pixels[1:], layout, (0, 0, 40))
    with pytest.raises(InputError, match="zoom"):
        figures.seam_comparison(pixels, pixels, layout, (0, 0, 40), 0)


def test_a_seam_is_drawn_from_kept_crops_as_from_the_images():
    """Only what the crop shows is kept, and the figure is the same."""
    original, plain, other = image(300, 520, 0), image(300, 520, 1), image(300, 520, 2)
    top, left, size = 20, 230, 64
    cut = np.s_[top : top + size, left : left + size]
    crops = {"original": original[cut], "independent": plain[cut], "blend": other[cut], "seamless": other[cut]}
    at = {"top": top, "left": left, "size": size, "height": 300, "width": 520, "overlap": 8}
    kept = agg(figures.kept_seam(crops, at))
    layouts = [grid(300, 520, 256, overlap) for overlap in (0, 8)]
    whole = agg(
        figures.seam_comparison(
            plain, other, layouts[0], (top, left, size), original=original, layout_with=layouts[1]
        )
    )  # fmt: skip
    pictures = [np.asarray(figure.canvas.buffer_rgba()) for figure in (kept, whole)]
    assert (pictures[0] == pictures[1]).all()
    labels = [axes.get_title() for axes in figures.kept_seam(crops, at, "seamless").axes]
    assert {"independent patches", "seamless"} <= set(labels)
    with pytest.raises(InputError, match=r"lack 'overlap'.*blending\.ipynb"):
        figures.kept_seam(crops, {key: at[key] for key in at if key != "overlap"})


def test_crops_are_drawn_from_what_was_kept():
    coded = [("JPEG", image(40, 40, 1), 0.1, 20.0), ("JPEG", image(40, 40, 2), 0.2, 25.0)]
    crops = {"original": image(40, 40), "JPEG 0": coded[0][1], "JPEG 1": coded[1][1]}
    about = {"coded": [["JPEG", 0.1, 20.0], ["JPEG", 0.2, 25.0]]}
    kept, direct = agg(figures.kept_crops(crops, about)), agg(figures.crops_grid(crops["original"], coded))
    assert (np.asarray(kept.canvas.buffer_rgba()) == np.asarray(direct.canvas.buffer_rgba())).all()
    with pytest.raises(InputError, match=r"lack 'JPEG 1'.*rd\.ipynb"):
        figures.kept_crops({name: crops[name] for name in ("original", "JPEG 0")}, about)


# --- Seams ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["gradient", "error"])
def test_the_profile_has_a_line_for_each_tiling_and_the_original(value):
    layout = grid(120, 160, 40, 0)
    frame = pd.concat(
        seam_profile(image(), image(seed=i), layout).assign(tiling=t)
        for i, t in enumerate(("independent", "blend", "seamless"))
    )
    figure = agg(figures.seam_profile(frame, value))
    expected = ["independent patches", "overlap, mean", "seamless"] + ["original"] * (value == "gradient")
    assert legend(figure) == expected
    assert figure.axes[0].get_xlabel().startswith("distance to the nearest seam in px")
    assert "levels of 0–255" in figure.axes[0].get_ylabel()
    assert not outside(figure)
    with pytest.raises(InputError, match="lacks the columns tiling"):
        figures.seam_profile(frame.drop(columns="tiling"))
    with pytest.raises(InputError, match="gradient or error"):
        figures.seam_profile(frame, "bits")


@pytest.mark.parametrize("value", ["lost", "gap", "psnr_near", "psnr", "ratio"])
def test_the_ablation_has_a_panel_for_each_lambda_and_seamless_as_a_line(value):
    figure = agg(figures.overlap_ablation(seam_frame(), value))
    assert [ax.get_title() for ax in figure.axes] == ["λ = 0.0018", "λ = 0.013"]
    assert legend(figure) == ["independent patches", "overlap, mean", "overlap, ramp", "seamless"]
    for axes in figure.axes:
        assert [t.get_text() for t in axes.texts] == ["8 px", "16 px"]
        assert not overlapping(figure, axes.texts)
        level = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
        assert len(level) == 1
    assert "rate in bpp" in " ".join(words(figure))
    assert not outside(figure)


def test_images_without_a_seam_are_left_out_of_the_ablation():
    frame = seam_frame((0.013,))
    frame.loc[frame["image"] == "i0", ["psnr_near", "psnr"]] = math.nan, 99.0
    (axes,) = figures.overlap_ablation(frame, "psnr").axes
    assert all(y == 30 for line in axes.lines for y in line.get_ydata())
    with pytest.raises(InputError, match="has a seam"):
        figures.overlap_ablation(frame.assign(psnr_near=math.nan))


def test_the_ablation_compares_equal_images_and_reads_a_csv(tmp_path):
    frame = seam_frame()
    with pytest.raises(InputError, match="lacks images"):
        figures.overlap_ablation(frame.iloc[1:])
    frame.assign(weighting=frame["weighting"].replace("none", None)).to_csv(tmp_path / "seams.csv", index=False)
    assert isinstance(figures.overlap_ablation(pd.read_csv(tmp_path / "seams.csv")), Figure)
    with pytest.raises(InputError, match="take one of"):
        figures.overlap_ablation(frame, "bits")
    with pytest.raises(InputError, match=r"give `blending\.measure` the seamless image"):
        figures.overlap_ablation(frame.assign(psnr_near_reference=math.nan), "lost")
    assert "PSNR lost" in figures.overlap_ablation(frame).axes[0].get_ylabel()
    without = figures.overlap_ablation(frame.assign(psnr_near_reference=math.nan))
    assert "PSNR away from seams" in without.axes[0].get_ylabel()
    with pytest.raises(InputError, match="256, 512 pixels: keep one size"):
        figures.overlap_ablation(pd.concat([frame, frame.assign(patch=512)]))


# --- Accuracy -------------------------------------------------------------------------------------------


def test_the_heat_map_has_columns_trained_rows_validated_and_half_intervals():
    figure = agg(figures.accuracy_heatmap(matrix(), CONDITIONS))
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
    figure = agg(figures.accuracy_heatmap(frame, conditions))
    assert len(figure.axes[0].texts) == 63
    assert not overlapping(figure, figure.axes[0].texts)
    assert not outside(figure)


def test_a_matrix_without_intervals_shows_percent_alone():
    figure = figures.accuracy_heatmap(matrix().drop(columns=["low", "high"]), CONDITIONS)
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
        figures.accuracy_heatmap(matrix().head(0), CONDITIONS)
    with pytest.raises(InputError, match="does not describe raw"):
        figures.accuracy_heatmap(matrix(), CONDITIONS.head(2))


def test_differences_are_in_percentage_points():
    frame = matrix().assign(effect=0.05, low=-0.01, high=0.11)
    figure = agg(figures.accuracy_difference(frame, CONDITIONS, "gain by leakage"))
    assert figure.axes[0].get_xlabel() == "gain by leakage in percentage points"
    assert "5.0 [−1.0, 11.0]" in words(figure)
    assert not outside(figure)


# --- Style ----------------------------------------------------------------------------------------------


def test_the_mark_of_synthetic_data_lies_below_everything_else():
    figure = agg(figures.synthetic_note(figures.rate_distortion(rd_frame(), n=20)))
    (note,) = figure.texts
    assert note.get_text() == "synthetic scenes"
    renderer = figure.canvas.get_renderer()
    assert note.get_window_extent(renderer).y1 <= figure.axes[0].xaxis.label.get_window_extent(renderer).y0
    pixels = image()
    by_hand = figures.synthetic_note(figures.seam_comparison(pixels, pixels, grid(120, 160, 40, 0), (0, 0, 60)))
    assert by_hand.texts[-1].get_text() == "synthetic scenes"


def test_figures_are_twice_the_width_of_the_page(tmp_path):
    figures.rate_distortion(rd_frame(), n=20).savefig(tmp_path / "a.png")
    assert plt.imread(tmp_path / "a.png").shape[1] == 1400


def test_codecs_and_tilings_differ_without_colour():
    for known in (plotstyle.CODECS, {k: v for k, v in plotstyle.TILINGS.items() if k != "blend"}):
        looks = [(line.marker, str(line.dashes), line.hollow) for line in known.values()]
        assert len(set(looks)) == len(looks)
    assert len({(m, str(d)) for m, d, _ in plotstyle.CYCLE}) == len(plotstyle.CYCLE)


def test_an_unknown_codec_gets_a_style_of_its_own():
    assert plotstyle.line("bpg", plotstyle.CODECS, 2).label == "bpg"


def test_a_figure_that_fails_is_closed_too():
    with pytest.raises(InputError):
        figures.overlap_ablation(seam_frame().assign(psnr_near=math.nan))
    assert not plt.get_fignums()
