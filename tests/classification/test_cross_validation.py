"""The matrix: each image is validated once a round, by a network that never saw its object."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from grains import patterns, with_
from hypothesis import given, settings
from hypothesis import strategies as st

import satstudy.classification.cross_validation
from satstudy.classification.cross_validation import Column, CrossValidation, divide, some_rows
from satstudy.classification.train import add_features
from satstudy.core.errors import InputError
from satstudy.metrics.accuracy import COLUMNS, accuracy_matrix

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = with_(epochs=1)


def inverted(coded, condition="inverted"):
    return dataclasses.replace(coded, images=255 - coded.images, condition=condition)


SETS = {"original": patterns(), "inverted": inverted(patterns())}
ONE = {"original": Column(("original",))}
BOTH = {**ONE, "inverted": Column(("inverted",))}


def study(folder, config=QUICK, sets=SETS, columns=ONE, **options):
    return CrossValidation(config, sets, columns, folder, progress=False, **options)


class Calls(list):
    """(conditions, seed, images) of the networks that are trained; the next one after `most` is interrupted."""

    most = 99


@pytest.fixture
def trained(monkeypatch):
    calls = Calls()
    original = satstudy.classification.cross_validation.train_network

    def counted(config, sets, seed, **rest):
        if len(calls) == calls.most:
            raise KeyboardInterrupt
        calls.append(("+".join(s.condition for s in sets), seed, len(sets[0])))
        return original(config, sets, seed, **rest)

    monkeypatch.setattr(satstudy.classification.cross_validation, "train_network", counted)
    return calls


# --- Folds ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(0, 99), st.lists(st.integers(1, 4), min_size=15, max_size=25))
def test_each_image_is_validated_once_and_objects_stay_whole(folds, seed, sizes):
    groups = [f"o{i}" for i, size in enumerate(sizes) for _ in range(size)]
    labels = ["dam" if int(name[1:]) % 2 else "port" for name in groups]
    found = divide(labels, groups, folds, seed)
    assert len(found) == folds
    assert sorted(np.concatenate([fold.validation for fold in found]).tolist()) == list(range(len(groups)))
    for train, validation in found:
        assert sorted([*train, *validation]) == list(range(len(groups)))
        assert not {groups[i] for i in train} & {groups[i] for i in validation}
        assert {labels[i] for i in train} == {"dam", "port"}


def test_rounds_divide_differently_and_repeat():
    labels, groups = ["a", "b"] * 20, [f"o{i}" for i in range(40)]
    first, again, other = (divide(labels, groups, 2, seed)[0].train.tolist() for seed in (0, 0, 1))
    assert first == again != other
    with pytest.raises(InputError, match="a has 1 objects, too few for 2 folds"):
        divide(["a", "a", "b", "b"], ["o", "o", "p", "q"], 2, 0)


@given(st.integers(1, 30), st.integers(0, 9))
def test_some_rows_are_even_over_the_classes(count, seed):
    labels = np.array(["a", "b", "c"])[np.arange(40) % 3]
    rows = np.arange(3, 40)
    found = some_rows(labels, rows, count, seed)
    assert len(set(found.tolist())) == count
    assert set(found) <= set(rows)
    counts = pd.Series(labels[found]).value_counts().reindex(["a", "b", "c"], fill_value=0)
    assert counts.max() - counts.min() <= 1
    more = some_rows(labels, rows, count + 1, seed)
    assert set(found) <= set(more), "more images are these and others"


# --- The matrix -------------------------------------------------------------------------------------------


def test_an_easy_problem_is_learned_and_every_image_validated(tmp_path):
    found = study(tmp_path, with_(epochs=12)).predictions(["original"])
    assert list(found.columns) == list(COLUMNS)
    assert sorted(found["image"]) == sorted(patterns().names.tolist())
    assert found["probability"].between(0, 1).all()
    assert accuracy_matrix(found)["accuracy"].item() > 0.8


def test_no_network_answers_to_an_object_that_it_saw(tmp_path, monkeypatch):
    def classifier(self, name, seed, fold, on_step=None):
        saw = {o for coded in self._training_sets(name, seed, fold) for o in coded.objects.tolist()}

        class Answers:
            classes = ("fine", "flat", "rough")

            def probabilities(self, coded):
                assert not saw & set(coded.objects.tolist())
                return np.tile([0.2, 0.3, 0.5], (len(coded), 1))

        return Answers()

    monkeypatch.setattr(CrossValidation, "classifier", classifier)
    found = study(tmp_path, with_(seeds=3), columns=BOTH).predictions(["original", "inverted"])
    assert set(found["predicted"]) == {"rough"}
    assert len(found) == 36 * 3 * 2 * 2


def test_every_pair_is_trained_and_validated_and_a_study_resumes(tmp_path, trained):
    config = with_(epochs=1, seeds=2)
    trained.most = 5
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path, config, columns=BOTH).predictions(["original", "inverted"])
    assert [call[:2] for call in trained] == [("original", 0)] * 2 + [("inverted", 0)] * 2 + [("original", 1)]
    trained.clear()
    trained.most = 99
    found = study(tmp_path, config, columns=BOTH).predictions(["original", "inverted"])
    assert [call[:2] for call in trained] == [("original", 1), ("inverted", 1), ("inverted", 1)], "no network twice"
    assert found.groupby(["trained_on", "validated_on", "seed"]).size().tolist() == [36] * 8
    trained.clear()
    again = study(tmp_path, config, columns=BOTH).predictions(["original", "inverted"])
    pd.testing.assert_frame_equal(again, found)
    assert not trained
    fresh = study(tmp_path.parent / "other", config, columns=BOTH).predictions(["original", "inverted"])
    pd.testing.assert_frame_equal(fresh, found)


def test_a_row_more_needs_no_training(tmp_path, trained):
    study(tmp_path).predictions(["original"])
    trained.clear()
    found = study(tmp_path).predictions(["original", "inverted"])
    assert set(found["validated_on"]) == {"original", "inverted"}
    assert not trained


def test_another_configuration_is_trained_anew_and_another_view_only_validated(tmp_path, trained):
    first = study(tmp_path).predictions(["original"])
    trained.clear()
    study(tmp_path, with_(epochs=1, lr=1e-3)).predictions(["original"])
    assert len(trained) == 2
    trained.clear()
    other = study(tmp_path, with_(epochs=1, view=40)).predictions(["original"])
    assert not trained
    assert not other["probability"].equals(first["probability"])


def test_one_job_is_one_network(tmp_path, trained):
    validation = study(tmp_path, with_(epochs=1, seeds=2), columns=BOTH)
    jobs = list(validation.jobs())
    assert len(jobs) == len(set(jobs)) == 2 * 2 * 2
    validation.train([("inverted", 1, 0)])
    assert [call[:2] for call in trained] == [("inverted", 1)]
    assert validation.network_path("inverted", 1, 0).exists()
    validation.train([("inverted", 1, 0)])
    assert len(trained) == 1


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_damaged_answers_are_made_again(tmp_path, damage, trained):
    first = study(tmp_path).predictions(["original"])
    trained.clear()
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(damage)
    pd.testing.assert_frame_equal(study(tmp_path).predictions(["original"]), first)
    assert not trained


def test_images_of_one_object_may_stand_on_both_sides(tmp_path):
    by_image = study(tmp_path, by_image=True)
    objects = patterns().objects
    assert any(set(objects[train]) & set(objects[rows]) for train, rows in by_image.folds(0))
    assert not any(set(objects[train]) & set(objects[rows]) for train, rows in study(tmp_path).folds(0))


def test_a_mixture_and_a_few_images_are_columns(tmp_path, trained):
    columns = {
        "few": Column(("inverted",), start="original", images=6, epochs=2, lr=1e-3),
        "mixture": Column(("original", "inverted")),
        **ONE,
    }
    found = study(tmp_path, columns=columns).predictions(["original"])
    assert found.groupby("trained_on").size().to_dict() == {"few": 36, "mixture": 36, "original": 36}
    assert [call[0] for call in trained[:2]] == ["original", "inverted"], "what it goes on from comes first"
    assert sorted(trained) == sorted([("original", 0, 18), ("inverted", 0, 6), ("original+inverted", 0, 18)] * 2)


def test_a_frozen_network_trains_nothing(tmp_path, trained):
    config = with_(frozen=True, view=40, seeds=2)
    sets = {name: add_features(coded, config, tmp_path) for name, coded in SETS.items()}
    columns = {**BOTH, "mixture": Column(("original", "inverted"))}
    found = study(tmp_path, config, sets, columns).predictions(["original", "inverted"])
    assert not trained
    matrix = accuracy_matrix(found).set_index(["trained_on", "validated_on"])["accuracy"]
    assert matrix["original", "original"] > 0.9
    assert matrix["mixture", "inverted"] > 0.9
    pd.testing.assert_frame_equal(study(tmp_path, config, sets, columns).predictions(["original", "inverted"]), found)
    with pytest.raises(InputError, match="few: a frozen network cannot be fine-tuned"):
        study(tmp_path, config, sets, {"few": Column(("original",), images=3)}).predictions(["original"])


def test_unusable_sets_are_refused_before_anything_is_trained(tmp_path, trained):
    with pytest.raises(InputError, match="no condition"):
        study(tmp_path, columns={}).predictions(["original"])
    with pytest.raises(InputError, match="no condition"):
        study(tmp_path).predictions([])
    with pytest.raises(InputError, match="No images were coded for 'jpeg 5'"):
        study(tmp_path).predictions(["jpeg 5"])
    other = {"original": patterns(), "inverted": inverted(patterns(3))}
    with pytest.raises(InputError, match="hold different images"):
        study(tmp_path, sets=other).predictions(["original", "inverted"])
    with pytest.raises(InputError, match="crop = 64 is larger"):
        study(tmp_path, with_(crop=64)).predictions(["original"])
    assert not trained
    assert not list(tmp_path.iterdir())
    assert torch.get_num_threads() == 1
