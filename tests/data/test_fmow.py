"""An fMoW tree is read as it really lies on disk, with all its oddities."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.data import records
from satstudy.data.fmow import FMOW_CATEGORIES, check, scan
from satstudy.data.records import Box

BOX = {"ID": 1, "category": "zoo", "visible": "True", "box": [2, 3, 10, 12]}


def put(root: Path, name: str, size: tuple[int, int] = (40, 50), meta: Any = None, **fields: Any) -> Path:
    """One image and its JSON; `name` is split/category/object/stem."""
    split, category, thing, stem = name.split("/")
    folder = root / split / category / thing
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    base = {"gsd": 0.5, "img_height": size[0], "img_width": size[1], "bounding_boxes": [BOX]}
    path.with_suffix(".json").write_text(json.dumps({**base, **fields} if meta is None else meta))
    return path


def only(root: Path, **options: Any) -> Any:
    result = scan(root, min_size=None, **options)
    assert len(result.records) == 1
    return result.records[0]


def test_there_are_63_categories_with_false_detection():
    assert len(set(FMOW_CATEGORIES)) == len(FMOW_CATEGORIES) == 63
    assert {"false_detection", "multi-unit_residential", "airport", "zoo"} <= set(FMOW_CATEGORIES)
    assert list(FMOW_CATEGORIES) == sorted(FMOW_CATEGORIES)


def test_a_record_says_what_json_and_header_say(tmp_path):
    path = put(tmp_path, "train/zoo/zoo_7/zoo_7_3_rgb")
    record = only(tmp_path)
    assert record == (path, "zoo", "train/zoo_7", 40, 50, (Box(2, 3, 10, 12, "zoo"),), 0.5)


def test_splits_categories_and_siblings(tmp_path):
    put(tmp_path, "train/zoo/zoo_1/zoo_1_10_rgb")
    put(tmp_path, "train/zoo/zoo_1/zoo_1_2_rgb")
    put(tmp_path, "train/zoo/zoo_1/zoo_1_2_msrgb")
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb")
    put(tmp_path, "val/multi-unit_residential/multi-unit_residential_0/multi-unit_residential_0_0_rgb")
    put(tmp_path, "val/zoo/airport_1/airport_1_0_rgb")  # no object of this category
    (tmp_path / "val/zoo/readme.txt").write_text("")
    (tmp_path / "val/.cache").mkdir()
    every = scan(tmp_path, min_size=None).records
    assert [r.path for r in every] == sorted(r.path for r in every)
    assert [r.object for r in every] == ["train/zoo_1", "train/zoo_1", "val/multi-unit_residential_0", "val/zoo_1"]
    assert {r.object for r in scan(tmp_path, "train", min_size=None).records} == {"train/zoo_1"}


def test_the_least_size_holds_for_both_sides_and_what_is_below_is_counted(tmp_path):
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb", (60, 60))
    put(tmp_path, "val/zoo/zoo_1/zoo_1_1_rgb", (59, 80))
    put(tmp_path, "val/zoo/zoo_1/zoo_1_2_rgb", (80, 59))
    result = scan(tmp_path, min_size=60)
    assert [r.path.stem for r in result.records] == ["zoo_1_0_rgb"]
    assert result.too_small == 2
    assert result.skipped == []
    with pytest.raises(InputError, match=r"at least 1024×1024 pixels \(3 …_rgb images seen"):
        scan(tmp_path)


def test_a_bare_dict_is_one_box_and_minus_one_is_none(tmp_path):
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb", bounding_boxes=BOX)
    assert only(tmp_path).boxes == (Box(2, 3, 10, 12, "zoo"),)
    placeholder = {"ID": -1, "category": "", "visible": "", "box": []}
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb", bounding_boxes=[placeholder, BOX])
    assert only(tmp_path).boxes == (Box(2, 3, 10, 12, "zoo"),)
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb", bounding_boxes=[placeholder])
    assert only(tmp_path).boxes == ()


@pytest.mark.parametrize(
    "meta", [{}, {"gsd": None, "bounding_boxes": None}, {"gsd": 0}, {"gsd": "far"}, {"gsd": float("nan")}, {"gsd": -1}]
)
def test_missing_or_senseless_fields_leave_the_image_usable(tmp_path, meta):
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb", meta=meta)
    record = only(tmp_path)
    assert record.gsd is None
    assert record.boxes == ()
    assert (record.height, record.width) == (40, 50)


def test_the_header_decides_where_the_json_says_another_size(tmp_path):
    path = put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb", img_height=4000, img_width=5000)
    result = scan(tmp_path, min_size=None)
    assert (result.records[0].height, result.records[0].width) == (40, 50)
    assert result.notes == [(path, "the JSON says 4000×5000 pixels, the image has 40×50, which count")]
    with pytest.raises(InputError, match="no usable image"):
        scan(tmp_path, min_size=1024)


def test_boxes_without_anything_of_the_image_are_left_out_with_a_note(tmp_path):
    boxes = [
        {"ID": i, "box": box} for i, box in enumerate(([0, 0, 0, 5], [50, 0, 3, 3], [-9, 0, 9, 9], [-5, -5, 9, 9]))
    ]
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb", bounding_boxes=boxes)
    result = scan(tmp_path, min_size=None)
    assert result.records[0].boxes == (Box(-5, -5, 9, 9, "zoo"),)
    assert len(result.notes) == 3


def spoil(path: Path, how: str) -> None:
    sidecar = path.with_suffix(".json")
    match how:
        case "no json":
            sidecar.unlink()
        case "half a json":
            sidecar.write_text(sidecar.read_text()[:20])
        case "a list":
            sidecar.write_text("[1, 2]")
        case "binary":
            sidecar.write_bytes(b"\xff\xfe\x00\xd8\x00")
        case "deep":
            sidecar.write_text("[" * 100_000)
        case "long":
            sidecar.write_text(" " * (5 * 2**20))
        case "three numbers":
            sidecar.write_text(json.dumps({"bounding_boxes": [{"ID": 1, "box": [1, 2, 3]}]}))
        case "infinite":
            sidecar.write_text('{"bounding_boxes": [{"ID": 1, "box": [1, 2, 1e999, 3]}]}')
        case "huge":
            sidecar.write_text('{"bounding_boxes": [{"ID": 1, "box": [1, 2, 1e300, 3]}]}')
        case "text":
            sidecar.write_text('{"bounding_boxes": "none"}')
        case "half a header":
            path.write_bytes(path.read_bytes()[:30])
        case "empty image":
            path.write_bytes(b"")


@pytest.mark.parametrize(
    "how",
    ["no json", "half a json", "a list", "binary", "deep", "long", "three numbers", "infinite", "huge", "text",
     "half a header", "empty image"],
)  # fmt: skip
def test_an_unusable_file_stops_the_scan_or_is_listed(tmp_path, how):
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb")
    bad = put(tmp_path, "val/zoo/zoo_1/zoo_1_1_rgb")
    spoil(bad, how)
    with pytest.raises(InputError, match="zoo_1_1_rgb") as error:
        scan(tmp_path, min_size=None)
    assert "\n" not in str(error.value)
    result = scan(tmp_path, min_size=None, on_error="skip")
    assert [r.path.stem for r in result.records] == ["zoo_1_0_rgb"]
    assert [path for path, _ in result.skipped] == [bad]


def test_a_lossless_tree_is_read_and_one_image_under_two_endings_counts_once(tmp_path):
    path = put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb")
    Image.open(path).save(path.with_suffix(".png"))
    assert only(tmp_path).path == path
    path.unlink()
    assert only(tmp_path).path.suffix == ".png"


def test_no_tree_is_one_sentence_with_the_remedy(tmp_path):
    put(tmp_path, "train/zoo/zoo_1/zoo_1_0_rgb")
    for root in (tmp_path / "none", tmp_path / "train", tmp_path / "train/zoo"):
        with pytest.raises(InputError, match=r"is no fMoW tree.*holds train and val"):
            scan(root)
    with pytest.raises(InputError, match="none of fMoW's"):
        scan(tmp_path, "test")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no usable image"):
        scan(tmp_path, "val", min_size=None)


def test_a_category_that_is_a_link_is_followed_or_listed(tmp_path):
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb")
    put(tmp_path / "real", "val/airport/airport_1/airport_1_0_rgb")
    (tmp_path / "val/airport").symlink_to(tmp_path / "real/val/airport")
    (tmp_path / "val/lake").symlink_to("nowhere")
    result = scan(tmp_path, min_size=None, on_error="skip")
    assert [record.category for record in result.records] == ["airport", "zoo"]
    assert [path for path, _ in result.skipped] == [tmp_path / "val/lake"]
    with pytest.raises(InputError, match="lake is a link to nowhere"):
        scan(tmp_path, min_size=None)


def test_an_empty_category_is_named(tmp_path):
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb")
    (tmp_path / "val/airport").mkdir()
    (tmp_path / "val/notes").mkdir()
    with pytest.raises(InputError, match="airport holds no …_rgb image"):
        scan(tmp_path, min_size=None)
    assert len(scan(tmp_path, min_size=None, on_error="skip").records) == 1


def test_huge_images_are_scanned_by_their_header(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16291, 16288, 8, 2, 0, 0, 0))
    path = put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb")
    path.unlink()
    path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""))
    record = scan(tmp_path).records[0]
    assert (record.height, record.width) == (16288, 16291)


def test_checking_finds_what_the_header_hides(tmp_path):
    put(tmp_path, "train/zoo/zoo_1/zoo_1_0_rgb", (30, 20))
    put(tmp_path, "val/dam/dam_1/dam_1_0_rgb", (60, 80))
    put(tmp_path, "val/dam/dam_1/dam_1_1_rgb")
    cut = put(tmp_path, "val/dam/dam_2/dam_2_0_rgb")
    cut.write_bytes(cut.read_bytes()[:-200])
    lost = put(tmp_path, "val/dam/dam_2/dam_2_1_rgb")
    lost.with_suffix(".json").unlink()
    report = check(tmp_path)
    assert report.categories == {"dam": 2, "zoo": 1}
    assert report.images == 3
    assert {path for path, _ in report.unreadable} == {cut, lost}


def test_checking_takes_class_folders_too(tmp_path):
    (tmp_path / "river").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "river/river1.png")
    report = check(tmp_path)
    assert report.categories == {"river": 1}
    with pytest.raises(InputError):
        check(tmp_path / "none")


def test_scanning_many_images_shows_progress_and_few_none(tmp_path, monkeypatch, capsys):
    put(tmp_path, "val/zoo/zoo_1/zoo_1_0_rgb")
    scan(tmp_path, min_size=None)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(records, "PROGRESS_FROM", 1)
    scan(tmp_path, min_size=None)
    assert "scanning fMoW" in capsys.readouterr().err
    scan(tmp_path, min_size=None, progress=False)
    assert capsys.readouterr().err == ""
