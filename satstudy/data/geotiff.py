"""Georeferenced rasters: TIFF and JPEG 2000 read by windows, and TIFF written in strips, by rasterio (GDAL).

The metadata of an image become *notes*, a small JSON object that the `.sat` container keeps and that `write_tiff`
writes into a TIFF again:

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
#: Bytes of GDAL's cache of decoded blocks: enough for a row of tile groups of the paper's largest image, so that blocks
#: as wide as the image are decoded once.
CACHE = 192 << 20
#: Rows per strip when an image is read from top to bottom.
STRIP = 512
#: Bands left out that are named one by one.
MANY = 16
#: Keys of the notes with the georeference.
PLACING = ("crs", "transform", "gcps", "rpcs")
#: GDAL's drivers by container or by Pillow's name of a format.
DRIVERS = {
    "tiff": "GTiff", "jpeg2000": "JP2OpenJPEG", "PNG": "PNG", "JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WEBP",
    "BMP": "BMP", "GIF": "GIF",
}  # fmt: skip


class Raster:
    """An image that rasterio reads by windows: a `satstudy.data.sources.MaskedSource` with notes.

    Attributes
    ----------
    bands : the bands for red, green and blue, counted from 1; one band three times for grey
    notes : georeference and other metadata; see the module
    remarks : clauses on choices such as the bands, and on metadata that is not kept
    fill : value of pixels without data in the decoded image: nodata, or 0 with a mask or an alpha band; None if every
        pixel has data
    mask_origin : where the mask of pixels without data is from, as words: "its mask", "its nodata value 0"
    by_alpha : whether it is from an alpha band
    """

    def __init__(self, dataset: Any, header: Header, bands: Sequence[int] | None, masked: bool, path: Path):
        self.dataset, self.path = dataset, path
        self.height, self.width = dataset.height, dataset.width
        self.notes: dict[str, Any] = {}
        self.remarks: list[str] = []
        tags = _colours(dataset)
        if 0 < header.premultiplied <= len(tags):
            tags[header.premultiplied - 1] = "alpha"  # which GDAL does not say of a JPEG 2000
        self.bands = self._chosen(tags, bands)
        types = dataset.dtypes
        kinds = {types[band - 1] for band in self.bands}
        if kinds != {"uint8"}:
            raise InputError(f"{path} holds {', '.join(sorted(kinds))} and not uint8: scale it to 8 bits first.")
        self._ycc = header.ycc
        self._table = self._lookup()
        self.alpha = next((band for band, tag in zip(dataset.indexes, tags, strict=True) if tag == "alpha"), 0)
        self.fill = self._fill(masked, header)
        self._place(header)

    def _chosen(self, tags: list[str], bands: Sequence[int] | None) -> list[int]:
        """The bands for red, green and blue: as given, else by their tags, else the first bands without alpha."""
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
        if len(left) > MANY:
            self.remarks.append(f"{len(left)} of {count} bands are left out")
        elif left:
            several = "s" if len(left) > 1 else ""
            self.remarks.append(f"band{several} {_listed(left)} of {count} {'are' if several else 'is'} left out")
        return chosen

    def _structure(self) -> dict[str, str]:
        """What GDAL says of how pixels are stored; nothing of JPEG 2000, since GDAL would parse all of its codestream,
        for hours where it is damaged.
        """
        jpeg2000 = self.dataset.driver == DRIVERS["jpeg2000"]
        found: dict[str, str] = {} if jpeg2000 else self.dataset.tags(ns="IMAGE_STRUCTURE")
        return found

    def _lookup(self) -> Pixels | None:
        """Table from stored to display values, uint8 (256,) or (256, 3) for a colour table; None if they are equal."""
        image = self._structure()
        if image.get("MINISWHITE") != "YES" and len(set(self.bands)) == 1:
            with contextlib.suppress(ValueError):  # raised if there is no table
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

    def _fill(self, masked: bool, header: Header) -> int | None:
        from rasterio.enums import MaskFlags

        inks = self._structure().get("SOURCE_COLOR_SPACE") == "CMYK"
        if inks:
            self.remarks.append("its inks are converted to RGB without a colour profile")
            self.alpha = 0  # GDAL adds an opaque band where it converts inks
            if max(self.bands) > 3:
                raise InputError(f"{self.path} is read as RGB: choose among bands 1, 2 and 3 with --bands.")
        enums = self.dataset.mask_flag_enums  # of all bands: asked for once
        # GDAL takes for a mask only an alpha band that is the last of two or four: it is read here wherever it stands.
        flags = {band: set(enums[band - 1]) for band in self.bands if MaskFlags.alpha not in enums[band - 1]}
        by_value = any(MaskFlags.nodata in found for found in flags.values())
        value = self.dataset.nodatavals[self.bands[0] - 1]
        valued = value is not None or header.nodata
        fits = value in range(256)  # rasterio gives none that is far from them
        self._masks = sorted(band for band, found in flags.items() if MaskFlags.all_valid not in found)
        # A pixel has data where one of the coded bands has.
        if not masked or len(self._masks) < len(set(self.bands)) or (by_value and (inks or (valued and not fits))):
            self._masks = []
        self.by_alpha = masked and not self._masks and self.alpha not in (0, *self.bands) and not (valued and fits)
        self.mask_origin = f"band {self.alpha}, which is tagged alpha" if self.by_alpha else "its mask"
        if self.by_alpha and header.premultiplied:
            self.remarks.append("its colours are stored multiplied by alpha, and stay so")
        elif masked and not self.by_alpha and self.alpha not in (0, *self.bands):
            first = "nodata value" if by_value or not self._masks else "mask"
            self.remarks.append(f"band {self.alpha}, which is tagged alpha, is not used, since its {first} goes first")
        if valued and not fits:
            self.remarks.append("its nodata value is none of 8 bits and marks no pixel")
        if not valued or not fits:
            return 0 if self._masks or self.by_alpha else None
        if not masked or inks:
            self.remarks.append(f"its nodata value {value:g} is not kept")
            return 0 if self._masks else None
        shown = self._table[int(value)] if self._table is not None and self._table.ndim == 1 else value
        self.mask_origin = f"its nodata value {int(value)}" if by_value else self.mask_origin
        self.notes["nodata"] = int(shown)
        return int(shown)

    def _place(self, header: Header) -> None:
        self.notes |= placing(self.dataset)
        if self.dataset.tags(ns="RPC") and "rpcs" not in self.notes:
            self.remarks.append("its RPCs are incomplete and not kept")
        if self.dataset.gcps[0] and "gcps" not in self.notes:
            self.remarks.append("its control points are incomplete and not kept")
        if not all(map(math.isfinite, list(self.dataset.transform)[:6])):
            self.remarks.append("its transform is incomplete and not kept")
        if self.dataset.tags(ns="GEOLOCATION"):
            self.remarks.append("its geolocation arrays are not kept")
        self._place_by_sidecars()
        for key, attribute in (("names", "descriptions"), ("units", "units")):
            try:
                chosen = [getattr(self.dataset, attribute)[band - 1] or "" for band in self.bands]
            except UnicodeDecodeError:
                self.remarks.append(f"its {attribute} of bands are not UTF-8 and not kept")
                continue
            if any(chosen):
                self.notes[key] = chosen
        for key, numbers, default in (("scales", self.dataset.scales, 1), ("offsets", self.dataset.offsets, 0)):
            values = [float(numbers[band - 1]) for band in self.bands]
            if all(map(math.isfinite, values)) and any(value != default for value in values):
                self.notes[key] = values
        if self.dataset.tags().get("AREA_OR_POINT") == "Point":
            self.notes["point"] = True
        if profile := self.dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE"):
            try:
                keep_profile(base64.b64decode(profile, validate=True), self.notes, self.remarks)
            except ValueError:
                self.remarks.append("its colour profile is damaged and not kept")
        if header.icc:
            keep_profile(header.icc, self.notes, self.remarks)

    def _place_by_sidecars(self) -> None:
        """A CRS from a `.prj` beside the image, which GDAL passes over; a clause on files that it could not use."""
        from rasterio.crs import CRS
        from rasterio.errors import CRSError

        lost = []
        for file in sidecars(self.path):
            if not {"transform", "gcps"} & set(self.notes):
                lost += [file.name] if file.suffix.lower() not in (".xml", ".msk") else []
            elif file.suffix.lower() == ".prj" and not {"crs", "gcps"} & set(self.notes):
                try:
                    with file.open("rb") as opened:
                        text = opened.read(1 << 16).decode()
                    self.notes["crs"] = _crs_text(CRS.from_wkt(text, morph_from_esri_dialect=True))
                    self.remarks.append(f"its CRS is that of {file.name} beside it")
                except (CRSError, OSError, UnicodeDecodeError):
                    lost.append(file.name)
        if lost:
            self.remarks.append(unkept(lost))

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
        """Which pixels have data: bool (rows, columns); None if all have."""
        from rasterio.errors import NodataShadowWarning

        if not self._masks and not self.by_alpha:
            return None
        part = _window(top, bottom, left, right)
        with _damage(self.path), warnings.catch_warnings():
            warnings.simplefilter("ignore", NodataShadowWarning)  # nodata goes before alpha, as everywhere in GDAL
            if self._masks:
                found = self.dataset.read_masks(self._masks, window=part)
            else:
                found = self.dataset.read([self.alpha], window=part)
        mask: Mask = (found > 0).any(axis=0)
        return None if mask.all() else mask

    def masked_counts(self) -> tuple[int, int]:
        """The numbers of pixels without data, and of partly transparent pixels; reads all masks of the image."""
        hidden = partly = 0
        opaque = 2 ** int(self.dataset.tags(self.alpha, ns="IMAGE_STRUCTURE").get("NBITS", 8)) - 1 if self.alpha else 0
        for top in range(0, self.height, STRIP) if self._masks or self.by_alpha else ():
            strip = top, min(top + STRIP, self.height), 0, self.width
            mask = self.valid(*strip)
            hidden += 0 if mask is None else int((~mask).sum())
            if self.by_alpha:
                with _damage(self.path):
                    levels = self.dataset.read(self.alpha, window=_window(*strip))
                partly += int(((levels > 0) & (levels < opaque)).sum())
        return hidden, partly


@contextlib.contextmanager
def open_raster(
    path: Path, header: Header, name: str, bands: Sequence[int] | None = None, masked: bool = True
) -> Iterator[Raster]:
    """Open a file with one driver of GDAL only, since other drivers open files and URLs that a file names.

    Parameters
    ----------
    name : of the driver, from `DRIVERS`
    bands, masked : as `satstudy.data.images.open_image`

    Raises
    ------
    InputError
        The file cannot be read, has other than 8 bits, or lacks a band.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError  # raised where rasterio reads tags; no public module has it
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    # Variables of the environment can hide sidecar files from GDAL.
    beside = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE", "GDAL_PAM_ENABLED": "YES"}
    with rasterio.Env(GDAL_CACHEMAX=CACHE, **beside), _in_utf8(path) as named:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                dataset = rasterio.open(named, driver=name)
            except RasterioIOError as error:
                reason = error.__cause__ or error
                raise InputError(
                    f"{path} is no {name} that GDAL can read ({reason}): fetch it again, or convert it to a plain TIFF."
                ) from None
            except UnicodeDecodeError:
                raise InputError(
                    f"{path} has a CRS whose name is not UTF-8, which rasterio cannot read: give it another one, for "
                    "example by gdal_translate -a_srs EPSG:…."
                ) from None
        with dataset:
            try:
                raster = Raster(dataset, header, bands, masked, path)
            except (CPLE_BaseError, UnicodeDecodeError) as error:
                raise InputError(f"{path} has damaged tags ({error}): fetch it again.") from None
            yield raster


@contextlib.contextmanager
def _in_utf8(path: Path) -> Iterator[Path]:
    """A name of the file or folder in UTF-8, as GDAL requires, with the files beside it that share its stem."""
    try:
        os.fspath(path).encode()
        yield path.absolute()  # some relative names have a meaning for GDAL, such as GTIFF_DIR:2:a.tif
        return
    except UnicodeEncodeError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        path, linked = path.absolute(), Path(folder, "image")
        for file in (path, *path.parent.iterdir()):
            ending = file.name.removeprefix(path.stem).encode("ascii", "ignore").decode()
            if file.name.startswith(path.stem) and not os.path.lexists(f"{linked}{ending}"):
                Path(f"{linked}{ending}").symlink_to(file)
        yield Path(f"{linked}{path.suffix.encode('ascii', 'ignore').decode()}")


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    from rasterio.errors import RasterioIOError

    try:
        yield
    except RasterioIOError as error:
        raise InputError(
            f"{path} is truncated or damaged, or of a kind that GDAL cannot read ({error.__cause__ or error}): "
            "fetch it again, or convert it to a plain TIFF."
        ) from None


def _window(top: int, bottom: int, left: int, right: int) -> Any:
    from rasterio.windows import Window

    return Window(left, top, right - left, bottom - top)


def _colours(dataset: Any) -> list[str]:
    """The colour tag of each band, read once: rasterio asks all bands for it, of which a file may name 65,535."""
    try:
        return [str(tag.name) for tag in dataset.colorinterp]
    except ValueError:  # a tag that this version of rasterio has no name for
        return ["undefined"] * dataset.count


def sidecars(path: Path) -> list[Path]:
    """Files beside an image that belong to it: `.aux.xml`, a mask, world files, MapInfo's `.tab`, a CRS."""
    ending = path.suffix.lstrip(".")
    world = [f"{ending}w", "wld", "tab", "prj"] + ([f"{ending[0]}{ending[-1]}w"] if ending else [])
    spelt = (form(end) for end in world for form in (str, str.lower, str.upper, str.capitalize))
    names = [f"{path.name}.aux.xml", f"{path.name}.msk", *(f"{path.stem}.{end}" for end in spelt)]
    files = [path.with_name(name) for name in dict.fromkeys(names)]
    return [file for file in files if os.path.isfile(file)]  # which a name that is too long is not


def unkept(names: Sequence[str]) -> str:
    """A clause on sidecar files that are not read."""
    return f"what {' and '.join(names)} beside it say is not kept"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def keep_profile(profile: bytes, notes: dict[str, Any], remarks: list[str]) -> None:
    """Add an ICC profile for RGB to the notes, or a remark for any other profile (ICC.1:2022, §7.2.8)."""
    if profile[16:20] == b"RGB ":
        notes["icc"] = base64.b64encode(profile).decode()
    else:
        remarks.append(f"its colour profile is for {profile[16:20].decode('ascii', 'replace').strip()} and is not kept")


# --- Georeference -------------------------------------------------------------------------------------------------


def placing(dataset: Any) -> dict[str, Any]:
    """The georeference of a rasterio data set as notes: CRS, transform, control points, coefficients."""
    notes: dict[str, Any] = {}
    if dataset.crs:
        notes["crs"] = _crs_text(dataset.crs)
    transform = list(dataset.transform)[:6]
    if not dataset.transform.is_identity and all(map(math.isfinite, transform)):
        notes["transform"] = transform
    points, crs = dataset.gcps
    rows = [[point.row, point.col, point.x, point.y, point.z or 0.0] for point in points]
    if points and np.isfinite(rows).all():
        notes["gcps"] = {"points": rows} | ({"crs": _crs_text(crs)} if crs else {})
    with contextlib.suppress(KeyError, ValueError):  # rasterio's, of incomplete coefficients
        if dataset.rpcs:
            rpcs = {key: value for key, value in dataset.rpcs.to_dict().items() if value is not None}
            notes |= {"rpcs": rpcs} if np.isfinite(np.hstack(list(rpcs.values()))).all() else {}
    return notes


def _crs_text(crs: Any) -> str:
    code = crs.to_epsg()
    if code is not None and type(crs).from_epsg(code) == crs:
        return f"EPSG:{code}"
    text = crs.to_wkt()
    return str(text if type(crs).from_wkt(text) == crs else crs.to_wkt(version="WKT2_2019"))


def _crs(text: Any) -> Any:
    """A CRS from the notes, without GDAL's general reader, which also opens files and URLs."""
    from rasterio.crs import CRS

    known = re.fullmatch("EPSG:([0-9]{1,7})", str(text))
    return CRS.from_epsg(int(known[1])) if known else CRS.from_wkt(str(text))


def moved(notes: dict[str, Any], x: int, y: int) -> dict[str, Any]:
    """The notes of the part of an image that begins at column `x` and row `y`.

    Raises
    ------
    InputError
        Damaged notes.

    Examples
    --------
    >>> moved({"transform": [2, 0, 100, 0, -2, 50]}, x=10, y=5)
    {'transform': [2.0, 0.0, 120.0, 0.0, -2.0, 40.0]}
    """
    notes = dict(notes)
    with _damaged_notes():
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
def _damaged_notes() -> Iterator[None]:
    """Turn all errors from notes of unknown origin into one InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # CRSError, RPCError, GDAL's own errors, and Python's for values that are no number
        raise InputError(f"The georeference in this file is damaged ({error}): decode it to .png.") from None


# --- Writing ------------------------------------------------------------------------------------------------------


def _options(notes: dict[str, Any]) -> dict[str, Any]:
    """The options of rasterio's TIFF writer."""
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
    """Attributes to set on an open rasterio data set."""
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS
    from rasterio.rpc import RPC

    found: dict[str, Any] = {}
    # A TIFF has either a transform or control points.
    if "gcps" in notes and "transform" not in notes:
        points = [GroundControlPoint(*map(float, point)) for point in notes["gcps"]["points"]]
        crs = notes["gcps"].get("crs")
        found["gcps"] = (points, _crs(crs) if crs else CRS())  # rasterio takes no None
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
    """Write a deflated, tiled TIFF with the metadata of its notes, and read it back as a check.

    Parameters
    ----------
    strips : first row and uint8 (rows, width, 3) of each strip, from top to bottom
    notes : see the module; for a part of an image from `moved`
    fill : value in all bands of pixels without data; without nodata in the notes, the file gets an internal mask

    Returns
    -------
    A clause for each of the notes that a TIFF cannot have, and on files beside it that GDAL would read with it.

    Raises
    ------
    InputError
        Damaged notes.
    SatstudyError
        The file could not be written.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    path = Path(path)
    with _damaged_notes():
        options, attributes = _options(notes), _attributes(notes)
    environment = rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED="NO")
    with environment, atomic(path) as temporary, warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            named = stack.enter_context(_in_utf8(temporary.parent)) / temporary.name
            # No PAM: it would write metadata that a TIFF cannot have into a second file, which would stay.
            with rasterio.open(named, "w", height=height, width=width, **options) as target:
                with _damaged_notes():
                    for name, value in attributes.items():
                        setattr(target, name, value)
                if notes.get("point") is True:
                    target.update_tags(AREA_OR_POINT="Point")
                for top, strip in strips:
                    place = _window(top, top + len(strip), 0, width)
                    target.write(strip.transpose(2, 0, 1), window=place)
                    if fill is not None and "nodata" not in options:
                        target.write_mask((strip != fill).any(axis=2), window=place)
            # GDAL reports no error if the disk is full when it closes the file.
            with rasterio.open(named) as written:
                lost = [
                    f"a TIFF cannot hold its {key}" for key in PLACING if key in notes and key not in placing(written)
                ]
                for _, block in written.block_windows(1):
                    written.read(window=block)
        except RasterioIOError as error:
            reason = error.__cause__ or error
            raise SatstudyError(f"{path} cannot be written ({reason}): make room, or choose another folder.") from None
    beside = [f"{path.name}{end}" for end in (".aux.xml", ".msk", ".ovr") if os.path.exists(f"{path}{end}")]
    return lost + [f"{name} of another image lies beside it and is read with it: remove it" for name in beside]
