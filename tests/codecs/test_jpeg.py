"""JPEG: real bytes, the smaller of two kinds, refusals."""

import io

import numpy as np
import pytest
from PIL import Image
from smooth import picture

from satstudy.codecs import JPEG
from satstudy.core.errors import DamagedFile, InputError


def test_the_file_is_a_jpeg_that_pillow_reads_as_we_do():
    image = picture()
    data = JPEG(80).encode(image)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "JPEG"
        assert opened.size == (80, 64)
        assert np.array_equal(np.array(opened), JPEG(80).decode(data))


def test_it_takes_the_smaller_of_progressive_and_sequential_with_equal_pixels():
    won = set()
    for image in (picture(32, 32), picture(512, 512)):
        both = [JPEG(90, progressive=kind).encode(image) for kind in (True, False)]
        assert len(JPEG(90).encode(image)) == min(map(len, both))
        assert np.array_equal(*(JPEG().decode(data) for data in both))
        won.add(len(both[0]) < len(both[1]))
    assert won == {True, False}  # each kind is the smaller one somewhere, or the choice would be idle


def test_tables_are_made_for_the_image():
    image, standard = picture(), io.BytesIO()
    Image.fromarray(image).save(standard, "JPEG", quality=50, subsampling="4:2:0", optimize=False, progressive=False)
    assert len(JPEG(50, progressive=False).encode(image)) < len(standard.getvalue())


def test_the_setting_states_what_is_not_default():
    assert JPEG(75).name == "jpeg"
    assert JPEG(75).setting == "quality=75"
    assert JPEG(75, subsampling="4:4:4").setting == "quality=75 subsampling=4:4:4"
    assert JPEG(9, progressive=False).setting == "quality=9 progressive=False"


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_subsampling_in_the_file_is_what_was_asked_for(subsampling):
    data = JPEG(75, subsampling=subsampling).encode(picture())
    with Image.open(io.BytesIO(data)) as opened:
        horizontal, vertical = opened.layer[0][1:3]
    assert (horizontal, vertical) == {"4:2:0": (2, 2), "4:2:2": (2, 1), "4:4:4": (1, 1)}[subsampling]


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("quality", [90, 95, 100])
def test_noise_larger_than_pillows_buffer_is_coded(subsampling, quality):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    codec = JPEG(quality, subsampling=subsampling)
    assert codec.decode(codec.encode(noise)).shape == noise.shape


@pytest.mark.parametrize("wrong", [{"quality": 0}, {"quality": 101}, {"quality": 7.5}, {"subsampling": "4:1:1"}])
def test_settings_outside_the_format_are_refused(wrong):
    with pytest.raises(InputError, match="JPEG takes"):
        JPEG(**wrong)


def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding():
    data = bytearray(JPEG(85, progressive=False).encode(picture(40, 40)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"  # 65,500²
    with pytest.raises(DamagedFile, match="limit"):
        JPEG().decode(bytes(data))


def test_the_widest_image_is_coded_and_a_wider_one_refused():
    image = np.zeros((1, 65_501, 3), np.uint8)
    assert JPEG().decode(JPEG().encode(image[:, 1:])).shape == (1, 65_500, 3)
    with pytest.raises(InputError, match="65500"):
        JPEG().encode(image)


def test_grey_jpegs_and_other_formats_are_refused():
    for shown, kind in ((picture()[..., 0], "JPEG"), (picture(), "PNG")):
        file = io.BytesIO()
        Image.fromarray(shown).save(file, kind)
        with pytest.raises(DamagedFile):
            JPEG().decode(file.getvalue())
