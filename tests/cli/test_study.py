"""`rd`, `weights`, `train` and `data`, called in process: what they write and say."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from satstudy.codecs.coding import bitstream
from satstudy.codecs.learned import checkpoint
from satstudy.data.images import read_image
from satstudy.study import study

pytestmark = pytest.mark.usefixtures("one_thread")


def test_weights_are_listed_with_the_fingerprints_of_files(run, work, shelf):
    run("compress a.png a.sat --lam 0.002")
    status, out, _ = run("weights")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    named = [" ".join(line[:2]) for line in lines]
    assert named == ["natural lam=0.02", "overhead lam=0.002", "overhead lam=0.02"]
    assert lines[1][4] == bitstream.read((work / "a.sat").read_bytes()).header.fingerprint.hex()


def test_rd_measures_real_files(run, work):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (170, 170, 3), np.uint8)).save("images/sub/c.png")
    status, out, _ = run("rd images a.png --codec jpeg --codec mbt2018 --codec mbt2018-natural --csv rd.csv")
    assert status == 0
    assert "psnr" in out
    frame = pd.read_csv("rd.csv")
    assert {"image", "codec", "setting", "bpp", "psnr", "ms_ssim", "encode_s", "decode_s"} <= set(frame)
    assert set(frame["codec"]) == {"jpeg", "mbt2018", "mbt2018-natural"}
    assert frame["image"].nunique() == 3
    assert (frame["bpp"] - 8 * frame["bytes"] / (frame["height"] * frame["width"])).abs().max() < 1e-9
    before = (work / "rd.csv").read_bytes()
    assert run("rd images a.png --codec jpeg --csv rd.csv")[0] == 0
    assert (work / "rd.csv").read_bytes() == before
    assert run("rd a.png --codec jpeg --csv rd.csv --fresh")[0] == 0
    assert set(pd.read_csv("rd.csv")["codec"]) == {"jpeg"}


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", [(0.02, "overhead"), (0.01, "overhead")]),
        ("--lam 0.3 --lam 0.1 --domain natural", [(0.3, "natural"), (0.1, "natural")]),
    ],
)
def test_a_ladder_or_some_of_it_is_trained(run, work, monkeypatch, options, asked):
    seen = []

    def train(lam, domain):
        seen.append((lam, domain))
        return SimpleNamespace(path=work / f"{lam}.safetensors")

    opened = SimpleNamespace(ladder=lambda: [0.02, 0.01], weights=train, images=lambda split: [])
    monkeypatch.setattr(study, "open_study", lambda *_, **__: opened)
    status, out, _ = run(f"train --profile tiny {options}")
    assert status == 0
    assert seen == asked
    assert out.splitlines() == [f"{work}/{lam}.safetensors" for lam, _ in asked]


def test_weights_are_adapted_and_their_files_name_them(run, work, trained_wavelet):
    checkpoint.save(work / "base.safetensors", trained_wavelet, {"lam": "0.01"}, half=True)
    status, out, _ = run("adapt images a.png mine.safetensors --weights base.safetensors --steps 2 --device cpu")
    assert status == 0
    found = checkpoint.load(work / "mine.safetensors")
    size = (work / "mine.safetensors").stat().st_size / 1000
    assert out == f"mine.safetensors: {size:.0f} kB, weights {found.fingerprint.hex()}\n"
    assert run("compress a.png a.sat --weights mine.safetensors --lam 0.02")[0] == 0
    assert found.fingerprint.hex() in run("info a.sat")[1]
    assert run("decompress a.sat b.png --weights mine.safetensors")[0] == 0
    assert read_image("b.png").shape == read_image("a.png").shape
    for wrong in (
        "a.png b.safetensors",
        "a.png b.safetensors --weights base.safetensors --steps 0",
        "a.png b.txt --weights base.safetensors",
    ):
        assert run(f"adapt {wrong}")[0] == 2


def test_synthetic_scenes_are_drawn_and_checked(run, work, monkeypatch):
    monkeypatch.setattr("satstudy.data.synthetic.tree.CATEGORIES", ("airport", "lake_or_pond"))
    status, out, _ = run("data synth scenes --train-objects 1 --val-objects 1 --views 1 --size 64")
    assert status == 0
    assert "synthetic" in out
    status, out, _ = run("data check scenes")
    assert status == 0
    assert "0 unusable" in out
    assert json.loads((work / "scenes/synthetic.json").read_text())
    (work / "images/sub/c.png").write_text("no image")
    (work / "images/b.png").unlink()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("images/sub/d.png")
    status, out, err = run("data check images")
    assert status == 2
    assert "1 images, 1 unusable" in out
    assert err.count("c.png is no image") == 1


def test_images_are_packed_and_unpacked(run, work):
    for i in range(4):
        Image.open("a.png").save(f"images/sub/c{i}.png")
    (work / "images/sub/c.png").unlink()
    (work / "images/b.png").unlink()
    size = sum(path.stat().st_size for path in work.glob("images/sub/c[12].png"))
    status, out, _ = run("data pack images p.zip --numbers 1-2")
    assert status == 0
    assert re.fullmatch(r"p\.zip: 2 images, 0\.0\d MiB, the files unchanged, lossless\n", out)
    status, out, _ = run(f"data pack images p.zip --limit {size / 2 / 2**20} --numbers 1-2")
    assert status == 0
    said = re.fullmatch(r"p\.zip: 2 images, 0\.0\d MiB, JPEG quality (\d+), (\d+\.\d\d) dB\n", out)
    status, out, _ = run("data unpack p.zip there")
    assert (status, out) == (0, "there: 2 images unpacked\n")
    note = json.loads((work / "there/pack.json").read_text())
    assert (note["quality"], f"{note['psnr']:.2f}") == (int(said[1]), said[2])
    names = ["pack.json", "sub/c1.jpg", "sub/c2.jpg"]
    assert sorted(p.relative_to("there").as_posix() for p in Path("there").rglob("*.*")) == names
