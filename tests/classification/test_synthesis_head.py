"""A second synthesis reads the same files, and moves what a network sees towards the original."""

import dataclasses

import numpy as np
import pytest
import torch
from grains import with_

from satstudy.classification.network import Network, build
from satstudy.classification.synthesis_head import HeadConfig, TaskCodec, feature_distance, load_head, train_head
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Network(build(with_(), 0), with_())


@pytest.fixture
def images(picture):
    return [picture(64, 80, seed) for seed in range(4)]


def distance(network, codec, images):
    decoded = np.stack([codec.decode(codec.encode(image)) for image in images])
    both = [torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).float() / 255 for x in (decoded, images)]
    with torch.inference_mode():
        return feature_distance(network, *both).item()


def test_files_are_unchanged_and_features_come_nearer(checkpoint, network, images, tmp_path):
    plain = LearnedCodec(checkpoint)
    before = plain.decode(plain.encode(images[0]))
    config = HeadConfig(steps=40, batch=4, crop=64, lr=1e-2, fidelity=0.0)
    head = train_head(checkpoint, network, images, config, tmp_path / "head.safetensors", progress=False)
    task = TaskCodec(checkpoint, head)
    assert task.encode(images[0]) == plain.encode(images[0]), "byte by byte"
    assert (task.name, task.setting) == ("mbt2018-task", plain.setting)
    assert np.array_equal(plain.decode(task.encode(images[0])), before), "the weights themselves stay"
    assert not np.array_equal(task.decode(plain.encode(images[0])), before)
    assert distance(network, task, images) < 0.97 * distance(network, plain, images)


def test_a_head_is_kept_and_belongs_to_its_weights(checkpoint, make_model, network, images, tmp_path):
    path = tmp_path / "head.safetensors"
    config = HeadConfig(steps=2, batch=2, crop=64)
    head = train_head(checkpoint, network, images, config, path, progress=False)
    again = load_head(checkpoint, path)
    assert head.keys() == again.keys()
    assert all(torch.equal(head[name], again[name]) for name in head)
    repeated = train_head(checkpoint, network, images, config, tmp_path / "again.safetensors", progress=False)
    assert all(torch.equal(head[name], repeated[name]) for name in head), "the same seed, the same head"
    with pytest.raises(InputError, match="for other weights than"):
        load_head(dataclasses.replace(checkpoint, model=make_model(3), stored={}), path)


def test_the_distance_is_none_for_equal_images(network):
    x = torch.rand(2, 3, 64, 64)
    assert feature_distance(network, x, x).item() == 0
    assert feature_distance(network, x.flip(1), x).item() > 0
    y = x.clone().requires_grad_(True)
    feature_distance(network, y * 0.5, x).backward()
    assert y.grad.abs().sum() > 0, "gradients reach the pixels"


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"batch": 0}, {"crop": 40}, {"crop": 16}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError, match="A synthesis head takes"):
        HeadConfig(**wrong)


def test_images_smaller_than_the_crop_are_refused(checkpoint, network, images, tmp_path):
    with pytest.raises(InputError, match="smaller than the crop of 96"):
        train_head(checkpoint, network, images, HeadConfig(steps=1, crop=96), tmp_path / "x", progress=False)
