"""satstudy.study.data_kinds: mixtures of training images that differ in one kind, and what each kind saves."""

import math

import numpy as np
import pandas as pd
import pytest

from satstudy.core.errors import InputError
from satstudy.data.images import write_image
from satstudy.study.data_kinds import ALL, CHANGES, changed, gains, results
from satstudy.study.study import open_study

PROFILE = """
name: kinds
description: kinds of training images
data: {{kind: folders, root: {root}/tiles, label: tiles, sensors: {root}/sensors}}
splits: {{method: number, number: 20}}
train: {{lams: [0.01], steps: 0, validation: 0}}
every_rate: {{steps: 9, sensors: 0.3, shrunk: 0.1}}
domain:
  training: {{steps: 2, lams: [0.005, 0.035], widths: [4, 4], depths: [1, 1], correction: 2, batch: 2, crop: 64}}
  measured: [0.007, 0.02]
rd: {{sets: {{neon: {root}/sensors}}}}
"""


@pytest.fixture
def study(tmp_path, picture, monkeypatch):
    from satstudy.core import paths

    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    for number in (*range(17), 50, 95):
        path = tmp_path / "tiles" / "field" / f"field{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture(64, 64, number))
    (tmp_path / "sensors" / "neon").mkdir(parents=True)
    for number in range(12):
        write_image(tmp_path / "sensors" / "neon" / f"{number}.png", picture(48, 48, 500 + number))
    (tmp_path / "p.yaml").write_text(PROFILE.format(root=tmp_path))
    return open_study(str(tmp_path / "p.yaml"), progress=False)


def test_each_mixture_is_trained_and_measured_on_what_none_saw(study):
    frame = results(study)
    assert set(frame["trained_on"]) == set(CHANGES)
    measured = set(frame["image"])
    assert measured
    for name in CHANGES:
        mixed = changed(study, name)
        seen = mixed._mixture(mixed._training_images("overhead")[0], "overhead").images
        assert not measured & {path.name for path in seen if not isinstance(path, np.ndarray)}
    assert len(frame) == len(CHANGES) * len(measured) * 2
    fingerprints = {changed(study, name).every_rate().fingerprint for name in CHANGES}
    assert len(fingerprints) == len(CHANGES)
    assert results(study).equals(frame)


def test_what_leaving_a_kind_out_costs():
    rows = [
        {"image": image, "category": image, "set": "naip", "trained_on": name, "codec": "learned",
         "setting": f"lam={lam}", "bpp": factor * (0.2 + lam), "psnr": 30 + 100 * lam - 10 * math.log10(factor)}
        for image in ("a", "b", "c")
        for name, factor in ((ALL, 1.0), ("no shrunk tiles", 1.1))
        for lam in (0.01, 0.02, 0.05)
    ]  # fmt: skip
    (row,) = gains(pd.DataFrame(rows)).to_dict("records")
    assert (row["set"], row["test"], row["reference"]) == ("naip", "no shrunk tiles", ALL)
    assert row["value"] == pytest.approx(10, abs=0.01), "bits and error are a tenth larger"


def test_a_profile_without_the_kinds_is_refused(study):
    import dataclasses

    profile = dataclasses.replace(study.profile, every_rate=dataclasses.replace(study.profile.every_rate, shrunk=0.0))
    with pytest.raises(InputError, match=r"every_rate\.shrunk"):
        results(dataclasses.replace(study, profile=profile))
