"""`compress`, `decompress` and `info`, called in process: what they write and say."""

import os

import numpy as np
import pytest
from small_command import files

from satstudy.codecs.coding import bitstream
from satstudy.codecs.learned import checkpoint as zoo
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.data.images import read_image
from satstudy.data.sources import ArraySource

pytestmark = pytest.mark.usefixtures("one_thread")


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
        ("--tiling seamless --refine 2", 0.02, "seamless", 1024, 0),
        ("--tiling independent --weights {shelf}/natural-lam0.02.safetensors", 0.02, "independent", 256, 0),
    ],
)
def test_options_reach_the_file(run, work, shelf, options, lam, tiling, tile, overlap):
    status, out, _ = run(f"compress a.png a.sat {options}".format(shelf=shelf))
    assert status == 0
    searched = " refine=2" if "--refine" in options else ""
    assert f"lam={lam:g}{searched}, {tiling.removesuffix('-ramp')}" in out
    header = bitstream.read((work / "a.sat").read_bytes()).header
    assert (header.tiling, header.tile, header.overlap) == (tiling, tile, overlap)
    # All three are shipped weights, which decompress finds by itself.
    assert run("decompress a.sat b.png")[0] == 0
    status, out, _ = run("info a.sat")
    assert status == 0
    assert header.fingerprint.hex() in out
    assert tiling in out
    assert f"tiles     {len(header.layout())} in 1 stream" in out


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
    assert bitstream.read((work / "a.sat").read_bytes())


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
