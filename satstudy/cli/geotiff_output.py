"""Decoded images of any size: written band by band, with the georeference and the nodata of what was compressed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from satstudy.codecs.coding.bitstream import MAX_PIXELS, MAX_SIDE
from satstudy.codecs.learned.codec import LearnedCodec, Window, check_window
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.paths import atomic
from satstudy.data.geotiff import CACHE, TIFF, say_once
from satstudy.data.images import write_image

OUTPUTS = (".png", *TIFF, ".webp")


def check_output(path: Path | str) -> None:
    """Refuse what `decode_to` could not write, before the work.

    Raises
    ------
    InputError
        An ending that stands for no lossless format.
    """
    ending = Path(path).suffix.lower()
    if ending not in OUTPUTS:
        raise InputError(f"{path} ends in {ending or 'nothing'}: name the output .png, .tif or .webp.")


def decode_to(
    codec: LearnedCodec,
    data: bytes | memoryview,
    out: Path | str,
    window: Window | None = None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Decode a file to an image: a TIFF band by band with its georeference, anything else whole.

    A TIFF of a window has that window's transform. Pixels without data have the nodata value, where there is
    one, and a mask inside the TIFF otherwise; in other formats they have the same value and no mask.

    Raises
    ------
    InputError
        An output format that is not lossless, or whatever `LearnedCodec.decode` raises.
    """
    out = Path(out)
    check_output(out)
    file = codec.open(data, MAX_SIDE**2 if window else max_pixels)
    part = check_window(window, file.header, max_pixels)
    if out.suffix.lower() in TIFF:
        try:
            import rasterio
        except ImportError:
            if file.header.notes:
                say_once("without rasterio, a TIFF is written without its georeference: pip install 'satstudy[geo]'.")
        else:
            with rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_TIFF_INTERNAL_MASK=True):
                _decode_to_tiff(codec, file, out, part)
            return
    write_image(out, codec.decode(data, part, max_pixels))


def _profile(notes: dict[str, Any], part: Window) -> dict[str, Any]:
    """How rasterio is to write a TIFF."""
    import rasterio

    options: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 3,
        "height": part.height,
        "width": part.width,
        "photometric": "RGB",
        "compress": "deflate",
        "predictor": 2,
        "tiled": True,
        "BIGTIFF": "IF_SAFER",
    }
    try:
        if "crs" in notes:
            # No more general reader: that of GDAL takes names of files and addresses too.
            text, system = str(notes["crs"]), rasterio.crs.CRS
            known = re.fullmatch("EPSG:([0-9]{1,7})", text)
            options["crs"] = system.from_epsg(int(known[1])) if known else system.from_wkt(text)
        if "transform" in notes:
            a, b, c, d, e, f = (float(x) for x in notes["transform"])
            x, y = part.x, part.y
            options["transform"] = rasterio.Affine(a, b, c + a * x + b * y, d, e, f + d * x + e * y)
        if "nodata" in notes:
            options["nodata"] = float(notes["nodata"])
            if options["nodata"] not in range(256):
                raise ValueError(f"nodata is {options['nodata']:g}")
    except (TypeError, ValueError, OverflowError, rasterio.errors.RasterioError) as error:
        raise InputError(f"The georeference in this file is damaged ({error}): decode it to .png.") from None
    return options


def _decode_to_tiff(codec: LearnedCodec, file: Any, out: Path, part: Window) -> None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
    from rasterio.windows import Window as Part

    options = _profile(file.header.notes, part)
    with atomic(out) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            # What a TIFF cannot hold would go into a file beside the temporary one, and stay there.
            with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(temporary, "w", **options) as target:
                for top, band in codec.bands(file, part):
                    place = Part(0, top - part.y, part.width, len(band))
                    target.write(band.transpose(2, 0, 1), window=place)
                    if file.header.fill is not None and "nodata" not in options:
                        target.write_mask((band != file.header.fill).any(axis=2), window=place)
            # GDAL says nothing of a disk that fills up while the file is closed.
            with rasterio.open(temporary) as written:
                if options.get("crs") and not written.crs:
                    warnings.warn(f"{out} has no CRS: a GeoTIFF cannot hold that of this file.", stacklevel=2)
                for _, block in written.block_windows(1):
                    written.read(window=block)
        except RasterioIOError as error:
            reason = error.__cause__ or error
            raise SatstudyError(f"{out} cannot be written ({reason}): make room, or choose another folder.") from None
