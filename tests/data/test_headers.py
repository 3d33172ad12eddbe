"""Headers are read from a few bytes, whatever stands in them."""

import struct
import warnings

import numpy as np
import pytest
import rasterio
from field_files import (
    AVIF_OF_10_BITS,
    RGB,
    SRGB_BOX,
    in_jp2h,
    png_chunk,
    png_of,
    profile,
    with_boxes,
    write_jp2,
    write_tiff,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from satstudy.core.errors import InputError
from satstudy.data import headers
from satstudy.data.headers import read_header
from satstudy.data.images import image_size, open_image, read_image

STARTS = [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51",
          b"\x89PNG\r\n\x1a\n", b"\0\0\0\x20ftypavif", b"\xff\xd8\xff"]  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=200))
def test_any_bytes_give_a_header(tmp_path, start, rest):
    (tmp_path / "a").write_bytes(start + rest)
    header = read_header(tmp_path / "a")
    assert header.container != "other"
    assert header.orientation in range(1, 9)
    assert header.pages >= 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(AVIF_OF_10_BITS) - 1), value=st.integers(0, 255))
def test_a_changed_byte_of_an_avif_gives_a_header(tmp_path, place, value):
    data = bytearray(AVIF_OF_10_BITS)
    data[place] = value
    (tmp_path / "a").write_bytes(data)
    read_header(tmp_path / "a")


def test_a_crop_of_an_avif_is_said_not_to_be_applied(tmp_path):
    path = tmp_path / "a.avif"
    Image.fromarray(RGB).save(path)
    with open_image(path) as image:
        assert image.remarks == []
    clap = struct.pack(">I4s8I", 40, b"clap", 20, 1, 20, 1, 0, 1, 0, 1)
    data = path.read_bytes()
    pixels = data.index(b"mdat") + 4
    data = data.replace(struct.pack(">I", pixels), struct.pack(">I", pixels + len(clap)), 1)
    for kind in (b"meta", b"iprp", b"ipco"):  # the boxes around it grow with it
        at = data.index(kind) - 4
        (length,) = struct.unpack(">I", data[at : at + 4])
        data = data[:at] + struct.pack(">I", length + len(clap)) + data[at + 4 :]
    end = at + length
    path.write_bytes(data[:end] + clap + data[end:])
    assert read_header(path).cropped
    with open_image(path) as image:
        assert image.remarks == ["its crop (clap) is not applied"]


def test_a_chain_of_directories_that_never_ends_ends(tmp_path):
    entry = struct.pack("<HHII", 256, 4, 1, 5)
    (tmp_path / "a.tif").write_bytes(
        b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 8)
    )
    assert read_header(tmp_path / "a.tif").pages == 1
    # A box without a length that ends.
    (tmp_path / "a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 4, b"jp2h") * 5)
    assert read_header(tmp_path / "a.jp2").bits == 8


def test_overviews_and_masks_of_a_tiff_are_no_pages(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.tile(RGB, (4, 4, 1)), np.eye(160, 224, dtype=bool), tiled=True,
                      blockxsize=16, blockysize=16)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4])
    assert read_header(path).pages == 1
    Image.fromarray(RGB).save(tmp_path / "b.tif", save_all=True, append_images=[Image.fromarray(RGB)] * 2)
    assert read_header(tmp_path / "b.tif").pages == 3


@pytest.mark.parametrize("big", ["YES", "NO"])
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_tags_are_found_in_either_byte_order_and_in_bigtiff(tmp_path, big, order):
    placed = {"crs": "EPSG:32633", "transform": (2, 0, 5e5, 0, -2, 4e6), "nodata": 0}
    placed["transform"] = rasterio.Affine(*placed["transform"])
    path = write_tiff(tmp_path / "a.tif", RGB, BIGTIFF=big, ENDIANNESS=order, **placed)
    assert (path.read_bytes()[2:4].strip(b"\0") == b"+") == (big == "YES")
    assert read_header(path).nodata
    assert read_header(path).container == "tiff"


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        (262, 8, "CIELAB"),
        (262, 4, "transparency mask"),
        (262, 32803, "colour filter"),
        (262, 5, "inks other"),
        (262, 60000, "colours of kind 60000"),
    ],
)
def test_colours_that_cannot_be_converted_are_refused_by_name(tmp_path, tag, value, words):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[332] = 2  # not cyan, magenta, yellow and black
    mode = "CMYK" if value == 5 else "RGB"
    Image.fromarray(RGB).convert(mode).save(tmp_path / "a.tif", tiffinfo=tags)
    data = (tmp_path / "a.tif").read_bytes()
    before = struct.pack("<HHIH", tag, 3, 1, 5 if value == 5 else 2)
    assert data.count(before) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(before, struct.pack("<HHIH", tag, 3, 1, value)))
    assert words in read_header(tmp_path / "a.tif").colours

    with pytest.raises(InputError, match=f"{words}.*: convert it to RGB"):
        image_size(tmp_path / "a.tif")


def test_a_preview_is_not_taken_for_the_image(tmp_path):
    """As in DNG: a reduced image first, and the image itself after it or in a directory of its own."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    small = Image.fromarray(RGB[::2, ::2])
    small.save(tmp_path / "one.tif", tiffinfo=tags)
    assert (read_header(tmp_path / "one.tif").colours, read_header(tmp_path / "one.tif").pages) == ("", 1)
    small.save(tmp_path / "two.tif", tiffinfo=tags, save_all=True, append_images=[Image.fromarray(RGB)])
    first, kind, second = (tmp_path / "two.tif").read_bytes().rpartition(struct.pack("<HHII", 254, 4, 1, 1))
    (tmp_path / "two.tif").write_bytes(first + kind[:-4] + bytes(4) + second)
    tags[330] = 8  # any place: it is not followed
    small.save(tmp_path / "sub.tif", tiffinfo=tags)
    for name in ("two.tif", "sub.tif"):
        with pytest.raises(InputError, match="holds a preview before the image itself"):
            image_size(tmp_path / name)


def test_a_volume_is_refused(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[32997], tags.tagtype[32997] = 2, 3
    Image.fromarray(RGB).save(tmp_path / "a.tif", tiffinfo=tags)
    with pytest.raises(InputError, match="holds a volume"):
        image_size(tmp_path / "a.tif")


def test_every_component_of_a_jpeg_2000_is_looked_at(tmp_path):
    path = write_jp2(tmp_path / "a.jp2", RGB)
    assert read_header(path).bits == 8
    start = path.read_bytes().index(b"\xff\x4f\xff\x51")
    for component, byte, bits in ((0, 8, 9), (2, 11, 12), (1, 0x87, 8)):
        data = bytearray(path.read_bytes())
        data[start + 42 + 3 * component] = byte
        (tmp_path / "b.jp2").write_bytes(data)
        assert read_header(tmp_path / "b.jp2").bits == bits
        assert read_header(tmp_path / "b.jp2").colours == ("signed values" if byte & 0x80 else "")
    (tmp_path / "c.j2k").write_bytes(path.read_bytes()[start:])
    assert (read_header(tmp_path / "c.j2k").bits, read_header(tmp_path / "c.j2k").container) == (8, "jpeg2000")


def test_a_codestream_is_found_behind_any_box(tmp_path):
    path = write_jp2(tmp_path / "a.jp2", RGB.astype(np.uint16) * 200)
    data = path.read_bytes()
    at = data.index(b"jp2c") - 4
    for box in (
        struct.pack(">I4s", 70_024, b"uuid") + bytes(70_016),
        struct.pack(">I4sQ", 1, b"free", 70_032) + bytes(70_016),  # a length of 64 bits
    ):
        path.write_bytes(data[:at] + box + data[at:])
        assert read_header(path).bits == 16


def test_colour_boxes_of_a_jpeg_2000_are_read(tmp_path):
    path = write_jp2(tmp_path / "a.jp2", RGB)
    box = struct.pack(">I4sBbBI", 15, b"colr", 1, 0, 0, 16)
    assert not read_header(path).ycc
    in_jp2h(path, box, box[:-1] + b"\x12")
    assert read_header(path).ycc
    in_jp2h(path, box[:-1] + b"\x12", box[:-1] + b"\x0e")
    assert read_header(path).colours == "colours of kind 14"
    # A profile in place of a number: the boxes around it grow with it.
    grown = struct.pack(">I4sBbB", 11 + len(profile()), b"colr", 2, 0, 0) + profile()
    data = path.read_bytes()
    at = data.index(b"jp2h") - 4
    length = struct.unpack(">I", data[at : at + 4])[0] + len(grown) - len(box)
    data = data[:at] + struct.pack(">I", length) + data[at + 4 :]
    path.write_bytes(data.replace(box[:-1] + b"\x0e", grown))
    assert read_header(path).icc == profile()


def test_colours_of_a_jpeg_2000_that_gdal_takes_for_rgb_are_refused(tmp_path):
    vendor, cmyk = (struct.pack(">BbB", method, 0, 0) for method in (4, 2))
    path = with_boxes(tmp_path / "a.jp2", RGB, (b"colr", vendor + b"of some vendor"), SRGB_BOX)
    assert np.array_equal(read_image(path), RGB), "methods that are not known are passed over"
    for space in ("CMYK", "Lab"):
        with_boxes(path, np.dstack([RGB, RGB[..., :1]]), (b"colr", cmyk + profile(space)))
        with pytest.raises(InputError, match=f"holds colours by a profile for {space}:"):
            read_image(path)


def test_a_palette_of_a_jpeg_2000_is_one_of_red_green_and_blue_or_refused(tmp_path):
    """GDAL passes over the box that says which column is which colour."""
    table, index = np.arange(48, dtype=np.uint8).reshape(16, 3) * 5, RGB[..., 0] >> 4

    def of(columns, *order):
        values = np.resize(table, (16, columns))
        colours = struct.pack(">HB", 16, columns) + bytes([7] * columns) + values.tobytes()
        mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in order)
        return with_boxes(tmp_path / "a.jp2", index[..., None], SRGB_BOX, (b"pclr", colours), (b"cmap", mapping))

    assert np.array_equal(read_image(of(3, 0, 1, 2)), table[index])
    for columns, *order in ((3, 2, 1, 0), (1, 0), (4, 0, 1, 2, 3)):
        with pytest.raises(InputError, match="a palette of other than red, green and blue"):
            read_image(of(columns, *order))


def test_a_gamma_other_than_that_of_srgb_is_said_to_be_lost(tmp_path):
    """gAMA and cHRM count where no cICP, iCCP or sRGB stands (PNG, 3rd edition, §4.3)."""
    srgb = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    gamma, linear = png_chunk(b"gAMA", struct.pack(">I", 45455)), png_chunk(b"gAMA", struct.pack(">I", 100000))
    wide = png_chunk(b"cHRM", struct.pack(">I", 31270) + srgb[4:8] + struct.pack(">6I", *[64000, 33000, 21000] * 2))
    for before, lost in (
        (gamma, False),
        (png_chunk(b"cHRM", srgb) + gamma, False),
        (linear, True),
        (wide + gamma, True),
        (linear + png_chunk(b"sRGB", b"\0"), False),
    ):
        (tmp_path / "a.png").write_bytes(png_of(2, 2, rows=bytes(14), before=before))
        with open_image(tmp_path / "a.png") as image:
            assert image.remarks == ["its gamma or primaries (gAMA, cHRM) are not kept"] * lost


def test_no_more_parts_are_followed_than_a_file_of_use_has():
    assert headers.MAX_PARTS <= 1 << 14
