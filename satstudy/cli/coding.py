"""Files in, files out: the names, weights and rates between the command and the codec."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from satstudy.core.errors import InputError, SatstudyError
from satstudy.data.images import EXTENSIONS, find_images

if TYPE_CHECKING:
    from satstudy.codecs.learned.checkpoint import Checkpoint

# PyTorch takes seconds to import: a wrong name is told before that.

#: What `compress` takes where nobody names a λ: the nearest to this among the shipped ones.
DEFAULT_LAM = 0.01


class Pair(NamedTuple):
    """A file to read and the one to write."""

    source: Path
    target: Path


def pairs(source: Path | str, target: Path | str, ending: str) -> list[Pair]:
    """What is to be coded: one file, or those of a folder and its folders, mirrored below `target`.

    Parameters
    ----------
    ending : of the files that are made of a folder's, with its dot; images are read for `.sat`, and `.sat`
        files for any other

    Raises
    ------
    InputError
        Nothing to read, or a target that cannot be written, is the input, or is that of two files.
    """
    source, target = Path(source), Path(target)
    if not source.exists():
        raise InputError(f"There is no file or folder {source}: check the name.")
    if not source.is_dir():
        check_target(target, source)
        return [Pair(source, target)]
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file and {source} a folder: name a folder for the output too.")
    if ending == ".sat":
        with about(source):
            inside = find_images([source])
    else:
        inside = sorted(p for p in source.rglob("*.sat") if p.is_file() and not p.name.startswith("."))
        if not inside:
            raise InputError(f"{source} holds no .sat file: name another folder.")
        if target.exists() and target.samefile(source):
            raise InputError(f"{target} may hold the original images under the same names: name another folder.")
    check_target(target)
    made = [Pair(path, (target / path.relative_to(source)).with_suffix(ending)) for path in inside]
    twice = [path for path, count in Counter(pair.target for pair in made).items() if count > 1]
    if twice:
        raise InputError(f"Several files would become {min(twice)}: rename one of them.")
    for pair in made:
        if pair.target.is_dir():
            raise InputError(f"{pair.target} is a folder: name another folder for the output.")
    return made


def check_target(target: Path, source: Path | None = None) -> None:
    """Refuse an output that cannot be written, or that is the input, before the work.

    Raises
    ------
    InputError
    """
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
    """Refuse an image's or weights' name for a compressed file: the arguments are probably in another order."""
    if target.suffix.lower() in (*EXTENSIONS, ".safetensors"):
        raise InputError(f"{target} ends in {target.suffix} and would be a compressed file: name it .sat.")


def mapped(path: Path) -> memoryview:
    """The file's bytes, mapped into memory: only what is decoded is read.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the name.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}): name a .sat file that you may read.") from None


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Name the file in the sentences of what is raised, where they do not."""
    try:
        yield
    except SatstudyError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


def weights(lam: float | None = None, path: Path | str | None = None) -> Checkpoint:
    """The weights in a file, those shipped for `lam`, or the shipped ones nearest to `DEFAULT_LAM`.

    Raises
    ------
    InputError
        There are none.
    """
    from satstudy.codecs.learned import checkpoint as zoo

    if path:
        return zoo.load(path)
    known = shipped()
    if lam is None:
        lam = zoo.nearest(DEFAULT_LAM, list(known))
    if lam not in known:
        names = ", ".join(f"{other:g}" for other in known)
        raise InputError(f"No weights ship for --lam {lam:g}: take one of {names}, or name weights with --weights.")
    return zoo.load(known[lam])


def shipped(domain: str = "overhead") -> dict[float, Path]:
    """`satstudy.codecs.learned.checkpoint.shipped`, of which there must be some."""
    from satstudy.codecs.learned import checkpoint as zoo

    known = zoo.shipped(domain)
    if not known:
        raise InputError(f"No weights for {domain} images ship with this package: name some with --weights.")
    return known


def matching(fingerprint: bytes) -> Checkpoint:
    """The shipped weights that a file was made with.

    Raises
    ------
    InputError
        It was made with others.
    """
    from satstudy.codecs.learned import checkpoint as zoo

    for path in [path for domain in zoo.domains() for path in zoo.shipped(domain).values()]:
        checkpoint = zoo.load(path)
        if checkpoint.fingerprint == fingerprint:
            return checkpoint
    raise InputError(
        f"This file was made with weights {fingerprint.hex()}, which do not ship with this version: "
        "name them with --weights."
    )
