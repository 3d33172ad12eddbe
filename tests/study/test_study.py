"""A study: what it codes, with which codecs, and where its results go."""

import dataclasses

import pandas as pd
import pytest
from small_study import opened, tiny

from satstudy.codecs import AVIF, JPEG, WebP, registry
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.data.synthetic.scene import CATEGORIES
from satstudy.study.study import open_study, spread

# --- What is coded ----------------------------------------------------------------------------------------


def test_images_to_code_are_paths_or_crops(here):
    whole = opened().rd_images()
    assert len(whole) == 2
    assert {category for _, _, category in whole} == set(CATEGORIES[:2])
    assert all(image == opened().root / name for name, image, _ in whole)
    crops = opened(rd={"images": 0, "crop": 96}).rd_images()
    assert len(crops) == 12
    assert {image.shape for _, image, _ in crops} == {(96, 96, 3)}


def table(counts: dict[str, tuple[int, ...]]) -> pd.DataFrame:
    """Images by category and object: `{"a": (2, 1)}` is two of the first object of a, one of the second."""
    rows = [
        (f"{category}/{o}/{i}", category, f"{category}{o}")
        for category, objects in counts.items()
        for o, images in enumerate(objects)
        for i in range(images)
    ]
    return pd.DataFrame(rows, columns=["path", "category", "object"])


@pytest.mark.parametrize("seed", range(5))
def test_a_selection_is_even_over_the_categories_and_objects(seed):
    rows = table({"a": (5, 5, 5), "b": (1,), "c": (3, 1)})
    seven = spread(rows, 7, seed)
    assert seven["category"].value_counts().to_dict() == {"a": 3, "c": 3, "b": 1}
    assert seven[seven["category"] == "a"]["object"].nunique() == 3
    assert seven["path"].tolist() == [path for path in rows["path"] if path in set(seven["path"])], "order is kept"
    pd.testing.assert_frame_equal(spread(rows, 7, seed), seven)
    assert set(spread(rows, 3, seed)["category"]) == {"a", "b", "c"}
    assert spread(rows, 20, seed)["path"].tolist() == rows["path"].tolist()


def test_another_seed_selects_others():
    rows = table({"a": (1,) * 20})
    assert len({tuple(spread(rows, 5, seed)["path"]) for seed in range(5)}) > 1


def test_codecs_and_settings_are_those_of_the_profile(here, drawn):
    codecs = {
        "jpeg": [20, 80],
        "webp": 10,
        "avif": [20],
        "jpeg2000": [],
        "mbt2018": "default",
        "mbt2018-refined": [0.3],
    }
    study = opened(rd={"codecs": codecs, "refine": 3})
    settings = study.rd_settings([0.1, 0.2])
    assert settings == {
        "jpeg": (20, 80), "webp": (10,), "avif": (20,), "jpeg2000": (), "mbt2018": (0.1, 0.2),
        "mbt2018-refined": (0.3,),
    }  # fmt: skip
    assert [study.codec(name, settings[name][0]) for name in ("jpeg", "webp", "avif")] == [JPEG(20), WebP(10), AVIF(20)]
    assert study.rd_settings([])["mbt2018"] == ()
    plain, refined = (study.codec(name, 0.01) for name in ("mbt2018", "mbt2018-refined"))
    assert (plain.setting, refined.name, refined.setting) == ("lam=0.01", "mbt2018-refined", "lam=0.01 refine=3")
    assert opened(rd={"codecs": {"avif": "default"}}).rd_settings([]) == {"avif": registry.find("avif").ladder}


def test_a_codec_whose_package_is_not_installed_is_left_out_with_a_sentence(here, monkeypatch):
    entry = dataclasses.replace(registry.find("jpeg"), name="vvc", label="VVC", package="no_such", extra="anchors")
    monkeypatch.setitem(registry._entries, "vvc", entry)
    study = opened(rd={"codecs": {"jpeg": [20], "vvc": "default"}})
    assert study.rd_settings([]) == {"jpeg": (20,)}
    assert study.missing_codecs() == ["VVC needs the package no_such: pip install 'satstudy[anchors]'."]
    with pytest.raises(InputError, match="VVC needs the package no_such"):
        study.codec("vvc", 20)


@pytest.mark.parametrize(
    ("name", "codec", "setting"),
    [
        ("jpeg 75", "jpeg", "quality=75"),
        ("jpeg2000 0.4", "jpeg2000", "bpp=0.4"),
        ("webp 50", "webp", "quality=50"),
        ("avif 50", "avif", "quality=50"),
        ("mbt2018 0.01", "mbt2018", "lam=0.01"),
    ],
)
def test_a_condition_names_its_codec(here, drawn, name, codec, setting):
    made = opened().condition_codec(name)
    assert (made.name, made.setting) == (codec, setting)
    assert getattr(made, "tiling", "blend") == "blend", "the profile's tiling"


def test_the_original_has_no_codec(here):
    assert opened().condition_codec("original") is None


@pytest.mark.parametrize(
    "name", ["jpeg", "jpeg high", "jpeg 7.5", "gif 5", "", "mbt2018", "learned big", "original 5", "jpeg2000 x"]
)
def test_a_condition_that_is_none_shows_how_to_write_one(here, name):
    with pytest.raises(
        InputError, match=r"is no condition: write original, or a codec and its setting \(jpeg 50, "
    ) as caught:
        opened().condition_codec(name)
    assert repr(name) in str(caught.value)


def test_a_setting_out_of_range_is_the_codecs_own_complaint(here):
    with pytest.raises(InputError, match=r"from .* to .*, not 500"):
        opened().condition_codec("jpeg 500")
    with pytest.raises(InputError, match="no natural images"):
        opened().condition_codec("mbt2018-natural 0.01")


# --- Results ----------------------------------------------------------------------------------------------


def test_results_lie_in_the_study_and_those_of_the_reference_are_tracked(here):
    assert opened().results == here / "build" / "tiny" / "results"
    assert opened(name="reference").results == here / "reference"


def test_a_page_is_told_profile_commit_weights_and_data(here, drawn):
    tiny_study = opened()
    checkpoint = tiny_study.weights(0.01)
    facts = tiny_study.provenance([checkpoint])
    assert facts["profile"] == "tiny"
    assert facts["commit"] == paths.commit()
    assert facts["synthetic"] == "true"
    assert facts["data"] == "synthetic scenes"
    assert facts["weights"].startswith("overhead lam=0.01 (")
    assert tiny_study.mbt2018(0.01).fingerprint.hex() in facts["weights"]
    assert tiny_study.provenance()["weights"] == "none"


def test_a_study_opens_by_name_by_path_and_by_profile(here):
    by_name = open_study("smoke", progress=False)
    assert by_name.folder == here / "build" / "smoke"
    assert by_name.profile == open_study(str(paths.PROFILES / "smoke.yaml")).profile
    assert open_study(tiny()).profile == tiny()
    assert not by_name.folder.exists(), "nothing is made before it is asked for"
    assert dataclasses.is_dataclass(by_name)
