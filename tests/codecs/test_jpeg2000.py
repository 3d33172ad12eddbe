"""JPEG 2000: against OpenJPEG's own tool where it is installed, against Pillow otherwise."""

import io
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, features
from scipy.ndimage import gaussian_filter

from satstudy.codecs import JPEG, JPEG2000, jpeg2000
from satstudy.core.errors import DamagedFile, InputError, SatstudyError
from satstudy.metrics import quality


def picture(height=256, width=256, seed=0):
    """Smoothed noise, the same detail in all channels as in photographs, with an edge."""
    generator = np.random.default_rng(seed)
    grey = gaussian_filter(generator.normal(size=(height, width)), 1.5) * 150
    tint = gaussian_filter(generator.normal(size=(height, width, 3)), (4, 4, 0)) * 60
    smooth = grey[..., None] + tint + 120
    smooth[:, : width // 2] += 50
    return np.clip(smooth, 0, 255).astype(np.uint8)


def coded(image, codec):
    data = codec.encode(image)
    return data, quality.psnr(image, codec.decode(data))


def segments(data):
    return {part.marker: data[part.start : part.stop] for part in jpeg2000._segments(data)}


def test_the_stream_is_irreversible_with_the_colour_transform_and_no_comment():
    parts = segments(JPEG2000(bpp=1).encode(picture()))
    coding = parts[0xFF52]  # COD: 4 bytes of marker and length, Scod, progression, layers (2), MCT, levels, …
    assert coding[8] == 1, "multi-component transform"
    assert coding[13] == 0, "transformation 0 is 9/7"
    assert coding[9] == 4, "five resolutions"
    assert coding[10:12] == bytes([4, 4]), "code-blocks of 2**(4+2)"
    assert jpeg2000.COM not in parts
    assert segments(JPEG2000(bpp=0.2).encode(picture(512, 520)))[0xFF52][9] == 5


@pytest.mark.parametrize("bpp", [0.15, 0.5, 1, 2])
def test_the_target_rate_is_met_in_real_bytes(bpp):
    data, _ = coded(picture(), JPEG2000(bpp=bpp))
    assert 0.85 * bpp < quality.bpp(len(data), 256, 256) < 1.03 * bpp


def test_pillow_reads_the_same_pixels():
    data = JPEG2000(bpp=1).encode(picture())
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.array(opened), JPEG2000(bpp=1).decode(data))


def comment_bytes():
    return 6 + len(f"Created by OpenJPEG version {jpeg2000.openjpeg_version()}")


def test_the_colour_transform_is_worth_more_than_a_decibel():
    _, on = coded(picture(), JPEG2000(bpp=0.5))
    _, off = coded(picture(), JPEG2000(bpp=0.5, mct=False))
    assert on > off + 1


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow was built without JPEG 2000")
@pytest.mark.parametrize("mct", [True, False])
@pytest.mark.parametrize("bpp", [0.1, 0.5, 2])
def test_equal_to_pillows_encoder_with_the_same_parameters(mct, bpp):
    """Another binding to the library (usually another build of it) writes the same bytes but for the comment."""
    image, raw, buffer = picture(), 3 * 256 * 256, io.BytesIO()
    options = {"quality_mode": "rates", "quality_layers": [raw / (bpp * 256 * 256 / 8 + comment_bytes())]}
    options |= {"irreversible": True, "mct": int(mct), "num_resolutions": 5, "no_jp2": True}
    Image.fromarray(image).save(buffer, "JPEG2000", **options)
    theirs = buffer.getvalue()
    stripped = b"".join(
        theirs[part.start : part.stop] for part in jpeg2000._segments(theirs) if part.marker != jpeg2000.COM
    )
    ours = JPEG2000(bpp=bpp, mct=mct).encode(image)
    assert len(ours) == pytest.approx(len(stripped), rel=0.01)
    scores = [quality.psnr(image, JPEG2000(bpp=1).decode(data)) for data in (ours, stripped)]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)


@pytest.mark.skipif(not shutil.which("opj_compress"), reason="opj_compress (Debian: libopenjp2-tools) is not installed")
@pytest.mark.parametrize("ratio", [20, 80])
def test_equal_to_opj_compress_but_for_its_comment(tmp_path, ratio):
    image = picture()
    Image.fromarray(image).save(tmp_path / "in.ppm")
    ours = JPEG2000(bpp=24 / ratio).encode(image)
    # Our target leaves the comment out, so the tool gets as many bytes more.
    comment = comment_bytes()
    raw = 3 * 256 * 256
    command = [
        "opj_compress",
        "-i",
        "in.ppm",
        "-o",
        "out.j2k",
        "-r",
        repr(raw / (raw / ratio + comment)),
        "-I",
        "-mct",
        "1",
        "-n",
        "5",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    theirs = (tmp_path / "out.j2k").read_bytes()
    assert len(theirs) - len(ours) == pytest.approx(comment, abs=3)
    scores = [quality.psnr(image, JPEG2000(bpp=1).decode(data)) for data in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_a_target_below_the_header_is_told_and_counted_in_real_bytes():
    with pytest.warns(UserWarning, match="cannot code 256×256"):
        data = JPEG2000(bpp=0.003).encode(picture())
    assert quality.bpp(len(data), 256, 256) > 0.01
    assert JPEG2000(bpp=1).decode(data).shape == (256, 256, 3)


def test_a_very_wide_image_is_coded():
    image = picture(1, 70_000)
    assert JPEG2000(bpp=2).decode(JPEG2000(bpp=2).encode(image)).shape == image.shape


def test_names_and_settings():
    assert JPEG2000(bpp=0.5).name == "jpeg2000"
    assert [JPEG2000(0.5).setting, JPEG2000(bpp=1, mct=False).setting] == ["bpp=0.5", "bpp=1 mct=False"]


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match="takes bpp"):
        JPEG2000(wrong)


def test_boxes_and_bytes_after_the_end_are_refused():
    data = JPEG2000(bpp=1).encode(picture(64, 64))
    jp2 = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(jp2, "JPEG2000")
    for damaged in (data + b"\0", jp2.getvalue(), JPEG().encode(picture())):
        with pytest.raises(DamagedFile):
            JPEG2000(bpp=1).decode(damaged)


def test_flipped_bits_are_decoded_or_refused_but_never_worse():
    data = JPEG2000(bpp=1).encode(picture(64, 64))
    generator = np.random.default_rng(0)
    refused = 0
    for at in [*range(2, 120, 3), *generator.integers(120, len(data), 20)]:
        changed = bytearray(data)
        changed[at] ^= 1 << int(generator.integers(8))
        try:
            assert JPEG2000(bpp=1).decode(bytes(changed)).dtype == np.uint8
        except DamagedFile:
            refused += 1
    assert refused > 5


def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding():
    data = bytearray(JPEG2000(bpp=1).encode(picture(64, 64)))
    struct.pack_into(">II", data, 8, 2**31, 2**31)
    with pytest.raises(DamagedFile, match="limit"):
        JPEG2000(bpp=1).decode(bytes(data))


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(jpeg2000.tempfile, "tempdir", str(tmp_path))
    data = JPEG2000(bpp=1).encode(picture(64, 64))
    JPEG2000(bpp=1).decode(data)
    with pytest.raises(DamagedFile):
        JPEG2000(bpp=1).decode(data[:50] + data[60:])
    assert list(tmp_path.iterdir()) == []


# --- Finding the library --------------------------------------------------------------------------------

SCRIPT = """
import numpy as np
from satstudy.codecs import JPEG2000, jpeg2000
{before}
image = np.repeat(np.arange(48 * 48, dtype=np.uint32).reshape(48, 48, 1) // 9, 3, axis=2).astype(np.uint8)
for _ in range(3):  # a wrong layout of its structures corrupts memory, which shows late
    decoded = JPEG2000(bpp=4).decode(JPEG2000(bpp=4).encode(image))
print(decoded.shape, np.abs(decoded.astype(int) - image).max() < 9, jpeg2000.openjpeg_version())
"""


def without_system_library(tmp_path, before=""):
    """Run in a process of its own whose glymur is told, by its own configuration, that there is no library."""
    folder = tmp_path / "glymur"
    folder.mkdir()
    (folder / "glymurrc").write_text("[library]\nopenjp2: None\n")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONWARNINGS": "error::UserWarning:glymur"}
    command = [sys.executable, "-c", SCRIPT.format(before=before)]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not list(jpeg2000._copies()), reason="no package here carries a copy of libopenjp2")
def test_a_copy_in_a_wheel_serves_where_the_system_has_no_library(tmp_path):
    done = without_system_library(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(48, 48, 3) True 2.")
    assert done.stderr == ""


def test_one_sentence_says_what_to_install_where_there_is_none_at_all(tmp_path):
    done = without_system_library(tmp_path, "jpeg2000._copies = lambda: iter(())")
    assert done.returncode != 0
    assert "satstudy.core.errors.SatstudyError: JPEG 2000 needs the OpenJPEG library" in done.stderr


def test_a_library_that_cannot_be_loaded_or_is_too_old_is_passed_over(tmp_path, monkeypatch):
    from glymur.lib import openjp2

    broken = tmp_path / "libopenjp2.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(openjp2, "OPENJP2", None)
    monkeypatch.setattr(jpeg2000, "_copies", lambda: iter([broken]))
    with pytest.raises(SatstudyError, match="install it"):
        jpeg2000._glymur.__wrapped__()
