"""Reading and writing of image files. `open_image` opens every image, and detects its format by content, not by name.

Every image is uint8 (height, width, 3) RGB, rotated by its EXIF orientation; anything else raises InputError. Files of
more than 8 bits are refused in every format, since only the user knows how to scale them.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.core.types import Mask, Pixels
from satstudy.data import geotiff
from satstudy.data.headers import Header, read_header

#: Suffixes of the images that `find_images` takes from folders; a file given by name may have any suffix.
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".jp2", ".avif", ".bmp")
#: fMoW's largest image is 16288×16291; Pillow's own limit of 89 million pixels stops far below it.
MAX_PIXELS = 20_000 * 20_000
WEBP_MAX_SIDE = 16_383
#: The formats that Pillow may read. Its readers of other formats silently drop bits above 8, or run programs such as
#: Ghostscript.
_FORMATS = ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "DIB", "GIF", "PPM"]
_ORIENTATION, _GPS = 0x0112, 0x8825

_limit = threading.Lock()


# --- Reading ------------------------------------------------------------------------------------------------------


def read_image(path: Path | str) -> Pixels:
    """The whole image as uint8 (height, width, 3); grey is repeated, an alpha channel is dropped.

    Raises
    ------
    InputError
        No image, a truncated one, more than `MAX_PIXELS`, more than 8 bits per channel, or colours that cannot be
        converted to RGB.
    """
    with open_image(path) as image:
        return read_whole(image, path)


def read_whole(image: WholeImage | geotiff.Raster, path: Path | str) -> Pixels:
    """All pixels of an open image: uint8 (height, width, 3)."""
    _check_size(path, image.height, image.width)
    if isinstance(image, WholeImage):
        return image.pixels
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, geotiff.STRIP):
        bottom = min(top + geotiff.STRIP, image.height)
        pixels[top:bottom] = image.read(top, bottom, 0, image.width)
    return pixels


def image_size(path: Path | str) -> tuple[int, int]:
    """(height, width) of the result of `read_image`, from the header alone.

    Raises
    ------
    InputError
        No image, or a header that `read_image` refuses.
    """
    with open_image(path) as image:
        _check_size(path, image.height, image.width)
        return image.height, image.width


def is_jpeg(path: Path | str) -> bool:
    """Whether a file is a JPEG, by its first bytes."""
    with open(path, "rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


class WholeImage:
    """An image that is decoded whole when its pixels are first used: a `satstudy.data.sources.MaskedSource` with notes.

    Parameters
    ----------
    load : decodes: pixels, the mask of pixels with data (or None), and the number of partly transparent pixels
    size : (height, width) as stored
    orientation : EXIF's, 1 to 8, which is applied to the result of `load`
    fill, mask_origin, notes, remarks : as in `satstudy.data.geotiff.Raster`
    """

    def __init__(
        self,
        load: Callable[[], tuple[Pixels, Mask | None, int]],
        size: tuple[int, int],
        orientation: int,
        fill: int | None,
        mask_origin: str,
        notes: dict[str, Any],
        remarks: list[str],
    ):
        self.height, self.width = size if orientation < 5 else size[::-1]
        self.fill, self.mask_origin, self.notes, self.remarks = fill, mask_origin, notes, remarks
        self._load, self._orientation = load, orientation

    @cached_property
    def _loaded(self) -> tuple[Pixels, Mask | None, int]:
        pixels, mask, partly = self._load()
        upright = np.ascontiguousarray(_oriented(pixels, self._orientation))
        return upright, None if mask is None else _oriented(mask, self._orientation), partly

    @property
    def pixels(self) -> Pixels:
        """uint8 (height, width, 3)."""
        return self._loaded[0]

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        """uint8 (bottom − top, right − left, 3)."""
        return self.pixels[top:bottom, left:right]

    def valid(self, top: int, bottom: int, left: int, right: int) -> Mask | None:
        """Which pixels have data: bool (rows, columns); None if all have."""
        mask = self._loaded[1]
        return None if mask is None else mask[top:bottom, left:right]

    def masked_counts(self) -> tuple[int, int]:
        """The numbers of pixels without data, and of partly transparent pixels."""
        _, mask, partly = self._loaded
        return 0 if mask is None else int((~mask).sum()), partly


def _oriented(array: Any, orientation: int) -> Any:
    """Rotate and flip an array by EXIF's orientation (Exif 3.0, §4.6.5.1)."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    return array[:: -1 if down else 1, :: -1 if across else 1]


@contextlib.contextmanager
def open_image(
    path: Path | str, bands: Sequence[int] | None = None, masked: bool = True
) -> Iterator[WholeImage | geotiff.Raster]:
    """Open an image as a `satstudy.data.sources.Source`, which is read by windows or whole.

    It also has `notes`, a small JSON object with the georeference and other metadata (`satstudy.data.geotiff`);
    `remarks`, clauses on choices such as the bands, and on metadata that is not kept; `masked_counts()`, the numbers of
    pixels without data and of partly transparent pixels; and `mask_origin`, which says where the mask is from, such as
    "its alpha channel".

    Parameters
    ----------
    bands : of a TIFF or JPEG 2000, the three bands for red, green and blue, counted from 1; by default the bands with
        these tags, else the first three without alpha, else the first for all
    masked : whether to mask pixels without data: those that have the nodata value in all three bands, or that a mask or
        an alpha band marks; a band that is read as a colour is no alpha band

    Raises
    ------
    InputError
        As `read_image`, or bands that the image does not have.
    """
    path = Path(path)
    header = read_header(path)
    if header.bits > 8:
        raise InputError(f"{path} has more than 8 bits a channel ({header.bits}): scale it to 8 bits first.")
    if header.colours:
        raise InputError(f"{path} holds {header.colours}: convert it to RGB of 8 bits first.")
    if header.container == "heif":
        raise InputError(f"{path} is HEIF or a video, which satstudy does not read: convert it to PNG or TIFF.")
    if header.container in geotiff.DRIVERS:
        with geotiff.open_raster(path, header, geotiff.DRIVERS[header.container], bands, masked) as raster:
            yield _upright(raster, header, path)
        return
    if bands:
        raise InputError(f"{path} is read as RGB: --bands needs a TIFF or JPEG 2000.")
    with _pillow(path) as opened, _sidecar(path, header, opened.format or "", masked) as sidecar:
        yield _whole(path, opened, header, sidecar, masked)


def _check_size(path: Path | str, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{path} has {height}×{width} pixels, more than {MAX_PIXELS}: cut it into scenes, or compress a TIFF, "
            "which is read by windows."
        )


def _upright(raster: geotiff.Raster, header: Header, path: Path) -> WholeImage | geotiff.Raster:
    """The raster if it is stored upright or has a georeference, else a `WholeImage` that is rotated."""
    raster.remarks += _lost_metadata(header, header.pages)
    if header.orientation == 1:
        return raster
    if any(key in raster.notes for key in geotiff.PLACING):
        raster.remarks.append(_orientation_remark(header.orientation))
        return raster

    def load() -> tuple[Pixels, Mask | None, int]:
        whole = 0, raster.height, 0, raster.width
        return read_whole(raster, path), raster.valid(*whole), raster.masked_counts()[1]

    size = raster.height, raster.width
    return WholeImage(load, size, header.orientation, raster.fill, raster.mask_origin, raster.notes, raster.remarks)


def _orientation_remark(orientation: int) -> str:
    return (
        f"its orientation ({orientation}) is neither applied nor kept, since its georeference holds for the pixels as "
        "they are stored"
    )


def _lost_metadata(header: Header, pages: int, gps: bool = False) -> list[str]:
    """A clause for each further page, GPS position or colour space that is not kept."""
    remarks = [f"the first of its {pages} images or pages is taken"] if pages > 1 else []
    if gps or (header.exif and header.container == "tiff"):
        remarks.append("the GPS position in its EXIF is not kept")
    if header.cropped:
        remarks.append("its crop (clap) is not applied")
    if header.gamma:
        remarks.append("its gamma or primaries (gAMA, cHRM) are not kept")
    if header.cicp:
        remarks.append(f"its colour space (CICP {'/'.join(map(str, header.cicp))}) is not kept")
    return remarks


# --- Through Pillow -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _pillow(path: Path) -> Iterator[Image.Image]:
    # Pillow's limit is a global variable; the lock hides its change from other threads.
    with _limit, warnings.catch_warnings():
        previous, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        warnings.simplefilter("ignore", UserWarning)  # of damaged EXIF, for one
        try:
            opened = Image.open(path, formats=_FORMATS)
        except Exception as error:  # RuntimeError, struct.error, KeyError, …: decoders document no list
            raise InputError(
                f"{path} is no image that can be read ({error}): convert it to an 8-bit PNG or TIFF."
            ) from None
        finally:
            Image.MAX_IMAGE_PIXELS = previous
    with opened:
        _check_size(path, opened.height, opened.width)
        yield opened


@contextlib.contextmanager
def _sidecar(path: Path, header: Header, format: str, masked: bool) -> Iterator[geotiff.Raster | list[str]]:
    """The image opened by GDAL if that reads its mask or sidecar files (such as a world file); else their names."""
    names = [file.name for file in geotiff.sidecars(path)]
    if (names or header.masked) and format in geotiff.DRIVERS:
        with geotiff.open_raster(path, Header("other"), geotiff.DRIVERS[format], masked=masked) as raster:
            yield raster
    else:
        yield names


def _more_than_8_bits(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits per channel; Pillow silently reduces an RGB PPM to 8."""
    return image.mode[0] in "IF" or any(
        isinstance(part, int) and part > 255
        for tile in getattr(image, "tile", ())
        if image.format == "PPM" and isinstance(tile[3], tuple)
        for part in tile[3]
    )


def _exif(image: Image.Image, header: Header) -> tuple[int, bool]:
    """Orientation, 1 to 8, and whether there is a GPS position."""
    # Pillow decodes a whole PNG to find EXIF after the pixels.
    if image.format == "PNG" and not header.exif:
        return 1, False
    try:
        with _limit, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            exif = image.getexif()
            orientation, gps = exif.get(_ORIENTATION, 1), bool(exif.get_ifd(_GPS))
    except Exception:  # damaged EXIF does not make an image unreadable
        return 1, False
    return orientation if orientation in range(1, 9) else 1, gps


def _whole(
    path: Path, image: Image.Image, header: Header, sidecar: geotiff.Raster | list[str], masked: bool
) -> WholeImage:
    if _more_than_8_bits(image):
        raise InputError(f"{path} has more than 8 bits a channel: scale it to 8 bits first.")
    orientation, gps = _exif(image, header)
    remarks = _lost_metadata(header, getattr(image, "n_frames", 1), gps)
    notes: dict[str, Any] = {}
    for _, _, _, values in getattr(image, "tile", ()) if image.format == "PNG" else ():
        if values in ("L;2", "L;4") and "transparency" in image.info:
            image.info["transparency"] *= 85 if values == "L;2" else 17  # Pillow scales the pixels alone
    transparent = masked and image.has_transparency_data
    fill, mask_origin = (0 if transparent else None), "its alpha channel"
    if image.mode == "CMYK":
        remarks.append("its inks are converted to RGB without a colour profile")
    elif profile := image.info.get("icc_profile"):
        geotiff.keep_profile(profile, notes, remarks)
    mask_beside = None
    if isinstance(sidecar, geotiff.Raster):
        notes |= sidecar.notes
        remarks += [remark for remark in sidecar.remarks if remark not in remarks]
        if sidecar.fill is not None and not sidecar.by_alpha:
            mask_beside, fill, mask_origin = sidecar, sidecar.fill, sidecar.mask_origin
    elif sidecar:
        remarks.append(geotiff.unkept(sidecar))
    if orientation != 1 and any(key in notes for key in geotiff.PLACING):
        remarks.append(_orientation_remark(orientation))
        orientation = 1
    width, height = image.size

    def load() -> tuple[Pixels, Mask | None, int]:
        try:
            if not image.has_transparency_data:
                pixels, levels = np.array(image.convert("RGB"), dtype=np.uint8), None
            else:
                pixels = np.array(image.convert("RGBA"), dtype=np.uint8)
                pixels, levels = pixels[..., :3], pixels[..., 3]
        except Exception as error:
            raise InputError(f"{path} is truncated or damaged ({error}): fetch it again.") from None
        if mask_beside:
            return pixels, mask_beside.valid(0, height, 0, width), 0
        if levels is None or not transparent:
            return pixels, None, 0
        return pixels, levels > 0, int(((levels > 0) & (levels < 255)).sum())

    return WholeImage(load, (height, width), orientation, fill, mask_origin, notes, remarks)


# --- Writing ------------------------------------------------------------------------------------------------------


#: Suffix of a lossless format → Pillow's options.
WRITE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    ".webp": {"format": "WebP", "lossless": True, "exact": True},
}


def check_writable(path: Path | str, height: int = 1, width: int = 1) -> None:
    """Raise InputError if the suffix is of no lossless format, or a side is too long for WebP."""
    ending = Path(path).suffix.lower()
    if ending not in WRITE_OPTIONS:
        raise InputError(f"{path} ends in {ending or 'nothing'}: name the output .png, .tif or .webp.")
    if ending == ".webp" and max(height, width) > WEBP_MAX_SIDE:
        raise InputError(
            f"{path} would have a side of {max(height, width)} pixels and WebP stops at {WEBP_MAX_SIDE}: name the "
            "output .png or .tif."
        )


def write_image(path: Path | str, image: Pixels, profile: bytes | None = None) -> None:
    """Write uint8 (height, width, 3) losslessly, in the format of the name's suffix; errors as `check_writable`.

    Parameters
    ----------
    profile : ICC profile to write into the file
    """
    check_writable(path, *image.shape[:2])
    with atomic(path) as temporary:
        Image.fromarray(image).save(temporary, **WRITE_OPTIONS[Path(path).suffix.lower()], icc_profile=profile)


def halved(image: Pixels) -> Pixels:
    """Half the height and width: means of 2×2 pixels, rounded half up; an odd last row or column is left out.

    >>> halved(np.array([[[0], [1]], [[2], [3]]], np.uint8).repeat(3, axis=2)).tolist()
    [[[2, 2, 2]]]
    """
    height, width = (side // 2 for side in image.shape[:2])
    sums = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).sum(axis=(1, 3), dtype=np.uint16)
    return ((sums + 2) // 4).astype(np.uint8)


# --- Finding ------------------------------------------------------------------------------------------------------


def find_images(sources: Iterable[Path | str]) -> list[Path]:
    """All images among `sources`, each once: files as given, and the images in folders, sorted.

    Folders are searched recursively for files with one of `EXTENSIONS`, without hidden files and folders. Links to
    folders are followed, each real folder once. Broken links, those without a suffix too, and unreadable folders are
    included, so that reading them raises an error.

    Raises
    ------
    InputError
        A source that does not exist, or no image in any source.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            found += sorted(walk(source, EXTENSIONS))
        elif source.exists() or source.is_symlink():
            found.append(source)
        else:
            raise InputError(f"There is no file or folder {source}: check the name.")
    if not found:
        raise InputError(f"No image ({', '.join(EXTENSIONS)}) was found: name a file or a folder that holds some.")
    return list(dict.fromkeys(found))


def walk(folder: Path, endings: Sequence[str]) -> Iterator[Path]:
    """Files below a folder with one of these suffixes, and unreadable folders; see `find_images`."""
    unreadable: list[OSError] = []
    seen = {os.path.realpath(folder)}
    for root, folders, files in os.walk(folder, followlinks=True, onerror=unreadable.append):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(root, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        for name in files:
            path = Path(root, name)
            lost = path.is_symlink() and not path.exists()
            wanted = path.suffix.lower() in endings or (lost and not path.suffix)  # perhaps a link to a folder
            if not name.startswith(".") and wanted and (path.is_file() or path.is_symlink()):
                yield path
    yield from (Path(error.filename) for error in unreadable)
