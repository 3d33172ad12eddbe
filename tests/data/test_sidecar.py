"""Whatever JSON lies beside an image, it gives boxes or one sentence."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.data import fmow
from satstudy.data.records import Box

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["ID", "box", "category"]), inner),
    max_leaves=12,
)


@given(found=JSON)
def test_anything_gives_boxes_that_hold_some_of_the_image_or_an_input_error(found):
    try:
        boxes, _ = fmow.sidecar_boxes(found, "zoo", 30, 40, Path("a.jpg"))
    except InputError:
        return
    for box in boxes:
        assert box.w >= 1
        assert box.h >= 1
        assert box.x < 40
        assert box.y < 30
        assert box.x + box.w > 0
        assert box.y + box.h > 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        ("2.5", 2.5),
        (True, None),
        ("x", None),
        (None, None),
        (float("inf"), None),
        (10**400, None),
        ([1], None),
    ],
)
def test_numbers(value, expected):
    assert fmow.sidecar_number(value) == expected


def test_fractions_are_rounded_and_a_category_is_filled_in():
    boxes, notes = fmow.sidecar_boxes([{"box": [1.4, 1.6, "3", 4]}], "zoo", 30, 40, Path("a.jpg"))
    assert boxes == (Box(1, 2, 3, 4, "zoo"),)
    assert notes == []


def test_reading_gives_the_object(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"gsd": 1}))
    assert fmow.read_sidecar(tmp_path / "a.json") == {"gsd": 1}
    with pytest.raises(InputError, match="is missing"):
        fmow.read_sidecar(tmp_path / "b.json")
