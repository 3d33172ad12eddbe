"""A classifier: its settings, its network, and what it says of images."""

import numpy as np
import pytest
import torch
from grains import patterns, with_

import satstudy.classification.train
from satstudy.classification.network import build, turn, views
from satstudy.classification.train import train_classifier
from satstudy.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


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
    network = satstudy.classification.network.Classifier(build(config, 4), list("abcd"), config, torch.device("cpu"))
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
