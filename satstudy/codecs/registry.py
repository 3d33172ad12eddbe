"""The registry of codecs: the whole package takes the names, labels and settings of a codec from its entry here.

A module of `satstudy.codecs` registers the codecs that it defines, and `satstudy/codecs/__init__.py` imports the
module. PyTorch, Pillow and optional packages are imported only when a codec is made or used.

A condition is a codec with a setting, as text: "jpeg 50". It names how images are coded before a classifier sees them.

Examples
--------
>>> entry = find("jpeg")
>>> entry.label, entry.parameter, entry.ladder
('JPEG', 'quality', (4, 8, 15, 30, 50, 70, 85, 92))
>>> entry.make(50)
JPEG(quality=50, subsampling='4:2:0', progressive=None, name='jpeg')
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from satstudy.core.errors import InputError, choices
from satstudy.core.types import Pixels

#: The condition of images that are not coded.
ORIGINAL = "original"
#: In a profile, in place of settings: the ladder of the entry. A learned codec with weights for each λ takes the λ of
#: the profile.
DEFAULT = "default"

Setting = int | float


class Codec(Protocol):
    """Encodes RGB images, uint8 (height, width, 3), to the bytes of a file, and decodes them.

    Attributes
    ----------
    name : that of its entry, "jpeg"
    setting : its point on the rate-distortion curve, as text: "quality=75"
    """

    @property
    def name(self) -> str: ...

    @property
    def setting(self) -> str: ...

    def encode(self, image: Pixels) -> bytes:
        """The bytes of the file. Raises InputError for anything but an RGB image, or one too large for the format."""
        ...

    def decode(self, data: bytes) -> Pixels:
        """The pixels. Raises DamagedFile for truncated or foreign bytes."""
        ...


class PlotStyle(NamedTuple):
    """How a codec is drawn in figures; marker, dashes and filling distinguish codecs in print without colour.

    Attributes
    ----------
    colour : a name in `satstudy.report.style.PALETTE`, or any colour of Matplotlib
    marker, dashes : of Matplotlib
    hollow : fill markers with white
    """

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[float, ...]] = "-"
    hollow: bool = False


class Learned(NamedTuple):
    """The weights of a learned codec.

    Attributes
    ----------
    domain : the kind of training images, "overhead" or "natural"
    every_rate : one set of weights serves every λ; otherwise each λ has its own
    refined : the encoder refines the latents of each image; the number of steps is `rd.refine` of a profile or
        `--refine` of the command
    """

    domain: str
    every_rate: bool = False
    refined: bool = False


@dataclass(frozen=True)
class CodecEntry:
    """The description of one codec.

    Attributes
    ----------
    name : in profiles, conditions, result tables and on the command line
    label : in figures and in tables of the book
    parameter : name of the parameter that is varied along a rate-distortion curve: "quality"; its values are settings
    ladder : the default settings, the points of a curve
    factory : makes a codec from a setting; a learned codec from a `Checkpoint`, with `tiling` and `refine` by keyword
    setting_type : int or float
    style : None takes one that no other codec has
    learned : None for conventional codecs
    version : returns the library that codes and its version; another version may write other bytes
    package, extra : the optional package that it imports, and the extra of this project that installs it
    """

    name: str
    label: str
    parameter: str
    ladder: tuple[Setting, ...]
    factory: Callable[..., Codec]
    setting_type: type[int] | type[float] = int
    style: PlotStyle | None = None
    learned: Learned | None = None
    version: Callable[[], str] | None = None
    package: str = ""
    extra: str = ""

    @property
    def missing(self) -> str:
        """What to install, as a sentence; empty if the package is installed or none is needed."""
        if not self.package or importlib.util.find_spec(self.package):
            return ""
        return f"{self.label} needs the package {self.package}: pip install 'satstudy[{self.extra}]'."

    def make(self, source: Any, **options: Any) -> Codec:
        """Make the codec.

        Parameters
        ----------
        source : a setting; for a learned codec a `Checkpoint`
        options : for a learned codec, those of `LearnedCodec`

        Raises
        ------
        InputError
            A setting that the codec does not take, or a package that is not installed.
        """
        if self.missing:
            raise InputError(self.missing)
        return self.factory(source, **options)

    def parse(self, value: Any) -> Setting:
        """A setting from a profile, a condition or the command line, as a number.

        >>> find("jpeg2000").parse("0.4")
        0.4

        Raises
        ------
        InputError
            Not a number of the type of the codec's settings.
        """
        try:
            number = self.setting_type(value)
            if isinstance(value, bool) or (not isinstance(value, str) and number != value):
                raise ValueError
        except (TypeError, ValueError):
            kind = "whole number" if self.setting_type is int else "number"
            raise InputError(
                f"{self.name} takes {self.parameter} as a {kind} such as {self.example}, not {value!r}."
            ) from None
        return number

    def parse_settings(self, given: object) -> tuple[Setting, ...]:
        """The settings from a profile: `default`, a number, or a list of numbers.

        >>> find("webp").parse_settings([10, 50]), find("webp").parse_settings("default")
        ((10, 50), (0, 10, 30, 50, 70, 85, 92))

        Raises
        ------
        InputError
            As `parse`, or a setting out of range.
        """
        if given == DEFAULT:
            return self.ladder
        found = tuple(self.parse(value) for value in (given if isinstance(given, (list, tuple)) else [given]))
        for value in found:
            if self.learned and not 0 < value < 10:
                raise InputError(f"{self.name} takes lam between 0 and 10 (paper: about 0.01), not {value!r}.")
            if not self.learned and not self.missing:
                self.make(value)
        return found

    @property
    def example(self) -> Setting:
        """A setting for messages: the middle of the ladder."""
        return self.ladder[len(self.ladder) // 2]


_entries: dict[str, CodecEntry] = {}


def register(entry: CodecEntry) -> None:
    """Add a codec. Legends list codecs in the order of registration.

    Raises
    ------
    InputError
        The name is taken, or the ladder is empty.
    """
    if entry.name in _entries or entry.name == ORIGINAL or not entry.ladder:
        raise InputError(f"The codec {entry.name!r} is registered already, or has an empty ladder: correct its entry.")
    _entries[entry.name] = entry


def names() -> list[str]:
    """The names of all codecs, in the order of registration.

    >>> [name for name in names() if find(name).learned]
    ['learned', 'learned-refined', 'mbt2018', 'mbt2018-natural', 'mbt2018-refined']
    """
    return list(_entries)


def find(name: str) -> CodecEntry:
    """The entry of a codec.

    Raises
    ------
    InputError
        There is no codec of that name; the message has the nearest one.
    """
    if name not in _entries:
        raise InputError(f"There is no codec {name!r}: {choices(name, _entries)}.")
    return _entries[name]


def main_codec(codecs: Iterable[str]) -> str | None:
    """The codec that a study is about: the first learned one in the registry trained on overhead imagery, unrefined.

    None if `codecs` has none.

    >>> main_codec(["jpeg", "mbt2018", "mbt2018-refined"])
    'mbt2018'
    """
    known = [entry for name, entry in _entries.items() if name in set(codecs)]
    return next((e.name for e in known if e.learned and e.learned.domain == "overhead" and not e.learned.refined), None)


def read_condition(text: str) -> tuple[CodecEntry, Setting] | None:
    """The codec and the setting of a condition such as "jpeg 50" or "mbt2018 0.013"; None for "original".

    >>> entry, setting = read_condition("jpeg 50")
    >>> entry.label, setting
    ('JPEG', 50)

    Raises
    ------
    InputError
        No such codec, or a setting that it does not take.
    """
    name, _, value = text.partition(" ")
    if text == ORIGINAL:
        return None
    try:
        return _entries[name], _entries[name].parse(value)
    except (KeyError, InputError):
        examples = ", ".join(f"{entry.name} {entry.example}" for entry in _entries.values())
        raise InputError(
            f"{text!r} is no condition: write {ORIGINAL}, or a codec and its setting ({examples})."
        ) from None
