"""The list of all files, read with care, and choices among it."""

import bz2
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.data.download import check_path, keep_large, read_manifest_list, select


def files(split: str, category: str, objects: int, images: int = 2) -> list[str]:
    return [
        f"{split}/{category}/{category}_{o}/{category}_{o}_{t}_{kind}.{ending}"
        for o in range(objects)
        for t in range(images)
        for kind in ("rgb", "msrgb")
        for ending in ("jpg", "json")
    ]


LIST = [*files("train", "zoo", 6), *files("train", "multi-unit_residential", 3), *files("val", "zoo", 4), "LICENSE"]


def test_the_list_is_read(tmp_path):
    (tmp_path / "m.bz2").write_bytes(bz2.compress(json.dumps(LIST).encode()))
    assert read_manifest_list(tmp_path / "m.bz2") == LIST


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no bzip2", "no readable list"),
        (bz2.compress(b"[1, 2"), "no readable list"),
        (bz2.compress(b'["a.jpg"]')[:-5], "no readable list"),
        (bz2.compress(b"[" * 100_000), "no readable list"),
        (bz2.compress(b'{"a": 1}'), "no flat list"),
        (bz2.compress(b'["a", 1]'), "no flat list"),
        (bz2.compress(b'["a", "../b"]'), "no plain path"),
        (bz2.compress(b'"' + b"x" * 200_000 + b'"'), "unpacks to more than 100000 bytes"),
    ],
)
def test_a_damaged_or_hostile_list_is_refused(tmp_path, data, message):
    (tmp_path / "m.bz2").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_manifest_list(tmp_path / "m.bz2", max_bytes=100_000)


def test_no_list(tmp_path):
    with pytest.raises(InputError, match=r"fetch manifest\.json\.bz2 first"):
        read_manifest_list(tmp_path / "m.bz2")


@pytest.mark.parametrize("name", ["", "/a", "..", "a/../b", "a/..", "a\\..\\b", "C:a", "a\nb", "a//b", "./a", "a/"])
def test_paths_that_could_leave_the_folder_are_refused(name):
    with pytest.raises(InputError, match="no plain path"):
        check_path(name)


@given(st.text(max_size=12))
def test_a_path_that_passes_stays_below_its_folder(name):
    from pathlib import Path

    try:
        check_path(name)
    except InputError:
        return
    assert Path("/root", name).resolve().is_relative_to("/root/")
    assert Path("/root", name) != Path("/root")


def test_selection_takes_rgb_images_with_their_json():
    chosen = select(LIST, "train")
    assert len(chosen) == 2 * 2 * 9
    assert chosen == sorted(chosen)
    assert all("_rgb." in name and name.startswith("train/") for name in chosen)
    assert {n[:-4] for n in chosen if n.endswith(".jpg")} == {n[:-5] for n in chosen if n.endswith(".json")}
    lonely = [name for name in LIST if name != "train/zoo/zoo_0/zoo_0_0_rgb.json"]
    assert len(select(lonely, "train")) == len(chosen) - 2


def objects(names: list[str], category: str) -> set[str]:
    return {name.split("/")[2] for name in names if name.split("/")[1] == category}


def test_objects_are_drawn_by_seed_and_name_alone():
    two, three = select(LIST, "train", None, 2), select(LIST, "train", None, 3)
    assert len(objects(two, "zoo")) == len(objects(two, "multi-unit_residential")) == 2
    assert select(LIST[::-1], "train", None, 2) == two
    assert set(two) <= set(three)
    assert set(select(LIST, "train", ["zoo"], 2)) == {name for name in two if "/zoo/" in name}
    assert len({tuple(select(LIST, "train", ["zoo"], 2, seed)) for seed in range(20)}) > 3
    assert objects(select(LIST, "train", None, 5), "multi-unit_residential") == {
        f"multi-unit_residential_{i}" for i in range(3)
    }


def test_a_category_that_is_not_there_is_named():
    with pytest.raises(InputError, match="no val image of airport, dam"):
        select(LIST, "val", ["dam", "zoo", "airport"])
    with pytest.raises(InputError, match="no train image of any category"):
        select([], "train")
    with pytest.raises(InputError, match="leaves nothing"):
        select(LIST, "train", None, 0)


def test_small_images_are_dropped_once_their_json_is_there(tmp_path):
    sizes = {"a_rgb": (1024, 1024), "b_rgb": (1023, 4000), "c_rgb": None}
    for stem, size in sizes.items():
        if size:
            (tmp_path / f"{stem}.json").write_text(json.dumps({"img_height": size[0], "img_width": size[1]}))
    (tmp_path / "d_rgb.json").write_text('{"img_height": null}')
    names = [f"{stem}_rgb.jpg" for stem in "abcd"]
    assert keep_large(names, tmp_path) == ["a_rgb.jpg", "c_rgb.jpg", "d_rgb.jpg"]
    with pytest.raises(InputError):
        keep_large(["../a.jpg"], tmp_path)
