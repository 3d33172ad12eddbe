"""The command, called in process: what it writes, says and refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from satstudy import __version__, cli, coding, container, paths, zoo
from satstudy.codecs.learned import LearnedCodec
from satstudy.codecs.sources import ArraySource
from satstudy.data.images import read_image
from satstudy.errors import SatstudyError
from satstudy.probability import hyper_tables

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shelf(make_model, tmp_path_factory):
    """A folder of shipped weights: two for overhead images, rising in rate, and one for natural ones."""
    folder = tmp_path_factory.mktemp("shelf")
    for lam, domain, gain in (("0.002", "overhead", 0.4), ("0.02", "overhead", 1), ("0.02", "natural", 0.7)):
        model = make_model()
        with torch.no_grad():
            model.g_a[6].weight.mul_(gain)
        text = {"N": "8", "M": "12", "lam": lam, "domain": domain}
        zoo.save(folder / f"{domain}-lam{lam}.safetensors", model, text, hyper_tables(model))
    return folder


@pytest.fixture
def work(shelf, picture, tmp_path, monkeypatch):
    """A folder with images, in which the command runs."""
    monkeypatch.setattr(paths, "WEIGHTS", shelf)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(70, 90)).save("a.png")
    for name in ("images/b.png", "images/sub/c.png"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Image.fromarray(picture(40, 50)).save(name)
    return tmp_path


@pytest.fixture
def run(work, capsys):
    """Run the command; gives status, output and error output. Whatever happens, no temporary file stays."""

    def call(line):
        status = cli.main(line.split())
        said = capsys.readouterr()
        assert not list(work.rglob(".*"))
        return status, said.out, said.err

    return call


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- What works -----------------------------------------------------------------------------------------


def test_an_image_goes_there_and_back(run, work, shelf, picture):
    status, out, err = run("compress a.png a.sat --patch 64")
    size = os.path.getsize("a.sat")
    assert (status, err) == (0, "")
    assert out == f"a.sat: {size} bytes, {8 * size / 6300:.4f} bpp, lam=0.02, seamless\n"
    codec = LearnedCodec(zoo.load(shelf / "overhead-lam0.02.safetensors"), patch=64)
    data = (work / "a.sat").read_bytes()
    assert data == codec.encode(picture(70, 90))
    assert run("decompress a.sat b.png") == (0, "b.png: 90×70 pixels\n", "")
    assert np.array_equal(read_image("b.png"), codec.decode(data))
    assert run("decompress a.sat w.webp --window 10 20 30 40") == (0, "w.webp: 30×40 pixels\n", "")
    assert np.array_equal(read_image("w.webp"), codec.decode(data)[20:60, 10:40])


@pytest.mark.parametrize(
    ("options", "lam", "tiling", "tile", "overlap"),
    [
        ("", 0.02, "seamless", 1024, 0),
        ("--lam 0.002", 0.002, "seamless", 1024, 0),
        ("--tiling blend --patch 256 --overlap 8", 0.02, "blend", 256, 8),
        ("--tiling blend --patch 64 --overlap 16 --weighting ramp", 0.02, "blend-ramp", 64, 16),
        ("--tiling independent --lam 0.002", 0.002, "independent", 256, 0),
        ("--tiling independent --weights {shelf}/natural-lam0.02.safetensors", 0.02, "independent", 256, 0),
    ],
)
def test_options_reach_the_file(run, work, shelf, options, lam, tiling, tile, overlap):
    status, out, _ = run(f"compress a.png a.sat {options}".format(shelf=shelf))
    assert status == 0
    assert f"lam={lam:g}, {tiling.removesuffix('-ramp')}" in out
    header = container.read((work / "a.sat").read_bytes()).header
    assert (header.tiling, header.tile, header.overlap) == (tiling, tile, overlap)
    # All three are shipped weights, which decompress finds by itself.
    assert run("decompress a.sat b.png")[0] == 0
    status, out, _ = run("info a.sat")
    assert status == 0
    assert header.fingerprint.hex() in out
    assert tiling in out
    assert f"tiles     {len(header.layout())} in 1 stream" in out


def test_the_default_is_the_shipped_lam_nearest_to_a_hundredth():
    assert coding.DEFAULT_LAM == 0.01


def test_a_rate_chooses_among_the_weights(run, work):
    rates = {}
    for lam in ("0.002", "0.02"):
        run(f"compress a.png a.sat --lam {lam}")
        rates[lam] = 8 * os.path.getsize("a.sat") / 6300
    assert rates["0.002"] < rates["0.02"]
    for wanted, lam in ((0.001, "0.002"), (rates["0.002"], "0.002"), (rates["0.02"], "0.02"), (50, "0.02")):
        status, out, _ = run(f"compress a.png a.sat --bpp {wanted}")
        assert status == 0
        assert f"{rates[lam]:.4f} bpp (asked for {wanted:g}), lam={lam}," in out


def test_a_folder_is_mirrored_there_and_back(run, work):
    before = files(work / "images")
    status, out, _ = run("compress images packed --patch 64")
    assert status == 0
    assert sorted(files(work / "packed")) == ["b.sat", "sub/c.sat"]
    assert len(out.splitlines()) == 2
    assert run("decompress packed back --format webp")[0] == 0
    assert sorted(files(work / "back")) == ["b.webp", "sub/c.webp"]
    assert run("compress images images")[0] == 0  # beside the images
    assert {name: data for name, data in files(work / "images").items() if name.endswith("png")} == before


def test_one_bad_image_does_not_stop_a_folder(run, work):
    (work / "images/bad.png").write_text("no image")
    status, out, err = run("compress images packed --patch 64 --bpp 1")
    assert status == 2
    assert len(out.splitlines()) == 2
    assert "images/bad.png is no image" in err
    assert err.splitlines()[-1] == "satstudy: 1 of 3 files could not be coded: mend or remove them."
    assert sorted(files(work / "packed")) == ["b.sat", "sub/c.sat"]


def test_an_output_is_replaced_and_only_when_it_is_whole(run, work):
    (work / "a.sat").write_text("before")
    assert run("compress cut.png a.sat")[0] == 2
    assert (work / "a.sat").read_text() == "before"
    assert run("compress a.png a.sat")[0] == 0
    assert container.read((work / "a.sat").read_bytes())


def test_info_shows_notes_in_one_line_each(run, work, checkpoint):
    notes = {"crs": "EPSG:4326", "bad\x1b[31m\n": "x" * 500}
    (work / "n.sat").write_bytes(LearnedCodec(checkpoint).encode(np.zeros((9, 8, 3), np.uint8), notes))
    status, out, _ = run("info n.sat")
    assert status == 0
    assert "size      8×9 pixels (width×height)" in out
    assert 'crs: "EPSG:4326"' in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) < 220
    assert "no data   no mask" in out
    masked = ArraySource(np.zeros((9, 8, 3), np.uint8), np.eye(9, 8, dtype=bool), 7)
    (work / "m.sat").write_bytes(LearnedCodec(checkpoint).encode(masked))
    assert "no data   masked, value 7" in run("info m.sat")[1]


def test_weights_are_listed_with_the_fingerprints_of_files(run, work, shelf):
    run("compress a.png a.sat --lam 0.002")
    status, out, _ = run("weights")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    named = [" ".join(line[:2]) for line in lines]
    assert named == ["natural lam=0.02", "overhead lam=0.002", "overhead lam=0.02"]
    assert lines[1][4] == container.read((work / "a.sat").read_bytes()).header.fingerprint.hex()


def test_rd_measures_real_files(run, work):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (170, 170, 3), np.uint8)).save("images/sub/c.png")
    status, out, _ = run("rd images a.png --codec jpeg --codec learned --codec learned-natural --csv rd.csv")
    assert status == 0
    assert "psnr" in out
    frame = pd.read_csv("rd.csv")
    assert {"image", "codec", "setting", "bpp", "psnr", "ms_ssim", "encode_s", "decode_s"} <= set(frame)
    assert set(frame["codec"]) == {"jpeg", "learned", "learned-natural"}
    assert frame["image"].nunique() == 3
    assert (frame["bpp"] - 8 * frame["bytes"] / (frame["height"] * frame["width"])).abs().max() < 1e-9
    before = (work / "rd.csv").read_bytes()
    assert run("rd images a.png --codec jpeg --csv rd.csv")[0] == 0
    assert (work / "rd.csv").read_bytes() == before
    assert run("rd a.png --codec jpeg --csv rd.csv --fresh")[0] == 0
    assert set(pd.read_csv("rd.csv")["codec"]) == {"jpeg"}


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


# --- What is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "arguments are required"),
        ("shrink a.png", "invalid choice"),
        ("compress a.png", "`satstudy compress --help` says"),
        ("compress nope.png x.sat", "no file or folder nope.png"),
        ("compress text.png x.sat", "text.png is no image"),
        ("compress cut.png x.sat", "cut.png is truncated"),
        ("compress deep.tif x.sat", "scale it to 8 bits"),
        ("compress a.png images", "is a folder: name a file in it"),
        ("compress a.png nope/x.sat", "There is no folder"),
        ("compress a.png a.png", "is the input itself"),
        ("compress a.png x.png", "name it .sat"),
        ("compress a.png weights.safetensors", "name it .sat"),
        ("compress empty x", "empty: No image"),
        ("compress images a.png", "a.png is a file"),
        ("compress a.png x.sat --lam 0.5", "take one of 0.002, 0.02,"),
        ("compress a.png x.sat --lam 0.02 --bpp 1", "not allowed with"),
        ("compress a.png x.sat --bpp 0", "above 0"),
        ("compress a.png x.sat --bpp nan", "above 0"),
        ("compress a.png x.sat --weights nope.safetensors", "no weights at nope.safetensors"),
        ("compress a.png x.sat --weights a.png", "no safetensors file"),
        ("compress a.png x.sat --patch 100", "multiple of 16"),
        ("compress a.png x.sat --patch -16", "multiple of 16"),
        ("compress a.png x.sat --tiling blend --overlap -1", "between 0 and half"),
        ("compress a.png x.sat --tiling tiles", "invalid choice"),
        ("compress a.png x.sat --device nothing", "no device 'nothing'"),
        ("compress a.png x.sat --bands 3 2 1", "needs a TIFF"),
        ("decompress nope.sat x.png", "no file or folder nope.sat"),
        ("decompress a.png x.png", "a.png: This is no .sat file"),
        ("decompress good.sat x.jpg", "name the output .png, .tif or .webp"),
        ("decompress good.sat x", "name the output .png, .tif or .webp"),
        ("decompress good.sat good.sat", "is the input itself"),
        ("decompress good.sat images", "is a folder"),
        ("decompress void.sat x.png", "void.sat: This is no .sat file"),
        ("decompress short.sat x.png", "short.sat: This file has"),
        ("decompress head.sat x.png", "header of this file is damaged"),
        ("decompress damaged.sat x.png", "damaged.sat: Part 1 of 1"),
        ("decompress damaged.sat x.tif", "damaged.sat: Part 1 of 1"),
        ("decompress newer.sat x.png", "update satstudy"),
        ("decompress foreign.sat x.png", "name them with --weights"),
        (
            "decompress good.sat x.png --weights {shelf}/overhead-lam0.002.safetensors",
            "decode it with the weights it was made with",
        ),
        ("decompress good.sat x.png --window 80 0 11 5", "leaves the image"),
        ("decompress good.sat x.tif --window 0 0 -5 5", "leaves the image"),
        ("decompress good.sat x.png --window 1 2 3", "expected 4"),
        ("decompress good.sat x.png --max-pixels 6299", "raise the limit"),
        ("decompress good.sat x.png --max-pixels -1", "must be 1 or more"),
        ("decompress images x", "holds no .sat file"),
        ("info nope.sat", "no file nope.sat"),
        ("info images", "cannot be read"),
        ("info a.png", "a.png: This is no .sat file"),
        ("info damaged.sat", "damaged.sat: Part 1 of 1"),
        ("rd nope.png --csv r.csv", "no file or folder nope.png"),
        ("rd a.png", "required: --csv"),
        ("rd a.png --csv r.csv --codec gif", "invalid choice"),
        ("rd a.png --csv a.png", "name it .csv"),
        ("rd a.png --csv nope/r.csv", "There is no folder"),
        ("rd a.png --csv other.csv --codec jpeg", "no rate-distortion table"),
        ("rd text.png --csv r.csv --codec jpeg", "text.png is no image"),
        ("train --profile nope", "no profile 'nope'"),
        ("data", "required"),
        ("data check nope", "no folder nope"),
        ("data synth a.png", "is a file"),
        ("data synth s --size 5", "too small"),
        ("data fmow f --split val --manifest nope", "no nope"),
        ("data fmow f --split test", "invalid choice"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(run, work, shelf, line, words):
    good = LearnedCodec(zoo.load(shelf / "overhead-lam0.02.safetensors")).encode(read_image("a.png"))
    file = container.read(good)
    foreign = container.Header(*good_sizes(file.header), bytes(8))
    middle = sum(file.spans[0]) // 2
    for name, data in {
        "good.sat": good,
        "void.sat": b"",
        "short.sat": good[:-5],
        "head.sat": good[:14] + bytes([good[14] ^ 1]) + good[15:],
        "damaged.sat": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "newer.sat": good[:3] + b"\x63" + good[4:],
        "foreign.sat": container.write(foreign, [file.stream(0)]),
        "text.png": b"some text",
        "cut.png": (work / "a.png").read_bytes()[:3000],
        "weights.safetensors": b"",
        "other.csv": b"a,b\n1,2\n",
    }.items():
        (work / name).write_bytes(data)
    Image.fromarray(np.zeros((9, 9), np.uint16)).save("deep.tif")
    (work / "empty").mkdir()
    before = files(work)
    status, _, err = run(line.format(shelf=shelf))
    assert status == 2
    assert words in err
    assert err.startswith("satstudy: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    after = files(work)
    after.pop("r.csv", None)  # a table is begun before its images are read
    assert after == before


def good_sizes(header):
    return header.height, header.width, header.tiling, header.tile, header.overlap, header.group


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (SatstudyError("It failed: try again."), 1, "It failed: try again."),
        (OSError(28, "No space left on device", "a.sat"), 1, "No space left on device (a.sat)"),
        (OSError("strange"), 1, "strange"),
        (MemoryError(), 1, "too little memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: …"), 1, "too little memory"),
        (KeyboardInterrupt(), 130, "no half-written file"),
    ],
)
def test_failures_have_another_status_and_leave_nothing(run, work, monkeypatch, raised, status, words):
    def fail(*_):
        raise raised

    monkeypatch.setattr(container, "write", fail)
    before = files(work)
    found, out, err = run("compress a.png a.sat")
    assert (found, out) == (status, "")
    assert words in err
    assert err.count("\n") == 1
    assert files(work) == before


def test_a_failure_while_writing_leaves_nothing(run, work, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    run("compress a.png a.sat")
    before = files(work)
    monkeypatch.setattr(Image.Image, "save", full)
    assert run("decompress a.sat b.png")[0] == 1
    assert files(work) == before


def test_what_is_a_mistake_of_ours_is_not_hidden(run, monkeypatch):
    monkeypatch.setattr(container, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("compress a.png a.sat")


def test_a_file_that_may_not_be_read_is_refused(run, work):
    if os.geteuid() == 0:
        pytest.skip("root may read any file")
    run("compress a.png a.sat")
    for name in ("a.png", "a.sat"):
        (work / name).chmod(0)
    for line in ("compress a.png b.sat", "decompress a.sat b.png", "info a.sat"):
        status, _, err = run(line)
        assert status == 2
        assert "ermission denied" in err


def test_it_runs_as_a_program():
    found = subprocess.run(
        [sys.executable, "-m", "satstudy.cli", "--version"], capture_output=True, text=True, timeout=99
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{__version__}\n", "")
