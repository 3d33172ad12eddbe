"""Reading and writing images as `uint8 (height, width, 3)` RGB."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.core.types import Pixels

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".jp2", ".avif", ".bmp")

#: fMoW's largest image is 16288×16291; Pillow's own limit of 89 million pixels stops far below it.
MAX_PIXELS = 20_000 * 20_000


WEBP_MAX_SIDE = 16_383


_limit = threading.Lock()


def _open(path: Path, max_pixels: int) -> Image.Image:
    # Pillow reads its limit from a global; the lock keeps another thread from seeing ours.
    with _limit, warnings.catch_warnings():
        previous, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = previous


def image_size(path: Path | str) -> tuple[int, int]:
    """(height, width) from the header alone.

    Raises
    ------
    InputError
        No image, or more than `MAX_PIXELS`.
    """
    path = Path(path)
    try:
        with _open(path, MAX_PIXELS) as image:
            return image.height, image.width
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{path} has more than {MAX_PIXELS} pixels: cut it into scenes, or give a GeoTIFF, "
            "which is read by windows."
        ) from None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the name.") from None
    except Exception as error:  # decoders raise what they like: RuntimeError, struct.error, KeyError, …
        raise InputError(
            f"{path} is no image that Pillow can read ({error}): convert it to an 8-bit RGB PNG or TIFF."
        ) from None


def _deep(image: Image.Image, path: Path) -> bool:
    """Whether the file has more than 8 bits a channel, which Pillow cuts to 8 without a word for RGB."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "JPEG2000":
        with open(path, "rb") as file:
            head = file.read(2**16)
        size = head.find(b"\xff\x4f\xff\x51")  # start of codestream, then SIZ (ISO/IEC 15444-1, A.5.1)
        return 0 <= size < len(head) - 42 and (head[size + 42] & 0x7F) + 1 > 8
    for tile in getattr(image, "tile", ()):
        raw = tile[3] if isinstance(tile[3], str) else next(iter(tile[3] or ()), "")
        if re.search(r";16[BLN]", str(raw)):
            return True
    return False


def read_image(path: Path | str) -> Pixels:
    """The image as `uint8 (height, width, 3)`; grey is repeated, an alpha channel is dropped.

    Raises
    ------
    InputError
        No image, truncated, more than `MAX_PIXELS`, or of more than 8 bits a channel (scaling those to
        8 bits is a choice about the data, and the caller's; AVIF of 10 or 12 bits alone is not noticed).
    """
    path = Path(path)
    image_size(path)
    try:
        with _open(path, MAX_PIXELS) as image:
            if _deep(image, path):
                raise InputError(f"{path} has more than 8 bits a channel: scale it to 8 bits first.")
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} is truncated or damaged ({error}): fetch it again.") from None


def halved(image: Pixels) -> Pixels:
    """Half the height and width: means of 2×2 pixels, rounded half up; an odd last row or column is left out."""
    height, width = (side // 2 for side in image.shape[:2])
    sums = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).sum(axis=(1, 3), dtype=np.uint16)
    return ((sums + 2) // 4).astype(np.uint8)


def write_image(path: Path | str, image: Pixels) -> None:
    """Write `uint8 (height, width, 3)` losslessly as PNG, TIFF or WebP, by the name's ending.

    Raises
    ------
    InputError
        Another ending, or a side too long for WebP.
    """
    path = Path(path)
    options: dict[str, object]
    match path.suffix.lower():
        case ".png":
            options = {"format": "PNG"}
        case ".tif" | ".tiff":
            options = {"format": "TIFF", "compression": "tiff_adobe_deflate"}
        case ".webp":
            if max(image.shape[:2]) > WEBP_MAX_SIDE:
                raise InputError(
                    f"{path} would have a side of {max(image.shape[:2])} pixels and WebP stops at {WEBP_MAX_SIDE}: "
                    "name the output .png or .tif."
                )
            options = {"format": "WebP", "lossless": True, "exact": True}
        case other:
            raise InputError(f"{path} ends in {other or 'nothing'}: name the output .png, .tif or .webp.")
    with atomic(path) as temporary:
        Image.fromarray(image).save(temporary, **options)  # type: ignore[arg-type]


def find_images(sources: Iterable[Path | str]) -> list[Path]:
    """All image files among `sources`, each once: files as given, folders searched through, sorted.

    Hidden files and folders are passed over.

    Raises
    ------
    InputError
        A source that does not exist, or no image in all of them.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = {p for p in source.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file()}
            hidden = {p for p in inside if any(part.startswith(".") for part in p.relative_to(source).parts)}
            found.extend(sorted(inside - hidden))
        elif source.exists():
            found.append(source)
        else:
            raise InputError(f"There is no file or folder {source}: check the name.")
    if not found:
        raise InputError(f"No image ({', '.join(EXTENSIONS)}) was found: name a file or a folder that holds some.")
    return list(dict.fromkeys(found))
