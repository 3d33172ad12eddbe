"""The arguments of the `satstudy` command."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from satstudy import __version__
from satstudy.codecs import registry
from satstudy.core.errors import InputError
from satstudy.core.geometry import TILINGS


class _Parser(argparse.ArgumentParser):
    """Complains as the rest of the package does."""

    def error(self, message: str) -> Any:
        raise InputError(f"{message}: `{self.prog} --help` says what it takes.")


def parser() -> argparse.ArgumentParser:
    """What `satstudy` takes; parsed, `run` is the name of the command in `satstudy.cli.main.COMMANDS`."""
    top = _Parser(prog="satstudy", description="The `satstudy` command.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def command(where: Any, name: str, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = where.add_parser(name, help=text, description=text)
        made.set_defaults(run=name)
        made.add_argument("--quiet", action="store_true", help="no progress bar")
        return made

    def cutting(to: argparse.ArgumentParser) -> None:
        to.add_argument("--tiling", choices=TILINGS, default="seamless", help="(seamless)")
        to.add_argument(
            "--refine",
            type=int,
            default=0,
            metavar="STEPS",
            help="latent refinement: fewer bits for the quality; a step takes as long as decoding, 40 gain most (0)",
        )

    one = command(commands, "compress", "an image, or a folder of images, to .sat")
    one.add_argument("image", help="a file, or a folder whose images are all coded")
    one.add_argument("out", help="the .sat file, or a folder for them")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--lam", type=float, help="which of the shipped weights, by their λ (the nearest to 0.01)")
    which.add_argument("--weights", help="a weights file (.safetensors)")
    which.add_argument("--bpp", type=float, help="take the shipped weights that come closest to this rate")
    cutting(one)
    one.add_argument(
        "--patch",
        type=int,
        help="side of a patch or tile, a multiple of 16 (256; seamless 1024, with 2048 fewer bits and more time)",
    )
    one.add_argument("--overlap", type=int, default=8, help="pixels that neighbours share, for blend (8)")
    one.add_argument("--weighting", choices=("mean", "ramp"), default="mean", help="in the overlap, for blend")
    one.add_argument(
        "--bands", type=int, nargs=3, metavar=("R", "G", "B"), help="of a TIFF, counted from 1 (the first three)"
    )
    one.add_argument("--device", default="cpu", help="where the networks run: cpu, cuda, … (cpu)")

    two = command(commands, "decompress", "a .sat file, or a folder of them, to .png, .tif or .webp")
    two.add_argument("image", metavar="in", help="a .sat file, or a folder of them")
    two.add_argument("out", help="ends in .png, .tif or .webp, which are lossless; or a folder")
    two.add_argument("--weights", help="the weights it was made with, unless they ship")
    two.add_argument("--window", type=int, nargs=4, metavar=("X", "Y", "W", "H"), help="decode only this part")
    two.add_argument("--format", choices=("png", "tif", "webp"), default="png", help="for a folder")
    two.add_argument("--max-pixels", type=int, help="refuse more (20000×20000)")
    two.add_argument("--device", default="cpu", help="where the networks run: cpu, cuda, … (cpu)")

    three = command(commands, "info", "what a .sat file says about itself")
    three.add_argument("file")

    four = command(commands, "rd", "rate and distortion of codecs on images, from real files, as CSV")
    four.add_argument("images", nargs="+", help="files or folders")
    four.add_argument(
        "--codec",
        action="append",
        choices=registry.names(),
        help="may be given several times (jpeg2000 and learned)",
    )
    four.add_argument("--weights", action="append", help="of `learned`, instead of the shipped ones; may be repeated")
    cutting(four)
    four.add_argument("--csv", required=True, help="the table; lines that it holds already are not measured again")
    four.add_argument("--fresh", action="store_true", help="measure anew what the CSV already holds")

    command(commands, "weights", "the weights that ship")

    five = command(commands, "train", "train the codec: the λ ladder of a profile, or some of it")
    five.add_argument("--profile", default="quick", help="by name, or the path of its YAML file (quick)")
    five.add_argument("--lam", type=float, action="append", help="may be repeated (the profile's ladder)")
    five.add_argument("--domain", choices=("overhead", "natural"), help="images to train on (overhead)")

    data = commands.add_parser("data", help="make, check or fetch images").add_subparsers(dest="what", required=True)
    made = command(data, "synth", "draw synthetic scenes as an fMoW tree")
    made.add_argument("root")
    made.add_argument("--train-objects", type=int, default=2)
    made.add_argument("--val-objects", type=int, default=4)
    made.add_argument("--views", type=int, default=3)
    made.add_argument("--size", type=int, default=1024)
    made.add_argument("--seed", type=int, default=0)
    checked = command(data, "check", "read every image of a data set and list those that cannot be read")
    checked.add_argument("root")
    fetched = command(data, "fmow", "fetch a part of fMoW-rgb")
    fetched.add_argument("root")
    fetched.add_argument("--manifest", help="manifest.json.bz2 of fMoW (fetched into the root)")
    fetched.add_argument("--split", choices=("train", "val"), required=True)
    fetched.add_argument("--category", action="append")
    fetched.add_argument("--objects", type=int, default=20, help="of each category")
    fetched.add_argument("--seed", type=int, default=0)
    packed = command(data, "pack", "a folder of images as one ZIP below a size, for a machine without network")
    packed.add_argument("folder", help="of class folders, or of images")
    packed.add_argument("pack", help="the .zip file")
    packed.add_argument("--limit", type=float, default=45, help="of the pack, in MiB (45)")
    packed.add_argument(
        "--numbers", type=_numbers, metavar="FIRST-LAST", help="only files whose name ends in one of these"
    )
    unpacked = command(data, "unpack", "the images of a pack into a folder")
    unpacked.add_argument("pack", help="a .zip file of `satstudy data pack`")
    unpacked.add_argument("folder")
    return top


def _numbers(text: str) -> range:
    match = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 0-39")
    return range(int(match[1]), int(match[2]) + 1)


def watched(arguments: argparse.Namespace) -> bool:
    """Whether to show bars: they are for someone who watches; a log file would be full of them."""
    return not arguments.quiet and sys.stderr.isatty()
