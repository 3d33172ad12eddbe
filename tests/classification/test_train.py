"""One classifier: trained from start to end, in pairs, and going on where it was."""

import dataclasses
from itertools import chain

import numpy as np
import pytest
import torch
from grains import patterns, shown, with_
from sklearn.linear_model import LogisticRegression

import satstudy.classification.train
from satstudy.classification.coded_images import CodedSet
from satstudy.classification.network import build
from satstudy.classification.train import (
    add_features,
    fit_linear_head,
    learning_rate,
    load_network,
    train_network,
)
from satstudy.core.errors import InputError, SatstudyError

pytestmark = pytest.mark.usefixtures("one_thread")


def inverted(coded, condition="inverted"):
    return dataclasses.replace(coded, images=255 - coded.images, condition=condition)


def weights(trained):
    return torch.cat([p.detach().float().flatten() for p in trained.network.model.state_dict().values()])


def accuracy(classifier, coded):
    answers = np.array(classifier.classes)[classifier.probabilities(coded).argmax(1)]
    return (answers == coded.labels).mean()


def test_an_easy_problem_is_learned():
    found = train_network(with_(), [patterns()], 0)
    assert accuracy(found, patterns(3, first=1)) > 0.8


def test_two_runs_give_equal_weights_whatever_was_drawn_before():
    first = weights(train_network(with_(epochs=2), [patterns()], 3))
    torch.rand(17)
    assert torch.equal(first, weights(train_network(with_(epochs=2), [patterns()], 3)))
    assert not torch.equal(first, weights(train_network(with_(epochs=2), [patterns()], 4)))


def test_training_leaves_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_network(with_(epochs=1), [patterns(2)], 0)
    assert torch.equal(torch.rand(3), expected)


def test_conditions_are_paired(monkeypatch):
    """For one seed, every condition starts from the same weights and shows the same crops in the same order."""
    seen = []

    def note(network, crops):
        seen[-1].append((torch.cat([p.flatten() for p in network.model.parameters()]).detach(), crops))
        return torch.zeros(len(crops), 3, requires_grad=True)

    monkeypatch.setattr("satstudy.classification.network.Network.logits", note)
    for coded in (patterns(), inverted(patterns())):
        seen.append([])
        train_network(with_(epochs=2), [coded], 0)
    plain, other = seen
    assert torch.equal(plain[0][0], other[0][0])
    assert len(plain) == len(other) > 2
    assert all(np.array_equal(a, 255 - b) for (_, a), (_, b) in zip(plain, other, strict=True))


def numbered(n, per_object=2, offset=0):
    images = np.repeat(np.arange(offset, offset + n, dtype=np.uint8), 40 * 40 * 3).reshape(n, 40, 40, 3)
    things = np.array([f"o{i // per_object}" for i in range(n)])
    labels = np.array(["dam", "port"])[np.arange(n) // per_object % 2]
    names, ones = np.array([f"i{i}" for i in range(n)]), np.ones(n)
    return CodedSet("c", images, names, labels, things, ones, ones, ones)


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


def test_a_mixture_shows_each_image_under_any_condition(monkeypatch):
    """In the order in which it would be shown under one."""
    seen = []
    original = satstudy.classification.train._crops

    def note(images, *rest):
        seen.append(images[:, 0, 0, 0])
        return original(images, *rest)

    monkeypatch.setattr(satstudy.classification.train, "_crops", note)
    train_network(with_(epochs=8), [numbered(20), numbered(20, offset=100)], 0)
    mixed, alone = np.concatenate(seen), []
    seen.clear()
    train_network(with_(epochs=8), [numbered(20)], 0)
    alone = np.concatenate(seen)
    assert np.array_equal(mixed % 100, alone)
    assert 0.3 < (mixed >= 100).mean() < 0.7
    assert len(set(mixed.tolist())) == 40, "over the epochs every image under every condition"


def test_without_augmentation_the_centre_is_shown(monkeypatch):
    coded = patterns()
    seen = []
    monkeypatch.setattr(
        "satstudy.classification.network.Network.logits",
        lambda network, crops: seen.append(crops) or torch.zeros(len(crops), 3, requires_grad=True),
    )
    train_network(with_(epochs=1, augment=False), [coded], 0)
    assert sorted(crop.tobytes() for crop in np.concatenate(seen)) == sorted(
        image.tobytes() for image in np.ascontiguousarray(coded.images[:, 4:36, 4:36])
    )


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    config, sets, path = with_(epochs=4), [patterns(), inverted(patterns())], tmp_path / "state.epoch"
    expected = weights(train_network(config, sets, 1))
    steps = []

    def stop(*_):
        steps.append(1)
        if len(steps) == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network(config, sets, 1, resume=path, on_step=stop)
    assert path.exists()
    steps.clear()
    assert torch.equal(
        weights(train_network(config, sets, 1, resume=path, on_step=lambda *_: steps.append(1))), expected
    )
    assert len(steps) == 8, "two of four epochs were done"
    assert not path.exists()
    path.write_bytes(b"no state")
    assert torch.equal(weights(train_network(config, sets, 1, resume=path)), expected)


def test_weights_of_one_training_start_another(tmp_path):
    trained = train_network(with_(epochs=1), [patterns(2)], 0)
    trained.network.save(tmp_path / "start.safetensors")
    torch.save(trained.network.model.state_dict(), tmp_path / "start.pth")
    for name in ("start.safetensors", "start.pth"):
        config = with_(weights=str(tmp_path / name))
        again = build(config, 3).state_dict()
        assert all(torch.equal(v, again[k]) for k, v in trained.network.model.state_dict().items())
        wider = build(config, 5).state_dict()
        assert torch.equal(wider["conv1.0.weight"], again["conv1.0.weight"])
        assert wider["fc.weight"].shape[0] == 5


def test_a_saved_network_answers_as_before(tmp_path):
    trained = train_network(with_(epochs=1), [patterns(2)], 0)
    trained.network.save(tmp_path / "network.safetensors")
    again = load_network(with_(epochs=1), trained.classes, tmp_path / "network.safetensors")
    shown_ = patterns(2, first=1)
    assert np.array_equal(trained.probabilities(shown_), again.probabilities(shown_))


def test_a_few_images_go_on_from_a_network_and_leave_its_statistics(tmp_path):
    trained = train_network(with_(epochs=2), [patterns()], 0)
    trained.network.save(tmp_path / "start.safetensors")
    few = patterns().take(np.array([0, 1, 12, 13]))
    further = train_network(
        with_(epochs=1, lr=1e-3), [few], 0, classes=trained.classes, start=tmp_path / "start.safetensors"
    )
    before, after = trained.network.model.state_dict(), further.network.model.state_dict()
    assert further.classes == ["fine", "flat", "rough"], "also those that the few lack"
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == ("running" in name or "num_batches" in name), name


@pytest.mark.parametrize("schedule", ["one-cycle", "step"])
def test_the_learning_rate_follows_torch_s_schedules(schedule, monkeypatch):
    rates = []
    original = torch.optim.SGD.step

    def step(self, *rest):
        rates.append(self.param_groups[0]["lr"])
        return original(self, *rest)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    config = with_(optimizer="sgd", lr=0.1, schedule=schedule, step_epochs=2, epochs=6)
    train_network(config, [patterns(2)], 0)
    assert len(rates) == 6 * 2
    assert rates == [learning_rate(config, i, 12) for i in range(12)]
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    if schedule == "step":
        assert rates == pytest.approx([0.1] * 4 + [0.02] * 4 + [0.004] * 4)
        return
    steps = 1000
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        other, 0.1, total_steps=steps + 1, pct_start=0.3 * steps / (steps + 1), cycle_momentum=False
    )
    expected = []
    for _ in range(steps):
        expected.append(oracle.get_last_lr()[0])
        other.step()
        oracle.step()
    assert [learning_rate(config, i, steps) for i in range(steps)] == pytest.approx(expected, abs=1e-3)


def test_a_loss_that_explodes_stops_the_run():
    with pytest.raises(SatstudyError, match="lower lr"):
        train_network(with_(optimizer="sgd", lr=1e30, schedule="step"), [patterns(2)], 0)


def test_unusable_sets_are_refused():
    train = patterns(2)
    with pytest.raises(InputError, match="no images of original"):
        train_network(with_(), [train.take(np.zeros(len(train), bool))], 0)
    with pytest.raises(InputError, match="one class"):
        train_network(with_(), [train.take(train.labels == "flat")], 0)
    with pytest.raises(InputError, match="crop = 64 is larger than the images"):
        train_network(with_(crop=64), [train], 0)
    with pytest.raises(InputError, match=r"training set lacks .*rough"):
        train_network(with_(), [train], 0, classes=["fine", "flat"])


# --- The linear head --------------------------------------------------------------------------------------

FROZEN = with_(frozen=True, view=40)


def test_features_are_computed_once_for_the_same_pixels(tmp_path, monkeypatch):
    first = add_features(patterns(), FROZEN, tmp_path)
    assert first.features.shape == (36, 96)
    monkeypatch.setattr(
        "satstudy.classification.network.Network.mean_over_views", lambda *a, **k: pytest.fail("computed again")
    )
    assert np.array_equal(add_features(patterns(), FROZEN, tmp_path).features, first.features)
    with pytest.raises(pytest.fail.Exception):
        add_features(inverted(patterns()), FROZEN, tmp_path)
    with pytest.raises(pytest.fail.Exception):
        add_features(patterns(), dataclasses.replace(FROZEN, view=32), tmp_path)


def test_damaged_features_are_computed_again(tmp_path):
    first = add_features(patterns(2), FROZEN, tmp_path)
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-100])
    assert np.array_equal(add_features(patterns(2), FROZEN, tmp_path).features, first.features)


def test_the_head_is_a_logistic_regression_on_standardised_features(tmp_path):
    sets = [add_features(c, FROZEN, tmp_path) for c in (patterns(), inverted(patterns()))]
    head, shown_ = fit_linear_head(FROZEN, sets), add_features(patterns(3, first=1), FROZEN, tmp_path)
    x, y = np.concatenate([s.features for s in sets]), np.concatenate([s.labels for s in sets])
    mean, std = x.mean(0), x.std(0)
    std[std == 0] = 1
    oracle = LogisticRegression(C=0.05, max_iter=2000).fit((x - mean) / std, y)
    assert head.classes == list(oracle.classes_)
    assert np.allclose(head.probabilities(shown_), oracle.predict_proba((shown_.features - mean) / std), atol=1e-3)
    with pytest.raises(InputError, match="no features for the linear head"):
        head.probabilities(patterns(1))
