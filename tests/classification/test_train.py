"""Classifiers are trained on each condition and validated on all, in pairs, and go on where they were."""

import dataclasses
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch
from grains import TINY, patterns, shown, with_

import satstudy.classification.train
from satstudy.classification.coded_images import CodedSet
from satstudy.classification.network import build
from satstudy.classification.train import cross_validate, train_classifier
from satstudy.core.errors import InputError, SatstudyError
from satstudy.metrics.accuracy import COLUMNS, accuracy_matrix

pytestmark = pytest.mark.usefixtures("one_thread")


def inverted(coded, condition="inverted"):
    return dataclasses.replace(coded, images=255 - coded.images, condition=condition)


def study(folder, *, train=None, validation=None, seeds=(0,), config=TINY):
    train = train or [patterns()]
    validation = validation or [patterns(3, first=1)]
    return cross_validate(config, train, validation, seeds, folder, progress=False)


def weights(network):
    return torch.cat([p.detach().float().flatten() for p in network.model.state_dict().values()])


def test_an_easy_problem_is_learned(tmp_path):
    found = study(tmp_path)
    assert list(found.columns) == list(COLUMNS)
    assert len(found) == 18
    assert found["probability"].between(0, 1).all()
    assert accuracy_matrix(found)["accuracy"].item() > 0.8


def test_two_runs_give_equal_weights_whatever_was_drawn_before():
    first = weights(train_classifier(with_(epochs=2), patterns(), 3))
    torch.rand(17)
    assert torch.equal(first, weights(train_classifier(with_(epochs=2), patterns(), 3)))
    assert not torch.equal(first, weights(train_classifier(with_(epochs=2), patterns(), 4)))


def test_training_leaves_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_classifier(with_(epochs=1), patterns(2), 0)
    assert torch.equal(torch.rand(3), expected)


def test_conditions_are_paired(monkeypatch):
    """For one seed, every condition starts from the same weights and shows the same crops in the same order."""
    seen = []

    def note(network, crops):
        seen[-1].append((weights(network) if not seen[-1] else None, crops))
        return torch.zeros(len(crops), 3, requires_grad=True)

    monkeypatch.setattr("satstudy.classification.network.Classifier.logits", note)
    for coded in (patterns(), inverted(patterns())):
        seen.append([])
        train_classifier(with_(epochs=2), coded, 0)
    plain, other = seen
    assert torch.equal(plain[0][0], other[0][0])
    assert len(plain) == len(other) > 2
    assert all(np.array_equal(a, 255 - b) for (_, a), (_, b) in zip(plain, other, strict=True))


def numbered(n, per_object=2):
    images = np.repeat(np.arange(n, dtype=np.uint8), 40 * 40 * 3).reshape(n, 40, 40, 3)
    things = np.array([f"o{i // per_object}" for i in range(n)])
    labels = np.array(["dam", "port"])[np.arange(n) // per_object % 2]
    return CodedSet("c", images, np.array([f"i{i}" for i in range(n)]), labels, things, np.ones(n), np.ones(n))


def test_every_image_is_shown_once_an_epoch(monkeypatch):
    steps = shown(monkeypatch, with_(epochs=2), numbered(21))
    assert len(steps) == 6
    assert {len(s) for s in steps} == {7}
    assert sorted(chain(*steps[:3])) == sorted(chain(*steps[3:])) == list(range(21))
    assert steps[:3] != steps[3:]


def test_one_image_of_each_object_an_epoch(monkeypatch):
    steps = shown(monkeypatch, with_(epochs=8, one_per_object=True), numbered(20))
    assert len(steps) == 8
    assert all(sorted(i // 2 for i in s) == list(range(10)) for s in steps)
    assert set(chain(*steps)) == set(range(20)), "over the epochs every image has its turn"


def test_a_study_trains_and_validates_every_pair_and_resumes(tmp_path, monkeypatch):
    train, validation = patterns(), patterns(3, first=1)
    sets = {"train": [train, inverted(train)], "validation": [validation, inverted(validation)]}
    trained = []
    original = satstudy.classification.train.train_classifier

    def counted(config, coded, seed, **rest):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append((coded.condition, seed))
        return original(config, coded, seed, **rest)

    monkeypatch.setattr(satstudy.classification.train, "train_classifier", counted)
    quick = with_(epochs=1)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path, **sets, seeds=(0, 1), config=quick)
    assert trained == [("original", 0), ("inverted", 0), ("original", 1)]
    trained.clear()
    found = study(tmp_path, **sets, seeds=(0, 1), config=quick)
    assert trained == [("inverted", 1)], "what is done is not done again"
    assert found.groupby(["trained_on", "validated_on", "seed"]).size().tolist() == [18] * 8
    trained.clear()
    pd.testing.assert_frame_equal(study(tmp_path, **sets, seeds=(0, 1), config=quick), found)
    assert not trained
    study(tmp_path, **sets, seeds=(0,), config=with_(epochs=1, lr=1e-3))
    assert len(trained) == 2, "another configuration is another study"


def test_a_resumed_study_equals_an_uninterrupted_one(tmp_path):
    first = study(tmp_path / "a", seeds=(0, 1), config=with_(epochs=1))
    study(tmp_path / "b", seeds=(1,), config=with_(epochs=1))
    pd.testing.assert_frame_equal(first, study(tmp_path / "b", seeds=(0, 1), config=with_(epochs=1)))


def test_a_damaged_result_is_made_again(tmp_path):
    first = study(tmp_path, config=with_(epochs=1))
    (path,) = tmp_path.glob("*.csv")
    path.write_text("nonsense\n1\n")
    pd.testing.assert_frame_equal(study(tmp_path, config=with_(epochs=1)), first)


def test_weights_of_one_training_start_another(tmp_path):
    network = train_classifier(with_(epochs=1), patterns(2), 0)
    network.save(tmp_path / "start.safetensors")
    torch.save(network.model.state_dict(), tmp_path / "start.pth")
    for name in ("start.safetensors", "start.pth"):
        config = with_(init=str(tmp_path / name))
        again = build(config, 3).state_dict()
        assert all(torch.equal(v, again[k]) for k, v in network.model.state_dict().items())
        wider = build(config, 5).state_dict()
        assert torch.equal(wider["conv1.0.weight"], again["conv1.0.weight"])
        assert wider["fc.weight"].shape[0] == 5


@pytest.mark.parametrize("schedule", ["one-cycle", "step"])
def test_the_learning_rate_falls(schedule, monkeypatch):
    rates = []
    original = torch.optim.SGD.step

    def step(self, *rest):
        rates.append(self.param_groups[0]["lr"])
        return original(self, *rest)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    config = with_(optimizer="sgd", lr=0.1, schedule=schedule, step_epochs=2, epochs=6)
    train_classifier(config, patterns(2), 0)
    assert len(rates) == 6 * 2
    assert max(rates) == pytest.approx(0.1, rel=0.2)
    assert rates[-1] < 0.01
    if schedule == "step":
        assert rates == pytest.approx([0.1] * 4 + [0.02] * 4 + [0.004] * 4)


def test_a_loss_that_explodes_stops_the_run():
    with pytest.raises(SatstudyError, match="lower lr"):
        train_classifier(with_(optimizer="sgd", lr=1e30, schedule="step"), patterns(2), 0)


def test_unusable_sets_are_refused(tmp_path):
    train, validation = patterns(2), patterns(1, first=1)
    nothing = np.zeros(len(train), bool)
    with pytest.raises(InputError, match="no images of original"):
        study(tmp_path, train=[train.take(nothing)], validation=[validation])
    with pytest.raises(InputError, match=r"training set lacks .*rough"):
        study(tmp_path, train=[train.take(train.labels != "rough")], validation=[validation])
    with pytest.raises(InputError, match="one class"):
        train_classifier(TINY, train.take(train.labels == "flat"), 0)
    with pytest.raises(InputError, match="crop = 64 is larger than the images"):
        train_classifier(with_(crop=64), train, 0)
    with pytest.raises(InputError, match="hold different images"):
        study(tmp_path, train=[train, inverted(patterns(3))], validation=[validation])
    with pytest.raises(InputError, match="share a name"):
        study(tmp_path, train=[train, train], validation=[validation])
    with pytest.raises(InputError, match="trained on and validated on"):
        study(tmp_path, train=[train], validation=[train])
    with pytest.raises(InputError, match="no seed"):
        cross_validate(TINY, [train], [validation], [], tmp_path)
    with pytest.raises(InputError, match="no condition"):
        cross_validate(TINY, [], [validation], [0], tmp_path)
    assert not list(tmp_path.iterdir()), "refused before anything is trained"
