"""The commands that code files: `compress`, `decompress` and `info`. Each gives the exit status."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from satstudy.cli.arguments import watched
from satstudy.codecs.base import closest_rate
from satstudy.core.errors import InputError

if TYPE_CHECKING:
    from satstudy.cli.coding import Pair
    from satstudy.codecs import LearnedCodec
    from satstudy.codecs.learned.checkpoint import Checkpoint

# PyTorch takes seconds to import: each command imports what it needs, when it needs it.


def _codec(checkpoint: Checkpoint, arguments: argparse.Namespace, several: bool) -> LearnedCodec:
    """The codec as the arguments have it; its bar is left to the files where there are several."""
    import torch

    from satstudy.codecs import LearnedCodec

    try:
        torch.empty(1, device=arguments.device)
    except (RuntimeError, AssertionError):
        raise InputError(f"PyTorch finds no device {arguments.device!r} here: take cpu.") from None
    names = ("tiling", "patch", "overlap", "weighting", "refine")
    cutting = {name: getattr(arguments, name) for name in names if name in arguments}  # decoding has none
    return LearnedCodec(checkpoint, **cutting, device=arguments.device, progress=watched(arguments) and not several)


def _each(pairs: Sequence[Pair], arguments: argparse.Namespace, work: Callable[[Path, Path], str]) -> int:
    """Do all files, and say what became of each; one that is unusable does not stop the others of a folder."""
    from tqdm.auto import tqdm

    from satstudy.cli.coding import about

    failed = 0
    for source, target in tqdm(pairs, unit="file", disable=len(pairs) == 1 or not watched(arguments)):
        try:
            with about(source):
                line = work(source, target)
            tqdm.write(f"{target}: {line}", file=sys.stdout)
        except InputError as error:
            if len(pairs) == 1:
                raise
            tqdm.write(f"satstudy: {error}", file=sys.stderr)
            failed += 1
    if failed:
        raise InputError(f"{failed} of {len(pairs)} files could not be coded: mend or remove them.")
    return 0


def compress(arguments: argparse.Namespace) -> int:
    """Images to .sat files."""
    from satstudy.cli import coding

    if arguments.bpp is not None and not 0 < arguments.bpp < math.inf:
        raise InputError(f"--bpp {arguments.bpp:g} must be a number above 0.")
    pairs = coding.pairs(arguments.image, arguments.out, ".sat")
    for pair in pairs:
        coding.check_compressed_name(pair.target)

    from satstudy.codecs.learned import checkpoint as zoo
    from satstudy.core.paths import atomic
    from satstudy.data import geotiff

    if arguments.bpp is None:
        known: list[Path] = [Path()]  # a ladder of one
        codecs = {0: _codec(coding.weights(arguments.lam, arguments.weights), arguments, len(pairs) > 1)}
    else:
        known, codecs = [*coding.shipped().values()], {}

    def work(path: Path, out: Path) -> str:
        coded: dict[int, bytes] = {}
        with geotiff.open_source(path, arguments.bands) as source:

            def rate(index: int) -> float:
                if index not in codecs:
                    codecs[index] = _codec(zoo.load(known[index]), arguments, len(pairs) > 1)
                if index not in coded:
                    coded[index] = codecs[index].encode(source, source.notes)
                return 8 * len(coded[index]) / (source.height * source.width)

            best = closest_rate(rate, len(known), arguments.bpp or 0)
            got = f"{rate(best):.4f} bpp" + (f" (asked for {arguments.bpp:g})" if arguments.bpp else "")
        with atomic(out) as temporary:
            temporary.write_bytes(coded[best])
        return f"{len(coded[best])} bytes, {got}, {codecs[best].setting}, {codecs[best].tiling}"

    return _each(pairs, arguments, work)


def decompress(arguments: argparse.Namespace) -> int:
    """.sat files to images."""
    from satstudy.cli import coding
    from satstudy.codecs.coding import bitstream
    from satstudy.codecs.coding.bitstream import MAX_SIDE

    pairs = coding.pairs(arguments.image, arguments.out, f".{arguments.format}")
    limit = arguments.max_pixels or bitstream.MAX_PIXELS
    if limit < 1:
        raise InputError(f"--max-pixels {limit} must be 1 or more.")
    if len(pairs) == 1:  # what is wrong with it is told before PyTorch is imported
        with coding.about(pairs[0].source):
            bitstream.read(coding.mapped(pairs[0].source), MAX_SIDE**2 if arguments.window else limit)

    from satstudy.cli import geotiff_output
    from satstudy.codecs.learned.codec import Window

    for pair in pairs:
        geotiff_output.check_output(pair.target)
    window = Window(*arguments.window) if arguments.window else None
    codecs: dict[bytes, LearnedCodec] = {}

    def work(path: Path, out: Path) -> str:
        data = coding.mapped(path)
        header = bitstream.read(data, MAX_SIDE**2 if window else limit).header
        key = b"" if arguments.weights else header.fingerprint
        if key not in codecs:
            checkpoint = coding.weights(path=arguments.weights) if arguments.weights else coding.matching(key)
            codecs[key] = _codec(checkpoint, arguments, len(pairs) > 1)
        geotiff_output.decode_to(codecs[key], data, out, window, limit)
        return f"{window.width if window else header.width}×{window.height if window else header.height} pixels"

    return _each(pairs, arguments, work)


def info(arguments: argparse.Namespace) -> int:
    """What a .sat file says about itself; status 2 if part of it is damaged."""
    from satstudy.cli import coding
    from satstudy.codecs.coding import bitstream
    from satstudy.codecs.coding.bitstream import MAX_SIDE

    path = Path(arguments.file)
    with coding.about(path):
        data = coding.mapped(path)
        file = bitstream.read(data, MAX_SIDE**2)
    header = file.header
    overhead = file.spans[0][0]
    tiles = math.prod(header.tiles())
    rows = {
        "version": data[3],
        "size": f"{header.width}×{header.height} pixels (width×height)",
        "bytes": f"{len(data)} ({8 * len(data) / (header.width * header.height):.4f} bpp)",
        "tiling": f"{header.tiling}, {header.tile} px, overlap {header.overlap} px",
        "tiles": f"{tiles} in {len(file.spans)} stream{'s' if len(file.spans) > 1 else ''}",
        "overhead": f"{overhead} bytes ({100 * overhead / len(data):.2f} %)",
        "weights": header.fingerprint.hex(),
        "no data": "no mask" if header.fill is None else f"masked, value {header.fill}",
        "notes": "none" if not header.notes else "",
    }
    for name, value in rows.items():
        print(f"{name:9} {value}".rstrip())
    for name, value in header.notes.items():
        # Foreign text: shown as JSON, so that it can hold no control character, and not at any length.
        shown = f"{json.dumps(name)[1:-1]}: {json.dumps(value)}"
        print(f"  {shown if len(shown) <= 200 else shown[:200] + '…'}")
    damaged = 0
    for index in range(len(file.spans)):
        try:
            file.stream(index)
        except InputError as error:
            print(f"satstudy: {path}: {error}", file=sys.stderr)
            damaged += 1
    return 2 if damaged else 0
