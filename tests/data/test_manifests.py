"""A manifest is checked whenever it is written or read."""

from pathlib import Path

import pandas as pd
import pytest

from satstudy.core.errors import InputError
from satstudy.data.records import ImageRecord
from satstudy.data.splits import COLUMNS, manifest_from, read_manifest, subset, write_manifest


def table(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


GOOD = table(
    ("a/1.png", "a", "a/1", "train-compress"),
    ("a/2.png", "a", "a/2", "train-class"),
    ("NA/3, 4.png", "NA", "null", "val-class"),
    ("ü/5.png", "", "nan", "val-compress"),
)


def test_what_is_written_is_read_back_names_like_na_included(tmp_path):
    write_manifest(tmp_path / "deep/manifest.csv", GOOD)
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "deep/manifest.csv"), GOOD)


def test_val_compress_holds_its_class_sets():
    assert list(subset(GOOD, "val-compress")["object"]) == ["a/2", "null", "nan"]
    assert list(subset(GOOD, "train-compress").index) == [0]
    with pytest.raises(InputError, match="no split"):
        subset(GOOD, "val")


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../a.png", "a/../../b.png", "", ".", "a//b.png", "./a.png", "C:/a.png", "a\\b.png", "a\0b", "a/"],
)
def test_paths_that_leave_the_root_or_have_two_spellings_are_refused(tmp_path, path):
    bad = table((path, "a", "a", "val-class"))
    with pytest.raises(InputError, match="no plain path"):
        write_manifest(tmp_path / "m.csv", bad)
    assert not (tmp_path / "m.csv").exists()


def test_an_unknown_split_and_a_path_twice_are_refused(tmp_path):
    (tmp_path / "m.csv").write_text("path,category,object,split\na.png,a,a,test\n")
    with pytest.raises(InputError, match="unknown split 'test'"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("path,category,object,split\n" + "a.png,a,a,val-class\n" * 2)
    with pytest.raises(InputError, match=r"a\.png 2 times"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "path,category,object\n",
        "path,category,object,split,extra\na.png,a,a,val-class,1\n",
        "path,category,object,split\na.png,a\n",
        "path,category,object,split\na.png,a,a,val-class,more\n",
        'path,category,object,split\n"a.png,a,a,val-class\n',
    ],
)
def test_other_tables_are_refused(tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError):
        read_manifest(tmp_path / "m.csv")


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(InputError, match="no manifest"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\0\0path")
    with pytest.raises(InputError, match="no readable CSV"):
        read_manifest(tmp_path / "m.csv")


def test_with_a_root_every_image_has_to_be_there(tmp_path):
    write_manifest(tmp_path / "m.csv", GOOD.iloc[:2])
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").touch()
    with pytest.raises(InputError, match=r"1 of 2 images .* \(a/2\.png"):
        read_manifest(tmp_path / "m.csv", tmp_path)
    (tmp_path / "a/2.png").touch()
    assert len(read_manifest(tmp_path / "m.csv", tmp_path)) == 2


def test_records_outside_the_root_are_refused():
    record = ImageRecord(Path("/data/a.png"), "a", "a", 1, 1)
    assert list(manifest_from([(record, "val-class")], "/data")["path"]) == ["a.png"]
    with pytest.raises(InputError, match="outside the data's root"):
        manifest_from([(record, "val-class")], "/other")
