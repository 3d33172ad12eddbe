"""Any tree of class folders is read, and what does not fit is said."""

from pathlib import Path

import pytest
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.data import records
from satstudy.data.folders import scan


def put(root: Path, *names: str, size: tuple[int, int] = (50, 40)) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (1, 2, 3)).save(root / name)


def test_class_folders_give_category_object_and_size(tmp_path):
    put(tmp_path, "river/river1.png", "beach/beach10.tif", "beach/beach2.jpg")
    put(tmp_path, "river/river2.webp", size=(47, 44))
    records = scan(tmp_path).records
    assert [(r.category, r.object) for r in records] == [
        ("beach", "beach/beach10"),
        ("beach", "beach/beach2"),
        ("river", "river/river1"),
        ("river", "river/river2"),
    ]
    assert (records[3].height, records[3].width) == (44, 47)
    assert records[0].boxes == ()
    assert records[0].gsd is None


def test_a_folder_of_images_alone_is_one_nameless_class(tmp_path):
    put(tmp_path, "x.png", "y.png")
    assert [(r.category, r.object) for r in scan(tmp_path).records] == [("", "x"), ("", "y")]


def test_a_folder_one_level_too_high_names_the_right_one(tmp_path):
    put(tmp_path, "Images/river/river1.png", "Images/beach/beach1.png")
    with pytest.raises(InputError, match=r"deeper than <class>/<image>.*Images\."):
        scan(tmp_path)


@pytest.mark.parametrize("stray", ["loose.png", "river/more/x.png"])
def test_an_image_outside_the_layout_stops_the_scan_or_is_listed(tmp_path, stray):
    put(tmp_path, "river/river1.png", stray)
    with pytest.raises(InputError, match="lies outside the layout"):
        scan(tmp_path)
    result = scan(tmp_path, on_error="skip")
    assert [r.object for r in result.records] == ["river/river1"]
    assert [path for path, _ in result.skipped] == [tmp_path / stray]


def test_a_broken_header_stops_the_scan_or_is_listed(tmp_path):
    put(tmp_path, "river/river1.png")
    (tmp_path / "river/river2.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"river2\.png is no image"):
        scan(tmp_path)
    assert len(scan(tmp_path, on_error="skip").skipped) == 1


def test_small_images_are_counted_and_folders_without_images_noted(tmp_path):
    put(tmp_path, "river/a.png", size=(64, 64))
    put(tmp_path, "river/b.png", size=(64, 63))
    put(tmp_path, ".thumbs/river/a.png")
    (tmp_path / "beach").mkdir()
    result = scan(tmp_path, min_size=64)
    assert [r.path.name for r in result.records] == ["a.png"]
    assert result.too_small == 1
    assert result.notes == [(tmp_path / "beach", "holds no image")]
    with pytest.raises(InputError, match=r"2 below min_size = 65"):
        scan(tmp_path, min_size=65)


def test_a_class_folder_that_is_a_link_to_nothing_is_listed(tmp_path):
    put(tmp_path, "zoo/a.png")
    (tmp_path / "lake").symlink_to("nowhere")
    assert scan(tmp_path, on_error="skip").skipped == [
        (tmp_path / "lake", f"{tmp_path}/lake is a link to nowhere, which is not there: mend or remove it.")
    ]


def test_of_a_folder_without_any_usable_image_the_first_reason_is_told(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(InputError, match=r"\(1 seen, 1 unusable\); .*a.png is no image"):
        scan(tmp_path, on_error="skip")


def test_no_folder_and_no_image(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        scan(tmp_path / "none")
    with pytest.raises(InputError, match="No image"):
        scan(tmp_path)


def test_scanning_many_images_shows_progress(tmp_path, monkeypatch, capsys):
    put(tmp_path, "a/x.png")
    monkeypatch.setattr(records, "PROGRESS_FROM", 1)
    scan(tmp_path)
    assert "scanning" in capsys.readouterr().err
