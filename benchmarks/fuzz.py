"""Mutated, truncated and random files, decoded in a process with a memory limit.

A file that is not the original must be refused or, where the change did not touch what is decoded, give
the same pixels: never a crash, a hang, or another image without an error.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks.common import save, shipped, shipped_for_every_rate
from benchmarks.explore import resealed

LIMIT = 6 * 2**30  #: bytes of address space, most of which PyTorch reserves and never uses
PIXELS = 4 * 10**6  #: a caller's own limit, as a server would set it
SECONDS = 20.0  #: more than any file of this size may take


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One hostile file."""
    out = bytearray(data)
    kind = int(rng.integers(8))
    if kind == 0:
        return bytes(out[: int(rng.integers(len(out)))])
    if kind == 1:
        return rng.bytes(int(rng.integers(1, 400)))
    if kind == 2:
        return data[:4] + rng.bytes(int(rng.integers(1, 200)))
    if kind == 3:
        return bytes(out) + rng.bytes(int(rng.integers(1, 50)))
    if kind == 4:
        a, b = sorted(rng.integers(len(out), size=2).tolist())
        return bytes(out[:a] + out[b:])
    for _ in range(int(rng.integers(1, 6))):
        # Half of the changes fall into the header.
        end = len(out) if rng.integers(2) else min(60, len(out))
        out[int(rng.integers(end))] = int(rng.integers(256))
    if kind >= 6:
        # The attacker knows the format: checksums are made right again.
        out = bytearray(resealed(bytes(out)))
    return bytes(out)


def worker(seed: int, count: int) -> None:
    """Decode `count` hostile files; prints a JSON line of counts at the end."""
    import torch

    from satstudy.codecs import LearnedCodec
    from satstudy.codecs.learned import codec as learned
    from satstudy.core.errors import InputError
    from satstudy.data.synthetic.scene import draw

    torch.set_num_threads(1)
    image = draw("race_track", 0, 0, 0, (200, 200)).image
    codecs = [
        LearnedCodec(shipped(), "blend", 64, 8),
        LearnedCodec(shipped(), "seamless", 64),
        LearnedCodec(shipped(), "independent", 128),
        LearnedCodec(shipped_for_every_rate(), "seamless"),
        LearnedCodec(shipped_for_every_rate(), "independent", 128, lam=0.001),
    ]
    files = []
    # One of each kind has several groups, each with a stream and a checksum; the others have one group.
    for codec, group in zip(codecs, (128, 2048, 2048, 2048, 128), strict=True):
        learned.GROUP_PIXELS = group
        files.append(codec.encode(image, {"crs": "EPSG:32614"}))
    pixels = [codec.decode(data) for codec, data in zip(codecs, files, strict=True)]
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    rng = np.random.default_rng(seed)
    counts: dict[str, Any] = {"refused": 0, "same": 0, "forged": 0, "silent": 0, "other": 0, "slowest": 0.0}
    for _ in range(count):
        which = int(rng.integers(len(files)))
        hostile = mutate(files[which], rng)
        start = time.perf_counter()
        try:
            decoded = codecs[which].decode(hostile, max_pixels=PIXELS)
            if decoded.shape == pixels[which].shape and (decoded == pixels[which]).all():
                counts["same"] += 1
            elif resealed(hostile) == hostile and hostile[:3] == b"SaT" and _valid(hostile):
                # Whole in itself: another file, not a damaged one. No format can tell it from an honest one.
                counts["forged"] += 1
            else:
                counts["silent"] += 1
        except InputError:
            counts["refused"] += 1
        except Exception as error:
            counts["other"] += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        counts["slowest"] = max(counts["slowest"], time.perf_counter() - start)
    print(json.dumps(counts))


def _valid(data: bytes) -> bool:
    from satstudy.codecs.coding import bitstream
    from satstudy.core.errors import InputError

    try:
        file = bitstream.read(data)
        for index in range(len(file.spans)):
            file.stream(index)
        return True
    except InputError:
        return False


def main(total: int = 10_000, parts: int = 10) -> None:
    sums: dict[str, Any] = {}
    crashes = hangs = 0
    for part in range(parts):
        command = [sys.executable, "-m", "benchmarks", "fuzz-worker", str(part), str(total // parts)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * total / parts)
        except subprocess.TimeoutExpired:
            hangs += 1
            continue
        if done.returncode:
            crashes += 1
            print(done.stderr[-2000:], file=sys.stderr)
            continue
        print(done.stderr, end="", file=sys.stderr)
        for key, value in json.loads(done.stdout.splitlines()[-1]).items():
            sums[key] = max(sums.get(key, 0), value) if key == "slowest" else sums.get(key, 0) + value
        print(part, done.stdout.splitlines()[-1], flush=True)
    save("fuzz", {"files": total, "crashes": crashes, "hangs": hangs, **sums})
    if crashes or hangs or sums.get("silent") or sums.get("other"):
        raise SystemExit(1)
