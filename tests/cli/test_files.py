"""`compress`, `decompress` and `info`, called in process: what they write and say."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from field_files import RGB, X, Y, look, profile, rasterio, write_tiff
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_command import files as contents

from satstudy.cli import files
from satstudy.cli.files import Pair
from satstudy.codecs.base import closest_rate
from satstudy.codecs.coding import bitstream
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core import paths
from satstudy.core.errors import DamagedFile, InputError
from satstudy.data.geotiff import Raster
from satstudy.data.images import read_image
from satstudy.data.sources import ArraySource

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_image_goes_there_and_back(run, work, shelf, picture):
    status, out, err = run("compress a.png a.sat --patch 64")
    size = os.path.getsize("a.sat")
    assert (status, err) == (0, "")
    assert out == f"a.sat: {size} bytes, {8 * size / 6300:.4f} bpp, lam=0.02, seamless\n"
    codec = LearnedCodec(checkpoint.load(shelf / "overhead-lam0.02.safetensors"), patch=64)
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
    before = contents(work / "images")
    status, out, _ = run("compress images packed --patch 64")
    assert status == 0
    assert sorted(contents(work / "packed")) == ["b.sat", "sub/c.sat"]
    assert len(out.splitlines()) == 2
    assert run("decompress packed back --format webp")[0] == 0
    assert sorted(contents(work / "back")) == ["b.webp", "sub/c.webp"]
    assert run("compress images images")[0] == 0  # beside the images
    assert {name: data for name, data in contents(work / "images").items() if name.endswith("png")} == before


def test_one_bad_image_does_not_stop_a_folder(run, work):
    (work / "images/bad.png").write_text("no image")
    status, out, err = run("compress images packed --patch 64 --bpp 1")
    assert status == 2
    assert len(out.splitlines()) == 2
    assert "images/bad.png is no image" in err
    assert err.splitlines()[-1] == "satstudy: 2 done, 0 skipped, 1 failed: mend or remove what is listed above."
    assert sorted(contents(work / "packed")) == ["b.sat", "sub/c.sat"]


def test_a_folder_is_finished_whatever_is_in_it(run, work, picture, monkeypatch):
    """A damaged image, one too deep, a link to nowhere, names that are no UTF-8 or very long, a linked folder."""
    images = work / "images"
    (images / "cut.png").write_bytes((work / "a.png").read_bytes()[:2000])
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(images / "deep.png")
    (images / "dangling.png").symlink_to("nowhere.png")
    Image.fromarray(picture(20, 20)).save(images / os.fsdecode(b"n\xff.png"))
    Image.fromarray(picture(20, 20)).save(images / ("x" * 245 + ".png"))
    Image.fromarray(picture(20, 20)).save(images / ("y" * 251 + ".bmp"))
    (work / "elsewhere").mkdir()
    Image.fromarray(picture(20, 20)).save(work / "elsewhere/d.png")
    (images / "linked").symlink_to("../elsewhere")
    (images / "again").symlink_to("../images")
    status, out, err = run("compress images packed")
    assert status == 2, err
    for reason in ("cut.png is truncated", "deep.png has more than 8 bits", "dangling.png is a link to nowhere.png"):
        assert reason in err
    assert err.splitlines()[-1] == "satstudy: 6 done, 0 skipped, 3 failed: mend or remove what is listed above."
    assert sorted(os.listdir(b"packed")) == [
        b"b.sat",
        b"linked",
        b"n\xff.sat",
        b"sub",
        b"x" * 245 + b".sat",
        b"y" * 251 + b".sat",
    ]
    assert "packed/n\\xff.sat: " in out
    status, out, err = run("decompress packed back --format webp")
    assert status == 2
    assert "would become a file with a name above 255 bytes: rename it" in err
    assert err.splitlines()[-1] == "satstudy: 5 done, 0 skipped, 1 failed: mend or remove what is listed above."


def test_a_failure_is_told_from_bad_input_and_stops_nothing(run, work, monkeypatch):
    encode = LearnedCodec.encode

    def failing(self, image, notes=None):
        if image.height == 40:
            raise failure
        return encode(self, image, notes)

    monkeypatch.setattr(LearnedCodec, "encode", failing)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save("images/z.png")
    for failure in (OSError(5, "Input/output error"), MemoryError("none left"), KeyError("a mistake of ours")):
        status, out, err = run("compress images packed")
        assert status == 1
        assert len(out.splitlines()) == 1
        assert err.splitlines()[-1] == "satstudy: 1 done, 0 skipped, 2 failed: mend or remove what is listed above."
        assert f"images/b.png: {type(failure).__name__}" in err
    (work / "images/bad.png").write_text("no image")
    assert run("compress images packed")[0] == 1, "a failure counts more than bad input"


def test_what_is_there_stays_if_asked_for(run, work):
    assert run("compress images packed")[0] == 0
    before = contents(work / "packed")
    (work / "packed/b.sat").write_text("mine")
    status, out, err = run("compress images packed --no-overwrite --lam 0.002")
    assert (status, out, err) == (0, "", "satstudy: 0 done, 2 skipped, 0 failed.\n")
    assert contents(work / "packed") == {**before, "b.sat": b"mine"}
    status, _, err = run("compress a.png packed/b.sat --no-overwrite")
    assert status == 2
    assert "packed/b.sat is there already: leave out --no-overwrite" in err
    assert run("compress images packed --overwrite")[0] == 0
    assert contents(work / "packed") == before
    run("compress a.png a.sat")
    (work / "a.tif").write_text("mine")
    assert run("decompress a.sat a.tif --no-overwrite")[0] == 2
    assert (work / "a.tif").read_text() == "mine"


def test_an_output_is_replaced_and_only_when_it_is_whole(run, work):
    (work / "a.sat").write_text("before")
    assert run("compress cut.png a.sat")[0] == 2
    assert (work / "a.sat").read_text() == "before"
    assert run("compress a.png a.sat")[0] == 0
    assert bitstream.read((work / "a.sat").read_bytes())


def test_what_is_chosen_lost_or_hidden_is_said(run, work):
    infrared = np.where((X > 15) & (X < 40), 0, 100 + Y).astype(np.uint8)
    placed = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 4e6)}
    write_tiff(work / "naip.tif", np.dstack([RGB, infrared]), colours="blue green red alpha", **placed)
    status, out, err = run("compress naip.tif a.sat")
    assert (status, out[:6]) == (0, "a.sat:")
    assert err.splitlines() == [
        "satstudy: naip.tif: bands 3, 2, 1 are taken as red, green and blue",
        "satstudy: naip.tif: 960 of 2240 pixels (42.9%) are hidden by band 4, which is tagged alpha",
        "satstudy: naip.tif: 1280 of 2240 pixels are partly transparent by band 4, which is tagged alpha: that is not "
        "kept",
        "satstudy: naip.tif: if this band is no mask but near infrared, say, give --no-mask",
    ]
    assert "no data   masked, value 0" in run("info a.sat")[1]
    status, _, err = run("compress naip.tif a.sat --no-mask")
    assert (status, err.count("\n")) == (0, 1)
    assert "no data   no mask" in run("info a.sat")[1]
    assert run("compress naip.tif a.sat --bands 4 1 2")[2] == ""
    status, _, err = run("decompress a.sat a.png")
    assert (status, err) == (0, "satstudy: a.png: PNG does not hold its crs, transform, which a .tif would\n")
    assert run("decompress a.sat b.tif")[2] == ""
    assert look(work / "b.tif")[2]["crs"].to_epsg() == 32633


def test_a_side_above_the_limit_is_refused_before_its_mask_is_read(run, work, monkeypatch):
    write_tiff(work / "b.tif", RGB, nodata=0)
    monkeypatch.setattr(bitstream, "MAX_SIDE", 55)
    monkeypatch.setattr(Raster, "masked_counts", lambda self: pytest.fail("the mask is read"))
    status, _, err = run("compress b.tif b.sat")
    assert (status, err) == (2, "satstudy: b.tif has a side above the limit of 55 pixels: cut it into scenes.\n")


def test_notes_that_a_file_has_no_room_for_are_left_out_and_said(run, work, monkeypatch):
    write_tiff(work / "b.tif", RGB, tags={"units": ("y" * 40_000,) * 3, "descriptions": ("x" * 40_000,) * 3})
    status, _, err = run("compress b.tif b.sat")
    assert (status, err.splitlines()) == (
        0,
        [
            "satstudy: b.tif: its band names are larger than a .sat file has room for, and not kept",
            "satstudy: b.tif: its units are larger than a .sat file has room for, and not kept",
        ],
    )
    large = bytearray(profile() + bytes(60_000))
    Image.fromarray(RGB).save("p.png", icc_profile=bytes(large))
    status, _, err = run("compress p.png p.sat")
    assert status == 0
    assert "its colour profile is larger than a .sat file has room for, and not kept" in err
    assert "notes     none" in run("info p.sat")[1]


@pytest.mark.parametrize("masked", [False, True])
def test_the_quality_is_measured_on_request(run, work, picture, masked):
    whole = picture(70, 90)
    if masked:
        whole[:, :30] = 0
    write_tiff(work / "m.tif", whole, nodata=0 if masked else None)
    status, out, _ = run("compress m.tif m.sat --measure")
    assert status == 0
    run("decompress m.sat back.tif")
    valid = (whole != 0).any(axis=2) if masked else np.ones((70, 90), bool)
    error = (whole[valid].astype(float) - read_image("back.tif")[valid]) ** 2
    psnr = 10 * np.log10(255**2 / error.mean())
    assert float(re.search(r" bpp, ([\d.]+) dB, lam=", out)[1]) == pytest.approx(psnr, abs=0.0051)
    assert "dB" not in run("compress m.tif m.sat")[1]


def test_info_of_a_folder_is_a_line_a_file_and_json_for_programs(run, work):
    run("compress images packed --patch 64")
    status, out, err = run("info packed")
    assert (status, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines()] == ["packed/b.sat", "packed/sub/c.sat"]
    status, out, _ = run("info packed --json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["file"] for row in found] == ["packed/b.sat", "packed/sub/c.sat"]
    for row in found:
        data = (work / row["file"]).read_bytes()
        header = bitstream.read(data).header
        assert (row["width"], row["height"], row["bytes"]) == (50, 40, len(data))
        assert row["bpp"] == pytest.approx(8 * len(data) / 2000, abs=1e-6)
        assert (row["weights"], row["tiling"], row["tile"]) == (header.fingerprint.hex(), "seamless", 64)
        assert (row["damage"], row["notes"], row["no_data"], row["lam"]) == ([], {}, None, None)
    assert [json.loads(run(f"info {row['file']} --json")[1]) for row in found] == found
    (work / "packed/b.sat").write_bytes(data[:-1])
    status, out, err = run("info packed --json")
    assert (status, out.count("\n"), err.count("\n")) == (2, 1, 1)
    assert "packed/b.sat: This file" in err


def test_info_names_the_lam_of_what_ships(run, work, monkeypatch):
    monkeypatch.undo()  # the weights that really ship
    monkeypatch.chdir(work)
    for path in checkpoint.everything_shipped():
        known = checkpoint.load(path)
        (work / "a.sat").write_bytes(LearnedCodec(known).encode(np.zeros((9, 8, 3), np.uint8)))
        shown = json.loads(run("info a.sat --json")[1])
        assert shown["weights"] == known.fingerprint.hex()
        assert shown["lam"] == pytest.approx(known.lam, rel=0.006), path  # in a file of every rate in steps of 1 %


def test_info_names_the_lam_that_a_file_of_every_rate_has(run, work, small_wavelet):
    checkpoint.save(work / "every.safetensors", small_wavelet, {"lam": "0.013"})
    for lam in (0.0005, 0.05):
        codec = LearnedCodec(checkpoint.load(work / "every.safetensors"), lam=lam)
        (work / "a.sat").write_bytes(codec.encode(np.zeros((9, 8, 3), np.uint8)))
        assert json.loads(run("info a.sat --json")[1])["lam"] == pytest.approx(
            lam, rel=0.006
        )  # 1 % from one to the next


def test_info_names_the_lam_with_index_zero(run, work, small_wavelet, monkeypatch):
    """A file at λ = 0.01 has no index of λ: the card says that its weights serve every λ."""
    checkpoint.save(work / "every.safetensors", small_wavelet, {"lam": "0.013"})
    codec = LearnedCodec(checkpoint.load(work / "every.safetensors"), lam=0.01)
    (work / "a.sat").write_bytes(codec.encode(np.zeros((9, 8, 3), np.uint8)))
    monkeypatch.setattr(paths, "WEIGHTS", work)
    (work / "README.md").write_text(f"| learned | 0.013 | widths | `{codec.fingerprint.hex()}` |\n")
    assert json.loads(run("info a.sat --json")[1])["lam"] == 0.01


def test_info_shows_notes_in_one_line_each(run, work, checkpoint):
    notes = {"crs": "EPSG:4326", "bad\x1b[31m\n": "x" * 500}
    (work / "n.sat").write_bytes(LearnedCodec(checkpoint).encode(np.zeros((9, 8, 3), np.uint8), notes))
    status, out, _ = run("info n.sat")
    assert status == 0
    assert "size      8×9 pixels (width×height)" in out
    assert 'crs: "EPSG:4326"' in out
    assert "decodes   to the same latents everywhere" in out
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


# --- Names, weights and rates ---


@pytest.fixture
def folder(tmp_path):
    for name in ("in/a.png", "in/sub/b.TIF", "in/sub/deep/c.jpeg", "in/notes.txt", "in/.hidden.png", "sat/x/y.sat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_one_file_is_one_pair(folder):
    assert files.pairs(folder / "in/a.png", folder / "z.sat", ".sat") == [Pair(folder / "in/a.png", folder / "z.sat")]


def test_a_folder_is_mirrored(folder):
    made = files.pairs(folder / "in", folder / "out", ".sat")
    assert [pair.target.relative_to(folder).as_posix() for pair in made] == [
        "out/a.sat",
        "out/sub/b.sat",
        "out/sub/deep/c.sat",
    ]
    assert not (folder / "out").exists()
    back = files.pairs(folder / "sat", folder / "out", ".tif")
    assert back == [Pair(folder / "sat/x/y.sat", folder / "out/x/y.tif")]
    (folder / "sat/x/.y-1.tmp.sat").write_bytes(b"")
    assert files.pairs(folder / "sat", folder / "out", ".tif") == back


@pytest.mark.parametrize(
    ("source", "target", "ending", "words"),
    [
        ("nope", "out", ".sat", "no file"),
        ("in/a.png", "sat", ".sat", "is a folder"),
        ("in/a.png", "in/../in/a.png", ".sat", "is the input itself"),
        ("in/a.png", "nope/a.sat", ".sat", "There is no folder"),
        ("in/a.png", "in/notes.txt/a.sat", ".sat", "There is no folder"),
        ("in", "in/a.png", ".sat", "is a file"),
        ("in", "nope/out", ".sat", "There is no folder"),
        ("sat", "out", ".sat", r"sat: No image"),
        ("in", "out", ".png", "holds no .sat file"),
        ("sat", "sat", ".png", "original images"),
    ],
)
def test_names_that_do_not_work_are_refused(folder, source, target, ending, words):
    with pytest.raises(InputError, match=words):
        files.pairs(folder / source, folder / target, ending)


def test_two_files_never_become_one(run, work, picture):
    (work / "packed/d.sat").mkdir(parents=True)
    for name in ("b.webp", "d.png"):
        Image.fromarray(picture(20, 20)).save(work / "images" / name)
    status, _, err = run("compress images packed")
    assert status == 2
    for reason in (
        "images/b.png and another file would become packed/b.sat: rename one of them",
        "images/b.webp and another file would become packed/b.sat: rename one of them",
        "images/d.png would become packed/d.sat, which is a folder: rename one of them",
    ):
        assert reason in err
    assert err.splitlines()[-1] == "satstudy: 1 done, 0 skipped, 3 failed: mend or remove what is listed above."
    assert sorted(contents(work / "packed")) == ["sub/c.sat"]


def test_a_link_to_the_input_is_the_input(folder):
    (folder / "link.sat").symlink_to(folder / "in/a.png")
    with pytest.raises(InputError, match="input itself"):
        files.pairs(folder / "in/a.png", folder / "link.sat", ".sat")


def test_a_folder_without_rights_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(InputError, match="cannot be written to"):
        files.pairs(folder / "in/a.png", folder / "a.sat", ".sat")


@pytest.mark.parametrize("name", ["a.png", "a.TIF", "w.safetensors"])
def test_the_names_of_images_and_weights_are_kept_for_them(folder, name):
    with pytest.raises(InputError, match=r"name it \.sat"):
        files.check_compressed_name(folder / name)
    files.check_compressed_name(folder / "a.sat")
    files.check_compressed_name(folder / "a")


def test_mapped_bytes_are_those_of_the_file(tmp_path):
    for content in (b"", b"some bytes"):
        (tmp_path / "a").write_bytes(content)
        assert bytes(files.read_mapped(tmp_path / "a")) == content
    with pytest.raises(InputError, match="no file"):
        files.read_mapped(tmp_path / "b")
    with pytest.raises(InputError, match="is a folder: name a file"):
        files.read_mapped(tmp_path)


def test_errors_name_the_file_once(tmp_path):
    with pytest.raises(DamagedFile, match=r"^.*/a: It is damaged\.$"), files.naming(tmp_path / "a"):
        raise DamagedFile("It is damaged.")
    with pytest.raises(InputError, match=r"^There is no .*/a\.$"), files.naming(tmp_path / "a"):
        raise InputError(f"There is no {tmp_path / 'a'}.")


def test_weights_are_found_by_lam_path_and_fingerprint(tmp_path, make_model, monkeypatch):
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="No weights for overhead images ship"):
        files.weights()
    for lam in ("0.002", "0.006", "0.05"):
        checkpoint.save(tmp_path / f"{lam}.safetensors", make_model(int(lam[2:])), {"N": "8", "M": "12", "lam": lam})
    assert files.weights().lam == 0.006
    assert files.weights(0.05).lam == 0.05
    assert files.weights(path=tmp_path / "0.002.safetensors").lam == 0.002
    with pytest.raises(InputError, match=r"--lam 0\.01 ship with this package: take one of 0\.002, 0\.006, 0\.05"):
        files.weights(0.01)

    from satstudy.codecs import LearnedCodec

    assert files.matching(LearnedCodec(files.weights(0.05)).fingerprint).lam == 0.05
    with pytest.raises(InputError, match="0000000000000000, which do not ship"):
        files.matching(bytes(8))


def test_the_default_is_the_shipped_lam_nearest_to_a_hundredth():
    assert files.DEFAULT_LAM == 0.01


@given(rates=st.lists(st.floats(0.01, 5), min_size=1, max_size=20, unique=True), wanted=st.floats(0.001, 9))
def test_the_closest_rate_is_found_with_few_trials(rates, wanted):
    rates.sort()
    asked = set()

    def rate(index):
        asked.add(index)
        return rates[index]

    found = closest_rate(rate, len(rates), wanted)
    assert abs(rates[found] - wanted) == min(abs(r - wanted) for r in rates)
    assert len(asked) <= len(rates).bit_length() + 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.sat")
    with pytest.raises(InputError, match="no regular file"):
        files.check_target(tmp_path / "pipe.sat", tmp_path / "a.png")


# --- Shards and reports -----------------------------------------------------------------------------------------------


def test_shards_share_the_files_of_a_folder_and_report_each(run, work, tmp_path):
    (work / "images" / "bad.png").write_bytes(b"no image")
    rows = []
    for part in (1, 2, 3, 3):
        status, _, err = run(f"compress images packed --no-overwrite --patch 64 --shard {part}/3 --report {part}.csv")
        table = pd.read_csv(work / f"{part}.csv").fillna("")
        failed = table[table["state"] == "failed"]
        assert status == (2 if len(failed) else 0)
        assert all(reason in err for reason in failed["remark"])
        rows.append(table)
    first = pd.concat([table for table in rows[:3] if len(table)])
    assert sorted(first["file"]) == ["images/b.png", "images/bad.png", "images/sub/c.png"]
    assert first.set_index("file")["state"].to_dict() == {
        "images/b.png": "done", "images/bad.png": "failed", "images/sub/c.png": "done"
    }  # fmt: skip
    for row in first[first["state"] == "done"].itertuples():
        out = work / "packed" / os.path.relpath(row.file, "images")
        assert row.bytes_out == out.with_suffix(".sat").stat().st_size
        assert row.bytes_in == (work / row.file).stat().st_size
    assert "done" not in set(rows[3]["state"]), "what is coded is skipped"


def test_a_report_has_a_line_for_a_link_to_nothing_and_is_a_table(run, work):
    (work / "images/a.png").symlink_to("nowhere.png")
    assert run("compress images packed --report r.csv")[0] == 2
    rows = pd.read_csv(work / "r.csv")
    assert list(rows["state"]) == ["failed", "done", "done"]
    assert list(rows["bytes_in"] > 0) == [False, True, True]
    (work / "folder.csv").mkdir()
    for name in ("images/b.png", "r.sat", "folder.csv", "images"):
        status, out, err = run(f"compress images packed --report {name}")
        assert (status, out) == (2, "")
        assert err == f"satstudy: {name} is to become a table: name a file with the ending .csv.\n"


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0"])
def test_a_part_that_is_none_is_refused(run, shard):
    status, _, err = run(f"compress images packed --shard {shard}")
    assert status == 2
    assert "is no part such as 3/100" in err


def test_weights_for_every_rate_meet_a_rate_or_a_quality(run, work, trained_wavelet):
    checkpoint.save(work / "every.safetensors", trained_wavelet, {"lam": "0.013"})
    for option, wanted, pattern, allowed in (
        ("bpp", 2.5, r"([\d.]+) bpp \(asked for 2.5\), lam=", 0.02),
        ("psnr", 21, r" ([\d.]+) dB \(asked for 21\), lam=", 0.025),
    ):
        status, out, _ = run(f"compress a.png a.sat --weights every.safetensors --{option} {wanted}")
        assert status == 0
        assert float(re.search(pattern, out)[1]) == pytest.approx(wanted, rel=allowed)
    status, out, _ = run("compress a.png a.sat --weights every.safetensors --lam 0.05")
    assert "lam=0.05, seamless" in out
    assert run("decompress a.sat b.png --weights every.safetensors")[0] == 0
    status, out, _ = run("compress a.png a.sat --weights every.safetensors --lam 0.05 --refine 1")
    assert "lam=0.05 refine=1, seamless" in out
    assert run("decompress a.sat b.png --weights every.safetensors")[0] == 0


def test_weights_for_every_rate_that_ship_are_the_default(run, work, shelf, small_wavelet, monkeypatch, tmp_path):
    folder = tmp_path / "shipped"
    shutil.copytree(shelf, folder)
    checkpoint.save(folder / "every.safetensors", small_wavelet, {"lam": "0.013"})
    monkeypatch.setattr(paths, "WEIGHTS", folder)
    status, out, _ = run("compress a.png a.sat")
    assert status == 0
    assert "lam=0.013, seamless" in out
    assert "lam=0.05," in run("compress a.png b.sat --lam 0.05")[1]
    assert "lam=0.0" in run("compress a.png c.sat --bpp 2")[1]
    for name in "abc":
        assert run(f"decompress {name}.sat {name}.tif")[0] == 0
    assert "overhead  every rate" in run("weights")[1]
