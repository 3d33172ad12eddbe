"""The four sets: by object, of exact size, the same for the same seed."""

import random
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.data.records import ImageRecord
from satstudy.data.splits import PAPER, Sizes, by_number, make, read_manifest, subset, write_manifest


def pool(split: str, categories: list[list[int]]) -> list[ImageRecord]:
    """One list a category: the number of images of each of its objects."""
    return [
        ImageRecord(Path(f"/d/{split}/c{c}/c{c}_{o}/c{c}_{o}_{t}_rgb.jpg"), f"c{c}", f"{split}/c{c}_{o}", 1024, 1024)
        for c, objects in enumerate(categories)
        for o, images in enumerate(objects)
        for t in range(images)
    ]


def counts(manifest: pd.DataFrame) -> dict[str, int]:
    return {name: int((manifest["split"] == name).sum()) for name in set(manifest["split"])}


def torn(manifest: pd.DataFrame) -> set[str]:
    """Objects with images in more than one of the sets that must not share one; val-compress alone has the rest."""
    sets = [set(subset(manifest, name)["object"]) for name in ("train-compress", "train-class", "val-class")]
    return sets[0] & set(subset(manifest, "val-compress")["object"]) | sets[1] & sets[2]


def fmow_like(seed: int = 0) -> tuple[list[ImageRecord], list[ImageRecord]]:
    rng = random.Random(seed)
    return tuple(  # type: ignore[return-value]
        pool(s, [[rng.randint(1, 9) for _ in range(rng.randint(4, 20))] for _ in range(62)]) for s in ("train", "val")
    )


def test_the_papers_sizes_are_met_exactly_and_evenly():
    train, val = fmow_like()
    manifest = make(train, val, "/d", PAPER)
    assert counts(manifest) == {"train-compress": 1289, "train-class": 1551, "val-class": 378}
    assert len(subset(manifest, "val-compress")) == 1929
    assert not torn(manifest)
    images = subset(manifest, "train-compress").groupby("category").size()
    had = pd.Series([r.category for r in train]).value_counts()
    assert all(images[c] >= images.max() - 1 or images[c] == had[c] for c in had.index)
    assert subset(manifest, "val-class")["category"].nunique() == 62


POOLS = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=4)


@st.composite
def cases(draw):
    train, val = draw(POOLS), draw(POOLS)
    available = sum(map(sum, val))
    val_compress = draw(st.integers(0, available))
    train_class = draw(st.integers(0, val_compress))
    val_class = draw(st.integers(0, val_compress - train_class))
    if sum(map(len, val)) < 2 and val_class:
        train_class = 0
    return train, val, Sizes(draw(st.integers(0, sum(map(sum, train)))), val_compress, train_class, val_class)


@settings(max_examples=120)
@given(case=cases(), seed=st.integers(0, 2**32), order=st.randoms())
def test_splits_hold_whatever_the_pools(case, seed, order):
    train, val, sizes = pool("train", case[0]), pool("val", case[1]), case[2]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manifest = make(train, val, "/d", sizes, seed)
    assert not torn(manifest)
    # Exact sizes, or a warning about the class sets; never too many.
    got = {name: len(subset(manifest, name)) for name in ("train-compress", "val-compress", "train-class", "val-class")}
    assert got["train-compress"] == sizes.train_compress
    assert got["val-compress"] == sizes.val_compress
    assert got["train-class"] <= sizes.train_class
    assert got["val-class"] <= sizes.val_class
    short = (got["train-class"], got["val-class"]) != (sizes.train_class, sizes.val_class)
    assert short == bool(caught)
    # Independent of the order of the records.
    shuffled = train[:], val[:]
    for records in shuffled:
        order.shuffle(records)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pd.testing.assert_frame_equal(make(*shuffled, "/d", sizes, seed), manifest)


def test_seeds_differ():
    train, val = fmow_like()
    one, two = (set(subset(make(train, val, "/d", PAPER, seed), "val-class")["path"]) for seed in (0, 1))
    assert one != two


def test_the_root_does_not_matter():
    train, val = fmow_like()
    moved = [
        [r._replace(path=Path("/elsewhere") / r.path.relative_to("/d")) for r in records] for records in (train, val)
    ]
    pd.testing.assert_frame_equal(make(train, val, "/d", PAPER), make(moved[0], moved[1], "/elsewhere", PAPER))


def test_all_objects_can_be_used_where_they_add_up():
    val = pool("val", [[4, 4, 4, 4]] * 10)
    manifest = make([], val, "/d", Sizes(0, 160, 120, 40))
    assert counts(manifest) == {"train-class": 120, "val-class": 40}
    assert set(subset(manifest, "val-class").groupby("category").size()) == {4}


def test_where_objects_do_not_add_up_the_nearest_is_made_and_said():
    with pytest.warns(UserWarning, match="val-class has 3 of 5|train-class has 3 of 5|has 4 of 5"):
        manifest = make([], pool("val", [[3, 3, 4]]), "/d", Sizes(0, 10, 5, 5))
    assert len(subset(manifest, "val-compress")) == 10
    assert not torn(manifest)
    assert counts(manifest)["val-compress"] == 1  # in val-compress alone


def test_one_pool_is_dealt_to_both_codec_sets_by_object():
    records = pool("all", [[3, 2, 4, 1, 2, 3]] * 5)
    manifest = make(records, None, "/d", Sizes(20, 40, 30, 10))
    assert counts(manifest) == {"train-compress": 20, "train-class": 30, "val-class": 10}
    assert not set(subset(manifest, "train-compress")["object"]) & set(subset(manifest, "val-compress")["object"])


def test_too_few_images_say_how_many_there_are_and_are_needed():
    with pytest.raises(InputError, match="train split has 3 images of 2 objects in 1 categories and 4 are needed"):
        make(pool("train", [[1, 2]]), [], "/d", Sizes(4, 0, 0, 0))
    with pytest.raises(InputError, match=r"val split has 0 images .* 5 are needed for val-compress"):
        make([], [], "/d", Sizes(0, 5, 4, 1))
    with pytest.raises(InputError, match="has 1 object and 2 are needed"):
        make([], pool("val", [[9]]), "/d", Sizes(0, 5, 4, 1))
    with pytest.raises(InputError, match=r"data set has 9 images .* 10 are needed for all splits together"):
        make(pool("all", [[4, 5]]), None, "/d", Sizes(5, 5, 0, 0))


def test_senseless_sizes_and_records_are_refused():
    with pytest.raises(InputError, match="parts of val-compress"):
        Sizes(0, 5, 4, 2)
    with pytest.raises(InputError, match="negative"):
        Sizes(-1, 0, 0, 0)
    records = pool("train", [[2, 2]])
    with pytest.raises(InputError, match="among the records twice"):
        make(records + records[:1], None, "/d", Sizes(1, 1, 0, 0))
    with pytest.raises(InputError, match="are in train and in val"):
        make(records, [r._replace(path=r.path.with_suffix(".png")) for r in records], "/d", Sizes(1, 1, 0, 0))
    with pytest.raises(InputError, match="images of two categories"):
        make([records[0], records[1]._replace(category="c1")], None, "/d", Sizes(1, 1, 0, 0))


def merced(*names: str) -> list[ImageRecord]:
    return [
        ImageRecord(Path(f"/u/{c}/{c}{i:02}.webp"), c, f"{c}/{c}{i:02}", 256, 256) for c in names for i in range(100)
    ]


def test_uc_merced_splits_by_number():
    manifest = by_number(merced("river", "beach"), "/u")
    assert counts(manifest) == {"train-compress": 80, "train-class": 96, "val-class": 24}
    numbers = subset(manifest, "train-compress")["path"].str.extract(r"(\d+)\.")[0].astype(int)
    assert set(numbers) == set(range(40))
    assert counts(by_number(merced("river"), "/u", 50)) == {"train-compress": 50, "train-class": 38, "val-class": 12}


def test_splitting_by_number_refuses_what_it_cannot_split():
    records = merced("river")
    with pytest.raises(InputError, match="train-class has no image"):
        by_number(records, "/u", 100)
    with pytest.raises(InputError, match=r"val-class has no image of 1 of 1 categories \(river"):
        by_number(records[:80], "/u")
    with pytest.raises(InputError, match="no number"):
        by_number([records[0]._replace(path=Path("/u/river/river.webp"))], "/u")
    with pytest.raises(InputError, match="have numbers on two sides"):
        by_number([r._replace(object="one") for r in records], "/u")
    with pytest.raises(InputError):
        by_number([], "/u")


def test_a_split_survives_its_file(tmp_path):
    manifest = by_number(merced("river"), "/u")
    write_manifest(tmp_path / "manifest.csv", manifest)
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.csv"), manifest)
