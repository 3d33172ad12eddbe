"""Tiles that share ground are found by their pixels, wherever they were cut out."""

from pathlib import Path

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.data.images import write_image
from satstudy.data.overlaps import BLOCK, Overlap, find_overlaps, merge_objects
from satstudy.data.records import ImageRecord

SCENE = np.random.default_rng(0).integers(90, 110, (200, 200, 3), dtype=np.uint8)


def found(*images):
    return find_overlaps(images, progress=False)


@settings(max_examples=60)
@given(st.tuples(*[st.integers(0, 136)] * 4), st.integers(40, 64), st.integers(40, 64))
def test_any_overlap_is_found_with_its_displacement(corners, height, width):
    (top, left, other_top, other_left) = corners
    first = SCENE[top : top + height, left : left + width]
    second = SCENE[other_top : other_top + width, other_left : other_left + height]
    rows = max(0, min(top + height, other_top + width) - max(top, other_top))
    columns = max(0, min(left + width, other_left + height) - max(left, other_left))
    expected = Overlap(0, 1, top - other_top, left - other_left, rows * columns)
    if min(rows, columns) >= 2 * BLOCK - 1:
        assert found(first, second) == [expected]
    else:
        assert found(first, second) in ([], [expected])


def test_one_other_pixel_is_another_ground():
    other = SCENE[20:84, 20:84].copy()
    assert len(found(SCENE[:64, :64], other)) == 1
    other[3, 3, 1] ^= 1
    assert found(SCENE[:64, :64], other) == []


def test_equal_colours_and_equal_patterns_are_no_overlap():
    flat = np.full((64, 64, 3), 255, np.uint8)
    stripes = np.repeat(np.resize([0, 255], 64)[:, None, None], 64, 1).repeat(3, 2).astype(np.uint8)
    one, other = SCENE[:64, :64].copy(), SCENE[100:164, 100:164].copy()
    one[16:48, 16:48], other[16:48, 16:48] = stripes[:32, :32], stripes[:32, :32]
    assert found(flat, flat[:40], stripes, stripes[:, :50], one, other) == []


def test_twins_small_images_and_no_image():
    assert found(SCENE[:64, :64], SCENE[:64, :64]) == [Overlap(0, 1, 0, 0, 64 * 64)]
    assert found(SCENE[:5, :64], SCENE[:64, :64]) == []
    assert found() == []


def test_files_are_read(tmp_path):
    for name, tile in (("a.png", SCENE[:64, :64]), ("b.png", SCENE[30:94, 10:74])):
        write_image(tmp_path / name, tile)
    assert found(tmp_path / "a.png", tmp_path / "b.png") == [Overlap(0, 1, -30, -10, 34 * 54)]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12),
    st.lists(st.integers(0, 5), min_size=10, max_size=10),
)
def test_objects_are_the_connected_parts(pairs, objects):
    records = [ImageRecord(Path(f"{i}.png"), "dam", f"o{k}", 64, 64) for i, k in enumerate(objects)]
    merged = merge_objects(records, [Overlap(a, b, 0, 0, 1) for a, b in pairs])
    graph = networkx.Graph([(f"o{objects[a]}", f"o{objects[b]}") for a, b in pairs])
    graph.add_nodes_from(f"o{k}" for k in objects)
    expected = {name: min(part) for part in networkx.connected_components(graph) for name in part}
    assert [r.object for r in merged] == [expected[r.object] for r in records]
    assert [r._replace(object="") for r in merged] == [r._replace(object="") for r in records]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_merge(count):
    records = [ImageRecord(Path("a.png"), "dam", "o", 64, 64)] * count
    assert merge_objects(records, []) == records
