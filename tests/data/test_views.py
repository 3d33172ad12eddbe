"""The crop around an object: its size, its place, and what lies beyond the image."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.data.fmow import TYPICAL_GSD, context_box, crop_object
from satstudy.data.records import Box, ImageRecord


def record(height: int, width: int, *boxes: Box, gsd: float | None = 0.5, category: str = "zoo") -> ImageRecord:
    return ImageRecord(Path("a.png"), category, "a", height, width, boxes, gsd)


@pytest.mark.parametrize(("metres", "factor"), [(1, 3.0), (32, 3.0), (256, 1.5 * 2**0.5), (2048, 1.5), (10_000, 1.5)])
def test_the_long_side_grows_by_the_published_factor(metres, factor):
    view = context_box(Box(0, 0, 1000, 1000), metres / 1000)
    assert view.w == pytest.approx(1000 * factor, abs=1)


def test_a_narrow_box_gets_the_same_margin_on_all_sides():
    view = context_box(Box(100, 200, 60, 20, "zoo"), 0.5)  # 30 m: threefold, a margin of 60
    assert view == Box(40, 140, 180, 140, "zoo")


def test_without_a_ground_sample_distance_the_typical_one_is_taken():
    assert context_box(Box(0, 0, 400, 300), None) == context_box(Box(0, 0, 400, 300), TYPICAL_GSD)


@given(
    x=st.integers(-50, 300), y=st.integers(-50, 300), w=st.integers(1, 5000), h=st.integers(1, 5000),
    gsd=st.none() | st.floats(1e-3, 1e3),
)  # fmt: skip
def test_context_surrounds_the_box_and_keeps_its_centre(x, y, w, h, gsd):
    view = context_box(Box(x, y, w, h), gsd)
    assert (2 * view.x + view.w, 2 * view.y + view.h) == (2 * x + w, 2 * y + h)
    long = max(w, h)
    assert long * 1.5 - 2 <= max(view.w, view.h) <= long * 3 + 2


def test_a_crop_inside_the_image_shows_those_pixels():
    # 40-pixel box at 0.5 m: 20 m, threefold: 120 pixels, here scaled to 120.
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    crop = crop_object(image, record(300, 400, Box(100, 110, 40, 40, "zoo")), 120)
    assert np.array_equal(crop, image[70:190, 60:180])


def test_beyond_the_edge_and_beside_a_narrow_view_it_is_black():
    image = np.full((300, 400, 3), 200, np.uint8)
    corner = crop_object(image, record(300, 400, Box(0, 0, 40, 40, "zoo")), 120)
    assert np.all(corner[:40] == 0)
    assert np.all(corner[:, :40] == 0)
    assert np.all(corner[40:, 40:] == 200)
    narrow = crop_object(image, record(300, 400, Box(150, 150, 40, 20, "zoo")), 120)  # a view of 120×100
    assert np.all(narrow[:10] == 0)
    assert np.all(narrow[110:] == 0)
    assert np.all(narrow[10:110] == 200)


def test_without_a_box_the_whole_image_is_shown():
    image = np.full((100, 200, 3), 50, np.uint8)
    crop = crop_object(image, record(100, 200), 64)
    assert crop.shape == (64, 64, 3)
    assert np.all(crop[16:48] == 50)
    assert np.all(crop[:16] == 0)
    assert np.all(crop[48:] == 0)


def test_the_first_box_of_the_records_own_category_counts():
    image = np.zeros((300, 300, 3), np.uint8)
    image[200:240, 200:240] = 255
    other, own = Box(0, 0, 40, 40, "false_detection"), Box(200, 200, 40, 40, "zoo")
    assert crop_object(image, record(300, 300, other, own), 120).any()
    assert not crop_object(image, record(300, 300, other, own, category="dam"), 120).any()


def test_shrinking_is_antialiased():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = crop_object(stripes, record(512, 512), 64)
    assert abs(crop[8:-8, 8:-8].astype(float) - 127.5).max() < 8


@settings(max_examples=60)
@given(data=st.data())
def test_any_box_gives_a_square(data):
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    box = Box(
        data.draw(st.integers(-100, 100)),
        data.draw(st.integers(-100, 100)),
        data.draw(st.integers(1, 10**6)),
        data.draw(st.integers(1, 10**6)),
        "zoo",
    )
    size = data.draw(st.integers(1, 40))
    crop = crop_object(np.full((height, width, 3), 255, np.uint8), record(height, width, box), size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8


def test_an_image_of_another_size_is_refused():
    with pytest.raises(InputError, match="10×10 pixels where its record says 20×20"):
        crop_object(np.zeros((10, 10, 3), np.uint8), record(20, 20))
