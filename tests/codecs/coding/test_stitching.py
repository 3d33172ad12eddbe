"""Patches cover an image, and blending puts it together again bit by bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs.coding.stitching import assemble, axis_weights, blend
from satstudy.core.errors import InputError
from satstudy.core.geometry import Rect, grid, spans


@st.composite
def layouts(draw, longest: int = 300):
    patch = draw(st.integers(1, 120))
    # Large overlaps multiply the patches: keep their number within what a test can do.
    overlap = draw(st.integers(0, max(0, patch - 1 - patch // 8)))
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    return grid(height, width, patch, overlap)


def image_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cut(image: np.ndarray, patch: Rect) -> np.ndarray:
    return image[patch.top : patch.bottom, patch.left : patch.right]


@given(layout=layouts(), weighting=st.sampled_from(["mean", "ramp"]), dtype=st.sampled_from([np.uint8, np.float32]))
@settings(max_examples=60, deadline=None)
def test_an_identity_codec_gives_every_image_back(layout, weighting, dtype):
    image = image_of(layout.height, layout.width)
    patches = (cut(image, patch).astype(dtype) for patch in layout)
    assert np.array_equal(assemble(layout.height, layout.width, blend(layout, patches, weighting)), image)


@given(layout=layouts(), weighting=st.sampled_from(["mean", "ramp"]))
@settings(deadline=None)
def test_weights_are_positive_and_add_up_to_one(layout, weighting):
    for parts in (layout.rows, layout.columns):
        total = np.zeros(parts[-1][1])
        for (a, b), weight in zip(parts, axis_weights(parts, weighting), strict=True):
            assert weight.dtype == np.float32
            assert weight.shape == (b - a,)
            assert weight.min() > 0
            total[a:b] += weight
        assert np.allclose(total, 1, atol=1e-6)


def test_the_mean_and_the_ramp_over_an_overlap_of_four():
    parts = spans(12, 8, 4)
    assert np.allclose(axis_weights(parts, "mean")[0], [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5])
    assert np.allclose(axis_weights(parts, "ramp")[0], [1, 1, 1, 1, 0.875, 0.625, 0.375, 0.125])
    with pytest.raises(InputError, match="'mean' or 'ramp'"):
        axis_weights(parts, "median")


def test_overlaps_are_averaged_before_rounding():
    layout = grid(4, 6, patch=4, overlap=2)
    patches = [np.full((4, 4, 3), 10, np.float32), np.full((4, 4, 3), 13, np.float32)]
    image = assemble(4, 6, blend(layout, patches))
    assert image[0, :, 0].tolist() == [10, 10, 12, 12, 13, 13]  # 11.5 to the even one
    assert np.array_equal(
        assemble(4, 6, blend(layout, [p * 100 - 1100 for p in patches]))[0, :, 0], [0] * 2 + [50] * 2 + [200] * 2
    )


@given(layout=layouts(200), weighting=st.sampled_from(["mean", "ramp"]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_part_of_the_patches_gives_the_same_pixels_where_no_other_reaches(layout, weighting, data):
    rng = np.random.default_rng(0)
    patches = {(i, j): rng.uniform(-20, 280, (b - a, d - c, 3)).astype(np.float32)
               for i, (a, b) in enumerate(layout.rows) for j, (c, d) in enumerate(layout.columns)}  # fmt: skip
    whole = assemble(layout.height, layout.width, blend(layout, patches.values(), weighting))
    # Any window, from exactly those patches that share a pixel with it.
    top, left = data.draw(st.integers(0, layout.height - 1)), data.draw(st.integers(0, layout.width - 1))
    bottom, right = data.draw(st.integers(top + 1, layout.height)), data.draw(st.integers(left + 1, layout.width))
    rows = [i for i, (a, b) in enumerate(layout.rows) if a < bottom and b > top]
    columns = [j for j, (a, b) in enumerate(layout.columns) if a < right and b > left]
    bands = blend(layout, (patches[i, j] for i in rows for j in columns), weighting, rows, columns)
    first, start = layout.rows[rows[0]][0], layout.columns[columns[0]][0]
    part = np.concatenate([band for _, band in bands])
    assert np.array_equal(
        part[top - first : bottom - first, left - start : right - start], whole[top:bottom, left:right]
    )


def test_bands_follow_one_another_without_a_gap():
    layout = grid(50, 20, patch=16, overlap=5)
    at = 0
    for top, band in blend(layout, (np.zeros((p.height, p.width, 3), np.float32) for p in layout)):
        assert top == at
        assert band.shape[1:] == (20, 3)
        assert band.dtype == np.uint8
        at += len(band)
    assert at == 50


def test_a_patch_of_another_size_is_refused():
    layout = grid(20, 20, patch=16, overlap=0)
    with pytest.raises(ValueError, match="patch"):
        list(blend(layout, [np.zeros((16, 15, 3), np.float32)] * 4))
