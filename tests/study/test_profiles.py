"""A profile is what its YAML says, and nothing that is misspelt goes unnoticed."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from satstudy.classification.cross_validation import Column
from satstudy.classification.network import ClassifierConfig
from satstudy.classification.synthesis_head import HeadConfig
from satstudy.codecs import registry
from satstudy.codecs.learned import checkpoint
from satstudy.core import paths, settings
from satstudy.core.errors import InputError
from satstudy.study import profiles
from satstudy.study.accuracy import Hypothesis
from satstudy.study.profiles import Profile

SMALLEST = {
    "name": "mine",
    "description": "for a test",
    "data": {"kind": "synthetic"},
    "splits": {},
    "train": {"lams": [0.01]},
}


@pytest.fixture
def write(tmp_path):
    """`write(train={...}, name=...)`: a YAML file of the smallest profile with these changes, and its path."""

    def write(**changes) -> str:
        content = {**SMALLEST, **changes}
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
        return str(path)

    return write


def message(name: str) -> str:
    with pytest.raises(InputError) as caught:
        profiles.load(name)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- What ships -------------------------------------------------------------------------------------------


def test_the_four_profiles_of_the_contract_ship():
    assert set(profiles.names()) >= {"smoke", "quick", "reference", "paper"}


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile_loads_and_bears_the_name_of_its_file(name):
    profile = profiles.load(name)
    assert profile.name == name
    assert profile.description
    assert profile.data.label, "a page says where its images come from"
    assert profile.synthetic == (name in ("smoke", "quick"))
    assert profile.synthetic == profile.data.label.startswith("synthetic")
    assert profile == profiles.load(str(paths.PROFILES / f"{name}.yaml"))


def test_the_profiles_of_the_pages_are_profiles():
    """The page on a data set has a whole one; those on λ and on classifiers have sections of it."""
    pages = {
        path.stem: path.read_text(encoding="utf-8") for path in (paths.PACKAGE.parent / "book" / "own").glob("*.md")
    }
    blocks = {name: re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE) for name, text in pages.items()}
    whole = yaml.safe_load(*blocks.pop("data"))
    assert settings.build(Profile, whole, "data").rd.images == 20
    for name, parts in blocks.items():
        for part in parts:
            profile = settings.build(Profile, {**whole, **yaml.safe_load(part)}, name)
            for classifier, config in profile.accuracy.classifiers.items():
                settings.build(ClassifierConfig, dict(config), classifier)
            for condition in (*profile.accuracy.train_on, *profile.accuracy.validate_on):
                registry.read_condition(condition)


@pytest.mark.parametrize("name", profiles.names())
def test_what_a_shipped_profile_asks_of_its_notebooks_is_there(name):
    profile = profiles.load(name)
    # `blending` compares patches side by side with the paper's overlap, and `summary` quotes it.
    assert {0, 8} <= set(profile.blending.overlaps)
    # BD-rate takes four points or more.
    for codec, given in profile.rd.codecs.items():
        entry = registry.find(codec)
        assert len(entry.parse_settings(given)) >= 4
        if entry.learned and not entry.learned.every_rate:
            assert given == registry.DEFAULT, "those that are trained anyway"
    # Weights are those that the profile trains or, where it starts from them, those that ship.
    known = {*profile.train.lams, *(checkpoint.shipped() if profile.train.init == "shipped" else ())}
    assert set(profile.rd.lams) <= known
    wanted = profile.accuracy
    for condition in (*wanted.train_on, *wanted.validate_on, *wanted.curves, *wanted.head_rows):
        kind, _, value = condition.partition(" ")
        if kind == "mbt2018" and not value.endswith("bpp") and not wanted.shipped:
            assert float(value) in known, f"{condition} would train one more λ"
        assert kind != "mbt2018-natural" or profile.data.natural
    if name not in ("reference-accuracy", "reference-natural"):  # whose λ are for classifiers alone
        assert profile.blending.lam in (profile.rd.lams or profile.train.lams)
    for named in (wanted.matrix_of, wanted.hypotheses_with, wanted.remedies_with, wanted.heads_with):
        assert set(named) <= set(wanted.classifiers)
    for settings_of in wanted.classifiers.values():
        config = settings.build(ClassifierConfig, settings_of, name)
        assert max(config.view, 0 if config.frozen else config.crop) <= wanted.size
    for hypothesis in wanted.hypotheses.values():
        assert settings.build(Hypothesis, hypothesis, name).classifier in (*wanted.classifiers, "")
    for remedy in wanted.remedies.values():
        assert settings.build(Column, remedy, name).conditions
    if wanted.head:
        assert settings.build(HeadConfig, wanted.head, name).steps


def test_the_paper_has_the_papers_sizes():
    profile = profiles.load("paper")
    sizes = profile.splits
    assert (sizes.train_compress, sizes.train_class, sizes.val_class) == (1289, 1551, 378)
    assert sizes.train_class + sizes.val_class == 1929
    assert (profile.data.min_size, profile.train.N, profile.train.M) == (1024, 192, (192,))
    assert profile.accuracy.classifiers["dpn92"]["arch"] == "dpn92"


# --- What does not fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"splitz": {}}, ["'splitz'", "splits"]),
        ({"train": {"lams": [0.01], "step": 5}}, ["mine.train", "'step'", "did you mean steps?"]),
        ({"rd": {"qqq": 1}}, ["mine.rd", "'qqq'", "codecs"]),
        ({"rd": {"codecs": {"jpg": [5]}}}, ["mine.rd", "'jpg'", "did you mean jpeg?"]),
        ({"rd": {"codecs": {"jpeg": [5, 7.5]}}}, ["mine.rd", "jpeg takes quality as a whole number", "7.5"]),
        ({"rd": {"codecs": {"jpeg2000": "all"}}}, ["mine.rd", "jpeg2000 takes bpp as a number", "'all'"]),
        ({"rd": {"codecs": {"jpeg2000": [True]}}}, ["mine.rd", "jpeg2000 takes bpp as a number", "True"]),
        ({"rd": {"codecs": ["jpeg"]}}, ["mine.rd.codecs", "table"]),
        ({"rd": {"codecs": {"mbt2018-natural": "default"}}}, ["mbt2018-natural", "set data.natural"]),
        ({"train": {"lams": [0.01], 3: 5}}, ["mine.train", "3"]),
        ({"train": {"lams": "0.01"}}, ["mine.train.lams", "list", "0.01"]),
        ({"train": {"lams": [0.01], "M": [8, 9]}}, ["mine.train", "M = [8, 9]", "one for each of 1"]),
        ({"train": {"lams": ["x"]}}, ["mine.train.lams", "'x'", "float"]),
        ({"train": {"lams": [True]}}, ["mine.train.lams", "True", "float"]),
        ({"train": {"lams": [0.01], "steps": 1.5}}, ["mine.train.steps", "1.5", "int"]),
        ({"train": {"lams": [0.01], "steps": True}}, ["mine.train.steps", "True", "int"]),
        ({"train": {"lams": [0.01], "steps": "many"}}, ["mine.train.steps", "'many'", "int"]),
        ({"train": {"lams": [0.01], "lr": "fast"}}, ["mine.train.lr", "'fast'", "float"]),
        ({"train": {"lams": [0.01], "optimizer": "sgd"}}, ["mine.train.optimizer", "'sgd'", "soap, adam"]),
        ({"train": {"lams": []}}, ["mine.train", "lams", "one λ or more"]),
        ({"train": {"lams": [0.01, -1]}}, ["mine.train", "lams", "above 0"]),
        ({"train": {"lams": [0.01, 0.01]}}, ["mine.train", "lams", "each once"]),
        ({"train": {}}, ["mine.train", "lacks lams"]),
        ({"train": None}, ["mine", "lacks train"]),
        ({"train": None, "data": None}, ["lacks data, train"]),
        ({"data": {"kind": "landsat"}}, ["mine.data.kind", "'landsat'", "synthetic, folders, fmow"]),
        ({"data": {"kind": ["fmow"]}}, ["mine.data.kind", "synthetic, folders, fmow"]),
        ({"data": "fmow"}, ["mine.data", "table", "'fmow'"]),
        ({"accuracy": {"classifiers": ["dpn"]}}, ["mine.accuracy.classifiers", "table"]),
        ({"accuracy": {"leakage": 1}}, ["mine.accuracy.leakage", "bool"]),
        ({"train": {"lams": [20]}}, ["mine.train.lams", "20", "below 10"]),
        ({"train": {"lams": [0.01], "crop": 100}}, ["mine.train does not fit", "crop = 100", "multiple of 64"]),
        ({"train": {"lams": [0.01], "batch": 0}}, ["mine.train.batch", "0", "1 or more"]),
        ({"train": {"lams": [0.01], "lr": 0}}, ["mine.train.lr", "above 0"]),
        ({"train": {"lams": [0.01], "context_passes": 101}}, ["mine.train", "context_passes = 101"]),
        ({"splits": {"val_class": -1}}, ["mine.splits.val_class", "-1", "0 or more"]),
        ({"rd": {"resamples": 0}}, ["mine.rd.resamples", "0", "1 or more"]),
        ({"rd": {"codecs": {"jpeg": [101]}}}, ["mine.rd", "quality", "101"]),
        ({"rd": {"codecs": {"jpeg2000": [0]}}}, ["mine.rd", "bpp", "above 0"]),
        ({"rd": {"codecs": {"mbt2018": [10]}}}, ["mine.rd", "lam between 0 and 10"]),
        ({"train": {"lams": [0.01], "N": 1025}}, ["mine.train.N", "1024 or less"]),
        ({"train": {"lams": [0.01], "M": 1025}}, ["mine.train.M", "1024 or less"]),
        ({"data": {"kind": "fmow"}}, ["mine.data", "needs the folder of its images: set root"]),
        ({"data": {"kind": "synthetic", "size": 5}}, ["mine.data.size", "or more"]),
        ({"data": {"kind": "synthetic", "categories": 99}}, ["mine.data.categories", "or less"]),
        ({"seed": 2**32}, ["mine.seed", "below"]),
        ({"blending": {"overlaps": [8, 129]}}, ["mine.blending.overlaps", "129", "128 or less"]),
        ({"name": "../mine"}, ["'../mine'", "folder"]),
        ({"name": 5}, ["mine.name", "5", "str"]),
    ],
)
def test_what_does_not_fit_is_named_in_one_sentence(write, changes, names):
    text = message(write(**changes))
    for name in names:
        assert name in text


def test_an_unknown_profile_is_told_from_the_nearest():
    assert "did you mean quick?" in message("quik")
    text = message("zzz")
    assert all(name in text for name in profiles.names())
    assert "did you mean" not in text
    assert "'nowhere/mine.yaml'" in message("nowhere/mine.yaml")


@pytest.mark.parametrize(
    "content", [b"name: [1", b"name: a\n\tdata: b", b"a: b: c", b"\xff\xfe\x00", b"!!python/name:os.system"]
)
def test_bad_yaml_is_said_to_be_so(tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    assert "bad.yaml cannot be read as YAML" in message(str(path))


def test_the_line_of_a_mistake_in_yaml_is_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: a\ndescription: b\ntrain: [1, 2\nseed: 0\n")
    assert "line 4" in message(str(path))


def test_a_setting_that_stands_twice_is_named_with_its_lines(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(yaml.safe_dump(SMALLEST) + "seed: 1\nseed: 2\n")
    first = len(path.read_text().splitlines()) - 1
    assert message(str(path)) == f"twice.yaml has seed twice, lines {first} and {first + 1}: keep one."


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "text"])
def test_yaml_that_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "flat.yaml"
    path.write_text(content)
    assert "flat must be a table of settings" in message(str(path))


def test_the_files_behind_a_profile_are_its_own_and_those_it_starts_from(write):
    all_ = [
        str(paths.PROFILES / f"{name}.yaml")
        for name in ("reference-mbt2018", "reference-ladder", "reference-192", "reference-128")
    ]
    assert profiles.chain("reference-mbt2018") == all_
    assert [Path(path).stem for path in profiles.chain("reference-wavelet-scales")] == [
        "reference-wavelet-scales",
        "reference-wavelet",
    ]
    assert profiles.chain("quick") == [str(paths.PROFILES / "quick.yaml")]
    own = write(train={"lams": [0.01], "init": "profile:reference-mbt2018"})
    assert profiles.chain(own) == [own, *profiles.chain("reference-mbt2018")]
    own = write(accuracy={"natural_profile": "reference-natural"})
    assert profiles.chain(own) == [own, *profiles.chain("reference-natural")]


# --- What is made of it -----------------------------------------------------------------------------------


def test_lists_become_tuples_and_whole_numbers_floats(write):
    profile = profiles.load(write(train={"lams": [1, 0.5], "lr": 1, "M": 8}, seed=3))
    assert profile.train.lams == (1.0, 0.5)
    assert all(type(lam) is float for lam in profile.train.lams)
    assert type(profile.train.lr) is float
    assert profile.train.M == (8,)
    assert profile.seed == 3
    hash(profile.train)  # nothing in it can be changed


def test_a_float_without_a_point_is_read_as_one_though_yaml_reads_text(tmp_path):
    path = tmp_path / "mine.yaml"
    plain = yaml.safe_dump(SMALLEST).replace("- 0.01", "- 1e-3\n  lr: 2E-4")
    path.write_text(plain)
    assert yaml.safe_load(plain)["train"]["lr"] == "2E-4"
    train = profiles.load(str(path)).train
    assert (train.lams, train.lr) == ((0.001,), 0.0002)


def test_what_is_left_out_takes_its_default(write):
    profile = profiles.load(write())
    assert profile.rd == profiles.RateDistortion()
    assert profile.train == profiles.Train(lams=(0.01,))
    assert dataclasses.asdict(profile)["splits"] == dataclasses.asdict(profiles.Splits())
    assert profile.rd.tiling == "blend", "the paper's figures blend"
