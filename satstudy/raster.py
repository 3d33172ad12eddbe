"""Images of any size: read by windows from a GeoTIFF, written band by band, georeference kept."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satstudy.codecs.learned import ArraySource, LearnedCodec, Source, Window, check_window
from satstudy.container import MAX_PIXELS, MAX_SIDE
from satstudy.data.images import Pixels, read_image, write_image
from satstudy.errors import InputError
from satstudy.paths import atomic

TIFF = (".tif", ".tiff")


class _Array(ArraySource):
    """An image in memory, without anything to note."""

    notes: dict[str, Any] = {}  # noqa: RUF012 -- never written to


class GeoTIFF:
    """A TIFF that rasterio reads by windows.

    Attributes
    ----------
    notes : crs (EPSG code or WKT), transform (six numbers, GDAL order of affine), nodata, as far as it has them
    """

    def __init__(self, dataset: Any, bands: Sequence[int], path: Path):
        if max(bands) > dataset.count or min(bands) < 1:
            raise InputError(f"{path} has {dataset.count} bands: choose three of them with --bands.")
        kinds = {dataset.dtypes[band - 1] for band in bands}
        if kinds != {"uint8"}:
            raise InputError(f"{path} holds {', '.join(sorted(kinds))} and not uint8: scale it to 8 bits first.")
        self.dataset, self.bands = dataset, list(bands)
        self.height, self.width = dataset.height, dataset.width
        self.notes: dict[str, Any] = {}
        if dataset.crs:
            code = dataset.crs.to_epsg()
            self.notes["crs"] = f"EPSG:{code}" if code else dataset.crs.to_wkt()
        if not dataset.transform.is_identity:
            self.notes["transform"] = list(dataset.transform)[:6]
        if dataset.nodata is not None:
            self.notes["nodata"] = dataset.nodata

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        from rasterio.windows import Window as Part

        pixels = self.dataset.read(self.bands, window=Part(left, top, right - left, bottom - top))
        return np.ascontiguousarray(pixels.transpose(1, 2, 0))

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_] | None:
        """Where there is data: bool (rows, columns), or None where all of it is."""
        nodata = self.notes.get("nodata")
        if nodata is None:
            return None
        mask = (self.read(top, bottom, left, right) != nodata).any(axis=2)
        return None if mask.all() else mask


@contextlib.contextmanager
def open_source(path: Path | str, bands: Sequence[int] = (1, 2, 3)) -> Iterator[Any]:
    """The image at `path`, as a `Source` with `notes`.

    A TIFF is read by windows where rasterio is installed (the extra `geo`), anything else whole.

    Raises
    ------
    InputError
        No image, not of 8 bits, or bands that it does not have.
    """
    path = Path(path)
    if path.suffix.lower() in TIFF:
        with contextlib.suppress(ImportError):
            import rasterio
            from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                try:
                    dataset = rasterio.open(path)
                except RasterioIOError as error:
                    raise InputError(f"{path} cannot be read ({error}): check the name, or fetch it again.") from None
            with dataset:
                # A grey TIFF has one band, which stands for all three.
                chosen = [1, 1, 1] if dataset.count < 3 and tuple(bands) == (1, 2, 3) else bands
                yield GeoTIFF(dataset, chosen, path)
            return
    yield _Array(read_image(path))


def decode_to(
    codec: LearnedCodec,
    data: bytes | memoryview,
    out: Path | str,
    window: Window | None = None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Decode a file to an image: a TIFF band by band with its georeference, anything else whole.

    Raises
    ------
    InputError
        An output format that is not lossless, or whatever `LearnedCodec.decode` raises.
    """
    out = Path(out)
    if out.suffix.lower() in TIFF:
        with contextlib.suppress(ImportError):
            import rasterio  # noqa: F401

            _decode_to_tiff(codec, data, out, window, max_pixels)
            return
    write_image(out, codec.decode(data, window, max_pixels))


def _decode_to_tiff(
    codec: LearnedCodec, data: bytes | memoryview, out: Path, window: Window | None, max_pixels: int
) -> None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window as Part

    file = codec.open(data, MAX_SIDE**2 if window else max_pixels)
    part = check_window(window, file.header, max_pixels)
    notes = file.header.notes
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
            options["crs"] = rasterio.crs.CRS.from_user_input(str(notes["crs"]))
        if "transform" in notes:
            transform = rasterio.Affine(*(float(x) for x in notes["transform"]))
            options["transform"] = transform * rasterio.Affine.translation(part.x, part.y)
        if "nodata" in notes:
            options["nodata"] = float(notes["nodata"])
    except (TypeError, ValueError, rasterio.errors.CRSError) as error:
        raise InputError(f"The georeference in this file is damaged ({error}): decode it to .png.") from None
    with atomic(out) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(temporary, "w", **options) as target:
            for top, band in codec.bands(file, part):
                place = Part(0, top - part.y, part.width, len(band))
                target.write(band.transpose(2, 0, 1), window=place)


__all__ = ["GeoTIFF", "Source", "decode_to", "open_source"]
