"""A study makes what it is asked for, keeps it, and makes it anew when a setting behind it changes."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import place, ship, tiny

from satstudy import paths, study, zoo
from satstudy.codecs import AVIF, JPEG, JPEG2000, WebP
from satstudy.data import splits, synthetic
from satstudy.errors import InputError
from satstudy.study import NATURAL, OVERHEAD, Study, centre, nearest, open_study, spread


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, tiny_model):
    """The scenes of the tiny profile, drawn once."""
    folder = tmp_path_factory.mktemp("scenes")
    with place(folder, tiny_model):
        return open_study(tiny(), progress=False).root


@pytest.fixture
def here(tmp_path, tiny_model, scenes, one_thread):
    """The folder that stands for the repository; its scenes are drawn already."""
    with place(tmp_path, tiny_model):
        shutil.copytree(scenes, tmp_path / "build" / "tiny" / scenes.name)
        yield tmp_path


def opened(**changes) -> Study:
    return open_study(tiny(**changes), progress=False)


@pytest.fixture
def drawn(monkeypatch):
    """Counts the calls of the trainer, which does not train: its weights are those it was given, or random."""
    calls = []

    class Instead:
        def __init__(self, config, images, validation, folder, *, init, N, M, metadata, progress):
            self.config, self.folder, self.metadata = config, folder, metadata
            self.model = init or study.zoo.from_weights(_random(N, M))
            calls.append(self)
            self.images, self.validation, self.init = images, validation, init

        def run(self):
            about = {**self.metadata, "N": str(self.model.N), "M": str(self.model.M), "lam": repr(self.config.lam)}
            zoo.save(self.folder / "weights.safetensors", self.model, about)

    monkeypatch.setattr(study, "Trainer", Instead)
    return calls


def _random(N, M):
    from satstudy.model import build

    return build(N, M).eval().weights()


# --- Images and splits ------------------------------------------------------------------------------------


def test_the_manifest_is_made_once_and_read_again(here, monkeypatch):
    first = opened().manifest
    counts = first["split"].value_counts()
    assert (counts["train-compress"], counts["train-class"], counts["val-class"]) == (6, 8, 4)
    assert splits.leakage(first) == 0
    monkeypatch.setattr(splits, "make", lambda *a, **k: pytest.fail("made again"))
    pd.testing.assert_frame_equal(opened().manifest, first)


def test_images_and_records_of_a_split_are_in_the_order_of_the_manifest(here):
    tiny_study = opened()
    rows = splits.subset(tiny_study.manifest, "val-compress")
    images, records = tiny_study.images("val-compress"), tiny_study.records("val-compress")
    assert [path.relative_to(tiny_study.root).as_posix() for path in images] == rows["path"].tolist()
    assert [record.path for record in records] == images
    assert [record.object for record in records] == rows["object"].tolist()
    assert len(records) == 12
    assert {record.path for record in tiny_study.records("train-class")} < set(images)


def test_a_split_by_image_keeps_the_sizes_and_leaks(here):
    tiny_study = opened()
    by_image = tiny_study.records("val-class", "image")
    assert len(by_image) == 4
    objects = {record.object for record in tiny_study.records("train-class", "image")}
    assert any(record.object in objects for record in by_image)
    assert len(tiny_study.manifest) == 18


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
    assert other.manifest["category"].unique().tolist() == [synthetic.CATEGORIES[0]]
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


def test_splits_by_number_have_no_image_level(numbered):
    with pytest.raises(InputError, match="splits by number"):
        opened(**numbered).records("val-class", "image")


# --- Weights ----------------------------------------------------------------------------------------------


def test_weights_are_trained_when_asked_for_and_read_again(here, monkeypatch):
    first = opened().weights(0.01)
    assert first.lam == 0.01
    about = first.metadata
    assert (about["profile"], about["domain"], about["synthetic"]) == ("tiny", "overhead", "true")
    assert (about["start"], about["steps"], about["N"], about["M"]) == ("overhead-lam0.01", "2", "8", "12")
    assert about["data"] == "synthetic scenes: train-compress"
    assert int(about["images"]) == 5, "one of six is held back"
    folder = opened().training_folder(0.01)
    assert {path.name for path in folder.iterdir()} >= {"weights.safetensors", "metrics.csv"}
    monkeypatch.setattr(study, "Trainer", lambda *a, **k: pytest.fail("trained again"))
    again = opened().weights(0.01)
    assert again.path == first.path
    assert all((again.model.weights()[name] == tensor).all() for name, tensor in first.model.weights().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"steps": 3}},
        {"train": {"lr": 1e-4}},
        {"train": {"optimizer": "adam"}},
        {"train": {"validation": 2}},
        {"splits": {"train_compress": 5}},
        {"seed": 1},
        {"train": {"init": "scratch", "N": 4, "M": 6}},
    ],
)
def test_other_settings_are_trained_anew(here, drawn, changes):
    opened().weights(0.01)
    opened(**changes).weights(0.01)
    assert len(drawn) == 2
    opened(**changes).weights(0.01)
    opened().weights(0.01)
    assert len(drawn) == 2, "both are kept"


def test_settings_that_do_not_touch_the_weights_leave_them(here, drawn):
    opened().weights(0.01)
    opened(
        description="other words",
        data={"label": "other", "on_error": "skip"},
        train={"lams": [0.01, 0.02], "validate_every": 2},
        rd={"images": 1},
        blending={"images": 2},
        accuracy={"seeds": 2},
    ).weights(0.01)
    assert len(drawn) == 1


def test_other_weights_to_start_from_are_trained_anew(here, drawn, make_model):
    opened().weights(0.01)
    shipped = ship(paths.WEIGHTS, make_model(1), 0.01)
    opened().weights(0.01)
    assert len(drawn) == 2
    # The same bytes at another place are the same start.
    other = here / "mine.safetensors"
    shutil.copy(shipped, other)
    train = {"lams": [0.01], "init": "mine.safetensors"}
    opened(train=train).weights(0.01)
    assert len(drawn) == 2


def test_shipped_weights_start_from_the_nearest(here, drawn, make_model):
    ship(paths.WEIGHTS, make_model(1), 0.001)
    opened().weights(0.005)
    opened().weights(0.002)
    opened(train={"warm_steps": 1}).weights(0.02)
    assert [trainer.metadata["start"] for trainer in drawn] == [
        "overhead-lam0.01",
        "overhead-lam0.001",
        "overhead-lam0.01",
    ]
    assert [trainer.config.steps for trainer in drawn] == [2, 2, 2], "none starts from a neighbour"


def test_from_scratch_the_middle_comes_first_and_each_starts_from_its_neighbour(here, drawn):
    train = {"init": "scratch", "lams": [0.001, 0.1, 0.01, 0.003], "N": 4, "M": 6, "steps": 5, "warm_steps": 3}
    scratch = opened(train=train)
    assert scratch.ladder() == [0.01, 0.003, 0.001, 0.1]
    assert [scratch.neighbour(lam) for lam in (0.01, 0.003, 0.001, 0.1, 0.05, 0.002)] == [
        None,
        0.01,
        0.003,
        0.01,
        0.01,
        0.003,
    ]
    scratch.weights(0.001)
    assert [t.config.lam for t in drawn] == [0.01, 0.003, 0.001]
    assert [t.config.steps for t in drawn] == [5, 3, 3]
    assert [t.metadata["start"] for t in drawn] == ["random", "this study, lam=0.01", "this study, lam=0.003"]
    assert drawn[0].init is None
    assert (drawn[0].model.N, drawn[0].model.M) == (4, 6)
    # A longer training of the first λ reaches those that start from it.
    opened(train={**train, "steps": 6}).weights(0.001)
    assert len(drawn) == 6


def test_a_file_starts_the_ladder_at_its_own_lam(here, drawn, make_model):
    ship(here, make_model(2), 0.004)
    filed = opened(train={"init": "overhead-lam0.004.safetensors", "lams": [0.001, 0.005, 0.02]})
    assert filed.ladder() == [0.005, 0.02, 0.001]
    filed.weights(0.02)
    assert [t.metadata["start"] for t in drawn] == ["overhead-lam0.004", "this study, lam=0.005"]


def test_each_of_the_ladder_comes_after_the_one_it_starts_from(here):
    for lams in ([0.1], [0.1, 0.2], [0.0002, 0.0008, 0.0025, 0.0067, 0.013, 0.03]):
        scratch = opened(train={"init": "scratch", "lams": lams})
        done = []
        for lam in scratch.ladder():
            assert scratch.neighbour(lam) in (*done, None)
            done.append(lam)
        assert sorted(done) == lams


def test_without_steps_the_shipped_weights_serve_as_they_are(here, monkeypatch):
    monkeypatch.setattr(study, "Trainer", lambda *a, **k: pytest.fail("trained"))
    still = opened(train={"steps": 0})
    assert still.weights(0.01).path == paths.WEIGHTS / "overhead-lam0.01.safetensors"
    with pytest.raises(InputError, match=r"overhead ship for lam = 0.02: take one of 0.01"):
        still.weights(0.02)
    with pytest.raises(InputError, match="natural ship"):
        still.weights(0.01, NATURAL)


@pytest.mark.parametrize("lam", [0.0, -1.0, 10.0, float("nan")])
def test_a_lam_that_is_no_trade_off_is_refused(here, lam):
    with pytest.raises(InputError, match="no trade-off"):
        opened(train={"init": "scratch"}).weights(lam)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"train": {"init": "data/none.safetensors"}}, r"starts from .*data/none.safetensors, which is not there"),
        (
            {"train": {"N": 16}},
            "asks for N = 16, M = 0 and starts from overhead-lam0.01.safetensors with N = 8, M = 12",
        ),
        ({"train": {"validation": 6}}, "6 of 6 images are held back"),
    ],
)
def test_what_cannot_start_is_said_in_one_sentence(here, changes, text):
    with pytest.raises(InputError, match=text):
        opened(**changes).weights(0.01)


def test_nothing_shipped_names_the_remedy(here):
    shutil.rmtree(paths.WEIGHTS)
    with pytest.raises(InputError, match=r"set train\.init to scratch"):
        opened().weights(0.01)


def test_the_natural_twin_has_the_same_start_and_other_images(here, drawn):
    with pytest.raises(InputError, match=r"no natural images: set data\.natural"):
        opened().weights(0.01, NATURAL)
    with pytest.raises(InputError, match="'marine' is no domain: take overhead or natural"):
        opened().weights(0.01, "marine")
    folder = here / "photos"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (80, 80), (i, 0, 0)).save(folder / f"{i}.png")
    twin = opened(data={"natural": "photos"})
    assert twin.weights(0.01).metadata["domain"] == OVERHEAD
    assert twin.weights(0.01, NATURAL).metadata["domain"] == NATURAL
    assert twin.learned(0.01, NATURAL).name == "learned-natural"
    assert [t.metadata["start"] for t in drawn] == ["overhead-lam0.01"] * 2
    assert drawn[0].config == drawn[1].config
    assert {path.parent for path in drawn[1].images} == {folder}
    assert drawn[1].metadata["data"] == "natural photographs"


def test_the_images_held_back_are_not_trained_on(here, drawn):
    opened(train={"validation": 2}).weights(0.01)
    assert (len(drawn[0].images), len(drawn[0].validation)) == (4, 2)
    assert not set(drawn[0].images) & set(drawn[0].validation)


# --- What is coded ----------------------------------------------------------------------------------------


def test_images_to_code_are_paths_or_crops(here):
    whole = opened().rd_images()
    assert len(whole) == 2
    assert {category for _, _, category in whole} == set(synthetic.CATEGORIES[:2])
    assert all(image == opened().root / name for name, image, _ in whole)
    crops = opened(rd={"images": 0, "crop": 96}).rd_images()
    assert len(crops) == 12
    assert {image.shape for _, image, _ in crops} == {(96, 96, 3)}


@pytest.mark.parametrize(
    ("shape", "side", "expected"), [((10, 7), 4, (4, 4)), ((3, 9), 4, (3, 4)), ((2, 2), 4, (2, 2))]
)
def test_the_centre_is_central(shape, side, expected):
    image = np.zeros((*shape, 3), np.uint8)
    image[:, :, 0] = np.arange(shape[0])[:, None]
    image[:, :, 1] = np.arange(shape[1])
    part = centre(image, side)
    assert part.shape == (*expected, 3)
    assert part.flags.c_contiguous
    for axis in (0, 1):
        before, after = part[..., axis].min(), shape[axis] - 1 - part[..., axis].max()
        assert abs(int(before) - int(after)) <= 1


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


def test_nearest_is_by_ratio():
    assert nearest(0.01, [0.001, 0.02]) == 0.02
    assert nearest(0.01, [0.001, 0.09]) == 0.09, "in difference 0.001 were nearer"
    assert nearest(0.01, [0.02, 0.005]) == 0.005, "of two as near the smaller"


def test_the_classical_codecs_are_those_of_the_profile(here):
    made = opened(rd={"webp": [10], "avif": [20, 30]}).classical()
    assert [(codec.name, type(codec)) for codec in made] == [
        ("jpeg", JPEG), ("jpeg", JPEG), ("jpeg2000", JPEG2000), ("webp", WebP), ("avif", AVIF), ("avif", AVIF),
    ]  # fmt: skip
    assert [codec.setting for codec in made[:2]] == ["quality=20", "quality=80"]


@pytest.mark.parametrize(
    ("name", "codec", "setting"),
    [
        ("jpeg 75", "jpeg", "quality=75"),
        ("jpeg2000 0.4", "jpeg2000", "bpp=0.4"),
        ("webp 50", "webp", "quality=50"),
        ("avif 50", "avif", "quality=50"),
        ("learned 0.01", "learned", "lam=0.01"),
    ],
)
def test_a_condition_names_its_codec(here, drawn, name, codec, setting):
    made = opened().condition_codec(name)
    assert (made.name, made.setting) == (codec, setting)
    assert getattr(made, "tiling", "blend") == "blend", "the profile's tiling"


def test_the_original_has_no_codec(here):
    assert opened().condition_codec("original") is None


@pytest.mark.parametrize(
    "name", ["jpeg", "jpeg high", "jpeg 7.5", "gif 5", "", "learned", "learned big", "original 5", "jpeg2000 x"]
)
def test_a_condition_that_is_none_shows_how_to_write_one(here, name):
    with pytest.raises(InputError, match="is no condition: write original, jpeg 75") as caught:
        opened().condition_codec(name)
    assert repr(name) in str(caught.value)


def test_a_setting_out_of_range_is_the_codecs_own_complaint(here):
    with pytest.raises(InputError, match=r"from .* to .*, not 500"):
        opened().condition_codec("jpeg 500")
    with pytest.raises(InputError, match="no natural images"):
        opened().condition_codec("learned-natural 0.01")


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
    assert tiny_study.learned(0.01).fingerprint.hex() in facts["weights"]
    assert tiny_study.provenance()["weights"] == "none"


def test_a_study_opens_by_name_by_path_and_by_profile(here):
    by_name = open_study("smoke", progress=False)
    assert by_name.folder == here / "build" / "smoke"
    assert by_name.profile == open_study(str(paths.PROFILES / "smoke.yaml")).profile
    assert open_study(tiny()).profile == tiny()
    assert not by_name.folder.exists(), "nothing is made before it is asked for"
    assert dataclasses.is_dataclass(by_name)
