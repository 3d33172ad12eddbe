"""Rasters in and TIFFs out: bands, colours, masks, and what places them on the ground."""

import struct
import warnings

import numpy as np
import pytest
from field_files import (
    RGB,
    SRGB_BOX,
    X,
    Y,
    in_jp2h,
    look,
    profile,
    rasterio,
    turned,
    with_boxes,
    write_jp2,
    write_tiff,
)  # fmt: skip
from PIL import Image, TiffImagePlugin

from satstudy.cli.files import decode_to
from satstudy.codecs.learned.codec import LearnedCodec, Window
from satstudy.core.errors import InputError, SatstudyError
from satstudy.data import geotiff
from satstudy.data.images import WholeImage, image_size, open_image, read_image

pytestmark = pytest.mark.usefixtures("one_thread")

UTM = "EPSG:32633"
#: A local system that no EPSG code stands for.
LOCAL = "+proj=tmerc +lat_0=47.1 +lon_0=8.3 +k=0.9999 +x_0=1000 +y_0=2000 +ellps=bessel +units=m"
GREY = RGB[..., :1]


@pytest.fixture
def codec(checkpoint):
    return LearnedCodec(checkpoint, patch=64)


def placed(x=300_000.0, y=5_000_000.0, size=0.5):
    return rasterio.Affine(size, 0.1, x, -0.1, -size, y)


def through(codec, source, out, window=None, bands=None):
    with open_image(source, bands) as image:
        data = codec.encode(image, image.notes)
    decode_to(codec, data, out, window)
    return data


def opened(path, **options):
    with open_image(path, **options) as image:
        image.read(0, 1, 0, 1)
        return image


def hidden(path, **options):
    with open_image(path, **options) as image:
        return image.masked_counts()


# --- Which bands, in which colours ---


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_white_may_be_zero(tmp_path, bits):
    values = GREY >> (8 - bits)
    path = write_tiff(tmp_path / "a.tif", values, nbits=bits, photometric="MINISWHITE")
    expected = 255 - np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
    assert np.array_equal(read_image(path), np.broadcast_to(expected, RGB.shape))
    with Image.open(path) as image:
        assert np.array_equal(read_image(path), np.array(image.convert("RGB")))


def test_bands_are_taken_by_their_tags(tmp_path):
    order = {
        "blue green red": [3, 2, 1],
        "red green blue": [1, 2, 3],
        "undefined red green blue alpha": [2, 3, 4],
        "alpha blue green red": [4, 3, 2],
        "gray undefined undefined": [1, 2, 3],
        "red green blue undefined": [1, 2, 3],
        "nir red green blue": [2, 3, 4],
        "gray alpha": [1, 1, 1],
    }
    for colours, bands in order.items():
        names = colours.split()
        image = np.dstack([RGB[..., i % 3] // (1 + i // 3) for i in range(len(names))])
        path = write_tiff(tmp_path / f"{len(names)}{names[0]}.tif", image, colours=colours)
        assert np.array_equal(read_image(path), image[..., [band - 1 for band in bands]]), colours
        remarks = opened(path).remarks
        assert any("taken as red, green and blue" in r for r in remarks) == (bands not in ([1, 2, 3], [1, 1, 1]))
    left = write_tiff(tmp_path / "six.tif", np.dstack([RGB, RGB]), photometric="MINISBLACK")
    assert opened(left).remarks == ["bands 4, 5, 6 of 6 are left out"]
    many = write_tiff(tmp_path / "many.tif", np.dstack([RGB] * 8), photometric="MINISBLACK")
    assert opened(many).remarks == ["21 of 24 bands are left out"]
    partly = write_tiff(tmp_path / "partly.tif", RGB, colours="blue green undefined")
    assert opened(partly).remarks == [
        "bands 1, 2, 3 are taken as red, green and blue, and are tagged blue, green, undefined"
    ]


def test_a_palette_without_a_table_is_grey(tmp_path):
    path = write_tiff(tmp_path / "a.tif", GREY, colours="palette")
    assert np.array_equal(read_image(path), GREY.repeat(3, axis=2))


def test_bands_are_chosen(picture, tmp_path):
    image = np.concatenate([picture(20, 30), picture(20, 30, 1)], axis=2)
    source = write_tiff(tmp_path / "a.tif", image)
    with open_image(source, [6, 1, 3]) as chosen:
        assert np.array_equal(chosen.read(0, 20, 0, 30), image[..., [5, 0, 2]])
        assert chosen.remarks == []
    for bands in ([5, 6, 7], [0, 1, 2]):
        with pytest.raises(InputError, match="--bands"), open_image(source, bands):
            pass


@pytest.mark.parametrize("kind", ["uint16", "float32", "int8", "int16", "uint32", "complex64"])
def test_other_kinds_of_pixels_are_refused(tmp_path, kind):
    source = write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), kind))
    for read in (read_image, image_size):
        with pytest.raises(InputError, match=f"{kind} and not uint8"):
            read(source)


def test_jpeg_2000_of_many_kinds_is_read(tmp_path):
    assert np.array_equal(read_image(write_jp2(tmp_path / "rgb.jp2", RGB)), RGB)
    assert np.array_equal(read_image(write_jp2(tmp_path / "grey.jp2", GREY)), GREY.repeat(3, axis=2))
    four = np.dstack([RGB, np.full_like(GREY, 255)])
    assert np.array_equal(read_image(write_jp2(tmp_path / "four.jp2", four)), RGB)
    # Three components under a grey colour box, which Pillow takes for a damaged file.
    box = write_jp2(tmp_path / "box.jp2", RGB, photometric="MINISBLACK")
    assert np.array_equal(read_image(box), RGB)
    for bits, values in ((16, RGB.astype(np.uint16) * 200), (12, RGB.astype(np.uint16) * 16)):
        deep = write_jp2(tmp_path / "deep.jp2", values, nbits=bits)
        with pytest.raises(InputError, match=rf"more than 8 bits a channel \({bits}\)"):
            read_image(deep)


def test_ycc_of_jpeg_2000_becomes_rgb_as_in_pillow(tmp_path):
    ycc = np.array(Image.fromarray(RGB).convert("YCbCr"))
    path = write_jp2(tmp_path / "a.jp2", ycc)
    in_jp2h(path, b"colr\x01\0\0\0\0\0\x10", b"colr\x01\0\0\0\0\0\x12")
    with Image.open(path) as image:
        assert np.array_equal(read_image(path), np.array(image))
    assert np.abs(read_image(path).astype(int) - RGB).max() < 4


def test_a_geotiff_is_one_by_its_content(tmp_path):
    for name in ("scene.gtiff", "scene", "scene.tif.orig", "scene.png"):
        path = write_tiff(tmp_path / "t.tif", RGB, crs=UTM, transform=placed(), nodata=0).rename(tmp_path / name)
        assert opened(path).notes == {"crs": UTM, "transform": list(placed())[:6], "nodata": 0}
        assert np.array_equal(read_image(path), RGB)


def test_a_turned_tiff_with_a_georeference_stays_as_it_is_stored_and_says_so(tmp_path):
    path = turned(tmp_path / "a.tif", 6)
    assert read_image(path).shape == (56, 40, 3)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274], tags[33550], tags[33922] = 6, (1.0, 1.0, 0.0), (0.0, 0.0, 0.0, 5e5, 4e6, 0.0)
    Image.fromarray(RGB).save(tmp_path / "b.tif", tiffinfo=tags)
    image = opened(tmp_path / "b.tif")
    assert np.array_equal(read_image(tmp_path / "b.tif"), RGB)
    assert image_size(tmp_path / "b.tif") == RGB.shape[:2]
    assert "its orientation (6) is neither applied nor kept" in image.remarks[0]


def test_a_turned_photograph_with_a_world_file_likewise(tmp_path):
    turned(tmp_path / "a.jpg", 6)
    assert image_size(tmp_path / "a.jpg") == (56, 40)
    (tmp_path / "a.jgw").write_text(WORLD)
    image = opened(tmp_path / "a.jpg")
    assert image_size(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg").shape[:2] == (40, 56)
    assert image.notes == {"transform": [0.5, 0.0, 300000.0, 0.0, -0.5, 5000000.0]}
    assert "neither applied nor kept" in image.remarks[0]


# --- Pixels without data ---


@pytest.mark.parametrize("nodata", [0, 255, 17])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_nodata_comes_back_exactly(codec, picture, tmp_path, nodata, bands):
    image = np.concatenate([picture(90, 130), picture(90, 130, 1)[..., :1]], axis=2)[..., :bands].copy()
    y, x = np.mgrid[:90, :130]
    image[x + y // 2 < 50] = nodata
    source = write_tiff(tmp_path / "a.tif", image, crs=UTM, transform=placed(), nodata=nodata)
    data = through(codec, source, tmp_path / "b.tif")
    mask = (image[..., :3] != nodata).any(axis=2)
    assert 0.1 < mask.mean() < 0.9
    pixels, found, facts = look(tmp_path / "b.tif")
    assert facts["nodata"] == nodata
    assert np.array_equal(found, mask)
    assert (pixels[~mask] == nodata).all()
    part = Window(40, 3, 30, 80)
    decode_to(codec, data, tmp_path / "w.tif", part)
    assert np.array_equal(look(tmp_path / "w.tif")[1], mask[3:83, 40:70])
    decode_to(codec, data, tmp_path / "b.png")
    assert np.array_equal((read_image(tmp_path / "b.png") != nodata).any(axis=2), mask)


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_masks_and_alpha_come_back_as_a_mask(codec, picture, tmp_path, kind):
    image, mask = picture(90, 130), np.ones((90, 130), bool)
    mask[20:50, 60:] = False
    image[70:80, 10:20] = 0  # dark, but there
    if kind == "mask":
        source = write_tiff(tmp_path / "a.tif", image, mask, photometric="RGB")
    else:
        alpha = np.dstack([image, 255 * mask.astype(np.uint8)])
        source = write_tiff(tmp_path / "a.tif", alpha, photometric="RGB", alpha="YES")
    with open_image(source) as found:
        assert found.fill == 0
        assert "nodata" not in found.notes
        assert found.masked_counts() == (30 * 70, 0)
        assert found.mask_origin == ("its mask" if kind == "mask" else "band 4, which is tagged alpha")
    through(codec, source, tmp_path / "b.tif")
    pixels, found, facts = look(tmp_path / "b.tif")
    assert facts["nodata"] is None
    assert facts["profile"]["count"] == 3
    assert np.array_equal(found, mask)
    assert (pixels[~mask] == 0).all()
    assert sorted(path.name for path in tmp_path.glob("b*")) == ["b.tif"]


def test_only_the_coded_bands_tell_what_has_no_data(codec, tmp_path):
    empty = np.where((X < 20)[..., None], 0, RGB).astype(np.uint8)
    five = np.dstack([empty, np.full((40, 56, 2), 9, np.uint8)])  # two more bands, such as quality flags
    source = write_tiff(tmp_path / "five.tif", five, nodata=0)
    through(codec, source, tmp_path / "a.tif")
    pixels, mask, _ = look(tmp_path / "a.tif")
    assert np.array_equal(mask, X >= 20)
    assert (pixels[X < 20] == 0).all()
    # Infrared is 0 over water, where red, green and blue are not.
    water = np.dstack([RGB, np.where((X > 15) & (X < 40), 0, 200).astype(np.uint8)])
    source = write_tiff(tmp_path / "rgbn.tif", water, nodata=0, colours="red green blue undefined")
    assert hidden(source) == (0, 0)
    opaque = np.dstack([RGB, np.full_like(GREY, 255)])
    source = write_tiff(tmp_path / "rgba.tif", opaque, nodata=255)
    assert hidden(source) == (0, 0)
    assert hidden(source, bands=[4, 4, 4]) == (40 * 56, 0)
    # One of three bands has a value: the pixel has data.
    single = RGB.copy()
    single[:5, :, :2] = 0
    assert hidden(write_tiff(tmp_path / "single.tif", single, nodata=0)) == (0, 0)


def test_an_infrared_band_tagged_alpha_hides_until_it_is_named_or_masks_are_off(tmp_path):
    infrared = np.where((X > 15) & (X < 40), 0, 100 + Y).astype(np.uint8)
    path = write_tiff(tmp_path / "naip.tif", np.dstack([RGB, infrared]), colours="red green blue alpha")
    count = int((infrared == 0).sum())
    assert hidden(path) == (count, 40 * 56 - count)
    assert opened(path, masked=False).fill is None
    for bands in ([4, 1, 2], [1, 2, 4]):
        assert opened(path, bands=bands).fill is None
        assert hidden(path, bands=bands) == (0, 0)


@pytest.mark.parametrize(
    ("colours", "bands"),
    [
        ("alpha red green blue", [2, 3, 4]),
        ("red green blue nir alpha", [1, 2, 3]),
        ("gray undefined alpha", [1, 1, 1]),
        ("red green blue alpha alpha", [1, 2, 3]),
    ],
)
def test_an_alpha_band_hides_wherever_it_stands(codec, tmp_path, colours, bands):
    """GDAL takes for a mask only an alpha band that is the second of two or the fourth of four."""
    names = colours.split()
    alpha = np.where(X < 20, 0, 255).astype(np.uint8)
    image = np.dstack([alpha if name == "alpha" else RGB[..., i % 3] for i, name in enumerate(names)])
    path = write_tiff(tmp_path / "a.tif", image, colours=colours)
    assert np.array_equal(read_image(path), image[..., [band - 1 for band in bands]])
    assert hidden(path) == (800, 0)
    assert hidden(path, masked=False) == hidden(path, bands=[names.index("alpha") + 1] * 3) == (0, 0)
    through(codec, path, tmp_path / "b.tif")
    assert np.array_equal(look(tmp_path / "b.tif")[1], X >= 20)


def test_what_goes_before_an_alpha_band_is_said(tmp_path):
    """A nodata value does, and a mask, as everywhere in GDAL; a nodata value that marks nothing does not."""
    alpha = np.dstack([RGB, np.where(X < 20, 0, 255).astype(np.uint8)])
    options = {"photometric": "RGB", "alpha": "YES"}
    for first, more, count in (("nodata value", {"nodata": 0}, 0), ("mask", {"mask": Y >= 10}, 560)):
        path = write_tiff(tmp_path / "a.tif", alpha, **options, **more)
        assert hidden(path) == (count, 0)
        assert opened(path).remarks == [f"band 4, which is tagged alpha, is not used, since its {first} goes first"]
        path.unlink()
    path = write_tiff(tmp_path / "b.tif", alpha, **options)
    for value in ("-9999", "0.5"):
        with Image.open(path) as image:
            image.save(tmp_path / "c.tif", tiffinfo={42113: value})
        assert hidden(tmp_path / "c.tif") == (800, 0)
        assert opened(tmp_path / "c.tif").remarks == ["its nodata value is none of 8 bits and marks no pixel"]


def test_colours_that_are_multiplied_by_alpha_are_said_to_stay_so(tmp_path):
    alpha = np.dstack([RGB, np.where(X < 20, 0, 100).astype(np.uint8)])
    path = write_tiff(tmp_path / "a.tif", alpha, photometric="RGB", alpha="PREMULTIPLIED")
    assert opened(path).remarks == ["its colours are stored multiplied by alpha, and stay so"]
    assert hidden(path) == (800, 1440)
    kinds = struct.pack(">H12H", 4, 0, 0, 1, 1, 0, 2, 2, 0, 3, 3, 2, 0)  # the fourth: premultiplied opacity
    path = with_boxes(tmp_path / "a.jp2", alpha, SRGB_BOX, (b"cdef", kinds))
    assert opened(path).remarks == ["its colours are stored multiplied by alpha, and stay so"]
    assert hidden(path) == (800, 1440)


def test_a_mask_hides_inks_too(tmp_path):
    four = np.dstack([RGB, GREY])
    path = write_tiff(tmp_path / "a.tif", four, mask=Y >= 10, photometric="CMYK")
    assert hidden(path) == (560, 0)
    assert opened(path).remarks == ["its inks are converted to RGB without a colour profile"]
    with pytest.raises(InputError, match="is read as RGB: choose among bands 1, 2 and 3"):
        opened(path, bands=[4, 1, 2])
    with pytest.raises(InputError, match="holds inks other than"):
        read_image(write_tiff(tmp_path / "b.tif", np.dstack([four, GREY]), photometric="CMYK", alpha="YES"))


def test_a_value_that_no_pixel_can_have_is_left_out_and_said(codec, picture, tmp_path):
    source = write_tiff(tmp_path / "a.tif", picture(40, 40))
    for value in ("-9999", "nan", "12.5"):
        with Image.open(source) as image:
            image.save(tmp_path / "c.tif", tiffinfo={42113: value})
        with open_image(tmp_path / "c.tif") as found:
            assert found.notes == {}
            assert found.fill is None
            assert found.remarks == ["its nodata value is none of 8 bits and marks no pixel"]
    assert through(codec, tmp_path / "c.tif", tmp_path / "b.tif")


def test_nodata_of_few_bits_is_scaled_with_the_values(codec, tmp_path):
    values = (GREY >> 4).copy()
    values[:10] = 15
    path = write_tiff(tmp_path / "a.tif", values, nbits=4, nodata=15)
    image = opened(path)
    assert (image.fill, image.notes["nodata"], hidden(path)) == (255, 255, (560, 0))
    through(codec, path, tmp_path / "b.tif")
    pixels, mask, facts = look(tmp_path / "b.tif")
    assert facts["nodata"] == 255
    assert np.array_equal(mask, Y >= 10)
    assert (pixels[:10] == 255).all()


def test_without_a_mask_every_pixel_is_coded_and_the_loss_said(tmp_path):
    path = write_tiff(tmp_path / "a.tif", RGB, nodata=40)
    image = opened(path, masked=False)
    assert (image.fill, image.notes) == (None, {})
    assert image.remarks == ["its nodata value 40 is not kept"]


# --- What places an image, there and back ---


def gcps(crs="EPSG:4326"):
    from rasterio.control import GroundControlPoint as Point

    corners = [(0, 0, 10.0, 45.0, 3.0), (0, 56, 10.1, 45.02, 0), (40, 0, 9.98, 44.9, 0), (40, 56, 10.08, 44.92, 7.5)]
    return [Point(*corner) for corner in corners], rasterio.crs.CRS.from_user_input(crs)


def rpcs():
    from rasterio.rpc import RPC

    return RPC(
        height_off=100.5, height_scale=500, lat_off=45.1, lat_scale=0.1, line_off=20.5, line_scale=40, long_off=10,
        long_scale=0.1, samp_off=28.25, samp_scale=56, line_num_coeff=[0.1, 1 / 3, *[1e-7] * 18],
        line_den_coeff=[1, *[2e-7] * 19], samp_num_coeff=[0.2, 2 / 3, *[3e-7] * 18],
        samp_den_coeff=[1, *[4e-7] * 19], err_bias=0.5, err_rand=0.25,
    )  # fmt: skip


#: For each kind what is written, in terms of rasterio; text is a CRS, and six numbers are a transform.
NORTH, GEOGRAPHIC = (0.5, 0, 3e5, 0, -0.5, 5e6), (1e-4, 0, 10, 0, -1e-4, 45)
#: `NORTH` as a world file, which has the middle of the first pixel.
WORLD = "0.5\n0\n0\n-0.5\n300000.25\n4999999.75\n"
GEOSTATIONARY = "+proj=geos +lon_0=-75 +h=35786023 +ellps=GRS80 +units=m +sweep=x"
KINDS = {
    "north up": (UTM, NORTH),
    "south up": ("EPSG:32733", (0.5, 0, 3e5, 0, 0.5, 5e6)),
    "east flipped": (UTM, (-0.5, 0, 3e5, 0, -0.5, 5e6)),
    "rotated": (UTM, (0.4, 0.3, 3e5, 0.3, -0.4, 5e6)),
    "sheared": (UTM, (0.5, 0.2, 3e5, 0, -0.5, 5e6)),
    "oblong pixels": (UTM, (0.25, 0, 3e5, 0, -3, 5e6)),
    "tiny pixels": ("EPSG:4326", (1e-9, 0, 10, 0, -1e-9, 45)),
    "huge pixels": ("EPSG:3857", (1e5, 0, -2e7, 0, -1e5, 2e7)),
    "odd digits": (UTM, (1 / 3, 0, 300000.1234567891, 0, -1 / 3, 5000000.987654321)),
    "geographic": ("EPSG:4326", GEOGRAPHIC),
    "across the date line": ("EPSG:4326", (0.1, 0, 179, 0, -0.1, 10)),
    "longitude first": ("OGC:CRS84", GEOGRAPHIC),
    "web mercator": ("EPSG:3857", NORTH),
    "polar": ("EPSG:3031", (25, 0, -3e6, 0, -25, 3e6)),
    "polar north": ("EPSG:3413", (25, 0, -3e6, 0, -25, 3e6)),
    "conic": ("EPSG:5070", NORTH),
    "equal area": ("EPSG:3035", NORTH),
    "oblique": ("EPSG:2056", NORTH),
    "feet": ("EPSG:2263", NORTH),
    "northing first": ("EPSG:31467", NORTH),
    "of the Moon": ("IAU_2015:30100", GEOGRAPHIC),
    "ESRI's code": ("ESRI:54009", NORTH),
    "ESRI's conic": ("ESRI:102001", NORTH),
    "a local system": (LOCAL, NORTH),
    "geostationary": (GEOSTATIONARY, (2004, 0, -5e6, 0, -2004, 5e6)),
    "compound by code": ("EPSG:7415", NORTH),
    "compound of two": ("EPSG:32633+5773", NORTH),
    "three-dimensional": ("EPSG:4979", GEOGRAPHIC),
    "no CRS": (None, NORTH),
    "CRS alone": (UTM, None),
    "nothing": (None, None),
    "points": (None, None, {"gcps": gcps}),
    "points in metres": (None, None, {"gcps": lambda: gcps(UTM)}),
    "coefficients": (None, None, {"rpcs": rpcs}),
    "coefficients and CRS": ("EPSG:4326", None, {"rpcs": rpcs}),
    "pixel is point": (UTM, NORTH, {"tags": lambda: {"AREA_OR_POINT": "Point"}}),
    "names and scales": (UTM, NORTH, {
        "descriptions": lambda: ("red", "", "infrared"), "units": lambda: ("K", "", "m"),
        "scales": lambda: (0.1, 0.2, 1 / 3), "offsets": lambda: (1.0, -2.0, 0.5)}),
}  # fmt: skip


def equal_rpcs(found, expected):
    first, second = found.to_dict(), expected.to_dict()
    return all(np.allclose(first[key], second[key], rtol=1e-15, atol=0) for key in second)


@pytest.mark.parametrize("kind", KINDS)
def test_what_places_an_image_comes_back_whole_and_of_a_window(codec, tmp_path, kind):
    crs, transform, *more = KINDS[kind]
    wanted = {name: make() for name, make in (more[0] if more else {}).items()}
    options = {"crs": crs} if crs else {}
    options |= {"transform": rasterio.Affine(*transform)} if transform else {}
    attributes = {name: value for name, value in wanted.items() if name != "tags"}
    source = write_tiff(tmp_path / "a.tif", RGB, tags=attributes, **options)
    if "tags" in wanted:
        with rasterio.open(source, "r+") as dataset:
            dataset.update_tags(**wanted["tags"])
    before = look(source)[2]
    assert (before["crs"] is None) == (crs is None), "the source is what it is meant to be"
    assert opened(source).remarks == []
    data = through(codec, source, tmp_path / "b.tif")
    x, y, part = 33, 17, Window(33, 17, 20, 15)
    decode_to(codec, data, tmp_path / "w.tif", part)
    pixels, mask, whole = look(tmp_path / "b.tif")
    assert mask.all()
    assert np.array_equal(pixels, codec.decode(data))
    cut, _, window = look(tmp_path / "w.tif")
    assert np.array_equal(cut, codec.decode(data, part))
    for after, moved in ((whole, (0, 0)), (window, (x, y))):
        assert after["crs"] == before["crs"]
        for name in ("nodata", "descriptions", "units", "scales", "offsets"):
            assert after[name] == before[name], name
        assert after["tags"].get("AREA_OR_POINT") == before["tags"].get("AREA_OR_POINT")
        expected = before["transform"] @ rasterio.Affine.translation(*moved)
        if before["transform"].is_identity:  # there is none, of a window neither
            expected = before["transform"]
        assert after["transform"].almost_equals(expected, 1e-6)
        points, points_crs = after["gcps"]
        assert points_crs == before["gcps"][1]
        assert [(p.row, p.col, p.x, p.y, p.z) for p in points] == [
            (p.row - moved[1], p.col - moved[0], p.x, p.y, p.z) for p in before["gcps"][0]
        ]
        assert (after["rpcs"] is None) == (before["rpcs"] is None)
        if after["rpcs"]:
            before_moved = before["rpcs"].to_dict()
            before_moved |= {
                "line_off": before_moved["line_off"] - moved[1],
                "samp_off": before_moved["samp_off"] - moved[0],
            }
            assert equal_rpcs(after["rpcs"], type(after["rpcs"])(**before_moved))
    assert sorted(path.name for path in tmp_path.glob("[bw].*")) == ["b.tif", "w.tif"], "nothing lies beside"


def test_there_are_as_many_kinds_as_are_promised():
    assert len(KINDS) == 37


@pytest.mark.parametrize("ending", [".jp2", ".png", ".jpg", ".webp"])
def test_other_formats_are_placed_too(codec, tmp_path, ending):
    """GeoJP2 in the file, a world file or GDAL's own XML beside it."""
    transform = rasterio.Affine(*NORTH)
    path = tmp_path / f"a{ending}"
    if ending == ".jp2":
        write_jp2(path, RGB, crs=UTM, transform=transform)
    else:
        source = write_tiff(tmp_path / "t.tif", RGB, crs=UTM, transform=transform, nodata=0)
        rasterio.shutil.copy(source, path, driver={".jpg": "JPEG"}.get(ending, ending[1:].upper()))
        assert (tmp_path / f"a{ending}.aux.xml").exists()
    notes = opened(path).notes
    assert (notes["crs"], notes["transform"]) == (UTM, list(NORTH))
    assert notes.get("nodata") == (None if ending == ".jp2" else 0)
    through(codec, path, tmp_path / "b.tif")
    assert look(tmp_path / "b.tif")[2]["crs"] == UTM
    world = tmp_path / "w.png"
    Image.fromarray(RGB).save(world)
    assert opened(world).notes == {}
    (tmp_path / "w.pgw").write_text(WORLD)
    assert opened(world).notes == {"transform": list(NORTH)}


def test_a_world_file_that_cannot_be_read_is_named(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.avif")
    (tmp_path / "a.wld").write_text("1\n0\n0\n-1\n0\n0\n")
    assert opened(tmp_path / "a.avif").remarks == ["what a.wld beside it say is not kept"]


@pytest.mark.parametrize("world", ["pgw", "PGW", "Pgw", "pngw", "PNGW", "wld", "WLD"])
@pytest.mark.parametrize("name", ["a.png", "a.PNG"])
def test_a_world_file_may_be_spelt_in_capitals(tmp_path, name, world):
    Image.fromarray(RGB).save(tmp_path / name)
    (tmp_path / f"a.{world}").write_text(WORLD)
    with rasterio.open(tmp_path / name) as by_gdal:
        assert list(by_gdal.transform)[:6] == list(NORTH)
    assert opened(tmp_path / name).notes == {"transform": list(NORTH)}


@pytest.mark.parametrize("text", ["", "abc", "1\n2\n", "0\n0\n0\n0\n0\n0\n", "nan\n0\n0\nnan\n0\n0\n"])
def test_a_world_file_that_says_nothing_is_named(tmp_path, text):
    for name, world in (("a.png", "pgw"), ("a.tif", "tfw"), ("a.jp2", "j2w")):
        Image.fromarray(RGB).save(tmp_path / name)
        (tmp_path / f"a.{world}").write_text(text)
        assert opened(tmp_path / name).notes == {}
        assert opened(tmp_path / name).remarks[-1] == f"what a.{world} beside it say is not kept"
        (tmp_path / f"a.{world}").unlink()
    Image.fromarray(RGB).save(tmp_path / "a.webp")  # of which GDAL reads no world file
    (tmp_path / "a.wld").write_text(WORLD)
    assert opened(tmp_path / "a.webp").remarks == ["what a.wld beside it say is not kept"]


def test_a_crs_beside_an_image_is_taken_where_there_is_no_other(codec, tmp_path):
    """ESRI's programs write a `.prj`, which GDAL reads for no format of these."""
    found = rasterio.crs.CRS.from_user_input(UTM).to_wkt(version="WKT1_ESRI")
    assert found.startswith('PROJCS["WGS_1984_UTM_Zone_33N"')
    for name, world in (("a.png", "pgw"), ("a.tif", "tfw"), ("a.jp2", "j2w"), ("a.JPG", "JGW")):
        Image.fromarray(RGB).save(tmp_path / name)
        (tmp_path / f"a.{world}").write_text(WORLD)
        for prj in ("a.prj", "a.PRJ"):
            (tmp_path / prj).write_text(found)
            image = opened(tmp_path / name)
            assert image.notes == {"transform": list(NORTH), "crs": UTM}
            assert image.remarks == [f"its CRS is that of {prj} beside it"]
            for wrong in ("nonsense", "/etc/passwd", "http://127.0.0.1/x", ""):
                (tmp_path / prj).write_text(wrong)
                assert opened(tmp_path / name).remarks == [f"what {prj} beside it say is not kept"]
            (tmp_path / prj).unlink()
    (tmp_path / "a.prj").write_text(found)
    through(codec, tmp_path / "a.png", tmp_path / "b.tif")
    assert look(tmp_path / "b.tif")[2]["crs"] == UTM
    own = write_tiff(tmp_path / "a.tif", RGB, crs="EPSG:3857", transform=placed())
    assert (opened(own).notes["crs"], opened(own).remarks) == ("EPSG:3857", [])
    for name in ("c.avif", "c.tif"):  # one that GDAL does not read, and one without any place
        Image.fromarray(RGB).save(tmp_path / name)
        (tmp_path / "c.prj").write_text(found)
        assert opened(tmp_path / name).remarks == ["what c.prj beside it say is not kept"]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_mask_that_gdal_writes_to_other_formats_hides(codec, tmp_path, ending):
    """Beside a PNG or WebP, and behind the pixels of a JPEG."""
    source = write_tiff(tmp_path / "s.tif", RGB, mask=Y >= 10, photometric="RGB")
    path = tmp_path / f"a.{ending}"
    rasterio.shutil.copy(source, path, driver={"jpg": "JPEG"}.get(ending, ending.upper()))
    assert (tmp_path / f"a.{ending}.msk").exists() == (ending != "jpg")
    assert np.array_equal(look(path)[1], Y >= 10)
    assert (hidden(path), hidden(path, masked=False)) == ((560, 0), (0, 0))
    through(codec, path, tmp_path / "b.tif")
    assert np.array_equal(look(tmp_path / "b.tif")[1], Y >= 10)


@pytest.mark.parametrize(
    "hidden_by", [{"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}, {"GDAL_PAM_ENABLED": "NO"}], ids=str
)
def test_settings_of_gdal_hide_no_sidecars(tmp_path, hidden_by):
    """Programs that read from the cloud set the first, in the environment or in rasterio."""
    source = write_tiff(tmp_path / "a.tif", RGB, transform=placed())
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(source, "r+") as dataset:
        dataset.write_mask(Y >= 10)
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:32633</SRS></PAMDataset>")
    Image.fromarray(RGB).save(tmp_path / "b.tif")
    (tmp_path / "b.tfw").write_text(WORLD)
    with rasterio.Env(**hidden_by):
        assert hidden(source) == (560, 0)
        assert opened(source).notes["crs"] == UTM
        assert opened(tmp_path / "b.tif").notes == {"transform": list(NORTH)}


def test_control_points_without_a_crs_go_through_a_tiff(codec, tmp_path):
    points, _ = gcps()
    source = write_tiff(tmp_path / "a.tif", RGB, tags={"gcps": (points, rasterio.crs.CRS())})
    assert look(source)[2]["gcps"][1] is None
    data = through(codec, source, tmp_path / "b.tif")
    decode_to(codec, data, tmp_path / "w.tif", Window(33, 17, 20, 15))
    for name, x, y in (("b.tif", 0, 0), ("w.tif", 33, 17)):
        found, crs = look(tmp_path / name)[2]["gcps"]
        assert crs is None
        assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [(p.row - y, p.col - x, p.x, p.y, p.z) for p in points]


def rpc_xml(**changed):
    numbers = ["LINE", "SAMP", "LAT", "LONG", "HEIGHT"]
    values = {f"{name}_{kind}": "1" for name in numbers for kind in ("OFF", "SCALE")}
    values |= {f"{name}_{kind}_COEFF": " ".join(["1"] * 20) for name in ("LINE", "SAMP") for kind in ("NUM", "DEN")}
    items = "".join(f'<MDI key="{key}">{value}</MDI>' for key, value in {**values, **changed}.items())
    return f'<Metadata domain="RPC">{items}</Metadata>'


@pytest.mark.parametrize(
    ("xml", "remark"),
    [
        (rpc_xml(LINE_OFF="nan"), "its RPCs are incomplete and not kept"),
        (rpc_xml(HEIGHT_SCALE="inf"), "its RPCs are incomplete and not kept"),
        (rpc_xml(LAT_OFF="north"), "its RPCs are incomplete and not kept"),
        (
            '<GCPList Projection="EPSG:4326"><GCP Id="1" Pixel="0" Line="0" X="nan" Y="4"/></GCPList>',
            "its control points are incomplete and not kept",
        ),
        ("<GeoTransform>nan,1,0,0,0,-1</GeoTransform>", "its transform is incomplete and not kept"),
        (
            '<PAMRasterBand band="1"><Description>\xb5</Description></PAMRasterBand>',
            "its descriptions of bands are not UTF-8 and not kept",
        ),
        (
            '<PAMRasterBand band="3"><UnitType>\xb5m</UnitType></PAMRasterBand>',
            "its units of bands are not UTF-8 and not kept",
        ),
        (
            '<Metadata domain="COLOR_PROFILE"><MDI key="SOURCE_ICC_PROFILE">no base 64</MDI></Metadata>',
            "its colour profile is damaged and not kept",
        ),
    ],
)
def test_damaged_metadata_is_said_to_be_lost(codec, tmp_path, xml, remark):
    Image.fromarray(RGB).save(tmp_path / "a.tif")
    (tmp_path / "a.tif.aux.xml").write_bytes(f"<PAMDataset>{xml}</PAMDataset>".encode("latin-1"))
    image = opened(tmp_path / "a.tif")
    assert (image.notes, image.remarks) == ({}, [remark])
    through(codec, tmp_path / "a.tif", tmp_path / "b.tif")


def test_what_else_places_an_image_is_said_to_be_lost(tmp_path):
    path = write_tiff(tmp_path / "a.tif", RGB, transform=placed())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="GEOLOCATION", X_DATASET="lon.tif", Y_DATASET="lat.tif", X_BAND="1", Y_BAND="1")
    assert opened(path).remarks == ["its geolocation arrays are not kept"]
    path = write_tiff(tmp_path / "b.tif", RGB)
    (tmp_path / "b.tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="RPC"><MDI key="LINE_OFF">1</MDI></Metadata></PAMDataset>'
    )
    assert opened(path).remarks == ["its RPCs are incomplete and not kept"]


def test_a_colour_profile_goes_through_a_tiff(codec, tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.tif", icc_profile=profile())
    data = through(codec, tmp_path / "a.tif", tmp_path / "b.tif")
    for name in ("b.tif", "b.png", "b.webp"):
        decode_to(codec, data, tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.info["icc_profile"] == profile()


def test_a_name_that_is_not_utf8_reaches_gdal(codec, tmp_path):
    import os

    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    # A mask beside it comes along.
    source = write_tiff(tmp_path / "m.tif", RGB, transform=placed())
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(source, "r+") as dataset:
        dataset.write_mask(Y >= 10)
    for ending in ("", ".msk"):
        (tmp_path / f"m.tif{ending}").rename(folder / os.fsdecode(b"m\xfe.tif" + ending.encode()))
    assert hidden(folder / os.fsdecode(b"m\xfe.tif")) == (560, 0)
    for name in os.listdir(folder):
        (folder / name).unlink()
    path = write_tiff(tmp_path / "t.tif", RGB, crs=UTM, nodata=0).rename(folder / os.fsdecode(b"a\xfe.tif"))
    (folder / os.fsdecode(b"a\xfe.tfw")).write_text(WORLD)
    assert opened(path).notes == {"crs": UTM, "transform": list(NORTH), "nodata": 0}
    through(codec, path, folder / os.fsdecode(b"b\xfe.tif"))
    (folder / os.fsdecode(b"b\xfe.tif")).rename(tmp_path / "b.tif")
    assert look(tmp_path / "b.tif")[2]["crs"] == UTM
    assert sorted(os.listdir(os.fsencode(folder))) == [b"a\xfe.tfw", b"a\xfe.tif"]


# --- Windows, damage, and notes from elsewhere ---


def test_a_tiff_is_read_by_windows(codec, picture, tmp_path, monkeypatch):
    image = picture(300, 200)
    source = write_tiff(tmp_path / "a.tif", image, tiled=True, blockxsize=64, blockysize=64)
    sizes = []
    read = geotiff.Raster.read

    def spy(self, top, bottom, left, right):
        sizes.append((bottom - top, right - left))
        return read(self, top, bottom, left, right)

    monkeypatch.setattr(geotiff.Raster, "read", spy)
    assert through(codec, source, tmp_path / "b.tif") == codec.encode(image)
    assert max(map(max, sizes)) <= 128


def test_damaged_rasters_are_refused(codec, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    tiff = write_tiff(tmp_path / "a.tif", noise, tiled=True, blockxsize=64, blockysize=64)
    for path in (tiff, write_jp2(tmp_path / "a.jp2", noise)):
        data, cut = path.read_bytes(), tmp_path / f"cut{path.suffix}"
        for length in (0, 4, 100, len(data) // 2):
            cut.write_bytes(data[:length])
            with pytest.raises(InputError, match=r"cut\."), open_image(cut) as source:
                codec.encode(source)


def test_other_formats_under_the_name_are_not_followed(tmp_path, picture):
    """A virtual raster names other files, or addresses."""
    write_tiff(tmp_path / "a.tif", picture(8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "v.tif", "w", driver="VRT", dtype="uint8", count=3, height=8, width=8):
            pass
    with pytest.raises(InputError, match="no image that can be read"), open_image(tmp_path / "v.tif"):
        pass


@pytest.mark.parametrize(
    "notes",
    [
        {"crs": "/etc/hostname"},
        {"crs": "EPSG:9999999"},
        {"crs": ["EPSG:4326"]},
        {"transform": [1, 2]},
        {"transform": "abc"},
        {"transform": 4},
        {"nodata": 1000},
        {"nodata": "x"},
        {"nodata": None},
        {"nodata": 10**400},
        {"transform": [10**400, 0, 0, 0, 1, 0]},
        {"gcps": 3},
        {"gcps": {}},
        {"gcps": {"points": [[0, 0]]}},
        {"gcps": {"points": [["a", 0, 1, 2, 3]]}},
        {"gcps": {"points": [[0, 0, 1, 2, 3]], "crs": "/etc/hostname"}},
        {"rpcs": []},
        {"rpcs": {"line_off": 1, "samp_off": 2}},
        {"rpcs": {"line_off": "x", "samp_off": 2}},
        {"icc": "?"},
        {"icc": 5},
        {"names": ["a"]},
        {"names": 7},
        {"scales": ["x", 1, 1]},
        {"offsets": [1, 2, 3, 4]},
        {"units": {"a": 1}},
    ],
)
def test_hostile_notes_are_refused_and_leave_nothing(codec, picture, tmp_path, notes):
    data = codec.encode(picture(20, 20), notes)
    for window in (None, Window(1, 2, 10, 10)):
        with pytest.raises(InputError, match="georeference"):
            decode_to(codec, data, tmp_path / "b.tif", window)
    assert list(tmp_path.glob("*b*")) == list(tmp_path.glob(".*")) == []
    decode_to(codec, data, tmp_path / "b.png")


def test_a_reference_system_that_a_tiff_cannot_hold_is_said_to_be_lost(codec, picture, tmp_path):
    """GDAL would put it into a file beside the temporary one, which would stay there."""
    rotated = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +datum=WGS84"
    notes = {"crs": rasterio.crs.CRS.from_proj4(rotated).to_wkt(), "transform": list(placed())[:6]}
    data = codec.encode(picture(20, 30), notes)
    assert decode_to(codec, data, tmp_path / "b.tif") == ["a TIFF cannot hold its crs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tif", "tiny.safetensors"]
    pixels, _, facts = look(tmp_path / "b.tif")
    assert not facts["crs"]
    assert facts["transform"] == placed()
    assert np.array_equal(pixels, codec.decode(data))


def test_files_of_another_image_beside_an_output_are_named(codec, tmp_path):
    data = through(codec, write_tiff(tmp_path / "a.tif", RGB, crs=UTM, transform=placed()), tmp_path / "b.tif")
    (tmp_path / "b.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:3857</SRS></PAMDataset>")
    (tmp_path / "b.tif.ovr").touch()
    assert look(tmp_path / "b.tif")[2]["crs"] == "EPSG:3857", "GDAL believes it"
    assert decode_to(codec, data, tmp_path / "b.tif") == [
        f"b.tif{ending} of another image lies beside it and is read with it: remove it"
        for ending in (".aux.xml", ".ovr")
    ]


def test_a_crs_that_is_not_utf8_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "a.tif"
    wkt = rasterio.CRS.from_proj4(LOCAL).to_wkt().replace('PROJCS["unknown"', 'PROJCS["Zuerich lokal"')
    write_tiff(path, RGB, crs=wkt, transform=placed())
    data = path.read_bytes()
    assert data.count(b"Zuerich") == 1
    path.write_bytes(data.replace(b"Zuerich", b"Z\xfc\xfcrich"))
    with pytest.raises(UnicodeDecodeError), rasterio.open(path):
        pass
    with pytest.raises(InputError, match=r"name is not UTF-8.*gdal_translate -a_srs"):
        read_image(path)


def test_points_beside_a_transform_are_said_to_be_lost(codec, tmp_path):
    notes = {"transform": list(NORTH), "gcps": {"points": [[0, 0, 1, 2, 3]], "crs": UTM}}
    assert decode_to(codec, codec.encode(RGB, notes), tmp_path / "b.tif") == ["a TIFF cannot hold its gcps"]


def test_a_tiff_that_cannot_be_written_whole_is_not_renamed(codec, picture, tmp_path, monkeypatch):
    """GDAL is silent when the disk fills up as it closes the file: the file is read back."""
    data = codec.encode(picture(200, 300))
    opener = rasterio.open

    def cut(path, mode="r", **options):
        if mode == "r":
            with open(path, "r+b") as file:
                file.truncate(3000)
        return opener(path, mode, **options)

    monkeypatch.setattr(rasterio, "open", cut)
    with pytest.raises(SatstudyError, match="cannot be written") as caught:
        decode_to(codec, data, tmp_path / "b.tif")
    assert not isinstance(caught.value, InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_other_formats_are_read_whole(picture, tmp_path):
    Image.fromarray(picture(20, 30)).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as source:
        assert isinstance(source, WholeImage)
        assert source.notes == {}
        assert np.array_equal(source.read(2, 9, 3, 7), picture(20, 30)[2:9, 3:7])
    with pytest.raises(InputError, match="--bands"), open_image(tmp_path / "a.png", [1, 2, 3]):
        pass
    with pytest.raises(InputError, match="no file"), open_image(tmp_path / "b.png"):
        pass


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.sat", "a.png.gz"])
def test_an_ending_that_is_not_lossless_is_refused_before_the_work(checkpoint, tmp_path, name):
    with pytest.raises(InputError, match=r"name the output \.png"):
        decode_to(LearnedCodec(checkpoint), b"not even looked at", tmp_path / name)


def test_what_png_cannot_hold_is_named(codec, picture, tmp_path):
    notes = {"crs": UTM, "transform": [1, 0, 0, 0, -1, 0], "\x1bodd": 1}
    assert decode_to(codec, codec.encode(picture(20, 20), notes), tmp_path / "b.png") == [
        "PNG does not hold its ?odd, crs, transform, which a .tif would"
    ]
