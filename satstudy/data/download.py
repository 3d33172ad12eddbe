"""Fetching a part of fMoW-rgb from its public bucket, without credentials.

The whole set has about 200 GB. A part of it comes in three steps: the list of all files (`read_manifest_list`), the
JSON files of candidate objects, which tell the sizes of their images (`choose`), and the chosen images (`fetch`). A
file gets its own name once it is complete and its checksum is right, so a second call goes on where the first stopped.
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
#: Left free on the disk.
RESERVE_BYTES = 2**30
#: Of the unpacked list, which names about two million files of 60 characters.
MAX_LIST_BYTES = 2**30
CHUNK = 2**20
#: MiB; part sizes of common upload tools, with which the ETag of an object in parts is compared.
PART_SIZES = (8, 5, 15, 16, 32, 64)

_IMAGE = re.compile(
    r"(train|val)/([\w-]+)/\2_(0|[1-9]\d{0,8})/\2_\3_(0|[1-9]\d{0,4})_rgb\.(jpg|json)", re.ASCII
)  # fmt: skip
#: Bits of the number of a view in the code of an image, `object << VIEW_BITS | view`.
VIEW_BITS = 20

#: (split, category) → the sorted codes of its images.
Listing = dict[tuple[str, str], NDArray[np.int64]]


def open_bucket(
    bucket: str = BUCKET, prefix: str = PREFIX, endpoint: str | None = None, retries: int = 8, timeout: float = 60
) -> S3Store:
    """The bucket, or a mirror of it; requests are not signed.

    Parameters
    ----------
    endpoint : URL of another server than Amazon's
    retries : of a request that the server fails (5xx), drops or throttles, with exponential waits
    timeout : seconds without any byte until a request counts as dropped
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
    """The `_rgb` images in `manifest.json.bz2` (a flat JSON list of paths) that have their JSON file.

    The list is read piece by piece, and an image is kept as one number.

    Raises
    ------
    InputError
        No such file, no bzip2, no list of strings, more than `max_bytes` unpacked, or a path that leaves its folder.
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
    """The strings of a flat JSON list, a piece of the file at a time: cut at commas, each piece is such a list."""
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
    """Whether a name stays in its folder on every system, and is written in the usual way."""
    pure = PurePosixPath(name)
    inside = bool(pure.name) and not pure.is_absolute() and ".." not in pure.parts and str(pure) == name
    return inside and name.isprintable() and not re.search(r"[\\:]", name)


def check_path(name: str) -> None:
    """Refuse a name that is absolute, climbs out of its folder, or is written in an unusual way."""
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
    """`count` images of at least some size, as even over the categories as their supply allows (paper, §4.1).

    Objects of a category are asked for their sizes in an order drawn by the seed, until it has its share; the images of
    an object come together.

    Parameters
    ----------
    large : gives those of some images that are large enough
    categories : to choose from; None takes all
    per_object : most images of one object; None takes all

    Returns
    -------
    Paths without ending, sorted.

    Raises
    ------
    InputError
        A category without any image, or fewer large images than asked for.
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
            if short > 0:  # an object for each image that is missing
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
    """The images of each object, in an order drawn by the seed and the names alone."""
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
    """Whether the JSON file of an image says that it has `min_size` rows and columns."""
    with contextlib.suppress(InputError):
        meta = read_sidecar(root / f"{image}.json")
        return all((sidecar_number(meta.get(side)) or 0) >= min_size for side in ("img_height", "img_width"))
    return False


# --- The files ------------------------------------------------------------------------------------------------------


@dataclass
class FetchReport:
    """What `fetch` did."""

    fetched: int = 0
    present: int = 0  #: files that were there already
    bytes: int = 0  #: fetched
    retries: int = 0  #: of files that came damaged; those of requests are the client's
    unverified: int = 0  #: files of the right size whose checksum the bucket does not tell


def absent(names: Iterable[str], root: Path | str) -> list[str]:
    """Those files that are not below the root yet."""
    return [name for name in dict.fromkeys(names) if not (Path(root) / name).is_file()]


def sizes(store: S3Store, names: Sequence[str], workers: int = 16, progress: bool = True) -> dict[str, int]:
    """The bytes of files in the bucket, from their headers alone."""

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
    """Fetch files into `root`, under their own relative paths, unless they are there.

    Parameters
    ----------
    total : bytes of the files that are missing, for the bar and to see whether the disk has room; 0 if not known
    workers : files in transfer at a time
    attempts : tries of a file that comes damaged; the wait before the n-th is `backoff · 2**(n−2)` seconds

    Raises
    ------
    InputError
        A path that leaves its folder, a file that the bucket has not, or too little room on the disk.
    SatstudyError
        The bucket refuses (403), or a file failed `attempts` times.
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
        for left in folder.glob(".*.tmp*"):  # by a run that was killed
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

    report = FetchReport(len(missing), len(set(names)) - len(missing))
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
    """A failure that another attempt may mend."""


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
    """(bytes, whether the bucket told a checksum) of one file, which is whole or not there.

    What is wrong in an upload in parts looks like parts of an unusual size: it is taken when it comes `again`.
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
    """Whether a file has the ETag of S3: its MD5, or of an upload in parts the MD5 of their MD5s and their number.

    None where the tag does not tell: it is none of these, or of parts of an unusual size.
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
    """(name, what `work` gave) of each; the first failure stops all."""
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
