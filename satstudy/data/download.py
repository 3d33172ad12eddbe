"""Fetching a part of fMoW-rgb from its public bucket, unsigned and with the standard library alone.

The whole set has about 200 GB. A part of it comes in three steps: the list of all files
(`fetch([MANIFEST], root)`, `read_manifest_list`), a choice among them (`select`), and the files (`fetch`). The
sizes of the images stand in their JSON files, so fetching those first (`keep_large`) saves most of the way.
"""

from __future__ import annotations

import bz2
import contextlib
import http.client
import json
import re
import shutil
import ssl
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from tqdm.auto import tqdm

from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.paths import atomic

BUCKET = "spacenet-dataset"


PREFIX = "Hosted-Datasets/fmow/fmow-rgb/"


BASE_URL = f"https://{BUCKET}.s3.amazonaws.com/{PREFIX}"


LICENCE = (
    "fMoW is under the Functional Map of the World Challenge Public License (non-commercial use, attribution, "
    "share-alike): https://github.com/fMoW/dataset/blob/master/LICENSE"
)

#: The largest image, 16288×16291, has some 100 MB as JPEG.
MAX_FILE_BYTES = 2**30

#: Left free on the disk at any time.
RESERVE_BYTES = 2**30

#: What an image is reckoned to need before its size is known (those of 1024×1024 and more are the larger ones).
TYPICAL_IMAGE_BYTES = 500_000


CHUNK = 2**20


TIMEOUT_SECONDS = 60.0

#: An answer worth another try: the request came too fast, or the server is in trouble.
RETRY_STATUS = (408, 429, 500, 502, 503, 504)

#: `opener(url)` gives a context manager with `read(n)` and `headers.get(name)`, as `urllib.request.urlopen` does.
Opener = Callable[[str], Any]


@dataclass(frozen=True)
class FetchReport:
    """What `fetch` did."""

    fetched: int
    present: int  #: files that were there already
    bytes: int  #: fetched


def fetch(
    paths: Sequence[str],
    root: Path | str,
    opener: Opener | None = None,
    workers: int = 8,
    attempts: int = 5,
    backoff: float = 1.0,
    progress: bool = True,
    notify: Callable[[str], None] | None = None,
) -> FetchReport:
    """Fetch files of fMoW-rgb into `root`, under their own relative paths.

    A file is written under another name and renamed once it is complete, so what stands there under its own name is
    complete and is not fetched again: an interrupted fetch goes on where it stopped.

    Parameters
    ----------
    paths : relative to the data set, from `select`
    opener : opens a URL; `urllib` by default
    workers : files in transfer at a time
    attempts : tries a file; the wait before the n-th is `backoff · 2**(n−2)` seconds
    notify : gets the licence notice; standard error by default

    Raises
    ------
    InputError
        A path that leaves its folder, a file that the bucket has not, or too little room on the disk.
    SatstudyError
        The bucket refuses (403), or a file failed `attempts` times.
    """
    root = Path(root)
    for name in paths:
        check_path(name)
    if workers < 1 or attempts < 1:
        raise InputError(f"workers = {workers} and attempts = {attempts} must be 1 or more.")
    names = list(dict.fromkeys(paths))
    missing = [name for name in names if not _complete(root / name)]
    (notify or (lambda text: print(text, file=sys.stderr)))(LICENCE)
    root.mkdir(parents=True, exist_ok=True)
    _require_room(root, TYPICAL_IMAGE_BYTES * sum(name.endswith(".jpg") for name in missing))
    job = _Job(root, opener or _urlopen, attempts, backoff)
    with (
        tqdm(total=len(missing), desc="fetching fMoW", unit="file", disable=not progress) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        try:
            futures = []
            for name in missing:
                future = pool.submit(job.file, name)
                future.add_done_callback(lambda f: bar.update(not f.cancelled() and f.exception() is None))
                futures.append(future)
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            job.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return FetchReport(len(missing), len(names) - len(missing), job.received)


def _complete(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _require_room(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if free < needed + RESERVE_BYTES:
        raise InputError(
            f"{root} has {free / 1e9:.1f} GB free and about {(needed + RESERVE_BYTES) / 1e9:.1f} GB are needed: choose "
            "another disk, or fewer objects."
        )


def _urlopen(url: str) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "satstudy"})
    return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)


class _Job:
    """What the workers of one `fetch` share."""

    def __init__(self, root: Path, opener: Opener, attempts: int, backoff: float):
        self.root, self.opener, self.attempts, self.backoff = root, opener, attempts, backoff
        self.stop = threading.Event()
        self.received = 0
        self._lock = threading.Lock()

    def file(self, name: str) -> None:
        url = BASE_URL + urllib.parse.quote(name)
        for attempt in range(1, self.attempts + 1):
            if attempt > 1:
                self.stop.wait(self.backoff * 2 ** (attempt - 2))
            if self.stop.is_set():
                return
            try:
                self._once(url, name)
                return
            except urllib.error.HTTPError as error:
                if error.code == 403:
                    raise SatstudyError(
                        f"The bucket {BUCKET} refused {name} (403), as it does to some networks: try from another one, "
                        f"or with `aws s3 cp --no-sign-request s3://{BUCKET}/{PREFIX}{name}`, and put the tree "
                        f"into {self.root}."
                    ) from None
                if error.code in (404, 410):
                    raise InputError(f"The bucket {BUCKET} has no {name}: fetch {MANIFEST} and select again.") from None
                if error.code not in RETRY_STATUS:
                    raise SatstudyError(f"The bucket {BUCKET} answered {error} for {name}: try again later.") from None
                last: Exception = error
            except (
                http.client.HTTPException,
                urllib.error.URLError,
                TimeoutError,
                ConnectionError,
                ssl.SSLError,
            ) as error:
                last = error
            except OSError as error:
                raise SatstudyError(
                    f"{name} could not be written ({error}): make room, or choose another folder."
                ) from None
        raise SatstudyError(
            f"{name} could not be fetched in {self.attempts} attempts ({last}): check the network and run the same "
            "again; what is there is kept."
        )

    def _once(self, url: str, name: str) -> None:
        target = self.root / name
        with self.opener(url) as answer, atomic(target) as temporary:
            stated = answer.headers.get("Content-Length")
            expected = int(stated) if stated is not None and re.fullmatch("[0-9]{1,15}", stated) else None
            if expected is not None:
                _require_room(self.root, expected)
            received = 0
            with open(temporary, "wb") as file:
                while chunk := answer.read(CHUNK):
                    received += len(chunk)
                    if received > MAX_FILE_BYTES:
                        raise InputError(f"{name} has more than {MAX_FILE_BYTES} bytes, unlike any of fMoW: omit it.")
                    if self.stop.is_set():
                        raise SatstudyError(f"{name} was given up, as another file failed.")
                    file.write(chunk)
            if received == 0 or (expected is not None and received != expected):
                raise ConnectionError(f"{received} of {expected} bytes came")
        with self._lock:
            self.received += received


MANIFEST = "manifest.json.bz2"

#: The list names some two million files of ~60 characters; unpacked it may have eight times that.
MAX_LIST_BYTES = 2**30


_RGB = re.compile(r"(train|val)/([^/]+)/(\2_\d+)/\3_\d+_rgb\.(jpg|json)")


def read_manifest_list(path: Path | str, max_bytes: int = MAX_LIST_BYTES) -> list[str]:
    """The relative paths in `manifest.json.bz2`, a flat JSON list.

    Raises
    ------
    InputError
        No such file, no bzip2, no list of strings, more than `max_bytes` unpacked, or a path that leaves
        its folder.
    """
    path = Path(path)
    try:
        with bz2.open(path) as file:
            text = file.read(max_bytes + 1)
        if len(text) > max_bytes:
            raise InputError(f"{path} unpacks to more than {max_bytes} bytes and is not fMoW's list: fetch it again.")
        listed = json.loads(text)
    except FileNotFoundError:
        raise InputError(f"There is no {path}: fetch {MANIFEST} first.") from None
    except InputError:
        raise
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no readable list of fMoW's files ({error}): fetch it again.") from None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise InputError(f"{path} is no flat list of paths: fetch it again.")
    for name in listed:
        check_path(name)
    return listed


def select(
    paths: Iterable[str],
    split: Literal["train", "val"],
    categories: Iterable[str] | None = None,
    objects_per_category: int | None = None,
    seed: int = 0,
) -> list[str]:
    """The `_rgb` images of some objects, each with its JSON, sorted.

    A category with fewer objects than asked for gives all it has. The choice depends on the seed and on the
    set of paths, not on their order, and more objects of the same seed include the fewer.

    Raises
    ------
    InputError
        A category without any image, or no image at all.
    """
    if objects_per_category is not None and objects_per_category < 1:
        raise InputError(f"objects_per_category = {objects_per_category} leaves nothing: take 1 or more, or None.")
    wanted = None if categories is None else set(categories)
    found: dict[str, dict[str, dict[str, set[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for name in paths:
        match = _RGB.fullmatch(name)
        if match and match[1] == split and (wanted is None or match[2] in wanted):
            stem, _, ending = name.rpartition(".")
            found[match[2]][match[3]][stem].add(ending)
    complete: dict[str, dict[str, list[str]]] = {}
    for category, objects in found.items():
        whole = {o: sorted(s for s, e in images.items() if e == {"jpg", "json"}) for o, images in objects.items()}
        complete[category] = {o: stems for o, stems in whole.items() if stems}
    missing = sorted(c for c in (wanted if wanted is not None else set(complete)) if not complete.get(c))
    if missing or not complete:
        raise InputError(
            f"The list has no {split} image of {', '.join(missing) or 'any category'}: "
            "check the names, or fetch the list again."
        )
    chosen: list[str] = []
    for category in sorted(complete):
        # Seeded by the name as well, so that the choice in one category does not hang on the others.
        rng = np.random.default_rng([seed, *category.encode()])
        objects_here = sorted(complete[category])
        for i in rng.permutation(len(objects_here))[:objects_per_category]:
            for stem in complete[category][objects_here[i]]:
                chosen += [f"{stem}.jpg", f"{stem}.json"]
    return sorted(chosen)


def keep_large(paths: Iterable[str], root: Path | str, min_size: int = 1024) -> list[str]:
    """Those paths whose image has at least `min_size` rows and columns, by the JSON files fetched before.

    An image whose JSON is missing, unreadable or silent about the size is kept.
    """
    kept = []
    for name in paths:
        check_path(name)
        sides: list[float] = []
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            meta = json.loads(Path(root, name).with_suffix(".json").read_bytes())
            sides = [float(meta["img_height"]), float(meta["img_width"])]
        if not sides or min(sides) >= min_size:
            kept.append(name)
    return kept


def is_plain(name: str) -> bool:
    """Whether a name stays in its folder on every system, and is written in the usual way."""
    pure = PurePosixPath(name)
    inside = bool(pure.name) and not pure.is_absolute() and ".." not in pure.parts and str(pure) == name
    return inside and name.isprintable() and not re.search(r"[\\:]", name)


def check_path(name: str) -> None:
    """Refuse a name that is absolute, climbs out of its folder, or is written in an unusual way."""
    if not is_plain(name):
        raise InputError(f"{name!r} is no plain path below the data set's folder: the list is damaged, fetch it again.")
