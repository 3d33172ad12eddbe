"""The archive workflow on many small images, some of them damaged, killed and resumed; then every file is decoded."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import save, scene
from satstudy.core import paths

#: Damaged files among the images: cut, empty, and no image at all.
DAMAGED = 7


def images(folder: Path, count: int, side: int = 64) -> None:
    """Tiles of synthetic scenes as PNG, in folders of 100."""
    rng = np.random.default_rng(0)
    source = [scene(512, name) for name in ("parking_lot_or_garage", "lake_or_pond", "airport")]
    for i in range(count):
        top, left = rng.integers(0, 512 - side, 2)
        path = folder / f"{i // 100:03}" / f"{i:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source[i % len(source)][top : top + side, left : left + side]).save(path)
    for i in rng.permutation(count)[:DAMAGED].tolist():
        path = folder / f"{i // 100:03}" / f"{i:06}.png"
        path.write_bytes([b"", b"no image", path.read_bytes()[:200]][i % 3])


def start(folder: Path, shards: int, cores: int) -> subprocess.Popen[bytes]:
    """Snakemake in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.ROOT / "workflow" / "archive.smk")]
    command += ["--directory", str(folder), "--cores", str(cores), "--quiet", "all", "--rerun-incomplete", "--nolock"]
    command += ["--config", f"images={folder / 'images'}", f"out={folder / 'coded'}", f"shards={shards}"]
    with (folder / "log").open("ab") as log:  # the process keeps a handle of its own
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def main(count: int = 2000, shards: int = 8, cores: int = 2, kill_at: Sequence[float] = (0.25, 0.6)) -> None:
    """Kill the workflow whenever a share `kill_at` of the images is coded, finish it, and check every file."""
    from satstudy.cli.files import matching
    from satstudy.codecs import LearnedCodec
    from satstudy.codecs.coding import bitstream

    folder = Path(tempfile.mkdtemp(prefix="archive"))
    images(folder / "images", count)
    began, kills = time.perf_counter(), []
    for share in kill_at:
        run = start(folder, shards, cores)
        while (done := len(list((folder / "coded").rglob("*.sat")))) < share * count and run.poll() is None:
            time.sleep(0.2)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        kills.append(done)
    status = start(folder, shards, cores).wait()
    seconds = time.perf_counter() - began
    report = json.loads((folder / "coded" / "archive.json").read_text())
    lost = 0
    codecs: dict[bytes, LearnedCodec] = {}
    for path in sorted((folder / "images").rglob("*.png")):
        coded = folder / "coded" / path.relative_to(folder / "images").with_suffix(".sat")
        try:
            with Image.open(path) as opened:
                image = np.asarray(opened.convert("RGB"))
        except OSError:
            continue
        if not coded.exists():
            lost += 1
            continue
        data = coded.read_bytes()
        key = bitstream.read(data).header.fingerprint
        if key not in codecs:
            codecs[key] = LearnedCodec(matching(key))
        lost += codecs[key].decode(data).shape != image.shape
    left = len([path for path in (folder / "coded").rglob(".*") if path.is_file()])
    figures = {"images": count, "damaged": DAMAGED, "shards": shards, "cores": cores, "exit status": status}
    figures |= {f"coded at kill {i + 1}": done for i, done in enumerate(kills)}
    figures |= {f"reported {name}": value for name, value in report.items()}
    save("archive", figures | {"files lost": lost, "temporary files left": left, "seconds with kills": seconds})
    shutil.rmtree(folder)
    if lost or status or report["failed"] != DAMAGED:
        raise SystemExit(1)
