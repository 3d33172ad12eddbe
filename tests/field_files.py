"""Small image files as they come from the field, written by GDAL, Pillow or byte by byte."""

import base64
import functools
import struct
import warnings
import zlib

import numpy as np
import rasterio
import rasterio.shutil
from PIL import Image, ImageCms, TiffImagePlugin

Y, X = np.mgrid[:40, :56]
#: uint8 (40, 56, 3), no two rows, columns or bands alike, and nowhere 0 or 255.
RGB = np.stack([40 + X, 40 + 2 * Y, 60 + X + Y], axis=-1).astype(np.uint8)
#: One that is 10 bits deep (4×4, grey 512), which Pillow reads as 8 bits without a word.
AVIF_OF_10_BITS = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcGl0"
    "bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAHAAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBy"
    "cAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAABAAAAAQAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAAAAAAE2NvbHJuY2x4AAIAAgAGgAAAABdpcG1h"
    "AAAAAAAAAAEAAQQBAoMEAAAAJG1kYXQSAAoIOAR9vAgIGkAyDhlCYwTAADQAABCQP59A"
)


def write_tiff(path, bands, mask=None, tags=None, colours=None, **options):
    """`bands` is (height, width, count); `colours` names the bands; `tags` are set as attributes of the data set."""
    height, width, count = bands.shape
    size = {"height": height, "width": width, "count": count, "dtype": bands.dtype}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **{"driver": "GTiff", **size, **options}) as target:
            target.write(bands.transpose(2, 0, 1))
            if mask is not None:
                target.write_mask(mask)
            if colours:
                target.colorinterp = [rasterio.enums.ColorInterp[name] for name in colours.split()]
            for name, value in (tags or {}).items():
                setattr(target, name, value)
    return path


def write_jp2(path, bands, **options):
    """A lossless JPEG 2000 of `bands` (height, width, count)."""
    whole = {"photometric": "RGB"} if bands.shape[2] >= 3 else {}
    whole |= {name: options.pop(name) for name in ("nbits", "crs", "transform", "photometric") if name in options}
    source = write_tiff(path.with_suffix(".source.tif"), bands, **whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        rasterio.shutil.copy(source, path, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", **options)
    source.unlink()
    return path


def in_jp2h(path, find, replace):
    """Change bytes of a file, once."""
    data = path.read_bytes()
    assert data.count(find) >= 1
    path.write_bytes(data.replace(find, replace, 1))
    return path


def with_boxes(path, bands, *boxes):
    """A JPEG 2000 whose header box holds `ihdr` and these boxes: pairs of a type and its content."""
    data = write_jp2(path, bands).read_bytes()
    height, width, count = bands.shape
    head = jp2_box(b"ihdr", struct.pack(">IIHBBBB", height, width, count, 7, 7, 0, 0))
    head = jp2_box(b"jp2h", head + b"".join(jp2_box(*box) for box in boxes))
    start = jp2_box(b"jP  ", b"\r\n\x87\n") + jp2_box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    path.write_bytes(start + head + data[data.index(b"jp2c") - 4 :])
    return path


def jp2_box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


#: The box of a JPEG 2000 that says its colours are sRGB.
SRGB_BOX = (b"colr", struct.pack(">BbBI", 1, 0, 0, 16))


def turned(path, orientation, image=RGB, **options):
    """An image with an orientation in its EXIF, its TIFF tag or its AVIF boxes, by the name's ending."""
    picture = Image.fromarray(image)
    if path.suffix == ".tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        picture.save(path, tiffinfo=tags, **options)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        lossless = {".webp": {"lossless": True}}.get(path.suffix, {"quality": 95} if path.suffix != ".png" else {})
        picture.save(path, exif=exif, **lossless, **options)
    return path


def png_of(height, width, depth=8, rows=b"", kind=2, before=b"", after=b""):
    """A PNG from its parts; `before` and `after` are chunks around the pixels, from `png_chunk`."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", zlib.compress(rows)) + after
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@functools.cache
def profile(space="RGB"):
    """An ICC profile; each has the time of its making in it."""
    if space == "RGB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = bytearray(profile())
    made[16:20] = space.ljust(4).encode()
    return bytes(made)


def look(path):
    """What a reader sees: pixels, mask, and the open data set's facts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        warnings.simplefilter("ignore", rasterio.errors.NodataShadowWarning)
        with rasterio.open(path) as found:
            facts = {
                name: getattr(found, name)
                for name in ("crs", "transform", "nodata", "gcps", "rpcs", "descriptions", "units", "scales", "offsets")
            }
            facts |= {"profile": found.profile, "tags": found.tags(), "icc": found.tags(ns="COLOR_PROFILE")}
            return found.read().transpose(1, 2, 0), found.dataset_mask() > 0, facts
