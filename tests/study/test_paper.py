"""The profile `paper` from images to classifier answers, with its networks and with fewer and smaller images."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from satstudy.core import paths
from satstudy.data.fmow import FMOW_CATEGORIES
from satstudy.study import profiles
from satstudy.study.accuracy import Classification
from satstudy.study.study import open_study

SIDE = 176


@pytest.fixture
def study(tmp_path, monkeypatch, one_thread):
    """Every category with one object in train and three in val, and one step of each training."""
    rng = np.random.default_rng(0)
    for split, objects in (("train", 1), ("val", 3)):
        for category in FMOW_CATEGORIES:
            for number in range(objects):
                name = f"{category}_{number}"
                path = tmp_path / "fmow" / split / category / name / f"{name}_0_rgb.jpg"
                path.parent.mkdir(parents=True)
                Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
                box = {"ID": 1, "category": category, "visible": "True", "box": [40, 40, 60, 50]}
                meta = {"gsd": 0.5, "img_height": SIDE, "img_width": SIDE, "bounding_boxes": [box]}
                path.with_suffix(".json").write_text(json.dumps(meta))
    content = yaml.safe_load((paths.PROFILES / "paper.yaml").read_text(encoding="utf-8"))
    content["data"] |= {"root": str(tmp_path / "fmow"), "min_size": SIDE, "natural": str(tmp_path / "fmow" / "train")}
    content["splits"] = {"train_compress": 63, "train_class": 126, "val_class": 63}
    content["train"] |= {"steps": 1, "warm_steps": 1, "batch": 1, "crop": 64, "validation": 1, "validate_every": 1}
    content["rd"]["images"] = 1
    # Its weights from ImageNet are fetched by timm, and a CPU takes seconds for a crop of 224.
    classifier = content["accuracy"]["classifiers"]["dpn92"]
    classifier |= {"weights": "random", "epochs": 1, "batch": 126, "crop": 64, "folds": 2}
    content["accuracy"] = {
        "size": 64,
        "classifiers": {"dpn92": classifier},
        "matrix_of": ["dpn92"],
        "train_on": ["original"],
        "validate_on": ["original"],
    }
    path = tmp_path / "scaled.yaml"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    return open_study(str(path), progress=False)


@pytest.mark.slow
def test_its_codec_and_its_classifier_take_a_step(study):
    assert set(study.manifest["category"]) == set(FMOW_CATEGORIES)
    assert study.manifest["split"].value_counts().to_dict() == {
        "train-class": 126,
        "train-compress": 63,
        "val-class": 63,
    }
    weights = study.weights(study.ladder()[0])
    assert (weights.paper_model.N, weights.paper_model.M, weights.metadata["steps"]) == (192, 192, "1")
    codec = study.mbt2018(study.ladder()[0])
    image = np.asarray(Image.open(study.images("val-compress")[0]))
    assert codec.decode(codec.encode(image)).shape == image.shape
    classification = Classification(study)
    (run,) = [run for run in classification.runs() if run.table == "matrix"]
    assert classification.config("dpn92").arch == "dpn92"
    classifier = classification.cross_validation(run).classifier(next(iter(run.columns)), 0, 0)
    assert set(classifier.classes) == set(FMOW_CATEGORIES)


def test_the_profile_asks_for_the_paper_s_sizes():
    profile = profiles.load("paper")
    splits = profile.splits
    assert (splits.train_compress, splits.train_class, splits.val_class) == (1289, 1551, 378)
    assert (profile.train.N, profile.train.M, profile.data.min_size) == (192, (192,), 1024)
