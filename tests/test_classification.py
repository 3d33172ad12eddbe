import dataclasses
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch

import satstudy.classification
from satstudy.accuracy import COLUMNS, accuracy_matrix
from satstudy.classification import cross_validate, train_classifier
from satstudy.classifier import ClassifierConfig, build, turn, views
from satstudy.classifier_data import CodedSet
from satstudy.errors import InputError, SatstudyError

#: The smallest network of timm: what is tested is what happens around it.
TINY = ClassifierConfig(arch="test_resnet", epochs=6, batch=8, lr=5e-3, crop=32, tta="none", precision="fp32")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small are slower on several threads, above all where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def patterns(objects=6, first=0, condition="original", noise=20.0):
    """Three classes that differ in grain, two images an object: uint8 40×40, alike up to turning."""
    images, labels, names = [], [], []
    for k, label in enumerate(("fine", "flat", "rough")):
        for i in range(2 * objects):
            rng = np.random.default_rng([k, first, i])
            y, x = np.mgrid[:40, :40]
            grain = ((x + y) % 2, np.zeros((40, 40)), (x // 8 + y // 8) % 2)[k] * 150
            picture = 60 + grain[..., None] + rng.normal(0, noise, (40, 40, 3))
            images.append(picture.clip(0, 255).astype(np.uint8))
            labels.append(label)
            names.append(f"{label}/{first}_{i}")
    n = len(images)
    things = np.array([f"{name.rsplit('_', 1)[0]}_{i // 2}" for i, name in enumerate(names)])
    return CodedSet(
        condition, np.stack(images), np.array(names), np.array(labels), things, np.full(n, 24.0), np.full(n, np.inf)
    )


def inverted(coded, condition="inverted"):
    return dataclasses.replace(coded, images=255 - coded.images, condition=condition)


def study(folder, *, train=None, validation=None, seeds=(0,), config=TINY):
    train = train or [patterns()]
    validation = validation or [patterns(3, first=1)]
    return cross_validate(config, train, validation, seeds, folder, progress=False)


def weights(network):
    return torch.cat([p.detach().float().flatten() for p in network.model.state_dict().values()])


def with_(**changes):
    return dataclasses.replace(TINY, **changes)


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

    monkeypatch.setattr("satstudy.classifier.Classifier.logits", note)
    for coded in (patterns(), inverted(patterns())):
        seen.append([])
        train_classifier(with_(epochs=2), coded, 0)
    plain, other = seen
    assert torch.equal(plain[0][0], other[0][0])
    assert len(plain) == len(other) > 2
    assert all(np.array_equal(a, 255 - b) for (_, a), (_, b) in zip(plain, other, strict=True))


def shown(monkeypatch, config, coded):
    """The images of every step, by the value that fills each of them."""
    steps = []
    original = satstudy.classification._crops
    monkeypatch.setattr(
        satstudy.classification,
        "_crops",
        lambda images, *rest: steps.append(images[:, 0, 0, 0]) or original(images, *rest),
    )
    train_classifier(config, coded, 0)
    return [s.tolist() for s in steps]


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


def test_the_eight_symmetries_differ():
    picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    turned = {turn(picture, k).tobytes() for k in range(8)}
    assert len(turned) == 8
    assert turn(picture, 0).tobytes() == picture.tobytes()
    assert np.array_equal(turn(picture[None], 5)[0], turn(picture, 5))


@pytest.mark.parametrize(("tta", "count"), [("none", 1), ("flips", 8), ("ten-crop", 10)])
def test_validation_averages_views(tta, count):
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    found = list(views(images, 5, tta))
    assert len({v.tobytes() for v in found}) == count
    assert all(v.shape == (2, 5, 5, 3) for v in found)
    assert np.array_equal(found[0], images[:, 2:7, 2:7])


def test_probabilities_do_not_depend_on_the_batch():
    network = train_classifier(with_(epochs=1, tta="flips"), patterns(2), 0)
    shown = patterns(2, first=1).images
    assert np.allclose(network.probabilities(shown), network.probabilities(shown, batch=5), atol=1e-5)
    assert np.allclose(network.probabilities(shown).sum(1), 1, atol=1e-5)


def test_a_study_trains_and_validates_every_pair_and_resumes(tmp_path, monkeypatch):
    train, validation = patterns(), patterns(3, first=1)
    sets = {"train": [train, inverted(train)], "validation": [validation, inverted(validation)]}
    trained = []
    original = satstudy.classification.train_classifier

    def counted(config, coded, seed, **rest):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append((coded.condition, seed))
        return original(config, coded, seed, **rest)

    monkeypatch.setattr(satstudy.classification, "train_classifier", counted)
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


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "start.safetensors"
    train_classifier(with_(epochs=1), patterns(2), 0).save(path)
    with pytest.raises(InputError, match="does not fit resnet10t"):
        build(with_(arch="resnet10t", init=str(path)), 3)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no tensors that can be read"):
        build(with_(init=str(path)), 3)
    torch.save({"a": print}, tmp_path / "code.pth")
    with pytest.raises(InputError, match="safetensors"):
        build(with_(init=str(tmp_path / "code.pth")), 3)
    with pytest.raises(InputError, match="no weights at"):
        build(with_(init=str(tmp_path / "none.safetensors")), 3)


def test_an_unknown_architecture_names_near_ones():
    with pytest.raises(InputError, match=r"did you mean .*dpn92"):
        build(with_(arch="dpn-92"), 3)
    with pytest.raises(InputError, match="cannot be built with"):
        build(with_(arch_options={"no_such_option": 1}), 3)


def test_pretrained_weights_without_a_network_say_what_to_do(monkeypatch):
    def offline(*_, **options):
        assert options["pretrained"]
        raise OSError("cannot reach the hub")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(InputError, match=r"cannot be had here .*cannot reach the hub.*name a local file"):
        build(with_(pretrained=True), 3)


@pytest.mark.parametrize("arch", ["dpn48b", "slim"])
def test_the_dual_path_networks_of_the_profiles_answer(arch):
    slim = {"k_r": 64, "k_sec": (1, 1, 1, 1), "inc_sec": (8, 16, 16, 32)}
    config = with_(arch="dpn48b", arch_options=slim if arch == "slim" else {}, tta="none")
    network = satstudy.classification.Classifier(build(config, 4), list("abcd"), config, torch.device("cpu"))
    p = network.probabilities(patterns(1).images[:2])
    assert p.shape == (2, 4)
    assert np.allclose(p.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch": 1}, "batch norms"),
        ({"crop": 4}, "crop = 4"),
        ({"optimizer": "lion"}, "none of adamw, sgd"),
        ({"tta": "all"}, "none of none, flips, ten-crop"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"pretrained": True, "init": "x"}, "either"),
    ],
)
def test_a_wrong_setting_is_named(wrong, message):
    with pytest.raises(InputError, match=message):
        with_(**wrong)


def test_the_paper_s_learning_rate_follows_the_batch():
    assert with_(optimizer="sgd", lr=None, batch=64).peak == 0.0015
    assert with_(lr=0.1).peak == 0.1


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
