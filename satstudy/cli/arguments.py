"""The arguments of the `satstudy` command."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from satstudy.core.errors import InputError, similar
from satstudy.core.geometry import TILINGS

#: Shells that `--completion` writes a script for.
SHELLS = ("bash", "zsh", "fish", "tcsh")

#: By the name of a command, "" for all of them: lines that run, shown below its `--help`.
EXAMPLES = {
    "": """\
        satstudy compress scene.tif scene.sat --bpp 0.3
        satstudy decompress scene.sat scene_again.tif
        satstudy --completion bash > ~/.local/share/bash-completion/completions/satstudy""",
    "compress": """\
        satstudy compress scene.tif scene.sat --measure
        satstudy compress scene.tif scene.sat --bpp 0.3
        satstudy compress my/folder my/packed --psnr 34 --no-overwrite""",
    "decompress": """\
        satstudy decompress scene.sat scene_again.tif
        satstudy decompress scene.sat corner.png --window 0 0 1024 1024
        satstudy decompress my/packed my/unpacked --format tif""",
    "info": """\
        satstudy info scene.sat
        satstudy info my/packed --json > packed.jsonl""",
    "rd": """\
        satstudy rd my/folder --csv rd.csv
        satstudy rd scene.tif --codec avif --codec jpeg2000 --csv rd.csv""",
    "weights": """\
        satstudy weights""",
    "train": """\
        satstudy train --profile quick --lam 0.013
        satstudy train --profile my.yaml""",
    "adapt": """\
        satstudy adapt my/25_images my_sensor.safetensors
        satstudy adapt my/25_images my_sensor.safetensors --steps 1000 --device cuda""",
    "synth": """\
        satstudy data synth scenes --size 512 --views 1""",
    "check": """\
        satstudy data check my/folder""",
    "fmow": """\
        satstudy data fmow data/fmow --train 100 --val 100 --dry-run""",
    "pack": """\
        satstudy data pack data/ucmerced pack.zip --limit 45 --numbers 0-39""",
    "unpack": """\
        satstudy data unpack pack.zip data/ucmerced""",
}


class _Parser(argparse.ArgumentParser):
    """Complains as the rest of the package does; its arguments are added when it is first used.

    So only the command that is named imports what its arguments need.
    """

    add: Callable[[argparse.ArgumentParser], None] | None = None

    def fill(self) -> None:
        """Add the arguments, once."""
        if add := self.add:
            self.add = None
            add(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        self.fill()
        found, unknown = super().parse_known_args(args, namespace)
        for text in unknown:
            if text.startswith("-"):
                name = text.partition("=")[0]
                self.error(f"there is no option {name}{_hint(name, self._option_string_actions)}")
        if unknown:
            self.error(f"too many arguments: {' '.join(unknown)}")
        return found, unknown

    def format_help(self) -> str:
        self.fill()
        return super().format_help()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            said = f"invalid choice: {value!r}{_hint(str(value), known)}; there are {', '.join(known)}"
            raise argparse.ArgumentError(action, said)

    def error(self, message: str) -> Any:
        raise InputError(f"{message}: `{self.prog} --help` says what it takes.")


def _hint(name: str, known: Iterable[str]) -> str:
    """The nearest known name in parentheses, or nothing."""
    near = similar(name, known)
    return f" (did you mean {near}?)" if near else ""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from satstudy import __version__

        print(__version__)
        parser.exit()


class _Completion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, shell: Any, option: Any = None) -> None:
        import shtab

        filled(parser, {"complete": shtab.FILE})
        print(shtab.complete(parser, shell))
        parser.exit()


def filled(of: argparse.ArgumentParser, files: dict[str, Any] | None = None) -> argparse.ArgumentParser:
    """The parser with the arguments of all its commands, which are otherwise added when a command is used.

    Parameters
    ----------
    files : attributes that arguments get which may name a file
    """
    if isinstance(of, _Parser):
        of.fill()
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                filled(command, files)
        elif action.choices is None and action.nargs != 0 and action.type is None:
            vars(action).update(files or {})
    return of


def parser() -> argparse.ArgumentParser:
    """What `satstudy` takes; parsed, `run` is the name of the command in `satstudy.cli.main.COMMANDS`."""
    top = _Parser(prog="satstudy", description="Learned compression of satellite imagery, and its study.", **_below(""))
    top.add_argument("--version", action=_Version, nargs=0, help="the version of this program")
    top.add_argument("--completion", action=_Completion, choices=SHELLS, help="print a script that completes arguments")
    commands = top.add_subparsers(dest="command", required=True, parser_class=_Parser)
    _command(commands, "compress", "an image, or a folder of images, to .sat", _compress)
    _command(commands, "decompress", "a .sat file, or a folder of them, to .png, .tif or .webp", _decompress)
    _command(commands, "info", "what a .sat file, or each in a folder, says about itself", _info)
    _command(commands, "rd", "rate and distortion of codecs on images, from real files, as CSV", _rd)
    _command(commands, "weights", "the weights that ship", lambda to: None)
    _command(commands, "train", "train the codec: the λ ladder of a profile, or some of it", _train)
    _command(commands, "adapt", "adapt the codec to a new sensor: a small file of weights from some images", _adapt)
    data = commands.add_parser("data", help="make, check or fetch images").add_subparsers(
        dest="what", required=True, parser_class=_Parser
    )
    _command(data, "synth", "draw synthetic scenes as an fMoW tree", _synth)
    _command(
        data, "check", "read every image of a data set and list those that cannot be read",
        lambda to: to.add_argument("root"),
    )  # fmt: skip
    _command(data, "fmow", "fetch a part of fMoW-rgb", _fmow)
    _command(data, "pack", "a folder of images as one ZIP below a size, for a machine without network", _pack)
    _command(data, "unpack", "the images of a pack into a folder, in place of files of the same names", _unpack)
    return top


def _command(where: Any, name: str, text: str, add: Callable[[argparse.ArgumentParser], Any]) -> None:
    made: _Parser = where.add_parser(name, help=text, description=text, **_below(name))
    made.set_defaults(run=name)
    made.add_argument("--quiet", action="store_true", help="no progress bar")
    made.add = add


def _below(name: str) -> dict[str, Any]:
    """The examples of a command, for the end of its help."""
    lines = (f"  {line.strip()}" for line in EXAMPLES[name].splitlines())
    return {"epilog": "\n".join(["examples:", *lines]), "formatter_class": argparse.RawDescriptionHelpFormatter}


def _tiling(to: argparse.ArgumentParser) -> None:
    to.add_argument("--tiling", choices=TILINGS, default="seamless", help="(seamless)")
    to.add_argument(
        "--refine",
        type=int,
        default=0,
        metavar="STEPS",
        help="latent refinement: fewer bits for the quality; a step takes one to three times as long as decoding (0)",
    )


def _output(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--overwrite",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace outputs that are there, each when the new one is whole (the default); with --no-overwrite they "
        "stay, and of a folder the rest is made",
    )
    to.add_argument("--device", default="cpu", help="where the networks run: cpu, cuda, … (cpu)")
    to.add_argument(
        "--shard", type=_share, metavar="K/N", help="of a folder only the K-th of N parts, told by the names"
    )
    to.add_argument("--report", metavar="CSV", help="a table of what became of each file")


def _compress(to: argparse.ArgumentParser) -> None:
    to.add_argument("image", help="a file of any name, or a folder, whose images are found by their endings")
    to.add_argument("out", help="the .sat file, or a folder for them")
    which = to.add_mutually_exclusive_group()
    which.add_argument("--lam", type=float, help="λ of the loss: larger ones take more bits (0.013)")
    which.add_argument("--bpp", type=float, help="take the λ that comes closest to this rate, in bits per pixel")
    which.add_argument("--psnr", type=float, help="take the λ that comes closest to this quality, in dB")
    to.add_argument("--weights", help="a weights file (.safetensors) in place of those that ship")
    to.add_argument("--measure", action="store_true", help="decode each file again and print its PSNR as well")
    _tiling(to)
    to.add_argument(
        "--patch",
        type=int,
        help="side of a patch or tile, a multiple of 16 (256; seamless 1024, with 2048 fewer bits and more time)",
    )
    to.add_argument("--overlap", type=int, default=8, help="pixels that neighbours share, for blend (8)")
    to.add_argument("--weighting", choices=("mean", "ramp"), default="mean", help="in the overlap, for blend")
    to.add_argument(
        "--bands",
        type=int,
        nargs=3,
        metavar=("R", "G", "B"),
        help="of a TIFF or JPEG 2000, counted from 1 (those tagged red, green and blue, else the first three)",
    )
    to.add_argument(
        "--no-mask",
        action="store_true",
        help="code every pixel as it is, whatever nodata value, mask or alpha band says",
    )
    _output(to)


def _decompress(to: argparse.ArgumentParser) -> None:
    to.add_argument("image", metavar="in", help="a .sat file, or a folder of them")
    to.add_argument("out", help="an image whose ending, .png, .tif or .webp, says its format; or a folder")
    to.add_argument("--weights", help="the weights it was made with, unless they ship")
    to.add_argument("--window", type=int, nargs=4, metavar=("X", "Y", "W", "H"), help="decode only this part")
    to.add_argument("--format", choices=("png", "tif", "webp"), default="png", help="for a folder")
    to.add_argument("--max-pixels", type=int, help="refuse more (20000×20000)")
    _output(to)


def _info(to: argparse.ArgumentParser) -> None:
    to.add_argument("file", help="a .sat file, or a folder of them, which gets a line each")
    to.add_argument("--json", action="store_true", help="a JSON object a line")


def _rd(to: argparse.ArgumentParser) -> None:
    from satstudy.codecs import registry

    to.add_argument("images", nargs="+", help="files or folders")
    to.add_argument(
        "--codec",
        action="append",
        choices=registry.names(),
        help="may be given several times (jpeg2000 and learned)",
    )
    to.add_argument("--weights", action="append", help="instead of the weights that ship; may be repeated")
    _tiling(to)
    to.add_argument("--csv", required=True, help="the table; lines that it holds already are not measured again")
    to.add_argument("--fresh", action="store_true", help="measure anew what the CSV already holds")


def _train(to: argparse.ArgumentParser) -> None:
    to.add_argument("--profile", help="which study: the name of a profile, or the path of its YAML file")
    to.add_argument("--lam", type=float, action="append", help="may be repeated (the profile's ladder)")
    to.add_argument("--domain", choices=("overhead", "natural"), help="images to train on (overhead)")
    to.add_argument("--every-rate", action="store_true", help="train the wavelet codec, one model for every λ")


def _adapt(to: argparse.ArgumentParser) -> None:
    to.add_argument("images", nargs="+", help="files or folders; some 25 images of the sensor are enough")
    to.add_argument("out", help="the difference to the weights, a .safetensors file; of a run that stopped, to go on")
    to.add_argument("--weights", help="what is adapted, weights for every rate (those that ship)")
    to.add_argument("--steps", type=int, default=400, help="(400)")
    to.add_argument("--device", default="auto", help="cpu, cuda, or auto (auto)")


def _synth(to: argparse.ArgumentParser) -> None:
    to.add_argument("root")
    to.add_argument("--train-objects", type=int, default=2)
    to.add_argument("--val-objects", type=int, default=4)
    to.add_argument("--views", type=int, default=3)
    to.add_argument("--size", type=int, default=1024)
    to.add_argument("--seed", type=int, default=0)


def _fmow(to: argparse.ArgumentParser) -> None:
    from satstudy.data import download
    from satstudy.data.splits import PAPER

    to.add_argument("root", help="the folder for train and val; what it holds already is not fetched again")
    to.add_argument("--train", type=int, default=PAPER.train_compress, help="images of the train split (1289)")
    to.add_argument("--val", type=int, default=PAPER.val_compress, help="images of the val split (1929)")
    to.add_argument("--min-size", type=int, default=1024, help="least height and width in pixels (1024)")
    to.add_argument("--per-object", type=int, help="most images of one object (all)")
    to.add_argument("--category", action="append", help="may be repeated (all)")
    to.add_argument("--seed", type=int, default=0)
    to.add_argument("--dry-run", action="store_true", help="say how many images and bytes; fetch JSON files alone")
    to.add_argument("--manifest", help="manifest.json.bz2 of fMoW (fetched into the root)")
    to.add_argument("--bucket", default=download.BUCKET, help=f"({download.BUCKET})")
    to.add_argument("--prefix", default=download.PREFIX, help=f"of all names in the bucket ({download.PREFIX})")
    to.add_argument("--endpoint-url", help="a mirror that speaks S3")
    to.add_argument("--workers", type=int, default=16, help="files in transfer at a time (16)")


def _pack(to: argparse.ArgumentParser) -> None:
    to.add_argument("folder", help="of class folders, or of images")
    to.add_argument("pack", help="the .zip file, replaced if it is there")
    to.add_argument("--limit", type=float, default=45, help="of the pack, in MiB (45)")
    to.add_argument("--numbers", type=_numbers, metavar="FIRST-LAST", help="only files whose name ends in one of these")


def _unpack(to: argparse.ArgumentParser) -> None:
    to.add_argument("pack", help="a .zip file of `satstudy data pack`")
    to.add_argument("folder")


def _share(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 3/100")
    return int(match[1]), int(match[2])


def _numbers(text: str) -> range:
    match = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 0-39")
    return range(int(match[1]), int(match[2]) + 1)


def shows_progress(arguments: argparse.Namespace) -> bool:
    """Whether to show bars: they are for someone who watches; a log file would be full of them."""
    return not arguments.quiet and sys.stderr.isatty()
