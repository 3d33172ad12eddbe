"""A data set as one ZIP below a size limit, for a machine without network.

If the files fit, they are stored unchanged. Otherwise all images are coded as JPEG at one quality, the highest at which
all of them fit.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import math
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from tqdm.auto import tqdm

from satstudy.core.errors import DamagedFile, InputError
from satstudy.core.paths import atomic
from satstudy.core.types import Pixels
from satstudy.data.download import is_plain
from satstudy.data.fmow import MAX_JSON_BYTES
from satstudy.data.headers import opened
from satstudy.data.images import EXTENSIONS, find_images, read_image
from satstudy.data.splits import file_number
from satstudy.metrics.quality import psnr

MIB = 2**20


class Coder(Protocol):
    """A codec at one setting, such as `satstudy.codecs.JPEG`."""

    def encode(self, image: Pixels) -> bytes: ...

    def decode(self, data: bytes) -> Pixels: ...


#: JPEG quality → codec.
JPEGs = Callable[[int], Coder]

#: Lower qualities are not used, since a model trained on the images would learn JPEG's block artefacts.
QUALITIES = range(80, 101)


@dataclass(frozen=True)
class Pack:
    """The record of a pack, stored in it as `NOTE`."""

    source: str  #: name of the folder
    images: int
    quality: int | None  #: of the JPEGs; None if the files are unchanged
    psnr: float | None  #: mean in dB over the images that coding changed; None if it changed none
    limit_mib: float


def pack(
    folder: Path | str,
    target: Path | str,
    jpeg: JPEGs,
    limit: float = 45,
    numbers: range | None = None,
    progress: bool = True,
) -> Pack:
    """Write the images below a folder as a ZIP of at most `limit` MiB; the same images give the same bytes.

    Parameters
    ----------
    jpeg : JPEG quality → codec, for images that do not fit unchanged
    numbers : take only files whose name ends in one of these numbers (`splits.file_number`)

    Raises
    ------
    InputError
        No image, one that cannot be read or packed, or too many for the limit.
    """
    folder, target = Path(folder), Path(target)
    if not 0 < limit < math.inf:
        raise InputError(f"limit = {limit} MiB is no size: take a number above 0.")
    files = _chosen(folder, numbers)
    record = Pack(Path(os.path.abspath(folder)).name, len(files), None, None, float(limit))
    with atomic(target) as temporary:
        unchanged = sum(_size(file) for file in files) <= limit * MIB
        if unchanged and (made := _write(temporary, record, folder, files, jpeg, progress)):
            return made

        def coded(quality: int) -> Pack | None:
            return _write(temporary, replace(record, quality=quality), folder, files, jpeg, progress)

        # Sizes rise with the quality.
        fitting = bisect.bisect_left(QUALITIES, True, key=lambda quality: coded(quality) is None)
        if fitting and (made := coded(QUALITIES[fitting - 1])):
            return made
        needed = sum(len(_recode(file, jpeg(QUALITIES[0]))[0]) for file in files) / MIB
        raise InputError(
            f"{folder} does not fit into {limit:g} MiB, its {len(files)} images need about {needed:.3g} MiB even at "
            f"JPEG quality {QUALITIES[0]}: pack fewer of them, or raise the limit."
        )


def _chosen(folder: Path, numbers: range | None) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: name the one that holds the images.")
    files = find_images([folder])
    if numbers is None:
        return files
    without = [file for file in files if file_number(file) is None]
    if without:
        raise InputError(f"{without[0]} has no number at the end of its name: rename it, or leave --numbers out.")
    chosen = [file for file in files if file_number(file) in numbers]
    if not chosen:
        raise InputError(f"{folder} has no image numbered {numbers.start} to {numbers.stop - 1}: choose other numbers.")
    return chosen


def _size(file: Path) -> int:
    with opened(file) as found:  # InputError of a link to nothing, for one
        return os.fstat(found.fileno()).st_size


def _recode(file: Path, codec: Coder, compare: bool = False) -> tuple[bytes, float]:
    """A JPEG of the image, and its PSNR in dB if asked for."""
    image = read_image(file)
    try:
        data = codec.encode(image)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return data, psnr(image, codec.decode(data)) if compare else math.nan


def _write(path: Path, record: Pack, folder: Path, files: list[Path], jpeg: JPEGs, progress: bool) -> Pack | None:
    """Write the ZIP of these files at the quality in `record`; None, as soon as it exceeds the limit."""
    names: dict[str, Path] = {}
    for file in files:
        inside = file.relative_to(folder)
        name = (inside if record.quality is None else inside.with_suffix(".jpg")).as_posix()
        if not is_plain(name):
            raise InputError(f"{file} has a sign in its name that not every system takes: rename it.")
        if name in names:
            raise InputError(f"{file} and {names[name]} would both be {name} in the pack: rename one of them.")
        names[name] = file
    total = 0
    ratios: list[float] = []
    text = "packing unchanged" if record.quality is None else f"packing at quality {record.quality}"
    with zipfile.ZipFile(path, "w") as archive:
        for name in tqdm(sorted(names), desc=text, unit="image", disable=not progress):
            if record.quality is None:
                read_image(names[name])  # refuse a damaged image here, not where the pack is opened
                data = names[name].read_bytes()
            else:
                data, ratio = _recode(names[name], jpeg(record.quality), compare=True)
                ratios += [ratio] if math.isfinite(ratio) else []
            total += len(data)
            if total > record.limit_mib * MIB:
                return None
            if len(data) > MAX_IMAGE_BYTES:
                raise InputError(f"{names[name]} would have {len(data)} bytes in the pack: cut it into scenes.")
            archive.writestr(_entry(name), data)
        made = replace(record, psnr=round(float(np.mean(ratios)), 4) if ratios else None)
        archive.writestr(_entry(NOTE), json.dumps(asdict(made), indent=1) + "\n")
    return made if path.stat().st_size <= record.limit_mib * MIB else None


def _entry(name: str) -> zipfile.ZipInfo:
    """A ZIP entry with fixed time and permissions, so that equal images give equal packs."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    return entry


#: The last member of a pack: `Pack` as JSON.
NOTE = "pack.json"

#: Three times the size of the largest image that is read, 20000×20000 pixels, at quality 98.
MAX_IMAGE_BYTES = 2**30


def unpack(pack: Path | str, folder: Path | str, progress: bool = True) -> int:
    """Write the files of a pack into a folder, each atomically, and return the number of images.

    The whole pack is checked before anything is written. Files of the same names are replaced.

    Raises
    ------
    InputError
        No pack, a damaged pack, or members that `satstudy data pack` does not write.
    """
    pack, folder = Path(pack), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the images.")
    with _reading(pack):
        archive = zipfile.ZipFile(pack)
    with archive:
        entries = archive.infolist()
        _check_entries(pack, entries)
        with _reading(pack):
            for entry in entries:
                archive.read(entry)
            images = json.loads(archive.read(NOTE))["images"]
        if images != len(entries) - 1:
            raise DamagedFile(f"{pack} holds {len(entries) - 1} images where {NOTE} says {images!r}: make it again.")
        for entry in tqdm(entries, desc="unpacking", unit="file", disable=not progress):
            with _reading(pack):
                data = archive.read(entry)
            with atomic(folder / entry.filename) as temporary:
                temporary.write_bytes(data)
    return len(entries) - 1


@contextlib.contextmanager
def _reading(pack: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"There is no file {pack}: check the name.") from None
    except Exception as error:  # BadZipFile, struct.error, NotImplementedError, …: zipfile documents no list
        raise DamagedFile(f"{pack} is no pack, or a damaged one ({error}): copy it again.") from None


def _check_entries(pack: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse members outside the folder, members that are no image, and sizes that could fill the disk."""
    count = Counter(entry.filename for entry in entries)
    count.update({parent.as_posix() for name in count for parent in PurePosixPath(name).parents})
    for entry in entries:
        name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
        stored = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
        problems = {
            "is no plain path below its folder": not is_plain(name),
            "is no image": name != NOTE and PurePosixPath(name).suffix.lower() not in EXTENSIONS,
            "is a link or a device": kind not in (0, stat.S_IFREG),
            "is compressed or encrypted": not stored or entry.flag_bits & 1,
            "is too large": entry.file_size > (MAX_JSON_BYTES if name == NOTE else MAX_IMAGE_BYTES),
            "has the name of another file or folder": count[name] > 1,
        }
        for problem, found in problems.items():
            if found:
                raise InputError(f"{pack} holds {name!r}, which {problem}: take one that `satstudy data pack` made.")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > pack.stat().st_size:
        raise DamagedFile(f"{pack} has {pack.stat().st_size} bytes and claims {claimed} in its files: copy it again.")
