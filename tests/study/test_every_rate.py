"""satstudy.study.every_rate: what the wavelet codec is trained on, and weights that are made once."""

import numpy as np
import pytest

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.data import sensors
from satstudy.data.images import write_image
from satstudy.data.mosaics import shrunk
from satstudy.study.study import open_study

PROFILE = """
name: rates
description: one model
data: {{kind: folders, root: {root}/tiles, label: tiles, sensors: {root}/sensors}}
splits: {{method: number, number: 20}}
train: {{lams: [0.01], steps: 0, validation: 2}}
every_rate: {{steps: 2, widths: [4, 4], depths: [1, 1], correction: 2, batch: 2, crop: 64, sensors: 0.3, shrunk: 0.1,
  noisy_steps: 1, validate_every: 1{more}}}
"""


@pytest.fixture
def root(tmp_path, picture, monkeypatch):
    from satstudy.core import paths

    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    for kind, numbers in (("field", (*range(19), 50, 95)), ("harbour", (*range(3), 50, 95))):
        for number in numbers:
            path = tmp_path / "tiles" / kind / f"{kind}{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, picture(64, 64, number + 200 * (kind == "field")))
    for name in ("aerial", "orbit"):
        (tmp_path / "sensors" / name).mkdir(parents=True)
        for number in range(25):
            write_image(tmp_path / "sensors" / name / f"{number}.png", picture(48, 48, 500 + number))
    return tmp_path


def opened(root, more=""):
    path = root / "p.yaml"
    path.write_text(PROFILE.format(root=root, more=more))
    return open_study(str(path), progress=False)


def test_crops_come_from_the_sources_in_their_shares(root):
    study = opened(root)
    train, validation = study._training_images("overhead")
    mixture = study._mixture(train, "overhead")
    names = [image.parent.name if not isinstance(image, np.ndarray) else "mosaic" for image in mixture.images]
    share = {name: sum(w for w, n in zip(mixture.weights, names, strict=True) if n == name) for name in set(names)}
    tiles = share.pop("field") + share.pop("harbour")
    assert tiles == pytest.approx(0.6)
    assert share == pytest.approx({"aerial": 0.15, "orbit": 0.15, "mosaic": 0.1})
    assert not any(
        sensors.measured(image)
        for image in mixture.images
        if not isinstance(image, np.ndarray) and image.parent.name in ("aerial", "orbit")
    )
    assert not set(validation) & {image for image in mixture.images if not isinstance(image, np.ndarray)}
    mosaics = [image for image in mixture.images if isinstance(image, np.ndarray)]
    assert [m.shape for m in mosaics] == [(128, 128, 3), (84, 84, 3), (64, 64, 3)], "16 fields at 1/2, 1/3, 1/4"
    from satstudy.data.images import read_image

    fields = [shrunk(read_image(path), 2) for path in train if path.parent.name == "field"]
    assert np.array_equal(mosaics[0][:32, 32:64], fields[1])


def test_sensors_are_shrunk_too_where_the_profile_says_so(root):
    study = opened(root, ", shrunk_sensors: 0.2")
    mixture = study._mixture(study._training_images("overhead")[0], "overhead")
    assert mixture.facts["sensors, shrunk"] == "0.20"
    sizes = [image.shape[0] for image in mixture.images if isinstance(image, np.ndarray)]
    assert sorted(sizes) == sorted([128, 84, 64] + 2 * [96, 64, 48]), "of fields, and of 48 pixels of two sensors"
    assert sum(mixture.weights) == pytest.approx(1)


def test_a_training_starts_from_the_weights_of_another_profile(root):
    first = opened(root)
    (root / "first.yaml").write_text((root / "p.yaml").read_text().replace("rates", "first"))
    study = opened(root, f", init: 'profile:{root}/first.yaml'")
    found = study.every_rate()
    assert found.metadata["start"] == "first"
    assert list((paths.BUILD / "first").rglob("weights.safetensors"))
    assert found.fingerprint != first.every_rate().fingerprint
    with pytest.raises(InputError, match="starts from it or trains none"):
        opened(root, f", init: 'profile:{root}/p.yaml'").every_rate()


def test_the_weights_are_trained_once_and_serve_every_rate(root):
    study = opened(root)
    found = study.every_rate()
    assert found.serves_every_rate
    assert "0.60 tiles" in found.metadata["data"]
    assert found.metadata["start"] == "random"
    changed = found.path.stat().st_mtime_ns
    assert opened(root).every_rate().path.stat().st_mtime_ns == changed
    image = np.zeros((64, 64, 3), np.uint8)
    sizes = [len(LearnedCodec(found, lam=lam).encode(image)) for lam in (0.001, 0.1)]
    assert all(size > 0 for size in sizes)


def test_a_training_starts_from_given_weights_and_another_setting_is_another_training(root):
    first = opened(root).every_rate()
    study = opened(root, f", init: {first.path}")
    assert study.every_rate_folder() != first.path.parent
    found = study.every_rate()
    assert found.metadata["start"] == "rates"
    assert found.fingerprint != first.fingerprint
    with pytest.raises(InputError, match=r"every_rate\.init to scratch"):
        opened(root, ", init: nowhere.safetensors").every_rate()


def test_without_steps_the_weights_that_ship_are_taken(root, monkeypatch, small_wavelet):
    from satstudy.core import paths

    study = opened(root, "")
    shipped = root / "weights"
    monkeypatch.setattr(paths, "WEIGHTS", shipped)
    shipped.mkdir()
    path = root / "p.yaml"
    path.write_text(path.read_text().replace("steps: 2", "steps: 0"))
    study = open_study(str(path), progress=False)
    with pytest.raises(InputError, match="serve every rate ship"):
        study.every_rate()
    checkpoint.save(shipped / "overhead.safetensors", small_wavelet, {"lam": "0.013"})
    assert study.every_rate().fingerprint == checkpoint.load(shipped / "overhead.safetensors").fingerprint
