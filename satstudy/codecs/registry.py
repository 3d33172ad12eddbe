"""The list of codecs: one entry each, read by profiles, command, labels, tables, figures and conditions.

A module of `satstudy.codecs` registers its codecs where it defines them, and `satstudy/codecs/__init__.py` imports
each such module by one line. Neither PyTorch nor Pillow nor any optional package is imported before a codec works.

Examples
--------
>>> entry = find("jpeg")
>>> entry.label, entry.setting, entry.ladder
('JPEG', 'quality', (4, 8, 15, 30, 50, 70, 85, 92))
>>> entry.make(50)
JPEG(quality=50, subsampling='4:2:0', progressive=None, name='jpeg')
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from satstudy.core.errors import InputError
from satstudy.core.types import Pixels

#: The condition, and the row of a table, in which nothing is coded.
ORIGINAL = "original"
#: In a profile: the ladder of the entry; for a learned codec, every λ of the profile.
DEFAULT = "default"

Setting = int | float


class Codec(Protocol):
    """Encodes `uint8 (height, width, 3)` RGB to the bytes of a file, and decodes them.

    Attributes
    ----------
    name : that of its entry, "jpeg"
    setting : what tells two points of its rate-distortion curve apart, as text: "quality=75"
    """

    @property
    def name(self) -> str: ...

    @property
    def setting(self) -> str: ...

    def encode(self, image: Pixels) -> bytes:
        """The whole file. Raises InputError for what is no RGB image, or too large for the format."""
        ...

    def decode(self, data: bytes) -> Pixels:
        """The pixels. Raises DamagedFile for truncated or foreign bytes."""
        ...


class PlotStyle(NamedTuple):
    """How a codec is drawn. Marker, dashes and filling tell codecs apart without colour.

    Attributes
    ----------
    colour : a name in `satstudy.report.style.PALETTE`, or any colour of Matplotlib
    marker, dashes : as Matplotlib takes them
    hollow : markers are filled with white
    """

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[float, ...]] = "-"
    hollow: bool = False


class Learned(NamedTuple):
    """What a learned codec is made from: weights, one set for each λ.

    Attributes
    ----------
    domain : the kind of images that they were trained on, "overhead" or "natural"
    refined : its encoder refines the latents of each image, so many steps as `rd.refine` of a profile or
        `--refine` of the command says
    """

    domain: str
    refined: bool = False


@dataclass(frozen=True)
class CodecEntry:
    """What the study needs to know of a codec before it makes one.

    Attributes
    ----------
    name : in profiles, conditions, result tables and on the command line
    label : in figures and in tables of the book
    setting : the parameter that is varied along a rate-distortion curve
    ladder : its default values, rising
    factory : makes a codec of a setting; a learned one of a `Checkpoint`, with `tiling` and `refine` by keyword
    number : type of a setting, int or float
    style : None takes a free one
    learned : for learned codecs alone
    version : says which library codes; another version may write other bytes
    package, extra : the optional package that it imports, and the extra of this project that installs it
    """

    name: str
    label: str
    setting: str
    ladder: tuple[Setting, ...]
    factory: Callable[..., Codec]
    number: type[int] | type[float] = int
    style: PlotStyle | None = None
    learned: Learned | None = None
    version: Callable[[], str] | None = None
    package: str = ""
    extra: str = ""

    @property
    def missing(self) -> str:
        """A sentence that says what to install, where the codec's package is not installed; else nothing."""
        if not self.package or importlib.util.find_spec(self.package):
            return ""
        return f"{self.label} needs the package {self.package}: pip install 'satstudy[{self.extra}]'."

    def make(self, source: Any, **options: Any) -> Codec:
        """A codec of a setting; a learned one of a `Checkpoint`, with options of `LearnedCodec`.

        Raises
        ------
        InputError
            A setting that the codec does not take, or a package that is not installed.
        """
        if self.missing:
            raise InputError(self.missing)
        return self.factory(source, **options)

    def read(self, value: Any) -> Setting:
        """A setting from a profile, a condition or the command line; InputError if it is none.

        >>> find("jpeg2000").read("0.4")
        0.4
        """
        try:
            number = self.number(value)
            if isinstance(value, bool) or (not isinstance(value, str) and number != value):
                raise ValueError
        except (TypeError, ValueError):
            kind = "whole number" if self.number is int else "number"
            raise InputError(
                f"{self.name} takes {self.setting} as a {kind} such as {self.example}, not {value!r}."
            ) from None
        return number

    def settings(self, given: object) -> tuple[Setting, ...]:
        """The settings that a profile asks for: `default`, a number, or a list of them.

        Raises
        ------
        InputError
            A setting that is no number of the codec's.
        """
        if given == DEFAULT:
            return self.ladder
        return tuple(self.read(value) for value in (given if isinstance(given, (list, tuple)) else [given]))

    @property
    def example(self) -> Setting:
        """A setting for messages: the middle of the ladder."""
        return self.ladder[len(self.ladder) // 2]


_entries: dict[str, CodecEntry] = {}


def register(entry: CodecEntry) -> None:
    """Add a codec to the list. Figures and legends have codecs in the order in which they were registered."""
    if entry.name in _entries or entry.name == ORIGINAL or not entry.ladder:
        raise InputError(f"The codec {entry.name!r} is registered already, or has an empty ladder: correct its entry.")
    _entries[entry.name] = entry


def names() -> list[str]:
    """The names of all codecs."""
    return list(_entries)


def find(name: str) -> CodecEntry:
    """The entry of a codec.

    Raises
    ------
    InputError
        There is no codec of that name; names the nearest.
    """
    if name not in _entries:
        near = difflib.get_close_matches(name, _entries, 1)
        hint = f"did you mean {near[0]}? There are" if near else "take one of"
        raise InputError(f"There is no codec {name!r}: {hint} {', '.join(_entries)}.")
    return _entries[name]


def read_condition(text: str) -> tuple[CodecEntry, Setting] | None:
    """The codec and the setting of a condition such as "jpeg 50" or "learned 0.013"; None for "original".

    Raises
    ------
    InputError
        No such codec, or a setting that it does not take.
    """
    name, _, value = text.partition(" ")
    if text == ORIGINAL:
        return None
    try:
        return _entries[name], _entries[name].read(value)
    except (KeyError, InputError):
        examples = ", ".join(f"{entry.name} {entry.example}" for entry in _entries.values())
        raise InputError(
            f"{text!r} is no condition: write {ORIGINAL}, or a codec and its setting ({examples})."
        ) from None
