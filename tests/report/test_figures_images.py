"""Crops, patch grids and seams show what their words say."""

import numpy as np
import pytest
from drawn_figures import agg, image, outside, overlapping, words

from satstudy.core.errors import InputError
from satstudy.core.geometry import grid
from satstudy.report.figures_images import crops_grid, patch_grid, saved_crops, saved_seam, whole_and_square

pytestmark = pytest.mark.usefixtures("quiet_figures")


def test_crops_stand_in_rows_by_codec_with_rate_and_psnr():
    original = image(40, 60)
    coded = [(name, original, bpp, 30.0) for name in ("mbt2018", "jpeg") for bpp in (0.012, 0.35, 0.63)]
    figure = agg(crops_grid(original, coded))
    assert len(figure.axes) == 7
    assert [ax.get_title("center") or ax.get_title("left") for ax in figure.axes] == [
        "original", "mbt2018", "", "", "JPEG", "", "",
    ]  # fmt: skip
    captions = [ax.get_xlabel() for ax in figure.axes]
    assert captions[:4] == ["24 bpp", "0.012 bpp, 30.0 dB", "0.35 bpp, 30.0 dB", "0.63 bpp, 30.0 dB"]
    # All crops at one scale.
    widths = {round(ax.get_window_extent().width) for ax in figure.axes}
    assert max(widths) - min(widths) <= 1
    assert not overlapping(figure, [ax.xaxis.label for ax in figure.axes])


def test_crops_of_other_sizes_are_refused():
    with pytest.raises(InputError, match="cut out the same"):
        crops_grid(image(40, 60), [("JPEG", image(40, 50), 0.1, 20.0)])
    with pytest.raises(InputError, match="no coded crop"):
        crops_grid(image(), [])


def test_the_patch_grid_says_how_many_patches_and_how_much_is_coded_twice():
    figure = patch_grid(np.zeros((1496, 1496, 3), np.uint8), grid(1496, 1496, 256, 8))
    assert any("36 patches of 256×256 px, overlap 8 px: 5.14 %" in word for word in words(figure))
    assert len(figure.axes) == 2
    # Ten seams each way, drawn in white on black.
    assert len(figure.axes[0].lines) == 2 * (10 + 10)
    assert not outside(agg(figure))


@pytest.mark.parametrize(("height", "width", "patch", "overlap", "panels"), [(60, 60, 64, 8, 1), (60, 130, 40, 0, 2)])
def test_the_patch_grid_of_few_patches(height, width, patch, overlap, panels):
    figure = patch_grid(image(height, width), grid(height, width, patch, overlap))
    assert len(figure.axes) == panels
    with pytest.raises(InputError, match="layout is of"):
        patch_grid(image(10, 10), grid(height, width, patch, overlap))


def test_saved_crops_are_drawn_as_the_crops_themselves():
    coded = [("jpeg", image(40, 40, 1), 0.1, 20.0), ("jpeg", image(40, 40, 2), 0.2, 25.0)]
    crops = {"original": image(40, 40), "jpeg-1": coded[0][1], "jpeg-2": coded[1][1]}
    facts = {"coded": [["jpeg-1", "jpeg", 0.1, 20.0], ["jpeg-2", "jpeg", 0.2, 25.0]]}
    saved, direct = agg(saved_crops(crops, facts)), agg(crops_grid(crops["original"], coded))
    assert (np.asarray(saved.canvas.buffer_rgba()) == np.asarray(direct.canvas.buffer_rgba())).all()
    with pytest.raises(InputError, match=r"lack 'jpeg-2'.*rd\.ipynb"):
        saved_crops({name: crops[name] for name in ("original", "jpeg-1")}, facts)
    with pytest.raises(InputError, match=r"lack.*rd\.ipynb"):
        saved_crops(crops, {"coded": [["jpeg", 0.1, 20.0]]})  # as an earlier version wrote them


def test_errors_are_shown_whole_and_in_a_square_on_one_scale():
    original = image(60, 90)
    decoded = {"mbt2018": original, "AVIF": np.clip(original.astype(int) + 9, 0, 255).astype(np.uint8)}
    figure = agg(whole_and_square(original, decoded, 10, 20, 30))
    panels = [axes for axes in figure.axes if axes.images and axes.images[0].get_array().shape != (256, 1)]
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    errors = np.abs(decoded["AVIF"].astype(int) - original).mean(axis=2)
    for expected in (original, errors, original[10:40, 20:50], decoded["AVIF"][10:40, 20:50], errors[10:40, 20:50]):
        assert any(pixels.shape == expected.shape and np.allclose(pixels, expected) for pixels in shown)
    scales = {axes.images[0].get_clim() for axes in panels if axes.images[0].get_array().ndim == 2}
    assert len(scales) == 1
    assert [word for word in words(figure) if word in ("original", "mbt2018", "AVIF")] == [
        "original",
        "mbt2018",
        "AVIF",
    ]
    assert not outside(figure)
    with pytest.raises(InputError, match="with the shape"):
        whole_and_square(original, {"JPEG": image(10, 10)}, 0, 0, 5)


# --- Seams ------------------------------------------------------------------------------------------------


def seam(top=10, left=230, size=64, height=300, width=520):
    """Pictures and facts of a seam: original, 10 levels more, 20 levels more, the original again."""
    original = image(height, width)[top : top + size, left : left + size]
    brighter = [np.clip(original.astype(int) + step, 0, 255).astype(np.uint8) for step in (10, 20, 0)]
    facts = {"top": top, "left": left, "size": size, "height": height, "width": width, "overlap": 8}
    return dict(zip(("original", "independent", "blend", "seamless"), [original, *brighter], strict=True)), facts


def arrows(axes):
    return [text.arrow_patch for text in axes.texts if text.arrow_patch is not None]


def test_the_seam_is_marked_outside_the_pixels_and_the_error_is_amplified_as_stated():
    pictures, facts = seam(top=230)
    figure = agg(saved_seam(pictures, facts, "seamless"))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["independent", "absolute error × 8", "seamless", "absolute error × 8"]
    shown = [np.asarray(ax.images[0].get_array()) for ax in figure.axes]
    np.testing.assert_array_equal(shown[0], pictures["independent"])
    np.testing.assert_array_equal(shown[2], pictures["seamless"])
    assert shown[1].max() == pytest.approx(80)
    assert shown[3].max() == 0
    assert {ax.images[0].get_clim() for ax in figure.axes} == {(0, 255)}
    for axes in figure.axes:
        assert len(arrows(axes)) == 4  # row 256 and column 256, at both ends
        inner = axes.get_window_extent().shrunk(0.99, 0.99)
        assert not any(inner.overlaps(arrow.get_window_extent()) for arrow in arrows(axes))
    # A pixel is a square of a whole number of dots.
    assert figure.axes[0].get_window_extent().width == pytest.approx(64 * 4 * figure.dpi / 100)


def test_seams_of_blended_patches_are_told_apart_from_those_of_independent_ones():
    figure = agg(saved_seam(*seam()))
    assert [ax.get_title() for ax in figure.axes][::2] == ["independent", "blend"]
    left, right = arrows(figure.axes[0]), arrows(figure.axes[2])
    assert len(left) == 2  # column 256
    assert len(right) == 4  # both ends of the overlap, columns 248 and 256
    assert left[0].get_facecolor() != right[0].get_facecolor()


def test_a_seam_that_lacks_a_picture_or_a_fact_says_what_to_do():
    pictures, facts = seam()
    with pytest.raises(InputError, match=r"lacks 'overlap'.*blending\.ipynb"):
        saved_seam(pictures, {key: facts[key] for key in facts if key != "overlap"})
    with pytest.raises(InputError, match=r"lacks 'blend'.*blending\.ipynb"):
        saved_seam({name: pictures[name] for name in ("original", "independent")}, facts)
