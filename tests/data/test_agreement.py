"""Whatever opens an image gives the same pixels, which are GDAL's and Pillow's: formats × bits × turns × layouts."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from field_files import RGB, in_jp2h, rasterio, turned, write_jp2, write_tiff
from PIL import Image, ImageOps

from satstudy.codecs import JPEG
from satstudy.core.errors import InputError
from satstudy.data import fmow, folders, packing
from satstudy.data.images import EXTENSIONS, image_size, open_image, read_image
from satstudy.study import rate_distortion
from satstudy.training.crops import CropSource
from satstudy.training.validation import central_crops

GREY, ALPHA = RGB[..., :1], (RGB[..., :1] * 3).astype(np.uint8)


def by_pillow(path):
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        return np.array((upright.convert("RGBA") if upright.has_transparency_data else upright).convert("RGB"))


def by_gdal(path, bands=(1, 2, 3), bits=8):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            values = dataset.read(bands).transpose(1, 2, 0)
    return np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)


def of_pillow(folder):
    """(path, expected pixels, or None where the file is refused) for what Pillow writes."""
    modes = {
        "L": ".png .jpg .webp .tif .jp2 .bmp",
        "LA": ".png .tif .jp2",
        "RGB": ".png .jpg .webp .tif .jp2 .avif .bmp .gif",
        "RGBA": ".png .webp .tif .jp2 .avif",
        "P": ".png .tif .bmp .gif",
        "1": ".png .tif .bmp",
        "CMYK": ".jpg .tif",
        "I;16": ".png .tif",
        "F": ".tif",
        "LAB": ".tif",
    }
    for mode, endings in modes.items():
        if mode in ("I;16", "F"):
            image = Image.fromarray(RGB[..., 0].astype({"I;16": np.uint16, "F": np.float32}[mode]) * 9)
        elif mode in ("LA", "RGBA"):
            image = Image.fromarray(np.dstack([RGB[..., : len(mode) - 1], ALPHA]).squeeze(), mode)
        else:
            image = Image.fromarray(RGB).convert(mode)
        for ending in endings.split():
            path = folder / f"{mode.replace(';', '')}-{ending[1:]}{ending}"
            image.save(path, **({"lossless": True, "exact": True} if ending == ".webp" else {}))
            yield path, None if mode in ("I;16", "F", "LAB") else by_pillow(path)
    for orientation in range(1, 9):
        for ending in (".png", ".jpg", ".webp", ".avif", ".tif"):
            for name, image in (("rgb", RGB), ("grey", RGB[..., 0])):
                path = turned(folder / f"turned{orientation}-{name}-{ending[1:]}{ending}", orientation, image)
                # Pillow takes the rows of a turned grey TIFF apart: the PNG of the same says what is right.
                yield path, by_pillow(path.with_name(path.name.replace("tif", "png")))


def of_gdal(folder):
    """The same for what GDAL writes."""
    for bits in range(1, 9):
        for write, ending in ((write_tiff, ".tif"), (write_jp2, ".jp2")):
            for name, values in (("grey", GREY), ("rgb", RGB)):
                options = {"nbits": bits} | ({"photometric": "RGB"} if name == "rgb" else {})
                path = write(folder / f"{bits}-{name}-{ending[1:]}{ending}", values >> (8 - bits), **options)
                yield path, by_gdal(path, (1, 2, 3) if name == "rgb" else (1, 1, 1), bits)
    for bits in (9, 12, 16):
        for write, ending in ((write_tiff, ".tif"), (write_jp2, ".jp2")):
            yield write(folder / f"deep{bits}-{ending[1:]}{ending}", RGB.astype(np.uint16), nbits=bits), None
    layouts = {"blue green red": (3, 2, 1), "red green blue undefined": (1, 2, 3), "alpha red green blue": (2, 3, 4),
               "undefined undefined undefined undefined red blue green": (5, 7, 6), "gray": (1, 1, 1),
               "gray alpha": (1, 1, 1), "gray undefined": (1, 1, 1)}  # fmt: skip
    for colours, bands in layouts.items():
        image = np.dstack([RGB[..., i % 3] + 9 * i for i in range(len(colours.split()))])
        for interleave in ("pixel", "band"):
            path = folder / f"{'-'.join(name[0] for name in colours.split())}-{interleave}.tif"
            write_tiff(path, image, colours=colours, interleave=interleave)
            yield path, by_gdal(path, bands)
    for name, options in {
        "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 16}, "lzw": {"compress": "lzw", "predictor": 2},
        "jpeg": {"compress": "jpeg", "photometric": "YCBCR"}, "zstd": {"compress": "zstd"}, "big": {"BIGTIFF": "YES"},
        "big endian": {"ENDIANNESS": "BIG"}, "lossless webp": {"compress": "webp", "WEBP_LOSSLESS": "YES"},
    }.items():  # fmt: skip
        path = write_tiff(folder / f"{name}.tif", RGB, **options)
        yield path, by_gdal(path)
    ycc = write_jp2(folder / "ycc.jp2", np.array(Image.fromarray(RGB).convert("YCbCr")))
    yield in_jp2h(ycc, b"colr\x01\0\0\0\0\0\x10", b"colr\x01\0\0\0\0\0\x12"), by_pillow(ycc)


class Seen:
    """A codec that keeps what it is given."""

    name, setting = "seen", "once"

    def encode(self, image):
        self.image = image
        return JPEG(90).encode(image)

    def decode(self, data):
        return JPEG(90).decode(data)


def entry_points(path, folder):
    """(name, pixels or size) of everything that opens an image."""
    yield "read", lambda: read_image(path)
    yield "size", lambda: image_size(path)

    def windows():
        with open_image(path) as image:
            top, left = image.height // 3, image.width // 2
            parts = [[image.read(a, b, c, d) for c, d in ((0, left), (left, image.width))]
                     for a, b in ((0, top), (top, image.height))]  # fmt: skip
            return np.vstack([np.hstack(row) for row in parts])

    yield "compress", windows
    yield "train", lambda: CropSource([path], 16, 0)._image(0)
    yield "validation", lambda: central_crops([path], 16)[0].permute(1, 2, 0).numpy()
    yield "scan", lambda: (lambda record: (record.height, record.width))(folders.scan(folder).records[0])

    def checked():
        report = fmow.check(folder, progress=False)
        if report.unreadable:
            raise InputError(report.unreadable[0][1])
        return image_size(path)

    yield "check", checked

    def measured():
        codec = Seen()
        rate_distortion.evaluate([path], [codec], folder.parent / f"{path.stem}.csv", progress=False)
        return codec.image

    yield "rd", measured

    def packed():
        codec = Seen()
        packing._recode(path, codec)
        return codec.image

    yield "pack", packed

    def scanned():
        place = folder.parent / "tree/val/zoo/zoo_0"
        shutil.rmtree(folder.parent / "tree", ignore_errors=True)
        place.mkdir(parents=True)
        copy = Path(shutil.copy(path, place / f"zoo_0_0_rgb{path.suffix}"))
        copy.with_suffix(".json").write_text(json.dumps({"bounding_boxes": []}))
        record = fmow.scan(folder.parent / "tree", min_size=None, progress=False).records[0]
        return record.height, record.width

    yield "fMoW", scanned


def agree(path, expected, folder):
    place = folder / path.stem
    place.mkdir()
    name = path.name if path.suffix in EXTENSIONS else f"{path.name}.png"  # content counts, not a name
    lying = Path(shutil.copy(path, place / name))
    for name, get in entry_points(lying, place):
        if expected is None:
            with pytest.raises(InputError):
                get()
            continue
        found = get()
        if isinstance(found, tuple):
            assert found == expected.shape[:2], (path.name, name)
        elif name == "validation":
            top, left = (expected.shape[0] - 16) // 2, (expected.shape[1] - 16) // 2
            assert np.array_equal(found, expected[top : top + 16, left : left + 16]), (path.name, name)
        else:
            assert np.array_equal(found, expected), (path.name, name)


@pytest.mark.parametrize(("make", "least"), [(of_pillow, 101), (of_gdal, 60)])
def test_every_way_to_open_a_file_gives_the_same_pixels_or_refuses_it(tmp_path, make, least):
    (tmp_path / "made").mkdir()
    made = list(make(tmp_path / "made"))
    assert len(made) >= least
    for path, expected in made:
        agree(path, expected, tmp_path)
