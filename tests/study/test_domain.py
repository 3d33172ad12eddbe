"""satstudy.study.domain: trainings on overhead imagery and on photographs, and what one saves against the other."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gmean

from satstudy.core.errors import InputError
from satstudy.data.images import write_image
from satstudy.study.domain import BOTH, NATURAL, OVERHEAD, TRAININGS, DomainExperiment, gain, gains, main
from satstudy.study.study import open_study

PROFILE = """
name: domains
description: two kinds of images
data: {{kind: folders, root: {root}/overhead, label: tiles, natural: {root}/natural}}
splits: {{method: number, number: 2}}
train: {{lams: [0.01], steps: 0}}
domain:
  seeds: 1
  training: {{steps: 2, widths: [4, 4], depths: [1, 1], correction: 2, batch: 2, crop: 64, lr: 0.001}}
  tune_steps: 1
  measured: [0.007, 0.02]
  images: 2
  megapixels: 0.012
  shrink: 2
"""


@pytest.fixture
def study(tmp_path, picture, monkeypatch):
    from satstudy.core import paths

    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    for name in ("field", "harbour"):
        for number in (0, 1, 50, 95):
            path = tmp_path / "overhead" / name / f"{name}{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, picture(64, 64, number + 200 * (name == "field")))
    (tmp_path / "natural").mkdir()
    for number in range(30):
        write_image(tmp_path / "natural" / f"{number}.png", picture(128, 130, 50 + number))
    (tmp_path / "p.yaml").write_text(PROFILE.format(root=tmp_path))
    return open_study(str(tmp_path / "p.yaml"), progress=False)


def test_each_training_is_measured_on_both_kinds(study, monkeypatch):
    experiment = DomainExperiment(study)
    frame = experiment.results()
    assert set(frame["trained_on"]) == set(TRAININGS)
    assert len(frame) == len(TRAININGS) * 2 * 2 * 2
    assert set(frame.loc[frame["tested_on"] == OVERHEAD, "category"]) == {"field", "harbour"}
    assert set(frame.loc[frame["tested_on"] == NATURAL, ["height", "width"]].itertuples(index=False, name=None)) == {
        (64, 65)
    }
    again = experiment.weights(BOTH, 0).path.stat().st_mtime_ns
    assert experiment.results().equals(frame), "nothing is trained or measured twice"
    assert experiment.weights(BOTH, 0).path.stat().st_mtime_ns == again
    assert experiment.weights(f"{NATURAL}, {OVERHEAD}", 0).metadata["start"] == NATURAL


def test_no_photograph_is_on_both_sides_and_pixels_are_equal(study):
    experiment = DomainExperiment(study)
    for kind in (OVERHEAD, NATURAL):
        trained = {image.tobytes() for image in experiment.training_images(kind)}
        assert len(trained) == 2, "of 4,096 or 4,160 pixels, two have room in 12,000"
        assert not trained & {image.tobytes() for _, image, _ in experiment.measured_images(kind)}


def curves(saved):
    """Rates of a codec that needs `saved[seed][category]` times the bits of the other, at the same four PSNR."""
    rows = []
    for seed, ratios in enumerate(saved):
        for category, ratio in ratios.items():
            for k, psnr in enumerate((28, 30, 32, 34)):
                base = 0.1 * 2**k
                for trained_on, bpp in ((NATURAL, base), (OVERHEAD, base * ratio)):
                    rows.append((f"{category}/1", category, seed, OVERHEAD, trained_on, bpp, psnr))
    return pd.DataFrame(rows, columns=["image", "category", "seed", "tested_on", "trained_on", "bpp", "psnr"])


def test_the_gain_is_the_geometric_mean_of_the_ratios():
    ratios = [{"a": 0.9, "b": 0.8, "c": 0.95}, {"a": 0.92, "b": 0.83, "c": 0.99}]
    found = gain(curves(ratios), OVERHEAD, NATURAL, OVERHEAD)
    assert found.value == pytest.approx(100 * (gmean([r for seed in ratios for r in seed.values()]) - 1), abs=1e-6)
    assert found.low < found.value < found.high < 0
    turned = gain(curves(ratios), NATURAL, OVERHEAD, OVERHEAD)
    assert (1 + found.value / 100) * (1 + turned.value / 100) == pytest.approx(1)


def test_curves_that_share_no_psnr_are_left_out():
    frame = curves([{"a": 0.9, "b": 0.8}])
    apart = frame["trained_on"].eq(OVERHEAD) & frame["category"].eq("a")
    frame.loc[apart, "psnr"] += 100
    assert gain(frame, OVERHEAD, NATURAL, OVERHEAD).value == pytest.approx(-20)
    frame.loc[frame["trained_on"].eq(OVERHEAD), "psnr"] += 100
    with pytest.raises(InputError, match="share no PSNR"):
        gain(frame, OVERHEAD, NATURAL, OVERHEAD)


def test_all_trainings_are_compared_with_that_of_the_tested_kind():
    rng = np.random.default_rng(0)
    rows = [
        (f"{c}/1", c, 0, tested, trained, 0.1 * 2**k * rng.uniform(0.9, 1.1), 28 + 2 * k)
        for c in "ab" for tested in (OVERHEAD, NATURAL) for trained in TRAININGS for k in range(4)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["image", "category", "seed", "tested_on", "trained_on", "bpp", "psnr"])
    table = gains(frame)
    assert len(table) == 2 * (len(TRAININGS) - 1)
    assert (table["reference"] == table["tested_on"]).all()


def test_the_program_writes_both_tables(study, tmp_path, capsys):
    main([str(tmp_path / "p.yaml")])
    written = [tmp_path / "build/domains/results" / name for name in ("domain.csv", "domain_gains.csv")]
    assert capsys.readouterr().out.split() == [str(path) for path in written]
    assert list(pd.read_csv(written[1]).columns) == ["tested_on", "test", "reference", "value", "low", "high"]
    (tmp_path / "q.yaml").write_text((tmp_path / "p.yaml").read_text().replace("seeds: 1", "seeds: 0"))
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "q.yaml")])
    assert stopped.value.code == 2
    assert "set domain.seeds" in capsys.readouterr().err
