"""The images of a pack, a ZIP that `packing` made: untrusted, as it came from another machine."""

from __future__ import annotations

import contextlib
import json
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from satstudy.core.errors import DamagedFile, InputError
from satstudy.core.paths import atomic
from satstudy.data.images import EXTENSIONS
from satstudy.data.listing import is_plain
from satstudy.data.sidecar import MAX_JSON_BYTES

#: What a pack says about itself; its last member.
NOTE = "pack.json"
#: 20000×20000 pixels, the most that is read, have a third of it at quality 98.
MAX_IMAGE_BYTES = 2**30


def unpack(pack: Path | str, folder: Path | str, progress: bool = True) -> int:
    """Write the files of a pack into a folder, each whole or not at all; returns how many images there are.

    Nothing is written before all of the pack was read and found whole. Files of the same names are replaced.

    Raises
    ------
    InputError
        No pack, a damaged one, or one with members that `satstudy data pack` never writes.
    """
    pack, folder = Path(pack), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the images.")
    with _reading(pack):
        archive = zipfile.ZipFile(pack)
    with archive:
        entries = archive.infolist()
        _check(pack, entries)
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
    except Exception as error:  # zipfile raises what it likes: BadZipFile, struct.error, NotImplementedError, …
        raise DamagedFile(f"{pack} is no pack, or a damaged one ({error}): copy it again.") from None


def _check(pack: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse what could land outside the folder, is no image, or would fill the disk."""
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
            "bears the name of another file or folder": count[name] > 1,
        }
        for problem, found in problems.items():
            if found:
                raise InputError(f"{pack} holds {name!r}, which {problem}: take one that `satstudy data pack` made.")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > pack.stat().st_size:
        raise DamagedFile(f"{pack} has {pack.stat().st_size} bytes and claims {claimed} in its files: copy it again.")
