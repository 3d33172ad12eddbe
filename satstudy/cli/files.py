"""The commands that code files: `compress`, `decompress` and `info`. Each gives the exit status.

PyTorch takes seconds to import and NumPy a third of one: each function imports what it needs, so that a wrong name is
told at once.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import csv
import json
import math
import mmap
import os
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from satstudy.cli.arguments import shows_progress
from satstudy.core import paths
from satstudy.core.errors import InputError, SatstudyError, printable

if TYPE_CHECKING:
    from satstudy.codecs import LearnedCodec
    from satstudy.codecs.coding.bitstream import Header
    from satstudy.codecs.learned.checkpoint import Checkpoint
    from satstudy.codecs.learned.codec import Window
    from satstudy.codecs.learned.ladder import Ladder
    from satstudy.data.geotiff import Raster
    from satstudy.data.images import WholeImage

#: λ of `compress` without `--lam` if weights for several λ ship and none that serve every λ: the nearest to this.
DEFAULT_LAM = 0.01
#: Largest number of bytes of a file name on common file systems.
MAX_NAME = 255
#: Columns of the table that `--report` writes.
REPORT_COLUMNS = ("file", "state", "bytes_in", "bytes_out", "seconds", "remark")


# --- Names --------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A file to read and the one to write."""

    source: Path
    target: Path


def pairs(source: Path | str, target: Path | str, ending: str, overwrite: bool = True) -> list[Pair]:
    """The files to read and to write: one pair, or for a folder all its files, in the same folders below `target`.

    Parameters
    ----------
    ending : suffix of the outputs of a folder; ".sat" takes the images of the folder as inputs, any other suffix takes
        its `.sat` files

    Raises
    ------
    InputError
        There is nothing to read, the target cannot be written, or it exists and `overwrite` is false.
    """
    from satstudy.data.headers import opened
    from satstudy.data.images import find_images

    source, target = Path(source), Path(target)
    if not source.is_dir():
        with opened(source):
            check_target(target, source)
        if not overwrite and target.exists():
            raise InputError(f"{target} is there already: leave out --no-overwrite to replace it.")
        return [Pair(source, target)]
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file and {source} a folder: name a folder for the output too.")
    if ending == ".sat":
        with naming(source):
            inside = find_images([source])
    else:
        inside = _sat_files(source)
        if target.exists() and target.samefile(source):
            raise InputError(f"{target} may hold the original images under the same names: name another folder.")
    check_target(target)
    return [Pair(path, (target / path.relative_to(source)).with_suffix(ending)) for path in inside]


def _sat_files(folder: Path) -> list[Path]:
    """The `.sat` files of a folder and its folders, of which there must be some."""
    from satstudy.data.images import walk

    found = sorted(walk(folder, (".sat",)))
    if not found:
        raise InputError(f"{folder} holds no .sat file: name another folder.")
    return found


def check_target(target: Path, source: Path | None = None) -> None:
    """Raise InputError if the output cannot be written or is the input, before any work."""
    if str(target) == "-":
        raise InputError("- stands for no file here: name the output.")
    if source and target.is_dir():
        raise InputError(f"{target} is a folder: name a file in it.")
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise InputError(f"{target} is no regular file: name another output.")
    if source and target.exists() and target.samefile(source):
        raise InputError(f"{target} is the input itself: name another output.")
    folder = target.absolute().parent
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: make it, or choose another one for the output.")
    if not os.access(target if target.is_dir() else folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written to: choose another folder for the output.")


def check_compressed_name(target: Path) -> None:
    """Raise InputError if the name of the output is that of an image or of weights: the arguments may be exchanged."""
    from satstudy.data.images import EXTENSIONS

    if target.suffix.lower() in (*EXTENSIONS, ".safetensors"):
        raise InputError(f"{target} ends in {target.suffix} and would be a compressed file: name it .sat.")


def read_mapped(path: Path) -> memoryview:
    """The bytes of a file, memory-mapped, so that only the decoded parts are read; InputError if it cannot be read."""
    from satstudy.data.headers import opened

    with opened(path) as file:
        empty = not os.fstat(file.fileno()).st_size
        return memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Prefix the messages of errors raised within by the name of the file, unless they have it."""
    try:
        yield
    except SatstudyError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


# --- Weights ------------------------------------------------------------------------------------------------------


def weights(lam: float | None = None, path: Path | str | None = None) -> Checkpoint:
    """The weights to code with.

    Parameters
    ----------
    lam : if only weights for single λ ship, the λ; by default the one nearest to `DEFAULT_LAM`
    path : a file of weights; by default those that ship and serve every λ

    Raises
    ------
    InputError
        There is no such file, or no weights ship for this λ.
    """
    from satstudy.codecs.learned import checkpoint

    if path:
        return checkpoint.load(path)
    if (every := checkpoint.shipped_for_every_rate()) is not None:
        return checkpoint.load(every)
    known = checkpoint.shipped()
    if not known:
        raise checkpoint.none_ship("for overhead images", "name some with --weights")
    if lam is None:
        lam = checkpoint.nearest(DEFAULT_LAM, list(known))
    if lam not in known:
        names = ", ".join(f"{other:g}" for other in known)
        raise checkpoint.none_ship(f"for --lam {lam:g}", f"take one of {names}, or name weights with --weights")
    return checkpoint.load(known[lam])


def matching(fingerprint: bytes) -> Checkpoint:
    """The shipped weights that a file was made with.

    Raises
    ------
    InputError
        It was made with others.
    """
    from satstudy.codecs.learned import checkpoint

    for path in checkpoint.everything_shipped():
        found = checkpoint.load(path)
        if found.fingerprint == fingerprint:
            return found
    raise InputError(
        f"This file was made with weights {fingerprint.hex()}, which do not ship with this version: "
        "name them with --weights."
    )


def _codec(
    checkpoint: Checkpoint, arguments: argparse.Namespace, several: bool, lam: float | None = None
) -> LearnedCodec:
    """The codec with the options of the command; `lam` is for weights that serve every λ."""
    from satstudy.codecs import LearnedCodec

    return LearnedCodec(checkpoint, lam=lam, **_options(arguments, several))


def _ladder(arguments: argparse.Namespace, several: bool) -> Ladder:
    """The codecs that `--bpp` and `--psnr` search: those of `--weights` or of the shipped weights, at every λ."""
    from satstudy.codecs.learned import checkpoint
    from satstudy.codecs.learned.ladder import Ladder, shipped_ladder

    options = _options(arguments, several)
    return Ladder(checkpoint.load(arguments.weights), **options) if arguments.weights else shipped_ladder(**options)


def _options(arguments: argparse.Namespace, several: bool) -> dict[str, Any]:
    """Options of `LearnedCodec`; if there are several files, only the bar over files is shown."""
    import torch

    try:
        torch.ones(1, device=arguments.device).add_(1).cpu()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"PyTorch finds no device {arguments.device!r} here: take cpu.") from None
    names = ("tiling", "patch", "overlap", "weighting", "refine")
    given = {name: getattr(arguments, name) for name in names if name in arguments}  # `decompress` has none of these
    return {**given, "device": arguments.device, "progress": shows_progress(arguments) and not several}


# --- Many files ---------------------------------------------------------------------------------------------------


def _say(path: Path, remark: object) -> None:
    from tqdm.auto import tqdm

    text = " ".join(str(remark).split())  # foreign errors have lines
    tqdm.write(f"satstudy: {printable(text if str(path) in text else f'{path}: {text}')}", file=sys.stderr)


def _each(pairs: Sequence[Pair], arguments: argparse.Namespace, work: Callable[[Path, Path], str]) -> int:
    """Call `work(source, target)` for each pair, and print the line that it returns.

    In a folder, an error with one file does not stop the others, and a summary follows.

    Returns
    -------
    The exit status: 0, 1 if something failed, else 2 if an input was unusable.
    """
    from tqdm.auto import tqdm

    folder = Path(arguments.image).is_dir()
    if arguments.report and (Path(arguments.report).suffix.lower() != ".csv" or Path(arguments.report).is_dir()):
        raise InputError(f"{arguments.report} is to become a table: name a file with the ending .csv.")
    sources_of = Counter(pair.target for pair in pairs)
    rows: list[Sequence[Any]] = []
    counts: Counter[str] = Counter()
    statuses: list[int] = []
    for source, target in tqdm(
        _shard(pairs, arguments), unit="file", disable=not folder or not shows_progress(arguments)
    ):
        began, state, remark = time.perf_counter(), "done", ""
        if not arguments.overwrite and os.path.exists(target) and sources_of[target] == 1:
            state = "skipped"
        else:
            try:
                if sources_of[target] > 1:
                    raise InputError(f"{source} and another file would become {target}: rename one of them.")
                if len(os.fsencode(target.name)) > MAX_NAME:
                    raise InputError(f"{source} would become a file with a name above {MAX_NAME} bytes: rename it.")
                if target.is_dir():
                    raise InputError(f"{source} would become {target}, which is a folder: rename one of them.")
                with naming(source):
                    line = work(source, target)
                tqdm.write(f"{printable(target)}: {line}", file=sys.stdout)
            except Exception as error:
                if not folder or isinstance(error, BrokenPipeError):
                    raise
                statuses.append(2 if isinstance(error, InputError) else 1)
                remark = str(error) if isinstance(error, SatstudyError) else f"{type(error).__name__}: {error}"
                state = "failed"
                _say(source, remark)
        if arguments.report:
            size = 0 if state == "failed" else target.stat().st_size
            before = os.path.getsize(source) if os.path.exists(source) else 0  # a link to nothing has none
            rows.append((source, state, before, size, time.perf_counter() - began, remark))
        counts[state] += 1
    if arguments.report:
        _write_report(Path(arguments.report), rows)
    if folder:
        advice = ": mend or remove what is listed above" if statuses else ""
        said = ", ".join(f"{counts[state]} {state}" for state in ("done", "skipped", "failed"))
        print(f"satstudy: {said}{advice}.", file=sys.stderr)
    return min(statuses, default=0)


def _shard(pairs: Sequence[Pair], arguments: argparse.Namespace) -> Sequence[Pair]:
    """The pairs of `--shard I/N`: those with CRC-32(name) mod N = I − 1, the same on every machine and in every run."""
    if not arguments.shard:
        return pairs
    index, count = arguments.shard
    names = ((pair, os.fsencode(pair.source.relative_to(arguments.image))) for pair in pairs)
    return [pair for pair, name in names if zlib.crc32(name) % count == index - 1]


def _write_report(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    from satstudy.core.paths import atomic

    with atomic(path) as temporary, temporary.open("w", newline="", errors="backslashreplace") as file:
        csv.writer(file).writerows([REPORT_COLUMNS, *rows])


# --- The commands -------------------------------------------------------------------------------------------------


def compress(arguments: argparse.Namespace) -> int:
    """Images to .sat files."""
    for name in ("bpp", "psnr"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name} {value:g} must be a number above 0.")
    jobs = pairs(arguments.image, arguments.out, ".sat", arguments.overwrite)
    for job in jobs:
        check_compressed_name(job.target)

    from satstudy.data.images import open_image

    if not Path(arguments.image).is_dir():  # raises for a bad image before PyTorch, which takes seconds, is imported
        with open_image(arguments.image, arguments.bands):
            pass

    from satstudy.codecs.coding.bitstream import MAX_SIDE
    from satstudy.codecs.learned.ladder import file_psnr
    from satstudy.core.paths import atomic

    several = len(jobs) > 1
    wanted = {"bpp": arguments.bpp, "psnr": arguments.psnr}
    searches = any(value is not None for value in wanted.values())
    if searches:
        ladder = _ladder(arguments, several)
    else:
        codec = _codec(weights(arguments.lam, arguments.weights), arguments, several, lam=arguments.lam)

    def work(path: Path, out: Path) -> str:
        with open_image(path, arguments.bands, masked=not arguments.no_mask) as image:
            if max(image.height, image.width) > MAX_SIDE:  # before masks of any size are read
                raise InputError(f"{path} has a side above the limit of {MAX_SIDE} pixels: cut it into scenes.")
            notes, remarks = _shortened(image.notes)
            for remark in [*image.remarks, *_mask_remarks(image), *remarks]:
                _say(path, remark)
            if searches:
                data, used, bpp, psnr = ladder.encode(image, notes, **wanted)
            else:
                data, used, psnr = codec.encode(image, notes), codec, None
                bpp = 8 * len(data) / (image.height * image.width)
            if psnr is None and arguments.measure:
                psnr = file_psnr(used, data, image)
        got = f"{bpp:.4f} bpp" + (f" (asked for {arguments.bpp:g})" if arguments.bpp else "")
        if psnr is not None:
            got += f", {psnr:.2f} dB" + (f" (asked for {arguments.psnr:g})" if arguments.psnr else "")
        with atomic(out) as temporary:
            temporary.write_bytes(data)
        return f"{len(data)} bytes, {got}, {used.setting}, {used.tiling}"

    return _each(jobs, arguments, work)


def _mask_remarks(image: WholeImage | Raster) -> list[str]:
    """The numbers of masked and of partly transparent pixels, a clause each."""
    masked, partly = image.masked_counts()
    total, remarks = image.height * image.width, []
    if masked:
        remarks.append(f"{masked} of {total} pixels ({masked / total:.1%}) are hidden by {image.mask_origin}")
    if partly:
        remarks.append(f"{partly} of {total} pixels are partly transparent by {image.mask_origin}: that is not kept")
    if remarks and "tagged alpha" in image.mask_origin:
        remarks.append("if this band is no mask but near infrared, say, give --no-mask")
    return remarks


def _shortened(notes: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The notes without those that make them too long for a .sat file, and a clause for each that is left out."""
    from satstudy.codecs.coding import bitstream

    names = {
        "icc": "colour profile is", "gcps": "control points are", "rpcs": "RPCs are", "names": "band names are",
        "units": "units are", "crs": "CRS is",
    }  # fmt: skip
    notes, remarks = dict(notes), []
    for key in names:
        try:
            bitstream.pack_notes(notes)
            break
        except InputError:
            if notes.pop(key, None):
                remarks.append(f"its {names[key]} larger than a .sat file has room for, and not kept")
    return notes, remarks


def decompress(arguments: argparse.Namespace) -> int:
    """.sat files to images."""
    from satstudy.codecs.coding import bitstream
    from satstudy.codecs.coding.bitstream import MAX_SIDE
    from satstudy.data.images import check_writable

    jobs = pairs(arguments.image, arguments.out, f".{arguments.format}", arguments.overwrite)
    limit = bitstream.MAX_PIXELS if arguments.max_pixels is None else arguments.max_pixels
    if limit < 1:
        raise InputError(f"--max-pixels {limit} must be 1 or more.")
    for job in jobs:
        check_writable(job.target)
    if len(jobs) == 1 and not Path(arguments.image).is_dir():  # raises for a bad file before PyTorch is imported
        with naming(jobs[0].source):
            bitstream.read(read_mapped(jobs[0].source), MAX_SIDE**2 if arguments.window else limit)

    from satstudy.codecs.learned.codec import Window

    window = Window(*arguments.window) if arguments.window else None
    codecs: dict[bytes, LearnedCodec] = {}

    def work(path: Path, out: Path) -> str:
        data = read_mapped(path)
        header = bitstream.read(data, MAX_SIDE**2 if window else limit).header
        key = b"" if arguments.weights else header.fingerprint
        if key not in codecs:
            found = weights(path=arguments.weights) if arguments.weights else matching(key)
            codecs[key] = _codec(found, arguments, len(jobs) > 1)
        for remark in decode_to(codecs[key], data, out, window, limit):
            _say(out, remark)
        return f"{window.width if window else header.width}×{window.height if window else header.height} pixels"

    return _each(jobs, arguments, work)


def decode_to(
    codec: LearnedCodec,
    data: bytes | memoryview,
    out: Path | str,
    window: Window | None = None,
    max_pixels: int | None = None,
) -> list[str]:
    """Decode a file to an image.

    A TIFF is written strip by strip, with the georeference and the metadata in the notes of the file; a window gets its
    own georeference. Pixels without data have the nodata value; without a nodata value the TIFF gets a mask. Other
    formats are decoded whole, and the mask is lost.

    Returns
    -------
    A clause for what the format of the image cannot hold.

    Raises
    ------
    InputError
        An output format that is not lossless, or whatever `LearnedCodec.decode` raises.
    """
    from satstudy.codecs.coding.bitstream import MAX_PIXELS, MAX_SIDE
    from satstudy.codecs.learned.codec import check_window
    from satstudy.data import geotiff
    from satstudy.data.images import check_writable, write_image

    out = Path(out)
    check_writable(out)
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    file = codec.open(data, MAX_SIDE**2 if window else max_pixels)
    part = check_window(window, file.header, max_pixels)
    check_writable(out, part.height, part.width)
    notes = file.header.notes
    if out.suffix.lower() in geotiff.TIFF:
        strips = ((top - part.y, strip) for top, strip in codec.bands(file, part))
        placed = geotiff.moved(notes, part.x, part.y)
        return geotiff.write_tiff(out, part.height, part.width, strips, placed, file.header.fill)
    profile = None
    with contextlib.suppress(KeyError, TypeError, ValueError, binascii.Error):
        profile = base64.b64decode(notes["icc"], validate=True)
    write_image(out, codec.decode(data, part, max_pixels), profile)
    lost = [key for key in notes if key != "icc" or profile is None]
    lost += [] if file.header.fill is None or "nodata" in lost else ["mask"]
    if not lost:
        return []
    names = ", ".join(re.sub(r"[^\w -]", "?", key) for key in lost)
    return [f"{out.suffix.lstrip('.').upper()} does not hold its {names}, which a .tif would"]


def info(arguments: argparse.Namespace) -> int:
    """Print the headers of .sat files; status 2 if one is damaged."""
    path = Path(arguments.file)
    folder = path.is_dir()
    status = 0
    for file in _sat_files(path) if folder else [path]:
        try:
            with naming(file):
                facts = describe(file)
        except InputError as error:
            if not folder:
                raise
            _say(file, error)
            status = 2
            continue
        if arguments.json:
            print(json.dumps(facts))
        elif folder:
            size = f"{facts['width']}×{facts['height']} pixels"
            rate = f"{facts['bytes']} bytes, {facts['bpp']:.4f} bpp"
            print(f"{printable(file)}: {size}, {rate}, {facts['tiling']}, {_weights(facts)}")
        else:
            _show(facts)
        for reason in facts["damage"]:
            _say(file, reason)
            status = 2
    return status


def describe(path: Path) -> dict[str, Any]:
    """What `info --json` prints of a file.

    `lam` is None if neither the file nor the card of the shipped weights has it. `no_data` is the value of pixels
    without data, or None. `damage` has a sentence for each stream with a wrong checksum.

    Raises
    ------
    InputError
        It cannot be read, or is no .sat file.
    """
    from satstudy.codecs.coding import bitstream
    from satstudy.codecs.coding.bitstream import MAX_SIDE

    data = read_mapped(path)
    file = bitstream.read(data, MAX_SIDE**2)
    header, damage = file.header, []
    for index in range(len(file.spans)):
        try:
            file.stream(index)
        except InputError as error:
            damage.append(str(error))
    return {
        "file": str(path),
        "version": data[3],
        "height": header.height,
        "width": header.width,
        "bytes": len(data),
        "bpp": round(8 * len(data) / (header.width * header.height), 6),
        "tiling": header.tiling,
        "tile": header.tile,
        "overlap": header.overlap,
        "tiles": math.prod(header.tile_counts()),
        "streams": len(file.spans),
        "overhead": file.spans[0][0],
        "weights": header.fingerprint.hex(),
        "lam": _lam(header),
        "no_data": header.fill,
        "notes": header.notes,
        "damage": damage,
    }


def _lam(header: Header) -> float | None:
    """λ of a file, from its header, or from the card of the shipped weights, since reading weights takes long."""
    card = paths.WEIGHTS / "README.md"
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    rows = re.findall(r"^\| (\w+) \| +([\d.]+) \|.*`([0-9a-f]{16})`", text, re.MULTILINE)
    shipped = {fingerprint: (codec, float(lam)) for codec, lam, fingerprint in rows}
    codec, lam = shipped.get(header.fingerprint.hex(), ("", None))
    if header.lam_index or codec == "learned":  # the weights serve every λ
        from satstudy.codecs.wavelet.config import lam_of

        return float(f"{lam_of(header.lam_index):.4g}")
    return lam


def _weights(facts: dict[str, Any]) -> str:
    known = "do not ship" if facts["lam"] is None else f"lam={facts['lam']:g}"
    return f"{facts['weights']} ({known})"


def _show(facts: dict[str, Any]) -> None:
    """Print what `describe` returns, a line each."""
    overhead, streams = facts["overhead"], facts["streams"]
    rows = {
        "version": facts["version"],
        "size": f"{facts['width']}×{facts['height']} pixels (width×height)",
        "bytes": f"{facts['bytes']} ({facts['bpp']:.4f} bpp)",
        "tiling": f"{facts['tiling']}, {facts['tile']} px, overlap {facts['overlap']} px",
        "tiles": f"{facts['tiles']} in {streams} stream{'s' if streams > 1 else ''}",
        "overhead": f"{overhead} bytes ({100 * overhead / facts['bytes']:.2f} %)",
        "weights": _weights(facts),
        "decodes": "to the same latents everywhere, on CPUs to pixels within one level",
        "no data": "no mask" if facts["no_data"] is None else f"masked, value {facts['no_data']}",
        "notes": "none" if not facts["notes"] else "",
    }
    for name, value in rows.items():
        print(f"{name:9} {value}".rstrip())
    for name, value in facts["notes"].items():
        # Foreign text: shown as JSON, so that it can hold no control character, and not at any length.
        shown = f"{json.dumps(name)[1:-1]}: {json.dumps(value)}"
        print(f"  {shown if len(shown) <= 200 else shown[:200] + '…'}")
