"""Grids cover an image, and seams lie where patches meet."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.core.geometry import Rect, grid, spans


def test_the_example_of_the_paper():
    layout = grid(1496, 1496, patch=256, overlap=8)
    assert len(layout) == 36
    assert round(100 * layout.repeated, 2) == 5.14
    assert layout.coded_pixels == 36 * 256**2


@given(length=st.integers(1, 2000), patch=st.integers(1, 300), data=st.data())
def test_spans_cover_an_axis_without_one_too_many(length, patch, data):
    overlap = data.draw(st.integers(0, patch - 1))
    parts = spans(length, patch, overlap)
    assert parts[0][0] == 0
    assert parts[-1][1] == length
    for (a, b), (c, d) in itertools.pairwise(parts):
        assert c - a == patch - overlap
        assert b - a == patch
        assert b - c == overlap
        assert d > b
    assert all(0 < b - a <= patch for a, b in parts)


@pytest.mark.parametrize(("overlap", "expected"), [(0, [16, 32]), (4, [12, 16, 24, 28])])
def test_seams_are_where_the_number_of_patches_changes(overlap, expected):
    layout = grid(40, 40, patch=16, overlap=overlap)
    count = np.zeros(40, int)
    for a, b in layout.rows:
        count[a:b] += 1
    rows, columns = layout.seams
    assert rows == columns == expected
    if overlap:
        assert rows == (np.flatnonzero(np.diff(count)) + 1).tolist()
    assert grid(16, 5, patch=16, overlap=overlap).seams == ([], [])


@pytest.mark.parametrize(
    ("height", "width", "patch", "overlap"), [(0, 5, 8, 0), (5, -1, 8, 0), (5, 5, 0, 0), (5, 5, 8, 8), (5, 5, 8, -1)]
)
def test_impossible_grids_are_refused(height, width, patch, overlap):
    with pytest.raises(InputError):
        grid(height, width, patch, overlap)


def test_a_grid_names_its_patches():
    layout = grid(100, 60, patch=32, overlap=8)
    assert next(iter(layout)) == layout[0, 0] == Rect(0, 32, 0, 32)
    assert layout[3, 2] == Rect(72, 100, 48, 60)
    assert (layout[3, 2].height, layout[3, 2].width) == (28, 12)
    assert len(list(layout)) == len(layout) == 12
    assert layout.coded_pixels == sum(p.height * p.width for p in layout)
