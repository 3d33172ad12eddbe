"""GeoTIFFs in and out: windows, georeference, pixels without data."""

import builtins
import warnings

import numpy as np
import pytest
from PIL import Image

from satstudy.cli.files import decode_to
from satstudy.codecs.learned.codec import LearnedCodec, Window
from satstudy.core.errors import InputError, SatstudyError
from satstudy.data import geotiff
from satstudy.data.images import WholeImage, open_image, read_image

pytestmark = pytest.mark.usefixtures("one_thread")

try:
    import rasterio
except ImportError:
    rasterio = None
geo = pytest.mark.skipif(rasterio is None, reason="rasterio is not installed: pip install 'satstudy[geo]'")

UTM = "EPSG:32633"
#: A local system that no EPSG code stands for.
LOCAL = "+proj=tmerc +lat_0=47.1 +lon_0=8.3 +k=0.9999 +x_0=1000 +y_0=2000 +ellps=bessel +units=m"


@pytest.fixture
def codec(checkpoint):
    return LearnedCodec(checkpoint, patch=64)


@pytest.fixture
def without_rasterio(monkeypatch):
    found = builtins.__import__

    def missing(name, *rest, **options):
        if name.split(".")[0] == "rasterio":
            raise ImportError(name)
        return found(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    geotiff.say_once.cache_clear()
    yield
    geotiff.say_once.cache_clear()


def write_tiff(path, bands, mask=None, **options):
    """`bands` is uint8 (height, width, count)."""
    height, width, count = bands.shape
    size = {"height": height, "width": width, "count": count, "dtype": bands.dtype}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **{**size, **options}) as target:
            target.write(bands.transpose(2, 0, 1))
            if mask is not None:
                target.write_mask(mask)
    return path


def placed(x=300_000.0, y=5_000_000.0, size=0.5):
    return rasterio.Affine(size, 0.1, x, -0.1, -size, y)


def look(path):
    """What a reader sees: pixels, mask, reference system, transform, nodata, profile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        warnings.simplefilter("ignore", rasterio.errors.NodataShadowWarning)
        with rasterio.open(path) as found:
            pixels = found.read().transpose(1, 2, 0)
            return pixels, found.dataset_mask() > 0, found.crs, found.transform, found.nodata, found.profile


def through(codec, source, out, window=None):
    with open_image(source) as image:
        data = codec.encode(image, image.notes)
    decode_to(codec, data, out, window)
    return data


@geo
@pytest.mark.parametrize("system", [UTM, LOCAL])
def test_the_georeference_comes_back_whole_and_of_a_window(codec, picture, tmp_path, system):
    source = write_tiff(tmp_path / "a.tif", picture(80, 110), crs=system, transform=placed())
    data = through(codec, source, tmp_path / "b.tif")
    before, after = look(source), look(tmp_path / "b.tif")
    assert after[2] == before[2]
    assert after[3] == before[3]
    assert after[4] is None
    assert after[1].all()
    assert np.array_equal(after[0], codec.decode(data))
    profile = after[5]
    assert profile["tiled"]
    assert profile["compress"] == "deflate"
    part = Window(33, 21, 40, 50)
    decode_to(codec, data, tmp_path / "w.tif", part)
    pixels, _, crs, transform, *_ = look(tmp_path / "w.tif")
    assert crs == before[2]
    assert transform.almost_equals(before[3] @ rasterio.Affine.translation(33, 21), 1e-6)
    assert np.array_equal(pixels, codec.decode(data, part))


@geo
@pytest.mark.parametrize("nodata", [0, 255, 17])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_nodata_comes_back_exactly(codec, picture, tmp_path, nodata, bands):
    image = np.concatenate([picture(90, 130), picture(90, 130, 1)[..., :1]], axis=2)[..., :bands].copy()
    y, x = np.mgrid[:90, :130]
    image[x + y // 2 < 50] = nodata
    source = write_tiff(tmp_path / "a.tif", image, crs=UTM, transform=placed(), nodata=nodata)
    data = through(codec, source, tmp_path / "b.tif")
    mask = look(source)[1]
    assert 0.1 < mask.mean() < 0.9
    pixels, found, _, _, value, _ = look(tmp_path / "b.tif")
    assert value == nodata
    assert np.array_equal(found, mask)
    assert (pixels[~mask] == nodata).all()
    part = Window(40, 3, 30, 80)
    decode_to(codec, data, tmp_path / "w.tif", part)
    assert np.array_equal(look(tmp_path / "w.tif")[1], mask[3:83, 40:70])
    decode_to(codec, data, tmp_path / "b.png")
    assert np.array_equal((read_image(tmp_path / "b.png") != nodata).any(axis=2), mask)


@geo
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
    with open_image(source) as opened:
        assert opened.fill == 0
        assert "nodata" not in opened.notes
    through(codec, source, tmp_path / "b.tif")
    pixels, found, _, _, nodata, profile = look(tmp_path / "b.tif")
    assert nodata is None
    assert profile["count"] == 3
    assert np.array_equal(found, mask)
    assert (pixels[~mask] == 0).all()
    assert sorted(path.name for path in tmp_path.glob("b*")) == ["b.tif"]


@geo
def test_a_value_that_no_pixel_can_have_is_left_out(codec, picture, tmp_path):
    source = write_tiff(tmp_path / "a.tif", picture(40, 40))
    for value in ("-9999", "nan", "12.5"):
        with Image.open(source) as image:
            image.save(tmp_path / "c.tif", tiffinfo={42113: value})
        with open_image(tmp_path / "c.tif") as opened:
            assert opened.notes == {}
            assert opened.fill is None
    assert through(codec, tmp_path / "c.tif", tmp_path / "b.tif")


@geo
@pytest.mark.parametrize(
    "make",
    [
        lambda a: Image.fromarray(a).quantize(16),
        lambda a: Image.fromarray(a[..., 0]),
        lambda a: Image.fromarray(a[..., 0] > 128),
        lambda a: Image.fromarray(np.ascontiguousarray(a[..., :2]), "LA"),
    ],
    ids=["palette", "grey", "one bit", "grey and alpha"],
)
def test_colours_are_those_that_pillow_sees(picture, tmp_path, make):
    make(picture(30, 40)).save(tmp_path / "a.tif")
    with open_image(tmp_path / "a.tif") as source:
        seen = source.read(0, 30, 0, 40)
        assert np.array_equal(source.read(7, 20, 3, 9), seen[7:20, 3:9])
    assert np.array_equal(seen, read_image(tmp_path / "a.tif"))


@geo
def test_bands_are_chosen(picture, tmp_path):
    image = np.concatenate([picture(20, 30), picture(20, 30, 1)], axis=2)
    source = write_tiff(tmp_path / "a.tif", image)
    with open_image(source, [6, 1, 3]) as opened:
        assert np.array_equal(opened.read(0, 20, 0, 30), image[..., [5, 0, 2]])
    for bands in ([5, 6, 7], [0, 1, 2]):
        with pytest.raises(InputError, match="--bands"), open_image(source, bands):
            pass


@geo
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


@geo
@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_other_kinds_of_pixels_are_refused(tmp_path, kind):
    source = write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), kind))
    with pytest.raises(InputError, match=f"{kind} and not uint8"), open_image(source):
        pass


@geo
def test_damaged_tiffs_are_refused(codec, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    data = write_tiff(tmp_path / "a.tif", noise, tiled=True, blockxsize=64, blockysize=64).read_bytes()
    cut = tmp_path / "cut.tif"
    for length in (0, 4, 100, len(data) // 2):
        cut.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"cut\.tif"), open_image(cut) as source:
            codec.encode(source)


@geo
def test_other_formats_under_the_name_are_not_followed(tmp_path, picture):
    """A virtual raster names other files, or addresses."""
    write_tiff(tmp_path / "a.tif", picture(8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "v.tif", "w", driver="VRT", dtype="uint8", count=3, height=8, width=8):
            pass
    with pytest.raises(InputError, match="no TIFF"), open_image(tmp_path / "v.tif"):
        pass


@geo
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
    ],
)
def test_a_hostile_georeference_is_refused_and_leaves_nothing(codec, picture, tmp_path, notes):
    data = codec.encode(picture(20, 20), notes)
    with pytest.raises(InputError, match="georeference"):
        decode_to(codec, data, tmp_path / "b.tif")
    assert list(tmp_path.glob("*b*")) == list(tmp_path.glob(".*")) == []
    decode_to(codec, data, tmp_path / "b.png")


@geo
def test_a_reference_system_that_a_tiff_cannot_hold_is_said_to_be_lost(codec, picture, tmp_path):
    """GDAL would put it into a file beside the temporary one, which would stay there."""
    rotated = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +datum=WGS84"
    notes = {"crs": rasterio.crs.CRS.from_proj4(rotated).to_wkt(), "transform": list(placed())[:6]}
    data = codec.encode(picture(20, 30), notes)
    with pytest.warns(UserWarning, match=r"b\.tif has no CRS"):
        decode_to(codec, data, tmp_path / "b.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tif", "tiny.safetensors"]
    pixels, _, crs, transform, *_ = look(tmp_path / "b.tif")
    assert not crs
    assert transform == placed()
    assert np.array_equal(pixels, codec.decode(data))


@geo
def test_a_tiff_that_cannot_be_written_whole_is_not_renamed(codec, picture, tmp_path, monkeypatch):
    """GDAL is silent when the disk fills up as it closes the file: the file is read back."""
    data = codec.encode(picture(200, 300))
    opened = rasterio.open

    def cut(path, mode="r", **options):
        if mode == "r":
            with open(path, "r+b") as file:
                file.truncate(3000)
        return opened(path, mode, **options)

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


@pytest.mark.usefixtures("without_rasterio")
def test_without_rasterio_pixels_are_kept_and_the_loss_is_said_once(codec, picture, tmp_path, capsys):
    image = picture(30, 40)
    Image.fromarray(image).save(tmp_path / "plain.tif")
    Image.fromarray(image).save(tmp_path / "geo.tif", tiffinfo={33550: (1.0, 1.0, 0.0), 42113: "0"})
    with open_image(tmp_path / "plain.tif") as source:
        assert np.array_equal(source.read(0, 30, 0, 40), image)
    assert capsys.readouterr().err == ""
    for _ in range(2):
        with open_image(tmp_path / "geo.tif") as source:
            assert np.array_equal(source.read(0, 30, 0, 40), image)
    assert capsys.readouterr().err.count("lose their georeference and nodata: pip install") == 1
    data = codec.encode(image, {"crs": UTM})
    for name in ("b.tif", "c.tif"):
        decode_to(codec, data, tmp_path / name)
        assert np.array_equal(read_image(tmp_path / name), codec.decode(data))
    assert capsys.readouterr().err.count("without its georeference") == 1
