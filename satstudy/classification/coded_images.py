"""Input images of classifiers: the whole image is coded and decoded, then the object is cropped.

Whole scenes are coded, as in an archive, so that block grids and rates are those of whole images. The crops are cached
losslessly, so that an interrupted study can be resumed.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from satstudy.classification.distortions import Distortion
from satstudy.codecs import Codec
from satstudy.core.digests import digest, file_digest
from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.core.types import Pixels
from satstudy.data.fmow import crop_object
from satstudy.data.images import read_image
from satstudy.data.records import ImageRecord
from satstudy.metrics import quality

#: Increase it when the crop of the same image and condition changes.
VERSION = "2"
#: Images in one file of an unfinished cache; an interruption loses at most these.
SHARD = 32

CropFunction = Callable[[Pixels, ImageRecord, int], Pixels]


@dataclass(frozen=True)
class Condition:
    """Codecs and distortions that are applied to an image, in order; none by default."""

    name: str
    steps: tuple[Codec | Distortion, ...] = ()

    def apply(self, image: Pixels) -> tuple[Pixels, bytes]:
        """The image after all steps, and the file of the last codec (empty without one)."""
        data = b""
        for step in self.steps:
            if isinstance(step, Distortion):
                image = step(image)
            else:
                data = step.encode(image)
                image = step.decode(data)
        return image, data

    @property
    def codec(self) -> str:
        """The name of the last codec, "original" without one."""
        return next((step.name for step in reversed(self.steps) if not isinstance(step, Distortion)), "original")

    @property
    def setting(self) -> str:
        """All steps as text, the last codec without its name: "quality=75", "jpeg quality=75 → lam=0.013 → swap"."""
        texts = [str(step) if isinstance(step, Distortion) else f"{step.name} {step.setting}" for step in self.steps]
        return " → ".join(texts).replace(f"{self.codec} ", "", 1) if texts else ""


@dataclass(frozen=True)
class CodedSet:
    """The crops of n images under one condition.

    Attributes
    ----------
    images : uint8 (n, size, size, 3), a memory-mapped file
    names, labels, objects : str (n,)
    bpp : float (n,), of the whole file and image; 24 without a codec
    psnr : float (n,), in dB over the whole image; inf without loss
    features : float32 (n, d) of a frozen network, or None
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
    features: NDArray[np.float32] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def digest(self) -> str:
        """Digest of pixels, names, labels and objects in this order."""
        return digest(self.images, self.names, self.labels, self.objects, length=64)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> CodedSet:
        """The images at `rows` (a mask or indices), for instance one fold."""
        arrays = {name: value[rows] for name in _ARRAYS if (value := getattr(self, name)) is not None}
        return replace(self, **arrays)

    def describe(self) -> dict[str, Any]:
        """condition, codec and setting, and the means of bpp and PSNR."""
        means = {name: float(getattr(self, name).mean()) for name in ("bpp", "psnr")}
        return {"condition": self.condition, "codec": self.codec, "setting": self.setting, **means}


_ARRAYS = ("images", "names", "labels", "objects", "bpp", "psnr", "features")


def conditions_frame(sets: Sequence[CodedSet]) -> pd.DataFrame:
    """One row for each set: condition, codec, setting, bpp, psnr."""
    columns = ["condition", "codec", "setting", "bpp", "psnr"]
    return pd.DataFrame([coded.describe() for coded in sets], columns=columns)


def whole_image(image: Pixels, record: ImageRecord, size: int) -> Pixels:
    """The whole image, scaled to a square of `size` pixels with black padding; boxes of the record are ignored."""
    return crop_object(image, record._replace(boxes=()), size)


def _name(record: ImageRecord) -> str:
    # File names may repeat in other categories.
    return f"{record.category}/{record.path.name}"


class _Coded(NamedTuple):
    crop: Pixels
    bpp: float
    psnr: float
    data: bytes


def _code_one(record: ImageRecord, condition: Condition, crop_fn: CropFunction, size: int) -> _Coded:
    image = read_image(record.path)
    decoded, data = condition.apply(image)
    if decoded.shape != image.shape:
        raise InputError(
            f"{condition.name} made {decoded.shape} of {record.path} with {image.shape}: "
            "a codec must return the size it was given."
        )
    crop = crop_fn(decoded, record, size)
    if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
        raise InputError(
            f"The crop of {record.path} is {crop.dtype} {crop.shape}: the crop function must return "
            f"uint8 {(size, size, 3)}."
        )
    bpp = quality.bpp(len(data), *image.shape[:2]) if data else 24.0
    return _Coded(crop, bpp, quality.psnr(image, decoded), data)


def _key(records: Sequence[ImageRecord], condition: Condition, crop_fn: CropFunction, size: int) -> str:
    """The cache key of these crops.

    A setting such as "lam=0.013" does not change with the weights, nor the name of a crop function with its code.
    Therefore the smallest image is coded and cropped, and the key includes its bytes and pixels.
    """
    probe = _code_one(min(records, key=lambda r: r.height * r.width), condition, crop_fn, size)
    images = [(record.path.name, record.category, record.boxes, file_digest(record.path)) for record in records]
    return digest(VERSION, size, condition.codec, condition.setting, probe.data, probe.crop, images, length=16)


_MEASURES = ("bpp", "psnr")


def _shard(path: Path, names: list[str], size: int) -> dict[str, NDArray[Any]] | None:
    """The arrays of a cache file; None if it is missing, damaged or of other images."""
    try:
        # Opened here, since NumPy does not close a truncated file.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("images", "names", *_MEASURES) if name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shapes = {name: array.shape for name, array in arrays.items() if name != "images"}
    usable = shapes == dict.fromkeys(("names", *_MEASURES), (len(names),)) and arrays["names"].tolist() == names
    if (images := arrays.get("images")) is not None:
        usable = usable and images.dtype == np.uint8 and images.shape == (len(names), size, size, 3)
    return arrays if usable else None


def code_condition(
    records: Sequence[ImageRecord],
    condition: Condition,
    folder: Path | str,
    crop_fn: CropFunction = crop_object,
    *,
    size: int = 256,
    progress: bool = True,
) -> CodedSet:
    """Code and decode every whole image, and crop the object; finished images are read from `folder`.

    Parameters
    ----------
    records : the images of all folds; select folds with `CodedSet.take`
    condition : codecs, applied as real files, and distortions
    folder : the cache, with a subfolder for each condition and set of images
    crop_fn : `(image, record, size) -> uint8 (size, size, 3)`; `crop_object` takes the record's box, or the whole image
        if it has none
    size : side of a crop in pixels

    Returns
    -------
    CodedSet
        In the order of `records`; pixels are read from disk when they are used.

    Raises
    ------
    InputError
        No records, an unreadable image, a codec or crop function that returns another size, or a cache that changed
        meanwhile.
    """
    if not records:
        raise InputError("There is no image to code: check the manifest, or draw a synthetic set first.")
    if size < 8:
        raise InputError(f"size = {size} pixels is no crop to classify: take 64 or more (paper: 256).")
    cache = Path(folder) / _key(records, condition, crop_fn, size)
    names = [_name(record) for record in records]
    found = _finished(cache, names, size)
    if found is None:
        _code_all(records, names, condition, cache, crop_fn, size, progress)
        found = _finished(cache, names, size)
        if found is None:
            raise InputError(f"{cache} was changed while {condition.name} was coded: run the same again.")
    images, measures = found
    return CodedSet(
        condition.name,
        images,
        np.array(names),
        np.array([record.category for record in records]),
        np.array([record.object for record in records]),
        measures["bpp"],
        measures["psnr"],
        codec=condition.codec,
        setting=condition.setting,
    )


def _finished(cache: Path, names: list[str], size: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]] | None:
    """The memory-mapped pixels and the measures of a complete cache; None if it is incomplete."""
    measures = _shard(cache / "measures.npz", names, size)
    if measures is None:
        return None
    try:
        images = np.load(cache / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return (images, measures) if images.dtype == np.uint8 and images.shape == (len(names), size, size, 3) else None


def _code_all(
    records: Sequence[ImageRecord],
    names: list[str],
    condition: Condition,
    cache: Path,
    crop_fn: CropFunction,
    size: int,
    progress: bool,
) -> None:
    shards = []
    with tqdm(total=len(records), unit="image", desc=condition.name, disable=not progress) as bar:
        for start in range(0, len(records), SHARD):
            here = slice(start, start + SHARD)
            path = cache / "shards" / f"{start:06d}.npz"
            if _shard(path, names[here], size) is None:
                coded = []
                for record in records[here]:
                    coded.append(_code_one(record, condition, crop_fn, size))
                    bar.update()
                arrays = {name: np.array([getattr(one, name) for one in coded]) for name in _MEASURES}
                arrays |= {"images": np.stack([one.crop for one in coded]), "names": np.array(names[here])}
                with atomic(path) as temporary:
                    np.savez_compressed(temporary, **arrays)
            else:
                bar.update(len(names[here]))
            shards.append((here, path))
    with contextlib.suppress(_Removed):
        _join(shards, names, cache, size)
    shutil.rmtree(cache / "shards", ignore_errors=True)


class _Removed(Exception):
    """Another process has finished the same set meanwhile, and removed its shards."""


def _join(shards: Sequence[tuple[slice, Path]], names: list[str], cache: Path, size: int) -> None:
    """Make one file to map into memory, since the pixels of all conditions exceed the memory."""
    with atomic(cache / "images.npy") as temporary:
        images = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(names), size, size, 3))
        parts = []
        for here, path in shards:
            part = _shard(path, names[here], size)
            if part is None:
                raise _Removed
            images[here] = part.pop("images")
            parts.append(part)
        images.flush()
        del images
    with atomic(cache / "measures.npz") as temporary:
        np.savez(temporary, **{name: np.concatenate([part[name] for part in parts]) for name in ("names", *_MEASURES)})


def distort(
    coded: CodedSet, name: str, distortions: Sequence[Distortion], folder: Path | str, progress: bool = True
) -> CodedSet:
    """The crops of a set after further distortions, cached in `folder`; bpp is unchanged.

    PSNR is nan, since it is defined for whole images.
    """
    path = Path(folder) / f"distorted-{digest(coded.digest, [str(d) for d in distortions], length=16)}.npy"
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        images = None
    if images is None or images.shape != coded.images.shape:
        with atomic(path) as temporary:
            made = np.lib.format.open_memmap(temporary, "w+", np.uint8, coded.images.shape)
            for i, image in enumerate(tqdm(coded.images, name, unit="image", disable=not progress)):
                made[i] = functools.reduce(lambda pixels, distortion: distortion(pixels), distortions, image)
            made.flush()
            del made
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    unknown = np.full(len(coded), np.nan)
    setting = " → ".join([part for part in (coded.setting, *map(str, distortions)) if part])
    return replace(coded, condition=name, images=images, psnr=unknown, setting=setting)
