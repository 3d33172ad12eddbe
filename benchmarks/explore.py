"""Coverage-guided fuzzing of whatever reads foreign bytes; needs atheris: `pip install 'satstudy[fuzz]'`.

`python -m benchmarks.explore [SECONDS]` gives each target its share of the time, goes on where it stopped, and writes
how many inputs were executed, how many of them reached new code, and what was found. What a target learns lies in
`build/benchmarks/explore/NAME`; `python -m benchmarks.explore keep` reduces it to the smallest set of files that
reaches the same code, below `tests/corpus`, which the tests replay without atheris.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
#: Seconds that one input may take, on a machine with other work, and MiB of memory.
SECONDS, MEMORY = 300, 3000
#: Seconds that a target runs at a time.
SLICE = 600
#: Pixels that an image may have here, and bytes that a file in `tests/corpus` may.
PIXELS, LARGEST = 1 << 20, 2048
#: What libFuzzer prints at the end.
COUNTS = {"executions": "number_of_executed_units", "new_paths": "new_units_added"}


# --- Targets: each takes any bytes, and raises anything but InputError where the package has a fault -----------------


def container(data: bytes) -> None:
    """What is read of a `.sat` file is what would be written."""
    from satstudy.codecs.coding import bitstream
    from satstudy.core.errors import InputError

    for hostile in {data, resealed(data)}:
        with contextlib.suppress(InputError):
            file = bitstream.read(hostile, PIXELS)
            streams = [file.stream(index) for index in range(len(file.spans))]
            again = bitstream.read(bitstream.write(file.header, streams), PIXELS)
            assert again.header == file.header
            assert [again.stream(index) for index in range(len(again.spans))] == streams
            shape = file.header.group_counts()
            assert all(file.header.group_area(i, j).height > 0 for i in range(shape[0]) for j in range(shape[1]))


def mask(data: bytes) -> None:
    """A validity mask that is read has the size asked for and is written again as the same mask."""
    from satstudy.codecs.coding import bitstream
    from satstudy.core.errors import InputError

    if len(data) < 2:
        return
    height, width = data[0] % 64 + 1, data[1] + 1
    with contextlib.suppress(InputError):
        rows, _ = bitstream.split_mask(data[2:], height, width)
        if rows is None:
            return
        valid = bitstream.unpack_mask(rows, 0, height, 0, width)
        assert valid.shape == (height, width)
        again, rest = bitstream.split_mask(bitstream.pack_mask(valid) + b"rest", height, width)
        assert rest == b"rest"
        assert valid.all() if again is None else (bitstream.unpack_mask(again, 0, height, 0, width) == valid).all()


def image(data: bytes) -> None:
    """An image has the size that its header says, and the same pixels whole and by windows."""
    import numpy as np

    from satstudy.core.errors import InputError
    from satstudy.data import images

    with _file(data) as path, contextlib.suppress(InputError):
        height, width = images.image_size(path)
        if height * width > PIXELS:
            return
        pixels = images.read_image(path)
        assert pixels.shape == (height, width, 3)
        with images.open_image(path) as opened:
            parts = [opened.read(a, b, 0, width) for a, b in ((0, height // 2), (height // 2, height)) if a < b]
            assert np.array_equal(np.vstack(parts), pixels)
            hidden, partly = opened.masked_counts()
            assert 0 <= hidden + partly <= height * width
            json.dumps(opened.notes, allow_nan=False)


def weights(data: bytes) -> None:
    """The table of a safetensors file, with zeros for what it names."""
    from satstudy.codecs.learned import checkpoint
    from satstudy.core.errors import InputError

    whole = struct.pack("<Q", len(data)) + data + bytes(_tensor_bytes(data))
    with _file(whole, ".safetensors") as path, contextlib.suppress(InputError):
        checkpoint.metadata(path)
        found = checkpoint.load(path)
        assert found.lam > 0


def _tensor_bytes(table: bytes) -> int:
    """The bytes that a table of tensors asks for, as long as they are few."""
    with contextlib.suppress(Exception):  # no table, or none of tensors
        entries = json.loads(table)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        return max(0, min(int(max(ends, default=0)), 1 << 20))
    return 0


def pack(data: bytes) -> None:
    """Unpacking makes the images that are counted, and nothing outside its folder."""
    from satstudy.core.errors import InputError
    from satstudy.data import packing

    with _file(data, ".zip") as path, contextlib.suppress(InputError):
        folder = path.parent / "unpacked"
        count = packing.unpack(path, folder, progress=False)
        assert sum(found.is_file() for found in folder.rglob("*")) == count + 1
        assert {found.name for found in path.parent.iterdir()} == {path.name, folder.name}


def manifest(data: bytes) -> None:
    """Lists of files: fMoW's, and a study's own."""
    import bz2

    from satstudy.core.errors import InputError
    from satstudy.data import download, splits

    for compressed in (data, bz2.compress(data)):
        with _file(compressed) as path, contextlib.suppress(InputError):
            listing = download.read_manifest_list(path, 1 << 16)
            assert all(map(download.is_plain, download.choose(listing, "train", 1, large=lambda images: images)))
    with _file(data, ".csv") as path, contextlib.suppress(InputError):
        frame = splits.read_manifest(path)
        assert not any(name.startswith("/") or ".." in name.split("/") for name in frame["path"])


def sidecar(data: bytes) -> None:
    """The JSON beside an image of fMoW: boxes lie on the image, and the view of one has the size asked for."""
    from satstudy.core.errors import InputError
    from satstudy.data import fmow

    with _file(data, ".json") as path, contextlib.suppress(InputError):
        meta = fmow.read_sidecar(path)
        gsd = fmow.sidecar_number(meta.get("gsd"))
        boxes, _ = fmow.sidecar_boxes(meta.get("bounding_boxes"), "zoo", 90, 120, path)
        for box in boxes:
            assert 1 - box.w <= box.x < 120
            assert 1 - box.h <= box.y < 90
            assert min(box.w, box.h) >= 1
            context = fmow.context_box(box, gsd if gsd and gsd > 0 else None)
            assert context.w >= box.w
            assert context.h >= box.h


TARGETS: dict[str, Callable[[bytes], None]] = {
    f.__name__: f for f in (container, mask, image, weights, pack, manifest, sidecar)
}


@contextlib.contextmanager
def _file(data: bytes, ending: str = "") -> Iterator[Path]:
    """The bytes as a file, alone in its folder."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder, f"input{ending}")
        path.write_bytes(data)
        yield path


def resealed(data: bytes) -> bytes:
    """The same bytes with the checksums of index and header corrected, as far as they can be found."""
    from satstudy.codecs.coding import bitstream
    from satstudy.codecs.coding.bitstream import MASKED, TILE_UNIT, WITH_LAM, Header

    cursor = bitstream._Cursor(memoryview(data))
    try:
        start = cursor.take(13)
        cursor.take(1 if start[4] & MASKED else 0)
        height, width, tile, overlap, group, notes = (cursor.varint() for _ in range(6))
        if start[3] == WITH_LAM:
            cursor.varint()
        cursor.take(notes)
        tile = max(1, tile) * TILE_UNIT
        header = Header(height, width, "seamless", tile, min(overlap, 15), max(1, group), b"")
        out, entries = bytearray(data), []
        count = header.group_counts()[0] * header.group_counts()[1]
        for _ in range(min(1000, count) if count > 1 else 0):
            length = cursor.varint()
            entries.append((cursor.at, length))
            cursor.take(4)
        end = cursor.at
        at = end + 4
        for place, length in entries:
            out[place : place + 4] = zlib.crc32(data[at : at + length]).to_bytes(4, "little")
            at += length
        covered = out[:end] + (out[end + 4 :] if count == 1 else b"")
        out[end : end + 4] = zlib.crc32(bytes(covered)).to_bytes(4, "little")
        return bytes(out)
    except Exception:
        return data


# --- Running ---------------------------------------------------------------------------------------------------------


def child(name: str, arguments: list[str]) -> None:
    """One process of libFuzzer; the package is imported here first, so that its branches are counted."""
    import atheris

    with atheris.instrument_imports(include=["satstudy", "zipfile"]):
        TARGETS[name](CORPUS.joinpath(name, "seed").read_bytes())  # imports what the target needs
    # libFuzzer starts itself again when it reduces a corpus, by the first of these words as a shell reads them.
    atheris.Setup([f"{sys.executable} -m benchmarks.explore child {name}", *arguments], TARGETS[name])
    atheris.Fuzz()


def _fuzz(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    limits = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY}", "-print_final_stats=1", "-max_len=8192"]
    limits.append(f"-report_slow_units={SECONDS}")
    line = [sys.executable, "-m", "benchmarks.explore", "child", name, *arguments, *limits]
    return subprocess.run(line, capture_output=True, text=True, errors="replace")


def run(seconds: float, results: Path) -> dict[str, Any]:
    """Let every target run for its share of `seconds`; figures are kept after each slice, for the next run too."""
    path = results / "explore.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    while waiting := [name for name in TARGETS if kept.get(name, {}).get("seconds", 0) < seconds / len(TARGETS)]:
        name = min(waiting, key=lambda name: kept.get(name, {}).get("seconds", 0))
        figures = kept.setdefault(name, {"seconds": 0, "cpu_seconds": 0, **dict.fromkeys(COUNTS, 0), "findings": []})
        folder = results / "explore" / name
        folder.mkdir(parents=True, exist_ok=True)
        left = min(SLICE, seconds / len(TARGETS) - figures["seconds"])
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = _fuzz(name, str(folder), str(CORPUS / name), f"-max_total_time={max(1, round(left))}",
                     f"-artifact_prefix={folder}-")  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures["seconds"] += round(time.monotonic() - start)
        figures["cpu_seconds"] += round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        for key, word in COUNTS.items():
            figures[key] += sum(map(int, re.findall(rf"stat::{word}: +(\d+)", done.stderr)))
        if reached := re.findall(r"cov: (\d+)", done.stderr):
            figures["branches"] = int(reached[-1])
        if done.returncode:
            words = re.findall(r"^ *=== Uncaught Python exception: ===\n(.*)|^.*ERROR: (.*)", done.stderr, re.M)
            said = " ".join(filter(None, words[0])) if words else done.stderr[-300:]
            where = re.findall(r'File "[^"]*(satstudy/[^"]*)", line (\d+)', done.stderr)
            finding = f"{said} ({':'.join(where[-1])})" if where else said
            if finding not in figures["findings"]:
                figures["findings"].append(finding)
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print(
            name, {key: value for key, value in figures.items() if key != "findings"}, figures["findings"], flush=True
        )
    return kept


def keep(results: Path) -> None:
    """Reduce what was learned to the smallest files that reach the same code, below `tests/corpus`."""
    for name in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            short = Path(folder, "short")
            short.mkdir()
            for source in sorted((*(CORPUS / name).iterdir(), *(results / "explore" / name).iterdir())):
                if source.stat().st_size <= LARGEST:
                    shutil.copy(source, short / source.name)
            merged = Path(folder, "merged")
            merged.mkdir()
            done = _fuzz(name, "-merge=1", str(merged), str(short))
            if done.returncode:
                raise SystemExit(f"{name} could not be reduced:\n{done.stderr[-2000:]}")
            for old in (CORPUS / name).iterdir():
                if old.name != "seed":
                    old.unlink()
            for new in merged.iterdir():
                if new.read_bytes() != (CORPUS / name / "seed").read_bytes():
                    shutil.copy(new, CORPUS / name / new.name[:12])
            print(name, len(list((CORPUS / name).iterdir())), "files", flush=True)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["child"]:
        child(arguments[1], arguments[2:])
        return
    from satstudy.core.paths import BUILD

    results = BUILD / "benchmarks"
    if arguments == ["keep"]:
        keep(results)
        return
    results.mkdir(parents=True, exist_ok=True)
    found = run(float(arguments[0]) if arguments else 3600, results)
    if any(figures["findings"] for figures in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
