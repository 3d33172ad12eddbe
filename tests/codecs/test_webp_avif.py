"""WebP and AVIF: real bytes, settings, refusals."""

import io

import numpy as np
import pytest
from PIL import Image, features
from smooth import picture

from satstudy.codecs import AVIF, WebP
from satstudy.core.errors import DamagedFile, InputError
from satstudy.metrics import quality as metrics

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
BOTH = [pytest.param(WebP, id="webp"), pytest.param(AVIF, id="avif", marks=needs_avif)]


@pytest.mark.parametrize("codec", BOTH)
def test_the_file_is_of_the_format_and_pillow_reads_it_as_we_do(codec):
    data = codec(70).encode(picture())
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == {"webp": "WEBP", "avif": "AVIF"}[codec.name]
        assert opened.size == (80, 64)
        assert np.array_equal(np.array(opened.convert("RGB")), codec().decode(data))


def test_the_setting_states_what_is_not_default():
    assert (WebP(75).name, WebP(75).setting, WebP(75, method=4).setting) == (
        "webp",
        "quality=75",
        "quality=75 method=4",
    )


@needs_avif
def test_the_setting_of_avif_states_what_is_not_default():
    assert (AVIF(30).name, AVIF(30).setting) == ("avif", "quality=30")
    assert (
        AVIF(30, speed=6, subsampling="4:2:0", tune="ssim").setting == "quality=30 speed=6 subsampling=4:2:0 tune=ssim"
    )


@needs_avif
def test_full_chroma_keeps_colours_that_subsampling_blurs():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 200, 200
    full, half = (AVIF(80, subsampling=kind) for kind in ("4:4:4", "4:2:0"))
    scores = [metrics.psnr(stripes, codec.decode(codec.encode(stripes))) for codec in (full, half)]
    assert scores[0] > scores[1] + 3


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("quality", [-1, 101, 7.5, True])
def test_quality_outside_the_scale_is_refused(codec, quality):
    with pytest.raises(InputError, match="quality"):
        codec(quality)


def test_other_settings_outside_the_format_are_refused():
    with pytest.raises(InputError, match="method"):
        WebP(75, method=7)
    with pytest.raises(InputError, match="speed"):
        AVIF(75, speed=11)
    with pytest.raises(InputError, match="subsampling"):
        AVIF(75, subsampling="4:1:1")


@pytest.mark.parametrize("codec", BOTH)
def test_an_image_wider_than_the_format_is_refused(codec):
    for shape in ((1, codec.longest + 1, 3), (codec.longest + 1, 1, 3)):
        with pytest.raises(InputError, match=str(codec.longest)):
            codec().encode(np.zeros(shape, np.uint8))


def test_a_format_with_transparency_is_refused_as_foreign():
    file = io.BytesIO()
    Image.new("RGBA", (16, 16), (10, 20, 30, 40)).save(file, "WEBP")
    with pytest.raises(DamagedFile, match="RGBA"):
        WebP().decode(file.getvalue())
