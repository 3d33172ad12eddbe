"""HEVC, VVC, JPEG XL, HTJ2K and JPEG-LS: real bytes, any size, refusals; skipped where the extra is not installed."""

import importlib.util
import struct

import numpy as np
import pytest
from smooth import picture

from satstudy.codecs import HEVC, HTJ2K, JPEGLS, JPEGXL, VVC, hevc_vvc, registry
from satstudy.core.errors import DamagedFile, InputError
from satstudy.metrics import quality as metrics

NAMES = ("hevc", "vvc", "jpegxl", "htj2k", "jpegls")


def entry(name):
    return registry.find(name)


def has(name):
    return importlib.util.find_spec(entry(name).package) is not None


ANCHORS = [
    pytest.param(name, marks=pytest.mark.skipif(not has(name), reason=f"{entry(name).package} is not installed"))
    for name in NAMES
]


@pytest.mark.parametrize("name", ANCHORS)
def test_white_and_black_stay_white_and_black(name):
    """Decoders that return values modulo 256 turn a decoded 256 into black (aous72/OpenJPH issue 234)."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::5] = 255
    image[::2, 2::5] = 250
    codec = entry(name).make(entry(name).ladder[0])
    decoded = codec.decode(codec.encode(image)).astype(int)
    assert np.abs(decoded - image).max() < 100


@pytest.mark.parametrize("name", ANCHORS)
def test_the_finest_setting_is_near_the_image_at_any_side(name):
    for height, width in ((1, 1), (1, 41), (33, 2), (41, 40)):
        image = picture(height, width)
        codec = entry(name).make(entry(name).ladder[0])
        assert metrics.psnr(image, codec.decode(codec.encode(image))) > 20


@pytest.mark.parametrize("name", ["hevc", "vvc"])
def test_a_header_that_claims_too_many_pixels_is_refused_before_anything_is_decoded(name):
    with pytest.raises(DamagedFile, match="above the limit"):
        entry(name).make(30).decode(struct.pack("<HH", 65535, 65535) + b"\x00" * 100)


@pytest.mark.skipif(not has("hevc"), reason="imageio-ffmpeg is not installed")
def test_a_stream_of_another_size_than_the_header_says_is_refused():
    data = HEVC(30).encode(picture())
    with pytest.raises(DamagedFile):
        HEVC(30).decode(struct.pack("<HH", 8, 8) + data[4:])


def test_the_colour_conversion_changes_no_value():
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    image = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels) ** 2, len(levels), 3)
    assert np.array_equal(hevc_vvc._rgb(hevc_vvc._planes(image), *image.shape[:2]), image)


@pytest.mark.skipif(not has("jpegls"), reason="imagecodecs is not installed")
@pytest.mark.parametrize("near", [1, 7])
def test_jpeg_ls_keeps_its_bound(near):
    image = picture()
    difference = image.astype(int) - JPEGLS(near).decode(JPEGLS(near).encode(image))
    assert np.abs(difference).max() <= near


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HEVC(52), "qp as a whole number from 0 to 51"),
        (lambda: HEVC(30, preset="best"), "preset as one of"),
        (lambda: VVC(64), "qp"),
        (lambda: JPEGXL(0.0), "distance as a number from 0.05 to 25"),
        (lambda: JPEGXL(1.0, effort=10), "effort"),
        (lambda: HTJ2K(2.0), "step"),
        (lambda: JPEGLS(0), "near"),
    ],
)
def test_settings_out_of_range_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_without_the_extra_the_entry_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in NAMES:
        assert f"needs the package {entry(name).package}: pip install 'satstudy[anchors]'" in entry(name).missing
        with pytest.raises(InputError, match="anchors"):
            entry(name).make(entry(name).ladder[0])
