"""satstudy.training.adapt: a few tensors change, the difference is small, and files name it."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from satstudy.codecs import LearnedCodec
from satstudy.codecs.learned import checkpoint
from satstudy.core.errors import InputError, WrongWeights
from satstudy.core.tensor_files import metadata
from satstudy.training.adapt import adapt, is_adapted
from satstudy.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base(trained_wavelet, tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    checkpoint.save(path, trained_wavelet, {"lam": "0.01", "domain": "overhead"}, half=True)
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def adapted(base, picture):
    images = [picture(128, 160, i) for i in range(3)]
    return adapt(base, images, base.path.with_name("adapted.safetensors"), steps=3, progress=False)


def test_a_difference_holds_what_was_trained_and_gives_the_adapted_weights(base, adapted):
    found = checkpoint.load(adapted)
    before, after = base.wavelet_model.weights(), found.wavelet_model.weights()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(is_adapted(name) for name in changed)
    stored = {name for name in load_file(adapted) if not name.startswith("tables.")}
    assert stored == changed
    assert found.tables
    assert found.fingerprint != base.fingerprint
    assert metadata(adapted)["base"] == base.fingerprint.hex()
    assert found.serves_every_rate
    assert not adapted.with_name("adapted.safetensors.training").exists()


def test_files_name_the_adapted_weights(base, adapted, picture):
    image = picture(64, 96)
    codec = LearnedCodec(checkpoint.load(adapted), lam=0.02)
    data = codec.encode(image)
    assert codec.decode(data).shape == image.shape
    with pytest.raises(WrongWeights):
        LearnedCodec(base).decode(data)


def test_an_adaptation_that_was_stopped_goes_on(base, adapted, picture, monkeypatch):
    images = [picture(128, 160, i) for i in range(3)]
    target = base.path.with_name("again.safetensors")
    run = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self: run(self, until=2) and None)
    with pytest.raises(AssertionError):
        adapt(base, images, target, steps=3, progress=False)
    monkeypatch.setattr(Trainer, "run", run)
    adapt(base, images, target, steps=3, progress=False)
    assert checkpoint.load(target).fingerprint == checkpoint.load(adapted).fingerprint


def test_a_difference_without_its_base_or_damaged_is_refused(base, adapted, tmp_path):
    alone = tmp_path / "alone.safetensors"
    shutil.copy(adapted, alone)
    with pytest.raises(InputError, match="not at hand"):
        checkpoint.load(alone)
    shutil.copy(base.path, tmp_path)
    assert checkpoint.load(alone).fingerprint == checkpoint.load(adapted).fingerprint
    tensors, text = load_file(alone), metadata(alone)
    save_file({**tensors, "gain": tensors["gain"] + 1}, alone, metadata=text)
    with pytest.raises(InputError, match="does not give the weights"):
        checkpoint.load(alone)
    save_file({**tensors, "other": torch.zeros(2)}, alone, metadata=text)
    with pytest.raises(InputError, match="does not have"):
        checkpoint.load(alone)


def test_weights_of_one_rate_are_not_adapted(tmp_path):
    with pytest.raises(InputError, match="serve every rate"):
        adapt(
            checkpoint.load(checkpoint.shipped()[0.013]), [np.zeros((64, 64, 3), np.uint8)], tmp_path / "a.safetensors"
        )
