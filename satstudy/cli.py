"""The `satstudy` command.

Errors go to standard error as one sentence; exit status 2 for bad input, 1 for a failure.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satstudy import __version__
from satstudy.errors import InputError, SatstudyError

if TYPE_CHECKING:
    from satstudy.codecs import Codec, LearnedCodec
    from satstudy.zoo import Checkpoint

# PyTorch takes seconds to import: each command imports what it needs.


# --- Codecs -----------------------------------------------------------------------------------------------


def _checkpoint(arguments: argparse.Namespace) -> Checkpoint:
    """The weights that --weights or --lam name, or the default ones."""
    from satstudy import zoo
    from satstudy.study import nearest

    if arguments.weights:
        return zoo.load(arguments.weights)
    shipped = zoo.shipped()
    if not shipped:
        raise InputError("No weights ship with this package: name some with --weights.")
    lam = arguments.lam if arguments.lam is not None else nearest(0.01, list(shipped))
    if lam not in shipped:
        known = ", ".join(f"{x:g}" for x in shipped)
        raise InputError(f"No weights ship for --lam {lam:g}: take one of {known}, or name weights with --weights.")
    return zoo.load(shipped[lam])


def _codec(checkpoint: Checkpoint, arguments: argparse.Namespace) -> LearnedCodec:
    from satstudy.codecs import LearnedCodec

    return LearnedCodec(
        checkpoint,
        arguments.tiling,
        arguments.patch,
        arguments.overlap,
        arguments.weighting,
        device=arguments.device,
        progress=not arguments.quiet,
    )


def _pairs(source: str, target: str, ending: str) -> list[tuple[Path, Path]]:
    """Input and output files: one of each, or those of a folder, mirrored."""
    from satstudy.data.images import find_images

    given, out = Path(source), Path(target)
    if not given.is_dir():
        return [(given, out)]
    inside = find_images([given]) if ending == ".sat" else sorted(given.rglob("*.sat"))
    if not inside:
        raise InputError(f"{given} holds no .sat file: name another folder.")
    pairs = [(path, (out / path.relative_to(given)).with_suffix(ending)) for path in inside]
    twice = {b for _, b in pairs if sum(b == other for _, other in pairs) > 1}
    if twice:
        raise InputError(f"Several images would become {min(twice)}: rename one of them.")
    return pairs


def _compress(arguments: argparse.Namespace) -> int:
    from satstudy import raster

    if arguments.bpp is not None and (arguments.lam is not None or arguments.weights):
        raise InputError("Give one of --bpp, --lam and --weights.")
    codec = None if arguments.bpp is not None else _codec(_checkpoint(arguments), arguments)
    pairs = _pairs(arguments.image, arguments.out, ".sat")
    for path, out in pairs:
        with raster.open_source(path, arguments.bands) as source:
            if codec is None:
                used, data = _at_rate(source, arguments)
            else:
                used, data = codec, codec.encode(source, source.notes)
            _write(out, data)
            rate = 8 * len(data) / (source.height * source.width)
            print(f"{out}: {len(data)} bytes, {rate:.4f} bpp, {used.setting}, {used.tiling}")
    return 0


def _at_rate(source: Any, arguments: argparse.Namespace) -> tuple[LearnedCodec, bytes]:
    """The shipped weights that come closest to --bpp, by bisection over λ."""
    from satstudy import zoo

    if arguments.bpp <= 0:
        raise InputError(f"--bpp {arguments.bpp:g} must be above 0.")
    paths = list(zoo.shipped().values())
    if not paths:
        raise InputError("No weights ship with this package: name some with --weights.")
    tried: dict[int, tuple[LearnedCodec, bytes]] = {}

    def rate(index: int) -> float:
        if index not in tried:
            codec = _codec(zoo.load(paths[index]), arguments)
            tried[index] = codec, codec.encode(source, source.notes)
        return 8 * len(tried[index][1]) / (source.height * source.width)

    low, high = 0, len(paths) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rate(middle) < arguments.bpp else (low, middle)
    best = min({low, high}, key=lambda index: abs(rate(index) - arguments.bpp))
    print(
        f"asked for {arguments.bpp:g} bpp; of {len(paths)} weights lam={tried[best][0].checkpoint.lam:g} comes "
        f"closest with {rate(best):.4f}",
        file=sys.stderr,
    )
    return tried[best]


def _write(path: Path, data: bytes) -> None:
    from satstudy.paths import atomic

    with atomic(path) as temporary:
        temporary.write_bytes(data)


def _read(path: Path) -> memoryview:
    """The file's bytes, mapped: only what is decoded is read."""
    import mmap

    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the name.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None


def _matching(fingerprint: bytes, arguments: argparse.Namespace) -> Checkpoint:
    """The weights that a file was made with, among those named or shipped."""
    from satstudy import entropy, zoo

    if arguments.weights:
        return zoo.load(arguments.weights)
    for path in [p for domain in zoo.domains() for p in zoo.shipped(domain).values()]:
        checkpoint = zoo.load(path)
        tables = checkpoint.tables or entropy.hyper_tables(checkpoint.model)
        if zoo.fingerprint(checkpoint.model, tables) == fingerprint:
            return checkpoint
    raise InputError(
        f"This file was made with weights {fingerprint.hex()}, which do not ship with this version: "
        "name them with --weights."
    )


def _decompress(arguments: argparse.Namespace) -> int:
    from satstudy import container, raster
    from satstudy.codecs import LearnedCodec
    from satstudy.codecs.learned import Window

    window = Window(*arguments.window) if arguments.window else None
    codec: LearnedCodec | None = None
    for path, out in _pairs(arguments.image, arguments.out, f".{arguments.format}"):
        data = _read(path)
        limit = arguments.max_pixels or container.MAX_PIXELS
        header = container.read(data, container.MAX_SIDE**2 if window else limit).header
        if codec is None or codec.fingerprint != header.fingerprint:
            checkpoint = _matching(header.fingerprint, arguments)
            codec = LearnedCodec(checkpoint, device=arguments.device, progress=not arguments.quiet)
        raster.decode_to(codec, data, out, window, limit)
        print(f"{out}: {header.width if not window else window.width}×{header.height if not window else window.height}")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from satstudy import container

    data = _read(Path(arguments.file))
    file = container.read(data, container.MAX_SIDE**2)
    header = file.header
    overhead = file.spans[0][0]
    rows = {
        "size": f"{header.width}×{header.height} pixels (width×height)",
        "bytes": f"{len(data)} ({8 * len(data) / (header.width * header.height):.4f} bpp)",
        "tiling": f"{header.tiling}, {header.tile} px, overlap {header.overlap} px",
        "tiles": f"{len(header.layout())} in {len(file.spans)} streams",
        "overhead": f"{overhead} bytes ({100 * overhead / len(data):.2f} %)",
        "weights": header.fingerprint.hex(),
        "notes": ", ".join(header.notes) or "none",
    }
    for name, value in rows.items():
        print(f"{name:9} {value}")
    damaged = 0
    for index in range(len(file.spans)):
        try:
            file.stream(index)
        except InputError as error:
            print(error, file=sys.stderr)
            damaged += 1
    return 2 if damaged else 0


# --- Measurement ------------------------------------------------------------------------------------------


def _rd(arguments: argparse.Namespace) -> int:
    from satstudy import codecs, comparison, rate_distortion, zoo
    from satstudy.data.images import find_images

    chosen: list[Codec] = []
    for name in dict.fromkeys(arguments.codec or ["jpeg2000", "learned"]):
        if name == "learned":
            paths = [Path(arguments.weights)] if arguments.weights else list(zoo.shipped().values())
            if not paths:
                raise InputError("No weights ship with this package: name some with --weights.")
            chosen += [codecs.LearnedCodec(zoo.load(path), arguments.tiling) for path in paths]
        else:
            chosen += codecs.ladder(name)
    images = find_images(arguments.images)
    frame = rate_distortion.evaluate(
        images, chosen, arguments.csv, progress=not arguments.quiet, resume=not arguments.fresh
    )
    table = comparison.mean_curves(frame)
    print(table.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    return 0


def _weights(arguments: argparse.Namespace) -> int:
    from satstudy import zoo

    for domain in zoo.domains():
        for lam, path in zoo.shipped(domain).items():
            text = zoo.metadata(path)
            print(f"{domain:9} lam={lam:<8g} N={text['N']} M={text['M']}  {path}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from satstudy.study import OVERHEAD, open_study

    study = open_study(arguments.profile, progress=not arguments.quiet)
    for lam in arguments.lam or study.ladder():
        print(study.weights(lam, arguments.domain or OVERHEAD).path)
    return 0


# --- Data -------------------------------------------------------------------------------------------------


def _synth(arguments: argparse.Namespace) -> int:
    from satstudy.data import synthetic

    count = synthetic.write_tree(
        arguments.root,
        train_objects=arguments.train_objects,
        val_objects=arguments.val_objects,
        views=arguments.views,
        size=arguments.size,
        seed=arguments.seed,
        progress=not arguments.quiet,
    )
    print(f"{arguments.root}: {count} synthetic images")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from satstudy.data import fmow, folders
    from satstudy.data.images import find_images

    root = Path(arguments.root)
    find_images([root])
    is_tree = (root / "train").is_dir() or (root / "val").is_dir()
    scan = fmow.scan(root, None, None, on_error="skip") if is_tree else folders.scan(root, on_error="skip")
    report = fmow.check(scan, progress=not arguments.quiet)
    for category, count in sorted(report.categories.items()):
        print(f"{category:32} {count}")
    print(f"{report.images} images, {len(report.unreadable)} unreadable")
    for path, reason in report.unreadable:
        print(f"{path}: {reason}", file=sys.stderr)
    return 1 if report.unreadable else 0


def _fmow(arguments: argparse.Namespace) -> int:
    from satstudy.data import download

    names = download.read_manifest_list(arguments.manifest)
    chosen = download.select(names, arguments.split, arguments.category, arguments.objects, arguments.seed)
    report = download.fetch(chosen, arguments.root, progress=not arguments.quiet)
    print(report)
    return 0


# --- Arguments --------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(f"{message}: `{self.prog} --help` lists what it takes.")


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
        to.add_argument("--tiling", choices=("independent", "blend", "seamless"), default="seamless")

    one = command(commands, "compress", _compress, "an image, or a folder of images, to .sat")
    one.add_argument("image")
    one.add_argument("out")
    one.add_argument("--lam", type=float, help="which of the shipped weights, by their λ")
    one.add_argument("--weights", help="a weights file (.safetensors)")
    one.add_argument("--bpp", type=float, help="take the shipped weights that come closest to this rate")
    cutting(one)
    one.add_argument("--patch", type=int, help="side of a patch or tile, a multiple of 16 (256; seamless 1024)")
    one.add_argument("--overlap", type=int, default=8, help="pixels that neighbours share, for blend")
    one.add_argument("--weighting", choices=("mean", "ramp"), default="mean", help="in the overlap, for blend")
    one.add_argument("--bands", type=int, nargs=3, default=(1, 2, 3), help="of a GeoTIFF, to take as R, G, B")
    one.add_argument("--device", default="cpu")

    two = command(commands, "decompress", _decompress, "a .sat file, or a folder of them, to .png, .tif or .webp")
    two.add_argument("image", metavar="in")
    two.add_argument("out")
    two.add_argument("--weights", help="the weights it was made with, unless they ship")
    two.add_argument("--window", type=int, nargs=4, metavar=("X", "Y", "W", "H"), help="decode only this part")
    two.add_argument("--format", choices=("png", "tif", "webp"), default="png", help="for a folder")
    two.add_argument("--max-pixels", type=int, help="refuse larger images (default 20000×20000)")
    two.add_argument("--device", default="cpu")

    three = command(commands, "info", _info, "what a .sat file says about itself")
    three.add_argument("file")

    four = command(commands, "rd", _rd, "rate and distortion of codecs on images, from real files, as CSV")
    four.add_argument("images", nargs="+")
    four.add_argument("--codec", action="append", choices=("jpeg", "jpeg2000", "webp", "avif", "learned"))
    four.add_argument("--weights")
    cutting(four)
    four.add_argument("--csv", required=True)
    four.add_argument("--fresh", action="store_true", help="measure anew what the CSV already holds")

    command(commands, "weights", _weights, "the weights that ship")

    five = command(commands, "train", _train, "train the codec: the λ ladder of a profile, or some of it")
    five.add_argument("--profile", default="quick")
    five.add_argument("--lam", type=float, action="append")
    five.add_argument("--domain", choices=("overhead", "natural"))

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
    fetched.add_argument("--manifest", required=True, help="manifest.json.bz2 of fMoW")
    fetched.add_argument("--split", choices=("train", "val"), required=True)
    fetched.add_argument("--category", action="append")
    fetched.add_argument("--objects", type=int, default=20, help="of each category")
    fetched.add_argument("--seed", type=int, default=0)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    warnings.filterwarnings("ignore", message="`torch.jit")
    try:
        parsed = _parser().parse_args(arguments)
        return int(parsed.run(parsed))
    except InputError as error:
        print(f"satstudy: {error}", file=sys.stderr)
        return 2
    except SatstudyError as error:
        print(f"satstudy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("satstudy: stopped; the same call goes on from what is finished.", file=sys.stderr)
        return 130
    except MemoryError:
        print("satstudy: this machine has too little memory for that: decode a window instead.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"satstudy: {error.strerror or error} ({error.filename or 'no file'}).", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
