"""The images of a study: drawn or found once, split once, and anew when a setting behind them changes."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import opened

from satstudy.core.errors import InputError
from satstudy.data import splits
from satstudy.data.splits import subset
from satstudy.data.synthetic.scene import CATEGORIES


def test_the_manifest_is_made_once_and_read_again(here, monkeypatch):
    first = opened().manifest
    counts = first["split"].value_counts()
    assert (counts["train-compress"], counts["train-class"], counts["val-class"]) == (6, 8, 4)
    monkeypatch.setattr(splits, "make", lambda *a, **k: pytest.fail("made again"))
    pd.testing.assert_frame_equal(opened().manifest, first)


def test_images_and_records_of_a_split_are_in_the_order_of_the_manifest(here):
    tiny_study = opened()
    rows = subset(tiny_study.manifest, "val-compress")
    images, records = tiny_study.images("val-compress"), tiny_study.records("val-compress")
    assert [path.relative_to(tiny_study.root).as_posix() for path in images] == rows["path"].tolist()
    assert [record.path for record in records] == images
    assert [record.object for record in records] == rows["object"].tolist()
    assert len(records) == 12
    assert {record.path for record in tiny_study.records("train-class")} < set(images)


def test_other_split_settings_make_another_split(here):
    first = opened().manifest
    smaller = opened(splits={"train_compress": 4}).manifest
    assert (smaller["split"] == "train-compress").sum() == 4
    assert opened(data={"label": "other words"}, rd={"crop": 64}).manifest.equals(first)


def test_other_scenes_are_drawn_beside_the_first(here, scenes):
    small = {"size": 64, "categories": 1, "train_objects": 1, "val_objects": 2, "views": 1}
    other = opened(data=small, splits={"train_compress": 1, "train_class": 1, "val_class": 1})
    assert other.root != opened().root == here / "build" / "tiny" / scenes.name
    assert {record.width for record in other.records("train-compress")} == {64}
    assert other.manifest["category"].unique().tolist() == [CATEGORIES[0]]
    assert {record.width for record in opened().records("train-compress")} == {176}


def test_a_missing_folder_names_the_remedy(here):
    with pytest.raises(InputError, match=r"tiny reads images from .*data/none.*put or link them there.*README"):
        _ = opened(data={"kind": "fmow", "root": "data/none"}).root


@pytest.fixture
def numbered(here):
    """A folder of classes as UC Merced has it, 100 images numbered 00 to 99 of each of two."""
    rng = np.random.default_rng(0)
    for name in ("river", "harbor"):
        for i in range(100):
            path = here / "data" / "tiles" / name / f"{name}{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return {"data": {"kind": "folders", "root": "data/tiles"}, "splits": {"method": "number", "number": 40}}


def test_folders_are_split_by_number(numbered):
    tiles = opened(**numbered)
    assert len(tiles.images("train-compress")) == 80
    assert len(tiles.images("val-compress")) == 120
    assert max(int(path.stem[-2:]) for path in tiles.images("train-compress")) == 39
    assert {record.category for record in tiles.records("val-class")} == {"river", "harbor"}
    assert len(opened(**{**numbered, "splits": {"method": "number", "number": 20}}).images("train-compress")) == 40
