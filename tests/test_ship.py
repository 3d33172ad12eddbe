"""Shipping trained weights: float16 that decodes, others removed, and a card whose figures were measured."""

import json

import numpy as np
import pandas as pd
import pytest
from measured_frames import BD, seams
from PIL import Image
from scripts import script
from small_study import opened, place, ship

from satstudy.codecs.learned import checkpoint
from satstudy.core import paths
from satstudy.report import findings
from satstudy.study import rate_distortion
from satstudy.study.notebook import save_pictures

CARD = (
    "# Model card\n\nBy hand.\n\n<!-- measured: workflow/ship.py -->\nold\n<!-- end of measured -->\n\nAlso by hand.\n"
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
    monkeypatch.setattr(module, "ROUNDED_ON", 2)
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
        for lam in (0.005, 0.01)
        for codec in ("learned", "learned-natural")
    ]  # fmt: skip
    study.results.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(study.results / "rate_distortion.csv", index=False)
    pd.concat([BD, BD.assign(reference="jpeg")]).to_csv(study.results / "bd_rate.csv", index=False)
    seams(8).to_csv(study.results / "seams.csv", index=False)
    grey = np.full((16, 16, 3), 128, np.uint8)
    coded = [(f"{codec}-1", codec, 0.25, 30.0) for codec in ("learned", "jpeg")]
    save_pictures(study, "crops", dict.fromkeys(("original", "learned-1", "jpeg-1"), grey), {"coded": coded})
    weights = [study.weights(lam).fingerprint.hex() for lam in study.profile.train.lams]
    (study.results / "rd.json").write_text(json.dumps({"weights": ", ".join(weights)}))


def test_weights_ship_with_a_card_of_what_was_measured(study, shipping, make_model, capsys):
    for seed, lam in enumerate(study.profile.train.lams):
        trained(study, make_model(seed + 5), lam)
    results(study)
    other = ship(paths.WEIGHTS, make_model(1), 0.3)
    assert shipping.main() == 0
    assert list(checkpoint.shipped()) == [0.005, 0.01], "and no longer λ = 0.3"
    assert not other.exists()
    text = (paths.WEIGHTS / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Model card\n\nBy hand.\n")
    assert text.endswith("\n\nAlso by hand.\n")
    assert "old" not in text
    for lam, path in checkpoint.shipped().items():
        half = checkpoint.load(path)
        assert f"| {lam:g} | 12 | 1,234 | elsewhere | 0.50 | 0.5000 | 30.00 | 0.9000 |" in " ".join(text.split())
        assert half.fingerprint.hex() in text
        full = checkpoint.load(study.training_folder(lam) / "weights.safetensors")
        assert half.fingerprint != full.fingerprint, "rounding has moved them"
    assert "the 2 images of val-compress" in text
    said = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert said.startswith("# Model card\n\nBy hand.\n")
    assert "2 images that were not trained on" in said
    assert all(f"\n- {line}\n" in said for line in (findings.domain(BD), findings.blending(seams(8))))
    rows = [" ".join(line.split()) for line in said.splitlines()]
    row = next(row for row in rows if row.startswith("| learned |"))
    assert row == "| learned | −12.5 [−13.0, −12.0] | 22.5–33.5 | −12.5 [−13.0, −12.0] |"
    with Image.open(paths.ROOT / "book/_static/crops.png") as drawn:
        assert drawn.width > 100
    # Once more gives the same card.
    assert shipping.main() == 0
    assert (paths.WEIGHTS / "README.md").read_text(encoding="utf-8") == text
    assert "2 files of 0." in capsys.readouterr().out


def test_rounding_is_measured_on_files(here, study, shipping, make_model):
    trained(study, make_model(3), 0.01)
    weights = study.weights(0.01)
    assert shipping.rounding(study, weights, weights) == (0.0, 0.0)
    other = checkpoint.load(ship(here, make_model(4), 0.01))
    change = shipping.rounding(study, weights, other)
    assert abs(change.rate) > 1 or abs(change.psnr) > 0.1


def test_without_results_nothing_is_shipped(study, shipping, make_model):
    before = list(checkpoint.shipped())
    for lam in study.profile.train.lams:
        trained(study, make_model(3), lam)
    with pytest.raises(SystemExit, match="run the study first"):
        shipping.main()
    assert list(checkpoint.shipped()) == before


@pytest.mark.parametrize("what", ["weights", "card", "seams"])
def test_results_of_other_weights_and_a_card_without_a_place_stop_it_before_the_work(study, shipping, make_model, what):
    for seed, lam in enumerate(study.profile.train.lams):
        trained(study, make_model(seed + 5), lam)
    results(study)
    before = {path: path.read_bytes() for path in paths.WEIGHTS.iterdir()}
    if what == "weights":
        (study.results / "rd.json").write_text(json.dumps({"weights": "overhead lam=0.01 (0123456789abcdef)"}))
    elif what == "seams":
        (study.results / "seams.csv").unlink()
    else:
        (paths.WEIGHTS / "README.md").write_text("# Model card")
        before[paths.WEIGHTS / "README.md"] = b"# Model card"
    says = {"weights": "run the study again", "card": "no place for the table", "seams": "run notebooks/blending.ipynb"}
    with pytest.raises(SystemExit, match=says[what]):
        shipping.main()
    assert {path: path.read_bytes() for path in paths.WEIGHTS.iterdir()} == before
