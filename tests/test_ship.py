"""Shipping trained weights: float16 that decodes, others removed, and a card whose figures were measured."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from measured_frames import BD, seams
from PIL import Image
from scripts import script
from small_study import opened, place, ship

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.wavelet.tables import fitted, no_counts
from satstudy.core import paths
from satstudy.report import findings
from satstudy.study import rate_distortion
from satstudy.study.notebook import save_pictures

CARD = (
    "# Model card\n\nBy hand.\n\n<!-- measured: workflow/ship.py -->\nold\n<!-- end of measured -->\n\nAlso by hand.\n"
)
#: Classifiers on two conditions, and the rates that suffice them.
MATRIX = pd.DataFrame(
    [("frozen", "original", "original", 0.9), ("frozen", "original", "jpeg 0.3bpp", 0.2),
     ("frozen", "jpeg 0.3bpp", "original", 0.1), ("frozen", "jpeg 0.3bpp", "jpeg 0.3bpp", 0.7)],
    columns=["classifier", "trained_on", "validated_on", "accuracy"],
)  # fmt: skip
CONDITIONS = pd.DataFrame({"condition": ["original", "jpeg 0.3bpp"], "codec": ["original", "jpeg"],
                           "setting": ["", "quality=9"], "bpp": [24.0, 0.31]})  # fmt: skip
RATES = pd.DataFrame(
    {
        "codec": ["jpeg"],
        "trained": "original",
        "bpp": 0.5,
        "low": 0.4,
        "high": 0.75,
        "highest": 2.0,
        "classifier": "frozen",
    }
)


@pytest.fixture
def here(tmp_path, tiny_model):
    with place(tmp_path, tiny_model):
        for folder in (paths.WEIGHTS, paths.ROOT):
            (folder / "README.md").write_text(CARD, encoding="utf-8")
        yield tmp_path


@pytest.fixture
def study(here):
    return opened(train={"init": "scratch", "N": 8, "M": 12})


@pytest.fixture
def shipping(study, monkeypatch):
    """The script, about to ship the weights of `study`."""
    module = script("ship")
    monkeypatch.setattr(module, "open_study", lambda profile: study)
    monkeypatch.setattr("sys.argv", ["ship.py", "tiny"])
    return module


def trained(study, model, lam):
    about = {"N": "8", "M": "12", "lam": f"{lam:g}", "domain": "overhead", "steps": "1234", "seconds": "1800"}
    folder = study.training_folder(lam)
    folder.mkdir(parents=True)
    checkpoint.save(folder / "weights.safetensors", model, {**about, "start": "elsewhere"})


def results(study):
    rows = [
        {**dict.fromkeys(rate_distortion.COLUMNS, 1.0), "image": image, "codec": codec, "setting": f"lam={lam}",
         "bpp": bpp, "psnr": 30.0, "ms_ssim": 0.9, "category": "x"}
        for image, bpp in (("a", 0.25), ("b", 0.75))
        for codec, lams in (("mbt2018", (0.005, 0.01)), ("learned", (0.001, 0.1)))
        for lam in lams
    ]  # fmt: skip
    study.results.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(study.results / "rate_distortion.csv", index=False)
    pd.concat([BD, BD.assign(reference="jpeg")]).to_csv(study.results / "bd_rate.csv", index=False)
    seams(8).to_csv(study.results / "seams.csv", index=False)
    MATRIX.to_csv(study.results / "accuracy.csv", index=False)
    CONDITIONS.to_csv(study.results / "accuracy_conditions.csv", index=False)
    (study.results / "accuracy.json").write_text(json.dumps({"uniform": 0.05}))
    RATES.to_csv(study.results / "accuracy_rates.csv", index=False)
    grey = np.full((16, 16, 3), 128, np.uint8)
    coded = [(f"{codec}-1", codec, 0.25, 30.0) for codec in ("learned", "jpeg")]
    save_pictures(study, "crops", dict.fromkeys(("original", "learned-1", "jpeg-1"), grey), {"coded": coded})
    weights = [checkpoint.load(path).fingerprint.hex() for path in checkpoint.everything_shipped()]
    (study.results / "rd.json").write_text(json.dumps({"weights": ", ".join(weights)}))


@pytest.fixture
def every_rate(shipping, study, small_wavelet, monkeypatch):
    """Weights for every rate, which `study` trains."""
    about = {"lam": "0.013", "domain": "overhead", "steps": "77", "seconds": "3600", "start": "random"}
    path = paths.BUILD / "weights.safetensors"
    tables = fitted(no_counts())
    checkpoint.save(path, small_wavelet, about, tables)
    trains = dataclasses.replace(study.profile.every_rate, steps=2, widths=(4, 4), depths=(1, 1), correction=2)
    rates = dataclasses.replace(study, profile=dataclasses.replace(study.profile, every_rate=trains))
    monkeypatch.setattr(type(rates), "every_rate", lambda self: checkpoint.load(path))
    profiles = {"tiny": study, "rates": rates, "reference": study}
    monkeypatch.setattr(shipping, "open_study", profiles.__getitem__)
    return checkpoint.load(path)


def run(shipping, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["ship.py", *arguments])
    return shipping.main()


def test_weights_ship_and_get_a_card_of_what_was_measured(study, shipping, every_rate, make_model, capsys, monkeypatch):
    for seed, lam in enumerate(study.profile.train.lams):
        trained(study, make_model(seed + 5), lam)
    other = ship(paths.WEIGHTS, make_model(1), 0.3)
    assert run(shipping, monkeypatch, "tiny", "rates") == 0
    assert list(checkpoint.shipped()) == [0.005, 0.01], "and no longer λ = 0.3"
    assert not other.exists()
    assert "overhead-every-rate.safetensors: 0." in capsys.readouterr().out
    results(study)
    assert run(shipping, monkeypatch, "--card") == 0
    text = (paths.WEIGHTS / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Model card\n\nBy hand.\n")
    assert text.endswith("\n\nAlso by hand.\n")
    assert "old" not in text
    plain = " ".join(text.split())
    for lam, path in checkpoint.shipped().items():
        half = checkpoint.load(path)
        assert f"| mbt2018 | {lam:g} | N=8 M=12 | 1,234 | elsewhere | 0.50 | 0.5000 | 30.00 | 0.9000 |" in plain
        assert half.fingerprint.hex() in text
        full = checkpoint.load(study.training_folder(lam) / "weights.safetensors")
        assert half.fingerprint != full.fingerprint, "rounding has moved them"
    rates = checkpoint.load(checkpoint.shipped_for_every_rate())
    assert torch.equal(rates.tables["residuals"], every_rate.tables["residuals"])
    for lam in ("0.001", "0.1"):
        assert f"| learned | {lam} | widths=24,16,16 | 77 | random | 1.00 | 0.5000 | 30.00 | 0.9000 |" in plain
    assert rates.fingerprint.hex() in text
    assert "over 2 images of val-compress" in text
    said = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert said.startswith("# Model card\n\nBy hand.\n")
    assert "| UC Merced tiles of 256×256 pixels |" in said, "bits against the rivals, set by set"
    assert f"\n- {findings.blending(seams(8))}\n" in said
    assert (
        "mean over the matrix: frozen: 80.0 % coded as in training, 15.0 % coded otherwise; guessing gives 5.0 %."
        in said
    )
    assert said.rstrip().count(f"\n- {findings.sufficient(RATES)}\n") == 1
    with Image.open(paths.ROOT / "book/_static/crops.png") as drawn:
        assert drawn.width > 100
    # Once more gives the same card.
    assert run(shipping, monkeypatch, "--card") == 0
    assert (paths.WEIGHTS / "README.md").read_text(encoding="utf-8") == text


def test_a_call_without_a_profile_is_refused(shipping, monkeypatch):
    with pytest.raises(SystemExit):
        run(shipping, monkeypatch)


@pytest.mark.parametrize("what", ["results", "weights", "card", "seams"])
def test_results_of_other_weights_or_a_card_without_a_place_write_nothing(
    study, shipping, every_rate, monkeypatch, what
):
    if what != "results":
        results(study)
    before = {path: path.read_bytes() for path in paths.WEIGHTS.iterdir()}
    if what == "weights":
        (study.results / "rd.json").write_text(json.dumps({"weights": "overhead lam=0.01 (0123456789abcdef)"}))
    elif what == "seams":
        (study.results / "seams.csv").unlink()
    elif what == "card":
        (paths.WEIGHTS / "README.md").write_text("# Model card")
        before[paths.WEIGHTS / "README.md"] = b"# Model card"
    says = {
        "results": "run the study first",
        "weights": "run the study again",
        "card": "no place for the table",
        "seams": "run notebooks/blending.ipynb",
    }
    with pytest.raises(SystemExit, match=says[what]):
        run(shipping, monkeypatch, "--card")
    assert {path: path.read_bytes() for path in paths.WEIGHTS.iterdir()} == before
