"""The `satstudy` command.

Errors go to standard error as one sentence; exit status 2 for bad input, 1 for a failure.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satstudy import __version__
from satstudy.errors import InputError, SatstudyError

if TYPE_CHECKING:
    from satstudy.codecs import Codec, LearnedCodec
    from satstudy.coding import Pair
    from satstudy.zoo import Checkpoint

# PyTorch takes seconds to import: each command imports what it needs, when it needs it.


def _progress(arguments: argparse.Namespace) -> bool:
    """Bars are for someone who watches; a log file would be full of them."""
    return not arguments.quiet and sys.stderr.isatty()


# --- Coding -----------------------------------------------------------------------------------------------


def _codec(checkpoint: Checkpoint, arguments: argparse.Namespace, several: bool) -> LearnedCodec:
    """The codec as the arguments have it; its bar is left to the files where there are several."""
    import torch

    from satstudy.codecs import LearnedCodec

    try:
        torch.empty(1, device=arguments.device)
    except (RuntimeError, AssertionError):
        raise InputError(f"PyTorch finds no device {arguments.device!r} here: take cpu.") from None
    names = ("tiling", "patch", "overlap", "weighting")
    cutting = {name: getattr(arguments, name) for name in names if name in arguments}  # decoding has none
    return LearnedCodec(checkpoint, **cutting, device=arguments.device, progress=_progress(arguments) and not several)


def _each(pairs: Sequence[Pair], arguments: argparse.Namespace, work: Callable[[Path, Path], str]) -> int:
    """Do all files, and say what became of each; one that is unusable does not stop the others of a folder."""
    from tqdm.auto import tqdm

    from satstudy.coding import about

    failed = 0
    for source, target in tqdm(pairs, unit="file", disable=len(pairs) == 1 or not _progress(arguments)):
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


def _compress(arguments: argparse.Namespace) -> int:
    from satstudy import coding

    if arguments.bpp is not None and not 0 < arguments.bpp < math.inf:
        raise InputError(f"--bpp {arguments.bpp:g} must be a number above 0.")
    pairs = coding.pairs(arguments.image, arguments.out, ".sat")
    for pair in pairs:
        coding.check_compressed_name(pair.target)

    from satstudy import raster, zoo
    from satstudy.paths import atomic

    if arguments.bpp is None:
        known: list[Path] = [Path()]  # a ladder of one
        codecs = {0: _codec(coding.weights(arguments.lam, arguments.weights), arguments, len(pairs) > 1)}
    else:
        known, codecs = [*coding.shipped().values()], {}

    def work(path: Path, out: Path) -> str:
        coded: dict[int, bytes] = {}
        with raster.open_source(path, arguments.bands) as source:

            def rate(index: int) -> float:
                if index not in codecs:
                    codecs[index] = _codec(zoo.load(known[index]), arguments, len(pairs) > 1)
                if index not in coded:
                    coded[index] = codecs[index].encode(source, source.notes)
                return 8 * len(coded[index]) / (source.height * source.width)

            best = coding.closest(rate, len(known), arguments.bpp or 0)
            got = f"{rate(best):.4f} bpp" + (f" (asked for {arguments.bpp:g})" if arguments.bpp else "")
        with atomic(out) as temporary:
            temporary.write_bytes(coded[best])
        return f"{len(coded[best])} bytes, {got}, {codecs[best].setting}, {codecs[best].tiling}"

    return _each(pairs, arguments, work)


def _decompress(arguments: argparse.Namespace) -> int:
    from satstudy import coding, container

    pairs = coding.pairs(arguments.image, arguments.out, f".{arguments.format}")
    limit = arguments.max_pixels or container.MAX_PIXELS
    if limit < 1:
        raise InputError(f"--max-pixels {limit} must be 1 or more.")
    if len(pairs) == 1:  # what is wrong with it is told before PyTorch is imported
        with coding.about(pairs[0].source):
            container.read(coding.mapped(pairs[0].source), container.MAX_SIDE**2 if arguments.window else limit)

    from satstudy import raster
    from satstudy.codecs.windows import Window

    for pair in pairs:
        raster.check_output(pair.target)
    window = Window(*arguments.window) if arguments.window else None
    codecs: dict[bytes, LearnedCodec] = {}

    def work(path: Path, out: Path) -> str:
        data = coding.mapped(path)
        header = container.read(data, container.MAX_SIDE**2 if window else limit).header
        key = b"" if arguments.weights else header.fingerprint
        if key not in codecs:
            checkpoint = coding.weights(path=arguments.weights) if arguments.weights else coding.matching(key)
            codecs[key] = _codec(checkpoint, arguments, len(pairs) > 1)
        raster.decode_to(codecs[key], data, out, window, limit)
        return f"{window.width if window else header.width}×{window.height if window else header.height} pixels"

    return _each(pairs, arguments, work)


def _info(arguments: argparse.Namespace) -> int:
    from satstudy import coding, container

    path = Path(arguments.file)
    with coding.about(path):
        data = coding.mapped(path)
        file = container.read(data, container.MAX_SIDE**2)
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


# --- Measurement ------------------------------------------------------------------------------------------


def _rd(arguments: argparse.Namespace) -> int:
    from satstudy import coding
    from satstudy.data.images import find_images

    images = find_images(arguments.images)
    csv = Path(arguments.csv)
    if csv.suffix.lower() != ".csv":
        raise InputError(f"{csv} is to become a table: name it .csv.")
    coding.check_target(csv, images[0])

    from satstudy import codecs, comparison, rate_distortion, zoo

    chosen: list[Codec] = []
    for name in dict.fromkeys(arguments.codec or ["jpeg2000", "learned"]):
        if name.startswith("learned"):
            named = [Path(path) for path in arguments.weights or ()]
            paths = named or list(coding.shipped("natural" if name == "learned-natural" else "overhead").values())
            chosen += [codecs.LearnedCodec(zoo.load(path), arguments.tiling) for path in paths]
        else:
            chosen += codecs.ladder(name)
    frame = rate_distortion.evaluate(images, chosen, csv, progress=_progress(arguments), resume=not arguments.fresh)
    table = comparison.mean_curves(frame)
    print(table.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    return 0


def _weights(arguments: argparse.Namespace) -> int:
    from satstudy import zoo

    for domain in zoo.domains():
        for lam, path in zoo.shipped(domain).items():
            known = zoo.load(path)
            size = f"N={known.model.N} M={known.model.M}"
            print(f"{domain:9} lam={lam:<8g} {size}  {known.fingerprint.hex()}  {path}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from satstudy.study import OVERHEAD, open_study

    study = open_study(arguments.profile, progress=_progress(arguments))
    for lam in arguments.lam or study.ladder():
        print(study.weights(lam, arguments.domain or OVERHEAD).path)
    return 0


# --- Data -------------------------------------------------------------------------------------------------


def _synth(arguments: argparse.Namespace) -> int:
    from satstudy.data import synthetic

    if Path(arguments.root).is_file():
        raise InputError(f"{arguments.root} is a file: name a new folder.")
    count = synthetic.write_tree(
        arguments.root,
        train_objects=arguments.train_objects,
        val_objects=arguments.val_objects,
        views=arguments.views,
        size=arguments.size,
        seed=arguments.seed,
        progress=_progress(arguments),
    )
    print(f"{arguments.root}: {count} synthetic images drawn")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from satstudy.data import fmow

    report = fmow.check(arguments.root, progress=_progress(arguments))
    for category, count in sorted(report.categories.items()):
        print(f"{category or '(no class)':32} {count}")
    for path, note in report.notes:
        print(f"{path}: {note}")
    print(f"{report.images} images, {len(report.unreadable)} unusable")
    for path, reason in report.unreadable:
        print(f"satstudy: {reason if str(path) in reason else f'{path}: {reason}'}", file=sys.stderr)
    return 2 if report.unreadable else 0


def _fmow(arguments: argparse.Namespace) -> int:
    from satstudy.data import download

    listed = Path(arguments.manifest or Path(arguments.root, download.MANIFEST))
    if not arguments.manifest:
        download.fetch([download.MANIFEST], arguments.root, progress=_progress(arguments))
    names = download.read_manifest_list(listed)
    chosen = download.select(names, arguments.split, arguments.category, arguments.objects, arguments.seed)
    report = download.fetch(chosen, arguments.root, progress=_progress(arguments))
    print(f"{arguments.root}: {report.fetched} files fetched ({report.bytes} bytes), {report.present} were there")
    return 0


# --- Arguments --------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(f"{message}: `{self.prog} --help` says what it takes.")


def _parser() -> argparse.ArgumentParser:
    top = _Parser(prog="satstudy", description=__doc__.split("\n")[0] if __doc__ else None)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def command(where: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = where.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument("--quiet", action="store_true", help="no progress bar")
        return made

    def cutting(to: argparse.ArgumentParser) -> None:
        to.add_argument("--tiling", choices=("independent", "blend", "seamless"), default="seamless", help="(seamless)")

    one = command(commands, "compress", _compress, "an image, or a folder of images, to .sat")
    one.add_argument("image", help="a file, or a folder whose images are all coded")
    one.add_argument("out", help="the .sat file, or a folder for them")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--lam", type=float, help="which of the shipped weights, by their λ (the nearest to 0.01)")
    which.add_argument("--weights", help="a weights file (.safetensors)")
    which.add_argument("--bpp", type=float, help="take the shipped weights that come closest to this rate")
    cutting(one)
    one.add_argument("--patch", type=int, help="side of a patch or tile, a multiple of 16 (256; seamless 1024)")
    one.add_argument("--overlap", type=int, default=8, help="pixels that neighbours share, for blend (8)")
    one.add_argument("--weighting", choices=("mean", "ramp"), default="mean", help="in the overlap, for blend")
    one.add_argument(
        "--bands", type=int, nargs=3, metavar=("R", "G", "B"), help="of a TIFF, counted from 1 (the first three)"
    )
    one.add_argument("--device", default="cpu", help="where the networks run: cpu, cuda, … (cpu)")

    two = command(commands, "decompress", _decompress, "a .sat file, or a folder of them, to .png, .tif or .webp")
    two.add_argument("image", metavar="in", help="a .sat file, or a folder of them")
    two.add_argument("out", help="ends in .png, .tif or .webp, which are lossless; or a folder")
    two.add_argument("--weights", help="the weights it was made with, unless they ship")
    two.add_argument("--window", type=int, nargs=4, metavar=("X", "Y", "W", "H"), help="decode only this part")
    two.add_argument("--format", choices=("png", "tif", "webp"), default="png", help="for a folder")
    two.add_argument("--max-pixels", type=int, help="refuse more (20000×20000)")
    two.add_argument("--device", default="cpu", help="where the networks run: cpu, cuda, … (cpu)")

    three = command(commands, "info", _info, "what a .sat file says about itself")
    three.add_argument("file")

    four = command(commands, "rd", _rd, "rate and distortion of codecs on images, from real files, as CSV")
    four.add_argument("images", nargs="+", help="files or folders")
    four.add_argument(
        "--codec",
        action="append",
        choices=("jpeg", "jpeg2000", "webp", "avif", "learned", "learned-natural"),
        help="may be given several times (jpeg2000 and learned)",
    )
    four.add_argument("--weights", action="append", help="of `learned`, instead of the shipped ones; may be repeated")
    cutting(four)
    four.add_argument("--csv", required=True, help="the table; lines that it holds already are not measured again")
    four.add_argument("--fresh", action="store_true", help="measure anew what the CSV already holds")

    command(commands, "weights", _weights, "the weights that ship")

    five = command(commands, "train", _train, "train the codec: the λ ladder of a profile, or some of it")
    five.add_argument("--profile", default="quick", help="by name, or the path of its YAML file (quick)")
    five.add_argument("--lam", type=float, action="append", help="may be repeated (the profile's ladder)")
    five.add_argument("--domain", choices=("overhead", "natural"), help="images to train on (overhead)")

    data = commands.add_parser("data", help="make, check or fetch images").add_subparsers(dest="what", required=True)
    made = command(data, "synth", _synth, "draw synthetic scenes as an fMoW tree")
    made.add_argument("root")
    made.add_argument("--train-objects", type=int, default=2)
    made.add_argument("--val-objects", type=int, default=4)
    made.add_argument("--views", type=int, default=3)
    made.add_argument("--size", type=int, default=1024)
    made.add_argument("--seed", type=int, default=0)
    checked = command(data, "check", _check, "read every image of a data set and list those that cannot be read")
    checked.add_argument("root")
    fetched = command(data, "fmow", _fmow, "fetch a part of fMoW-rgb")
    fetched.add_argument("root")
    fetched.add_argument("--manifest", help="manifest.json.bz2 of fMoW (fetched into the root)")
    fetched.add_argument("--split", choices=("train", "val"), required=True)
    fetched.add_argument("--category", action="append")
    fetched.add_argument("--objects", type=int, default=20, help="of each category")
    fetched.add_argument("--seed", type=int, default=0)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit")
            parsed = _parser().parse_args(arguments)
            return int(parsed.run(parsed))
    except InputError as error:
        return _say(error, 2)
    except SatstudyError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("stopped; no half-written file is left.", 130)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _say(f"{error.strerror or error}{where}: check the disk and your rights.", 1)
    except (MemoryError, RuntimeError) as error:
        # PyTorch says so in words only, on any device.
        if isinstance(error, MemoryError) or re.search("out of memory|allocate memory", str(error)):
            return _say("this machine has too little memory for that: decode a window, or take smaller patches.", 1)
        raise


def _say(problem: object, status: int) -> int:
    text = " ".join(str(problem).split())  # foreign errors have lines
    print(f"satstudy: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
