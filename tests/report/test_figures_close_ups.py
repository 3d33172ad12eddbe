"""A seam close up: nothing is drawn over it, and its error is amplified as stated."""

import numpy as np
import pytest
from drawn_figures import agg, image

from satstudy.core.errors import InputError
from satstudy.core.geometry import grid
from satstudy.metrics.seams import SeamCrop
from satstudy.report.figures_images import kept_seam, seam_comparison

pytestmark = pytest.mark.usefixtures("quiet_figures")


def test_the_seam_is_marked_outside_the_pixels_and_the_error_is_amplified_as_stated():
    original, layout = image(), grid(120, 160, 40, 0)
    without = np.clip(original.astype(int) + 10, 0, 255).astype(np.uint8)
    figure = agg(seam_comparison(without, original, layout, SeamCrop(10, 60, 40, "vertical"), 4, original=original))
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
    figure = seam_comparison(pixels, pixels, grid(120, 160, 40, 0), (0, 0, 100), layout_with=grid(120, 160, 40, 8))
    left, right = ([t.arrow_patch for t in ax.texts] for ax in figure.axes)
    assert len(left) == 2 * (2 + 2)
    assert len(right) > len(left)
    assert left[0].get_facecolor() != right[0].get_facecolor()


def test_a_seam_outside_the_image_is_refused():
    pixels, layout = image(), grid(120, 160, 40, 0)
    with pytest.raises(InputError, match="leaves the image"):
        seam_comparison(pixels, pixels, layout, (100, 0, 40))
    with pytest.raises(InputError, match="one size"):
        seam_comparison(pixels, pixels[1:], layout, (0, 0, 40))
    with pytest.raises(InputError, match="zoom"):
        seam_comparison(pixels, pixels, layout, (0, 0, 40), 0)


def test_a_seam_is_drawn_from_kept_crops_as_from_the_images():
    """Only what the crop shows is kept, and the figure is the same."""
    original, plain, other = image(300, 520, 0), image(300, 520, 1), image(300, 520, 2)
    top, left, size = 20, 230, 64
    cut = np.s_[top : top + size, left : left + size]
    crops = {"original": original[cut], "independent": plain[cut], "blend": other[cut], "seamless": other[cut]}
    at = {"top": top, "left": left, "size": size, "height": 300, "width": 520, "overlap": 8}
    kept = agg(kept_seam(crops, at))
    layouts = [grid(300, 520, 256, overlap) for overlap in (0, 8)]
    whole = agg(
        seam_comparison(
            plain, other, layouts[0], (top, left, size), original=original, layout_with=layouts[1]
        )
    )  # fmt: skip
    pictures = [np.asarray(figure.canvas.buffer_rgba()) for figure in (kept, whole)]
    assert (pictures[0] == pictures[1]).all()
    labels = [axes.get_title() for axes in kept_seam(crops, at, "seamless").axes]
    assert {"independent patches", "seamless"} <= set(labels)
    with pytest.raises(InputError, match=r"lack 'overlap'.*blending\.ipynb"):
        kept_seam(crops, {key: at[key] for key in at if key != "overlap"})
