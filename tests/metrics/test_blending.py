"""What tilings cost is compared at the same pixels, image by image; the crop for the eye is found by a rule."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patched import layouts, noise

from satstudy.codecs.learned import stitching
from satstudy.codecs.learned.stitching import grid
from satstudy.core.errors import InputError
from satstudy.metrics import seams
from satstudy.metrics.seams import measure, measured_layout, worst_seam


@pytest.mark.parametrize(
    ("tiling", "patch", "overlap"), [("independent", 32, 0), ("blend", 32, 4), ("seamless", 16, 0)]
)
def test_a_row_has_the_columns_of_the_frame(tiling, patch, overlap):
    layout = measured_layout(80, 90, tiling, 32, 4, replaces=16)
    assert (layout.patch, layout.overlap) == (patch, overlap)
    original = noise(80, 90)
    row = measure(original, original // 2 * 2, 900, layout, image="a", lam=0.01, tiling=tiling)
    assert tuple(row) == seams.COLUMNS
    assert row["bpp"] == 1.0
    assert row["psnr"] == pytest.approx(row["psnr_near"], abs=0.5) == pytest.approx(row["psnr_away"], abs=0.5)
    assert row["seam"] / row["seam_original"] == pytest.approx(1, abs=0.05)


def test_a_reference_is_measured_at_the_same_pixels():
    layout, original = grid(64, 64, 32, 0), noise(64, 64)
    decoded, seamless = original.copy(), original.copy()
    decoded[:, 31:33] += 20
    seamless[:, 31:33] += 10
    seamless[:8, :8] += 50  # away from the seams
    row = measure(original, decoded, 9, layout, image="a", lam=0.01, tiling="independent", reference=seamless)
    lost = seams.checked(pd.DataFrame([row]))["lost"][0]
    assert lost == pytest.approx(10 * math.log10(4))


def test_an_unknown_tiling_is_refused():
    with pytest.raises(InputError, match="independent, blend or seamless"):
        measured_layout(80, 90, "tiles")


def test_the_worst_seam_is_the_one_that_grew():
    layout, original = grid(120, 160, 40, 0), noise(120, 160)
    decoded = original.copy()
    decoded[70:100, 80:100] += 60  # along the vertical seam at 80, rows 70 to 99
    crop = worst_seam(original, decoded, layout, size=30)
    assert crop == (70, 65, 30, "vertical")
    turned = [np.ascontiguousarray(im.transpose(1, 0, 2)) for im in (original, decoded)]
    assert worst_seam(*turned, grid(160, 120, 40, 0), size=30) == (65, 70, 30, "horizontal")


@settings(deadline=None)
@given(layouts, st.integers(2, 20), st.integers(0, 99))
def test_the_crop_lies_in_the_image_and_holds_a_seam(layout, size, seed):
    original, decoded = noise(layout.height, layout.width, seed), noise(layout.height, layout.width, seed + 1)
    top, left, size, orientation = worst_seam(original, decoded, layout, size)
    assert 0 <= top <= layout.height - size
    assert 0 <= left <= layout.width - size
    start, places = (
        (top, stitching.seams(layout)[0]) if orientation == "horizontal" else (left, stitching.seams(layout)[1])
    )
    assert any(start < s < start + size for s in places)


def test_equal_pieces_give_the_first():
    layout, flat = grid(64, 64, 32, 0), np.full((64, 64, 3), 9, np.uint8)
    assert worst_seam(flat, flat, layout, size=20) == (22, 0, 20, "horizontal")


def test_the_crop_shows_a_seam_of_another_layout_as_well():
    apart, over = grid(200, 200, 40, 0), grid(200, 200, 40, 4)
    original = noise(200, 200)
    decoded = original.copy()
    decoded[158:160] += 80  # the worst is the seam at row 160; the overlaps begin at 36, 72, 108, 144
    decoded[38:40] += 40
    assert worst_seam(original, decoded, apart, size=16)[0] == 152
    assert worst_seam(original, decoded, apart, size=16, beside=over)[0] == 32
    assert worst_seam(original, decoded, apart, size=16, beside=grid(200, 200, 200, 0))[0] == 152, "none shows both"


def test_bits_are_compared_image_by_image():
    part = pd.DataFrame({"image": ["a", "b"], "lam": 0.01, "bytes": [110, 8000]})
    base = pd.DataFrame({"image": ["b", "a"], "lam": 0.01, "bytes": [10_000, 100]})
    found = seams.more_bits(part, base)
    assert found.value == pytest.approx(100 * (math.sqrt(1.1 * 0.8) - 1))
    assert (found.low, found.high) == pytest.approx((-20, 10))
    assert math.isnan(seams.more_bits(part, base[:1]).value)
    assert math.isnan(seams.more_bits(part[:0], base).value)
