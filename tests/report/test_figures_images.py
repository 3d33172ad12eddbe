"""Crops and patch grids show what their words say."""

import numpy as np
import pytest
from drawn_figures import agg, image, outside, overlapping, words

from satstudy.core.errors import InputError
from satstudy.core.geometry import grid
from satstudy.report.figures_images import crops_grid, kept_crops, patch_grid

pytestmark = pytest.mark.usefixtures("quiet_figures")


def test_crops_stand_in_rows_by_label_with_rate_and_psnr():
    original = image(40, 60)
    coded = [(name, original, bpp, 30.0) for name in ("learned", "JPEG") for bpp in (0.012, 0.35, 0.63)]
    figure = agg(crops_grid(original, coded))
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


def test_crops_are_drawn_from_what_was_kept():
    coded = [("JPEG", image(40, 40, 1), 0.1, 20.0), ("JPEG", image(40, 40, 2), 0.2, 25.0)]
    crops = {"original": image(40, 40), "JPEG 0": coded[0][1], "JPEG 1": coded[1][1]}
    about = {"coded": [["JPEG", 0.1, 20.0], ["JPEG", 0.2, 25.0]]}
    kept, direct = agg(kept_crops(crops, about)), agg(crops_grid(crops["original"], coded))
    assert (np.asarray(kept.canvas.buffer_rgba()) == np.asarray(direct.canvas.buffer_rgba())).all()
    with pytest.raises(InputError, match=r"lack 'JPEG 1'.*rd\.ipynb"):
        kept_crops({name: crops[name] for name in ("original", "JPEG 0")}, about)
