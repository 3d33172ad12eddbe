"""Images as a classifier meets them: coded whole by one condition, decoded, and cropped to the object.

What is compressed is the scene, as an operator would do it, not the crop: block grids and the rate then
lie where they would. The crops are kept on disk, without loss, so that a study resumes where it stood.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from satstudy.codecs import Codec
from satstudy.core.digests import digest
from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.core.types import Pixels
from satstudy.data.fmow import crop_object
from satstudy.data.images import read_image
from satstudy.data.records import ImageRecord
from satstudy.metrics.quality import bpp as bits_per_pixel
from satstudy.metrics.quality import psnr as peak_ratio

#: Raised when the meaning of a cached crop changes.
VERSION = "1"
#: Images in one cache file: what an interruption may cost.
SHARD = 32

CropFunction = Callable[[Pixels, ImageRecord, int], Pixels]


class Condition(NamedTuple):
    """How images reach the classifier; `codec` None leaves them as they are."""

    name: str
    codec: Codec | None = None


@dataclass(frozen=True)
class CodedSet:
    """Crops of one condition, in the order of the records; the first axis of every array is the image.

    Attributes
    ----------
    images : uint8 (n, size, size, 3)
    names, labels, objects : text (n,)
    bpp : float (n,), whole file over all pixels of the image; 24 where nothing is coded
    psnr : float (n,), dB over the whole image; infinite where nothing is lost
    """

    condition: str
    images: NDArray[np.uint8]
    names: NDArray[np.str_]
    labels: NDArray[np.str_]
    objects: NDArray[np.str_]
    bpp: NDArray[np.float64]
    psnr: NDArray[np.float64]
    codec: str = "original"
    setting: str = ""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def digest(self) -> str:
        """Differs when a pixel, a label or the order of the images does."""
        return digest(self.images, self.names, self.labels, self.objects, length=64)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> CodedSet:
        """The images at `chosen` (a mask or indices), for instance one side of a split."""
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return replace(self, **arrays)

    def describe(self) -> dict[str, Any]:
        """A row of the conditions frame: condition, codec, setting, mean bpp and mean PSNR."""
        return {
            "condition": self.condition,
            "codec": self.codec,
            "setting": self.setting,
            "bpp": float(self.bpp.mean()),
            "psnr": float(self.psnr.mean()),
        }


_ARRAYS = ("images", "names", "labels", "objects", "bpp", "psnr")


def conditions_frame(sets: Sequence[CodedSet]) -> pd.DataFrame:
    """condition, codec, setting, bpp, psnr: what stands at the edges of the matrix."""
    return pd.DataFrame([s.describe() for s in sets], columns=["condition", "codec", "setting", "bpp", "psnr"])


def whole_tile(image: Pixels, record: ImageRecord, size: int) -> Pixels:
    """The whole image on a square of `size`, whatever boxes the record has."""
    return crop_object(image, record._replace(boxes=()), size)


def _name(record: ImageRecord) -> str:
    # Folder sets number their files anew in every class.
    return f"{record.category}/{record.path.name}"


class _Coded(NamedTuple):
    crop: Pixels
    bpp: float
    psnr: float
    data: bytes


def _code_one(record: ImageRecord, condition: Condition, crop_fn: CropFunction, size: int) -> _Coded:
    image = read_image(record.path)
    if condition.codec is None:
        decoded, bpp, psnr, data = image, 24.0, float("inf"), b""
    else:
        data = condition.codec.encode(image)
        decoded = condition.codec.decode(data)
        if decoded.shape != image.shape:
            raise InputError(
                f"{condition.name} made {decoded.shape} of {record.path} with {image.shape}: "
                "a codec must return the size it was given."
            )
        bpp, psnr = bits_per_pixel(len(data), *image.shape[:2]), peak_ratio(image, decoded)
    crop = crop_fn(decoded, record, size)
    if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
        raise InputError(
            f"The crop of {record.path} is {crop.dtype} {crop.shape}: the crop function must return "
            f"uint8 {(size, size, 3)}."
        )
    return _Coded(crop, bpp, psnr, data)


def _key(records: Sequence[ImageRecord], condition: Condition, crop_fn: CropFunction, size: int) -> str:
    """Names the cache of these crops.

    A setting such as "lam=0.013" stays the same when the weights behind it are trained anew, and so does
    the name of a crop function that was edited. The smallest image is therefore coded and cropped, and
    its bytes and pixels enter the key: what changes the result changes the key.
    """
    probe = _code_one(min(records, key=lambda r: r.height * r.width), condition, crop_fn, size)
    codec = condition.codec
    # Size and time stand in for the pixels: reading every image anew would take minutes on the full set.
    states = [record.path.stat() for record in records]
    images = [
        (record.path.name, record.category, record.object, record.boxes, state.st_size, state.st_mtime_ns)
        for record, state in zip(records, states, strict=True)
    ]
    setting = codec and (codec.name, codec.setting)
    return digest(VERSION, size, setting, probe.data, probe.crop, images, length=16)


def _shard(path: Path, names: list[str], size: int) -> tuple[NDArray[np.uint8], Any, Any] | None:
    """The crops in a cache file, or None where there is none that can be used."""
    if not path.exists():
        return None
    try:
        # Opened here, since NumPy leaves a truncated file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            images, bpp, psnr = file["images"], file["bpp"], file["psnr"]
            same = file["names"].tolist() == names
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    usable = same and images.dtype == np.uint8 and images.shape == (len(names), size, size, 3)
    return (images, bpp, psnr) if usable and bpp.shape == psnr.shape == (len(names),) else None


def code_condition(
    records: Sequence[ImageRecord],
    condition: Condition,
    folder: Path | str,
    crop_fn: CropFunction = crop_object,
    *,
    size: int = 256,
    progress: bool = True,
) -> CodedSet:
    """Code every image whole, decode it, and cut the object's crop; resume from `folder`.

    Parameters
    ----------
    records : train-class and val-class together; part them afterwards with `CodedSet.take`
    condition : the codec, by its real bytes, or none
    folder : the cache, one sub-folder a condition and set of images
    crop_fn : `(image, record, size) -> uint8 (size, size, 3)`; `crop_object` follows the record's box, and takes
        the whole image where it has none
    size : side of a crop in pixels

    Returns
    -------
    CodedSet, in the order of `records`

    Raises
    ------
    InputError
        No records, an image that cannot be read, or a codec or crop of another size.
    """
    if not records:
        raise InputError("There is no image to code: check the manifest, or draw a synthetic set first.")
    if size < 8:
        raise InputError(f"size = {size} pixels is no crop to classify: take 64 or more (paper: 256).")
    cache = Path(folder) / _key(records, condition, crop_fn, size)
    images = np.empty((len(records), size, size, 3), np.uint8)
    bpp, psnr = np.empty(len(records)), np.empty(len(records))
    with tqdm(total=len(records), unit="image", desc=condition.name, disable=not progress) as bar:
        for start in range(0, len(records), SHARD):
            part = records[start : start + SHARD]
            here = slice(start, start + len(part))
            path, names = cache / f"{start:06d}.npz", [_name(record) for record in part]
            known = _shard(path, names, size)
            if known is not None:
                images[here], bpp[here], psnr[here] = known
                bar.update(len(part))
                continue
            for i, record in enumerate(part, start):
                coded = _code_one(record, condition, crop_fn, size)
                images[i], bpp[i], psnr[i] = coded.crop, coded.bpp, coded.psnr
                bar.update()
            with atomic(path) as temporary:
                np.savez_compressed(
                    temporary, images=images[here], names=np.array(names), bpp=bpp[here], psnr=psnr[here]
                )
    codec = condition.codec
    return CodedSet(
        condition.name,
        images,
        np.array([_name(r) for r in records]),
        np.array([r.category for r in records]),
        np.array([r.object for r in records]),
        bpp,
        psnr,
        *((codec.name, codec.setting) if codec else ()),
    )
