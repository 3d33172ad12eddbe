"""Image files in and out. Whatever opens an image goes through `open_image`, which decides by content, not by name.

It gives the same `uint8 (height, width, 3)` RGB to every part of the package: the image as it is meant to be seen,
turned by its orientation, with its colours converted, or a refusal in one sentence. Values of more than 8 bits are
refused in every container, since how to scale them is a choice about the data.
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
from satstudy.data.headers import Header, look

#: Endings by which images are found in a folder; a file that is named itself may have any.
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".jp2", ".avif", ".bmp")
#: fMoW's largest image is 16288×16291; Pillow's own limit of 89 million pixels stops far below it.
MAX_PIXELS = 20_000 * 20_000
WEBP_MAX_SIDE = 16_383
#: What Pillow is let try. Others hide more than 8 bits, or run programs.
_FORMATS = ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "DIB", "GIF", "PPM"]
_ORIENTATION, _GPS = 0x0112, 0x8825

_limit = threading.Lock()


# --- Reading ------------------------------------------------------------------------------------------------------


def read_image(path: Path | str) -> Pixels:
    """The whole image as `uint8 (height, width, 3)`; grey is repeated, an alpha channel is dropped.

    Raises
    ------
    InputError
        No image, truncated, more than `MAX_PIXELS`, more than 8 bits a channel, or colours that are no RGB and cannot
        be converted.
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
    """(height, width) of what `read_image` gives, from the header alone.

    Raises
    ------
    InputError
        No image, or one that its header shows to be one that `read_image` refuses.
    """
    with open_image(path) as image:
        _check_size(path, image.height, image.width)
        return image.height, image.width


def is_jpeg(path: Path | str) -> bool:
    """Whether a file is a JPEG, by its first bytes."""
    with open(path, "rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


class WholeImage:
    """An image that is read whole, when its pixels are first asked for: a `MaskedSource` with notes.

    Parameters
    ----------
    load : gives pixels, where they have data (or None), and how many are partly transparent
    size : (height, width) as stored
    orientation : EXIF's, 1 to 8, which is applied to what `load` gives
    fill, told_by, notes, remarks : as in `satstudy.data.geotiff.Raster`
    """

    def __init__(
        self,
        load: Callable[[], tuple[Pixels, Mask | None, int]],
        size: tuple[int, int],
        orientation: int,
        fill: int | None,
        told_by: str,
        notes: dict[str, Any],
        remarks: list[str],
    ):
        self.height, self.width = size if orientation < 5 else size[::-1]
        self.fill, self.told_by, self.notes, self.remarks = fill, told_by, notes, remarks
        self._load, self._orientation = load, orientation

    @cached_property
    def _loaded(self) -> tuple[Pixels, Mask | None, int]:
        pixels, mask, partly = self._load()
        turned = np.ascontiguousarray(_turned(pixels, self._orientation))
        return turned, None if mask is None else _turned(mask, self._orientation), partly

    @property
    def pixels(self) -> Pixels:
        """uint8 (height, width, 3)."""
        return self._loaded[0]

    def read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        """uint8 (bottom − top, right − left, 3)."""
        return self.pixels[top:bottom, left:right]

    def valid(self, top: int, bottom: int, left: int, right: int) -> Mask | None:
        """Where there is data: bool (rows, columns), or None where all of it is."""
        mask = self._loaded[1]
        return None if mask is None else mask[top:bottom, left:right]

    def hidden(self) -> tuple[int, int]:
        """How many pixels have no data, and how many are partly transparent."""
        _, mask, partly = self._loaded
        return 0 if mask is None else int((~mask).sum()), partly


def _turned(array: Any, orientation: int) -> Any:
    """Rows and columns as EXIF's orientation says they are to be shown (Exif 3.0, §4.6.5.1)."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    return array[:: -1 if down else 1, :: -1 if across else 1]


@contextlib.contextmanager
def open_image(
    path: Path | str, bands: Sequence[int] | None = None, masked: bool = True
) -> Iterator[WholeImage | geotiff.Raster]:
    """The image at `path`, as a `Source` that is read by windows or whole.

    It has `notes`, a small JSON object of what places it on the ground and belongs to it (`satstudy.data.geotiff`);
    `remarks`, a clause for whatever was chosen or is lost; `hidden()`, the numbers of pixels without data and of
    partly transparent ones; and `told_by`, what tells them.

    Parameters
    ----------
    bands : of a TIFF or JPEG 2000, three to take as red, green and blue, counted from 1; by default those that are
        tagged so, else the first three that are no alpha, else the first for all
    masked : whether pixels without data are told apart: by the nodata value in all of these bands, by a mask, or by
        a band that is tagged alpha and not among them

    Raises
    ------
    InputError
        As `read_image`, or bands that it does not have.
    """
    path = Path(path)
    header = look(path)
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
    with _pillow(path) as opened, _beside(path, opened.format or "") as beside:
        yield _whole(path, opened, header, beside, masked)


def _check_size(path: Path | str, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{path} has {height}×{width} pixels, more than {MAX_PIXELS}: cut it into scenes, or compress a TIFF, "
            "which is read by windows."
        )


def _upright(raster: geotiff.Raster, header: Header, path: Path) -> WholeImage | geotiff.Raster:
    """The raster, or its pixels turned by its orientation."""
    raster.remarks += _losses(header, header.pages)
    if header.orientation == 1:
        return raster
    if any(key in raster.notes for key in geotiff.PLACING):
        raster.remarks.append(_unturned(header.orientation))
        return raster

    def load() -> tuple[Pixels, Mask | None, int]:
        whole = 0, raster.height, 0, raster.width
        return read_whole(raster, path), raster.valid(*whole), raster.hidden()[1]

    size = raster.height, raster.width
    return WholeImage(load, size, header.orientation, raster.fill, raster.told_by, raster.notes, raster.remarks)


def _unturned(orientation: int) -> str:
    return (
        f"its orientation ({orientation}) is neither applied nor kept, since its georeference holds for the pixels as "
        "they are stored"
    )


def _losses(header: Header, pages: int, gps: bool = False) -> list[str]:
    """What a header says is lost, a clause each."""
    losses = [f"the first of its {pages} images or pages is taken"] if pages > 1 else []
    if gps or (header.exif and header.container == "tiff"):
        losses.append("the GPS position in its EXIF is not kept")
    if header.cicp:
        losses.append(f"its colour space (CICP {'/'.join(map(str, header.cicp))}) is not kept")
    return losses


# --- Through Pillow -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _pillow(path: Path) -> Iterator[Image.Image]:
    # Pillow reads its limit from a global; the lock keeps another thread from seeing that there is none for a moment.
    with _limit, warnings.catch_warnings():
        previous, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        warnings.simplefilter("ignore", UserWarning)  # of damaged EXIF, for one
        try:
            opened = Image.open(path, formats=_FORMATS)
        except Exception as error:  # decoders raise what they like: RuntimeError, struct.error, KeyError, …
            raise InputError(
                f"{path} is no image that can be read ({error}): convert it to an 8-bit PNG or TIFF."
            ) from None
        finally:
            Image.MAX_IMAGE_PIXELS = previous
    with opened:
        _check_size(path, opened.height, opened.width)
        yield opened


@contextlib.contextmanager
def _beside(path: Path, format: str) -> Iterator[geotiff.Raster | list[str]]:
    """What GDAL makes of the files beside an image, or their names where it reads none of them."""
    names = [file.name for file in geotiff.sidecars(path)]
    if names and format in geotiff.DRIVERS:
        with geotiff.open_raster(path, Header("other"), geotiff.DRIVERS[format]) as raster:
            yield raster
    else:
        yield names


def _deep(image: Image.Image) -> bool:
    """Whether a PPM has more than 8 bits a channel, which Pillow cuts to 8 without a word for RGB."""
    return image.mode[0] in "IF" or any(
        isinstance(part, int) and part > 255
        for tile in getattr(image, "tile", ())
        if image.format == "PPM" and isinstance(tile[3], tuple)
        for part in tile[3]
    )


def _exif(image: Image.Image, header: Header) -> tuple[int, bool]:
    """Orientation, 1 to 8, and whether there is a GPS position."""
    # Pillow decodes a whole PNG in search of EXIF behind the pixels.
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
    path: Path, image: Image.Image, header: Header, beside: geotiff.Raster | list[str], masked: bool
) -> WholeImage:
    if _deep(image):
        raise InputError(f"{path} has more than 8 bits a channel: scale it to 8 bits first.")
    orientation, gps = _exif(image, header)
    remarks = _losses(header, getattr(image, "n_frames", 1), gps)
    notes: dict[str, Any] = {}
    transparent = masked and image.has_transparency_data
    fill, told_by = (0 if transparent else None), "its alpha channel"
    if image.mode == "CMYK":
        remarks.append("its inks are converted to RGB without a colour profile")
    elif profile := image.info.get("icc_profile"):
        geotiff.keep_profile(profile, notes, remarks)
    if isinstance(beside, geotiff.Raster):
        notes |= beside.notes
        remarks += beside.remarks
        if "nodata" in notes:
            fill, told_by = (beside.fill if masked else None), beside.told_by
    elif beside:
        remarks.append(f"what {' and '.join(beside)} beside it say is not kept")
    if orientation != 1 and any(key in notes for key in geotiff.PLACING):
        remarks.append(_unturned(orientation))
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
        if isinstance(beside, geotiff.Raster) and "nodata" in notes:
            return pixels, beside.valid(0, height, 0, width), 0
        if levels is None or not transparent:
            return pixels, None, 0
        return pixels, levels > 0, int(((levels > 0) & (levels < 255)).sum())

    return WholeImage(load, (height, width), orientation, fill, told_by, notes, remarks)


# --- Writing ------------------------------------------------------------------------------------------------------


#: Endings of lossless formats, and how Pillow writes them.
WRITTEN: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    ".webp": {"format": "WebP", "lossless": True, "exact": True},
}


def check_writable(path: Path | str, height: int = 1, width: int = 1) -> None:
    """Refuse a name for an image of this size that `write_image` would refuse.

    Raises
    ------
    InputError
        An ending that stands for no lossless format, or a side too long for WebP.
    """
    ending = Path(path).suffix.lower()
    if ending not in WRITTEN:
        raise InputError(f"{path} ends in {ending or 'nothing'}: name the output .png, .tif or .webp.")
    if ending == ".webp" and max(height, width) > WEBP_MAX_SIDE:
        raise InputError(
            f"{path} would have a side of {max(height, width)} pixels and WebP stops at {WEBP_MAX_SIDE}: name the "
            "output .png or .tif."
        )


def write_image(path: Path | str, image: Pixels, profile: bytes | None = None) -> None:
    """Write `uint8 (height, width, 3)` losslessly, in the format that the name's ending says.

    Errors are those of `check_writable`.

    Parameters
    ----------
    profile : ICC profile to put into the file
    """
    check_writable(path, *image.shape[:2])
    with atomic(path) as temporary:
        Image.fromarray(image).save(temporary, **WRITTEN[Path(path).suffix.lower()], icc_profile=profile)


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
    """All image files among `sources`, each once: files as given, folders searched through, sorted.

    In a folder files count by their ending. Links to folders are followed, each real folder once; a link to nothing
    and a folder that may not be read are among what is found, so that reading them says why it fails. Hidden files
    and folders are passed over.

    Raises
    ------
    InputError
        A source that does not exist, or no image in all of them.
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
    """Files below a folder with one of these endings, and folders that may not be read; see `find_images`."""
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
            if not name.startswith(".") and path.suffix.lower() in endings and (path.is_file() or path.is_symlink()):
                yield path
    yield from (Path(error.filename) for error in unreadable)
