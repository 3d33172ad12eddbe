"""Download of a part of fMoW-rgb from its public bucket, without credentials.

The whole set has about 200 GB. The download has three steps: the list of all files (`read_manifest_list`), the JSON
files of candidate objects, which have the sizes of their images (`choose`), and the chosen images (`fetch`). A file is
renamed to its name when it is complete and its checksum is right, so that an interrupted download can be resumed.
"""

from __future__ import annotations

import bz2
import contextlib
import functools
import hashlib
import json
import re
import shutil
import threading
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store
from tqdm.auto import tqdm

from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.paths import atomic
from satstudy.data.fmow import MAX_JSON_BYTES, read_sidecar, sidecar_number
from satstudy.data.splits import even

BUCKET = "spacenet-dataset"
PREFIX = "Hosted-Datasets/fmow/fmow-rgb"
MANIFEST = "manifest.json.bz2"
LICENCE = (
    "fMoW is under the Functional Map of the World Challenge Public License (non-commercial use, attribution, "
    "share-alike): https://github.com/fMoW/dataset/blob/master/LICENSE"
)

#: The largest image, 16288×16291, has about 100 MB as JPEG.
MAX_FILE_BYTES = 2**30
#: Disk space that is left free.
RESERVE_BYTES = 2**30
#: Limit of the unpacked list, which has about two million names of 60 characters.
MAX_LIST_BYTES = 2**30
CHUNK = 2**20
#: Part sizes of common upload tools in MiB, to check the ETag of a multipart upload.
PART_SIZES = (8, 5, 15, 16, 32, 64)

_IMAGE = re.compile(
    r"(train|val)/([\w-]+)/\2_(0|[1-9]\d{0,8})/\2_\3_(0|[1-9]\d{0,4})_rgb\.(jpg|json)", re.ASCII
)  # fmt: skip
#: An image is encoded as the number `object << VIEW_BITS | view`.
VIEW_BITS = 20

#: (split, category) → the sorted codes of its images.
Listing = dict[tuple[str, str], NDArray[np.int64]]


def open_bucket(
    bucket: str = BUCKET, prefix: str = PREFIX, endpoint: str | None = None, retries: int = 8, timeout: float = 60
) -> S3Store:
    """Open the bucket, or a mirror, for unsigned requests.

    Parameters
    ----------
    endpoint : URL of a server other than Amazon's
    retries : of a request that the server fails (5xx), drops or throttles, with exponential waits
    timeout : seconds without data after which a request is dropped
    """
    wait = timedelta(seconds=timeout)
    return S3Store(
        bucket,
        prefix=prefix,
        region="us-east-1",
        skip_signature=True,
        retry_config={"max_retries": retries, "retry_timeout": timedelta(minutes=4)},
        # A large image may take longer than the default 30 seconds in all.
        client_options={"allow_http": True, "connect_timeout": wait, "read_timeout": wait, "timeout": "1h"},
        config={"endpoint": endpoint} if endpoint else None,
    )


# --- The list -------------------------------------------------------------------------------------------------------


def read_manifest_list(path: Path | str, max_bytes: int = MAX_LIST_BYTES) -> Listing:
    """The `_rgb` images in `manifest.json.bz2` (a flat JSON list of paths) that have a JSON file.

    To save memory, the list is read in chunks, and each image is stored as a number.

    Raises
    ------
    InputError
        No such file, no bzip2, no list of strings, more than `max_bytes` unpacked, or a path outside the folder.
    """
    found: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
    for name in _listed(Path(path), max_bytes):
        if match := _IMAGE.fullmatch(name):
            code = int(match[3]) << VIEW_BITS | int(match[4])
            found[match[1], match[2]].append(2 * code + (match[5] == "json"))
        else:
            check_path(name)
    listing = {}
    for key, numbers in found.items():
        codes = np.unique(np.frombuffer(numbers, np.int64))
        both = np.intersect1d(codes[codes % 2 == 0] // 2, codes[codes % 2 == 1] // 2, assume_unique=True)
        if len(both):
            listing[key] = both
    return listing


def _listed(path: Path, max_bytes: int) -> Iterator[str]:
    """The strings of a flat JSON list, read in chunks that end at commas, so that each chunk is such a list."""
    length, rest, opening = 0, "", "["
    try:
        with bz2.open(path, "rt", encoding="utf-8") as file:
            while piece := file.read(CHUNK):
                length += len(piece)
                if length > max_bytes or len(rest) > CHUNK:
                    raise InputError(f"{path} unpacks to more than {max_bytes} bytes, or to one word: fetch it again.")
                head, comma, rest = (rest + piece).rpartition(",")
                if comma:
                    yield from _strings(path, f"{head}]" if opening else f"[{head}]")
                    opening = ""
        yield from _strings(path, rest if opening else f"[{rest}")
    except FileNotFoundError:
        raise InputError(f"There is no {path}: fetch {MANIFEST} first.") from None
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no readable list of fMoW's files ({error}): fetch it again.") from None


def _strings(path: Path, text: str) -> list[str]:
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} is no flat list of paths: fetch it again.")
    return names


def is_plain(name: str) -> bool:
    """Whether a relative path stays in its folder on every system, and is normalised."""
    pure = PurePosixPath(name)
    inside = bool(pure.name) and not pure.is_absolute() and ".." not in pure.parts and str(pure) == name
    return inside and name.isprintable() and not re.search(r"[\\:]", name)


def check_path(name: str) -> None:
    """Raise InputError unless `is_plain`."""
    if not is_plain(name):
        raise InputError(f"{name!r} is no plain path below the data set's folder: the list is damaged, fetch it again.")


# --- The choice -----------------------------------------------------------------------------------------------------


def choose(
    listing: Listing,
    split: str,
    count: int,
    large: Callable[[Sequence[str]], Iterable[str]],
    categories: Iterable[str] | None = None,
    per_object: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Choose `count` large images, as even over the categories as possible (paper, §4.1).

    Objects of a category are tried in a random order until it has enough large images.

    Parameters
    ----------
    large : function that returns those of some images that are large enough
    categories : to choose from; None takes all
    per_object : maximum of images of one object; None takes all

    Returns
    -------
    Paths without ending, sorted.

    Raises
    ------
    InputError
        A category without images, or too few large images.
    """
    wanted = sorted({category for part, category in listing if part == split} if categories is None else {*categories})
    missing = [category for category in wanted if (split, category) not in listing]
    if missing or not wanted:
        raise InputError(
            f"The list has no {split} image of {', '.join(missing) or 'any category'}: check the names, or fetch the "
            "list again."
        )
    waiting = {category: _objects(listing[split, category], split, category, per_object, seed) for category in wanted}
    chosen: dict[str, list[str]] = {category: [] for category in wanted}
    while True:
        room = [count if waiting[category] else len(chosen[category]) for category in wanted]
        shares = dict(zip(wanted, even(count, room, np.random.default_rng(seed)), strict=True))
        asked: dict[str, list[str]] = {}
        for category, share in shares.items():
            short = share - len(chosen[category])
            if short > 0:  # try one more object for each missing image
                asked[category] = [image for images in waiting[category][:short] for image in images]
                del waiting[category][:short]
        if not any(asked.values()):
            break
        known = set(large([image for images in asked.values() for image in images]))
        for category, images in asked.items():
            chosen[category] += [image for image in images if image in known]
    if sum(shares.values()) < count:
        raise InputError(
            f"Of {count} {split} images that are asked for, {sum(shares.values())} are large enough: ask for fewer, "
            "lower the size, or allow more images of an object."
        )
    return sorted(image for category in wanted for image in chosen[category][: shares[category]])


def _objects(codes: NDArray[np.int64], split: str, category: str, per_object: int | None, seed: int) -> list[list[str]]:
    """The images of each object, in a random order that depends only on the seed, split and category."""
    rng = np.random.default_rng([seed, *f"{split}/{category}".encode()])
    objects = codes >> VIEW_BITS
    groups = np.split(codes, np.flatnonzero(np.diff(objects)) + 1)
    return [
        [_stem(split, category, int(code)) for code in rng.permutation(groups[i])[:per_object]]
        for i in rng.permutation(len(groups))
    ]


def _stem(split: str, category: str, code: int) -> str:
    name = f"{category}_{code >> VIEW_BITS}"
    return f"{split}/{category}/{name}/{name}_{code & (1 << VIEW_BITS) - 1}_rgb"


def is_large(root: Path, image: str, min_size: int) -> bool:
    """Whether an image has `min_size` rows and columns, according to its JSON file."""
    with contextlib.suppress(InputError):
        meta = read_sidecar(root / f"{image}.json")
        return all((sidecar_number(meta.get(side)) or 0) >= min_size for side in ("img_height", "img_width"))
    return False


# --- The files ------------------------------------------------------------------------------------------------------


@dataclass
class FetchReport:
    """The result of `fetch`."""

    fetched: int = 0
    bytes: int = 0  #: fetched
    retries: int = 0  #: of damaged files; the client retries failed requests by itself
    unverified: int = 0  #: files of the right size for which the bucket has no checksum


def absent(names: Iterable[str], root: Path | str) -> list[str]:
    """The names of files that do not exist in `root`."""
    return [name for name in dict.fromkeys(names) if not (Path(root) / name).is_file()]


def sizes(store: S3Store, names: Sequence[str], workers: int = 16, progress: bool = True) -> dict[str, int]:
    """Name → bytes of files in the bucket, by HEAD requests."""

    def size(name: str) -> int:
        with _explained(store, name):
            return int(obstore.head(store, name)["size"])

    with tqdm(total=len(names), desc="asking for sizes", unit="file", disable=not progress) as bar:
        return dict(_each(size, names, workers, threading.Event(), lambda _: bar.update()))


def fetch(
    store: S3Store,
    names: Sequence[str],
    root: Path | str,
    total: int = 0,
    workers: int = 16,
    attempts: int = 5,
    backoff: float = 1.0,
    progress: bool = True,
) -> FetchReport:
    """Download files into `root`, under their relative paths; existing files are kept.

    Parameters
    ----------
    total : bytes of the missing files, for the progress bar and a check of the disk space; 0 if unknown
    workers : number of parallel downloads
    attempts : for a file that arrives damaged; the wait before attempt n is `backoff · 2**(n−2)` seconds

    Raises
    ------
    InputError
        A path outside the folder, a file that is not in the bucket, or too little disk space.
    SatstudyError
        The bucket refuses access (403), or a file failed `attempts` times.
    """
    root, stop = Path(root), threading.Event()
    for name in names:
        check_path(name)
    missing = absent(names, root)
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < total + RESERVE_BYTES:
        raise InputError(
            f"{root} has {free / 1e9:.1f} GB free and {(total + RESERVE_BYTES) / 1e9:.1f} GB are needed: choose "
            "another disk, or fewer images."
        )
    for folder in {(root / name).parent for name in missing}:
        for left in folder.glob(".*.tmp*"):  # of a killed run
            left.unlink()

    def one(name: str) -> tuple[int, bool, int]:
        last: Exception | None = None
        for attempt in range(attempts):
            if attempt:
                stop.wait(backoff * 2 ** (attempt - 1))
            try:
                with _explained(store, name):
                    return *_transfer(store, name, root / name, stop, attempt > 0), attempt
            except _PassingError as error:
                last = error
        raise SatstudyError(
            f"{name} could not be fetched in {attempts} attempts ({last}): check the network and run the same again; "
            "what is there is kept."
        )

    report = FetchReport(len(missing))
    unit: dict[str, Any] = {"unit": "B", "unit_scale": True} if total else {"unit": "file"}
    with tqdm(total=total or len(missing), desc="fetching fMoW", disable=not progress, **unit) as bar:
        for _, (received, verified, again) in _each(
            one, missing, workers, stop, lambda done: bar.update(done[0] if total else 1)
        ):
            report.bytes += received
            report.retries += again
            report.unverified += not verified
    return report


class _PassingError(Exception):
    """A failure that may pass with another attempt."""


@contextlib.contextmanager
def _explained(store: S3Store, name: str) -> Iterator[None]:
    where = f"The bucket {store.config['bucket']}"
    mirror = "name a mirror with --endpoint-url, --bucket and --prefix, or copy the files into the folder yourself"
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError):
        raise SatstudyError(f"{where} refused {name} (403), as it does to some networks: {mirror}.") from None
    except (NotFoundError, FileNotFoundError):
        raise InputError(f"{where} has no {name} below {store.prefix}: fetch {MANIFEST} again, or {mirror}.") from None
    except BaseError as error:
        raise _PassingError(" ".join(str(error).split())[:200]) from None
    except OSError as error:
        raise SatstudyError(f"{name} could not be written ({error}): make room, or choose another folder.") from None


def _transfer(store: S3Store, name: str, target: Path, stop: threading.Event, again: bool) -> tuple[int, bool]:
    """Download one file atomically; returns its bytes, and whether its checksum was verified.

    In a multipart upload, damage cannot be distinguished from an unusual part size: such a file is accepted when it
    comes `again`.
    """
    answer = obstore.get(store, name)
    size, limit = answer.meta["size"], MAX_JSON_BYTES if name.endswith(".json") else MAX_FILE_BYTES
    if size > limit:
        raise InputError(f"{name} has {size} bytes and {limit} are the most of its kind: check the bucket.")
    with atomic(target) as temporary:
        with temporary.open("wb") as file:
            for piece in answer.stream(CHUNK):
                if stop.is_set():
                    raise SatstudyError(f"{name} was given up, as another file failed.")
                file.write(piece)
        received, tag = temporary.stat().st_size, (answer.meta["e_tag"] or "").strip('"')
        if received != size:
            raise _PassingError(f"{received} of {size} bytes came")
        agrees = _agrees(temporary, tag)
        if agrees is False or (agrees is None and "-" in tag and not again):
            raise _PassingError("its checksum differs")
    return size, bool(agrees)


def _agrees(path: Path, tag: str) -> bool | None:
    """Whether a file has an S3 ETag: its MD5, or for a multipart upload the MD5 of the parts' MD5s and their number.

    None if that is unknown: for other tags, or an unusual part size.
    """
    if re.fullmatch("[0-9a-f]{32}", tag):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == tag
    for part in (mib * 2**20 for mib in PART_SIZES):
        if tag.endswith(f"-{-(-path.stat().st_size // part)}"):
            with path.open("rb") as file:
                parts = [hashlib.md5(piece).digest() for piece in iter(functools.partial(file.read, part), b"")]
            if tag.startswith(hashlib.md5(b"".join(parts)).hexdigest()):
                return True
    return None


def _each(
    work: Callable[[str], Any], names: Sequence[str], workers: int, stop: threading.Event, advance: Callable[[Any], Any]
) -> list[tuple[str, Any]]:
    """(name, result of `work`) for each name; the first failure stops all."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            futures = {pool.submit(work, name): name for name in names}
            for future in as_completed(futures):
                advance(future.result())
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [(name, future.result()) for future, name in futures.items()]
