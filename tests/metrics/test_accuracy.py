import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from satstudy.core.errors import InputError
from satstudy.metrics.accuracy import COLUMNS, accuracy_matrix, chance, confusions, leakage_effect


def frame(correct, objects=None, trained="a", validated="a"):
    """Predictions of `correct` (seeds, images)."""
    correct = np.asarray(correct, dtype=bool)
    objects = np.arange(correct.shape[1]) if objects is None else np.asarray(objects)
    return pd.concat(
        pd.DataFrame(
            {
                "trained_on": trained,
                "validated_on": validated,
                "seed": seed,
                "image": [f"i{i}" for i in range(len(row))],
                "object": [f"o{o}" for o in objects],
                "label": "dam",
                "predicted": np.where(row, "dam", "port"),
                "probability": 0.5,
            }
        )
        for seed, row in enumerate(correct)
    )


def width(row):
    return row["high"] - row["low"]


def test_the_matrix_is_the_mean_of_right_answers_over_images_and_seeds():
    predictions = pd.concat(
        [
            frame([[1, 1, 1, 0], [1, 1, 0, 0]]),
            frame([[1, 0, 0, 0], [0, 0, 0, 0]], validated="b"),
        ]
    )
    matrix = accuracy_matrix(predictions)
    assert matrix["accuracy"].tolist() == [0.625, 0.125]
    assert matrix[["seeds", "images", "objects"]].to_numpy().tolist() == [[2, 4, 4], [2, 4, 4]]
    assert (matrix["low"] <= matrix["accuracy"]).all()
    assert (matrix["accuracy"] <= matrix["high"]).all()


def test_images_count_alike_where_objects_have_different_numbers_of_them():
    matrix = accuracy_matrix(frame([[1, 1, 1, 0]], objects=[0, 0, 0, 1]))
    assert matrix["accuracy"].item() == 0.75
    assert matrix["objects"].item() == 2


@given(st.integers(1, 4), st.integers(2, 12), st.integers(0, 10**6))
def test_accuracy_is_the_share_of_right_answers_and_lies_in_its_interval(seeds, images, draw):
    rng = np.random.default_rng(draw)
    correct = rng.random((seeds, images)) < rng.random()
    row = accuracy_matrix(frame(correct, rng.integers(3, size=images)), resamples=50).iloc[0]
    assert row["accuracy"] == pytest.approx(correct.mean())
    if row["objects"] > 2:
        assert 0 <= row["low"] <= row["high"] <= 1


def test_the_interval_repeats_by_seed():
    predictions = frame(np.random.default_rng(0).random((2, 30)) < 0.6)
    pd.testing.assert_frame_equal(accuracy_matrix(predictions), accuracy_matrix(predictions))


def test_perfectly_correlated_images_widen_the_interval_to_that_of_their_objects():
    rng = np.random.default_rng(1)
    by_object = rng.random(25) < 0.6
    correct, objects = np.repeat(by_object, 8)[None], np.repeat(np.arange(25), 8)
    clustered = accuracy_matrix(frame(correct, objects)).iloc[0]
    naive = accuracy_matrix(frame(correct)).iloc[0]
    alone = accuracy_matrix(frame(by_object[None])).iloc[0]
    assert width(clustered) > 2 * width(naive)
    assert width(clustered) == pytest.approx(width(alone), rel=0.1)


def test_seeds_that_disagree_widen_the_interval():
    agree = np.tile(np.arange(40) % 2, (4, 1))
    disagree = np.stack([np.arange(40) % 2, np.ones(40), np.zeros(40), np.arange(40) % 2])
    disagree[1:3, 0] = [0, 1]
    assert width(accuracy_matrix(frame(disagree)).iloc[0]) > 1.5 * width(accuracy_matrix(frame(agree)).iloc[0])


def simulate(rng, seeds, objects, views, truth=0.7):
    """Right answers whose chance differs by object and by seed, with the mean `truth` over both."""
    hard = rng.beta(1.4, 0.6, size=objects)  # mean 0.7
    luck = rng.normal(0, 0.03, size=seeds)
    chances = np.clip(np.repeat(hard, views)[None] + luck[:, None], 0, 1)
    return frame(rng.random((seeds, objects * views)) < chances, np.repeat(np.arange(objects), views))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_hold_the_truth_about_as_often_as_they_say(seeds):
    rng = np.random.default_rng(seeds)
    rows = [accuracy_matrix(simulate(rng, seeds, 60, 3), resamples=300).iloc[0] for _ in range(150)]
    # The clipping at 0 and 1 moves the mean by less than 0.005.
    held = np.mean([r["low"] <= 0.7 <= r["high"] for r in rows])
    assert 0.88 <= held <= 0.995
    assert np.mean([width(r) for r in rows]) < 0.25


@pytest.mark.parametrize(("right", "expected"), [(1, (1, 0.84, 1)), (0, (0, 0, 0.16))])
def test_no_error_seen_is_not_certainty(right, expected):
    row = accuracy_matrix(frame(np.full((2, 20), right))).iloc[0]
    assert (row["accuracy"], row["low"], row["high"]) == pytest.approx(expected, abs=0.01)


def test_one_object_gives_no_interval():
    row = accuracy_matrix(frame([[1, 0, 1]], objects=[0, 0, 0])).iloc[0]
    assert math.isnan(row["low"])
    assert math.isnan(row["high"])


def test_the_leakage_effect_is_image_split_less_object_split():
    kept = frame(np.arange(40)[None] % 2)
    leaking = frame([np.arange(50) % 10 > 0])
    row = leakage_effect(kept, leaking).iloc[0]
    assert (row["by_object"], row["by_image"]) == (0.5, 0.9)
    assert row["effect"] == pytest.approx(0.4)
    assert 0.1 < row["low"] < 0.4 < row["high"] < 0.7
    with pytest.raises(InputError, match="share no pair"):
        leakage_effect(kept, frame([[1, 0]], trained="z"))


def test_chance_levels():
    levels = chance(["dam", "dam", "port", "zoo"], ["port", "dam", "zoo", "zoo"])
    assert levels.uniform == pytest.approx(1 / 3)
    assert levels.majority == 0.25
    # A tie goes to the first by name, whatever the order.
    assert chance(["port", "dam"], ["dam"]).majority == chance(["dam", "port"], ["dam"]).majority == 1
    with pytest.raises(InputError, match="at least one"):
        chance([], ["dam"])


def test_unusable_predictions_are_refused():
    good = frame([[1, 0]])
    with pytest.raises(InputError, match="lacks the columns label"):
        accuracy_matrix(good.drop(columns="label"))
    with pytest.raises(InputError, match="no rows: train"):
        accuracy_matrix(good.iloc[:0])
    with pytest.raises(InputError, match="different images"):
        accuracy_matrix(pd.concat([frame([[1, 0]]), frame([[1, 0, 1]]).assign(seed=7)]))


def test_confusions_are_the_rows_of_scikit_learns_confusion_matrix():
    rows = [("x", "y", 0, f"i{i}", f"o{i}", true, answered, 0.5) for i, (true, answered) in enumerate(
        [("a", "a"), ("a", "a"), ("a", "b"), ("a", "c"), ("b", "b")]
    )]  # fmt: skip
    predictions = pd.DataFrame(rows, columns=list(COLUMNS))
    other = predictions.assign(trained_on="y", predicted="c")
    table = confusions(pd.concat([predictions, other]))
    assert set(table["trained_on"]) == {"x"}, "the condition that comes first"
    found = table.pivot(index="label", columns="predicted", values="share").fillna(0)
    full = confusion_matrix(predictions["label"], predictions["predicted"], labels=["a", "b", "c"])[:2]
    assert found.to_numpy() == pytest.approx(full / full.sum(1, keepdims=True))
    with pytest.raises(InputError, match="lacks the columns predicted"):
        confusions(predictions.drop(columns="predicted"))
