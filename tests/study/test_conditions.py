"""Conditions are made of steps, reach the rates they name, and show the classifier what was coded."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_study import opened, place

from satstudy.classification.distortions import Distortion
from satstudy.codecs import JPEG, JPEG2000
from satstudy.codecs.base import closest_rate
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.data.images import read_image
from satstudy.metrics.quality import bpp
from satstudy.study.conditions import Conditions
from satstudy.study.study import Study


@pytest.fixture
def conditions(tmp_path, tiny_model, one_thread):
    """`conditions(…)`: those of the tiny study, whose weights are shipped, with changes of `accuracy`."""
    with place(tmp_path, tiny_model):
        still = {"steps": 0, "lams": [0.01]}
        yield lambda **changes: Conditions(opened(train=still, accuracy={"objects": 2, "size": 64, **changes}))


def test_a_condition_is_its_steps_in_order(conditions):
    here = conditions(shipped=True)
    steps = here.condition("jpeg 75 | mbt2018 0.01 | swap").steps
    assert steps[0] == JPEG(75)
    assert isinstance(steps[1], LearnedCodec)
    assert steps[2] == Distortion("swap")
    assert here.condition("original").steps == ()
    assert here.condition("jpeg2000 0.5").steps == (JPEG2000(0.5),)
    assert [checkpoint.lam for checkpoint in here.checkpoints] == [0.01]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jpg 75", "'jpg 75' is no condition"),
        ("jpeg 75 | blurr 2", "'blurr 2' is no condition"),
        ("blur 99", "blur takes a number"),
        ("png 0.5bpp", "No rate can be searched for with 'png'"),
        ("mbt2018-natural 0.5bpp", "no weights of the domain natural"),
    ],
)
def test_what_is_no_condition_is_named(conditions, name, text):
    with pytest.raises(InputError, match=text):
        conditions().condition(name)


def test_what_needs_weights_that_do_not_exist_is_not_available(conditions):
    here = conditions()
    assert here.available("mbt2018 0.01")
    assert not here.available("mbt2018-natural 0.84bpp | swap")


def test_another_profile_may_train_the_weights_of_natural_images(conditions, tmp_path, monkeypatch):
    other = tmp_path / "photographs.yaml"
    other.write_text(
        "name: photographs\ndescription: of the sea\ndata: {kind: synthetic, natural: sea}\nsplits: {}\n"
        "train: {lams: [0.02, 0.03], steps: 5}\n"
    )
    here = conditions(natural_profile=str(other))
    assert here.available("mbt2018-natural 0.84bpp")
    monkeypatch.setattr(Study, "weights", lambda study, lam, domain: (study.profile.name, lam, domain))
    assert here.weights(0.02, "natural") == ("photographs", 0.02, "natural")
    assert here.weights(0.01) == (here.study.profile.name, 0.01, "overhead")


def test_distortions_after_the_last_codec_act_on_what_the_classifier_sees(conditions):
    here = conditions()
    plain, swapped = here.coded("jpeg 30"), here.coded("jpeg 30 | swap")
    assert np.array_equal(swapped.images, plain.images[..., ::-1])
    assert swapped.bpp.tolist() == plain.bpp.tolist()
    before = here.coded("swap | jpeg 30")
    image = np.ascontiguousarray(read_image(here.records[0].path)[..., ::-1])
    assert np.array_equal(before.images[0], JPEG(30).decode(JPEG(30).encode(image)))


def test_a_rate_is_reached_by_the_quality_that_comes_closest(conditions):
    here = conditions()
    images = [read_image(record.path) for record in here.records]
    for wanted in (1.0, 2.5):
        (codec,) = here.condition(f"jpeg {wanted}bpp").steps
        rates = {q: np.mean([bpp(len(JPEG(q).encode(i)), *i.shape[:2]) for i in images]) for q in range(1, 101)}
        assert codec.quality == min(rates, key=lambda q: abs(math.log(rates[q] / wanted)))


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40, unique=True), st.floats(0.5, 6000))
def test_the_closest_of_rising_rates_is_found_by_few_of_them(sizes, wanted):
    sizes.sort()
    tried = []

    def off(index):
        tried.append(index)
        return math.log(sizes[index] / wanted)

    found = closest_rate(off, len(sizes), 0.0)
    assert abs(off(found)) == min(abs(math.log(size / wanted)) for size in sizes)
    assert len(set(tried)) <= np.log2(len(sizes)) + 3


def test_tiles_that_share_ground_are_one_object(tmp_path, tiny_model):
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(0, 256, (24, 40, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    with place(tmp_path, tiny_model):
        root = paths.ROOT / "tiles" / "field"
        root.mkdir(parents=True)
        other, trained = rng.integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
        for number, tile in {0: trained, 41: ground[:96, :96], 42: ground[:96, 64:160], 88: other}.items():
            Image.fromarray(tile).save(root / f"field{number:02d}.png")
        study = opened(data={"kind": "folders", "root": "tiles", "label": "tiles"},
                       splits={"method": "number", "number": 1}, train={"lams": [0.01]})  # fmt: skip
        objects = [record.object for record in Conditions(study).records]
    assert objects[0] == objects[1]
    assert objects[2] != objects[0]
