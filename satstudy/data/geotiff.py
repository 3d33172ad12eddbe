"""Images of any size: read by windows from a TIFF, written band by band, georeference and nodata kept.

With rasterio (the extra `geo`) a TIFF keeps its coordinate reference system, its transform and its nodata
value, and each pixel without data stays one. What says that a pixel has no data is GDAL's mask of the data
set: the nodata value in every band, an alpha band of 0, or a mask inside the file or beside it. Without
rasterio, and for other formats, an image is read whole and only its pixels are kept.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.data.images import read_image
from satstudy.data.sources import ArraySource, MaskedSource, Source

TIFF = (".tif", ".tiff")
#: Bytes that GDAL may keep of decoded blocks: a row of groups of the paper's largest image, so that blocks
#: as wide as that image are not decoded anew for each tile in them.
CACHE = 192 << 20
#: Tags of TIFF that only rasterio carries over: GeoTIFF's three, GDAL's nodata.
_GEO_TAGS = {33550: "georeference", 34264: "georeference", 34735: "georeference", 42113: "nodata"}


@lru_cache
def say_once(text: str) -> None:
    print(f"satstudy: {text}", file=sys.stderr)


class _Array(ArraySource):
    """An image in memory, without anything to note."""

    notes: dict[str, Any] = {}  # noqa: RUF012 -- never written to


class GeoTIFF:
    """A TIFF that rasterio reads by windows.

    Attributes
    ----------
    notes : crs (EPSG code or WKT), transform (six numbers, in the order of `affine.Affine`), nodata, as far as
        it has them
    fill : value of pixels without data in the decoded image: nodata, or 0 where a mask or an alpha band tells
        them; None where every pixel has data
    """

    def __init__(self, dataset: Any, bands: Sequence[int], path: Path):
        from rasterio.enums import ColorInterp, MaskFlags

        if max(bands) > dataset.count or min(bands) < 1:
            raise InputError(
                f"{path} has {dataset.count} bands, and bands {', '.join(map(str, bands))} are asked for: choose "
                "three of them with --bands."
            )
        kinds = {dataset.dtypes[band - 1] for band in bands}
        if kinds != {"uint8"}:
            raise InputError(f"{path} holds {', '.join(sorted(kinds))} and not uint8: scale it to 8 bits first.")
        self.dataset, self.bands, self.path = dataset, list(bands), path
        self.height, self.width = dataset.height, dataset.width
        self._palette: Pixels | None = None
        if dataset.colorinterp[bands[0] - 1] == ColorInterp.palette:
            colours = dataset.colormap(bands[0])
            self._palette = np.array([colours.get(i, (0, 0, 0))[:3] for i in range(256)], np.uint8)
        self.notes: dict[str, Any] = {}
        if dataset.crs:
            code = dataset.crs.to_epsg()
            exact = code is not None and type(dataset.crs).from_epsg(code) == dataset.crs
            self.notes["crs"] = f"EPSG:{code}" if exact else dataset.crs.to_wkt()
        if not dataset.transform.is_identity:
            self.notes["transform"] = list(dataset.transform)[:6]
        # A value that no pixel of 8 bits can have marks none.
        if dataset.nodata is not None and dataset.nodata in range(256):
            self.notes["nodata"] = int(dataset.nodata)
        some = any(not {MaskFlags.all_valid, MaskFlags.nodata} & set(flags) for flags in dataset.mask_flag_enums)
        self.fill: int | None = self.notes.get("nodata", 0 if some else None)

    def _part(self, top: int, bottom: int, left: int, right: int) -> Any:
        from rasterio.windows import Window as Part

        return Part(left, top, right - left, bottom - top)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        from rasterio.errors import RasterioIOError

        try:
            yield
        except RasterioIOError as error:
            reason = error.__cause__ or error
            raise InputError(f"{self.path} is truncated or damaged ({reason}): fetch it again.") from None

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        part = self._part(top, bottom, left, right)
        with self._damage():
            if self._palette is not None:
                return self._palette[self.dataset.read(self.bands[0], window=part)]
            pixels = self.dataset.read(self.bands, window=part)
        return np.ascontiguousarray(pixels.transpose(1, 2, 0))

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_] | None:
        """Where there is data: bool (rows, columns), or None where all of it is."""
        from rasterio.errors import NodataShadowWarning

        if self.fill is None:
            return None
        with self._damage(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NodataShadowWarning)  # nodata goes before alpha, as everywhere in GDAL
            mask: NDArray[np.bool_] = self.dataset.dataset_mask(window=self._part(top, bottom, left, right)) > 0
        return None if mask.all() else mask


@contextlib.contextmanager
def open_source(path: Path | str, bands: Sequence[int] | None = None) -> Iterator[Any]:
    """The image at `path`, as a `Source` with `notes`.

    Parameters
    ----------
    bands : of a TIFF, three to take as red, green and blue, counted from 1; by default the first three, or
        the first for all where it has fewer

    Raises
    ------
    InputError
        No image, not of 8 bits, or bands that it does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}: check the name.")
    tiff = path.suffix.lower() in TIFF
    try:
        import rasterio
    except ImportError:
        if tiff:
            _warn_of_loss(path)
    else:
        if tiff:
            with rasterio.Env(GDAL_CACHEMAX=CACHE), _dataset(path) as dataset:
                yield GeoTIFF(dataset, bands or ([1, 2, 3] if dataset.count > 2 else [1, 1, 1]), path)
            return
    if bands:
        raise InputError(f"{path} is read as RGB: --bands needs a TIFF, and rasterio (pip install 'satstudy[geo]').")
    yield _Array(read_image(path))


@contextlib.contextmanager
def _dataset(path: Path) -> Iterator[Any]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            # Other drivers would follow what a file says to other files, or to the network.
            dataset = rasterio.open(path, driver="GTiff")
        except RasterioIOError as error:
            reason = error.__cause__ or error
            raise InputError(f"{path} is no TIFF that can be read ({reason}): fetch it again.") from None
    with dataset:
        yield dataset


def _warn_of_loss(path: Path) -> None:
    """Say what is lost where a GeoTIFF is read without rasterio."""
    with contextlib.suppress(Exception), Image.open(path) as image:
        lost = dict.fromkeys(name for tag, name in _GEO_TAGS.items() if tag in image.tag_v2)  # type: ignore[attr-defined]
        if lost:
            say_once(f"without rasterio, TIFFs lose their {' and '.join(lost)}: pip install 'satstudy[geo]'.")


__all__ = ["GeoTIFF", "MaskedSource", "Source", "open_source"]
