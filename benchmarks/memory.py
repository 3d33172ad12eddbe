"""Time and peak memory of whole calls by image size, each in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

from benchmarks.common import RESULTS, paper_sized, save, scene, shipped, shipped_for_every_rate

SIZES = (1024, 2048, 4096, 8192, 14800)


def one(side: int, action: str, size: str) -> None:
    """Encode or decode one image; prints seconds and peak bytes."""
    from satstudy.codecs import LearnedCodec

    checkpoint = {"paper": paper_sized, "mbt2018": shipped, "learned": shipped_for_every_rate}[size]()
    codec = LearnedCodec(checkpoint, "seamless")
    path = RESULTS / f"memory-{size}-{side}.sat"
    width = 14802 if side == 14800 else side
    height = 14798 if side == 14800 else side
    if action == "encode":
        image = scene(max(height, width))[:height, :width]
        start = time.perf_counter()
        data = codec.encode(image)
        seconds = time.perf_counter() - start
        path.write_bytes(data)
    else:
        data = path.read_bytes()
        start = time.perf_counter()
        image = codec.decode(data)
        seconds = time.perf_counter() - start
        assert image.shape == (height, width, 3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "bytes": len(data)}))


def main(size: str = "learned", largest: int = SIZES[-1]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for side in SIZES:
        if side > largest:
            continue
        for action in ("encode", "decode"):
            command = [sys.executable, "-m", "benchmarks", "memory-one", str(side), action, size]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr[-2000:])
            result = json.loads(done.stdout.splitlines()[-1])
            figures[f"{side} {action} seconds"] = result["seconds"]
            figures[f"{side} {action} peak GiB"] = result["peak"] / 2**30
            figures[f"{side} {action} MB/s"] = 3 * side**2 / 1e6 / result["seconds"]
            print(side, action, result, flush=True)
    save(f"memory-{size}", figures)
