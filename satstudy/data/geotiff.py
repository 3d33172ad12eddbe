"""Rasters that GDAL reads by windows, and TIFFs written strip by strip, with what places them on the ground.

rasterio reads TIFF and JPEG 2000. What it says of an image beyond its pixels becomes *notes*, a small
JSON object that the container keeps and that `write_tiff` puts into a TIFF again:

| key | value |
| --- | --- |
| `crs` | `EPSG:` and a code, or WKT |
| `transform` | six numbers in the order of `affine.Affine`, pixels to coordinates |
| `gcps` | `crs`, and `points`: row, column, x, y, z of ground control points |
| `rpcs` | rational polynomial coefficients, in the names of `rasterio.rpc.RPC` |
| `nodata` | value of pixels without data in all bands of the decoded image |
| `point` | true where coordinates belong to the middle of a pixel |
| `names`, `units`, `scales`, `offsets` | three each, of the coded bands |
| `icc` | ICC profile in base64 |
"""

from __future__ import annotations

import base64
import contextlib
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.paths import atomic
from satstudy.core.types import Mask, Pixels
from satstudy.data.headers import Header

TIFF = (".tif", ".tiff")
#: Bytes that GDAL may keep of decoded blocks: a row of tile groups of the paper's largest image, so that blocks
#: as wide as that image are not decoded anew for each tile in them.
CACHE = 192 << 20
#: Rows that are read at once where an image is read from top to bottom.
STRIP = 512
#: Keys of the notes that say where an image lies.
PLACING = ("crs", "transform", "gcps", "rpcs")
#: GDAL's drivers by container or by Pillow's name of a format.
DRIVERS = {
    "tiff": "GTiff", "jpeg2000": "JP2OpenJPEG", "PNG": "PNG", "JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WEBP",
    "BMP": "BMP", "GIF": "GIF",
}  # fmt: skip


class Raster:
    """An image that rasterio reads by windows: a `MaskedSource` with notes.

    Attributes
    ----------
    bands : the three that are read as red, green and blue, counted from 1; one band three times where it is grey
    notes : what places it and is kept with it; see the module
    remarks : what was chosen or is lost, a clause each
    fill : value of pixels without data in the decoded image: nodata, or 0 where a mask or an alpha band tells
        them; None where every pixel has data
    told_by : what tells pixels without data
    """

    def __init__(self, dataset: Any, header: Header, bands: Sequence[int] | None, masked: bool, path: Path):
        self.dataset, self.path = dataset, path
        self.height, self.width = dataset.height, dataset.width
        self.notes: dict[str, Any] = {}
        self.remarks: list[str] = []
        tags = [_colour(dataset, band) for band in dataset.indexes]
        self.bands = self._chosen(tags, bands)
        kinds = {dataset.dtypes[band - 1] for band in self.bands}
        if kinds != {"uint8"}:
            raise InputError(f"{path} holds {', '.join(sorted(kinds))} and not uint8: scale it to 8 bits first.")
        self._ycc = header.ycc
        self._table = self._lookup()
        self.alpha = next((band for band, tag in zip(dataset.indexes, tags, strict=True) if tag == "alpha"), 0)
        self.fill = self._fill(masked, header.nodata)
        self._place(header)

    def _chosen(self, tags: list[str], bands: Sequence[int] | None) -> list[int]:
        """Which bands are red, green and blue: those asked for, those tagged so, or the first that are no alpha."""
        count = len(tags)
        if bands:
            if max(bands) > count or min(bands) < 1:
                raise InputError(
                    f"{self.path} has {count} bands, and bands {', '.join(map(str, bands))} are asked for: choose "
                    "three of them with --bands."
                )
            return list(bands)
        tagged = [tags.index(colour) + 1 for colour in ("red", "green", "blue") if tags.count(colour) == 1]
        visible = [band for band in range(1, count + 1) if tags[band - 1] != "alpha"] or [1]
        chosen = tagged if len(tagged) == 3 else visible[:3] if len(visible) > 2 else visible[:1] * 3
        if chosen != [1, 2, 3] and len(set(chosen)) == 3:
            self.remarks.append(f"bands {_listed(chosen)} are taken as red, green and blue")
        elif len(set(chosen)) == 3 and any(
            tag in ("red", "green", "blue") and tag != colour
            for tag, colour in zip(tags, ("red", "green", "blue"), strict=False)
        ):
            self.remarks.append(f"bands 1, 2, 3 are taken as red, green and blue, and are tagged {_listed(tags[:3])}")
        left = [band for band in visible if band not in chosen]
        if left:
            several = "s" if len(left) > 1 else ""
            self.remarks.append(f"band{several} {_listed(left)} of {count} {'are' if several else 'is'} left out")
        return chosen

    def _lookup(self) -> Pixels | None:
        """Where stored values are not those to show: uint8 (256,), or (256, 3) for a colour table."""
        image = self.dataset.tags(ns="IMAGE_STRUCTURE")
        if image.get("MINISWHITE") != "YES" and len(set(self.bands)) == 1:
            with contextlib.suppress(ValueError):  # rasterio's word for: there is no table
                colours = self.dataset.colormap(self.bands[0])
                return np.array([colours.get(i, (0, 0, 0))[:3] for i in range(256)], np.uint8)
        bits = {int(self.dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 8)) for band in self.bands}
        if len(bits) > 1:
            raise InputError(f"{self.path} has bands of different bits a value: scale it to 8 bits first.")
        largest = 2 ** min(8, bits.pop()) - 1
        values = np.rint(np.arange(256).clip(0, largest) * (255 / largest)).astype(np.uint8)
        if image.get("MINISWHITE") == "YES":
            return 255 - values
        return values if largest < 255 else None

    def _fill(self, masked: bool, tagged: bool) -> int | None:
        from rasterio.enums import MaskFlags

        if self.dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE") == "CMYK":
            # GDAL adds an opaque alpha band where it converts inks.
            self.remarks.append("its inks are converted to RGB without a colour profile")
            masked = False
        flags = {band: set(self.dataset.mask_flag_enums[band - 1]) for band in self.bands}
        if self.alpha in self.bands:
            flags = {band: found for band, found in flags.items() if MaskFlags.alpha not in found}
        self._masks = sorted(band for band, found in flags.items() if MaskFlags.all_valid not in found)
        # A pixel has data where one of the coded bands has.
        if not masked or len(self._masks) < len(set(self.bands)):
            self._masks = []
        self._by_alpha = bool(self._masks) and MaskFlags.alpha in flags[self._masks[0]]
        by_value = any(MaskFlags.nodata in found for found in flags.values())
        self.told_by = f"band {self.alpha}, which is tagged alpha" if self._by_alpha else "its mask"
        value = self.dataset.nodatavals[self.bands[0] - 1]
        if value is None and not tagged:
            return 0 if self._masks else None
        if value not in range(256):  # rasterio gives none that is far from them
            self.remarks.append("its nodata value is none of 8 bits and marks no pixel")
            return 0 if self._masks and not by_value else None
        if not masked:
            self.remarks.append(f"its nodata value {value:g} is not kept")
            return None
        shown = self._table[int(value)] if self._table is not None and self._table.ndim == 1 else value
        self.told_by = f"its nodata value {value:g}" if by_value else self.told_by
        self.notes["nodata"] = int(shown)
        return int(shown)

    def _place(self, header: Header) -> None:
        self.notes |= placing(self.dataset)
        for key, texts in (("names", self.dataset.descriptions), ("units", self.dataset.units)):
            chosen = [texts[band - 1] or "" for band in self.bands]
            if any(chosen):
                self.notes[key] = chosen
        for key, numbers, default in (("scales", self.dataset.scales, 1), ("offsets", self.dataset.offsets, 0)):
            values = [float(numbers[band - 1]) for band in self.bands]
            if all(map(math.isfinite, values)) and any(value != default for value in values):
                self.notes[key] = values
        if self.dataset.tags().get("AREA_OR_POINT") == "Point":
            self.notes["point"] = True
        if profile := self.dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE"):
            keep_profile(base64.b64decode(profile), self.notes, self.remarks)
        if header.icc:
            keep_profile(header.icc, self.notes, self.remarks)

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        """uint8 (bottom − top, right − left, 3)."""
        part = _window(top, bottom, left, right)
        grey = len(set(self.bands)) == 1
        with _damage(self.path):
            pixels = self.dataset.read(self.bands[:1] if grey else self.bands, window=part)
        if self._table is not None:
            pixels = self._table[pixels[0]].transpose(2, 0, 1) if self._table.ndim == 2 else self._table[pixels]
        if grey and len(pixels) == 1:
            pixels = np.repeat(pixels, 3, axis=0)
        pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        return np.array(Image.fromarray(pixels, "YCbCr").convert("RGB")) if self._ycc else pixels

    def valid(self, top: int, bottom: int, left: int, right: int) -> Mask | None:
        """Where there is data: bool (rows, columns), or None where all of it is."""
        from rasterio.errors import NodataShadowWarning

        if not self._masks:
            return None
        with _damage(self.path), warnings.catch_warnings():
            warnings.simplefilter("ignore", NodataShadowWarning)  # nodata goes before alpha, as everywhere in GDAL
            found = self.dataset.read_masks(self._masks, window=_window(top, bottom, left, right))
        mask: Mask = (found > 0).any(axis=0)
        return None if mask.all() else mask

    def hidden(self) -> tuple[int, int]:
        """How many pixels have no data, and how many are partly transparent; reads the masks of the whole image."""
        hidden = partly = 0
        opaque = 2 ** int(self.dataset.tags(self.alpha, ns="IMAGE_STRUCTURE").get("NBITS", 8)) - 1 if self.alpha else 0
        for top in range(0, self.height, STRIP) if self._masks else ():
            strip = top, min(top + STRIP, self.height), 0, self.width
            mask = self.valid(*strip)
            hidden += 0 if mask is None else int((~mask).sum())
            if self._by_alpha:
                with _damage(self.path):
                    levels = self.dataset.read(self.alpha, window=_window(*strip))
                partly += int(((levels > 0) & (levels < opaque)).sum())
        return hidden, partly


@contextlib.contextmanager
def open_raster(
    path: Path, header: Header, name: str, bands: Sequence[int] | None = None, masked: bool = True
) -> Iterator[Raster]:
    """A file as one driver of GDAL reads it, and no other: others follow what a file says to files and addresses.

    Parameters
    ----------
    name : of the driver, from `DRIVERS`
    bands : three to take as red, green and blue, counted from 1; by default those that are tagged so
    masked : whether pixels without data are told apart

    Raises
    ------
    InputError
        It cannot be read, has other than 8 bits, or lacks a band.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    with rasterio.Env(GDAL_CACHEMAX=CACHE), _in_utf8(path, *sidecars(path)) as named:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                dataset = rasterio.open(named, driver=name)
            except RasterioIOError as error:
                reason = error.__cause__ or error
                raise InputError(f"{path} is no {name} that GDAL can read ({reason}): fetch it again.") from None
        with dataset:
            yield Raster(dataset, header, bands, masked, path)


@contextlib.contextmanager
def _in_utf8(path: Path, *others: Path) -> Iterator[Path]:
    """A name for a file that GDAL takes, which takes UTF-8 alone; `others` are found beside it."""
    try:
        os.fspath(path).encode()
        yield path.absolute()  # some relative names mean something to GDAL, such as GTIFF_DIR:2:a.tif
        return
    except UnicodeEncodeError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        links = []
        for file in (path, *others):
            ending = file.name.removeprefix(path.stem).encode("ascii", "ignore").decode()
            links.append(Path(folder, f"image{ending}"))
            links[-1].symlink_to(file.absolute())
        yield links[0]


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    from rasterio.errors import RasterioIOError

    try:
        yield
    except RasterioIOError as error:
        raise InputError(f"{path} is truncated or damaged ({error.__cause__ or error}): fetch it again.") from None


def _window(top: int, bottom: int, left: int, right: int) -> Any:
    from rasterio.windows import Window

    return Window(left, top, right - left, bottom - top)


def _colour(dataset: Any, band: int) -> str:
    try:
        return str(dataset.colorinterp[band - 1].name)
    except ValueError:  # a tag that this version of rasterio has no name for
        return "undefined"


def sidecars(path: Path) -> list[Path]:
    """Files beside an image that GDAL reads with it: its own `.aux.xml`, world files, MapInfo's `.tab`."""
    ending = path.suffix.lstrip(".")
    world = [f"{ending}w", "wld", "tab"] + ([f"{ending[0]}{ending[-1]}w"] if ending else [])
    names = [f"{path.name}.aux.xml", *(f"{path.stem}.{end}" for other in world for end in (other, other.upper()))]
    files = [path.with_name(name) for name in dict.fromkeys(names)]
    return [file for file in files if os.path.isfile(file)]  # which a name that is too long is not


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def keep_profile(profile: bytes, notes: dict[str, Any], remarks: list[str]) -> None:
    """Note an ICC profile, if it is one for RGB (ICC.1:2022, §7.2.8)."""
    if profile[16:20] == b"RGB ":
        notes["icc"] = base64.b64encode(profile).decode()
    else:
        remarks.append(f"its colour profile is for {profile[16:20].decode('ascii', 'replace').strip()} and is not kept")


# --- Where an image lies ------------------------------------------------------------------------------------------


def placing(dataset: Any) -> dict[str, Any]:
    """The notes of what places an open data set of rasterio's: CRS, transform, control points, coefficients."""
    notes: dict[str, Any] = {}
    if dataset.crs:
        notes["crs"] = _crs_text(dataset.crs)
    transform = list(dataset.transform)[:6]
    if not dataset.transform.is_identity and all(map(math.isfinite, transform)):
        notes["transform"] = transform
    points, crs = dataset.gcps
    if points:
        rows = [[point.row, point.col, point.x, point.y, point.z or 0.0] for point in points]
        notes["gcps"] = {"points": rows} | ({"crs": _crs_text(crs)} if crs else {})
    if dataset.rpcs:
        notes["rpcs"] = {key: value for key, value in dataset.rpcs.to_dict().items() if value is not None}
    return notes


def _crs_text(crs: Any) -> str:
    code = crs.to_epsg()
    if code is not None and type(crs).from_epsg(code) == crs:
        return f"EPSG:{code}"
    text = crs.to_wkt()
    return str(text if type(crs).from_wkt(text) == crs else crs.to_wkt(version="WKT2_2019"))


def _crs(text: Any) -> Any:
    """A CRS from the notes; GDAL's more general reader would take names of files and addresses too."""
    from rasterio.crs import CRS

    known = re.fullmatch("EPSG:([0-9]{1,7})", str(text))
    return CRS.from_epsg(int(known[1])) if known else CRS.from_wkt(str(text))


def moved(notes: dict[str, Any], x: int, y: int) -> dict[str, Any]:
    """The notes of the part of an image that begins at column `x` and row `y`.

    Raises
    ------
    InputError
        Numbers that are none.

    Examples
    --------
    >>> moved({"transform": [2, 0, 100, 0, -2, 50]}, x=10, y=5)
    {'transform': [2.0, 0.0, 120.0, 0.0, -2.0, 40.0]}
    """
    notes = dict(notes)
    with _checked():
        if "transform" in notes:
            a, b, c, d, e, f = (float(value) for value in notes["transform"])
            notes["transform"] = [a, b, c + a * x + b * y, d, e, f + d * x + e * y]
        if "gcps" in notes:
            points = [[row - y, column - x, *rest] for row, column, *rest in notes["gcps"]["points"]]
            notes["gcps"] = {**notes["gcps"], "points": points}
        if "rpcs" in notes:
            rpcs = notes["rpcs"]
            notes["rpcs"] = {**rpcs, "line_off": rpcs["line_off"] - y, "samp_off": rpcs["samp_off"] - x}
    return notes


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """One sentence for whatever notes that were not written here make of it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # rasterio raises CRSError, RPCError, GDAL's own, and Python's for what is no number
        raise InputError(f"The georeference in this file is damaged ({error}): decode it to .png.") from None


# --- Writing ------------------------------------------------------------------------------------------------------


def _options(notes: dict[str, Any]) -> dict[str, Any]:
    """What rasterio's writer is told when it opens a TIFF."""
    import rasterio

    options: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 3,
        "photometric": "RGB",
        "compress": "deflate",
        "predictor": 2,
        "tiled": True,
        "BIGTIFF": "IF_SAFER",
    }
    if "crs" in notes:
        options["crs"] = _crs(notes["crs"])
    if "transform" in notes:
        options["transform"] = rasterio.Affine(*map(float, notes["transform"]))
    if "nodata" in notes:
        options["nodata"] = float(notes["nodata"])
        if options["nodata"] not in range(256):
            raise ValueError(f"nodata is {options['nodata']:g}")
    if "icc" in notes:
        options["SOURCE_ICC_PROFILE"] = base64.b64encode(base64.b64decode(notes["icc"], validate=True)).decode()
    return options


def _attributes(notes: dict[str, Any]) -> dict[str, Any]:
    """What is set on an open data set of rasterio's, by attribute."""
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC

    found: dict[str, Any] = {}
    # A TIFF has either a transform or control points.
    if "gcps" in notes and "transform" not in notes:
        points = [GroundControlPoint(*map(float, point)) for point in notes["gcps"]["points"]]
        crs = notes["gcps"].get("crs")
        found["gcps"] = (points, _crs(crs) if crs else None)
    if "rpcs" in notes:
        found["rpcs"] = RPC(**{
            str(key): [float(v) for v in value] if isinstance(value, list) else float(value)
            for key, value in notes["rpcs"].items()
        })  # fmt: skip
        found["rpcs"].to_gdal()
    for key, attribute in (("names", "descriptions"), ("units", "units")):
        if key in notes:
            found[attribute] = tuple(str(text) for text in notes[key])
    for key in ("scales", "offsets"):
        if key in notes:
            found[key] = tuple(float(value) for value in notes[key])
    wrong = [name for name in ("descriptions", "units", "scales", "offsets") if name in found and len(found[name]) != 3]
    if wrong:
        raise ValueError(f"{wrong[0]} are not three")
    return found


def write_tiff(
    path: Path | str,
    height: int,
    width: int,
    strips: Iterable[tuple[int, Pixels]],
    notes: dict[str, Any],
    fill: int | None = None,
) -> list[str]:
    """Write a TIFF from top to bottom with what its notes say; deflated, in tiles, and read back once.

    Parameters
    ----------
    strips : first row and `uint8 (rows, width, 3)` of each part, in order
    notes : see the module; those of a part are `moved` first
    fill : value in all bands of pixels without data, which get a mask inside the file where there is no nodata

    Returns
    -------
    What the TIFF cannot hold, a clause each.

    Raises
    ------
    InputError
        Notes that are damaged.
    SatstudyError
        It could not be written whole.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    path = Path(path)
    with _checked():
        options, attributes = _options(notes), _attributes(notes)
    environment = rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED="NO")
    with environment, atomic(path) as temporary, warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            named = stack.enter_context(_in_utf8(temporary.parent)) / temporary.name
            # What a TIFF cannot hold would go into a file beside the temporary one, and stay there: hence no PAM.
            with rasterio.open(named, "w", height=height, width=width, **options) as target:
                with _checked():
                    for name, value in attributes.items():
                        setattr(target, name, value)
                if notes.get("point") is True:
                    target.update_tags(AREA_OR_POINT="Point")
                for top, strip in strips:
                    place = _window(top, top + len(strip), 0, width)
                    target.write(strip.transpose(2, 0, 1), window=place)
                    if fill is not None and "nodata" not in options:
                        target.write_mask((strip != fill).any(axis=2), window=place)
            # GDAL says nothing of a disk that fills up while the file is closed.
            with rasterio.open(named) as written:
                lost = [
                    f"a TIFF cannot hold its {key}" for key in PLACING if key in notes and key not in placing(written)
                ]
                for _, block in written.block_windows(1):
                    written.read(window=block)
        except RasterioIOError as error:
            reason = error.__cause__ or error
            raise SatstudyError(f"{path} cannot be written ({reason}): make room, or choose another folder.") from None
    return lost
